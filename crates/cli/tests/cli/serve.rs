//! `partway serve`

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::server::{Server, curl, fresh, key_in, partway, post, run, start, text};

#[test]
fn the_first_start_prints_keys_and_a_line_that_works_and_the_next_one_neither() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let key = server.private_key();
    assert!(key_in(&server.greeting, "pk_").len() > 20);
    let line = server.greeting.lines().find(|line| line.contains("curl")).unwrap().to_owned();
    let answer = text(&run(Command::new("sh").args(["-c", &format!("{line} --silent")])).stdout);
    assert!(answer.contains("session_id"), "{line}: {answer}");
    assert_eq!(std::fs::metadata(&data_dir).unwrap().permissions().mode() & 0o777, 0o700);
    drop(server);
    let server = Server::start(&data_dir, &[]);
    assert_eq!(server.greeting, "");
    assert_eq!(post(&server, &key, "start", r#"{"file_name":"f","size":1,"format":"bin"}"#).0, 201);
    assert!(!server.log().contains("sk_"), "{}", server.log());
}

#[test]
fn two_servers_on_one_directory_are_refused_clearly() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let second = partway().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let message = text(&second.stderr);
    assert!(message.contains("another partway server") && message.contains("is using the data directory"), "{message}");
}

#[test]
fn every_mistake_in_the_configuration_is_listed_and_nothing_is_made() {
    let (directory, data_dir) = fresh();
    let file = directory.path().join("partway.toml");
    std::fs::write(&file, "public_url = \"nowhere\"\n[storage]\nreserv = true\n[log]\nformat = \"xml\"").unwrap();
    let output = partway()
        .args(["serve", "--listen", "0.0.0.0", "--config"])
        .arg(&file)
        .arg("--data-dir")
        .arg(&data_dir)
        .env("PARTWAY_HTTP_STALL_TIMEOUT_SECONDS", "0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    for part in [
        "5 problem(s)",
        "listen is \"0.0.0.0\" (from --listen)",
        "public_url is \"nowhere\"",
        "storage.reserv",
        "log.format is \"xml\"",
        "http.stall_timeout_seconds is \"0\" (from PARTWAY_HTTP_STALL_TIMEOUT_SECONDS)",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert!(!data_dir.exists());
}

#[test]
fn checking_the_settings_starts_and_makes_nothing() {
    let (directory, data_dir) = fresh();
    let check = |file: &str, variables: &[(&str, &str)]| {
        let path = directory.path().join("partway.toml");
        std::fs::write(&path, file).unwrap();
        let mut command = partway();
        command.args(["serve", "--check-config", "--config"]).arg(&path).arg("--data-dir").arg(&data_dir);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let good = "[limits]\nmax_file_bytes = \"2TiB\"\n[webhooks]\nforget_dead_seconds = \"2w\"";
    assert_eq!(check(good, &[]), (Some(0), "the settings are valid\n".to_owned(), String::new()));
    let postgres = ("PARTWAY_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    for (file, variables, parts) in [
        ("[limits]\nmax_file = \"2TiB\"", &[][..], &["limits.max_file (from", "nearest is limits.max_file_bytes"][..]),
        (good, &[("PARTWAY_STORAGE_URL_SECONDS", "2d")], &["storage.url_seconds is \"2d\"", "`12h` or `7d`", "to 1d"]),
        ("[limits]\nmax_file_bytes = \"1.5GiB\"", &[], &["limits.max_file_bytes", "1536MiB"]),
        (
            good,
            &[postgres, ("PARTWAY_LOG_FILTER", "info[span]")],
            &["log.filter is \"info[span]\"", "storage.single_node"],
        ),
    ] {
        let (code, output, problems) = check(file, variables);
        assert_eq!((code, &*output), (Some(1), ""), "{file}");
        for part in parts {
            assert!(problems.contains(part), "{part:?} is not in {problems}");
        }
    }
    assert!(!data_dir.exists());
}

#[test]
fn settings_come_from_the_environment_and_a_file_too() {
    let (directory, data_dir) = fresh();
    let file = directory.path().join("partway.toml");
    std::fs::write(&file, "public_url = \"https://files.example.com/up\"\n[log]\nformat = \"json\"\n").unwrap();
    let server = Server::start(&data_dir, &["--config", file.to_str().unwrap()]);
    assert_eq!(server.url, "https://files.example.com/up");
}

#[test]
fn a_kubernetes_service_of_the_same_name_stops_no_command_and_hides_no_mistake() {
    let links = [
        ("PARTWAY_PORT", "tcp://10.0.0.7:8080"),
        ("PARTWAY_SERVICE_HOST", "10.0.0.7"),
        ("PARTWAY_SERVICE_PORT", "8080"),
        ("PARTWAY_SERVICE_PORT_HTTP", "8080"),
        ("PARTWAY_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("PARTWAY_PORT_8080_TCP_PROTO", "tcp"),
        ("PARTWAY_PORT_8080_TCP_PORT", "8080"),
        ("PARTWAY_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("PARTWAY_METRICS_SERVICE_HOST", "10.0.0.8"),
        ("PARTWAY_METRICS_PORT", "tcp://10.0.0.8:9090"),
    ];
    let (_directory, data_dir) = fresh();
    let server = Server::start_with(&data_dir, &[], &links);
    server.private_key();
    for command in [&["keys", "list"][..], &["usage"], &["fsck"]] {
        let output = partway().args(command).arg("--data-dir").arg(&data_dir).envs(links).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    }
    let mut command = partway();
    command.args(["usage", "--data-dir"]).arg(&data_dir).envs(links).env("PARTWAY_LISTN", "127.0.0.1:0");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.contains("1 problem(s)") && message.contains("PARTWAY_LISTN") && message.contains("PARTWAY_LISTEN"),
        "{message}"
    );
}

#[test]
fn sigterm_and_sigint_stop_with_exit_code_0() {
    let (_directory, data_dir) = fresh();
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&data_dir, &[]);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn the_log_has_every_request_and_no_secret() {
    for format in ["text", "json"] {
        let (directory, data_dir) = fresh();
        let file = directory.path().join("partway.toml");
        std::fs::write(&file, format!("[log]\nformat = \"{format}\"\nfilter = \"debug\"")).unwrap();
        let server = Server::start(&data_dir, &["--config", file.to_str().unwrap()]);
        let key = server.private_key();
        let session = start(&server, &key, "f", 3);
        let url = session["parts"][0].as_str().unwrap();
        assert_eq!(curl(&["--request", "PUT", "--data", "abc", url]).0, 200);
        let signature = url.rsplit_once("signature=").unwrap().1;
        assert_eq!(curl(&["--request", "PUT", "--data", "abcd", url]).0, 400);
        let log = server.log();
        assert!(
            log.contains("/api/v1/multipart/start") && log.contains("/parts/0") && log.contains("request_id"),
            "{log}"
        );
        for secret in [key.as_str(), &key[3..], signature] {
            assert!(!log.contains(secret), "{secret} is in {log}");
        }
        if format == "json" {
            for line in log.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(line["level"].is_string() && line["timestamp"].is_string());
            }
        }
    }
}

#[test]
fn a_first_start_that_fails_makes_no_keys_and_the_next_one_shows_them() {
    let (_directory, data_dir) = fresh();
    let serve = |environment: &[(&str, &str)], stdout: std::process::Stdio| {
        let mut command = partway();
        command
            .envs(environment.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir);
        command.stdout(stdout).stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
    };
    // Something that is tried after the database was opened.
    std::fs::create_dir_all(&data_dir).unwrap();
    std::fs::write(data_dir.join("blobs"), "").unwrap();
    let failed = serve(&[], std::process::Stdio::piped());
    assert_eq!((failed.status.code(), text(&failed.stdout)), (Some(1), String::new()));
    std::fs::remove_file(data_dir.join("blobs")).unwrap();
    // Nobody can see what is shown.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = serve(&[], full.into());
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("the keys could not be shown"), "{}", text(&failed.stderr));
    // Killed as soon as they are shown.
    let killed = serve(&[("PARTWAY_FAILPOINTS", "bootstrap.shown=kill")], std::process::Stdio::piped());
    let void = key_in(&text(&killed.stdout), "sk_");
    assert_eq!(killed.status.code(), None);
    let server = Server::start(&data_dir, &[]);
    let body = r#"{"file_name":"f","size":1,"format":"bin"}"#;
    assert_eq!(post(&server, &server.private_key(), "start", body).0, 201);
    assert_eq!(post(&server, &void, "start", body).0, 401);
    let workspaces = run(partway().args(["workspaces", "list", "--data-dir"]).arg(&data_dir));
    assert_eq!(text(&workspaces.stdout).matches("default").count(), 1, "{}", text(&workspaces.stdout));
}
