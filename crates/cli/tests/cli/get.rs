//! `partway files get`

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::fake::{Answer, Fake};
use crate::server::{Server, bytes, curl, free_address, text};
use crate::workspace::{Workspace, names};

/// Passes connections on, but no more bytes towards the client than it is allowed, and counts them.
struct Gate {
    url: String,
    state: Arc<(Mutex<Passed>, Condvar)>,
}

struct Passed {
    bytes: u64,
    allowed: u64,
}

impl Gate {
    /// To the server that is going to listen at `target`. Wide open.
    fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new((Mutex::new(Passed { bytes: 0, allowed: u64::MAX }), Condvar::new()));
        let (target, shared) = (target.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is away: the client sees a connection that closes.
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let state = Arc::clone(&shared);
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                std::thread::spawn(move || pass(server, client, &state));
            }
        });
        Self { url, state }
    }

    /// How many bytes may pass from now on, on all connections together.
    fn allow(&self, bytes: u64) {
        let mut passed = self.state.0.lock().unwrap();
        (passed.bytes, passed.allowed) = (0, bytes);
        self.state.1.notify_all();
    }

    /// How many have passed since then.
    fn passed(&self) -> u64 {
        self.state.0.lock().unwrap().bytes
    }
}

fn pass(mut server: TcpStream, mut client: TcpStream, (passed, opened): &(Mutex<Passed>, Condvar)) {
    let mut buffer = [0; 65_536];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        let mut passed = opened.wait_while(passed.lock().unwrap(), |passed| passed.bytes >= passed.allowed).unwrap();
        passed.bytes += read as u64;
        drop(passed);
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// A workspace whose files are fetched through a gate, and commands run in an empty directory.
struct Setup {
    workspace: Workspace,
    gate: Gate,
    address: String,
    here: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let address = free_address();
        let gate = Gate::to(&address);
        let workspace = Workspace::with(&["--listen", &address, "--public-url", &gate.url]);
        let here = tempfile::tempdir().unwrap();
        Self { workspace, gate, address, here }
    }

    /// Through the gate go only the bytes of files.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.command(&[&["files", "get"], arguments].concat());
        command.env("PARTWAY_URL", format!("http://{}", self.address)).current_dir(self.here.path());
        command
    }

    fn upload(&self, path: &str, data: &[u8]) -> Value {
        self.gate.allow(u64::MAX);
        self.workspace.upload(path, data, &["--url", &format!("http://{}", self.address)])
    }

    /// Puts another file in its place, in one request that does not pass the gate.
    fn replace(&self, name: &str, data: &[u8]) {
        let file = self.workspace.path(name);
        std::fs::write(&file, data).unwrap();
        let (url, key) = (format!("http://{}/api/v1/uploads", self.address), self.workspace.server.private_key());
        let (key, file) = (format!("x-api-key: {key}"), format!("file=@{}", file.display()));
        let name = format!("file_name={name}");
        assert_eq!(curl(&[&url, "--header", &key, "--form", &file, "--form", &name]).0, 201);
    }

    fn get(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn gets(&self, arguments: &[&str]) -> Output {
        let output = self.get(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    }

    /// Begins to get a file, of which this many bytes come, and waits until a part of them is remembered.
    fn begin(&self, name: &str, allowed: u64) -> (Child, u64) {
        self.begin_by(name, name, allowed)
    }

    /// The same by another argument than its name.
    fn begin_by(&self, argument: &str, name: &str, allowed: u64) -> (Child, u64) {
        self.gate.allow(allowed);
        let child = self.command(&[argument]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut there = 0;
        wait_for("a part of the file", || {
            there = self.remembered(name).iter().map(|(begin, end)| end - begin).sum();
            // All bytes but those in flight over four connections.
            there + 4_000_000 >= allowed
        });
        (child, there)
    }

    /// Begins to get a file, and kills the client in the middle. How many bytes are remembered.
    fn interrupt(&self, name: &str, allowed: u64) -> u64 {
        self.interrupt_by(name, name, allowed)
    }

    fn interrupt_by(&self, argument: &str, name: &str, allowed: u64) -> u64 {
        let (mut child, there) = self.begin_by(argument, name, allowed);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!self.path(name).exists());
        self.gate.allow(u64::MAX);
        there
    }

    fn path(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    /// The ranges that a download under way remembers.
    fn remembered(&self, name: &str) -> Vec<(u64, u64)> {
        let Ok(text) = std::fs::read(self.path(&format!("{name}.partway-state"))) else { return Vec::new() };
        let state: Value = serde_json::from_slice(&text).unwrap();
        serde_json::from_value(state["received"].clone()).unwrap()
    }

    #[track_caller]
    fn assert_has(&self, name: &str, data: &[u8]) {
        assert!(std::fs::read(self.path(name)).unwrap() == data, "the file is not the one on the server");
        assert_eq!(names(self.here.path()), [name]);
    }
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not come in a minute");
}

#[test]
fn a_file_comes_in_ranges_under_its_own_name_or_the_given_one() {
    let setup = Setup::new();
    let data = bytes(1, 30_000_000);
    let record = setup.upload("Öl & Essig/größe 1.bin", &data);
    let output = setup.gets(&["Öl & Essig/größe 1.bin"]);
    assert_eq!(text(&output.stdout), "größe 1.bin\n");
    assert!(text(&output.stderr).contains("größe 1.bin: 28.61 MiB"), "{}", text(&output.stderr));
    setup.assert_has("größe 1.bin", &data);
    let requests = setup.workspace.server.log().lines().filter(|line| line.contains("status=206")).count();
    assert_eq!(requests, 3, "one look, and a range for each 16 MiB");
    std::fs::create_dir(setup.path("sub")).unwrap();
    let number = record["file_no"].as_str().unwrap();
    for (output, path) in [("sub", "sub/größe 1.bin"), ("other name", "other name"), ("sub/x", "sub/x")] {
        setup.gets(&[number, "--output", output, "--concurrency", "1"]);
        assert!(std::fs::read(setup.path(path)).unwrap() == data);
    }
    let missing = setup.get(&[number, "-o", "nowhere/x"]);
    assert!(
        missing.status.code() == Some(1) && text(&missing.stderr).contains("nowhere/x"),
        "{}",
        text(&missing.stderr)
    );
}

#[test]
fn a_file_that_is_here_already_is_overwritten_only_by_force() {
    let setup = Setup::new();
    setup.upload("f.txt", b"new");
    std::fs::write(setup.path("f.txt"), "mine").unwrap();
    let refused = setup.get(&["f.txt"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(error.contains("f.txt is there already") && error.contains("--force"), "{error}");
    setup.assert_has("f.txt", b"mine");
    setup.gets(&["f.txt", "--force"]);
    setup.assert_has("f.txt", b"new");
}

#[test]
fn a_download_that_was_killed_goes_on_by_the_same_command() {
    let setup = Setup::new();
    let data = bytes(2, 30_000_000);
    setup.upload("f.bin", &data);
    let there = setup.interrupt("f.bin", 20_000_000);
    let output = setup.gets(&["f.bin"]);
    setup.assert_has("f.bin", &data);
    assert!(text(&output.stderr).contains("downloaded before"), "{}", text(&output.stderr));
    // Headers, and bytes in flight to the one that was killed.
    let most = 30_000_000 - there + 1_000_000;
    assert!(setup.gate.passed() <= most, "{} bytes came, {there} were there", setup.gate.passed());
}

#[test]
fn ctrl_c_leaves_what_has_come_and_says_so() {
    let setup = Setup::new();
    let data = bytes(3, 30_000_000);
    setup.upload("f.bin", &data);
    let (child, _) = setup.begin("f.bin", 20_000_000);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        text(&output.stderr).contains("f.bin.partway-part; the same command continues"),
        "{}",
        text(&output.stderr)
    );
    setup.gate.allow(u64::MAX);
    setup.gets(&["f.bin"]);
    setup.assert_has("f.bin", &data);
}

#[test]
fn a_file_that_was_replaced_in_between_starts_over() {
    let setup = Setup::new();
    setup.upload("f.bin", &bytes(4, 30_000_000));
    setup.interrupt("f.bin", 20_000_000);
    let new = bytes(5, 30_000_000);
    setup.upload("f.bin", &new);
    let output = setup.gets(&["f.bin"]);
    assert!(text(&output.stderr).contains("starting again"), "{}", text(&output.stderr));
    setup.assert_has("f.bin", &new);
}

#[test]
fn a_file_that_is_replaced_while_it_comes_starts_over() {
    let setup = Setup::new();
    setup.upload("f.bin", &bytes(6, 100_000_000));
    // Four of six pieces of the old file are in flight.
    let (child, _) = setup.begin("f.bin", 20_000_000);
    let new = bytes(7, 100_000_000);
    setup.replace("f.bin", &new);
    setup.gate.allow(u64::MAX);
    let output = child.wait_with_output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success() && errors.contains("changed on the server; starting again"), "{errors}");
    setup.assert_has("f.bin", &new);
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let mut setup = Setup::new();
    // More than the buffers of all connections on the way hold.
    let data = bytes(8, 100_000_000);
    setup.upload("f.bin", &data);
    let (child, _) = setup.begin("f.bin", 20_000_000);
    setup.workspace.server.kill();
    setup.gate.allow(u64::MAX);
    let data_dir = setup.workspace.path("data");
    setup.workspace.server = Server::start(&data_dir, &["--listen", &setup.address, "--public-url", &setup.gate.url]);
    let output = child.wait_with_output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success() && errors.contains("retrying"), "{errors}");
    setup.assert_has("f.bin", &data);
}

#[test]
fn bytes_that_were_spoilt_in_between_are_found_and_the_next_try_starts_over() {
    let setup = Setup::new();
    let data = bytes(9, 30_000_000);
    setup.upload("f.bin", &data);
    setup.interrupt("f.bin", 20_000_000);
    let (begin, _) = setup.remembered("f.bin")[0];
    let part = std::fs::OpenOptions::new().write(true).open(setup.path("f.bin.partway-part")).unwrap();
    part.write_all_at(b"spoilt", begin + 1000).unwrap();
    drop(part);
    let output = setup.get(&["f.bin"]);
    let errors = text(&output.stderr);
    assert!(output.status.code() == Some(1) && errors.contains("no bytes were kept"), "{errors}");
    assert!(names(setup.here.path()).is_empty());
    setup.gets(&["f.bin"]);
    setup.assert_has("f.bin", &data);
}

#[test]
fn standard_output_gets_the_file_in_order_and_a_wrong_one_is_reported() {
    let setup = Setup::new();
    let data = bytes(10, 30_000_000);
    setup.upload("f.bin", &data);
    let output = setup.gets(&["f.bin", "--output", "-"]);
    assert!(output.stdout == data);
    assert!(names(setup.here.path()).is_empty());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = setup.command(&["f.bin", "-o", "-"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(closed.status.code(), Some(1));
    assert!(
        !text(&closed.stderr).contains("panic") && !text(&closed.stderr).contains("partway:"),
        "{}",
        text(&closed.stderr)
    );
    // The server's disk has rotted.
    let blob = only_blob(&setup.workspace.path("data/blobs"));
    std::fs::OpenOptions::new().write(true).open(blob).unwrap().write_all_at(b"rotten", 1_000_000).unwrap();
    for arguments in [&["f.bin", "-o", "-"][..], &["f.bin"]] {
        let output = setup.get(arguments);
        let errors = text(&output.stderr);
        assert!(output.status.code() == Some(1) && errors.contains("the file is blake3:"), "{errors}");
    }
    assert!(names(setup.here.path()).is_empty());
}

fn only_blob(directory: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { directories.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn nothing_is_said_to_go_on_where_the_target_stands_in_the_way() {
    let workspace = Workspace::new();
    workspace.upload("f", b"hello", &[]);
    let target = workspace.path("pipe");
    crate::server::run(Command::new("mkfifo").arg(&target));
    std::fs::write(workspace.path("pipe.partway-part"), "left by somebody").unwrap();
    let said = workspace.fails(&["files", "get", "f", "-o", target.to_str().unwrap()]);
    assert!(said.contains("is not a file") && !said.contains("continues"), "{said}");
}

/// The member of a record that is a URL.
fn url<'r>(record: &'r Value, member: &str) -> &'r str {
    record[member].as_str().unwrap()
}

#[test]
fn a_url_is_enough_to_get_a_file_under_its_name_without_a_key() {
    let setup = Setup::new();
    let data = bytes(11, 30_000_000);
    let record = setup.upload("Öl/größe 1.bin", &data);
    for member in ["url", "version_url"] {
        let mut command = setup.command(&[url(&record, member)]);
        // Another server and no key: both play no part.
        let output = command.env_remove("PARTWAY_API_KEY").env("PARTWAY_URL", "http://127.0.0.1:1").output().unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success() && errors.contains("not compared with a hash: a URL names none"), "{errors}");
        assert_eq!(text(&output.stdout), "größe 1.bin\n");
        setup.assert_has("größe 1.bin", &data);
        std::fs::remove_file(setup.path("größe 1.bin")).unwrap();
        assert!(setup.gets(&[url(&record, member), "-o", "-"]).stdout == data);
    }
    let without = setup.command(&["f.bin"]).env_remove("PARTWAY_API_KEY").output().unwrap();
    let errors = text(&without.stderr);
    assert!(without.status.code() == Some(1) && errors.contains("--key KEY or PARTWAY_API_KEY"), "{errors}");
    let nameless = setup.get(&[&setup.gate.url]);
    assert!(text(&nameless.stderr).contains("--output PATH"), "{}", text(&nameless.stderr));
    let away = setup.get(&["http://127.0.0.1:1/w/f", "--wait", "0s"]);
    let errors = text(&away.stderr);
    assert!(away.status.code() == Some(1) && !errors.contains("--url"), "{errors}");
}

#[test]
fn a_download_by_the_url_of_a_version_goes_on_as_long_as_that_version_is_there() {
    let setup = Setup::new();
    let data = bytes(12, 30_000_000);
    let record = setup.upload("f.bin", &data);
    let version = url(&record, "version_url");
    let there = setup.interrupt_by(version, "f.bin", 20_000_000);
    let output = setup.gets(&[version]);
    assert!(text(&output.stderr).contains("downloaded before"), "{}", text(&output.stderr));
    assert!(setup.gate.passed() <= 30_000_000 - there + 1_000_000, "{} bytes came", setup.gate.passed());
    setup.assert_has("f.bin", &data);
    std::fs::remove_file(setup.path("f.bin")).unwrap();
    // Replaced between two tries.
    setup.interrupt_by(version, "f.bin", 20_000_000);
    let new = bytes(13, 30_000_000);
    setup.replace("f.bin", &new);
    let output = setup.get(&[version]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is no longer there") && errors.contains("PRECONDITION_FAILED"), "{errors}");
    assert!(!errors.contains("the same command continues"), "{errors}");
    assert_eq!(names(setup.here.path()), Vec::<String>::new());
    setup.gets(&[url(&record, "url")]);
    setup.assert_has("f.bin", &new);
}

#[test]
fn a_version_that_is_replaced_while_it_comes_leaves_nothing_and_a_file_starts_over() {
    for member in ["url", "version_url"] {
        let setup = Setup::new();
        let record = setup.upload("f.bin", &bytes(14, 100_000_000));
        let (child, _) = setup.begin_by(url(&record, member), "f.bin", 20_000_000);
        let new = bytes(15, 100_000_000);
        setup.replace("f.bin", &new);
        setup.gate.allow(u64::MAX);
        let output = child.wait_with_output().unwrap();
        let errors = text(&output.stderr);
        if member == "url" {
            assert!(output.status.success() && errors.contains("changed on the server; starting again"), "{errors}");
            setup.assert_has("f.bin", &new);
        } else {
            assert!(output.status.code() == Some(1) && errors.contains("is no longer there"), "{errors}");
            assert_eq!(names(setup.here.path()), Vec::<String>::new());
        }
    }
}

#[test]
fn a_version_that_is_gone_leaves_the_bytes_of_another_download_to_the_same_target() {
    let setup = Setup::new();
    let data = bytes(16, 30_000_000);
    let (record, other) = (setup.upload("f.bin", &data), setup.upload("g.bin", b"old"));
    let there = setup.interrupt_by(url(&record, "url"), "f.bin", 20_000_000);
    setup.gate.allow(u64::MAX);
    setup.replace("g.bin", b"new");
    let output = setup.get(&[url(&other, "version_url"), "-o", "f.bin"]);
    assert!(text(&output.stderr).contains("PRECONDITION_FAILED"), "{}", text(&output.stderr));
    let output = setup.gets(&[url(&record, "url")]);
    assert!(text(&output.stderr).contains("downloaded before"), "{}", text(&output.stderr));
    assert!(setup.gate.passed() <= 30_000_000 - there + 1_000_000, "{} bytes came", setup.gate.passed());
    setup.assert_has("f.bin", &data);
}

#[test]
fn a_name_in_a_url_hides_no_file_here_and_is_no_option() {
    let setup = Setup::new();
    let host = Fake::answering(|_, _| Answer::new(200, "hello"));
    for (name, problem) in [(".envrc", "would hide it here"), ("-rf", "looks like an option")] {
        let link = format!("{}/w/{name}", host.url);
        let output = setup.get(&[&link]);
        let errors = text(&output.stderr);
        assert!(output.status.code() == Some(1) && errors.contains(problem), "{errors}");
        assert!(errors.contains("--output PATH"), "{errors}");
        assert_eq!(names(setup.here.path()), Vec::<String>::new());
        setup.gets(&[&link, "-o", "f"]);
        setup.assert_has("f", b"hello");
        std::fs::remove_file(setup.path("f")).unwrap();
    }
}

#[test]
fn the_key_is_not_sent_to_the_host_of_a_url() {
    let setup = Setup::new();
    let host = Fake::answering(|_, _| Answer::new(200, "hello"));
    let key_was_sent = || ["authorization", "x-api-key"].iter().any(|header| host.was_sent(header));
    setup.gets(&[&format!("{}/w/f", host.url)]);
    setup.assert_has("f", b"hello");
    assert!(host.was_sent("host") && !key_was_sent());
    // The same command does send it where the file is named by its path.
    setup.command(&["f"]).env("PARTWAY_URL", &host.url).output().unwrap();
    assert!(key_was_sent());
}
