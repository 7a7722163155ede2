//! Folders of a workspace.

use serde::{Deserialize, Serialize};

use crate::page::PageMeta;

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Folder {
    /// Id of the folder.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub id: String,
    /// Number of the folder: 10 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub folder_no: String,
    /// Its name, the last segment of its path.
    pub name: String,
    /// Its path in the workspace.
    pub path: String,
    /// Number of the folder that contains it, or null at the workspace's root.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::PublicNumber>))]
    pub parent_folder_no: Option<String>,
    /// When it was created, ISO 8601 with milliseconds.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub created_at: String,
    /// When it was last renamed.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub updated_at: String,
    /// Number of files in it and in all folders below it.
    pub total_items: u64,
    /// Their bytes.
    pub total_size: u64,
}

/// Answer of `GET /api/v1/folders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FolderList {
    /// The folders of this page.
    pub folders: Vec<Folder>,
    /// Position of the page in the list.
    pub meta: PageMeta,
}

/// Body of `POST /api/v1/folders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateFolderRequest {
    /// 1 to 100 characters, no slash.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::FolderName))]
    pub name: String,
    /// Number of the folder to create it in; by default the workspace's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::ParentNumber>))]
    pub parent_folder_no: Option<String>,
}

/// Body of `POST /api/v1/folders/rename/{folder_no}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenameFolderRequest {
    /// 1 to 100 characters, no slash. The paths of everything below change with it.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::FolderName))]
    pub name: String,
}

/// Answer of `DELETE /api/v1/folders/{folder_no}?dry_run=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeleteFolderPreview {
    /// Always true: nothing was deleted.
    pub dry_run: bool,
    /// The folder and the counts that would be deleted.
    pub would_delete: DeletedFolder,
}

/// A folder with everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedFolder {
    /// The folder.
    pub folder: Folder,
    /// Number of folders below it.
    pub folders: u64,
    /// Number of files in it and below it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}
