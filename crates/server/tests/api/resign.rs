//! `POST /api/v1/multipart/{session_id}/parts`

use serde_json::{Value, json};

use crate::app::{MIB, Session, TestApp, assert_error, bytes};

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

async fn resigned(session: &Session, app: &TestApp, body: Value) -> Value {
    let response = session.resign(app, &body).await;
    assert_eq!(response.status(), 200, "{:?}", response.text().await);
    response.json().await.unwrap()
}

fn indices(answer: &Value) -> Vec<u64> {
    answer["parts"].as_array().unwrap().iter().map(|part| part["index"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn urls_are_for_what_is_missing_or_what_is_named() {
    let app = TestApp::start().await;
    let data = bytes(1, 25 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 1).await;
    let missing = resigned(&session, &app, json!({})).await;
    assert_eq!((indices(&missing), &missing["part_size"]), (vec![0, 2], &json!(10 * MIB)));
    let named = resigned(&session, &app, json!({"parts": [2, 1, 2]})).await;
    assert_eq!(indices(&named), [1, 2]);
    assert_eq!(indices(&resigned(&session, &app, json!({"parts": []})).await), Vec::<u64>::new());
    for (answer, index) in [(&missing, 0), (&missing, 1), (&named, 0)] {
        let part = &answer["parts"][index];
        let number = part["index"].as_u64().unwrap() as usize;
        let response = app.put(part["url"].as_str().unwrap(), session.part(&data, number)).await;
        assert_eq!(response.status(), 200);
    }
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn the_session_lives_on_until_the_last_url_expires() {
    let mut app = TestApp::start().await;
    let session = app.upload(3, json!({"ttl_seconds": 10})).await;
    let long = resigned(&session, &app, json!({"ttl_seconds": 5000})).await;
    let left = long["expire_at"].as_i64().unwrap() - now();
    assert!((4990..=5000).contains(&left), "{left}");
    assert_eq!(session.status(&app).await["expire_at"], long["expire_at"]);
    // URLs of a short life do not shorten that of the session.
    let short = resigned(&session, &app, json!({"ttl_seconds": 1})).await;
    assert!(short["expire_at"].as_i64().unwrap() - now() <= 1);
    assert_eq!(session.status(&app).await["expire_at"], long["expire_at"]);
    app.restart().await;
    assert_eq!(session.status(&app).await["expire_at"], long["expire_at"]);
}

#[tokio::test]
async fn an_extended_session_is_not_ended_when_its_first_life_is_over() {
    let app = TestApp::start().await;
    let session = app.upload(3, json!({"ttl_seconds": 5})).await;
    let fresh = resigned(&session, &app, json!({"ttl_seconds": 60})).await;
    session.until_expired().await;
    // The first URL has expired, the session has not.
    let expired = app.put(session.part_url(0), b"abc").await;
    match app.is_local() {
        true => drop(assert_error(expired, 403, "URL_EXPIRED", &[]).await),
        false => assert!(expired.status().is_client_error(), "{}", expired.status()),
    }
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(app.put(fresh["parts"][0]["url"].as_str().unwrap(), b"abc").await.status(), 200);
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn mistakes_are_named() {
    let app = TestApp::start().await;
    let session = app.upload(25 * MIB, json!({})).await;
    for (body, code, named) in [
        (json!({"parts": 1}), "INVALID_PARAMETER", "parts"),
        (json!({"parts": [1, "2"]}), "INVALID_PARAMETER", "parts"),
        (json!({"parts": [-1]}), "INVALID_PARAMETER", "parts"),
        (json!({"parts": [1.5]}), "INVALID_PARAMETER", "parts"),
        (json!({"parts": [0, 3]}), "INVALID_PARAMETER", "from 0 to 2"),
        (json!({"parts": vec![0; 10_001]}), "INVALID_PARAMETER", "10000"),
        (json!({"ttl_seconds": 0}), "INVALID_TTL", "604800"),
        (json!({"ttl_seconds": 604_801}), "INVALID_TTL", "604800"),
    ] {
        assert_error(session.resign(&app, &body).await, 400, code, &[named]).await;
    }
}

#[tokio::test]
async fn ended_sessions_sign_nothing() {
    let app = TestApp::start().await;
    let (completed, aborted) = (app.upload(1, json!({})).await, app.upload(1, json!({"file_name": "b"})).await);
    completed.put_all(&app, b"x").await;
    assert_eq!(completed.complete(&app).await.status(), 201);
    assert_eq!(aborted.abort(&app).await.status(), 204);
    assert_error(completed.resign(&app, &json!({})).await, 409, "SESSION_COMPLETED", &[completed.id()]).await;
    assert_error(aborted.resign(&app, &json!({})).await, 410, "SESSION_ABORTED", &[aborted.id()]).await;
}
