//! The type of a file: detected from its bytes, and declared by its uploader.

use mime::Mime;

use crate::input::MediaType;

/// Bytes at the start of a file that are examined: enough for all signatures, including those at large offsets, such as of tar
/// archives (262) and of some documents in ZIP archives (a few KiB).
pub(crate) const HEAD_BYTES: usize = 8192;

/// The type of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileType {
    /// The type detected from the bytes; the declared one if the bytes have no signature.
    pub mime_type: String,
    /// The type that the uploader declared.
    pub declared: String,
}

/// Types of one container, which its first bytes do not always distinguish. The declared type wins among them.
const FAMILIES: [&[&str]; 4] = [
    &["text/html", "application/xhtml+xml"],
    // ISO base media
    &[
        "video/mp4",
        "video/quicktime",
        "video/m4v",
        "video/3gpp",
        "video/3gpp2",
        "audio/mp4",
        "audio/m4a",
        "audio/3gpp",
        "application/mp4",
    ],
    // Matroska
    &["video/matroska", "video/webm", "audio/matroska", "audio/webm"],
    // Ogg
    &["audio/ogg", "video/ogg", "application/ogg", "audio/opus"],
];

impl FileType {
    /// The type of a file that begins with `head`.
    pub fn of(head: &[u8], declared: &MediaType) -> Self {
        let mime_type = match infer::get(head) {
            Some(found) if !is_explained(found.mime_type(), declared, head) => found.mime_type().to_owned(),
            _ => declared.as_str().to_owned(),
        };
        Self { mime_type, declared: declared.as_str().to_owned() }
    }

    /// The file extension of the type: the name's own one if it fits.
    pub fn extension(&self, file_name: &str) -> String {
        MediaType::parse(&self.mime_type).map(|mime| mime.extension(file_name)).unwrap_or_default()
    }
}

/// Whether bytes with the signature of `found` may be a file of the declared type.
fn is_explained(found: &str, declared: &MediaType, head: &[u8]) -> bool {
    let (found, declared) = (plain(found), plain(declared.essence()));
    let (found, declared) = (found.as_str(), declared.as_str());
    if found == declared || FAMILIES.iter().any(|family| family.contains(&found) && family.contains(&declared)) {
        return true;
    }
    match found {
        // The first bytes of an archive do not show the type of the document in it.
        "application/zip" => is_archive_of(declared, "+zip"),
        "application/gzip" => declared == "image/svg+xml" || is_archive_of(declared, "+gzip"),
        "application/ole-storage" => declared.starts_with("application/vnd.ms-") || declared == "application/msword",
        "text/xml" => declared.ends_with("/xml") || declared.ends_with("+xml") || declared == "text/html",
        // The rest is text, so the two or three bytes of a binary signature are there by chance.
        _ => !found.starts_with("text/") && !is_textual(found, head) && is_text(head),
    }
}

/// Whether the declared type may be an archive: a type that no signature identifies.
fn is_archive_of(declared: &str, suffix: &str) -> bool {
    let is_document = ["application/vnd.", "application/java-archive", "application/epub+zip"];
    declared.ends_with(suffix)
        || is_document.iter().any(|begin| declared.starts_with(begin))
        || declared.starts_with("application/") && !infer::is_mime_supported(declared)
}

/// Types that are text and yet begin with a signature.
fn is_textual(found: &str, head: &[u8]) -> bool {
    match found {
        // Within the first KiB. Text that only mentions the tag usually has it later.
        "application/pdf" => head.starts_with(b"%PDF-"),
        _ => matches!(found, "application/rtf" | "application/postscript" | "image/svg+xml"),
    }
}

fn is_text(head: &[u8]) -> bool {
    // The last character may be incomplete.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b'))
}

/// The essence without the prefix of unregistered names: `audio/x-wav` equals `audio/wav`.
fn plain(essence: &str) -> String {
    let mime: Option<Mime> = essence.parse().ok();
    let essence = mime.as_ref().map_or(essence, |mime| mime.essence_str());
    essence.replacen("/x-", "/", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &[u8], declared: &str) -> String {
        FileType::of(head, &MediaType::parse(declared).unwrap()).mime_type
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";

    #[test]
    fn the_type_is_what_the_bytes_are() {
        for (head, declared, mime) in [
            (PNG, "image/png", "image/png"),
            (PNG, "image/jpeg", "image/png"),
            (PNG, "text/html", "image/png"),
            (b"<!DOCTYPE html><script>", "image/png", "text/html"),
            (b"<!DOCTYPE html><script>", "text/plain", "text/html"),
            (b"%PDF-1.7\n", "application/octet-stream", "application/pdf"),
            (ZIP, "application/octet-stream", "application/zip"),
            (ZIP, "image/png", "application/zip"),
        ] {
            assert_eq!(of(head, declared), mime, "{declared} {head:?}");
        }
    }

    #[test]
    fn what_the_bytes_do_not_tell_is_what_was_declared() {
        for (head, declared) in [
            (&b"just some words"[..], "text/markdown"),
            (b"", "video/mp4"),
            (b"\0\x01\x02\x03\x04\x05", "video/mp4"),
            // A word that is the signature of a bitmap.
            (b"BMW and others\n", "text/plain"),
            (b"MZ is not a program here", "text/csv"),
            (b"# Notes\nA file that begins with %PDF-1 is a PDF.", "text/markdown"),
            (ZIP, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (ZIP, "application/java-archive"),
            (b"<?xml version=\"1.0\"?><svg/>", "image/svg+xml"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "application/x-compressed-tar"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video/quicktime"),
            (PNG, "image/png; name=x"),
        ] {
            assert_eq!(of(head, declared), declared, "{head:?}");
        }
    }
}
