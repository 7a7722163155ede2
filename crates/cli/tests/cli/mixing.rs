//! Resuming an upload to a bucket, where the hash of the whole is not compared, never mixes two files.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use partway_testing::{Manners, OddStore};
use serde_json::Value;

use crate::cluster::{bucket, fetch, serve, succeeded};
use crate::server::{Server, bytes, curl, fresh, partway, text};

/// Six parts.
const FILE_BYTES: usize = 55_000_000;

/// A server with a bucket whose parts can be held, and a file of which some parts were sent.
struct Setup {
    server: Server,
    store: OddStore,
    key: String,
    file: PathBuf,
    data: Vec<u8>,
    _directory: tempfile::TempDir,
}

impl Setup {
    fn new(seed: u64) -> Self {
        let (directory, data_dir) = fresh();
        let mut settings = bucket("s3");
        let endpoint = settings.iter_mut().find(|(name, _)| *name == "PARTWAY_STORAGE_ENDPOINT").unwrap();
        let store = OddStore::start(&endpoint.1, Manners::default());
        endpoint.1.clone_from(&store.url);
        let server = serve(&data_dir, &settings);
        let file = directory.path().join("box.hc");
        let data = bytes(seed, FILE_BYTES);
        std::fs::write(&file, &data).unwrap();
        Self { key: server.private_key(), server, store, file, data, _directory: directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = partway();
        command.arg("upload").arg(&self.file).args(["--json", "--concurrency", "1"]).args(arguments);
        command.env("PARTWAY_URL", &self.server.url).env("PARTWAY_API_KEY", &self.key);
        command
    }

    /// Uploads the file until this many parts of it are noted, and no further.
    fn interrupt(&self, parts: usize) {
        let mut command = self.command(&[]);
        let home = command.get_envs().find(|(name, _)| *name == "HOME").unwrap().1.unwrap().to_owned();
        let state = Path::new(&home).join(".local/state/partway/uploads");
        let noted = || {
            let files = std::fs::read_dir(&state).into_iter().flatten().map(|entry| entry.unwrap().path());
            let mut files = files.filter(|path| path.extension().is_some_and(|extension| extension == "parts"));
            files.next().map_or(0, |path| std::fs::read_to_string(path).unwrap_or_default().lines().count())
        };
        self.store.hold_parts_above(u32::try_from(parts).unwrap());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..12_000 {
            if noted() >= parts {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.store.let_parts_go();
        assert_eq!(noted(), parts, "parts are noted");
    }

    /// Changes a byte, as an encrypted container does: neither size nor time tell.
    fn change(&mut self, at: usize) {
        let modified = std::fs::metadata(&self.file).unwrap().modified().unwrap();
        self.data[at] ^= 1;
        let file = std::fs::File::options().write(true).open(&self.file).unwrap();
        file.write_all_at(&self.data[at..=at], at as u64).unwrap();
        file.set_modified(modified).unwrap();
    }

    #[track_caller]
    fn assert_has(&self, output: Output) -> String {
        let said = text(&output.stderr);
        let record = succeeded(output);
        assert!(
            fetch(&self.server, &record) == self.data,
            "another file is there than the one that was uploaded: {said}"
        );
        said
    }

    fn call(&self, path: &str, body: Option<&Value>) -> Value {
        let (url, key) = (format!("{}/api/v1/multipart{path}", self.server.url), format!("X-Api-Key: {}", self.key));
        let body = body.map(Value::to_string);
        let mut arguments = vec![url.as_str(), "--header", &key];
        if let Some(body) = &body {
            arguments.extend(["--header", "Content-Type: application/json", "--data", body]);
        }
        serde_json::from_str(&curl(&arguments).1).unwrap()
    }

    /// The ETags of the parts that the store has, once they are as wanted.
    fn etags_when(&self, session: &str, is_wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        for _ in 0..6_000 {
            let status = self.call(&format!("/{session}"), None);
            let etags = status["part_etags"].as_array().unwrap_or_else(|| panic!("no ETags: {status}")).clone();
            if is_wanted(&etags) {
                return etags;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the store never had the parts that are wanted");
    }

    /// Another version of the file, elsewhere, with a byte changed in each of the first two parts.
    fn other_version(&self) -> (PathBuf, Vec<u8>) {
        let mut data = self.data.clone();
        data[7] ^= 1;
        data[10 * 1024 * 1024 + 7] ^= 1;
        let directory = self.file.parent().unwrap().join("elsewhere");
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join("box.hc");
        std::fs::write(&file, &data).unwrap();
        (file, data)
    }

    fn session(&self) -> Value {
        let key = format!("Authorization: Bearer {}", self.key);
        let (_, answer) = curl(&[&format!("{}/api/v1/multipart?limit=1", self.server.url), "--header", &key]);
        serde_json::from_str::<Value>(&answer).unwrap()["sessions"][0].clone()
    }
}

#[test]
fn a_file_that_changed_in_secret_is_never_mixed_with_what_was_sent_of_it() {
    let mut setup = Setup::new(1);
    setup.interrupt(3);
    setup.change(100);
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    // Only the one that differs is sent again.
    assert!(said.contains("1 part on the server may be of another version"), "{said}");
    assert_eq!(setup.session()["status"], "completed");
}

#[test]
fn a_file_that_did_not_change_goes_on_with_what_is_missing() {
    let setup = Setup::new(2);
    setup.interrupt(4);
    let session = setup.session()["session_id"].clone();
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    assert!(!said.contains("on the server may be") && !said.contains("starting again"), "{said}");
    assert_eq!(setup.session()["session_id"], session);
}

#[test]
fn parts_that_another_machine_has_sent_since_are_sent_again() {
    let setup = Setup::new(4);
    setup.interrupt(4);
    let session = setup.session()["session_id"].as_str().unwrap().to_owned();
    let before = setup.etags_when(&session, |etags| etags.len() >= 4);
    let (file, _) = setup.other_version();
    setup.store.hold_parts_above(2);
    let mut elsewhere = partway();
    elsewhere.args(["upload", "--resume", &session, "--concurrency", "1"]).arg(&file);
    elsewhere.env("PARTWAY_URL", &setup.server.url).env("PARTWAY_API_KEY", &setup.key);
    elsewhere.env("HOME", file.parent().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut elsewhere = elsewhere.spawn().unwrap();
    setup.etags_when(&session, |etags| etags[..2] != before[..2] && etags[1] != before[1]);
    elsewhere.kill().unwrap();
    elsewhere.wait().unwrap();
    setup.store.let_parts_go();
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    assert!(said.contains("on the server may be of another version of the file"), "{said}");
}

#[test]
fn a_part_that_another_machine_sends_meanwhile_is_not_in_the_file() {
    let setup = Setup::new(5);
    setup.store.hold_parts_above(2);
    let uploading = setup.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let session = loop {
        if let Some(session) = setup.session()["session_id"].as_str() {
            break session.to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let before = setup.etags_when(&session, |etags| etags.len() >= 2);
    let signed = setup.call(&format!("/{session}/parts"), Some(&serde_json::json!({"parts": [0]})));
    let (file, data) = setup.other_version();
    std::fs::write(&file, &data[..10 * 1024 * 1024]).unwrap();
    let upload = format!("@{}", file.display());
    let url = signed["parts"][0]["url"].as_str().unwrap();
    assert_eq!(curl(&["--request", "PUT", "--data-binary", &upload, url]).0, 200);
    setup.etags_when(&session, |etags| etags[0] != before[0]);
    setup.store.let_parts_go();
    let said = setup.assert_has(uploading.wait_with_output().unwrap());
    assert!(said.contains("CHECKSUM_MISMATCH"), "{said}");
}

#[test]
fn a_session_that_a_running_upload_has_is_not_resumed_by_another() {
    let setup = Setup::new(6);
    setup.store.hold_parts_above(1);
    let command = setup.command(&[]);
    let home = command.get_envs().find(|(name, _)| *name == "HOME").unwrap().1.unwrap().to_owned();
    let mut uploading = setup.command(&[]);
    let mut uploading = uploading.env("HOME", &home).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let session = loop {
        if let Some(session) = setup.session()["session_id"].as_str() {
            break session.to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    setup.etags_when(&session, |etags| !etags.is_empty());
    let second = setup.command(&["--resume", &session]).env("HOME", &home).output().unwrap();
    uploading.kill().unwrap();
    uploading.wait().unwrap();
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let is_said = said.contains("continues this session") && said.contains(&format!("process {}", uploading.id()));
    assert!(is_said, "{said}");
}

#[test]
fn a_session_that_others_completed_is_not_taken_for_this_file() {
    let mut setup = Setup::new(3);
    setup.interrupt(2);
    let session = setup.session()["session_id"].as_str().unwrap().to_owned();
    // From another machine, by its id; and the bytes are those of the old version.
    let elsewhere = setup.command(&["--resume", &session]).env("HOME", setup.file.parent().unwrap()).output().unwrap();
    let said = setup.assert_has(elsewhere);
    assert!(said.contains("on the server may be of another version of the file"), "{said}");
    setup.change(FILE_BYTES - 1);
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    assert!(said.contains("starting again"), "{said}");
}

#[test]
fn an_empty_file_goes_to_a_bucket_and_comes_back() {
    let (directory, data_dir) = fresh();
    let server = serve(&data_dir, &bucket("s3"));
    std::fs::write(directory.path().join("empty.txt"), "").unwrap();
    let command = |arguments: &[&str]| {
        let mut command = partway();
        command.args(arguments).env("PARTWAY_URL", &server.url).env("PARTWAY_API_KEY", server.private_key());
        command.current_dir(directory.path()).output().unwrap()
    };
    let record = succeeded(command(&["upload", "--json", "empty.txt"]));
    assert_eq!(record["size"], 0);
    let output = command(&["files", "get", "empty.txt", "--output", "copy"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(std::fs::metadata(directory.path().join("copy")).unwrap().len(), 0);
}
