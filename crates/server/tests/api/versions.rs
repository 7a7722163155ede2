//! `version_url`: a URL that serves one version of a file and nothing of another.

use std::path::Path;
use std::process::Command;

use partway_server::Config;
use partway_server::config::SettingsReader;
use partway_server::model::S3Delivery;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error, bytes, client_without_redirects};
use crate::peers::{Peer, allow_loopback, file};
use crate::services::Services;

const YEAR: &str = "public, max-age=31536000, immutable";
/// Storage and its delivery.
const PLACES: [(bool, S3Delivery); 3] =
    [(false, S3Delivery::Stream), (true, S3Delivery::Stream), (true, S3Delivery::Redirect)];

async fn app_on(s3: bool, delivery: S3Delivery) -> TestApp {
    TestApp::start_on(Services { s3, ..Services::of_this_run() }, |config| {
        config.storage.delivery = delivery;
        config.storage.url_seconds = std::time::Duration::from_secs(60);
    })
    .await
}

fn version_url(record: &Value) -> String {
    record["version_url"].as_str().unwrap().to_owned()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Runs curl, which follows redirects. Its exit code, and its messages.
async fn curl(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--location"]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Fetches the beginning of a file, has it replaced, and fetches on. Exit code of the second try, and what is there.
async fn fetch_in_two_tries(app: &TestApp, target: &Path, member: &str, more: &[&str]) -> (Option<i32>, Vec<u8>) {
    let target = target.to_str().unwrap();
    let record = app.whole(&bytes(1, 100_000), &[("file_name", "f.bin")]).await;
    let url = record[member].as_str().unwrap();
    assert_eq!(curl(&["--fail", "--range", "0-39999", "--output", target, url]).await.0, Some(0));
    app.whole(&bytes(2, 100_000), &[("file_name", "f.bin")]).await;
    let (code, said) = curl(&[&["--continue-at", "-", "--output", target, url], more].concat()).await;
    assert_eq!(code == Some(0), said.is_empty(), "{said}");
    (code, std::fs::read(target).unwrap())
}

#[tokio::test]
async fn a_download_that_goes_on_after_the_file_was_replaced_is_mixed_by_the_plain_url_alone() {
    let (old, new) = (bytes(1, 100_000), bytes(2, 100_000));
    for (s3, delivery) in PLACES {
        let app = app_on(s3, delivery).await;
        let directory = tempfile::tempdir().unwrap();
        let (code, got) = fetch_in_two_tries(&app, &directory.path().join("plain"), "url", &["--fail"]).await;
        assert_eq!(code, Some(0));
        assert!(got == [&old[..40_000], &new[40_000..]].concat(), "{delivery:?}: curl has learnt to ask by If-Range");
        // CURLE_HTTP_RETURNED_ERROR, and without --fail CURLE_RANGE_ERROR.
        for (name, more, expected) in [("fails", &["--fail"][..], 22), ("stays", &[], 33)] {
            let (code, got) = fetch_in_two_tries(&app, &directory.path().join(name), "version_url", more).await;
            assert_eq!(code, Some(expected), "{s3} {delivery:?} {name}");
            assert!(got == old[..40_000], "{s3} {delivery:?} {name}: bytes were added");
        }
        // As long as the file stays, it is fetched whole.
        let record = app.whole(&old, &[("file_name", "f.bin")]).await;
        let whole = directory.path().join("whole");
        for range in [&["--range", "0-39999"][..], &["--continue-at", "-"]] {
            let arguments = ["--fail", "--output", whole.to_str().unwrap(), &version_url(&record)];
            assert_eq!(curl(&[range, &arguments].concat()).await, (Some(0), String::new()));
        }
        assert!(std::fs::read(&whole).unwrap() == old);
    }
}

#[tokio::test]
async fn a_version_is_served_as_the_file_is_and_may_be_kept_for_a_year() {
    for (s3, delivery) in PLACES {
        let app = app_on(s3, delivery).await;
        let record = app.whole(b"0123456789", &[("file_name", "f.txt"), ("folder", "a b")]).await;
        let (url, version) = (app.url_of(&record), version_url(&record));
        assert!(version.starts_with(&format!("{url}?v=")) && version.len() == url.len() + 26, "{version}");
        assert_eq!(record["data"]["version_url"], version);
        let tag = header(&app.get(&url).await, "etag").to_owned();
        for (method, name, value, status, body) in [
            (Method::GET, "x-nothing", "", 200, "0123456789"),
            (Method::HEAD, "x-nothing", "", 200, ""),
            (Method::GET, "range", "bytes=2-4", 206, "234"),
            (Method::GET, "if-none-match", &tag, 304, ""),
            (Method::HEAD, "if-none-match", &tag, 304, ""),
            (Method::GET, "if-match", "\"other\"", 412, "*"),
        ] {
            let send =
                async |url: &str| app.http.request(method.clone(), url).header(name, value).send().await.unwrap();
            let (plain, versioned) = (send(&url).await, send(&version).await);
            let case = format!("{method} {name}, {s3} {delivery:?}");
            assert_eq!((plain.status().as_u16(), versioned.status().as_u16()), (status, status), "{case}");
            for same in
                ["etag", "last-modified", "content-type", "content-length", "content-range", "content-disposition"]
            {
                let is_error = status == 412 && same == "content-length";
                assert!(is_error || header(&plain, same) == header(&versioned, same), "{case}: {same}");
            }
            // Answers of Garage: ranges and 304 have no such header, whatever the URL asks for, and an error is none of ours.
            let is_of_store = delivery == S3Delivery::Redirect && method == Method::GET && status != 200;
            let said = header(&versioned, "cache-control");
            let expected = if status == 412 { "no-store" } else { YEAR };
            assert!(said == expected || is_of_store && said.is_empty(), "{case}: {said:?}");
            if body != "*" {
                assert_eq!(versioned.text().await.unwrap(), body, "{case}");
            }
        }
        assert_eq!(header(&app.get(&url).await, "cache-control"), "public, no-cache");
    }
}

#[tokio::test]
async fn another_version_is_refused_before_anything_else_and_nothing_of_it_is_sent() {
    let client = client_without_redirects();
    for (s3, delivery) in PLACES {
        let app = app_on(s3, delivery).await;
        let old = app.whole(b"0123456789", &[("file_name", "f")]).await;
        let new = app.whole(b"abcdefghij", &[("file_name", "f")]).await;
        let (old_url, new_url) = (version_url(&old), version_url(&new));
        let (was, is) = (old_url.split_once("?v=").unwrap().1, new_url.split_once("?v=").unwrap().1);
        assert_ne!(was, is);
        assert_eq!(app.get(&new_url).await.text().await.unwrap(), "abcdefghij");
        let tag = header(&app.get(&new_url).await, "etag").to_owned();
        for (name, value) in [
            ("x-nothing", ""),
            ("range", "bytes=2-4"),
            ("range", "bytes=100-"),
            ("if-range", &tag),
            ("if-none-match", &tag),
            ("if-none-match", "*"),
            ("if-match", &tag),
            ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ] {
            let answer = client.get(&old_url).header(name, value).send().await.unwrap();
            for absent in ["location", "etag", "content-range", "last-modified"] {
                assert_eq!(header(&answer, absent), "", "{name}: {value}");
            }
            assert_eq!(header(&answer, "content-type"), "application/json");
            let body = assert_error(answer, 412, "PRECONDITION_FAILED", &["`v`", was, is]).await;
            // No id, being hexadecimal, has these letters.
            assert!(!body.to_string().contains("ghij"), "{body}");
            let head = client.head(&old_url).header(name, value).send().await.unwrap();
            assert_eq!((head.status().as_u16(), header(&head, "cache-control")), (412, "no-store"), "{name}: {value}");
            assert_eq!(header(&head, "location"), "");
        }
        app.delete_file(&new).await;
        for url in [&old_url, &new_url] {
            assert_error(app.get(url).await, 404, "FILE_NOT_FOUND", &[]).await;
        }
    }
}

#[tokio::test]
async fn a_redirect_of_a_version_is_not_kept_and_leads_to_its_object_even_when_the_file_was_replaced() {
    let app = app_on(true, S3Delivery::Redirect).await;
    let client = client_without_redirects();
    let record = app.whole(b"first", &[("file_name", "f")]).await;
    let answer = client.get(version_url(&record)).header("range", "bytes=0-1").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "cache-control")), (302, "no-store"));
    let location = header(&answer, "location").to_owned();
    app.whole(b"other", &[("file_name", "f")]).await;
    let answer = app.http.get(&location).header("range", "bytes=2-").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (206, "rst"));
}

#[tokio::test]
async fn a_parameter_that_names_no_version_changes_nothing_and_two_versions_are_refused() {
    let app = TestApp::start().await;
    let record = app.whole(b"0123456789", &[("file_name", "f")]).await;
    let (url, version) = (app.url_of(&record), version_url(&record));
    let name = version.split_once("?v=").unwrap().1;
    // Sites have a `v` of their own.
    for query in ["v", "v=", "v=2", "v=1.0.3", &format!("v={}", &name[3..]), &format!("v={name}0"), "V=2", "version=2"]
    {
        let answer = app.get(&format!("{url}?{query}")).await;
        assert_eq!(answer.headers()["cache-control"], app.get(&url).await.headers()["cache-control"], "{query}");
        assert_eq!(answer.text().await.unwrap(), "0123456789", "{query}");
    }
    for query in [format!("utm_source=x&v={name}&"), format!("v=2&v={name}"), format!("v={name}&v={name}")] {
        assert_eq!(app.get(&format!("{url}?{query}")).await.text().await.unwrap(), "0123456789", "{query}");
    }
    let two = format!("{url}?v={name}&v=pw-{}", "0".repeat(20));
    let answer = app.http.get(&two).header("range", "bytes=0-1").send().await.unwrap();
    assert_error(answer, 400, "INVALID_PARAMETER", &["`v` is given for two versions", "allowed"]).await;
    assert_eq!(app.http.head(&two).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn every_record_of_a_file_has_the_url_of_the_version_that_it_describes() {
    let app = TestApp::start_with(allow_loopback).await;
    let peer = Peer::start(|_| file("remote", &[])).await;
    let session = app.upload(5, json!({"file_name": "f", "folder": "d"})).await;
    session.put_all(&app, b"parts").await;
    let in_parts: Value = session.complete(&app).await.json().await.unwrap();
    let whole = app.whole(b"whole", &[("file_name", "f"), ("folder", "d")]).await;
    let remote = json!({"remote_url": peer.url("/f"), "file_name": "f", "folder": "d"});
    let fetched: Value = app.post("/api/v1/uploads/remote", &remote).await.json().await.unwrap();
    // The same bytes again are a version of their own: their type may be another.
    let again = app.whole(b"remote", &[("file_name", "f"), ("folder", "d")]).await;
    let mut urls: Vec<_> = [&in_parts, &whole, &fetched, &again].map(version_url).into();
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 4, "{urls:?}");
    // Repeating complete answers the record of its file, which is not there any more.
    let repeated: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!((&repeated, &session.status(&app).await["file"]["version_url"]), (&in_parts, &in_parts["version_url"]));
    assert_error(app.get(&version_url(&repeated)).await, 412, "PRECONDITION_FAILED", &[]).await;
    let path = format!("/api/v1/files/{}", again["file_no"].as_str().unwrap());
    let folder = format!("/api/v1/files?folder_no={}", again["folder_no"].as_str().unwrap());
    let current = again["version_url"].clone();
    assert_eq!(app.look(&path).await["data"]["version_url"], current);
    for list in ["/api/v1/files", "/api/v1/files?search=f", &folder] {
        assert_eq!(app.look(list).await["files"][0]["version_url"], current, "{list}");
    }
    let changed: Value = app.call(Method::PATCH, &path, json!({"add_tags": ["x"]})).await.json().await.unwrap();
    assert_eq!(changed["data"]["version_url"], current, "tags are no part of what is served");
    // A file that moves keeps its version.
    let moved: Value =
        app.call(Method::PATCH, &format!("{path}/rename"), json!({"name": "g"})).await.json().await.unwrap();
    let at_new_place = version_url(&moved["data"]);
    let name = version_url(&again).split_once("?v=").unwrap().1.to_owned();
    assert_eq!(at_new_place, format!("{}?v={name}", moved["data"]["url"].as_str().unwrap()));
    assert_eq!(app.get(&at_new_place).await.text().await.unwrap(), "remote");
    assert_error(app.get(&version_url(&again)).await, 404, "FILE_NOT_FOUND", &[]).await;
    let preview: Value =
        app.call(Method::DELETE, &format!("{path}?dry_run=true"), Value::Null).await.json().await.unwrap();
    assert_eq!(preview["would_delete"]["version_url"], at_new_place);
}

#[tokio::test]
async fn a_rule_that_keeps_files_out_of_shared_caches_holds_for_versions_too() {
    for (rule, expected) in [
        ("private, max-age=5", "private, max-age=5"),
        ("no-store", "no-store"),
        ("public, max-age=5, no-transform", "public, max-age=31536000, immutable, no-transform"),
    ] {
        let app = TestApp::start_with(|config| config.delivery.cache_control = rule.parse().unwrap()).await;
        let record = app.whole(b"0123456789", &[("file_name", "f")]).await;
        assert_eq!(header(&app.get(&app.url_of(&record)).await, "cache-control"), rule);
        assert_eq!(header(&app.get(&version_url(&record)).await, "cache-control"), expected);
    }
}

#[tokio::test]
async fn a_version_is_found_in_every_unicode_form_and_under_the_path_of_a_proxy() {
    let settings = SettingsReader::default().with_flag("", "public_url", Some("https://example.com/up".to_owned()));
    let http = Config::read(settings).unwrap().http;
    let app = TestApp::start_with(|config| config.http = http).await;
    let record = app.whole(b"0123456789", &[("folder", "Sch\u{f6}n"), ("file_name", "cafe\u{301}.txt")]).await;
    let (base, name) = record["version_url"].as_str().unwrap().split_once("?v=").unwrap();
    assert_eq!(base, format!("https://example.com/up/{}/Sch%C3%B6n/caf%C3%A9.txt", app.workspace_no));
    let other = format!("pw-{}", "0".repeat(20));
    for path in ["Sch%C3%B6n/caf%C3%A9.txt", "Scho%CC%88n/cafe%CC%81.txt"] {
        for prefix in ["", "/up"] {
            let url = app.url(&format!("{prefix}/{}/{path}", app.workspace_no));
            let range = app.http.get(format!("{url}?v={name}")).header("range", "bytes=2-4").send().await.unwrap();
            assert_eq!((range.status().as_u16(), header(&range, "cache-control")), (206, YEAR), "{url}");
            assert_eq!(range.text().await.unwrap(), "234");
            assert_error(app.get(&format!("{url}?v={other}")).await, 412, "PRECONDITION_FAILED", &[name]).await;
        }
    }
}
