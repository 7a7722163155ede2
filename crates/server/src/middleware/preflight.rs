//! Says of a preflight's answer, and of no other, that it depends on the preflight.
//!
//! Invariant: no answer that a cache may keep has a `Vary`: with `Vary: origin`, a cache would keep a copy of a file for each site that
//! embeds it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::VARY;
use http::{HeaderValue, Method};

/// The headers of a preflight (Fetch Standard, section 3.3.2).
const PREFLIGHT_HEADERS: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// Adds `Vary` to the answer to a preflight.
pub(super) async fn vary(request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if is_preflight {
        response.headers_mut().insert(VARY, PREFLIGHT_HEADERS);
    }
    response
}
