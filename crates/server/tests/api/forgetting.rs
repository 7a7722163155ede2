//! Sessions that have ended are forgotten, and nothing of them stays in the database.

use std::time::Duration;

use futures_util::StreamExt;
use partway_server::db::api_keys::KeyKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};
use crate::auth::new_key;

async fn remembering(seconds: u64) -> TestApp {
    TestApp::start_with(|config| config.limits.forget_sessions_seconds = Duration::from_secs(seconds)).await
}

fn details() -> Value {
    json!({"tags": ["a tag"], "metadata": {"about": "x".repeat(1000)}, "custom_id": "mine"})
}

const EMPTIED: &str = "sessions WHERE tags = '[]' AND metadata IS NULL AND custom_id IS NULL AND ended_at IS NOT NULL";

#[tokio::test]
async fn tags_and_metadata_go_when_a_session_ends_and_completing_again_gives_the_same_answer() {
    let app = remembering(3600).await;
    let (completed, aborted, expired) =
        (app.upload(5, details()).await, app.upload(5, details()).await, app.upload(5, details()).await);
    completed.put_all(&app, b"hello").await;
    let first: Value = completed.complete(&app).await.json().await.unwrap();
    assert_eq!((&first["tags"], &first["custom_id"]), (&json!(["a tag"]), &json!("mine")));
    assert_eq!(aborted.abort(&app).await.status(), 204);
    assert_eq!(app.count(EMPTIED), 2);
    app.sql("UPDATE sessions SET expires_at = 1 WHERE status = 'uploading'");
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(app.count(EMPTIED), 3);
    let again = completed.complete(&app).await;
    assert_eq!(again.status(), 201);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(expired.status(&app).await["status"], "expired");
    assert_eq!(app.count("sessions"), 3, "they are remembered for an hour");
}

#[tokio::test]
async fn ended_sessions_are_forgotten_with_all_that_belongs_to_them_and_their_ids_answer_410() {
    let app = remembering(1).await;
    let start = app.request(Method::POST, "/api/v1/multipart/start").header("Idempotency-Key", "k");
    let named = start.json(&json!({"file_name": "f", "size": 5, "format": "bin"})).send().await.unwrap();
    let named = crate::app::Session { start: named.json().await.unwrap() };
    let (open, completed) = (app.upload(5, details()).await, app.upload(5, details()).await);
    completed.put_all(&app, b"hello").await;
    assert_eq!(completed.complete(&app).await.status(), 201);
    assert_eq!(named.abort(&app).await.status(), 204);
    until_forgotten(&app, 1).await;
    assert_eq!((app.count("idempotency_keys"), app.count("parts"), app.count("ended_sessions")), (0, 0, 0));
    let message = ["forgotten 1 seconds after", "limits.forget_sessions_seconds", "start a new one"];
    let body = json!({"session_id": completed.id()});
    let stranger = new_key(&app, KeyKind::Private, true).await;
    for key in [&app.private_key, &stranger] {
        for (method, path, body) in [
            (Method::GET, format!("/{}", completed.id()), None),
            (Method::DELETE, format!("/{}", named.id()), None),
            (Method::POST, format!("/{}/parts", named.id()), Some(json!({}))),
            (Method::POST, "/complete".to_owned(), Some(body.clone())),
        ] {
            let mut request = app.http.request(method, app.url(&format!("/api/v1/multipart{path}"))).bearer_auth(key);
            if let Some(body) = body {
                request = request.json(&body);
            }
            assert_error(request.send().await.unwrap(), 410, "SESSION_EXPIRED", &message).await;
        }
    }
    // One that is open is never forgotten, however old it is; of another workspace it is as if it had been.
    assert_eq!(open.status(&app).await["status"], "uploading");
    let path = app.url(&format!("/api/v1/multipart/{}", open.id()));
    let theirs = app.http.get(path).bearer_auth(&stranger).send().await.unwrap();
    assert_error(theirs, 410, "SESSION_EXPIRED", &message).await;
    for unknown in [uuid::Uuid::new_v4(), uuid::Uuid::now_v7()] {
        let asked = app.request(Method::GET, &format!("/api/v1/multipart/{unknown}")).send().await.unwrap();
        assert_error(asked, 404, "SESSION_NOT_FOUND", &[]).await;
    }
    // The name of the request is free again.
    let start = app.request(Method::POST, "/api/v1/multipart/start").header("Idempotency-Key", "k");
    let again = start.json(&json!({"file_name": "other", "size": 7, "format": "bin"})).send().await.unwrap();
    assert_eq!(again.status(), 201);
    // Files that were completed stay.
    assert_eq!(app.count("files"), 1);
}

async fn until_forgotten(app: &TestApp, left: i64) {
    for _ in 0..600 {
        if app.count("sessions") <= left && app.count("garbage") == 0 {
            return;
        }
        app.app().uploads.garbage_bell().notify_one();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} sessions are still remembered after a minute", app.count("sessions"));
}

/// `PARTWAY_TEST_STARTS=100000` for the measurement.
#[tokio::test]
async fn starts_that_are_aborted_leave_nothing_and_the_database_does_not_grow_with_their_number() {
    let starts = std::env::var("PARTWAY_TEST_STARTS").map_or(1500, |text| text.parse().unwrap());
    let app = remembering(1).await;
    let large = json!({"metadata": {"about": "x".repeat(15_000)}, "tags": ["t".repeat(128)]});
    let mut sizes = Vec::new();
    for _ in 0..3 {
        futures_util::stream::iter(0..starts / 3)
            .for_each_concurrent(16, async |_| {
                let session = app.upload(1, large.clone()).await;
                assert_eq!(session.abort(&app).await.status(), 204);
            })
            .await;
        until_forgotten(&app, 0).await;
        for table in ["sessions", "idempotency_keys", "parts", "ended_sessions", "garbage", "deliveries"] {
            assert_eq!(app.count(table), 0, "rows of {table}");
        }
        let size = |name: &str| std::fs::metadata(app.directory.path().join(name)).map_or(0, |file| file.len());
        sizes.push((size("partway.db"), size("partway.db-wal")));
    }
    println!("{starts} starts: partway.db and its log have {sizes:?} bytes after each third");
    // Free pages of the file are used again; it has little more than what is open at once.
    assert!(sizes[2].0 <= sizes[0].0 + (1 << 20), "{sizes:?}");
}
