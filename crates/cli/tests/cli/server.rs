//! A `partway serve` process, and other programs run while it does.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

/// A running server. Dropping it ends the process.
pub(crate) struct Server {
    pub url: String,
    /// Where it listens, independent of its public address.
    #[allow(dead_code, reason = "each of the test programs uses some of it")]
    pub address: String,
    /// Output of the first start; empty on later ones.
    pub greeting: String,
    process: Child,
    log: PathBuf,
}

/// The binary, with nothing in its environment but a home of the test that calls.
pub(crate) fn partway() -> Command {
    static FRESH: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    // The test runner names each thread after its test.
    let test = std::thread::current().name().unwrap_or("main").replace("::", "-");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home").join(test);
    if FRESH.lock().unwrap().insert(home.clone()) {
        let _ = std::fs::remove_dir_all(&home);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_partway"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
    command
}

/// The same, run by another program, which gets the binary and its arguments.
#[allow(dead_code, reason = "each of the test programs uses some of it")]
pub(crate) fn partway_under(launcher: &Path) -> Command {
    let plain = partway();
    let mut command = Command::new(launcher);
    command.arg(plain.get_program()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[allow(dead_code, reason = "each of the test programs uses some of it")]
impl Server {
    /// Starts on `data_dir`, at a free port.
    pub(crate) fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start_with(data_dir, arguments, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_by(partway(), data_dir, arguments, environment)
    }

    /// The same, by a command that runs the binary.
    pub(crate) fn start_by(
        mut command: Command,
        data_dir: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = data_dir.with_extension("log");
        command.envs(environment.iter().copied());
        command.arg("serve").arg("--data-dir").arg(data_dir).args(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&log).unwrap())).unwrap();
        let url = first.rsplit(' ').next().unwrap().to_owned();
        let (_, listening) = first.split_once("listens on ").unwrap();
        let address = listening.split(';').next().unwrap().to_owned();
        // The greeting of a first start ends with the line to try and an empty one.
        let is_new = !data_dir.with_extension("seen").exists();
        std::fs::write(data_dir.with_extension("seen"), "").unwrap();
        let mut greeting = String::new();
        while is_new && !greeting.contains("curl") {
            greeting.push_str(&lines.next().unwrap().unwrap());
            greeting.push('\n');
        }
        Self { url, address, greeting, process, log }
    }

    pub(crate) fn private_key(&self) -> String {
        key_in(&self.greeting, "sk_")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The most memory that the process ever held.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal by number to this process alone.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap().success());
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        self.wait();
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn key_in(text: &str, prefix: &str) -> String {
    let begin = text.find(prefix).unwrap_or_else(|| panic!("no {prefix} in {text:?}"));
    text[begin..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// An address that is free now.
pub(crate) fn free_address() -> String {
    let [address] = free_addresses();
    address
}

/// Different addresses that are free now.
pub(crate) fn free_addresses<const N: usize>() -> [String; N] {
    let listeners: [_; N] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// A directory whose `data` is no directory yet.
pub(crate) fn fresh() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    (directory, data_dir)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program that the tests need; one that is missing fails the test.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs what the tests need"));
    assert!(output.status.success(), "{command:?} failed: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// Bytes that differ everywhere and from seed to seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A call of the API by curl: status and body.
pub(crate) fn curl(arguments: &[&str]) -> (u16, String) {
    let output = run(Command::new("curl").args(["--silent", "--write-out", "\n%{http_code}"]).args(arguments));
    let answer = text(&output.stdout);
    let (body, status) = answer.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// Starts an upload by curl.
pub(crate) fn start(server: &Server, key: &str, name: &str, size: usize) -> serde_json::Value {
    let body = format!(r#"{{"file_name":"{name}","size":{size},"format":"bin"}}"#);
    let (status, answer) = post(server, key, "start", &body);
    assert_eq!(status, 201, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

/// A POST of JSON to `/api/v1/multipart/…` by curl.
pub(crate) fn post(server: &Server, key: &str, path: &str, body: &str) -> (u16, String) {
    let (url, key) = (format!("{}/api/v1/multipart/{path}", server.url), format!("Authorization: Bearer {key}"));
    curl(&[&url, "--header", &key, "--header", "Content-Type: application/json", "--data", body])
}
