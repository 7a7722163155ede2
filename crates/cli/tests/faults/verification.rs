//! After the machine was started anew: parts are verified in the background, and a session is usable as soon as its own
//! are done.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, indices};
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
    let server = Server::start_with(&data_dir, &["--listen", &address], &[("FAILPOINTS", failpoints)]);
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
            assert!(began.elapsed() < Duration::from_secs(30), "nobody verifies the others");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn who_asks_for_a_session_that_takes_long_is_told_to_come_again() {
    let (server, api, ids, _directory) = after_reboot(1, "verify.before_commit=pause12");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let asked = http.get(format!("{}/api/v1/multipart/{}", server.url, ids[0])).bearer_auth(server.private_key());
        let answer = asked.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"5".parse().unwrap()));
        assert_eq!(answer.json::<Value>().await.unwrap()["errorCode"], "SERVICE_UNAVAILABLE");
        // Meanwhile the server serves, and whoever comes again gets what was verified for the first one.
        assert_eq!(api.once(Method::GET, "", None).await.unwrap().0, 200);
        assert_eq!(indices(&api.status(&ids[0]).await, "uploaded_parts"), [1]);
    });
}
