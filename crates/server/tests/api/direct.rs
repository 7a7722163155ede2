//! `POST /api/v1/uploads`

use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{MIB, TestApp, assert_error, bytes};

impl TestApp {
    /// A direct upload of `data` with these fields, which come before the file.
    pub(crate) async fn send_whole(&self, data: Vec<u8>, fields: &[(&str, &str)]) -> Response {
        let mut form = Form::new();
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        let form = form.part("file", Part::bytes(data).file_name("upload"));
        self.request(Method::POST, "/api/v1/uploads").multipart(form).send().await.unwrap()
    }

    /// The same, which must succeed.
    pub(crate) async fn whole(&self, data: &[u8], fields: &[(&str, &str)]) -> Value {
        let response = self.send_whole(data.to_vec(), fields).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        response.json().await.unwrap()
    }

    /// A form as it stands, with or without its length.
    async fn send_form(&self, boundary: &str, body: &[u8], chunked: bool) -> Response {
        let request = self
            .request(Method::POST, "/api/v1/uploads")
            .header("content-type", format!("multipart/form-data; boundary={boundary}"));
        let request = if chunked {
            let pieces: Vec<_> = body.chunks(1000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
            request.body(reqwest::Body::wrap_stream(futures_util::stream::iter(pieces)))
        } else {
            request.body(body.to_vec())
        };
        request.send().await.unwrap()
    }
}

/// One field of a form.
pub(crate) fn field(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

pub(crate) fn file_field(data: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\nContent-Type: text/plain\r\n\r\n{data}\r\n"
    )
}

#[tokio::test]
async fn a_file_and_all_its_fields_come_in_one_request() {
    let app = TestApp::start().await;
    let data = bytes(1, 3 * MIB + 17);
    let fields = [
        ("file_name", "Füße.mp4"),
        ("folder", "/uploads//direct/"),
        ("tags", "one, two,one"),
        ("metadata", r#"{"a":{"b":[1,2]}}"#),
        ("custom_id", "c-1"),
    ];
    let record = app.whole(&data, &fields).await;
    for (member, value) in [
        ("name", json!("Füße.mp4")),
        ("path", json!("uploads/direct/Füße.mp4")),
        ("size", json!(data.len())),
        ("mime_type", json!("video/mp4")),
        ("declared_type", json!("video/mp4")),
        ("format", json!("mp4")),
        ("tags", json!(["one", "two"])),
        ("metadata", json!({"a": {"b": [1, 2]}})),
        ("custom_id", json!("c-1")),
        ("upload_source", json!("api")),
        ("hash", json!(format!("blake3:{}", blake3::hash(&data)))),
        ("is_duplicate", json!(false)),
        ("success", json!(true)),
    ] {
        assert_eq!(record[member], value, "{member}");
    }
    let served = app.get(&app.url_of(&record)).await.bytes().await.unwrap();
    assert!(served == data);
    let again = app.whole(&data, &[("file_name", "other.mp4"), ("random_prefix", "true")]).await;
    assert_eq!((again["is_duplicate"].clone(), again["path"].as_str().unwrap().len()), (json!(true), 8 + 1 + 9));
}

#[tokio::test]
async fn fields_may_stand_in_any_order_around_the_file_and_with_or_without_a_length() {
    let app = TestApp::start().await;
    for (number, chunked) in [(1, false), (2, true)] {
        let name = format!("after-{number}.txt");
        let body = [
            field("folder", "a"),
            file_field("--b-looks like a boundary\r\n--\r\n"),
            field("file_name", &name),
            field("tags[]", "x"),
            field("tags[]", "y"),
            "--b--\r\n".into(),
        ]
        .concat();
        let response = app.send_form("b", body.as_bytes(), chunked).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        let record: Value = response.json().await.unwrap();
        assert_eq!((&record["path"], &record["tags"]), (&json!(format!("a/{name}")), &json!(["x", "y"])));
        let served = app.get(&app.url_of(&record)).await.text().await.unwrap();
        assert_eq!(served, "--b-looks like a boundary\r\n--\r\n");
    }
}

#[tokio::test]
async fn a_file_may_be_empty_and_is_served_so() {
    let app = TestApp::start().await;
    let record = app.whole(b"", &[("file_name", "nothing.txt")]).await;
    assert_eq!((&record["size"], &record["mime_type"]), (&json!(0), &json!("text/plain")));
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(b"")));
    let url = app.url_of(&record);
    let served = app.get(&url).await;
    assert_eq!((served.status().as_u16(), served.headers()["content-length"].to_str().unwrap()), (200, "0"));
    assert!(served.bytes().await.unwrap().is_empty());
    let ranged = app.http.get(&url).header("range", "bytes=0-0").send().await.unwrap();
    assert_eq!(ranged.status(), 416);
    assert_eq!(app.http.head(&url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_file_of_the_same_path_is_replaced() {
    let app = TestApp::start().await;
    let first = app.whole(b"first", &[("file_name", "f"), ("folder", "d")]).await;
    let second = app.whole(b"second", &[("file_name", "f"), ("folder", "d")]).await;
    assert_eq!((app.count("files"), &first["url"]), (1, &second["url"]));
    assert_eq!(app.get(&app.url_of(&second)).await.text().await.unwrap(), "second");
    app.until("the first one's bytes go", |app| app.has_blobs(1)).await;
}

#[tokio::test]
async fn tags_of_a_form_are_bounded_as_they_come() {
    let app = TestApp::start().await;
    let tags = |number: usize| -> String { (0..number).map(|tag| field("tags[]", &format!("t{tag}"))).collect() };
    // The body ends in the middle of a field: who waited for the end of the form would complain of that.
    for (body, named) in [
        (tags(51) + "--b\r\nContent-Disp", "at most 50 tags"),
        (tags(1) + &field("tags[]", &"x".repeat(129)) + "--b\r\nContent-Disp", "at most 128 characters"),
        (
            format!("--b\r\nContent-Disposition: form-data; name=\"tags[]\"\r\n\r\n{}", "x".repeat(1025)),
            "larger than 1024 bytes",
        ),
    ] {
        let refused = app.send_form("b", body.as_bytes(), true).await;
        assert_error(refused, 400, "INVALID_TAGS", &["`tags[]`", named]).await;
    }
    app.assert_nothing_left();
    // Those that are there already count once.
    let longest = format!(" {} ", "文".repeat(128));
    let rest = [&field("tags[]", &longest), &field("file_name", "n"), &file_field("data"), "--b--\r\n"].concat();
    let answer = app.send_form("b", (tags(49) + &tags(40) + &rest).as_bytes(), false).await;
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let record: Value = answer.json().await.unwrap();
    let kept = record["tags"].as_array().unwrap();
    assert_eq!((kept.len(), &kept[0], &kept[49]), (50, &json!("t0"), &json!(longest.trim())));
}

#[tokio::test]
async fn bad_forms_get_clear_errors_and_leave_nothing() {
    let app = TestApp::start().await;
    let good = [field("file_name", "n"), file_field("data")].concat();
    let many: String = (0..1000).map(|number| field(&format!("f{number}"), "x")).collect();
    let long = "x".repeat(65 * 1024);
    let end = "--b--\r\n";
    for (what, body, status, code, named) in [
        ("no file", [&field("file_name", "n"), end].concat(), 400, "FILE_REQUIRED", "`file`"),
        ("two files", [&good, &file_field("other"), end].concat(), 400, "INVALID_PARAMETER", "twice"),
        ("no name", [&file_field("data"), end].concat(), 400, "FILE_NAME_REQUIRED", "file_name"),
        (
            "an empty name",
            [&field("file_name", ""), &file_field("d"), end].concat(),
            400,
            "FILE_NAME_REQUIRED",
            "file_name",
        ),
        (
            "a bad name",
            [&field("file_name", "a/b"), &file_field("d"), end].concat(),
            400,
            "INVALID_FILE_NAME",
            "file_name",
        ),
        (
            "a bad name after the file",
            [&file_field("d"), &field("file_name", "a/b"), end].concat(),
            400,
            "INVALID_FILE_NAME",
            "file_name",
        ),
        ("bad metadata", [&good, &field("metadata", "[1]"), end].concat(), 400, "INVALID_METADATA", "metadata"),
        (
            "metadata that is no JSON",
            [&good, &field("metadata", "{"), end].concat(),
            400,
            "INVALID_METADATA",
            "metadata",
        ),
        ("a bad folder", [&good, &field("folder", "a/../b"), end].concat(), 400, "INVALID_FOLDER", "folder"),
        (
            "a bad webhook",
            [&good, &field("webhook_url", "ftp://x"), end].concat(),
            400,
            "INVALID_PARAMETER",
            "webhook_url",
        ),
        (
            "a bad boolean",
            [&good, &field("random_prefix", "perhaps"), end].concat(),
            400,
            "INVALID_PARAMETER",
            "random_prefix",
        ),
        (
            "another hash",
            [&good, &field("hash", &format!("blake3:{}", "0".repeat(64))), end].concat(),
            400,
            "CHECKSUM_MISMATCH",
            "hash",
        ),
        (
            "a hash that nobody compares",
            [&field("hash", "crc64nvme:AAAAAAAAAAA="), &good, end].concat(),
            400,
            "INVALID_PARAMETER",
            "blake3:",
        ),
        ("a long field", [&field("folder", &long), &good, end].concat(), 413, "PAYLOAD_TOO_LARGE", "`folder`"),
        (
            "a long field after the file",
            [&good, &field("folder", &long), end].concat(),
            413,
            "PAYLOAD_TOO_LARGE",
            "`folder`",
        ),
        ("many fields", [&many, &good, end].concat(), 400, "INVALID_PARAMETER", "100 fields"),
        ("cut off in the file", good[..good.len() - 4].to_owned(), 400, "INVALID_PARAMETER", "cut off"),
        ("cut off after the file", good.clone(), 400, "INVALID_PARAMETER", "cut off"),
        ("cut off in the headers", good[..30].to_owned(), 400, "INVALID_PARAMETER", "cut off"),
        ("no form at all", "x".repeat(300_000), 400, "INVALID_PARAMETER", "form"),
        ("endless headers", format!("--b\r\nX: {}", "y".repeat(300_000)), 400, "INVALID_PARAMETER", "form"),
        ("empty", String::new(), 400, "INVALID_PARAMETER", "cut off"),
    ] {
        for chunked in [false, true] {
            let response = app.send_form("b", body.as_bytes(), chunked).await;
            assert_eq!(response.status(), status, "{what}: {:?}", response.text().await);
            let _ = assert_error(response, status, code, &[named]).await;
        }
    }
    for (content_type, status, code) in [
        ("multipart/form-data", 400, "INVALID_PARAMETER"),
        ("multipart/form-data; boundary=", 400, "INVALID_PARAMETER"),
        ("application/json", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("multipart/mixed; boundary=b", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let request = app.request(Method::POST, "/api/v1/uploads").header("content-type", content_type);
        let response = request.body([&good, end].concat()).send().await.unwrap();
        assert_error(response, status, code, &["Content-Type"]).await;
    }
    app.until("nothing is left", |app| app.count("garbage") == 0 && app.has_blobs(0)).await;
    app.assert_nothing_left();
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let app = TestApp::start().await;
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: 20000000\r\n\r\n",
        app.private_key
    );
    let begin = [head, field("file_name", "n"), file_field(&"x".repeat(100_000))].concat();
    let mut client = tokio::net::TcpStream::connect(app.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut client, begin.as_bytes()).await.unwrap();
    app.until("its bytes come", |app| app.count("garbage") == 1 && app.has_blobs(usize::from(app.is_local()))).await;
    drop(client);
    // It is kept for a while, for calls that are still under way.
    app.until("it is given up", |app| app.count("garbage WHERE reason = 'unfinished'") == 1).await;
    app.sql("UPDATE garbage SET not_before = 0");
    app.until("nothing is left", |app| app.count("garbage") == 0 && app.has_blobs(0)).await;
    app.assert_nothing_left();
}

#[tokio::test]
async fn a_stalled_body_is_ended() {
    let app =
        TestApp::start_with(|config| config.http.stall_timeout_seconds = std::time::Duration::from_millis(300)).await;
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: 20000000\r\n\r\n",
        app.private_key
    );
    for begin in [field("file_name", "n"), [field("file_name", "n"), file_field("some")].concat()] {
        let answer = app.raw([head.clone(), begin].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("REQUEST_TIMEOUT"), "{answer}");
    }
    app.until("nothing is left", |app| app.count("garbage") == 0 && app.has_blobs(0)).await;
    app.assert_nothing_left();
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_as_it_comes_with_and_without_a_length() {
    let app = TestApp::start_with(|config| config.limits.max_direct_bytes = 1000).await;
    let form = |size: usize| [field("file_name", "n"), file_field(&"x".repeat(size)), "--b--\r\n".into()].concat();
    for chunked in [false, true] {
        let fits = app.send_form("b", form(1000).as_bytes(), chunked).await;
        assert_eq!(fits.status(), 201);
        let refused = app.send_form("b", form(1001).as_bytes(), chunked).await;
        assert_error(refused, 413, "FILE_TOO_LARGE", &["1000 bytes"]).await;
    }
    // Before one byte is read, where the length alone tells.
    let answer = app
        .raw(format!(
            "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
             Content-Length: 2000000000\r\nExpect: 100-continue\r\n\r\n",
            app.private_key
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    app.until("only the file is left", |app| app.count("garbage") == 0 && app.has_blobs(1)).await;
}

#[tokio::test]
async fn the_workspaces_limit_counts_while_the_file_comes_and_when_it_is_there() {
    let app = TestApp::start_with(|config| {
        config.limits.workspace_storage_bytes = Some(1000);
    })
    .await;
    app.whole(&bytes(1, 600), &[("file_name", "a")]).await;
    let refused = app.send_whole(bytes(2, 401), &[("file_name", "b")]).await;
    assert_error(refused, 403, "STORAGE_LIMIT_EXCEEDED", &["400 bytes"]).await;
    // Two at once, of which only one fits.
    let (a, b) = (bytes(3, 300), bytes(4, 300));
    let answers =
        futures_util::future::join(app.send_whole(a, &[("file_name", "c")]), app.send_whole(b, &[("file_name", "d")]))
            .await;
    let mut statuses = [answers.0.status().as_u16(), answers.1.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403]);
    app.until("only two files are left", |app| app.count("garbage") == 0 && app.has_blobs(2)).await;
}

/// A file of 900 kB of which 800 kB have come, and which goes on.
async fn eight_hundred_kilobytes_of(app: &TestApp, key: &str) -> std::net::TcpStream {
    let (address, key) = (app.address, key.to_owned());
    let slow = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
             Content-Length: 900000\r\n\r\n"
        );
        let begin = [head, field("file_name", "slow"), file_field(&"x".repeat(800_000))].concat();
        std::io::Write::write_all(&mut stream, begin.as_bytes()).unwrap();
        stream
    });
    let stream = slow.join().unwrap();
    app.until("its bytes are there", |app| {
        let blob = app.database.texts("SELECT blob_id FROM garbage").into_iter().next();
        let size = blob.and_then(|id| app.app().stores.local().unwrap().size_bytes(id.parse().unwrap()).unwrap());
        size.is_some_and(|size| size >= 800_000)
    })
    .await;
    stream
}

#[tokio::test]
async fn bytes_that_are_under_way_count_towards_the_limit_of_their_workspace() {
    let app = TestApp::start_local_with(|config| {
        config.limits.workspace_storage_bytes = Some(1_000_000);
    })
    .await;
    let stream = eight_hundred_kilobytes_of(&app, &app.private_key).await;
    let refused = app.send_whole(vec![1; 300_000], &[("file_name", "b")]).await;
    assert_error(refused, 403, "STORAGE_LIMIT_EXCEEDED", &["does not fit"]).await;
    drop(stream);
}

#[tokio::test]
async fn bytes_that_are_under_way_with_a_public_key_take_no_room_from_private_ones() {
    let app = TestApp::start_local_with(|config| {
        config.limits.workspace_storage_bytes = Some(1_000_000);
    })
    .await;
    let stream = eight_hundred_kilobytes_of(&app, &app.public_key).await;
    let form = Form::new().text("file_name", "p").part("file", Part::bytes(vec![1; 300_000]));
    let refused = app.request_with(&app.public_key, reqwest::Method::POST, "/api/v1/uploads").multipart(form);
    assert_error(refused.send().await.unwrap(), 403, "STORAGE_LIMIT_EXCEEDED", &["no room left"]).await;
    app.whole(&vec![1; 1_000_000], &[("file_name", "all of it")]).await;
    drop(stream);
}

#[tokio::test]
async fn a_public_key_may_upload_directly() {
    let app = TestApp::start().await;
    let form = Form::new().text("file_name", "p").part("file", Part::bytes(b"public".to_vec()));
    let request = app.http.post(app.url("/api/v1/uploads")).bearer_auth(&app.public_key).multipart(form);
    assert_eq!(request.send().await.unwrap().status(), 201);
    let form = Form::new().text("file_name", "p").part("file", Part::bytes(b"nobody".to_vec()));
    let refused = app.http.post(app.url("/api/v1/uploads")).multipart(form).send().await.unwrap();
    assert_error(refused, 401, "UNAUTHORIZED", &[]).await;
}

#[tokio::test]
async fn the_type_is_what_the_bytes_are_and_the_declared_one_is_kept_too() {
    let app = TestApp::start().await;
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x07\0\0\0\x05\x08\x02\0\0\0";
    let record = app.whole(png, &[("file_name", "photo.jpg")]).await;
    assert_eq!((&record["mime_type"], &record["declared_type"]), (&json!("image/png"), &json!("image/jpeg")));
    assert_eq!((&record["width"], &record["height"], &record["format"]), (&json!(7), &json!(5), &json!("png")));
    // Active content is served as its declared type, if that is not active.
    let page = app.whole(b"<!DOCTYPE html><script>alert(1)</script>", &[("file_name", "cat.png")]).await;
    assert_eq!(page["mime_type"], "text/html");
    let served = app.get(&app.url_of(&page)).await;
    assert_eq!(
        (&served.headers()["content-type"], &served.headers()["x-content-type-options"]),
        (&"image/png".parse().unwrap(), &"nosniff".parse().unwrap())
    );
    // The same of parts.
    let record = app.upload_whole(png, json!({"file_name": "a.gif", "format": "image/gif"})).await;
    assert_eq!(
        (&record["mime_type"], &record["declared_type"], &record["width"]),
        (&json!("image/png"), &json!("image/gif"), &json!(7))
    );
}

#[tokio::test]
async fn large_files_go_to_a_store_in_parts() {
    let app = TestApp::start().await;
    // After, at and before the boundaries of the parts gathered for a store.
    for size in [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 17 * MIB] {
        let data = bytes(size, size);
        let record = app.whole(&data, &[("file_name", "large.bin")]).await;
        assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
        assert!(app.get(&app.url_of(&record)).await.bytes().await.unwrap() == data, "{size}");
    }
}

#[tokio::test]
async fn repeated_and_list_like_fields_of_tags_are_all_taken() {
    let app = TestApp::start().await;
    for (fields, expected) in [
        (vec![("tags", "a"), ("tags", "b,c")], json!(["a", "b", "c"])),
        (vec![("tags", r#"["a,b","c"]"#)], json!(["a,b", "c"])),
        (vec![("tags", "a,b"), ("tags[]", "c,d"), ("tags", "e")], json!(["a", "b", "c,d", "e"])),
        (vec![("tags[0]", "a"), ("tags[1]", "b"), ("tags[x]", "c")], json!(["a", "b"])),
    ] {
        let mut all = vec![("file_name", "f")];
        all.extend(fields.iter().copied());
        assert_eq!(app.whole(b"x", &all).await["tags"], expected, "{fields:?}");
    }
}

#[tokio::test]
async fn numbers_in_metadata_keep_their_value_or_are_refused_by_name() {
    let app = TestApp::start().await;
    let kept = r#"{"a":184467481.74191034,"b":18446744073709551615,"c":[1e3,-0.5]}"#;
    let record = app.whole(b"x", &[("file_name", "f"), ("metadata", kept)]).await;
    assert_eq!(record["metadata"], serde_json::from_str::<Value>(kept).unwrap());
    for number in ["12345678901234567890123", "3.14159265358979323846", "1e400"] {
        let metadata = format!(r#"{{"a":[{number}]}}"#);
        let refused = app.send_whole(b"x".to_vec(), &[("file_name", "f"), ("metadata", &metadata)]).await;
        assert_error(refused, 400, "INVALID_METADATA", &["`metadata`", number]).await;
        let body = format!(r#"{{"file_name":"f","size":1,"format":"bin","metadata":{metadata}}}"#);
        let start = app.request(Method::POST, "/api/v1/multipart/start").header("content-type", "application/json");
        let refused = start.body(body).send().await.unwrap();
        assert_error(refused, 400, "INVALID_METADATA", &["`metadata`", number]).await;
        let file = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
        let patch = app.request(Method::PATCH, &file).header("content-type", "application/json");
        let refused = patch.body(format!(r#"{{"metadata":{metadata}}}"#)).send().await.unwrap();
        assert_error(refused, 400, "INVALID_METADATA", &["`metadata`", number]).await;
    }
}
