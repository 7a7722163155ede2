//! One signed request to the store, retried by the policy in `retry.rs`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response};
use rusty_s3::signing::sign;

use super::S3Store;
use super::retry::{CALL, retry};
use super::xml::ErrorAnswer;
use crate::storage::StorageError;

/// How long the store may take to begin an answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the signature of a call is valid: clocks may differ by this much.
const SIGNATURE_SECONDS: u64 = 900;

/// A call.
pub(super) struct Call<'c> {
    /// The operation in messages: "could not … the bucket".
    pub(super) doing: &'static str,
    /// Its name in metrics.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// `None`: the bucket itself.
    pub(super) key: Option<&'c str>,
    /// In the order of their names, as the signature wants them.
    pub(super) query: &'c [(&'c str, &'c str)],
    /// In the order of their names.
    pub(super) headers: &'c [(&'c str, &'c str)],
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
}

impl<'c> Call<'c> {
    pub(super) fn new(doing: &'static str, operation: &'static str, method: Method, key: Option<&'c str>) -> Self {
        Self { doing, operation, method, key, query: &[], headers: &[], body: Bytes::new(), timeout: ANSWER_TIMEOUT }
    }
}

/// The time of the store's clock and of ours.
#[derive(Debug, Clone, Copy)]
pub struct StoreClock {
    /// By the `Date` of its answer.
    pub store: SystemTime,
    /// When that came.
    pub ours: SystemTime,
}

impl S3Store {
    /// A URL that permits `method` on `key` for `seconds`, at the address by which Partway or clients (`is_public`) reach the
    /// store.
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

    /// Sends a call, with retries, and returns the successful answer. Its body has not been read.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Response, StorageError> {
        retry(CALL, || self.send(call)).await
    }

    /// Sends a call, with retries until its answer begins, and returns the body of the successful answer. A body that stalls is
    /// not asked for again: the store has done the work, and the caller has waited.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn text(&self, call: &Call<'_>) -> Result<String, StorageError> {
        Self::body_of(call, self.call(call).await?).await
    }

    /// Sends a call once, and returns the body of the successful answer.
    pub(super) async fn send_for_text(&self, call: &Call<'_>) -> Result<String, StorageError> {
        Self::body_of(call, self.send(call).await?).await
    }

    async fn body_of(call: &Call<'_>, response: Response) -> Result<String, StorageError> {
        let text = tokio::time::timeout(call.timeout, response.text()).await;
        let text = text.map_err(|error| StorageError::unavailable(call.doing, error))?;
        text.map_err(|error| StorageError::http(call.doing, error))
    }

    async fn send(&self, call: &Call<'_>) -> Result<Response, StorageError> {
        self.metrics.measure(call.operation, self.send_unmeasured(call)).await
    }

    async fn send_unmeasured(&self, call: &Call<'_>) -> Result<Response, StorageError> {
        let url = self.presign(&call.method, call.key, call.query, call.headers, SIGNATURE_SECONDS, false);
        let mut request = self.http.request(call.method.clone(), url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if !call.body.is_empty() || call.method == Method::POST || call.method == Method::PUT {
            // For an empty body nothing else sends a length, and Ceph RGW refuses a PUT without one (411).
            request = request.header(CONTENT_LENGTH, call.body.len()).body(call.body.clone());
        }
        let answer = tokio::time::timeout(call.timeout, request.send()).await;
        accepted(call.doing, answer).await
    }

    /// Whether the bucket is there and the credentials open it; what time the store has.
    ///
    /// # Errors
    /// The store's error.
    pub async fn check(&self) -> Result<Option<StoreClock>, StorageError> {
        let mut call = Call::new("list", "list_objects", Method::GET, None);
        let prefix = self.prefix.as_str();
        let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", prefix)];
        call.query = &query;
        let response = self.call(&call).await?;
        let date = response.headers().get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        Ok(date.map(|store| StoreClock { store, ours: SystemTime::now() }))
    }
}

/// The answer of the store to a request, if it accepted the request.
pub(super) async fn accepted(
    doing: &'static str,
    answer: Result<reqwest::Result<Response>, tokio::time::error::Elapsed>,
) -> Result<Response, StorageError> {
    match answer {
        Err(error) => Err(StorageError::unavailable(doing, error)),
        Ok(Err(error)) => Err(StorageError::http(doing, error)),
        Ok(Ok(response)) if response.status().is_success() => Ok(response),
        Ok(Ok(response)) => Err(failure(doing, response).await),
    }
}

/// The error in an answer.
async fn failure(doing: &'static str, response: Response) -> StorageError {
    let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
    let text = tokio::time::timeout(ANSWER_TIMEOUT, response.text()).await;
    let text = text.ok().and_then(Result::ok).unwrap_or_default();
    let ErrorAnswer { code, message } = ErrorAnswer::read(&text);
    StorageError::Answer { doing, status, code, message, retry_after }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds
        .or_else(|| Some(httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::storage::S3Settings;
    use crate::storage::s3::stream::Gathered;

    const BUSY: &str = "503 Busy\r\ncontent-length: 0";
    const BUSY_FOR_A_SECOND: &str = "503 Busy\r\nretry-after: 1\r\ncontent-length: 0";
    const DENIED: &str = "403 Forbidden\r\ncontent-length: 0";
    const OK: &str = "200 OK\r\netag: \"e\"\r\ncontent-length: 0";

    /// A store that answers one request with each of `answers` (status line and headers, perhaps a body), and its log of
    /// the bodies that came.
    fn store(answers: &'static [&'static str]) -> (S3Store, Arc<Mutex<Vec<Vec<u8>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: url::Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let came = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let log = Arc::clone(&came);
        std::thread::spawn(move || {
            for answer in answers {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let mut length = 0;
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap() > 2 {
                    let lower = line.to_ascii_lowercase();
                    length = lower.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().unwrap());
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                log.lock().unwrap().push(body);
                let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
                let stream = stream.get_mut();
                write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}").unwrap();
            }
        });
        let settings = S3Settings {
            public_endpoint: endpoint.clone(),
            endpoint,
            region: "r".to_owned(),
            bucket: "b".to_owned(),
            prefix: String::new(),
            path_style: true,
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
        };
        (S3Store::new(&settings).unwrap(), came)
    }

    #[tokio::test]
    async fn a_store_that_fails_some_times_is_called_again_and_one_that_refuses_is_not() {
        let (failing, came) = store(&[BUSY, BUSY, BUSY, OK]);
        assert!(failing.check().await.is_ok());
        assert_eq!(came.lock().unwrap().len(), 4);
        let (away, came) = store(&[BUSY, BUSY, BUSY, BUSY, OK]);
        assert!(away.check().await.unwrap_err().is_transient());
        assert_eq!(came.lock().unwrap().len(), 4);
        let (refusing, came) = store(&[DENIED, OK]);
        assert!(!refusing.check().await.unwrap_err().is_transient());
        assert_eq!(came.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_time_that_a_store_asks_for_is_waited() {
        let (busy, came) = store(&[BUSY_FOR_A_SECOND, OK]);
        let began = Instant::now();
        assert!(busy.check().await.is_ok());
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(came.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_part_is_sent_again_whole() {
        let (failing, came) = store(&[BUSY, BUSY_FOR_A_SECOND, OK]);
        let part = failing.send_part(Uuid::nil(), "u", 0, 1..4, &Gathered(Bytes::from_static(b"bytes"))).await.unwrap();
        assert_eq!((part.size_bytes, part.entity_tag.as_str()), (3, "\"e\""));
        assert_eq!(*came.lock().unwrap(), vec![b"yte".to_vec(); 3]);
    }

    #[tokio::test]
    async fn completing_is_retried_after_an_error_under_200_and_after_an_answer_that_broke_off() {
        const LATE: &str = "200 OK\r\ncontent-length: 41\r\n\r\n<Error><Code>InternalError</Code></Error>";
        const CUT: &str = "200 OK\r\ncontent-length: 40\r\n\r\n<CompleteMulti";
        const DONE: &str = "200 OK\r\ncontent-length: 32\r\n\r\n<CompleteMultipartUploadResult/>";
        let (failing, came) = store(&[LATE, CUT, DONE]);
        assert!(failing.complete_upload(Uuid::nil(), "u", &[]).await.unwrap());
        assert_eq!(came.lock().unwrap().len(), 3);
    }
}
