//! `GET /openapi.json`

use axum::extract::Extension;
use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;

/// The document, as JSON: it is written once, when the routes are made.
#[derive(Debug, Clone)]
pub struct OpenApiJson(pub Bytes);

/// The wire contract, generated from the code.
pub async fn get_openapi(
    Extension(OpenApiJson(json)): Extension<OpenApiJson>,
) -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], json)
}
