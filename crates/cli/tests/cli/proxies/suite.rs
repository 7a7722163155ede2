//! One list that each proxy of deploy/ passes, over HTTP/1.1 and HTTP/2.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kinds::{
    APACHE, APACHE_THAT_REWRITES, BARE_VARNISH, CADDY, HAPROXY, Http2, Kind, NGINX, PublicPath, Stalls, VARNISH,
};
use super::proxied::{Proxied, Version};
use crate::server::{bytes, curl, post, start, text};

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];
/// Two whole parts and a piece.
const FILE_BYTES: usize = 25_000_000;
const PART_BYTES: usize = 1_048_576;
/// A body that is still coming when its refusal is sent.
const REFUSED_BYTES: usize = 20_000_000;
/// Tries of each refusal.
const REFUSALS: usize = 2;

fn holds_the_list(kind: Kind) {
    let changes = if let Stalls::EndedByProxy(changes) = kind.stalls { changes } else { &[] };
    let mut proxied = Proxied::start(kind, PublicPath::None, changes);
    let large = files_go_up_and_come_back(&proxied);
    for version in VERSIONS {
        parts_arrive_however_they_are_sent(&proxied, version);
        downloads_are_those_that_were_asked_for(&proxied, version, &large);
        odd_names_are_found(&proxied, version);
        refusals_arrive_while_the_body_is_still_coming(&proxied, version);
        preflights_are_answered(&proxied, version);
        answers_are_not_kept(&proxied, version);
        metrics_are_not_reached(&proxied, version);
    }
    refusals_arrive_at_a_client_that_sends_everything_first(&proxied);
    a_stalled_part_is_ended(&proxied);
    a_restart_is_soon_over(&mut proxied);
}

fn invents_nothing(kind: Kind) {
    let proxied = Proxied::start_tapped(kind);
    uploads_that_are_cut_leave_nothing(&proxied, Cut::StaysCut);
    nothing_is_sent_twice(&proxied);
}

fn works_under_a_path(kind: Kind) {
    for path in [PublicPath::Kept, PublicPath::Stripped] {
        let proxied = Proxied::start(kind, path, &[]);
        files_go_up_and_come_back(&proxied);
        odd_names_are_found(&proxied, Version::Http1);
        for version in VERSIONS {
            metrics_are_not_reached(&proxied, version);
        }
    }
}

/// The fate of a body in chunks that its client cut.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    StaysCut,
    /// The last chunk follows, as if the body were whole.
    IsEnded,
}

macro_rules! proxies {
    ($($name:ident: $kind:expr),*) => {$(
        mod $name {
            #[test]
            fn passes_everything_on() {
                super::holds_the_list($kind);
            }

            #[test]
            fn ends_no_request_that_its_client_cut_and_sends_none_twice() {
                super::invents_nothing($kind);
            }

            #[test]
            fn passes_everything_on_under_a_path() {
                super::works_under_a_path($kind);
            }

            #[test]
            fn says_which_client_it_serves() {
                super::each_client_counts_for_itself($kind);
            }
        }
    )*};
}
proxies!(nginx: super::NGINX, caddy: super::CADDY, haproxy: super::HAPROXY, apache: super::APACHE, varnish: super::VARNISH);

#[test]
fn nothing_is_left_of_a_cut_upload_that_a_proxy_ends_as_if_it_were_whole() {
    uploads_that_are_cut_leave_nothing(&Proxied::start_tapped(BARE_VARNISH), Cut::IsEnded);
}

/// No signature covers the path as it was sent.
#[test]
fn uploads_and_odd_names_pass_a_proxy_that_rewrites_paths() {
    let proxied = Proxied::start(APACHE_THAT_REWRITES, PublicPath::None, &[]);
    files_go_up_and_come_back(&proxied);
    for version in VERSIONS {
        odd_names_are_found(&proxied, version);
    }
    // The log has the path that arrived.
    let (file, _) = proxied.file("part", 12, 1000);
    let session = proxied.start_upload("rewritten.bin", 1000);
    let url = proxied.public(&session["parts"][0]);
    let answer = proxied.ask(
        Version::Http1,
        &["--upload-file", file.to_str().unwrap()],
        &url.replace("/parts/0?", "/%70art%73/%30?"),
    );
    assert_eq!(answer.status, 200, "{} {}", answer.head, answer.text());
    let path = proxied.target(&session["parts"][0]).split('?').next().unwrap().to_owned();
    proxied.until("the part arrives with its path rewritten", || proxied.ended("PUT", &path) == 1);
    assert_eq!(proxied.complete(&session)["size"], 1000);
}

/// An upload by the command line, in three parts, and back. Returns its record.
fn files_go_up_and_come_back(proxied: &Proxied) -> Value {
    let (file, data) = proxied.file("by cli.bin", 1, FILE_BYTES);
    let record = proxied.uploaded(&file);
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
    let answer = proxied.fetch(&record["url"], &[]);
    assert!(answer.status == 200 && answer.body == data, "{}", answer.head);
    record
}

/// With `Expect`, with a digest, and in chunks.
fn parts_arrive_however_they_are_sent(proxied: &Proxied, version: Version) {
    let data = bytes(2, 3 * PART_BYTES);
    let session = proxied.start_upload("by curl.bin", data.len());
    let parts = session["parts"].as_array().unwrap();
    let files: Vec<_> = data
        .chunks(PART_BYTES)
        .enumerate()
        .map(|(index, part)| {
            let file = proxied.directory.path().join(format!("part {index}"));
            std::fs::write(&file, part).unwrap();
            file.to_str().unwrap().to_owned()
        })
        .collect();
    let put = |index: usize, arguments: &[&str]| {
        let answer = proxied.ask(
            version,
            &[&["--upload-file", &files[index]], arguments].concat(),
            proxied.public(&parts[index]),
        );
        (answer.status, answer.text())
    };
    // A proxy that left `Expect` to nobody would make curl wait longer than it may.
    let expecting = ["--header", "Expect: 100-continue", "--expect100-timeout", "60", "--max-time", "30"];
    assert_eq!(put(0, &expecting), (200, String::new()));
    // A digest of other bytes shows that it arrives.
    let digest = |bytes: &[u8]| {
        use base64::Engine as _;
        use sha2::Digest as _;
        format!(
            "Content-Digest: sha-256=:{}:",
            base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes))
        )
    };
    let (status, refusal) = put(1, &["--header", &digest(b"other"), "--header", "Expect:"]);
    assert!(status == 400 && refusal.contains("CHECKSUM_MISMATCH"), "{status} {refusal}");
    assert_eq!(
        put(1, &["--header", &digest(&data[PART_BYTES..2 * PART_BYTES]), "--header", "Expect:"]),
        (200, String::new())
    );
    // Without a length: in chunks, which HTTP/2 has by itself.
    let mut command =
        proxied.command(version, &["--upload-file", "-", "--write-out", "%{http_code}"], proxied.public(&parts[2]));
    let input = std::fs::File::open(&files[2]).unwrap();
    let output = command.stdin(Stdio::from(input)).output().unwrap();
    assert_eq!(text(&output.stdout), "200", "{}: {}", proxied.kind.name, text(&output.stderr));
    let record = proxied.complete(&session);
    assert_eq!(proxied.ask(version, &[], proxied.public(&record["url"])).body, data);
}

/// Whole files, ranges and conditions, of a file that a cache would keep and of one that it would not.
fn downloads_are_those_that_were_asked_for(proxied: &Proxied, version: Version, large: &Value) {
    let (file, small) = proxied.file("small.bin", 3, 100_000);
    let record = proxied.uploaded(&file);
    for (record, data) in [(&record, small), (large, bytes(1, FILE_BYTES))] {
        let url = proxied.public(&record["url"]);
        let ask = |arguments: &[&str]| proxied.ask(version, arguments, url);
        let whole = ask(&[]);
        let etag = whole.header("etag").unwrap().to_owned();
        assert!(whole.status == 200 && whole.body == data && etag.starts_with('"'), "{}", whole.head);
        assert_eq!(whole.header("accept-ranges"), Some("bytes"), "{}", whole.head);
        let head = ask(&["--head"]);
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some(&*data.len().to_string())),
            "{}",
            head.head
        );

        let last = data.len() - 1;
        for (range, begin, end) in [("10-29", 10, 29), ("-10", data.len() - 10, last), ("50000-50000", 50_000, 50_000)]
        {
            let part = ask(&["--range", range]);
            let content_range = format!("bytes {begin}-{end}/{}", data.len());
            assert_eq!(
                (part.status, part.header("content-range")),
                (206, Some(&*content_range)),
                "{range}: {}",
                part.head
            );
            assert!(part.body == data[begin..=end] && part.header("etag") == Some(&etag), "{range}: {}", part.head);
        }
        let several = ask(&["--range", "0-4,50000-50004"]);
        match (proxied.kind.http2, version) {
            // Our file has Varnish answer with the whole.
            (Http2::WithoutTls, Version::Http2) => assert!(several.status == 200 && several.body == data),
            _ => {
                let content_type = several.header("content-type").unwrap();
                assert!(several.status == 206 && content_type.starts_with("multipart/byteranges"), "{}", several.head);
                for piece in [&data[..5], &data[50_000..50_005]] {
                    assert!(several.body.windows(5).any(|window| window == piece), "{}", several.head);
                }
            }
        }
        let beyond = ask(&["--range", "99999999-"]);
        assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(&*format!("bytes */{}", data.len()))));

        let same = ask(&["--range", "0-4", "--header", &format!("If-Range: {etag}")]);
        assert!(same.status == 206 && same.body == data[..5], "{}", same.head);
        let other = ask(&["--range", "0-4", "--header", "If-Range: \"other\""]);
        assert!(other.status == 200 && other.body == data, "{}", other.head);
        for method in [&[][..], &["--head"]] {
            let condition = format!("If-None-Match: {etag}");
            let unchanged = ask(&[method, &["--header", &condition]].concat());
            assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(&*etag)), "{}", unchanged.head);
            // A length of 0 here has caches serve no bytes from then on.
            assert!(unchanged.body.is_empty() || method.len() == 1, "{}", unchanged.head);
            assert_ne!(unchanged.header("content-length"), Some("0"), "{}", unchanged.head);
        }
        let after = ask(&[]);
        assert!(after.status == 200 && after.body == data, "{}", after.head);

        // The URL of one version, whose query must arrive.
        let version_url = proxied.public(&record["version_url"]);
        let same = proxied.ask(version, &[], version_url);
        assert!(same.status == 200 && same.body == data, "{}", same.head);
        assert!(same.header("cache-control").unwrap().contains("immutable"), "{}", same.head);
        let (base, digits) = version_url.rsplit_once("?v=pw-").unwrap();
        let other = proxied.ask(version, &[], &format!("{base}?v=pw-{}", "0".repeat(digits.len())));
        assert_eq!(other.status, 412, "{}", other.head);
    }
}

fn odd_names_are_found(proxied: &Proxied, version: Version) {
    let names = [
        "a b+c.bin",
        "50%.bin",
        "a%2Bb%25.bin",
        "x#y&z='!'.bin",
        "caf\u{e9}.bin",
        "e\u{301}toile.bin",
        "\u{1f600}.bin",
        "q?a;b.bin",
    ];
    let key = proxied.key_header();
    for (number, name) in (10..).zip(names) {
        let (file, data) = proxied.file("odd", number, 1000);
        let (file, name) = (format!("file=@{}", file.display()), format!("file_name={name}"));
        let url = format!("{}/api/v1/uploads", proxied.server.url);
        let created = proxied.ask(version, &["--header", &key, "--form", &file, "--form-string", &name], &url);
        assert_eq!(created.status, 201, "{name}: {}", created.text());
        let record: Value = serde_json::from_slice(&created.body).unwrap();
        let url = proxied.public(&record["url"]);
        // As the record has it, with everything escaped that may be, and decomposed as macOS does it.
        let (base, last) = url.rsplit_once('/').unwrap();
        let decomposed = last.replace("%C3%A9", "e%CC%81");
        let escaped = last.replace('+', "%2B").replace('.', "%2E").replace('b', "%62");
        for last in [last, &decomposed, &escaped] {
            let answer = proxied.ask(version, &[], &format!("{base}/{last}"));
            assert!(answer.status == 200 && answer.body == data, "{name} as {last}: {} {}", answer.head, answer.text());
        }
    }
}

/// By clients at full speed and slow ones, several at a time. The connections are still good for others.
fn refusals_arrive_while_the_body_is_still_coming(proxied: &Proxied, version: Version) {
    let session = start(&proxied.server, &proxied.key, "refused.bin", REFUSED_BYTES);
    let url = proxied.public(&session["parts"][0]);
    let forged = url.replace("signature=", "signature=0");
    let longer = proxied.file("longer.bin", 4, REFUSED_BYTES).0;
    let exact = proxied.file("exact.bin", 4, usize::try_from(session["part_size"].as_u64().unwrap()).unwrap()).0;
    let cases = [
        (url, &longer, "X-Nothing: 1", 400, "PART_SIZE_MISMATCH"),
        (&forged, &longer, "X-Nothing: 1", 403, "SIGNATURE_INVALID"),
        (url, &exact, "Content-Digest: sha-256=:AAAA:", 400, "INVALID_PARAMETER"),
    ];
    std::thread::scope(|scope| {
        for (url, file, header, status, code) in cases {
            for pace in [&["--limit-rate", "10M"][..], &[]] {
                let arguments = ["--header", "Expect:", "--header", header, "--upload-file", file.to_str().unwrap()];
                let arguments = [&arguments, pace].concat();
                let tries = if pace.is_empty() { REFUSALS } else { 1 };
                scope.spawn(move || {
                    for _ in 0..tries {
                        is_refused(proxied, version, &arguments, url, (status, code));
                    }
                });
            }
        }
    });
    assert_eq!(proxied.missing_parts(&session), json!([0, 1]));
    assert_eq!(proxied.ask(version, &[], &format!("{}/readyz", proxied.server.url)).status, 200);
}

/// The status always arrives. Over HTTP/2 curl 7.88 loses the body of some answers after which the proxy stops the rest of the
/// request (RST_STREAM, RFC 9113, section 8.1), so it may take several tries there.
fn is_refused(proxied: &Proxied, version: Version, arguments: &[&str], url: &str, expected: (u16, &str)) {
    let tries = if version == Version::Http1 { 1 } else { proxied.kind.http2_tries };
    let mut last = String::new();
    for _ in 0..tries {
        let mut command = proxied.command(version, arguments, url);
        let output = command.args(["--write-out", "\n%{http_code}"]).output().unwrap();
        last = text(&output.stdout) + &text(&output.stderr);
        let is_right = text(&output.stdout).ends_with(&format!("\n{}", expected.0));
        assert!(is_right, "{} {version:?}: {arguments:?}: {last}", proxied.kind.name);
        if output.status.success() && last.contains(expected.1) {
            return;
        }
    }
    panic!("{} {version:?}: {arguments:?}: {last}", proxied.kind.name);
}

/// As many libraries do it: nothing is read before the last byte is sent.
fn refusals_arrive_at_a_client_that_sends_everything_first(proxied: &Proxied) {
    let host = &proxied.address;
    let session = start(&proxied.server, &proxied.key, "refused.bin", REFUSED_BYTES);
    let target = proxied.target(&session["parts"][0]);
    for _ in 0..REFUSALS {
        let mut connection = proxied.connect();
        let head = format!("PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {REFUSED_BYTES}\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let sent = connection.write_all(&vec![0; REFUSED_BYTES]);
        assert_eq!(sent.is_ok(), proxied.kind.reads_to_the_end, "{}: {sent:?}", proxied.kind.name);
        if sent.is_ok() {
            let answer = first_bytes(&mut connection);
            let is_right = answer.starts_with("http/1.1 400") && answer.contains("part_size_mismatch");
            assert!(is_right, "{}: {answer}", proxied.kind.name);
        }
    }
}

/// The first bytes: the head of an answer and, if it is small, its body.
fn first_bytes(connection: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let read = connection.read(&mut answer).unwrap();
    text(&answer[..read]).to_ascii_lowercase()
}

fn preflights_are_answered(proxied: &Proxied, version: Version) {
    let url = format!("{}/api/v1/multipart/start", proxied.server.url);
    let headers = [
        "Origin: https://a.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: x-api-key",
    ];
    let arguments: Vec<_> =
        headers.iter().flat_map(|header| ["--header", header]).chain(["--request", "OPTIONS"]).collect();
    let answer = proxied.ask(version, &arguments, &url);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")), "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-api-key"), "{}", answer.head);
    assert!(answer.header("access-control-allow-methods").unwrap().contains("put"), "{}", answer.head);
}

fn answers_are_not_kept(proxied: &Proxied, version: Version) {
    for path in ["/api/v1/files", "/api/v1/folders", "/api/v1/multipart"] {
        let url = format!("{}{path}", proxied.server.url);
        for key in [proxied.key_header(), format!("Authorization: Bearer {}", proxied.key)] {
            assert_eq!(proxied.ask(version, &["--header", &key], &url).status, 200, "{path}");
            assert_eq!(proxied.ask(version, &[], &url).status, 401, "{path}");
        }
    }
}

/// With the path of the public URL and without it, also in requests that begin with scheme and host.
fn metrics_are_not_reached(proxied: &Proxied, version: Version) {
    let host = &proxied.address;
    for path in ["/metrics", "/files/metrics", "/metrics?x=1", "//metrics", "/files//metrics"] {
        let answer = proxied.ask(version, &[], &format!("http://{host}{path}"));
        assert_eq!(answer.status, 404, "{}: {path}: {}", proxied.kind.name, answer.head);
        assert!(answer.header("x-request-id").is_none(), "{}: {path}: {}", proxied.kind.name, answer.head);
        if version == Version::Http2 {
            continue;
        }
        for target in [format!("http://{host}{path}"), format!("https://{host}{path}")] {
            let mut connection = proxied.connect();
            write!(connection, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).unwrap();
            let answer = text(&answer).to_ascii_lowercase();
            let is_refused = answer.starts_with("http/1.1 404") || answer.starts_with("http/1.1 400");
            // Only Partway sends the header: it was not asked.
            assert!(is_refused && !answer.contains("x-request-id"), "{}: {target}: {answer}", proxied.kind.name);
        }
    }
}

/// A part with a length, a part in chunks, and a form in chunks, each cut after half.
fn uploads_that_are_cut_leave_nothing(proxied: &Proxied, cut: Cut) {
    let (session, host) = (proxied.start_upload("cut.bin", PART_BYTES), &proxied.address);
    let part = proxied.target(&session["parts"][0]).to_owned();
    let form_head = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cut.bin\"\r\n\r\n";
    let form_head = format!("{:x}\r\n{form_head}\r\n", form_head.len());
    let form_type = "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked";
    let form = format!("{}\r\n{form_type}", proxied.key_header());
    let half = vec![b'x'; PART_BYTES / 2];
    let chunk = [format!("{:x}\r\n", half.len()).as_bytes(), &half, b"\r\n"].concat();
    let cases = [
        ("PUT", part.as_str(), format!("Content-Length: {PART_BYTES}"), half.clone()),
        ("PUT", &part, "Transfer-Encoding: chunked".to_owned(), chunk.clone()),
        ("POST", "/api/v1/uploads", form, [form_head.as_bytes(), &chunk].concat()),
    ];
    for (method, target, headers, body) in cases {
        let path = target.split('?').next().unwrap();
        let (before, tap) = (proxied.ended(method, path), proxied.tap());
        let (passed, ended, closed) = (tap.passed(), tap.ended(), tap.closed());
        let is_to_end = cut == Cut::IsEnded && headers.contains("chunked");
        let mut connection = proxied.connect();
        write!(connection, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n\r\n").unwrap();
        connection.write_all(&body).unwrap();
        proxied.until("the server gets the body", || tap.passed() - passed > half.len() as u64 / 2);
        drop(connection);
        proxied.until("the cut request ends at the server", || {
            // Varnish closes its side after the last chunk, too. The log may have no line of a request whose client has gone.
            if is_to_end { tap.closed() > closed } else { proxied.ended(method, path) > before }
        });
        assert_eq!(proxied.missing_parts(&session), json!([0]), "{}: {headers}", proxied.kind.name);
        // Partway does not need this; a proxy of ours that makes whole uploads of cut ones is better not used.
        assert_eq!(tap.ended() > ended, is_to_end, "{}: {headers}", proxied.kind.name);
    }
    assert_eq!(proxied.missing_parts(&session), json!([0]), "{}", proxied.kind.name);
    let url = format!("{}/api/v1/files?search=cut.bin", proxied.server.url);
    let (status, files) = curl(&["--header", &proxied.key_header(), &url]);
    assert!(status == 200 && files.contains("\"total\":0"), "{}: {files}", proxied.kind.name);
}

/// A request whose answer is lost may have been carried out.
fn nothing_is_sent_twice(proxied: &Proxied) {
    let session = proxied.start_upload("once.bin", 5);
    let put = ["--request", "PUT", "--data", "hello", proxied.public(&session["parts"][0])];
    assert_eq!(curl(&put).0, 200);
    let path = "/api/v1/multipart/complete";
    proxied.tap().lose_answers(true);
    let body = json!({"session_id": session["session_id"]}).to_string();
    let (status, answer) = post(&proxied.server, &proxied.key, "complete", &body);
    assert!(status >= 500, "{}: {status} {answer}", proxied.kind.name);
    proxied.tap().lose_answers(false);
    proxied.until("the server ends the request", || proxied.ended("POST", path) > 0);
    assert_eq!(proxied.complete(&session)["size"], 5);
    assert_eq!(proxied.ended("POST", path), 2, "{} sent it again: {}", proxied.kind.name, proxied.server.log());
}

fn a_stalled_part_is_ended(proxied: &Proxied) {
    let (session, host) = (proxied.start_upload("stalled.bin", PART_BYTES), &proxied.address);
    let target = proxied.target(&session["parts"][0]);
    let path = target.split('?').next().unwrap();
    let mut connection = proxied.connect();
    write!(connection, "PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {PART_BYTES}\r\n\r\n").unwrap();
    connection.write_all(&[0; PART_BYTES / 2]).unwrap();
    proxied.until("the stalled request ends at the server", || proxied.ended("PUT", path) > 0);
    assert_eq!(proxied.missing_parts(&session), json!([0]), "{}", proxied.kind.name);
    if let Stalls::Held = proxied.kind.stalls {
        return;
    }
    let answer = first_bytes(&mut connection);
    assert!(answer.starts_with("http/1.1 408"), "{}: {answer}", proxied.kind.name);
    let is_partways = answer.contains("x-request-id");
    assert_eq!(is_partways, matches!(proxied.kind.stalls, Stalls::EndedByPartway), "{}: {answer}", proxied.kind.name);
}

/// Some proxies do not try for a minute after a server could not be reached.
fn a_restart_is_soon_over(proxied: &mut Proxied) {
    let url = format!("{}/readyz", proxied.server.url);
    let ask = || Command::new("curl").args(["--silent", "--fail", "--max-time", "1", &url]).output().unwrap();
    proxied.restart_server(|| assert!(!ask().status.success(), "the server is not away"));
    let begin = Instant::now();
    proxied.until("the server is back", || ask().status.success());
    assert!(begin.elapsed() < Duration::from_secs(30), "{}: {:?}", proxied.kind.name, begin.elapsed());
}

fn each_client_counts_for_itself(kind: Kind) {
    let limits =
        [("PARTWAY_LIMITS_REQUESTS_PER_ADDRESS_PER_SECOND", "1"), ("PARTWAY_HTTP_TRUSTED_PROXIES", "127.0.0.1")];
    let proxied = Proxied::start_limited(kind, &limits);
    let url = format!("{}/api/v1/files", proxied.server.url);
    let status = |address: &str| curl(&["--interface", address, "--header", &proxied.key_header(), &url]).0;
    // Two in a burst, then one a second: the client is limited at last, however slow this machine is.
    proxied.until("a client is limited", || (0..20).any(|_| status("127.0.0.2") == 429));
    assert_eq!(status("127.0.0.3"), 200, "{}: it counts for another client", kind.name);
}
