//! Servers with untrusted certificates, on either side, and addresses without a server.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxies::Proxy;
use crate::server::{Server, curl, free_address, free_addresses, fresh, partway, post, run, text};
use crate::workspace::names;

/// nginx with the certificate `cert.pem` before a server.
const NGINX: &str = "
    access_log off;
    server {
        listen ADDRESS ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        client_max_body_size 0;
        location / {
            proxy_pass http://UPSTREAM;
            proxy_set_header Host $http_host;
        }
    }
";

/// Makes `ca.pem`, and `cert.pem` and `key.pem` for localhost that it has issued.
fn make_certificates(directory: &TempDir) {
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(directory.path()));
    };
    std::fs::write(directory.path().join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=Test"));
    openssl(&format!("req -new {key} -keyout key.pem -out request.pem -subj /CN=localhost"));
    openssl("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out cert.pem");
}

#[test]
fn a_certificate_that_is_not_trusted_ends_the_command_at_once_and_says_how_to_trust_it() {
    let (directory, data_dir) = fresh();
    let [address, upstream] = free_addresses();
    let url = format!("https://{address}");
    let server = Server::start(&data_dir, &["--public-url", &url, "--listen", &upstream]);
    let proxy_directory = tempfile::tempdir().unwrap();
    make_certificates(&proxy_directory);
    let ca = proxy_directory.path().join("ca.pem");
    let ca = std::fs::copy(&ca, directory.path().join("ca.pem")).map(|_| directory.path().join("ca.pem")).unwrap();
    let site = NGINX.replace("ADDRESS", &address).replace("UPSTREAM", &upstream);
    let _proxy = Proxy::start_nginx(proxy_directory, &address, &site);

    for name in ["f", "g"] {
        std::fs::write(directory.path().join(name), "hello").unwrap();
    }
    let command = |arguments: &[&str], environment: &[(&str, &str)]| -> Output {
        let mut command = partway();
        command.args(arguments).env("PARTWAY_URL", &url).env("PARTWAY_API_KEY", server.private_key());
        command.envs(environment.iter().copied()).current_dir(directory.path()).output().unwrap()
    };
    let begin = Instant::now();
    for arguments in
        [&["upload", "f", "g"][..], &["files", "ls"], &["files", "get", "f"], &["files", "rm", "f", "--yes"]]
    {
        let output = command(arguments, &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in
            [&format!("the certificate of {address} is not trusted"), "UnknownIssuer", "--cacert FILE", "SSL_CERT_FILE"]
        {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert!(!said.contains("retrying in"), "{said}");
    }
    // The server is waited for five minutes.
    assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());

    let ca = ca.to_str().unwrap();
    for (arguments, environment) in [
        (&["upload", "f", "--cacert", ca][..], &[][..]),
        (&["upload", "g"], &[("SSL_CERT_FILE", ca)]),
        (&["files", "get", "f", "-o", "copy", "--cacert", ca], &[]),
    ] {
        let output = command(arguments, environment);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(std::fs::read(directory.path().join("copy")).unwrap(), b"hello");
    std::fs::write(directory.path().join("no.pem"), "no certificate").unwrap();
    for (file, problem) in [("nowhere.pem", "cannot be read"), ("no.pem", "is of no use")] {
        let said = text(&command(&["files", "ls", "--cacert", file], &[]).stderr);
        assert!(said.contains(&format!("--cacert {file} {problem}")), "{said}");
    }
    // The name in the certificate counts as well, and a server without TLS is recognized.
    let said = text(&command(&["files", "ls", "--url", &format!("https://{upstream}"), "--cacert", ca], &[]).stderr);
    assert!(said.contains("does not speak TLS") && said.contains("http://"), "{said}");
    assert!(names(directory.path()).contains(&"copy".to_owned()));
}

/// nginx with the certificate `cert.pem`, a file to fetch and a receiver of webhooks.
const ELSEWHERE: &str = "
    access_log access.log;
    server {
        listen ADDRESS ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        location = /file.bin { return 200 \"over TLS\"; }
        location = /hook { return 200; }
    }
";

#[test]
fn the_server_fetches_and_notifies_over_tls_from_hosts_whose_certificates_it_trusts_and_from_no_others() {
    let address = free_address();
    let port = address.rsplit_once(':').unwrap().1;
    let directory = tempfile::tempdir().unwrap();
    make_certificates(&directory);
    let ca = directory.path().join("ca.pem");
    let elsewhere = Proxy::start_nginx(directory, &address, &ELSEWHERE.replace("ADDRESS", &address));
    let hook = format!("https://localhost:{port}/hook");
    let fetch = |server: &Server, host: &str| -> (u16, Value) {
        let (url, key) =
            (format!("{}/api/v1/uploads/remote", server.url), format!("x-api-key: {}", server.private_key()));
        let body = json!({"remote_url": format!("https://{host}:{port}/file.bin"), "webhook_url": hook}).to_string();
        let (status, answer) =
            curl(&[&url, "--header", &key, "--header", "Content-Type: application/json", "--data", &body]);
        (status, serde_json::from_str(&answer).unwrap())
    };
    let allowed = ("PARTWAY_OUTGOING_ALLOWED_HOSTS", "localhost, 127.0.0.0/8");

    let (_directory, data_dir) = fresh();
    let server = Server::start_with(&data_dir, &[], &[allowed, ("SSL_CERT_FILE", ca.to_str().unwrap())]);
    let (status, record) = fetch(&server, "localhost");
    assert_eq!((status, &record["name"], &record["size"]), (201, &json!("file.bin"), &json!(8)), "{record}");
    assert_eq!(curl(&[record["url"].as_str().unwrap()]), (200, "over TLS".to_owned()));
    let until = |what: &str, ready: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !ready() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: {}{}", elsewhere.log(), server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until("the webhook is called", &|| elsewhere.log().contains("\"POST /hook HTTP/1.1\" 200"));
    // A name that is not in the certificate.
    let (status, refused) = fetch(&server, "127.0.0.2");
    assert_eq!((status, &refused["errorCode"]), (400, &json!("REMOTE_FETCH_FAILED")), "{refused}");
    drop(server);

    let (_directory, data_dir) = fresh();
    let server = Server::start_with(&data_dir, &[], &[allowed, ("PARTWAY_LOG_FILTER", "warn")]);
    let (status, refused) = fetch(&server, "localhost");
    assert_eq!((status, &refused["errorCode"]), (400, &json!("REMOTE_FETCH_FAILED")), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("its certificate is not trusted"), "{refused}");
    let calls = || elsewhere.log().matches("POST /hook").count();
    let before = calls();
    let session = start_with(&server, &json!({"file_name": "f", "size": 1, "format": "bin", "webhook_url": hook}));
    assert_eq!(curl(&["--request", "PUT", "--data", "x", session["parts"][0].as_str().unwrap()]).0, 200);
    let body = json!({"session_id": session["session_id"]}).to_string();
    assert_eq!(post(&server, &server.private_key(), "complete", &body).0, 201);
    let began = Instant::now();
    while !server.log().contains("UnknownIssuer") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.log().contains("an event could not be sent to a webhook"), "{}", server.log());
    assert_eq!(calls(), before, "an event went to a host that is not trusted");
}

fn start_with(server: &Server, body: &Value) -> Value {
    let (status, answer) = post(server, &server.private_key(), "start", &body.to_string());
    assert_eq!(status, 201, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_self_signed_certificate_that_is_an_authority_is_distinguished_from_a_trusted_one() {
    let (_directory, data_dir) = fresh();
    let [address, upstream] = free_addresses();
    let url = format!("https://{address}");
    let server = Server::start(&data_dir, &["--public-url", &url, "--listen", &upstream]);
    for (constraint, is_trusted) in [("CA:TRUE", false), ("CA:FALSE", true)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem";
        let names = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1";
        let constraint = format!("-addext basicConstraints=critical,{constraint}");
        let request = format!("req -x509 {key} -out cert.pem -days 30 -subj /CN=localhost {names} {constraint}");
        run(Command::new("openssl").args(request.split(' ')).current_dir(&path));
        let site = NGINX.replace("ADDRESS", &address).replace("UPSTREAM", &upstream);
        let _proxy = Proxy::start_nginx(directory, &address, &site);
        let mut command = partway();
        command.args(["files", "ls", "--cacert"]).arg(path.join("cert.pem"));
        let output = command.env("PARTWAY_URL", &url).env("PARTWAY_API_KEY", server.private_key()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.success(), is_trusted, "{said}");
        assert_eq!(said.contains("basicConstraints=critical,CA:FALSE"), !is_trusted, "{said}");
    }
}

#[test]
fn a_host_that_is_away_is_waited_for_and_it_is_said_which_and_why() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("f"), "x").unwrap();
    let free = free_address();
    // RFC 6761: no such name exists.
    for (url, problem, advice) in [
        ("http://files.invalid:8080", "the name of files.invalid:8080 cannot be resolved", "is the name right?"),
        (&*format!("http://{free}"), &*format!("nothing listens at {free}"), "is the server running?"),
    ] {
        let output = partway()
            .args(["upload", "f", "--no-resume", "--wait", "1s", "--url", url, "--key", "sk_x"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(problem) && said.contains("retrying in") && said.contains(advice), "{said}");
    }
}
