//! `PUT parts[i]`

use std::time::Duration;

use partway_server::Config;
use partway_server::config::SettingsReader;
use reqwest::StatusCode;
use serde_json::json;

use crate::app::{MIB, Session, TestApp, assert_error, bytes};

/// A request head for the part, as a client would write it, with these header lines.
fn head(app: &TestApp, session: &Session, headers: &str) -> String {
    format!("PUT {} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", session.part_path(0), app.address)
}

#[tokio::test]
async fn parts_come_in_any_order_and_again_and_the_last_one_counts() {
    let app = TestApp::start_local().await;
    let data = bytes(1, 25 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    let other = bytes(2, 25 * MIB);
    for index in [1, 0, 2] {
        session.put_part(&app, &other, index).await;
    }
    for index in [2, 1, 0] {
        session.put_part(&app, &data, index).await;
    }
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
    assert!(app.get(record["url"].as_str().unwrap()).await.bytes().await.unwrap() == data);
}

#[tokio::test]
async fn a_part_needs_no_key_and_answers_an_entity_tag() {
    let app = TestApp::start_local().await;
    let session = app.upload(3, json!({})).await;
    let request = app.http.put(session.part_url(0)).bearer_auth("sk_nonsense").body("abc");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let tag = response.headers()["etag"].to_str().unwrap();
    assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
}

#[tokio::test]
async fn a_changed_url_permits_nothing() {
    let app = TestApp::start_local().await;
    let session = app.upload(25 * MIB, json!({})).await;
    let url = session.part_url(1);
    let (path, query) = url.split_once('?').unwrap();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap();
    let (expires, signature) = (value("expires"), value("signature"));
    let other_signature = signature.replace(|c| c != '0', "0");
    let other_session = url.replace(session.id(), "00000000-0000-4000-8000-000000000000");
    let first_digit_changed = format!("{}{}", if signature.starts_with('0') { '1' } else { '0' }, &signature[1..]);
    for changed in [
        url.replace("/parts/1?", "/parts/0?"),
        url.replace("/parts/1?", "/parts/99999?"),
        url.replace("/parts/1?", "/parts/-1?"),
        url.replace("/parts/1?", "/parts/x?"),
        url.replace(expires, &(expires.parse::<u64>().unwrap() + 1).to_string()),
        url.replace("length=10485760", "length=10485761"),
        url.replace("length=10485760", "length=x"),
        url.replace(signature, &other_signature),
        url.replace(signature, &first_digit_changed),
        url.replace(signature, &signature[1..]),
        url.replace(signature, ""),
        path.to_owned(),
        other_session,
    ] {
        assert_error(app.put(&changed, &[0; 100]).await, 403, "SIGNATURE_INVALID", &["signed"]).await;
    }
    assert_eq!(app.count("parts"), 0);
}

#[tokio::test]
async fn an_expired_url_says_so_and_a_signed_one_of_no_session_finds_none() {
    let app = TestApp::start_local().await;
    let session = app.upload(3, json!({"ttl_seconds": 1})).await;
    session.until_expired().await;
    assert_error(app.put(session.part_url(0), b"abc").await, 403, "URL_EXPIRED", &["`expires`"]).await;
    assert_error(session.complete(&app).await, 410, "SESSION_EXPIRED", &[session.id()]).await;

    let permission = partway_server::service::part_urls::PartPermission {
        session_id: uuid::Uuid::from_u128(5),
        part_index: 0,
        length_bytes: 3,
        expires_at: i64::MAX,
    };
    let url = app.url(&app.app().urls.part_url_signer().path_and_query(&permission));
    assert_error(app.put(&url, b"abc").await, 404, "SESSION_NOT_FOUND", &[]).await;
}

#[tokio::test]
async fn a_finished_session_takes_no_part() {
    let app = TestApp::start_local().await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    assert_error(app.put(session.part_url(0), b"xyz").await, 409, "SESSION_COMPLETED", &[session.id()]).await;
    assert_eq!(app.get(record["url"].as_str().unwrap()).await.text().await.unwrap(), "abc");
}

#[tokio::test]
async fn a_body_of_another_length_is_refused_and_the_part_stays_missing() {
    let app = TestApp::start_local().await;
    let session = app.upload(1000, json!({})).await;
    for length in [0, 999, 1001, 2000] {
        let response = app.put(session.part_url(0), &vec![7; length]).await;
        assert_error(response, 400, "PART_SIZE_MISMATCH", &[&format!(" {length}"), "1000"]).await;
    }
    let missing = assert_error(session.complete(&app).await, 400, "PARTS_MISSING", &["1 of 1"]).await;
    assert_eq!(missing["missing_parts"], json!([0]));
}

#[tokio::test]
async fn a_body_without_length_is_counted() {
    let app = TestApp::start_local().await;
    let session = app.upload(1000, json!({})).await;
    let chunked = |length: usize| {
        let head = head(&app, &session, "Transfer-Encoding: chunked\r\nConnection: close\r\n");
        let body = if length == 0 { String::new() } else { format!("{length:x}\r\n{}\r\n", "x".repeat(length)) };
        app.raw(format!("{head}{body}0\r\n\r\n"))
    };
    for length in [0, 999, 1001] {
        let answer = chunked(length).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("PART_SIZE_MISMATCH"), "{length}: {answer}");
        assert_eq!(app.count("parts"), 0);
    }
    let answer = chunked(1000).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_body_cut_in_the_middle_leaves_the_part_missing_even_if_it_was_there() {
    let app = TestApp::start_local().await;
    let data = bytes(3, MIB);
    let session = app.upload(MIB, json!({})).await;
    session.put_all(&app, &data).await;
    assert_eq!(app.count("parts"), 1);
    let head = head(&app, &session, "Content-Length: 1048576\r\n");
    let address = app.address;
    tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&[9; 500_000]).unwrap();
    })
    .await
    .unwrap();
    app.until("the part is missing", |app| app.count("parts") == 0).await;
    assert_error(session.complete(&app).await, 400, "PARTS_MISSING", &[]).await;
    session.put_all(&app, &data).await;
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn a_request_refused_before_its_body_does_not_touch_the_part() {
    let app = TestApp::start_local().await;
    let session = app.upload(1000, json!({})).await;
    let data = bytes(4, 1000);
    session.put_all(&app, &data).await;
    app.put(session.part_url(0), &[1; 999]).await;
    let empty = head(&app, &session, "Transfer-Encoding: chunked\r\nConnection: close\r\n") + "0\r\n\r\n";
    assert!(app.raw(empty).await.contains("PART_SIZE_MISMATCH"));
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn expect_continue_gets_its_100_only_after_the_checks() {
    let app = TestApp::start_local().await;
    let session = app.upload(1000, json!({})).await;
    let good = head(&app, &session, "Content-Length: 1000\r\nExpect: 100-continue\r\n");
    assert!(app.raw(good.clone()).await.starts_with("HTTP/1.1 100 Continue\r\n"));
    for (changed, status) in [
        (good.replace("Content-Length: 1000", "Content-Length: 999"), "HTTP/1.1 400"),
        (good.replace("length=1000", "length=1001"), "HTTP/1.1 403"),
        (good.replace("signature=", "signature=0"), "HTTP/1.1 403"),
    ] {
        let answer = app.raw(changed).await;
        assert!(answer.starts_with(status) && !answer.contains("100 Continue"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_on_after_a_refusal_still_gets_the_answer() {
    let app = TestApp::start_local().await;
    let session = app.upload(9 * MIB, json!({})).await;
    // Far more than the socket buffers hold: without a lingering close this ends in a reset.
    for _ in 0..5 {
        let answer = app.put(session.part_url(0), &vec![0; 9 * 1024 * 1024 + 1]).await;
        assert_error(answer, 400, "PART_SIZE_MISMATCH", &[]).await;
    }
}

#[tokio::test]
async fn a_stalled_body_is_ended_and_a_slow_one_is_not() {
    let config =
        Config::read(SettingsReader::default().with_flag("", "http.stall_timeout_seconds", Some("3".into()))).unwrap();
    let app =
        TestApp::start_local_with(|test| test.http.stall_timeout_seconds = config.http.stall_timeout_seconds).await;
    let session = app.upload(6, json!({})).await;
    let head = head(&app, &session, "Content-Length: 6\r\nConnection: close\r\n");
    let send = |pauses: &'static [u64]| {
        let (address, head) = (app.address, head.clone());
        tokio::task::spawn_blocking(move || {
            use std::io::Write;
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(b"a").unwrap();
            for &pause in pauses {
                std::thread::sleep(Duration::from_millis(pause));
                if stream.write_all(b"b").is_err() {
                    break;
                }
            }
            crate::app::read_available(&mut stream)
        })
    };
    let (stalled, slow) = (send(&[]).await.unwrap(), send(&[700; 5]).await.unwrap());
    assert!(stalled.starts_with("HTTP/1.1 408") && stalled.contains("REQUEST_TIMEOUT"), "{stalled}");
    assert!(slow.starts_with("HTTP/1.1 200"), "{slow}");
}

#[tokio::test]
async fn browsers_of_any_origin_may_put_and_read_the_tag() {
    let app = TestApp::start_local().await;
    let session = app.upload(3, json!({})).await;
    let preflight = app
        .http
        .request(reqwest::Method::OPTIONS, session.part_url(0))
        .header("origin", "https://example.com")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type,content-md5")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("content-md5"));
    let put =
        app.http.put(session.part_url(0)).header("origin", "https://example.com").body("abc").send().await.unwrap();
    assert_eq!(put.headers()["access-control-allow-origin"], "*");
    assert!(put.headers()["access-control-expose-headers"].to_str().unwrap().contains("etag"));
}
