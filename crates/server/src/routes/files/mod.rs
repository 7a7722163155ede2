//! `/api/v1/files/…`

pub mod delete;
pub mod get;
pub mod list;
pub mod rename;
pub mod update;

use partway_api::FileResponse;

use crate::app::App;
use crate::service::file::File;
use crate::service::file_dto::file_row;
use crate::service::key::Identity;

/// The answer of these routes with one file.
fn response(app: &App, identity: &Identity, file: File) -> axum::Json<FileResponse> {
    axum::Json(FileResponse { success: true, data: file_row(file, &identity.workspace_no, &app.urls) })
}
