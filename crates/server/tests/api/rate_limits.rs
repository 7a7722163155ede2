//! Limits on requests, sessions and sizes.

use std::net::{IpAddr, Ipv4Addr};

use partway_server::db::Durability;
use partway_server::db::usage::{self};
use partway_server::model::WorkspaceLimits;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};

async fn list(app: &TestApp) -> Response {
    app.call(Method::GET, "/api/v1/files", Value::Null).await
}

impl TestApp {
    pub(crate) async fn limit(&self, limits: WorkspaceLimits) {
        let id = self.app().db.read(usage::list).await.unwrap()[0].workspace_id;
        self.app().db.write(Durability::Process, move |tx| usage::set_limits(tx, id, limits)).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_asks_too_much_is_answered_with_retry_after() {
    let app = TestApp::start_with(|config| config.limits.requests_per_key_per_second = Some(3)).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = list(&app).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("never refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    let body = assert_error(refused, 429, "RATE_LIMITED", &["key"]).await;
    assert_eq!(body["retryAfterSeconds"], 1);
    // Another key of the same workspace is another matter.
    let public = app.http.get(app.url("/api/v1/multipart/00000000-0000-0000-0000-000000000000"));
    assert_eq!(public.bearer_auth(&app.public_key).send().await.unwrap().status(), 404);
    // The workspace's own limit outranks the settings.
    app.limit(WorkspaceLimits { requests_per_second: Some(1000), ..WorkspaceLimits::default() }).await;
    for _ in 0..50 {
        assert_eq!(list(&app).await.status(), 200);
    }
}

#[tokio::test]
async fn parts_of_a_session_that_was_let_in_are_never_limited() {
    // Where parts go to a store they do not pass the server.
    let app = TestApp::start_local_with(|config| {
        config.limits.requests_per_key_per_second = Some(1);
        config.limits.requests_per_address_per_second = Some(1);
    })
    .await;
    let session = app.upload(100, json!({})).await;
    for _ in 0..30 {
        assert_eq!(app.put(session.part_url(0), &[1; 100]).await.status(), 200);
    }
}

#[tokio::test]
async fn an_address_is_limited_across_its_keys_and_fetching_files_does_not_count() {
    let app = TestApp::start().await;
    let record = app.whole(b"x", &[("file_name", "f")]).await;
    let mut app = app;
    app.configure(|config| config.limits.requests_per_address_per_second = Some(5)).await;
    let mut statuses = Vec::new();
    for number in 0..20 {
        let request = app.http.get(app.url("/api/v1/files")).bearer_auth(format!("sk_guess{number}"));
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    let guesses = statuses.iter().filter(|status| **status == 401).count();
    assert!((10..=12).contains(&guesses), "{statuses:?}");
    let served = record["url"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
    for _ in 0..20 {
        let url = app.url(&format!("/{}/{served}", app.workspace_no));
        assert_eq!(app.get(&url).await.status(), 200);
        assert_eq!(app.get(&app.url("/healthz")).await.status(), 200);
    }
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_each_client_counts_for_itself() {
    let trusted = "127.0.0.1";
    for (is_trusted, expected) in [(true, 20), (false, 4)] {
        let app = TestApp::start_with(|config| {
            config.limits.requests_per_address_per_second = Some(2);
            if is_trusted {
                let source = partway_server::config::SettingsReader::default().with_flag(
                    "",
                    "http.trusted_proxies",
                    Some(trusted.to_owned()),
                );
                config.http.trusted_proxies = partway_server::Config::read(source).unwrap().http.trusted_proxies;
            }
        })
        .await;
        let mut let_through = 0;
        for number in 0..20_u8 {
            let client = IpAddr::V4(Ipv4Addr::new(203, 0, 113, number));
            let request = app.request(Method::GET, "/api/v1/files").header("x-forwarded-for", client.to_string());
            let_through += usize::from(request.send().await.unwrap().status() == 200);
        }
        assert!((expected..=expected + 2).contains(&let_through), "{let_through} with {is_trusted}");
    }
}

#[tokio::test]
async fn open_sessions_and_the_size_of_a_file_are_limited_by_settings_and_by_workspace() {
    let app = TestApp::start_with(|config| {
        config.limits.open_sessions = Some(2);
        config.limits.max_file_bytes = 1000;
    })
    .await;
    let start = async |name: &str, size: u64| {
        app.post("/api/v1/multipart/start", &json!({"file_name": name, "size": size, "format": "bin"})).await
    };
    let first: Value = start("a", 10).await.json().await.unwrap();
    assert_eq!(start("b", 10).await.status(), 201);
    assert_error(start("c", 10).await, 403, "STORAGE_LIMIT_EXCEEDED", &["2 open sessions"]).await;
    let path = format!("/api/v1/multipart/{}", first["session_id"].as_str().unwrap());
    assert_eq!(app.call(Method::DELETE, &path, Value::Null).await.status(), 204);
    assert_eq!(start("c", 10).await.status(), 201);
    app.limit(WorkspaceLimits { max_open_sessions: Some(3), max_file_bytes: Some(50), ..WorkspaceLimits::default() })
        .await;
    assert_eq!(start("d", 10).await.status(), 201);
    assert_error(start("e", 10).await, 403, "STORAGE_LIMIT_EXCEEDED", &["3 open sessions"]).await;
    assert_error(start("f", 51).await, 413, "FILE_TOO_LARGE", &["50 bytes"]).await;
    assert_error(app.send_whole(vec![1; 51], &[("file_name", "g")]).await, 413, "FILE_TOO_LARGE", &["50 bytes"]).await;
    app.limit(WorkspaceLimits { max_file_bytes: Some(2000), ..WorkspaceLimits::default() }).await;
    assert_eq!(app.send_whole(vec![1; 1500], &[("file_name", "h")]).await.status(), 201);
}
