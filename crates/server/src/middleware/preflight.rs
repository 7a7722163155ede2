//! Says of a preflight's answer, and of no other, that it depends on the preflight.
//!
//! Invariant: no answer that a cache may keep has a `Vary`: with `Vary: origin`, a cache would keep a copy of a file for each site that
//! embeds it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY};
use http::{HeaderMap, HeaderValue, Method};

/// The headers of a preflight (Fetch Standard, section 3.3.2).
const PREFLIGHT_HEADERS: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// Adds `Vary` to the answer to a preflight.
pub(super) async fn vary(request: Request, next: Next) -> Response {
    let is_preflight = is_preflight(request.method(), request.headers());
    let mut response = next.run(request).await;
    // A refusal, such as the one of `/metrics`, is the same for every site.
    if is_preflight && response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        response.headers_mut().insert(VARY, PREFLIGHT_HEADERS);
    }
    response
}

/// A browser asks whether a page may send a request. Other requests with `OPTIONS` have no site that asks.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD].iter().all(|name| headers.contains_key(name))
}
