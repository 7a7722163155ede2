//! The README's first upload, run by a shell as it is written; and the examples.

use std::process::Command;

use crate::server::{Server, bytes, curl, fresh, partway, run, start, text};

/// The code blocks of the README with this language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn block_with(language: &str, text: &str) -> String {
    let found = blocks(language).into_iter().find(|block| block.contains(text));
    found.unwrap_or_else(|| panic!("the README has no {language} block with {text:?}"))
}

#[test]
fn the_files_that_both_browser_examples_have_are_the_same() {
    for name in ["memory.js", "silence.js", "time_limit.js"] {
        let [plain, uppy] = ["browser", "uppy"].map(|example| {
            let path = format!("{}/../../examples/{example}/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        });
        assert!(plain == uppy, "examples/browser/{name} and examples/uppy/{name} differ: change both");
    }
}

#[test]
fn the_curl_lines_of_the_readme_upload_a_file() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let data = bytes(1, 73_400_320);
    std::fs::write(directory.path().join("big-video.mp4"), &data).unwrap();
    let script = block_with("sh", "multipart/start")
        .replace("http://127.0.0.1:8080", &server.url)
        .replace("KEY=sk_…", &format!("KEY={}", server.private_key()));
    let output = run(Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(directory.path()));
    let answers = text(&output.stdout);
    assert!(answers.contains(&format!("blake3:{}", blake3::hash(&data))), "{answers}");
    assert!(std::fs::read(directory.path().join("copy.mp4")).unwrap() == data, "the copy is not the file");
}

#[test]
fn the_curl_lines_of_the_readme_send_a_file_in_one_request_and_list_files() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    std::fs::write(directory.path().join("big-video.mp4"), bytes(2, 1_000_000)).unwrap();
    let one_request = block_with("sh", "--form file=@");
    // The other line fetches a file from the Internet, which a test must not need.
    let lines =
        format!("KEY={}\n{}\n{}", server.private_key(), one_request.lines().next().unwrap(), block_with("sh", "API="));
    let script = lines.replace("http://127.0.0.1:8080", &server.url);
    let output = run(Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(directory.path()));
    let answers = text(&output.stdout);
    assert!(answers.contains(r#""path":"uploads/direct.mp4""#) && answers.contains(r#""total_items":1"#), "{answers}");
}

/// An upload of which only the second of seven parts is there, as its own client left it.
fn interrupted(server: &Server, directory: &std::path::Path, data: &[u8]) -> String {
    std::fs::write(directory.join("big-video.mp4"), data).unwrap();
    let session = start(server, &server.private_key(), "big-video.mp4", data.len());
    let part = directory.join("second");
    std::fs::write(&part, data.chunks(10 * 1024 * 1024).nth(1).unwrap()).unwrap();
    assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), session["parts"][1].as_str().unwrap()]).0, 200);
    session["session_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_curl_lines_of_the_readme_finish_an_interrupted_upload() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let data = bytes(1, 70_000_000);
    let session = interrupted(&server, directory.path(), &data);
    let script = block_with("sh", "$URL/parts")
        .replace("http://127.0.0.1:8080", &server.url)
        .replace("KEY=sk_…", &format!("KEY={}", server.private_key()))
        .replace("SESSION=…", &format!("SESSION={session}"));
    let output = run(Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(directory.path()));
    let answers = text(&output.stdout);
    assert!(answers.contains(r#""uploaded_parts":[1]"#), "{answers}");
    assert!(answers.contains(&format!("blake3:{}", blake3::hash(&data))), "{answers}");
}

#[test]
fn the_command_line_of_the_readme_finishes_an_interrupted_upload() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let session = interrupted(&server, directory.path(), &bytes(1, 70_000_000));
    let output = run_commands("partway upload --resume", &server, directory.path(), ("SESSION_ID", &session));
    assert!(output.starts_with(&server.url), "{output}");
}

/// Runs the block with this command against the server, with the second of `replaced` for the first; what it printed.
fn run_commands(command: &str, server: &Server, directory: &std::path::Path, replaced: (&str, &str)) -> String {
    let binary = partway().get_program().to_str().unwrap().to_owned();
    let script = block_with("sh", command).replace("partway upload", &format!("{binary} upload")).replace(
        "PARTWAY_API_KEY=sk_…",
        &format!("PARTWAY_URL={} PARTWAY_API_KEY={}", server.url, server.private_key()),
    );
    let script = if replaced.0.is_empty() { script } else { script.replace(replaced.0, replaced.1) };
    text(&run(Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(directory)).stdout)
}

#[test]
fn the_command_line_of_the_readme_uploads_a_file() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    std::fs::write(directory.path().join("big-video.mp4"), bytes(2, 30_000_000)).unwrap();
    let output = run_commands("partway upload big-video.mp4", &server, directory.path(), ("", ""));
    assert!(output.starts_with(&server.url), "{output}");
}

#[test]
fn the_python_of_the_readme_uploads_a_file() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    std::fs::write(directory.path().join("big-video.mp4"), bytes(3, 30_000_000)).unwrap();
    let python = std::env::var_os("PARTWAY_SDK_PYTHON")
        .unwrap_or_else(|| panic!("PARTWAY_SDK_PYTHON is not set; run scripts/test"));
    let script = block_with("python", "autorender")
        .replace("http://127.0.0.1:8080", &server.url)
        .replace("sk_…", &server.private_key());
    let output = run(Command::new(python).args(["-c", &script]).current_dir(directory.path()));
    assert!(text(&output.stdout).contains(&server.url), "{}", text(&output.stdout));
}
