//! `DELETE /api/v1/multipart/{session_id}`

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::extract::PathId;
use crate::openapi::error_responses;

error_responses!(AbortErrors: ANY, KEY, [Forbidden, SessionNotFound, SessionExpired, SessionCompleted, InsufficientStorage]);

/// Abort an upload
///
/// Requests that are sending parts are ended, and the bytes are freed. Repeating it changes nothing. Long after its end a session is
/// forgotten, and its id answers 410.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete,
    path = "/api/v1/multipart/{session_id}",
    operation_id = "abort_multipart",
    tag = "multipart",
    params(("session_id" = String, Path, format = "uuid", description = "The session")),
    responses(
        (status = 204, description = "The session is aborted, or has expired"),
        AbortErrors,
    )
))]
pub(crate) async fn abort_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    PathId(session_id): PathId,
) -> Result<StatusCode, ApiError> {
    app.uploads.abort(&identity, &session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
