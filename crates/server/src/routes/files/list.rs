//! `GET /api/v1/files`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, FileList, PageMeta};
use unicode_normalization::UnicodeNormalization;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Parameters, PrivateCaller};
use crate::input::{InvalidInput, Tags, quote_for_message};
use crate::openapi::error_responses;
use crate::service::file::{FileFilter, FileKey, FileOrder, ListFiles};
use crate::service::file_dto::file_row;

/// Values of `sort` and `sort_field`.
const SORT_KEYS: [(&str, FileKey); 5] = [
    ("created_at", FileKey::CreatedAt),
    ("updated_at", FileKey::UpdatedAt),
    ("name", FileKey::Name),
    ("size", FileKey::Size),
    // The name in the published documentation.
    ("file_size", FileKey::Size),
];

error_responses!(ListErrors: ANY, PRIVATE_KEY, [InvalidTags, InvalidParameter, FolderNotFound]);

/// List files
///
/// All files of the workspace that pass every given filter.
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/api/v1/files",
    operation_id = "list_files",
    tag = "files",
    params(
        ("page" = Option<u32>, Query, nullable = false, minimum = 1, maximum = 10_000_000, description = "The page, from 1"),
        ("limit" = Option<u32>, Query, nullable = false, minimum = 1, maximum = 100, description = "Rows on a page: 1 to 100, by default 20"),
        ("sort" = Option<String>, Query, nullable = false, pattern = "^((created_at|updated_at|name|size|file_size)(_asc|_desc)?)?$", description = "`created_at`, `updated_at`, `name` or `size` with `_asc` or `_desc`; by default `created_at_desc`"),
        ("sort_field" = Option<String>, Query, nullable = false, pattern = "^(created_at|updated_at|name|size|file_size)?$", description = "`sort` in two parameters: the key"),
        ("sort_order" = Option<String>, Query, nullable = false, pattern = "^([Aa][Ss][Cc]|[Dd][Ee][Ss][Cc])?$", description = "`asc` or `desc`"),
        ("folder_no" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "Files directly in this folder; `root`: files in no folder"),
        ("search" = Option<String>, Query, nullable = false, max_length = 255, pattern = r"^[^\x00]*$", description = "Only names that contain this, ignoring case"),
        ("name" = Option<String>, Query, nullable = false, max_length = 255, pattern = r"^[^\x00]*$", description = "The same as `search`"),
        ("path" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "Files whose folder and name begin with this"),
        ("file_path" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "The one file with this folder and name, or none"),
        ("tags" = Option<String>, Query, nullable = false, pattern = r"^[^,\x00]{0,128}(,[^,\x00]{0,128}){0,49}$", description = "Comma-separated: files with all of these tags"),
        ("custom_id" = Option<String>, Query, nullable = false, pattern = r"^[^\x00]*$", description = "Files with this `custom_id`"),
    ),
    responses(
        (status = 200, description = "A page of files", body = FileList),
        ListErrors,
    )
))]
pub(crate) async fn list_files(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    parameters: Parameters,
) -> Result<Json<FileList>, ApiError> {
    let (page, limit) = parameters.page()?;
    let order = order(&parameters)?;
    let filter = FileFilter {
        folder_id: None,
        // In the form in which names are stored; an empty prefix filters nothing.
        path_prefix: parameters
            .text("path")?
            .map(|path| path.trim_start_matches('/').nfc().collect::<String>())
            .filter(|path| !path.is_empty()),
        path: parameters.text("file_path")?.map(|path| path.trim_start_matches('/').nfc().collect()),
        // Both are validated, although one of them wins.
        search: {
            let name = parameters.search("name")?;
            parameters.search("search")?.or(name)
        },
        tags: match parameters.get("tags") {
            Some(tags) => Tags::of(tags.split(','), "tags")?.into_inner(),
            None => Vec::new(),
        },
        custom_id: parameters.text("custom_id")?,
    };
    let wanted = ListFiles { folder_no: parameters.text("folder_no")?, filter };
    let listed = app.files.list(&identity, wanted, order, page, limit).await?;
    let files = listed.files.into_iter().map(|file| file_row(file, &identity.workspace_no, &app.urls)).collect();
    Ok(Json(FileList { files, meta: PageMeta::new(page, limit, listed.total) }))
}

fn order(parameters: &Parameters) -> Result<FileOrder, InvalidInput> {
    let key = |name: &str| SORT_KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
    let field = parameters.get("sort_field").map(|name| {
        let allowed = "created_at, updated_at, name, size";
        key(name).ok_or_else(|| {
            InvalidInput::new(ErrorCode::InvalidParameter, "sort_field", quote_for_message(name), allowed)
        })
    });
    let field = field.transpose()?;
    let descending = match parameters.get("sort_order").map(str::to_ascii_lowercase).as_deref() {
        // The default is the newest first.
        None => field.is_none(),
        Some("asc") => false,
        Some("desc") => true,
        Some(other) => {
            return Err(InvalidInput::new(
                ErrorCode::InvalidParameter,
                "sort_order",
                quote_for_message(other),
                "asc, desc",
            ));
        }
    };
    // It wins over the other two, which are validated nevertheless.
    let Some(sort) = parameters.get("sort") else {
        return Ok(FileOrder { key: field.unwrap_or(FileKey::CreatedAt), descending });
    };
    let (name, descending) = match (sort.strip_suffix("_asc"), sort.strip_suffix("_desc")) {
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name, true),
        (None, None) => (sort, false),
    };
    key(name).map(|key| FileOrder { key, descending }).ok_or_else(|| {
        let allowed = "created_at, updated_at, name or size, with _asc or _desc";
        InvalidInput::new(ErrorCode::InvalidParameter, "sort", quote_for_message(sort), allowed)
    })
}
