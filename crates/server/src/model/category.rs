//! The category of a file: the wire's `extension`.

use super::known_types::essence;

/// Types of video and audio that are not named so.
const VIDEO: [&str; 3] = ["application/mxf", "application/vnd.rn-realmedia", "application/mp4"];
/// Types of documents, in addition to `text/…`, `application/…+json` and `application/…+xml`.
const DOCUMENTS: [&str; 22] = [
    "application/pdf",
    "application/postscript",
    "application/msword",
    "application/rtf",
    "application/epub+zip",
    "application/x-mobipocket-ebook",
    "application/vnd.amazon.ebook",
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/toml",
    "application/x-subrip",
    "application/x-sh",
    "application/x-tex",
    "application/vnd.visio",
    "application/vnd.apple.pages",
    "application/vnd.apple.numbers",
    "application/vnd.apple.keynote",
    "application/oxps",
    "message/rfc822",
    "multipart/related",
];
/// Prefixes of the types of office programs. Not `application/vnd.ms-` alone, which fonts, archives and stylesheets have too.
const OFFICE: [&str; 10] = [
    "application/vnd.openxmlformats-officedocument",
    "application/vnd.oasis.opendocument",
    "application/vnd.ms-word",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.ms-outlook",
    "application/vnd.ms-project",
    "application/vnd.ms-publisher",
    "application/vnd.ms-works",
    "application/vnd.ms-xpsdocument",
];

/// The category of a MIME type.
pub fn category(mime_type: &str) -> &'static str {
    let essence = essence(mime_type);
    match essence.split('/').next().unwrap_or_default() {
        "image" => "image",
        "video" => "video",
        "audio" => "audio",
        "text" => "document",
        _ if VIDEO.contains(&essence) => "video",
        _ if DOCUMENTS.contains(&essence) || OFFICE.iter().any(|prefix| essence.starts_with(prefix)) => "document",
        "application" if essence.ends_with("+json") || essence.ends_with("+xml") => "document",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_category() {
        for (mime, expected) in [
            ("image/png", "image"),
            ("video/webm", "video"),
            ("application/mxf", "video"),
            ("audio/mpeg", "audio"),
            ("application/pdf", "document"),
            ("text/csv; charset=utf-8", "document"),
            ("application/vnd.oasis.opendocument.text", "document"),
            ("application/vnd.ms-excel.sheet.macroEnabled.12", "document"),
            ("application/geo+json", "document"),
            ("application/rss+xml", "document"),
            ("model/gltf+json", "other"),
            ("application/vnd.ms-fontobject", "other"),
            ("application/zip", "other"),
        ] {
            assert_eq!(category(mime), expected, "{mime}");
        }
    }
}
