//! `PUT /api/v1/multipart/{session_id}/parts/{part_index}?length&expires&signature`: the presigned URLs.
//!
//! All that can be judged without the body is judged before it is read: only reading it makes the server send
//! `100 Continue` to those who asked for it.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use futures_util::TryStreamExt;
use http::header::ETAG;
use http::{HeaderMap, HeaderName, StatusCode};
use partway_api::ErrorCode;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::App;
use crate::error::ApiError;
use crate::http::content_length;
use crate::input::content_digests;
use crate::model::Timestamp;
use crate::openapi::error_responses;
use crate::service::part_urls::{PartPermission, Refusal};
use crate::service::upload::BodyError;

/// The query of a presigned URL.
#[derive(Debug, Deserialize)]
pub(crate) struct Presigned {
    length: u64,
    expires: i64,
    signature: String,
}

error_responses!(PartErrors: ANY, [
    InvalidParameter,
    PartSizeMismatch,
    ChecksumMismatch,
    Forbidden,
    UrlExpired,
    SignatureInvalid,
    SessionNotFound,
    RequestTimeout,
    SessionCompleted,
    SessionExpired,
    SessionAborted,
    InsufficientStorage,
]);

/// Send a part
///
/// Use the URL exactly as start answered it; it needs no key. Sending a part again replaces it.
#[cfg_attr(feature = "openapi", utoipa::path(
    put,
    path = "/api/v1/multipart/{session_id}/parts/{part_index}",
    operation_id = "put_part",
    tag = "multipart",
    params(
        ("session_id" = String, Path, format = "uuid", description = "The session"),
        ("part_index" = u32, Path, maximum = 9999, description = "The part, from 0"),
        ("length" = u64, Query, minimum = 1, description = "Exact length of the part in bytes"),
        ("expires" = i64, Query, description = "Unix seconds until which the URL is good"),
        ("signature" = String, Query, description = "The server's signature over all of these"),
        ("Content-MD5" = Option<String>, Header, nullable = false, pattern = "^[0-9A-Za-z+/]{21}[AQgw]==$", description = "Base64 of the body's MD5 (RFC 1864); another one is refused"),
        ("Content-Digest" = Option<String>, Header, nullable = false, description = "sha-256 or sha-512 of the body (RFC 9530); another one is refused"),
    ),
    request_body(content = partway_api::schema::FileBytes, content_type = "application/octet-stream", description = "The part's bytes"),
    responses(
        (status = 200, description = "The part is there", headers(("ETag" = String, description = "Tag of the part"))),
        PartErrors,
    )
))]
pub(crate) async fn put_part(
    State(app): State<App>,
    path: Result<Path<(Uuid, u32)>, PathRejection>,
    query: Result<Query<Presigned>, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1]), ApiError> {
    let permission = check(&app, path, query, request.headers()).await?;
    let digests = content_digests(request.headers())?;
    let body = request.into_body().into_data_stream().map_err(|error| BodyError(error.to_string()));
    let entity_tag = app.uploads.receive_part(permission.session_id, permission.part_index, digests, body).await?;
    Ok((StatusCode::OK, [(ETAG, entity_tag)]))
}

async fn check(
    app: &App,
    path: Result<Path<(Uuid, u32)>, PathRejection>,
    query: Result<Query<Presigned>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<PartPermission, ApiError> {
    let not_ours = || {
        ApiError::new(
            ErrorCode::SignatureInvalid,
            "the URL is not one that this server signed; use it exactly as it was answered",
        )
    };
    let Path((session_id, part_index)) = path.map_err(|_| not_ours())?;
    let Query(Presigned { length, expires, signature }) = query.map_err(|_| not_ours())?;
    let permission = PartPermission { session_id, part_index, length_bytes: length, expires_at: expires };
    let now = Timestamp::now().unix_seconds();
    match app.urls.part_url_signer().check(&permission, &signature, now) {
        Ok(()) => {}
        Err(Refusal::Signature) => return Err(not_ours()),
        // Parts that arrived may have renewed the session: clients that never ask for new URLs need no other ones.
        Err(Refusal::Expired) if app.uploads.renews_url(session_id, expires).await? => {}
        Err(Refusal::Expired) => {
            let ago = now - expires;
            let message =
                format!("`expires` is {expires}, which was {ago} seconds ago; request new URLs for the session");
            return Err(ApiError::new(ErrorCode::UrlExpired, message));
        }
    }
    match content_length(headers) {
        Some(given) if given != length => Err(ApiError::new(
            ErrorCode::PartSizeMismatch,
            format!("`Content-Length` is {given}; allowed: {length}, the exact length of part {part_index}"),
        )),
        _ => Ok(permission),
    }
}

/// Length, expiry and signature that the query of a presigned URL gives.
#[cfg(feature = "fuzzing")]
pub(crate) fn presigned(url: &http::Uri) -> Option<(u64, i64, String)> {
    let Query(Presigned { length, expires, signature }) = Query::try_from_uri(url).ok()?;
    Some((length, expires, signature))
}
