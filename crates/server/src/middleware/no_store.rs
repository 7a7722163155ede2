//! Keeps caches off everything that is not a file's content.
//!
//! Invariant: an answer that may have needed a key, or that is true for a moment only, carries `Cache-Control: no-store`. Shared
//! caches keep answers without the header by rules of their own (RFC 9111, section 4.2.2): Varnish keeps any 200 and 404 for two
//! minutes whatever header of its own the request had its key in, and hands them to requests without one. Delivery alone says
//! something else, for content (200, 206, 304); an error of its paths is an error.

use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

/// Adds the header to an answer that is an error or says nothing of caches.
pub(super) async fn add(mut response: Response) -> Response {
    let is_error = response.status() >= StatusCode::BAD_REQUEST;
    if is_error || !response.headers().contains_key(CACHE_CONTROL) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
