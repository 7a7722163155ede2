//! `POST /api/v1/folders/rename/{folder_no}`

use axum::Json;
use axum::extract::{Path, State};
use partway_api::{ErrorBody, ErrorCode, Folder, RenameFolderRequest};

use crate::app::App;
use crate::error::ApiError;
use crate::input::{FolderName, InvalidInput};
use crate::middleware::{ApiJson, PrivateCaller};
use crate::service::record;

/// Rename a folder
///
/// The paths and URLs of everything below it follow, however much there is.
#[utoipa::path(
    post,
    path = "/api/v1/folders/rename/{folder_no}",
    operation_id = "rename_folder",
    tag = "folders",
    params(("folder_no" = String, Path, description = "Number of the folder")),
    request_body = RenameFolderRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The folder as it is now", body = Folder),
        (status = 409, description = "There is a folder under that name", body = ErrorBody),
        (status = "4XX", description = "The name is not as it must be, the folder is unknown, or the key is not good", body = ErrorBody),
    )
)]
pub async fn rename_folder(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    Path(folder_no): Path<String>,
    ApiJson(body): ApiJson,
) -> Result<Json<Folder>, ApiError> {
    let name = body.text("name", ErrorCode::InvalidFolder)?;
    let name = name.ok_or_else(|| InvalidInput::new(ErrorCode::InvalidFolder, "name", "missing", "a name"))?;
    let folder = app.folders.rename(&identity, folder_no, FolderName::parse(name)?).await?;
    Ok(Json(record::folder(folder)))
}
