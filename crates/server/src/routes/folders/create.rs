//! `POST /api/v1/folders`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use partway_api::{ErrorCode, Folder};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{ApiJson, PrivateCaller};
use crate::input::{FolderName, InvalidInput};
use crate::openapi::error_responses;
use crate::service::file_dto;

error_responses!(CreateErrors: ANY, PRIVATE_KEY, JSON, [InvalidFolder, FolderNotFound, FolderExists, StorageLimitExceeded, InsufficientStorage]);

/// Make a folder
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/folders",
    operation_id = "create_folder",
    tag = "folders",
    request_body = partway_api::CreateFolderRequest,
    responses(
        (status = 201, description = "The folder", body = Folder),
        CreateErrors,
    )
))]
pub(crate) async fn create_folder(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    ApiJson(body): ApiJson,
) -> Result<(StatusCode, Json<Folder>), ApiError> {
    let name = body.text("name", ErrorCode::InvalidFolder)?;
    let name = name.ok_or_else(|| InvalidInput::new(ErrorCode::InvalidFolder, "name", "missing", "a name"))?;
    let parent = body.text("parent_folder_no", ErrorCode::InvalidFolder)?.filter(|number| !number.is_empty());
    let folder = app.folders.create(&identity, FolderName::parse(name)?, parent.map(str::to_owned)).await?;
    Ok((StatusCode::CREATED, Json(file_dto::folder(folder))))
}
