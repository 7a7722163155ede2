//! Things that end with a key that is revoked, and things that go on.

use bytes::Bytes;
use futures_util::stream;
use partway_server::db::api_keys::KeyKind;
use partway_server::db::{DbError, Durability, sessions, workspaces};
use partway_server::service::key::{create_key, revoke_key};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::app::{MIB, Session, TestApp, assert_error, bytes};
use crate::services::{Database, Services};

impl TestApp {
    /// A further key of the workspace: its id and itself.
    pub(crate) async fn new_key(&self, kind: KeyKind) -> (String, String) {
        let made = self.app().db.write(Durability::Process, move |tx| {
            let workspace = workspaces::list(tx)?.remove(0);
            create_key(tx, &workspace, kind)
        });
        let made = made.await.unwrap();
        (made.stored.id.to_string(), made.key)
    }

    /// Starts an upload with this key.
    pub(crate) async fn upload_with(&self, key: &str, size: u64) -> Session {
        let body = json!({"file_name": "file.bin", "size": size, "format": "application/octet-stream"});
        let request = self.http.post(self.url("/api/v1/multipart/start")).bearer_auth(key).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        Session { start: response.json().await.unwrap() }
    }

    /// Revokes a key as the command does while the server runs: in the database alone.
    pub(crate) async fn revoke(&self, id: &str, keeps_sessions: bool) {
        let id = id.to_owned();
        let revoked = self.app().db.write(Durability::PowerLoss, move |tx| revoke_key(tx, &id, keeps_sessions));
        revoked.await.unwrap().unwrap();
    }

    fn open_sessions(&self) -> i64 {
        self.count("sessions WHERE status = 'uploading'")
    }
}

#[tokio::test]
async fn part_urls_of_a_revoked_key_are_refused_at_once_and_its_sessions_end() {
    let app = TestApp::start_local().await;
    for kind in [KeyKind::Public, KeyKind::Private] {
        let (id, key) = app.new_key(kind).await;
        let data = bytes(1, 15 * MIB);
        let session = app.upload_with(&key, data.len() as u64).await;
        // The session is open in the memory of the server.
        session.put_part(&app, &data, 0).await;
        let others = app.upload(15 * MIB, json!({"file_name": "others"})).await;
        app.revoke(&id, false).await;
        for _ in 0..2 {
            let refused = app.put(session.part_url(1), session.part(&data, 1)).await;
            assert_error(refused, 403, "FORBIDDEN", &["revoked"]).await;
        }
        app.until("its session ends", |app| app.open_sessions() == 1).await;
        assert_eq!(session.status(&app).await["status"], "aborted");
        assert_error(app.put(session.part_url(0), session.part(&data, 0)).await, 403, "FORBIDDEN", &["revoked"]).await;
        assert_error(session.complete(&app).await, 410, "SESSION_ABORTED", &[]).await;
        app.until("its bytes are freed", |app| app.has_blobs(1) && app.count("garbage") == 0).await;
        // Another key's session goes on.
        others.put_part(&app, &data, 1).await;
        assert_eq!(others.abort(&app).await.status(), 204);
        app.until("all is gone", |app| app.has_blobs(0)).await;
    }
}

/// Whether the only blob begins with a byte that was sent.
fn has_first_byte(app: &TestApp) -> bool {
    let shards = std::fs::read_dir(app.directory.path().join("blobs")).unwrap();
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.any(|file| std::fs::read(file.unwrap().path()).unwrap().first() == Some(&1))
}

#[tokio::test]
async fn a_part_that_is_on_its_way_when_the_key_is_revoked_is_cut_off() {
    let app = TestApp::start_local().await;
    let (id, key) = app.new_key(KeyKind::Public).await;
    let session = app.upload_with(&key, 1000).await;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let body = reqwest::Body::wrap_stream(Box::pin(body));
    let url = session.part_url(0).to_owned();
    let sending = tokio::spawn(app.http.put(url).header("content-length", 1000).body(body).send());
    sender.send(Ok(Bytes::from_static(&[1; 500]))).await.unwrap();
    app.until("its first half is written", has_first_byte).await;
    app.revoke(&id, false).await;
    // Nothing more is sent, and nobody waits for the stall timeout.
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), sending).await.unwrap().unwrap();
    if let Ok(answer) = answer {
        assert_error(answer, 410, "SESSION_ABORTED", &[]).await;
    }
    app.until("its bytes are freed", |app| app.has_blobs(0)).await;
}

#[tokio::test]
async fn direct_uploads_of_a_revoked_key_are_not_published() {
    let app = TestApp::start().await;
    let (id, key) = app.new_key(KeyKind::Public).await;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let head = "--b\r\nContent-Disposition: form-data; name=\"file_name\"\r\n\r\nf\r\n\
                --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nfirst";
    let request = app
        .http
        .post(app.url("/api/v1/uploads"))
        .bearer_auth(&key)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(reqwest::Body::wrap_stream(Box::pin(body)));
    let sending = tokio::spawn(request.send());
    sender.send(Ok(head.into())).await.unwrap();
    app.until("the bytes have a row", |app| app.count("garbage") == 1).await;
    app.revoke(&id, false).await;
    sender.send(Ok(" and last\r\n--b--\r\n".into())).await.unwrap();
    drop(sender);
    assert_error(sending.await.unwrap().unwrap(), 403, "FORBIDDEN", &["revoked"]).await;
    app.until("nothing is left", |app| app.count("garbage") == 0 && app.has_blobs(0)).await;
    assert_eq!(app.count("files"), 0);
}

#[tokio::test]
async fn the_store_gives_up_what_a_revoked_key_was_sending_to_it() {
    let app = TestApp::start_on(Services { s3: true, ..Services::of_this_run() }, |_| {}).await;
    let (id, key) = app.new_key(KeyKind::Public).await;
    let data = bytes(2, 15 * MIB);
    let session = app.upload_with(&key, data.len() as u64).await;
    session.put_part(&app, &data, 0).await;
    app.revoke(&id, false).await;
    app.until("the store has nothing", |app| app.has_blobs(0)).await;
    // The store refuses the part, perhaps before it has read it.
    if let Ok(answer) = app.http.put(session.part_url(1)).body(session.part(&data, 1).to_vec()).send().await {
        assert_eq!(answer.status(), 404, "the store took a part");
    }
    assert!(app.has_blobs(0));
    assert_error(session.complete(&app).await, 410, "SESSION_ABORTED", &[]).await;
}

#[tokio::test]
async fn a_revocation_reaches_every_node() {
    let app = TestApp::start_on(Services { postgres: true, s3: true }, |_| {}).await;
    let node = app.another_node().await;
    let elsewhere = app.upload_on(&node, 15 * MIB).await;
    let here = app.upload(15 * MIB, json!({"file_name": "here"})).await;
    let spare = app.new_key(KeyKind::Private).await.1;
    app.revoke(&app.private_key, false).await;
    for path in [&elsewhere, &here.path()] {
        assert_eq!(node.call(&app, Method::GET, path, None).await.0, 401);
        assert_eq!(app.request(Method::GET, path).send().await.unwrap().status(), 401);
    }
    app.until("all have ended", |app| app.open_sessions() == 0 && app.has_blobs(0)).await;
    for path in [elsewhere, here.path()] {
        let seen: Value = app.http.get(app.url(&path)).bearer_auth(&spare).send().await.unwrap().json().await.unwrap();
        assert_eq!(seen["status"], "aborted", "{seen}");
    }
    node.stop().await;
}

#[tokio::test]
async fn sessions_that_are_kept_go_on_with_their_urls_and_may_be_ended_later() {
    let app = TestApp::start().await;
    let data = bytes(3, 15 * MIB);
    let (id, key) = app.new_key(KeyKind::Public).await;
    let (first, second) = (app.upload_with(&key, data.len() as u64).await, app.upload_with(&key, 5).await);
    app.revoke(&id, true).await;
    let body = json!({"file_name": "f", "size": 1, "format": "bin"});
    let start = app.http.post(app.url("/api/v1/multipart/start")).bearer_auth(&key).json(&body).send().await.unwrap();
    assert_error(start, 401, "UNAUTHORIZED", &["revoked"]).await;
    first.put_all(&app, &data).await;
    // The key itself completes nothing any more; a private key of the workspace does.
    let complete = json!({"session_id": first.id()});
    let by_key = app.http.post(app.url("/api/v1/multipart/complete")).bearer_auth(&key).json(&complete);
    assert_error(by_key.send().await.unwrap(), 401, "UNAUTHORIZED", &[]).await;
    assert_eq!(first.complete(&app).await.status(), 201);
    assert_eq!(app.open_sessions(), 1, "a kept session has ended");
    // Revoked once more, without keeping them, they end; and that cannot be taken back.
    app.revoke(&id, false).await;
    app.revoke(&id, true).await;
    app.until("the other one ends", |app| app.open_sessions() == 0).await;
    assert_eq!(second.status(&app).await["status"], "aborted");
    app.until("its bytes are freed", |app| app.has_blobs(1)).await;
}

#[tokio::test]
async fn many_sessions_of_a_revoked_key_end_in_steps() {
    let app = TestApp::start_local().await;
    let (id, key) = app.new_key(KeyKind::Public).await;
    for _ in 0..230 {
        app.upload_with(&key, 1).await;
    }
    app.revoke(&id, false).await;
    app.until("all have ended", |app| app.open_sessions() == 0).await;
    app.until("their bytes are freed", |app| app.has_blobs(0) && app.count("garbage") == 0).await;
}

#[tokio::test]
async fn a_server_that_starts_after_the_revocation_ends_the_sessions() {
    let mut app = TestApp::start().await;
    let (id, key) = app.new_key(KeyKind::Public).await;
    app.upload_with(&key, 10).await;
    app.restart_after(|app| {
        app.sql(&format!("UPDATE api_keys SET revoked_at = 1, keeps_sessions = FALSE WHERE id = '{id}'"));
    })
    .await;
    app.until("its session ends", |app| app.open_sessions() == 0 && app.has_blobs(0)).await;
}

/// Changes rows as a tool could that knows nothing of the checks of the schema, or as a later version with other ones does.
fn sql_without_checks(app: &TestApp, table: &str, column: &str, statement: &str) {
    match &app.database {
        Database::Sqlite(path) => {
            let database = rusqlite::Connection::open(path).unwrap();
            database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            database.execute_batch(&format!("PRAGMA ignore_check_constraints = ON; {statement}")).unwrap();
        }
        Database::Postgres(_) => {
            app.sql(&format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_{column}_check"));
            app.sql(statement);
        }
    }
}

/// A kind that this version does not know may be that of a key with fewer rights.
#[tokio::test]
async fn a_key_of_unknown_kind_opens_nothing() {
    let app = TestApp::start().await;
    for kind in ["admin", "", "Private", "PUBLIC", "readonly"] {
        let statement = format!("UPDATE api_keys SET kind = '{kind}'");
        sql_without_checks(&app, "api_keys", "kind", &statement);
        for key in [&app.private_key, &app.public_key] {
            for path in ["/api/v1/files", "/api/v1/multipart"] {
                let answer = app.http.get(app.url(path)).bearer_auth(key).send().await.unwrap();
                assert_error(answer, 500, "INTERNAL", &[]).await;
            }
        }
    }
}

/// Each column whose text or number stands for one of a few things: another value is an error, and never the most that it
/// could mean.
#[tokio::test]
async fn values_that_no_version_writes_are_errors() {
    let app = TestApp::start_local().await;
    let session = app.upload(10, json!({})).await;
    let record = app.whole(b"x", &[("file_name", "f")]).await;
    let file = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    let cases = [
        ("sessions", "status", "'paused'", "'uploading'"),
        ("sessions", "storage", "'tape'", "'local'"),
        ("sessions", "size_bytes", "-1", "10"),
        ("sessions", "metadata", "'{'", "NULL"),
        ("files", "storage", "'tape'", "'local'"),
        ("files", "size_bytes", "-1", "1"),
        ("files", "tags", "'x'", "'[]'"),
    ];
    let id = session.id().parse().unwrap();
    for (table, column, bad, good) in cases {
        sql_without_checks(&app, table, column, &format!("UPDATE {table} SET {column} = {bad}"));
        // The server's own session is open in its memory: the row alone is looked at.
        let of_session = app.app().db.read(move |tx| sessions::find(tx, id)).await;
        let of_file = app.request(Method::GET, &file).send().await.unwrap().status();
        app.sql(&format!("UPDATE {table} SET {column} = {good}"));
        let is_corrupt = matches!(of_session, Err(DbError::Corrupt { .. }));
        assert_eq!((is_corrupt, of_file == 500), (table == "sessions", table == "files"), "{table}.{column} = {bad}");
    }
    assert_eq!(session.abort(&app).await.status(), 204);
}

#[tokio::test]
async fn parts_of_a_revoked_key_are_not_published_with_any_key() {
    let app = TestApp::start().await;
    let (id, key) = app.new_key(KeyKind::Private).await;
    let data = bytes(1, 3);
    let session = app.upload_with(&key, data.len() as u64).await;
    session.put_all(&app, &data).await;
    app.revoke(&id, false).await;
    // The job that ends its sessions may or may not have come first.
    let refused = session.complete(&app).await;
    assert!([403, 410].contains(&refused.status().as_u16()), "{}", refused.status());
    assert_eq!(app.count("files"), 0);
    let (id, key) = app.new_key(KeyKind::Private).await;
    let session = app.upload_with(&key, data.len() as u64).await;
    session.put_all(&app, &data).await;
    app.revoke(&id, true).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}
