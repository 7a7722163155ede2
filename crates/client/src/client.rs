//! The calls of the API, each once. Retrying is not done here.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use partway_api::{CompleteRequest, ErrorBody, FileRecord, StartRequest, StartResponse};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::Error;
use crate::part_body::{OnSent, PartBody};

/// A server that cannot be connected to in this time counts as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Complete syncs the whole file; a slow disk may take minutes for what its cache still holds.
const CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// A connection on which nothing was acknowledged for this long is dead: a laptop that changed networks.
const DEAD_AFTER: Duration = Duration::from_secs(60);
/// Much of an unexpected answer that is worth showing.
const SHOWN_CHARS: usize = 200;

/// A server and the key to it. Clones share connections.
#[derive(Clone)]
pub struct Client {
    base: Url,
    key: String,
    http: reqwest::Client,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base`, which may have a path.
    ///
    /// # Errors
    /// When `base` is no http or https URL.
    pub fn new(base: &str, key: &str) -> Result<Self, Error> {
        let address = |problem: String| Error::Address { url: base.to_owned(), problem };
        let url = Url::parse(base.trim_end_matches('/')).map_err(|error| address(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(address(format!("its scheme is {}; allowed: http, https", url.scheme())));
        }
        // Another part of the program may have chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("partway/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_user_timeout(DEAD_AFTER)
                .tcp_nodelay(true)
        };
        let http = match builder().build() {
            // A machine without any root certificate, which plain http does not need.
            Err(_) if url.scheme() == "http" => builder().tls_certs_only([]).build()?,
            built => built?,
        };
        Ok(Self { base: url, key: key.to_owned(), http })
    }

    /// Starts an upload.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn start(&self, request: &StartRequest) -> Result<StartResponse, Error> {
        self.post("api/v1/multipart/start", request).await
    }

    /// Completes an upload. Repeating it gives the same record.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn complete(&self, request: &CompleteRequest) -> Result<FileRecord, Error> {
        self.post("api/v1/multipart/complete", request).await
    }

    /// Sends a range of a file to a part URL.
    pub(crate) async fn put_part(
        &self,
        url: &str,
        file: Arc<File>,
        range: Range<u64>,
        on_sent: OnSent,
    ) -> Result<(), Error> {
        let body = reqwest::Body::wrap(PartBody::new(file, range, on_sent));
        let request = self.http.put(url).header(CONTENT_TYPE, "application/octet-stream").body(body);
        checked(request.send().await?).await.map(drop)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let request = self.http.post(url).bearer_auth(&self.key).timeout(CALL_TIMEOUT).json(body);
        let response = checked(request.send().await?).await?;
        Ok(response.json().await?)
    }
}

/// The response, if it is a success; otherwise what it says.
async fn checked(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut url = response.url().clone();
    url.set_query(None);
    let text = response.text().await.unwrap_or_default();
    match serde_json::from_str::<ErrorBody>(&text) {
        Ok(body) => Err(Error::Refused { body: Box::new(body), retry_after: retry_after.map(Duration::from_secs) }),
        Err(_) => Err(unexpected(status, &url, &text)),
    }
}

fn unexpected(status: StatusCode, url: &Url, text: &str) -> Error {
    Error::Unexpected { status: status.as_u16(), url: url.to_string(), text: text.chars().take(SHOWN_CHARS).collect() }
}
