//! A process that has no free file descriptor.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::server::{Server, fresh, partway_under};

/// Descriptors that the server may have: enough for itself and some connections.
const DESCRIPTORS: usize = 100;
/// How long a wait may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The line about a connection that could not be accepted.
const REFUSED: &str = "cannot accept connections";

fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Processor time of the server so far. Linux counts it in hundredths of a second.
fn processor_time(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    // utime and stime are fields 14 and 15; the name before them, in parentheses, may have spaces.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
}

#[test]
fn a_server_without_a_free_descriptor_waits_for_one_and_serves_on() {
    let (directory, data_dir) = fresh();
    let launcher = directory.path().join("launcher");
    std::fs::write(&launcher, format!("#!/bin/sh\nulimit -n {DESCRIPTORS} && exec \"$@\"\n")).unwrap();
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o700)).unwrap();
    let environment = [
        // Bounds that the descriptors do not allow.
        ("PARTWAY_HTTP_MAX_CONNECTIONS", "1000"),
        ("PARTWAY_HTTP_MAX_CONNECTIONS_PER_ADDRESS", "1000"),
        ("PARTWAY_HTTP_HEADER_TIMEOUT_SECONDS", "10m"),
    ];
    let server = Server::start_by(partway_under(&launcher), &data_dir, &[], &environment);
    let connect = |_| TcpStream::connect(&server.address).unwrap();
    let held: Vec<_> = (0..2 * DESCRIPTORS).map(connect).collect();
    let refusals = || server.log().matches(REFUSED).count();
    until("no descriptor is left", || refusals() > 0);

    let (began, before, spent) = (Instant::now(), refusals(), processor_time(&server));
    until("it goes on trying", || refusals() >= before + 20);
    let (elapsed, tried, spent) = (began.elapsed(), refusals() - before, processor_time(&server) - spent);
    // Ten times in a second, and one more at each end.
    assert!(tried as u128 <= elapsed.as_millis() / 100 + 2, "{tried} times in {elapsed:?}");
    assert!(spent < elapsed / 2, "{spent:?} of processor time in {elapsed:?}");

    drop(held);
    let health = format!("{}/healthz", server.url);
    let answered = || {
        let mut curl = Command::new("curl");
        let output = curl.args(["--silent", "--max-time", "20", "--write-out", "%{http_code}", &health]).output();
        output.unwrap().stdout.ends_with(b"200")
    };
    until("it answers again", answered);
    let last = refusals();
    assert!((0..20).all(|_| answered()), "{}", server.log());
    assert_eq!(refusals(), last, "descriptors are still missing");
}
