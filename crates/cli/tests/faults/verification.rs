//! After a restart of the machine: parts are verified in the background, and a session is usable as soon as its own
//! are done.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, fsck, indices};
use crate::server::{Server, bytes, free_address, fresh};

/// Sessions with one part of two each, received in what looks like another boot of the machine.
fn after_reboot(sessions: usize, failpoints: &str) -> (Server, Api, Vec<String>, tempfile::TempDir) {
    let (directory, data_dir) = fresh();
    let address = free_address();
    let mut server = Server::start(&data_dir, &["--listen", &address]);
    let api = Api::new(&server.url, &server.private_key());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ids = runtime.block_on(async {
        let mut ids = Vec::new();
        for number in 0..sessions {
            let body = json!({"file_name": number.to_string(), "size": 10 * 1024 * 1024 + 10, "format": "bin"});
            let started = api.start(&body, &number.to_string()).await;
            assert_eq!(api.put(started["parts"][1].as_str().unwrap(), &bytes(1, 10)).await.unwrap().0, 200);
            ids.push(started["session_id"].as_str().unwrap().to_owned());
        }
        ids
    });
    server.kill();
    reboot(&data_dir);
    let server = Server::start_with(&data_dir, &["--listen", &address], &[("PARTWAY_FAILPOINTS", failpoints)]);
    (server, api, ids, directory)
}

fn reboot(data_dir: &Path) {
    let database = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    database.execute("UPDATE sessions SET trusted_boot_id = 'another'", []).unwrap();
}

async fn verifying(api: &Api) -> usize {
    let (_, list) = api.once(Method::GET, "?status=uploading&limit=100", None).await.unwrap();
    let sessions: &Vec<Value> = list["sessions"].as_array().unwrap();
    sessions.iter().filter(|session| session["verifying"] == true).count()
}

#[test]
fn a_session_that_somebody_asks_for_is_verified_at_once_and_the_others_without_being_asked_for() {
    // Each takes a second.
    let (_server, api, ids, _directory) = after_reboot(8, "verify.before_commit=pause1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut ids = ids;
        ids.sort();
        // The last one in the order of the background.
        let state = api.status(ids.last().unwrap()).await;
        assert_eq!((indices(&state, "uploaded_parts"), indices(&state, "missing_parts")), (vec![1], vec![0]));
        assert!(verifying(&api).await > 0, "it had to wait for all of the others");
        let began = Instant::now();
        while verifying(&api).await > 0 {
            assert!(began.elapsed() < Duration::from_secs(120), "nobody verifies the others");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn a_request_for_a_session_that_verifies_for_long_is_answered_with_retry_after() {
    let (server, api, ids, _directory) = after_reboot(1, "verify.before_commit=pause16");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let asked = http.get(format!("{}/api/v1/multipart/{}", server.url, ids[0])).bearer_auth(api.key());
        let answer = asked.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"5".parse().unwrap()));
        assert_eq!(answer.json::<Value>().await.unwrap()["errorCode"], "SERVICE_UNAVAILABLE");
        // Meanwhile the server serves, and a repeated request gets the parts that were verified for the first one.
        assert_eq!(api.once(Method::GET, "", None).await.unwrap().0, 200);
        assert_eq!(indices(&api.status(&ids[0]).await, "uploaded_parts"), [1]);
    });
}

#[test]
fn a_session_that_is_given_up_while_it_waits_for_its_verification_leaves_no_blob() {
    let (mut server, api, ids, directory) = after_reboot(5, "verify.before_commit=pause2");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let states = runtime.block_on(async {
        // All are wanted at once; two can be verified, the others wait.
        let asking: Vec<_> = ids
            .iter()
            .map(|id| {
                let (api, path) = (api.clone(), format!("/{id}"));
                tokio::spawn(async move { api.until_answered(Method::GET, &path, None).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for id in &ids {
            assert_eq!(api.once(Method::DELETE, &format!("/{id}"), None).await.unwrap().0, 204);
        }
        // The cleaner deletes their blobs while they still wait.
        let mut states = Vec::new();
        for asked in asking {
            states.push(asked.await.unwrap().1["status"].clone());
        }
        states
    });
    assert_eq!(states, vec![json!("aborted"); 5]);
    assert_clean(&mut server, directory.path());
}

#[test]
fn a_session_that_is_looked_at_and_given_up_while_it_is_being_started_leaves_no_blob() {
    let (directory, data_dir) = fresh();
    for (step, attempt) in [("start.after_row", 0), ("start.after_row", 1), ("start.after_reserve", 2)] {
        let mut server = Server::start_with(&data_dir, &[], &[("PARTWAY_FAILPOINTS", &format!("{step}=pause1"))]);
        let key = if attempt == 0 {
            server.private_key()
        } else {
            std::fs::read_to_string(directory.path().join("key")).unwrap()
        };
        std::fs::write(directory.path().join("key"), &key).unwrap();
        let api = Api::new(&server.url, &key);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let starting = tokio::spawn({
                let (api, body) = (api.clone(), json!({"file_name": "f", "size": 5, "format": "bin"}));
                async move { api.start(&body, &format!("k{attempt}")).await }
            });
            let id = loop {
                let (_, list) = api.once(Method::GET, "?status=uploading", None).await.unwrap();
                if let Some(id) = list["sessions"][0]["session_id"].as_str() {
                    break id.to_owned();
                }
            };
            let path = format!("/{id}");
            let (looked, given_up) =
                tokio::join!(api.once(Method::GET, &path, None), api.once(Method::DELETE, &path, None));
            assert_eq!((looked.unwrap().0, given_up.unwrap().0), (200, 204));
            assert_eq!(starting.await.unwrap()["session_id"], id.as_str());
            assert_eq!(api.status(&id).await["status"], "aborted");
        });
        assert_clean(&mut server, directory.path());
    }
}

#[test]
fn parts_of_a_restored_snapshot_are_verified_although_the_machine_was_not_restarted() {
    let (directory, data_dir) = fresh();
    let address = free_address();
    let mut server = Server::start(&data_dir, &["--listen", &address]);
    let api = Api::new(&server.url, &server.private_key());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let body = json!({"file_name": "f", "size": 10 * 1024 * 1024 + 10, "format": "bin"});
        let started = api.start(&body, "k").await;
        for (url, chunk) in
            started["parts"].as_array().unwrap().iter().zip(bytes(1, 10 * 1024 * 1024 + 10).chunks(10 * 1024 * 1024))
        {
            assert_eq!(api.put(url.as_str().unwrap(), chunk).await.unwrap().0, 200);
        }
        started["session_id"].as_str().unwrap().to_owned()
    });
    // A restart keeps the trust: nothing is verified.
    server.kill();
    let mut server = Server::start(&data_dir, &["--listen", &address]);
    assert_eq!(runtime.block_on(api.status(&id))["uploaded_parts"], json!([0, 1]));
    assert!(!server.log().contains("verified the parts"), "{}", server.log());
    // A snapshot of the running server, in which bytes of a part are missing that were not synced.
    let snapshot = directory.path().join("snapshot");
    copy(&data_dir, &snapshot);
    damage_only_blob(&snapshot);
    server.signal("TERM");
    server.wait();
    // Put back into the same files, the lock left alone.
    std::fs::remove_file(snapshot.join("lock")).unwrap();
    copy(&snapshot, &data_dir);
    let mut server = Server::start(&data_dir, &["--listen", &address]);
    let state = runtime.block_on(api.status(&id));
    assert_eq!((&state["uploaded_parts"], &state["missing_parts"]), (&json!([1]), &json!([0])));
    server.kill();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let from = format!("{}/.", from.display());
    crate::server::run(std::process::Command::new("cp").args(["-a", &from]).arg(to));
}

fn damage_only_blob(data_dir: &Path) {
    use std::os::unix::fs::FileExt;
    let shards = std::fs::read_dir(data_dir.join("blobs")).unwrap();
    let mut blobs = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let blob = std::fs::OpenOptions::new().write(true).open(blobs.next().unwrap().unwrap().path()).unwrap();
    blob.write_all_at(&[0; 4096], 4_000_000).unwrap();
}

/// After a restart, which cleans, nothing is left.
fn assert_clean(server: &mut Server, directory: &Path) {
    let data_dir = directory.join("data");
    server.kill();
    let _server = Server::start(&data_dir, &[]);
    for _ in 0..1000 {
        let (code, report) = fsck(&data_dir, &[]);
        assert_eq!(code, 0, "{report}");
        if report["blobs"] == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("blobs are left");
}

#[test]
fn a_start_that_is_repeated_after_the_process_died_has_its_room_before_it_is_answered() {
    let (_directory, data_dir) = fresh();
    let address = free_address();
    let mut server =
        Server::start_with(&data_dir, &["--listen", &address], &[("PARTWAY_FAILPOINTS", "start.after_row=kill")]);
    let api = Api::new(&server.url, &server.private_key());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let body = json!({"file_name": "f", "size": 3_000_000, "format": "bin"});
    let blobs = || {
        let shards = std::fs::read_dir(data_dir.join("blobs")).unwrap();
        let blobs = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).collect::<Vec<_>>()
    };
    runtime.block_on(async {
        let starting = tokio::spawn({
            let (api, body) = (api.clone(), body.clone());
            async move { api.start(&body, "k").await }
        });
        server.wait();
        assert!(blobs().is_empty());
        let _server = Server::start(&data_dir, &["--listen", &address]);
        starting.await.unwrap();
        assert_eq!(blobs(), [3_000_000_u64]);
    });
}
