//! A panic in a job of the server is logged, and costs nothing but the turn in which it happened.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use partway_testing::proxied::{self, Request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::server::{Server, fresh, partway, run, text};

const PATIENCE: Duration = Duration::from_secs(90);
/// Every job panics in its first turn, and over the first thing of which it has several.
const PANICS: [(&str, &str); 8] = [
    ("job.cleaner", "1-2"),
    ("job.expire", "1"),
    ("job.revoker", "1"),
    ("job.secrets", "1"),
    ("job.verifier", "1"),
    ("job.verify", "1"),
    ("job.webhooks", "1"),
    ("job.webhook", "1"),
];

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_goes_on_when_a_turn_of_it_panicked() {
    let (_directory, data_dir) = fresh();
    let mut server = Server::start(&data_dir, &[]);
    let private_key = server.private_key();
    let before = Api::new(&server.url, &private_key);
    let body = |name: &str| json!({"file_name": name, "size": 10, "format": "bin"});
    for name in ["verified-1", "verified-2"] {
        let started = before.start(&body(name), name).await;
        assert_eq!(before.put(started["parts"][0].as_str().unwrap(), b"0123456789").await.unwrap().0, 200);
    }
    server.kill();
    let database = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    // As after another boot of the machine.
    database.execute("UPDATE sessions SET trusted_boot_id = 'another'", []).unwrap();

    let failpoints = PANICS.map(|(job, hits)| format!("{job}=panic@{hits}")).join(";") + ";owner.beat=panic@1";
    let environment = [
        ("PARTWAY_FAILPOINTS", failpoints.as_str()),
        ("PARTWAY_STORAGE_SWEEP_SECONDS", "1"),
        ("PARTWAY_OUTGOING_ALLOWED_HOSTS", "127.0.0.1"),
        ("PARTWAY_WEBHOOKS_FIRST_PAUSE_SECONDS", "1"),
    ];
    let server = Server::start_with(&data_dir, &[], &environment);
    let api = Api::new(&server.url, &private_key);
    let command = |arguments: &[&str]| text(&run(partway().args(arguments).arg("--data-dir").arg(&data_dir)).stdout);
    let count = |condition: &str| -> i64 {
        let query = format!("SELECT count(*) FROM sessions WHERE {condition}");
        database.query_row(&query, [], |row| row.get(0)).unwrap()
    };

    // The verifier: one of two sessions, and the other one as soon as somebody asks for it.
    until("one session is verified", async || count("trusted_boot_id <> 'another'") == 1).await;
    let (_, list) = api.until_answered(Method::GET, "?status=uploading", None).await;
    for session in list["sessions"].as_array().unwrap() {
        assert_eq!(api.status(session["session_id"].as_str().unwrap()).await["uploaded_parts"], json!([0]));
    }

    // The cleaner: two are overdue at once.
    for name in ["overdue-1", "overdue-2"] {
        api.start(&body(name), name).await;
    }
    database.execute("UPDATE sessions SET expires_at = 1 WHERE file_name LIKE 'overdue%'", []).unwrap();
    until("both have expired", async || count("status = 'expired'") == 2).await;

    // Secrets: signed with the one before, a URL is refused.
    let started = api.start(&body("signed"), "signed").await;
    command(&["secrets", "rotate", "part-urls", "--grace", "0"]);
    let put = async || api.put(started["parts"][0].as_str().unwrap(), b"0123456789").await.unwrap().0;
    until("the old URL is refused", async || put().await == 403).await;

    // Webhooks.
    let delivered = Arc::<AtomicUsize>::default();
    let receiver = proxied::serve({
        let delivered = Arc::clone(&delivered);
        move |mut client| {
            if Request::read(&mut client)?.is_some() {
                delivered.fetch_add(1, Ordering::SeqCst);
            }
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
    });
    run(partway().args(["webhooks", "add", &receiver, "--data-dir"]).arg(&data_dir).envs(environment));
    let (status, answer) = api.upload_directly("delivered", b"of".to_vec(), true).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    until("the webhook is delivered", async || delivered.load(Ordering::SeqCst) > 0).await;

    // Revoked keys.
    let made: Value = serde_json::from_str(&command(&["keys", "create", "--kind", "public", "--json"])).unwrap();
    Api::new(&server.url, made["key"].as_str().unwrap()).start(&body("revoked"), "revoked").await;
    command(&["keys", "revoke", made["id"].as_str().unwrap()]);
    until("the upload of the revoked key has ended", async || count("status = 'aborted'") == 1).await;

    let log = server.log();
    for (job, _) in PANICS {
        let said = |line: &str| line.contains("a job panicked") && line.contains(job);
        assert!(log.lines().any(said), "{job} did not panic: {log}");
    }
    // The heartbeat by which the data directory has an owner.
    assert!(log.contains("the heartbeat panicked"), "{log}");
    let beat = || std::fs::read(data_dir.join("owner")).unwrap();
    let before = beat();
    until("the next heartbeat", async || beat() != before).await;
    // It answers 200.
    api.fetch(&format!("{}/readyz", server.url)).await;
}
