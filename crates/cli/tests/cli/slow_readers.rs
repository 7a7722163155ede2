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

/// Processor time of the server so far. Linux counts it in hundredths of a second.
fn processor_time(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    // utime and stime are fields 14 and 15; the name before them, in parentheses, may have spaces.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
}

/// Bytes that the kernel holds for the clients of the server, by connection.
fn queues(server: &SocketAddr) -> Vec<u64> {
    let port = format!(":{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The local address, and `tx_queue:rx_queue`; `01` are connections.
    let connected = fields.filter(|fields| fields[1].ends_with(&port) && fields[3] == "01");
    connected.map(|fields| u64::from_str_radix(fields[4].split(':').next().unwrap(), 16).unwrap()).collect()
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
    // Having given the kernel what it takes, the server has nothing to do for them.
    let rested = until("resting", Duration::from_secs(stall_seconds()), || {
        let used = processor_time(&server);
        std::thread::sleep(Duration::from_millis(400));
        processor_time(&server) - used <= Duration::from_millis(40)
    });
    // Others are served meanwhile.
    let began = Instant::now();
    assert_eq!(curl(&["--output", "/dev/null", "--max-time", "20", url]).0, 200);
    let served_after = began.elapsed();
    let queues = queues(&address);
    let held_bytes = memory_bytes(&server) - before.0;
    let held = descriptors(&server).0 - before.1;
    let file_no = record["file_no"].as_str().unwrap();
    let key = format!("x-api-key: {}", server.private_key());
    let (status, _) =
        curl(&["--request", "DELETE", "--header", &key, &format!("{}/api/v1/files/{file_no}", server.url)]);
    assert_eq!(status, 204);
    println!(
        "{} readers came in {asked:?}: {} KiB and {held} descriptors; the server rested {rested:?} later; \
         a file of {FILE_BYTES} bytes came in {served_after:?}",
        readers(),
        held_bytes / 1024
    );
    // Hyper has two buffers of 8 KiB for each of them, half of which is never written to; what the requests took at once may not have been given
    // back yet; and the threads that opened the file have stacks. Nothing of the file is in memory.
    let most_bytes = readers() as u64 * 18 * 1024 + (16 << 20);
    assert!(held_bytes < most_bytes, "they hold {held_bytes} bytes");
    let largest_queue = queues.iter().max().copied().unwrap_or_default();
    println!(
        "the kernel holds {} KiB for them, and {} for one",
        queues.iter().sum::<u64>() / 1024,
        largest_queue / 1024
    );
    assert!(queues.len() >= readers() * 9 / 10, "{} are there", queues.len());
    // Unsent (paced_stream.rs) and on its way to a client that has said that it takes 64 KiB, and as much again for other kernels.
    assert!(largest_queue < 640 * 1024, "the kernel holds {largest_queue} bytes for one");

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
