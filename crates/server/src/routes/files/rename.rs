//! `PATCH /api/v1/files/{file_no}/rename`

use axum::Json;
use axum::extract::{Path, State};
use partway_api::{ErrorBody, ErrorCode, FileResponse, RenameFileRequest};

use super::response;
use crate::app::App;
use crate::error::ApiError;
use crate::input::{FileName, FolderPath, InvalidInput};
use crate::middleware::{ApiJson, PrivateCaller};

/// Rename a file, or move it
#[utoipa::path(
    patch,
    path = "/api/v1/files/{file_no}/rename",
    operation_id = "rename_file",
    tag = "files",
    params(("file_no" = String, Path, description = "Number of the file")),
    request_body = RenameFileRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The file as it is now", body = FileResponse),
        (status = 409, description = "There is a file under that name", body = ErrorBody),
        (status = "4XX", description = "The name is not as it must be, the file is unknown, or the key is not good", body = ErrorBody),
    )
)]
pub async fn rename_file(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    Path(file_no): Path<String>,
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
