//! `POST /api/v1/folders`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use partway_api::{CreateFolderRequest, ErrorBody, ErrorCode, Folder};

use crate::app::App;
use crate::error::ApiError;
use crate::input::{FolderName, InvalidInput};
use crate::middleware::{ApiJson, PrivateCaller};
use crate::service::record;

/// Make a folder
#[utoipa::path(
    post,
    path = "/api/v1/folders",
    operation_id = "create_folder",
    tag = "folders",
    request_body = CreateFolderRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "The folder", body = Folder),
        (status = 409, description = "There is a folder under that name", body = ErrorBody),
        (status = "4XX", description = "A member is not as it must be, the folder it is to be in is unknown, or the key is not good", body = ErrorBody),
    )
)]
pub async fn create_folder(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    ApiJson(body): ApiJson,
) -> Result<(StatusCode, Json<Folder>), ApiError> {
    let name = body.text("name", ErrorCode::InvalidFolder)?;
    let name = name.ok_or_else(|| InvalidInput::new(ErrorCode::InvalidFolder, "name", "missing", "a name"))?;
    let parent = body.text("parent_folder_no", ErrorCode::InvalidFolder)?.filter(|number| !number.is_empty());
    let folder = app.folders.create(&identity, FolderName::parse(name)?, parent.map(str::to_owned)).await?;
    Ok((StatusCode::CREATED, Json(record::folder(folder))))
}
