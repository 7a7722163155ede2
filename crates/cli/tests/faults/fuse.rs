//! A data directory on a filesystem in user space (bindfs): it has neither `O_TMPFILE` nor `fallocate`, and may go away.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::api::{Api, fsck, indices};
use crate::server::{Server, bytes, fresh, partway, text};

const PART: usize = 10 * 1024 * 1024;

/// A directory seen through bindfs, whose process the test has, until it is dropped.
struct Mount {
    at: PathBuf,
    daemon: Child,
}

impl Mount {
    fn of(directory: &Path, at: &Path, options: &[&str]) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new("bindfs");
        command.arg("-f").args(options).arg(directory).arg(at).stdout(Stdio::null());
        let daemon = command.spawn().unwrap_or_else(|error| panic!("bindfs: {error}; scripts/test installs it"));
        let began = Instant::now();
        let device = |path: &Path| rustix::fs::stat(path).map(|found| found.st_dev);
        let outside = device(at.parent().unwrap()).unwrap();
        while device(at).is_ok_and(|device| device == outside) {
            assert!(began.elapsed() < Duration::from_secs(60), "bindfs has mounted nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { at: at.to_owned(), daemon }
    }

    /// Takes the mount away from its name; the process goes on for those who have files open.
    fn detach(&self) {
        let _ = Command::new("fusermount").arg("-uz").arg(&self.at).stderr(Stdio::null()).status();
    }

    /// The process dies, as on an error of its own.
    fn die(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        self.detach();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.detach();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[tokio::test]
async fn uploads_through_fuse_survive_a_kill_in_the_middle_and_come_out_whole() {
    let (directory, backing) = fresh();
    let mount = Mount::of(&backing, &directory.path().join("mount"), &[]);
    let data_dir = mount.at.join("data");
    let mut server = Server::start(&data_dir, &[]);
    let (key, log) = (server.private_key(), server.log());
    assert!(log.contains("is on FUSE") && log.contains("the filesystem cannot reserve space"), "{log}");
    let api = Api::new(&server.url, &key);
    let data = bytes(1, 3 * PART + 5);
    let chunks: Vec<_> = data.chunks(PART).collect();
    let started = api.start(&json!({"file_name": "parts", "size": data.len(), "format": "bin"}), "k").await;
    let id = started["session_id"].as_str().unwrap();
    let urls: Vec<_> = started["parts"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    for index in [2, 0] {
        assert_eq!(api.put(urls[index], chunks[index]).await.unwrap().0, 200);
    }
    // In the middle of the next one.
    let sending = {
        let (url, part) = (urls[1].to_owned(), chunks[1][..PART / 2].to_vec());
        let pieces = part.chunks(64 * 1024).map(|piece| Ok::<_, String>(piece.to_vec())).collect::<Vec<_>>();
        let body = futures_util::StreamExt::chain(futures_util::stream::iter(pieces), futures_util::stream::pending());
        let request = reqwest::Client::builder().tls_certs_only([]).build().unwrap().put(url);
        let request = request.header("Content-Length", PART).body(reqwest::Body::wrap_stream(body));
        tokio::spawn(request.send())
    };
    let blob_bytes = || -> u64 {
        let shards = std::fs::read_dir(data_dir.join("blobs")).unwrap().map(|shard| shard.unwrap().path());
        let blobs = shards.flat_map(|shard| std::fs::read_dir(shard).unwrap());
        blobs.map(|blob| std::os::unix::fs::MetadataExt::blocks(&blob.unwrap().metadata().unwrap()) * 512).sum()
    };
    until(|| blob_bytes() > 2 * PART as u64 + 1_000_000, "bytes of the part are on the disk").await;
    server.kill();
    assert!(sending.await.unwrap().is_err(), "half a part was answered");

    let server = Server::start(&data_dir, &[]);
    let api = Api::new(&server.url, &key);
    assert_eq!(indices(&api.status(id).await, "missing_parts"), [1, 3]);
    let (status, signed) = api.once(Method::POST, &format!("/{id}/parts"), Some(&json!({}))).await.unwrap();
    assert_eq!(status, 200, "{signed}");
    for part in signed["parts"].as_array().unwrap() {
        let index = part["index"].as_u64().unwrap() as usize;
        assert_eq!(api.put(part["url"].as_str().unwrap(), chunks[index]).await.unwrap().0, 200);
    }
    let (status, record) = api.complete(id).await;
    assert_eq!((status, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(&data)))));
    assert!(api.fetch(record["url"].as_str().unwrap()).await == data);
    let whole = bytes(2, 3_000_000);
    for announced in [true, false] {
        let (status, record) = api.upload_directly("whole", whole.clone(), announced).await.unwrap();
        assert_eq!((status, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(&whole)))));
        assert!(api.fetch(record["url"].as_str().unwrap()).await == whole);
    }
    let doctor = partway().args(["doctor", "--data-dir"]).arg(&data_dir).output().unwrap();
    let said = text(&doctor.stdout);
    assert!(doctor.status.success(), "{said}");
    for words in ["is on FUSE", "warning  reservation", "ok       database files", "ok       locks"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    crate::full_disk::until_cleaned(&data_dir).await;
    assert_eq!(fsck(&data_dir, &[]).1["findings"], json!([]));
    drop(server);
    // The bytes are what they are without FUSE, too.
    assert_eq!(fsck(&backing.join("data"), &[]).0, 0);
}

#[test]
fn a_filesystem_without_shared_memory_is_refused_at_start_and_by_the_doctor_in_plain_words() {
    let (directory, backing) = fresh();
    let mount = Mount::of(&backing, &directory.path().join("mount"), &["-o", "direct_io"]);
    let data_dir = mount.at.join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let said = |arguments: &[&str]| {
        let output = partway().args(arguments).arg("--data-dir").arg(&data_dir).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        text(&output.stdout) + &text(&output.stderr)
    };
    let doctor = said(&["doctor"]);
    assert!(doctor.contains("problem  database files"), "{doctor}");
    assert!(
        doctor.contains("SQLite's write-ahead log does not work in") && doctor.contains("change: data_dir"),
        "{doctor}"
    );
    let start = said(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(start.contains("SQLite's write-ahead log does not work in"), "{start}");
    let left: Vec<_> = std::fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("trial-")), "{left:?}");
}

#[tokio::test]
async fn after_the_process_of_a_mount_died_the_server_ends_and_readiness_never_says_well_while_lists_fail() {
    comes_back(Mount::die).await;
}

#[tokio::test]
async fn after_a_mount_was_taken_away_the_server_ends_or_recovers_and_readiness_tells() {
    comes_back(|mount| mount.detach()).await;
}

async fn comes_back(go_away: impl Fn(&mut Mount)) {
    let (directory, backing) = fresh();
    let at = directory.path().join("mount");
    let mut mount = Mount::of(&backing, &at, &[]);
    // Its log is next to it, outside of the mount.
    let data_dir = at.clone();
    let mut server = Server::start(&data_dir, &[]);
    let key = server.private_key();
    let api = Api::new(&server.url, &key);
    let data = bytes(1, 1_000_000);
    let (status, record) = api.upload_directly("whole", data.clone(), true).await.unwrap();
    assert_eq!(status, 201, "{record}");
    let url = record["url"].as_str().unwrap().to_owned();
    go_away(&mut mount);
    watch(&mut server, &api, Duration::from_secs(3)).await;
    let again = Mount::of(&backing, &at, &[]);
    let outcome = watch(&mut server, &api, Duration::from_secs(60)).await;
    let (server, url) = match outcome {
        Outcome::Ended => {
            let (ended, log) = (server.wait(), server.log());
            assert_eq!(ended.code(), Some(1), "{ended}: {log}");
            assert!(log.contains("the data directory is unreachable"), "{log}");
            let again = Server::start(&data_dir, &[]);
            let url = url.replace(&server.url, &again.url);
            (again, url)
        }
        // It serves lists: then it serves the bytes as well.
        Outcome::Ready => (server, url),
    };
    let api = Api::new(&server.url, &key);
    assert!(api.fetch(&url).await == data);
    let (status, record) = api.upload_directly("next", data.clone(), true).await.unwrap();
    assert_eq!(status, 201, "{record}");
    crate::full_disk::until_cleaned(&data_dir).await;
    assert_eq!(fsck(&data_dir, &[]).1["findings"], json!([]));
    drop(server);
    drop((again, mount));
}

enum Outcome {
    Ended,
    Ready,
}

/// Asks for lists and for readiness until the server has ended, or the time is over: then it serves lists.
async fn watch(server: &mut Server, api: &Api, time: Duration) -> Outcome {
    let (began, mut failing_since) = (Instant::now(), None);
    loop {
        if server.has_ended() {
            return Outcome::Ended;
        }
        let list = api.call(Method::GET, "/files").await;
        let works = matches!(list, Ok((200, _)));
        failing_since = if works { None } else { Some(failing_since.unwrap_or_else(Instant::now)) };
        let since = failing_since;
        let (status, answer) = ready(&server.url).await;
        // The answer is up to a second old, and one check may take a while; a server that is ending answers nobody.
        if status == 200 && since.is_some_and(|since: Instant| since.elapsed() > Duration::from_secs(3)) {
            let list = api.call(Method::GET, "/files").await;
            assert!(matches!(list, Ok((200, _))), "/readyz says {answer} while lists answer {list:?}");
        }
        if began.elapsed() > time {
            if works && status == 200 {
                return Outcome::Ready;
            }
            // It neither works nor has ended yet.
            assert!(began.elapsed() < time + Duration::from_secs(60), "lists: {list:?}, /readyz: {status} {answer}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ready(url: &str) -> (u16, String) {
    let url = format!("{url}/readyz");
    let client = reqwest::Client::builder().tls_certs_only([]).timeout(Duration::from_secs(30)).build().unwrap();
    match client.get(url).send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

async fn until(ready: impl Fn() -> bool, what: &str) {
    for _ in 0..1200 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within a minute: {what}");
}
