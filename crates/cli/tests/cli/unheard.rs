//! Commands whose output cannot be written: nothing is created unseen, and no change goes unreported.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::server::{Server, curl, fresh, partway, run, text};

/// Takes nothing: a full disk.
fn full() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Takes nothing: the reader has gone.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

const UNHEARD: [fn() -> Stdio; 2] = [full, gone];

fn command(data_dir: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = partway();
    // No name server answers: names are taken as they are.
    command.args(arguments).arg("--data-dir").arg(data_dir).env("PARTWAY_OUTGOING_NAME_SERVERS", "127.0.0.1:1");
    command
}

fn unheard(data_dir: &Path, arguments: &[&str], stdout: Stdio) -> Output {
    let mut command = command(data_dir, arguments);
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

fn lines(data_dir: &Path, arguments: &[&str]) -> usize {
    text(&run(&mut command(data_dir, arguments)).stdout).lines().count()
}

#[test]
fn nothing_is_made_whose_key_secret_or_number_could_not_be_shown() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let makers: [(&[&str], &str, &[&str]); 4] = [
        (&["keys", "create", "--kind", "private"], "no key was made", &["keys", "list", "--json"]),
        (&["keys", "create", "--kind", "public"], "no key was made", &["keys", "list", "--json"]),
        (&["webhooks", "add", "https://hooks.example.com/a"], "no webhook was added", &["webhooks", "list", "--json"]),
        (&["workspaces", "create", "other"], "no workspace was made", &["workspaces", "list", "--json"]),
    ];
    for (arguments, said, list) in makers {
        let before = lines(&data_dir, list);
        for stdout in UNHEARD {
            for json in [&[][..], &["--json"]] {
                let output = unheard(&data_dir, &[arguments, json].concat(), stdout());
                let stderr = text(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
                assert!(stderr.contains(said), "{arguments:?}: {stderr}");
            }
        }
        assert_eq!(lines(&data_dir, list), before, "{arguments:?} made something");
        // Heard, it is made.
        run(&mut command(&data_dir, arguments));
        assert_eq!(lines(&data_dir, list), before + 1, "{arguments:?}");
    }
}

#[test]
fn a_change_is_reported_where_its_output_could_not_be_written() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let number: Value =
        serde_json::from_slice(&run(&mut command(&data_dir, &["workspaces", "list", "--json"])).stdout).unwrap();
    let number = number["workspace_no"].as_str().unwrap();
    for stdout in UNHEARD {
        let made = run(&mut command(&data_dir, &["keys", "create", "--kind", "private", "--json"]));
        let key: Value = serde_json::from_slice(&made.stdout).unwrap();
        let added = run(&mut command(&data_dir, &["webhooks", "add", "https://hooks.example.com/a", "--json"]));
        let webhook: Value = serde_json::from_slice(&added.stdout).unwrap();
        let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
        let changes: [(&[&str], String); 5] = [
            (&["secrets", "rotate", "part-urls"], "part-urls was rotated".to_owned()),
            (&["keys", "revoke", &id(&key)], format!("key {} was revoked", id(&key))),
            (&["webhooks", "remove", &id(&webhook)], format!("webhook {} was removed", id(&webhook))),
            (&["webhooks", "replay"], "0 events are sent again".to_owned()),
            (&["workspaces", "limit", number, "1GiB"], format!("the limits of {number} are set")),
        ];
        for (arguments, said) in changes {
            let output = unheard(&data_dir, arguments, stdout());
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
            assert!(stderr.contains(&said), "{arguments:?}: {stderr}");
        }
        let authorization = format!("Authorization: Bearer {}", key["key"].as_str().unwrap());
        let files = format!("{}/api/v1/files", server.url);
        assert_eq!(curl(&[&files, "--header", &authorization]).0, 401, "the key was not revoked");
        assert_eq!(lines(&data_dir, &["webhooks", "list", "--json"]), 0);
    }
}

#[test]
fn commands_end_without_a_panic_where_nothing_that_they_say_is_heard() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let commands: [(&[&str], i32); 7] = [
        (&["keys", "create", "--kind", "private"], 1),
        (&["webhooks", "add", "https://hooks.example.com/a"], 1),
        (&["secrets", "rotate", "webhooks"], 1),
        (&["usage"], 1),
        (&["usage", "--json"], 1),
        // Its code for a check that failed.
        (&["fsck"], 8),
        (&["fsck", "--json"], 8),
    ];
    for (arguments, code) in commands {
        let status = command(&data_dir, arguments).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        // Messages other than the result may be lost without harm.
        let status = command(&data_dir, arguments).stdout(Stdio::null()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
}
