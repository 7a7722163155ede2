//! PostgreSQL and the store go away, fail, lie about what they did; nodes are killed at every step. In the end every
//! acknowledged file has its bytes, and nothing without an owner is left in the bucket or the database.

use std::time::{Duration, Instant};

use partway_testing::{Garage, Manners, OddStore, Postgres};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::server::{bytes, free_address, free_addresses, fresh};
use crate::settings::Settings;
use crate::store_proxy::{Plan, StoreFault, StoreProxy};

const PART: usize = 10 * 1024 * 1024;

fn start_body(name: &str, size: usize) -> Value {
    json!({"file_name": name, "size": size, "format": "bin"})
}

/// Uploads a file across restarts of the server: starts it once, sends missing parts, completes.
async fn upload(api: &Api, name: &str, data: &[u8]) -> Value {
    let started = api.start(&start_body(name, data.len()), name).await;
    let id = started["session_id"].as_str().unwrap().to_owned();
    for _ in 0..20 {
        let (status, signed) = api.until_answered(Method::POST, &format!("/{id}/parts"), Some(&json!({}))).await;
        if status == 200 {
            for part in signed["parts"].as_array().unwrap() {
                let index = part["index"].as_u64().unwrap() as usize;
                // One that fails is missing, and sent again.
                let _ = api.put(part["url"].as_str().unwrap(), data.chunks(PART).nth(index).unwrap()).await;
            }
        }
        let (status, answer) = api.complete(&id).await;
        match (status, answer["errorCode"].as_str()) {
            (201, _) => return answer,
            (400, Some("PARTS_MISSING")) => {}
            other => panic!("{other:?}: {answer}"),
        }
    }
    panic!("{name} was not completed in 20 rounds");
}

/// The file of a record, whichever process serves it now, is `data`.
async fn assert_served(api: &Api, record: &Value, data: &[u8]) {
    let served = api.fetch(record["url"].as_str().unwrap()).await;
    assert!(served == data, "{}: {} bytes instead of {}", record["name"], served.len(), data.len());
}

const BEFORE_AND_AFTER: [StoreFault; 5] = [
    StoreFault::RefuseBefore,
    StoreFault::CutBefore,
    StoreFault::RefuseAfter,
    StoreFault::CutAfter,
    StoreFault::CutInside,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_before_or_after_it_did_the_work_loses_and_leaves_nothing() {
    let garage = Garage::start(1);
    let bucket = garage.create_bucket();
    let proxy = StoreProxy::start(garage.endpoint(0).trim_start_matches("http://"));
    let (_directory, data_dir) = fresh();
    let settings = Settings::bucket(&garage, &bucket, &proxy.url);
    let address = free_address();
    let server = settings.start(&data_dir, &address);
    let api = Api::new(&server.url, &server.private_key());
    // Create, list parts, complete, look at the object; and what the cleaner does.
    let calls: [(&'static [&'static str], &'static str); 6] = [
        (&["POST ", "uploads="], ""),
        (&["GET ", "part-number-marker="], ""),
        (&["POST ", "uploadId="], ""),
        (&["HEAD "], ""),
        (&["DELETE ", "uploadId="], ""),
        (&["DELETE "], "uploadId="),
    ];
    let mut number = 0;
    for (calls, not) in calls {
        let mut faults = BEFORE_AND_AFTER.to_vec();
        if calls == ["POST ", "uploadId="] {
            faults.push(StoreFault::ErrorUnder200);
        }
        for fault in faults {
            // Within what the server tries by itself, and beyond: then its client comes again.
            for times in [1, 6] {
                number += 1;
                proxy.plan(Plan { calls, not, fault, times });
                let data = bytes(number, 2000);
                let name = format!("{}", number % 3);
                let key = format!("{name}-{number}");
                let started = api.start(&start_body(&name, data.len()), &key).await;
                let id = started["session_id"].as_str().unwrap().to_owned();
                let aborted = api.start(&start_body("aborted", 100), &format!("a{number}")).await;
                let path = format!("/{}", aborted["session_id"].as_str().unwrap());
                assert_eq!(api.until_answered(Method::DELETE, &path, None).await.0, 204);
                let record = loop {
                    let (_, signed) = api.until_answered(Method::POST, &format!("/{id}/parts"), Some(&json!({}))).await;
                    for part in signed["parts"].as_array().into_iter().flatten() {
                        assert_eq!(api.put(part["url"].as_str().unwrap(), &data).await.unwrap().0, 200);
                    }
                    let (status, answer) = api.complete(&id).await;
                    if status == 201 {
                        break answer;
                    }
                    assert_eq!(answer["errorCode"], "PARTS_MISSING", "{calls:?} {fault:?}: {answer}");
                };
                // The cleaner comes every second or two.
                let began = Instant::now();
                while proxy.failed() == 0 && calls[0] == "DELETE " && began.elapsed() < Duration::from_secs(20) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                assert!(proxy.heal() > 0, "{calls:?} {fault:?}: no such call was made");
                assert_served(&api, &record, &data).await;
            }
        }
    }
    settings.assert_nothing_left(&data_dir, &garage, &bucket, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_one_node_that_is_killed_costs_503_and_nothing_else() {
    let garage = Garage::start(1);
    let bucket = garage.create_bucket();
    let (_directory, data_dir) = fresh();
    let settings = Settings::bucket(&garage, &bucket, &garage.endpoint(0));
    let server = settings.start(&data_dir, "127.0.0.1:0");
    let api = Api::new(&server.url, &server.private_key());
    let data = bytes(1, PART + 1000);
    let open = api.start(&start_body("open", data.len()), "open").await;
    let id = open["session_id"].as_str().unwrap();
    assert_eq!(api.put(open["parts"][0].as_str().unwrap(), &data[..PART]).await.unwrap().0, 200);
    garage.kill(0);
    for (method, path, body) in [
        (Method::POST, "/start".to_owned(), Some(start_body("new", 10))),
        (Method::GET, format!("/{id}"), None),
        (Method::POST, "/complete".to_owned(), Some(json!({"session_id": id}))),
    ] {
        let (status, answer) = api.once(method, &path, body.as_ref()).await.unwrap();
        assert_eq!((status, &answer["errorCode"]), (503, &json!("SERVICE_UNAVAILABLE")), "{path}");
    }
    garage.start_node(0);
    assert_eq!(api.status(id).await["uploaded_parts"], json!([0]));
    assert_eq!(api.put(open["parts"][1].as_str().unwrap(), &data[PART..]).await.unwrap().0, 200);
    let (status, record) = api.complete(id).await;
    assert_eq!(status, 201, "{record}");
    assert_served(&api, &record, &data).await;
    settings.assert_nothing_left(&data_dir, &garage, &bucket, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_on_when_one_of_three_nodes_of_the_store_is_killed() {
    let garage = Garage::start(3);
    let bucket = garage.create_bucket();
    let (_directory, data_dir) = fresh();
    let settings = Settings::bucket(&garage, &bucket, &garage.endpoint(0));
    let server = settings.start(&data_dir, "127.0.0.1:0");
    let api = Api::new(&server.url, &server.private_key());
    let mut stored = Vec::new();
    for round in 0..12_u64 {
        match round {
            3 => garage.kill(2),
            7 => garage.start_node(2),
            8 => garage.kill(1),
            _ => {}
        }
        let data = bytes(round, 300_000);
        let record = upload(&api, &format!("file-{round}"), &data).await;
        stored.push((record, data));
    }
    for (record, data) in &stored {
        assert_served(&api, record, data).await;
    }
    garage.start_node(1);
    settings.assert_nothing_left(&data_dir, &garage, &bucket, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_postgresql_under_load_costs_503_for_its_duration_and_nothing_else() {
    let (garage, postgres) = (Garage::start(1), Postgres::start_durable());
    let bucket = garage.create_bucket();
    let (_directory, data_dir) = fresh();
    let url = postgres.create_database();
    let settings = Settings::bucket(&garage, &bucket, &garage.endpoint(0)).and("PARTWAY_DATABASE_URL", &url);
    let server = settings.start(&data_dir, "127.0.0.1:0");
    let api = Api::new(&server.url, &server.private_key());
    let stop = tokio_util::sync::CancellationToken::new();
    let clients: Vec<_> = (0..6_u64)
        .map(|client| {
            let (api, stop) = (api.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut statuses, mut stored) = (Vec::new(), Vec::new());
                for round in 0.. {
                    if stop.is_cancelled() {
                        break;
                    }
                    let (name, data) = (format!("{client}-{round}"), bytes(client * 10_000 + round, 500));
                    let body = start_body(&name, data.len());
                    let (status, started) = noted(&api, &mut statuses, "/start", &body).await;
                    if status != 201 {
                        continue;
                    }
                    assert_eq!(api.put(started["parts"][0].as_str().unwrap(), &data).await.unwrap().0, 200);
                    loop {
                        let body = json!({"session_id": started["session_id"]});
                        let (status, record) = noted(&api, &mut statuses, "/complete", &body).await;
                        if status == 201 {
                            stored.push((record, data));
                            break;
                        }
                    }
                }
                (statuses, stored)
            })
        })
        .collect();
    let pause = |milliseconds| tokio::time::sleep(Duration::from_millis(milliseconds));
    pause(1500).await;
    let mut away = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        postgres.stop();
        pause(2000).await;
        postgres.start_again();
        away.push((began, Instant::now()));
        pause(3000).await;
    }
    stop.cancel();
    let (mut refused, mut files) = (0, 0);
    for client in clients {
        let (statuses, stored) = client.await.unwrap();
        for (asked, answered, status) in statuses {
            if status == 201 {
                continue;
            }
            assert_eq!(status, 503);
            refused += 1;
            // A second for connections that were found broken only afterwards.
            let is_excused =
                away.iter().any(|(from, until)| asked < *until + Duration::from_secs(1) && answered >= *from);
            assert!(is_excused, "503 although PostgreSQL was there");
        }
        for (record, data) in &stored {
            assert_served(&api, record, data).await;
            files += 1;
        }
    }
    assert!(refused > 0 && files > 50, "{refused} refused, {files} files");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// One request and its status; when it was asked and answered is noted. 503 says when to come again.
async fn noted(api: &Api, statuses: &mut Vec<(Instant, Instant, u16)>, path: &str, body: &Value) -> (u16, Value) {
    let asked = Instant::now();
    let (status, retry_after, answer) = api.with_retry_after(path, body).await;
    assert!(status != 503 || retry_after.is_some(), "a 503 without Retry-After");
    statuses.push((asked, Instant::now(), status));
    if status == 503 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (status, answer)
}

/// Where a node ends itself.
const STEPS: [&str; 13] = [
    "start.after_row",
    "start.after_reserve",
    "start.after_upload",
    "complete.before_store",
    "complete.after_store",
    "complete.before_commit",
    "complete.after_commit",
    "end.before_commit",
    "end.after_commit",
    "cleaner.after_expire",
    "cleaner.before_delete",
    "cleaner.after_delete",
    "cleaner.after_forget",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_at_any_step_loses_nothing_and_leaves_nothing() {
    let (garage, postgres) = (Garage::start(1), Postgres::start());
    let bucket = garage.create_bucket();
    let (_directory, data_dir) = fresh();
    let url = postgres.create_database();
    let settings = Settings::bucket(&garage, &bucket, &garage.endpoint(0)).and("PARTWAY_DATABASE_URL", &url);
    let [first_address, second_address] = free_addresses();
    let first = settings.start(&data_dir, &first_address);
    let key = first.private_key();
    drop(first);
    let survivor = settings.start(&data_dir.with_extension("second"), &second_address);
    let api = Api::new(&survivor.url, &key);
    let mut kept: Option<(Value, Vec<u8>)> = None;
    for (number, step) in (1..).zip(STEPS) {
        // The node with the lease does the cleaner's work; the other one is stopped meanwhile.
        survivor.signal("STOP");
        let mut database = connect(&url);
        execute(&mut database, "UPDATE leases SET expires_at = 1");
        let armed = settings.clone().and("PARTWAY_FAILPOINTS", &format!("{step}=kill@1"));
        let mut dying = armed.start(&data_dir, &first_address);
        let at_dying = Api::new(&dying.url, &key);
        let data = bytes(number, 3000);
        // Work that comes by every step: a file that replaces the last one, one that is given up, one that expires.
        let replaced = start_body("kept", data.len());
        let work = async {
            let started = at_dying.named_once(&replaced, &format!("k{number}")).await?;
            let id = started["session_id"].as_str()?.to_owned();
            at_dying.put(started["parts"][0].as_str()?, &data).await.ok()?;
            at_dying.once(Method::POST, "/complete", Some(&json!({"session_id": id}))).await.ok()?;
            let given_up = at_dying.named_once(&start_body("given up", 10), &format!("g{number}")).await?;
            at_dying.once(Method::DELETE, &format!("/{}", given_up["session_id"].as_str()?), None).await.ok()?;
            let overdue = at_dying.named_once(&start_body("overdue", 10), &format!("o{number}")).await?;
            Some(overdue["session_id"].as_str()?.to_owned())
        };
        if let Some(overdue) = work.await {
            execute(&mut database, &format!("UPDATE sessions SET expires_at = 1 WHERE id = '{overdue}'"));
        }
        let began = Instant::now();
        while !dying.has_ended() {
            assert!(began.elapsed() < Duration::from_secs(60), "{step} was not reached");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        survivor.signal("CONT");
        // Claims of the dead node run out in 30 seconds; the test need not wait for each.
        if number > 5 {
            execute(&mut database, "UPDATE sessions SET claimed_until = 0");
        }
        execute(&mut database, "UPDATE leases SET expires_at = 1");
        // Its client goes on at the other node.
        let started = api.start(&replaced, &format!("k{number}")).await;
        let id = started["session_id"].as_str().unwrap();
        let record = loop {
            let (_, signed) = api.until_answered(Method::POST, &format!("/{id}/parts"), Some(&json!({}))).await;
            for part in signed["parts"].as_array().into_iter().flatten() {
                assert_eq!(api.put(part["url"].as_str().unwrap(), &data).await.unwrap().0, 200);
            }
            let (status, answer) = api.complete(id).await;
            if status == 201 {
                break answer;
            }
            assert_eq!(answer["errorCode"], "PARTS_MISSING", "{step}: {answer}");
        };
        assert_served(&api, &record, &data).await;
        kept = Some((record, data));
    }
    let mut database = connect(&url);
    execute(&mut database, "UPDATE sessions SET expires_at = 1, claimed_until = 0 WHERE status = 'uploading'");
    // A node that was killed while it tried what the store keeps of hashes leaves the object of that trial: it is deleted after 15 minutes.
    execute(&mut database, "UPDATE garbage SET not_before = 1 WHERE reason = 'unfinished'");
    settings.assert_nothing_left(&data_dir, &garage, &bucket, 0);
    let (record, data) = kept.unwrap();
    assert_served(&api, &record, &data).await;
    assert_eq!(count(&mut database, "SELECT count(*) FROM files"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_that_was_killed_after_the_store_answered_goes_on_on_every_kind_of_store() {
    let (garage, postgres) = (Garage::start(1), Postgres::start());
    let stores = [
        Manners { says_no_such_key: true, ..Manners::default() },
        Manners { completed_is_open_and_empty: true, lists_completed: true, ..Manners::default() },
        Manners { completed_keeps_parts: true, lists_completed: true, completes_once: true, ..Manners::default() },
        Manners { completes_once: true, ..Manners::default() },
    ];
    for manners in stores {
        let odd = OddStore::start(&garage.endpoint(0), manners);
        let bucket = garage.create_bucket();
        let (_directory, data_dir) = fresh();
        let url = postgres.create_database();
        let settings = Settings::bucket(&garage, &bucket, &odd.url).and("PARTWAY_DATABASE_URL", &url);
        let address = free_address();
        let key = settings.start(&data_dir, &address).private_key();
        for (number, step) in (1..).zip(["complete.after_store", "complete.before_commit"]) {
            let mut dying =
                settings.clone().and("PARTWAY_FAILPOINTS", &format!("{step}=kill@1")).start(&data_dir, &address);
            let api = Api::new(&dying.url, &key);
            let data = bytes(number, PART + 3000);
            let started = api.start(&start_body(step, data.len()), step).await;
            let id = started["session_id"].as_str().unwrap();
            for (url, part) in started["parts"].as_array().unwrap().iter().zip(data.chunks(PART)) {
                assert_eq!(api.put(url.as_str().unwrap(), part).await.unwrap().0, 200);
            }
            let cut_off = api.once(Method::POST, "/complete", Some(&json!({"session_id": id}))).await;
            assert!(cut_off.is_err(), "{manners:?}, {step}: {cut_off:?}");
            assert_eq!(dying.wait().code(), None, "it was not killed");

            let _server = settings.start(&data_dir, &address);
            let mut database = connect(&url);
            // The dead one's claim runs out in 30 seconds, and its lease; the test need not wait for them.
            execute(&mut database, "UPDATE sessions SET claimed_until = 0; UPDATE leases SET expires_at = 1");
            assert_eq!(api.status(id).await["missing_parts"], json!([]), "{manners:?}, {step}");
            let (status, record) = api.complete(id).await;
            assert_eq!(status, 201, "{manners:?}, {step}: {record}");
            assert_served(&api, &record, &data).await;
            // A sweep that lists uploads again has judged all that it listed before.
            let (before, began) = (odd.listings(), Instant::now());
            while odd.listings() < before + 3 {
                assert!(began.elapsed() < Duration::from_secs(60), "nothing is swept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let upload_id = text(&mut database, &format!("SELECT store_upload_id FROM sessions WHERE id = '{id}'"));
            assert!(!odd.given_up().contains(&upload_id), "{manners:?}, {step}: the upload was given up");
            assert_served(&api, &record, &data).await;
        }
        assert_eq!(count(&mut connect(&url), "SELECT count(*) FROM files"), 2);
        assert_eq!(count(&mut connect(&url), "SELECT count(*) FROM sessions WHERE status <> 'completed'"), 0);
    }
}

/// A connection that may be used inside a runtime.
struct Database(Option<postgres::Client>);

fn connect(url: &str) -> Database {
    let url = url.to_owned();
    Database(Some(
        std::thread::spawn(move || postgres::Client::connect(&url, postgres::NoTls).unwrap()).join().unwrap(),
    ))
}

impl Database {
    fn with<T: Send>(&mut self, work: impl FnOnce(&mut postgres::Client) -> T + Send) -> T {
        let client = self.0.as_mut().unwrap();
        std::thread::scope(|scope| scope.spawn(|| work(client)).join().unwrap())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let client = self.0.take();
        let _ = std::thread::spawn(move || drop(client)).join();
    }
}

fn execute(database: &mut Database, statement: &str) {
    database.with(|client| client.batch_execute(statement).unwrap());
}

fn count(database: &mut Database, query: &str) -> i64 {
    database.with(|client| client.query_one(query, &[]).unwrap().get(0))
}

fn text(database: &mut Database, query: &str) -> String {
    database.with(|client| client.query_one(query, &[]).unwrap().get(0))
}
