//! `partway secrets …`, and the secrets that are derived from them.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::server::{Server, curl, fresh, partway, start, text};

fn command(data_dir: &Path, arguments: &[&str]) -> Output {
    partway().args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

fn json(data_dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = command(data_dir, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn secrets_are_listed_without_their_values_and_rotated_while_the_server_runs() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let listed = json(&data_dir, &["secrets", "list"]);
    let names: Vec<_> = listed.iter().map(|secret| secret["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["part-urls", "webhooks", "public-keys"]);
    assert!(listed.iter().all(|secret| secret["rotated_at"].is_null() && secret.get("value").is_none()));

    // Part URLs, with a grace and without.
    let started = start(&server, &server.private_key(), "f", 3);
    let url = started["parts"][0].as_str().unwrap();
    let put = || curl(&["--request", "PUT", "--data-binary", "abc", url]).0;
    let rotated = json(&data_dir, &["secrets", "rotate", "part-urls"]);
    assert!(rotated[0]["rotated_at"].is_string() && rotated[0]["previous_until"].is_string(), "{rotated:?}");
    // The old secret is good whether or not the server has taken the new one up by now.
    assert_eq!(put(), 200);
    let again = command(&data_dir, &["secrets", "rotate", "part-urls", "--grace", "0"]);
    assert!(again.status.success() && text(&again.stderr).contains("is refused too"), "{}", text(&again.stderr));
    let mut status = put();
    for _ in 0..600 {
        if status == 403 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        status = put();
    }
    assert_eq!(status, 403);

    for (arguments, named) in [
        (&["secrets", "rotate", "public-keys"][..], "keys revoke"),
        (&["secrets", "rotate", "nothing"], "part-urls"),
        (&["secrets", "rotate", "webhooks", "--grace", "1w"], "allowed"),
        (&["secrets", "rotate", "webhooks", "--grace", "32d"], "31d"),
        (&["keys", "webhook-secret", "sk_nobody"], "keys list"),
    ] {
        let refused = command(&data_dir, arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(named), "{}", text(&refused.stderr));
    }
}

#[test]
fn both_secrets_of_a_webhook_are_shown_during_the_grace() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let webhook =
        json(&data_dir, &["webhooks", "add", "https://hooks.example.com/a"])[0]["id"].as_str().unwrap().to_owned();
    let key = json(&data_dir, &["keys", "list"])[0]["id"].as_str().unwrap().to_owned();
    for of in [&["webhooks", "secret", &webhook][..], &["webhooks", "secret"], &["keys", "webhook-secret", &key]] {
        let before = text(&command(&data_dir, of).stdout);
        assert!(before.starts_with("whsec_"), "{before}");
        assert!(command(&data_dir, &["secrets", "rotate", "webhooks", "--grace", "1h"]).status.success());
        let shown = command(&data_dir, of);
        assert_ne!(text(&shown.stdout), before, "{of:?}");
        assert_eq!(text(&shown.stdout).lines().count(), 1, "scripts take one secret");
        assert!(text(&shown.stderr).contains(before.trim()), "{}", text(&shown.stderr));
        let shown = json(&data_dir, of).remove(0);
        assert_eq!(shown["previous_secret"], before.trim());
        assert!(shown["since"].is_string() && shown["previous_until"].is_string(), "{shown}");
        assert!(command(&data_dir, &["secrets", "rotate", "webhooks", "--grace", "0"]).status.success());
        assert!(json(&data_dir, of)[0]["previous_secret"].is_null());
    }
}
