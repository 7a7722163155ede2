//! Going on with an upload to a bucket, where nobody compares the hash of the whole: two files are never mixed into one.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{bucket, fetch, serve, succeeded};
use crate::server::{Server, bytes, curl, fresh, partway, text};

/// Fifteen parts: even a machine that is busy stops an upload before all have arrived.
const FILE_BYTES: usize = 150_000_000;

/// A server with a bucket, and a file of which some parts were sent.
struct Setup {
    server: Server,
    key: String,
    file: PathBuf,
    data: Vec<u8>,
    _directory: tempfile::TempDir,
}

impl Setup {
    fn new(seed: u64) -> Self {
        let (directory, data_dir) = fresh();
        let server = serve(&data_dir, &bucket("s3"));
        let file = directory.path().join("box.hc");
        let data = bytes(seed, FILE_BYTES);
        std::fs::write(&file, &data).unwrap();
        Self { key: server.private_key(), server, file, data, _directory: directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = partway();
        command.arg("upload").arg(&self.file).args(["--json", "--concurrency", "1"]).args(arguments);
        command.env("PARTWAY_URL", &self.server.url).env("PARTWAY_API_KEY", &self.key);
        command
    }

    /// Uploads the file until some parts of it are noted, and no further. How many are.
    fn interrupt(&self, parts: usize) -> usize {
        let mut command = self.command(&[]);
        let home = command.get_envs().find(|(name, _)| *name == "HOME").unwrap().1.unwrap().to_owned();
        let state = Path::new(&home).join(".local/state/partway/uploads");
        let noted = || {
            let files = std::fs::read_dir(&state).into_iter().flatten().map(|entry| entry.unwrap().path());
            let mut files = files.filter(|path| path.extension().is_some_and(|extension| extension == "parts"));
            files.next().map_or(0, |path| std::fs::read_to_string(path).unwrap_or_default().lines().count())
        };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..60_000 {
            if noted() >= parts {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let noted = noted();
        assert!((parts..14).contains(&noted), "{noted} parts are noted");
        noted
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

    fn session(&self) -> Value {
        let key = format!("Authorization: Bearer {}", self.key);
        let (_, answer) = curl(&[&format!("{}/api/v1/multipart?limit=1", self.server.url), "--header", &key]);
        serde_json::from_str::<Value>(&answer).unwrap()["sessions"][0].clone()
    }
}

#[test]
fn a_file_that_changed_in_secret_is_never_mixed_with_what_was_sent_of_it() {
    let mut setup = Setup::new(1);
    let noted = setup.interrupt(3);
    setup.change(100);
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    // Only the one that differs is sent again, and one that arrived while nobody noted it.
    let is_said =
        ["1 part ", "2 parts "].iter().any(|parts| said.contains(&format!("{parts}on the server not known to be")));
    assert!(is_said, "{noted} noted: {said}");
    assert_eq!(setup.session()["status"], "completed");
}

#[test]
fn a_file_that_did_not_change_goes_on_with_what_is_missing() {
    let setup = Setup::new(2);
    let noted = setup.interrupt(4);
    let session = setup.session()["session_id"].clone();
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    assert!(!said.contains("3 parts on") && !said.contains("starting anew"), "{noted} noted: {said}");
    assert_eq!(setup.session()["session_id"], session);
}

#[test]
fn a_session_that_others_completed_is_not_taken_for_this_file() {
    let mut setup = Setup::new(3);
    setup.interrupt(2);
    let session = setup.session()["session_id"].as_str().unwrap().to_owned();
    // From another machine, by its id; and the bytes are those of the old version.
    let elsewhere = setup.command(&["--resume", &session]).env("HOME", setup.file.parent().unwrap()).output().unwrap();
    let said = setup.assert_has(elsewhere);
    assert!(said.contains("on the server not known to be of this file"), "{said}");
    setup.change(FILE_BYTES - 1);
    let output = setup.command(&[]).output().unwrap();
    let said = setup.assert_has(output);
    assert!(said.contains("starting anew"), "{said}");
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
