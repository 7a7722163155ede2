#!/usr/bin/env bash
# Caddy with `encode gzip` compresses the body of a 206 and leaves Content-Range, a strong ETag and `no-transform` as they were.
#
# Seen with Caddy 2.6.2 (Debian 12, package caddy 2.6.2-5) on 2026-11-28, `Range: bytes=0-9999` of a text of 120,000 bytes:
#   Accept-Encoding: gzip: 206, Content-Encoding: gzip, Content-Range: bytes 0-9999/130000, ETag: "v1", a body of 1,702 bytes
#   the same with Cache-Control: no-transform from the backend: just so
#   without Accept-Encoding: 206, 10,000 bytes
# Ranges are of the encoded representation (RFC 9110, section 14): after Content-Encoding the range must count bytes of the gzip file,
# whose ETag must be another one (section 8.8.3.3), and `no-transform` forbids the change (RFC 9111, section 5.2.2.6). A client that goes on
# from what it has, by If-Range with this ETag, joins pieces that do not belong together.
# Use no `encode` for files with ranges that Caddy 2.6 serves.
#
# Needs python3, and apt-get for the package unless caddy is installed; takes nothing but a temporary directory and two ports of
# 127.0.0.1, and leaves nothing there. Exits with 1 if Caddy behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
caddy=$(command -v caddy || true)
if [ -z "$caddy" ]; then
  (cd "$work" && apt-get download -qq caddy=2.6.2-5 && dpkg-deb -x caddy_*.deb root)
  caddy=$work/root/usr/bin/caddy
fi
"$caddy" version

cat >"$work/try.py" <<'PYTHON'
"""A backend that answers ranges of a text, and requests for a range of it through Caddy."""
import gzip, http.client, http.server, os, socket, subprocess, sys, threading, time

caddy, work = sys.argv[1:]
TEXT = b"".join(b"line %06d\n" % number for number in range(10_000))
FIRST, LAST = 0, 9_999


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(206)
        self.send_header("content-type", "text/plain")
        self.send_header("content-range", f"bytes {FIRST}-{LAST}/{len(TEXT)}")
        self.send_header("content-length", str(LAST - FIRST + 1))
        self.send_header("etag", '"v1"')
        if self.path == "/no-transform":
            self.send_header("cache-control", "no-transform")
        self.end_headers()
        self.wfile.write(TEXT[FIRST : LAST + 1])

    def log_message(self, *_):
        pass


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
free = socket.create_server(("127.0.0.1", 0))
front = free.getsockname()[1]
free.close()
with open(f"{work}/Caddyfile", "w") as config:
    config.write(f"{{\n\tadmin off\n\tauto_https off\n}}\n:{front} {{\n\tencode gzip\n\treverse_proxy 127.0.0.1:{backend.server_port}\n}}\n")
home = dict(os.environ, HOME=work, XDG_DATA_HOME=work, XDG_CONFIG_HOME=work)
process = subprocess.Popen([caddy, "run", "--config", f"{work}/Caddyfile", "--adapter", "caddyfile"], stderr=subprocess.DEVNULL, env=home)
try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", front)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    as_seen = True
    for path, accepts, compressed in [("/", "gzip", True), ("/no-transform", "gzip", True), ("/", "identity", False)]:
        connection = http.client.HTTPConnection("127.0.0.1", front)
        connection.request("GET", path, headers={"Range": f"bytes={FIRST}-{LAST}", "Accept-Encoding": accepts})
        answer = connection.getresponse()
        body = answer.read()
        encoding, content_range, etag = (answer.getheader(name) for name in ("content-encoding", "content-range", "etag"))
        print(f"{path:<14} Accept-Encoding: {accepts:<9} {answer.status} {len(body)} bytes, Content-Encoding: {encoding}, Content-Range: {content_range}, ETag: {etag}")
        plain = gzip.decompress(body) if encoding == "gzip" else body
        as_seen &= answer.status == 206 and plain == TEXT[FIRST : LAST + 1] and etag == '"v1"'
        as_seen &= content_range == f"bytes {FIRST}-{LAST}/{len(TEXT)}" and (encoding == "gzip") == compressed
finally:
    process.terminate()
    process.wait()
sys.exit(0 if as_seen else 1)
PYTHON
python3 "$work/try.py" "$caddy" "$work" || { echo "Caddy behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
