//! `POST /api/v1/folders/rename/{folder_no}`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, Folder};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::{ApiJson, PrivateCaller};
use crate::input::{FolderName, InvalidInput};
use crate::openapi::error_responses;
use crate::service::file_dto;

error_responses!(RenameErrors: ANY, PRIVATE_KEY, JSON, [InvalidFolder, FolderNotFound, FolderExists, InsufficientStorage]);

/// Rename a folder
///
/// The paths and URLs of everything below it change at the same time, independent of its size.
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/folders/rename/{folder_no}",
    operation_id = "rename_folder",
    tag = "folders",
    params(("folder_no" = String, Path, description = "Number of the folder")),
    request_body = partway_api::RenameFolderRequest,
    responses(
        (status = 200, description = "The folder as it is now", body = Folder),
        RenameErrors,
    )
))]
pub(crate) async fn rename_folder(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    PathId(folder_no): PathId,
    ApiJson(body): ApiJson,
) -> Result<Json<Folder>, ApiError> {
    let name = body.text("name", ErrorCode::InvalidFolder)?;
    let name = name.ok_or_else(|| InvalidInput::new(ErrorCode::InvalidFolder, "name", "missing", "a name"))?;
    let folder = app.folders.rename(&identity, folder_no, FolderName::parse(name)?).await?;
    Ok(Json(file_dto::folder(folder)))
}
