//! `GET /openapi.json`

use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::openapi;

/// The wire contract, as docs/openapi.json has it.
pub async fn get_openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], openapi::TEXT)
}
