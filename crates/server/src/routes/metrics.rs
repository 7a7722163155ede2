//! `GET /metrics`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use partway_api::ErrorCode;

use crate::app::App;
use crate::error::ApiError;
use crate::metrics::Format;
use crate::model::essence;

/// All metrics, in OpenMetrics for collectors that ask for it. Database and disk are waited for a second at most; the text is at most a
/// second old.
pub(crate) async fn get_metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.state_gauges.refresh().await;
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_openmetrics = accepted.flat_map(|value| value.split(',')).any(is_openmetrics);
    let format = if wants_openmetrics { Format::OpenMetrics } else { Format::Prometheus };
    let text = app.metrics.text(format).await.map_err(|error| ApiError::failed(ErrorCode::Internal, &error))?;
    Ok(([(CONTENT_TYPE, format.content_type())], text).into_response())
}

fn is_openmetrics(media_range: &str) -> bool {
    essence(media_range).eq_ignore_ascii_case("application/openmetrics-text")
}
