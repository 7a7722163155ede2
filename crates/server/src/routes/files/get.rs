//! `GET /api/v1/files/{file_no}`

use axum::Json;
use axum::extract::State;
use partway_api::FileResponse;

use super::response;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::PrivateCaller;
use crate::openapi::error_responses;

error_responses!(GetErrors: ANY, PRIVATE_KEY, [FileNotFound]);

/// Look at a file
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/api/v1/files/{file_no}",
    operation_id = "get_file",
    tag = "files",
    params(("file_no" = String, Path, description = "Number of the file")),
    responses(
        (status = 200, description = "The file", body = FileResponse),
        GetErrors,
    )
))]
pub(crate) async fn get_file(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    PathId(file_no): PathId,
) -> Result<Json<FileResponse>, ApiError> {
    let file = app.files.find(&identity, file_no).await?;
    Ok(response(&app, &identity, file))
}
