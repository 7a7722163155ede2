//! Clients that are slow, or that do not go on: what they may hold, and for how long.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use partway_server::Config;
use partway_server::db::api_keys::KeyKind;
use partway_server::model::StorageKind;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::{MIB, TestApp, assert_error, bytes};
use crate::auth::new_key;
use crate::direct::{field, file_field};

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// At least 20,000 bytes a second, over two seconds.
fn hurried(config: &mut Config) {
    config.http.min_rate_bytes_per_second = Some(20_000);
    config.http.min_rate_window_seconds = seconds(2);
}

/// Asks for a file and takes `step` bytes every 50 ms, by a kernel that takes little in advance: how many came, and for how long
/// the connection held, `patience` at most.
async fn read_slowly(app: &TestApp, path: &str, step: usize, patience: Duration) -> (usize, Duration) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut stream = socket.connect(app.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let (began, mut taken, mut buffer) = (Instant::now(), 0, vec![0; step]);
    while began.elapsed() < patience {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => taken += read,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (taken, began.elapsed())
}

#[tokio::test]
async fn an_answer_that_is_hardly_taken_is_ended_and_a_slow_line_is_not() {
    let app = TestApp::start_with(hurried).await;
    let record = app.whole(&bytes(1, 24 * MIB), &[("file_name", "f")]).await;
    let path = app.url_of(&record).strip_prefix(&app.url("")).unwrap().to_owned();
    let patience = Duration::from_secs(8);
    // 10,000 bytes and 100,000 bytes a second. (What its kernel holds already comes to it even after a reset.)
    let (drip, slow) = tokio::join!(read_slowly(&app, &path, 500, patience), read_slowly(&app, &path, 5_000, patience));
    assert!(drip.1 < Duration::from_secs(7), "10,000 bytes a second were enough for {drip:?}");
    assert!(slow.1 >= patience && slow.0 > 300_000, "a slow line was cut: {slow:?}");
}

#[tokio::test]
async fn an_answer_of_which_nothing_is_taken_is_ended() {
    let app = TestApp::start_with(|config| config.http.stall_timeout_seconds = seconds(1)).await;
    let record = app.whole(&bytes(1, 24 * MIB), &[("file_name", "f")]).await;
    let path = app.url_of(&record).strip_prefix(&app.url("")).unwrap().to_owned();
    let mut reading = tokio::net::TcpStream::connect(app.address).await.unwrap();
    reading.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let client = reading.local_addr().unwrap();
    app.until("the end of the connection", |app| !is_established(app.address, client)).await;
    let (mut taken, mut buffer) = (0, vec![0; 64 * 1024]);
    while let Ok(read @ 1..) = reading.read(&mut buffer).await {
        taken += read as u64;
    }
    assert!(taken < 24 * MIB, "all of it came from a connection that was ended");
}

/// Whether the kernel has the server's side of this connection as one that is open.
fn is_established(server: SocketAddr, client: SocketAddr) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (server, client) = (format!(":{:04X}", server.port()), format!(":{:04X}", client.port()));
    sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|socket| {
        matches!(socket[..], [_, local, remote, "01", ..] if local.ends_with(&server) && remote.ends_with(&client))
    })
}

/// The answer to a request whose body comes by the byte, 20 in a second.
async fn send_slowly(app: &TestApp, head: String, length: usize) -> String {
    let address = app.address;
    let send = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{head}Host: x\r\nContent-Length: {length}\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut answer = vec![0; 4096];
        for _ in 0..400 {
            let _ = stream.write(b"x");
            if let Ok(read @ 1..) = stream.read(&mut answer) {
                return String::from_utf8_lossy(&answer[..read]).into_owned();
            }
        }
        "no answer in 20 s".to_owned()
    };
    tokio::task::spawn_blocking(send).await.unwrap()
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_ended() {
    let app = TestApp::start_with(hurried).await;
    let form = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nx-api-key: {}\r\nContent-Type: multipart/form-data; boundary=x\r\n",
        app.private_key
    );
    let answer = send_slowly(&app, form, 50_000).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("40000 bytes must come within 2 s"), "{answer}");
    if app.is_local() {
        let session = app.upload(MIB, json!({})).await;
        let part = format!("PUT {} HTTP/1.1\r\n", session.part_path(0));
        let answer = send_slowly(&app, part, MIB as usize).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("40000 bytes must come within 2 s"), "{answer}");
        assert_eq!(app.look(&format!("/api/v1/multipart/{}", session.id())).await["missing_parts"], json!([0]));
    }
}

#[tokio::test]
async fn connections_over_the_bound_are_answered_503_and_the_next_one_is_served() {
    let app = TestApp::start_with(|config| {
        config.http.max_connections = Some(6);
        config.http.max_connections_per_address = Some(4);
        config.http.header_timeout_seconds = seconds(600);
    })
    .await;
    let connect = || TcpStream::connect(app.address).unwrap();
    let ask = async |path: &str| app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    let held: Vec<_> = (0..4).map(|_| connect()).collect();
    let refused = ask("/api/v1/files").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"SERVICE_UNAVAILABLE\""), "{refused}");
    for header in ["cache-control: no-store", "connection: close", "retry-after: 5", "x-request-id: "] {
        assert!(refused.contains(header), "{header} is not in {refused}");
    }
    // A supervisor that restarts servers without an answer must not restart this one.
    let alive = ask("/healthz").await;
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    drop(held);
    let began = Instant::now();
    let mut answer = ask("/api/v1/files").await;
    while !answer.starts_with("HTTP/1.1 401") && began.elapsed() < Duration::from_secs(10) {
        answer = ask("/api/v1/files").await;
    }
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn files_in_one_request_take_turns_and_one_workspace_does_not_take_all() {
    let app = TestApp::start_with(|config| config.limits.direct_uploads = 4).await;
    let other = new_key(&app, KeyKind::Private, true).await;
    let mut held = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Length: 9000\r\n\
         Expect: 100-continue\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n",
        app.private_key
    );
    held.write_all(head.as_bytes()).await.unwrap();
    // The body is asked for once the request has its turn.
    let mut goes_on = [0; 12];
    held.read_exact(&mut goes_on).await.unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100");
    let waits = app.send_whole(b"1".to_vec(), &[("file_name", "waits")]);
    let passes = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let form = reqwest::multipart::Form::new().text("file_name", "f");
        let form = form.part("file", reqwest::multipart::Part::bytes(b"x".to_vec()));
        let request = app.http.request(Method::POST, app.url("/api/v1/uploads")).header("x-api-key", &other);
        request.multipart(form).send().await.unwrap().status()
    };
    let mut waits = std::pin::pin!(waits);
    let status = tokio::select! {
        waited = &mut waits => panic!("another workspace waited, and this one was answered {}", waited.status()),
        status = passes => status,
    };
    assert_eq!(status, 201);
    assert_error(waits.await, 503, "SERVICE_UNAVAILABLE", &[]).await;
    drop(held);
    app.whole(b"1", &[("file_name", "waits")]).await;
}

/// A direct upload that is announced with `key`: how its answer begins, which says "100" once it has its turn.
async fn announce(app: &TestApp, key: &str) -> (tokio::net::TcpStream, String) {
    let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Length: 9000\r\n\
         Expect: 100-continue\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let begin = begin_of_answer(&mut stream).await;
    (stream, begin)
}

async fn begin_of_answer(stream: &mut tokio::net::TcpStream) -> String {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    String::from_utf8_lossy(&begin).into_owned()
}

#[tokio::test]
async fn public_keys_hold_no_turn_that_a_private_key_needs() {
    let app = TestApp::start_with(|config| {
        config.limits.direct_uploads = 8;
        config.http.stall_timeout_seconds = seconds(600);
    })
    .await;
    // Each workspace has one turn for its strangers, and strangers have four in all.
    let mut held = Vec::new();
    let first = app.public_key.clone();
    let mut strangers = vec![first.clone()];
    for _ in 0..4 {
        strangers.push(new_key(&app, KeyKind::Public, true).await);
    }
    let last = strangers.pop().unwrap();
    for key in &strangers {
        let (stream, begin) = announce(&app, key).await;
        assert_eq!(begin, "HTTP/1.1 100");
        held.push(stream);
    }
    let (second, beyond) = tokio::join!(announce(&app, &first), announce(&app, &last));
    assert_eq!((second.1.as_str(), beyond.1.as_str()), ("HTTP/1.1 503", "HTTP/1.1 503"));
    for _ in 0..2 {
        let (stream, begin) = announce(&app, &app.private_key).await;
        assert_eq!(begin, "HTTP/1.1 100");
        held.push(stream);
    }
}

#[tokio::test]
async fn files_that_strangers_bring_slowly_keep_no_private_key_waiting() {
    let app = TestApp::start_with(|config| {
        // A workspace has 16 of a bucket's 64 streams; as many turns where there is none.
        config.limits.direct_uploads = if config.storage.kind == StorageKind::Local { 64 } else { 256 };
        config.http.stall_timeout_seconds = seconds(600);
    })
    .await;
    let begin = [field("file_name", "slow"), file_field(&"x".repeat(1000))].concat();
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Length: 9000\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n{begin}",
        app.public_key
    );
    let mut waiting = Vec::new();
    for _ in 0..17 {
        let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(Box::pin(async move {
            let begin = begin_of_answer(&mut stream).await;
            (stream, begin)
        }));
    }
    // One that is sent away shows that the others hold all that strangers have.
    let ((_stream, begin), _, held) = futures_util::future::select_all(waiting).await;
    assert_eq!(begin, "HTTP/1.1 503");
    app.whole(b"1", &[("file_name", "owner's")]).await;
    drop(held);
}

#[tokio::test]
async fn an_upload_in_one_request_ends_after_the_time_of_a_session() {
    let app = TestApp::start_with(|config| {
        config.limits.public_session_age_seconds = Duration::from_secs(3);
        config.http.stall_timeout_seconds = seconds(600);
    })
    .await;
    let (slow, end) = ([field("file_name", "slow"), file_field("x")].concat(), "\r\n--b--\r\n");
    // The end of the file is not sent yet.
    let slow = slow.trim_end();
    let begin = async |key: &str, length: usize| {
        let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
        let head = format!(
            "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Length: {length}\r\n\
             Connection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n{slow}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut own = begin(&app.private_key, slow.len() + end.len()).await;
    app.until("it is under way", |app| app.count("garbage") == 1).await;
    let (mut answers, mut body) = begin(&app.public_key, 1_000_000).await.into_split();
    let drips = tokio::spawn(async move {
        while body.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = vec![0; 4096];
    let reading = tokio::time::timeout(Duration::from_secs(60), answers.read(&mut answer));
    let read = reading.await.expect("it has not ended in a minute").unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"REQUEST_TIMEOUT\""), "{answer}");
    assert!(
        answer.contains("longer than 3 seconds") && answer.contains("limits.public_session_age_seconds"),
        "{answer}"
    );
    drips.abort();
    // Its bytes are given back at once; those of the private key go on.
    app.until("only one is under way", |app| app.count("garbage") == 1).await;
    own.write_all(end.as_bytes()).await.unwrap();
    assert_eq!(begin_of_answer(&mut own).await, "HTTP/1.1 201");
    app.until("only one file is left", |app| app.count("garbage") == 0 && app.has_blobs(1)).await;
}
