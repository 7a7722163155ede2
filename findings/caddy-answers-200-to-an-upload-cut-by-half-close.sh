#!/usr/bin/env bash
# Caddy as a reverse proxy answers 200, by itself and empty, to an upload whose client ends its sending side before all bytes are sent.
#
# Seen with Caddy 2.6.2 (Debian 12, package caddy 2.6.2-5), `reverse_proxy` alone, on 2026-11-28:
#   Content-Length 200,000, 100,000 bytes sent, then the sending side shut (as `nc -N` does): "HTTP/1.1 200 OK", Server: Caddy,
#   Content-Length: 0; the backend, which answers 201 with an ETag to whole uploads, got a body cut short and hung up
#   all 200,000 bytes sent, then the sending side shut: 201 with the backend's ETag
# RFC 9112, section 8: a server may answer an incomplete request with an error before it closes; success is not an answer to it.
# A client must not take a 2xx alone for success: it needs something that only the backend can say, such as the ETag of what was stored.
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
"""A backend that stores whole uploads and hangs up on cut ones, and a client that shuts its sending side."""
import http.server, os, socket, subprocess, sys, threading, time

caddy, work = sys.argv[1:]
ALL = 200_000
got = []


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        got.append(len(body))
        self.close_connection = len(body) < ALL
        if len(body) == ALL:
            self.send_response(201)
            self.send_header("etag", '"stored"')
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_):
        pass


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
free = socket.create_server(("127.0.0.1", 0))
front = free.getsockname()[1]
free.close()
with open(f"{work}/Caddyfile", "w") as config:
    config.write(f"{{\n\tadmin off\n\tauto_https off\n}}\nhttp://127.0.0.1:{front} {{\n\treverse_proxy 127.0.0.1:{backend.server_port}\n}}\n")
home = dict(os.environ, HOME=work, XDG_DATA_HOME=work, XDG_CONFIG_HOME=work)
process = subprocess.Popen([caddy, "run", "--config", f"{work}/Caddyfile", "--adapter", "caddyfile"], stderr=subprocess.DEVNULL, env=home)


def upload(port, sent):
    """First line and ETag of the answer to an upload of which `sent` bytes come before the sending side is shut."""
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(20)
    client.sendall(f"PUT /file HTTP/1.1\r\nHost: 127.0.0.1:{front}\r\nContent-Length: {ALL}\r\n\r\n".encode() + b"x" * sent)
    time.sleep(0.3)
    client.shutdown(socket.SHUT_WR)
    answer = b""
    while b"\r\n\r\n" not in answer and (more := client.recv(65536)):
        answer += more
    client.close()
    lines = answer.decode().split("\r\n")
    return lines[0].partition(" ")[2], any(line.lower().startswith("etag:") for line in lines)


try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", front)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    as_seen = True
    for title, port, sent, wanted in [
        ("half of it, directly", backend.server_port, ALL // 2, ("", False)),
        ("half of it, through Caddy", front, ALL // 2, ("200 OK", False)),
        ("all of it, through Caddy", front, ALL, ("201 Created", True)),
    ]:
        seen = upload(port, sent)
        print(f"{title:<28} {seen[0] or 'no answer':<12} ETag: {'yes' if seen[1] else 'no'}")
        if seen != wanted:
            as_seen = False
            print(f"  expected {wanted}")
    print("body bytes that the backend got:", got)
finally:
    process.terminate()
    process.wait()
sys.exit(0 if as_seen else 1)
PYTHON
python3 "$work/try.py" "$caddy" "$work" || { echo "Caddy behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
