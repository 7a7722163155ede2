//! A proxy's process, and the files of deploy/ with what everybody changes in them.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a proxy may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A replacement for the beginning of one line of a configuration file, spaces before it aside.
pub(super) type Change<'c> = (&'c str, &'c str);

/// Settings of every nginx: where it may write, and its SITE.
const NGINX_MAIN: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {}
http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    SITE
}
";

/// A proxy's process. Dropping it ends it.
pub(crate) struct Proxy {
    process: Child,
    directory: TempDir,
}

impl Proxy {
    /// nginx at `address`, with this site.
    pub(crate) fn start_nginx(directory: TempDir, address: &str, site: &str) -> Self {
        write(&directory, "nginx.conf", &NGINX_MAIN.replace("SITE", site));
        let path = directory.path();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(path).arg("-c").arg(path.join("nginx.conf")).arg("-e").arg(path.join("error.log"));
        Self::start(command, directory, address)
    }

    /// Starts it in the directory, and waits until it listens.
    pub(super) fn start(mut command: Command, directory: TempDir, address: &str) -> Self {
        let output = std::fs::File::create(directory.path().join("output")).unwrap();
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        command.env_clear().env("PATH", path).env("HOME", directory.path()).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs what the tests need"));
        let mut proxy = Self { process, directory };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            let is_alive = proxy.process.try_wait().unwrap().is_none();
            assert!(is_alive && begin.elapsed() < STARTS_WITHIN, "it does not listen: {}", proxy.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// Everything that it said.
    pub(crate) fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        ["output", "error.log", "access.log"].map(read).concat()
    }

    pub(super) fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

/// A file of deploy/.
pub(super) fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn write(directory: &TempDir, name: &str, content: &str) {
    let path = directory.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

pub(super) fn has_line(file: &str, begin: &str) -> bool {
    file.lines().any(|line| line.trim_start().starts_with(begin))
}

/// The file with each change made. Each changes exactly one line, so a file that is changed and a test that is not
/// do not go unnoticed.
pub(super) fn changed(file: &str, changes: &[Change<'_>]) -> String {
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    for (begin, instead) in changes {
        let mut found = lines.iter_mut().filter(|line| line.trim_start().starts_with(begin));
        let line = found.next().unwrap_or_else(|| panic!("no line begins with {begin:?} in {file}"));
        assert!(found.next().is_none(), "several lines begin with {begin:?} in {file}");
        *line = line.replacen(begin, instead, 1);
    }
    lines.join("\n") + "\n"
}
