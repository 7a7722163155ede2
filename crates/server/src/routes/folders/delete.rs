//! `DELETE /api/v1/folders/{folder_no}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use partway_api::{DeleteFolderPreview, DeletedFolder};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::{Parameters, PrivateCaller};
use crate::openapi::error_responses;
use crate::service::file_dto;
use crate::service::folder::Subtree;

error_responses!(DeleteErrors: ANY, PRIVATE_KEY, [InvalidParameter, FolderNotFound, InsufficientStorage]);

/// Delete a folder with everything below it
///
/// Once this answers, nothing of it is visible any more, independent of its size.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete,
    path = "/api/v1/folders/{folder_no}",
    operation_id = "delete_folder",
    tag = "folders",
    params(
        ("folder_no" = String, Path, description = "Number of the folder"),
        ("dry_run" = Option<bool>, Query, nullable = false, description = "`true`: only answer what would be deleted"),
    ),
    responses(
        (status = 204, description = "The folder is deleted"),
        (status = 200, description = "With `dry_run`: what would be", body = DeleteFolderPreview),
        DeleteErrors,
    )
))]
pub(crate) async fn delete_folder(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    PathId(folder_no): PathId,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    if parameters.boolean("dry_run")? {
        let Subtree { folder, folders } = app.folders.subtree(&identity, folder_no).await?;
        let (files, bytes) = (folder.total_files, folder.total_bytes);
        let would_delete = DeletedFolder { folder: file_dto::folder(folder), folders, files, bytes };
        return Ok(Json(DeleteFolderPreview { dry_run: true, would_delete }).into_response());
    }
    app.folders.delete(&identity, folder_no).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
