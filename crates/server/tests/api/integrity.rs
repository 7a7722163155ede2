//! Digests of parts, and the hash of the whole.

use reqwest::Response;
use serde_json::{Value, json};

use crate::app::{MIB, Session, TestApp, assert_error, bytes};

async fn put_with(app: &TestApp, session: &Session, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut request = app.http.put(session.part_url(0));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_vec()).send().await.unwrap()
}

/// Digests of `hello` by coreutils and openssl.
const MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
const SHA256: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
const SHA512: &str =
    "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:";

#[tokio::test]
async fn parts_with_the_digest_sent_along_are_taken() {
    let app = TestApp::start_local().await;
    let both = format!("{SHA256}, {SHA512}");
    for headers in [
        &[("Content-MD5", MD5)][..],
        &[("Content-Digest", SHA256)],
        &[("Content-Digest", SHA512)],
        &[("Content-Digest", &both)],
        &[("Content-Digest", SHA256), ("Content-Digest", SHA512), ("Content-MD5", MD5)],
        // Unknown hashes are not compared.
        &[("Content-Digest", "md5=:AAAA:, crc32c=:AAAA:, unixsum=30637")],
    ] {
        let session = app.upload(5, json!({})).await;
        let response = put_with(&app, &session, headers, b"hello").await;
        assert_eq!(response.status(), 200, "{headers:?}: {:?}", response.text().await);
        assert_eq!(session.status(&app).await["uploaded_parts"], json!([0]));
    }
}

#[tokio::test]
async fn a_part_of_other_bytes_stays_missing_even_if_it_was_there() {
    let app = TestApp::start_local().await;
    let wrong_last = format!("{SHA256}, sha-512=:{}==:", "A".repeat(86));
    for headers in [
        &[("Content-MD5", MD5)][..],
        &[("Content-Digest", SHA256)],
        &[("Content-Digest", SHA512)],
        &[("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), ("Content-Digest", SHA256)],
    ] {
        let session = app.upload(5, json!({})).await;
        session.put_all(&app, b"hullo").await;
        assert_error(put_with(&app, &session, headers, b"hallo").await, 400, "CHECKSUM_MISMATCH", &["part 0"]).await;
        assert_eq!(session.status(&app).await["missing_parts"], json!([0]), "{headers:?}");
        assert_error(session.complete(&app).await, 400, "PARTS_MISSING", &[]).await;
        assert_eq!(put_with(&app, &session, &[("Content-Digest", SHA256)], b"hello").await.status(), 200);
        assert_eq!(session.complete(&app).await.status(), 201);
    }
    let session = app.upload(5, json!({})).await;
    let response = put_with(&app, &session, &[("Content-Digest", &wrong_last)], b"hello").await;
    assert_error(response, 400, "CHECKSUM_MISMATCH", &["sha-512"]).await;
}

#[tokio::test]
async fn digests_that_are_none_are_refused_before_a_byte_is_read() {
    let app = TestApp::start_local().await;
    let session = app.upload(5, json!({})).await;
    session.put_all(&app, b"hello").await;
    for (name, value) in [
        ("Content-MD5", "nonsense!"),
        ("Content-MD5", "AAAA"),
        ("Content-MD5", ""),
        ("Content-Digest", "sha-256"),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Content-Digest", "sha-256=LPJN"),
        ("Content-Digest", "sha-256=(1 2)"),
        ("Content-Digest", "sha-512=?1"),
        ("Content-Digest", "=:AAAA:"),
        ("Content-Digest", "sha-256=:###:"),
    ] {
        let response = put_with(&app, &session, &[(name, value)], b"hello").await;
        assert_error(response, 400, "INVALID_PARAMETER", &[name]).await;
    }
    // The part that was there was not touched.
    assert_eq!(session.status(&app).await["uploaded_parts"], json!([0]));
}

#[tokio::test]
async fn a_digest_covers_the_whole_part_however_it_comes() {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let app = TestApp::start_local().await;
    let data = bytes(1, 10 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&data));
    let digest = format!("sha-256=:{digest}:");
    assert_eq!(put_with(&app, &session, &[("Content-Digest", &digest)], &data).await.status(), 200);
    let mut flipped = data.clone();
    flipped[9_999_999] ^= 1;
    let response = put_with(&app, &session, &[("Content-Digest", &digest)], &flipped).await;
    assert_error(response, 400, "CHECKSUM_MISMATCH", &["sha-256"]).await;
}

#[tokio::test]
async fn a_file_other_than_the_one_announced_is_not_completed() {
    let app = TestApp::start_local().await;
    let data = bytes(1, 12 * MIB);
    let hash = format!("blake3:{}", blake3::hash(&data));
    let before = app.upload_whole(b"before", json!({"file_name": "f"})).await;
    let session = app
        .upload(data.len() as u64, json!({"file_name": "f", "hash": hash.to_uppercase().replace("BLAKE3", "blake3")}))
        .await;
    let mut other = data.clone();
    other[11 * MIB as usize] ^= 1;
    session.put_all(&app, &other).await;
    let named = [hash.as_str(), &blake3::hash(&other).to_hex()];
    assert_error(session.complete(&app).await, 400, "CHECKSUM_MISMATCH", &named).await;
    // Nothing is lost: the file that was there, the session, and its parts.
    assert_eq!(app.get(before["url"].as_str().unwrap()).await.text().await.unwrap(), "before");
    assert_eq!(session.status(&app).await["uploaded_parts"], json!([0, 1]));
    session.put_part(&app, &data, 1).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(record["hash"], hash);
}

#[tokio::test]
async fn the_hash_may_come_with_complete_and_is_compared_on_repetition_too() {
    let app = TestApp::start_local().await;
    let session = app.upload(5, json!({})).await;
    session.put_all(&app, b"hello").await;
    let complete = |hash: String| {
        let body = json!({"session_id": session.id(), "hash": hash});
        let app = &app;
        async move { app.post("/api/v1/multipart/complete", &body).await }
    };
    let (right, wrong) = (format!("blake3:{}", blake3::hash(b"hello")), format!("blake3:{}", "0".repeat(64)));
    assert_error(complete(wrong.clone()).await, 400, "CHECKSUM_MISMATCH", &[&wrong]).await;
    assert_eq!(app.count("files"), 0);
    assert_eq!(complete(right.clone()).await.status(), 201);
    assert_eq!(complete(right).await.status(), 201);
    assert_error(complete(wrong.clone()).await, 400, "CHECKSUM_MISMATCH", &[&wrong]).await;
}

#[tokio::test]
async fn hashes_that_are_none_are_refused() {
    let app = TestApp::start_local().await;
    for hash in [
        json!(""),
        json!("0"),
        json!("blake3:"),
        json!("md5:00"),
        json!(format!("blake3:{}", "g".repeat(64))),
        json!(1),
    ] {
        let body = json!({"file_name": "f", "size": 1, "format": "bin", "hash": hash});
        let response = app.post("/api/v1/multipart/start", &body).await;
        assert_error(response, 400, "INVALID_PARAMETER", &["hash"]).await;
    }
    app.assert_nothing_left();
}
