//! Bad uploads: start, sessions, parts, forms and remote files.

use std::time::Duration;

use axum::response::IntoResponse;
use http::StatusCode;
use partway_server::service::part_urls::PartPermission;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::Table;
use crate::app::TestApp;
use crate::direct::{field, file_field};
use crate::peers::{Peer, allow_loopback, redirect};

const START: &str = "/api/v1/multipart/start";
const COMPLETE: &str = "/api/v1/multipart/complete";
const UPLOADS: &str = "/api/v1/uploads";
const REMOTE: &str = "/api/v1/uploads/remote";

pub(super) async fn start() -> String {
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    table.heading("POST /api/v1/multipart/start");
    let (long_tag, many_tags) = ("x".repeat(129), (0..51).map(|tag| format!("t{tag}")).collect::<Vec<_>>());
    let (deep, long) = (vec!["d"; 33].join("/"), "x".repeat(300));
    for changed in [
        json!({"file_name": null}),
        json!({"file_name": ""}),
        json!({"file_name": 7}),
        json!({"file_name": "a/b"}),
        json!({"file_name": long}),
        json!({"size": null}),
        json!({"size": 0}),
        json!({"size": "1"}),
        json!({"size": 1.5}),
        json!({"size": 6_000_000_000_000_u64}),
        json!({"format": null}),
        json!({"format": 7}),
        json!({"format": "nonsense"}),
        json!({"folder": 7}),
        json!({"folder": "a/../b"}),
        json!({"folder": deep}),
        json!({"tags": 7}),
        json!({"tags": [7]}),
        json!({"tags": [long_tag]}),
        json!({"tags": many_tags}),
        json!({"tags": ["a\u{0}"]}),
        json!({"metadata": []}),
        json!({"metadata": {"large": "x".repeat(17_000)}}),
        json!({"custom_id": 7}),
        json!({"custom_id": long}),
        json!({"random_prefix": "maybe"}),
        json!({"file_name": "x".repeat(250), "random_prefix": true}),
        json!({"ttl_seconds": 0}),
        json!({"ttl_seconds": "x"}),
        json!({"hash": "md5:x"}),
        json!({"webhook_url": "ftp://example.com"}),
    ] {
        let mut body = json!({"file_name": "a", "size": 1, "format": "bin"});
        body.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        table.row(&changed.to_string(), app.request(Method::POST, START).json(&body)).await;
    }
    for (mistake, content_type, body) in [
        ("an empty body", Some("application/json"), String::new()),
        ("[1]", Some("application/json"), "[1]".to_owned()),
        ("{", Some("application/json"), "{".to_owned()),
        ("70,000 bytes", Some("application/json"), " ".repeat(70_000)),
        ("Content-Type: text/plain", Some("text/plain"), "{}".to_owned()),
        ("no Content-Type", None, "{}".to_owned()),
    ] {
        let request = app.request(Method::POST, START).body(body);
        let request = content_type.into_iter().fold(request, |request, value| request.header("content-type", value));
        table.row(mistake, request).await;
    }
    let body = json!({"file_name": "a", "size": 1, "format": "bin"});
    let with_key = |key: &str, body: &Value| app.request(Method::POST, START).header("idempotency-key", key).json(body);
    assert_eq!(with_key("once", &body).send().await.unwrap().status(), 201);
    table
        .row(
            "Idempotency-Key of another body",
            with_key("once", &json!({"file_name": "b", "size": 1, "format": "bin"})),
        )
        .await;
    table.row("Idempotency-Key: a b", with_key("a b", &body)).await;
    table.into_text()
}

pub(super) async fn sessions() -> String {
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    let unknown = "00000000-0000-4000-8000-000000000000";
    table.heading("POST /api/v1/multipart/complete");
    let session = app.upload(3, json!({})).await;
    let (id, other) = (session.id(), unknown);
    table
        .bodies(
            Method::POST,
            COMPLETE,
            [
                json!({}),
                json!({"session_id": 7}),
                json!({"session_id": "nonsense"}),
                json!({"session_id": other}),
                json!({"session_id": id}),
                json!({"session_id": id, "uuid": other}),
                json!({"session_id": id, "hash": "md5:x"}),
                json!({"session_id": id, "etags_sha256": "x"}),
            ],
        )
        .await;
    let aborted = app.upload(3, json!({})).await;
    assert_eq!(aborted.abort(&app).await.status(), 204);
    table.answered("an aborted session", aborted.complete(&app).await).await;
    table.heading("GET, DELETE /api/v1/multipart/{session_id}, POST …/parts");
    table.row("an unknown session", app.request(Method::GET, &format!("/api/v1/multipart/{other}"))).await;
    table.row("another key's", app.request_with(&app.public_key, Method::GET, &session.path())).await;
    table
        .bodies(
            Method::POST,
            &format!("{}/parts", session.path()),
            [json!({"parts": "x"}), json!({"parts": [9]}), json!({"ttl_seconds": 604_801})],
        )
        .await;
    session.put_all(&app, b"abc").await;
    assert_eq!(session.complete(&app).await.status(), 201);
    table.row("DELETE of a completed session", app.request(Method::DELETE, &session.path())).await;
    table.answered("new URLs of a completed session", session.resign(&app, &json!({})).await).await;
    table.answered("new URLs of an aborted session", aborted.resign(&app, &json!({})).await).await;
    let expired = app.upload(3, json!({"ttl_seconds": 1})).await;
    expired.until_expired().await;
    table.answered("new URLs of an expired session", expired.resign(&app, &json!({})).await).await;
    table.heading("GET /api/v1/multipart");
    table.queries("/api/v1/multipart", &["status=x", "page=0", "limit=101"]).await;
    table.into_text()
}

pub(super) async fn parts() -> String {
    let app = TestApp::start_local_with(|config| config.http.stall_timeout_seconds = Duration::from_secs(1)).await;
    let mut table = Table::new(&app);
    table.heading("PUT of a part (local storage)");
    let session = app.upload(3, json!({})).await;
    let url = session.part_url(0);
    table.row("2 bytes of 3", app.http.put(url).body("ab")).await;
    let pieces = ["ab", "cd"].map(Ok::<_, std::io::Error>);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    table.row("4 bytes of 3, without Content-Length", app.http.put(url).body(stream)).await;
    let pieces = ["ab"].map(Ok::<_, std::io::Error>);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    table.row("2 bytes of 3, without Content-Length", app.http.put(url).body(stream)).await;
    table.row("another signature", app.http.put(format!("{url}0")).body("abc")).await;
    let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", session.part_path(0));
    table.raw("a body that stalls", &app.raw(head).await).await;
    let permission = PartPermission {
        session_id: session.id().parse().unwrap(),
        part_index: 0,
        length_bytes: 3,
        expires_at: 1_000_000_000,
    };
    let expired = app.app().urls.part_url_signer().path_and_query(&permission);
    table.row("an expired URL", app.http.put(app.url(&expired)).body("abc")).await;
    let with = |name: &str, value: &str| app.http.put(url).header(name, value).body("abc");
    table.row("Content-MD5 of other bytes", with("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")).await;
    table.row("Content-MD5: x", with("content-md5", "x")).await;
    table.row("Content-Digest: sha-256=x", with("content-digest", "sha-256=x")).await;
    session.put_all(&app, b"abc").await;
    for hash in [format!("blake3:{}", "0".repeat(64)), "crc64nvme:AAAAAAAAAAA=".to_owned()] {
        let body = json!({"session_id": session.id(), "hash": hash});
        table.answered(&format!("complete with hash {hash}"), app.post(COMPLETE, &body).await).await;
    }
    let body = json!({"session_id": session.id(), "etags_sha256": "0".repeat(64)});
    table.answered("complete with etags_sha256", app.post(COMPLETE, &body).await).await;
    for (mistake, end) in [("completed", true), ("aborted", false)] {
        let session = app.upload(3, json!({})).await;
        session.put_all(&app, b"abc").await;
        let ended = if end { session.complete(&app).await } else { session.abort(&app).await };
        assert!(ended.status().is_success());
        table
            .row(&format!("a part of a session that was {mistake}"), app.http.put(session.part_url(0)).body("abc"))
            .await;
    }
    table.into_text()
}

pub(super) async fn direct_uploads() -> String {
    let app = TestApp::start_with(|config| config.limits.max_direct_bytes = 100).await;
    let mut table = Table::new(&app);
    table.heading("POST /api/v1/uploads");
    let post = || app.request(Method::POST, UPLOADS);
    table.row("a JSON body", post().json(&json!({}))).await;
    table.row("no boundary", post().header("content-type", "multipart/form-data").body("x")).await;
    let form = |body: String| post().header("content-type", "multipart/form-data; boundary=b").body(body);
    let (name, file, end) = (field("file_name", "a"), file_field("words"), "--b--\r\n");
    for (mistake, body) in [
        ("nothing of a form", "words".to_owned()),
        ("no file", format!("{name}{end}")),
        ("no file_name", format!("{file}{end}")),
        ("file_name: a/b", format!("{}{file}{end}", field("file_name", "a/b"))),
        ("two files", format!("{name}{file}{file}{end}")),
        ("cut off", format!("{name}{file}")),
        ("metadata: x", format!("{name}{}{file}{end}", field("metadata", "x"))),
        ("metadata: [1]", format!("{name}{}{file}{end}", field("metadata", "[1]"))),
        ("random_prefix: maybe", format!("{name}{}{file}{end}", field("random_prefix", "maybe"))),
        ("70,000 bytes of folder", format!("{name}{}{file}{end}", field("folder", &"x".repeat(70_000)))),
        ("2,000 bytes of tags[]", format!("{name}{}{file}{end}", field("tags[]", &"x".repeat(2_000)))),
        ("101 fields", format!("{}{file}{end}", name.repeat(101))),
        ("101 bytes of 100", format!("{name}{}{end}", file_field(&"x".repeat(101)))),
        ("webhook_url: x", format!("{name}{}{file}{end}", field("webhook_url", "x"))),
    ] {
        table.row(mistake, form(body)).await;
    }
    let odd = Form::new().part("folder", Part::bytes(vec![0xff])).part("file", Part::bytes(b"words".to_vec()));
    table.row("a folder that is not UTF-8", post().multipart(odd)).await;
    table.into_text()
}

pub(super) async fn remote_uploads() -> String {
    let mut text = String::new();
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    table.heading("POST /api/v1/uploads/remote");
    table
        .bodies(
            Method::POST,
            REMOTE,
            [
                json!({}),
                json!({"remote_url": 7}),
                json!({"remote_url": "nonsense"}),
                json!({"remote_url": "ftp://example.com/a"}),
                json!({"remote_url": "http://user:password@example.com/a"}),
                json!({"remote_url": "http://127.0.0.1/a"}),
                json!({"remote_url": "http://[::1]/a"}),
                json!({"remote_url": "http://169.254.169.254/a"}),
            ],
        )
        .await;
    text.push_str(&table.into_text());
    let app = TestApp::start_with(|config| {
        allow_loopback(config);
        config.limits.max_file_bytes = 100;
    })
    .await;
    let peer = Peer::start(|asked| match asked.path.as_str() {
        "/missing" => StatusCode::NOT_FOUND.into_response(),
        "/large" => "x".repeat(101).into_response(),
        _ => redirect("/again"),
    })
    .await;
    let mut table = Table::new(&app);
    table.names.known_as(&peer.url(""), "[other server]");
    for path in ["/missing", "/large", "/again"] {
        table.row(path, app.request(Method::POST, REMOTE).json(&json!({"remote_url": peer.url(path)}))).await;
    }
    text.push_str(&table.into_text());
    text
}
