//! Peculiarities of storage in a bucket, against a real Garage: parts never pass the server, and what the store has
//! is asked of the store.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use partway_server::model::S3Delivery;
use partway_server::storage::{BlobStore, S3Store};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{MIB, TestApp, assert_error, bytes};
use crate::services::{Services, endpoint};
use crate::storage::headers;

const S3: Services = Services { postgres: false, s3: true };

async fn start() -> TestApp {
    TestApp::start_on(Services { s3: true, ..Services::of_this_run() }, |_| {}).await
}

fn store(app: &TestApp) -> &S3Store {
    app.app().stores.s3().unwrap()
}

fn blob_id(app: &TestApp, session: &crate::app::Session) -> Uuid {
    app.text(&format!("SELECT blob_id FROM sessions WHERE id = '{}'", session.id())).parse().unwrap()
}

fn upload_id(app: &TestApp, session: &crate::app::Session) -> String {
    app.text(&format!("SELECT store_upload_id FROM sessions WHERE id = '{}'", session.id()))
}

#[tokio::test]
async fn a_file_is_served_by_a_redirect_to_the_store() {
    let app = TestApp::start_on(S3, |config| {
        config.storage.delivery = S3Delivery::Redirect;
        config.storage.url_seconds = std::time::Duration::from_secs(60);
    })
    .await;
    let data = bytes(1, 100_000);
    let record = app.upload_whole(&data, json!({"file_name": "ü.mp4", "format": "video/mp4"})).await;
    let url = app.url_of(&record);
    let client = reqwest::Client::builder().tls_certs_only([]).redirect(Policy::none()).build().unwrap();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["cache-control"]),
        (StatusCode::FOUND, &"no-store".parse().unwrap())
    );
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(app.app().config.storage.endpoint.as_ref().unwrap().as_str()), "{location}");
    // The client follows it, with its range.
    let part = app.http.get(&url).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.headers()["content-type"].to_str().unwrap()), (206, "video/mp4"));
    assert_eq!(part.headers()["content-disposition"], "inline; filename*=UTF-8''%C3%BC.mp4");
    let tag = part.headers()["etag"].clone();
    assert!(part.bytes().await.unwrap() == data[10..20]);
    let whole = app.get(&url).await;
    assert!(whole.bytes().await.unwrap() == data);
    // HEAD is answered from the records, with the same tag.
    let head = client.head(&url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["etag"]), (200, &tag));
    assert_eq!(head.headers()["content-length"], "100000");
    // Active content cannot be sandboxed there, so it is not displayed.
    for format in ["text/html", "image/svg+xml", "application/x-unheard-of"] {
        let record = app.upload_whole(b"<script>alert(1)</script>", json!({"format": format})).await;
        let served = app.get(&app.url_of(&record)).await;
        assert!(served.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"), "{format}");
    }
}

#[tokio::test]
async fn a_part_that_was_sent_again_and_broke_off_is_named_and_sent_once_more() {
    let app = start().await;
    let data = bytes(2, 35 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_all(&app, &data).await;
    // The store lists the part as it was, and will not take it.
    for index in [1, 3] {
        let url = reqwest::Url::parse(session.part_url(index)).unwrap();
        let part = session.part(&data, index).to_vec();
        let address = url.socket_addrs(|| None).unwrap()[0];
        let path = format!("{}?{}", url.path(), url.query().unwrap());
        tokio::task::spawn_blocking(move || {
            let mut broken = TcpStream::connect(address).unwrap();
            write!(broken, "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", part.len()).unwrap();
            broken.write_all(&part[..part.len() / 2]).unwrap();
        })
        .await
        .unwrap();
    }
    let mut sent_again = Vec::new();
    let record: Value = loop {
        let answer = session.complete(&app).await;
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        if status == 201 {
            break answer;
        }
        assert_eq!(answer["errorCode"], "PARTS_MISSING", "{answer}");
        for index in answer["missing_parts"].as_array().unwrap() {
            sent_again.push(index.as_u64().unwrap());
            session.put_part(&app, &data, index.as_u64().unwrap() as usize).await;
        }
        assert!(sent_again.len() <= 4, "{sent_again:?}");
    };
    app.assert_bytes(&record, &data).await;
    sent_again.sort_unstable();
    sent_again.dedup();
    assert!(sent_again.iter().all(|index| [1, 3].contains(index)), "{sent_again:?}");
}

#[tokio::test]
async fn a_part_of_another_size_is_missing() {
    let app = start().await;
    let data = bytes(3, 12 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 0).await;
    let url = store(&app).presign_parts(blob_id(&app, &session), &upload_id(&app, &session), &[(1, 100)], 600).unwrap();
    assert_eq!(app.put(&url[0], &data[..100]).await.status(), 200);
    assert_eq!(session.status(&app).await["missing_parts"], json!([1]));
    let error = assert_error(session.complete(&app).await, 400, "PARTS_MISSING", &[]).await;
    assert_eq!(error["missing_parts"], json!([1]));
    session.put_part(&app, &data, 1).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn completing_goes_on_when_the_store_had_made_the_object_and_nobody_heard() {
    let app = start().await;
    let data = bytes(4, 12 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_all(&app, &data).await;
    let (blob, upload) = (blob_id(&app, &session), upload_id(&app, &session));
    let parts = store(&app).list_parts(blob, &upload).await.unwrap().unwrap();
    assert!(store(&app).complete_upload(blob, &upload, &parts).await.unwrap());
    assert_eq!(session.status(&app).await["missing_parts"], json!([]));
    // There is nothing left to sign.
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    assert_eq!(resigned["parts"], json!([]));
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn an_upload_that_somebody_gave_up_at_the_store_starts_over_with_new_urls() {
    let app = start().await;
    let data = bytes(5, 12 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 0).await;
    store(&app).abort_upload(blob_id(&app, &session), &upload_id(&app, &session)).await.unwrap();
    assert_eq!(session.status(&app).await["missing_parts"], json!([0, 1]));
    let error = assert_error(session.complete(&app).await, 400, "PARTS_MISSING", &[]).await;
    assert_eq!(error["missing_parts"], json!([0, 1]));
    // One byte: the store refuses before it has read more, which a client may see as a connection that breaks.
    let url = store(&app).presign_parts(blob_id(&app, &session), &upload_id(&app, &session), &[(1, 1)], 600).unwrap();
    assert_eq!(app.put(&url[0], b"x").await.status(), 404);
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    for part in resigned["parts"].as_array().unwrap() {
        let index = part["index"].as_u64().unwrap() as usize;
        assert_eq!(app.put(part["url"].as_str().unwrap(), session.part(&data, index)).await.status(), 200);
    }
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn only_uploads_that_the_records_know_as_dead_are_swept() {
    let app = start().await;
    let session = app.upload(3, json!({})).await;
    let aborted = app.upload(3, json!({"file_name": "b"})).await;
    let (used, gone) = (blob_id(&app, &session), blob_id(&app, &aborted));
    assert_eq!(aborted.abort(&app).await.status(), 204);
    app.until("it is gone", |app| app.count("garbage") == 0).await;
    // Calls whose answers were lost; and somebody else's upload under the same prefix.
    let second = store(&app).create_upload(used, &headers()).await.unwrap();
    store(&app).create_upload(gone, &headers()).await.unwrap();
    let theirs = (Uuid::now_v7(), ());
    let foreign = store(&app).create_upload(theirs.0, &headers()).await.unwrap();
    for _ in 0..2 {
        app.app().uploads.sweep().await.unwrap();
    }
    let mut left: Vec<_> =
        store(&app).list_uploads(None).await.unwrap().into_iter().map(|upload| upload.upload_id).collect();
    let mut expected = vec![upload_id(&app, &session), foreign.clone()];
    left.sort();
    expected.sort();
    assert_eq!(left, expected, "{second} should be gone");
    store(&app).abort_upload(theirs.0, &foreign).await.unwrap();
    session.put_all(&app, b"abc").await;
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_hash_that_cannot_be_compared_is_refused_and_a_checksum_of_the_stores_kind_is_taken() {
    let app = start().await;
    let blake3 = format!("blake3:{}", blake3::hash(b"abc"));
    let body = json!({"file_name": "f", "size": 3, "format": "bin", "hash": blake3});
    let refused = app.post("/api/v1/multipart/start", &body).await;
    assert_error(refused, 400, "INVALID_PARAMETER", &["`hash`", "blake3:", "crc64nvme:"]).await;
    // Garage keeps no checksum that nobody sent: there is nothing to compare with, and the client hears it at once.
    let body = json!({"file_name": "f", "size": 3, "format": "bin", "hash": "crc64nvme:AAAAAAAAAAA="});
    let refused = app.post("/api/v1/multipart/start", &body).await;
    assert_error(refused, 400, "INVALID_PARAMETER", &["`hash`", "crc64nvme:AAAAAAAAAAA=", "allowed here: none"]).await;
    let session = app.upload(3, json!({})).await;
    assert_eq!(session.start["hash_algorithm"], "none");
    session.put_all(&app, b"abc").await;
    assert_eq!(session.status(&app).await["hash_algorithm"], "none");
    for (hash, named) in [(blake3.as_str(), "crc64nvme:"), ("crc64nvme:AAAAAAAAAAA=", "allowed here: none")] {
        let complete = json!({"session_id": session.id(), "hash": hash});
        let refused = app.post("/api/v1/multipart/complete", &complete).await;
        assert_error(refused, 400, "INVALID_PARAMETER", &["`hash`", named]).await;
    }
    let record: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(record["hash"], Value::Null);
    // Neither is one that is named when completing is repeated.
    let complete = json!({"session_id": session.id(), "hash": "crc64nvme:AAAAAAAAAAA="});
    assert_eq!(app.post("/api/v1/multipart/complete", &complete).await.status(), 400);
    assert_eq!(app.count("garbage"), 0, "the trial left something");
}

#[tokio::test]
async fn a_parts_url_is_good_for_exactly_its_length() {
    let app = start().await;
    let session = app.upload(3, json!({})).await;
    for wrong in [&b"abcd"[..], b"ab", b""] {
        let refused = app.put(session.part_url(0), wrong).await;
        assert!([400, 403].contains(&refused.status().as_u16()), "{}: {:?}", wrong.len(), refused.text().await);
    }
    assert_eq!(session.status(&app).await["missing_parts"], json!([0]));
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    assert_eq!(app.put(resigned["parts"][0]["url"].as_str().unwrap(), b"abcd").await.status(), 403);
    session.put_all(&app, b"abc").await;
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn dimensions_are_read_from_the_bucket() {
    let app = start().await;
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"></svg>"#;
    let record = app.upload_whole(svg, json!({"file_name": "a.svg", "format": "image/svg+xml"})).await;
    assert_eq!((&record["width"], &record["height"]), (&json!(640), &json!(480)));
}

#[tokio::test]
async fn a_claim_is_waited_for_and_one_of_a_dead_node_runs_out() {
    let app = start().await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    let far = "UPDATE sessions SET claimed_by = 'another node', claimed_until = 99999999999999";
    app.sql(far);
    let busy = session.complete(&app).await;
    assert_eq!(busy.headers()["retry-after"], "5");
    assert_error(busy, 503, "SERVICE_UNAVAILABLE", &[]).await;
    app.sql("UPDATE sessions SET claimed_until = 1");
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_store_that_hangs_is_asked_once_whether_the_server_is_ready() {
    let mut app = start().await;
    // It takes connections and never answers.
    let store = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let right = app.app().config.storage.endpoint.clone();
    let silent = format!("http://{}", store.local_addr().unwrap());
    app.configure(|config| config.storage.endpoint = Some(endpoint(&silent))).await;
    let ask = || app.http.get(app.url("/readyz"));
    let began = Instant::now();
    for _ in 0..3 {
        let asked = (0..100).map(|_| ask().timeout(Duration::from_millis(700)).send());
        assert!(join_all(asked).await.iter().all(Result::is_err), "it is not ready");
    }
    assert_eq!(app.app().readiness.begun(), 1);
    assert_error(ask().send().await.unwrap(), 503, "SERVICE_UNAVAILABLE", &[]).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // The check ends with its connection, and with it the last that holds the directory.
    drop(store);
    app.configure(|config| config.storage.endpoint = right).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_nothing_is_left_of_the_start() {
    let mut app = start().await;
    let right = app.app().config.storage.endpoint.clone();
    app.configure(|config| config.storage.endpoint = Some(endpoint("http://127.0.0.1:1"))).await;
    let body = json!({"file_name": "f", "size": 3, "format": "bin"});
    let away = app.post("/api/v1/multipart/start", &body).await;
    assert_eq!(away.headers()["retry-after"], "5");
    assert_error(away, 503, "SERVICE_UNAVAILABLE", &[]).await;
    assert_error(app.get(&app.url("/readyz")).await, 503, "SERVICE_UNAVAILABLE", &[]).await;
    assert_eq!(app.count("sessions WHERE status = 'uploading'"), 0);
    app.configure(|config| config.storage.endpoint = right).await;
    app.until("what was taken back is cleaned up", |app| app.count("garbage") == 0).await;
    app.upload_whole(b"abc", json!({})).await;
}

#[tokio::test]
async fn replaced_objects_stay_as_long_as_urls_to_them() {
    let app = TestApp::start_on(S3, |config| {
        config.storage.delivery = S3Delivery::Redirect;
        config.storage.url_seconds = std::time::Duration::from_secs(15);
    })
    .await;
    let record = app.upload_whole(b"first", json!({})).await;
    let client = reqwest::Client::builder().tls_certs_only([]).redirect(Policy::none()).build().unwrap();
    let old = client.get(app.url_of(&record)).send().await.unwrap().headers()["location"].to_str().unwrap().to_owned();
    app.upload_whole(b"second", json!({})).await;
    assert_eq!(app.get(&old).await.text().await.unwrap(), "first");
    assert_eq!(app.get(&app.url_of(&record)).await.text().await.unwrap(), "second");
    app.until("the old bytes are deleted", |app| app.count("garbage") == 0 && app.has_blobs(1)).await;
}

/// The value of a parameter of a URL.
fn parameter(url: &str, wanted: &str) -> String {
    let url = reqwest::Url::parse(url).unwrap();
    url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned()
}

#[tokio::test]
async fn urls_of_files_live_as_long_as_the_settings_say_and_urls_of_parts_as_long_as_their_session() {
    const SECONDS: u64 = 4;
    let app = TestApp::start_on(Services { s3: true, ..Services::of_this_run() }, |config| {
        config.storage.delivery = S3Delivery::Redirect;
        config.storage.url_seconds = Duration::from_secs(SECONDS);
    })
    .await;
    let record = app.upload_whole(b"abc", json!({})).await;
    let session = app.upload(5, json!({"ttl_seconds": 3600, "file_name": "other"})).await;
    let client = reqwest::Client::builder().tls_certs_only([]).redirect(Policy::none()).build().unwrap();
    let answer = client.get(app.url_of(&record)).send().await.unwrap();
    let of_file = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(parameter(&of_file, "X-Amz-Expires"), SECONDS.to_string());
    let of_part: u64 = parameter(session.part_url(0), "X-Amz-Expires").parse().unwrap();
    assert!((3000..=3600).contains(&of_part), "{of_part}");
    // The store keeps to it.
    let began = Instant::now();
    while app.get(&of_file).await.status().is_success() {
        assert!(began.elapsed() < Duration::from_secs(60), "the URL works for longer");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(app.get(&app.url_of(&record)).await.text().await.unwrap(), "abc", "each request gets a new URL");
    session.put_all(&app, b"parts").await;
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn browsers_may_send_parts_once_the_buckets_rules_are_set() {
    let app = start().await;
    store(&app).set_cors().await.unwrap();
    let session = app.upload(3, json!({})).await;
    let allowed = store(&app).preflight(session.part_url(0), "PUT").await.unwrap();
    assert_eq!(allowed["access-control-allow-origin"], "*");
    let methods = allowed["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("PUT") || methods == "*", "{methods}");
    let sent = app.http.put(session.part_url(0)).header("origin", "https://example.com").body("abc");
    let answer = sent.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-expose-headers"], "ETag");
    assert_eq!(session.complete(&app).await.status(), 201);
}

/// Nodes that share a database and a bucket.
async fn nodes<const N: usize>() -> (TestApp, [crate::app::Node; N]) {
    let first = TestApp::start_on(Services { postgres: true, s3: true }, |_| {}).await;
    let mut others = Vec::new();
    for _ in 0..N {
        others.push(first.another_node().await);
    }
    (first, others.try_into().unwrap_or_else(|_| unreachable!()))
}

#[tokio::test]
async fn an_upload_starts_on_one_node_goes_on_on_a_second_and_completes_on_a_third() {
    let (app, [second, third]) = nodes().await;
    let data = bytes(7, 25 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 1).await;
    let resigned = second.call(&app, Method::POST, &format!("{}/parts", session.path()), Some(&json!({}))).await;
    for part in resigned.1["parts"].as_array().unwrap() {
        let index = part["index"].as_u64().unwrap() as usize;
        assert_eq!(app.put(part["url"].as_str().unwrap(), session.part(&data, index)).await.status(), 200);
    }
    let complete = json!({"session_id": session.id()});
    let (status, record) = third.call(&app, Method::POST, "/api/v1/multipart/complete", Some(&complete)).await;
    assert_eq!(status, 201, "{record}");
    app.assert_bytes(&record, &data).await;
    let (status, seen) = second.call(&app, Method::GET, &session.path(), None).await;
    assert_eq!((status, &seen["status"]), (200, &json!("completed")));
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn completing_and_aborting_on_several_nodes_at_once_ends_in_exactly_one() {
    let (app, others) = nodes::<2>().await;
    for round in 0..20_u64 {
        let session = app.upload(1000, json!({"file_name": format!("{round}")})).await;
        session.put_all(&app, &bytes(round, 1000)).await;
        let complete = json!({"session_id": session.id()});
        let path = session.path();
        let call = |number: u64| {
            let (node, abort) = (&others[(number % 2) as usize], round % 4 == 3 && number >= 4);
            let (app, complete, path) = (&app, &complete, &path);
            async move {
                match abort {
                    true => (true, node.call(app, Method::DELETE, path, None).await),
                    false => (false, node.call(app, Method::POST, "/api/v1/multipart/complete", Some(complete)).await),
                }
            }
        };
        let answers = join_all((0..6).map(call)).await;
        let exists = app.count(&format!("files WHERE name = '{round}'")) == 1;
        let mut records = std::collections::BTreeSet::new();
        for (is_abort, (status, answer)) in answers {
            let expected = match (is_abort, exists) {
                (false, true) => 201,
                (false, false) => 410,
                (true, true) => 409,
                (true, false) => 204,
            };
            assert_eq!(status, expected, "round {round}: {answer}");
            if status == 201 {
                // Each node answers with the address of its own.
                records.insert((
                    answer["id"].to_string(),
                    answer["file_no"].to_string(),
                    answer["created_at"].to_string(),
                ));
            }
        }
        assert_eq!(records.len(), usize::from(exists));
    }
    app.until("what was aborted is freed", |app| app.count("garbage") == 0).await;
    for node in others {
        node.stop().await;
    }
}

#[tokio::test]
async fn one_node_cleans_and_another_takes_over_when_it_is_gone() {
    let (mut app, [other]) = nodes().await;
    let holder = |app: &TestApp| app.text("SELECT holder FROM leases WHERE name = 'cleaner'");
    app.until("one cleans", |app| app.count("leases") == 1).await;
    assert_eq!(holder(&app), app.app().node.to_string(), "the one that came first");
    let session = app.upload(3, json!({})).await;
    assert_eq!(session.abort(&app).await.status(), 204);
    app.until("it is freed", |app| app.count("garbage") == 0).await;
    // It dies, as it were: its lease is not given up, and runs out.
    app.stop.cancel();
    app.running.take().unwrap().await.unwrap();
    let dead = app.app().node;
    app.sql(&format!("DELETE FROM leases; INSERT INTO leases VALUES ('cleaner', '{dead}', 1)"));
    app.until("the other takes over", |app| holder(app) == other.id()).await;
    let aborted = app.upload_on(&other, 3).await;
    assert_eq!(other.call(&app, Method::DELETE, &aborted, None).await.0, 204);
    app.until("the other frees it", |app| app.count("garbage") == 0).await;
    other.stop().await;
}

#[tokio::test]
async fn nodes_that_start_at_once_on_an_empty_database_agree() {
    let services = Services { postgres: true, s3: true };
    let app = TestApp::start_on(services, |_| {}).await;
    let url = crate::services::postgres().create_database();
    let mut config = app.config().clone();
    config.database.url = Some(partway_server::config::DatabaseUrl::new(url.clone()));
    let opened = join_all((0..6).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { partway_server::App::open(config, "127.0.0.1:1".parse().unwrap()).await })
    }));
    let opened: Vec<_> = opened.await.into_iter().map(|opened| opened.unwrap().unwrap()).collect();
    assert_eq!(opened.iter().filter(|(_, first_run)| first_run.is_some()).count(), 1);
    let secrets: std::collections::BTreeSet<_> = opened.iter().map(|(app, _)| app.secrets.part_urls.value).collect();
    assert_eq!(secrets.len(), 1);
    assert_eq!(crate::services::Database::Postgres(url).number("SELECT count(*) FROM workspaces"), 1);
}

#[tokio::test]
async fn local_storage_with_a_database_that_others_could_share_is_refused() {
    let app = TestApp::start_on(Services { postgres: true, s3: false }, |_| {}).await;
    let mut config = app.config().clone();
    config.storage.single_node = false;
    let refused = partway_server::App::open(config, app.address).await.err().unwrap().to_string();
    assert!(refused.contains("storage.single_node") && refused.contains("\"s3\""), "{refused}");
    // Neither are files forgotten that are where the settings do not say.
    app.upload_whole(b"abc", json!({})).await;
    let bucket = TestApp::start_on(S3, |_| {}).await;
    let mut config = bucket.config().clone();
    config.database = app.config().database.clone();
    config.storage.data_dir = "/nonexistent".into();
    let refused = partway_server::App::open(config, app.address).await.err().unwrap().to_string();
    assert!(refused.contains("local storage") && refused.contains("partway storage migrate"), "{refused}");
}

#[tokio::test]
async fn every_kind_of_blob_is_written_read_and_deleted_alike() {
    let app = start().await;
    let local = TestApp::start_on(Services { postgres: false, s3: false }, |_| {}).await;
    crate::storage::conforms(store(&app)).await;
    crate::storage::conforms(local.app().stores.local().unwrap().as_ref()).await;
}

#[tokio::test]
async fn more_than_a_thousand_parts_are_listed_in_pages() {
    let app = start().await;
    let blob_id = Uuid::now_v7();
    let upload = store(&app).create_upload(blob_id, &headers()).await.unwrap();
    let indices: Vec<u32> = (0..1100).collect();
    let parts: Vec<_> = indices.iter().map(|index| (*index, 1)).collect();
    let urls = store(&app).presign_parts(blob_id, &upload, &parts, 600).unwrap();
    for urls in urls.chunks(20) {
        for answer in join_all(urls.iter().map(|url| app.put(url, b"x"))).await {
            assert_eq!(answer.status(), 200);
        }
    }
    let listed = store(&app).list_parts(blob_id, &upload).await.unwrap().unwrap();
    assert_eq!(listed.iter().map(|part| part.index).collect::<Vec<_>>(), indices);
    assert!(listed.iter().all(|part| part.size_bytes == 1));
    store(&app).delete_blob(blob_id).await.unwrap();
}

/// A store that keeps the checksum of whole objects, as AWS does: Garage behind a proxy that says so.
async fn with_checksum(app: &mut TestApp, crc64nvme: &'static str) {
    use axum::body::Body;
    use axum::extract::Request;
    let store = app.config().storage.endpoint.clone().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = app.http.clone();
    let proxy = axum::Router::new().fallback(move |request: Request| {
        let (http, store) = (http.clone(), store.clone());
        async move {
            let (parts, body) = request.into_parts();
            let is_look = parts.method == Method::HEAD;
            let url = format!("{}{}", store.as_str().trim_end_matches('/'), parts.uri);
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let sent = http.request(parts.method, url).headers(parts.headers).body(body).send().await.unwrap();
            let mut answer = http::Response::builder().status(sent.status());
            *answer.headers_mut().unwrap() = sent.headers().clone();
            if is_look && sent.status() == 200 {
                answer =
                    answer.header("x-amz-checksum-crc64nvme", crc64nvme).header("x-amz-checksum-type", "FULL_OBJECT");
            }
            let body = if is_look { Body::empty() } else { Body::from(sent.bytes().await.unwrap()) };
            answer.body(body).unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, proxy).await });
    app.configure(|config| {
        config.storage.public_endpoint = config.storage.endpoint.clone();
        config.storage.endpoint = Some(endpoint(&format!("http://{address}")));
    })
    .await;
}

// Looking at the bucket blocks a thread, and the proxy needs another.
#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_that_the_store_keeps_is_answered_and_compared() {
    let mut app = start().await;
    with_checksum(&mut app, "AQIDBAUGBwg=").await;
    let session = app.upload(3, json!({"hash": "crc64nvme:AQIDBAUGBwg="})).await;
    session.put_all(&app, b"abc").await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!((&record["hash"], &record["is_duplicate"]), (&json!("crc64nvme:AQIDBAUGBwg="), &json!(false)));
    // Another one: nothing is published, and the session starts over with all parts missing.
    let session = app.upload(3, json!({"file_name": "b"})).await;
    session.put_all(&app, b"xyz").await;
    let wrong = json!({"session_id": session.id(), "hash": "crc64nvme:AAAAAAAAAAA="});
    let refused = app.post("/api/v1/multipart/complete", &wrong).await;
    assert_error(refused, 400, "CHECKSUM_MISMATCH", &["AAAAAAAAAAA=", "AQIDBAUGBwg="]).await;
    assert_eq!(app.count("files"), 1);
    assert_eq!(session.status(&app).await["missing_parts"], json!([0]));
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    assert_eq!(app.put(resigned["parts"][0]["url"].as_str().unwrap(), b"abc").await.status(), 200);
    let right = json!({"session_id": session.id(), "hash": "crc64nvme:AQIDBAUGBwg="});
    let record = app.post("/api/v1/multipart/complete", &right).await;
    assert_eq!(record.status(), 201);
    let record: Value = record.json().await.unwrap();
    assert_eq!(app.get(&app.url_of(&record)).await.text().await.unwrap(), "abc");
    app.until("what was refused is deleted", |app| app.count("garbage") == 0 && app.has_blobs(2)).await;
}

#[tokio::test]
async fn a_node_that_lost_its_claim_unnoticed_changes_nothing() {
    use partway_server::db::{Durability, sessions};
    let app = start().await;
    let session = app.upload(3, json!({})).await;
    let id: Uuid = session.id().parse().unwrap();
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let claim = |claimant| app.app().db.write(Durability::Process, move |tx| sessions::claim(tx, id, claimant, 30));
    assert!(matches!(claim(first).await.unwrap(), sessions::Claim::Taken(_)));
    assert!(matches!(claim(second).await.unwrap(), sessions::Claim::Busy));
    app.sql("UPDATE sessions SET claimed_until = 1");
    assert!(matches!(claim(second).await.unwrap(), sessions::Claim::Taken(_)));
    let replace = |claimant| {
        let blob_id = Uuid::now_v7();
        app.app().db.write(Durability::Process, move |tx| sessions::replace_blob(tx, id, claimant, blob_id))
    };
    assert!(!replace(first).await.unwrap());
    // And it does not give up what is not its own.
    app.app().db.write(Durability::Process, move |tx| sessions::release(tx, id, first)).await.unwrap();
    assert!(matches!(claim(first).await.unwrap(), sessions::Claim::Busy));
    app.sql("UPDATE sessions SET claimed_until = 0");
    session.put_all(&app, b"abc").await;
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_copy_that_nobody_came_for_in_time_is_the_cleaners_and_nobody_elses() {
    use partway_server::db::{Durability, garbage};
    use partway_server::model::{BlobRef, StorageKind};
    let app = start().await;
    let copies = [Uuid::now_v7(), Uuid::now_v7()];
    for (id, keep_seconds) in copies.into_iter().zip([600, 0]) {
        store(&app).put_blob(id, 3, &headers(), &crate::storage::Memory("abc".into())).await.unwrap();
        let copy = garbage::NewGarbage {
            blob: BlobRef { storage: StorageKind::S3, id },
            workspace_id: None,
            reason: garbage::Reason::Unfinished,
            size_bytes: 3,
            keep_seconds,
        };
        app.app().db.write(Durability::PowerLoss, move |tx| garbage::insert(tx, &copy)).await.unwrap();
    }
    app.app().uploads.garbage_bell().notify_one();
    app.until("the late one is deleted", |app| app.count("garbage") == 1 && app.has_blobs(1)).await;
    let claim = |id| app.app().db.write(Durability::Process, move |tx| garbage::claim_finished(tx, id));
    assert!(claim(copies[0]).await.unwrap());
    assert!(!claim(copies[1]).await.unwrap());
    store(&app).delete_blob(copies[0]).await.unwrap();
}
