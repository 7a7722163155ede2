//! The documents in the repository are those that the code writes, and the OpenAPI document is served as it is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use partway_server::DOCUMENTED_ROUTES as ROUTES;
use partway_server::docs;

use crate::app::TestApp;

/// Lifetime of a readiness check's result.
const CHECK_LIFETIME: Duration = Duration::from_secs(1);

fn in_repository(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_documents_are_up_to_date() {
    for (name, text) in [
        ("CONFIG.md", docs::config_md()),
        ("ERRORS.md", docs::errors_md()),
        ("METRICS.md", docs::metrics_md()),
        ("openapi.json", docs::openapi_json().unwrap()),
    ] {
        assert!(in_repository(name) == text, "docs/{name} is old: run `cargo run --features openapi -- docs docs`");
    }
}

#[test]
fn the_document_has_each_route_and_no_other() {
    let document = serde_json::to_value(partway_server::api_document::document()).unwrap();
    let of_path = |(path, operations): (&String, &serde_json::Value)| -> Vec<_> {
        operations.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())).collect()
    };
    let documented: BTreeSet<_> = document["paths"].as_object().unwrap().iter().flat_map(of_path).collect();
    // Its route takes the rest of the path, and is said by hand.
    let delivery = ("get", "/{workspace_no}/{path}");
    let routes = ROUTES.iter().chain([&delivery]).map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(documented, routes.collect());
}

#[tokio::test]
async fn the_server_serves_its_contract() {
    let app = TestApp::start_local().await;
    let answer = app.get(&app.url("/openapi.json")).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let text = answer.text().await.unwrap();
    assert!(text == in_repository("openapi.json"), "the server was built with another docs/openapi.json");
    let served: serde_json::Value = serde_json::from_str(&text).unwrap();
    let paths: Vec<_> = served["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in [
        "/api/v1/multipart/start",
        "/api/v1/multipart/{session_id}/parts/{part_index}",
        "/api/v1/multipart/complete",
        "/{workspace_no}/{path}",
        "/healthz",
        "/readyz",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
    for path in ["/healthz", "/readyz"] {
        let response = app.get(&app.url(path)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), r#"{"status":"ok"}"#);
    }
}

#[tokio::test]
async fn a_server_whose_storage_is_gone_is_alive_but_not_ready() {
    let app = TestApp::start_local().await;
    let ready = || async { app.get(&app.url("/readyz")).await.status() };
    assert_eq!(ready().await, 200);
    let (blobs, aside) = (app.directory.path().join("blobs"), app.directory.path().join("aside"));
    std::fs::rename(&blobs, &aside).unwrap();
    assert_eq!(app.get(&app.url("/healthz")).await.status(), 200);
    tokio::time::sleep(CHECK_LIFETIME).await;
    crate::app::assert_error(app.get(&app.url("/readyz")).await, 503, "SERVICE_UNAVAILABLE", &[]).await;
    std::fs::rename(&aside, &blobs).unwrap();
    tokio::time::sleep(CHECK_LIFETIME).await;
    assert_eq!(ready().await, 200);
}

#[tokio::test]
async fn all_who_ask_whether_the_server_is_ready_are_answered_from_one_check_a_second() {
    let app = TestApp::start().await;
    let began = Instant::now();
    let before = app.app().readiness.begun();
    for _ in 0..10 {
        let asked = (0..100).map(|_| app.http.get(app.url("/readyz")).send());
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
    }
    let checks = app.app().readiness.begun() - before;
    assert!((1..=began.elapsed().as_secs() + 1).contains(&checks), "{checks} checks in {:?}", began.elapsed());
}
