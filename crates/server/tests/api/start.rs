//! `POST /api/v1/multipart/start`

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::app::{MIB, TestApp, assert_error, bytes};

const START: &str = "/api/v1/multipart/start";

fn good() -> Value {
    json!({"file_name": "f.mp4", "size": 10, "format": "video/mp4"})
}

fn with(field: &str, value: Value) -> Value {
    let mut body = good();
    body[field] = value;
    body
}

#[tokio::test]
async fn starting_answers_a_session_and_one_url_per_part() {
    let app = TestApp::start().await;
    let session = app
        .upload(
            73_400_320,
            json!({"file_name": "big-video.mp4", "format": "video/mp4", "folder": "/uploads//videos/", "tags": ["campaign", " raw", "raw", ""],
                   "metadata": {"source": "mobile-app"}, "custom_id": "vid_001", "random_prefix": false, "ttl_seconds": 3600, "unknown": 1}),
        )
        .await;
    let start = &session.start;
    assert_eq!(start["part_size"], 10_485_760);
    assert_eq!(start["min_part_size"], 5_242_880);
    assert_eq!(session.parts(), 7);
    assert_eq!(start["public_key"], app.public_key.as_str());
    assert_eq!(
        start["policy"],
        json!({"folder": "uploads/videos", "tags": ["campaign", "raw"], "size": 73_400_320, "format": "video/mp4"})
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let left = start["expire_at"].as_u64().unwrap() - now;
    assert!((3590..=3600).contains(&left), "{left}");
    let urls: std::collections::BTreeSet<_> = start["parts"].as_array().unwrap().iter().map(Value::as_str).collect();
    assert_eq!(urls.len(), 7);
    if app.is_local() {
        assert!(urls.iter().all(|url| url.unwrap().starts_with(&app.url("/api/v1/multipart/"))));
    } else {
        let endpoint = app.app().config.storage.endpoint.as_ref().unwrap().as_str();
        assert!(urls.iter().all(|url| url.unwrap().starts_with(endpoint)));
    }
}

#[tokio::test]
async fn defaults_stand_in_for_what_is_not_given_and_null_counts_as_not_given() {
    let app = TestApp::start().await;
    for more in [
        json!({}),
        json!({"folder": null, "tags": null, "metadata": null, "custom_id": null, "random_prefix": null, "ttl_seconds": null}),
    ] {
        let session = app.upload(1, more).await;
        assert_eq!(session.start["policy"]["folder"], "");
        assert_eq!(session.start["policy"]["tags"], json!([]));
    }
}

#[tokio::test]
async fn a_file_of_ten_thousand_parts_has_larger_parts_only_beyond_that() {
    let app = TestApp::start().await;
    let session = app.upload(10_000 * 10 * MIB, json!({})).await;
    assert_eq!((session.parts(), &session.start["part_size"]), (10_000, &json!(10 * MIB)));
    let session = app.upload(5 * 1024 * 1024 * MIB, json!({})).await;
    assert_eq!((session.parts(), &session.start["part_size"]), (9_968, &json!(526 * MIB)));
}

#[tokio::test]
async fn each_bad_field_is_refused_by_its_name_and_leaves_nothing() {
    let app = TestApp::start().await;
    let long_name = "x".repeat(256);
    let many_tags: Vec<String> = (0..51).map(|i| format!("tag{i}")).collect();
    let missing = |field: &str| {
        let mut body = good();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let cases = [
        (missing("file_name"), 400, "FILE_NAME_REQUIRED", "`file_name` is missing"),
        (with("file_name", json!("")), 400, "FILE_NAME_REQUIRED", "`file_name` is empty"),
        (with("file_name", json!(7)), 400, "INVALID_FILE_NAME", "`file_name` is 7"),
        (with("file_name", json!(["a"])), 400, "INVALID_FILE_NAME", "`file_name`"),
        (with("file_name", json!("a/b")), 400, "INVALID_FILE_NAME", "`file_name` is \"a/b\""),
        (with("file_name", json!("a\\b")), 400, "INVALID_FILE_NAME", "`file_name`"),
        (with("file_name", json!("..")), 400, "INVALID_FILE_NAME", "`file_name` is \"..\""),
        (with("file_name", json!(".")), 400, "INVALID_FILE_NAME", "`file_name`"),
        (with("file_name", json!("a\0b")), 400, "INVALID_FILE_NAME", "`file_name`"),
        (with("file_name", json!("a\nb")), 400, "INVALID_FILE_NAME", "`file_name`"),
        (with("file_name", json!(long_name)), 400, "INVALID_FILE_NAME", "1 to 255 bytes"),
        (
            json!({"file_name": "x".repeat(250), "size": 1, "format": "bin", "random_prefix": true}),
            400,
            "INVALID_FILE_NAME",
            "246 bytes with random_prefix",
        ),
        (missing("size"), 400, "INVALID_SIZE", "`size` is missing"),
        (with("size", json!("10")), 400, "INVALID_SIZE", "`size` is \"10\""),
        (with("size", json!(0)), 400, "INVALID_SIZE", "`size` is 0"),
        (with("size", json!(-5)), 400, "INVALID_SIZE", "`size` is -5"),
        (with("size", json!(1.5)), 400, "INVALID_SIZE", "`size` is 1.5"),
        (with("size", json!(1e300)), 400, "INVALID_SIZE", "`size`"),
        (with("size", json!(true)), 400, "INVALID_SIZE", "`size` is true"),
        (
            with("size", json!(5_497_558_138_881_u64)),
            413,
            "FILE_TOO_LARGE",
            "`size` is 5497558138881; allowed: at most 5497558138880",
        ),
        (missing("format"), 400, "INVALID_FORMAT", "`format` is missing"),
        (with("format", json!("")), 400, "INVALID_FORMAT", "`format`"),
        (with("format", json!(1)), 400, "INVALID_FORMAT", "`format` is 1"),
        (with("format", json!("nonsense")), 400, "INVALID_FORMAT", "`format` is \"nonsense\""),
        (with("format", json!("video/")), 400, "INVALID_FORMAT", "`format`"),
        (with("format", json!(format!("video/{}", "x".repeat(300)))), 400, "INVALID_FORMAT", "`format`"),
        (with("folder", json!("a/../b")), 400, "INVALID_FOLDER", "`folder` is \"a/../b\""),
        (with("folder", json!(9)), 400, "INVALID_FOLDER", "`folder` is 9"),
        (with("folder", json!("a\\b")), 400, "INVALID_FOLDER", "`folder`"),
        (with("folder", json!(["d"; 33].join("/"))), 400, "INVALID_FOLDER", "32 levels"),
        (with("folder", json!(vec!["x".repeat(255); 5].join("/"))), 400, "INVALID_FOLDER", "1024 bytes"),
        (with("tags", json!(5)), 400, "INVALID_TAGS", "`tags` is 5"),
        (with("tags", json!([1])), 400, "INVALID_TAGS", "`tags`"),
        (with("tags", json!(many_tags)), 400, "INVALID_TAGS", "at most 50"),
        (with("tags", json!(["x".repeat(129)])), 400, "INVALID_TAGS", "128 characters"),
        (with("metadata", json!("{}")), 400, "INVALID_METADATA", "`metadata` is \"{}\""),
        (with("metadata", json!([1])), 400, "INVALID_METADATA", "`metadata`"),
        (with("metadata", json!({"x": "y".repeat(16_384)})), 400, "INVALID_METADATA", "at most 16384"),
        (with("custom_id", json!(5)), 400, "INVALID_CUSTOM_ID", "`custom_id` is 5"),
        (with("custom_id", json!("é".repeat(256))), 400, "INVALID_CUSTOM_ID", "255 characters"),
        (with("random_prefix", json!("yes")), 400, "INVALID_PARAMETER", "`random_prefix` is \"yes\""),
        (with("random_prefix", json!(1)), 400, "INVALID_PARAMETER", "`random_prefix` is 1"),
        (with("ttl_seconds", json!(0)), 400, "INVALID_TTL", "`ttl_seconds` is 0"),
        (with("ttl_seconds", json!(-1)), 400, "INVALID_TTL", "`ttl_seconds` is -1"),
        (with("ttl_seconds", json!(604_801)), 400, "INVALID_TTL", "from 1 to 604800"),
        (with("ttl_seconds", json!("60")), 400, "INVALID_TTL", "`ttl_seconds` is \"60\""),
        (with("ttl_seconds", json!(1.5)), 400, "INVALID_TTL", "`ttl_seconds` is 1.5"),
    ];
    for (body, status, code, named) in cases {
        assert_error(app.post(START, &body).await, status, code, &[named]).await;
    }
    app.assert_nothing_left();
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused() {
    let app = TestApp::start().await;
    let send = |body: Vec<u8>, content_type: Option<&'static str>| {
        let mut request = app.request(Method::POST, START).body(body);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        async { request.send().await.unwrap() }
    };
    let json = Some("application/json");
    for (body, content_type, status, code, named) in [
        (&b""[..], json, 400, "INVALID_JSON", "empty"),
        (b"{", json, 400, "INVALID_JSON", "not JSON"),
        (b"[1]", json, 400, "INVALID_JSON", "not an object"),
        (b"\xff\xfe", json, 400, "INVALID_JSON", "not JSON"),
        (b"{}", Some("text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE", "`Content-Type` is \"text/plain\""),
        (b"{}", Some("jsonish"), 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"),
        (b"{}", None, 415, "UNSUPPORTED_MEDIA_TYPE", "`Content-Type` is missing"),
    ] {
        assert_error(send(body.to_vec(), content_type).await, status, code, &[named]).await;
    }
    let padded = |length: usize| {
        let mut body = good().to_string();
        body.push_str(&" ".repeat(length - body.len()));
        body.into_bytes()
    };
    assert_error(send(padded(64 * 1024 + 1), json).await, 413, "PAYLOAD_TOO_LARGE", &["65536"]).await;
    // The same without a length that could be looked at first.
    let chunks =
        padded(64 * 1024 + 1).chunks(8000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let response =
        app.request(Method::POST, START).header(CONTENT_TYPE, "application/json").body(streamed).send().await.unwrap();
    assert_error(response, 413, "PAYLOAD_TOO_LARGE", &["65536"]).await;
    app.assert_nothing_left();
    assert_eq!(send(padded(64 * 1024), Some("application/json; charset=utf-8")).await.status(), 201);
}

#[tokio::test]
async fn names_of_all_scripts_come_back_in_nfc() {
    let app = TestApp::start().await;
    for (given, kept) in [
        ("🎬 film.mp4", "🎬 film.mp4"),
        ("cafe\u{301}.jpg", "caf\u{e9}.jpg"),
        ("ملف فيديو.mp4", "ملف فيديو.mp4"),
        ("קובץ.txt", "קובץ.txt"),
        (&*"n".repeat(255), &*"n".repeat(255)),
        ("a%2Fb?c#d&e=f.txt", "a%2Fb?c#d&e=f.txt"),
    ] {
        let record = app.upload_whole(b"x", json!({"file_name": given})).await;
        assert_eq!(record["name"], kept);
        let served = app.get(record["url"].as_str().unwrap()).await;
        assert_eq!(served.bytes().await.unwrap(), "x", "{given}");
    }
}

#[tokio::test]
async fn a_disk_that_cannot_hold_the_file_refuses_the_start_and_keeps_nothing() {
    let app = TestApp::start_local_with(|config| config.storage.reserve = true).await;
    // Larger than any filesystem of the machine has room for, and refused at once.
    let body = json!({"file_name": "f", "size": 5_497_558_138_880_u64, "format": "bin"});
    let error = assert_error(app.post(START, &body).await, 507, "INSUFFICIENT_STORAGE", &[]).await;
    assert!(
        !error.to_string().contains(app.directory.path().to_str().unwrap()),
        "a 5xx tells nothing of the server: {error}"
    );
    app.assert_nothing_left();
    // And what fits is reserved.
    let session = app.upload(3 * MIB, json!({})).await;
    let blob = walk(app.directory.path()).pop().unwrap();
    assert!(std::os::unix::fs::MetadataExt::blocks(&blob) * 512 >= 3 * MIB);
    drop(session);
}

fn walk(directory: &std::path::Path) -> Vec<std::fs::Metadata> {
    let shards = std::fs::read_dir(directory.join("blobs")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().metadata().unwrap()).collect()
}

#[tokio::test]
async fn a_client_may_ask_for_smaller_parts_within_the_limits_of_the_answer() {
    let app = TestApp::start().await;
    let least = if app.is_local() { MIB } else { 5 * MIB };
    let data = bytes(8, 11 * MIB + 3);
    let size = data.len() as u64;
    let session = app.upload(size, json!({"part_size": least + 7})).await;
    assert_eq!(session.start["part_size"], least);
    assert_eq!(session.start["limits"], json!({"min_part_bytes": least, "max_part_bytes": 10 * MIB}));
    assert_eq!(session.parts() as u64, size.div_ceil(least));
    session.put_all(&app, &data).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
    for (size, part_size, allowed) in [
        (size, json!(least - 1), format!("from {least} to 10485760")),
        (size, json!(10 * MIB + 1), "to 10485760".to_owned()),
        (size, json!("5MiB"), "a whole number of bytes".to_owned()),
        (10_000 * 6 * MIB + 1, json!(6 * MIB), format!("from {} to", 7 * MIB)),
    ] {
        let body = json!({"file_name": "f", "size": size, "format": "bin", "part_size": part_size});
        let refused = app.post("/api/v1/multipart/start", &body).await;
        assert_error(refused, 400, "INVALID_PARAMETER", &["`part_size`", allowed.as_str()]).await;
    }
}
