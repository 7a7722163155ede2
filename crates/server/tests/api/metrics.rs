//! `/metrics`: figures that are exactly what happened, and nothing that identifies anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use futures_util::future::join_all;
use http::StatusCode;
use partway_server::config::DatabaseUrl;
use partway_server::metrics::documentation;
use partway_server::service::event::EventKind;
use partway_server::{App, Config, DOCUMENTED_ROUTES, Listeners};
use partway_testing::Postgres;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{MIB, TestApp, assert_error, bytes};
use crate::peers::{Peer, allow_loopback};
use crate::scrape::Scrape;

const REQUESTS: &str = "partway_http_requests_total";
const PART: &str = "/api/v1/multipart/{session_id}/parts/{part_index}";
const FILE: &str = "/{workspace_no}/{*path}";

impl TestApp {
    pub(crate) async fn scrape(&self) -> Scrape {
        let answer = self.get(&self.url("/metrics")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Scrape::parse(&answer.text().await.unwrap(), false)
    }

    /// Scrapes until the figures are as they should be, for a minute at most.
    async fn scrape_until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        let began = Instant::now();
        loop {
            let scrape = self.scrape().await;
            if is_so(&scrape) {
                return scrape;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "never {what}: {}", scrape.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn requests(scrape: &Scrape, method: &str, route: &str, status: &str) -> u64 {
    scrape.number(REQUESTS, &[("method", method), ("route", route), ("status", status)])
}

/// Labels have no values but those of the code.
fn assert_labels_are_bounded(scrape: &Scrape) {
    let extra = ["/openapi.json", "/metrics", "/api/{*rest}", FILE, "other"];
    let routes: Vec<_> = DOCUMENTED_ROUTES.iter().map(|(_, route)| *route).chain(extra).collect();
    for (label, value) in scrape.label_values() {
        let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c));
        assert!(if label == "route" { routes.contains(&&*value) } else { is_plain }, "{label} is {value:?}");
    }
}

/// Every metric is documented with its type, and each documented one is there, except for those that have no series yet.
fn assert_documented(scrape: &Scrape, absent: &[&str]) {
    let documented = documentation().into_iter().flat_map(|(_, metrics)| metrics);
    let documented: BTreeMap<_, _> = documented.map(|metric| (metric.full_name(), metric.kind().to_owned())).collect();
    assert!(documented.len() > 40 && absent.iter().all(|name| documented.contains_key(*name)));
    let expected = documented.into_iter().filter(|(name, _)| !absent.contains(&&**name));
    assert_eq!(scrape.types, expected.collect());
}

#[tokio::test]
async fn the_figures_of_uploads_are_what_happened_and_name_nobody() {
    let app = TestApp::start_local_with(|config| {
        allow_loopback(config);
        config.webhooks.first_pause_seconds = Duration::from_secs(600);
    })
    .await;
    let failing = Peer::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    app.subscribe(failing.url("/secret-receiver"), &[EventKind::FileCreated]).await;
    let data = bytes(1, 25 * MIB);
    let session =
        app.upload(data.len() as u64, json!({"file_name": "secret-name.bin", "folder": "secret-folder"})).await;
    let parts = session.parts() as u64;
    session.put_all(&app, &data).await;
    // A part with a signature that is none, and one that comes twice.
    let forged = session.part_url(0).split_once("signature=").unwrap().0.to_owned() + "signature=x";
    assert_error(app.put(&forged, b"x").await, 403, "SIGNATURE_INVALID", &[]).await;
    session.put_part(&app, &data, 0).await;
    let completed = session.complete(&app).await;
    assert_eq!(completed.status(), 201);
    let record: serde_json::Value = completed.json().await.unwrap();
    let small = app.whole(b"twelve bytes", &[("file_name", "small")]).await;
    let ranged = app.http.get(app.url_of(&record)).header("range", "bytes=5-14").send().await.unwrap();
    assert_eq!(
        (ranged.status(), ranged.bytes().await.unwrap()),
        (StatusCode::PARTIAL_CONTENT, data[5..15].to_vec().into())
    );
    let open = app.upload(7, json!({})).await;
    assert_eq!(app.get(&app.url("/api/v1/no-such-secret")).await.status(), 404);
    assert_eq!(app.get(&app.url("/secret")).await.status(), 404);
    app.until("both events are sent", |_| failing.asked().len() == 2).await;

    // The gauges are those of the first look.
    let scrape = app
        .scrape_until("both attempts end", |scrape| {
            scrape.number("partway_webhook_attempts_total", &[("outcome", "retried")]) == 2
        })
        .await;
    for (method, route, status, number) in [
        ("POST", "/api/v1/multipart/start", "201", 2),
        ("PUT", PART, "200", parts + 1),
        ("PUT", PART, "403", 1),
        ("POST", "/api/v1/multipart/complete", "201", 1),
        ("POST", "/api/v1/uploads", "201", 1),
        ("GET", FILE, "206", 1),
        ("GET", "/api/{*rest}", "404", 1),
        ("GET", "other", "404", 1),
    ] {
        assert_eq!(requests(&scrape, method, route, status), number, "{method} {route} {status}: {}", scrape.text);
    }
    let others = [("route", "/metrics")];
    let of_metrics = scrape.number(REQUESTS, &others);
    assert_eq!(scrape.number(REQUESTS, &[]), of_metrics + parts + 9, "{}", scrape.text);
    let measured = scrape.number("partway_http_request_duration_seconds_count", &[]);
    assert_eq!(measured, of_metrics + parts + 9);
    let first = session.part(&data, 0).len() as u64;
    let size = data.len() as u64;
    for (name, labels, number) in [
        ("partway_http_errors_total", [("code", "SIGNATURE_INVALID")].as_slice(), 1),
        ("partway_http_errors_total", &[("code", "NOT_FOUND")], 2),
        ("partway_http_errors_total", &[], 3),
        ("partway_http_stalls_total", &[("direction", "request")], 0),
        ("partway_http_stalls_total", &[("direction", "answer")], 0),
        ("partway_http_requests_in_flight", &[], 1),
        ("partway_parts_in_flight", &[], 0),
        ("partway_direct_uploads_in_flight", &[], 0),
        ("partway_parts_received_total", &[], parts + 1),
        ("partway_parts_received_bytes_total", &[], size + first),
        ("partway_parts_failed_total", &[], 0),
        ("partway_files_published_total", &[("source", "parts")], 1),
        ("partway_files_published_bytes_total", &[("source", "parts")], size),
        ("partway_files_published_total", &[("source", "direct")], 1),
        ("partway_files_published_bytes_total", &[("source", "direct")], 12),
        ("partway_session_sync_duration_seconds_count", &[], 1),
        ("partway_database_up", &[], 1),
        ("partway_workspaces", &[], 1),
        ("partway_files", &[], 2),
        ("partway_open_sessions", &[], 1),
        ("partway_storage_bytes", &[("state", "files")], size + 12),
        ("partway_storage_bytes", &[("state", "sessions")], 7),
        ("partway_storage_bytes", &[("state", "garbage")], 0),
        ("partway_webhook_events", &[("state", "waiting")], 2),
        ("partway_webhook_events", &[("state", "dead")], 0),
        ("partway_webhook_attempts_total", &[], 2),
        ("partway_webhook_attempt_duration_seconds_count", &[], 2),
        ("partway_webhook_attempts_in_flight", &[], 0),
        ("partway_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1),
    ] {
        assert_eq!(scrape.number(name, labels), number, "{name} {labels:?}: {}", scrape.text);
    }
    assert!(scrape.number("partway_http_received_bytes_total", &[]) > size + first);
    let oldest = scrape.find("partway_webhook_oldest_event_timestamp_seconds", &[("state", "waiting")]).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - 300.0..=now).contains(&oldest), "{oldest}");
    let disk = |state| scrape.number("partway_disk_bytes", &[("state", state)]);
    assert!(disk("size") > disk("free") && disk("free") > 0 && disk("kept") > 0);
    let lanes = ["write", "read", "scan"].map(|lane| {
        let labels = [("lane", lane)];
        assert_eq!(scrape.number("partway_database_failures_total", &labels), 0);
        scrape.number("partway_database_query_duration_seconds_count", &labels)
    });
    assert!(lanes.iter().all(|queries| *queries > 0), "{lanes:?}");
    if !app.app().db.is_shared() {
        let commits = scrape.number("partway_database_writes_per_commit_count", &[]);
        let writes = scrape.number("partway_database_writes_per_commit_sum", &[]);
        assert!(commits > 0 && writes >= commits && writes >= parts, "{writes} writes in {commits} commits");
    }
    assert!(scrape.find("process_cpu_seconds_total", &[]).unwrap() > 0.0);

    assert_documented(&scrape, &["partway_store_call_duration_seconds", "partway_store_failures_total"]);
    assert_labels_are_bounded(&scrape);
    let record_texts =
        ["id", "file_no", "workspace_no"].map(|field| record[field].as_str().unwrap_or("secret").to_owned());
    let part_signature = session.part_url(0).split_once("signature=").unwrap().1.to_owned();
    let private = [&app.private_key, &app.public_key, &app.workspace_no, &part_signature];
    let texts = ["secret", "127.0.0.1", session.id(), open.id(), small["file_no"].as_str().unwrap()];
    for text in texts.into_iter().chain(private.map(String::as_str)).chain(record_texts.iter().map(String::as_str)) {
        assert!(!scrape.text.contains(text), "{text} is in the scrape");
    }
}

#[tokio::test]
async fn a_server_on_any_services_counts_files_garbage_and_calls_to_its_store() {
    let app = TestApp::start().await;
    // The first upload to a bucket also tries what the store can do.
    app.upload_whole(b"first", json!({"file_name": "first"})).await;
    let before = app.scrape().await;
    let data = bytes(2, 6 * MIB);
    let record = app.upload_whole(&data, json!({})).await;
    app.assert_bytes(&record, &data).await;
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    assert_eq!(app.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    let storage = if app.is_local() { "local" } else { "s3" };
    let scrape = app
        .scrape_until("the bytes are deleted", |scrape| {
            scrape.number("partway_cleaner_deleted_blobs_total", &[("storage", storage)]) == 1
        })
        .await;
    let scrape = app
        .scrape_until("a round is done after it", |later| {
            let done = |scrape: &Scrape| scrape.number("partway_cleaner_rounds_total", &[("outcome", "done")]);
            done(later) > done(&scrape)
        })
        .await;
    assert_eq!(scrape.number("partway_cleaner_rounds_total", &[("outcome", "failed")]), 0);
    assert_eq!(scrape.number("partway_cleaner_failed_deletions_total", &[]), 0);
    let last_done = scrape.find("partway_cleaner_last_done_timestamp_seconds", &[]).unwrap();
    assert!(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - last_done < 300.0);
    assert_eq!(requests(&scrape, "DELETE", "/api/v1/files/{file_no}", "204"), 1);
    assert_eq!(scrape.number("partway_files_published_bytes_total", &[("source", "parts")]), data.len() as u64 + 5);
    assert_eq!(scrape.number("partway_database_up", &[]), 1);
    let answered = |scrape: &Scrape, operation| {
        scrape.number("partway_store_call_duration_seconds_count", &[("operation", operation)])
            - scrape.number("partway_store_failures_total", &[("operation", operation)])
    };
    let calls = |operation| answered(&scrape, operation) - answered(&before, operation);
    match app.is_local() {
        true => assert_eq!(scrape.series("partway_store_call_duration_seconds_count"), []),
        false => {
            assert_eq!((calls("create_upload"), calls("complete_upload"), calls("delete_object")), (1, 1, 1));
            assert!(calls("list_parts") > 0 && calls("get_object") > 0);
            assert_eq!(scrape.series("partway_disk_bytes"), []);
            assert_eq!(scrape.number("partway_store_calls_in_flight", &[]), 0);
        }
    }
    assert_labels_are_bounded(&scrape);
}

#[tokio::test]
async fn a_part_that_stalls_is_counted_as_a_stall_and_as_a_failed_part() {
    let app = TestApp::start_local_with(|config| config.http.stall_timeout_seconds = Duration::from_secs(1)).await;
    let session = app.upload(5, json!({})).await;
    let path = session.part_path(0);
    let stalled = app.raw(format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbe")).await;
    assert!(stalled.starts_with("HTTP/1.1 408"), "{stalled}");
    session.put_part(&app, b"begin", 0).await;
    let scrape = app.scrape().await;
    for (name, labels, number) in [
        (REQUESTS, [("route", PART), ("status", "408")].as_slice(), 1),
        ("partway_http_errors_total", &[("code", "REQUEST_TIMEOUT")], 1),
        ("partway_http_errors_total", &[], 1),
        ("partway_http_stalls_total", &[("direction", "request")], 1),
        ("partway_http_stalls_total", &[("direction", "answer")], 0),
        ("partway_parts_in_flight", &[], 0),
        ("partway_parts_failed_total", &[], 1),
        ("partway_parts_received_total", &[], 1),
        ("partway_parts_received_bytes_total", &[], 5),
    ] {
        assert_eq!(scrape.number(name, labels), number, "{name} {labels:?}: {}", scrape.text);
    }
}

#[tokio::test]
async fn scrapes_that_come_together_share_a_text_that_is_a_second_old_at_most() {
    let app = TestApp::start().await;
    let began = Instant::now();
    let scrapes = join_all((0..50).map(|_| app.scrape())).await;
    let texts: BTreeSet<_> = scrapes.iter().map(|scrape| &scrape.text).collect();
    // Each later text begins a second after the one before it.
    let took = began.elapsed();
    assert!(texts.len() as u64 <= 1 + took.as_secs(), "{} texts in {took:?}", texts.len());
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(app.request(Method::GET, "/api/v1/folders").send().await.unwrap().status(), 200);
    // No text that began before the answer may be shown a second after it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(requests(&app.scrape().await, "GET", "/api/v1/folders", "200"), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_counted_as_a_stall() {
    let mut app = TestApp::start_local().await;
    let record = app.whole(&bytes(1, 24 * MIB), &[("file_name", "f")]).await;
    let path = app.url_of(&record).strip_prefix(&app.url("")).unwrap().to_owned();
    app.configure(|config| config.http.stall_timeout_seconds = Duration::from_secs(1)).await;
    let mut reading = TcpStream::connect(app.address).unwrap();
    reading.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    let stalls = |scrape: &Scrape| scrape.number("partway_http_stalls_total", &[("direction", "answer")]);
    let scrape = app.scrape_until("the stall is counted", |scrape| stalls(scrape) == 1).await;
    assert_eq!(requests(&scrape, "GET", FILE, "200"), 1);
    assert_eq!(scrape.number("partway_http_stalls_total", &[]), 1);
}

#[tokio::test]
async fn refusals_of_layers_count_for_their_route_and_words_of_clients_never_become_labels() {
    let app = TestApp::start_with(|config| config.limits.requests_per_address_per_second = Some(1)).await;
    let mut limited = 0;
    for _ in 0..10 {
        let answer = app.request(Method::GET, "/api/v1/files").send().await.unwrap();
        limited += u64::from(answer.status() == 429);
    }
    assert!(limited > 0);
    // A path without a limit, and a preflight, which is answered before it.
    for (method, path) in [("SECRET", "/healthz"), ("OPTIONS", "/api/v1/folders")] {
        app.request(method.parse().unwrap(), path).send().await.unwrap();
    }
    let scrape = app.scrape().await;
    assert_eq!(requests(&scrape, "GET", "/api/v1/files", "429"), limited);
    assert_eq!(scrape.number("partway_http_errors_total", &[("code", "RATE_LIMITED")]), limited);
    assert_eq!(scrape.number(REQUESTS, &[("method", "other"), ("route", "/healthz"), ("status", "405")]), 1);
    assert_eq!(scrape.number(REQUESTS, &[("method", "OPTIONS"), ("route", "/api/v1/folders")]), 1);
    assert_labels_are_bounded(&scrape);
    // Scrapes are never limited.
    for _ in 0..20 {
        app.scrape().await;
    }
}

/// A server with a listener for metrics.
struct Separate {
    clients: SocketAddr,
    metrics: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
    _directory: TempDir,
}

impl Separate {
    async fn start(configure: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::with_data_dir(directory.path());
        config.storage.reserve = false;
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
        configure(&mut config);
        let listeners = Listeners::bind(&config).unwrap();
        let clients = listeners.http.local_addr().unwrap();
        let metrics = listeners.metrics.as_ref().unwrap().local_addr().unwrap();
        let (app, _) = App::open(config, clients).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(partway_server::run(app, listeners, stop.clone()));
        Self { clients, metrics, stop, running, _directory: directory }
    }

    async fn scrape(&self) -> Scrape {
        let answer = ask(self.metrics, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Scrape::parse(body, false)
    }

    /// Scrapes until the figures are as they should be, for a minute at most.
    async fn scrape_until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        let began = Instant::now();
        loop {
            let scrape = self.scrape().await;
            if is_so(&scrape) {
                return scrape;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "never {what}: {}", scrape.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// Sends a request with `Connection: close`, and returns the whole answer.
async fn ask(address: SocketAddr, request: impl Into<String>) -> String {
    let request = request.into();
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

#[tokio::test]
async fn a_listener_of_its_own_serves_metrics_alone_and_the_other_one_does_not() {
    let (server, other) = tokio::join!(Separate::start(|_| {}), Separate::start(|_| {}));
    let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let on_public = ask(server.clients, request("GET /metrics")).await;
    assert!(on_public.starts_with("HTTP/1.1 404") && on_public.contains("\"NOT_FOUND\""), "{on_public}");
    for line in ["GET /healthz", "GET /api/v1/files", "GET /", "GET /0123456789/a"] {
        let on_own = ask(server.metrics, request(line)).await;
        assert!(on_own.starts_with("HTTP/1.1 404"), "{line}: {on_own}");
    }
    assert!(ask(server.metrics, request("POST /metrics")).await.starts_with("HTTP/1.1 405"));
    let head = ask(server.metrics, request("HEAD /metrics")).await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    for header in ["content-type: text/plain; version=0.0.4; charset=utf-8", "cache-control: no-store"] {
        assert!(lower.contains(header), "{header}: {head}");
    }
    assert!(!lower.contains("access-control-allow-origin"), "pages of other sites could read it: {head}");

    // Bytes are counted to the last one; those of scrapes are not among them, nor those of another server in the process.
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let large = format!(
        "POST /api/v1/folders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let before = server.scrape().await;
    let (mut sent, mut received) = (0, 0);
    for request in [large, request("GET /openapi.json"), request("GET /healthz")] {
        received += request.len() as u64;
        sent += ask(server.clients, request).await.len() as u64;
    }
    let bytes = |scrape: &Scrape, name| scrape.number(name, &[]);
    let requests_before = bytes(&before, REQUESTS);
    let after =
        server.scrape_until("the requests are counted", |now| bytes(now, REQUESTS) == requests_before + 3).await;
    let grown = |name| bytes(&after, name) - bytes(&before, name);
    assert_eq!(grown("partway_http_sent_bytes_total"), sent);
    assert_eq!(grown("partway_http_received_bytes_total"), received);
    assert_eq!(requests(&after, "GET", "/healthz", "200"), 1);
    assert_eq!(requests(&after, "GET", "other", "404"), 1, "that for /metrics");
    assert_eq!(after.number(REQUESTS, &[]), 4);
    let elsewhere = other.scrape().await;
    assert_eq!(elsewhere.number(REQUESTS, &[]), 0, "two servers share figures");
    assert_eq!(bytes(&elsewhere, "partway_http_received_bytes_total"), 0);
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_address_for_metrics_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::with_data_dir("/nonexistent");
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.metrics.listen = Some(taken.local_addr().unwrap());
    let refused = partway_server::error_chain(&Listeners::bind(&config).unwrap_err());
    let address = taken.local_addr().unwrap().to_string();
    assert!(refused.contains(&address) && refused.contains("metrics.listen"), "{refused}");
}

#[tokio::test]
async fn collectors_that_ask_for_openmetrics_get_it() {
    let app = TestApp::start().await;
    // As Prometheus 3 asks.
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    let answer = app.http.get(app.url("/metrics")).header("accept", accept).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open = Scrape::parse(&answer.text().await.unwrap(), true);
    let plain = app.scrape().await;
    let families = |scrape: &Scrape, suffix| -> Vec<String> {
        scrape.types.keys().map(|name| name.trim_end_matches(suffix).to_owned()).collect()
    };
    // The first scrape came before any request was counted.
    let missing: Vec<_> =
        families(&plain, "_total").into_iter().filter(|name| !open.types.contains_key(name)).collect();
    assert_eq!(missing, ["partway_http_request_duration_seconds", "partway_http_requests"]);
    assert!(open.number("partway_http_requests_total", &[]) < plain.number("partway_http_requests_total", &[]));
}

#[tokio::test]
async fn a_scrape_shows_the_last_numbers_soon_while_the_database_is_away() {
    let postgres = Postgres::start();
    let url = postgres.create_database();
    let server = Separate::start(|config| {
        config.database.url = Some(DatabaseUrl::new(url));
        config.storage.single_node = true;
    })
    .await;
    let scrape = server.scrape().await;
    assert_eq!((scrape.number("partway_database_up", &[]), scrape.number("partway_workspaces", &[])), (1, 1));
    postgres.stop();
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let scrape = server.scrape().await;
        assert!(asked.elapsed() < Duration::from_secs(5), "a scrape took {:?}", asked.elapsed());
        assert_eq!(scrape.number("partway_workspaces", &[]), 1, "the last numbers are gone");
        if scrape.number("partway_database_up", &[]) == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the database counts as up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    postgres.start_again();
    let began = Instant::now();
    while server.scrape().await.number("partway_database_up", &[]) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the database counts as away");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.stop().await;
}
