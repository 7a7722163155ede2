//! Headers of served files.

use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::conditional::is_strong_date;
use crate::model::{ScriptRisk, content_disposition};
use crate::service::serve::Representation;

/// Sets the headers by which caches and clients recognize the representation.
pub(super) fn set_validators(headers: &mut HeaderMap, representation: &Representation) {
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, representation.cache_control.clone());
    insert_text(headers, ETAG, &representation.entity_tag);
    if is_strong_date(representation.modified_at, SystemTime::now()) {
        insert_text(headers, LAST_MODIFIED, &httpdate::fmt_http_date(representation.modified_at));
    }
}

/// Sets the type, and the headers that keep a file from acting as the site it is served from: browsers may not guess
/// another type, a file that could run script is sandboxed, and a page is saved instead of shown.
pub(super) fn set_content_guards(headers: &mut HeaderMap, representation: &Representation) {
    let content_type = HeaderValue::from_str(&representation.media_type);
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(encoding) = &representation.content_encoding {
        insert_text(headers, CONTENT_ENCODING, encoding);
    }
    if representation.script_risk >= ScriptRisk::Viewer {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    let as_attachment = representation.script_risk == ScriptRisk::Page;
    insert_text(headers, CONTENT_DISPOSITION, &content_disposition(&representation.file_name, as_attachment));
}

/// Sets a header. Text that no header can have is left out.
pub(super) fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
