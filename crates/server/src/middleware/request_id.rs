//! Gives each request its id, writes the bodies of errors, writes one line to the log, and counts the request.
//!
//! Metrics have the template of the route, and never a path. The line has the path without its query, because the query of a part URL is a permission. No header is logged.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use uuid::Uuid;

use super::route_templates::RouteTemplates;
use crate::error::ErrorReport;
use crate::metrics::{HttpMetrics, InFlightGuard};

/// The header that carries the id to the client.
pub(super) const HEADER: &str = "x-request-id";

/// Counts requests by the templates of their routes.
#[derive(Clone)]
pub(super) struct Observer {
    templates: RouteTemplates,
    metrics: Arc<HttpMetrics>,
}

impl Observer {
    pub(super) fn new(templates: RouteTemplates, metrics: Arc<HttpMetrics>) -> Self {
        Self { templates, metrics }
    }
}

pub(super) async fn handle(
    State(Observer { templates, metrics }): State<Observer>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let _in_flight = InFlightGuard::new(&metrics.in_flight);
    let route = templates.of(request.uri().path());
    // Never taken from the client: it must be unique in the log.
    let id = Uuid::now_v7().simple().to_string();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let report = response.extensions_mut().remove::<ErrorReport>();
    let (status, code) = (response.status().as_u16(), report.as_ref().map(ErrorReport::code));
    metrics.answered(&method, route, status, code, began.elapsed());
    if let Some(report) = report {
        log_cause(&report, &id);
        response = with_error_body(response, report, &id, &method);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
    tracing::info!(request_id = id, %method, path, status, milliseconds = format_args!("{milliseconds:.1}"), "request");
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
