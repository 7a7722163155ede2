//! `GET, HEAD /{workspace_no}/{path}`

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use partway_server::db::Durability;
use partway_server::db::Timestamp;
use partway_server::db::files::{self, File};
use partway_server::model::S3Delivery;
use reqwest::{Method, Response};
use serde_json::json;
use uuid::Uuid;

use crate::app::{MIB, TestApp, assert_error, bytes, client_without_redirects, read_available};
use crate::services::Services;

async fn get(app: &TestApp, url: &str, headers: &[(&str, &str)]) -> Response {
    let request = app.http.get(url);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

#[tokio::test]
async fn a_file_comes_back_byte_for_byte_with_its_headers() {
    let app = TestApp::start().await;
    let data = bytes(1, 3 * MIB + 17);
    let record = app.upload_whole(&data, json!({"file_name": "ü \"x\".bin"})).await;
    let url = record["url"].as_str().unwrap();
    an_hour_ago(&app);
    for method in [Method::GET, Method::HEAD] {
        let response =
            app.http.request(method.clone(), url).header("origin", "https://example.com").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        let header = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(header("content-length"), data.len().to_string());
        assert_eq!(header("content-type"), "application/octet-stream");
        match app.is_local() {
            true => assert_eq!(header("etag"), format!("\"{}\"", blake3::hash(&data))),
            false => assert!(header("etag").starts_with('"') && header("etag").ends_with("-1\""), "{}", header("etag")),
        }
        assert_eq!(header("accept-ranges"), "bytes");
        assert_eq!(header("cache-control"), "public, no-cache");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("access-control-allow-origin"), "*");
        assert_eq!(header("content-disposition"), "inline; filename*=UTF-8''%C3%BC%20%22x%22.bin");
        assert!(header("last-modified").ends_with("GMT"));
        assert!(!headers.contains_key("vary"), "each origin would be kept on its own: {headers:?}");
        let body = response.bytes().await.unwrap();
        assert!(if method == Method::GET { body == data } else { body.is_empty() });
    }
}

#[tokio::test]
async fn one_range_comes_alone_and_several_come_as_parts() {
    let app = TestApp::start().await;
    let data = bytes(2, 100_000);
    let record = app.upload_whole(&data, json!({"format": "video/mp4"})).await;
    let url = record["url"].as_str().unwrap();
    for (range, expected, content_range) in [
        ("bytes=0-0", &data[..1], "bytes 0-0/100000"),
        ("bytes=99990-", &data[99_990..], "bytes 99990-99999/100000"),
        ("bytes=-10", &data[99_990..], "bytes 99990-99999/100000"),
        ("bytes=500-999999", &data[500..], "bytes 500-99999/100000"),
        ("bytes=0-9,10-19", &data[..20], "bytes 0-19/100000"),
    ] {
        let response = get(&app, url, &[("range", range)]).await;
        assert_eq!(response.status(), 206, "{range}");
        assert_eq!(response.headers()["content-range"], content_range);
        assert_eq!(response.headers()["content-length"], expected.len().to_string());
        assert!(response.bytes().await.unwrap() == expected, "{range}");
    }
    let response = get(&app, url, &[("range", "bytes=0-4,-5,1000-1004")]).await;
    assert_eq!(response.status(), 206);
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let body = response.bytes().await.unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(0, 4), (99_995, 99_999), (1000, 1004)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {first}-{last}/100000\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&data[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(body == expected && length == expected.len());
}

#[tokio::test]
async fn sixty_four_ranges_come_as_parts_and_of_one_more_the_whole_file_comes() {
    let app = TestApp::start().await;
    let data = bytes(3, 1000);
    let record = app.upload_whole(&data, json!({"format": "video/mp4"})).await;
    let url = record["url"].as_str().unwrap();
    // From the end to the beginning: the parts come in the order of the request.
    let ranges = |number: usize| {
        let ranges: Vec<_> = (0..number).rev().map(|index| format!("{}-{}", index * 10, index * 10 + 1)).collect();
        format!("bytes={}", ranges.join(","))
    };
    let response = get(&app, url, &[("range", &ranges(64))]).await;
    assert_eq!(response.status(), 206);
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let body = response.bytes().await.unwrap();
    let mut expected = Vec::new();
    for first in (0..64).rev().map(|index| index * 10) {
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {first}-{}/1000", first + 1);
        expected.extend_from_slice(format!("{head}\r\n\r\n").as_bytes());
        expected.extend_from_slice(&data[first..first + 2]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(body == expected && length == expected.len());
    let whole = get(&app, url, &[("range", &ranges(65))]).await;
    assert_eq!((whole.status().as_u16(), whole.headers().get("content-range")), (200, None));
    assert!(whole.bytes().await.unwrap() == data);
    // Ranges that touch are one: what counts is how many are sent.
    let touching: Vec<_> = (0..100).map(|index| format!("{index}-{index}")).collect();
    let merged = get(&app, url, &[("range", &format!("bytes={}", touching.join(",")))]).await;
    assert_eq!(
        (merged.status().as_u16(), &merged.headers()["content-range"]),
        (206, &"bytes 0-99/1000".parse().unwrap())
    );
}

#[tokio::test]
async fn bad_ranges_are_ignored_and_impossible_ones_refused() {
    let app = TestApp::start().await;
    let record = app.upload_whole(b"0123456789", json!({})).await;
    let url = record["url"].as_str().unwrap();
    for range in ["bytes=5-2", "bytes=x", "lines=1-2", "bytes=", "bytes 0-1"] {
        let response = get(&app, url, &[("range", range)]).await;
        assert_eq!(response.status(), 200, "{range}");
        assert_eq!(response.text().await.unwrap(), "0123456789");
    }
    for range in ["bytes=10-", "bytes=100-200", "bytes=-0"] {
        let response = get(&app, url, &[("range", range)]).await;
        assert_eq!(response.headers()["content-range"], "bytes */10");
        assert_error(response, 416, "RANGE_NOT_SATISFIABLE", &["`Range`", range, "10 bytes"]).await;
    }
    // A range has no meaning for HEAD.
    let response = app.http.head(url).header("range", "bytes=0-1").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-length"].to_str().unwrap()), (200, "10"));
}

#[tokio::test]
async fn conditions_are_kept() {
    let app = TestApp::start().await;
    let record = app.upload_whole(b"0123456789", json!({})).await;
    an_hour_ago(&app);
    let url = record["url"].as_str().unwrap();
    let first = app.get(url).await;
    let (tag, date) = (first.headers()["etag"].to_str().unwrap(), first.headers()["last-modified"].to_str().unwrap());
    for (headers, status) in [
        (vec![("if-none-match", tag)], 304),
        (vec![("if-none-match", "\"other\"")], 200),
        (vec![("if-modified-since", date)], 304),
        (vec![("if-match", "\"other\"")], 412),
        (vec![("if-match", tag)], 200),
        (vec![("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")], 412),
        (vec![("range", "bytes=0-1"), ("if-range", tag)], 206),
        (vec![("range", "bytes=0-1"), ("if-range", "\"other\"")], 200),
        (vec![("range", "bytes=0-1"), ("if-range", date)], 206),
        (vec![("range", "bytes=0-1"), ("if-none-match", tag)], 304),
    ] {
        let response = get(&app, url, &headers).await;
        assert_eq!(response.status(), status, "{headers:?}");
        if status == 304 {
            assert_eq!(response.headers()["etag"], tag);
            assert!(response.bytes().await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_condition_that_is_not_met_is_answered_with_an_error_body_and_head_without() {
    let app = TestApp::start().await;
    let record = app.upload_whole(b"0123456789", json!({})).await;
    let url = record["url"].as_str().unwrap();
    let tag = app.get(url).await.headers()["etag"].to_str().unwrap().to_owned();
    for (name, value, named) in [
        ("if-match", "\"other\"", vec!["`If-Match`", "other", tag.as_str()]),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", vec!["`If-Unmodified-Since`", "1970"]),
    ] {
        let response = get(&app, url, &[(name, value)]).await;
        assert_error(response, 412, "PRECONDITION_FAILED", &named).await;
        let response = app.http.head(url).header(name, value).send().await.unwrap();
        assert_eq!(response.status(), 412);
        assert!(response.headers().contains_key("x-request-id"));
        assert!(response.bytes().await.unwrap().is_empty());
    }
}

/// A date names one version alone once its second is over.
fn an_hour_ago(app: &TestApp) {
    app.sql("UPDATE files SET created_at = created_at - 3600000");
}

#[tokio::test]
async fn two_versions_of_one_second_are_never_mixed_by_their_date() {
    let app = TestApp::start().await;
    let mut dates = Vec::new();
    for version in [b"first", b"other"] {
        let record = app.upload_whole(version, json!({"file_name": "f"})).await;
        // As if the clock stood still.
        app.sql("UPDATE files SET created_at = 32503680000123");
        let served = app.get(record["url"].as_str().unwrap()).await;
        dates.extend(served.headers().get("last-modified").cloned());
        let wanted = [("range", "bytes=2-"), ("if-range", "Wed, 01 Jan 3000 00:00:00 GMT")];
        let resumed = get(&app, record["url"].as_str().unwrap(), &wanted).await;
        assert_eq!((resumed.status().as_u16(), resumed.bytes().await.unwrap().as_ref()), (200, &version[..]));
    }
    assert!(dates.is_empty(), "two versions were sent with one date: {dates:?}");
}

/// The answer to a request with this condition, byte by byte: client libraries hide lengths that are wrong.
async fn raw_conditional(url: &reqwest::Url, method: &str, condition: &str) -> String {
    let (address, target) = (url.socket_addrs(|| None).unwrap()[0], &url[url::Position::BeforePath..]);
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{condition}\r\nConnection: close\r\n\r\n");
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        read_available(&mut stream).to_ascii_lowercase()
    });
    answer.await.unwrap()
}

/// RFC 9110, section 8.6. A cache that hears of no bytes serves none.
#[tokio::test]
async fn a_304_says_the_length_of_the_file_or_none() {
    let client = client_without_redirects();
    for (s3, delivery) in [(false, S3Delivery::Stream), (true, S3Delivery::Stream), (true, S3Delivery::Redirect)] {
        let app = TestApp::start_on(Services { s3, ..Services::of_this_run() }, |config| {
            config.storage.delivery = delivery;
            config.storage.url_seconds = Duration::from_secs(60);
        })
        .await;
        let record = app.upload_whole(b"0123456789", json!({})).await;
        an_hour_ago(&app);
        for (method, member, validator, header) in [
            ("HEAD", "url", "etag", "If-None-Match"),
            ("GET", "url", "etag", "If-None-Match"),
            ("HEAD", "url", "last-modified", "If-Modified-Since"),
            ("GET", "url", "last-modified", "If-Modified-Since"),
            ("HEAD", "version_url", "etag", "If-None-Match"),
            ("GET", "version_url", "etag", "If-None-Match"),
        ] {
            let mut url = reqwest::Url::parse(record[member].as_str().unwrap()).unwrap();
            if delivery == S3Delivery::Redirect && method == "GET" {
                // The store evaluates the condition; it has dates of its own.
                let redirect = client.get(url).send().await.unwrap();
                url = redirect.headers()["location"].to_str().unwrap().parse().unwrap();
            }
            let seen = client.request(method.parse().unwrap(), url.clone()).send().await.unwrap();
            let condition = format!("{header}: {}", seen.headers()[validator].to_str().unwrap());
            let answer = raw_conditional(&url, method, &condition).await;
            assert!(answer.starts_with("http/1.1 304"), "{answer}");
            let length = answer.lines().find(|line| line.starts_with("content-length"));
            let case = format!("{method} {member} {condition}, {s3} {delivery:?}");
            assert!(length.is_none_or(|length| length == "content-length: 10"), "{case}: {answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{case}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_404_without_a_hint() {
    let app = TestApp::start().await;
    let record = app.upload_whole(b"x", json!({"folder": "a/b", "file_name": "f"})).await;
    let no = &app.workspace_no;
    for path in [
        format!("/{no}/nothing"),
        format!("/{no}/a"),
        format!("/{no}/a/b"),
        format!("/{no}/a/b/"),
        format!("/{no}/a/b/f/"),
        format!("/{no}/a//b/f"),
        format!("/{no}/a/b/%2e%2e/b/f"),
        format!("/{no}/../../etc/passwd"),
        format!("/{no}/%ff%fe"),
        "/0000000000/a/b/f".to_owned(),
    ] {
        let answer = app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("\"FILE_NOT_FOUND\""), "{path}: {answer}");
    }
    assert_error(app.get(&app.url(&format!("/{no}"))).await, 404, "NOT_FOUND", &[]).await;
    assert_error(app.get(&app.url("/")).await, 404, "NOT_FOUND", &[]).await;
    assert_error(app.get(&app.url("/api/v1/nothing")).await, 404, "NOT_FOUND", &[]).await;
    let url = record["url"].as_str().unwrap();
    assert_error(app.http.delete(url).send().await.unwrap(), 405, "METHOD_NOT_ALLOWED", &["DELETE"]).await;
    let wrong = app.request(Method::GET, "/api/v1/multipart/start").send().await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    assert_error(wrong, 405, "METHOD_NOT_ALLOWED", &["GET"]).await;
}

#[tokio::test]
async fn nothing_served_can_act_as_the_site() {
    let app = TestApp::start().await;
    for (format, sandboxed, disposition) in [
        ("text/html", true, "attachment"),
        ("text/html; charset=utf-8", true, "attachment"),
        ("application/xhtml+xml", true, "attachment"),
        ("image/svg+xml", true, "inline"),
        ("application/xml", true, "inline"),
        ("application/pdf", true, "inline"),
        ("text/javascript", true, "inline"),
        ("application/x-unheard-of", true, "inline"),
        ("video/x+xml", true, "inline"),
        ("image/png", false, "inline"),
        ("video/mp4", false, "inline"),
        ("text/plain", false, "inline"),
    ] {
        let record = app.upload_whole(b"<script>alert(1)</script>", json!({"format": format})).await;
        let response = app.get(record["url"].as_str().unwrap()).await;
        let content_type = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(content_type.split(';').next(), format.split(';').next());
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(
            response.headers().get("content-security-policy").is_some_and(|policy| policy == "sandbox"),
            sandboxed,
            "{format}"
        );
        assert!(response.headers()["content-disposition"].to_str().unwrap().starts_with(disposition), "{format}");
    }
}

#[tokio::test]
async fn a_reader_in_the_middle_of_a_file_keeps_its_bytes_when_it_is_replaced() {
    let app = TestApp::start().await;
    let old = bytes(5, 20 * MIB);
    let record = app.upload_whole(&old, json!({})).await;
    let mut reading = app.get(record["url"].as_str().unwrap()).await;
    let mut read = reading.chunk().await.unwrap().unwrap().to_vec();
    app.upload_whole(b"new", json!({})).await;
    app.until("the old bytes are deleted", |app| app.count("garbage") == 0).await;
    while let Some(chunk) = reading.chunk().await.unwrap() {
        read.extend_from_slice(&chunk);
    }
    assert!(read == old);
}

#[tokio::test]
async fn the_last_bytes_of_a_tebibyte_come_at_once_and_memory_stays_small() {
    let app = TestApp::start_local().await;
    let size_bytes = 1024 * 1024 * MIB;
    let record = app.upload_whole(b"x", json!({"file_name": "small"})).await;
    let workspace_id: Uuid = record["workspace_id"].as_str().unwrap().parse().unwrap();
    let blob_id = Uuid::now_v7();
    let blob = app.app().stores.local().unwrap().create(blob_id, size_bytes).unwrap();
    blob.write_all_at(b"0123456789", size_bytes - 10).unwrap();
    let file = File {
        id: Uuid::now_v7(),
        file_no: "0000000000".into(),
        workspace_id,
        folder_id: None,
        folder_no: None,
        folder_name: None,
        name: "huge".into(),
        path: "huge".into(),
        blob_id,
        size_bytes,
        mime_type: "application/octet-stream".into(),
        declared_type: None,
        format: "bin".into(),
        width: None,
        height: None,
        hash: None,
        tags: Vec::new(),
        metadata: None,
        custom_id: None,
        upload_source: "api".into(),
        is_duplicate: false,
        storage: partway_server::model::StorageKind::Local,
        entity_tag: None,
        api_key_id: None,
        charset: None,
        content_encoding: None,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        origin_id: Uuid::now_v7(),
    };
    app.app().db.write(Durability::Process, move |tx| files::insert(tx, &file)).await.unwrap();
    let url = app.url(&format!("/{}/huge", app.workspace_no));
    let began = Instant::now();
    let response = get(&app, &url, &[("range", "bytes=-10")]).await;
    assert_eq!(
        response.headers()["content-range"],
        format!("bytes {}-{}/{size_bytes}", size_bytes - 10, size_bytes - 1)
    );
    assert_eq!(response.text().await.unwrap(), "0123456789");
    // Reading what is before them would take hours.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Half a gigabyte read by a slow reader: the server must not read ahead of it.
    let before = resident_mib();
    let mut reading = get(&app, &url, &[("range", "bytes=0-536870911")]).await;
    for _ in 0..64 {
        reading.chunk().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let grown = resident_mib() - before;
    assert!(grown < 32.0, "memory grew by {grown} MiB");
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[tokio::test]
async fn a_url_in_another_unicode_form_finds_the_file() {
    let app = TestApp::start().await;
    let record = app.whole(b"0123456789", &[("folder", "Sch\u{f6}n"), ("file_name", "cafe\u{301}.txt")]).await;
    assert_eq!(record["path"], "Sch\u{f6}n/caf\u{e9}.txt");
    let composed = app.url(&format!("/{}/Sch%C3%B6n/caf%C3%A9.txt", app.workspace_no));
    let decomposed = app.url(&format!("/{}/Scho%CC%88n/cafe%CC%81.txt", app.workspace_no));
    for url in [composed, decomposed] {
        assert_eq!(get(&app, &url, &[]).await.text().await.unwrap(), "0123456789", "{url}");
        let range = get(&app, &url, &[("range", "bytes=2-4")]).await;
        assert_eq!((range.status().as_u16(), range.text().await.unwrap().as_str()), (206, "234"), "{url}");
        // A bucket's redirect is followed to a URL that is signed for GET alone.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let head = client.head(&url).send().await.unwrap().status();
        assert!(head == 200 || head == 302, "{url}: {head}");
    }
}
