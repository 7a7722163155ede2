//! `partway keys` and `partway workspaces`, beside a running server.

use serde_json::Value;

use crate::server::{Server, fresh, partway, post, run, text};

const BODY: &str = r#"{"file_name":"f","size":1,"format":"bin"}"#;

#[test]
fn keys_are_made_listed_and_revoked_while_the_server_runs() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let command = |arguments: &[&str]| text(&run(partway().args(arguments).arg("--data-dir").arg(&data_dir)).stdout);
    let made: Value = serde_json::from_str(&command(&["keys", "create", "--kind", "private", "--json"])).unwrap();
    let key = made["key"].as_str().unwrap();
    assert_eq!(made["kind"], "private");
    assert_eq!(made["workspace_no"].as_str().unwrap().len(), 10);
    assert_eq!(post(&server, key, "start", BODY).0, 201);

    let listed = command(&["keys", "list", "--json"]);
    assert_eq!(listed.lines().count(), 3);
    assert!(listed.contains(made["id"].as_str().unwrap()) && !listed.contains(key));
    assert!(command(&["keys", "list"]).starts_with("ID"));

    command(&["keys", "revoke", made["id"].as_str().unwrap()]);
    assert_eq!(post(&server, key, "start", BODY).0, 401);
    // Again, and by the key itself: the same.
    let revoked: Value = serde_json::from_str(&command(&["keys", "revoke", key, "--json"])).unwrap();
    assert!(revoked["revoked_at"].is_string());
}

#[test]
fn workspaces_are_apart_and_named_where_there_are_several() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let command = |arguments: &[&str]| partway().args(arguments).arg("--data-dir").arg(&data_dir).output().unwrap();
    let other: Value = serde_json::from_slice(&command(&["workspaces", "create", "other", "--json"]).stdout).unwrap();
    let no = other["workspace_no"].as_str().unwrap();
    let unsaid = command(&["keys", "create", "--kind", "public"]);
    assert_eq!(unsaid.status.code(), Some(1));
    assert!(text(&unsaid.stderr).contains(no), "{}", text(&unsaid.stderr));
    let wrong = command(&["keys", "create", "--kind", "public", "--workspace", "0000000000"]);
    assert!(text(&wrong.stderr).contains("--workspace is \"0000000000\""));
    let made: Value =
        serde_json::from_slice(&command(&["keys", "create", "--kind", "public", "--workspace", no, "--json"]).stdout)
            .unwrap();
    assert_eq!(made["workspace_no"], no);
    let (status, answer) = post(&server, made["key"].as_str().unwrap(), "start", BODY);
    assert_eq!(status, 201);
    assert!(answer.contains(other["id"].as_str().unwrap()), "{answer}");
    assert_eq!(text(&command(&["workspaces", "list", "--json"]).stdout).lines().count(), 2);
}

#[test]
fn a_directory_without_a_database_is_not_made_one() {
    let (_directory, data_dir) = fresh();
    let output = partway().args(["keys", "list", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("has no Partway database"), "{}", text(&output.stderr));
    assert!(!data_dir.exists());
}
