//! The length that a request gives its body.

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

/// `Content-Length` in bytes; `None` for a body without it, which ends with its last chunk.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
