//! The HTTP answer to a request for a representation.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::headers::{insert_text, set_content_guards, set_validators};
use super::{FileBody, ObjectBody, Piece, Precondition, evaluate, partial_content, range_applies};
use crate::error::ApiError;
use crate::http::SendRoom;
use crate::service::serve::{Place, Representation};

/// Answers a GET or HEAD with these headers. `room` bounds the body to what the connection takes.
///
/// # Errors
/// `RANGE_NOT_SATISFIABLE`, and failures of the storage before the first byte.
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
        Precondition::Failed => return Ok(StatusCode::PRECONDITION_FAILED.into_response()),
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
