//! Keys: who may do what.

use partway_server::db::Durability;
use partway_server::db::api_keys::KeyKind;
use partway_server::service::key;
use partway_server::service::workspace::create_workspace;
use serde_json::json;

use crate::app::{TestApp, assert_error};

const START: &str = "/api/v1/multipart/start";
const COMPLETE: &str = "/api/v1/multipart/complete";

pub(crate) async fn new_key(app: &TestApp, kind: KeyKind, in_new_workspace: bool) -> String {
    let made = app.app().db.write(Durability::PowerLoss, move |tx| {
        let all = partway_server::db::workspaces::list(tx)?;
        let workspace = if in_new_workspace { create_workspace(tx, "other")? } else { all[0].clone() };
        key::create_key(tx, &workspace, kind)
    });
    made.await.unwrap().key
}

#[tokio::test]
async fn without_a_good_key_nothing_is_revealed_and_nothing_is_made() {
    let app = TestApp::start().await;
    let body = json!({"file_name": "f", "size": 1, "format": "bin"});
    for path in [START, COMPLETE] {
        let request = || app.http.post(app.url(path)).json(&body);
        for (request, named) in [
            (request(), "there is no API key"),
            (request().bearer_auth(""), "there is no API key"),
            (request().bearer_auth("sk_wrong"), "unknown or revoked"),
            (request().header("x-api-key", "pk_wrong"), "unknown or revoked"),
            (request().header("authorization", format!("Basic {}", app.private_key)), "there is no API key"),
            (request().bearer_auth(app.private_key.to_uppercase()), "unknown or revoked"),
            (app.http.post(app.url(&format!("{path}?api_key={}", app.private_key))).json(&body), "there is no API key"),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_error(response, 401, "UNAUTHORIZED", &[named]).await;
        }
    }
    app.assert_nothing_left();
}

#[tokio::test]
async fn both_headers_take_a_key() {
    let app = TestApp::start().await;
    let body = json!({"file_name": "f", "size": 1, "format": "bin"});
    for (name, value) in [
        ("authorization", format!("Bearer {}", app.private_key)),
        ("authorization", format!("bearer {}", app.public_key)),
        ("x-api-key", app.private_key.clone()),
        ("X-API-Key", app.public_key.clone()),
    ] {
        let response = app.http.post(app.url(START)).header(name, value).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 201);
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_from_that_moment_on() {
    let app = TestApp::start().await;
    let key = new_key(&app, KeyKind::Private, false).await;
    let start = || {
        app.http
            .post(app.url(START))
            .bearer_auth(&key)
            .json(&json!({"file_name": "f", "size": 1, "format": "bin"}))
            .send()
    };
    assert_eq!(start().await.unwrap().status(), 201);
    let revoked = key.clone();
    app.app().db.write(Durability::PowerLoss, move |tx| key::revoke_key(tx, &revoked, false)).await.unwrap().unwrap();
    assert_error(start().await.unwrap(), 401, "UNAUTHORIZED", &["revoked"]).await;
}

#[tokio::test]
async fn another_workspaces_session_does_not_exist() {
    let app = TestApp::start().await;
    let stranger = new_key(&app, KeyKind::Private, true).await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    let request = app.http.post(app.url(COMPLETE)).bearer_auth(&stranger).json(&json!({"session_id": session.id()}));
    assert_error(request.send().await.unwrap(), 404, "SESSION_NOT_FOUND", &[session.id()]).await;
    assert_eq!(app.count("files"), 0);
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_public_key_completes_only_what_it_started() {
    let app = TestApp::start().await;
    let by_private = app.upload(3, json!({})).await;
    by_private.put_all(&app, b"abc").await;
    let complete =
        |id: &str, key: &str| app.http.post(app.url(COMPLETE)).bearer_auth(key).json(&json!({"session_id": id})).send();
    let response = complete(by_private.id(), &app.public_key).await.unwrap();
    assert_error(response, 403, "FORBIDDEN", &["public key"]).await;
    assert_eq!(app.count("files"), 0);

    let start = app.http.post(app.url(START)).bearer_auth(&app.public_key);
    let body = json!({"file_name": "p.bin", "size": 3, "format": "bin"});
    let by_public: serde_json::Value = start.json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(by_public["public_key"], app.public_key.as_str());
    app.put(by_public["parts"][0].as_str().unwrap(), b"abc").await;
    let id = by_public["session_id"].as_str().unwrap();
    assert_eq!(complete(id, &app.public_key).await.unwrap().status(), 201);
    // The private key may do everything in its workspace.
    assert_eq!(complete(id, &app.private_key).await.unwrap().status(), 201);
}

#[tokio::test]
async fn no_key_is_stored() {
    let app = TestApp::start().await;
    app.upload_whole(b"x", json!({})).await;
    for stored in app.database.everything() {
        for key in [&app.private_key, &app.public_key] {
            assert!(!stored.windows(key.len()).any(|window| window == key.as_bytes()), "{key} is stored");
        }
    }
}
