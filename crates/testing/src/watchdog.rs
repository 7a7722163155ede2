//! A server program that ends, and whose directory is removed, when this process ends, however that happens: a shell
//! that reads orders from a pipe is the server's parent, and the kernel closes the pipe.
//! (`PR_SET_PDEATHSIG` is no good: it fires when the thread that started the server ends.)

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a start is tried, on other ports each time.
const ATTEMPTS: u32 = 3;

/// A user and group id.
#[derive(Clone, Copy)]
pub(crate) struct User(pub u32, pub u32);

/// A server program in a directory of its own; dropping this ends the one and removes the other.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// `None` only while this is dropped.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
    server: Option<u32>,
}

impl Watchdog {
    /// `signal` is what ends the server at once; `command` runs in a new directory that belongs to `user`.
    pub(crate) fn new(signal: &str, command: &[&str], user: Option<User>) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", include_str!("watchdog.sh"), "watchdog", signal]).args(command);
        // In a process group of its own, so that Ctrl-C reaches the test only.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(User(uid, gid)) = user {
            shell.uid(uid).gid(gid);
        }
        let mut shell = shell.spawn().expect("cannot run sh");
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let mut this = Self { shell, orders, answers, directory: PathBuf::new(), server: None };
        this.directory = this.answer().into();
        this
    }

    /// Where the server runs.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's process id while it is started.
    pub(crate) fn server(&self) -> Option<u32> {
        self.server
    }

    /// Starts the server and waits until it is `ready`. `Err`, with its log, if it ended or never was: another program may
    /// have taken its port meanwhile.
    pub(crate) fn start(&mut self, ready: impl Fn(&Self) -> bool) -> Result<(), String> {
        assert!(self.server.is_none(), "it runs already");
        self.server = self.order("start").parse().ok();
        let started = Instant::now();
        loop {
            let is_ready = ready(self);
            // Garage runs on without the port.
            let has_failed = self.order("running?") == "no" || self.log().contains("Address already in use");
            if has_failed || started.elapsed() > PATIENCE {
                self.stop();
                return Err(format!("a server did not start:\n{}", self.log_tail()));
            }
            if is_ready {
                return Ok(());
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server at once, and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        self.order("stop");
        self.server = None;
    }

    /// The last lines that the server wrote since it was started.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines = log.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn log(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders.as_ref().unwrap(), "{order}").expect("a server's watchdog has ended");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "a server's watchdog has ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.shell.wait();
    }
}

/// Runs `start`, with retries where a server did not start.
pub(crate) fn until_started<T>(start: impl Fn() -> Result<T, String>) -> T {
    for _ in 1..ATTEMPTS {
        if let Ok(started) = start() {
            return started;
        }
    }
    start().unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until `condition` holds. False if it takes too long.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    true
}

/// A port of 127.0.0.1 where nothing listens. Below those that the kernel gives out (from 32768 on Linux), so that no
/// client's connection takes it while the server is down.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = 10_000 + (RandomState::new().hash_one(()) % 22_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
