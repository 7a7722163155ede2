//! Lists and searches of one workspace delay no other workspace.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use partway_server::config::DatabaseUrl;
use partway_server::db::api_keys::KeyKind;
use partway_testing::Postgres;
use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::{TestApp, assert_error};
use crate::auth::new_key;
use crate::encryption::encrypt;
use crate::services::{Database, Services};

/// Finds nothing in any name.
const SEARCH: &str = "/api/v1/files?search=nowhere";

/// Another workspace with this many files, and a key of it.
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
    let app = TestApp::start_local().await;
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
    assert!(slowest < allowed, "{slowest:?} during searches that take {alone:?} alone");
    drop(waiting);
    // Nothing of them is left to do.
    let after = search(&app, &crowded).await;
    assert!(after < allowed, "{after:?}, {alone:?} alone");
    empty_workspace(&app);
}

/// Keeps scans of a workspace on all the readers that it may have, until the returned guard is dropped.
async fn occupy(app: &TestApp, workspace_id: uuid::Uuid) -> Vec<mpsc::Sender<()>> {
    // Two of three readers of SQLite, and three of half of eight connections.
    let readers = if app.app().db.is_shared() { 3 } else { 2 };
    let mut held = Vec::new();
    for _ in 0..readers {
        let (hold, until_dropped) = mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let db = app.app().db.clone();
        tokio::spawn(async move {
            let scan = db.scan(workspace_id, move |_| {
                begun.send(()).unwrap();
                let _ = until_dropped.recv();
                Ok(())
            });
            scan.await
        });
        has_begun.await.unwrap();
        held.push(hold);
    }
    held
}

#[tokio::test]
async fn a_workspace_with_too_many_waiting_searches_is_answered_503() {
    let app = TestApp::start_local().await;
    let workspace_id: uuid::Uuid = app.text("SELECT id FROM workspaces").parse().unwrap();
    let other = new_key(&app, KeyKind::Private, true).await;
    let held = occupy(&app, workspace_id).await;
    let asked: Vec<_> = (0..200).map(|_| tokio::spawn(app.request(Method::GET, SEARCH).send())).collect();
    // All but those that may wait are refused while nothing is served.
    app.until("the others are refused", |_| asked.iter().filter(|answer| answer.is_finished()).count() == 200 - 64)
        .await;
    search(&app, &other).await;
    drop(held);
    let answers = join_all(asked).await;
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().map(|answer| answer.unwrap().unwrap()).partition(|answer| answer.status() == 200);
    assert_eq!((served.len(), refused.len()), (64, 200 - 64));
    for answer in refused {
        assert!(answer.headers().contains_key("retry-after"));
        assert_error(answer, 503, "SERVICE_UNAVAILABLE", &["too many lists and searches of this workspace"]).await;
    }
}

const ON_POSTGRES: Services = Services { postgres: true, s3: false };
const FOLDERS: &str = "/api/v1/folders";

/// Every list of folders takes a minute from now on. Jobs of the server, which read otherwise, do not.
fn slow_down(app: &TestApp) {
    app.sql("ALTER TABLE folders RENAME TO real_folders");
    app.sql(
        "CREATE FUNCTION slow_folders() RETURNS SETOF real_folders LANGUAGE plpgsql \
         AS 'BEGIN \
             IF current_setting(''transaction_isolation'') = ''repeatable read'' THEN PERFORM pg_sleep(60); END IF; \
             RETURN QUERY SELECT * FROM real_folders; \
         END'",
    );
    app.sql("CREATE VIEW folders AS SELECT * FROM slow_folders()");
}

fn speed_up(app: &TestApp) {
    app.sql("DROP VIEW folders");
    app.sql("DROP FUNCTION slow_folders");
    app.sql("ALTER TABLE real_folders RENAME TO folders");
}

/// Statements on this database that sleep.
fn sleeping(app: &TestApp) -> i64 {
    app.count("pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
}

async fn ask(app: &TestApp, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(app.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\r\n", app.private_key);
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn lists_that_hang_in_postgresql_keep_no_look_up_and_no_other_workspace_waiting() {
    let app = TestApp::start_on(ON_POSTGRES, |_| {}).await;
    let session = app.upload(1, serde_json::json!({})).await;
    let other = new_key(&app, KeyKind::Private, true).await;
    slow_down(&app);
    let mut waiting = Vec::new();
    for _ in 0..60 {
        waiting.push(ask(&app, FOLDERS).await);
    }
    app.until("the lists hang", |app| sleeping(app) == 3).await;
    let began = Instant::now();
    for _ in 0..20 {
        let path = format!("/api/v1/multipart/{}", session.id());
        assert_eq!(app.request(Method::GET, &path).send().await.unwrap().status(), 200);
        let listed = app.request_with(&other, Method::GET, "/api/v1/multipart").send().await.unwrap();
        assert_eq!(listed.status(), 200);
    }
    // A look-up that waits for one of them waits for its limit.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(sleeping(&app), 3, "no workspace has more than all but one of half of the connections");
    drop(waiting);
    app.until("the lists have ended", |app| sleeping(app) == 0).await;
    speed_up(&app);
    assert_eq!(app.look(FOLDERS).await["folders"], serde_json::json!([]));
}

#[tokio::test]
async fn a_list_in_postgresql_whose_client_goes_away_is_cancelled_on_the_server_encrypted_or_not() {
    for is_encrypted in [false, true] {
        let server = Postgres::start();
        let url = server.create_database();
        if is_encrypted {
            encrypt(&Database::Postgres(url.clone()));
        }
        let mut app = TestApp::start_on(ON_POSTGRES, |config| {
            config.database.url = Some(DatabaseUrl::new(url.clone()));
        })
        .await;
        app.database = Database::Postgres(url);
        let of_us = "pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'partway' AND s.ssl";
        assert_eq!(app.count(of_us) > 0, is_encrypted);
        slow_down(&app);
        let client = ask(&app, FOLDERS).await;
        app.until("the list hangs", |app| sleeping(app) == 1).await;
        let began = Instant::now();
        drop(client);
        app.until("the list is cancelled", |app| sleeping(app) == 0).await;
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
        speed_up(&app);
        assert_eq!(app.look(FOLDERS).await["folders"], serde_json::json!([]));
        // Before its database and its directory go.
        app.stop.cancel();
        app.running.take().unwrap().await.unwrap();
    }
}

#[tokio::test]
async fn a_list_in_postgresql_that_takes_too_long_is_ended_with_503() {
    let app = TestApp::start_on(ON_POSTGRES, |_| {}).await;
    slow_down(&app);
    let began = Instant::now();
    let answer = app.request(Method::GET, FOLDERS).send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_error(answer, 503, "SERVICE_UNAVAILABLE", &["took too long"]).await;
    app.until("it has ended on the server", |app| sleeping(app) == 0).await;
    speed_up(&app);
    assert_eq!(app.look(FOLDERS).await["folders"], serde_json::json!([]));
}
