//! Every URL that is given out is right where the client is, not where the server is.

use partway_server::Config;
use partway_server::config::SettingsReader;
use serde_json::json;

use crate::app::TestApp;

async fn app_with(settings: &[(&str, &str)]) -> TestApp {
    let source = settings
        .iter()
        .fold(SettingsReader::default(), |source, (key, value)| source.with_flag("", key, Some((*value).to_owned())));
    let http = Config::read(source).unwrap().http;
    TestApp::start_local_with(|config| config.http = http).await
}

#[tokio::test]
async fn the_public_url_alone_makes_all_urls_right() {
    for base in ["https://files.example.com", "https://example.com:8443/up/load"] {
        let app = app_with(&[("public_url", base)]).await;
        let session = app.upload(3, json!({"folder": "a b/ä", "file_name": "x?.txt"})).await;
        assert!(session.part_url(0).starts_with(&format!("{base}/api/v1/multipart/")), "{}", session.part_url(0));
        // A proxy may take its path off or leave it.
        let path = base.strip_prefix("https://").unwrap().find('/').map_or("", |at| &base["https://".len() + at..]);
        for prefix in ["", path] {
            let url = app.url(&format!("{prefix}{}", session.part_path(0)));
            assert_eq!(app.put(&url, b"abc").await.status(), 200, "{url}");
        }
        let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
        let file = format!("/{}/a%20b/%C3%A4/x%3F.txt", app.workspace_no);
        assert_eq!(record["url"], format!("{base}{file}"));
        for prefix in ["", path] {
            assert_eq!(app.get(&app.url(&format!("{prefix}{file}"))).await.text().await.unwrap(), "abc");
        }
    }
}

#[tokio::test]
async fn parts_and_files_may_have_hosts_of_their_own() {
    let app = app_with(&[
        ("public_url", "https://api.example.com"),
        ("parts_url", "https://upload.example.com/p"),
        ("delivery_url", "https://cdn.example.com/f/"),
    ])
    .await;
    let session = app.upload(3, json!({})).await;
    assert!(session.part_url(0).starts_with("https://upload.example.com/p/api/v1/multipart/"));
    assert_eq!(app.put(&app.url(&format!("/p{}", session.part_path(0))), b"abc").await.status(), 200);
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(record["url"], format!("https://cdn.example.com/f/{}/file.bin", app.workspace_no));
    assert_eq!(app.get(&app.url(&format!("/f/{}/file.bin", app.workspace_no))).await.status(), 200);
}

#[tokio::test]
async fn metrics_have_one_path_which_a_proxy_can_block() {
    let app = app_with(&[
        ("public_url", "https://example.com/files"),
        ("parts_url", "https://example.com/parts"),
        ("delivery_url", "https://example.com/media/up"),
    ])
    .await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    for path in [
        "/files/metrics",
        "/parts/metrics",
        "/media/up/metrics",
        "/files/metrics?x=/metrics",
        "/files//metrics",
        "/files/files/metrics",
        "/files/parts/metrics",
        "/files/metrics/",
        "/files/./metrics",
        "/files/%6Detrics",
        "/%6Detrics",
        "//metrics",
        "/metrics/",
        "/metrics/metrics",
        "https://example.com/files/metrics",
        "https://example.com/media/up/metrics",
    ] {
        let answer = app.raw(get(path)).await;
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("partway_"), "{path}: {answer}");
    }
    for path in ["/metrics", "/metrics?x=y", "https://example.com/metrics"] {
        let answer = app.raw(get(path)).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("partway_"), "{path}: {answer}");
    }
    // Others of the server's own are where clients look for them.
    for path in ["/files/healthz", "/healthz", "https://example.com/files/healthz"] {
        let answer = app.raw(get(path)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn headers_about_the_host_change_no_url() {
    let app = TestApp::start_local().await;
    let request = app
        .request(reqwest::Method::POST, "/api/v1/multipart/start")
        .header("host", "evil.example.com")
        .header("x-forwarded-host", "evil.example.com")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-prefix", "/evil")
        .header("forwarded", "host=evil.example.com;proto=https")
        .json(&json!({"file_name": "f", "size": 1, "format": "bin"}));
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(!answer.contains("evil"), "{answer}");
    assert!(answer.contains(&app.url("/api/v1/multipart/")), "{answer}");
}

#[tokio::test]
async fn a_path_like_the_servers_own_works_whether_a_proxy_keeps_it_or_not() {
    for path in ["/api", "/api/v1", "/files", "/multipart/start"] {
        let app = app_with(&[("public_url", &format!("https://example.com{path}"))]).await;
        for prefix in ["", path] {
            let session = app.upload(3, json!({"file_name": "x.txt"})).await;
            let url = app.url(&format!("{prefix}{}", session.part_path(0)));
            assert_eq!(app.put(&url, b"abc").await.status(), 200, "{url}");
            let listed = app.request(reqwest::Method::GET, &format!("{prefix}/api/v1/files?limit=1")).send().await;
            assert_eq!(listed.unwrap().status(), 200, "{prefix} of {path}");
            assert_eq!(session.complete(&app).await.status(), 201);
            let file = app.url(&format!("{prefix}/{}/x.txt", app.workspace_no));
            assert_eq!(app.get(&file).await.text().await.unwrap(), "abc", "{file}");
            assert_eq!(app.get(&app.url(&format!("{prefix}/healthz"))).await.status(), 200);
        }
    }
}

#[tokio::test]
async fn a_path_that_may_be_a_files_or_the_apis_is_refused_at_the_start() {
    let mut app = TestApp::start_local().await;
    let number = app.workspace_no.clone();
    app.restart_after(|app| {
        for path in [format!("/{number}"), "/api/v1/files".to_owned(), "/api/v1/multipart/x".to_owned()] {
            let mut config = app.config().clone();
            let url = Some(format!("https://example.com{path}"));
            config.http = Config::read(SettingsReader::default().with_flag("", "public_url", url)).unwrap().http;
            let open = || async { partway_server::App::open(config, "127.0.0.1:1".parse().unwrap()).await.err() };
            let opened = std::thread::scope(|scope| {
                let runtime = || tokio::runtime::Runtime::new().unwrap().block_on(open());
                scope.spawn(runtime).join().unwrap()
            });
            let error = opened.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&path), "{path}: {error}");
        }
    })
    .await;
}
