//! How much a workspace may hold, and how much of the disk is left alone.

use futures_util::future::join_all;
use partway_server::db::Durability;
use partway_server::db::api_keys::KeyKind;
use partway_server::db::usage::{self};
use partway_server::model::WorkspaceLimits;
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error, bytes};
use crate::auth::new_key;

async fn limited(bytes: u64) -> TestApp {
    TestApp::start_with(|config| config.limits.workspace_storage_bytes = Some(bytes)).await
}

async fn start(app: &TestApp, name: &str, size: u64) -> reqwest::Response {
    app.post("/api/v1/multipart/start", &json!({"file_name": name, "size": size, "format": "bin"})).await
}

/// Usage of the workspace, as it is counted: files and open sessions, number and bytes of each.
async fn counted(app: &TestApp) -> [i64; 4] {
    let all = app.app().db.read(usage::list).await.unwrap();
    let id = all[0].workspace_id;
    let real = app.app().db.read(move |tx| usage::add_up(tx, id)).await.unwrap();
    assert_eq!((all[0].files, all[0].sessions), real, "what is counted is not what is there");
    [all[0].files.count, all[0].files.bytes, all[0].sessions.count, all[0].sessions.bytes]
}

#[tokio::test]
async fn files_and_open_sessions_count_and_what_is_over_the_limit_is_refused() {
    let app = limited(1000).await;
    app.upload_whole(&bytes(1, 600), json!({"file_name": "a"})).await;
    let open = app.upload(300, json!({"file_name": "b"})).await;
    let message = ["`size` is 101", "100 bytes", "1000", "900"];
    assert_error(start(&app, "c", 101).await, 403, "STORAGE_LIMIT_EXCEEDED", &message).await;
    assert_eq!(counted(&app).await, [1, 600, 1, 300]);
    assert_eq!(start(&app, "c", 100).await.status(), 201);
    assert_error(start(&app, "d", 1).await, 403, "STORAGE_LIMIT_EXCEEDED", &["`size` is 1;"]).await;
    // Aborted bytes are free at once.
    assert_eq!(open.abort(&app).await.status(), 204);
    assert_eq!(counted(&app).await, [1, 600, 1, 100]);
    assert_eq!(start(&app, "d", 300).await.status(), 201);
    // Another workspace has a limit of its own.
    let other = new_key(&app, KeyKind::Private, true).await;
    let theirs = app.http.post(app.url("/api/v1/multipart/start")).bearer_auth(&other);
    let theirs = theirs.json(&json!({"file_name": "x", "size": 1000, "format": "bin"})).send().await.unwrap();
    assert_eq!(theirs.status(), 201);
}

#[tokio::test]
async fn every_way_a_session_or_a_file_ends_is_counted() {
    let app = TestApp::start().await;
    assert_eq!(counted(&app).await, [0, 0, 0, 0]);
    app.upload_whole(&bytes(1, 10), json!({"file_name": "a"})).await;
    app.upload_whole(&bytes(1, 30), json!({"file_name": "b"})).await;
    assert_eq!(counted(&app).await, [2, 40, 0, 0]);
    app.upload_whole(&bytes(2, 25), json!({"file_name": "a"})).await;
    assert_eq!(counted(&app).await, [2, 55, 0, 0]);
    let (aborted, expired) = (app.upload(7, json!({})).await, app.upload(5, json!({})).await);
    assert_eq!(counted(&app).await, [2, 55, 2, 12]);
    aborted.abort(&app).await;
    aborted.abort(&app).await;
    assert_eq!(counted(&app).await, [2, 55, 1, 5]);
    app.sql("UPDATE sessions SET expires_at = 1 WHERE status = 'uploading'");
    app.app().uploads.expire_overdue().await.unwrap();
    app.until("it expires", |app| app.count("sessions WHERE status = 'expired'") == 1).await;
    assert_eq!(expired.status(&app).await["status"], "expired");
    assert_eq!(counted(&app).await, [2, 55, 0, 0]);
}

#[tokio::test]
async fn starts_at_once_never_pass_the_limit_together() {
    let app = limited(1000).await;
    let names: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    let answers = join_all(names.iter().map(|name| start(&app, name, 100))).await;
    let started = answers.iter().filter(|answer| answer.status() == 201).count();
    assert_eq!((started, answers.iter().filter(|answer| answer.status() == 403).count()), (10, 20));
    assert_eq!(counted(&app).await, [0, 0, 10, 1000]);
}

/// A direct upload with the name after the file; returns the status.
async fn send_whole(app: &TestApp, name: &str, size: usize) -> u16 {
    let file = reqwest::multipart::Part::bytes(bytes(1, size as u64)).file_name("f");
    let form = reqwest::multipart::Form::new().part("file", file).text("file_name", name.to_owned());
    app.request(reqwest::Method::POST, "/api/v1/uploads").multipart(form).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_file_that_replaces_another_counts_for_the_difference() {
    let app = limited(3000).await;
    app.upload_whole(&bytes(1, 2000), json!({"file_name": "backup"})).await;
    for size in [2000, 2500, 3000] {
        app.upload_whole(&bytes(2, size), json!({"file_name": "backup"})).await;
        assert_eq!(counted(&app).await, [1, size as i64, 0, 0]);
    }
    assert_error(start(&app, "backup", 3001).await, 403, "STORAGE_LIMIT_EXCEEDED", &["3000 bytes"]).await;
    assert_eq!(start(&app, "other", 1).await.status(), 403);
    assert_eq!(send_whole(&app, "backup", 2900).await, 201);
    assert_eq!(counted(&app).await, [1, 2900, 0, 0]);
    assert_eq!(send_whole(&app, "other", 101).await, 403);
    assert_eq!(send_whole(&app, "backup", 3001).await, 403);
    assert_eq!(send_whole(&app, "other", 100).await, 201);
    assert_eq!(counted(&app).await, [2, 3000, 0, 0]);
    app.until("the cleaner comes", |app| app.count("garbage") == 0).await;
}

#[tokio::test]
async fn the_bytes_of_a_file_are_given_once_to_those_who_replace_it_at_once() {
    let app = limited(3000).await;
    app.upload_whole(&bytes(1, 2000), json!({"file_name": "backup"})).await;
    let answers = join_all((0..8).map(|_| start(&app, "backup", 2000))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 201).count(), 1);
    let sent = join_all((0..8).map(|_| send_whole(&app, "backup", 2000))).await;
    assert!(sent.iter().all(|status| matches!(status, 201 | 403)), "{sent:?}");
    assert!(counted(&app).await[1] <= 3000);
}

#[tokio::test]
async fn a_session_whose_file_to_replace_was_renamed_does_not_pass_the_limit() {
    let app = limited(3000).await;
    let first = app.upload_whole(&bytes(1, 2000), json!({"file_name": "backup"})).await;
    let session = app.upload(2000, json!({"file_name": "backup"})).await;
    session.put_all(&app, &bytes(2, 2000)).await;
    let path = format!("/api/v1/files/{}/rename", first["file_no"].as_str().unwrap());
    let renamed = app.request(reqwest::Method::PATCH, &path).json(&json!({"name": "kept"})).send().await.unwrap();
    assert_eq!(renamed.status(), 200);
    assert_error(session.complete(&app).await, 403, "STORAGE_LIMIT_EXCEEDED", &["1000 bytes"]).await;
    assert_eq!(counted(&app).await, [1, 2000, 1, 2000]);
    // Nothing is lost: with room it goes on.
    let path = format!("/api/v1/files/{}", first["file_no"].as_str().unwrap());
    assert_eq!(app.request(reqwest::Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(session.complete(&app).await.status(), 201);
    assert_eq!(counted(&app).await, [1, 2000, 0, 0]);
}

#[tokio::test]
async fn a_workspaces_own_limit_outranks_the_settings() {
    let app = limited(1000).await;
    let id = app.app().db.read(usage::list).await.unwrap()[0].workspace_id;
    for (limit, size, status) in [(Some(50), 51, 403), (Some(2000), 1500, 201), (Some(0), 1, 403), (None, 1, 403)] {
        let limits = WorkspaceLimits { storage_bytes: limit, ..WorkspaceLimits::default() };
        app.app().db.write(Durability::Process, move |tx| usage::set_limits(tx, id, limits)).await.unwrap();
        assert_eq!(start(&app, "f", size).await.status(), status, "{limit:?}");
    }
}

#[tokio::test]
async fn a_start_that_would_leave_too_little_of_the_disk_is_refused() {
    let app = TestApp::start_local_with(|config| {
        config.storage.reserve = true;
        config.storage.min_free_bytes = 1 << 52;
    })
    .await;
    let refused = assert_error(start(&app, "f", 1).await, 507, "INSUFFICIENT_STORAGE", &[]).await;
    assert!(!refused["message"].as_str().unwrap().contains("bytes free"), "the state of the disk is not for clients");
    app.assert_nothing_left();
    assert_eq!(counted(&app).await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn sparse_parts_that_would_leave_too_little_of_the_disk_are_refused_before_their_body() {
    let mut app = TestApp::start_local().await;
    let data = bytes(1, 1000);
    let session = app.upload(1000, json!({})).await;
    let old_address = app.address.to_string();
    app.configure(|config| config.storage.min_free_bytes = 1 << 52).await;
    let url = session.part_url(0).replace(&old_address, &app.address.to_string());
    assert_error(app.put(&url, &data).await, 507, "INSUFFICIENT_STORAGE", &[]).await;
    assert_eq!(session.status(&app).await["missing_parts"], json!([0]));
    // Giving it up works all the same.
    app.configure(|config| config.storage.min_free_bytes = 1).await;
    let url = session.part_url(0).replace(&old_address, &app.address.to_string());
    assert_eq!(app.put(&url, &data).await.status(), 200);
    let record: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(record["size"], 1000);
}
