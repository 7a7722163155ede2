//! `POST /api/v1/multipart/complete`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use partway_api::{CompleteRequest, ErrorBody, FileRecord};

use crate::app::App;
use crate::error::ApiError;
use crate::input::FileHash;
use crate::middleware::{ApiJson, Caller};
use crate::service::record::file_record;

/// Complete an upload
///
/// Once it answers 201, the bytes and the record are durable. Repeating it gives the same record.
#[utoipa::path(
    post,
    path = "/api/v1/multipart/complete",
    operation_id = "complete_multipart",
    tag = "multipart",
    request_body = CompleteRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "The file", body = FileRecord),
        (status = 400, description = "Parts are missing (`missing_parts` lists them), the file is not the one that `hash` names, or a field is not as it must be", body = ErrorBody),
        (status = "4XX", description = "The session is unknown or has ended otherwise, or the key is not good", body = ErrorBody),
    )
)]
pub async fn complete_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    ApiJson(body): ApiJson,
) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    let session_id = body.required_text("session_id")?;
    let uuid = body.optional_text("uuid")?;
    let hash = body.optional_text("hash")?.map(FileHash::parse).transpose()?;
    let file = app.uploads.complete(&identity, session_id, uuid, hash).await?;
    Ok((StatusCode::CREATED, Json(file_record(file, &identity.workspace_no, &app.urls))))
}
