//! One signed request to the store, tried again where that helps.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::{Method, Response};
use rusty_s3::signing::sign;

use super::xml::ANSWER_TIMEOUT;
use super::{S3Store, xml};
use crate::storage::StorageError;

/// How often a call is tried.
const TRIES: u32 = 4;
/// Before the second try; it doubles.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long a signature of a call is good: clocks may differ by this much.
const SIGNED: u64 = 900;

/// A call.
pub(super) struct Call<'c> {
    pub(super) doing: &'static str,
    pub(super) method: Method,
    /// None: the bucket itself.
    pub(super) key: Option<&'c str>,
    /// In the order of their names, as the signature wants them.
    pub(super) query: &'c [(&'c str, &'c str)],
    /// In the order of their names.
    pub(super) headers: &'c [(&'c str, &'c str)],
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
}

impl<'c> Call<'c> {
    pub(super) fn new(doing: &'static str, method: Method, key: Option<&'c str>) -> Self {
        Self { doing, method, key, query: &[], headers: &[], body: Bytes::new(), timeout: ANSWER_TIMEOUT }
    }
}

/// What the store's clock says, beside ours.
#[derive(Debug, Clone, Copy)]
pub struct StoreClock {
    /// By the `Date` of its answer.
    pub store: SystemTime,
    /// When that came.
    pub ours: SystemTime,
}

impl S3Store {
    /// The URL that permits `method` on `key` for so long, as Partway or as clients reach the store.
    pub(super) fn presign<'q>(
        &self,
        method: &Method,
        key: Option<&str>,
        query: &'q [(&'q str, &'q str)],
        headers: &'q [(&'q str, &'q str)],
        seconds: u64,
        is_public: bool,
    ) -> url::Url {
        let bucket = if is_public { &self.public_bucket } else { &self.bucket };
        let url = match key {
            Some(key) => bucket.object_url(key),
            None => bucket.base_url().clone(),
        };
        let method = match *method {
            Method::PUT => rusty_s3::Method::Put,
            Method::POST => rusty_s3::Method::Post,
            Method::DELETE => rusty_s3::Method::Delete,
            Method::HEAD => rusty_s3::Method::Head,
            _ => rusty_s3::Method::Get,
        };
        let (key, secret) = (self.credentials.key(), self.credentials.secret());
        let (query, headers) = (query.iter().copied(), headers.iter().copied());
        let now = jiff::Timestamp::now();
        sign(&now, method, url, key, secret, None, bucket.region(), seconds, query, headers)
    }

    /// Sends a call until the store answers it with anything but a failure of its own.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Response, StorageError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let failed = match self.send(call).await {
                Ok(response) => match response.status().as_u16() {
                    200..=299 => return Ok(response),
                    status => xml::failure(call.doing, status, response).await,
                },
                Err(error) => error,
            };
            if !failed.is_transient() || attempt == TRIES {
                return Err(failed);
            }
            tracing::debug!(doing = call.doing, attempt, error = %crate::error_chain::error_chain(&failed), "the store failed");
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            pause *= 2;
        }
        Err(StorageError::Stopped)
    }

    async fn send(&self, call: &Call<'_>) -> Result<Response, StorageError> {
        let url = self.presign(&call.method, call.key, call.query, call.headers, SIGNED, false);
        let mut request = self.http.request(call.method.clone(), url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if !call.body.is_empty() || call.method == Method::POST || call.method == Method::PUT {
            request = request.body(call.body.clone());
        }
        match tokio::time::timeout(call.timeout, request.send()).await {
            Ok(answer) => answer.map_err(|error| StorageError::http(call.doing, error)),
            Err(error) => Err(StorageError::unavailable(call.doing, error)),
        }
    }

    /// The text of an answer.
    pub(super) async fn text(&self, call: &Call<'_>) -> Result<String, StorageError> {
        let response = self.call(call).await?;
        let text = tokio::time::timeout(call.timeout, response.text()).await;
        let text = text.map_err(|error| StorageError::unavailable(call.doing, error))?;
        text.map_err(|error| StorageError::http(call.doing, error))
    }

    /// Whether the bucket is there and the credentials open it; what time the store has.
    ///
    /// # Errors
    /// The store's error.
    pub async fn check(&self) -> Result<Option<StoreClock>, StorageError> {
        let mut call = Call::new("list", Method::GET, None);
        let prefix = self.prefix.as_str();
        let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", prefix)];
        call.query = &query;
        let response = self.call(&call).await?;
        let date = response.headers().get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        Ok(date.map(|store| StoreClock { store, ours: SystemTime::now() }))
    }
}
