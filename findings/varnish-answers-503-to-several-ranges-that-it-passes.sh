#!/usr/bin/env bash
# Varnish answers 503 to a request for several ranges that it passes to the backend, although the backend answers it.
#
# Seen with Varnish 7.1.1 (Debian 12, package varnish 7.1.1-2+deb12u1), `return (pass)` for everything, on 2026-11-30:
#   Range: bytes=0-4                  directly 206, through Varnish 206
#   Range: bytes=0-4,100-104          directly 206 with multipart/byteranges, through Varnish 503
# varnishlog says "Invalid range header (Trailing stuff)": a 206 must fit the one range that Varnish read from the request.
# RFC 9110, section 14.2: a client may ask for several ranges, and an intermediary that does not know what they mean forwards them.
# For what is passed: remove `Range` where it has a comma, so that the answer is the whole file, or `return (pipe)`.
#
# Needs python3, and apt-get for the package unless varnishd is installed; takes nothing but a temporary directory and two ports of
# 127.0.0.1, and leaves nothing there. Exits with 1 if Varnish behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
varnishd=$(PATH=$PATH:/usr/sbin command -v varnishd || true)
if [ -z "$varnishd" ]; then
  (cd "$work" && apt-get download -qq varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 && for package in *.deb; do dpkg-deb -x "$package" root; done)
  varnishd=$work/root/usr/sbin/varnishd
  LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libvarnishapi.so.3' | head -n 1)")
  export LD_LIBRARY_PATH
fi
"$varnishd" -V 2>&1 | head -n 1

cat >"$work/try.py" <<'PYTHON'
"""A backend that answers one range and several, and a client that asks for them."""
import http.server, re, socket, subprocess, sys, threading, time

varnishd, work = sys.argv[1:]
DATA = bytes(range(256))


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        ranges = [(int(a), int(b)) for a, b in re.findall(r"(\d+)-(\d+)", self.headers["range"])]
        fields = [f"bytes {a}-{b}/{len(DATA)}" for a, b in ranges]
        pieces = [DATA[a : b + 1] for a, b in ranges]
        self.send_response(206)
        self.send_header("cache-control", "no-store")
        if len(ranges) == 1:
            self.send_header("content-range", fields[0])
            body = pieces[0]
        else:
            self.send_header("content-type", "multipart/byteranges; boundary=B")
            body = b"".join(f"--B\r\nContent-Range: {field}\r\n\r\n".encode() + piece + b"\r\n" for field, piece in zip(fields, pieces)) + b"--B--\r\n"
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
free = socket.create_server(("127.0.0.1", 0))
front = free.getsockname()[1]
free.close()
with open(f"{work}/pass.vcl", "w") as vcl:
    vcl.write(f'vcl 4.1; backend b {{ .host = "127.0.0.1"; .port = "{backend.server_port}"; }} sub vcl_recv {{ return (pass); }}\n')
varnish = subprocess.Popen(
    [varnishd, "-F", "-j", "none", "-n", f"{work}/varnish", "-a", f"127.0.0.1:{front}", "-f", f"{work}/pass.vcl", "-s", "malloc,32m"],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)


def status(port, ranges):
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(20)
    client.sendall(f"GET /file HTTP/1.1\r\nHost: example\r\nConnection: close\r\nRange: {ranges}\r\n\r\n".encode())
    answer = b""
    while more := client.recv(65536):
        answer += more
    client.close()
    return int(answer.split(b" ")[1])


try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", front)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    as_seen = True
    for title, port, ranges, wanted in [
        ("one range, directly", backend.server_port, "bytes=0-4", 206),
        ("several ranges, directly", backend.server_port, "bytes=0-4,100-104", 206),
        ("one range, through Varnish", front, "bytes=0-4", 206),
        ("several ranges, through Varnish", front, "bytes=0-4,100-104", 503),
    ]:
        seen = status(port, ranges)
        print(f"{title:<34} {seen}")
        if seen != wanted:
            as_seen = False
            print(f"  expected {wanted}")
finally:
    varnish.terminate()
    varnish.wait()
sys.exit(0 if as_seen else 1)
PYTHON
python3 "$work/try.py" "$varnishd" "$work" || { echo "Varnish behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
