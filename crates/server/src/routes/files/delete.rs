//! `DELETE /api/v1/files/{file_no}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use partway_api::DeleteFilePreview;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::{Parameters, PrivateCaller};
use crate::openapi::error_responses;
use crate::service::file_dto::file_row;

error_responses!(DeleteErrors: ANY, PRIVATE_KEY, [InvalidParameter, FileNotFound, InsufficientStorage]);

/// Delete a file
///
/// Downloads that have begun continue to their end.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete,
    path = "/api/v1/files/{file_no}",
    operation_id = "delete_file",
    tag = "files",
    params(
        ("file_no" = String, Path, description = "Number of the file"),
        ("dry_run" = Option<bool>, Query, nullable = false, description = "`true`: only answer what would be deleted"),
    ),
    responses(
        (status = 204, description = "The file is deleted"),
        (status = 200, description = "With `dry_run`: what would be", body = DeleteFilePreview),
        DeleteErrors,
    )
))]
pub(crate) async fn delete_file(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    PathId(file_no): PathId,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    if parameters.boolean("dry_run")? {
        let file = app.files.find(&identity, file_no).await?;
        let would_delete = file_row(file, &identity.workspace_no, &app.urls);
        return Ok(Json(DeleteFilePreview { dry_run: true, would_delete }).into_response());
    }
    app.files.delete(&identity, file_no).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
