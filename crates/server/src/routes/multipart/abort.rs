//! `DELETE /api/v1/multipart/{session_id}`

use axum::extract::{Path, State};
use http::StatusCode;
use partway_api::ErrorBody;

use crate::app::App;
use crate::error::ApiError;
use crate::middleware::Caller;

/// Abort an upload
///
/// Requests that are sending parts are ended, and the bytes are freed. Repeating it changes nothing.
#[utoipa::path(
    delete,
    path = "/api/v1/multipart/{session_id}",
    operation_id = "abort_multipart",
    tag = "multipart",
    params(("session_id" = String, Path, description = "The session")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 204, description = "The session is aborted, or has expired"),
        (status = 409, description = "The session is completed", body = ErrorBody),
        (status = "4XX", description = "The session is unknown, or the key is not good", body = ErrorBody),
    )
)]
pub async fn abort_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(session_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.uploads.abort(&identity, &session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
