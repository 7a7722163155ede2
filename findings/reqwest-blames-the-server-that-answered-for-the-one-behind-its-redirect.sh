#!/usr/bin/env bash
# reqwest's error of a connection that failed after a redirect names the URL that was asked first, whose server answered.
#
# Seen with reqwest 0.13.5 on 2026-11-29. One server answers 302 to another address, where nothing listens:
#   the text says "error sending request for url (http://127.0.0.1:FIRST/file)", `Error::url()` says FIRST, too, `is_connect` is true;
#   the address where nothing listens is in none of it, nor in any source
# "Connection refused" is then read as that of a server that runs. A program that tells its user where the fault is has to follow
# redirects itself, or note the last one in a redirect policy.
#
# Needs cargo and python3; takes nothing but a temporary directory and ports of 127.0.0.1, and leaves nothing there (cargo keeps
# what it downloads). Exits with 1 if reqwest behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/client/src"
cat >"$work/client/Cargo.toml" <<'TOML'
[package]
name = "client"
version = "0.0.0"
edition = "2021"

[dependencies]
reqwest = { version = "=0.13.5", default-features = false, features = ["blocking"] }
TOML
cat >"$work/client/src/main.rs" <<'RUST'
//! Prints all that the error says.
fn main() {
    let failed = reqwest::blocking::get(std::env::args().nth(1).unwrap()).unwrap_err();
    println!("connect: {}, url: {}", failed.is_connect(), failed.url().unwrap());
    let mut next: Option<&dyn std::error::Error> = Some(&failed);
    while let Some(error) = next {
        println!("{error}");
        next = error.source();
    }
}
RUST
(cd "$work/client" && CARGO_TARGET_DIR=$work/target cargo build --quiet)

cat >"$work/try.py" <<'PYTHON'
"""A server that redirects to a port where nothing listens."""
import http.server, socket, subprocess, sys, threading

free = socket.create_server(("127.0.0.1", 0))
silent = free.getsockname()[1]
free.close()


class Redirecting(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("location", f"http://127.0.0.1:{silent}/store")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
threading.Thread(target=server.serve_forever, daemon=True).start()
said = subprocess.run([sys.argv[1], f"http://127.0.0.1:{server.server_port}/file"], capture_output=True, text=True, check=True).stdout
print(f"FIRST is {server.server_port}; nothing listens at {silent}")
print(said, end="")
sys.exit(0 if "connect: true" in said and str(server.server_port) in said and str(silent) not in said else 1)
PYTHON
python3 "$work/try.py" "$work/target/debug/client" || { echo "reqwest behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
