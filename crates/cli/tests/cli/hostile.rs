//! Servers, proxies and files that mean harm, or are only odd.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake::{Answer, Fake};
use crate::server::{partway, run, text};
use crate::workspace::{Workspace, names};

const SESSION: &str = "0190a5f0-0000-7000-8000-000000000001";
/// Sets the title, clears the screen, turns the text round, and begins a line of its own.
const EVIL: &str =
    "evil \u{1b}]0;title\u{7}\u{1b}[2J\u{9b}2J\u{202e}txt\u{2066}\u{200f}\u{61c}\npartway: all is well\r";

fn obeyed(c: char) -> bool {
    c.is_control()
        || "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".contains(c)
}

/// Runs a command against a server; it may take two minutes, on the busiest machine.
fn command(fake: &Fake, directory: &Path, arguments: &[&str]) -> Output {
    let begin = Instant::now();
    let mut command = partway();
    command.args(arguments).env("PARTWAY_URL", &fake.url).env("PARTWAY_API_KEY", "sk_x").current_dir(directory);
    let output = command.output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(120), "{arguments:?} took {:?}", begin.elapsed());
    output
}

fn file_row() -> Value {
    json!({
        "id": SESSION, "file_no": "0123456789", "name": format!("{EVIL}.txt"), "path": EVIL, "url": format!("http://x/{EVIL}"),
        "thumbnail": "", "width": null, "height": null, "size": 3, "file_size": 3, "format": EVIL, "mime_type": EVIL,
        "tags": [EVIL], "metadata": {EVIL: EVIL}, "custom_id": EVIL, "folder_no": null, "folder_name": null,
        "workspace_no": "0123456789", "source": EVIL, "extension": "document", "hash": EVIL,
        "created_at": EVIL, "updated_at": EVIL, "declared_type": EVIL, "is_private": false,
    })
}

#[test]
fn output_of_a_server_or_a_proxy_does_nothing_to_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("f"), "x").unwrap();
    let refusal = Fake::answering(|_, _| {
        let body = json!({
            "success": false, "error": EVIL, "message": EVIL, "errorCode": "FORBIDDEN", "requestId": EVIL,
        });
        Answer::json(403, &body)
    });
    let page = Fake::answering(|_, _| Answer::new(404, format!("<html><title>{EVIL}</title>")));
    let lists = Fake::answering(|_, request| match request.contains("/folders") {
        true => Answer::json(200, &json!({"folders": []})),
        false if request.contains("/files?") => Answer::json(
            200,
            &json!({
                "files": [file_row()],
                "meta": {"page": 1, "limit": 100, "total": 1, "hasNext": false, "hasPrev": false},
            }),
        ),
        false => Answer::json(200, &json!({"success": true, "data": file_row()})),
    });
    let commands: [&[&str]; 8] = [
        &["upload", "f", "--no-resume"],
        &["files", "ls"],
        &["files", "ls", "--json"],
        &["files", "info", "0123456789"],
        &["files", "get", "0123456789"],
        &["files", "rm", "0123456789", "--dry-run"],
        &["files", "mv", "0123456789", "x"],
        &["folders", "ls"],
    ];
    let mut heard = 0;
    for (fake, name) in [(&refusal, "refusal"), (&page, "page"), (&lists, "lists")] {
        for arguments in commands.iter().filter(|arguments| name != "lists" || arguments[0] == "files") {
            let output = command(fake, directory.path(), arguments);
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            let obeyed: Vec<_> = said.chars().filter(|c| *c != '\n' && obeyed(*c)).collect();
            assert!(obeyed.is_empty(), "{name} {arguments:?}: {obeyed:?} in {said:?}");
            assert!(!said.lines().any(|line| line == "partway: all is well"), "{name} {arguments:?}: {said}");
            heard += usize::from(said.contains("evil"));
        }
    }
    assert!(heard >= 20, "only {heard} of them said it");
    // In JSON it means what it meant.
    let output = command(&lists, directory.path(), &["files", "ls", "--json"]);
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["path"], EVIL);
    assert_eq!(names(directory.path()), ["f"], "a file with such a name was not asked for");
}

#[test]
fn an_answer_without_end_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    for status in [200, 400] {
        let fake = Fake::answering(move |_, _| Answer { is_endless: true, ..Answer::new(status, vec![b' '; 1 << 20]) });
        let output = command(&fake, directory.path(), &["files", "ls"]);
        assert_eq!(output.status.code(), Some(1), "{status}");
        assert!(text(&output.stderr).len() < 1000, "{}", text(&output.stderr));
    }
}

fn started(url: &str, session: &str) -> Value {
    json!({
        "session_id": session, "part_size": 10_485_760, "parts": [format!("{url}/part")], "uuid": SESSION,
        "min_part_size": 5_242_880, "expire_at": 4_000_000_000_i64, "public_key": "", "workspace_id": SESSION,
        "policy": {"folder": "", "tags": [], "size": 1, "format": "application/octet-stream"},
    })
}

fn session(status: &str) -> Value {
    json!({
        "session_id": SESSION, "uuid": SESSION, "status": status, "file_name": "f", "size": 1, "part_size": 10_485_760,
        "parts_total": 1, "uploaded_parts": [], "missing_parts": [0], "bytes_uploaded": 0,
        "created_at": "2026-11-22T10:00:00.000Z", "expire_at": 4_000_000_000_i64, "hash_algorithm": "blake3",
    })
}

fn forbidden() -> Answer {
    let body = json!({"success": false, "error": "no", "message": "no", "errorCode": "FORBIDDEN", "requestId": "0"});
    Answer::json(403, &body)
}

#[test]
fn a_session_that_is_no_uuid_never_gets_into_a_line_to_be_pasted() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("f"), "x").unwrap();
    let fake = Fake::answering(|url, _| Answer::json(201, &started(url, "$(touch pasted)")));
    let output = command(&fake, directory.path(), &["upload", "f", "--no-resume", "--wait", "1s"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("is no UUID") && !said.contains("--resume"), "{said}");
    assert_eq!(fake.count("PUT"), 0);
}

#[test]
fn a_part_is_there_only_when_its_answer_names_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("f"), "x").unwrap();
    let puts = AtomicUsize::new(0);
    let fake = Fake::answering(move |url, request| match request {
        "POST /api/v1/multipart/start" => Answer::json(201, &started(url, SESSION)),
        "PUT /part" if puts.fetch_add(1, Ordering::Relaxed) == 0 => Answer::new(200, ""),
        "PUT /part" => Answer::new(200, "").header("ETag: \"1\""),
        _ if request.starts_with("GET") => Answer::json(200, &session("uploading")),
        _ => forbidden(),
    });
    let output = command(&fake, directory.path(), &["upload", "f", "--no-resume"]);
    assert!(text(&output.stderr).contains("200 without an ETag"), "{}", text(&output.stderr));
    assert_eq!((fake.count("PUT"), fake.count("POST /api/v1/multipart/complete")), (2, 1));
}

#[test]
fn answers_that_no_retry_changes_are_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("f"), "x").unwrap();
    let answers = [
        (200, "<title>My Nextcloud</title>", "My Nextcloud; is --url or PARTWAY_URL the address of a Partway server?"),
        (201, r#"{"session_id": 5}"#, "the answer is not as expected"),
        (501, "", "Not Implemented"),
    ];
    for (status, body, expected) in answers {
        let fake = Fake::answering(move |_, _| Answer::new(status, body));
        let output = command(&fake, directory.path(), &["upload", "f", "--no-resume"]);
        let said = text(&output.stderr);
        assert!(said.contains(expected) && !said.contains("retrying"), "{said}");
        assert_eq!((output.status.code(), fake.count("")), (Some(1), 1), "{said}");
    }
}

#[test]
fn a_session_that_has_ended_gets_no_part_again_even_if_a_proxy_hides_its_answers() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("f"), "x").unwrap();
    for status in ["aborted", "expired", "completed"] {
        let asked = AtomicUsize::new(0);
        let fake = Fake::answering(move |url, request| match request {
            "POST /api/v1/multipart/start" => Answer::json(201, &started(url, SESSION)),
            // As Apache and Varnish answer for a server that refused before it had read the body.
            "PUT /part" => Answer::new(503, "<title>Backend fetch failed</title>"),
            // The question may fail as well: then it is repeated, and not the part.
            _ if request.starts_with("GET") && asked.fetch_add(1, Ordering::Relaxed) == 0 => Answer::new(502, ""),
            _ if request.starts_with("GET") => Answer::json(200, &session(status)),
            _ => forbidden(),
        });
        let output = command(&fake, directory.path(), &["upload", "f", "--no-resume"]);
        let said = text(&output.stderr);
        assert!(said.contains(&format!("ended during the upload: it is {status}")), "{said}");
        assert_eq!((output.status.code(), fake.count("PUT")), (Some(1), 1), "{said}");
    }
}

#[test]
fn arguments_that_are_no_files_are_refused_at_once_and_the_others_go_on() {
    let workspace = Workspace::new();
    let place = workspace.path("place");
    std::fs::create_dir_all(place.join("directory")).unwrap();
    std::fs::write(place.join("good"), "x").unwrap();
    run(Command::new("mkfifo").arg(place.join("pipe")));
    let _socket = std::os::unix::net::UnixListener::bind(place.join("socket")).unwrap();
    std::os::unix::fs::symlink("pipe", place.join("link")).unwrap();
    let begin = Instant::now();
    let mut command = workspace.command(&["upload", "pipe", "link", "socket", "directory", "/dev/zero", "good"]);
    let output = command.current_dir(&place).output().unwrap();
    let said = text(&output.stderr);
    assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(1), 1), "{said}");
    let expected = [
        "pipe is a pipe, and not a file",
        "link is a pipe, and not a file",
        "socket is a socket, and not a file",
        "directory is a directory, and not a file; name the files in it",
        "/dev/zero is a device, and not a file",
    ];
    for problem in expected {
        assert!(said.contains(problem), "{problem:?} is not in {said}");
    }
    // As a shell makes one of `<(tar c .)`.
    let line = format!("{} upload <(echo x)", env!("CARGO_BIN_EXE_partway"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &line]).env("PARTWAY_URL", &workspace.server.url).env("PARTWAY_API_KEY", &workspace.key);
    let output = shell.output().unwrap();
    assert!(text(&output.stderr).contains("is a pipe, and not a file"), "{}", text(&output.stderr));
}

#[test]
fn two_arguments_never_become_one_file() {
    let workspace = Workspace::new();
    let place = workspace.path("place");
    for (name, content) in
        [("A/IMG_0001.JPG", "one"), ("B/IMG_0001.JPG", "two"), ("caf\u{e9}.txt", "1"), ("cafe\u{301}.txt", "22")]
    {
        std::fs::create_dir_all(place.join(name).parent().unwrap()).unwrap();
        std::fs::write(place.join(name), content).unwrap();
    }
    let upload = |arguments: &[&str]| {
        workspace.command(&[&["upload"], arguments].concat()).current_dir(&place).output().unwrap()
    };
    for arguments in [
        &["A/IMG_0001.JPG", "B/IMG_0001.JPG", "--folder", "cam"][..],
        &["caf\u{e9}.txt", "A/IMG_0001.JPG", "cafe\u{301}.txt"],
    ] {
        let output = upload(arguments);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{said}");
        assert!(
            said.contains("nothing was uploaded") && said.contains("--folder") && said.contains("--name"),
            "{said}"
        );
        assert!(workspace.listed(&[]).is_empty(), "something was uploaded");
    }
    // In the ways that it names, both are there; and one file that is named twice is one file.
    assert!(upload(&["A/IMG_0001.JPG", "A/../A/IMG_0001.JPG", "--folder", "cam"]).status.success());
    assert!(upload(&["B/IMG_0001.JPG", "--folder", "cam", "--name", "IMG_0001-B.JPG"]).status.success());
    let mut listed = workspace.listed(&[]);
    listed.sort();
    assert_eq!(listed, ["cam/IMG_0001-B.JPG", "cam/IMG_0001.JPG"]);
    assert!(upload(&["A/IMG_0001.JPG", "B/IMG_0001.JPG", "--random-prefix"]).status.success());
    assert_eq!(workspace.listed(&[]).len(), 4);
    assert!(
        text(&upload(&["A/IMG_0001.JPG", "caf\u{e9}.txt", "--name", "x"]).stderr)
            .contains("--name is the name of one file")
    );
}

#[test]
fn an_empty_file_goes_up_with_all_that_is_said_of_it_and_comes_back() {
    let workspace = Workspace::new();
    let record =
        workspace.upload("a/.gitkeep", b"", &["--tag", "x", "--tag", "y z", "--meta", "k=v", "--custom-id", "id"]);
    assert_eq!((&record["path"], &record["size"]), (&"a/.gitkeep".into(), &0.into()));
    assert_eq!((&record["tags"], &record["metadata"]), (&json!(["x", "y z"]), &json!({"k": "v"})));
    assert_eq!(record["custom_id"], "id");
    let here = tempfile::tempdir().unwrap();
    let number = record["file_no"].as_str().unwrap();
    // Nobody has said that a hidden file is to come.
    let refused = workspace.command(&["files", "get", number]).current_dir(here.path()).output().unwrap();
    let said = text(&refused.stderr);
    assert!(
        refused.status.code() == Some(1) && said.contains("would hide it here") && said.contains("--output"),
        "{said}"
    );
    for arguments in [&["files", "get", "a/.gitkeep"][..], &["files", "get", number, "-o", "empty"]] {
        let output = workspace.command(arguments).current_dir(here.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(names(here.path()), [".gitkeep", "empty"]);
    assert_eq!(std::fs::metadata(here.path().join("empty")).unwrap().len(), 0);
    let piped = workspace.command(&["files", "get", number, "-o", "-"]).output().unwrap();
    assert!(piped.status.success() && piped.stdout.is_empty());
}

#[test]
fn a_link_in_a_shared_directory_leads_no_download_elsewhere() {
    let workspace = Workspace::new();
    workspace.upload("f", b"new", &[]);
    let here = tempfile::tempdir().unwrap();
    let mine = here.path().join("mine");
    std::fs::write(&mine, "precious").unwrap();
    for ending in ["partway-part", "partway-state.new", "partway-state"] {
        let link = here.path().join(format!("f.{ending}"));
        std::os::unix::fs::symlink(&mine, &link).unwrap();
        let output = workspace.command(&["files", "get", "f"]).current_dir(here.path()).output().unwrap();
        assert_eq!(std::fs::read(&mine).unwrap(), b"precious", "{ending}");
        let is_part = ending == "partway-part";
        assert_eq!(output.status.success(), !is_part, "{ending}: {}", text(&output.stderr));
        let _ = std::fs::remove_file(&link);
        let _ = std::fs::remove_file(here.path().join("f"));
    }
    assert_eq!(names(here.path()), ["mine"]);
}
