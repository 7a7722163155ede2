//! A server with an empty workspace, and commands that work on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Server, fresh, partway, text};

/// A running server and the key of its workspace.
pub(crate) struct Workspace {
    pub server: Server,
    pub key: String,
    pub directory: TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With more arguments for the server.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let (directory, data_dir) = fresh();
        let server = Server::start(&data_dir, arguments);
        let key = server.private_key();
        Self { server, key, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command for this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = partway();
        command.args(arguments).env("PARTWAY_URL", &self.server.url).env("PARTWAY_API_KEY", &self.key);
        command.current_dir(self.directory.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The same, of JSON lines.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.prints(&[arguments, &["--json"]].concat());
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs what must fail, and why it says it does.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Uploads these bytes under this path, with more arguments for `partway upload`.
    #[track_caller]
    pub(crate) fn upload(&self, path: &str, data: &[u8], arguments: &[&str]) -> Value {
        let place = tempfile::tempdir().unwrap();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        std::fs::write(place.path().join(name), data).unwrap();
        let file = place.path().join(name);
        let mut records =
            self.json(&[&["upload", file.to_str().unwrap(), "--no-resume", "--folder", folder], arguments].concat());
        records.remove(0)
    }

    /// The paths of the files that these arguments of `partway files ls` list.
    #[track_caller]
    pub(crate) fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let files = self.json(&[&["files", "ls"], arguments].concat());
        files.iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    }
}

/// The names in a directory, in order.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Types `answer` to a command on a terminal of its own. Returns the terminal's text, and whether the command succeeded.
pub(crate) fn on_terminal(command: &Command, answer: &str) -> (bool, String) {
    use std::io::Write;
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect::<Vec<_>>();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    let mut process = script
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("script: {error}; scripts/test installs what the tests need"));
    // The terminal keeps what is typed until somebody reads it.
    process.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    (output.status.success(), text(&output.stdout))
}
