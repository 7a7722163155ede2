//! Filesystems that lack what others have, and readers that hold the database's log.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::api::{Api, fsck};
use crate::server::{Server, bytes, fresh, partway_under, run, text};

const PART: usize = 10 * 1024 * 1024;

/// A program that takes O_TMPFILE and fallocate from the one it runs.
fn launcher(directory: &Path) -> PathBuf {
    let launcher = directory.join("without_reservations");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/without_reservations.c");
    run(Command::new("gcc").args(["-O1", "-o"]).arg(&launcher).arg(source));
    launcher
}

async fn upload_in_parts(api: &Api, data: &[u8]) {
    let started = api.start(&json!({"file_name": "parts", "size": data.len(), "format": "bin"}), "k").await;
    for (url, chunk) in started["parts"].as_array().unwrap().iter().zip(data.chunks(PART)) {
        assert_eq!(api.put(url.as_str().unwrap(), chunk).await.unwrap().0, 200);
    }
    let (status, record) = api.complete(started["session_id"].as_str().unwrap()).await;
    assert_eq!((status, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(data)))));
    assert!(api.fetch(record["url"].as_str().unwrap()).await == data);
}

#[tokio::test]
async fn uploads_work_where_room_cannot_be_reserved() {
    let (directory, data_dir) = fresh();
    let launcher = launcher(directory.path());
    let server = Server::start_by(partway_under(&launcher), &data_dir, &[], &[]);
    assert!(server.log().contains("the filesystem cannot reserve space"), "{}", server.log());
    let api = Api::new(&server.url, &server.private_key());
    upload_in_parts(&api, &bytes(1, 2 * PART + 5)).await;
    let (status, record) = api.upload_directly("whole", bytes(2, 3_000_000), true).await.unwrap();
    assert_eq!(status, 201, "{record}");
    // The room of the database is written where it cannot be reserved.
    let reserve = data_dir.join("reserve");
    for _ in 0..600 {
        if std::fs::metadata(&reserve).is_ok_and(|file| file.len() == 4 << 20) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 4 << 20);
    let doctor = partway_under(&launcher).args(["doctor", "--data-dir"]).arg(&data_dir).output().unwrap();
    let report = text(&doctor.stdout);
    assert!(doctor.status.success() && report.contains("warning  reservation"), "{report}");
    assert_eq!(fsck(&data_dir, &[]).0, 0);
}

#[tokio::test]
async fn the_log_of_the_database_is_cut_off_after_a_reader_that_pinned_it() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let api = Api::new(&server.url, &server.private_key());
    let reader = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM files", [], |_| Ok(())).unwrap();
    let log_bytes = || std::fs::metadata(data_dir.join("partway.db-wal")).unwrap().len();
    let about = "x".repeat(15_000);
    for index in 0.. {
        let body = json!({"file_name": "f", "size": 1, "format": "bin", "metadata": {"about": about}});
        let (status, started) = api.once(Method::POST, "/start", Some(&body)).await.unwrap();
        assert_eq!(status, 201, "{started}");
        if log_bytes() > 24 << 20 {
            break;
        }
        assert!(index < 3000, "the log has {} bytes", log_bytes());
    }
    let warned = || server.log().contains("a long read of the database");
    until(warned, "the warning").await;
    assert!(log_bytes() > 24 << 20);
    reader.execute_batch("COMMIT").unwrap();
    until(|| log_bytes() <= 4 << 20, "the log is small again").await;
    assert_eq!(fsck(&data_dir, &[]).0, 0);
}

#[tokio::test]
async fn a_server_whose_directory_is_gone_ends_and_starts_again_when_it_is_back() {
    let (_directory, data_dir) = fresh();
    let mut server = Server::start(&data_dir, &[]);
    let away = data_dir.with_extension("away");
    std::fs::rename(&data_dir, &away).unwrap();
    until_ended(&mut server).await;
    assert!(server.log().contains("the data directory is unreachable"), "{}", server.log());
    std::fs::rename(&away, &data_dir).unwrap();
    drop(Server::start(&data_dir, &[]));
    assert_eq!(fsck(&data_dir, &[]).0, 0);
}

async fn until_ended(server: &mut Server) {
    for _ in 0..600 {
        if server.has_ended() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server has not ended within 30 seconds");
}

async fn until(ready: impl Fn() -> bool, what: &str) {
    for _ in 0..600 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within 30 seconds: {what}");
}
