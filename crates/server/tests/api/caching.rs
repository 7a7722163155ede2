//! Caches may keep contents of files, and nothing else.

use std::collections::BTreeSet;

use partway_server::Config;
use partway_server::model::S3Delivery;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::app::{TestApp, client_without_redirects};
use crate::peers::{Peer, allow_loopback, file};
use crate::services::Services;

fn cache_control(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("cache-control").iter().map(|value| value.to_str().unwrap()).collect()
}

/// The operations of the document whose answers were looked at, each with whether it succeeded.
struct Seen<'a> {
    app: &'a TestApp,
    answers: BTreeSet<(String, bool)>,
}

impl<'a> Seen<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, answers: BTreeSet::new() }
    }

    fn note(&mut self, method: &str, pattern: &str, response: &Response) {
        self.answers.insert((format!("{method} {pattern}"), response.status().is_success()));
        let said = cache_control(response.headers());
        assert_eq!(said, ["no-store"], "{method} {pattern} answers {}", response.status());
    }

    async fn send(&mut self, method: Method, pattern: &str, request: RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        self.note(method.as_str(), pattern, &response);
        response
    }

    /// A call that succeeds: what `ids` has stands for the parameters of the path.
    async fn succeed(&mut self, method: Method, pattern: &str, ids: &[(&str, &str)], body: Value) -> Value {
        let path = ids.iter().fold(pattern.to_owned(), |path, (name, id)| path.replace(name, id));
        let request = self.app.http.request(method.clone(), self.app.url(&path));
        let request = request.header("x-api-key", &self.app.private_key);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = self.send(method.clone(), pattern, request).await;
        assert!(response.status().is_success(), "{method} {path}: {:?}", response.text().await);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }

    async fn upload_in_parts(&mut self) {
        let start = json!({"file_name": "f", "size": 1, "format": "bin"});
        let started = self.succeed(Method::POST, "/api/v1/multipart/start", &[], start.clone()).await;
        let id = started["session_id"].as_str().unwrap();
        let ids = [("{session_id}", id)];
        self.succeed(Method::GET, "/api/v1/multipart", &[], Value::Null).await;
        self.succeed(Method::GET, "/api/v1/multipart/{session_id}", &ids, Value::Null).await;
        self.succeed(Method::POST, "/api/v1/multipart/{session_id}/parts", &ids, json!({})).await;
        let put = self.app.http.put(started["parts"][0].as_str().unwrap()).body("x");
        match self.app.is_local() {
            true => drop(self.send(Method::PUT, "/api/v1/multipart/{session_id}/parts/{part_index}", put).await),
            false => drop(put.send().await.unwrap()),
        }
        self.succeed(Method::POST, "/api/v1/multipart/complete", &[], json!({"session_id": id})).await;
        let started = self.succeed(Method::POST, "/api/v1/multipart/start", &[], start).await;
        let ids = [("{session_id}", started["session_id"].as_str().unwrap())];
        self.succeed(Method::DELETE, "/api/v1/multipart/{session_id}", &ids, Value::Null).await;
    }

    async fn upload_whole(&mut self) -> String {
        let form = Form::new().text("file_name", "whole").part("file", Part::bytes(b"x".to_vec()));
        let request = self.app.request(Method::POST, "/api/v1/uploads").multipart(form);
        let record: Value = self.send(Method::POST, "/api/v1/uploads", request).await.json().await.unwrap();
        record["file_no"].as_str().unwrap().to_owned()
    }

    async fn work_with_files(&mut self, file_no: &str) {
        let ids = [("{file_no}", file_no)];
        let peer = Peer::start(|_| file("x", &[])).await;
        let remote = json!({"remote_url": peer.url("/f"), "file_name": "f"});
        self.succeed(Method::POST, "/api/v1/uploads/remote", &[], remote).await;
        self.succeed(Method::GET, "/api/v1/files", &[], Value::Null).await;
        self.succeed(Method::GET, "/api/v1/files/{file_no}", &ids, Value::Null).await;
        self.succeed(Method::PATCH, "/api/v1/files/{file_no}", &ids, json!({"add_tags": ["x"]})).await;
        self.succeed(Method::PATCH, "/api/v1/files/{file_no}/rename", &ids, json!({"name": "y"})).await;
        self.succeed(Method::DELETE, "/api/v1/files/{file_no}", &ids, Value::Null).await;
    }

    async fn work_with_folders(&mut self) {
        let folder = self.succeed(Method::POST, "/api/v1/folders", &[], json!({"name": "d"})).await;
        let ids = [("{folder_no}", folder["folder_no"].as_str().unwrap())];
        self.succeed(Method::GET, "/api/v1/folders", &[], Value::Null).await;
        self.succeed(Method::POST, "/api/v1/folders/rename/{folder_no}", &ids, json!({"name": "e"})).await;
        self.succeed(Method::DELETE, "/api/v1/folders/{folder_no}", &ids, Value::Null).await;
    }
}

/// Every operation of the document but delivery: its answer when it succeeds, without a key, with an unknown one in either header,
/// with a method that it does not have, and to a browser that asks first.
#[tokio::test]
async fn no_answer_of_the_api_may_be_kept() {
    let app = TestApp::start_with(allow_loopback).await;
    let mut seen = Seen::new(&app);
    seen.upload_in_parts().await;
    let file_no = seen.upload_whole().await;
    seen.work_with_files(&file_no).await;
    seen.work_with_folders().await;
    for path in ["/healthz", "/readyz"] {
        seen.succeed(Method::GET, path, &[], Value::Null).await;
    }
    let document = serde_json::to_value(partway_server::api_document::document()).unwrap();
    for (pattern, operations) in document["paths"].as_object().unwrap() {
        if pattern == "/{workspace_no}/{path}" {
            continue;
        }
        for method in operations.as_object().unwrap().keys().map(|method| method.to_ascii_uppercase()) {
            let name = format!("{method} {pattern}");
            let passes_by = !app.is_local() && name == "PUT /api/v1/multipart/{session_id}/parts/{part_index}";
            assert!(passes_by || seen.answers.contains(&(name.clone(), true)), "{name} was not tried");
            let methods = [method.as_str(), "HEAD", "OPTIONS", "TRACE", "PROPFIND"];
            for (tried, key) in
                methods.into_iter().flat_map(|method| [(method, "authorization"), (method, "x-api-key"), (method, "")])
            {
                let request =
                    app.http.request(tried.parse().unwrap(), app.url(pattern)).header("origin", "https://example.com");
                let request = request.header("access-control-request-method", &method);
                let request = if key.is_empty() { request } else { request.header(key, "Bearer sk_nobody") };
                let response = request.send().await.unwrap();
                seen.note(tried, pattern, &response);
            }
        }
    }
}

#[tokio::test]
async fn of_delivery_only_contents_may_be_kept() {
    let app = TestApp::start().await;
    let record = app.whole(b"0123456789", &[("file_name", "f")]).await;
    let url = app.url_of(&record);
    let tag = app.get(&url).await.headers()["etag"].to_str().unwrap().to_owned();
    let (kept, not_kept) = ("public, no-cache", "no-store");
    for (method, url, header, status, said) in [
        (Method::GET, url.as_str(), ("x-nothing", ""), 200, kept),
        (Method::HEAD, &url, ("x-nothing", ""), 200, kept),
        (Method::GET, &url, ("range", "bytes=0-1"), 206, kept),
        (Method::GET, &url, ("range", "bytes=0-1,4-5"), 206, kept),
        (Method::GET, &url, ("if-none-match", &tag), 304, kept),
        (Method::HEAD, &url, ("if-none-match", &tag), 304, kept),
        (Method::GET, &url, ("range", "bytes=99-"), 416, not_kept),
        (Method::GET, &url, ("if-match", "\"other\""), 412, not_kept),
        (Method::HEAD, &url, ("if-match", "\"other\""), 412, not_kept),
        (Method::GET, &format!("{url}x"), ("x-nothing", ""), 404, not_kept),
        (Method::HEAD, &format!("{url}x"), ("x-nothing", ""), 404, not_kept),
        (Method::POST, &url, ("x-nothing", ""), 405, not_kept),
        (Method::GET, &app.url("/"), ("x-nothing", ""), 404, not_kept),
        (Method::GET, &app.url("/openapi.json"), ("x-nothing", ""), 200, not_kept),
        (Method::GET, &app.url("/api/v9/x"), ("x-nothing", ""), 404, not_kept),
    ] {
        let request = app.http.request(method.clone(), url).header(header.0, header.1);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {url} {header:?}");
        assert_eq!(cache_control(response.headers()), [said], "{method} {url} {header:?}");
    }
}

#[tokio::test]
async fn contents_are_served_with_the_rule_that_the_settings_have() {
    const RULE: &str = "public, max-age=31536000, immutable";
    for (s3, delivery) in [(false, S3Delivery::Stream), (true, S3Delivery::Stream), (true, S3Delivery::Redirect)] {
        let app = TestApp::start_on(Services { s3, ..Services::of_this_run() }, |config| {
            config.delivery.cache_control = RULE.parse().unwrap();
            config.storage.delivery = delivery;
            config.storage.url_seconds = std::time::Duration::from_secs(60);
        })
        .await;
        let record = app.whole(b"0123456789", &[("file_name", "f")]).await;
        let url = app.url_of(&record);
        // The client follows a redirect: the store says it then.
        for (method, header, status) in [
            (Method::GET, ("x-nothing", ""), 200),
            (Method::HEAD, ("x-nothing", ""), 200),
            (Method::GET, ("range", "bytes=0-1"), 206),
        ] {
            let request = app.http.request(method.clone(), &url).header(header.0, header.1);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{method} {header:?}");
            let said = cache_control(response.headers());
            // Garage answers ranges with the headers that the object was created with, which have no such rule.
            let is_of_store = delivery == S3Delivery::Redirect && header.0 == "range";
            assert!(
                said == [RULE] || is_of_store && said.is_empty(),
                "{method} {header:?}, {s3} {delivery:?}: {said:?}"
            );
        }
        let missing = app.get(&format!("{url}x")).await;
        assert_eq!((missing.status().as_u16(), cache_control(missing.headers())), (404, vec!["no-store"]));
    }
}

/// Heads that the HTTP library refuses by itself: a name of a header that is none, too many headers, a head that is too long, a
/// URL that is too long.
#[tokio::test]
async fn a_refusal_of_a_head_that_cannot_be_read_may_not_be_kept() {
    let app = TestApp::start().await;
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let heads = [
        (400, "GET / HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nhost: x\r\nx: a\u{1}b\r\n\r\n".to_owned()),
        (431, format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n")),
        (431, format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(1024 * 1024))),
        (414, format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70 * 1024))),
    ];
    for (status, head) in heads {
        let answer = app.raw(head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.matches("cache-control: no-store\r\n").count(), 1, "{answer}");
        assert!(answer.ends_with("\r\n\r\n") && !answer[..answer.len() - 4].contains("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_redirect_to_the_bucket_may_not_be_kept() {
    let redirects = |config: &mut Config| config.storage.delivery = S3Delivery::Redirect;
    let app = TestApp::start_on(Services { s3: true, ..Services::of_this_run() }, redirects).await;
    let record = app.whole(b"0123456789", &[("file_name", "f")]).await;
    let client =
        reqwest::Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let response = client.get(app.url_of(&record)).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(cache_control(response.headers()), ["no-store"]);
}

/// With `Vary: origin`, a cache keeps a copy for each site that embeds a file.
#[tokio::test]
async fn only_the_answer_to_a_preflight_depends_on_the_site_that_asks() {
    let client = client_without_redirects();
    for (s3, delivery) in [(false, S3Delivery::Stream), (true, S3Delivery::Stream), (true, S3Delivery::Redirect)] {
        let app = TestApp::start_on(Services { s3, ..Services::of_this_run() }, |config| {
            config.storage.delivery = delivery;
        })
        .await;
        let record = app.whole(b"0123456789", &[("file_name", "f")]).await;
        let (url, version_url) = (app.url_of(&record), record["version_url"].as_str().unwrap().to_owned());
        let (missing, api) = (format!("{url}x"), app.url("/api/v1/files"));
        for url in [&url, &version_url, &missing, &api] {
            for method in [Method::GET, Method::HEAD] {
                for (name, value) in [("origin", "https://a.example"), ("range", "bytes=0-1"), ("if-none-match", "*")] {
                    let request = client.request(method.clone(), url).header("origin", "https://a.example");
                    let answer = request.header(name, value).send().await.unwrap();
                    assert!(!answer.headers().contains_key("vary"), "{method} {url}: {:?}", answer.headers());
                    assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{method} {url}");
                }
            }
            let preflight = client
                .request(Method::OPTIONS, url)
                .header("origin", "https://a.example")
                .header("access-control-request-method", "PUT")
                .header("access-control-request-headers", "content-digest,x-api-key");
            let answer = preflight.send().await.unwrap();
            let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
            assert_eq!(vary, ["origin, access-control-request-method, access-control-request-headers"], "{url}");
            assert_eq!(answer.headers()["access-control-allow-headers"], "content-digest,x-api-key");
            assert_eq!(answer.headers()["access-control-allow-origin"], "*");
            for (name, value) in
                [("origin", "https://a.example"), ("access-control-request-method", "PUT"), ("accept", "*/*")]
            {
                let answer = client.request(Method::OPTIONS, url).header(name, value).send().await.unwrap();
                assert!(!answer.headers().contains_key("vary"), "no preflight, only {name}: {url}");
            }
        }
    }
}

#[tokio::test]
async fn no_page_of_another_site_can_read_the_figures_of_the_server() {
    let app = TestApp::start().await;
    for (method, status) in [(Method::GET, 200), (Method::HEAD, 200), (Method::POST, 405), (Method::OPTIONS, 405)] {
        let request = app.http.request(method.clone(), app.url("/metrics")).header("origin", "https://a.example");
        let answer = request.header("access-control-request-method", "GET").send().await.unwrap();
        assert_eq!(answer.status(), status, "{method}");
        let opening = |name: &str| name.starts_with("access-control-") || name == "vary";
        assert!(!answer.headers().keys().any(|name| opening(name.as_str())), "{method}: {:?}", answer.headers());
    }
}
