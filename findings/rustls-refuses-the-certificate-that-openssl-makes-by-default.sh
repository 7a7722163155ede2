#!/usr/bin/env bash
# rustls does not take a self-signed certificate as `openssl req -x509` makes it, even when it is the only trusted one.
#
# Seen with OpenSSL 3.0 (Debian 12), rustls 0.23.46 with webpki, curl 7.88.1, Python 3.11, on 2026-11-29:
#   openssl req -x509 -newkey … -subj /CN=localhost -addext subjectAltName=DNS:localhost: basicConstraints CA:TRUE, by default
#   curl --cacert CERT: 200; Python with cafile=CERT: 200; rustls with CERT as its root: invalid peer certificate, CaUsedAsEndEntity
#   the same command with -addext basicConstraints=critical,CA:FALSE: all three take it
# A program that is moved from OpenSSL to rustls refuses its own servers, and adding the certificate to the trusted ones, which its error
# suggests to most readers, changes nothing. The certificate must be made with CA:FALSE, or by an authority of its own.
#
# Needs openssl, curl, python3, cargo and a C compiler; takes nothing but a temporary directory and ports of 127.0.0.1, and leaves
# nothing there (cargo keeps what it downloads). Exits with 1 if one of them behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

mkdir -p "$work/client/src"
cat >"$work/client/Cargo.toml" <<'TOML'
[package]
name = "client"
version = "0.0.0"
edition = "2021"

[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std", "tls12"] }
TOML
cat >"$work/client/src/main.rs" <<'RUST'
//! Asks https://localhost:PORT, trusting one certificate alone.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (certificate, port) = (arguments.next().unwrap(), arguments.next().unwrap());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    let asked = stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut head = [0; 12];
    match asked.and_then(|()| stream.read_exact(&mut head)) {
        Ok(()) => println!("{}", String::from_utf8_lossy(&head[9..])),
        Err(error) => println!("{error}"),
    }
}
RUST
(cd "$work/client" && CARGO_TARGET_DIR=$work/target cargo build --quiet)

cat >"$work/server.py" <<'PYTHON'
"""Answers 200 by TLS with the certificate and key of the arguments."""
import http.server, ssl, sys

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
cat >"$work/client.py" <<'PYTHON'
"""Asks https://localhost:PORT, trusting one certificate alone."""
import ssl, sys, urllib.request

try:
    print(urllib.request.urlopen(f"https://localhost:{sys.argv[2]}/", context=ssl.create_default_context(cafile=sys.argv[1])).status)
except OSError as error:
    print(error)
PYTHON

as_seen=true
# expect TITLE WANTED GOT
expect() {
  printf '%-28s %s\n' "$1" "$3"
  case "$3" in *"$2"*) ;; *) as_seen=false; echo "  expected: $2" ;; esac
}
mkdir "$work/empty"
openssl version
for made in default "basicConstraints=critical,CA:FALSE"; do
  extra=()
  [ "$made" = default ] || extra=(-addext "$made")
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    "${extra[@]}" -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
  (cd "$work/empty" && exec python3 "$work/server.py" "$work/cert.pem" "$work/key.pem") >"$work/port" 2>/dev/null &
  pids+=($!)
  for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
  port=$(cat "$work/port")
  echo "made by: $made"
  expect "curl --cacert" 200 "$(curl --silent --cacert "$work/cert.pem" --resolve "localhost:$port:127.0.0.1" --output /dev/null --write-out '%{http_code}' "https://localhost:$port/" || true)"
  expect "Python, cafile" 200 "$(python3 "$work/client.py" "$work/cert.pem" "$port")"
  wanted=200
  [ "$made" != default ] || wanted=CaUsedAsEndEntity
  expect "rustls, its only root" "$wanted" "$("$work/target/debug/client" "$work/cert.pem" "$port")"
  rm "$work/port"
done
$as_seen || { echo "one of them behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
