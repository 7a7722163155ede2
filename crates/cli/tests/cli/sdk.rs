//! The published Python SDK of the API, a third party's client, against the real binary.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use crate::server::{Server, fresh, key_in, run, text};

/// Runs a script of `tests/sdk` with the SDK's own environment.
fn run_script(script: &str, server: &Server, more: &[(&str, &str)]) {
    // scripts/test makes the virtual environment and names its Python.
    let python = std::env::var_os("PARTWAY_SDK_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| panic!("PARTWAY_SDK_PYTHON is not set; run scripts/test"));
    let output = run(Command::new(python)
        .arg(format!("{}/tests/sdk/{script}", env!("CARGO_MANIFEST_DIR")))
        .env("AUTORENDER_BASE_URL", &server.url)
        .env("AUTORENDER_API_KEY", server.private_key())
        .envs(more.iter().copied()));
    assert!(text(&output.stdout).ends_with("all as expected\n"), "{}", text(&output.stdout));
}

#[test]
fn the_python_sdk_starts_sends_and_completes_an_upload() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    run_script("upload.py", &server, &[]);
}

#[test]
fn every_call_of_the_python_sdk_works_with_both_of_its_clients() {
    let (_directory, data_dir) = fresh();
    let server = Server::start_with(&data_dir, &[], &[("PARTWAY_OUTGOING_ALLOWED_HOSTS", "127.0.0.1")]);
    let remote = serve(b"remote bytes ".repeat(1000));
    let public_key = key_in(&server.greeting, "pk_");
    let more = [("PARTWAY_TEST_PUBLIC_KEY", public_key.as_str()), ("PARTWAY_TEST_REMOTE_URL", &remote)];
    run_script("workspace.py", &server, &more);
}

/// A server that answers every request with these bytes, as long as the test runs. The URL of a file there.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    format!("http://{address}/remote.txt")
}
