//! Schemas of the OpenAPI document for members that have a rule or several forms. No values of these types exist: the server reads members
//! one by one, so that each mistake is named.

use utoipa::ToSchema;

/// Name of a file: at most 255 bytes of UTF-8 after NFC, without `/`, `\` and control characters, not `.` or `..`.
#[derive(Debug, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 255,
    pattern = r"^([^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.\.[^/\\\x00-\x1f\x7f-\x9f]+)$",
    example = "big-video.mp4"
)]
pub struct FileName(#[expect(dead_code, reason = "for the document")] String);

/// Folder in the workspace: at most 32 segments, each as a file's name, with slashes between them, and 1,024 bytes of UTF-8.
/// Leading, trailing and doubled slashes are dropped; empty is the workspace's root.
#[derive(Debug, ToSchema)]
#[schema(
    pattern = r"^/*(([^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.\.[^/\\\x00-\x1f\x7f-\x9f]+)(/+([^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.\.[^/\\\x00-\x1f\x7f-\x9f]+)){0,31}/*)?$",
    example = "uploads/videos"
)]
pub struct FolderPath(#[expect(dead_code, reason = "for the document")] String);

/// Name of a folder: as a file's, and at most 100 characters.
#[derive(Debug, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 100,
    pattern = r"^([^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*|\.\.[^/\\\x00-\x1f\x7f-\x9f]+)$",
    example = "videos"
)]
pub struct FolderName(#[expect(dead_code, reason = "for the document")] String);

/// A MIME type, or a known file extension. Parameters are those of browsers: `codecs=vp8,opus` needs no quotes.
#[derive(Debug, ToSchema)]
#[schema(
    max_length = 255,
    pattern = r#"^(\.?[0-9A-Za-z][0-9A-Za-z_+-]*|[0-9A-Za-z!#$&^_.+-]+/[0-9A-Za-z!#$&^_.+-]+(; *[0-9A-Za-z!#$&^_.+-]+=([!#-:<-~]+|"[ !#-\[\]-~]+"))*)$"#,
    examples("video/mp4", "mp4", "video/webm;codecs=vp8,opus")
)]
pub struct Format(#[expect(dead_code, reason = "for the document")] String);

/// At most 50 tags: a list, or one comma-separated string. They are trimmed; empty and repeated ones are dropped.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Tags {
    /// A list.
    List(Vec<Tag>),
    /// Separated by commas.
    Text(TagList),
}

/// A tag.
#[derive(Debug, ToSchema)]
#[schema(max_length = 128, pattern = r"^[^\x00]*$", example = "campaign")]
pub struct Tag(#[expect(dead_code, reason = "for the document")] String);

/// Tags, separated by commas.
#[derive(Debug, ToSchema)]
#[schema(pattern = r"^[^,\x00]{0,128}(,[^,\x00]{0,128}){0,49}$", example = "campaign,raw")]
pub struct TagList(#[expect(dead_code, reason = "for the document")] String);

/// A JSON object of at most 16 KiB, or its text.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum MetadataOrText {
    /// The object.
    Object(MetadataObject),
    /// Its text.
    Text(MetadataText),
}

/// The client's own members.
#[derive(Debug, ToSchema)]
#[schema(value_type = Object)]
pub struct MetadataObject(#[expect(dead_code, reason = "for the document")] serde_json::Map<String, serde_json::Value>);

/// The text of a JSON object of at most 16 KiB.
#[derive(Debug, ToSchema)]
#[schema(
    content_media_type = "application/json",
    pattern = r"^[ \t\r\n]*\{[^\x00]*\}[ \t\r\n]*$",
    example = r#"{"campaign": 7}"#
)]
pub struct MetadataText(#[expect(dead_code, reason = "for the document")] String);

/// True or false, also as text.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Flag {
    /// As in JSON.
    Boolean(bool),
    /// As in a form.
    Text(FlagText),
}

/// True or false as text.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlagText {
    /// Yes.
    True,
    /// No.
    False,
}

/// The client's own id of a file; not unique.
#[derive(Debug, ToSchema)]
#[schema(max_length = 255, pattern = r"^[^\x00]*$")]
pub struct CustomId(#[expect(dead_code, reason = "for the document")] String);

/// `blake3:` and the 64 hexadecimal digits that b3sum prints; where the parts go to an S3 store, `crc64nvme:` and base64 of
/// 8 bytes.
#[derive(Debug, ToSchema)]
#[schema(pattern = r"^(blake3:[0-9A-Fa-f]{64}|crc64nvme:[0-9A-Za-z+/]{10}[AEIMQUYcgkosw048]=)$")]
pub struct FileHash(#[expect(dead_code, reason = "for the document")] String);

/// An http or https URL, without user and password.
#[derive(Debug, ToSchema)]
#[schema(
    format = "uri",
    max_length = 2048,
    pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20/?#@\\]+([/?#][^\x00-\x20]*)?$",
    example = "https://example.com/hook"
)]
pub struct HttpUrl(#[expect(dead_code, reason = "for the document")] String);

/// Bytes of a file, or of a part of one.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct FileBytes(#[expect(dead_code, reason = "for the document")] Vec<u8>);

/// Public number of a workspace, file or folder: digits and lower-case letters without i, l, o and u.
#[derive(Debug, ToSchema)]
#[schema(pattern = "^[0-9a-hj-km-np-tv-z]{10}$")]
pub struct PublicNumber(#[expect(dead_code, reason = "for the document")] String);

/// The number of the folder that contains another one; empty for the workspace's root.
#[derive(Debug, ToSchema)]
#[schema(pattern = r"^[^\x00]*$")]
pub struct ParentNumber(#[expect(dead_code, reason = "for the document")] String);

/// The state of a session.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// It accepts parts.
    Uploading,
    /// The file is stored.
    Completed,
    /// A client aborted it.
    Aborted,
    /// It expired before it was completed.
    Expired,
}

/// The hash of the whole file that the server can compare.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// BLAKE3.
    Blake3,
    /// CRC-64/NVME, where the parts go to an S3 store that keeps it.
    Crc64Nvme,
    /// None, where they go to one that keeps none.
    None,
}

/// The origin of a file.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadSource {
    /// Sent to the API.
    Api,
    /// Fetched from a URL.
    Remote,
}

/// The kind of a file.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Image.
    Image,
    /// Video.
    Video,
    /// Audio.
    Audio,
    /// Text, PDF, office.
    Document,
    /// Anything else.
    Other,
}
