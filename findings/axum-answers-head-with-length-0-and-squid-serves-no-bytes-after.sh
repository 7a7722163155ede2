#!/usr/bin/env bash
# axum puts `content-length: 0` into a 304 to HEAD; Squid takes the length into its copy, and from then on GET is 200 without bytes.
#
# Seen with axum 0.8.9 on hyper 1.12.0, Squid 5.7 (Debian 12, package squid 5.7-2+deb12u6) on 2026-11-28. A handler
# by `get(...)` answers a file of twelve bytes with ETag and max-age=1, and `StatusCode::NOT_MODIFIED` to If-None-Match:
#   directly: GET 200 content-length 12; GET 304 no content-length; HEAD 200 content-length 12; HEAD 304 content-length 0
#   through Squid: GET 200 twelve bytes; two seconds later HEAD 200 content-length 0; then GET 200 content-length 0, no bytes, for everybody
# RFC 9110, section 8.6: Content-Length in a 304 is that of the 200 to the same request as GET, or is not there. axum's router (not
# hyper) sets the length from the body's size before it takes the body off an answer to HEAD, whatever the status.
# In a handler: set Content-Length in every 304 to the length of the file; axum leaves one that is there.
#
# Needs cargo, python3, and apt-get for Squid unless it is installed; takes nothing but a temporary directory and two ports of 127.0.0.1,
# and leaves nothing there (cargo keeps what it downloads). Exits with 1 if one of them behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
chmod 755 "$work" # Squid gives up being root
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

mkdir -p "$work/origin/src" "$work/run"
chmod 777 "$work/run"
cat >"$work/origin/Cargo.toml" <<'TOML'
[package]
name = "origin"
version = "0.0.0"
edition = "2021"

[dependencies]
axum = { version = "=0.8.9", default-features = false, features = ["http1", "tokio"] }
hyper = "=1.12.0"
tokio = { version = "1", features = ["rt", "net", "macros"] }
TOML
cat >"$work/origin/src/main.rs" <<'RUST'
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

async fn file(headers: HeaderMap) -> Response {
    let of_file = [("etag", "\"v1\""), ("cache-control", "public, max-age=1")];
    if headers.contains_key("if-none-match") {
        return (StatusCode::NOT_MODIFIED, of_file).into_response();
    }
    (of_file, "twelve bytes").into_response()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    axum::serve(listener, axum::Router::new().route("/file", get(file))).await.unwrap();
}
RUST
(cd "$work/origin" && CARGO_TARGET_DIR=$work/target cargo build --quiet)

root=
squid=$(PATH=$PATH:/usr/sbin command -v squid || true)
if [ -z "$squid" ]; then
  root=$work/root
  (cd "$work" && apt-get download -qq squid=5.7-2+deb12u6 squid-common squid-langpack libecap3 libnetfilter-conntrack3 libnfnetlink0 libldap-2.5-0 libltdl7 libtdb1 2>/dev/null &&
    for package in *.deb; do dpkg-deb -x "$package" root; done)
  squid=$root/usr/sbin/squid
  LD_LIBRARY_PATH=$(dirname "$(find "$root" -name 'libecap.so.3' | head -n 1)")
  export LD_LIBRARY_PATH
fi
"$squid" -v | head -n 1

"$work/target/debug/origin" >"$work/port" &
pids+=($!)
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
origin=$(cat "$work/port")
front=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/squid.conf" <<CONF
http_port 127.0.0.1:$front accel defaultsite=example no-vhost
cache_peer 127.0.0.1 parent $origin 0 no-query no-digest originserver
cache_mem 16 MB
http_access allow all
access_log none
cache_log $work/run/cache.log
coredump_dir $work/run
pid_filename none
netdb_filename none
pinger_enable off
unlinkd_program $root/usr/lib/squid/unlinkd
logfile_daemon $root/usr/lib/squid/log_file_daemon
mime_table $root/usr/share/squid/mime.conf
icon_directory $root/usr/share/squid/icons
error_directory $root/usr/share/squid-langpack/English
shutdown_lifetime 0 seconds
CONF
"$squid" -N -f "$work/squid.conf" >"$work/run/out" 2>&1 &
pids+=($!)
for _ in $(seq 100); do (: <"/dev/tcp/127.0.0.1/$front") 2>/dev/null && break; sleep 0.1; done

cat >"$work/ask.py" <<'PYTHON'
"""Status, Content-Length and bytes that came: METHOD PORT [ENTITY-TAG]"""
import http.client, sys

method, port, *tag = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
connection.request(method, "/file", headers={"If-None-Match": tag[0]} if tag else {})
answer = connection.getresponse()
print(answer.status, answer.getheader("content-length"), len(answer.read()))
PYTHON
as_seen=true
# expect TITLE WANTED METHOD PORT [ENTITY-TAG]
expect() {
  local got
  got=$(python3 "$work/ask.py" "${@:3}")
  printf '%-44s %s\n' "$1" "$got"
  [ "$2" = "$got" ] || { as_seen=false; echo "  expected: $2"; }
}
echo "                                             status, Content-Length, bytes"
expect "GET, directly" "200 12 12" GET "$origin"
expect "GET of what is known, directly" "304 None 0" GET "$origin" '"v1"'
expect "HEAD, directly" "200 12 0" HEAD "$origin"
expect "HEAD of what is known, directly" "304 0 0" HEAD "$origin" '"v1"'
expect "GET, through Squid" "200 12 12" GET "$front"
sleep 2.5 # until its copy is stale
expect "HEAD, through Squid, which asks again" "200 0 0" HEAD "$front"
expect "GET, through Squid, after" "200 0 0" GET "$front"
$as_seen || { echo "axum or Squid behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
