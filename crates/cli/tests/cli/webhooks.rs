//! `partway webhooks …`

use std::path::Path;
use std::process::Output;

use partway_testing::Postgres;
use serde_json::Value;

use crate::server::{Server, curl, fresh, partway, text};

/// No name server answers: names are taken as they are.
const NO_NAMES: (&str, &str) = ("PARTWAY_OUTGOING_NAME_SERVERS", "127.0.0.1:1");

fn webhooks(data_dir: &Path, arguments: &[&str]) -> Output {
    let (name, value) = NO_NAMES;
    partway().arg("webhooks").args(arguments).arg("--data-dir").arg(data_dir).env(name, value).output().unwrap()
}

fn json(data_dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = webhooks(data_dir, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn webhooks_are_added_listed_replayed_and_removed_while_the_server_runs() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let added = webhooks(&data_dir, &["add", "https://hooks.example.com/a", "--event", "file.created"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let secret = text(&added.stdout).trim().to_owned();
    assert!(secret.starts_with("whsec_") && text(&added.stderr).contains("file.created"), "{secret}");
    let warned = text(&added.stderr);
    assert!(warned.contains("warning: the name of https://hooks.example.com was not found"), "{warned}");
    let all = json(&data_dir, &["add", "https://hooks.example.com/all"]);
    assert_eq!(all[0]["events"].as_array().unwrap().len(), 4);
    let listed = json(&data_dir, &["list"]);
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|webhook| webhook.get("secret").is_none()), "a secret is listed");
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(text(&webhooks(&data_dir, &["secret", id]).stdout).trim(), secret);
    let of_uploads = text(&webhooks(&data_dir, &["secret"]).stdout);
    assert!(of_uploads.starts_with("whsec_") && of_uploads.trim() != secret);
    assert!(text(&webhooks(&data_dir, &["list"]).stdout).contains("https://hooks.example.com/all"));
    assert_eq!(json(&data_dir, &["replay"])[0]["replayed"], 0);
    assert!(json(&data_dir, &["dead"]).is_empty());
    assert!(webhooks(&data_dir, &["remove", id]).status.success());
    assert_eq!(json(&data_dir, &["list"]).len(), 1);
    for (arguments, named) in [
        (&["remove", id][..], "no webhook"),
        (&["secret", id], "no webhook"),
        (&["add", "ftp://x"], "http or https"),
        (&["add", "http://10.0.0.5:9/hook"], "outgoing.allowed_hosts"),
        (&["add", "http://[::1]/hook"], "outgoing.allowed_hosts"),
        (&["add", "https://x", "--event", "file.eaten"], "file.created"),
        (&["add", "https://x", "--workspace", "nowhere"], "no workspace \"nowhere\""),
    ] {
        let refused = webhooks(&data_dir, arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(named), "{}", text(&refused.stderr));
    }
}

/// The allowed host does not listen: the reason is shown where webhooks are listed, and no log has the URL's secret.
#[test]
fn the_reason_why_a_webhook_is_not_reached_is_listed_and_its_secret_is_in_no_log() {
    let (_directory, data_dir) = fresh();
    let allow = [("PARTWAY_OUTGOING_ALLOWED_HOSTS", "127.0.0.1"), NO_NAMES];
    let server = Server::start_with(&data_dir, &[], &allow);
    let add = |url: &str| {
        let added = partway().args(["webhooks", "add", url, "--data-dir"]).arg(&data_dir).envs(allow).output().unwrap();
        assert!(added.status.success(), "{}", text(&added.stderr));
    };
    add("http://127.0.0.1:1/hook/sesame?token=sesame");
    add("http://nowhere.example/hook/sesame?token=sesame");
    let fresh = json(&data_dir, &["list"]);
    assert_eq!((&fresh[0]["last_error"], &fresh[0]["forgotten"]), (&Value::Null, &Value::from(0)));
    let form = ["-F", "file=@Cargo.toml", "-F", "file_name=a.toml"];
    let (url, key) = (format!("{}/api/v1/uploads", server.url), format!("x-api-key: {}", server.private_key()));
    assert_eq!(curl(&[&[url.as_str(), "-H", &key][..], &form].concat()).0, 201);
    let mut listed = Vec::new();
    for _ in 0..600 {
        listed = json(&data_dir, &["list"]);
        if listed.iter().all(|webhook| webhook["last_error"].is_string()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let errors: Vec<_> = listed.iter().map(|webhook| webhook["last_error"].as_str().unwrap_or_default()).collect();
    assert!(errors[0].contains("refused") && !errors[1].is_empty(), "{errors:?}");
    let shown = text(&webhooks(&data_dir, &["list"]).stdout);
    assert!(shown.contains("FORGOTTEN  LAST ERROR") && shown.contains("refused"), "{shown}");
    let log = server.log();
    assert!(log.contains("http://127.0.0.1:1") && log.contains("http://nowhere.example"), "{log}");
    assert!(!log.contains("sesame") && !errors.concat().contains("sesame"), "{log}");
}

#[test]
fn the_commands_work_on_a_database_server_as_well() {
    let (_directory, data_dir) = fresh();
    let postgres = Postgres::start();
    let url = postgres.create_database();
    let environment = [("PARTWAY_DATABASE_URL", url.as_str()), ("PARTWAY_STORAGE_SINGLE_NODE", "true"), NO_NAMES];
    let server = Server::start_with(&data_dir, &[], &environment);
    let run = |arguments: &[&str]| {
        let output =
            partway().args(arguments).arg("--json").arg("--data-dir").arg(&data_dir).envs(environment).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_str::<Value>(text(&output.stdout).lines().next().unwrap()).unwrap()
    };
    let added = run(&["webhooks", "add", "https://hooks.example.com/a"]);
    assert_eq!(run(&["webhooks", "list"])["id"], added["id"]);
    let number = run(&["workspaces", "list"])["workspace_no"].as_str().unwrap().to_owned();
    assert_eq!(run(&["workspaces", "limit", &number, "--open-sessions", "3"])["max_open_sessions"], 3);
    drop(server);
}
