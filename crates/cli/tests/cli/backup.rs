//! Backups as docs/OPERATIONS.md makes them: a restored copy has the same files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt;
use partway_server::storage::{
    BlobHeaders, BlobStore, ByteSource, ByteStream, S3Settings, S3Store, Scanned, StorageError,
};
use partway_testing::{Garage, Postgres};
use serde_json::{Value, json};

use crate::server::{Server, bytes, curl, fresh, partway, post, run, start, text};

/// The commands between two words of the handbook.
fn block_with(text: &str) -> String {
    let handbook = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md")).unwrap();
    let blocks = handbook.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.into_iter().find(|block| block.contains(text)).unwrap_or_else(|| panic!("no block with {text:?}"))
}

/// Uploads a small file and gives back its path on the server.
fn upload(server: &Server, key: &str, directory: &Path, name: &str, data: &[u8]) -> String {
    let started = start(server, key, name, data.len());
    let part = directory.join(format!("part {name}"));
    std::fs::write(&part, data).unwrap();
    let (status, _) = curl(&["--upload-file", part.to_str().unwrap(), started["parts"][0].as_str().unwrap()]);
    assert_eq!(status, 200);
    let (status, record) = post(server, key, "complete", &json!({"session_id": started["session_id"]}).to_string());
    assert_eq!(status, 201, "{record}");
    let record: Value = serde_json::from_str(&record).unwrap();
    record["url"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned()
}

fn fetch(server: &Server, path: &str) -> Vec<u8> {
    run(Command::new("curl").args(["--silent", "--fail", "--location", &format!("{}/{path}", server.url)])).stdout
}

#[test]
fn a_copy_made_while_files_come_and_go_restores_those_that_were_there() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let key = server.private_key();
    let mut kept = BTreeMap::new();
    for number in 0..12 {
        let data = bytes(number, 20_000);
        kept.insert(upload(&server, &key, directory.path(), &format!("kept-{number}"), &data), data);
    }
    let open = start(&server, &key, "open", 15_000_000);
    let part = directory.path().join("open part");
    std::fs::write(&part, &bytes(77, 15_000_000)[..10_485_760]).unwrap();
    assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), open["parts"][0].as_str().unwrap()]).0, 200);
    let copy = directory.path().join("copy");
    let script = block_with("VACUUM INTO")
        .replace("data=/var/lib/partway copy=/var/lib/partway-backup", "")
        .replace("command partway", env!("CARGO_BIN_EXE_partway"));
    let script: Vec<_> = script.lines().filter(|line| !line.starts_with("rsync")).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 100.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                upload(&server, &key, directory.path(), &format!("new-{}", number % 50), &bytes(number, 3000));
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        let mut shell = Command::new("bash");
        shell.args(["-c", &script.join("\n")]).env("data", &data_dir).env("copy", &copy);
        let said = shell.output().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(copy.join("partway.db").exists(), "{}{}", text(&said.stdout), text(&said.stderr));
    });
    drop(server);
    // Elsewhere, as a restore is: the copy still shares its files with the original.
    let restored = directory.path().join("restored");
    run(Command::new("cp").arg("--recursive").arg(&copy).arg(&restored));
    // No first start: nothing is greeted.
    std::fs::write(restored.with_extension("seen"), "").unwrap();
    let fsck = |more: &[&str]| {
        partway().args(["fsck", "--deep", "--json", "--data-dir"]).arg(&restored).args(more).output().unwrap()
    };
    let report: Value = serde_json::from_slice(&fsck(&["--repair"]).stdout).unwrap();
    let problems: Vec<_> = report["findings"].as_array().unwrap().iter().map(|finding| &finding["problem"]).collect();
    assert!(problems.iter().all(|problem| *problem == "orphan"), "{report}");
    let server = Server::start(&restored, &[]);
    for (path, data) in &kept {
        assert!(fetch(&server, path) == *data, "{path}");
    }
    let session = format!("{}/api/v1/multipart/{}", server.url, open["session_id"].as_str().unwrap());
    let (_, answer) = curl(&[&session, "--header", &format!("Authorization: Bearer {key}")]);
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["uploaded_parts"], json!([0]));
}

/// An object of one bucket, for another.
struct Object<'s>(&'s S3Store, uuid::Uuid);

impl ByteSource for Object<'_> {
    fn read(
        &self,
        range: std::ops::Range<u64>,
    ) -> futures_util::future::BoxFuture<'_, Result<ByteStream, StorageError>> {
        self.0.read_blob(self.1, range)
    }
}

fn bucket(garage: &Garage, bucket: &str) -> S3Settings {
    let endpoint: url::Url = garage.endpoint(0).parse().unwrap();
    S3Settings {
        public_endpoint: endpoint.clone(),
        endpoint,
        region: garage.region().to_owned(),
        bucket: bucket.to_owned(),
        prefix: String::new(),
        path_style: true,
        access_key_id: garage.access_key_id().to_owned(),
        secret_access_key: garage.secret_access_key().to_owned(),
    }
}

/// `rclone copy`: copies objects that are not there yet, and deletes none.
async fn copy(from: &S3Store, to: &S3Store) {
    let there = to.list_blobs().await.unwrap();
    for entry in from.list_blobs().await.unwrap().into_iter().filter(|entry| !there.contains(entry)) {
        let Scanned::Blob(id) = entry else { panic!("{entry:?}") };
        let Some(found) = from.find_blob(id).await.unwrap() else { continue };
        let headers = BlobHeaders { content_type: "text/plain".into(), content_disposition: "inline".into() };
        to.put_blob(id, found.size_bytes, &headers, &Object(from, id)).await.unwrap();
        let read = to
            .read_blob(id, 0..found.size_bytes)
            .await
            .unwrap()
            .try_fold(0, |sum, piece| async move { Ok(sum + piece.len()) });
        assert_eq!(read.await.unwrap() as u64, found.size_bytes);
    }
}

#[test]
fn a_dump_between_two_copies_of_the_bucket_restores_the_files() {
    let (garage, postgres) = (Garage::start(1), Postgres::start());
    let (name, backup) = (garage.create_bucket(), garage.create_bucket());
    let url = postgres.create_database();
    let settings = |bucket: &str, url: &str| {
        let pairs = [
            ("PARTWAY_STORAGE_KIND", "s3"),
            ("PARTWAY_STORAGE_ENDPOINT", &garage.endpoint(0)),
            ("PARTWAY_STORAGE_REGION", garage.region()),
            ("PARTWAY_STORAGE_BUCKET", bucket),
            ("PARTWAY_STORAGE_ACCESS_KEY_ID", garage.access_key_id()),
            ("PARTWAY_STORAGE_SECRET_ACCESS_KEY", garage.secret_access_key()),
            ("PARTWAY_DATABASE_URL", url),
        ];
        pairs.map(|(name, value)| (name, value.to_owned()))
    };
    let serve = |directory: &Path, bucket: &str, url: &str| {
        let settings = settings(bucket, url);
        let environment: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Server::start_with(directory, &[], &environment)
    };
    let (directory, data_dir) = fresh();
    let server = serve(&data_dir, &name, &url);
    let key = server.private_key();
    let mut expected = BTreeMap::new();
    for number in 0..10 {
        let data = bytes(number, 5000);
        expected.insert(upload(&server, &key, directory.path(), &format!("{number}"), &data), data);
    }
    let stores = [&name, &backup].map(|name| S3Store::new(&bucket(&garage, name)).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let copy_bucket = || runtime.block_on(copy(&stores[0], &stores[1]));
    copy_bucket();
    // Files that come and go meanwhile: the dump has some of them.
    for number in 0..5 {
        let data = bytes(100 + number, 6000);
        expected.insert(upload(&server, &key, directory.path(), &format!("{number}"), &data), data);
    }
    let dump = directory.path().join("partway.dump");
    postgres.dump(&url, &dump);
    for number in 5..10 {
        upload(&server, &key, directory.path(), &format!("{number}"), &bytes(200 + number, 7000));
    }
    copy_bucket();
    drop(server);
    let restored = postgres.create_database();
    postgres.restore(&restored, &dump);
    let mut fsck = partway();
    fsck.envs(settings(&backup, &restored)).args(["fsck", "--deep", "--json", "--data-dir"]).arg(&data_dir);
    let report: Value = serde_json::from_slice(&fsck.output().unwrap().stdout).unwrap();
    let problems: Vec<_> = report["findings"].as_array().unwrap().iter().map(|finding| &finding["problem"]).collect();
    assert!(problems.iter().all(|problem| *problem == "orphan"), "{report}");
    let server = serve(&data_dir, &backup, &restored);
    for (path, data) in &expected {
        assert!(fetch(&server, path) == *data, "{path}");
    }
}
