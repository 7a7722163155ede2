//! `partway keys` and `partway workspaces`, next to a running server.

use serde_json::Value;

use crate::server::{Server, curl, fresh, key_in, partway, post, run, start, text};

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
    assert!(text(&wrong.stderr).contains("there is no workspace \"0000000000\""));
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
fn public_keys_may_be_allowed_more_and_private_ones_need_no_leave() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let command = |arguments: &[&str]| partway().args(arguments).arg("--data-dir").arg(&data_dir).output().unwrap();
    let flags = ["--may-replace", "--may-name-webhooks", "--random-prefix"];
    for flag in flags {
        let refused = command(&["keys", "create", "--kind", "private", flag]);
        assert_eq!(refused.status.code(), Some(1));
        let message = text(&refused.stderr);
        assert!(message.contains(flag) && message.contains("--kind public"), "{message}");
        let made: Value =
            serde_json::from_slice(&command(&["keys", "create", "--kind", "public", flag, "--json"]).stdout).unwrap();
        let listed = text(&command(&["keys", "list", "--json"]).stdout);
        let line = listed.lines().find(|line| line.contains(made["id"].as_str().unwrap())).unwrap();
        for shown in [&made, &serde_json::from_str(line).unwrap()] {
            for other in flags {
                let member = other.trim_start_matches('-').replace('-', "_");
                assert_eq!(shown[&member], other == flag, "{member} of {shown}");
            }
        }
        let table = text(&command(&["keys", "list"]).stdout);
        let row = table.lines().find(|row| row.contains(made["id"].as_str().unwrap())).unwrap().to_owned();
        assert!(row.trim_end().ends_with(flag.trim_start_matches('-')), "{row}");
    }
    // It counts at once, while the server runs.
    let prefixed = text(&command(&["keys", "create", "--kind", "public", "--random-prefix"]).stdout);
    let (status, answer) = post(&server, prefixed.trim(), "start", BODY);
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn a_directory_without_a_database_is_not_made_one() {
    let (_directory, data_dir) = fresh();
    let output = partway().args(["keys", "list", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("has no Partway database"), "{}", text(&output.stderr));
    assert!(!data_dir.exists());
}

#[test]
fn revoking_ends_or_keeps_the_uploads_of_the_key_while_the_server_runs() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let command = |arguments: &[&str]| text(&run(partway().args(arguments).arg("--data-dir").arg(&data_dir)).stdout);
    let make =
        || -> Value { serde_json::from_str(&command(&["keys", "create", "--kind", "public", "--json"])).unwrap() };
    for keeps in [false, true] {
        let made = make();
        let started = start(&server, made["key"].as_str().unwrap(), "f", 3);
        let url = started["parts"][0].as_str().unwrap();
        assert_eq!(curl(&["--upload-file", "/dev/null", url]).0, 400, "an empty part was taken");
        let mut arguments = vec!["keys", "revoke", made["id"].as_str().unwrap(), "--json"];
        arguments.extend(keeps.then_some("--keep-sessions"));
        let revoked: Value = serde_json::from_str(&command(&arguments)).unwrap();
        assert_eq!((&revoked["keeps_sessions"], &revoked["open_sessions"]), (&keeps.into(), &i32::from(keeps).into()));
        let (status, answer) = curl(&["--request", "PUT", "--data-binary", "abc", url]);
        assert_eq!(status, if keeps { 200 } else { 403 }, "{answer}");
    }
}

#[test]
fn a_key_is_revoked_where_no_server_runs_and_the_next_one_ends_its_uploads() {
    let (_directory, data_dir) = fresh();
    let mut server = Server::start(&data_dir, &[]);
    let (public, private) = (key_in(&server.greeting, "pk_"), server.private_key());
    start(&server, &public, "f", 3);
    server.kill();
    let revoked = run(partway().args(["keys", "revoke", &public, "--data-dir"]).arg(&data_dir));
    assert!(text(&revoked.stderr).contains("1 of its uploads are still open"), "{}", text(&revoked.stderr));
    let server = Server::start(&data_dir, &[]);
    let authorization = format!("Authorization: Bearer {private}");
    let list = format!("{}/api/v1/multipart?status=uploading", server.url);
    for _ in 0..600 {
        let (status, answer) = curl(&[&list, "--header", &authorization]);
        assert_eq!(status, 200, "{answer}");
        if serde_json::from_str::<Value>(&answer).unwrap()["meta"]["total"] == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("its upload did not end in a minute");
}
