//! moto, a store in Python that keeps everything in memory and checks no signatures: quick to start, and other than Garage.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use crate::watchdog::{Watchdog, free_port, until_started};

/// A running moto server on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Moto {
    _server: Watchdog,
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

impl Moto {
    /// Starts it. It accepts any access key.
    pub fn start() -> Self {
        let program = program();
        until_started(|| {
            let port = free_port().to_string();
            let mut server = Watchdog::new("KILL", &[program.to_str().unwrap(), "-H", "127.0.0.1", "-p", &port], None);
            server.start(|_| TcpStream::connect(format!("127.0.0.1:{port}")).is_ok())?;
            Ok(Self { _server: server, url: format!("http://127.0.0.1:{port}") })
        })
    }

    /// Makes an empty bucket.
    pub fn create_bucket(&self, name: &str) {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--fail",
            "--request",
            "PUT",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            "id:secret",
        ]);
        let output = curl.arg(format!("{}/{name}", self.url)).output();
        let made = output.expect("no curl: scripts/test installs what the tests need").status.success();
        assert!(made, "moto makes no bucket");
    }
}

fn program() -> PathBuf {
    let program = std::env::var_os("PARTWAY_TEST_MOTO").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/moto-venv/bin/moto_server")),
        PathBuf::from,
    );
    assert!(program.exists(), "no {}: scripts/test installs what the tests need", program.display());
    program
}
