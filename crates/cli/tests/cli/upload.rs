//! `partway upload`

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::server::{Server, bytes, curl, fresh, partway, run, text};

fn upload(server: &Server, arguments: &[&str]) -> Output {
    partway()
        .arg("upload")
        .args(arguments)
        .env("PARTWAY_URL", &server.url)
        .env("PARTWAY_API_KEY", server.private_key())
        .output()
        .unwrap()
}

#[test]
fn files_go_up_with_everything_that_is_said_of_them() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let (one, two) = (directory.path().join("one.mp4"), directory.path().join("zwei ä.txt"));
    let data = bytes(1, 33_000_000);
    std::fs::write(&one, &data).unwrap();
    std::fs::write(&two, "hello").unwrap();
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let output = upload(
        &server,
        &[
            one,
            two,
            "--folder",
            "a/b",
            "--tag",
            "x",
            "--tag",
            "y z",
            "--meta",
            "k=v=w",
            "--meta",
            "n=1",
            "--custom-id",
            "id 1",
            "--concurrency",
            "7",
            "--json",
        ],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let records: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second] = &records[..] else { panic!("{records:?}") };
    assert_eq!(first["hash"], format!("blake3:{}", blake3::hash(&data)));
    assert_eq!((&first["path"], &first["mime_type"]), (&"a/b/one.mp4".into(), &"video/mp4".into()));
    assert_eq!(first["tags"], serde_json::json!(["x", "y z"]));
    assert_eq!(first["metadata"], serde_json::json!({"k": "v=w", "n": "1"}));
    assert_eq!(first["custom_id"], "id 1");
    assert_eq!(second["name"], "zwei ä.txt");
    assert_eq!(curl(&[second["url"].as_str().unwrap()]), (200, "hello".into()));
    assert!(output.stderr.is_empty(), "--json shows no progress: {}", text(&output.stderr));
}

#[test]
fn without_a_terminal_progress_is_plain_lines_and_the_url_is_all_of_the_output() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let file = directory.path().join("f.bin");
    std::fs::write(&file, bytes(2, 1000)).unwrap();
    let output = upload(&server, &[file.to_str().unwrap(), "--random-prefix"]);
    let url = text(&output.stdout);
    assert!(url.starts_with(&server.url) && url.ends_with("-f.bin\n") && url.lines().count() == 1, "{url}");
    let progress = text(&output.stderr);
    assert!(progress.contains("f.bin: ") && progress.contains("session") && !progress.contains('\u{1b}'), "{progress}");
}

#[test]
fn failed_files_are_reported_and_the_rest_goes_on() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let good = directory.path().join("good");
    std::fs::write(&good, "x").unwrap();
    let missing = directory.path().join("missing");
    let files = [&missing, &directory.path().to_owned(), &good].map(|path| path.to_str().unwrap().to_owned());
    let output = upload(&server, &files.each_ref().map(String::as_str));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let errors = text(&output.stderr);
    for part in ["missing: No such file", "is a directory, and not a file"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    let wrong_key = upload(&server, &[good.to_str().unwrap(), "--key", "sk_wrong"]);
    assert_eq!(wrong_key.status.code(), Some(1));
    assert!(text(&wrong_key.stderr).contains("unknown or revoked"));
}

/// Passes the connections of a listener on to an address, but cuts the first `cuts` of them after some bytes.
fn cut_connections(listener: TcpListener, target: String, cuts: usize) {
    std::thread::spawn(move || {
        static SERVED: AtomicUsize = AtomicUsize::new(0);
        for client in listener.incoming().take(500) {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect(&target).unwrap();
            // The first connection starts the upload; those after it carry parts.
            let number = SERVED.fetch_add(1, Ordering::Relaxed);
            let limit = if (1..=cuts).contains(&number) { 3_000_000 + 100_000 * number } else { usize::MAX };
            let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
            std::thread::spawn(move || {
                let mut passed = 0;
                let mut buffer = [0; 65_536];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    passed += read;
                    if passed > limit || server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
}

#[test]
fn cut_connections_are_retried() {
    let (directory, data_dir) = fresh();
    // The proxy's address must stand in the part URLs, so that parts go through it: it is the server's `public_url`.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::start(&data_dir, &["--public-url", &proxy]);
    let key = server.private_key();
    cut_connections(listener, server.address.clone(), 5);
    let file = directory.path().join("f.bin");
    let data = bytes(3, 60_000_000);
    std::fs::write(&file, &data).unwrap();
    let output = partway().arg("upload").arg(&file).args(["--json", "--url", &proxy, "--key", &key]).output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.matches("retrying").count() >= 3, "the cuts were not seen: {errors}");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
}

/// A server that holds the second part it gets until there is something at the path.
fn start_holding(data_dir: &Path) -> (Server, PathBuf) {
    let gate = data_dir.with_extension("gate");
    let failpoint = format!("part.after_write=hold:{}@2", gate.display());
    (Server::start_with(data_dir, &[], &[("PARTWAY_FAILPOINTS", &failpoint)]), gate)
}

fn until_held(gate: &Path) {
    let began = std::time::Instant::now();
    while !gate.with_extension("held").exists() {
        assert!(began.elapsed().as_secs() < 60, "no second part came in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Begins to upload a sparse file of several parts; what the upload says comes from the pipe.
fn begin_upload_of_zeros(server: &Server, file: &Path) -> (Child, ChildStderr) {
    std::fs::File::create(file).unwrap().set_len(50_000_000).unwrap();
    let mut uploading = partway()
        .arg("upload")
        .arg(file)
        .args(["--url", &server.url, "--key", &server.private_key()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let errors = uploading.stderr.take().unwrap();
    (uploading, errors)
}

/// The line that an upload writes once its session is there; its last word is the session's id.
fn first_line(errors: &mut ChildStderr) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while errors.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    text(&line)
}

#[test]
fn ctrl_c_leaves_the_session_and_says_how_to_go_on() {
    let (directory, data_dir) = fresh();
    let (server, gate) = start_holding(&data_dir);
    let file = directory.path().join("f.bin");
    let (mut uploading, mut errors) = begin_upload_of_zeros(&server, &file);
    let begin = first_line(&mut errors);
    let session = begin.rsplit(' ').next().unwrap().to_owned();
    until_held(&gate);
    assert!(std::process::Command::new("kill").args(["-INT", &uploading.id().to_string()]).status().unwrap().success());
    assert_eq!(uploading.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("partway upload --resume") && rest.contains(&session), "{begin}\n{rest}");
}

#[test]
fn a_file_that_changes_meanwhile_is_not_completed() {
    let (directory, data_dir) = fresh();
    let (server, gate) = start_holding(&data_dir);
    let file = directory.path().join("f.bin");
    let (mut uploading, mut errors) = begin_upload_of_zeros(&server, &file);
    until_held(&gate);
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
    std::fs::write(&gate, "").unwrap();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(uploading.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("changed during the upload"), "{rest}");
}

/// An upload that is under way and stopped, with most of its parts unsent.
struct Stopped {
    child: Child,
    session: String,
    errors: ChildStderr,
}

impl Stopped {
    fn begin(server: &Server, key: &str, file: &Path) -> Self {
        std::fs::File::create(file).unwrap().set_len(1_500_000_000).unwrap();
        let mut command = partway();
        command.arg("upload").arg(file).args(["--concurrency", "1", "--no-digests"]);
        command.env("PARTWAY_URL", &server.url).env("PARTWAY_API_KEY", key).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        let begin = first_line(&mut errors);
        signal(&child, "-STOP");
        let session = begin.rsplit(' ').next().unwrap().to_owned();
        Self { child, session, errors }
    }

    /// Lets it continue. Returns how it ended, and its output.
    fn finish(mut self) -> (Option<i32>, String) {
        signal(&self.child, "-CONT");
        let mut said = String::new();
        self.errors.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn signal(child: &Child, name: &str) {
    assert!(std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_secret_that_is_rotated_without_a_grace_ends_no_upload() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let key = server.private_key();
    let other = crate::server::start(&server, &key, "g", 3);
    let uploading = Stopped::begin(&server, &key, &directory.path().join("f.bin"));
    run(partway().args(["secrets", "rotate", "part-urls", "--grace", "0", "--data-dir"]).arg(&data_dir));
    let url = other["parts"][0].as_str().unwrap();
    for _ in 0..600 {
        if curl(&["--request", "PUT", "--data-binary", "abc", url]).0 == 403 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let (code, said) = uploading.finish();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SIGNATURE_INVALID"), "no URL was refused: {said}");
}

#[test]
fn an_upload_whose_key_was_revoked_goes_on_with_another_one() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let keys = |arguments: &[&str]| text(&run(partway().args(arguments).arg("--data-dir").arg(&data_dir)).stdout);
    let key = keys(&["keys", "create", "--kind", "private"]).trim().to_owned();
    let file = directory.path().join("f.bin");
    let uploading = Stopped::begin(&server, &key, &file);
    let session = uploading.session.clone();
    run(partway().args(["keys", "revoke", &key, "--keep-sessions", "--data-dir"]).arg(&data_dir));
    let (code, said) = uploading.finish();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("revoked") && said.contains(&format!("--resume {session}")), "{said}");
    let output = upload(&server, &[file.to_str().unwrap(), "--resume", &session]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn permanent_failures_are_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    std::fs::write(&file, "x").unwrap();
    let free = crate::server::free_address();
    for (url, key, wanted) in [
        // RFC 6761: no such name exists.
        ("http://files.invalid:1234".to_owned(), "sk_x", "files.invalid:1234 cannot be resolved"),
        (format!("http://{free}"), "sk_x\r", "'\\r' at character 5 of 5"),
    ] {
        let mut command = partway();
        command.args(["upload", "--wait", "0s"]).arg(&file).env("PARTWAY_URL", url).env("PARTWAY_API_KEY", key);
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(wanted) && !said.contains("retrying"), "{said}");
    }
}
