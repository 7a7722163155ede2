//! Forbids caches to keep anything but the content of files.
//!
//! Invariant: an answer that may have needed a key, or is true only for a moment, carries `Cache-Control: no-store`. Shared
//! caches keep answers without the header by heuristics (RFC 9111, section 4.2.2): Varnish keeps any 200 and 404 for two minutes,
//! even if the request had a key in a header of its own, and answers requests without a key from it. Only delivery sets another
//! value, and only for content (200, 206, 304).

use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

/// Adds the header to an error, and to an answer without `Cache-Control`.
pub(super) async fn add(mut response: Response) -> Response {
    let is_error = response.status() >= StatusCode::BAD_REQUEST;
    if is_error || !response.headers().contains_key(CACHE_CONTROL) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
