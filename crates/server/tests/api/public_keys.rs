//! Strangers with a public key may add files, and nothing to those of others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use partway_server::Config;
use partway_server::db::api_keys::Permissions;
use partway_server::db::{Durability, usage, workspaces};
use partway_server::service::key::create_public_key;
use partway_server::service::workspace::create_workspace;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{MIB, Session, TestApp, assert_error, bytes};
use crate::auth::new_key;
use crate::fsck::check;
use crate::peers::allow_loopback;

const START: &str = "/api/v1/multipart/start";
const LIMITED: &str = "STORAGE_LIMIT_EXCEEDED";

/// Somebody who has a public key of the first workspace.
struct Stranger<'a> {
    app: &'a TestApp,
    key: String,
}

impl<'a> Stranger<'a> {
    fn of(app: &'a TestApp) -> Self {
        Self { app, key: app.public_key.clone() }
    }

    /// With a key of its own, which may do more.
    async fn with(app: &'a TestApp, permissions: Permissions) -> Self {
        let made = app.app().db.write(Durability::PowerLoss, move |tx| {
            let workspace = workspaces::list(tx)?.remove(0);
            create_public_key(tx, &workspace, permissions)
        });
        Self { app, key: made.await.unwrap().key }
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.app.request_with(&self.key, Method::POST, path).json(body).send().await.unwrap()
    }

    async fn try_start(&self, size: u64, more: Value) -> Response {
        let mut body = json!({"file_name": "file.bin", "size": size, "format": "bin"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post(START, &body).await
    }

    async fn start(&self, size: u64, more: Value) -> Session {
        let response = self.try_start(size, more).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        Session { start: response.json().await.unwrap() }
    }

    async fn complete(&self, session: &Session) -> Response {
        self.post("/api/v1/multipart/complete", &json!({"session_id": session.id()})).await
    }

    /// In parts, from start to end.
    async fn upload(&self, data: &[u8], more: Value) -> Value {
        let session = self.start(data.len() as u64, more).await;
        session.put_all(self.app, data).await;
        let response = self.complete(&session).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        response.json().await.unwrap()
    }

    /// In one request; the fields before `"file"` come before the file, the others after it.
    async fn try_whole(&self, data: &[u8], fields: &[(&str, &str)]) -> Response {
        let mut form = Form::new();
        for (name, value) in fields {
            form = match *name {
                "file" => form.part("file", Part::bytes(data.to_vec()).file_name("upload")),
                name => form.text(name.to_owned(), (*value).to_owned()),
            };
        }
        let request = self.app.request_with(&self.key, Method::POST, "/api/v1/uploads");
        request.multipart(form).send().await.unwrap()
    }

    async fn whole(&self, data: &[u8], folder: &str, name: &str) -> Value {
        let response = self.try_whole(data, &[("folder", folder), ("file_name", name), ("file", "")]).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        response.json().await.unwrap()
    }
}

async fn refused(response: Response, named: &[&str]) {
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_error(response, 409, "FILE_EXISTS", named).await;
}

#[tokio::test]
async fn a_file_of_another_key_is_never_replaced() {
    let app = TestApp::start().await;
    let (stranger, data) = (Stranger::of(&app), bytes(1, 1000));
    let others = Stranger::with(&app, Permissions::default()).await;
    let of_owner = app.whole(&data, &[("folder", "downloads"), ("file_name", "a.exe")]).await;
    let of_others = others.whole(&data, "downloads", "b.exe").await;
    let of_nobody = app.whole(&data, &[("folder", "downloads"), ("file_name", "c.exe")]).await;
    app.sql("UPDATE files SET api_key_id = NULL WHERE name = 'c.exe'");
    for record in [&of_owner, &of_others, &of_nobody] {
        let name = record["name"].as_str().unwrap();
        let path = format!("downloads/{name}");
        let started = stranger.try_start(6, json!({"folder": "downloads", "file_name": name})).await;
        refused(started, &["`file_name`", &path, "random_prefix"]).await;
        // The name comes before the file, after it, or is a part of another spelling of the path.
        for fields in [
            [("folder", "downloads"), ("file_name", name), ("file", "")],
            [("file", ""), ("folder", "/downloads//"), ("file_name", name)],
            [("file_name", name), ("file", ""), ("folder", "downloads")],
        ] {
            refused(stranger.try_whole(b"attack", &fields).await, &["`file_name`", &path]).await;
        }
        let served = app.get(&app.url_of(record)).await;
        assert!(served.bytes().await.unwrap() == data, "{path} has other bytes");
    }
    assert_eq!((app.count("files"), app.count("sessions")), (3, 0));
    // Outside of it there is room.
    stranger.whole(b"own", "downloads", "d.exe").await;
    stranger.upload(b"own", json!({"folder": "downloads", "file_name": "a.exe", "random_prefix": true})).await;
}

#[tokio::test]
async fn own_files_may_be_replaced() {
    let app = TestApp::start().await;
    let stranger = Stranger::of(&app);
    let first = stranger.upload(b"first", json!({"file_name": "a", "folder": "in"})).await;
    let second = stranger.whole(b"second", "in", "a").await;
    let third = stranger.upload(b"third", json!({"file_name": "a", "folder": "in"})).await;
    assert_eq!((&first["url"], &second["url"]), (&second["url"], &third["url"]));
    assert_eq!(app.get(&app.url_of(&third)).await.text().await.unwrap(), "third");
    assert_eq!(app.count("files"), 1);
    // Nor does anything keep the owner from it.
    app.whole(b"owner's", &[("file_name", "a"), ("folder", "in")]).await;
    refused(stranger.try_start(1, json!({"file_name": "a", "folder": "in"})).await, &["in/a"]).await;
}

#[tokio::test]
async fn a_path_taken_meanwhile_costs_the_upload_nothing() {
    let app = TestApp::start().await;
    let (stranger, data) = (Stranger::of(&app), bytes(1, 1000));
    let open = |name: &str| stranger.start(1000, json!({"file_name": name, "folder": "in"}));
    let (completed, given_up) = (open("a").await, open("b").await);
    for session in [&completed, &given_up] {
        session.put_all(&app, &data).await;
    }
    let of_owner = app.whole(b"owner's", &[("folder", "in"), ("file_name", "a")]).await;
    app.whole(b"owner's", &[("folder", "in"), ("file_name", "b")]).await;
    for session in [&completed, &given_up] {
        refused(stranger.complete(session).await, &["`file_name`"]).await;
        // A file published for a stranger is a stranger's, with whichever key it is completed.
        refused(session.complete(&app).await, &["`file_name`"]).await;
        let status = session.status(&app).await;
        assert_eq!((&status["status"], &status["missing_parts"]), (&json!("uploading"), &json!([])));
    }
    assert_eq!(app.get(&app.url_of(&of_owner)).await.text().await.unwrap(), "owner's");
    // The owner makes room, and the upload goes on from where it was.
    let rename = format!("/api/v1/files/{}/rename", of_owner["file_no"].as_str().unwrap());
    assert_eq!(app.request(Method::PATCH, &rename).json(&json!({"name": "kept"})).send().await.unwrap().status(), 200);
    let response = stranger.complete(&completed).await;
    assert_eq!(response.status(), 201, "{:?}", response.text().await);
    let record: Value = response.json().await.unwrap();
    assert!(app.get(&app.url_of(&record)).await.bytes().await.unwrap() == data);
    let aborted = app.request_with(&stranger.key, Method::DELETE, &given_up.path()).send().await.unwrap();
    assert_eq!(aborted.status(), 204);
    assert_eq!(app.count("files"), 3);
}

#[tokio::test]
async fn a_start_that_is_repeated_answers_its_session_even_if_its_path_is_taken_now() {
    let app = TestApp::start().await;
    let body = json!({"file_name": "a", "size": 5, "format": "bin"});
    let start = || {
        let request = app.request_with(&app.public_key, Method::POST, START).header("idempotency-key", "k");
        async { request.json(&body).send().await.unwrap() }
    };
    let first: Value = start().await.json().await.unwrap();
    app.whole(b"owner's", &[("file_name", "a")]).await;
    let again = start().await;
    assert_eq!(again.status(), 201);
    assert_eq!(again.json::<Value>().await.unwrap()["session_id"], first["session_id"]);
}

#[tokio::test]
async fn a_form_for_a_path_that_is_taken_is_refused_before_its_file_is_read() {
    let app = TestApp::start().await;
    app.whole(b"owner's", &[("folder", "in"), ("file_name", "a")]).await;
    let field =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let begun = field("folder", "in")
        + &field("file_name", "a")
        + "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nthe first bytes";
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Length: 1000000\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n",
        app.public_key
    );
    let answer = app.raw(head + &begun).await;
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("FILE_EXISTS"), "{answer}");
    assert_eq!(app.count("garbage"), 0, "a blob was begun");
}

#[tokio::test]
async fn a_key_that_may_replace_does() {
    let app = TestApp::start().await;
    let trusted = Stranger::with(&app, Permissions { may_replace: true, ..Permissions::default() }).await;
    app.whole(b"owner's", &[("file_name", "a")]).await;
    trusted.whole(b"one", "", "a").await;
    app.whole(b"owner's", &[("file_name", "a")]).await;
    let record = trusted.upload(b"two", json!({"file_name": "a"})).await;
    assert_eq!(app.get(&app.url_of(&record)).await.text().await.unwrap(), "two");
    assert_eq!(app.count("files"), 1);
}

#[tokio::test]
async fn a_file_that_the_owner_moved_is_the_owners() {
    let app = TestApp::start().await;
    let stranger = Stranger::of(&app);
    let record = stranger.whole(b"reviewed", "inbox", "a").await;
    let path = format!("/api/v1/files/{}/rename", record["file_no"].as_str().unwrap());
    let moved = app.request(Method::PATCH, &path).json(&json!({"folder": "published"})).send().await.unwrap();
    assert_eq!(moved.status(), 200);
    let moved: Value = moved.json().await.unwrap();
    refused(stranger.try_start(1, json!({"folder": "published", "file_name": "a"})).await, &["published/a"]).await;
    assert_eq!(app.get(&app.url_of(&moved["data"])).await.text().await.unwrap(), "reviewed");
}

#[tokio::test]
async fn a_key_with_a_random_prefix_gives_every_upload_one() {
    let app = TestApp::start().await;
    let stranger = Stranger::with(&app, Permissions { random_prefix: true, ..Permissions::default() }).await;
    app.whole(b"owner's", &[("file_name", "a")]).await;
    let records = [
        stranger.whole(b"1", "", "a").await,
        stranger.whole(b"2", "", "a").await,
        stranger.upload(b"3", json!({"file_name": "a"})).await,
        stranger.upload(b"4", json!({"file_name": "a", "random_prefix": false})).await,
    ];
    for record in records {
        let name = record["name"].as_str().unwrap();
        assert!(name.len() == 10 && name.ends_with("-a"), "{name}");
    }
    assert_eq!(app.count("files"), 5);
}

#[tokio::test]
async fn webhooks_are_named_by_keys_that_may() {
    let app = TestApp::start_with(allow_loopback).await;
    // Nobody listens there, so that events stay in the queue.
    let url = "http://127.0.0.1:1/one";
    let stranger = Stranger::of(&app);
    let started = stranger.try_start(1, json!({"webhook_url": url})).await;
    assert_error(started, 403, "FORBIDDEN", &["`webhook_url`", "--may-name-webhooks"]).await;
    for fields in [
        [("webhook_url", url), ("file_name", "x"), ("file", "")],
        [("file", ""), ("file_name", "x"), ("webhook_url", url)],
    ] {
        let whole = stranger.try_whole(b"x", &fields).await;
        assert_error(whole, 403, "FORBIDDEN", &["`webhook_url`", "--may-name-webhooks"]).await;
    }
    // An empty one is none.
    assert_eq!(stranger.try_whole(b"x", &[("webhook_url", ""), ("file_name", "x"), ("file", "")]).await.status(), 201);
    assert_eq!((app.count("sessions"), app.count("files"), app.count("deliveries")), (0, 1, 0));

    let trusted = Stranger::with(&app, Permissions { may_name_webhooks: true, ..Permissions::default() }).await;
    trusted.upload(b"y", json!({"file_name": "y", "webhook_url": url})).await;
    let fields = [("webhook_url", url), ("file_name", "z"), ("file", "")];
    assert_eq!(trusted.try_whole(b"z", &fields).await.status(), 201);
    assert_eq!(app.count("deliveries"), 2);
}

#[tokio::test]
async fn a_stranger_learns_nothing_of_the_files_of_others() {
    let app = TestApp::start().await;
    let stranger = Stranger::of(&app);
    app.whole(b"the owner has it", &[("file_name", "a")]).await;
    for name in ["b", "c"] {
        // The first is new to the stranger; the second is a copy of the stranger's own.
        let record = stranger.whole(b"the owner has it", "", name).await;
        assert_eq!(record["is_duplicate"], name == "c", "{record}");
    }
    if app.is_local() {
        let record = stranger.upload(b"the owner has it", json!({"file_name": "d"})).await;
        assert_eq!(record["is_duplicate"], true);
    }
}

#[tokio::test]
async fn the_receiver_that_a_stranger_names_learns_nothing_of_the_file_that_was_replaced() {
    let app = TestApp::start_with(allow_loopback).await;
    let url = "http://127.0.0.1:1/one";
    let all = Permissions { may_replace: true, may_name_webhooks: true, random_prefix: false };
    let trusted = Stranger::with(&app, all).await;
    app.whole(b"owner's", &[("file_name", "a")]).await;
    app.app()
        .db
        .write(Durability::PowerLoss, |tx| {
            let workspace = workspaces::list(tx)?.remove(0);
            let every = vec!["file.created".to_owned(), "file.replaced".to_owned()];
            partway_server::db::webhooks::insert(
                tx,
                &partway_server::db::webhooks::Webhook {
                    id: uuid::Uuid::now_v7(),
                    workspace_id: workspace.id,
                    url: "http://127.0.0.1:1/two".into(),
                    events: every,
                    created_at: partway_server::db::Timestamp::now(),
                    events_forgotten: 0,
                },
            )
        })
        .await
        .unwrap();
    let queued = |url: &str| {
        app.text(&format!("SELECT event || payload FROM deliveries WHERE url = '{url}' ORDER BY sequence DESC LIMIT 1"))
    };
    trusted.upload(b"one", json!({"file_name": "a", "webhook_url": url})).await;
    assert!(queued(url).starts_with("file.created") && !queued(url).contains("replaced"), "{}", queued(url));
    assert!(queued("http://127.0.0.1:1/two").starts_with("file.replaced"));
    // Its own file is no secret.
    trusted.upload(b"two", json!({"file_name": "a", "webhook_url": url})).await;
    assert!(queued(url).starts_with("file.replaced") && queued(url).contains("\"replaced\""), "{}", queued(url));
}

#[tokio::test]
async fn the_largest_file_of_a_stranger_is_smaller() {
    let app = TestApp::start_with(|config| config.limits.public_max_file_bytes = 100).await;
    let stranger = Stranger::of(&app);
    let named = ["100 bytes", "limits.public_max_file_bytes"];
    assert_error(stranger.try_start(101, json!({})).await, 413, "FILE_TOO_LARGE", &named).await;
    let whole = stranger.try_whole(&bytes(1, 101), &[("file_name", "x"), ("file", "")]).await;
    assert_error(whole, 413, "FILE_TOO_LARGE", &named).await;
    stranger.start(100, json!({})).await;
    stranger.whole(&bytes(1, 100), "", "x").await;
    app.upload(101, json!({})).await;
}

#[tokio::test]
async fn open_uploads_of_a_key_and_of_all_have_limits_in_number_and_bytes() {
    let app = TestApp::start_with(|config| {
        config.limits.public_key_sessions = 2;
        config.limits.public_sessions = 3;
        config.limits.public_key_bytes = 1000;
        config.limits.public_bytes = 1500;
    })
    .await;
    let (one, other) = (Stranger::of(&app), Stranger::with(&app, Permissions::default()).await);
    let first = one.start(600, json!({})).await;
    assert_error(
        one.try_start(401, json!({})).await,
        403,
        LIMITED,
        &["`size` is 401", "400", "limits.public_key_bytes"],
    )
    .await;
    one.start(10, json!({})).await;
    assert_error(one.try_start(1, json!({})).await, 403, LIMITED, &["limits.public_key_sessions"]).await;
    let message = ["`size` is 900", "limits.public_bytes"];
    let body = assert_error(other.try_start(900, json!({})).await, 403, LIMITED, &message).await;
    assert!(!body["message"].as_str().unwrap().contains("610"), "the usage of others is revealed: {body}");
    other.start(5, json!({})).await;
    assert_error(other.try_start(1, json!({})).await, 403, LIMITED, &["limits.public_sessions"]).await;
    // The owner is kept from nothing.
    app.upload(5000, json!({})).await;
    // A session that has ended counts no more.
    assert_eq!(app.request_with(&one.key, Method::DELETE, &first.path()).send().await.unwrap().status(), 204);
    one.start(900, json!({})).await;
}

/// The open sessions of the public keys, as they are counted.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_all_public_keys_hold_however_many_workspaces_start_at_once() {
    const WORKSPACES: usize = 6;
    let app = TestApp::start_with(|config| {
        config.limits.public_sessions = 7;
        config.limits.public_bytes = 1000;
    })
    .await;
    let made = app.app().db.write(Durability::PowerLoss, |tx| {
        let workspace = |number| create_workspace(tx, &format!("workspace {number}"));
        let key = |number| create_public_key(tx, &workspace(number)?, Permissions::default());
        (0..WORKSPACES).map(key).collect::<Result<Vec<_>, _>>()
    });
    let keys: Vec<String> = made.await.unwrap().into_iter().map(|made| made.key).collect();
    // By number, then by bytes: of 300 each three find room.
    for (size, allowed) in [(1, 7), (300, 3)] {
        let starts = (0..10 * WORKSPACES).map(|number| {
            let stranger = Stranger { app: &app, key: keys[number % WORKSPACES].clone() };
            async move { stranger.try_start(size, json!({"file_name": format!("{size}-{number}")})).await }
        });
        let answers = futures_util::future::join_all(starts).await;
        let (started, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 201);
        assert_eq!(started.len(), allowed, "of {size} bytes each");
        for answer in refused {
            assert_error(answer, 403, LIMITED, &["limits.public_"]).await;
        }
        app.sql("UPDATE sessions SET expires_at = 1");
        app.app().uploads.expire_overdue().await.unwrap();
        assert_eq!(app.count("sessions WHERE status = 'uploading'"), 0);
    }
}

fn counted(app: &TestApp) -> (i64, i64) {
    let sum = |column: &str| {
        app.database.number(&format!("SELECT CAST(sum({column}) AS BIGINT) FROM api_keys WHERE kind = 'public'"))
    };
    (sum("sessions_count"), sum("sessions_bytes"))
}

#[tokio::test]
async fn every_end_of_a_session_is_counted_for_its_key() {
    let app = TestApp::start().await;
    let stranger = Stranger::of(&app);
    app.upload(1000, json!({})).await;
    assert_eq!(counted(&app), (0, 0));
    let (completed, aborted) = (stranger.start(5, json!({"file_name": "a"})).await, stranger.start(7, json!({})).await);
    stranger.start(11, json!({})).await;
    assert_eq!(counted(&app), (3, 23));
    completed.put_all(&app, b"12345").await;
    assert_eq!(stranger.complete(&completed).await.status(), 201);
    assert_eq!(counted(&app), (2, 18));
    aborted.abort(&app).await;
    assert_eq!(counted(&app), (1, 11));
    app.sql("UPDATE sessions SET expires_at = 1 WHERE status = 'uploading' AND size_bytes = 11");
    app.app().uploads.expire_overdue().await.unwrap();
    app.until("it expires", |app| counted(app) == (0, 0)).await;
    assert_eq!(app.database.number("SELECT CAST(sum(sessions_count) AS BIGINT) FROM api_keys"), 1);
}

#[tokio::test]
async fn fsck_counts_the_sessions_of_keys_again() {
    let app = TestApp::start().await;
    Stranger::of(&app).start(7, json!({})).await;
    app.sql("UPDATE api_keys SET sessions_count = 5, sessions_bytes = 500 WHERE kind = 'public'");
    let miscounted = || async {
        let count = app.app().db.read(|tx| usage::miscounted_keys(tx, workspaces::list(tx)?[0].id));
        count.await.unwrap()
    };
    assert_eq!(miscounted().await, 1);
    let report = check(&app, false, true, false).await;
    assert!(
        report.findings.iter().any(|finding| finding.detail.contains("wrong counters of 0 folders and 1 keys")),
        "{report:?}"
    );
    assert_eq!((counted(&app), miscounted().await), ((1, 7), 0));
    assert_eq!(check(&app, false, false, false).await.findings, []);
}

#[tokio::test]
async fn the_disk_keeps_its_share_for_private_keys() {
    let mut app = TestApp::start_local_with(|config| config.limits.public_disk_percent = 0).await;
    let fields = [("file_name", "x"), ("file", "")];
    {
        let stranger = Stranger::of(&app);
        let named = ["`size` is 1;", "limits.public_disk_percent"];
        assert_error(stranger.try_start(1, json!({})).await, 403, LIMITED, &named).await;
        app.upload(1, json!({})).await;
        // A file that comes whole has no session.
        assert_eq!(stranger.try_whole(b"x", &fields).await.status(), 201);
    }
    app.configure(|config| {
        config.limits.public_disk_percent = 100;
        config.limits.public_keep_free_percent = 100;
    })
    .await;
    let stranger = Stranger::of(&app);
    let named = ["limits.public_keep_free_percent"];
    assert_error(stranger.try_start(1, json!({})).await, 403, LIMITED, &named).await;
    assert_error(stranger.try_whole(b"x", &fields).await, 403, LIMITED, &named).await;
    app.upload(1, json!({})).await;
}

#[tokio::test]
async fn no_session_of_a_stranger_becomes_older_than_it_may() {
    let app = TestApp::start_with(|config| config.limits.public_session_age_seconds = Duration::from_secs(100)).await;
    let stranger = Stranger::of(&app);
    let named = ["`ttl_seconds` is 101", "100", "limits.public_session_age_seconds"];
    assert_error(stranger.try_start(1, json!({"ttl_seconds": 101})).await, 400, "INVALID_TTL", &named).await;
    // The contract's default is longer; this is then the default.
    let session = stranger.start(1, json!({})).await;
    let end = session.start["expire_at"].as_i64().unwrap();
    assert!(end <= now_seconds() + 100);
    let parts = format!("{}/parts", session.path());
    for _ in 0..2 {
        let resigned = stranger.post(&parts, &json!({"ttl_seconds": 3600})).await;
        assert_eq!(resigned.status(), 200);
        assert!(resigned.json::<Value>().await.unwrap()["expire_at"].as_i64().unwrap() <= end);
    }
    assert_eq!(session.status(&app).await["expire_at"].as_i64().unwrap(), end);
    // The owner may let it live on, and the stranger goes on with it no longer than before.
    assert_eq!(session.resign(&app, &json!({"ttl_seconds": 3600})).await.status(), 200);
    assert!(session.status(&app).await["expire_at"].as_i64().unwrap() > end + 3000);
}

fn now_seconds() -> i64 {
    partway_server::db::Timestamp::now().unix_seconds()
}

/// How much of the disk the only blob has taken, and how long it is.
fn blob_of(app: &TestApp) -> (u64, u64) {
    let shards = std::fs::read_dir(app.directory.path().join("blobs")).unwrap();
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let metadata = files.next().unwrap().unwrap().metadata().unwrap();
    (metadata.blocks() * 512, metadata.len())
}

#[tokio::test]
async fn room_is_taken_part_by_part() {
    let mut app = TestApp::start_local_with(|config| config.storage.reserve = true).await;
    let size = 25 * MIB;
    let data = bytes(1, size);
    let session = Stranger::of(&app).start(size, json!({})).await;
    assert_eq!(blob_of(&app), (0, 0));
    assert_eq!(counted(&app), (1, 25 * 1024 * 1024), "it counts from the beginning");
    app.restart().await;
    session.status(&app).await;
    assert_eq!(blob_of(&app), (0, 0), "opening it takes no room");

    // There is no room for it: the part is refused, and the session stays.
    app.configure(|config| config.limits.public_keep_free_percent = 100).await;
    let path = session.part_path(1).to_owned();
    let refused = app.put(&app.url(&path), session.part(&data, 1)).await;
    assert_error(refused, 507, "INSUFFICIENT_STORAGE", &[]).await;
    assert_eq!((blob_of(&app), session.status(&app).await["status"].clone()), ((0, 0), json!("uploading")));

    app.configure(|config| config.limits.public_keep_free_percent = 0).await;
    assert_eq!(app.put(&app.url(&path), session.part(&data, 1)).await.status(), 200);
    let (taken, length) = blob_of(&app);
    assert!((10 * MIB..11 * MIB).contains(&taken) && length == size, "not the room of one part: {taken} of {length}");
    // It is opened again. The next part needs room of its own, and the first one stays in every case.
    app.configure(|config| config.limits.public_keep_free_percent = 100).await;
    let path = session.part_path(2).to_owned();
    let refused = app.put(&app.url(&path), session.part(&data, 2)).await;
    assert_error(refused, 507, "INSUFFICIENT_STORAGE", &[]).await;
    assert_eq!((blob_of(&app), session.status(&app).await["missing_parts"].clone()), ((taken, size), json!([0, 2])));
    app.configure(|config| config.limits.public_keep_free_percent = 0).await;
    for index in [2, 0] {
        let path = session.part_path(index).to_owned();
        assert_eq!(app.put(&app.url(&path), session.part(&data, index)).await.status(), 200);
    }
    // All of its bytes have their room: sending some of them again asks for none.
    app.configure(|config| config.limits.public_keep_free_percent = 100).await;
    let path = session.part_path(1).to_owned();
    assert_eq!(app.put(&app.url(&path), session.part(&data, 1)).await.status(), 200);
    let response = Stranger::of(&app).complete(&session).await;
    assert_eq!(response.status(), 201);
    let record: Value = response.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_byte_takes_no_room_and_changes_nothing() {
    let app = TestApp::start_local_with(|config| config.storage.reserve = true).await;
    let data = bytes(1, 25 * MIB);
    let session = Stranger::of(&app).start(25 * MIB, json!({})).await;
    let head = |index: usize| {
        let (path, address) = (session.part_path(index), app.address);
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            session.part(&data, index).len()
        );
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // Sent when the body is asked for: all that comes before it is done.
        let mut continue_line = [0; 25];
        stream.read_exact(&mut continue_line).unwrap();
        assert_eq!(&continue_line, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    };
    let first = head(0);
    assert_eq!(blob_of(&app), (0, 0));
    drop(first);
    let path = session.part_path(0).to_owned();
    assert_eq!(app.put(&app.url(&path), session.part(&data, 0)).await.status(), 200);
    let before = blob_of(&app);
    drop((head(0), head(1)));
    assert_eq!((blob_of(&app), session.status(&app).await["missing_parts"].clone()), (before, json!([1, 2])));
}

#[tokio::test]
async fn the_room_of_private_uploads_is_taken_at_once() {
    let app = TestApp::start_local_with(|config| config.storage.reserve = true).await;
    app.upload(3 * MIB, json!({})).await;
    assert!(blob_of(&app).0 >= 3 * MIB);
}

#[tokio::test]
async fn uploads_of_strangers_make_a_bounded_number_of_folders() {
    let app = TestApp::start_with(|config| config.limits.public_key_folders = 3).await;
    let stranger = Stranger::of(&app);
    app.whole(b"x", &[("folder", "there"), ("file_name", "x")]).await;
    stranger.whole(b"x", "there/a/b", "x").await;
    let named = ["`folder`", "2 folders do not exist", "1 new ones", "limits.public_key_folders"];
    assert_error(stranger.try_start(1, json!({"folder": "there/c/d"})).await, 403, LIMITED, &named).await;
    let whole = stranger.try_whole(b"x", &[("folder", "there/c/d"), ("file_name", "y"), ("file", "")]).await;
    assert_error(whole, 403, LIMITED, &named).await;
    assert_eq!(app.count("folders WHERE path <> ''"), 3, "what is refused makes no folder");
    stranger.upload(b"x", json!({"folder": "there/c"})).await;
    // Those that are there may be used; the owner may make more; other keys have their own.
    stranger.whole(b"x", "there/a/b", "y").await;
    assert_error(stranger.try_start(1, json!({"folder": "e"})).await, 403, LIMITED, &["limits.public_key_folders"])
        .await;
    app.whole(b"x", &[("folder", "e/f/g/h/i"), ("file_name", "x")]).await;
    Stranger::with(&app, Permissions::default()).await.whole(b"x", "j/k/l", "x").await;
    // Two were begun when there was room for both: the second finds none when it is completed, and keeps its parts.
    app.sql("UPDATE folders SET public_key_id = NULL WHERE path = 'there/c'");
    let (first, second) =
        (stranger.start(1, json!({"folder": "m"})).await, stranger.start(1, json!({"folder": "n"})).await);
    for session in [&first, &second] {
        session.put_all(&app, b"x").await;
    }
    assert_eq!(stranger.complete(&first).await.status(), 201);
    assert_error(stranger.complete(&second).await, 403, LIMITED, &["`folder`"]).await;
    assert_eq!(second.status(&app).await["status"], "uploading");
}

#[tokio::test]
async fn a_full_workspace_does_not_say_how_full_it_is() {
    let app = TestApp::start_with(|config| {
        config.limits.workspace_storage_bytes = Some(1000);
        config.limits.open_sessions = Some(1);
    })
    .await;
    let stranger = Stranger::of(&app);
    app.whole(&bytes(1, 777), &[("file_name", "owner's")]).await;
    let answers = [
        stranger.try_start(500, json!({})).await,
        stranger.try_whole(&bytes(2, 500), &[("file_name", "x"), ("file", "")]).await,
    ];
    for answer in answers {
        let body = assert_error(answer, 403, LIMITED, &["no room left"]).await;
        let message = body["message"].as_str().unwrap();
        assert!(!["777", "223", "1000"].iter().any(|number| message.contains(number)), "{message}");
    }
    app.upload(1, json!({})).await;
    let body = assert_error(stranger.try_start(1, json!({})).await, 403, LIMITED, &["open sessions"]).await;
    assert!(!body["message"].as_str().unwrap().contains(char::is_numeric), "{body}");
}

/// A workspace of 1,000 bytes and three open sessions, of which a stranger has taken all without sending a byte.
async fn taken_whole(configure: impl FnOnce(&mut Config)) -> (TestApp, Vec<Session>) {
    let app = TestApp::start_with(|config| {
        config.limits.workspace_storage_bytes = Some(1000);
        config.limits.open_sessions = Some(3);
        configure(config);
    })
    .await;
    let stranger = Stranger::of(&app);
    let mut theirs = Vec::new();
    for (number, size) in [300, 300, 400].into_iter().enumerate() {
        theirs.push(stranger.start(size, json!({"file_name": format!("theirs-{number}")})).await);
    }
    assert_error(stranger.try_start(1, json!({})).await, 403, LIMITED, &["no room left"]).await;
    (app, theirs)
}

#[tokio::test]
async fn open_uploads_of_strangers_take_no_room_of_a_workspace_from_private_keys() {
    let (app, theirs) = taken_whole(|_| {}).await;
    let stranger = Stranger::of(&app);
    let whole = app.whole(&bytes(1, 400), &[("file_name", "whole")]).await;
    let mut own = Vec::new();
    for number in 0..3 {
        own.push(app.upload(200, json!({"file_name": format!("own-{number}")})).await);
    }
    // To the byte, and as if nobody else were there.
    let start = async |size: u64| app.post(START, &json!({"file_name": "more", "size": size, "format": "bin"})).await;
    assert_error(start(1).await, 403, LIMITED, &["`size` is 1;", "at most 0 bytes", "1000"]).await;
    assert_eq!(own.pop().unwrap().abort(&app).await.status(), 204);
    assert_error(start(201).await, 403, LIMITED, &["`size` is 201;", "at most 200 bytes"]).await;
    own.push(app.upload(200, json!({"file_name": "own-3"})).await);
    // Their files have the room that this leaves, and wait for it.
    theirs[0].put_all(&app, &bytes(2, 300)).await;
    assert_error(stranger.complete(&theirs[0]).await, 403, LIMITED, &["no room left"]).await;
    assert_eq!(theirs[0].status(&app).await["status"], "uploading");
    for session in &own {
        session.put_all(&app, &bytes(3, 200)).await;
        assert_eq!(session.complete(&app).await.status(), 201);
    }
    assert_error(stranger.complete(&theirs[0]).await, 403, LIMITED, &["no room left"]).await;
    let path = format!("/api/v1/files/{}", whole["file_no"].as_str().unwrap());
    assert_eq!(app.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(stranger.complete(&theirs[0]).await.status(), 201);
    // With their file the workspace has 900 bytes.
    assert_error(start(101).await, 403, LIMITED, &["at most 100 bytes"]).await;
    assert_eq!(start(100).await.status(), 201);
}

#[tokio::test]
async fn open_uploads_of_strangers_take_no_place_among_the_sessions_of_private_keys() {
    let (app, theirs) = taken_whole(|_| {}).await;
    for number in 0..3 {
        app.upload(1, json!({"file_name": format!("own-{number}")})).await;
    }
    let more = app.post(START, &json!({"file_name": "more", "size": 1, "format": "bin"})).await;
    assert_error(more, 403, LIMITED, &["3 open sessions"]).await;
    // A public key gets a permit when one is free in addition to all keys' share.
    for session in &theirs {
        assert_eq!(session.abort(&app).await.status(), 204);
    }
    let body = assert_error(Stranger::of(&app).try_start(1, json!({})).await, 403, LIMITED, &["open sessions"]).await;
    assert!(!body["message"].as_str().unwrap().contains(char::is_numeric), "{body}");
}

#[tokio::test]
async fn every_end_of_a_strangers_session_is_counted_for_its_workspace() {
    let (app, theirs) = taken_whole(|config| config.limits.public_session_age_seconds = Duration::from_secs(100)).await;
    let counted = async || {
        let usage = app.app().db.read(usage::list).await.unwrap().remove(0);
        (usage.sessions, usage.public_sessions)
    };
    let amount = |count, bytes| usage::Amount { count, bytes };
    app.upload(10, json!({})).await;
    assert_eq!(counted().await, (amount(4, 1010), amount(3, 1000)));
    theirs[0].put_all(&app, &bytes(1, 300)).await;
    assert_eq!(Stranger::of(&app).complete(&theirs[0]).await.status(), 201);
    assert_eq!(counted().await, (amount(3, 710), amount(2, 700)));
    assert_eq!(theirs[1].abort(&app).await.status(), 204);
    assert_eq!(counted().await, (amount(2, 410), amount(1, 400)));
    app.sql("UPDATE sessions SET expires_at = 1 WHERE status = 'uploading' AND size_bytes = 400");
    app.app().uploads.expire_overdue().await.unwrap();
    app.until("it expires", |app| app.count("sessions WHERE status = 'expired'") == 1).await;
    assert_eq!(counted().await, (amount(1, 10), amount(0, 0)));
    let report = check(&app, false, false, false).await;
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn private_keys_know_no_limit_of_public_ones() {
    let app = TestApp::start_with(|config| {
        config.limits.public_max_file_bytes = 1;
        config.limits.public_key_sessions = 1;
        config.limits.public_key_bytes = 1;
        config.limits.public_bytes = 1;
        config.limits.public_disk_percent = 0;
        config.limits.public_keep_free_percent = 100;
        config.limits.public_session_age_seconds = Duration::from_secs(1);
        config.limits.public_key_folders = 1;
        allow_loopback(config);
    })
    .await;
    let other = new_key(&app, partway_server::db::api_keys::KeyKind::Private, false).await;
    app.whole(b"one", &[("file_name", "a"), ("folder", "b/c/d")]).await;
    let data = bytes(1, 100);
    for key in [&app.private_key, &other] {
        let owner = Stranger { app: &app, key: key.clone() };
        let more = json!({"file_name": "a", "folder": "b/c/d", "ttl_seconds": 604_800, "webhook_url": "http://127.0.0.1:1/one"});
        owner.upload(&data, more).await;
    }
}
