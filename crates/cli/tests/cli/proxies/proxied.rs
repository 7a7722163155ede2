//! A server, and what its clients see of it: a proxy in front.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::kinds::{Front, Http2, Kind, PublicPath};
use super::proxy::{Change, Proxy};
use super::tap::Tap;
use crate::server::{Server, bytes, curl, free_addresses, fresh, partway, post, run, text};

/// How long is waited for something that is to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The version of HTTP between curl and the proxy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// An answer as curl saw it.
pub(super) struct Answer {
    pub status: u16,
    /// In small letters.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        text(&self.body)
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

pub(super) struct Proxied {
    pub kind: Kind,
    pub proxy: Proxy,
    /// Between the two, if the test asked for it.
    tap: Option<Tap>,
    pub server: Server,
    pub key: String,
    pub address: String,
    tls: String,
    path: PublicPath,
    pub directory: TempDir,
}

impl Proxied {
    pub(super) fn start(kind: Kind, path: PublicPath, changes: &[Change<'_>]) -> Self {
        Self::start_with(kind, path, changes, &[], false)
    }

    /// With a tap between proxy and server.
    pub(super) fn start_tapped(kind: Kind) -> Self {
        Self::start_with(kind, PublicPath::None, &[], &[], true)
    }

    /// With limits for each address.
    pub(super) fn start_limited(kind: Kind, limits: &[(&str, &str)]) -> Self {
        Self::start_with(kind, PublicPath::None, &[], limits, false)
    }

    fn start_with(
        kind: Kind,
        path: PublicPath,
        changes: &[Change<'_>],
        environment: &[(&str, &str)],
        is_tapped: bool,
    ) -> Self {
        let (directory, data_dir) = fresh();
        let [address, tls, listen] = free_addresses();
        let server = serve(&data_dir, &address, &listen, path, environment);
        let key = server.private_key();
        let tap = is_tapped.then(|| Tap::start(&listen));
        let next = tap.as_ref().map_or(&listen, |tap| &tap.address);
        let proxy = (kind.start)(&Front { address: &address, tls: &tls, server: next, path, changes });
        Self { kind, proxy, tap, server, key, address, tls, path, directory }
    }

    pub(super) fn tap(&self) -> &Tap {
        self.tap.as_ref().unwrap()
    }

    /// Ends the proxy and starts it with other changes.
    pub(super) fn restart_proxy(&mut self, changes: &[Change<'_>]) {
        self.proxy.end();
        let (address, tls, server, path) = (&self.address, &self.tls, &self.server.address, self.path);
        self.proxy = (self.kind.start)(&Front { address, tls, server, path, changes });
    }

    /// Ends the server, and calls `meanwhile` before it starts again.
    pub(super) fn restart_server(&mut self, meanwhile: impl FnOnce()) {
        self.server.kill();
        meanwhile();
        let data_dir = self.directory.path().join("data");
        let listen = self.server.address.clone();
        self.server = serve(&data_dir, &self.address, &listen, self.path, &[]);
    }

    pub(super) fn file(&self, name: &str, seed: u64, length: usize) -> (PathBuf, Vec<u8>) {
        let (path, data) = (self.directory.path().join(name), bytes(seed, length));
        std::fs::write(&path, &data).unwrap();
        (path, data)
    }

    /// `partway upload`, to the public URL.
    pub(super) fn upload(&self, file: &Path) -> Output {
        partway()
            .arg("upload")
            .arg(file)
            .args(["--json", "--url", &self.server.url, "--key", &self.key])
            .output()
            .unwrap()
    }

    /// The same, which must succeed: the record.
    pub(super) fn uploaded(&self, file: &Path) -> Value {
        let output = self.upload(file);
        assert!(output.status.success(), "{}{}", text(&output.stderr), self.proxy.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A new upload in parts of 1 MiB.
    pub(super) fn start_upload(&self, name: &str, size: usize) -> Value {
        let body = json!({"file_name": name, "size": size, "format": "bin", "part_size": 1_048_576}).to_string();
        let (status, answer) = post(&self.server, &self.key, "start", &body);
        assert_eq!(status, 201, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// The URL, which must be below the public one.
    pub(super) fn public<'u>(&self, url: &'u Value) -> &'u str {
        let url = url.as_str().unwrap();
        assert!(url.starts_with(&format!("{}/", self.server.url)), "{url} is not below {}", self.server.url);
        url
    }

    /// Path and query of a public URL.
    pub(super) fn target<'u>(&self, url: &'u Value) -> &'u str {
        self.public(url).strip_prefix(&format!("http://{}", self.address)).unwrap()
    }

    /// The key as a header, for curl.
    pub(super) fn key_header(&self) -> String {
        format!("x-api-key: {}", self.key)
    }

    /// curl, with a public URL.
    pub(super) fn command(&self, version: Version, arguments: &[&str], url: &str) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--path-as-is"]).args(arguments);
        let plain = format!("http://{}", self.address);
        match (version, self.kind.http2) {
            (Version::Http1, _) => command.args(["--http1.1", url]),
            (Version::Http2, Http2::OverTls) => {
                command.args(["--http2", "--insecure", &url.replace(&plain, &format!("https://{}", self.tls))])
            }
            (Version::Http2, Http2::WithoutTls) => command.args(["--http2-prior-knowledge", url]),
        };
        command
    }

    /// A request by curl, which must get an answer in the version of HTTP.
    pub(super) fn ask(&self, version: Version, arguments: &[&str], url: &str) -> Answer {
        let directory = tempfile::tempdir_in(self.directory.path()).unwrap();
        let (head, body) = (directory.path().join("head"), directory.path().join("body"));
        let mut command = self.command(version, arguments, url);
        command.arg("--dump-header").arg(&head).arg("--output").arg(&body);
        let output = run(command.args(["--write-out", "%{http_code} %{http_version}"]));
        let (status, spoken) = text(&output.stdout).split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(spoken, if version == Version::Http1 { "1.1" } else { "2" }, "{}: {url}", self.kind.name);
        let head = std::fs::read_to_string(head).unwrap().to_ascii_lowercase();
        // The last one, after any `100 Continue`.
        let head = head.trim_end().rsplit("\r\n\r\n").next().unwrap().to_owned();
        Answer { status: status.parse().unwrap(), head, body: std::fs::read(body).unwrap_or_default() }
    }

    /// Fetches a URL of the server's.
    pub(super) fn fetch(&self, url: &Value, arguments: &[&str]) -> Answer {
        self.ask(Version::Http1, arguments, self.public(url))
    }

    /// Completes an upload: the record.
    pub(super) fn complete(&self, session: &Value) -> Value {
        let body = json!({"session_id": session["session_id"]}).to_string();
        let (status, record) = post(&self.server, &self.key, "complete", &body);
        assert_eq!(status, 201, "{record}");
        serde_json::from_str(&record).unwrap()
    }

    /// The indexes of the parts that the server does not have.
    pub(super) fn missing_parts(&self, session: &Value) -> Value {
        let url = format!("{}/api/v1/multipart/{}", self.server.url, session["session_id"].as_str().unwrap());
        let (status, answer) = curl(&["--header", &self.key_header(), &url]);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["missing_parts"].take()
    }

    /// A connection to the proxy.
    pub(super) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// Requests that the server has ended, by what the log says of them.
    pub(super) fn ended(&self, method: &str, path: &str) -> usize {
        let (method, path) = (format!(" method={method} "), format!("{path}\" status="));
        self.server.log().lines().filter(|line| line.contains(&method) && line.contains(&path)).count()
    }

    /// Waits until something is so.
    pub(super) fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            let logs = || format!("{}\n{}", self.proxy.log(), self.server.log());
            assert!(begin.elapsed() < PATIENCE, "{}: {what}: {}", self.kind.name, logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(data_dir: &Path, address: &str, listen: &str, path: PublicPath, environment: &[(&str, &str)]) -> Server {
    let prefix = if path == PublicPath::None { "" } else { "/files" };
    let url = format!("http://{address}{prefix}");
    // Contents may be kept by caches: so those in front of the server are seen to keep what they may.
    let own = [("PARTWAY_HTTP_STALL_TIMEOUT_SECONDS", "2"), ("PARTWAY_DELIVERY_CACHE_CONTROL", "public, max-age=60")];
    Server::start_with(data_dir, &["--listen", listen, "--public-url", &url], &[&own, environment].concat())
}
