//! The type of a file as it is recorded, and as it is served: from this server, and from a bucket.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};

const TEXT: &str = "Grüße, Привет, 你好\n";
/// The same letters in windows-1252.
const LATIN: &[u8] = b"Gr\xfc\xdfe\n";
const PAGE: &[u8] = b"<!DOCTYPE html><script>alert(1)</script>";
const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n";

/// Uploads the bytes in parts under a name that tells of their type.
async fn in_parts(app: &TestApp, name: &str, format: &str, bytes: &[u8]) -> Value {
    app.upload_whole(bytes, json!({"file_name": name, "format": format})).await
}

/// Headers of the file as a browser receives them, over one redirect if there is one; a missing one is empty.
async fn served<const N: usize>(app: &TestApp, record: &Value, names: [&str; N]) -> [String; N] {
    let answer = app.get(&app.url_of(record)).await;
    assert_eq!(answer.status(), 200);
    names.map(|name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned())
}

#[tokio::test]
async fn an_upload_that_does_not_know_its_type_gets_that_of_its_name_or_bytes() {
    let app = TestApp::start().await;
    for (name, bytes, mime_type, format) in [
        ("a.csv", TEXT.as_bytes(), "text/csv", "csv"),
        ("a.pdf", PDF, "application/pdf", "pdf"),
        ("report", PDF, "application/pdf", "pdf"),
        ("notes", TEXT.as_bytes(), "text/plain", "txt"),
        ("a.bin", TEXT.as_bytes(), "application/octet-stream", "bin"),
        ("a.m4a", b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42", "audio/mp4", "m4a"),
    ] {
        let record = in_parts(&app, name, "application/octet-stream", bytes).await;
        let recorded = (&record["mime_type"], &record["format"], &record["declared_type"]);
        assert_eq!(recorded, (&json!(mime_type), &json!(format), &json!("application/octet-stream")), "{name}");
        let direct = app.whole(bytes, &[("file_name", name)]).await;
        assert_eq!((&direct["mime_type"], &direct["format"]), (&json!(mime_type), &json!(format)), "{name}");
        let [content_type] = served(&app, &record, ["content-type"]).await;
        assert_eq!(content_type.split(';').next(), Some(mime_type), "{name}");
    }
}

#[tokio::test]
async fn recordings_of_browsers_are_taken_with_their_codecs() {
    let app = TestApp::start().await;
    let webm = b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02";
    for format in
        ["video/webm;codecs=vp8,opus", "video/webm; codecs=\"vp8, opus\"", "video/x-matroska;codecs=avc1,opus"]
    {
        let record = in_parts(&app, "recording.webm", format, webm).await;
        let essence = format.split(';').next().unwrap();
        assert_eq!((&record["mime_type"], &record["declared_type"]), (&json!(essence), &json!(format)));
        assert_eq!(served(&app, &record, ["content-type"]).await, [essence]);
    }
}

#[tokio::test]
async fn text_in_utf8_says_so_and_other_text_does_not() {
    let app = TestApp::start().await;
    for (name, bytes, content_type) in [
        ("a.txt", TEXT.as_bytes(), "text/plain; charset=utf-8"),
        ("a.md", TEXT.as_bytes(), "text/markdown; charset=utf-8"),
        ("a.vtt", b"WEBVTT\n", "text/vtt; charset=utf-8"),
        ("a.txt", LATIN, "text/plain"),
        ("a.txt", b"\xff\xfea\0b\0", "text/plain"),
    ] {
        let record = in_parts(&app, name, "application/octet-stream", bytes).await;
        assert_eq!(served(&app, &record, ["content-type"]).await, [content_type], "{bytes:?}");
        assert!(!record["mime_type"].as_str().unwrap().contains("utf-8"));
        let direct = app.whole(bytes, &[("file_name", name)]).await;
        assert_eq!(served(&app, &direct, ["content-type"]).await, [content_type], "{bytes:?}");
    }
    let record = in_parts(&app, "a.txt", "text/plain; charset=ISO-8859-1", LATIN).await;
    assert_eq!(record["mime_type"], "text/plain; charset=iso-8859-1");
    assert_eq!(served(&app, &record, ["content-type"]).await, ["text/plain; charset=iso-8859-1"]);
}

#[tokio::test]
async fn files_that_browsers_show_safely_are_shown() {
    let app = TestApp::start().await;
    for (name, format, bytes) in [
        ("a.pdf", "application/pdf", PDF),
        ("a.jxl", "image/jxl", b"\xff\x0a\0\0".as_slice()),
        ("a.md", "text/markdown", b"# Title\n"),
        ("a.json", "application/geo+json", b"{}"),
    ] {
        let record = in_parts(&app, name, format, bytes).await;
        let [disposition] = served(&app, &record, ["content-disposition"]).await;
        assert!(disposition.starts_with("inline"), "{name}: {disposition}");
    }
}

#[tokio::test]
async fn a_page_that_is_called_something_else_is_inert() {
    let app = TestApp::start().await;
    for (name, format) in
        [("a.png", "image/png"), ("a.svg", "image/svg+xml"), ("a.md", "text/markdown"), ("a", "binary/octet-stream")]
    {
        let record = in_parts(&app, name, format, PAGE).await;
        let [content_type, policy, disposition] =
            served(&app, &record, ["content-type", "content-security-policy", "content-disposition"]).await;
        let is_shown_as_no_page = content_type.starts_with("image/png") || content_type.starts_with("text/markdown");
        let is_kept_apart = policy == "sandbox" || disposition.starts_with("attachment");
        assert!(is_shown_as_no_page || is_kept_apart, "{name}: {content_type}, {policy}, {disposition}");
    }
    // Its encoding is not that of a picture.
    let record = in_parts(&app, "a.png", "image/png", "<!DOCTYPE html><p>Grüße".as_bytes()).await;
    assert_eq!(served(&app, &record, ["content-type"]).await, ["image/png"]);
    let record = in_parts(&app, "a.md", "text/markdown", "<!DOCTYPE html><p>Grüße".as_bytes()).await;
    assert_eq!(served(&app, &record, ["content-type"]).await, ["text/markdown; charset=utf-8"]);
}

#[tokio::test]
async fn a_compressed_picture_is_served_with_its_encoding() {
    let app = TestApp::start().await;
    let bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\x03not really compressed";
    let record = in_parts(&app, "a.svgz", "image/svg+xml", bytes).await;
    assert_eq!((&record["mime_type"], &record["format"]), (&json!("image/svg+xml"), &json!("svgz")));
    let [content_type, encoding] = served(&app, &record, ["content-type", "content-encoding"]).await;
    assert_eq!((content_type.as_str(), encoding.as_str()), ("image/svg+xml", "gzip"));
    let archive = in_parts(&app, "a.tar.gz", "application/gzip", bytes).await;
    assert_eq!(served(&app, &archive, ["content-encoding"]).await, [""]);
}

#[tokio::test]
async fn a_transformation_that_is_not_made_is_refused_before_any_byte_is_sent() {
    let app = TestApp::start().await;
    let body = json!({"file_name": "a.png", "size": 1, "format": "png", "transform": "w_100"});
    let refused = app.request(Method::POST, "/api/v1/multipart/start").json(&body).send().await.unwrap();
    assert_error(refused, 400, "INVALID_PARAMETER", &["`transform` is \"w_100\"", "allowed: none"]).await;
    let refused = app.send_whole(b"x".to_vec(), &[("file_name", "a.png"), ("transform", "w_100")]).await;
    assert_error(refused, 400, "INVALID_PARAMETER", &["`transform`"]).await;
    app.whole(b"x", &[("file_name", "a.png"), ("transform", "")]).await;
}

/// Files of earlier versions have no encoding on record.
#[tokio::test]
async fn files_of_earlier_versions_are_served_as_before() {
    let app = TestApp::start_local().await;
    let record = in_parts(&app, "a.txt", "text/plain", TEXT.as_bytes()).await;
    app.sql("UPDATE files SET charset = NULL, content_encoding = NULL");
    assert_eq!(served(&app, &record, ["content-type"]).await, ["text/plain"]);
}
