//! Bad requests for files and folders, and those that keys, routes and limits refuse.

use partway_server::model::WorkspaceLimits;
use reqwest::Method;
use serde_json::{Value, json};

use super::Table;
use crate::app::TestApp;

const START: &str = "/api/v1/multipart/start";
const FILES: &str = "/api/v1/files";
const FOLDERS: &str = "/api/v1/folders";

pub(super) async fn files() -> String {
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    table.heading("GET /api/v1/files");
    let search = format!("search={}", "x".repeat(256));
    let queries = ["page=0", "limit=x", "limit=101", "sort=x", "sort_field=x", "sort_order=x", "search=%00", &search];
    table.queries(FILES, &queries).await;
    table.queries(FILES, &["folder_no=0000000000", "tags=%00", "custom_id=%00", "path=%00"]).await;
    let record = app.whole(b"x", &[("file_name", "a.txt"), ("folder", "d")]).await;
    app.whole(b"x", &[("file_name", "taken.txt"), ("folder", "d")]).await;
    let path = format!("{FILES}/{}", record["file_no"].as_str().unwrap());
    let unknown = format!("{FILES}/0000000000");
    table.heading("PATCH /api/v1/files/{file_no}");
    table
        .bodies(
            Method::PATCH,
            &path,
            [
                json!({"add_tags": 7}),
                json!({"remove_tags": {}}),
                json!({"add_tags": (0..51).map(|tag| format!("t{tag}")).collect::<Vec<_>>()}),
                json!({"metadata": 7}),
                json!({"metadata": {"large": "x".repeat(17_000)}}),
            ],
        )
        .await;
    table.row("an unknown file", app.request(Method::PATCH, &unknown).json(&json!({}))).await;
    table.heading("PATCH /api/v1/files/{file_no}/rename");
    table
        .bodies(
            Method::PATCH,
            &format!("{path}/rename"),
            [
                json!({}),
                json!({"name": ""}),
                json!({"name": 7}),
                json!({"name": "a/b"}),
                json!({"name": "x".repeat(252)}),
                json!({"name": "taken"}),
                json!({"folder": "../x"}),
                json!({"folder": 7}),
            ],
        )
        .await;
    table.heading("DELETE /api/v1/files/{file_no}");
    table.row("an unknown file", app.request(Method::DELETE, &unknown)).await;
    table.row("?dry_run=maybe", app.request(Method::DELETE, &format!("{path}?dry_run=maybe"))).await;
    table.heading("GET /{workspace_no}/{path}");
    let url = app.url_of(&record);
    // The hash of the file, or the store's own tag.
    let tag = app.get(&url).await.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
    table.names.known_as(&tag, "[entity tag]");
    app.sql("UPDATE files SET created_at = 1000000000000");
    table.row("Range: bytes=9-", app.http.get(&url).header("range", "bytes=9-")).await;
    table.row("If-Match: \"other\"", app.http.get(&url).header("if-match", "\"other\"")).await;
    let old = "Thu, 01 Jan 1970 00:00:00 GMT";
    table.row("If-Unmodified-Since: 1970", app.http.get(&url).header("if-unmodified-since", old)).await;
    let version_url = record["version_url"].as_str().unwrap();
    table.names.known_as(version_url.split_once("?v=").unwrap().1, "[version]");
    let other = "pw-0123456789abcdef0123";
    table.row("?v=pw-0123456789abcdef0123", app.http.get(format!("{url}?v={other}"))).await;
    let two = format!("{url}?v={other}&v={}", other.replace('0', "f"));
    table.row("?v=… of two versions", app.http.get(two)).await;
    table.row("a missing file", app.http.get(app.url(&format!("/{}/missing", app.workspace_no)))).await;
    table.row("a path that is not UTF-8", app.http.get(app.url(&format!("/{}/%ff", app.workspace_no)))).await;
    table.into_text()
}

pub(super) async fn folders() -> String {
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    let made: Value = app.post(FOLDERS, &json!({"name": "a"})).await.json().await.unwrap();
    app.post(FOLDERS, &json!({"name": "taken"})).await;
    let number = made["folder_no"].as_str().unwrap();
    table.heading("GET /api/v1/folders");
    table.queries(FOLDERS, &["parent_folder_no=0000000000", "sort=x", "page=0", "limit=1001", "search=%00"]).await;
    table.heading("POST /api/v1/folders");
    table
        .bodies(
            Method::POST,
            FOLDERS,
            [
                json!({}),
                json!({"name": ""}),
                json!({"name": 7}),
                json!({"name": "a/b"}),
                json!({"name": "x".repeat(101)}),
                json!({"name": "taken"}),
                json!({"name": "b", "parent_folder_no": 7}),
                json!({"name": "b", "parent_folder_no": "0000000000"}),
            ],
        )
        .await;
    table.heading("POST /api/v1/folders/rename/{folder_no}");
    let rename = format!("{FOLDERS}/rename/{number}");
    table.bodies(Method::POST, &rename, [json!({}), json!({"name": "a/b"}), json!({"name": "taken"})]).await;
    let unknown = app.request(Method::POST, &format!("{FOLDERS}/rename/0000000000")).json(&json!({"name": "b"}));
    table.row("an unknown folder", unknown).await;
    table.heading("DELETE /api/v1/folders/{folder_no}");
    table.row("an unknown folder", app.request(Method::DELETE, &format!("{FOLDERS}/0000000000"))).await;
    table.row("?dry_run=maybe", app.request(Method::DELETE, &format!("{FOLDERS}/{number}?dry_run=maybe"))).await;
    table.into_text()
}

pub(super) async fn keys_and_routes() -> String {
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    table.heading("Keys, routes and methods");
    table.row("no key", app.http.get(app.url(FILES))).await;
    table.row("an unknown key", app.request_with("sk_nonsense", Method::GET, FILES)).await;
    table.row("a public key", app.request_with(&app.public_key, Method::GET, FILES)).await;
    let named = json!({"file_name": "a", "size": 1, "format": "bin", "webhook_url": "http://example.com"});
    let start = app.request_with(&app.public_key, Method::POST, START);
    table.row("a webhook_url with a public key", start.json(&named)).await;
    app.whole(b"x", &[("file_name", "taken")]).await;
    let taken = json!({"file_name": "taken", "size": 1, "format": "bin"});
    let start = app.request_with(&app.public_key, Method::POST, START);
    table.row("a name in use with a public key", start.json(&taken)).await;
    table.row("GET /api/v1/nothing", app.request(Method::GET, "/api/v1/nothing")).await;
    table.row("PUT /api/v1/files", app.request(Method::PUT, FILES)).await;
    table.row("POST /healthz", app.request(Method::POST, "/healthz")).await;
    table.into_text()
}

pub(super) async fn limits() -> String {
    let app = TestApp::start().await;
    let mut table = Table::new(&app);
    table.heading("Limits");
    let start =
        |size: u64| app.request(Method::POST, START).json(&json!({"file_name": "a", "size": size, "format": "bin"}));
    app.limit(WorkspaceLimits { storage_bytes: Some(10), ..Default::default() }).await;
    table.row("11 bytes of 10", start(11)).await;
    table
        .answered("11 bytes of 10 in one request", app.send_whole(b"eleven byte".to_vec(), &[("file_name", "a")]).await)
        .await;
    app.limit(WorkspaceLimits { max_file_bytes: Some(10), ..Default::default() }).await;
    table.row("a file of 11 bytes of 10", start(11)).await;
    app.limit(WorkspaceLimits { max_open_sessions: Some(1), ..Default::default() }).await;
    assert_eq!(start(1).send().await.unwrap().status(), 201);
    table.row("a second session of one", start(1)).await;
    app.limit(WorkspaceLimits { requests_per_second: Some(1), ..Default::default() }).await;
    let mut answer = app.call(Method::GET, FILES, Value::Null).await;
    while answer.status() != 429 {
        answer = app.call(Method::GET, FILES, Value::Null).await;
    }
    table.answered("too many requests", answer).await;
    table.into_text()
}
