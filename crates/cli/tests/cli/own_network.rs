//! A server on a machine whose own addresses are global ones: a network namespace of its own, in which each test starts
//! itself again. Requests that the outside asks for reach neither the machine nor its neighbours.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Server, curl, fresh, partway, run, text};

/// Tells the process inside that it is.
const INSIDE: &str = "PARTWAY_OWN_NETWORK";
/// Addresses that are global by their numbers, and lead nowhere in the namespace but to what the test puts there.
const OWN: &str = "8.8.4.4";
const OWN_V6: &str = "2001:4860:4860::8844";
const NEIGHBOUR: &str = "9.9.8.77";
const PUBLIC: &str = "9.9.10.10";
const ELSEWHERE: &str = "9.9.11.11";

/// Runs `body` in a network of its own: in a process of its own.
fn in_own_network(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let may = |arguments: &[&str]| Command::new("unshare").args(arguments).args(["ip", "link"]).output();
    let allowed = [&["--net"][..], &["--net", "--map-root-user"]]
        .into_iter()
        .find(|arguments| may(arguments).is_ok_and(|output| output.status.success()));
    let allowed = allowed.unwrap_or_else(|| {
        panic!("this machine allows no network namespaces, or has no `ip`: run the tests as root, or with sysctl kernel.unprivileged_userns_clone=1; scripts/test installs what they need")
    });
    let script = format!(
        "ip link set lo up && ip address add {OWN}/32 dev lo && ip address add {OWN_V6}/128 dev lo && \
         ip address add 9.9.8.1/24 dev lo && \
         exec \"$1\" --exact \"$2\" --nocapture"
    );
    let output = Command::new("unshare")
        .args(allowed)
        .args(["sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, "")
        .output()
        .unwrap();
    let (shown, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}{errors}");
}

/// A service that is meant for the machine alone. Answers at most 100 requests.
fn inside_service() -> u16 {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().take(100).flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\ninside");
        }
    });
    port
}

fn fetch(server: &Server, key: &str, url: &str) -> (u16, Value) {
    let (at, key) = (format!("{}/api/v1/uploads/remote", server.url), format!("Authorization: Bearer {key}"));
    let body = json!({"remote_url": url}).to_string();
    let (status, answer) =
        curl(&[&at, "--header", &key, "--header", "Content-Type: application/json", "--data", &body]);
    (status, serde_json::from_str(&answer).unwrap())
}

#[test]
fn neither_the_machine_nor_its_neighbours_are_reached_unless_the_settings_say_so() {
    in_own_network(
        "own_network::neither_the_machine_nor_its_neighbours_are_reached_unless_the_settings_say_so",
        || {
            let port = inside_service();
            let (_directory, data_dir) = fresh();
            let public = format!("http://{PUBLIC}");
            let settings = [
                ("PARTWAY_OUTGOING_CONNECT_TIMEOUT_SECONDS", "1"),
                ("PARTWAY_PARTS_URL", public.as_str()),
                ("PARTWAY_OUTGOING_NAME_SERVERS", "127.0.0.1:1"),
            ];
            let server = Server::start_with(&data_dir, &[], &settings);
            let key = server.private_key();
            for host in [OWN, &format!("[{OWN_V6}]"), NEIGHBOUR, "9.9.8.1", PUBLIC, "127.0.0.1"] {
                let (status, answer) = fetch(&server, &key, &format!("http://{host}:{port}/"));
                assert_eq!((status, &answer["errorCode"]), (400, &json!("INVALID_REMOTE_URL")), "{host}: {answer}");
                let add = partway()
                    .args(["webhooks", "add", &format!("http://{host}:{port}/hook?token=secret"), "--data-dir"])
                    .arg(&data_dir)
                    .envs(settings)
                    .output()
                    .unwrap();
                let said = text(&add.stderr);
                assert!(!add.status.success() && said.contains("outgoing.allowed_hosts"), "{host}: {said}");
                assert!(!said.contains("secret"), "{said}");
            }
            // One of the Internet's: there is no way to it here, but it is tried.
            let (_, answer) = fetch(&server, &key, &format!("http://{ELSEWHERE}:{port}/"));
            assert_eq!(answer["errorCode"], "REMOTE_FETCH_FAILED", "{answer}");
            // An address that the machine gets later is noticed.
            run(Command::new("ip").args(["address", "add", "9.9.11.1/24", "dev", "lo"]));
            let began = std::time::Instant::now();
            loop {
                let (_, answer) = fetch(&server, &key, &format!("http://{ELSEWHERE}:{port}/"));
                if answer["errorCode"] == "INVALID_REMOTE_URL" {
                    break;
                }
                assert!(began.elapsed().as_secs() < 60, "{answer}");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            drop(server);
            let open = format!("{OWN}, {OWN_V6}");
            let server = Server::start_with(&data_dir, &[], &[("PARTWAY_OUTGOING_ALLOWED_HOSTS", open.as_str())]);
            for host in [OWN, &format!("[{OWN_V6}]")] {
                let (status, answer) = fetch(&server, &key, &format!("http://{host}:{port}/{}", host.len()));
                assert_eq!(status, 201, "{host}: {answer}");
                assert_eq!(curl(&[answer["url"].as_str().unwrap()]).1, "inside");
            }
        },
    );
}
