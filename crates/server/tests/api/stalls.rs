//! Clients that begin a request and do not go on: a head or a JSON body that comes in pieces, or not at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::app::TestApp;

/// Pause between two pieces of what comes slowly.
const PAUSE: Duration = Duration::from_millis(50);
/// Pieces that are sent at most: in the time that they take the server has given up long ago.
const PIECES: usize = 1200;

/// Sends `begin` and then a byte after each pause. Returns what the server answered until it closed the connection, and how many
/// bytes it was sent until then.
async fn send_slowly(app: &TestApp, begin: String, piece: &'static [u8]) -> (String, usize) {
    let address = app.address;
    let send = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        stream.set_read_timeout(Some(PAUSE)).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        for sent in 0..PIECES {
            let _ = stream.write(piece);
            match stream.read(&mut buffer) {
                Ok(0) => return (String::from_utf8_lossy(&answer).into_owned(), sent),
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return (String::from_utf8_lossy(&answer).into_owned(), sent),
            }
        }
        panic!("the connection is open after {PIECES} pieces: {}", String::from_utf8_lossy(&answer));
    };
    tokio::task::spawn_blocking(send).await.unwrap()
}

#[tokio::test]
async fn a_json_body_that_stalls_is_answered_408() {
    let app = TestApp::start_with(|config| config.http.stall_timeout_seconds = Duration::from_millis(400)).await;
    for path in ["multipart/start", "multipart/complete", "uploads/remote", "folders"] {
        let head = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Type: application/json\r\n",
            app.private_key
        );
        for begin in [
            "Content-Length: 5000\r\n\r\n",
            "Content-Length: 5000\r\n\r\n{\"file_name\":",
            "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        ] {
            let answer = app.raw([&head, begin].concat()).await;
            assert!(answer.starts_with("HTTP/1.1 408"), "{path} {begin:?}: {answer}");
            for said in ["\"REQUEST_TIMEOUT\"", "did not arrive in time", "\r\nx-request-id: ", "connection: close"] {
                assert!(answer.contains(said), "{said} is not in {answer}");
            }
        }
        // The time is that of the whole body: bytes that drip in extend nothing.
        let (answer, _) = send_slowly(&app, format!("{head}Content-Length: 5000\r\n\r\n{{"), b" ").await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
    }
    app.assert_nothing_left();
}

#[tokio::test]
async fn a_head_must_come_whole_within_the_time_of_the_settings() {
    let app = TestApp::start_with(|config| config.http.header_timeout_seconds = Duration::from_secs(1)).await;
    // Neither a head that stands still nor one that drips in holds its connection, nor does an idle one.
    for (begin, piece) in [
        ("", b"" as &[u8]),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n", b""),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nx-slow: ", b"x"),
    ] {
        let (answer, sent) = send_slowly(&app, begin.to_owned(), piece).await;
        assert!(!answer.contains("200"), "{begin:?}: {answer}");
        // Without the setting, thirty seconds.
        assert!(sent < 400, "{begin:?}: closed after {sent} pauses");
    }
    let kept = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let (answer, sent) = send_slowly(&app, kept.to_owned(), b"").await;
    assert!(answer.starts_with("HTTP/1.1 200") && sent < 400, "closed after {sent} pauses: {answer}");
}
