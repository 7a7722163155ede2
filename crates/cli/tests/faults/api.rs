//! A client of the API that expects the server to go away at any moment.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::settings::Settings;

/// How long a server may be away before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// The server at one address, whichever process answers there.
#[derive(Clone)]
pub(crate) struct Api {
    http: Client,
    base: String,
    key: String,
}

impl Api {
    pub(crate) fn new(base: &str, key: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().tls_certs_only([]).timeout(Duration::from_secs(30)).build().unwrap();
        Self { http, base: base.to_owned(), key: key.to_owned() }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// One request; `Err` when there was no answer.
    pub(crate) async fn once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        self.named(method, path, body, None).await
    }

    async fn named(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<(u16, Value), String> {
        let mut request =
            self.http.request(method, format!("{}/api/v1/multipart{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        answer(request.send().await.map_err(|error| error.to_string())?).await
    }

    /// A start, once: `None` when there was no answer.
    pub(crate) async fn named_once(&self, body: &Value, idempotency_key: &str) -> Option<Value> {
        let answer = self.named(Method::POST, "/start", Some(body), Some(idempotency_key)).await.ok()?;
        (answer.0 == 201).then_some(answer.1)
    }

    /// A POST: status, `Retry-After`, and answer. A connection that breaks fails the test.
    pub(crate) async fn with_retry_after(&self, path: &str, body: &Value) -> (u16, Option<String>, Value) {
        let request = self.http.post(format!("{}/api/v1/multipart{path}", self.base)).bearer_auth(&self.key);
        let response = request.json(body).send().await.unwrap();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let (status, answer) = answer(response).await.unwrap();
        (status, retry_after, answer)
    }

    /// The answer of whichever process gives one.
    pub(crate) async fn until_answered(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        persistently(|| self.once(method.clone(), path, body)).await
    }

    /// Starts an upload, once, however often that takes.
    pub(crate) async fn start(&self, body: &Value, idempotency_key: &str) -> Value {
        let start = || self.named(Method::POST, "/start", Some(body), Some(idempotency_key));
        let (status, answer) = persistently(start).await;
        assert_eq!(status, 201, "{answer}");
        answer
    }

    /// Sends a part, once; `Err` when there was no answer.
    pub(crate) async fn put(&self, url: &str, bytes: &[u8]) -> Result<(u16, Value), String> {
        let sent = self.http.put(url).body(bytes.to_vec()).send().await;
        answer(sent.map_err(|error| error.to_string())?).await
    }

    /// A whole file in one request, whose length is announced or not: status and answer; `Err` when there was none.
    pub(crate) async fn upload_directly(
        &self,
        name: &str,
        bytes: Vec<u8>,
        announced: bool,
    ) -> Result<(u16, Value), String> {
        self.send_form("", name, bytes, announced).await
    }

    /// The same into a folder.
    pub(crate) async fn upload_into(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<(u16, Value), String> {
        self.send_form(folder, name, bytes, true).await
    }

    async fn send_form(
        &self,
        folder: &str,
        name: &str,
        bytes: Vec<u8>,
        announced: bool,
    ) -> Result<(u16, Value), String> {
        let boundary = "partway-test-boundary";
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file_name\"\r\n\r\n{name}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"folder\"\r\n\r\n{folder}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
        );
        let body = [head.into_bytes(), bytes, format!("\r\n--{boundary}--\r\n").into_bytes()].concat();
        let body = match announced {
            true => body.into(),
            false => {
                let pieces: Vec<_> = body.chunks(64 * 1024).map(|piece| Ok::<_, String>(piece.to_vec())).collect();
                reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
            }
        };
        let request = self.http.post(format!("{}/api/v1/uploads", self.base)).bearer_auth(&self.key);
        let request = request.header("Content-Type", format!("multipart/form-data; boundary={boundary}")).body(body);
        answer(request.send().await.map_err(|error| error.to_string())?).await
    }

    /// A request of the API by its path after `/api/v1`; `Err` when there was no answer.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<(u16, Value), String> {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.key);
        answer(request.send().await.map_err(|error| error.to_string())?).await
    }

    /// Makes a folder at the root: the status.
    pub(crate) async fn make_folder(&self, name: &str) -> u16 {
        let request = self.http.post(format!("{}/api/v1/folders", self.base)).bearer_auth(&self.key);
        request.json(&json!({"name": name})).send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn status(&self, id: &str) -> Value {
        let (status, answer) = self.until_answered(Method::GET, &format!("/{id}"), None).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub(crate) async fn complete(&self, id: &str) -> (u16, Value) {
        self.until_answered(Method::POST, "/complete", Some(&json!({"session_id": id}))).await
    }

    /// The bytes of a file.
    pub(crate) async fn fetch(&self, url: &str) -> Vec<u8> {
        let fetch = || async {
            let response = self.http.get(url).send().await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let bytes = response.bytes().await.map_err(|error| error.to_string())?;
            Ok((status, bytes.to_vec()))
        };
        let (status, bytes) = persistently(fetch).await;
        assert_eq!(status, 200, "{url}");
        bytes
    }
}

async fn answer(response: Response) -> Result<(u16, Value), String> {
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(|error| error.to_string())?;
    Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// Tries until there is an answer that is not a server's failure.
async fn persistently<T, F: Future<Output = Result<(u16, T), String>>>(attempt: impl Fn() -> F) -> (u16, T) {
    let began = std::time::Instant::now();
    loop {
        match attempt().await {
            Ok((status, answer)) if status < 500 => return (status, answer),
            Ok((status, _)) => assert!(began.elapsed() < PATIENCE, "{status} for a minute"),
            Err(error) => assert!(began.elapsed() < PATIENCE, "no answer for a minute: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Indices in a member of an answer.
pub(crate) fn indices(answer: &Value, member: &str) -> Vec<usize> {
    answer[member].as_array().unwrap().iter().map(|index| index.as_u64().unwrap() as usize).collect()
}

/// The report of `partway fsck --deep` on a directory, and its exit code.
pub(crate) fn fsck(data_dir: &Path, more: &[&str]) -> (i32, Value) {
    Settings::of(&[]).fsck(data_dir, more)
}
