//! `partway webhooks …`

use std::path::Path;
use std::process::Output;

use partway_testing::Postgres;
use serde_json::Value;

use crate::server::{Server, fresh, partway, text};

fn webhooks(data_dir: &Path, arguments: &[&str]) -> Output {
    partway().arg("webhooks").args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

fn json(data_dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = webhooks(data_dir, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn webhooks_are_added_listed_replayed_and_removed_beside_the_server() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let added = webhooks(&data_dir, &["add", "https://hooks.example.com/a", "--event", "file.created"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let secret = text(&added.stdout).trim().to_owned();
    assert!(secret.starts_with("whsec_") && text(&added.stderr).contains("file.created"), "{secret}");
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
        (&["add", "https://x", "--event", "file.eaten"], "file.created"),
        (&["add", "https://x", "--workspace", "nowhere"], "--workspace"),
    ] {
        let refused = webhooks(&data_dir, arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(named), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_commands_work_on_a_database_server_as_well() {
    let (_directory, data_dir) = fresh();
    let postgres = Postgres::start();
    let url = postgres.create_database();
    let environment = [("PARTWAY_DATABASE_URL", url.as_str()), ("PARTWAY_STORAGE_SINGLE_NODE", "true")];
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
