//! `GET /api/v1/multipart/{session_id}`

use partway_server::db::api_keys::KeyKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{MIB, TestApp, assert_error, bytes};
use crate::auth::new_key;

#[tokio::test]
async fn the_session_says_what_is_there_and_what_is_missing() {
    let app = TestApp::start().await;
    let data = bytes(1, 25 * MIB);
    let session = app.upload(data.len() as u64, json!({"file_name": "f.mp4", "random_prefix": true})).await;
    let fresh = session.status(&app).await;
    assert_eq!(fresh["session_id"], session.id());
    assert_eq!(fresh["uuid"], session.start["uuid"]);
    assert_eq!(fresh["status"], "uploading");
    assert!(fresh["file_name"].as_str().unwrap().ends_with("-f.mp4"));
    assert_eq!((&fresh["size"], &fresh["part_size"]), (&json!(25 * MIB), &json!(10 * MIB)));
    assert_eq!((&fresh["parts_total"], &fresh["bytes_uploaded"]), (&json!(3), &json!(0)));
    assert_eq!((&fresh["uploaded_parts"], &fresh["missing_parts"]), (&json!([]), &json!([0, 1, 2])));
    assert_eq!(fresh["expire_at"], session.start["expire_at"]);
    assert_eq!(fresh["created_at"].as_str().unwrap().len(), 24);
    assert!(fresh.get("file").is_none());
    session.put_part(&app, &data, 2).await;
    session.put_part(&app, &data, 0).await;
    let half = session.status(&app).await;
    assert_eq!((&half["uploaded_parts"], &half["missing_parts"]), (&json!([0, 2]), &json!([1])));
    assert_eq!(half["bytes_uploaded"], 15 * MIB);
    session.put_part(&app, &data, 1).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    let done = session.status(&app).await;
    assert_eq!((&done["status"], &done["file"]), (&json!("completed"), &record));
    assert_eq!((&done["uploaded_parts"], &done["missing_parts"]), (&json!([0, 1, 2]), &json!([])));
    assert_eq!(done["bytes_uploaded"], 25 * MIB);
}

#[tokio::test]
async fn a_part_that_is_being_sent_again_is_missing_meanwhile() {
    use std::io::Write;
    let app = TestApp::start_local().await;
    let session = app.upload(1000, json!({})).await;
    session.put_all(&app, &bytes(1, 1000)).await;
    let mut again = std::net::TcpStream::connect(app.address).unwrap();
    write!(again, "PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc", session.part_path(0)).unwrap();
    app.until("the part is missing", |app| app.count("parts") == 0).await;
    assert_eq!(session.status(&app).await["missing_parts"], json!([0]));
}

#[tokio::test]
async fn nobody_elses_session_can_be_seen_or_touched() {
    let app = TestApp::start().await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    let stranger = new_key(&app, KeyKind::Private, true).await;
    let unknown = uuid::Uuid::new_v4().to_string();
    for (key, id, status, code) in [
        (&stranger, session.id(), 404, "SESSION_NOT_FOUND"),
        (&app.private_key, unknown.as_str(), 404, "SESSION_NOT_FOUND"),
        (&app.private_key, "nonsense", 404, "SESSION_NOT_FOUND"),
        // Started with the private key.
        (&app.public_key, session.id(), 403, "FORBIDDEN"),
    ] {
        let path = format!("/api/v1/multipart/{id}");
        let call = |method, path: &str| app.http.request(method, app.url(path)).bearer_auth(key);
        assert_error(call(Method::GET, &path).send().await.unwrap(), status, code, &[]).await;
        assert_error(call(Method::DELETE, &path).send().await.unwrap(), status, code, &[]).await;
        let resign = call(Method::POST, &format!("{path}/parts")).json(&json!({}));
        assert_error(resign.send().await.unwrap(), status, code, &[]).await;
    }
    for (method, path) in [(Method::GET, session.path()), (Method::DELETE, session.path())] {
        let response = app.http.request(method, app.url(&path)).send().await.unwrap();
        assert_error(response, 401, "UNAUTHORIZED", &[]).await;
    }
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_public_key_does_all_it_may_with_its_own_uploads() {
    let app = TestApp::start().await;
    let call = |method, path: &str| app.http.request(method, app.url(path)).bearer_auth(&app.public_key);
    let body = json!({"file_name": "p.bin", "size": 3, "format": "bin"});
    let start = || async { call(Method::POST, "/api/v1/multipart/start").json(&body).send().await.unwrap() };
    let started: Value = start().await.json().await.unwrap();
    let path = format!("/api/v1/multipart/{}", started["session_id"].as_str().unwrap());
    assert_eq!(call(Method::GET, &path).send().await.unwrap().status(), 200);
    let resigned = call(Method::POST, &format!("{path}/parts")).json(&json!({})).send().await.unwrap();
    assert_eq!(resigned.status(), 200);
    let resigned: Value = resigned.json().await.unwrap();
    assert_eq!(app.put(resigned["parts"][0]["url"].as_str().unwrap(), b"abc").await.status(), 200);
    assert_eq!(call(Method::DELETE, &path).send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_session_that_a_stranger_asks_for_is_not_opened() {
    let mut app = TestApp::start_local().await;
    let session = app.upload(3, json!({})).await;
    let id = app.text("SELECT blob_id FROM sessions");
    let blob = app.directory.path().join(format!("blobs/{}/{id}", &id[34..]));
    // Opening it fails.
    app.restart_after(|_| {
        std::fs::remove_file(&blob).unwrap();
        std::fs::create_dir(&blob).unwrap();
    })
    .await;
    let stranger = new_key(&app, KeyKind::Private, true).await;
    let asked = app.http.get(app.url(&session.path())).bearer_auth(&stranger).send().await.unwrap();
    assert_error(asked, 404, "SESSION_NOT_FOUND", &[]).await;
    let asked = app.request(Method::GET, &session.path()).send().await.unwrap();
    assert_error(asked, 500, "INTERNAL", &[]).await;
    std::fs::remove_dir(&blob).unwrap();
    assert_eq!(session.status(&app).await["missing_parts"], json!([0]));
}
