//! Outside input as validated types. Text from a client becomes one of these at the edge, and inner modules do not check it
//! again.

mod content_digest;
mod custom_id;
mod etags_hash;
mod exact_numbers;
mod file_hash;
mod file_name;
mod folder_path;
mod idempotency_key;
mod json;
mod media_type;
mod metadata;
mod resign_parts;
mod start_upload;
mod tags;
mod upload_fields;
mod wanted_version;
mod webhook_url;

use partway_api::ErrorCode;

pub use content_digest::content_digests;
pub use custom_id::CustomId;
pub use etags_hash::EtagsHash;
pub use file_hash::{FileHash, HashKind};
pub use file_name::FileName;
pub use folder_path::{FolderName, FolderPath};
pub use idempotency_key::IdempotencyKey;
pub use json::JsonBody;
pub use media_type::{MediaType, extension};
pub use metadata::Metadata;
pub use resign_parts::ResignParts;
pub use start_upload::{SizeLimit, StartRules, StartUpload, TtlLimit};
pub use tags::Tags;
pub use upload_fields::UploadFields;
pub use wanted_version::wanted_version;
pub use webhook_url::WebhookUrl;

/// Input that was refused: the code, and a message with the field, what it was and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidInput {
    /// The code that the contract has for this field.
    pub code: ErrorCode,
    /// For the developer of the client.
    pub message: String,
}

impl InvalidInput {
    /// Reports that `field` is `was`, and what is `allowed`.
    pub fn new(code: ErrorCode, field: &str, was: impl std::fmt::Display, allowed: impl std::fmt::Display) -> Self {
        Self { code, message: format!("`{field}` is {was}; allowed: {allowed}") }
    }
}

/// A value for a message: as JSON, and truncated if it is long.
pub(crate) fn quote_for_message(value: impl serde::Serialize) -> String {
    const MAX_CHARS: usize = 80;
    let json = serde_json::to_string(&value).unwrap_or_default();
    if json.chars().count() <= MAX_CHARS {
        return json;
    }
    let cut: String = json.chars().take(MAX_CHARS).collect();
    format!("{cut}… ({} bytes)", json.len())
}
