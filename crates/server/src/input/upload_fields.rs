//! The fields of direct and remote uploads, validated.

use partway_api::ErrorCode;
use serde_json::Value;

use super::{
    CustomId, FileHash, FileName, FolderPath, HashKind, InvalidInput, JsonBody, Metadata, Tags, WebhookUrl,
    quote_for_message,
};

/// The fields of a file that is sent whole or fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadFields {
    /// Name, without the random prefix.
    pub file_name: Option<FileName>,
    /// Whether the name gets a random prefix.
    pub random_prefix: bool,
    /// Folder.
    pub folder: FolderPath,
    /// Tags.
    pub tags: Tags,
    /// The client's own object.
    pub metadata: Option<Metadata>,
    /// The client's own id.
    pub custom_id: Option<CustomId>,
    /// URL that is notified when the file is complete.
    pub webhook_url: Option<WebhookUrl>,
    /// Hash of the whole file, as the client knows it.
    pub hash: Option<FileHash>,
}

impl UploadFields {
    /// The names of all members.
    pub const NAMES: [&str; 9] =
        ["transform", "file_name", "random_prefix", "folder", "tags", "metadata", "custom_id", "webhook_url", "hash"];

    /// Reads the members in the order of the contract. The first error is reported.
    ///
    /// # Errors
    /// The code of the field.
    pub fn read(body: &JsonBody) -> Result<Self, InvalidInput> {
        body.refuse_transform()?;
        Ok(Self {
            file_name: body.text("file_name", ErrorCode::InvalidFileName)?.map(FileName::parse).transpose()?,
            random_prefix: body.boolean("random_prefix")? == Some(true),
            folder: body
                .text("folder", ErrorCode::InvalidFolder)?
                .map(FolderPath::parse)
                .transpose()?
                .unwrap_or_default(),
            tags: body.get("tags").map(Tags::parse).transpose()?.unwrap_or_default(),
            metadata: body.get("metadata").map(metadata).transpose()?,
            custom_id: body.text("custom_id", ErrorCode::InvalidCustomId)?.map(CustomId::parse).transpose()?,
            webhook_url: body.optional_text("webhook_url")?.map(WebhookUrl::parse).transpose()?,
            hash: body.optional_text("hash")?.map(FileHash::parse).transpose()?,
        })
    }

    /// Adds the random prefix even if it was not requested, for `always`.
    #[must_use]
    pub fn with_prefix(mut self, always: bool) -> Self {
        self.random_prefix |= always;
        self
    }

    /// Checks hash and name before the bytes arrive.
    ///
    /// # Errors
    /// INVALID_PARAMETER for a hash that the storage cannot compare, INVALID_FILE_NAME for a name that the prefix makes too long.
    pub fn check_before_bytes(&self) -> Result<(), InvalidInput> {
        if let Some(hash) = self.hash.as_ref().filter(|hash| hash.kind() != HashKind::Blake3) {
            let allowed = format!("{}… and hexadecimal digits", HashKind::Blake3.prefix());
            return Err(InvalidInput::new(
                ErrorCode::InvalidParameter,
                "hash",
                quote_for_message(hash.as_str()),
                allowed,
            ));
        }
        if let (Some(name), true) = (&self.file_name, self.random_prefix) {
            name.with_random_prefix()?;
        }
        Ok(())
    }

    /// The name of the file: the given one, or `otherwise`.
    ///
    /// # Errors
    /// FILE_NAME_REQUIRED when there is no name, INVALID_FILE_NAME when the prefix makes it too long.
    pub fn stored_name(&self, otherwise: Option<FileName>) -> Result<FileName, InvalidInput> {
        let name = self.file_name.clone().or(otherwise).ok_or_else(|| {
            InvalidInput::new(ErrorCode::FileNameRequired, "file_name", "missing", "the name of the file")
        })?;
        if self.random_prefix { name.with_random_prefix() } else { Ok(name) }
    }
}

/// An object, or its text.
fn metadata(value: &Value) -> Result<Metadata, InvalidInput> {
    match value {
        Value::String(text) => Metadata::parse_text(text),
        other => Metadata::parse(other),
    }
}
