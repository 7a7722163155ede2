//! Nothing that a server makes can be read by others on its machine, and `doctor` says what can.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::server::{Server, bytes, curl, fresh, partway, partway_under, post, run, start, text};

/// A program that runs another one with a umask that takes nothing away.
fn without_umask(directory: &Path) -> PathBuf {
    let launcher = directory.join("without_umask");
    std::fs::write(&launcher, "#!/bin/sh\numask 000\nexec \"$@\"\n").unwrap();
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755)).unwrap();
    let plain = directory.join("plain");
    run(Command::new(&launcher).arg("touch").arg(&plain));
    assert_eq!(std::fs::metadata(plain).unwrap().permissions().mode() & 0o777, 0o666);
    launcher
}

/// All below `directory` that others may do anything with.
fn open_to_others(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::symlink_metadata(&path).unwrap();
        if found.permissions().mode() & 0o077 != 0 {
            open.push((path.clone(), found.permissions().mode() & 0o777));
        }
        if found.is_dir() {
            open.extend(open_to_others(&path));
        }
    }
    open
}

#[test]
fn a_server_without_a_umask_makes_nothing_that_others_can_read() {
    for is_there in [false, true] {
        let (directory, data_dir) = fresh();
        let launcher = without_umask(directory.path());
        if is_there {
            // A directory that somebody else made, open to all.
            std::fs::DirBuilder::new().mode(0o777).create(&data_dir).unwrap();
            std::fs::set_permissions(&data_dir, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let server = Server::start_by(partway_under(&launcher), &data_dir, &[], &[]);
        let key = server.private_key();
        let part = directory.path().join("part");
        std::fs::write(&part, bytes(1, 1000)).unwrap();
        let send = |session: &serde_json::Value| {
            let url = session["parts"][0].as_str().unwrap();
            assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), url]).0, 200);
        };
        // One that stays open, one that completes, one in one request.
        send(&start(&server, &key, "open", 1000));
        let session = start(&server, &key, "whole", 1000);
        send(&session);
        assert_eq!(post(&server, &key, "complete", &json!({"session_id": session["session_id"]}).to_string()).0, 201);
        let (url, key) = (format!("{}/api/v1/uploads", server.url), format!("x-api-key: {key}"));
        let file = format!("file=@{}", part.display());
        assert_eq!(curl(&[&url, "--header", &key, "--form", &file, "--form", "file_name=direct"]).0, 201);
        for command in [&["keys", "create", "--kind", "private"][..], &["fsck", "--repair", "--deep"], &["doctor"]] {
            let mut command_under = partway_under(&launcher);
            let output = command_under.args(command).arg("--data-dir").arg(&data_dir).output().unwrap();
            // The doctor finds a problem in the directory that all may write to.
            assert_eq!(output.status.success(), !is_there || command[0] != "doctor", "{command:?}");
        }
        drop(server);
        let _again = Server::start_by(partway_under(&launcher), &data_dir, &[], &[]);
        let looked_at = std::fs::read_dir(data_dir.join("blobs")).unwrap().count();
        assert!(looked_at > 0 && data_dir.join("partway.db-wal").exists());
        assert_eq!(open_to_others(&data_dir), []);
        if !is_there {
            assert_eq!(std::fs::metadata(&data_dir).unwrap().permissions().mode() & 0o077, 0);
        }
    }
}

#[test]
fn the_doctor_and_the_start_tell_of_a_directory_that_is_open_to_others() {
    let (_directory, data_dir) = fresh();
    drop(Server::start(&data_dir, &[]));
    let doctor = || {
        let output = partway().args(["doctor", "--json", "--data-dir"]).arg(&data_dir).output().unwrap();
        let report = text(&output.stdout);
        let checks = report.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of_permissions = checks.into_iter().find(|check| check["check"] == "permissions");
        (output.status.code(), of_permissions)
    };
    let open_to = |mode| std::fs::set_permissions(&data_dir, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(doctor(), (Some(0), None));
    for (mode, code, state, words) in [
        (0o750, 0, "warning", "other users of this machine may list"),
        (0o755, 0, "warning", "other users of this machine may list"),
        (0o770, 1, "problem", "other users of this machine may create and replace files in"),
        (0o777, 1, "problem", "other users of this machine may create and replace files in"),
    ] {
        open_to(mode);
        let (exit, check) = doctor();
        let check = check.unwrap();
        let detail = check["detail"].as_str().unwrap();
        assert!(detail.contains(words) && detail.contains(data_dir.to_str().unwrap()), "{mode:o}: {check}");
        assert_eq!((exit, &check["state"]), (Some(code), &json!(state)), "{mode:o}");
        let said = format!("{detail} {}", check["change"]);
        assert!(said.contains("chmod 700"), "{said}");
        let server = Server::start(&data_dir, &[]);
        assert!(
            server.log().contains(&words.replace(" what is in", "").replace(" files into", "")),
            "{}",
            server.log()
        );
    }
    open_to(0o700);
    assert_eq!(doctor(), (Some(0), None));
}
