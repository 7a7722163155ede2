//! Connections that are cut, reset, stalled, slowed down, or that lose the answer; servers that go away. The client is
//! `partway upload`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use partway_client::{Client, Event, RetryPolicy, TransferOptions, Upload};
use serde_json::{Value, json};

use crate::api::{Api, fsck};
use crate::proxy::{Fault, Proxy};
use crate::server::{Server, bytes, free_address, fresh, partway, text};

/// A server that is reached through a proxy, and a file to send.
struct Setup {
    server: Server,
    proxy: Proxy,
    key: String,
    data: Vec<u8>,
    directory: tempfile::TempDir,
}

impl Setup {
    /// The server ends a body that brings nothing for two seconds.
    fn new(size: usize) -> Self {
        let (directory, data_dir) = fresh();
        let address = free_address();
        let proxy = Proxy::start(&address);
        // The proxy's address must stand in the part URLs, so that parts go through it.
        let arguments = ["--listen", &address, "--public-url", &proxy.url];
        let server = Server::start_with(&data_dir, &arguments, &[("PARTWAY_HTTP_STALL_TIMEOUT_SECONDS", "2")]);
        let key = server.private_key();
        let data = bytes(9, size);
        std::fs::write(directory.path().join("f.bin"), &data).unwrap();
        Self { server, proxy, key, data, directory }
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("f.bin")
    }

    fn assert_uploaded(&self, record: &Value) {
        assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&self.data)));
        let (code, report) = fsck(&self.directory.path().join("data"), &[]);
        assert_eq!((code, &report["files"], &report["sessions"]), (0, &json!(1), &json!(0)), "{report}");
    }
}

fn upload_command(file: &Path, url: &str, key: &str, more: &[&str]) -> Command {
    let mut command = partway();
    command.arg("upload").arg(file).args(["--json", "--url", url, "--key", key]).args(more);
    command
}

#[test]
fn an_upload_survives_everything_that_a_network_does() {
    // Parts that are small enough to be sent in much less than the second from which an end may be a proxy's time limit.
    let setup = Setup::new(38_000_000);
    let kib = 1024;
    setup.proxy.plan([
        Fault::Cut(1000 * kib),
        Fault::Reset(800 * kib),
        Fault::Trickle(400 * kib, 5),
        Fault::LoseAnswer,
        Fault::Cut(0),
        Fault::Reset(1900 * kib),
        Fault::LoseAnswer,
    ]);
    let small = ["--part-size", "2MiB"];
    let output = upload_command(&setup.file(), &setup.proxy.url, &setup.key, &small).output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(setup.proxy.left(), 0, "not every fault happened");
    assert!(errors.matches("retrying").count() >= 6, "{errors}");
    assert!(!errors.contains("at a time"), "this was taken for a proxy's time limit: {errors}");
    setup.assert_uploaded(&serde_json::from_slice(&output.stdout).unwrap());
}

#[tokio::test]
async fn a_connection_that_stalls_is_given_up_by_both_sides() {
    let setup = Setup::new(25_000_000);
    setup.proxy.plan([Fault::Stall(1_000_000), Fault::Stall(3_000_000)]);
    let client = Client::new(&setup.proxy.url, &setup.key).unwrap();
    let retries = std::sync::Mutex::new(Vec::new());
    let options = TransferOptions {
        stall_timeout: Duration::from_secs(3),
        retry: RetryPolicy { longest_pause: Duration::from_millis(500), ..RetryPolicy::default() },
        ..TransferOptions::default()
    };
    let upload = Upload::of(setup.file()).slowest_rate(u64::MAX).options(options);
    let on_event = |event: Event<'_>| {
        if let Event::Retrying { error, .. } = event {
            retries.lock().unwrap().push(error.to_string());
        }
    };
    let record = upload.send(&client, &on_event).await.unwrap();
    assert_eq!(setup.proxy.left(), 0);
    let retries = retries.into_inner().unwrap();
    assert_eq!(retries.iter().filter(|error| error.contains("no byte was taken")).count(), 2, "{retries:?}");
    setup.assert_uploaded(&serde_json::to_value(record).unwrap());
    // The server had given it up a second before, which nobody heard.
    let log = setup.server.log();
    assert!(log.contains("status=408"), "{log}");
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !ready() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not happen in a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server that holds the part after the first `parts` until it is let go: time to interrupt its client.
struct Holding {
    server: Server,
    gate: PathBuf,
    parts: usize,
}

impl Holding {
    fn start(data_dir: &Path, arguments: &[&str], parts: usize) -> Self {
        let gate = data_dir.with_extension("gate");
        let failpoint = format!("part.after_write=hold:{}@{}", gate.display(), parts + 1);
        let server = Server::start_with(data_dir, arguments, &[("PARTWAY_FAILPOINTS", &failpoint)]);
        Self { server, gate, parts }
    }

    fn let_go(&self) {
        std::fs::write(&self.gate, "").unwrap();
    }

    /// Begins an upload and waits until a part is held, with those before it recorded. Which session it is.
    fn begin(&self, key: &str, file: &Path) -> (Uploading, String) {
        let mut command = upload_command(file, &self.server.url, key, &["--concurrency", "1"]);
        let child = Uploading(Some(command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()));
        wait_for("the part to hold", || self.gate.with_extension("held").exists());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let api = Api::new(&self.server.url, key);
        let list = runtime.block_on(api.once(reqwest::Method::GET, "?status=uploading", None)).unwrap().1;
        let session = &list["sessions"][0];
        assert_eq!(session["parts_uploaded"], self.parts);
        (child, session["session_id"].as_str().unwrap().to_owned())
    }

    /// Begins an upload, kills its client while a part is held, and says which session it leaves. The part on whose way the client
    /// died is there as well, then.
    fn interrupt(&self, key: &str, file: &Path) -> String {
        let (child, id) = self.begin(key, file);
        drop(child);
        self.let_go();
        let (runtime, api) = (tokio::runtime::Runtime::new().unwrap(), Api::new(&self.server.url, key));
        wait_for("the part that was held", || {
            runtime.block_on(api.status(&id))["uploaded_parts"].as_array().unwrap().len() > self.parts
        });
        id
    }
}

/// A client under way. Dropping it ends it.
struct Uploading(Option<Child>);

impl Uploading {
    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Reads what it says until these words have come.
    fn until_it_says(&mut self, words: &str) -> String {
        let errors = self.0.as_mut().unwrap().stderr.as_mut().unwrap();
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !text(&said).contains(words) {
            assert_eq!(errors.read(&mut byte).unwrap(), 1, "{}", text(&said));
            said.extend(byte);
        }
        text(&said)
    }

    fn wait_with_output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn puts(server: &Server) -> usize {
    server.log().lines().filter(|line| line.contains("method=PUT") && line.contains("status=200")).count()
}

#[test]
fn a_client_that_was_killed_goes_on_where_it_stopped_by_the_same_command() {
    let (directory, data_dir) = fresh();
    let holding = Holding::start(&data_dir, &[], 5);
    let server = &holding.server;
    let key = server.private_key();
    let file = directory.path().join("f.bin");
    let data = bytes(1, 100_000_000);
    std::fs::write(&file, &data).unwrap();
    let id = holding.interrupt(&key, &file);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let state = runtime.block_on(Api::new(&server.url, &key).status(&id));
    let (there, missing) =
        (state["uploaded_parts"].as_array().unwrap().len(), state["missing_parts"].as_array().unwrap().len());
    assert!(there == 6 && missing > 0, "{state}");
    let before = puts(server);
    let output = upload_command(&file, &server.url, &key, &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&record["hash"], &record["id"]), (&json!(format!("blake3:{}", blake3::hash(&data))), &state["uuid"]));
    assert_eq!(puts(server) - before, missing, "parts that were there were sent again");
    // It is finished: the same command uploads again.
    let output = upload_command(&file, &server.url, &key, &[]).output().unwrap();
    assert_ne!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"], record["id"]);
}

#[test]
fn any_process_goes_on_knowing_only_the_session() {
    let (directory, data_dir) = fresh();
    let holding = Holding::start(&data_dir, &[], 2);
    let server = &holding.server;
    let key = server.private_key();
    let (file, elsewhere) = (directory.path().join("f.bin"), directory.path().join("elsewhere"));
    let data = bytes(1, 60_000_000);
    std::fs::write(&file, &data).unwrap();
    let id = holding.interrupt(&key, &file);
    std::fs::rename(&file, &elsewhere).unwrap();
    let mut command = upload_command(&elsewhere, &server.url, &key, &["--resume", &id]);
    let output = command.env("HOME", directory.path().join("other-home")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&record["hash"], &record["name"]),
        (&json!(format!("blake3:{}", blake3::hash(&data))), &json!("f.bin"))
    );
    // Another size cannot be that file, another session is none.
    std::fs::write(&elsewhere, "short").unwrap();
    for (session, message) in [
        (id.as_str(), "another size"),
        ("0f0e0d0c-0b0a-4908-8706-050403020100", "SESSION_NOT_FOUND"),
        // Its time, in 2023, is over: it may have been one.
        ("01890a5d-ac96-774b-bcce-b302099a800a", "SESSION_EXPIRED"),
    ] {
        let output = upload_command(&elsewhere, &server.url, &key, &["--resume", session]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
}

#[test]
fn parts_of_another_file_are_found_by_the_hash_of_the_whole_and_sent_again() {
    let (directory, data_dir) = fresh();
    let holding = Holding::start(&data_dir, &[], 2);
    let server = &holding.server;
    let key = server.private_key();
    let file = directory.path().join("f.bin");
    std::fs::write(&file, bytes(1, 60_000_000)).unwrap();
    let id = holding.interrupt(&key, &file);
    let other = bytes(2, 60_000_000);
    std::fs::write(&file, &other).unwrap();
    let output = upload_command(&file, &server.url, &key, &["--resume", &id]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("CHECKSUM_MISMATCH"), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&other)));
}

#[test]
fn a_changed_file_starts_over_and_its_old_session_is_given_up() {
    let (directory, data_dir) = fresh();
    let holding = Holding::start(&data_dir, &[], 1);
    let server = &holding.server;
    let key = server.private_key();
    let file = directory.path().join("f.bin");
    std::fs::write(&file, bytes(1, 100_000_000)).unwrap();
    let id = holding.interrupt(&key, &file);
    let changed = bytes(2, 40_000_000);
    std::fs::write(&file, &changed).unwrap();
    let output = upload_command(&file, &server.url, &key, &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&changed)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(Api::new(&server.url, &key).status(&id))["status"], "aborted");
}

#[test]
fn two_at_once_send_one_file_once() {
    let (directory, data_dir) = fresh();
    let holding = Holding::start(&data_dir, &[], 1);
    let server = &holding.server;
    let key = server.private_key();
    let file = directory.path().join("f.bin");
    std::fs::write(&file, bytes(1, 60_000_000)).unwrap();
    let (child, _) = holding.begin(&key, &file);
    let second = upload_command(&file, &server.url, &key, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let message = text(&second.stderr);
    assert!(
        message.contains("another partway upload is sending this file") && message.contains(&child.id().to_string()),
        "{message}"
    );
    holding.let_go();
    assert!(child.wait_with_output().status.success());
}

#[test]
fn a_server_that_is_away_for_a_while_is_waited_for_and_one_that_stays_away_is_not() {
    let (directory, data_dir) = fresh();
    let address = free_address();
    let arguments = ["--listen", address.as_str()];
    let mut holding = Holding::start(&data_dir, &arguments, 2);
    let (url, key) = (holding.server.url.clone(), holding.server.private_key());
    let file = directory.path().join("f.bin");
    let data = bytes(1, 100_000_000);
    std::fs::write(&file, &data).unwrap();
    let (mut child, _) = holding.begin(&key, &file);
    holding.server.kill();
    let said = child.until_it_says("retrying");
    let mut server = Server::start(&data_dir, &arguments);
    let output = child.wait_with_output();
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
    server.kill();
    let began = std::time::Instant::now();
    let output = upload_command(&file, &url, &key, &["--wait", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!((1..30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[test]
fn an_expired_session_is_started_again_by_the_same_command() {
    let (directory, data_dir) = fresh();
    let mut holding = Holding::start(&data_dir, &[], 1);
    let key = holding.server.private_key();
    let file = directory.path().join("f.bin");
    let data = bytes(1, 100_000_000);
    std::fs::write(&file, &data).unwrap();
    let address = holding.server.url.strip_prefix("http://").unwrap().to_owned();
    holding.interrupt(&key, &file);
    holding.server.kill();
    let database = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    database.execute("UPDATE sessions SET expires_at = 1", []).unwrap();
    drop(database);
    let server = Server::start(&data_dir, &["--listen", &address]);
    let output = upload_command(&file, &server.url, &key, &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("starting again"), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
}

#[test]
fn a_file_that_changed_after_a_complete_whose_answer_was_lost_is_uploaded_again() {
    use std::os::unix::fs::FileExt;
    let (directory, data_dir) = fresh();
    let holding = Holding::start(&data_dir, &[], 1);
    let server = &holding.server;
    let key = server.private_key();
    let file = directory.path().join("f.bin");
    let mut data = bytes(1, 100_000_000);
    std::fs::write(&file, &data).unwrap();
    let id = holding.interrupt(&key, &file);
    // Another process finishes it.
    let mut command = upload_command(&file, &server.url, &key, &["--resume", &id]);
    assert!(command.env("HOME", directory.path().join("other-home")).output().unwrap().status.success());
    // A change that keeps size and time, where no sample of the fingerprint is.
    let changed = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    let modified = changed.metadata().unwrap().modified().unwrap();
    changed.write_all_at(b"changed", 3_000_000).unwrap();
    changed.set_modified(modified).unwrap();
    data[3_000_000..3_000_007].copy_from_slice(b"changed");
    let output = upload_command(&file, &server.url, &key, &[]).output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success() && errors.contains("starting again"), "{errors}");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
}

#[tokio::test]
async fn bytes_in_the_buffers_of_a_slow_line_are_waited_for() {
    let setup = Setup::new(60_000);
    // All of it is taken at once, and then dribbles through for ten seconds.
    setup.proxy.plan([Fault::Trickle(0, 10)]);
    let client = Client::new(&setup.proxy.url, &setup.key).unwrap();
    let retries = std::sync::atomic::AtomicU32::new(0);
    let on_event = |event: Event<'_>| {
        if let Event::Retrying { .. } = event {
            retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let options = TransferOptions { stall_timeout: Duration::from_secs(1), ..TransferOptions::default() };
    let record = Upload::of(setup.file()).options(options).send(&client, &on_event).await.unwrap();
    assert_eq!((setup.proxy.left(), retries.into_inner()), (0, 0));
    setup.assert_uploaded(&serde_json::to_value(record).unwrap());
}
