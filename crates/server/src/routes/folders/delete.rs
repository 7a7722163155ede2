//! `DELETE /api/v1/folders/{folder_no}`

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use partway_api::{DeleteFolderPreview, DeletedFolder, ErrorBody};

use crate::app::App;
use crate::error::ApiError;
use crate::middleware::{Parameters, PrivateCaller};
use crate::service::folder::Subtree;
use crate::service::record;

/// Delete a folder with everything below it
///
/// However much that is, nobody sees any of it any more when this answers.
#[utoipa::path(
    delete,
    path = "/api/v1/folders/{folder_no}",
    operation_id = "delete_folder",
    tag = "folders",
    params(
        ("folder_no" = String, Path, description = "Number of the folder"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only say what would be deleted"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 204, description = "The folder is deleted"),
        (status = 200, description = "With `dry_run`: what would be", body = DeleteFolderPreview),
        (status = "4XX", description = "The folder is unknown, or the key is not good", body = ErrorBody),
    )
)]
pub async fn delete_folder(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    Path(folder_no): Path<String>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    if parameters.boolean("dry_run")? {
        let Subtree { folder, folders } = app.folders.subtree(&identity, folder_no).await?;
        let (files, bytes) = (folder.total_files, folder.total_bytes);
        let would_delete = DeletedFolder { folder: record::folder(folder), folders, files, bytes };
        return Ok(Json(DeleteFolderPreview { dry_run: true, would_delete }).into_response());
    }
    app.folders.delete(&identity, folder_no).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
