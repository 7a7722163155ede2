//! The published Python SDK of the API, a client that nobody here wrote, against the real binary.

use std::path::PathBuf;
use std::process::Command;

use crate::server::{Server, fresh, run, text};

#[test]
fn the_python_sdk_starts_sends_and_completes_an_upload() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    // scripts/test makes the virtual environment and names its Python.
    let python = std::env::var_os("PARTWAY_SDK_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| panic!("PARTWAY_SDK_PYTHON is not set; run scripts/test"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/upload.py");
    let output = run(Command::new(python)
        .arg(script)
        .env("AUTORENDER_BASE_URL", &server.url)
        .env("AUTORENDER_API_KEY", server.private_key()));
    assert!(text(&output.stdout).ends_with("all as expected\n"), "{}", text(&output.stdout));
}
