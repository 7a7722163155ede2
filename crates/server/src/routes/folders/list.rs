//! `GET /api/v1/folders`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, FolderList};

use crate::app::App;
use crate::db::folders::FolderOrder;
use crate::error::ApiError;
use crate::input::{InvalidInput, shown};
use crate::middleware::{Parameters, PrivateCaller};
use crate::openapi::error_responses;
use crate::service::folder::FolderFilter;
use crate::service::record;

error_responses!(ListErrors: ANY, PRIVATE_KEY, [InvalidParameter, FolderNotFound]);

/// List folders
///
/// Those directly in one folder, or at the workspace's root; with `search` alone, those of the whole workspace.
#[utoipa::path(
    get,
    path = "/api/v1/folders",
    operation_id = "list_folders",
    tag = "folders",
    params(
        ("parent_folder_no" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "Those directly in this folder"),
        ("search" = Option<String>, Query, nullable = false, max_length = 255, pattern = r"^[^\x00]*$", description = "Those whose name has this in it, without regard to case"),
        ("sort" = Option<String>, Query, nullable = false, pattern = "^((name|created_at)_(asc|desc))?$", description = "`name_asc` (the default), `name_desc`, `created_at_asc` or `created_at_desc`"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The folders", body = FolderList),
        ListErrors,
    )
)]
pub async fn list_folders(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    parameters: Parameters,
) -> Result<Json<FolderList>, ApiError> {
    let (by_creation, descending) = match parameters.get("sort").unwrap_or("name_asc") {
        "name_asc" => (false, false),
        "name_desc" => (false, true),
        "created_at_asc" => (true, false),
        "created_at_desc" => (true, true),
        other => {
            let allowed = "name_asc, name_desc, created_at_asc, created_at_desc";
            return Err(InvalidInput::new(ErrorCode::InvalidParameter, "sort", shown(other), allowed).into());
        }
    };
    let filter =
        FolderFilter { parent_folder_no: parameters.text("parent_folder_no")?, search: parameters.search("search")? };
    let listed = app.folders.list(&identity, filter, FolderOrder { by_creation, descending }).await?;
    Ok(Json(FolderList { folders: listed.into_iter().map(record::folder).collect() }))
}
