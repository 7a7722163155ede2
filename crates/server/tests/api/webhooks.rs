//! Events, and their delivery to webhooks.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::IntoResponse;
use http::StatusCode;
use partway_server::Config;
use partway_server::db::api_keys::KeyKind;
use partway_server::db::{Durability, Timestamp, webhook_deliveries, webhooks};
use partway_server::service::event::EventKind;
use partway_server::service::key::create_key;
use partway_server::service::webhook;
use partway_server::service::workspace::create_workspace;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{TestApp, assert_error};
use crate::peers::{Asked, NameServer, Peer, allow_loopback};
use crate::services::Services;

fn impatient(config: &mut Config) {
    allow_loopback(config);
    config.webhooks.first_pause_seconds = Duration::from_secs(1);
    config.webhooks.timeout_seconds = Duration::from_secs(3);
}

impl TestApp {
    pub(crate) async fn subscribe(&self, url: String, events: &'static [EventKind]) -> Uuid {
        let workspace_id: Uuid = self.text("SELECT id FROM workspaces").parse().unwrap();
        let added = self.app().db.write(Durability::Process, move |tx| webhook::add(tx, workspace_id, url, events));
        added.await.unwrap().id
    }

    pub(crate) async fn delete_file(&self, record: &Value) {
        let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
        assert_eq!(self.call(Method::DELETE, &path, Value::Null).await.status(), 204);
    }
}

/// Type and data of an event.
fn event(asked: &Asked) -> (String, Value) {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    (body["type"].as_str().unwrap().to_owned(), body["data"].clone())
}

fn events(peer: &Peer) -> Vec<String> {
    peer.asked().iter().map(|asked| event(asked).0).collect()
}

#[tokio::test]
async fn an_event_of_which_nothing_can_be_noted_is_held_back_for_as_long_as_if_it_were_put_off() {
    let services = Services { postgres: false, ..Services::of_this_run() };
    for (status, note) in [(StatusCode::SERVICE_UNAVAILABLE, "UPDATE"), (StatusCode::OK, "DELETE")] {
        let mut app = TestApp::start_on(services, |config| {
            impatient(config);
            config.webhooks.first_pause_seconds = Duration::from_secs(600);
        })
        .await;
        app.sql(&format!(
            "CREATE TRIGGER no_note BEFORE {note} ON deliveries BEGIN SELECT RAISE(ABORT, 'no note can be made'); END"
        ));
        let (peer, other) = (Peer::start(move |_| status.into_response()).await, Peer::obliging().await);
        app.subscribe(peer.url("/"), &[EventKind::FileCreated]).await;
        app.whole(b"1", &[("file_name", "f")]).await;
        app.until("it is delivered once", |_| peer.asked().len() == 1).await;
        // Others are delivered meanwhile, for longer than the pause of the dispatcher itself.
        app.subscribe(other.url("/"), &[EventKind::FileDeleted]).await;
        for round in 0..6 {
            let record = app.whole(b"2", &[("file_name", "g"), ("folder", "d")]).await;
            app.delete_file(&record).await;
            app.until("others are delivered", |_| other.asked().len() > round).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let first = event(&peer.asked()[0]);
        assert_eq!(peer.asked().iter().filter(|asked| event(asked) == first).count(), 1, "it was delivered again");
        // It is not lost over it.
        app.sql("DROP TRIGGER no_note");
        app.restart().await;
        app.until("it is delivered again", |_| peer.asked().iter().filter(|asked| event(asked) == first).count() == 2)
            .await;
    }
}

#[tokio::test]
async fn subscribers_are_notified_of_changes_of_files_signed_and_in_order() {
    let app = TestApp::start_with(impatient).await;
    let peer = Peer::obliging().await;
    let id = app.subscribe(peer.url("/all"), &EventKind::ALL).await;
    let first = app.whole(b"1", &[("file_name", "f"), ("folder", "d"), ("custom_id", "mine")]).await;
    let second = app.upload_whole(b"22", json!({"file_name": "f", "folder": "d"})).await;
    app.delete_file(&second).await;
    app.until("all are delivered", |_| peer.asked().len() == 3).await;
    assert_eq!(events(&peer), ["file.created", "file.replaced", "file.deleted"]);
    let (_, created) = event(&peer.asked()[0]);
    assert_eq!((&created["id"], &created["url"], &created["custom_id"]), (&first["id"], &first["url"], &json!("mine")));
    let (_, replaced) = event(&peer.asked()[1]);
    assert_eq!((&replaced["id"], &replaced["replaced"]["id"]), (&second["id"], &first["id"]));
    let named = [&created["version_url"], &replaced["version_url"]];
    assert_eq!(named, [&first["version_url"], &second["version_url"]]);
    assert!(named[0].is_string() && named[0] != named[1], "{named:?}");
    // Standard Webhooks.
    let secret = app.app().signer.secret(id);
    let receiver = standardwebhooks::Webhook::new(&secret).unwrap();
    for asked in peer.asked() {
        receiver.verify(&asked.body, &asked.headers).unwrap();
        assert_eq!(asked.headers["content-type"], "application/json");
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["type", "timestamp", "data"]);
    }
    app.until("the outbox is empty", |app| app.count("deliveries") == 0).await;
}

#[tokio::test]
async fn each_webhook_gets_the_events_it_wants_and_an_upload_may_name_one() {
    let app = TestApp::start_with(impatient).await;
    let (deletions, named) = (Peer::obliging().await, Peer::obliging().await);
    app.subscribe(deletions.url("/"), &[EventKind::FileDeleted]).await;
    let direct = app.whole(b"1", &[("file_name", "a"), ("webhook_url", &named.url("/direct"))]).await;
    app.upload_whole(b"2", json!({"file_name": "b", "webhook_url": named.url("/multipart")})).await;
    app.delete_file(&direct).await;
    app.until("all are delivered", |_| named.asked().len() == 2 && deletions.asked().len() == 1).await;
    let mut paths: Vec<_> = named.asked().into_iter().map(|asked| asked.path).collect();
    paths.sort();
    assert_eq!((events(&named), paths), (vec!["file.created".into(); 2], vec!["/direct".into(), "/multipart".into()]));
    assert_eq!(events(&deletions), ["file.deleted"]);
    // The secret of these is the API key's, and nobody else's.
    let id = |query: &str| -> Uuid { app.text(query).parse().unwrap() };
    let verified = |id| {
        let receiver = standardwebhooks::Webhook::new(&app.app().signer.secret(id)).unwrap();
        named.asked().iter().filter(|asked| receiver.verify(&asked.body, &asked.headers).is_ok()).count()
    };
    assert_eq!(verified(id("SELECT id FROM api_keys WHERE kind = 'private'")), 2);
    assert_eq!(verified(id("SELECT id FROM api_keys WHERE kind = 'public'")), 0);
    assert_eq!(verified(id("SELECT id FROM workspaces")), 0);
}

#[tokio::test]
async fn events_from_before_keys_had_secrets_are_signed_with_the_workspaces() {
    let app = TestApp::start_with(impatient).await;
    let peer = Peer::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    app.whole(b"1", &[("file_name", "f"), ("webhook_url", &peer.url("/"))]).await;
    app.until("it was tried", |_| !peer.asked().is_empty()).await;
    app.sql("UPDATE deliveries SET api_key_id = NULL");
    peer.answers(|_| StatusCode::OK.into_response());
    app.until("it is delivered", |app| app.count("deliveries") == 0).await;
    let workspace_id: Uuid = app.text("SELECT id FROM workspaces").parse().unwrap();
    let receiver = standardwebhooks::Webhook::new(&app.app().signer.secret(workspace_id)).unwrap();
    let sent = peer.asked().pop().unwrap();
    receiver.verify(&sent.body, &sent.headers).unwrap();
}

#[tokio::test]
async fn an_upload_that_expires_is_an_event() {
    let app = TestApp::start_with(impatient).await;
    let (peer, named) = (Peer::obliging().await, Peer::obliging().await);
    app.subscribe(peer.url("/"), &EventKind::ALL).await;
    let session = app.upload(10, json!({"file_name": "late", "custom_id": "x", "webhook_url": named.url("/")})).await;
    app.sql("UPDATE sessions SET expires_at = 1");
    app.app().uploads.expire_overdue().await.unwrap();
    app.until("it is delivered", |_| peer.asked().len() == 1 && named.asked().len() == 1).await;
    let (kind, data) = event(&peer.asked()[0]);
    assert_eq!((kind.as_str(), data["session_id"].as_str().unwrap()), ("upload.expired", session.id()));
    assert_eq!((&data["file_name"], &data["size"], &data["custom_id"]), (&json!("late"), &json!(10), &json!("x")));
    // An aborted one is not.
    let aborted = app.upload(10, json!({})).await;
    assert_eq!(aborted.abort(&app).await.status(), 204);
    app.until("nothing more waits", |app| app.count("deliveries") == 0).await;
    assert_eq!(peer.asked().len(), 1);
}

#[tokio::test]
async fn every_file_of_a_deleted_folder_is_an_event() {
    let app = TestApp::start_with(impatient).await;
    let peer = Peer::obliging().await;
    for number in 0..30 {
        app.whole(b"x", &[("file_name", &format!("{number}")), ("folder", &format!("d/{}", number % 3))]).await;
    }
    app.subscribe(peer.url("/"), &EventKind::ALL).await;
    let folder = app.look("/api/v1/folders").await["folders"][0]["folder_no"].as_str().unwrap().to_owned();
    app.call(Method::DELETE, &format!("/api/v1/folders/{folder}"), Value::Null).await;
    app.until("all are delivered", |_| peer.asked().len() == 30).await;
    let sent: std::collections::BTreeSet<_> =
        peer.asked().iter().map(|asked| event(asked).1["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent.len(), 30);
    for asked in peer.asked() {
        let (_, data) = event(&asked);
        let (path, url) = (data["path"].as_str().unwrap(), data["url"].as_str().unwrap());
        assert!(path.starts_with("d/") && url.ends_with(path) && !url.contains("///"), "{data}");
    }
}

#[tokio::test]
async fn many_receivers_that_are_down_do_not_keep_one_that_is_up_from_its_turn() {
    let app = TestApp::start_with(impatient).await;
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let up = Peer::obliging().await;
    for number in 0..150 {
        let url = format!("http://{down}/{number}");
        app.whole(b"x", &[("file_name", &format!("{number}")), ("webhook_url", &url)]).await;
    }
    app.whole(b"x", &[("file_name", "last"), ("webhook_url", &up.url("/zzz"))]).await;
    app.until("it is delivered", |_| up.asked().len() == 1).await;
}

#[tokio::test]
async fn a_webhook_url_that_becomes_too_long_is_refused_and_not_the_completion() {
    let app = TestApp::start_with(impatient).await;
    let long = format!("http://127.0.0.1/{}", "文".repeat(300));
    let refused = app.send_whole(vec![1], &[("file_name", "f"), ("webhook_url", &long)]).await;
    crate::app::assert_error(refused, 400, "INVALID_PARAMETER", &["webhook_url", "2048"]).await;
    // The longest that is taken can be kept.
    let url = format!("http://127.0.0.1:9/{}", "x".repeat(2048 - 19));
    let record = app.whole(b"1", &[("file_name", "f"), ("webhook_url", &url)]).await;
    assert_eq!(record["size"], 1);
}

#[tokio::test]
async fn a_failed_event_is_sent_again_with_the_same_id_and_holds_up_its_own_file_alone() {
    let app = TestApp::start_with(impatient).await;
    let peer = Peer::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    app.subscribe(peer.url("/"), &EventKind::ALL).await;
    let file = app.whole(b"1", &[("file_name", "f")]).await;
    app.until("it was tried", |_| !peer.asked().is_empty()).await;
    // From here on only what happens to other files is taken.
    let id = file["id"].as_str().unwrap().to_owned();
    peer.answers(move |asked| match event(asked).1["id"] == json!(id) {
        true => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        false => StatusCode::OK.into_response(),
    });
    app.delete_file(&file).await;
    let other = app.whole(b"2", &[("file_name", "other")]).await;
    app.until("the other file's is delivered", |_| {
        peer.asked().iter().any(|asked| event(asked).1["id"] == other["id"])
    })
    .await;
    let of_file =
        |peer: &Peer| peer.asked().into_iter().filter(|asked| event(asked).1["id"] == file["id"]).collect::<Vec<_>>();
    assert!(of_file(&peer).iter().all(|asked| event(asked).0 == "file.created"), "delivered out of order");
    peer.answers(|_| StatusCode::NO_CONTENT.into_response());
    app.until("all are delivered", |app| app.count("deliveries") == 0).await;
    let sent = of_file(&peer);
    assert_eq!(event(sent.last().unwrap()).0, "file.deleted");
    let ids: BTreeMap<_, _> = sent
        .iter()
        .map(|asked| (asked.headers["webhook-id"].clone().to_str().unwrap().to_owned(), event(asked).0))
        .collect();
    assert_eq!(ids.len(), 2, "each event has one id, however often it is sent");
}

#[tokio::test]
async fn an_event_that_is_never_taken_is_kept_and_can_be_replayed() {
    let app = TestApp::start_with(|config| {
        impatient(config);
        config.webhooks.retry_seconds = Duration::from_secs(1);
    })
    .await;
    let peer = Peer::start(|_| StatusCode::GONE.into_response()).await;
    let id = app.subscribe(peer.url("/"), &EventKind::ALL).await;
    let file = app.whole(b"1", &[("file_name", "f")]).await;
    app.delete_file(&file).await;
    app.until("both are given up", |app| app.count("deliveries WHERE dead_at IS NOT NULL") == 2).await;
    let dead = app.app().db.read(webhook_deliveries::list_dead).await.unwrap();
    assert!(
        dead.iter().all(|delivery| delivery.last_error.as_deref() == Some("the receiver answered 410 Gone")
            && delivery.attempts >= 2)
    );
    peer.answers(|_| StatusCode::OK.into_response());
    let before = peer.asked().len();
    let replay = app.app().db.write(Durability::Process, move |tx| webhook_deliveries::replay(tx, Some(id)));
    assert_eq!(replay.await.unwrap(), 2);
    app.until("both are delivered", |app| app.count("deliveries") == 0).await;
    assert_eq!(events(&peer)[before..], ["file.created", "file.deleted"]);
    // A removed webhook gets nothing more.
    app.app().db.write(Durability::Process, move |tx| webhooks::delete(tx, id)).await.unwrap();
    app.whole(b"2", &[("file_name", "g")]).await;
    assert_eq!(app.count("deliveries"), 0);
}

/// Accepts and never answers.
async fn silent() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_slow_receiver_does_not_hold_up_the_others() {
    let app = TestApp::start_with(impatient).await;
    let (_silent, url) = silent().await;
    let good = Peer::obliging().await;
    app.subscribe(url, &EventKind::ALL).await;
    app.subscribe(good.url("/"), &EventKind::ALL).await;
    for number in 0..80 {
        app.whole(b"x", &[("file_name", &format!("{number}"))]).await;
    }
    app.until("the good one knows all", |_| good.asked().len() == 80).await;
    // A row is deleted after the answer.
    app.until("its events leave the outbox", |app| app.count("deliveries") == 80).await;
}

#[tokio::test]
async fn a_slow_receiver_with_many_urls_does_not_hold_up_the_others() {
    let app = TestApp::start_with(|config| {
        impatient(config);
        config.webhooks.timeout_seconds = Duration::from_secs(60);
    })
    .await;
    let (_silent, url) = silent().await;
    let good = Peer::obliging().await;
    app.whole(b"x", &[("file_name", "slow"), ("webhook_url", &url)]).await;
    app.sql(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO deliveries (id, event_id, workspace_id, url, event, subject_id, sequence, payload, created_at, attempts, next_attempt_at) \
         SELECT '01900000-0000-7000-8000-' || CAST(100000000000 + n.i AS TEXT), d.event_id, d.workspace_id, '{url}' || n.i, d.event, \
         '01900000-0000-7000-8000-' || CAST(100000000000 + n.i AS TEXT), d.sequence, d.payload, d.created_at, 0, d.next_attempt_at \
         FROM deliveries d, n"
    ));
    for number in 0..20 {
        let url = good.url(&format!("/{number}"));
        app.whole(b"x", &[("file_name", &format!("{number}")), ("webhook_url", &url)]).await;
    }
    app.until("the good one knows all", |_| good.asked().len() == 20).await;
    // A row is deleted after the answer.
    app.until("its events leave the outbox", |app| app.count("deliveries") == 2001).await;
}

/// Ports of one address that accept and never answer.
async fn silent_ports(address: &str, number: usize) -> Vec<tokio::net::TcpListener> {
    let mut ports = Vec::new();
    for _ in 0..number {
        ports.push(tokio::net::TcpListener::bind((address, 0)).await.unwrap());
    }
    ports
}

fn patient(config: &mut Config) {
    impatient(config);
    // An event for one of them waits longer than a test does.
    config.webhooks.timeout_seconds = Duration::from_secs(300);
    config.outgoing.idle_timeout_seconds = Duration::from_secs(300);
}

impl TestApp {
    /// A private key of another workspace.
    async fn another_workspace(&self) -> String {
        let made = self.app().db.write(Durability::Process, |tx| {
            let workspace = create_workspace(tx, "other")?;
            Ok(create_key(tx, &workspace, KeyKind::Private))
        });
        made.await.unwrap().unwrap().key
    }

    /// One event for each URL.
    async fn tell_all(&self, urls: impl IntoIterator<Item = String>) {
        for (number, url) in urls.into_iter().enumerate() {
            self.whole(b"x", &[("file_name", &format!("silent {number}")), ("webhook_url", &url)]).await;
        }
    }
}

#[tokio::test]
async fn a_workspace_whose_receivers_do_not_answer_does_not_keep_another_one_waiting() {
    let mut app = TestApp::start_with(patient).await;
    let mut ports = Vec::new();
    for host in 2..=9 {
        ports.extend(silent_ports(&format!("127.0.0.{host}"), 5).await);
    }
    let url = |number: usize| format!("http://{}/{number}", ports[number % ports.len()].local_addr().unwrap());
    app.tell_all((0..120).map(url)).await;
    assert_eq!(app.count("deliveries"), 120);
    app.private_key = app.another_workspace().await;
    let good = Peer::obliging().await;
    for number in 0..20 {
        let (name, url) = (format!("good {number}"), good.url(&format!("/{number}")));
        let began = std::time::Instant::now();
        app.whole(b"x", &[("file_name", &name), ("webhook_url", &url)]).await;
        app.until("it is delivered", |_| good.asked().len() == number + 1).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{number}: {:?}", began.elapsed());
    }
    app.until("nothing else was delivered", |app| app.count("deliveries") == 120).await;
}

#[tokio::test]
async fn an_address_that_does_not_answer_at_any_port_or_name_leaves_its_workspace_room_for_others() {
    let names = NameServer::start().await;
    for number in 0..60 {
        names.set(&format!("{number}.example"), &[&["127.0.0.2"]]);
    }
    let app = TestApp::start_with(|config| {
        patient(config);
        config.outgoing.name_servers = vec![names.address];
    })
    .await;
    let ports = silent_ports("127.0.0.2", 30).await;
    let port = |number: usize| ports[number % ports.len()].local_addr().unwrap();
    app.tell_all((0..60).map(|number| format!("http://{}/", port(number)))).await;
    app.tell_all((0..60).map(|number| format!("http://{number}.example:{}/", port(number).port()))).await;
    let good = Peer::obliging().await;
    let began = std::time::Instant::now();
    for number in 0..20 {
        let url = good.url(&format!("/{number}"));
        app.whole(b"x", &[("file_name", &format!("good {number}")), ("webhook_url", &url)]).await;
    }
    app.until("the good one knows all", |_| good.asked().len() == 20).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // At most twelve are connected, under all names of the address.
    let mut connected = Vec::new();
    for port in &ports {
        while let Ok(accepted) = tokio::time::timeout(Duration::from_millis(20), port.accept()).await {
            connected.push(accepted.unwrap());
        }
    }
    assert!((1..=12).contains(&connected.len()), "{}", connected.len());
}

#[tokio::test]
async fn no_event_is_sent_into_a_network_that_is_not_open() {
    let app = TestApp::start_with(|config| {
        impatient(config);
        config.outgoing.allowed_hosts = Default::default();
        config.webhooks.retry_seconds = Duration::from_secs(1);
    })
    .await;
    let peer = Peer::obliging().await;
    // It was added while that was allowed.
    app.subscribe(peer.url("/"), &EventKind::ALL).await;
    app.whole(b"1", &[("file_name", "f")]).await;
    app.until("it is given up", |app| app.count("deliveries WHERE dead_at IS NOT NULL") == 1).await;
    assert!(peer.asked().is_empty());
    assert!(app.text("SELECT last_error FROM deliveries").contains("outgoing.allowed_hosts"));
}

#[tokio::test]
async fn an_event_that_was_not_sent_when_the_server_stopped_is_sent_by_the_next() {
    let mut app = TestApp::start_with(impatient).await;
    let peer = Peer::start(|_| StatusCode::BAD_GATEWAY.into_response()).await;
    app.subscribe(peer.url("/"), &EventKind::ALL).await;
    app.whole(b"1", &[("file_name", "f")]).await;
    app.until("it was tried", |_| !peer.asked().is_empty()).await;
    app.restart().await;
    peer.answers(|_| StatusCode::OK.into_response());
    app.until("it is delivered", |app| app.count("deliveries") == 0).await;
}

#[tokio::test]
async fn a_webhook_that_cannot_be_reached_is_refused_when_an_upload_names_it() {
    let names = NameServer::start().await;
    names.set("app.internal", &[&["10.0.0.5", "fd00::5"]]);
    names.set("hooks.example", &[&["9.9.9.9"]]);
    let app = TestApp::start_with(|config| {
        config.outgoing.name_servers = vec![names.address];
    })
    .await;
    let mut sent = Vec::new();
    for url in
        ["http://10.0.0.5:9/hook", "http://[::1]:9/", "http://app.internal:3000/hook", "http://unknown.internal/hook"]
    {
        let start = json!({"file_name": "f", "size": 3, "format": "bin", "webhook_url": url});
        let refused = app.post("/api/v1/multipart/start", &start).await;
        let named = ["`webhook_url`", url, "outgoing.allowed_hosts"];
        let body = assert_error(refused, 400, "INVALID_PARAMETER", &named).await;
        sent.push(body["message"].as_str().unwrap().replace(url, ""));
        // Before the file and after it.
        let file = || reqwest::multipart::Part::bytes(&b"abc"[..]).file_name("f");
        let form = || reqwest::multipart::Form::new().text("file_name", "f");
        for form in
            [form().text("webhook_url", url).part("file", file()), form().part("file", file()).text("webhook_url", url)]
        {
            let refused = app.request(Method::POST, "/api/v1/uploads").multipart(form).send().await.unwrap();
            assert_error(refused, 400, "INVALID_PARAMETER", &named).await;
        }
        let remote = json!({"remote_url": "http://hooks.example/file", "webhook_url": url});
        assert_error(app.post("/api/v1/uploads/remote", &remote).await, 400, "INVALID_PARAMETER", &named).await;
    }
    // A name of our own network gets the same answer as one that does not exist.
    sent.dedup();
    assert_eq!(sent.len(), 1, "{sent:?}");
    app.until("what was sent is given up", |app| app.count("garbage") == 0).await;
    app.assert_nothing_left();
    app.upload(3, json!({"webhook_url": "http://hooks.example/hook"})).await;
}

#[tokio::test]
async fn a_webhook_is_taken_while_no_name_server_answers() {
    let app = TestApp::start_with(|config| config.outgoing.name_servers = vec!["127.0.0.1:1".parse().unwrap()]).await;
    app.upload(3, json!({"webhook_url": "http://hooks.example/hook"})).await;
}

/// A receiver that does not answer, `waiting` and `dead` events at most, and a server that applies the bounds on request.
async fn bounded(waiting: u32, dead: u32) -> (TestApp, Peer, Uuid) {
    let app = TestApp::start_with(|config| {
        impatient(config);
        config.webhooks.first_pause_seconds = Duration::from_secs(3600);
        config.webhooks.waiting_events = waiting;
        config.webhooks.dead_events = dead;
    })
    .await;
    let peer = Peer::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let id = app.subscribe(peer.url("/hook"), &[EventKind::FileCreated]).await;
    (app, peer, id)
}

impl TestApp {
    /// Waits until the cleaner has brought it about.
    async fn until_bounded(&self, what: &str, ready: impl Fn(&TestApp) -> bool) {
        for _ in 0..600 {
            if ready(self) {
                return;
            }
            self.app().uploads.garbage_bell().notify_one();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not within a minute: {what}");
    }
}

/// Names of the files whose events pass a condition, in the order in which they happened.
fn queued_names(app: &TestApp, condition: &str) -> Vec<String> {
    let number = app.count(&format!("deliveries WHERE {condition}"));
    let name = |index| {
        let query =
            format!("SELECT payload FROM deliveries WHERE {condition} ORDER BY sequence LIMIT 1 OFFSET {index}");
        let payload: Value = serde_json::from_str(&app.text(&query)).unwrap();
        payload["data"]["name"].as_str().unwrap().to_owned()
    };
    (0..number).map(name).collect()
}

#[tokio::test]
async fn the_oldest_of_too_many_events_that_wait_are_given_up_and_can_be_replayed() {
    let (app, peer, _) = bounded(3, 100).await;
    for name in ["a", "b", "c", "d", "e"] {
        app.whole(b"x", &[("file_name", name)]).await;
    }
    app.until_bounded("two are given up", |app| app.count("deliveries WHERE dead_at IS NOT NULL") == 2).await;
    assert_eq!(queued_names(&app, "dead_at IS NULL"), ["c", "d", "e"]);
    assert_eq!(queued_names(&app, "dead_at IS NOT NULL AND last_error IS NOT NULL"), ["a", "b"]);
    // The receiver comes back: it gets the waiting events, and once they are replayed the rest.
    let seen = peer.asked().len();
    peer.answers(|_| StatusCode::OK.into_response());
    let send_now = |app: &TestApp| {
        app.sql("UPDATE deliveries SET next_attempt_at = 1 WHERE dead_at IS NULL");
        app.app().events.bell().notify_one();
    };
    send_now(&app);
    app.until("the waiting ones are delivered", |app| app.count("deliveries WHERE dead_at IS NULL") == 0).await;
    app.app().db.write(Durability::Process, |tx| webhook_deliveries::replay(tx, None)).await.unwrap();
    send_now(&app);
    app.until("the rest is delivered", |app| app.count("deliveries") == 0).await;
    let sent = peer.asked().split_off(seen);
    let mut sent: Vec<_> = sent.iter().map(|asked| event(asked).1["name"].as_str().unwrap().to_owned()).collect();
    sent.sort();
    assert_eq!(sent, ["a", "b", "c", "d", "e"]);
    // The bound holds for each receiver: another one has its own.
    peer.answers(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let other = Peer::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    app.whole(b"x", &[("file_name", "f")]).await;
    for name in ["g", "h", "i", "j"] {
        app.whole(b"x", &[("file_name", name), ("webhook_url", &other.url("/"))]).await;
    }
    let given_up =
        |app: &TestApp, of: &str| app.count(&format!("deliveries WHERE dead_at IS NOT NULL AND webhook_id {of}"));
    app.until_bounded("of both", |app| given_up(app, "IS NULL") == 1 && given_up(app, "IS NOT NULL") == 2).await;
    assert_eq!(queued_names(&app, "dead_at IS NULL AND webhook_id IS NULL"), ["h", "i", "j"]);
    assert_eq!(queued_names(&app, "dead_at IS NULL AND webhook_id IS NOT NULL"), ["h", "i", "j"]);
}

#[tokio::test]
async fn a_workspace_keeps_a_bounded_number_of_dead_events_and_counts_the_others() {
    let (app, _peer, id) = bounded(1, 2).await;
    let other = Peer::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    for (name, url) in [("a", None), ("b", Some(other.url("/"))), ("c", Some(other.url("/"))), ("d", None), ("e", None)]
    {
        let mut fields = vec![("file_name", name)];
        fields.extend(url.as_deref().map(|url| ("webhook_url", url)));
        app.whole(b"x", &fields).await;
    }
    // Given up are a, b, c, d of the webhook and b of the upload's URL; the two youngest of these stay.
    app.until_bounded("two are left", |app| app.count("deliveries") == 4).await;
    assert_eq!(queued_names(&app, "dead_at IS NOT NULL"), ["c", "d"]);
    assert_eq!(queued_names(&app, "dead_at IS NULL AND webhook_id IS NOT NULL"), ["e"]);
    assert_eq!(queued_names(&app, "dead_at IS NULL AND webhook_id IS NULL"), ["c"]);
    let (webhook, of_uploads) = app
        .app()
        .db
        .read(move |tx| Ok((webhooks::find(tx, id)?.unwrap(), webhook_deliveries::forgotten_of_uploads(tx)?)))
        .await
        .unwrap();
    assert_eq!((webhook.events_forgotten, of_uploads), (2, 1));
}

#[tokio::test]
async fn an_event_that_is_given_up_while_it_is_being_sent_stays_given_up() {
    let (app, _peer, _) = bounded(100, 100).await;
    app.whole(b"x", &[("file_name", "f")]).await;
    app.until("it was tried", |app| app.count("deliveries WHERE attempts = 1") == 1).await;
    let id: Uuid = app.text("SELECT id FROM deliveries").parse().unwrap();
    app.sql("UPDATE deliveries SET dead_at = created_at, attempts = 0");
    let noted = app.app().db.write(Durability::Process, move |tx| {
        let delivery = webhook_deliveries::list_dead(tx)?.into_iter().find(|delivery| delivery.id == id).unwrap();
        webhook_deliveries::put_off(tx, &delivery, "late", Some(5))
    });
    noted.await.unwrap();
    assert_eq!(app.count("deliveries WHERE dead_at IS NOT NULL AND attempts = 0"), 1);
}

#[tokio::test]
async fn dead_events_are_forgotten_by_their_age_and_younger_and_waiting_ones_stay() {
    let (mut app, _peer, _) = bounded(100, 100).await;
    for name in ["aged", "younger", "waits"] {
        app.whole(b"x", &[("file_name", name)]).await;
    }
    app.until("each was tried", |app| app.count("deliveries WHERE attempts = 1") == 3).await;
    let hours_ago = |hours: u64| Timestamp::now().minus_seconds(hours * 3600).unix_milliseconds();
    let (aged, younger) = (hours_ago(90 * 24 + 1), hours_ago(90 * 24 - 1));
    app.restart_after(|app| {
        let of = |name: &str| format!("payload LIKE '%\"name\":\"{name}\"%'");
        app.sql(&format!("UPDATE deliveries SET created_at = {aged}"));
        app.sql(&format!("UPDATE deliveries SET dead_at = {aged} WHERE {}", of("aged")));
        app.sql(&format!("UPDATE deliveries SET dead_at = {younger} WHERE {}", of("younger")));
    })
    .await;
    app.until_bounded("the aged one is forgotten", |app| app.count("deliveries") == 2).await;
    assert_eq!(queued_names(&app, "dead_at IS NOT NULL"), ["younger"]);
    assert_eq!(queued_names(&app, "dead_at IS NULL"), ["waits"]);
    // The setting says how old.
    app.configure(|config| config.webhooks.forget_dead_seconds = Duration::from_secs(89 * 24 * 3600)).await;
    app.until_bounded("so is the younger one", |app| app.count("deliveries") == 1).await;
    assert_eq!(queued_names(&app, "dead_at IS NULL"), ["waits"]);
}
