//! `GET /api/v1/folders`

use axum::Json;
use axum::extract::State;
use partway_api::limits::MAX_FOLDER_PAGE_ROWS;
use partway_api::{ErrorCode, FolderList, PageMeta};
use unicode_normalization::UnicodeNormalization;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Parameters, PrivateCaller};
use crate::input::{InvalidInput, quote_for_message};
use crate::openapi::error_responses;
use crate::service::file_dto;
use crate::service::folder::{FolderOrder, ListFolders};

error_responses!(ListErrors: ANY, PRIVATE_KEY, [InvalidParameter, FolderNotFound]);

/// List folders
///
/// Folders directly in one folder or at the workspace's root; with `search` or `path` alone, folders of the whole workspace.
/// Without `page` and `limit`, the page has up to 1,000 folders.
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/api/v1/folders",
    operation_id = "list_folders",
    tag = "folders",
    params(
        ("page" = Option<u32>, Query, nullable = false, minimum = 1, maximum = 10_000_000, description = "The page, from 1"),
        ("limit" = Option<u32>, Query, nullable = false, minimum = 1, maximum = 1000, description = "Rows on a page: 1 to 1,000. With `page` alone: 20; without both: 1,000"),
        ("parent_folder_no" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "Folders directly in this folder"),
        ("search" = Option<String>, Query, nullable = false, max_length = 255, pattern = r"^[^\x00]*$", description = "Only names that contain this, ignoring case"),
        ("path" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "The one folder at this path, or none"),
        ("sort" = Option<String>, Query, nullable = false, pattern = "^((name|created_at)_(asc|desc))?$", description = "`name_asc` (the default), `name_desc`, `created_at_asc` or `created_at_desc`"),
    ),
    responses(
        (status = 200, description = "A page of folders", body = FolderList),
        ListErrors,
    )
))]
pub(crate) async fn list_folders(
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
            return Err(
                InvalidInput::new(ErrorCode::InvalidParameter, "sort", quote_for_message(other), allowed).into()
            );
        }
    };
    let (page, limit) = match (parameters.get("page"), parameters.get("limit")) {
        // Published clients send neither, and must get all folders.
        (None, None) => (1, MAX_FOLDER_PAGE_ROWS),
        _ => parameters.page_of(MAX_FOLDER_PAGE_ROWS)?,
    };
    let wanted = ListFolders {
        parent_folder_no: parameters.text("parent_folder_no")?,
        search: parameters.search("search")?,
        path: parameters.text("path")?.map(|path| as_stored(&path)),
    };
    let listed = app.folders.list(&identity, wanted, FolderOrder { by_creation, descending }, page, limit).await?;
    let folders = listed.folders.into_iter().map(file_dto::folder).collect();
    Ok(Json(FolderList { folders, meta: PageMeta::new(page, limit, listed.total) }))
}

/// A path in the form in which it is stored: in NFC, without redundant slashes.
fn as_stored(path: &str) -> String {
    let path: String = path.nfc().collect();
    path.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/")
}
