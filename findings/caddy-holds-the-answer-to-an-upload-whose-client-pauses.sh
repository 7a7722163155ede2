#!/usr/bin/env bash
# Caddy as a reverse proxy does not pass an early answer on while the client pauses in the middle of its upload.
#
# Seen with Caddy 2.6.2 (Debian 12, package caddy 2.6.2-5), `reverse_proxy` alone, on 2026-11-30:
#   the backend answers 408 and closes after half of an upload of 1,000,000 bytes; the client has sent that half and waits:
#   directly it has the answer at once; through Caddy it has nothing after ten seconds
# RFC 9110, section 15.5.9: a server sends 408 to a request that did not come in time. It must reach a client that does not go on sending.
# A client needs a time-out of its own while it sends, and a stalled one stays connected until it leaves.
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
"""A backend that answers after half of an upload, and a client that sends only that half."""
import os, socket, subprocess, sys, threading, time

caddy, work = sys.argv[1:]
ALL = 1_000_000
answered = threading.Semaphore(0)


def answer(connection):
    got = b""
    while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < ALL // 2:
        if not (more := connection.recv(65536)):
            return
        got += more
    connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate")
    connection.shutdown(socket.SHUT_WR)
    answered.release()
    while connection.recv(65536):
        pass


def serve():
    while True:
        connection, _ = backend.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


backend = socket.create_server(("127.0.0.1", 0))
port = backend.getsockname()[1]
threading.Thread(target=serve, daemon=True).start()
free = socket.create_server(("127.0.0.1", 0))
front = free.getsockname()[1]
free.close()
with open(f"{work}/Caddyfile", "w") as config:
    config.write(f"{{\n\tadmin off\n\tauto_https off\n}}\nhttp://127.0.0.1:{front} {{\n\treverse_proxy 127.0.0.1:{port}\n}}\n")
home = dict(os.environ, HOME=work, XDG_DATA_HOME=work, XDG_CONFIG_HOME=work)
process = subprocess.Popen([caddy, "run", "--config", f"{work}/Caddyfile", "--adapter", "caddyfile"], stderr=subprocess.DEVNULL, env=home)


def first_line(port):
    """First line of the answer that comes within ten seconds after the backend sent it."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(f"PUT /file HTTP/1.1\r\nHost: 127.0.0.1:{front}\r\nContent-Length: {ALL}\r\n\r\n".encode() + b"x" * (ALL // 2))
    assert answered.acquire(timeout=20), "the backend did not get the half"
    client.settimeout(10)
    try:
        return client.recv(65536).decode().split("\r\n")[0]
    except TimeoutError:
        return "nothing"
    finally:
        client.close()


try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", front)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    as_seen = True
    for title, to, wanted in [("directly", port, "HTTP/1.1 408 Request Timeout"), ("through Caddy", front, "nothing")]:
        seen = first_line(to)
        print(f"{title:<14} {seen}")
        if seen != wanted:
            as_seen = False
            print(f"  expected {wanted}")
finally:
    process.terminate()
    process.wait()
sys.exit(0 if as_seen else 1)
PYTHON
python3 "$work/try.py" "$caddy" "$work" || { echo "Caddy behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
