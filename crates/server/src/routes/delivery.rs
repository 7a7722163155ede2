//! `GET, HEAD /{workspace_no}/{path}`

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use partway_api::ErrorCode;
use rand::RngExt;
use rand::distr::Alphanumeric;

use crate::app::App;
use crate::db::files::{self, DeliverableFile};
use crate::error::ApiError;
use crate::http::SendRoom;
use crate::model::S3Delivery;
use crate::model::StorageKind;
use crate::openapi::error_responses;
use crate::serving::{self, ByteRange, FileBody, ObjectBody, Piece, Precondition, RangeRequest};
use crate::storage::{Blob, S3Store};

/// How often a file that is being replaced is looked up.
const LOOKUPS: u32 = 3;

error_responses!(DeliveryErrors: [FileNotFound, RangeNotSatisfiable, Internal, ServiceUnavailable]);

/// Fetch a file
///
/// Public. Answers ranges, one or several, and conditional requests. A file of an S3 store is answered by a redirect to
/// the store, unless the settings say otherwise.
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/{workspace_no}/{path}",
    operation_id = "get_file_content",
    tag = "delivery",
    params(
        ("workspace_no" = String, Path, pattern = "^[0-9a-hj-km-np-tv-z]{10}$", description = "Number of the workspace"),
        ("path" = String, Path, min_length = 1, description = "Folder and name of the file"),
        ("Range" = Option<String>, Header, nullable = false, description = "One or several byte ranges"),
        ("If-Range" = Option<String>, Header, nullable = false, description = "The tag or date that the ranges are of"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Tags of which the file must have one"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Tags that the client has"),
        ("If-Modified-Since" = Option<String>, Header, nullable = false, description = "The date of what the client has"),
        ("If-Unmodified-Since" = Option<String>, Header, nullable = false, description = "The date that the file must be of"),
    ),
    responses(
        (
            status = 200,
            description = "The file, as the type that its bytes have",
            content_type = "*/*",
            body = partway_api::schema::FileBytes,
            headers(
                ("ETag" = String, description = "From the hash of the file"),
                ("Last-Modified" = String, description = "When the file became visible"),
                ("Accept-Ranges" = String, description = "`bytes`"),
            ),
        ),
        (
            status = 302,
            description = "The file is in the bucket: its URL there",
            headers(("Location" = String, description = "The presigned URL")),
        ),
        (
            status = 206,
            description = "The range asked for, or several as `multipart/byteranges`",
            content_type = "*/*",
            body = partway_api::schema::FileBytes,
            headers(("ETag" = String, description = "From the hash of the file")),
        ),
        (status = 304, description = "The client has it already", headers(("ETag" = String, description = "From the hash of the file"))),
        (status = 412, description = "It is not what the request's condition says"),
        DeliveryErrors,
    )
))]
pub async fn get_file_content(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    method: Method,
    headers: HeaderMap,
    room: Option<Extension<SendRoom>>,
) -> Result<Response, ApiError> {
    let not_found = |path: &str| ApiError::new(ErrorCode::FileNotFound, format!("there is no file at {path:?}"));
    let Path((workspace_no, path)) = path.map_err(|_| not_found("a path that is not UTF-8"))?;
    let (file, bytes) = open_file(&app, &workspace_no, &path).await?.ok_or_else(|| not_found(&path))?;
    if let FileBytes::Object(store) = &bytes
        && app.config.storage.delivery == S3Delivery::Redirect
        && method == Method::GET
    {
        return redirect(&app, store, &file);
    }
    let entity_tag = serving::entity_tag(&file);
    let modified = file.created_at.to_system_time();
    let mut answer = Response::new(Body::empty());
    set_validators(answer.headers_mut(), &app, &entity_tag, modified);
    match serving::evaluate(&headers, &entity_tag, modified) {
        Precondition::Met => {}
        Precondition::NotModified => {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            // RFC 9110, section 8.6: the length of the file or none. Left to axum, HEAD would be told 0, which caches believe.
            answer.headers_mut().insert(CONTENT_LENGTH, file.size_bytes.into());
            return Ok(answer);
        }
        Precondition::Failed => return Ok(StatusCode::PRECONDITION_FAILED.into_response()),
    }
    serving::guard_content(answer.headers_mut(), &file);
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    // RFC 9110, section 14.2: Range has no meaning for other methods than GET.
    let range = range.filter(|_| method == Method::GET && serving::range_applies(&headers, &entity_tag, modified));
    let content = content(range, &file, &mut answer)?;
    let length = content.iter().map(Piece::length).sum::<u64>();
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    if method != Method::HEAD {
        let room = room.map_or_else(SendRoom::endless, |Extension(room)| room);
        *answer.body_mut() = match bytes {
            FileBytes::Open(blob) => Body::new(FileBody::new(Arc::new(blob), content, room)),
            FileBytes::Object(store) => Body::new(ObjectBody::open(store, file.blob.id, content, room).await?),
        };
    }
    Ok(answer)
}

/// Where a file's bytes come from.
enum FileBytes {
    /// An open blob: they stay even when the file is replaced.
    Open(Blob),
    /// The bucket, which keeps what is replaced for a while.
    Object(Arc<S3Store>),
}

/// To the store, which has the bytes, answers ranges and judges conditions: 302, because every request gets a URL of its
/// own. What cannot be sandboxed there is not quote_for_message at all.
fn redirect(app: &App, store: &S3Store, file: &DeliverableFile) -> Result<Response, ApiError> {
    let seconds = app.config.storage.url_lifetime.0.as_secs();
    let cache_control = app.config.delivery.cache_control.to_str().unwrap_or_default();
    let headers = {
        let mime_type = serving::safer_type(&file.mime_type, file.declared_type.as_deref());
        serving::headers_at_store(&file.name, mime_type)
    };
    let url = store.presign_get(file.blob.id, cache_control, &headers, seconds)?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::FOUND;
    insert_text(answer.headers_mut(), LOCATION, &url);
    // The URL ends; whoever keeps the answer would follow it in vain.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The file at this path, and its bytes.
async fn open_file(
    app: &App,
    workspace_no: &str,
    path: &str,
) -> Result<Option<(DeliverableFile, FileBytes)>, ApiError> {
    // No name has NUL in it, and PostgreSQL no text.
    if workspace_no.contains('\0') || path.contains('\0') {
        return Ok(None);
    }
    let mut tries = LOOKUPS;
    loop {
        let (number, wanted) = (workspace_no.to_owned(), path.to_owned());
        let Some(file) = app.db.read(move |tx| files::find_served(tx, &number, &wanted)).await? else {
            return Ok(None);
        };
        if file.blob.storage == StorageKind::S3 {
            let store = Arc::clone(app.stores.s3()?);
            return Ok(Some((file, FileBytes::Object(store))));
        }
        let (store, blob_id) = (Arc::clone(app.stores.local()?), file.blob.id);
        let opened = tokio::task::spawn_blocking(move || store.open_for_reading(blob_id)).await;
        tries -= 1;
        match opened.unwrap_or_else(|error| Err(error.into())) {
            Ok(blob) => return Ok(Some((file, FileBytes::Open(blob)))),
            // Replaced between the two looks: the next one finds the newer file.
            Err(error) if error.is_missing() && tries > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn set_validators(headers: &mut HeaderMap, app: &App, entity_tag: &str, modified: SystemTime) {
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, app.config.delivery.cache_control.clone());
    insert_text(headers, ETAG, entity_tag);
    if serving::is_strong_date(modified, SystemTime::now()) {
        insert_text(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

/// What is sent: the file, one range of it, or several as a multipart body (RFC 9110, section 14.6).
fn content(range: Option<&str>, file: &DeliverableFile, answer: &mut Response) -> Result<Vec<Piece>, ApiError> {
    let request = range.map_or(RangeRequest::Whole, |range| serving::parse_range(range, file.size_bytes));
    let ranges = match request {
        RangeRequest::Whole if file.size_bytes == 0 => return Ok(Vec::new()),
        RangeRequest::Whole => return Ok(vec![Piece::Range(ByteRange { first: 0, last: file.size_bytes - 1 })]),
        RangeRequest::Unsatisfiable => {
            return Err(ApiError::range_not_satisfiable(range.unwrap_or_default(), file.size_bytes));
        }
        RangeRequest::Ranges(ranges) => ranges,
    };
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = answer.headers_mut();
    if let [range] = ranges[..] {
        insert_text(headers, CONTENT_RANGE, &content_range(range, file));
        return Ok(vec![Piece::Range(range)]);
    }
    let boundary: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
    insert_text(headers, CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
    Ok(multipart(&ranges, file, &boundary))
}

fn multipart(ranges: &[ByteRange], file: &DeliverableFile, boundary: &str) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            serving::safer_type(&file.mime_type, file.declared_type.as_deref()),
            content_range(*range, file)
        );
        pieces.push(Piece::Text(Bytes::from(head)));
        pieces.push(Piece::Range(*range));
    }
    pieces.push(Piece::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    pieces
}

fn content_range(range: ByteRange, file: &DeliverableFile) -> String {
    format!("bytes {}-{}/{}", range.first, range.last, file.size_bytes)
}

fn insert_text(headers: &mut HeaderMap, name: http::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
