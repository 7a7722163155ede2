//! `/api/v1/files/…`

pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod rename;
pub(crate) mod update;

use partway_api::FileResponse;

use crate::app::App;
use crate::service::file::File;
use crate::service::file_dto::file_row;
use crate::service::key::Identity;

/// The answer of these routes with one file.
fn response(app: &App, identity: &Identity, file: File) -> axum::Json<FileResponse> {
    axum::Json(FileResponse { success: true, data: file_row(file, &identity.workspace_no, &app.urls) })
}
