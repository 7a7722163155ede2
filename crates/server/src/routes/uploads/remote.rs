//! `POST /api/v1/uploads/remote`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use partway_api::{ErrorBody, ErrorCode, FileRecord, RemoteUploadRequest};

use crate::app::App;
use crate::error::ApiError;
use crate::input::{InvalidInput, UploadFields};
use crate::middleware::{ApiJson, PrivateCaller};
use crate::service::record::file_record;

/// Have a file fetched from a URL
///
/// Answers when the file is there. Only http and https URLs of globally reachable hosts are fetched, at every one of at
/// most five redirects. Once begun it goes on to its end, also when the client does not wait for it.
#[utoipa::path(
    post,
    path = "/api/v1/uploads/remote",
    operation_id = "create_remote_upload",
    tag = "uploads",
    request_body = RemoteUploadRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "The file", body = FileRecord),
        (status = 400, description = "A field is not as it must be (INVALID_REMOTE_URL: nobody may be asked for that), or the other side did not deliver the file (REMOTE_FETCH_FAILED)", body = ErrorBody),
        (status = "4XX", description = "The file is too large, or the key is not good", body = ErrorBody),
        (status = 507, description = "The disk has no room for the file", body = ErrorBody),
    )
)]
pub async fn create_remote_upload(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    ApiJson(body): ApiJson,
) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    let url = body.text("remote_url", ErrorCode::InvalidRemoteUrl)?.ok_or_else(|| {
        InvalidInput::new(ErrorCode::InvalidRemoteUrl, "remote_url", "missing", "an http or https URL")
    })?;
    let fields = UploadFields::read(&body)?;
    let file = app.uploads.fetch_remote(&identity, url, fields).await?;
    Ok((StatusCode::CREATED, Json(file_record(file, &identity.workspace_no, &app.urls))))
}
