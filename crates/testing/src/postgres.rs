//! A PostgreSQL server. Its directory and port stay the same from one start to the next.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::watchdog::{User, Watchdog, free_port, until_started};

/// Where Debian's packages put each version's programs.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Runs the server where the test runs as root, which PostgreSQL refuses. Debian's package makes it.
const UNPRIVILEGED: &str = "postgres";

/// A PostgreSQL server on a free port of 127.0.0.1 that needs no password, run by an ordinary user.
#[derive(Debug)]
pub struct Postgres {
    server: Mutex<Watchdog>,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// A new server. Committed data survives [`stop`](Self::stop), but would not survive a crash of the machine.
    pub fn start() -> Self {
        Self::with_fsync("off")
    }

    /// A new server that syncs each commit to the disk, as in production.
    pub fn start_durable() -> Self {
        Self::with_fsync("on")
    }

    /// A standby of `primary`, which takes its writes over a connection of its own and can be read.
    pub fn start_standby_of(primary: &Self) -> Self {
        let port = primary.port.to_string();
        let arguments = ["--pgdata=data", "--host=127.0.0.1", "--username=partway", "--wal-method=stream"];
        Self::launch("off", |directory, user| {
            let mut copy = Command::new(program("pg_basebackup"));
            copy.current_dir(directory).args(arguments).args(["--port", &port]);
            run_as(user, copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]));
        })
    }

    fn with_fsync(fsync: &str) -> Self {
        Self::launch(fsync, initdb)
    }

    /// `fill` makes the directory `data`.
    fn launch(fsync: &str, fill: impl Fn(&Path, Option<User>)) -> Self {
        until_started(|| {
            let port = free_port();
            let settings = [
                format!("port={port}"),
                format!("fsync={fsync}"),
                "listen_addresses=127.0.0.1".to_owned(),
                "unix_socket_directories=".to_owned(),
                "max_connections=400".to_owned(),
            ];
            let postgres = program("postgres");
            let mut command = vec![postgres.to_str().unwrap(), "-D", "data"];
            command.extend(settings.iter().flat_map(|setting| ["-c", setting]));
            let user = rustix::process::geteuid().is_root().then(unprivileged);
            // QUIT ends all its processes without a checkpoint; KILL would leave them to find out, and shared memory.
            let mut server = Watchdog::new("QUIT", &command, user);
            fill(server.directory(), user);
            server.start(is_ready)?;
            Ok(Self { server: Mutex::new(server), port, databases: AtomicU32::new(0) })
        })
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process id of the server's first process, `None` while it is stopped.
    pub fn process_id(&self) -> Option<u32> {
        self.server.lock().unwrap().server()
    }

    /// Makes an empty database with a name of its own, and returns its URL.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Removes a database, and cuts its connections.
    pub fn drop_database(&self, url: &str) {
        let (_, name) = url.rsplit_once('/').expect("a database URL");
        self.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    /// Writes what the database holds into a file.
    pub fn dump(&self, url: &str, into: &Path) {
        self.run("pg_dump", |command| command.args(["--format=custom", "--dbname", url, "--file"]).arg(into));
    }

    /// Puts back what a dump holds, in place of what the database has by the same names.
    pub fn restore(&self, url: &str, from: &Path) {
        let arguments = ["--clean", "--if-exists", "--single-transaction", "--dbname", url];
        self.run("pg_restore", |command| command.args(arguments).arg(from));
    }

    /// Ends the server and all its connections in the middle of what they do, as a crash would; waits until it is gone.
    pub fn stop(&self) {
        self.server.lock().unwrap().stop();
    }

    /// Starts the stopped server again; waits until it has recovered and takes connections.
    pub fn start_again(&self) {
        let started = self.server.lock().unwrap().start(is_ready);
        started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The URL of a database, which may be one that a server of which this is a standby made.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://partway@{}/{database}", self.address())
    }

    /// Runs a statement, in a database that is there from the beginning.
    pub fn sql(&self, statement: &str) {
        self.sql_in(&self.url("postgres"), statement);
    }

    /// Runs a statement in a database.
    pub fn sql_in(&self, url: &str, statement: &str) {
        self.run("psql", |command| command.args(["--no-psqlrc", "--quiet", "--dbname", url, "--command", statement]));
    }

    fn run(&self, name: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) {
        let output = arguments(&mut Command::new(program(name))).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}\n{}", self.server.lock().unwrap().log_tail());
    }
}

/// Whether the server says in its lock file that it takes connections: as `pg_ctl` asks, so it is this one that does.
fn is_ready(server: &Watchdog) -> bool {
    let lock = fs::read_to_string(server.directory().join("data/postmaster.pid")).unwrap_or_default();
    let mut lines = lock.lines();
    lines.next().and_then(|line| line.parse().ok()) == server.server()
        && lines.nth(6).is_some_and(|status| matches!(status.trim_end(), "ready" | "standby"))
}

fn initdb(directory: &Path, user: Option<User>) {
    let mut initdb = Command::new(program("initdb"));
    initdb.current_dir(directory).args(["--pgdata=data", "--username=partway", "--auth=trust", "--no-sync"]);
    run_as(user, initdb.args(["--encoding=UTF8", "--locale=C.UTF-8"]));
}

fn run_as(user: Option<User>, command: &mut Command) {
    if let Some(User(uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn unprivileged() -> User {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (name == UNPRIVILEGED).then_some(User(uid.parse().ok()?, gid.parse().ok()?))
    });
    ids.expect("no user `postgres`: scripts/test installs what the tests need")
}

/// A program of the newest installed version, or the one in the PATH.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let with_server = versions.filter(|entry| entry.path().join("bin/postgres").exists());
    let newest = with_server.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    newest.map_or_else(|| name.into(), |version| PathBuf::from(format!("{VERSIONS}/{version}/bin/{name}")))
}
