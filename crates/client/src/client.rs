//! The connection to a server, and the calls of an upload. Each call is one request; [`RetryPolicy`](crate::RetryPolicy) is applied by callers.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partway_api::{
    CompleteRequest, ErrorBody, FileRecord, ResignRequest, ResignResponse, SessionResponse, StartRequest, StartResponse,
};
use reqwest::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::part_body::PartBody;
use crate::{Error, connection_error};

/// A server that accepts no connection within this time counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Complete syncs the whole file; a slow disk may take minutes for what its cache still holds.
const CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// A connection without an acknowledgement for this long is dead, as after a laptop changed networks.
const DEAD_AFTER: Duration = Duration::from_secs(60);
/// Upper bound of an answer. The URLs of 10,000 parts take a few MB, a page of 100 files with all their metadata less.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Upper bounds of an error answer. Partway's own have some hundred bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters of an unexpected answer that are shown.
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
    /// When `base` is not an http or https URL, or `key` has a character that no header may have.
    pub fn new(base: &str, key: &str) -> Result<Self, Error> {
        Self::trusting(base, key, None)
    }

    /// A client that also trusts the certificate authorities in this PEM text.
    ///
    /// # Errors
    /// When `base` is not an http or https URL, `key` has a character that no header may have, or `authorities` has no certificate.
    pub fn trusting(base: &str, key: &str, authorities: Option<&[u8]>) -> Result<Self, Error> {
        let address = |problem: String| Error::Address { url: base.to_owned(), problem };
        let url = Url::parse(base.trim_end_matches('/')).map_err(|error| address(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(address(format!("its scheme is {}; allowed: http, https", url.scheme())));
        }
        let is_unfit = |c: &char| c.is_control() && *c != '\t';
        if let Some((place, character)) = (1..).zip(key.chars()).find(|(_, c)| is_unfit(c)) {
            return Err(Error::Key { character, place, length: key.chars().count() });
        }
        // Fails when another part of the program has chosen a provider, which works as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = authorities.map(certificates).transpose()?.unwrap_or_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("partway/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_user_timeout(DEAD_AFTER)
                .tcp_nodelay(true)
                .redirect(connection_error::noting_redirects())
        };
        let http = match builder().tls_certs_merge(authorities.clone()).build() {
            // The machine has no root certificate. Plain http needs none, and named authorities are enough.
            Err(_) if url.scheme() == "http" || !authorities.is_empty() => {
                builder().tls_certs_only(authorities).build()?
            }
            built => built?,
        };
        Ok(Self { base: url, key: key.to_owned(), http })
    }

    /// Starts a session. Repeating the call with the same `idempotency_key` answers the same session.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn start(&self, request: &StartRequest, idempotency_key: &str) -> Result<StartResponse, Error> {
        let call = self.call(Method::POST, &["multipart", "start"]).header("idempotency-key", idempotency_key);
        json(call.json(request)).await
    }

    /// The state of a session.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn status(&self, session_id: &str) -> Result<SessionResponse, Error> {
        json(self.call(Method::GET, &["multipart", session_id])).await
    }

    /// Signs new part URLs and extends the session's lifetime.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn resign(&self, session_id: &str, request: &ResignRequest) -> Result<ResignResponse, Error> {
        json(self.call(Method::POST, &["multipart", session_id, "parts"]).json(request)).await
    }

    /// Aborts a session and frees its bytes. Repeating the call changes nothing.
    ///
    /// # Errors
    /// When the server refuses, as it does after completion, or cannot be reached.
    pub async fn abort(&self, session_id: &str) -> Result<(), Error> {
        done(self.call(Method::DELETE, &["multipart", session_id])).await
    }

    /// Completes a session. Repeating the call answers the same record.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn complete(&self, request: &CompleteRequest) -> Result<FileRecord, Error> {
        json(self.call(Method::POST, &["multipart", "complete"]).json(request)).await
    }

    /// Uploads an empty file in one request. Repeating the call replaces the file by an equal one, except with a random prefix.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn upload_empty(&self, request: &StartRequest) -> Result<FileRecord, Error> {
        let file = Part::bytes(&[][..]).file_name("file").mime_str(&request.format)?;
        let mut form = Form::new().text("file_name", request.file_name.clone()).part("file", file);
        for (name, value) in [("folder", &request.folder), ("custom_id", &request.custom_id)] {
            if let Some(value) = value {
                form = form.text(name, value.clone());
            }
        }
        for tag in &request.tags {
            form = form.text("tags[]", tag.clone());
        }
        if let Some(metadata) = &request.metadata {
            form = form.text("metadata", serde_json::Value::Object(metadata.clone()).to_string());
        }
        if request.random_prefix {
            form = form.text("random_prefix", "true");
        }
        json(self.call(Method::POST, &["uploads"]).multipart(form)).await
    }

    /// Sends a range of a file to a part URL, with the SHA-256 that the receiver compares. Returns the part's ETag without quotes.
    pub(crate) async fn put_part(&self, url: &str, body: PartBody, sha256: Option<&[u8; 32]>) -> Result<String, Error> {
        let part_bytes = body.left_bytes();
        let body = reqwest::Body::wrap(body);
        let mut request = self.http.put(url).header(CONTENT_TYPE, "application/octet-stream").body(body);
        if let Some(sha256) = sha256 {
            // RFC 9530; the base64 between colons is how RFC 9651 writes bytes.
            request = request.header("content-digest", format!("sha-256=:{}:", STANDARD.encode(sha256)));
        }
        let sent = connection_error::send(request).await.map_err(|error| self.at_the_store(url, error))?;
        let answer = checked(sent).await.map_err(|error| error.of_part(part_bytes))?;
        // Some proxies answer 200 themselves when a body breaks off. An answer of the server or the store has an ETag.
        let Some(etag) = answer.headers().get(ETAG) else {
            let status = answer.status().as_u16();
            return Err(Error::Connection(format!("{status} without an ETag: not the server's answer to a part")));
        };
        Ok(String::from_utf8_lossy(etag.as_bytes()).trim_matches('"').to_owned())
    }

    /// Names the store in errors of part URLs that point to one, so that the server's address is not blamed.
    fn at_the_store(&self, url: &str, error: Error) -> Error {
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        let is_elsewhere = Url::parse(url).is_ok_and(|url| place(&url) != place(&self.base));
        match is_elsewhere && error.is_of_connection() && !matches!(error, Error::Elsewhere { .. }) {
            true => Error::Elsewhere { why: "the server has the parts sent there".to_owned(), source: Box::new(error) },
            false => error,
        }
    }

    /// A GET of a public URL. It is not an API call, so the key is not sent.
    pub(crate) fn get_public(&self, url: Url) -> RequestBuilder {
        self.http.get(url)
    }

    /// An API call; `segments` are those of its path below `/api/v1`.
    pub(crate) fn call(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.call_with_query(method, segments, &[])
    }

    /// An API call with a query.
    pub(crate) fn call_with_query(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        // Never fails: http and https URLs have a path to extend.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).bearer_auth(&self.key).timeout(CALL_TIMEOUT)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, Error> {
    let found = Certificate::from_pem_bundle(pem).map_err(|error| Error::Authorities(error.to_string()))?;
    match found.is_empty() {
        true => Err(Error::Authorities("it has no certificate in PEM form".to_owned())),
        false => Ok(found),
    }
}

/// Sends a call and reads the JSON of its answer.
pub(crate) async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    let mut response = checked(connection_error::send(request).await?).await?;
    let (status, url) = (response.status(), without_query(response.url()));
    let Some(text) = read_up_to(&mut response, MAX_ANSWER_BYTES).await? else {
        return Err(unexpected(status, &url, &format!("an answer of more than {MAX_ANSWER_BYTES} bytes")));
    };
    serde_json::from_slice(&text).map_err(|error| match text.trim_ascii_start().starts_with(b"{") {
        true => unexpected(status, &url, &format!("the answer is not as expected: {error}")),
        // Something else answers there.
        false => unexpected(status, &url, &String::from_utf8_lossy(&text)),
    })
}

/// The rest of an answer; `None` when it exceeds `max_bytes`.
async fn read_up_to(response: &mut Response, max_bytes: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if chunk.len() > max_bytes - bytes.len() {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// Sends a call whose answer has no body.
pub(crate) async fn done(request: RequestBuilder) -> Result<(), Error> {
    checked(connection_error::send(request).await?).await.map(drop)
}

/// The response if it is a success; otherwise its error.
pub(crate) async fn checked(mut response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let url = without_query(response.url());
    let text = tokio::time::timeout(REFUSAL_TIMEOUT, read_up_to(&mut response, MAX_REFUSAL_BYTES)).await;
    let text = text.ok().and_then(Result::ok).flatten().unwrap_or_default();
    match serde_json::from_slice::<ErrorBody>(&text) {
        Ok(body) => Err(Error::Refused { body: Box::new(body), retry_after: retry_after.map(Duration::from_secs) }),
        Err(_) => Err(unexpected(status, &url, &String::from_utf8_lossy(&text))),
    }
}

/// The URL without its query, which in a part URL is a permission.
fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}

fn unexpected(status: StatusCode, url: &Url, text: &str) -> Error {
    Error::Unexpected { status: status.as_u16(), url: url.to_string(), text: gist(status, text) }
}

/// A summary of an answer that is not Partway's: the title of an HTML page, or the beginning of the text.
fn gist(status: StatusCode, text: &str) -> String {
    let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let words: Vec<_> = title.map_or(text, |(title, _)| title).split_whitespace().collect();
    if words.is_empty() {
        return status.canonical_reason().unwrap_or("no text").to_owned();
    }
    words.join(" ").chars().take(SHOWN_CHARS).collect()
}
