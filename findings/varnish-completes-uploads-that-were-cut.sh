#!/usr/bin/env bash
# Varnish passes a chunked upload that its client cut on as a complete one: the backend gets the last chunk that nobody sent.
#
# Seen with Varnish 7.1.1 (Debian 12, package varnish 7.1.1-2+deb12u1), its built-in rules, on 2026-11-28:
#   chunked, cut after 100,000 bytes: the backend reads 100,000 bytes, then "0\r\n\r\n": a complete request
#   Content-Length 200,000, cut after 100,000 bytes: the backend's connection ends early, as it should
#   directly, without Varnish: a cut chunked body ends without its last chunk
# RFC 9112, section 8: a body with chunked coding is incomplete if the zero-sized chunk that ends it has not come. An origin server
# after such a proxy cannot trust that a body of unknown length is whole: it needs the length, a digest, or a closing mark inside of the
# body (a form's last boundary).
#
# Needs python3, and apt-get for the package unless varnishd is installed; takes nothing but a temporary directory and two ports of
# 127.0.0.1, and leaves nothing there. Exits with 1 if Varnish behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

varnishd=$(PATH=$PATH:/usr/sbin command -v varnishd || true)
if [ -z "$varnishd" ]; then
  (cd "$work" && apt-get download -qq varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 && for package in *.deb; do dpkg-deb -x "$package" root; done)
  varnishd=$work/root/usr/sbin/varnishd
  LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libvarnishapi.so.3' | head -n 1)")
  export LD_LIBRARY_PATH
fi
"$varnishd" -V 2>&1 | head -n 1

cat >"$work/try.py" <<'PYTHON'
"""A backend that reads a request to its end and says how it ended, and a client that cuts its upload in the middle."""
import socket, subprocess, sys, time

varnishd, work = sys.argv[1:]
PIECE = 50_000


def read_request(connection):
    """Body bytes that came, and how they ended: "length", "last chunk" or "cut"."""
    stream = connection.makefile("rb")
    headers = {}
    stream.readline()
    while (line := stream.readline().strip()):
        name, value = line.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    if "content-length" in headers:
        length = int(headers["content-length"])
        body = stream.read(length)
        return len(body), "length" if len(body) == length else "cut"
    came = 0
    while (line := stream.readline()):
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return came, "last chunk"
        came += len(stream.read(size))
        stream.readline()
    return came, "cut"


def cut_upload(port, backend, head):
    """Sends two pieces of four and closes the connection; what the backend made of it."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(f"POST /files HTTP/1.1\r\nHost: example\r\n{head}\r\n\r\n".encode())
    for _ in range(2):
        piece = b"x" * PIECE
        client.sendall(f"{PIECE:x}\r\n".encode() + piece + b"\r\n" if "chunked" in head else piece)
    connection, _ = backend.accept()
    connection.settimeout(20)
    time.sleep(0.5)
    client.close()
    seen = read_request(connection)
    connection.close()
    return seen


backend = socket.create_server(("127.0.0.1", 0))
backend.settimeout(20)
port = backend.getsockname()[1]
free = socket.create_server(("127.0.0.1", 0))
front = free.getsockname()[1]
free.close()
varnish = subprocess.Popen(
    [varnishd, "-F", "-j", "none", "-n", f"{work}/varnish", "-a", f"127.0.0.1:{front}", "-b", f"127.0.0.1:{port}", "-s", "malloc,32m"],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", front)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    as_seen = True
    for title, where, head, wanted in [
        ("chunked, directly", port, "Transfer-Encoding: chunked", (2 * PIECE, "cut")),
        ("chunked, through Varnish", front, "Transfer-Encoding: chunked", (2 * PIECE, "last chunk")),
        ("with a length, through Varnish", front, f"Content-Length: {4 * PIECE}", (2 * PIECE, "cut")),
    ]:
        seen = cut_upload(where, backend, head)
        print(f"{title:<32} {seen[0]:>7} bytes, ended by: {seen[1]}")
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
