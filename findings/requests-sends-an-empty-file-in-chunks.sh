#!/usr/bin/env bash
# requests gives a file its Content-Length, unless the file is empty: then the request is chunked, and stores that want a length refuse it.
#
# Seen with requests 2.32.5 (urllib3 2.7.0) on CPython 3.11.7 on 2026-11-29. `requests.put(url, data=open(path, "rb"))`:
#   a file of three bytes: `Content-Length: 3`
#   a file of no bytes: `Transfer-Encoding: chunked`, no Content-Length
#   `data=b""`: `Content-Length: 0`
# A length of 0 is taken for a length that is not known. Presigned PUTs of S3 name `content-length` as required: Amazon's answer to
# a body in chunks is 411 MissingContentLength or 501 NotImplemented. An uploader that works on every file but empty ones looks
# like a fault of the server. In a client: send `data=b""` where the file's size is 0.
#
# Needs python3 with venv; takes nothing but a temporary directory and one port of 127.0.0.1. Exits with 1 if it behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.32.5 urllib3==2.7.0

"$work/venv/bin/python" - "$work" <<'PYTHON'
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import requests

framings = []


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        length, coding = self.headers["Content-Length"], self.headers["Transfer-Encoding"]
        framings.append((length, coding))
        if coding == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(length))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


store = HTTPServer(("127.0.0.1", 0), Store)
Thread(target=store.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{store.server_port}/"
work = pathlib.Path(sys.argv[1])
(work / "three").write_bytes(b"abc")
(work / "empty").write_bytes(b"")
for name in ("three", "empty"):
    with open(work / name, "rb") as file:
        requests.put(url, data=file, timeout=10)
requests.put(url, data=b"", timeout=10)
for (length, coding), what in zip(framings, ("three bytes from a file", "an empty file", "empty bytes")):
    print(f"{what}: Content-Length {length}, Transfer-Encoding {coding}")
sys.exit(framings != [("3", None), (None, "chunked"), ("0", None)])
PYTHON
