//! The files of deploy/nginx and deploy/caddy in front of a real server. They run as they are, but for what everybody
//! changes in them: addresses, the path, where the log is, and the settings whose effect is shown.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, bytes, curl, free_address, fresh, partway, post, run, start, text};

/// How long a proxy may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// Two whole parts and a piece.
const FILE_BYTES: usize = 25_000_000;

/// A replacement for the line of a configuration file with this beginning, spaces aside.
type Change<'c> = (&'c str, &'c str);

/// Settings of every nginx: where it may write, and its SITE.
const NGINX_MAIN: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {}
http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    SITE
}
";
/// The files of deploy/nginx, with the relevant settings of Debian's nginx.conf.
const NGINX_DEPLOYED: &str = "
    gzip on;
    include partway.conf;
";
/// An nginx that caches all it may, as its manual shows it.
const NGINX_CACHE: &str = "
    access_log access.log;
    proxy_cache_path cache keys_zone=all:1m;
    server {
        listen ADDRESS;
        location / {
            proxy_pass http://SERVER;
            proxy_cache all;
            proxy_cache_valid any 10m;
            add_header x-cache $upstream_cache_status always;
        }
    }
";
/// A Varnish with a backend, which marks answers from its cache.
const VARNISH: &str = "vcl 4.1;
backend partway { .host = \"HOST\"; .port = \"PORT\"; }
sub vcl_deliver {
    if (obj.hits > 0) { set resp.http.x-cache = \"HIT\"; } else { set resp.http.x-cache = \"MISS\"; }
}
";
/// Settings of Caddy in addition to deploy/caddy.
const CADDY_MAIN: &str = "{
	admin off
}
";
const CADDY_LIMIT: &str = "handle /* {\nrequest_body {\nmax_size 1MB\n}";

/// A proxy's process. Dropping it ends it.
pub(crate) struct Proxy {
    process: Child,
    directory: TempDir,
}

impl Proxy {
    /// nginx at `address`, with the files of deploy/nginx.
    fn nginx(address: &str, server: &str, changes: &[Change<'_>]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (listen, upstream) = (format!("listen {address};"), format!("server {server};"));
        let own = [
            ("listen 80;", listen.as_str()),
            ("server 127.0.0.1:8080;", &upstream),
            ("access_log /var/log/nginx/partway.log partway;", "access_log access.log partway;"),
        ];
        // Each setting is in one of the two files.
        let changes = |file: &str| -> Vec<Change<'_>> {
            own.iter().chain(changes).copied().filter(|(line, _)| has_line(file, line)).collect()
        };
        let (site, settings) = (deployed("nginx/partway.conf"), deployed("nginx/partway-proxy.conf"));
        write(&directory, "partway.conf", &changed(&site, &changes(&site)));
        write(&directory, "snippets/partway-proxy.conf", &changed(&settings, &changes(&settings)));
        Self::start_nginx(directory, address, NGINX_DEPLOYED)
    }

    /// An nginx at `address` that caches.
    fn nginx_cache(address: &str, server: &str, _: &[Change<'_>]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let site = NGINX_CACHE.replace("ADDRESS", address).replace("SERVER", server);
        Self::start_nginx(directory, address, &site)
    }

    /// nginx at `address`, with this site.
    pub(crate) fn start_nginx(directory: TempDir, address: &str, site: &str) -> Self {
        write(&directory, "nginx.conf", &NGINX_MAIN.replace("SITE", site));
        let path = directory.path();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(path).arg("-c").arg(path.join("nginx.conf")).arg("-e").arg(path.join("error.log"));
        Self::start(command, directory, address)
    }

    /// Varnish at `address`, with nothing but a backend.
    fn varnish(address: &str, server: &str, _: &[Change<'_>]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (host, port) = server.split_once(':').unwrap();
        write(&directory, "varnish.vcl", &VARNISH.replace("HOST", host).replace("PORT", port));
        let path = directory.path();
        let mut command = Command::new("varnishd");
        command.args(["-F", "-j", "none", "-a", address, "-s", "malloc,64m", "-f"]).arg(path.join("varnish.vcl"));
        command.arg("-n").arg(path.join("work"));
        Self::start(command, directory, address)
    }

    /// Caddy at `address`, with the file of deploy/caddy.
    fn caddy(address: &str, server: &str, changes: &[Change<'_>]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (site, upstream) = (format!("http://{address} {{\nbind 127.0.0.1"), format!("reverse_proxy {server} {{"));
        let own = [("files.example.com {", site.as_str()), ("reverse_proxy 127.0.0.1:8080 {", &upstream)];
        let changes: Vec<_> = own.iter().chain(changes).copied().collect();
        write(&directory, "Caddyfile", &format!("{CADDY_MAIN}{}", changed(&deployed("caddy/Caddyfile"), &changes)));
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(directory.path().join("Caddyfile"));
        Self::start(command, directory, address)
    }

    /// Starts it in the directory, and waits until it listens.
    fn start(mut command: Command, directory: TempDir, address: &str) -> Self {
        let output = std::fs::File::create(directory.path().join("output")).unwrap();
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        command.env_clear().env("PATH", path).env("HOME", directory.path()).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs what the tests need"));
        let mut proxy = Self { process, directory };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            let is_alive = proxy.process.try_wait().unwrap().is_none();
            assert!(is_alive && begin.elapsed() < STARTS_WITHIN, "it does not listen: {}", proxy.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// Everything that it said.
    pub(crate) fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        ["output", "error.log", "access.log"].map(read).concat()
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(directory: &TempDir, name: &str, content: &str) {
    let path = directory.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn has_line(file: &str, begin: &str) -> bool {
    file.lines().any(|line| line.trim_start().starts_with(begin))
}

/// The file with each change made. Each changes exactly one line, so a file that is changed and a test that is not
/// do not go unnoticed.
fn changed(file: &str, changes: &[Change<'_>]) -> String {
    let mut lines: Vec<&str> = file.lines().collect();
    for (begin, instead) in changes {
        let mut found = lines.iter_mut().filter(|line| line.trim_start().starts_with(begin));
        *found.next().unwrap_or_else(|| panic!("no line begins with {begin:?} in {file}")) = instead;
        assert!(found.next().is_none(), "several lines begin with {begin:?} in {file}");
    }
    lines.join("\n")
}

/// A server, and what its clients see of it: a proxy in front.
struct Proxied {
    proxy: Proxy,
    server: Server,
    key: String,
    /// Address of the proxy, and its server.
    addresses: [String; 2],
    directory: TempDir,
}

/// `path` is the path of the public URL: empty, or such as `/files`.
fn proxied(proxy: fn(&str, &str, &[Change<'_>]) -> Proxy, path: &str, changes: &[Change<'_>]) -> Proxied {
    let (directory, data_dir) = fresh();
    let addresses = [free_address(), free_address()];
    let url = format!("http://{}{path}", addresses[0]);
    let arguments = ["--listen", &addresses[1], "--public-url", &url];
    // Contents may be kept by caches: so those in front of the server are seen to keep what they may.
    let environment =
        [("PARTWAY_HTTP_STALL_TIMEOUT_SECONDS", "2"), ("PARTWAY_DELIVERY_CACHE_CONTROL", "public, max-age=60")];
    let server = Server::start_with(&data_dir, &arguments, &environment);
    let (key, proxy) = (server.private_key(), proxy(&addresses[0], &addresses[1], changes));
    Proxied { proxy, server, key, addresses, directory }
}

impl Proxied {
    fn file(&self, name: &str, seed: u64, length: usize) -> (PathBuf, Vec<u8>) {
        let (path, data) = (self.directory.path().join(name), bytes(seed, length));
        std::fs::write(&path, &data).unwrap();
        (path, data)
    }

    /// `partway upload`, to the public URL.
    fn upload(&self, file: &Path) -> Output {
        partway()
            .arg("upload")
            .arg(file)
            .args(["--json", "--url", &self.server.url, "--key", &self.key])
            .output()
            .unwrap()
    }

    /// Fetches a URL of the server's into a file, and returns the bytes.
    fn fetch(&self, url: &Value, arguments: &[&str]) -> (String, Vec<u8>) {
        let (url, copy) = (self.public(url), self.directory.path().join("copy"));
        let fetched = run(Command::new("curl")
            .args(["--silent", "--dump-header", "-", "--output"])
            .arg(&copy)
            .args(arguments)
            .arg(url));
        (text(&fetched.stdout).to_ascii_lowercase(), std::fs::read(copy).unwrap())
    }

    /// The URL, which must be below the public one.
    fn public<'u>(&self, url: &'u Value) -> &'u str {
        let url = url.as_str().unwrap();
        assert!(url.starts_with(&format!("{}/", self.server.url)), "{url} is not below {}", self.server.url);
        url
    }
}

/// Uploads by the command line and by curl, and what comes back, whole and in ranges.
fn files_go_up_and_come_back(proxied: &Proxied) {
    let (file, data) = proxied.file("by cli.bin", 1, FILE_BYTES);
    let output = proxied.upload(&file);
    assert!(output.status.success(), "{}{}", text(&output.stderr), proxied.proxy.log());
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
    let (head, fetched) = proxied.fetch(&record["url"], &[]);
    assert!(head.starts_with("http/1.1 200") && fetched == data, "{head}");
    // Over the border of two parts.
    let (head, fetched) = proxied.fetch(&record["url"], &["--range", "10485750-10485769"]);
    assert!(head.starts_with("http/1.1 206"), "{head}");
    assert!(head.contains(&format!("content-range: bytes 10485750-10485769/{FILE_BYTES}")), "{head}");
    assert_eq!(fetched, &data[10_485_750..10_485_770]);

    let (_, data) = proxied.file("by curl.bin", 2, FILE_BYTES);
    let session = start(&proxied.server, &proxied.key, "by-curl.bin", FILE_BYTES);
    let part_size = usize::try_from(session["part_size"].as_u64().unwrap()).unwrap();
    let parts = session["parts"].as_array().unwrap();
    for (url, part) in parts.iter().zip(data.chunks(part_size)) {
        let file = proxied.directory.path().join("part");
        std::fs::write(&file, part).unwrap();
        // A proxy that left `Expect` to nobody would make curl wait longer than it may.
        let patience = ["--header", "Expect: 100-continue", "--expect100-timeout", "60", "--max-time", "30"];
        let arguments = ["--upload-file", file.to_str().unwrap(), proxied.public(url)];
        assert_eq!(curl(&[&patience[..], &arguments].concat()), (200, String::new()));
    }
    let session_id = session["session_id"].as_str().unwrap();
    let (_, resigned) = post(&proxied.server, &proxied.key, &format!("{session_id}/parts"), r#"{"parts":[0]}"#);
    let resigned: Value = serde_json::from_str(&resigned).unwrap();
    proxied.public(&resigned["parts"][0]["url"]);
    let (status, record) =
        post(&proxied.server, &proxied.key, "complete", &json!({"session_id": session_id}).to_string());
    assert_eq!(status, 201, "{record}");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(proxied.fetch(&record["url"], &[]).1, data);
}

#[test]
fn an_upload_through_nginx_comes_back_as_it_was() {
    let proxied = proxied(Proxy::nginx, "", &[]);
    files_go_up_and_come_back(&proxied);
}

#[test]
fn an_upload_through_nginx_with_a_path_prefix_gives_urls_that_work() {
    let proxied = proxied(Proxy::nginx, "/files", &[("location / {", "location /files/ {")]);
    files_go_up_and_come_back(&proxied);
}

#[test]
fn an_upload_through_nginx_that_buffers_requests_comes_back_as_it_was() {
    let proxied = proxied(Proxy::nginx, "", &[("proxy_request_buffering off;", "proxy_request_buffering on;")]);
    files_go_up_and_come_back(&proxied);
    assert!(proxied.proxy.log().contains("a client request body is buffered to a temporary file"));
}

#[test]
fn an_upload_through_caddy_comes_back_as_it_was() {
    let proxied = proxied(Proxy::caddy, "", &[]);
    files_go_up_and_come_back(&proxied);
}

#[test]
fn an_upload_through_caddy_with_a_path_prefix_gives_urls_that_work() {
    let proxied = proxied(Proxy::caddy, "/files", &[("handle /* {", "handle /files/* {")]);
    files_go_up_and_come_back(&proxied);
}

#[test]
fn nginx_keeps_no_byte_of_a_part_or_a_download_on_its_disk_and_no_signature_in_its_log() {
    let proxied = proxied(Proxy::nginx, "", &[]);
    let (file, data) = proxied.file("f.bin", 3, FILE_BYTES);
    let record: Value = serde_json::from_slice(&proxied.upload(&file).stdout).unwrap();
    // Slow enough that nginx would have to put the rest somewhere.
    let (_, fetched) = proxied.fetch(&record["url"], &["--limit-rate", "20M"]);
    assert_eq!(fetched, data);
    let log = proxied.proxy.log();
    assert!(log.contains("\"PUT /api/v1/multipart/") && log.contains("/parts/2\" 200"), "{log}");
    assert!(!log.contains("temporary file") && !log.contains("signature="), "{log}");
}

#[test]
fn nginx_that_compresses_leaves_files_as_they_are() {
    let proxied = proxied(Proxy::nginx, "", &[]);
    let file = proxied.directory.path().join("page.html");
    std::fs::write(&file, "<p>hello</p>".repeat(1000)).unwrap();
    let record: Value = serde_json::from_slice(&proxied.upload(&file).stdout).unwrap();
    let (head, fetched) = proxied.fetch(&record["url"], &["--header", "Accept-Encoding: gzip"]);
    assert_eq!(fetched.len(), 12_000);
    assert!(head.contains("etag: \"") && head.contains("content-length: 12000"), "{head}");
}

#[test]
fn refusals_of_a_bad_part_arrive_through_each_proxy() {
    for proxy in [Proxy::nginx, Proxy::caddy] {
        let proxied = proxied(proxy, "", &[]);
        let session = start(&proxied.server, &proxied.key, "f.bin", 5_000_000);
        let url = proxied.public(&session["parts"][0]);
        let (file, _) = proxied.file("longer.bin", 4, 20_000_000);
        // Not with `Expect`: Caddy then breaks one connection in twenty before the answer has gone.
        let put = |url: &str| curl(&["--header", "Expect:", "--upload-file", file.to_str().unwrap(), url]);
        let (status, answer) = put(url);
        assert!(status == 400 && answer.contains("PART_SIZE_MISMATCH"), "{status} {answer}");
        let (status, answer) = put(&url.replace("signature=", "signature=0"));
        assert!(status == 403 && answer.contains("SIGNATURE_INVALID"), "{status} {answer}");
        // The connections between the two are still good for others.
        assert_eq!(curl(&[&format!("{}/readyz", proxied.server.url)]).0, 200);
        // This one is the proxy's own answer.
        let (status, answer) = curl(&[&format!("{}/metrics", proxied.server.url)]);
        assert!(status == 404 && !answer.contains("errorCode"), "{answer}");
    }
}

#[test]
fn a_stalled_part_is_ended_by_partway_and_not_by_nginx() {
    let proxied = proxied(Proxy::nginx, "", &[]);
    let session = start(&proxied.server, &proxied.key, "f.bin", 5_000_000);
    let path = proxied.public(&session["parts"][0]).strip_prefix(&proxied.server.url).unwrap();
    let mut connection = TcpStream::connect(&proxied.addresses[0]).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(connection, "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n").unwrap();
    connection.write_all(&[0; 1_000_000]).unwrap();
    let mut answer = vec![0; 4096];
    let read = connection.read(&mut answer).unwrap();
    let answer = text(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("x-request-id"), "{answer}");
}

/// A proxy that limits bodies to 1 MB, and the same without the limit.
fn a_limit_is_named_and_the_upload_goes_on_without_it(
    proxy: fn(&str, &str, &[Change<'_>]) -> Proxy,
    limit: Change<'_>,
    setting: &str,
) {
    let mut proxied = proxied(proxy, "", &[limit]);
    let (file, data) = proxied.file("f.bin", 5, FILE_BYTES);
    let output = proxied.upload(&file);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for part in ["a proxy in front of the server", "413", setting, "partway upload --resume"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    assert!(!errors.contains("retrying") && !errors.contains("<html>"), "{errors}");

    let [address, server] = proxied.addresses.clone();
    proxied.proxy.end();
    proxied.proxy = proxy(&address, &server, &[]);
    let output = proxied.upload(&file);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proxied.fetch(&record["url"], &[]).1, data);
}

#[test]
fn a_body_limit_of_nginx_is_named_and_the_same_command_goes_on_once_it_is_lifted() {
    let limit = ("client_max_body_size 0;", "client_max_body_size 512k;");
    a_limit_is_named_and_the_upload_goes_on_without_it(Proxy::nginx, limit, "client_max_body_size");
}

#[test]
fn parts_that_nginx_refuses_are_sent_smaller_and_the_user_reads_why() {
    let proxied = proxied(Proxy::nginx, "", &[("client_max_body_size 0;", "client_max_body_size 1m;")]);
    let (file, data) = proxied.file("f.bin", 8, FILE_BYTES);
    let output = proxied.upload(&file);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for part in ["413", "client_max_body_size", "starting again in parts of 1.00 MiB"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proxied.fetch(&record["url"], &[]).1, data);
    // With the right size from the beginning no request is refused.
    let (file, data) = proxied.file("g.bin", 9, FILE_BYTES);
    let output = run(partway().arg("upload").arg(&file).args(["--json", "--part-size", "1MiB"]).args([
        "--url",
        &proxied.server.url,
        "--key",
        &proxied.key,
    ]));
    assert!(!text(&output.stderr).contains("413"), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proxied.fetch(&record["url"], &[]).1, data);
    // Nothing of the larger sessions is left open.
    let (_, _, open) =
        get(&proxied, "/api/v1/multipart?status=uploading", Some(&format!("x-api-key: {}", proxied.key)));
    assert!(open.contains("\"total\":0"), "{open}");
}

#[test]
fn a_body_limit_of_caddy_is_named_and_the_same_command_goes_on_once_it_is_lifted() {
    let limit = ("handle /* {", CADDY_LIMIT);
    a_limit_is_named_and_the_upload_goes_on_without_it(Proxy::caddy, limit, "max_size");
}

/// A GET through the proxy: status, head and body.
fn get(proxied: &Proxied, path: &str, key_header: Option<&str>) -> (u16, String, String) {
    let url = format!("{}{path}", proxied.server.url);
    let mut arguments = vec!["--silent", "--include", "--path-as-is", &url];
    arguments.extend(key_header.iter().flat_map(|header| ["--header", header]));
    let answer = text(&run(Command::new("curl").args(arguments)).stdout);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn no_cache_in_front_gives_an_answer_that_needed_a_key_to_a_request_without_one() {
    for proxy in [Proxy::varnish, Proxy::nginx_cache] {
        let proxied = proxied(proxy, "", &[]);
        for header in [format!("x-api-key: {}", proxied.key), format!("Authorization: Bearer {}", proxied.key)] {
            for path in ["/api/v1/files", "/api/v1/folders", "/api/v1/multipart"] {
                for _ in 0..2 {
                    let (status, head, _) = get(&proxied, path, Some(&header));
                    assert!(status == 200 && !head.contains("x-cache: hit"), "{path}: {head}");
                    let (status, head, body) = get(&proxied, path, None);
                    assert!(status == 401 && !head.contains("x-cache: hit"), "{path}: {head} {body}");
                }
            }
        }
    }
}

#[test]
fn no_cache_in_front_tells_what_was_true_before() {
    for proxy in [Proxy::varnish, Proxy::nginx_cache] {
        let proxied = proxied(proxy, "", &[]);
        let session = start(&proxied.server, &proxied.key, "f.bin", 3);
        let id = session["session_id"].as_str().unwrap();
        let key = format!("x-api-key: {}", proxied.key);
        let (_, _, files) = get(&proxied, "/api/v1/files", Some(&key));
        assert!(files.contains("\"total\":0"), "{files}");
        let status_path = format!("/api/v1/multipart/{id}");
        let (_, _, before) = get(&proxied, &status_path, Some(&key));
        assert!(before.contains("\"missing_parts\":[0]"), "{before}");
        let (file, _) = proxied.file("f.bin", 6, 3);
        let put = ["--upload-file", file.to_str().unwrap(), proxied.public(&session["parts"][0])];
        assert_eq!(curl(&put).0, 200);
        let (_, _, after) = get(&proxied, &status_path, Some(&key));
        assert!(after.contains("\"missing_parts\":[]"), "{after}");
        // Asked for before it is there, it is seen once it is; and it is the cache that gives it the second time.
        let complete = json!({"session_id": id}).to_string();
        let record = |answer: &str| -> Value { serde_json::from_str(answer).unwrap() };
        let workspace_no = {
            let probe = start(&proxied.server, &proxied.key, "probe", 3);
            let put = ["--upload-file", file.to_str().unwrap(), proxied.public(&probe["parts"][0])];
            assert_eq!(curl(&put).0, 200);
            let body = json!({"session_id": probe["session_id"]}).to_string();
            record(&post(&proxied.server, &proxied.key, "complete", &body).1)["workspace_no"].clone()
        };
        let path = format!("/{}/f.bin", workspace_no.as_str().unwrap());
        for _ in 0..2 {
            assert_eq!(get(&proxied, &path, None).0, 404);
        }
        assert_eq!(post(&proxied.server, &proxied.key, "complete", &complete).0, 201);
        let (status, head, _) = get(&proxied, &path, None);
        assert!(status == 200 && !head.contains("x-cache: hit"), "{head}");
        let (status, head, _) = get(&proxied, &path, None);
        assert!(status == 200 && head.contains("x-cache: hit"), "this cache keeps nothing: {head}");
    }
}

#[test]
fn no_cache_in_front_keeps_the_refusal_of_a_head_that_partway_cannot_read() {
    let proxied = proxied(Proxy::nginx_cache, "", &[]);
    let (file, data) = proxied.file("f.bin", 7, 1000);
    let record: Value = serde_json::from_slice(&proxied.upload(&file).stdout).unwrap();
    let path = proxied.public(&record["url"]).strip_prefix(&proxied.server.url).unwrap();
    // nginx passes them on as they are. A query of its own makes each a URL that the cache has not seen.
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    for (number, (status, headers)) in [(431, many.as_str()), (400, "x-odd: a\u{1}b\r\n")].into_iter().enumerate() {
        let target = format!("{path}?attack={number}");
        let mut connection = TcpStream::connect(&proxied.addresses[0]).unwrap();
        write!(connection, "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("x-cache: MISS"), "{answer}");
        let (head, fetched) = proxied.fetch(&json!(format!("{}{target}", proxied.server.url)), &[]);
        assert!(head.starts_with("http/1.1 200") && fetched == data, "the refusal was kept: {head}");
    }
}
