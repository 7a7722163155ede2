//! A session that progresses lives: parts that arrive renew it.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::app::{MIB, Session, TestApp, assert_error, bytes};

const SIZE: u64 = 31 * MIB;

/// The session as if it had been started this many seconds earlier.
fn age(app: &TestApp, session: &Session, seconds: i64) {
    let by = seconds * 1000;
    app.sql(&format!(
        "UPDATE sessions SET created_at = created_at - {by}, expires_at = expires_at - {by}, \
         renewed_from = renewed_from - {by} WHERE id = '{}'",
        session.id()
    ));
}

/// The URL of a part as the server signed it this many seconds earlier.
fn aged_url(app: &TestApp, session: &Session, index: usize, seconds: i64) -> String {
    let url = url::Url::parse(session.part_url(index)).unwrap();
    let number = |name: &str| url.query_pairs().find(|(found, _)| found == name).unwrap().1.parse::<i64>().unwrap();
    app.app().urls.part(&partway_server::service::part_urls::PartPermission {
        session_id: session.id().parse().unwrap(),
        part_index: index as u32,
        length_bytes: number("length") as u64,
        expires_at: number("expires") - seconds,
    })
}

fn expires_at(app: &TestApp, session: &Session) -> i64 {
    app.database.number(&format!("SELECT expires_at FROM sessions WHERE id = '{}'", session.id()))
}

async fn put(app: &TestApp, session: &Session, data: &[u8], index: usize, aged: i64) -> reqwest::Response {
    app.put(&aged_url(app, session, index, aged), session.part(data, index)).await
}

#[tokio::test]
async fn urls_of_the_start_work_for_as_long_as_parts_arrive_and_a_restart_changes_nothing() {
    let mut app = TestApp::start_local().await;
    let data = bytes(1, SIZE);
    let session = app.upload(SIZE, json!({"ttl_seconds": 100})).await;
    app.restart_after(|app| age(app, &session, 90)).await;
    let first_end = expires_at(&app, &session);
    assert_eq!(put(&app, &session, &data, 0, 90).await.status(), 200);
    let renewed = expires_at(&app, &session);
    assert!(renewed >= first_end + 80_000, "it was not renewed");
    assert_eq!(session.status(&app).await["expire_at"], renewed / 1000);
    // Half of the life is not over: the next part writes nothing.
    assert_eq!(put(&app, &session, &data, 1, 90).await.status(), 200);
    assert_eq!(expires_at(&app, &session), renewed);
    // The URLs have expired by now; the session has not.
    app.restart_after(|app| age(app, &session, 90)).await;
    assert_eq!(put(&app, &session, &data, 2, 180).await.status(), 200);
    assert!(expires_at(&app, &session) > renewed - 90_000 + 80_000);
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(put(&app, &session, &data, 3, 180).await.status(), 200);
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn a_session_that_stalls_expires_and_its_urls_with_it() {
    let mut app = TestApp::start_local().await;
    let data = bytes(2, SIZE);
    let session = app.upload(SIZE, json!({"ttl_seconds": 100})).await;
    app.restart_after(|app| age(app, &session, 90)).await;
    assert_eq!(put(&app, &session, &data, 0, 90).await.status(), 200);
    app.restart_after(|app| age(app, &session, 101)).await;
    let refused = put(&app, &session, &data, 1, 191).await;
    assert_error(refused, 403, "URL_EXPIRED", &["new URLs"]).await;
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(session.status(&app).await["status"], "expired");
}

#[tokio::test]
async fn parts_renew_a_session_up_to_its_oldest_age_and_a_longer_life_that_was_asked_for_stays() {
    let mut app =
        TestApp::start_local_with(|config| config.limits.session_age_seconds = Duration::from_secs(150)).await;
    let data = bytes(3, SIZE);
    let session = app.upload(SIZE, json!({"ttl_seconds": 100})).await;
    let other = app.upload(SIZE, json!({"ttl_seconds": 300, "file_name": "other"})).await;
    let started = |app: &TestApp, session: &Session| {
        app.database.number(&format!("SELECT created_at FROM sessions WHERE id = '{}'", session.id()))
    };
    app.restart_after(|app| {
        age(app, &session, 90);
        age(app, &other, 200);
    })
    .await;
    assert_eq!(put(&app, &session, &data, 0, 90).await.status(), 200);
    assert_eq!(expires_at(&app, &session), started(&app, &session) + 150_000);
    let end = expires_at(&app, &other);
    assert_eq!(put(&app, &other, &data, 0, 200).await.status(), 200);
    assert_eq!(expires_at(&app, &other), end);
}

#[tokio::test]
async fn parts_of_a_public_key_renew_its_session_within_the_age_of_public_keys() {
    let mut app =
        TestApp::start_local_with(|config| config.limits.public_session_age_seconds = Duration::from_secs(120)).await;
    let data = bytes(4, SIZE);
    let start = json!({"file_name": "f", "size": SIZE, "format": "bin", "ttl_seconds": 100});
    let key = app.public_key.clone();
    let started = app.request_with(&key, reqwest::Method::POST, "/api/v1/multipart/start").json(&start).send().await;
    let session = Session { start: started.unwrap().json().await.unwrap() };
    app.restart_after(|app| age(app, &session, 90)).await;
    let created_at = app.database.number("SELECT created_at FROM sessions");
    assert_eq!(put(&app, &session, &data, 0, 90).await.status(), 200);
    assert_eq!(expires_at(&app, &session), created_at + 120_000);
}

#[tokio::test]
async fn urls_that_were_to_expire_earlier_than_the_session_do() {
    let mut app = TestApp::start_local().await;
    let data = bytes(5, SIZE);
    let session = app.upload(SIZE, json!({"ttl_seconds": 100})).await;
    app.restart_after(|app| age(app, &session, 90)).await;
    assert_eq!(put(&app, &session, &data, 0, 90).await.status(), 200);
    // One second before the session's first end.
    assert_error(put(&app, &session, &data, 1, 101).await, 403, "URL_EXPIRED", &[]).await;
    assert_eq!(session.abort(&app).await.status(), 204);
    assert_error(put(&app, &session, &data, 1, 90).await, 410, "SESSION_ABORTED", &[]).await;
}

#[tokio::test]
async fn a_part_that_arrives_over_the_end_of_its_session_is_kept() {
    let app = TestApp::start_local().await;
    let data = bytes(8, MIB);
    let session = app.upload(MIB, json!({"ttl_seconds": 5})).await;
    let end = expires_at(&app, &session);
    // It takes 13 seconds.
    let pieces: Vec<_> = data.chunks(8 * 1024).map(<[u8]>::to_vec).collect();
    let stream = futures_util::stream::iter(pieces).then(async |piece| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let request = app.http.put(session.part_url(0)).header("content-length", MIB);
    let put = request.body(reqwest::Body::wrap_stream(Box::pin(stream))).send();
    let cleaning = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            app.app().uploads.expire_overdue().await.unwrap();
        }
    };
    let answer = tokio::select! { answer = put => answer.unwrap(), () = cleaning => unreachable!() };
    assert_eq!(answer.status(), 200);
    assert!(expires_at(&app, &session) >= end + 5000, "it was not renewed while the part arrived");
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}
