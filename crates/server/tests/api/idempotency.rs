//! `Idempotency-Key` on start.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};

async fn start(app: &TestApp, key: &str, body: &Value) -> Response {
    app.request(Method::POST, "/api/v1/multipart/start").header("Idempotency-Key", key).json(body).send().await.unwrap()
}

fn body(name: &str) -> Value {
    json!({"file_name": name, "size": 1000, "format": "bin"})
}

#[tokio::test]
async fn the_same_key_with_the_same_body_answers_the_same_session() {
    let mut app = TestApp::start().await;
    let first: Value = start(&app, "k1", &body("f")).await.json().await.unwrap();
    let again = start(&app, "k1", &body("f")).await;
    assert_eq!(again.status(), 201);
    let (mut again, mut expected) = (again.json::<Value>().await.unwrap(), first.clone());
    if !app.is_local() {
        // The store's URLs say when they were signed.
        (again["parts"], expected["parts"]) = (Value::Null, Value::Null);
    }
    assert_eq!(again, expected);
    // White space is not part of it.
    let spaced = app
        .request(Method::POST, "/api/v1/multipart/start")
        .headers(
            [("idempotency-key", "k1"), ("content-type", "application/json")]
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
        )
        .body(r#"{ "file_name":"f",   "size":1000, "format":"bin" }"#);
    assert_eq!(spaced.send().await.unwrap().json::<Value>().await.unwrap()["session_id"], first["session_id"]);
    app.restart().await;
    let after: Value = start(&app, "k1", &body("f")).await.json().await.unwrap();
    assert_eq!(after["session_id"], first["session_id"]);
    assert_eq!(app.count("sessions"), 1);
    assert_ne!(start(&app, "k2", &body("f")).await.json::<Value>().await.unwrap()["session_id"], first["session_id"]);
}

#[tokio::test]
async fn a_random_prefix_is_drawn_once() {
    let app = TestApp::start().await;
    let body = json!({"file_name": "f", "size": 10, "format": "bin", "random_prefix": true});
    let first: Value = start(&app, "k", &body).await.json().await.unwrap();
    assert_eq!(start(&app, "k", &body).await.json::<Value>().await.unwrap()["session_id"], first["session_id"]);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let app = TestApp::start().await;
    assert_eq!(start(&app, "k", &body("f")).await.status(), 201);
    assert_error(start(&app, "k", &body("g")).await, 409, "IDEMPOTENCY_KEY_REUSED", &["Idempotency-Key", "\"k\""])
        .await;
    assert_eq!(app.count("sessions"), 1);
    // Another API key's names are its own.
    let public = app.http.post(app.url("/api/v1/multipart/start")).bearer_auth(&app.public_key);
    assert_eq!(public.header("Idempotency-Key", "k").json(&body("g")).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn many_at_once_start_one_session() {
    let app = TestApp::start().await;
    for round in 0..10 {
        let (key, body) = (format!("k{round}"), body(&format!("f{round}")));
        let answers = join_all((0..10).map(|_| async {
            let response = start(&app, &key, &body).await;
            assert_eq!(response.status(), 201);
            response.json::<Value>().await.unwrap()["session_id"].as_str().unwrap().to_owned()
        }));
        assert_eq!(answers.await.into_iter().collect::<BTreeSet<_>>().len(), 1);
    }
    assert_eq!(app.count("sessions"), 10);
}

#[tokio::test]
async fn a_refused_start_leaves_its_key_free() {
    let app = TestApp::start_local_with(|config| {
        config.storage.reserve = true;
        config.limits.max_file_bytes = 1 << 50;
    })
    .await;
    let mut body = body("f");
    body["size"] = json!(1_u64 << 49);
    assert_error(start(&app, "k", &body).await, 507, "INSUFFICIENT_STORAGE", &[]).await;
    assert_eq!((app.count("sessions"), app.count("idempotency_keys")), (0, 0));
    body["size"] = json!(1000);
    assert_eq!(start(&app, "k", &body).await.status(), 201);
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let app = TestApp::start().await;
    let first: Value = start(&app, "k", &body("f")).await.json().await.unwrap();
    app.sql("UPDATE idempotency_keys SET created_at = created_at - 86400001");
    let second: Value = start(&app, "k", &body("g")).await.json().await.unwrap();
    assert_ne!(first["session_id"], second["session_id"]);
    app.sql("UPDATE idempotency_keys SET created_at = created_at - 86400001");
    app.upload_whole(b"1", json!({"file_name": "same"})).await;
    app.upload_whole(b"2", json!({"file_name": "same"})).await;
    app.until("the cleaner forgets it", |app| app.count("idempotency_keys") == 0).await;
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let app = TestApp::start().await;
    for key in ["", " ", "a b", "ü", &"x".repeat(256)] {
        assert_error(start(&app, key, &body("f")).await, 400, "INVALID_PARAMETER", &["Idempotency-Key", "255"]).await;
    }
    assert_eq!(start(&app, &"x".repeat(255), &body("f")).await.status(), 201);
}
