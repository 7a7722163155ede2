#!/usr/bin/env bash
# Varnish keeps an answer to a request whose key is in a header of its own (x-api-key) and hands it to requests without the key.
#
# Seen with Varnish 7.1.1 (Debian 12, package varnish 7.1.1-2+deb12u1), its built-in rules and nothing but a backend, on 2026-11-28:
#   x-api-key, no Cache-Control: with the key "secret of k", then without any key "secret of k" (kept for 120 s, default_ttl)
#   Authorization, no Cache-Control: then without a key 401 (built-in rules pass requests with Authorization and Cookie, only those)
#   404, no Cache-Control: still 404 after the thing is there
#   x-api-key, Cache-Control: no-store: then without a key 401
# RFC 9111, section 3.5, protects `Authorization` alone; for other headers an answer has to say that it may not be kept.
# An API behind a cache needs `Cache-Control: no-store` on every answer that needed a key, and on errors.
#
# Needs python3 and curl, and apt-get for the package unless varnishd is installed; takes nothing but a temporary directory and
# two ports of 127.0.0.1, and leaves no files. Exits with 1 if Varnish behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

# varnishd of the system, or the one of Debian's package, unpacked and not installed.
varnishd=$(PATH=$PATH:/usr/sbin command -v varnishd || true)
if [ -z "$varnishd" ]; then
  (cd "$work" && apt-get download -qq varnish libvarnishapi3 && for package in *.deb; do dpkg-deb -x "$package" root; done)
  varnishd=$work/root/usr/sbin/varnishd
  LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libvarnishapi.so.3' | head -n 1)")
  export LD_LIBRARY_PATH
fi
"$varnishd" -V 2>&1 | head -n 1

cat >"$work/origin.py" <<'PYTHON'
"""Answers 200 to requests with a key and 401 to others; /later is 404 until /make was asked for."""
import http.server

made = False


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global made
        key = self.headers.get("x-api-key") or (self.headers.get("authorization") or "").removeprefix("Bearer ")
        status, text = (200, f"secret of {key}") if key else (401, "no key")
        if self.path == "/make":
            made, status, text = True, 200, "made"
        if self.path == "/later":
            status, text = (200, "there") if made else (404, "not there")
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if self.path.startswith("/no-store"):
            self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 "$work/origin.py" >"$work/port" &
pids+=($!)
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
origin=$(cat "$work/port")
front=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

"$varnishd" -F -j none -n "$work/varnish" -a "127.0.0.1:$front" -b "127.0.0.1:$origin" -s malloc,32m >"$work/log" 2>&1 &
pids+=($!)
get() { curl --silent --write-out ' (%{http_code})' "$@"; }
for _ in $(seq 100); do get "http://127.0.0.1:$front/no-store/up" >/dev/null && break; sleep 0.1; done

as_seen=true
# expect WHAT WANTED GOT
expect() {
  printf '%-62s %s\n' "$1" "$3"
  [ "$2" = "$3" ] || { as_seen=false; echo "  expected: $2"; }
}
url=http://127.0.0.1:$front
expect "x-api-key, with the key" "secret of k (200)" "$(get -H 'x-api-key: k' "$url/a")"
expect "x-api-key, then without any key" "secret of k (200)" "$(get "$url/a")"
expect "Authorization, with the key" "secret of k (200)" "$(get -H 'Authorization: Bearer k' "$url/b")"
expect "Authorization, then without any key" "no key (401)" "$(get "$url/b")"
expect "not there yet" "not there (404)" "$(get "$url/later")"
expect "make it" "made (200)" "$(get "$url/make")"
expect "there now" "not there (404)" "$(get "$url/later")"
expect "x-api-key and no-store, with the key" "secret of k (200)" "$(get -H 'x-api-key: k' "$url/no-store/a")"
expect "x-api-key and no-store, then without any key" "no key (401)" "$(get "$url/no-store/a")"
$as_seen || { echo "Varnish behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
