//! Readers that do not read: what they cost the server, and for how long.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Server, bytes, curl, fresh, run, text};

/// More by hand: `PARTWAY_TEST_READERS=10000` with `ulimit -n 50000`.
fn readers() -> usize {
    std::env::var("PARTWAY_TEST_READERS").map_or(1000, |number| number.parse().unwrap())
}

/// As long as it takes for all of them to come.
fn stall_seconds() -> u64 {
    8 + readers() as u64 / 250
}

const FILE_BYTES: usize = 8 << 20;

fn memory_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Descriptors of the server, and those of them whose file is deleted.
fn descriptors(server: &Server) -> (usize, usize) {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let targets: Vec<_> = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect();
    let is_deleted = |target: &&std::path::PathBuf| target.to_string_lossy().ends_with(" (deleted)");
    (targets.len(), targets.iter().filter(is_deleted).count())
}

fn until(what: &str, patience: Duration, ready: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < patience, "{what} did not happen in {patience:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    began.elapsed()
}

/// The kernel takes what fits into a small buffer, and nothing after that.
fn ask_and_do_not_read(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

fn upload(server: &Server, file: &Path) -> Value {
    let (key, form) = (format!("x-api-key: {}", server.private_key()), format!("file=@{}", file.display()));
    let url = format!("{}/api/v1/uploads", server.url);
    let arguments = ["--silent", "--header", &key, "--form", &form, "--form", "file_name=f.bin", &url];
    serde_json::from_str(&text(&run(Command::new("curl").args(arguments)).stdout)).unwrap()
}

#[test]
fn readers_that_do_not_read_cost_little_and_pin_nothing_for_longer_than_the_timeout() {
    let (directory, data_dir) = fresh();
    let many = (2 * readers()).to_string();
    let environment = [
        ("PARTWAY_HTTP_STALL_TIMEOUT_SECONDS", stall_seconds().to_string()),
        ("PARTWAY_HTTP_MAX_CONNECTIONS", many.clone()),
        ("PARTWAY_HTTP_MAX_CONNECTIONS_PER_ADDRESS", many),
        ("PARTWAY_LOG_FILTER", "warn".to_owned()),
    ];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = Server::start_with(&data_dir, &[], &environment);
    let file = directory.path().join("f.bin");
    std::fs::write(&file, bytes(1, FILE_BYTES)).unwrap();
    let record = upload(&server, &file);
    let url = record["url"].as_str().unwrap();
    assert_eq!(curl(&["--output", "/dev/null", url]).0, 200);
    let before = (memory_bytes(&server), descriptors(&server).0);

    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let path = url.strip_prefix(&server.url).unwrap();
    let began = Instant::now();
    let stalled: Vec<_> = (0..readers()).map(|_| ask_and_do_not_read(address, path)).collect();
    let asked = began.elapsed();
    // Others are served beside them.
    let began = Instant::now();
    assert_eq!(curl(&["--output", "/dev/null", "--max-time", "20", url]).0, 200);
    let served_after = began.elapsed();
    let held_bytes = memory_bytes(&server) - before.0;
    let held = descriptors(&server).0 - before.1;
    let file_no = record["file_no"].as_str().unwrap();
    let key = format!("x-api-key: {}", server.private_key());
    let (status, _) =
        curl(&["--request", "DELETE", "--header", &key, &format!("{}/api/v1/files/{file_no}", server.url)]);
    assert_eq!(status, 204);
    println!(
        "{} readers came in {asked:?}: {} KiB and {held} descriptors; a file of {FILE_BYTES} bytes beside them came in {served_after:?}",
        readers(),
        held_bytes / 1024
    );
    // The cost of each in a build that is not optimized, and what large frames may take in all (delivery/frames.rs) with the threads.
    let most_bytes = readers() as u64 * 24 * 1024 + (80 << 20);
    assert!(held_bytes < most_bytes, "they hold {held_bytes} bytes");

    let patience = Duration::from_secs(2 * stall_seconds()) + asked;
    let let_go = until("letting go", patience, || {
        let (open, deleted) = descriptors(&server);
        deleted == 0 && open < before.1 + 20
    });
    println!(
        "all were let go {let_go:?} after the last one came; {} KiB are left",
        memory_bytes(&server).saturating_sub(before.0) / 1024
    );
    drop(stalled);
    assert_eq!(curl(&[&format!("{}/readyz", server.url)]).0, 200);
}
