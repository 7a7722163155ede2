//! Bodies of the multipart upload: start and complete.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Body of `POST /api/v1/multipart/start`, as a client writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartRequest {
    /// Name of the file: 1 to 255 bytes of UTF-8 after NFC, no `/`, `\` or control character, not `.` or `..`.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, example = "big-video.mp4"))]
    pub file_name: String,
    /// Size of the file in bytes, from 1 on.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, example = 73400320))]
    pub size: u64,
    /// MIME type, or a known file extension without the dot.
    #[cfg_attr(feature = "openapi", schema(example = "video/mp4"))]
    pub format: String,
    /// Folder in the workspace; folders on the path are created when the upload completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "uploads/videos"))]
    pub folder: Option<String>,
    /// At most 50 tags of at most 128 characters; one comma-separated string is taken as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Any JSON object of at most 16 KiB, given back with the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id of the file: at most 255 characters, not unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// Store as `<8 random characters>-<file_name>`.
    #[serde(default)]
    pub random_prefix: bool,
    /// Life of the session and its URLs in seconds: 1 to 604800, by default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 604800))]
    pub ttl_seconds: Option<u64>,
}

/// Answer to `POST /api/v1/multipart/start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartResponse {
    /// Id of the upload session.
    pub session_id: String,
    /// Size in bytes of every part but the last.
    pub part_size: u64,
    /// One presigned URL per part: part i is PUT to `parts[i]`.
    pub parts: Vec<String>,
    /// Id of the file to be.
    pub uuid: String,
    /// Smallest part size in bytes that this API ever dictates.
    pub min_part_size: u64,
    /// When the session and its URLs expire, in Unix seconds.
    pub expire_at: i64,
    /// A public key of the workspace, or an empty string when it has none.
    pub public_key: String,
    /// Id of the workspace.
    pub workspace_id: String,
    /// What was asked for, as the server understood it.
    pub policy: Policy,
}

/// What a session was started for, as the server understood it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Policy {
    /// Folder, without leading, trailing and doubled slashes; empty for the workspace's root.
    pub folder: String,
    /// Tags, trimmed and without repetitions.
    pub tags: Vec<String>,
    /// Size of the file in bytes.
    pub size: u64,
    /// MIME type.
    pub format: String,
}

/// Body of `POST /api/v1/multipart/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompleteRequest {
    /// Id of the upload session.
    pub session_id: String,
    /// When given, must be the `uuid` that start answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}
