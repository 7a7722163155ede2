//! `partway usage`, `partway fsck` and `partway workspaces limit`, next to a running server

use std::process::{Output, Stdio};

use partway_server::process::data_dir::DataDir;
use serde_json::{Value, json};

use crate::server::{Server, curl, fresh, partway, post, start, text};

fn run(data_dir: &std::path::Path, arguments: &[&str]) -> Output {
    partway().args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

#[test]
fn usage_tells_the_bytes_of_each_workspace_by_what_they_are() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let key = server.private_key();
    start(&server, &key, "open", 1000);
    let session = start(&server, &key, "whole", 5);
    let part = directory.path().join("part");
    std::fs::write(&part, "hello").unwrap();
    assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), session["parts"][0].as_str().unwrap()]).0, 200);
    assert_eq!(post(&server, &key, "complete", &json!({"session_id": session["session_id"]}).to_string()).0, 201);
    run(&data_dir, &["workspaces", "create", "second"]);
    let usage = text(&run(&data_dir, &["usage", "--json"]).stdout);
    let rows: Vec<Value> = usage.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["files"], json!({"count": 1, "bytes": 5}));
    assert_eq!(rows[0]["sessions"], json!({"count": 1, "bytes": 1000}));
    assert_eq!((&rows[1]["name"], &rows[1]["files"]["count"]), (&json!("second"), &json!(0)));
    let number = rows[0]["workspace_no"].as_str().unwrap();
    let limits = |arguments: &[&str]| {
        let output = run(&data_dir, &[&["workspaces", "limit", number], arguments].concat());
        text(&output.stdout)
            .lines()
            .skip(1)
            .map(|line| line.rsplit("  ").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let default = "as in the settings";
    assert_eq!(limits(&["1KiB", "--open-sessions", "7"]), ["1024", default, "7", default]);
    assert_eq!(limits(&["--max-file", "2MiB", "--requests-per-second", "50"]), ["1024", "2097152", "7", "50"]);
    assert_eq!(limits(&["--max-file", "default", "--open-sessions", "default"]), ["1024", default, default, "50"]);
    assert_eq!(limits(&[]), ["1024", default, default, "50"]);
    let (status, answer) = post(&server, &key, "start", r#"{"file_name":"f","size":20,"format":"bin"}"#);
    assert!(status == 403 && answer.contains("STORAGE_LIMIT_EXCEEDED"), "{answer}");
    let table = text(&run(&data_dir, &["usage"]).stdout);
    assert!(table.starts_with("WORKSPACE") && table.contains("1.00 KiB") && table.contains("1000 B (1)"), "{table}");
    let unknown = run(&data_dir, &["workspaces", "limit", "nowhere", "default"]);
    assert!(unknown.status.code() == Some(1) && text(&unknown.stderr).contains("no workspace \"nowhere\""));
}

#[test]
fn fsck_says_by_its_exit_code_what_it_found() {
    let (_directory, data_dir) = fresh();
    let missing = run(&data_dir, &["fsck"]);
    assert!(missing.status.code() == Some(8) && text(&missing.stderr).contains("no Partway database"));
    let server = Server::start(&data_dir, &[]);
    let clean = run(&data_dir, &["fsck", "--deep"]);
    assert_eq!(clean.status.code(), Some(0));
    assert!(
        text(&clean.stdout).contains("next to a running server")
            && text(&clean.stdout).contains("No problem was found.")
    );
    let orphan = data_dir.join("blobs/0a/01890a5d-ac96-774b-bcce-b302099a800a");
    std::fs::write(&orphan, "orphan").unwrap();
    let found = run(&data_dir, &["fsck"]);
    assert_eq!(found.status.code(), Some(4));
    let table = text(&found.stdout);
    assert!(
        table.contains("orphan") && table.contains("6 bytes without an owner") && table.contains("--repair fixes it"),
        "{table}"
    );
    assert_eq!(run(&data_dir, &["fsck", "--repair"]).status.code(), Some(1));
    assert_eq!(run(&data_dir, &["fsck"]).status.code(), Some(0));
    drop(server);
    // The next server frees it at once.
    let _server = Server::start(&data_dir, &[]);
    for _ in 0..1200 {
        if !orphan.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the orphan is still there");
}

#[test]
fn a_server_is_refused_in_plain_words_while_a_repair_has_the_directory() {
    let (_directory, data_dir) = fresh();
    drop(Server::start(&data_dir, &[]));
    std::fs::write(data_dir.join("blobs/0a/01890a5d-ac96-774b-bcce-b302099a800a"), "orphan").unwrap();
    // The repair waits for somebody who writes to the database.
    let writer = rusqlite::Connection::open(data_dir.join("partway.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut fsck = partway();
    fsck.args(["fsck", "--repair", "--data-dir"]).arg(&data_dir).stdout(Stdio::null());
    let mut fsck = fsck.spawn().unwrap();
    while !DataDir::is_locked(&data_dir) {
        assert!(fsck.try_wait().unwrap().is_none(), "the repair has ended before it had the directory");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let server = run(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    let message = text(&server.stderr);
    assert_eq!(server.status.code(), Some(1), "{message}");
    assert!(message.contains("partway fsck --repair") && message.contains("is using the data directory"), "{message}");
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(fsck.wait().unwrap().code(), Some(1), "the orphan is repaired");
    drop(Server::start(&data_dir, &[]));
}
