//! Requests that succeed, of every group of endpoints.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::Wire;
use crate::app::{MIB, TestApp, bytes};
use crate::peers::{Peer, allow_loopback, file};

fn text<'v>(body: &'v Value, member: &str) -> &'v str {
    body[member].as_str().unwrap_or_else(|| panic!("{member} of {body}"))
}

#[tokio::test]
async fn an_upload_in_parts_is_answered_as_reviewed() {
    let app = TestApp::start().await;
    let mut wire = Wire::new(&app);
    let data = bytes(1, 10 * MIB + 3);
    let start = json!({
        "file_name": "big-video.mp4", "size": data.len(), "format": "video/mp4", "folder": "uploads/videos",
        "tags": ["campaign", "raw"], "metadata": {"k": 1}, "custom_id": "mine",
    });
    let started = wire.call(Method::POST, "/api/v1/multipart/start", start).await;
    let session = format!("/api/v1/multipart/{}", text(&started, "session_id"));
    let parts: Vec<_> = data.chunks(10 * MIB as usize).collect();
    // The text of the larger part's ETag is the store's own with a bucket.
    app.put(started["parts"][0].as_str().unwrap(), parts[0]).await;
    wire.call(Method::GET, &session, Value::Null).await;
    wire.call(Method::POST, &format!("{session}/parts"), json!({"parts": [1], "ttl_seconds": 60})).await;
    app.put(started["parts"][1].as_str().unwrap(), parts[1]).await;
    let complete = json!({"session_id": started["session_id"], "uuid": started["uuid"]});
    wire.call(Method::POST, "/api/v1/multipart/complete", complete).await;
    wire.call(Method::GET, &session, Value::Null).await;
    let other = json!({"file_name": "other", "size": 1, "format": "bin"});
    let other = wire.call(Method::POST, "/api/v1/multipart/start", other).await;
    wire.call(Method::DELETE, &format!("/api/v1/multipart/{}", text(&other, "session_id")), Value::Null).await;
    wire.call(Method::GET, "/api/v1/multipart?limit=2", Value::Null).await;
    wire.assert_is(if app.is_local() { "multipart" } else { "multipart_s3" });
}

#[tokio::test]
async fn a_part_is_answered_as_reviewed() {
    let app = TestApp::start_local().await;
    let mut wire = Wire::new(&app);
    let session = app.upload(3, json!({})).await;
    wire.names.name(session.id(), "id");
    wire.send(app.http.put(session.part_url(0)).header("content-type", "application/octet-stream").body("abc")).await;
    wire.assert_is("part");
}

#[tokio::test]
async fn a_file_in_one_request_and_one_from_a_url_are_answered_as_reviewed() {
    let app = TestApp::start_with(allow_loopback).await;
    let mut wire = Wire::new(&app);
    let fields = [("file_name", "a.txt"), ("folder", "d"), ("tags", "one,two"), ("metadata", r#"{"k":1}"#)];
    let form = fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
    let form = form.text("custom_id", "mine").part("file", Part::bytes(b"words".to_vec()).file_name("upload"));
    wire.send(app.request(Method::POST, "/api/v1/uploads").multipart(form)).await;
    let peer = Peer::start(|_| file("words", &[("content-type", "text/plain")])).await;
    let remote = json!({"remote_url": peer.url("/far.txt"), "tags": ["three"]});
    wire.names.known_as(&peer.url(""), "[other server]");
    wire.call(Method::POST, "/api/v1/uploads/remote", remote).await;
    wire.assert_is("uploads");
}

#[tokio::test]
async fn calls_about_files_are_answered_as_reviewed() {
    let app = TestApp::start().await;
    let mut wire = Wire::new(&app);
    let fields = [("file_name", "a.txt"), ("folder", "d"), ("tags", "one"), ("metadata", r#"{"k":1,"l":2}"#)];
    let record = app.whole(b"words", &fields).await;
    let path = format!("/api/v1/files/{}", text(&record, "file_no"));
    wire.call(Method::GET, "/api/v1/files?search=a&limit=1", Value::Null).await;
    wire.call(Method::GET, &path, Value::Null).await;
    let changes = json!({"add_tags": ["two"], "remove_tags": ["one"], "metadata": {"k": 3, "l": null}});
    wire.call(Method::PATCH, &path, changes).await;
    wire.call(Method::PATCH, &format!("{path}/rename"), json!({"name": "b", "folder": "e"})).await;
    wire.call(Method::DELETE, &format!("{path}?dry_run=true"), Value::Null).await;
    wire.call(Method::DELETE, &path, Value::Null).await;
    wire.assert_is("files");
}

#[tokio::test]
async fn calls_about_folders_are_answered_as_reviewed() {
    let app = TestApp::start().await;
    let mut wire = Wire::new(&app);
    let folder = wire.call(Method::POST, "/api/v1/folders", json!({"name": "uploads"})).await;
    let number = text(&folder, "folder_no");
    wire.call(Method::POST, "/api/v1/folders", json!({"name": "videos", "parent_folder_no": number})).await;
    app.whole(b"words", &[("file_name", "a.txt"), ("folder", "uploads/videos")]).await;
    wire.call(Method::GET, &format!("/api/v1/folders?parent_folder_no={number}"), Value::Null).await;
    wire.call(Method::POST, &format!("/api/v1/folders/rename/{number}"), json!({"name": "media"})).await;
    wire.call(Method::DELETE, &format!("/api/v1/folders/{number}?dry_run=true"), Value::Null).await;
    wire.call(Method::DELETE, &format!("/api/v1/folders/{number}"), Value::Null).await;
    wire.assert_is("folders");
}

#[tokio::test]
async fn contents_are_served_as_reviewed() {
    let app = TestApp::start().await;
    let mut wire = Wire::new(&app);
    let record = app.whole(b"words", &[("file_name", "a.txt")]).await;
    wire.names.learn(&record);
    let url = app.url_of(&record);
    let tag = app.get(&url).await.headers()["etag"].clone();
    // The hash of the file, or the store's own tag.
    wire.names.known_as(tag.to_str().unwrap().trim_matches('"'), "[entity tag]");
    for (name, value) in [
        ("accept", "*/*"),
        ("range", "bytes=1-2"),
        ("range", "bytes=9-"),
        ("if-none-match", tag.to_str().unwrap()),
        ("if-match", "\"other\""),
    ] {
        wire.say(&format!("With {name}: {value}"));
        wire.send(app.http.get(&url).header(name, value)).await;
    }
    wire.say("With if-match: \"other\"");
    wire.send(app.http.head(&url).header("if-match", "\"other\"")).await;
    wire.send(app.http.get(app.url(&format!("/{}/missing.txt", app.workspace_no)))).await;
    wire.send(app.http.get(text(&record, "version_url")).header("range", "bytes=1-2")).await;
    wire.names.learn(&app.whole(b"other", &[("file_name", "a.txt")]).await);
    wire.send(app.http.get(text(&record, "version_url")).header("range", "bytes=1-2")).await;
    wire.assert_is("delivery");
}

#[tokio::test]
async fn health_and_readiness_are_answered_as_reviewed() {
    let app = TestApp::start().await;
    let mut wire = Wire::new(&app);
    wire.send(app.http.get(app.url("/healthz"))).await;
    wire.send(app.http.get(app.url("/readyz"))).await;
    wire.assert_is("service");
}
