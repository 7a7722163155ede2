//! Requests that are answered before their body was read: what becomes of the connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::app::{TestApp, bytes, read_available};

/// How long an answer may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A body that comes within this is waited for; the server gives up after half a second.
const IN_TIME: Duration = Duration::from_millis(400);
/// How often something is tried that this process has to do in time, on a machine that may be loaded.
const TRIES: usize = 20;

/// A connection that is used for one request after the other.
struct Kept(TcpStream);

impl Kept {
    fn to(app: &TestApp) -> Self {
        let stream = TcpStream::connect(app.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Head and body of the next answer.
    fn answer(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Whether nothing comes for a while.
    fn is_silent(&mut self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let came = self.0.peek(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        came.is_err()
    }

    fn assert_works(&mut self) {
        self.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, _) = self.answer();
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }
}

fn is_closing(head: &str) -> bool {
    head.contains("\r\nconnection: close\r\n")
}

/// Requests that are refused by their heads, with what follows `Host`, and the status of the answer.
fn refused_by_their_heads(app: &TestApp) -> Vec<(String, u16)> {
    let (private, public) = (&app.private_key, &app.public_key);
    let json = "Content-Type: application/json\r\n";
    vec![
        (format!("POST /api/v1/folders HTTP/1.1\r\n{json}"), 401),
        (format!("POST /api/v1/folders HTTP/1.1\r\nx-api-key: {public}\r\n{json}"), 403),
        (format!("POST /api/v1/multipart/start HTTP/1.1\r\nx-api-key: {private}\r\n"), 415),
        (format!("POST /api/v1/uploads HTTP/1.1\r\nx-api-key: {private}\r\n{json}"), 415),
        (format!("POST /api/v1/nothing HTTP/1.1\r\nx-api-key: {private}\r\n{json}"), 404),
        (format!("PUT /api/v1/files HTTP/1.1\r\nx-api-key: {private}\r\n{json}"), 405),
        // A body where none belongs.
        (format!("DELETE /api/v1/files/0000000000 HTTP/1.1\r\nx-api-key: {private}\r\n{json}"), 404),
    ]
}

/// Sends a request in two pieces, of which the second comes in time and not before the server had to wait for it, and
/// takes the answer. On a connection of its own, and again if this process was too late.
fn answer_in_two_pieces(app: &TestApp, first: &str, second: &str) -> (Kept, String, String) {
    for _ in 0..TRIES {
        let mut kept = Kept::to(app);
        let began = Instant::now();
        kept.send(first.as_bytes());
        let was_silent = kept.is_silent();
        if began.elapsed() >= IN_TIME {
            continue;
        }
        assert!(was_silent, "{first}: answered while its body is on the way");
        kept.send(second.as_bytes());
        if began.elapsed() < IN_TIME {
            let (head, body) = kept.answer();
            return (kept, head, body);
        }
    }
    panic!("this process was too late {TRIES} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_a_request_refused_before_its_small_body_came() {
    let app = TestApp::start().await;
    for (request, status) in refused_by_their_heads(&app) {
        let with_length = format!("{request}Host: x\r\nContent-Length: 12\r\n\r\n");
        let (mut kept, head, body) = answer_in_two_pieces(&app, &with_length, r#"{"name":"a"}"#);
        assert!(head.starts_with(&format!("http/1.1 {status}")) && !is_closing(&head), "{request}: {head}");
        assert!(body.contains("errorCode"), "{body}");
        kept.assert_works();
        // In chunks, whose end alone says that it is the end.
        let in_chunks = format!("{request}Host: x\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{{\"name\":\"a\"}}");
        let (mut kept, head, _) = answer_in_two_pieces(&app, &in_chunks, "\r\n0\r\n\r\n");
        assert!(head.starts_with(&format!("http/1.1 {status}")) && !is_closing(&head), "{request}: {head}");
        kept.assert_works();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_and_large_bodies_are_not_waited_for_and_the_answer_says_so() {
    // In which a body must go on after the answer, or the connection is closed.
    let stall_timeout = Duration::from_secs(1);
    let app = TestApp::start_with(|config| config.http.stall_timeout_seconds = stall_timeout).await;
    let key = &app.private_key;
    let start = format!("POST /api/v1/multipart/start HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\n");
    for (rest, at_once) in [
        ("Content-Length: 100000\r\n\r\n", true),
        ("Content-Length: 12\r\nExpect: 100-continue\r\n\r\n", true),
        ("Content-Length: 12\r\n\r\n{", false),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false),
    ] {
        let mut times = Vec::new();
        // One immediate answer shows that nothing was awaited; the machine may have delayed the others.
        while times.is_empty() || (at_once && times.len() < TRIES && times.iter().all(|took| *took >= IN_TIME)) {
            let mut kept = Kept::to(&app);
            let began = Instant::now();
            kept.send(format!("{start}{rest}").as_bytes());
            let (head, _) = kept.answer();
            times.push(began.elapsed());
            assert!(head.starts_with("http/1.1 415") && is_closing(&head), "{rest}: {head}");
            assert_eq!(read_available(&mut kept.0), "", "{rest}: closed after the answer");
        }
        assert_eq!(times.iter().any(|took| *took < IN_TIME), at_once, "{rest}: {times:?}");
    }
    // More than is dropped, of unknown length.
    let mut kept = Kept::to(&app);
    let chunk = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
    kept.send(&[format!("{start}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunk, &chunk, &chunk].concat());
    let (head, _) = kept.answer();
    assert!(head.starts_with("http/1.1 415") && is_closing(&head), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_a_body_that_was_read_but_for_its_last_bytes() {
    let app = TestApp::start().await;
    let key = &app.private_key;
    // Bytes after the last boundary of a form have no meaning and need not be read.
    let form = "--b\r\nContent-Disposition: form-data; name=\"file_name\"\r\n\r\nkept.txt\r\n\
                --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nbytes\r\n--b--\r\nepilogue";
    let mut kept = Kept::to(&app);
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: {}\r\n\r\n",
        form.len() + 10
    );
    kept.send(format!("{head}{form}").as_bytes());
    kept.send(b"0123456789");
    let (head, _) = kept.answer();
    assert!(head.starts_with("http/1.1 201") && !is_closing(&head), "{head}");
    kept.assert_works();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_parts_good_and_refused() {
    let app = TestApp::start_local().await;
    let data = bytes(1, 1000);
    let session = app.upload(1000, json!({})).await;
    let mut kept = Kept::to(&app);
    for (path, length, status) in [
        (session.part_path(0).to_owned(), 1000, 200),
        (session.part_path(0).to_owned(), 999, 400),
        (session.part_path(0).replace("signature=", "signature=0"), 1000, 403),
        (session.part_path(0).to_owned(), 1000, 200),
    ] {
        kept.send(format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        kept.send(&data[..length]);
        let (head, _) = kept.answer();
        assert!(head.starts_with(&format!("http/1.1 {status}")) && !is_closing(&head), "{head}");
    }
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

/// A part of 30 MB whose signature is not good, refused after its first megabyte, with its answer.
fn refused_part(app: &TestApp, path: &str, framing: &str, begin: &[u8]) -> (Kept, String) {
    let mut kept = Kept::to(app);
    let path = path.replace("signature=", "signature=0");
    kept.send(format!("PUT {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").as_bytes());
    kept.send(begin);
    let (head, body) = kept.answer();
    assert!(
        head.starts_with("http/1.1 403") && is_closing(&head) && body.contains("SIGNATURE_INVALID"),
        "{head}{body}"
    );
    (kept, head)
}

/// The end of a connection: true when it is closed, and false when it is reset.
fn ends_in_order(kept: &mut Kept) -> bool {
    matches!(kept.0.read(&mut [0]), Ok(0))
}

/// As a proxy sends it, which goes on with the body whatever the answer is.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_refused_part_stays_open_until_its_body_has_come_to_its_end() {
    let app = TestApp::start_local().await;
    let session = app.upload(30 * 1_000_000, json!({})).await;
    let megabyte = vec![b'x'; 1_000_000];
    let chunk = [b"f4240\r\n".as_slice(), &megabyte, b"\r\n"].concat();
    for (framing, piece, end) in [
        ("Content-Length: 30000000", &megabyte, b"".as_slice()),
        ("Content-Length: 30000000\r\nExpect: 100-continue", &megabyte, b""),
        ("Transfer-Encoding: chunked", &chunk, b"0\r\n\r\n"),
    ] {
        let (mut kept, _) = refused_part(&app, session.part_path(0), framing, piece);
        // More than any buffer holds, and more than is dropped once the server's side is closed.
        for sent in 1..30 {
            assert!(sent > 2 || kept.is_silent(), "{framing}: closed after {sent} MB");
            kept.send(piece);
        }
        kept.send(end);
        assert!(ends_in_order(&mut kept), "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_refused_part_is_closed_when_its_body_stalls_or_the_server_stops() {
    let stall_timeout = Duration::from_secs(1);
    let app = TestApp::start_local_with(|config| config.http.stall_timeout_seconds = stall_timeout).await;
    let session = app.upload(30 * 1_000_000, json!({})).await;
    let begin = vec![b'x'; 1_000_000];
    let (mut kept, _) = refused_part(&app, session.part_path(0), "Content-Length: 30000000", &begin);
    assert!(ends_in_order(&mut kept), "it is still open");

    let mut app = TestApp::start_local().await;
    let session = app.upload(30 * 1_000_000, json!({})).await;
    let (mut kept, _) = refused_part(&app, session.part_path(0), "Content-Length: 30000000", &begin);
    app.stop.cancel();
    assert!(ends_in_order(&mut kept), "it is still open");
    app.running.take().unwrap().await.unwrap();
}
