//! Stopping in the orderly way.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use partway_server::Config;
use partway_server::config::SettingsReader;
use serde_json::json;

use crate::app::{MIB, TestApp, bytes, read_available};
use crate::services::Services;

fn send_half(app: &TestApp, path: &str, data: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(app.address).unwrap();
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", data.len()).unwrap();
    stream.write_all(&data[..data.len() / 2]).unwrap();
    stream
}

#[tokio::test]
async fn running_requests_finish_and_new_ones_are_not_taken() {
    let mut app = TestApp::start_local().await;
    let data = bytes(1, 4 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    let mut running = send_half(&app, session.part_path(0), &data);
    // The request is running once the server has begun with its part.
    app.until("the part is being written", |app| blob_has(app, &data[..1000])).await;
    app.stop.cancel();
    app.until("the port is closed", |app| TcpStream::connect(app.address).is_err()).await;
    running.write_all(&data[data.len() / 2..]).unwrap();
    let answer = tokio::task::spawn_blocking(move || read_available(&mut running)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    app.running.take().unwrap().await.unwrap();
    assert_eq!(app.count("parts"), 1);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_in_time() {
    let settings =
        Config::read(SettingsReader::default().with_flag("", "http.shutdown_timeout_seconds", Some("1".into())))
            .unwrap();
    let mut app = TestApp::start_local_with(|config| {
        config.http.shutdown_timeout_seconds = settings.http.shutdown_timeout_seconds
    })
    .await;
    let data = bytes(1, 4 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    let stuck = send_half(&app, session.part_path(0), &data);
    app.until("the part is being written", |app| blob_has(app, &data[..1000])).await;
    let began = Instant::now();
    app.stop.cancel();
    app.running.take().unwrap().await.unwrap();
    assert!((Duration::from_millis(900)..Duration::from_secs(25)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(app.count("parts"), 0);
    drop(stuck);
}

/// Whether a blob begins with these bytes.
pub(crate) fn blob_has(app: &TestApp, beginning: &[u8]) -> bool {
    let shards = std::fs::read_dir(app.directory.path().join("blobs")).unwrap();
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.any(|file| std::fs::read(file.unwrap().path()).unwrap().starts_with(beginning))
}

#[tokio::test]
async fn a_server_that_has_stopped_holds_no_lease() {
    // A file of SQLite has one process, and no leases.
    let mut app = TestApp::start_on(Services { postgres: true, ..Services::of_this_run() }, |_| {}).await;
    for _ in 0..15 {
        // Its jobs have just begun.
        app.restart_after(|app| assert_eq!(app.count("leases"), 0)).await;
    }
}
