//! The HTTP answer to a request for a representation.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, IF_MATCH, IF_UNMODIFIED_SINCE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use partway_api::ErrorCode;

use super::headers::{insert_text, set_content_guards, set_validators};
use super::{FileBody, ObjectBody, Piece, Precondition, evaluate, partial_content, range_applies};
use crate::error::ApiError;
use crate::http::SendRoom;
use crate::input::quote_for_message;
use crate::service::serve::{Place, Representation};

/// Answers a GET or HEAD with these headers. `room` bounds the body to what the connection takes.
///
/// # Errors
/// `RANGE_NOT_SATISFIABLE`, `PRECONDITION_FAILED`, and failures of the storage before the first byte.
pub(crate) async fn respond(
    method: &Method,
    headers: &HeaderMap,
    representation: Representation,
    room: SendRoom,
) -> Result<Response, ApiError> {
    if let Place::Redirect(redirect) = &representation.place
        && method == Method::GET
    {
        return Ok(redirect_to(&redirect.url(&representation)?));
    }
    let (entity_tag, modified_at) = (&representation.entity_tag, representation.modified_at);
    let mut answer = Response::new(Body::empty());
    set_validators(answer.headers_mut(), &representation);
    match evaluate(headers, entity_tag, modified_at) {
        Precondition::Met => {}
        Precondition::NotModified => {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            // RFC 9110, section 8.6: the length of the file or none. Axum would answer HEAD with 0, which caches believe.
            answer.headers_mut().insert(CONTENT_LENGTH, representation.size_bytes.into());
            return Ok(answer);
        }
        Precondition::Failed => return Err(precondition_failed(headers, entity_tag, modified_at)),
    }
    set_content_guards(answer.headers_mut(), &representation);
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    // RFC 9110, section 14.2: Range has no meaning for other methods than GET.
    let range = range.filter(|_| method == Method::GET && range_applies(headers, entity_tag, modified_at));
    let pieces = partial_content::select(range, &representation, &mut answer)?;
    let length = pieces.iter().map(Piece::length).sum::<u64>();
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    if method != Method::HEAD {
        *answer.body_mut() = body(representation.place, pieces, room).await?;
    }
    Ok(answer)
}

/// 412. `If-Unmodified-Since` is evaluated only without `If-Match` (RFC 9110, section 13.2.2).
fn precondition_failed(headers: &HeaderMap, entity_tag: &str, modified_at: SystemTime) -> ApiError {
    let (header, name, allowed) = match headers.contains_key(IF_MATCH) {
        true => (IF_MATCH, "If-Match", format!("{entity_tag}, the entity tag of the file, or *")),
        false => {
            let modified_at = httpdate::fmt_http_date(modified_at);
            (IF_UNMODIFIED_SINCE, "If-Unmodified-Since", format!("{modified_at}, when the file was changed, or later"))
        }
    };
    let given: Vec<_> = headers.get_all(header).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let message = format!("`{name}` is {}; allowed: {allowed}", quote_for_message(given.join(", ")));
    ApiError::new(ErrorCode::PreconditionFailed, message)
}

async fn body(place: Place, pieces: Vec<Piece>, room: SendRoom) -> Result<Body, ApiError> {
    Ok(match place {
        Place::Blob(blob) => Body::new(FileBody::new(Arc::new(blob), pieces, room)),
        Place::Object(store, blob_id) => Body::new(ObjectBody::open(store, blob_id, pieces, room).await?),
        Place::Redirect(_) => Body::empty(),
    })
}

/// 302 and not 307 or 308: every request gets a URL of its own.
fn redirect_to(url: &str) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::FOUND;
    insert_text(answer.headers_mut(), LOCATION, url);
    // The URL expires: a cache that kept this answer would send clients to an expired one.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
