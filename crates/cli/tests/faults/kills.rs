//! `kill -9` at random times and at every named step, while clients upload, replace, abort and abandon files. Each
//! client goes on as a real one would; at the end everything is compared.
//!
//! `scripts/faults --kills N --seed S` runs longer, or the same again.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;

use crate::api::{Api, fsck, indices};
use crate::server::{Server, bytes, free_address, fresh};

/// Where the process ends itself, and what work that takes.
const STEPS: [&str; 19] = [
    "start.after_row",
    "start.after_reserve",
    "part.before_write",
    "part.after_write",
    "part.after_record",
    "complete.before_sync",
    "complete.after_sync",
    "complete.before_commit",
    "complete.after_commit",
    "end.before_commit",
    "end.after_commit",
    "cleaner.after_expire",
    "cleaner.before_delete",
    "cleaner.after_delete",
    "cleaner.after_forget",
    "cleaner.after_forget_parts",
    "verify.before_commit",
    "blob.write",
    "blob.sync",
];
const PART: usize = 10 * 1024 * 1024;
const CLIENTS: u64 = 6;
/// Names each client gives its files: few, so that most of them replace one.
const NAMES: u64 = 3;
/// How long a step that is set to kill may take to be reached: the clients go on until it is, so only a machine that is all but
/// standing takes so long.
pub(crate) const STEP_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Tally {
    uploads: AtomicU64,
    aborted: AtomicU64,
    abandoned: AtomicU64,
    acknowledged: AtomicU64,
    lost: AtomicU64,
    wrong: AtomicU64,
}

struct Client {
    api: Api,
    rng: StdRng,
    number: u64,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    /// URL and hash that each name must have in the end.
    files: BTreeMap<u64, (String, blake3::Hash)>,
}

/// Lets the server run for this long and kills it. Returns whether it ended itself before that.
pub(crate) fn run_until_killed(mut server: Server, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline && !server.has_ended() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let died_by_itself = server.has_ended();
    server.kill();
    died_by_itself
}

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")))
}

#[test]
fn nothing_acknowledged_is_lost_and_no_bytes_are_left_over_however_often_the_server_is_killed() {
    let kills = setting("PARTWAY_FAULT_KILLS", 200);
    let seed = setting("PARTWAY_FAULT_SEED", rand::rng().random_range(0..1_000_000_000));
    // Past the test runner's capture: the seed must be visible in every case.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "faults: {kills} kills, seed {seed} (scripts/faults --kills {kills} --seed {seed})").unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let (_directory, data_dir) = fresh();
    let address = free_address();
    let arguments = ["--listen", &address];
    let environment = [("PARTWAY_LOG_FILTER", "off"), ("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")];
    let first = Server::start_with(&data_dir, &arguments, &environment);
    let (base, key) = (first.url.clone(), first.private_key());
    drop(first);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (tally, stop) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Client {
                api: Api::new(&base, &key),
                rng: StdRng::seed_from_u64(seed.wrapping_add(1 + number)),
                number,
                tally: Arc::clone(&tally),
                stop: Arc::clone(&stop),
                files: BTreeMap::new(),
            };
            runtime.spawn(client.run())
        })
        .collect();

    let mut died_at: BTreeMap<&str, u64> = BTreeMap::new();
    for kill in 0..kills {
        assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up; seed {seed}");
        let step = STEPS[(kill / 2) as usize % STEPS.len()];
        let at_step = kill % 2 == 0;
        // Bytes come in many writes, most other steps are reached once or twice between two kills.
        let hit = match step {
            "blob.write" => rng.random_range(1..=60),
            // Only sessions that existed at the start are verified, and that may be one.
            "verify.before_commit" => 1,
            _ => rng.random_range(1..=2),
        };
        let failpoint = format!("{step}=kill@{hit}");
        if step == "verify.before_commit" || rng.random_bool(0.2) {
            // As after a restart of the machine: parts are verified before they are trusted.
            let database = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
            database.execute("UPDATE sessions SET trusted_boot_id = 'another'", []).unwrap();
        }
        let more = [("PARTWAY_FAILPOINTS", failpoint.as_str())];
        let more = if at_step { &more[..] } else { &[] };
        let server = Server::start_with(&data_dir, &arguments, &[&environment[..], more].concat());
        let patience = if at_step { STEP_PATIENCE } else { Duration::from_micros(rng.random_range(0..150_000)) };
        let died_by_itself = run_until_killed(server, patience);
        *died_at.entry(if died_by_itself { step } else { "at a random time" }).or_default() += 1;
    }

    // Now everybody may finish.
    stop.store(true, Ordering::Relaxed);
    let mut server = Server::start_with(&data_dir, &arguments, &environment);
    let files = runtime.block_on(async {
        let mut files = Vec::new();
        for client in clients {
            files.extend(client.await.unwrap().into_values());
        }
        let api = Api::new(&base, &key);
        for (url, hash) in &files {
            if blake3::hash(&api.fetch(url).await) != *hash {
                tally.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        files
    });
    // Abandoned uploads expire within two seconds; each start of the server cleans.
    let mut report = fsck(&data_dir, &[]);
    for _ in 0..20 {
        if report.1["garbage"] == 0 && report.1["sessions"] == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        server.kill();
        server = Server::start_with(&data_dir, &arguments, &environment);
        std::thread::sleep(Duration::from_millis(500));
        report = fsck(&data_dir, &[]);
    }
    let (code, report) = report;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let orphans = report["blobs"].as_u64().unwrap() - report["files"].as_u64().unwrap();
    writeln!(
        terminal,
        "faults: kills {kills}, uploads {}, aborted {}, abandoned {}, acknowledged parts {}, lost acknowledged parts {}, wrong bytes {}, orphans left {orphans}",
        count(&tally.uploads), count(&tally.aborted), count(&tally.abandoned), count(&tally.acknowledged), count(&tally.lost), count(&tally.wrong)
    )
    .unwrap();
    writeln!(terminal, "faults: died {died_at:?}").unwrap();
    assert_eq!((count(&tally.lost), count(&tally.wrong), orphans), (0, 0, 0), "seed {seed}");
    assert_eq!((code, &report["findings"]), (0, &json!([])), "seed {seed}");
    assert_eq!((&report["garbage"], &report["sessions"]), (&json!(0), &json!(0)), "seed {seed}");
    assert_eq!(report["files"], files.len());
    assert!(count(&tally.uploads) > kills / 10, "the clients hardly got to work");
    // A run long enough for each step twice has died at each.
    if kills >= 4 * STEPS.len() as u64 {
        let never: Vec<_> = STEPS.iter().filter(|step| !died_at.contains_key(**step)).collect();
        assert!(never.is_empty(), "never died at {never:?}; seed {seed}");
    }
}

impl Client {
    async fn run(mut self) -> BTreeMap<u64, (String, blake3::Hash)> {
        let mut round = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let seed = self.number * 1_000_000 + round;
            round += 1;
            match self.rng.random_range(0..20) {
                0..3 => self.abort(seed).await,
                3..6 => self.abandon(seed).await,
                _ => self.upload(seed).await,
            }
        }
        self.files
    }

    fn size(&mut self) -> usize {
        match self.rng.random_range(0..20) {
            0..14 => self.rng.random_range(1..100_000),
            14..18 => self.rng.random_range(100_000..3_000_000),
            18 => PART + 77,
            _ => 2 * PART + 1_000_005,
        }
    }

    async fn start(&self, name: u64, size: usize, ttl_seconds: u64, seed: u64) -> (String, Vec<String>) {
        let name = format!("{}-{name}", self.number);
        let body = json!({"file_name": name, "size": size, "format": "bin", "ttl_seconds": ttl_seconds});
        let started = self.api.start(&body, &seed.to_string()).await;
        let urls = started["parts"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
        (started["session_id"].as_str().unwrap().to_owned(), urls)
    }

    async fn upload(&mut self, seed: u64) {
        let (name, size) = (self.rng.random_range(0..NAMES), self.size());
        let data = bytes(seed, size);
        let chunks: Vec<&[u8]> = data.chunks(PART).collect();
        let (id, urls) = self.start(name, size, 3600, seed).await;
        let mut acknowledged = vec![false; urls.len()];
        let mut order: Vec<usize> = (0..urls.len()).collect();
        order.shuffle(&mut self.rng);
        for index in &order {
            self.send(&id, &urls, *index, chunks[*index], &mut acknowledged).await;
        }
        let mut allowed = vec![blake3::hash(&data)];
        if self.rng.random_bool(0.5) {
            // Sending a part again replaces it. If the server dies meanwhile, completing must find the one, the other, or
            // none, and never some bytes of each.
            let mut other = data.clone();
            let begin = order[0] * PART;
            let end = size.min(begin + PART);
            other[begin..end].copy_from_slice(&bytes(seed ^ 1, end - begin));
            allowed.push(blake3::hash(&other));
            if let Ok((200, _)) = self.api.put(&urls[order[0]], &other[begin..end]).await {
                allowed.remove(0);
            }
        }
        let (mut status, mut record) = self.api.complete(&id).await;
        if record["errorCode"] == "PARTS_MISSING" {
            let missing = indices(&record, "missing_parts");
            if allowed.len() == 1 || missing != [order[0]] {
                self.tally.lost.fetch_add(missing.len() as u64, Ordering::Relaxed);
                return;
            }
            self.send(&id, &urls, order[0], chunks[order[0]], &mut acknowledged).await;
            allowed.truncate(1);
            (status, record) = self.api.complete(&id).await;
        }
        assert_eq!(status, 201, "{record}");
        let url = record["url"].as_str().unwrap().to_owned();
        let Some(hash) = allowed.into_iter().find(|hash| record["hash"] == format!("blake3:{hash}")) else {
            self.tally.wrong.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // The hash alone proves nothing: it was computed while the bytes came.
        if self.rng.random_bool(0.5) && blake3::hash(&self.api.fetch(&url).await) != hash {
            self.tally.wrong.fetch_add(1, Ordering::Relaxed);
        }
        self.files.insert(name, (url, hash));
        self.tally.uploads.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a part until it is acknowledged. After every lost connection the server must still have all others.
    async fn send(&self, id: &str, urls: &[String], index: usize, bytes: &[u8], acknowledged: &mut [bool]) {
        loop {
            acknowledged[index] = false;
            match self.api.put(&urls[index], bytes).await {
                Ok((200, _)) => {
                    acknowledged[index] = true;
                    self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok((status, answer)) => assert!(status >= 500, "{status} {answer}"),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let there = indices(&self.api.status(id).await, "uploaded_parts");
                    let lost = (0..urls.len()).filter(|index| acknowledged[*index] && !there.contains(index));
                    self.tally.lost.fetch_add(lost.count() as u64, Ordering::Relaxed);
                }
            }
        }
    }

    async fn abort(&mut self, seed: u64) {
        let size = self.size();
        let (id, urls) = self.start(0, size, 3600, seed).await;
        let first = bytes(seed, size.min(PART));
        let mut acknowledged = vec![false; urls.len()];
        if self.rng.random_bool(0.7) {
            self.send(&id, &urls, 0, &first, &mut acknowledged).await;
        }
        let (status, answer) = self.api.until_answered(Method::DELETE, &format!("/{id}"), None).await;
        assert_eq!(status, 204, "{answer}");
        self.tally.aborted.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts an upload and forgets it.
    async fn abandon(&mut self, seed: u64) {
        let size = self.size();
        let (_, urls) = self.start(0, size, 1, seed).await;
        if self.rng.random_bool(0.7) {
            let _ = self.api.put(&urls[0], &bytes(seed, size.min(PART))).await;
        }
        self.tally.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}
