//! Properties of these servers that tests rely on.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use partway_testing::{Garage, Postgres};

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn query(url: &str, statement: &str) -> String {
    text(Command::new("psql").args(["-Atqc", statement, "-d", url]))
}

fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

#[test]
fn commits_of_postgres_survive_a_crash() {
    for postgres in [Postgres::start(), Postgres::start_durable()] {
        let url = postgres.create_database();
        query(&url, "CREATE TABLE t AS SELECT generate_series(1, 1000)");
        let address = postgres.address();
        postgres.stop();
        assert_eq!(postgres.process_id(), None);
        postgres.start_again();
        assert_eq!(postgres.address(), address);
        assert_eq!(query(&url, "SELECT count(*) FROM t"), "1000");
    }
}

#[test]
fn a_dump_brings_back_a_database() {
    let url = postgres().create_database();
    query(&url, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    let directory = tempfile::tempdir().unwrap();
    let dump = directory.path().join("dump");
    postgres().dump(&url, &dump);
    query(&url, "DELETE FROM t");
    let fresh = postgres().create_database();
    for url in [&url, &fresh] {
        postgres().restore(url, &dump);
        assert_eq!(query(url, "SELECT sum(n) FROM t"), "500500");
    }
}

#[test]
fn a_database_is_dropped_in_spite_of_its_connections() {
    let url = postgres().create_database();
    let mut sleeper =
        Command::new("psql").args(["-qc", "SELECT pg_sleep(600)", "-d", &url]).stderr(Stdio::null()).spawn().unwrap();
    while query(&url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0" {}
    postgres().drop_database(&url);
    assert!(!sleeper.wait().unwrap().success());
}

/// The status of one request.
fn s3(garage: &Garage, node: usize, path: &str, arguments: &[&str]) -> String {
    let user = format!("{}:{}", garage.access_key_id(), garage.secret_access_key());
    let signature = format!("aws:amz:{}:s3", garage.region());
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30", "--user", &user, "--aws-sigv4"]);
    curl.args([&signature, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]).args(arguments);
    text(curl.arg(format!("{}/{path}", garage.endpoint(node))))
}

#[test]
fn objects_of_garage_survive_a_kill() {
    let garage = Garage::start(1);
    let object = garage.create_bucket() + "/object";
    assert_eq!(s3(&garage, 0, &object, &["-T", "Cargo.toml"]), "200");
    let endpoint = garage.endpoint(0);
    garage.kill(0);
    garage.start_node(0);
    assert_eq!(garage.endpoint(0), endpoint);
    assert_eq!(s3(&garage, 0, &object, &[]), "200");
    assert_eq!(s3(&garage, 0, "no-such-bucket", &[]), "404");
}

#[test]
fn any_two_nodes_of_three_do_everything() {
    let garage = Garage::start(3);
    let before = garage.create_bucket() + "/object";
    assert_eq!(s3(&garage, 2, &before, &["-T", "Cargo.toml"]), "200");
    garage.kill(2);
    let meanwhile = garage.create_bucket() + "/object";
    assert_eq!(s3(&garage, 1, &meanwhile, &["-T", "Cargo.toml"]), "200");
    assert_eq!(s3(&garage, 0, &before, &[]), "200");
    garage.start_node(2);
    garage.kill(0);
    for node in [1, 2] {
        for object in [&before, &meanwhile] {
            assert_eq!(s3(&garage, node, object, &[]), "200");
        }
    }
    garage.kill(1);
    assert_eq!(s3(&garage, 2, &before, &["-T", "Cargo.toml"]), "503");
}

fn descendants(process: &Path) -> Vec<PathBuf> {
    let tasks = process.join("task").read_dir().into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let children =
        lists.flat_map(|list| list.split_whitespace().map(|id| Path::new("/proc").join(id)).collect::<Vec<_>>());
    children.flat_map(|child| [descendants(&child), vec![child]].concat()).collect()
}

/// Set for the process that starts servers and waits to be killed.
const HOLD: &str = "PARTWAY_TESTING_HOLD";

#[test]
fn nothing_outlives_a_test_process_that_is_killed() {
    if std::env::var_os(HOLD).is_some() {
        let garage = Garage::start(2);
        garage.kill(0);
        println!("\nservers: {} {}", postgres().process_id().unwrap(), garage.process_id(1));
        loop {
            thread::park();
        }
    }
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "nothing_outlives_a_test_process_that_is_killed", "--nocapture"]);
    let mut test = test.env(HOLD, "").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map(Result::unwrap);
    let servers = lines.find_map(|line| Some(line.strip_prefix("servers: ")?.to_owned())).unwrap();
    // Three watchdogs, Garage's process and PostgreSQL's many.
    let processes = descendants(&Path::new("/proc").join(test.id().to_string()));
    assert!(servers.split(' ').all(|id| processes.contains(&Path::new("/proc").join(id))), "{servers}: {processes:?}");
    let directory = |process: &PathBuf| process.join("cwd").read_link();
    let directories = processes.iter().map(|process| directory(process).unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(directories.len(), 4, "one for each server, and PostgreSQL's data: {directories:?}");

    test.kill().unwrap();
    test.wait().unwrap();
    let killed = Instant::now();
    while processes.iter().any(|process| directory(process).is_ok()) || directories.iter().any(|path| path.exists()) {
        assert!(killed.elapsed() < Duration::from_secs(30), "left: {processes:?} {directories:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
