//! Caches with nothing but a backend give nobody what was for another, and nothing that is out of date.

use std::io::{Read, Write};

use serde_json::Value;

use super::kinds::{BARE_VARNISH, NGINX_CACHE, PublicPath};
use super::proxied::{Answer, Proxied, Version};
use crate::server::{curl, start};

/// Whether the answer is from the cache.
fn is_kept(answer: &Answer) -> bool {
    answer.header("x-cache") == Some("hit")
}

/// A GET through the proxy.
fn get(proxied: &Proxied, path: &str, header: Option<&str>) -> Answer {
    let arguments: Vec<_> = header.iter().flat_map(|header| ["--header", header]).collect();
    proxied.ask(Version::Http1, &arguments, &format!("{}{path}", proxied.server.url))
}

#[test]
fn no_cache_in_front_gives_an_answer_that_needed_a_key_to_a_request_without_one() {
    for kind in [BARE_VARNISH, NGINX_CACHE] {
        let proxied = Proxied::start(kind, PublicPath::None, &[]);
        for header in [proxied.key_header(), format!("Authorization: Bearer {}", proxied.key)] {
            for path in ["/api/v1/files", "/api/v1/folders", "/api/v1/multipart"] {
                for _ in 0..2 {
                    let answer = get(&proxied, path, Some(&header));
                    assert!(answer.status == 200 && !is_kept(&answer), "{path}: {}", answer.head);
                    let answer = get(&proxied, path, None);
                    assert!(answer.status == 401 && !is_kept(&answer), "{path}: {} {}", answer.head, answer.text());
                }
            }
        }
    }
}

#[test]
fn no_cache_in_front_tells_what_was_true_before() {
    for kind in [BARE_VARNISH, NGINX_CACHE] {
        let proxied = Proxied::start(kind, PublicPath::None, &[]);
        let session = start(&proxied.server, &proxied.key, "f.bin", 3);
        let key = proxied.key_header();
        let files = get(&proxied, "/api/v1/files", Some(&key)).text();
        assert!(files.contains("\"total\":0"), "{files}");
        assert_eq!(proxied.missing_parts(&session), serde_json::json!([0]));
        let (file, _) = proxied.file("f.bin", 6, 3);
        let put = ["--upload-file", file.to_str().unwrap(), proxied.public(&session["parts"][0])];
        assert_eq!(curl(&put).0, 200);
        assert_eq!(proxied.missing_parts(&session), serde_json::json!([]));
        // Asked for before it is there, it is seen once it is; and it is the cache that gives it the second time.
        let probe = start(&proxied.server, &proxied.key, "probe", 3);
        let put = ["--upload-file", file.to_str().unwrap(), proxied.public(&probe["parts"][0])];
        assert_eq!(curl(&put).0, 200);
        let path = format!("/{}/f.bin", proxied.complete(&probe)["workspace_no"].as_str().unwrap());
        for _ in 0..2 {
            assert_eq!(get(&proxied, &path, None).status, 404);
        }
        proxied.complete(&session);
        let answer = get(&proxied, &path, None);
        assert!(answer.status == 200 && !is_kept(&answer), "{}", answer.head);
        let answer = get(&proxied, &path, None);
        assert!(answer.status == 200 && is_kept(&answer), "this cache keeps nothing: {}", answer.head);
    }
}

#[test]
fn a_cache_in_front_keeps_a_version_and_gives_none_for_another() {
    for kind in [BARE_VARNISH, NGINX_CACHE] {
        let proxied = Proxied::start(kind, PublicPath::None, &[]);
        let fetches = |url: &Value, data: &[u8], from_cache: bool| {
            let answer = proxied.fetch(url, &[]);
            assert!(answer.status == 200 && is_kept(&answer) == from_cache, "{url}: {}", answer.head);
            assert!(answer.body == data, "{url}: another version: {}", answer.head);
            answer
        };
        let (file, old_data) = proxied.file("f.bin", 10, 100_000);
        let old = proxied.uploaded(&file);
        for from_cache in [false, true] {
            let answer = fetches(&old["version_url"], &old_data, from_cache);
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
            fetches(&old["url"], &old_data, from_cache);
        }
        let (file, new_data) = proxied.file("f.bin", 11, 100_000);
        let new = proxied.uploaded(&file);
        // The settings allow caches a minute of the old file at the plain URL. The new version is seen at once.
        fetches(&new["url"], &old_data, true);
        fetches(&new["version_url"], &new_data, false);
        fetches(&new["version_url"], &new_data, true);
        fetches(&old["version_url"], &old_data, true);
        // Where the cache has nothing, the refusal passes and is not kept.
        let path = format!("{}&x=1", proxied.target(&old["version_url"]));
        for _ in 0..2 {
            let answer = get(&proxied, &path, None);
            assert!(answer.status == 412 && !is_kept(&answer), "{}", answer.head);
            assert!(answer.text().contains("PRECONDITION_FAILED"), "{}", answer.text());
        }
    }
}

#[test]
fn no_cache_in_front_keeps_the_refusal_of_a_head_that_partway_cannot_read() {
    let proxied = Proxied::start(NGINX_CACHE, PublicPath::None, &[]);
    let (file, data) = proxied.file("f.bin", 7, 1000);
    let record = proxied.uploaded(&file);
    let path = proxied.target(&record["url"]);
    // nginx passes them on as they are. A query of its own makes each a URL that the cache has not seen.
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    for (number, (status, headers)) in [(431, many.as_str()), (400, "x-odd: a\u{1}b\r\n")].into_iter().enumerate() {
        let target = format!("{path}?attack={number}");
        let mut connection = proxied.connect();
        write!(connection, "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("x-cache: MISS"), "{answer}");
        let answer = get(&proxied, &target, None);
        assert!(answer.status == 200 && answer.body == data, "the refusal was kept: {}", answer.head);
    }
}
