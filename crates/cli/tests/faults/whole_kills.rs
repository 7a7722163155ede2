//! `kill -9` at random times and at every named step of direct and remote uploads, of deleting, and of telling webhooks.
//! In the end the events that a receiver got are compared with those in the database: none is lost,
//! none is of a file that never was, and none comes before what it follows.
//!
//! `scripts/faults --kills N --seed S` runs longer, or the same again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use partway_testing::Garage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::kills::{STEP_PATIENCE, run_until_killed, setting};
use crate::server::{bytes, free_address, fresh, text};
use crate::settings::Settings;

/// Steps at which the process ends itself, on every storage.
const STEPS: [&str; 10] = [
    "whole.after_row",
    "whole.after_bytes",
    "whole.before_commit",
    "whole.after_commit",
    "webhook.before_send",
    "webhook.after_send",
    "webhook.after_note",
    "cleaner.after_purge",
    "cleaner.after_delete",
    "cleaner.after_forget",
];
const LOCAL_STEPS: [&str; 2] = ["whole.after_blob", "blob.write"];
const BUCKET_STEPS: [&str; 3] = ["stream.after_upload", "stream.after_part", "stream.after_complete"];
/// Files of at least this many bytes go to a bucket in parts.
const PARTED: usize = 8 << 20;
const CLIENTS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(60);
/// Most failures of one event at its receiver.
const MAX_FAILURES: u32 = 3;

/// Delivered events, in the order in which they came: type, data, and the id of the message.
type Received = Arc<Mutex<Vec<(String, Value, String)>>>;

struct Client {
    http: reqwest::Client,
    base: String,
    remote: String,
    key: String,
    rng: StdRng,
    number: u64,
    parted: f64,
    stop: Arc<AtomicBool>,
    acknowledged: Acknowledged,
}

/// Acknowledged changes: each must be delivered.
#[derive(Default)]
struct Acknowledged {
    published: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// The hash that each name had last, unless the last answer was lost.
    hashes: HashMap<String, Option<String>>,
}

#[test]
fn no_event_is_lost_and_none_made_up_however_often_the_server_is_killed() {
    let (_directory, data_dir) = fresh();
    let place = Place { settings: Settings::of(&[]), steps: [&STEPS[..], &LOCAL_STEPS].concat(), parted: 0.0 };
    kill_often(&place, &data_dir);
}

#[test]
fn the_same_holds_for_a_bucket_and_no_upload_stays_open_in_it() {
    let (_directory, data_dir) = fresh();
    let garage = Garage::start(1);
    let bucket = garage.create_bucket();
    // Replaced and deleted objects are kept as long as URLs to them are valid.
    let settings = Settings::bucket(&garage, &bucket, &garage.endpoint(0)).and("PARTWAY_STORAGE_URL_SECONDS", "1");
    let place = Place { settings, steps: [&STEPS[..], &BUCKET_STEPS].concat(), parted: 0.25 };
    kill_often(&place, &data_dir);
    let _server = place.settings.start(&data_dir, "127.0.0.1:0");
    place.settings.assert_nothing_left(&data_dir, &garage, &bucket, 0);
}

/// Where files are stored.
struct Place {
    settings: Settings,
    steps: Vec<&'static str>,
    /// How many of the files are so large that a bucket takes them in parts.
    parted: f64,
}

/// Lets clients work on a server that is killed again and again, and compares.
fn kill_often(place: &Place, data_dir: &Path) {
    let wanted_kills = setting("PARTWAY_FAULT_KILLS", 200);
    let kills = wanted_kills * 3 / 10;
    let seed = setting("PARTWAY_FAULT_SEED", rand::rng().random_range(0..1_000_000_000));
    let mut terminal = std::io::stderr();
    let again = format!("scripts/faults --kills {wanted_kills} --seed {seed}");
    writeln!(terminal, "whole faults: {kills} kills, seed {seed} ({again})").unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let address = free_address();
    let settings = place
        .settings
        .clone()
        .and("PARTWAY_LOG_FILTER", "off")
        .and("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")
        .and("PARTWAY_OUTGOING_ALLOWED_HOSTS", "127.0.0.1")
        .and("PARTWAY_WEBHOOKS_FIRST_PAUSE_SECONDS", "1")
        .and("PARTWAY_WEBHOOKS_TIMEOUT_SECONDS", "5");
    let first = settings.start(data_dir, &address);
    let (base, key) = (first.url.clone(), first.private_key());
    drop(first);
    let received = Received::default();
    let receiver = receive(Arc::clone(&received), seed);
    let added = settings.command(data_dir, &["webhooks", "add", &receiver]).output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    let remote = serve_remote();

    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let http = reqwest::Client::builder().tls_certs_only([]).timeout(Duration::from_secs(30)).build().unwrap();
            let client = Client {
                http,
                base: base.clone(),
                remote: remote.clone(),
                key: key.clone(),
                rng: StdRng::seed_from_u64(seed.wrapping_add(1 + number)),
                number,
                parted: place.parted,
                stop: Arc::clone(&stop),
                acknowledged: Acknowledged::default(),
            };
            runtime.spawn(client.run())
        })
        .collect();
    let mut died_at: BTreeMap<&str, u64> = BTreeMap::new();
    for kill in 0..kills {
        assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up; seed {seed}");
        let step = place.steps[(kill / 2) as usize % place.steps.len()];
        let at_step = kill % 2 == 0;
        let hit = if step == "blob.write" { rng.random_range(1..=20) } else { rng.random_range(1..=2) };
        let failpoint = format!("{step}=kill@{hit}");
        let settings = if at_step { settings.clone().and("PARTWAY_FAILPOINTS", &failpoint) } else { settings.clone() };
        let server = settings.start(data_dir, &address);
        let patience = if at_step { STEP_PATIENCE } else { Duration::from_micros(rng.random_range(0..300_000)) };
        let died_by_itself = run_until_killed(server, patience);
        *died_at.entry(if died_by_itself { step } else { "at a random time" }).or_default() += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let mut server = settings.start(data_dir, &address);
    let acknowledged: Vec<Acknowledged> = runtime
        .block_on(async { futures_util::future::join_all(clients).await.into_iter().map(Result::unwrap).collect() });
    // Unfinished blobs are kept for some minutes for writers that may still run. There are none.
    server.kill();
    let database = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    database.execute("UPDATE garbage SET not_before = 0", []).unwrap();
    let _server = settings.start(data_dir, &address);
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let (began, mut waited) = (Instant::now(), Vec::new());
    for waiting in ["deliveries", "folders WHERE deleted_at IS NOT NULL", "garbage"] {
        while number(&format!("SELECT count(*) FROM {waiting}")) > 0 {
            assert!(began.elapsed() < PATIENCE, "{} still wait; seed {seed}", rows(&database, waiting));
            std::thread::sleep(Duration::from_millis(50));
        }
        waited.push(began.elapsed());
    }
    let received = received.lock().unwrap().clone();
    check_events(&received, &acknowledged, data_dir, seed);
    let (code, report) = settings.fsck(data_dir, &[]);
    assert_eq!((code, &report["findings"]), (0, &json!([])), "seed {seed}");
    assert_eq!(report["blobs"], report["files"], "seed {seed}: orphans");
    let published: usize = acknowledged.iter().map(|client| client.published.len()).sum();
    let received = received.len();
    writeln!(
        terminal,
        "whole faults: kills {kills}, uploads {published}, events delivered {received}, waited {waited:.1?} ({died_at:?})"
    )
    .unwrap();
    assert!(published as u64 > kills / 4, "the clients hardly got to work");
    if kills >= 2 * place.steps.len() as u64 {
        let never: Vec<_> = place.steps.iter().filter(|step| !died_at.contains_key(**step)).collect();
        assert!(never.is_empty(), "never died at {never:?}; seed {seed}");
    }
}

/// Rows as they are, for diagnosis.
fn rows(database: &rusqlite::Connection, table: &str) -> String {
    let mut statement = database.prepare(&format!("SELECT * FROM {table} LIMIT 5")).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| {
        let values: Result<Vec<_>, _> =
            (0..names.len()).map(|column| row.get::<_, rusqlite::types::Value>(column)).collect();
        Ok(names.iter().zip(values?).map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" "))
    };
    let rows: Result<Vec<String>, _> = statement.query_map([], row).unwrap().collect();
    format!("{table}:\n{}\n", rows.unwrap().join("\n"))
}

fn check_events(received: &[(String, Value, String)], acknowledged: &[Acknowledged], data_dir: &Path, seed: u64) {
    let text = |data: &Value, member: &str| data[member].as_str().unwrap().to_owned();
    let (mut messages, mut published, mut deleted) = (HashSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut replaced = BTreeSet::new();
    for (kind, data, message) in received {
        // Delivered again, perhaps: at least once.
        if !messages.insert(message) {
            continue;
        }
        let id = text(data, "id");
        match kind.as_str() {
            "file.created" => assert!(published.insert(id), "created twice; seed {seed}"),
            "file.replaced" => {
                let before = text(&data["replaced"], "id");
                assert!(published.contains(&before), "replaced before it was there: {data}; seed {seed}");
                assert!(published.insert(id) && replaced.insert(before), "replaced twice; seed {seed}");
            }
            "file.deleted" => {
                assert!(published.contains(&id), "deleted before it was there: {data}; seed {seed}");
                assert!(deleted.insert(id), "deleted twice; seed {seed}");
            }
            other => panic!("{other}"),
        }
    }
    let database = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    let mut statement = database.prepare("SELECT id, name, hash FROM files").unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)));
    let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    let there: BTreeSet<String> = rows.iter().map(|(id, ..)| id.clone()).collect();
    let expected: BTreeSet<String> =
        published.iter().filter(|id| !deleted.contains(*id) && !replaced.contains(*id)).cloned().collect();
    assert_eq!(there, expected, "files, and the events about them; seed {seed}");
    for client in acknowledged {
        assert!(client.published.is_subset(&published), "an event of an upload is lost; seed {seed}");
        assert!(client.deleted.is_subset(&deleted), "an event of a deletion is lost; seed {seed}");
        for (name, hash) in client.hashes.iter().filter_map(|(name, hash)| Some((name, hash.as_ref()?))) {
            let found = rows.iter().find(|(_, there, _)| there == name).map(|(_, _, hash)| hash);
            assert_eq!(found, Some(hash), "{name} is not what was acknowledged last; seed {seed}");
        }
    }
}

impl Client {
    async fn run(mut self) -> Acknowledged {
        let mut round = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let seed = self.number * 1_000_000 + round;
            round += 1;
            match self.rng.random_range(0..20) {
                0..12 => self.upload(seed).await,
                12..16 => self.fetch(seed).await,
                16..18 => self.delete_file(seed).await,
                _ => self.delete_folder(seed).await,
            }
        }
        self.acknowledged
    }

    /// An answer, or none where the server went away.
    async fn ask(&self, method: Method, path: &str, body: Option<Form>, json: Option<Value>) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        if let Some(form) = body {
            request = request.multipart(form);
        }
        if let Some(json) = json {
            request = request.json(&json);
        }
        let Ok(response) = request.send().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        let status = response.status().as_u16();
        let body = response.bytes().await.ok()?;
        assert!(status < 500, "{status} {body:?}");
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn note(&mut self, name: String, answer: Option<(u16, Value)>) -> Option<Value> {
        let Some((status, record)) = answer else {
            // It may be there and may not.
            self.acknowledged.hashes.insert(name, None);
            return None;
        };
        assert_eq!(status, 201, "{record}");
        self.acknowledged.published.insert(record["id"].as_str().unwrap().to_owned());
        let hash = record["hash"].as_str().unwrap().to_owned();
        self.acknowledged.hashes.insert(name, Some(hash));
        Some(record)
    }

    async fn upload(&mut self, seed: u64) {
        let mut size = self.rng.random_range(0..2_000_000);
        if self.rng.random_bool(self.parted) {
            size += PARTED;
        }
        let name = format!("{}-{}", self.number, self.rng.random_range(0..3));
        let form = Form::new().part("file", Part::bytes(bytes(seed, size))).text("file_name", name.clone());
        let answer = self.ask(Method::POST, "/api/v1/uploads", Some(form.text("folder", "kept")), None).await;
        self.note(name, answer);
    }

    async fn fetch(&mut self, seed: u64) {
        let name = format!("{}-remote-{}", self.number, self.rng.random_range(0..2));
        let url = format!("{}/{seed}/{}", self.remote, self.rng.random_range(0..1_000_000));
        let json = json!({"remote_url": url, "file_name": name});
        let answer = self.ask(Method::POST, "/api/v1/uploads/remote", None, Some(json)).await;
        self.note(name, answer);
        if self.acknowledged.hashes.values().any(Option::is_none) {
            // A fetch goes on without its client: what comes last is not known.
            self.acknowledged.hashes.retain(|name, _| !name.contains("remote"));
        }
    }

    async fn delete_file(&mut self, seed: u64) {
        let name = format!("gone-{seed}");
        let form = Form::new().part("file", Part::bytes(bytes(seed, 1000))).text("file_name", name.clone());
        let answer = self.ask(Method::POST, "/api/v1/uploads", Some(form), None).await;
        let Some(record) = self.note(name.clone(), answer) else { return };
        self.acknowledged.hashes.remove(&name);
        let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
        if let Some((status, _)) = self.ask(Method::DELETE, &path, None, None).await {
            assert_eq!(status, 204);
            self.acknowledged.deleted.insert(record["id"].as_str().unwrap().to_owned());
        }
    }

    /// Some files in a folder of their own, which is deleted: each of them is an event.
    async fn delete_folder(&mut self, seed: u64) {
        let mut ids = Vec::new();
        let mut folder_no = None;
        for number in 0..3 {
            let form = Form::new().part("file", Part::bytes(bytes(seed + number, 500)));
            let form = form.text("file_name", format!("f{number}")).text("folder", format!("temporary/{seed}"));
            let Some((status, record)) = self.ask(Method::POST, "/api/v1/uploads", Some(form), None).await else {
                continue;
            };
            assert_eq!(status, 201, "{record}");
            let id = record["id"].as_str().unwrap().to_owned();
            self.acknowledged.published.insert(id.clone());
            ids.push(id);
            folder_no = Some(record["folder_no"].as_str().unwrap().to_owned());
        }
        let Some(folder_no) = folder_no else { return };
        if let Some((status, _)) = self.ask(Method::DELETE, &format!("/api/v1/folders/{folder_no}"), None, None).await {
            assert_eq!(status, 204);
            self.acknowledged.deleted.extend(ids);
        }
    }
}

/// Reads a request: its head, and as much body as it says.
fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut received = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let length: usize = length.unwrap_or(0);
            if received.len() >= end + 4 + length {
                return Some((head, received[end + 4..end + 4 + length].to_vec()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => received.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// A receiver of webhooks that now and then fails, before or after it has noted the event. Nothing fails for ever: pauses
/// grow threefold, and the test waits for what waits.
fn receive(received: Received, seed: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut rng = StdRng::seed_from_u64(seed ^ 77);
        let failed = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
        for stream in listener.incoming().flatten() {
            let (mut fails, mut loses_answer) = (rng.random_bool(0.05), rng.random_bool(0.03));
            let (received, failed) = (Arc::clone(&received), Arc::clone(&failed));
            std::thread::spawn(move || {
                let mut stream = stream;
                let Some((head, body)) = read_request(&mut stream) else { return };
                let id = head.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap().to_owned();
                if fails || loses_answer {
                    let mut failed = failed.lock().unwrap();
                    let times = failed.entry(id.clone()).or_default();
                    *times += 1;
                    if *times > MAX_FAILURES {
                        (fails, loses_answer) = (false, false);
                    }
                }
                if !fails {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    received.lock().unwrap().push((
                        body["type"].as_str().unwrap().to_owned(),
                        body["data"].clone(),
                        id,
                    ));
                }
                if !loses_answer {
                    let status = if fails { "503 Service Unavailable" } else { "204 No Content" };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    url
}

/// A server of files: `/SEED/SIZE`.
fn serve_remote() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let Some((head, _)) = read_request(&mut stream) else { return };
                let mut path =
                    head.split(' ').nth(1).unwrap().split('/').skip(1).map(|part| part.parse::<u64>().unwrap());
                let (seed, size) = (path.next().unwrap(), path.next().unwrap());
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes(seed, size as usize)));
            });
        }
    });
    url
}
