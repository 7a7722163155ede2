#!/usr/bin/env bash
# aria2, wget and curl go on with a download after the file was replaced, join the two versions, and say that all went well.
#
# Seen with aria2 1.36.0, GNU Wget 1.21.3, curl 7.88.1 (Debian 12) on 2026-11-28. A file of 4,000,000 bytes with a strong ETag and
# Last-Modified is cut after 1,500,000 bytes, replaced by another one of the same size, and asked for once more:
#   aria2c -c, wget -c, curl -C -: each asks by Range without If-Range, although it got an ETag; gets 206 of the new file;
#   exits with 0; its file begins with the old one and ends with the new one
#   the same with `If-Range: "v1"` by hand: 200 and the whole new file
# RFC 9110, section 13.1.5, has If-Range for this. A server can help by URLs that name the version, and by hashes to compare with.
#
# Needs python3, curl, wget, and apt-get for aria2 unless it is installed; takes nothing but a temporary directory and a port of
# 127.0.0.1, and leaves nothing there. Exits with 1 if one of them behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aria2=$(command -v aria2c || true)
if [ -z "$aria2" ]; then
  (cd "$work" && apt-get download -qq aria2=1.36.0-1 libaria2-0=1.36.0-1 libc-ares2 libssh2-1 2>/dev/null && for package in *.deb; do dpkg-deb -x "$package" root; done)
  aria2=$work/root/usr/bin/aria2c
  LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libaria2.so.0' | head -n 1)")
  export LD_LIBRARY_PATH
fi
{ "$aria2" --version; wget --version; curl --version; } | grep -E '^(aria2|GNU Wget|curl)'

cat >"$work/try.py" <<'PYTHON'
"""A server whose file is cut once and then replaced, and each client twice."""
import http.server, os, re, subprocess, sys, threading

aria2, work = sys.argv[1:]
SIZE, CUT = 4_000_000, 1_500_000
version, asked = 1, []


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        tag = f'"v{version}"'
        byte_range = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range") or "")
        applies = byte_range and self.headers.get("if-range") in (None, tag)
        first = int(byte_range[1]) if applies else 0
        last = int(byte_range[2] or SIZE - 1) if applies else SIZE - 1
        if version == 2 and self.command == "GET":
            asked.append((self.headers.get("range"), self.headers.get("if-range")))
        self.send_response(206 if applies else 200)
        if applies:
            self.send_header("content-range", f"bytes {first}-{last}/{SIZE}")
        self.send_header("content-length", str(last - first + 1))
        self.send_header("content-type", "application/octet-stream")
        self.send_header("accept-ranges", "bytes")
        self.send_header("etag", tag)
        self.send_header("last-modified", f"Sat, 0{version} Nov 2025 12:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            body = str(version).encode() * (last - first + 1)
            self.wfile.write(body[:CUT] if version == 1 else body)
            if version == 1:
                self.wfile.flush()
                self.close_connection = True

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/file"
clients = {
    "aria2c -c": [aria2, "--no-conf", "-c", "-m", "1", "-x", "1", "--file-allocation=none", "--async-dns=false", "-d", work, "-o", "aria2c", url],
    "wget -c": ["wget", "--no-config", "-c", "-t", "1", "-O", f"{work}/wget", url],
    "curl -C -": ["curl", "-q", "--fail", "-C", "-", "-o", f"{work}/curl", url],
    "curl with If-Range": ["curl", "-q", "--fail", "-r", f"{CUT}-", "-H", 'If-Range: "v1"', "-o", f"{work}/if-range", url],
}
as_seen = True
for name, command in clients.items():
    path = os.path.join(work, {"aria2c -c": "aria2c", "wget -c": "wget", "curl -C -": "curl"}.get(name, "if-range"))
    version, asked[:] = 1, []
    first = subprocess.run(command, capture_output=True).returncode if "If-Range" not in name else "-"
    version = 2
    second = subprocess.run(command, capture_output=True).returncode
    body = open(path, "rb").read()
    old, new = body.count(b"1"), body.count(b"2")
    print(f"{name:<20} first exit {first}, second {second}; {old} bytes of the old file, {new} of the new; asked by {asked}")
    mixed = 0 < old < SIZE and old + new == SIZE and all(if_range is None for _, if_range in asked)
    whole = (old, new) == (0, SIZE)
    as_seen &= second == 0 and (whole if "If-Range" in name else mixed and first != 0)
sys.exit(0 if as_seen else 1)
PYTHON
python3 "$work/try.py" "$aria2" "$work" || { echo "one of them behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
