//! Lists and searches of one workspace keep nobody else waiting.

use std::time::{Duration, Instant};

use partway_server::db::api_keys::KeyKind;
use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::{TestApp, assert_error};
use crate::auth::new_key;
use crate::services::Services;

/// Finds nothing in any name.
const SEARCH: &str = "/api/v1/files?search=nowhere";

/// Another workspace with so many files, and a key of it.
async fn crowded_workspace(app: &TestApp, files: u32) -> String {
    app.whole(b"x", &[("file_name", "a")]).await;
    let key = new_key(app, KeyKind::Private, true).await;
    let of_new = "(SELECT id FROM workspaces WHERE name = 'other')";
    app.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {files}) \
         INSERT INTO files (id, file_no, workspace_id, folder_id, name, name_folded, blob_id, size_bytes, mime_type, format, \
         tags, upload_source, is_duplicate, created_at, updated_at, storage, origin_id) \
         SELECT f.id || i, i, {of_new}, {of_new}, 'a file with the number ' || i, 'a file with the number ' || i, f.blob_id || i, \
         1, f.mime_type, f.format, f.tags, f.upload_source, f.is_duplicate, f.created_at, f.updated_at, f.storage, f.id \
         FROM files f, n"
    ));
    app.sql(&format!("UPDATE workspaces SET files_count = {files}, files_bytes = {files} WHERE id = {of_new}"));
    app.sql(&format!("UPDATE folders SET files_count = {files}, files_bytes = {files} WHERE id = {of_new}"));
    key
}

/// Takes the rows away again: there are no bytes to them.
fn empty_workspace(app: &TestApp) {
    let of_new = "(SELECT id FROM workspaces WHERE name = 'other')";
    app.sql(&format!("DELETE FROM files WHERE workspace_id = {of_new}"));
    for table in ["workspaces", "folders"] {
        app.sql(&format!("UPDATE {table} SET files_count = 0, files_bytes = 0 WHERE id = {of_new}"));
    }
}

/// A search whose answer nobody has taken yet.
async fn begin_search(app: &TestApp, key: &str) -> TcpStream {
    let mut connection = TcpStream::connect(app.address).await.unwrap();
    let request = format!("GET {SEARCH} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

async fn search(app: &TestApp, key: &str) -> Duration {
    let began = Instant::now();
    let answer = app.request_with(key, Method::GET, SEARCH).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["meta"]["total"], 0);
    began.elapsed()
}

#[tokio::test]
async fn searches_of_one_workspace_abandoned_or_waited_for_keep_no_other_waiting() {
    let app = TestApp::start_on(Services { postgres: false, s3: false }, |_| {}).await;
    let crowded = crowded_workspace(&app, 100_000).await;
    let record = app.whole(b"ours", &[("file_name", "ours")]).await;
    search(&app, &crowded).await;
    let alone = search(&app, &crowded).await;

    let mut waiting = Vec::new();
    for number in 0..400 {
        let connection = begin_search(&app, &crowded).await;
        // The others go away at once.
        if number % 4 == 0 {
            waiting.push(connection);
        }
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(app.look("/api/v1/files?search=ours").await["meta"]["total"], 1);
        assert_eq!(app.get(&app.url_of(&record)).await.text().await.unwrap(), "ours");
        slowest = slowest.max(began.elapsed());
    }
    // One after the other on two readers, those that wait alone are more than thirty times one.
    let allowed = (alone * 8).max(Duration::from_millis(500));
    assert!(slowest < allowed, "{slowest:?} beside searches that take {alone:?} alone");
    drop(waiting);
    // Nothing of them is left to do.
    let after = search(&app, &crowded).await;
    assert!(after < allowed, "{after:?}, {alone:?} alone");
    empty_workspace(&app);
}

#[tokio::test]
async fn a_workspace_with_too_many_searches_that_wait_is_told_so() {
    let app = TestApp::start_on(Services { postgres: false, s3: false }, |_| {}).await;
    let crowded = crowded_workspace(&app, 100_000).await;
    let asked = (0..200).map(|_| app.request_with(&crowded, Method::GET, SEARCH).send());
    let answers = futures_util::future::join_all(asked).await;
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().map(Result::unwrap).partition(|answer| answer.status() == 200);
    assert!(served.len() >= 64, "{}", served.len());
    assert!(!refused.is_empty());
    for answer in refused {
        assert!(answer.headers().contains_key("retry-after"));
        assert_error(answer, 503, "SERVICE_UNAVAILABLE", &["too many lists and searches of this workspace"]).await;
    }
    empty_workspace(&app);
}
