//! A JSON request body, within its limit.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use data_url::mime::Mime;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use partway_api::ErrorCode;
use partway_api::limits::MAX_JSON_BODY_BYTES;

use crate::app::App;
use crate::error::ApiError;
use crate::http::content_length;
use crate::input::{JsonBody, quote_for_message};

/// The JSON object of a request.
#[derive(Debug)]
pub(crate) struct ApiJson(pub JsonBody);

impl FromRequest<App> for ApiJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        check_length(request.headers())?;
        let read = read_limited(request.into_body());
        let bytes = tokio::time::timeout(app.config.http.stall_timeout_seconds, read)
            .await
            .map_err(|_| ApiError::new(ErrorCode::RequestTimeout, "the body did not arrive in time"))??;
        Ok(Self(JsonBody::parse(&bytes)?))
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let is_json = given
        .as_deref()
        .and_then(|text| text.parse::<Mime>().ok())
        .is_some_and(|mime| mime.type_ == "application" && (mime.subtype == "json" || mime.subtype.ends_with("+json")));
    if is_json {
        return Ok(());
    }
    let was = given.map_or_else(|| "missing".to_owned(), quote_for_message);
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, format!("`Content-Type` is {was}; allowed: application/json")))
}

fn too_large() -> ApiError {
    ApiError::new(
        ErrorCode::PayloadTooLarge,
        format!("the body is larger than the maximum of {MAX_JSON_BODY_BYTES} bytes"),
    )
}

fn check_length(headers: &HeaderMap) -> Result<(), ApiError> {
    if content_length(headers).is_some_and(|length| length > MAX_JSON_BODY_BYTES as u64) {
        Err(too_large())
    } else {
        Ok(())
    }
}

async fn read_limited(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| ApiError::new(ErrorCode::InvalidJson, format!("the body broke off: {error}")))?;
        if bytes.len() + chunk.len() > MAX_JSON_BODY_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
