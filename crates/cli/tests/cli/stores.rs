//! A course of an upload's life on a store of another maker: moto, or the one that `PARTWAY_TEST_STORE` names as
//! `ENDPOINT REGION BUCKET KEY SECRET`; `scripts/stores` starts those. The bucket is there already, and each test has a prefix of its own.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use partway_testing::Moto;
use serde_json::{Value, json};

use crate::cluster::{Settings, command, fetch, serve, succeeded, upload};
use crate::server::{Server, bytes, curl, fresh, post, run, start, text};

/// The store; every test has a prefix of its own in its bucket.
fn store() -> Settings {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    let named = std::env::var("PARTWAY_TEST_STORE").unwrap_or_else(|_| {
        let moto = MOTO.get_or_init(|| {
            let moto = Moto::start();
            moto.create_bucket("partway");
            moto
        });
        format!("{} us-east-1 partway id secret", moto.url)
    });
    let words: Vec<_> = named.split_ascii_whitespace().collect();
    let [endpoint, region, bucket, key, secret] = words[..] else { panic!("PARTWAY_TEST_STORE is {named:?}") };
    [
        ("PARTWAY_STORAGE_KIND", "s3"),
        ("PARTWAY_STORAGE_ENDPOINT", endpoint),
        ("PARTWAY_STORAGE_REGION", region),
        ("PARTWAY_STORAGE_BUCKET", bucket),
        ("PARTWAY_STORAGE_ACCESS_KEY_ID", key),
        ("PARTWAY_STORAGE_SECRET_ACCESS_KEY", secret),
        ("PARTWAY_STORAGE_PREFIX", &format!("{}/", uuid::Uuid::new_v4())),
        ("PARTWAY_STORAGE_URL_SECONDS", "1"),
        ("PARTWAY_STORAGE_SWEEP_SECONDS", "1"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// Sends bytes to a part's URL, and returns the status.
fn put(directory: &Path, url: &str, part: &[u8]) -> u16 {
    let file = directory.join("part");
    std::fs::write(&file, part).unwrap();
    curl(&["--upload-file", file.to_str().unwrap(), url]).0
}

fn url(parts: &Value, index: usize) -> &str {
    let part = &parts["parts"][index];
    part.as_str().or(part["url"].as_str()).unwrap_or_else(|| panic!("{parts}"))
}

/// Calls the API about a session.
fn call(server: &Server, key: &str, method: &str, path: &str) -> (u16, Value) {
    let address = format!("{}/api/v1/{path}", server.url);
    let (status, answer) = curl(&[&address, "--request", method, "--header", &format!("Authorization: Bearer {key}")]);
    (status, serde_json::from_str(&answer).unwrap_or_default())
}

fn until(what: &str, ready: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !ready() {
        assert!(began.elapsed().as_secs() < 60, "not in a minute: {what}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn a_file_is_uploaded_in_parts_and_delivered_by_redirect_and_as_a_stream() {
    let (directory, data_dir) = fresh();
    let mut settings = store();
    let file = directory.path().join("big.bin");
    let data = bytes(1, 25_000_000);
    std::fs::write(&file, &data).unwrap();
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    let record = upload(&server, &key, &file);
    assert_eq!(record["size"], json!(data.len()));
    assert!(fetch(&server, &record) == data, "by redirect");
    drop(server);
    settings.push(("PARTWAY_STORAGE_DELIVERY", "stream".to_owned()));
    let server = serve(&data_dir, &settings);
    assert!(fetch(&server, &record) == data, "as a stream");
    let path = record["url"].as_str().unwrap().splitn(4, '/').nth(3).unwrap();
    let range = run(Command::new("curl").args([
        "--silent",
        "--fail",
        "--range",
        "10485758-10485761",
        &format!("{}/{path}", server.url),
    ]));
    assert!(range.stdout == data[10_485_758..10_485_762]);
    drop(server);
    let report = succeeded(command(&data_dir, &settings, &["fsck", "--deep", "--json"]));
    assert_eq!((&report["blobs"], &report["findings"]), (&json!(1), &json!([])));
}

#[test]
fn an_upload_goes_on_after_its_first_part_and_is_completed_twice_with_the_same_answer() {
    let (directory, data_dir) = fresh();
    let server = serve(&data_dir, &store());
    let key = server.private_key();
    let data = bytes(2, 25_000_000);
    let started = start(&server, &key, "resumed.bin", data.len());
    let (id, size) = (started["session_id"].as_str().unwrap(), started["part_size"].as_u64().unwrap() as usize);
    let parts: Vec<_> = data.chunks(size).collect();
    let (status, state) = call(&server, &key, "GET", &format!("multipart/{id}"));
    assert_eq!((status, &state["missing_parts"]), (200, &json!([0, 1, 2])), "{state}");
    assert_eq!(put(directory.path(), url(&started, 1), parts[1]), 200);
    let (status, state) = call(&server, &key, "GET", &format!("multipart/{id}"));
    assert_eq!((status, &state["missing_parts"]), (200, &json!([0, 2])), "{state}");
    let complete = || post(&server, &key, "complete", &format!(r#"{{"session_id":"{id}"}}"#));
    assert_eq!(complete().0, 400, "parts are missing");
    let (status, signed) = post(&server, &key, &format!("{id}/parts"), "{}");
    assert_eq!(status, 200, "{signed}");
    let signed: Value = serde_json::from_str(&signed).unwrap();
    for (place, index) in [(0, 0), (1, 2)] {
        assert_eq!(put(directory.path(), url(&signed, place), parts[index]), 200);
    }
    let (first, second) = (complete(), complete());
    assert!(matches!(first.0, 200 | 201), "{first:?}");
    assert_eq!(first.1, second.1);
    assert!(fetch(&server, &serde_json::from_str(&first.1).unwrap()) == data);
}

#[test]
fn an_upload_that_is_aborted_accepts_no_part_and_leaves_nothing() {
    let (directory, data_dir) = fresh();
    let settings = store();
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    let data = bytes(3, 11_000_000);
    let started = start(&server, &key, "aborted.bin", data.len());
    let size = started["part_size"].as_u64().unwrap() as usize;
    assert_eq!(put(directory.path(), url(&started, 0), &data[..size]), 200);
    let (status, _) = call(&server, &key, "DELETE", &format!("multipart/{}", started["session_id"].as_str().unwrap()));
    assert_eq!(status, 204);
    until("nothing is left", || {
        let report = succeeded(command(&data_dir, &settings, &["fsck", "--json"]));
        (&report["garbage"], &report["blobs"], &report["findings"]) == (&json!(0), &json!(0), &json!([]))
    });
    let late = put(directory.path(), url(&started, 1), &data[size..]);
    assert!(late >= 400, "a part of an aborted upload: {late}");
}

#[test]
fn small_files_are_sent_through_the_server_and_deleted() {
    let (directory, data_dir) = fresh();
    let settings = store();
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    for size in [0, 5] {
        let file = directory.path().join("small");
        std::fs::write(&file, bytes(4, size)).unwrap();
        let record = upload(&server, &key, &file);
        assert!(fetch(&server, &record) == bytes(4, size), "{size}");
        let (status, _) = call(&server, &key, "DELETE", &format!("files/{}", record["file_no"].as_str().unwrap()));
        assert_eq!(status, 204);
    }
    until("nothing is left", || {
        let report = succeeded(command(&data_dir, &settings, &["fsck", "--json"]));
        (&report["garbage"], &report["blobs"], &report["findings"]) == (&json!(0), &json!(0), &json!([]))
    });
}

#[test]
fn the_doctor_finds_that_uploads_work_and_leaves_nothing() {
    let (_directory, data_dir) = fresh();
    let settings = store();
    let output = command(&data_dir, &settings, &["doctor", "--fix-cors"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    drop(serve(&data_dir, &settings));
    let report = succeeded(command(&data_dir, &settings, &["fsck", "--json"]));
    assert_eq!((&report["blobs"], &report["findings"]), (&json!(0), &json!([])));
}
