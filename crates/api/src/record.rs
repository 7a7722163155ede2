//! The file record: what every way of uploading answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A file of a workspace. Satisfies both shapes in use: members at the top, and again, shorter, under `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileRecord {
    /// Id of the file.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub id: String,
    /// Number of the file: 10 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub file_no: String,
    /// Id of the workspace.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub workspace_id: String,
    /// Number of the workspace: 10 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub workspace_no: String,
    /// Name of the file, without its folder.
    pub name: String,
    /// Folder and name.
    pub path: String,
    /// Where the file is served.
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub url: String,
    /// The same with a query that names this version. Once the file is replaced, it answers 412 and nothing of another version, so that
    /// a download in several requests never mixes two. Caches may keep its answers for a year.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub version_url: String,
    /// Width in pixels of images and video as they are shown: turned, cropped and stretched as the file's header says. Null where
    /// it cannot be read.
    pub width: Option<u32>,
    /// Height in pixels, as the width.
    pub height: Option<u32>,
    /// Size in bytes.
    pub size: u64,
    /// File extension that goes with the MIME type.
    pub format: String,
    /// MIME type in its canonical spelling: the declared one unless the bytes contradict it, or else that of the name or the bytes.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    #[serde(default)]
    pub declared_type: Option<String>,
    /// `blake3:` and the hash of the whole file in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(pattern = "^(blake3:[0-9a-f]{64})$"))]
    pub hash: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Metadata as given at the start.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id of the file.
    pub custom_id: Option<String>,
    /// Number of the folder, or null for the workspace's root.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::PublicNumber>))]
    pub folder_no: Option<String>,
    /// Always false: every file is served at its URL.
    pub is_private: bool,
    /// Whether the workspace already held a file of the same hash.
    pub is_duplicate: bool,
    /// When the file became visible, ISO 8601 with milliseconds.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub created_at: String,
    /// How the file came in: `api`, `remote`.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::UploadSource))]
    pub upload_source: String,
    /// Always empty: Partway makes no thumbnails.
    pub thumbnail: String,
    /// Category: image, video, audio, document or other.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::Category))]
    pub extension: String,
    /// Always true.
    pub success: bool,
    /// The same file in the shape of the published API documentation.
    pub data: FileSummary,
}

/// The shorter shape of a file under `data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileSummary {
    /// Id of the file.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub id: String,
    /// Number of the file.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub file_no: String,
    /// Name of the file.
    pub name: String,
    /// Where the file is served.
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub url: String,
    /// Where this version of it is served.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub version_url: String,
    /// Folder alone, empty for the workspace's root.
    pub path: String,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// File extension that goes with the MIME type.
    pub format: String,
    /// Size in bytes.
    pub file_size: u64,
    /// Number of the workspace.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::PublicNumber))]
    pub workspace_no: String,
}
