//! Headers of served files.

use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::db::files::DeliverableFile;
use crate::storage::BlobHeaders;

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

/// The strong entity tag of a file: its hash, what the bucket's store calls it, or its id where nothing is known of its
/// bytes.
pub fn entity_tag(file: &DeliverableFile) -> String {
    let hash = file.hash.as_ref().and_then(|hash| hash.strip_prefix("blake3:"));
    match (&file.entity_tag, hash) {
        (Some(tag), _) => tag.clone(),
        (None, Some(hash)) => format!("\"{hash}\""),
        (None, None) => format!("\"{}\"", file.id.simple()),
    }
}

/// Sets the file's type, and what keeps the file from acting as the site it is served from: browsers may not guess
/// another type, what could run script is sandboxed, and HTML is not shown at all.
pub fn guard_content(headers: &mut HeaderMap, file: &DeliverableFile) {
    let mime_type = safer_type(&file.mime_type, file.declared_type.as_deref());
    let content_type = HeaderValue::from_str(mime_type);
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_active(mime_type) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    if let Ok(value) = HeaderValue::from_str(&content_disposition(&file.name, is_page(mime_type))) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
}

/// What a store that serves a file itself is to say of it. It cannot sandbox what a browser could run: that is not shown.
pub fn headers_at_store(name: &str, mime_type: &str) -> BlobHeaders {
    BlobHeaders {
        content_type: mime_type.to_owned(),
        content_disposition: content_disposition(name, is_active(mime_type)),
    }
}

/// The type that a file is served as: of what its bytes are and what it was declared as, the one with which a browser can
/// do less; what its bytes are, where that is the same.
pub fn safer_type<'t>(mime_type: &'t str, declared: Option<&'t str>) -> &'t str {
    declared.filter(|declared| script_risk(declared) < script_risk(mime_type)).unwrap_or(mime_type)
}

/// How much a browser can do with files of this type: show it, run something of it, or open it as a page.
fn script_risk(mime_type: &str) -> u8 {
    if is_page(mime_type) { 2 } else { u8::from(is_active(mime_type)) }
}

fn is_page(mime_type: &str) -> bool {
    matches!(&*essence(mime_type), "text/html" | "application/xhtml+xml")
}

/// Whether a browser could run something of files of this type.
fn is_active(mime_type: &str) -> bool {
    let essence = essence(mime_type);
    // Whatever ends so is XML to a browser, which may have script in it.
    let is_xml = essence.ends_with("+xml");
    let is_media = !is_xml && ["video/", "audio/", "font/"].iter().any(|begin| essence.starts_with(begin));
    !is_media && !PASSIVE.contains(&&*essence)
}

/// Whether the file is shown or kept, and its name.
fn content_disposition(name: &str, as_attachment: bool) -> String {
    let disposition = if as_attachment { "attachment" } else { "inline" };
    format!("{disposition}; filename*=UTF-8''{}", utf8_percent_encode(name, EXTENDED))
}

fn essence(mime_type: &str) -> String {
    mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
