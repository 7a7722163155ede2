//! `POST /api/v1/uploads/remote`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use partway_api::{ErrorCode, FileRecord};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{ApiJson, PrivateCaller};
use crate::input::{InvalidInput, UploadFields};
use crate::openapi::error_responses;
use crate::service::file_dto::file_record;

error_responses!(RemoteErrors: ANY, PRIVATE_KEY, JSON, [InvalidRemoteUrl, RemoteFetchFailed, FileNameRequired, InvalidFileName, InvalidFolder, InvalidTags, InvalidMetadata, InvalidCustomId, InvalidParameter, ChecksumMismatch, StorageLimitExceeded, FileTooLarge, InsufficientStorage]);

/// Have a file fetched from a URL
///
/// Answers when the file is there. Only http and https URLs of globally reachable hosts are fetched, at every one of at
/// most five redirects. Once begun it goes on to its end, also when the client does not wait for it.
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/uploads/remote",
    operation_id = "create_remote_upload",
    tag = "uploads",
    request_body = partway_api::RemoteUploadRequest,
    responses(
        (status = 201, description = "The file", body = FileRecord),
        RemoteErrors,
    )
))]
pub(crate) async fn create_remote_upload(
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
