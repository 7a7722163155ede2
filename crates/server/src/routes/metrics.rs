//! `GET /metrics`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use partway_api::ErrorCode;

use crate::app::App;
use crate::error::ApiError;
use crate::metrics::Format;

/// All metrics, in OpenMetrics for collectors that ask for it. They are never waited for longer than a second.
pub(crate) async fn get_metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.state_gauges.refresh().await;
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_openmetrics = accepted.flat_map(|value| value.split(',')).any(is_openmetrics);
    let format = if wants_openmetrics { Format::OpenMetrics } else { Format::Prometheus };
    let text = app.metrics.text(format).map_err(|error| ApiError::failed(ErrorCode::Internal, &error))?;
    Ok(([(CONTENT_TYPE, format.content_type())], text).into_response())
}

fn is_openmetrics(media_range: &str) -> bool {
    let media_type = media_range.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/openmetrics-text")
}
