//! `GET /openapi.json`

use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::openapi;

/// Answers docs/openapi.json.
pub(crate) async fn get_openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], openapi::TEXT)
}
