//! Proxies that bound the time of a request, on a slow line. The client is `partway upload`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::server::{Server, bytes, free_address, free_addresses, fresh, partway, text};

const MIB: usize = 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(6);

/// An Apache with its own bound of a body's time.
const APACHE: &str = "
ServerName localhost
PidFile DIRECTORY/pid
ErrorLog DIRECTORY/error.log
Listen ADDRESS
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule proxy_module MODULES/mod_proxy.so
LoadModule proxy_http_module MODULES/mod_proxy_http.so
LoadModule reqtimeout_module MODULES/mod_reqtimeout.so
RequestReadTimeout header=20 body=6
ProxyPass / http://SERVER/ nocanon
";

/// The end of a request that took too long.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// There is none: something after the line bounds the time.
    Never,
    Closed,
    /// The proxy answers by itself, with this status.
    Answered(u16),
}

/// A line of a given rate to a proxy that ends each part's request after `LIMIT`.
struct SlowLine {
    url: String,
    bytes_per_second: usize,
    end: End,
    /// Time at which the line is free.
    free_at: Mutex<Instant>,
    bytes_sent: AtomicUsize,
    requests: AtomicUsize,
}

impl SlowLine {
    fn start(target: &str, bytes_per_second: usize, end: End) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            bytes_per_second,
            end,
            free_at: Mutex::new(Instant::now()),
            bytes_sent: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let (accepting, target) = (Arc::clone(&line), target.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().take(1000).flatten() {
                let (line, server) = (Arc::clone(&accepting), TcpStream::connect(&target).unwrap());
                std::thread::spawn(move || line.pass_on(&client, &server));
            }
        });
        line
    }

    fn pass_on(&self, mut client: &TcpStream, mut server: &TcpStream) {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = std::io::copy(&mut { server }, &mut { client });
                let _ = client.shutdown(Shutdown::Both);
            });
            let mut ends_at = None;
            let mut buffer = [0; 16_384];
            while let Ok(read @ 1..) = client.read(&mut buffer) {
                if buffer.starts_with(b"PUT ") {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                    ends_at = Some(Instant::now() + LIMIT);
                } else if buffer.starts_with(b"GET ") || buffer.starts_with(b"POST ") {
                    ends_at = None;
                }
                if let Some(ends_at) = ends_at {
                    self.wait_for_the_line(read);
                    if self.end != End::Never && Instant::now() > ends_at {
                        if let End::Answered(status) = self.end {
                            let _ = write!(
                                client,
                                "HTTP/1.1 {status} So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                            );
                        }
                        break;
                    }
                    self.bytes_sent.fetch_add(read, Ordering::Relaxed);
                }
                if server.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        });
    }

    /// Takes the line for this many bytes; the connections share it.
    fn wait_for_the_line(&self, bytes: usize) {
        let free_at = {
            let mut free_at = self.free_at.lock().unwrap();
            *free_at =
                (*free_at).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            *free_at
        };
        std::thread::sleep(free_at.saturating_duration_since(Instant::now()));
    }
}

/// A server at the end of such a line, and the upload of a file to it.
struct Setup {
    line: Arc<SlowLine>,
    server: Server,
    key: String,
    data: Vec<u8>,
    directory: tempfile::TempDir,
}

impl Setup {
    fn new(size: usize, bytes_per_second: usize, end: End) -> Self {
        let address = free_address();
        Self::through(&address, &address, size, bytes_per_second, end)
    }

    /// The line ends at `target`, the server listens at `address`.
    fn through(target: &str, address: &str, size: usize, bytes_per_second: usize, end: End) -> Self {
        let (directory, data_dir) = fresh();
        let line = SlowLine::start(target, bytes_per_second, end);
        let server = Server::start(&data_dir, &["--listen", address, "--public-url", &line.url]);
        let (key, data) = (server.private_key(), bytes(9, size));
        std::fs::write(directory.path().join("f.bin"), &data).unwrap();
        Self { line, server, key, data, directory }
    }

    fn upload(&self, part_size: &str) -> Output {
        self.upload_files(&["f.bin"], part_size)
    }

    fn upload_files(&self, names: &[&str], part_size: &str) -> Output {
        self.run(names, &["--part-size", part_size])
    }

    fn run(&self, names: &[&str], more: &[&str]) -> Output {
        let mut command = partway();
        command.arg("upload").args(names.iter().map(|name| self.directory.path().join(name)));
        command.args(["--json", "--url", &self.line.url, "--key", &self.key]).args(more);
        let began = Instant::now();
        let output = command.output().unwrap();
        let (requests, sent) =
            (self.line.requests.load(Ordering::Relaxed), self.line.bytes_sent.load(Ordering::Relaxed) / MIB);
        println!("{requests} PUTs, {sent} MiB of {} sent, {:?}", self.data.len() / MIB, began.elapsed());
        output
    }

    fn assert_uploaded(&self, output: &Output) {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&self.data)));
        assert!(!self.server.log().contains("panic"));
    }

    /// MiB that were sent in vain.
    fn wasted_mib(&self) -> usize {
        (self.line.bytes_sent.load(Ordering::Relaxed) - self.data.len()) / MIB
    }
}

/// Whether the errors name the limit. A busy machine notices the end of a request later.
fn name_the_limit(errors: &str) -> bool {
    (6..=8).any(|seconds| errors.contains(&format!("after about {seconds} s")))
}

#[test]
fn where_a_proxy_ends_four_parts_at_once_fewer_are_sent() {
    // One part takes 3.3 s, two take 6.7 s.
    let setup = Setup::new(8 * MIB, 3 * MIB / 10, End::Answered(504));
    let output = setup.upload("1MiB");
    setup.assert_uploaded(&output);
    let errors = text(&output.stderr);
    for said in ["a proxy in front of the server seems to end requests", "sending 1 part at a time"] {
        assert!(errors.contains(said), "{said:?} is not in {errors}");
    }
    assert!(name_the_limit(&errors), "{errors}");
    assert!(!errors.contains("starting again"), "{errors}");
    // Three rounds of four and one of two, of up to 1.8 MiB each, and as much again on a busy machine.
    assert!(setup.wasted_mib() <= 14, "{} MiB: {errors}", setup.wasted_mib());
}

#[test]
fn the_next_file_begins_with_what_passed_before() {
    let setup = Setup::new(4 * MIB, 3 * MIB / 10, End::Closed);
    std::fs::copy(setup.directory.path().join("f.bin"), setup.directory.path().join("g.bin")).unwrap();
    let output = setup.upload_files(&["f.bin", "g.bin"], "1MiB");
    let errors = text(&output.stderr);
    assert!(output.status.success() && text(&output.stdout).lines().count() == 2, "{errors}");
    let said: Vec<_> = errors.lines().filter(|line| line.contains("at a time from now on")).collect();
    assert!(!said.is_empty() && said.iter().all(|line| line.starts_with("f.bin: ")), "{errors}");
}

#[test]
fn where_a_proxy_ends_a_part_that_is_sent_alone_smaller_ones_are_sent() {
    // 2.7 MiB get through.
    let setup = Setup::new(8 * MIB, 9 * MIB / 20, End::Closed);
    let output = setup.upload("4MiB");
    setup.assert_uploaded(&output);
    let errors = text(&output.stderr);
    for said in ["a proxy in front of the server ends requests after about", "starting again in parts of 2.00 MiB"] {
        assert!(errors.contains(said), "{said:?} is not in {errors}");
    }
    assert!(name_the_limit(&errors), "{errors}");
    // Three rounds of two and one part alone, of up to 2.7 MiB each, the same for the parts of 2 MiB at once, and two more rounds.
    assert!(setup.wasted_mib() <= 20, "{} MiB: {errors}", setup.wasted_mib());
}

#[test]
fn where_not_even_the_smallest_part_passes_a_proxy_in_its_time_the_upload_ends_and_names_the_limit() {
    // 768 KiB get through.
    let setup = Setup::new(MIB, MIB / 8, End::Closed);
    let output = setup.upload("1MiB");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for said in [
        "was not uploaded: a proxy in front of the server ends requests after about",
        "respondingTimeouts.readTimeout",
        "RequestReadTimeout body=",
        "partway upload --resume",
    ] {
        assert!(errors.contains(said), "{said:?} is not in {errors}");
    }
    assert!(name_the_limit(&errors), "{errors}");
}

#[test]
fn a_session_that_was_named_stays_open_where_its_parts_are_too_large_for_a_proxy() {
    for (end, problem) in
        [(End::Closed, "respondingTimeouts.readTimeout"), (End::Answered(413), "client_max_body_size")]
    {
        // 2.7 MiB get through.
        let setup = Setup::new(4 * MIB, 9 * MIB / 20, end);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let api = Api::new(&setup.line.url, &setup.key);
        let start = json!({
            "file_name": "named.bin", "format": "application/octet-stream", "size": 4 * MIB, "part_size": 4 * MIB,
            "folder": "videos", "tags": ["raw"],
        });
        let session = runtime.block_on(api.start(&start, "named"))["session_id"].as_str().unwrap().to_owned();
        let output = setup.run(&["f.bin"], &["--resume", &session, "--wait", "1s"]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(problem) && errors.contains("partway upload --resume"), "{errors}");
        assert!(!errors.contains("starting again"), "{errors}");
        let state = runtime.block_on(api.status(&session));
        assert_eq!((&state["status"], &state["missing_parts"]), (&json!("uploading"), &json!([0])), "{state}");
        let files =
            partway().args(["files", "ls", "--json", "--url", &setup.line.url, "--key", &setup.key]).output().unwrap();
        assert!(files.status.success() && files.stdout.is_empty(), "{}", text(&files.stdout));
        let log = setup.server.log();
        assert_eq!(log.matches("/api/v1/multipart/start\"").count(), 1, "another session was started: {log}");
    }
}

/// A running Apache. Dropping it ends it.
struct Apache(std::process::Child);

impl Apache {
    fn start(directory: &std::path::Path, address: &str, server: &str) -> Self {
        let config = directory.join("apache.conf");
        let place = directory.to_str().unwrap();
        let text = APACHE.replace("DIRECTORY", place).replace("ADDRESS", address).replace("SERVER", server);
        std::fs::write(&config, text.replace("MODULES", "/usr/lib/apache2/modules")).unwrap();
        let mut command = std::process::Command::new("/usr/sbin/apache2");
        command.args(["-X", "-d", place, "-f"]).arg(config);
        let process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs what the tests need"));
        let mut apache = Self(process);
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let is_alive = apache.0.try_wait().unwrap().is_none();
            assert!(is_alive && began.elapsed() < Duration::from_secs(60), "Apache does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        apache
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_apache_that_bounds_the_time_of_a_body_gets_fewer_parts_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let [address, server] = free_addresses();
    let _apache = Apache::start(directory.path(), &address, &server);
    // One part takes 3.3 s, two take 6.7 s.
    let setup = Setup::through(&address, &server, 8 * MIB, 3 * MIB / 10, End::Never);
    let output = setup.upload("1MiB");
    setup.assert_uploaded(&output);
    let errors = text(&output.stderr);
    assert!(errors.contains("a proxy in front of the server seems to end requests"), "{errors}");
    assert!(setup.wasted_mib() <= 14, "{} MiB: {errors}", setup.wasted_mib());
}
