//! `PATCH /api/v1/files/{file_no}/rename`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, FileResponse};

use super::response;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::{ApiJson, PrivateCaller};
use crate::input::{FileName, FolderPath, InvalidInput};
use crate::openapi::error_responses;

error_responses!(RenameErrors: ANY, PRIVATE_KEY, JSON, [FileNameRequired, InvalidFileName, InvalidFolder, FileNotFound, FileExists, StorageLimitExceeded, InsufficientStorage]);

/// Rename a file, or move it
#[cfg_attr(feature = "openapi", utoipa::path(
    patch,
    path = "/api/v1/files/{file_no}/rename",
    operation_id = "rename_file",
    tag = "files",
    params(("file_no" = String, Path, description = "Number of the file")),
    request_body = partway_api::RenameFileRequest,
    responses(
        (status = 200, description = "The file as it is now", body = FileResponse),
        RenameErrors,
    )
))]
pub(crate) async fn rename_file(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    PathId(file_no): PathId,
    ApiJson(body): ApiJson,
) -> Result<Json<FileResponse>, ApiError> {
    let name = body.text("name", ErrorCode::InvalidFileName)?.map(FileName::parse_new).transpose()?;
    let folder = body.text("folder", ErrorCode::InvalidFolder)?.map(FolderPath::parse).transpose()?;
    if name.is_none() && folder.is_none() {
        return Err(InvalidInput::new(ErrorCode::FileNameRequired, "name", "missing", "the new name").into());
    }
    let file = app.files.rename(&identity, file_no, name, folder).await?;
    Ok(response(&app, &identity, file))
}
