//! A server for one test, and the client's side of an upload.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use partway_server::model::StorageKind;
use partway_server::service::bootstrap::FirstRun;
use partway_server::{App, Config};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::services::{Database, Services};

pub(crate) const MIB: u64 = 1024 * 1024;

/// A running server. Dropping it checks that every byte on the disk is accounted for.
pub(crate) struct TestApp {
    /// Away while it restarts.
    app: Option<App>,
    config: Config,
    pub address: SocketAddr,
    pub private_key: String,
    pub public_key: String,
    pub workspace_no: String,
    pub http: reqwest::Client,
    pub directory: TempDir,
    /// The database, as seen from outside.
    pub database: Database,
    pub stop: CancellationToken,
    pub running: Option<JoinHandle<()>>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server on local storage, which receives the parts itself, independent of the storage under test.
    pub(crate) async fn start_local() -> Self {
        Self::start_local_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Services::of_this_run(), configure).await
    }

    pub(crate) async fn start_local_with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Services { s3: false, ..Services::of_this_run() }, configure).await
    }

    /// On these services.
    pub(crate) async fn start_on(services: Services, configure: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::with_data_dir(directory.path());
        config.storage.reserve = false;
        let database = services.configure(&mut config, directory.path());
        configure(&mut config);
        let (app, address, stop, running, first_run) = launch(config.clone()).await;
        let FirstRun { workspace, private_key, public_key } = first_run.expect("the directory is new");
        Self {
            app: Some(app),
            config,
            address,
            private_key: private_key.key,
            public_key: public_key.key,
            workspace_no: workspace.workspace_no,
            http: client(),
            directory,
            database,
            stop,
            running: Some(running),
        }
    }

    /// The server's state, for access without the API.
    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(&self.private_key)
    }

    /// A request with any key.
    pub(crate) fn request_with(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(key)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    /// Starts an upload of `size` bytes, with the members of `more`.
    pub(crate) async fn upload(&self, size: u64, more: Value) -> Session {
        let mut body = json!({"file_name": "file.bin", "size": size, "format": "application/octet-stream"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let response = self.post("/api/v1/multipart/start", &body).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        Session { start: response.json().await.unwrap() }
    }

    /// Uploads `bytes` whole and returns the record.
    pub(crate) async fn upload_whole(&self, bytes: &[u8], more: Value) -> Value {
        let session = self.upload(bytes.len() as u64, more).await;
        session.put_all(self, bytes).await;
        let response = session.complete(self).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        response.json().await.unwrap()
    }

    pub(crate) async fn put(&self, url: &str, bytes: &[u8]) -> Response {
        self.http.put(url).body(bytes.to_vec()).send().await.unwrap()
    }

    pub(crate) async fn get(&self, url: &str) -> Response {
        self.http.get(url).send().await.unwrap()
    }

    /// Sends bytes as they are and returns what comes back until the server closes, or nothing comes for a second.
    pub(crate) async fn raw(&self, bytes: impl Into<Vec<u8>>) -> String {
        let (address, bytes) = (self.address, bytes.into());
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&bytes).unwrap();
            read_available(&mut stream)
        })
        .await
        .unwrap()
    }

    /// A look at the database from outside.
    pub(crate) fn count(&self, table_and_condition: &str) -> i64 {
        self.database.number(&format!("SELECT count(*) FROM {table_and_condition}"))
    }

    /// Whether the server itself receives the parts.
    pub(crate) fn is_local(&self) -> bool {
        self.app().stores.primary == StorageKind::Local
    }

    /// Where a record says that the file is.
    pub(crate) fn url_of(&self, record: &Value) -> String {
        record["url"].as_str().unwrap().to_owned()
    }

    /// The record's file has exactly these bytes, and its hash says so where the bytes passed the server.
    pub(crate) async fn assert_bytes(&self, record: &Value, bytes: &[u8]) {
        let hash = if self.is_local() { json!(format!("blake3:{}", blake3::hash(bytes))) } else { Value::Null };
        assert_eq!(record["hash"], hash, "{record}");
        assert_eq!(record["size"], bytes.len());
        let served = self.get(&self.url_of(record)).await;
        assert_eq!(served.status(), 200);
        assert!(served.bytes().await.unwrap() == bytes, "other bytes are served");
    }

    /// No bytes of a refused request are left.
    pub(crate) fn assert_nothing_left(&self) {
        for table in ["sessions", "parts", "files", "folders WHERE path <> ''", "garbage", "deliveries"] {
            assert_eq!(self.count(table), 0, "rows of {table}");
        }
        assert_eq!(self.blobs(), BTreeSet::new());
    }

    /// Whether the blobs on the disk are this many.
    pub(crate) fn has_blobs(&self, number: usize) -> bool {
        self.blobs().len() == number
    }

    /// Contents of the storage: files of the data directory, objects and unfinished uploads of the bucket.
    fn blobs(&self) -> BTreeSet<String> {
        let mut blobs = blobs(self.directory.path());
        if let Some(bucket) = self.config.storage.s3() {
            blobs.extend(crate::services::blobs_in(&bucket));
        }
        blobs
    }

    /// Text from the database.
    pub(crate) fn text(&self, query: &str) -> String {
        self.database.text(query)
    }

    /// Starts again with other settings.
    pub(crate) async fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    /// Changes the database without the server.
    pub(crate) fn sql(&self, statement: &str) {
        self.database.execute(statement);
    }

    /// Waits until `ready` is true; fails after a minute, which a loaded machine may need.
    pub(crate) async fn until(&self, what: &str, ready: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !ready(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "{what} did not happen in a minute");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the server in the orderly way, and starts another on the same directory.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(|_| {}).await;
    }

    /// The same, doing something to the directory while no server runs.
    pub(crate) async fn restart_after(&mut self, meanwhile: impl FnOnce(&Self)) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
        self.app = None;
        meanwhile(self);
        self.http = client();
        let (app, address, stop, running, first_run) = launch(self.config.clone()).await;
        assert!(first_run.is_none(), "starting again must make nothing");
        (self.app, self.address, self.stop, self.running) = (Some(app), address, stop, Some(running));
    }
}

/// Another server on the same database and bucket.
pub(crate) struct Node {
    app: App,
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl TestApp {
    pub(crate) async fn another_node(&self) -> Node {
        let (app, address, stop, running, first_run) = launch(self.config.clone()).await;
        assert!(first_run.is_none());
        Node { app, address, stop, running }
    }

    /// Starts an upload at another node; the path of its session.
    pub(crate) async fn upload_on(&self, node: &Node, size: u64) -> String {
        let body = json!({"file_name": "elsewhere", "size": size, "format": "bin"});
        let (status, started) = node.call(self, Method::POST, "/api/v1/multipart/start", Some(&body)).await;
        assert_eq!(status, 201, "{started}");
        format!("/api/v1/multipart/{}", started["session_id"].as_str().unwrap())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
}

impl Node {
    /// A request of the API: status and answer.
    pub(crate) async fn call(&self, app: &TestApp, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request =
            app.http.request(method, format!("http://{}{path}", self.address)).bearer_auth(&app.private_key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// The node's state, for access without the API.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn id(&self) -> String {
        self.app.node.to_string()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // A server that ran on while the test does would find that its directory is gone, and end the process.
        self.stop.cancel();
        if !std::thread::panicking() {
            self.assert_accounted();
        }
    }
}

async fn launch(config: Config) -> (App, SocketAddr, CancellationToken, JoinHandle<()>, Option<FirstRun>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut opened = App::open(config.clone(), address).await;
    for _ in 0..2000 {
        if opened.is_ok() {
            break;
        }
        // The connections of a server that just stopped may hold its lock a moment longer.
        tokio::time::sleep(Duration::from_millis(10)).await;
        opened = App::open(config.clone(), address).await;
    }
    let (app, first_run) = opened.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(partway_server::run(app.clone(), listener, stop.clone()));
    (app, address, stop, running, first_run)
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).build().unwrap()
}

/// A client that shows redirects instead of following them.
pub(crate) fn client_without_redirects() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Bytes that come until the other side closes, or is silent for a second after it began. It has a minute to begin.
pub(crate) fn read_available(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn blobs(directory: &Path) -> BTreeSet<String> {
    let shards = std::fs::read_dir(directory.join("blobs")).into_iter().flatten();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

impl TestApp {
    /// Every blob has an owner, and every owner its blob.
    fn assert_accounted(&self) {
        let stored = self.blobs();
        let garbage = self.database.texts("SELECT blob_id FROM garbage");
        let owners = self
            .database
            .texts("SELECT blob_id FROM files UNION SELECT blob_id FROM sessions WHERE status = 'uploading'");
        // The last round of the cleaner may be under way: what is judged was so before and is so afterwards.
        let stored_now = self.blobs();
        let garbage_now = self.database.texts("SELECT blob_id FROM garbage");
        let is_garbage = |id: &String| garbage.contains(id) || garbage_now.contains(id);
        let both = stored.intersection(&stored_now);
        let orphans: Vec<_> = both.filter(|id| !owners.contains(*id) && !is_garbage(id)).collect();
        assert!(orphans.is_empty(), "blobs that nobody owns: {orphans:?}");
        let has_blob = |id: &String| stored.contains(id) || stored_now.contains(id);
        let lost: Vec<_> = owners.iter().filter(|id| !has_blob(id) && !is_garbage(id)).collect();
        assert!(lost.is_empty(), "owners without a blob: {lost:?}");
        self.assert_tags_agree();
    }

    /// Files are found by exactly the tags that they have, with what their rows say.
    fn assert_tags_agree(&self) {
        let columns = "folder_id || ' ' || CAST(created_at AS TEXT) || ' ' || CAST(updated_at AS TEXT) || ' ' || \
                       CAST(size_bytes AS TEXT) || ' ' || name_folded";
        // In one statement: the cleaner may be at work.
        let rows = self.database.texts(&format!(
            "SELECT 'file' || tags || '\n' || id || ' ' || {columns} FROM files \
             UNION ALL SELECT 'tag ' || tag || '\n' || file_id || ' ' || {columns} FROM file_tags"
        ));
        let (files, found): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.starts_with("file"));
        let said = files.iter().flat_map(|row| {
            let (tags, file) = row["file".len()..].split_once('\n').unwrap();
            let tags: Vec<String> = serde_json::from_str(tags).unwrap();
            tags.into_iter().map(move |tag| format!("tag {tag}\n{file}"))
        });
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), said.collect());
    }
}

/// A session as start answered it.
pub(crate) struct Session {
    pub start: Value,
}

impl Session {
    /// Waits until the life that the start gave it is over.
    pub(crate) async fn until_expired(&self) {
        let expires = Duration::from_secs(self.start["expire_at"].as_u64().unwrap());
        // Its second has to be over as well.
        let ends = SystemTime::UNIX_EPOCH + expires + Duration::from_millis(1100);
        tokio::time::sleep(ends.duration_since(SystemTime::now()).unwrap_or_default()).await;
    }

    pub(crate) fn id(&self) -> &str {
        self.start["session_id"].as_str().unwrap()
    }

    pub(crate) fn part_url(&self, index: usize) -> &str {
        self.start["parts"][index].as_str().unwrap()
    }

    /// Path and query of a part's URL.
    pub(crate) fn part_path(&self, index: usize) -> &str {
        let url = self.part_url(index);
        &url[url.find("/api/v1/multipart/").unwrap()..]
    }

    pub(crate) fn parts(&self) -> usize {
        self.start["parts"].as_array().unwrap().len()
    }

    pub(crate) fn part<'b>(&self, bytes: &'b [u8], index: usize) -> &'b [u8] {
        let size = usize::try_from(self.start["part_size"].as_u64().unwrap()).unwrap();
        bytes.chunks(size).nth(index).unwrap()
    }

    pub(crate) async fn put_part(&self, app: &TestApp, bytes: &[u8], index: usize) {
        let response = app.put(self.part_url(index), self.part(bytes, index)).await;
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
    }

    /// Sends all parts, the last one first.
    pub(crate) async fn put_all(&self, app: &TestApp, bytes: &[u8]) {
        for index in (0..self.parts()).rev() {
            self.put_part(app, bytes, index).await;
        }
    }

    /// Path of the session itself.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/multipart/{}", self.id())
    }

    pub(crate) async fn status(&self, app: &TestApp) -> Value {
        let response = app.request(Method::GET, &self.path()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        response.json().await.unwrap()
    }

    pub(crate) async fn resign(&self, app: &TestApp, body: &Value) -> Response {
        app.post(&format!("{}/parts", self.path()), body).await
    }

    pub(crate) async fn abort(&self, app: &TestApp) -> Response {
        app.request(Method::DELETE, &self.path()).send().await.unwrap()
    }

    pub(crate) async fn complete(&self, app: &TestApp) -> Response {
        app.post("/api/v1/multipart/complete", &json!({"session_id": self.id()})).await
    }
}

/// Bytes that differ everywhere and from seed to seed.
pub(crate) fn bytes(seed: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The error has this status and code, and its message names all of these.
pub(crate) async fn assert_error(response: Response, status: u16, code: &str, named: &[&str]) -> Value {
    assert_eq!(response.status(), status, "expected {code}");
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert_eq!(body["errorCode"], code, "{body}");
    assert_eq!(body["success"], false);
    assert_eq!(body["requestId"], request_id.as_str());
    assert!(!body["error"].as_str().unwrap().is_empty());
    for name in named {
        assert!(body["message"].as_str().unwrap().contains(name), "{name:?} is not in {body}");
    }
    body
}
