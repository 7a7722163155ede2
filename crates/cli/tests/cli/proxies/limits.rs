//! Bodies and files that proxies limit, buffer or keep.

use std::io::{Read, Write};

use serde_json::Value;

use super::kinds::{APACHE, CADDY, HAPROXY, Kind, NGINX, PublicPath, VARNISH};
use super::proxied::{Proxied, Version};
use super::proxy::Change;
use crate::server::{partway, run, text};

/// Two whole parts and a piece.
const FILE_BYTES: usize = 25_000_000;
const CADDY_LIMIT: &str = "handle /* {\nrequest_body {\nmax_size 1MB\n}";

#[test]
fn an_upload_through_nginx_that_buffers_requests_comes_back_as_it_was() {
    let buffering = ("proxy_request_buffering off;", "proxy_request_buffering on;");
    let proxied = Proxied::start(NGINX, PublicPath::None, &[buffering]);
    let (file, data) = proxied.file("f.bin", 1, FILE_BYTES);
    assert!(proxied.fetch(&proxied.uploaded(&file)["url"], &[]).body == data);
    assert!(proxied.proxy.log().contains("a client request body is buffered to a temporary file"));
}

#[test]
fn nginx_keeps_no_byte_of_a_part_or_a_download_on_its_disk() {
    let proxied = Proxied::start(NGINX, PublicPath::None, &[]);
    let (file, data) = proxied.file("f.bin", 3, FILE_BYTES);
    let record = proxied.uploaded(&file);
    // Slow enough that nginx would have to put the rest somewhere.
    assert!(proxied.fetch(&record["url"], &["--limit-rate", "20M"]).body == data);
    let log = proxied.proxy.log();
    assert!(!log.contains("temporary file"), "{log}");
}

/// Varnish has 64 MB for what it does not keep, and reads as fast as Partway sends.
#[test]
fn varnish_keeps_no_large_file_in_its_memory_for_a_slow_client() {
    let proxied = Proxied::start(VARNISH, PublicPath::None, &[]);
    let (file, data) = proxied.file("f.bin", 3, 80_000_000);
    let record = proxied.uploaded(&file);
    for _ in 0..2 {
        assert!(proxied.fetch(&record["url"], &["--limit-rate", "100M"]).body == data);
    }
    let range = proxied.fetch(&record["url"], &["--range", "1-", "--limit-rate", "100M"]);
    assert!(range.status == 206 && range.body == data[1..], "{}", range.head);
}

/// A connection that it kept might be one that Partway is about to close.
#[test]
fn haproxy_opens_a_connection_for_each_request_and_its_clients_keep_theirs() {
    let proxied = Proxied::start_tapped(HAPROXY);
    let mut client = proxied.connect();
    for number in 1..=3 {
        write!(client, "GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", proxied.address).unwrap();
        let mut answer = vec![0; 4096];
        let read = client.read(&mut answer).unwrap();
        assert!(text(&answer[..read]).starts_with("HTTP/1.1 200"), "{}", text(&answer[..read]));
        assert_eq!(proxied.tap().opened(), number);
    }
}

#[test]
fn no_signature_is_in_the_access_log_of_a_proxy_that_has_one() {
    for kind in [NGINX, HAPROXY, APACHE] {
        let proxied = Proxied::start(kind, PublicPath::None, &[]);
        let (file, _) = proxied.file("f.bin", 3, 1000);
        proxied.uploaded(&file);
        proxied.until("the log has the part", || proxied.proxy.log().contains("PUT /api/v1/multipart/"));
        let log = proxied.proxy.log();
        assert!(log.contains("/parts/0") && !log.contains("signature="), "{log}");
    }
}

#[test]
fn proxies_that_compress_leave_files_as_they_are() {
    for kind in [NGINX, APACHE] {
        let proxied = Proxied::start(kind, PublicPath::None, &[]);
        let file = proxied.directory.path().join("page.html");
        std::fs::write(&file, "<p>hello</p>".repeat(1000)).unwrap();
        let record = proxied.uploaded(&file);
        let answer = proxied.fetch(&record["url"], &["--header", "Accept-Encoding: gzip"]);
        assert_eq!((answer.body.len(), answer.header("content-length")), (12_000, Some("12000")), "{}", answer.head);
        assert!(answer.header("etag").unwrap().starts_with('"'), "{}", answer.head);
    }
}

/// A proxy that limits bodies to 1 MB, and the same without the limit.
fn a_limit_is_named_and_the_upload_goes_on_without_it(kind: Kind, limit: Change<'_>, setting: &str) {
    let mut proxied = Proxied::start(kind, PublicPath::None, &[limit]);
    let (file, data) = proxied.file("f.bin", 5, FILE_BYTES);
    let output = proxied.upload(&file);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for part in ["a proxy in front of the server", "413", setting, "partway upload --resume"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    assert!(!errors.contains("retrying") && !errors.contains("<html>"), "{errors}");

    proxied.restart_proxy(&[]);
    assert!(proxied.fetch(&proxied.uploaded(&file)["url"], &[]).body == data);
}

#[test]
fn a_body_limit_of_nginx_is_named_and_the_same_command_goes_on_once_it_is_lifted() {
    let limit = ("client_max_body_size 0;", "client_max_body_size 512k;");
    a_limit_is_named_and_the_upload_goes_on_without_it(NGINX, limit, "client_max_body_size");
}

#[test]
fn a_body_limit_of_caddy_is_named_and_the_same_command_goes_on_once_it_is_lifted() {
    let limit = ("handle /* {", CADDY_LIMIT);
    a_limit_is_named_and_the_upload_goes_on_without_it(CADDY, limit, "max_size");
}

#[test]
fn parts_that_nginx_refuses_are_sent_smaller_and_the_user_reads_why() {
    let proxied = Proxied::start(NGINX, PublicPath::None, &[("client_max_body_size 0;", "client_max_body_size 1m;")]);
    let (file, data) = proxied.file("f.bin", 8, FILE_BYTES);
    let output = proxied.upload(&file);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for part in ["413", "client_max_body_size", "starting again in parts of 1.00 MiB"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(proxied.fetch(&record["url"], &[]).body == data);
    // With the right size from the beginning no request is refused.
    let (file, data) = proxied.file("g.bin", 9, FILE_BYTES);
    let output = run(partway().arg("upload").arg(&file).args(["--json", "--part-size", "1MiB"]).args([
        "--url",
        &proxied.server.url,
        "--key",
        &proxied.key,
    ]));
    assert!(!text(&output.stderr).contains("413"), "{}", text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(proxied.fetch(&record["url"], &[]).body == data);
    // Nothing of the larger sessions is left open.
    let url = format!("{}/api/v1/multipart?status=uploading", proxied.server.url);
    let open = proxied.ask(Version::Http1, &["--header", &proxied.key_header()], &url).text();
    assert!(open.contains("\"total\":0"), "{open}");
}
