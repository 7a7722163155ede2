//! Fetching a file from a URL that a client named.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use percent_encoding::percent_decode_str;
use reqwest::{Method, Response};
use url::Url;

use super::disposition::file_name;
use super::{ForbiddenUrl, Outgoing, is_blocked, is_untrusted};

/// Upper bound of redirects that are followed.
const MAX_REDIRECTS: u32 = 5;

/// Why a file was not fetched. The messages name the behaviour of the other side, and nothing of our own network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL itself is refused.
    #[error(
        "`remote_url` is {0}; allowed: an http or https URL of a globally reachable host outside of the server's own \
         network, without user and password"
    )]
    Forbidden(ForbiddenUrl),
    /// A redirect leads to a refused URL.
    #[error("it redirects to {0}")]
    ForbiddenRedirect(ForbiddenUrl),
    /// A redirect cannot be followed.
    #[error("it answers {0} without a `Location` that can be followed")]
    BadRedirect(u16),
    /// It redirects too often.
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
    /// Its status is not 200.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// Its answer has an encoding that was not requested.
    #[error("it answers with `Content-Encoding: {0}`, which was not requested")]
    Encoded(String),
    /// No connection can be made.
    #[error("its host does not answer")]
    Unreachable,
    /// Its certificate is issued by nobody whom this machine trusts, is for another name, or is not valid now.
    #[error("its certificate is not trusted")]
    Untrusted,
    /// No byte came in time.
    #[error("it sent nothing for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// The whole transfer took too long.
    #[error("it did not send the whole file within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// The connection broke.
    #[error("it broke off after {0} bytes")]
    BrokeOff(u64),
}

/// A file that is being received.
pub struct Fetched {
    /// The file name that the other side gives.
    pub file_name: Option<String>,
    /// The media type that the other side gives.
    pub content_type: Option<String>,
    /// The size that the other side gives, in bytes.
    pub size_bytes: Option<u64>,
    /// Its bytes.
    pub body: Pin<Box<dyn Stream<Item = Result<Bytes, FetchError>> + Send>>,
}

crate::opaque_debug::opaque_debug!(Fetched);

impl Outgoing {
    /// Requests the file of a URL that was checked, and follows redirects. Every URL and every address on the way is checked.
    ///
    /// # Errors
    /// The behaviour of the other side.
    pub async fn fetch(&self, url: Url) -> Result<Fetched, FetchError> {
        let deadline = tokio::time::Instant::now() + self.total_timeout;
        let first = url.clone();
        let mut url = url;
        for _ in 0..=MAX_REDIRECTS {
            let asked = tokio::time::timeout_at(deadline, self.ask(url.clone(), url == first));
            let response = asked.await.map_err(|_| FetchError::TooSlow(self.total_timeout))??;
            match response.status() {
                StatusCode::OK => return self.fetched(response, &first, deadline),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => url = self.redirected(&response, &url).await?,
                status => return Err(FetchError::Status(status)),
            }
        }
        Err(FetchError::TooManyRedirects)
    }

    async fn ask(&self, url: Url, is_first: bool) -> Result<Response, FetchError> {
        let request = self.request(Method::GET, url).header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "identity");
        match tokio::time::timeout(self.idle_timeout, request.send()).await {
            Err(_) => Err(FetchError::Stalled(self.idle_timeout)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if is_blocked(&error) && is_first => Err(FetchError::Forbidden(ForbiddenUrl::Host)),
            Ok(Err(error)) if is_blocked(&error) => Err(FetchError::ForbiddenRedirect(ForbiddenUrl::Host)),
            Ok(Err(error)) if error.is_timeout() && !error.is_connect() => Err(FetchError::Stalled(self.idle_timeout)),
            Ok(Err(error)) if is_untrusted(&error) => Err(FetchError::Untrusted),
            Ok(Err(error)) => {
                tracing::debug!(error = %crate::error_chain::error_chain(&error.without_url()), "a remote file cannot be requested");
                Err(FetchError::Unreachable)
            }
        }
    }

    async fn redirected(&self, response: &Response, from: &Url) -> Result<Url, FetchError> {
        let bad = || FetchError::BadRedirect(response.status().as_u16());
        let location = response.headers().get(LOCATION).ok_or_else(bad)?;
        let text = String::from_utf8_lossy(location.as_bytes());
        let url = from.join(&text).map_err(|_| bad())?;
        self.check_url(&url).await.map_err(FetchError::ForbiddenRedirect)?;
        Ok(url)
    }

    fn fetched(&self, response: Response, first: &Url, deadline: tokio::time::Instant) -> Result<Fetched, FetchError> {
        let text = |name: &http::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(encoding) = text(&CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(FetchError::Encoded(encoding.chars().take(40).collect()));
        }
        let disposition = response.headers().get(CONTENT_DISPOSITION);
        let named = disposition.and_then(|value| file_name(value.as_bytes()));
        let in_url = || last_segment(response.url()).or_else(|| last_segment(first));
        let fetched = Fetched {
            file_name: named.or_else(in_url),
            content_type: text(&CONTENT_TYPE).map(str::to_owned),
            size_bytes: response.content_length(),
            body: Box::pin(futures_util::stream::empty()),
        };
        let (idle, total) = (self.idle_timeout, self.total_timeout);
        let stream = Box::pin(response.bytes_stream());
        let body = futures_util::stream::try_unfold((stream, 0_u64), move |(mut stream, came)| async move {
            let next = tokio::time::timeout(idle, stream.next());
            match tokio::time::timeout_at(deadline, next).await {
                Err(_) => Err(FetchError::TooSlow(total)),
                Ok(Err(_)) => Err(FetchError::Stalled(idle)),
                Ok(Ok(None)) => Ok(None),
                Ok(Ok(Some(Err(error)))) if error.is_timeout() => Err(FetchError::Stalled(idle)),
                Ok(Ok(Some(Err(_)))) => Err(FetchError::BrokeOff(came)),
                Ok(Ok(Some(Ok(bytes)))) => {
                    let came = came + bytes.len() as u64;
                    Ok(Some((bytes, (stream, came))))
                }
            }
        });
        Ok(Fetched { body: Box::pin(body), ..fetched })
    }
}

/// The last segment of a URL's path, if there is one.
fn last_segment(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    Some(percent_decode_str(last).decode_utf8_lossy().into_owned()).filter(|name| !name.is_empty())
}
