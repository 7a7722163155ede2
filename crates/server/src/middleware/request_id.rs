//! Gives each request its id, writes the bodies of errors, and writes one line to the log.
//!
//! The line has the path without its query, because the query of a part URL is a permission. No header is logged.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use uuid::Uuid;

use crate::error::ErrorReport;

/// The header that carries the id to the client.
pub(super) const HEADER: &str = "x-request-id";

pub(super) async fn handle(request: Request, next: Next) -> Response {
    let began = Instant::now();
    // Never taken from the client: it must be unique in the log.
    let id = Uuid::now_v7().simple().to_string();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(report) = response.extensions_mut().remove::<ErrorReport>() {
        log_cause(&report, &id);
        response = with_error_body(response, report, &id, &method);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
    tracing::info!(request_id = id, %method, path, status = response.status().as_u16(), milliseconds = format_args!("{milliseconds:.1}"), "request");
    response
}

fn log_cause(report: &ErrorReport, id: &str) {
    if let Some(cause) = report.cause() {
        tracing::error!(request_id = id, code = report.code().as_str(), cause, "request failed");
    }
}

fn with_error_body(response: Response, report: ErrorReport, id: &str, method: &Method) -> Response {
    let (mut parts, _) = response.into_parts();
    // The length is that of the empty body.
    parts.headers.remove(CONTENT_LENGTH);
    let body = serde_json::to_vec(&report.into_body(id.to_owned())).unwrap_or_default();
    let mut answer = if *method == Method::HEAD { ().into_response() } else { body.into_response() };
    *answer.status_mut() = parts.status;
    answer.headers_mut().extend(parts.headers);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
