//! `POST /api/v1/multipart/complete`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use partway_api::FileRecord;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{ApiJson, Caller};
use crate::input::{EtagsHash, FileHash};
use crate::openapi::error_responses;
use crate::service::file_dto::file_record;
use crate::service::upload::ExpectedHashes;

error_responses!(CompleteErrors: ANY, KEY, JSON, [InvalidParameter, UuidMismatch, PartsMissing, ChecksumMismatch, Forbidden, StorageLimitExceeded, FileExists, SessionNotFound, SessionExpired, SessionAborted, InsufficientStorage]);

/// Complete an upload
///
/// Once it answers 201, the bytes and the record are durable. Repeating it gives the same record, as long as ended sessions are remembered
/// (`limits.forget_sessions_seconds`). An upload that was started
/// with a public key never replaces a file that was not made with it: 409, and the session stays as it is.
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/multipart/complete",
    operation_id = "complete_multipart",
    tag = "multipart",
    request_body = partway_api::CompleteRequest,
    responses(
        (status = 201, description = "The file", body = FileRecord),
        CompleteErrors,
    )
))]
pub(crate) async fn complete_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    ApiJson(body): ApiJson,
) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    let session_id = body.required_text("session_id")?;
    let uuid = body.optional_text("uuid")?;
    let hash = body.optional_text("hash")?.map(FileHash::parse).transpose()?;
    let etags = body.optional_text("etags_sha256")?.map(EtagsHash::parse).transpose()?;
    let file = app.uploads.complete(&identity, session_id, uuid, ExpectedHashes { file: hash, etags }).await?;
    Ok((StatusCode::CREATED, Json(file_record(file, &identity.workspace_no, &app.urls))))
}
