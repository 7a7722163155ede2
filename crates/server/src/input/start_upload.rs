//! The body of `POST /api/v1/multipart/start`, validated.

use partway_api::limits::{DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS};
use partway_api::{ErrorCode, PartPlan};

use super::{
    CustomId, FileHash, FileName, FolderPath, InvalidInput, JsonBody, MediaType, Metadata, Tags, WebhookUrl,
    quote_for_message,
};

/// Permissions of the caller's key.
#[derive(Debug, Clone, Copy)]
pub struct StartRules {
    /// Largest file.
    pub max_file: SizeLimit,
    /// Longest lifetime of a session.
    pub ttl: TtlLimit,
    /// Whether every name gets a random prefix.
    pub random_prefix: bool,
    /// Smallest part that the storage takes, in bytes.
    pub min_part_bytes: u64,
}

/// Maximum bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    /// The number.
    pub bytes: u64,
    /// The scope of the limit, as the end of "at most … bytes …".
    pub whose: &'static str,
}

/// Longest lifetime of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlLimit {
    /// The number.
    pub seconds: u64,
    /// The scope of the limit, as the end of "… seconds"; empty for the contract's own limit.
    pub whose: &'static str,
}

/// An upload to start.
#[derive(Debug, Clone, PartialEq)]
pub struct StartUpload {
    /// Name, with its random prefix if one was requested.
    pub file_name: FileName,
    /// How its file is cut; its size is within the server's limit.
    pub plan: PartPlan,
    /// MIME type.
    pub media_type: MediaType,
    /// Folder.
    pub folder: FolderPath,
    /// Tags.
    pub tags: Tags,
    /// The client's own object.
    pub metadata: Option<Metadata>,
    /// The client's own id.
    pub custom_id: Option<CustomId>,
    /// Lifetime of the session in seconds.
    pub ttl_seconds: u64,
    /// Hash of the whole file, as the client knows it.
    pub hash: Option<FileHash>,
    /// URL that is notified of the outcome.
    pub webhook_url: Option<WebhookUrl>,
}

impl StartUpload {
    /// Reads the members in the order of the contract. The first error is reported.
    ///
    /// # Errors
    /// The code of the field.
    pub fn read(body: &JsonBody, rules: &StartRules) -> Result<Self, InvalidInput> {
        body.refuse_transform()?;
        let file_name = match body.text("file_name", ErrorCode::InvalidFileName)? {
            Some(name) => FileName::parse(name)?,
            None => {
                return Err(InvalidInput::new(
                    ErrorCode::FileNameRequired,
                    "file_name",
                    "missing",
                    "the name of the file",
                ));
            }
        };
        Ok(Self {
            file_name: if body.boolean("random_prefix")? == Some(true) || rules.random_prefix {
                file_name.with_random_prefix()?
            } else {
                file_name
            },
            plan: plan(body, rules)?,
            media_type: match body.text("format", ErrorCode::InvalidFormat)? {
                Some(format) => MediaType::parse(format)?,
                None => {
                    return Err(InvalidInput::new(
                        ErrorCode::InvalidFormat,
                        "format",
                        "missing",
                        "a MIME type such as video/mp4",
                    ));
                }
            },
            folder: body
                .text("folder", ErrorCode::InvalidFolder)?
                .map(FolderPath::parse)
                .transpose()?
                .unwrap_or_default(),
            tags: body.get("tags").map(Tags::parse).transpose()?.unwrap_or_default(),
            metadata: body.get("metadata").map(Metadata::parse).transpose()?,
            custom_id: body.text("custom_id", ErrorCode::InvalidCustomId)?.map(CustomId::parse).transpose()?,
            ttl_seconds: bounded_ttl_seconds(body, rules.ttl)?,
            hash: body.optional_text("hash")?.map(FileHash::parse).transpose()?,
            webhook_url: body.optional_text("webhook_url")?.map(WebhookUrl::parse).transpose()?,
        })
    }
}

/// The member `ttl_seconds`, or its default.
pub(super) fn ttl_seconds(body: &JsonBody) -> Result<u64, InvalidInput> {
    let given = body.whole_number("ttl_seconds", ErrorCode::InvalidTtl, "seconds", 1..=MAX_TTL_SECONDS)?;
    Ok(given.unwrap_or(DEFAULT_TTL_SECONDS))
}

/// The member `ttl_seconds` within `limit`, or its default.
fn bounded_ttl_seconds(body: &JsonBody, limit: TtlLimit) -> Result<u64, InvalidInput> {
    let given = body.whole_number("ttl_seconds", ErrorCode::InvalidTtl, "seconds", 1..=MAX_TTL_SECONDS)?;
    match given {
        Some(given) if given > limit.seconds => {
            let allowed = format!("a whole number of seconds from 1 to {}{}", limit.seconds, limit.whose);
            Err(InvalidInput::new(ErrorCode::InvalidTtl, "ttl_seconds", given, allowed))
        }
        given => Ok(given.unwrap_or(DEFAULT_TTL_SECONDS.min(limit.seconds))),
    }
}

/// The members `size` and `part_size`.
fn plan(body: &JsonBody, rules: &StartRules) -> Result<PartPlan, InvalidInput> {
    let size_bytes = size(body, rules.max_file)?;
    let sizes = PartPlan::sizes(size_bytes, rules.min_part_bytes);
    let part_size = body.whole_number("part_size", ErrorCode::InvalidParameter, "bytes", sizes)?;
    Ok(part_size.map_or_else(|| PartPlan::for_size(size_bytes), |bytes| PartPlan::in_parts_of(size_bytes, bytes)))
}

fn size(body: &JsonBody, max_file: SizeLimit) -> Result<u64, InvalidInput> {
    // Numbers beyond 2^53 - 1 are not exact in JSON. Sizes between the limit and that are valid, and too large.
    let size = body.whole_number("size", ErrorCode::InvalidSize, "bytes", 1..=9_007_199_254_740_991)?;
    let size = size
        .ok_or_else(|| InvalidInput::new(ErrorCode::InvalidSize, "size", "missing", "the size of the file in bytes"))?;
    if size > max_file.bytes {
        let allowed = format!("at most {} bytes {}", max_file.bytes, max_file.whose);
        return Err(InvalidInput::new(ErrorCode::FileTooLarge, "size", quote_for_message(size), allowed));
    }
    Ok(size)
}
