//! `GET /api/v1/files/{file_no}`

use axum::Json;
use axum::extract::{Path, State};
use partway_api::{ErrorBody, FileResponse};

use super::response;
use crate::app::App;
use crate::error::ApiError;
use crate::middleware::PrivateCaller;

/// Look at a file
#[utoipa::path(
    get,
    path = "/api/v1/files/{file_no}",
    operation_id = "get_file",
    tag = "files",
    params(("file_no" = String, Path, description = "Number of the file")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The file", body = FileResponse),
        (status = "4XX", description = "The file is unknown, or the key is not good", body = ErrorBody),
    )
)]
pub async fn get_file(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    Path(file_no): Path<String>,
) -> Result<Json<FileResponse>, ApiError> {
    let file = app.files.find(&identity, file_no).await?;
    Ok(response(&app, &identity, file))
}
