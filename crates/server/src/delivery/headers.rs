//! Headers of served files.

use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::db::files::ServedFile;

/// Characters that RFC 8187 lets stand in an extended parameter, besides letters and digits.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Types that no browser runs anything of, whatever is in the file.
const PASSIVE: [&str; 12] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "text/plain",
    "text/csv",
    "application/octet-stream",
    "application/zip",
    "application/gzip",
    "application/json",
];

/// The strong entity tag of a file: its hash, or its id where the hash is not known.
pub fn entity_tag(file: &ServedFile) -> String {
    match &file.hash {
        Some(hash) => format!("\"{}\"", hash.strip_prefix("blake3:").unwrap_or(hash)),
        None => format!("\"{}\"", file.id.simple()),
    }
}

/// Sets the file's type, and what keeps the file from acting as the site it is served from: browsers may not guess
/// another type, what could run script is sandboxed, and HTML is not shown at all.
pub fn guard_content(headers: &mut HeaderMap, file: &ServedFile) {
    let content_type = HeaderValue::from_str(&file.mime_type);
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let essence = file.mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let media = ["video/", "audio/", "font/"].iter().any(|begin| essence.starts_with(begin));
    if !media && !PASSIVE.contains(&&*essence) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    let disposition = if matches!(&*essence, "text/html" | "application/xhtml+xml") { "attachment" } else { "inline" };
    let name = utf8_percent_encode(&file.name, EXTENDED);
    if let Ok(value) = HeaderValue::from_str(&format!("{disposition}; filename*=UTF-8''{name}")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
}
