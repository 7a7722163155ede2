//! Files of a workspace: listing, changing, renaming, deleting.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::page::PageMeta;

/// A file of a workspace, in lists and single look-ups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileRow {
    /// Id of the file.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub id: String,
    /// Number of the file: 10 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub file_no: String,
    /// Name of the file, without its folder.
    pub name: String,
    /// Folder and name.
    pub path: String,
    /// URL of the file.
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub url: String,
    /// The same with a query that names this version. Once the file is replaced, it answers 412 and nothing of another version, so that
    /// a download in several requests never mixes two. Caches may keep its answers for a year.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub version_url: String,
    /// Always empty: Partway makes no thumbnails.
    pub thumbnail: String,
    /// The same, as the SDKs of that API spell it.
    #[serde(default)]
    pub thumbanil: String,
    /// Width in pixels, as shown.
    pub width: Option<u32>,
    /// Height in pixels, as shown.
    pub height: Option<u32>,
    /// Size in bytes.
    pub size: u64,
    /// Size in bytes, again.
    pub file_size: u64,
    /// File extension that goes with the MIME type.
    pub format: String,
    /// MIME type in its canonical spelling.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    #[serde(default)]
    pub declared_type: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// The client's own object.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id of the file.
    pub custom_id: Option<String>,
    /// Number of the folder, or null for the workspace's root.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::PublicNumber>))]
    pub folder_no: Option<String>,
    /// Name of the folder, or null for the workspace's root.
    pub folder_name: Option<String>,
    /// Number of the workspace.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub workspace_no: String,
    /// Origin of the file: `api` or `remote`.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::UploadSource))]
    pub source: String,
    /// Category: image, video, audio, document or other.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::Category))]
    pub extension: String,
    /// `blake3:` and the hash of the whole file in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(pattern = "^(blake3:[0-9a-f]{64})$"))]
    pub hash: Option<String>,
    /// When the file became visible, ISO 8601 with milliseconds.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub created_at: String,
    /// When its record was last changed.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub updated_at: String,
}

/// Answer of `GET /api/v1/files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileList {
    /// The files of this page.
    pub files: Vec<FileRow>,
    /// Position of the page in the list.
    pub meta: PageMeta,
}

/// One file, as `GET` and `PATCH /api/v1/files/{file_no}` and renaming answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileResponse {
    /// Always true.
    pub success: bool,
    /// The file.
    pub data: FileRow,
}

/// Body of `PATCH /api/v1/files/{file_no}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateFileRequest {
    /// Tags to add; a file has at most 50. A list, or one comma-separated string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::Tags>))]
    pub add_tags: Option<Vec<String>>,
    /// Tags to remove. A list, or one comma-separated string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::Tags>))]
    pub remove_tags: Option<Vec<String>>,
    /// Members to set; null removes one. Other members stay. The result has at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub metadata: Option<Map<String, Value>>,
}

/// Body of `PATCH /api/v1/files/{file_no}/rename`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenameFileRequest {
    /// The new name, without separators. The file's extension is kept, and added where the name does not end with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FileName>))]
    pub name: Option<String>,
    /// The folder to move the file to; it is created if it is missing. Empty: the workspace's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FolderPath>))]
    pub folder: Option<String>,
}

/// Answer of `DELETE /api/v1/files/{file_no}?dry_run=true`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeleteFilePreview {
    /// Always true: nothing was deleted.
    pub dry_run: bool,
    /// The file that would be deleted.
    pub would_delete: FileRow,
}

/// Body of `POST /api/v1/uploads/remote`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemoteUploadRequest {
    /// URL of the file: an http or https URL of a globally reachable host, without user and password.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::HttpUrl))]
    pub remote_url: String,
    /// Name of the file. By default the one that the remote server names, or the last segment of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FileName>))]
    pub file_name: Option<String>,
    /// Folder in the workspace; it is created if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FolderPath>))]
    pub folder: Option<String>,
    /// At most 50 tags of at most 128 characters; one comma-separated string is accepted as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::Tags>))]
    pub tags: Vec<String>,
    /// A JSON object of at most 16 KiB, or its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::MetadataOrText>))]
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::CustomId>))]
    pub custom_id: Option<String>,
    /// Store as `<8 random characters>-<file_name>`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::Flag>))]
    pub random_prefix: bool,
    /// URL of a webhook that is notified when the file is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::HttpUrl>))]
    pub webhook_url: Option<String>,
    /// `blake3:` and the hash that the file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FileHash>))]
    pub hash: Option<String>,
}
