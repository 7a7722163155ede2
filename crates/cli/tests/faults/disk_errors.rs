//! A disk that fails: EIO and ENOSPC, where the storage asks the system (failpoints in storage/).

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, fsck, indices};
use crate::server::{Server, bytes, free_address, fresh};

const PART: usize = 10 * 1024 * 1024;

/// A server whose disk fails as configured, and its data directory.
struct Failing {
    api: Api,
    server: Server,
    arguments: [String; 2],
    data_dir: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Failing {
    fn start(failpoints: &str) -> Self {
        let (directory, data_dir) = fresh();
        let arguments = ["--listen".to_owned(), free_address()];
        let server = Server::start_with(
            &data_dir,
            &arguments.each_ref().map(String::as_str),
            &[("PARTWAY_FAILPOINTS", failpoints)],
        );
        let api = Api::new(&server.url, &server.private_key());
        Self { api, server, arguments, data_dir, _directory: directory }
    }

    fn restart(&mut self, environment: &[(&str, &str)]) {
        self.server.kill();
        self.server = Server::start_with(&self.data_dir, &self.arguments.each_ref().map(String::as_str), environment);
    }
}

async fn start(api: &Api, size: usize) -> (String, Vec<String>) {
    let started = api.start(&json!({"file_name": "f", "size": size, "format": "bin"}), "k").await;
    let urls = started["parts"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    (started["session_id"].as_str().unwrap().to_owned(), urls)
}

async fn complete_once(api: &Api, id: &str) -> (u16, Value) {
    api.once(Method::POST, "/complete", Some(&json!({"session_id": id}))).await.unwrap()
}

#[tokio::test]
async fn a_failed_sync_takes_the_parts_back_because_the_next_one_would_succeed_without_them() {
    let mut failing = Failing::start("blob.sync=eio@1");
    let api = failing.api.clone();
    let data = bytes(1, PART + 1000);
    let (id, urls) = start(&api, data.len()).await;
    for (url, chunk) in urls.iter().zip(data.chunks(PART)) {
        assert_eq!(api.put(url, chunk).await.unwrap().0, 200);
    }
    let (status, answer) = complete_once(&api, &id).await;
    assert_eq!((status, &answer["errorCode"]), (500, &json!("INTERNAL")));
    assert!(!answer.to_string().contains("os error"), "{answer}");
    assert!(failing.server.log().contains("could not sync blob"), "{}", failing.server.log());
    assert_eq!(indices(&api.status(&id).await, "missing_parts"), [0, 1]);
    let (status, answer) = complete_once(&api, &id).await;
    assert_eq!((status, &answer["errorCode"]), (400, &json!("PARTS_MISSING")));
    // The next process knows it, too.
    failing.restart(&[]);
    assert_eq!(indices(&api.status(&id).await, "missing_parts"), [0, 1]);
    for (url, chunk) in urls.iter().zip(data.chunks(PART)) {
        assert_eq!(api.put(url, chunk).await.unwrap().0, 200);
    }
    let (status, record) = complete_once(&api, &id).await;
    assert_eq!((status, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(&data)))));
    assert_eq!(fsck(&failing.data_dir, &[]).0, 0);
}

#[tokio::test]
async fn a_write_that_fails_leaves_its_part_missing_and_nothing_else() {
    for (action, status, code) in [("eio", 500, "INTERNAL"), ("enospc", 507, "INSUFFICIENT_STORAGE")] {
        // The short part is sent first, in one write; the second write is one of the long part.
        let failing = Failing::start(&format!("blob.write={action}@2"));
        let api = &failing.api;
        let data = bytes(1, PART + 1000);
        let (id, urls) = start(api, data.len()).await;
        assert_eq!(api.put(&urls[1], &data[PART..]).await.unwrap().0, 200);
        let (answered, answer) = api.put(&urls[0], &data[..PART]).await.unwrap();
        assert_eq!((answered, &answer["errorCode"]), (status, &json!(code)));
        assert_eq!(indices(&api.status(&id).await, "missing_parts"), [0]);
        assert_eq!(api.put(&urls[0], &data[..PART]).await.unwrap().0, 200);
        let (answered, record) = complete_once(api, &id).await;
        assert_eq!((answered, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(&data)))));
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_read_after_a_reboot_is_missing() {
    let mut failing = Failing::start("");
    let api = failing.api.clone();
    let data = bytes(1, PART + 1000);
    let (id, urls) = start(&api, data.len()).await;
    for (url, chunk) in urls.iter().zip(data.chunks(PART)) {
        assert_eq!(api.put(url, chunk).await.unwrap().0, 200);
    }
    failing.server.kill();
    let database = rusqlite::Connection::open(failing.data_dir.join("partway.db")).unwrap();
    database.execute("UPDATE sessions SET trusted_boot_id = 'another'", []).unwrap();
    drop(database);
    failing.restart(&[("PARTWAY_FAILPOINTS", "blob.read=eio@3")]);
    assert_eq!(indices(&api.status(&id).await, "missing_parts"), [0]);
    assert_eq!(api.put(&urls[0], &data[..PART]).await.unwrap().0, 200);
    assert_eq!(complete_once(&api, &id).await.0, 201);
}

#[tokio::test]
async fn a_blob_that_cannot_be_deleted_is_deleted_later() {
    let failing = Failing::start("blob.delete=eio@1-2");
    let api = &failing.api;
    for round in 0..4 {
        let key = format!("k{round}");
        let started = api.start(&json!({"file_name": "f", "size": 5, "format": "bin"}), &key).await;
        assert_eq!(api.put(started["parts"][0].as_str().unwrap(), b"hello").await.unwrap().0, 200);
        assert_eq!(complete_once(api, started["session_id"].as_str().unwrap()).await.0, 201);
        // The cleaner comes at once when there is garbage, but not twice in half a second.
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    let mut report = Value::Null;
    for _ in 0..200 {
        report = fsck(&failing.data_dir, &[]).1;
        if report["garbage"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!((&report["findings"], &report["garbage"], &report["blobs"]), (&json!([]), &json!(0), &json!(1)));
    assert!(failing.server.log().contains("a blob cannot be deleted"), "{}", failing.server.log());
}
