//! Errors at the edge: one type that every handler returns, with one shape on the wire.
//!
//! A handler's error becomes a response without a body that carries an [`ErrorReport`]. The request-id middleware, which knows
//! the id, writes the body and logs the cause once.

mod db;
mod serve;
mod storage;
mod upload;
mod workspace;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use partway_api::{ErrorBody, ErrorCode};

use crate::error_chain::error_chain;
use crate::input::InvalidInput;

/// `Retry-After` of transient failures: a session that is being opened, a database that restarts.
const RETRY_SECONDS: &str = "5";
/// The header by which the published SDKs decide whether to retry.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error as it leaves the server.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    report: ErrorReport,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The content of an error's body, and its cause for the log.
#[derive(Debug, Clone)]
pub(crate) struct ErrorReport {
    code: ErrorCode,
    message: String,
    /// Whether the body of a 5xx has the message instead of the fixed text of its code.
    shows_message: bool,
    missing_parts: Option<Vec<u32>>,
    retry_after_seconds: Option<u64>,
    /// The cause of a failure of the server. It is logged and never sent.
    cause: Option<String>,
}

impl ErrorReport {
    /// The cause of a failure of the server itself.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The body. The text of a 5xx is that of its code, unless the message helps the client.
    pub(crate) fn into_body(self, request_id: String) -> ErrorBody {
        let is_fixed = self.code.status() >= 500 && !self.shows_message;
        let message = if is_fixed { self.code.meaning().to_owned() } else { self.message };
        ErrorBody {
            success: false,
            error: self.code.summary().to_owned(),
            message,
            error_code: self.code,
            request_id,
            missing_parts: self.missing_parts,
            retry_after_seconds: self.retry_after_seconds,
        }
    }
}

impl ApiError {
    /// An error that the client can fix.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        let report = ErrorReport {
            code,
            message,
            shows_message: false,
            missing_parts: None,
            retry_after_seconds: None,
            cause: None,
        };
        let headers = match code {
            ErrorCode::Unauthorized => vec![(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))],
            ErrorCode::ServiceUnavailable => vec![(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS))],
            // The published SDKs retry every 409 without this header.
            _ if code.status() == 409 => vec![(SHOULD_RETRY, HeaderValue::from_static("false"))],
            _ => Vec::new(),
        };
        Self { report, headers }
    }

    /// Too many requests; the next one is accepted after `wait`.
    pub(crate) fn rate_limited(whose: &str, wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let message = format!("{whose} exceeds its rate limit; retry in {seconds} s");
        let mut error = Self::new(ErrorCode::RateLimited, message).with_header(RETRY_AFTER, seconds.into());
        error.report.retry_after_seconds = Some(seconds);
        error
    }

    /// A failure of the server, with its cause for the log.
    pub(crate) fn failed(code: ErrorCode, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut error = Self::new(code, "");
        error.report.cause = Some(error_chain(cause));
        error
    }

    /// Adds a header to the answer.
    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// 416 for a file of this size.
    pub(crate) fn range_not_satisfiable(range: &str, size_bytes: u64) -> Self {
        let message = format!("`Range` is {range:?}; allowed: ranges within the {size_bytes} bytes of the file");
        let error = Self::new(ErrorCode::RangeNotSatisfiable, message);
        match HeaderValue::from_str(&format!("bytes */{size_bytes}")) {
            Ok(value) => error.with_header(CONTENT_RANGE, value),
            Err(_) => error,
        }
    }
}

impl From<InvalidInput> for ApiError {
    fn from(error: InvalidInput) -> Self {
        Self::new(error.code, error.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.report.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(self.report);
        response
    }
}
