//! Bodies of the multipart upload: start and complete.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::page::PageMeta;
use crate::record::FileRecord;

/// Body of `POST /api/v1/multipart/start`, as a client writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartRequest {
    /// Name of the file: 1 to 255 bytes of UTF-8 after NFC, no `/`, `\` or control character, not `.` or `..`.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::FileName))]
    pub file_name: String,
    /// Size of the file in bytes, from 1 on.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 9007199254740991_i64, example = 73400320))]
    pub size: u64,
    /// MIME type, or a known file extension without the dot. `application/octet-stream` means that it is not known.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::Format))]
    pub format: String,
    /// Folder in the workspace; folders on the path are created when the upload completes. If the folder is renamed while the upload
    /// is open, the file goes to its new path; if it is deleted, complete creates it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FolderPath>))]
    pub folder: Option<String>,
    /// At most 50 tags of at most 128 characters; one comma-separated string is accepted as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::Tags>))]
    pub tags: Vec<String>,
    /// Any JSON object of at most 16 KiB, returned with the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id of the file: at most 255 characters, not unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::CustomId>))]
    pub custom_id: Option<String>,
    /// Store as `<8 random characters>-<file_name>`. Some public keys always do.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::Flag>))]
    pub random_prefix: bool,
    /// Size of every part but the last in bytes, for proxies that limit the size or the time of a request: within `limits` of the
    /// answer, taken down to whole MiB. Without it the server chooses the size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1048576))]
    pub part_size: Option<u64>,
    /// Lifetime of the session and its URLs in seconds: 1 to 604800, by default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 604800))]
    pub ttl_seconds: Option<u64>,
    /// URL of a webhook that is notified of the outcome: `file.created`, `file.replaced` or `upload.expired`. A public key needs
    /// the permission to name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::HttpUrl>))]
    pub webhook_url: Option<String>,
    /// The hash of the whole file, if the client knows it: complete refuses another one. `blake3:` and hexadecimal digits;
    /// where the parts go to an S3 store, `crc64nvme:` and base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FileHash>))]
    pub hash: Option<String>,
}

/// Answer to `POST /api/v1/multipart/start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartResponse {
    /// Id of the upload session.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub session_id: String,
    /// Size in bytes of every part but the last.
    #[cfg_attr(feature = "openapi", schema(minimum = 1048576, multiple_of = 1048576))]
    pub part_size: u64,
    /// One presigned URL per part: part i is PUT to `parts[i]`.
    pub parts: Vec<String>,
    /// Id of the future file.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub uuid: String,
    /// Smallest part size in bytes that this API answers unless a client asks for less with `part_size`.
    pub min_part_size: u64,
    /// When the session and its URLs expire, in Unix seconds.
    pub expire_at: i64,
    /// A public key of the workspace, or an empty string when it has none.
    #[cfg_attr(feature = "openapi", schema(pattern = "^(pk_[0-9a-f]{40})?$"))]
    pub public_key: String,
    /// Id of the workspace.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub workspace_id: String,
    /// The request, normalized.
    pub policy: Policy,
    /// The kind of `hash` that the server can compare with the whole file: `blake3`; where the parts go to an S3 store,
    /// `crc64nvme` if the store keeps that of whole objects, otherwise `none`. Another one is refused.
    #[serde(default = "blake3")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::HashAlgorithm))]
    pub hash_algorithm: String,
    /// The values of `part_size` that this file may be started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = PartLimits, required = true))]
    pub limits: Option<PartLimits>,
}

/// Bounds of `part_size` when a file of this size is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartLimits {
    /// Smallest, in bytes: 1 MiB, where the parts go to an S3 store 5 MiB; more only where the file would need over 10,000 parts.
    pub min_part_bytes: u64,
    /// Largest, in bytes: the size that the server chooses by itself.
    pub max_part_bytes: u64,
}

fn blake3() -> String {
    "blake3".to_owned()
}

/// The request of a start, normalized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Policy {
    /// Folder, without leading, trailing and repeated slashes; empty for the workspace's root.
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
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub session_id: String,
    /// When given, must be the `uuid` that start answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub uuid: Option<String>,
    /// The hash of the whole file, for clients that know it only now: another one is refused. `blake3:` and hexadecimal
    /// digits; where the parts go to an S3 store, `crc64nvme:` and base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schema::FileHash>))]
    pub hash: Option<String>,
    /// Where the parts go to an S3 store: the SHA-256, in hexadecimal digits, of the ETags that the PUTs of all parts
    /// answered, in order, each without quotes and followed by a line feed. A file of other parts is refused:
    /// CHECKSUM_MISMATCH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9A-Fa-f]{64}$"))]
    pub etags_sha256: Option<String>,
}

/// The state of an upload session: answer to `GET /api/v1/multipart/{session_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionResponse {
    /// Id of the session.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub session_id: String,
    /// Id of the future file.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub uuid: String,
    /// `uploading`, `completed`, `aborted` or `expired`.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::SessionStatus))]
    pub status: String,
    /// Name of the file, with its random prefix if it has one.
    pub file_name: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Size in bytes of every part but the last.
    #[cfg_attr(feature = "openapi", schema(minimum = 1048576, multiple_of = 1048576))]
    pub part_size: u64,
    /// Number of parts.
    pub parts_total: u32,
    /// Indices (from 0) of the parts that have arrived, ascending.
    pub uploaded_parts: Vec<u32>,
    /// Indices of the missing parts, ascending.
    pub missing_parts: Vec<u32>,
    /// Where the parts go to an S3 store and the session is uploading: the ETag of each of `uploaded_parts`, in their
    /// order and without quotes, which is the one that its PUT answered unless another client has sent the part since. Empty
    /// when the store has already assembled the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_etags: Option<Vec<String>>,
    /// Bytes of the parts that have arrived.
    pub bytes_uploaded: u64,
    /// When the session was started.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub created_at: String,
    /// When it expires, in Unix seconds.
    pub expire_at: i64,
    /// The kind of `hash` that the server can compare with the whole file: `blake3`, `crc64nvme` or `none`.
    #[serde(default = "blake3")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::HashAlgorithm))]
    pub hash_algorithm: String,
    /// The file, once the session is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRecord>,
}

/// Body of `POST /api/v1/multipart/{session_id}/parts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResignRequest {
    /// Indices (from 0) of the parts that get URLs; by default all missing parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 10000))]
    pub parts: Option<Vec<u32>>,
    /// Lifetime of the URLs in seconds: 1 to 604800, by default 3600. The session lives at least as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 604800))]
    pub ttl_seconds: Option<u64>,
}

/// Answer to `POST /api/v1/multipart/{session_id}/parts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResignResponse {
    /// Size in bytes of every part but the last.
    #[cfg_attr(feature = "openapi", schema(minimum = 1048576, multiple_of = 1048576))]
    pub part_size: u64,
    /// The parts, ascending.
    pub parts: Vec<PartUrl>,
    /// When the URLs expire, in Unix seconds.
    pub expire_at: i64,
}

/// A part and its URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartUrl {
    /// The part, from 0.
    pub index: u32,
    /// Its presigned URL.
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub url: String,
}

/// Answer to `GET /api/v1/multipart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// The sessions of this page, newest first.
    pub sessions: Vec<SessionSummary>,
    /// Position of the page in the list.
    pub meta: PageMeta,
}

/// A session in a list: numbers of parts instead of their indices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionSummary {
    /// Id of the session.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub session_id: String,
    /// Id of the future file.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub uuid: String,
    /// `uploading`, `completed`, `aborted` or `expired`.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::SessionStatus))]
    pub status: String,
    /// Name of the file.
    pub file_name: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Size in bytes of every part but the last.
    #[cfg_attr(feature = "openapi", schema(minimum = 1048576, multiple_of = 1048576))]
    pub part_size: u64,
    /// Number of parts.
    pub parts_total: u32,
    /// Number of parts that have arrived; null where they go to an S3 store, which alone knows it.
    pub parts_uploaded: Option<u32>,
    /// Their bytes.
    pub bytes_uploaded: Option<u64>,
    /// Whether the recorded parts still have to be verified, after an unclean stop of the machine.
    pub verifying: bool,
    /// When the session was started.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub created_at: String,
    /// When it expires, in Unix seconds.
    pub expire_at: i64,
}
