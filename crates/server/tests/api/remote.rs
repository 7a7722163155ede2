//! `POST /api/v1/uploads/remote`

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use http::StatusCode;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{MIB, TestApp, assert_error, bytes};
use crate::peers::{NameServer, Peer, allow, allow_loopback, file, redirect};

impl TestApp {
    pub(crate) async fn fetch(&self, url: &str, more: Value) -> Response {
        let mut body = json!({"remote_url": url});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/api/v1/uploads/remote", &body).await
    }

    async fn fetched(&self, url: &str, more: Value) -> Value {
        let response = self.fetch(url, more).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        response.json().await.unwrap()
    }
}

#[tokio::test]
async fn a_remote_file_is_fetched_with_all_that_is_said_of_it() {
    let app = TestApp::start_with(allow_loopback).await;
    let data = bytes(1, 11 * MIB);
    let sent = data.clone();
    let peer = Peer::start(move |_| file(sent.clone(), &[("content-type", "video/mp4")])).await;
    let record = app
        .fetched(
            &peer.url("/media/clip%20one.mp4?token=x"),
            json!({"folder": "in/remote", "tags": ["a", "b"], "metadata": "{\"k\":1}", "custom_id": "r1"}),
        )
        .await;
    for (member, value) in [
        ("path", json!("in/remote/clip one.mp4")),
        ("size", json!(data.len())),
        ("mime_type", json!("video/mp4")),
        ("upload_source", json!("remote")),
        ("tags", json!(["a", "b"])),
        ("metadata", json!({"k": 1})),
        ("custom_id", json!("r1")),
        ("hash", json!(format!("blake3:{}", blake3::hash(&data)))),
    ] {
        assert_eq!(record[member], value, "{member}");
    }
    assert!(app.get(&app.url_of(&record)).await.bytes().await.unwrap() == data);
    let asked = &peer.asked()[0];
    assert!(asked.headers["user-agent"].to_str().unwrap().starts_with("partway/"));
    assert_eq!(asked.headers["accept-encoding"], "identity");
    assert!(!asked.headers.contains_key("authorization") && !asked.headers.contains_key("x-api-key"));
}

#[tokio::test]
async fn the_name_comes_from_the_request_the_header_or_the_url() {
    let app = TestApp::start_with(allow_loopback).await;
    let peer = Peer::start(|asked| match asked.path.as_str() {
        "/named" => file("x", &[("content-disposition", "attachment; filename*=UTF-8''caf%C3%A9.txt")]),
        "/evil" => file("x", &[("content-disposition", "attachment; filename=\"../../etc/passwd\"")]),
        "/moved" => redirect("/there/final.bin"),
        _ => file("x", &[]),
    })
    .await;
    for (path, more, name) in [
        ("/named", json!({}), "café.txt"),
        ("/named", json!({"file_name": "mine.txt"}), "mine.txt"),
        ("/evil", json!({}), "....etcpasswd"),
        ("/moved", json!({}), "final.bin"),
        ("/a/b.tar.gz", json!({}), "b.tar.gz"),
        ("/", json!({}), "download"),
        ("/%2e%2e", json!({}), "download"),
    ] {
        assert_eq!(app.fetched(&peer.url(path), more).await["name"], name, "{path}");
    }
}

#[tokio::test]
async fn a_random_prefix_of_the_request_or_of_the_key_is_put_before_every_name() {
    let app = TestApp::start_with(allow_loopback).await;
    let peer = Peer::start(|_| file("x", &[])).await;
    let refused = app.request_with(&app.public_key, Method::POST, "/api/v1/uploads/remote");
    let refused = refused.json(&json!({"remote_url": peer.url("/v.mp4"), "random_prefix": true})).send().await.unwrap();
    assert_error(refused, 403, "FORBIDDEN", &[]).await;
    for (of_request, of_key) in [(Some("true"), false), (None, true), (Some("false"), true)] {
        // The command line gives private keys no permission, which they do not need. A key that has one keeps to it.
        app.sql(&format!("UPDATE api_keys SET random_prefix = {of_key}"));
        let body = of_request.map_or_else(|| json!({}), |text| json!({"random_prefix": text}));
        let mut named = body.clone();
        named["file_name"] = "v.mp4".into();
        let form: Vec<_> = of_request.map(|text| ("random_prefix", text)).into_iter().collect();
        for record in [
            app.fetched(&peer.url("/v.mp4"), body).await,
            app.fetched(&peer.url("/"), named.clone()).await,
            app.upload_whole(b"x", named).await,
            app.whole(b"x", &[&form[..], &[("file_name", "v.mp4")]].concat()).await,
        ] {
            let name = record["name"].as_str().unwrap();
            assert!(name.len() == 14 && name.ends_with("-v.mp4"), "{name} with {of_request:?}, {of_key}");
        }
    }
}

#[tokio::test]
async fn misbehaviour_of_the_other_side_is_reported() {
    let app = TestApp::start_with(|config| {
        allow_loopback(config);
        config.outgoing.idle_timeout_seconds = Duration::from_secs(2);
        config.outgoing.total_timeout_seconds = Duration::from_secs(5);
    })
    .await;
    let peer = Peer::start(|asked| match asked.path.as_str() {
        "/404" => StatusCode::NOT_FOUND.into_response(),
        "/500" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "/206" => StatusCode::PARTIAL_CONTENT.into_response(),
        "/304" => StatusCode::NOT_MODIFIED.into_response(),
        "/loop" => redirect("/loop"),
        "/nowhere" => StatusCode::FOUND.into_response(),
        "/ftp" => redirect("ftp://example.com/x"),
        "/gzip" => file("x", &[("content-encoding", "gzip")]),
        "/cut" => {
            let pieces = futures_util::stream::unfold(0, |number| async move {
                tokio::time::sleep(Duration::from_millis(100 * number)).await;
                Some((if number == 0 { Ok("some bytes") } else { Err(std::io::Error::other("cut")) }, number + 1))
            });
            Body::from_stream(pieces).into_response()
        }
        "/stall" => {
            Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>()).into_response()
        }
        "/slow" => {
            let pieces = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Some((Ok::<_, std::io::Error>("x"), ()))
            });
            Body::from_stream(pieces).into_response()
        }
        hops => match hops.strip_prefix("/hops/").and_then(|left| left.parse::<u32>().ok()) {
            Some(0) | None => file("here", &[]),
            Some(left) => redirect(&format!("/hops/{}", left - 1)),
        },
    })
    .await;
    for (path, named) in [
        ("/404", "404"),
        ("/500", "500"),
        ("/206", "206"),
        ("/304", "304"),
        ("/loop", "more than 5 times"),
        ("/nowhere", "`Location`"),
        ("/ftp", "not an http or https URL"),
        ("/gzip", "gzip"),
        ("/cut", "broke off after 10 bytes"),
        ("/stall", "sent nothing"),
        ("/slow", "whole file within 5 seconds"),
        ("/hops/6", "more than 5 times"),
    ] {
        let refused = app.fetch(&peer.url(path), json!({})).await;
        let body = assert_error(refused, 400, "REMOTE_FETCH_FAILED", &[named]).await;
        assert!(!body["message"].as_str().unwrap().contains("127.0.0.1"), "{body}");
    }
    assert_eq!(app.fetched(&peer.url("/hops/5"), json!({})).await["size"], 4);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = app.fetch(&format!("http://127.0.0.1:{port}/"), json!({})).await;
    assert_error(refused, 400, "REMOTE_FETCH_FAILED", &["does not answer"]).await;
    app.until("only the file is left", |app| app.count("garbage") == 0 && app.has_blobs(1)).await;
}

#[tokio::test]
async fn a_remote_file_that_is_too_large_is_refused_by_its_length_or_as_it_comes() {
    let app = TestApp::start_with(|config| {
        allow_loopback(config);
        config.limits.max_file_bytes = 1000;
    })
    .await;
    let peer = Peer::start(|asked| {
        let size = asked.path.rsplit('/').next().unwrap().parse().unwrap();
        if asked.path.starts_with("/chunked") {
            let pieces = vec![Ok::<_, std::io::Error>(vec![b'x'; size])];
            return Body::from_stream(futures_util::stream::iter(pieces)).into_response();
        }
        file(vec![b'x'; size], &[])
    })
    .await;
    for kind in ["/plain/", "/chunked/"] {
        assert_eq!(app.fetched(&peer.url(&format!("{kind}1000")), json!({})).await["size"], 1000);
        let refused = app.fetch(&peer.url(&format!("{kind}1001")), json!({})).await;
        assert_error(refused, 413, "FILE_TOO_LARGE", &["1000 bytes"]).await;
    }
}

#[tokio::test]
async fn mistakes_in_the_request_are_named_before_anybody_is_asked() {
    let app = TestApp::start_with(allow_loopback).await;
    let peer = Peer::obliging().await;
    for (body, code, named) in [
        (json!({}), "INVALID_REMOTE_URL", "remote_url"),
        (json!({"remote_url": 7}), "INVALID_REMOTE_URL", "remote_url"),
        (json!({"remote_url": "nonsense"}), "INVALID_REMOTE_URL", "not a URL"),
        (json!({"remote_url": "file:///etc/passwd"}), "INVALID_REMOTE_URL", "http"),
        (json!({"remote_url": "http://user:pw@127.0.0.1/"}), "INVALID_REMOTE_URL", "password"),
        (json!({"remote_url": format!("http://127.0.0.1/{}", "x".repeat(2048))}), "INVALID_REMOTE_URL", "2048"),
        (json!({"remote_url": peer.url("/"), "folder": ".."}), "INVALID_FOLDER", "folder"),
        (json!({"remote_url": peer.url("/"), "file_name": "a/b"}), "INVALID_FILE_NAME", "file_name"),
        (json!({"remote_url": peer.url("/"), "metadata": "[]"}), "INVALID_METADATA", "metadata"),
    ] {
        assert_error(app.post("/api/v1/uploads/remote", &body).await, 400, code, &[named]).await;
    }
    assert!(peer.asked().is_empty());
    let public = app.http.post(app.url("/api/v1/uploads/remote")).bearer_auth(&app.public_key);
    let refused = public.json(&json!({"remote_url": peer.url("/")})).send().await.unwrap();
    assert_error(refused, 403, "FORBIDDEN", &["private key"]).await;
    app.assert_nothing_left();
}

/// Spellings, in URLs, of addresses that no client may reach.
const FORBIDDEN_HOSTS: &[&str] = &[
    "0.0.0.0",
    "0",
    "0x0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0x7f.1",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.1.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:8.8.8.8]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:0:7f00:1::]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:808:808::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd12:3456:789a::1]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "localhost",
    "localhost.",
];

#[tokio::test]
async fn no_form_of_an_address_that_is_not_global_gets_through_directly_or_by_a_redirect() {
    let dns = NameServer::start().await;
    dns.set("localhost", &[&["127.0.0.1", "::1"]]);
    let mut app = TestApp::start_with(|config| config.outgoing.name_servers = vec![dns.address]).await;
    for host in FORBIDDEN_HOSTS {
        for scheme in ["http", "https"] {
            let refused = app.fetch(&format!("{scheme}://{host}/x"), json!({})).await;
            assert_error(refused, 400, "INVALID_REMOTE_URL", &["remote_url"]).await;
        }
    }
    // One host is open, and redirects to all the others.
    app.configure(|config| allow(config, "open.test")).await;
    let peer = Peer::start(|asked| {
        let number: usize = asked.path[1..].parse().unwrap();
        redirect(&format!("http://{}/x", FORBIDDEN_HOSTS[number]))
    })
    .await;
    dns.set("open.test", &[&["127.0.0.1"]]);
    for (number, host) in FORBIDDEN_HOSTS.iter().enumerate() {
        let url = format!("http://open.test:{}/{number}", peer.address.port());
        let refused = app.fetch(&url, json!({})).await;
        let body = assert_error(refused, 400, "REMOTE_FETCH_FAILED", &[]).await;
        assert!(body["message"].as_str().unwrap().contains("redirect"), "{host}: {body}");
    }
    assert_eq!(peer.asked().len(), FORBIDDEN_HOSTS.len());
    app.assert_nothing_left();
}

#[tokio::test]
async fn a_name_that_is_given_another_address_between_look_ups_gets_nobody_in() {
    let dns = NameServer::start().await;
    let peer = Peer::start(|_| file("secret", &[])).await;
    let app = TestApp::start_with(|config| config.outgoing.name_servers = vec![dns.address]).await;
    let port = peer.address.port();
    // All addresses of all forms, alone and next to one that is global and does not answer there.
    for address in
        ["127.0.0.1", "10.1.1.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "fe80::1", "64:ff9b::7f00:1"]
    {
        dns.set("evil.test", &[&[address]]);
        let refused = app.fetch(&format!("http://evil.test:{port}/"), json!({})).await;
        assert_error(refused, 400, "INVALID_REMOTE_URL", &["not globally reachable"]).await;
    }
    // The first answer would pass, those after it would not: there is no second look between check and connection.
    for turns in [&[&["192.0.2.1"] as &[&str], &["127.0.0.1"]] as &[&[&str]], &[&["127.0.0.1"], &["127.0.0.1"]]] {
        dns.set("rebind.test", turns);
        for _ in 0..4 {
            let refused = app.fetch(&format!("http://rebind.test:{port}/"), json!({})).await;
            assert_error(refused, 400, "INVALID_REMOTE_URL", &["not globally reachable"]).await;
        }
        assert_eq!(dns.look_ups("rebind.test"), 4, "each request looks the name up once");
    }
    // An unknown name reveals nothing about our network.
    let refused = app.fetch("http://nobody.test/", json!({})).await;
    assert_error(refused, 400, "INVALID_REMOTE_URL", &["not globally reachable"]).await;
    assert!(peer.asked().is_empty(), "a request got through");
    app.assert_nothing_left();
}

#[tokio::test]
async fn an_open_name_is_connected_to_at_the_address_that_was_looked_up_once() {
    let dns = NameServer::start().await;
    let peer = Peer::start(|_| file("open", &[])).await;
    let app = TestApp::start_with(|config| {
        allow(config, "open.test, 10.0.0.0/8");
        config.outgoing.name_servers = vec![dns.address];
    })
    .await;
    dns.set("open.test", &[&["127.0.0.1"]]);
    dns.set("other.test", &[&["127.0.0.1"]]);
    let port = peer.address.port();
    assert_eq!(app.fetched(&format!("http://open.test:{port}/f"), json!({})).await["size"], 4);
    assert_eq!(dns.look_ups("open.test"), 1);
    assert_eq!(peer.asked()[0].headers["host"], format!("open.test:{port}"));
    let refused = app.fetch(&format!("http://other.test:{port}/f"), json!({})).await;
    assert_error(refused, 400, "INVALID_REMOTE_URL", &[]).await;
}
