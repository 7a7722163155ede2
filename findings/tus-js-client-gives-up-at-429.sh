#!/usr/bin/env bash
# tus-js-client does not try again after 429 Too Many Requests, whatever Retry-After says; the upload ends with an error at once.
#
# Seen with tus-js-client 4.3.1 (npm) on Node.js, on 2026-11-29, retryDelays [100, 100, 100], a server that refuses the first PATCH:
#   429 with Retry-After: 1: one PATCH, then onError
#   413 and 412, too: one PATCH, then onError
#   503, 423, 409: a HEAD and another PATCH, then onSuccess
# Its default of `onShouldRetry` takes every 4xx but 409 and 423 for final. A server that limits requests has to answer uploads by
# tus with 503 instead, or let parts of an upload through that it let in; a client sets `onShouldRetry`.
#
# Needs node and npm; takes nothing but a temporary directory and a port of 127.0.0.1, and leaves nothing there (npm keeps what it
# downloads). Exits with 1 if tus-js-client behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts tus-js-client@4.3.1 >/dev/null
node --version

cat >try.mjs <<'JS'
// A tus server that refuses the first PATCH of each upload with the status in its path, and one upload for each status.
import { createServer } from "node:http";
import { Upload } from "tus-js-client";

const size = 1000;
const uploads = new Map(); // path: { offset, asked }
const server = createServer((request, response) => {
  const path = request.url;
  response.setHeader("Tus-Resumable", "1.0.0");
  if (request.method === "POST") {
    const there = `/uploads${path}`;
    uploads.set(there, { offset: 0, asked: [] });
    response.writeHead(201, { Location: there }).end();
    return;
  }
  const upload = uploads.get(path);
  upload.asked.push(request.method);
  if (request.method === "HEAD") {
    response.writeHead(200, { "Upload-Offset": upload.offset, "Upload-Length": size }).end();
    return;
  }
  let came = 0;
  request.on("data", (bytes) => (came += bytes.length));
  request.on("end", () => {
    const refused = upload.asked.filter((method) => method === "PATCH").length === 1;
    if (refused) {
      response.writeHead(Number(path.split("/").pop()), { "Retry-After": "1" }).end();
      return;
    }
    upload.offset += came;
    response.writeHead(204, { "Upload-Offset": upload.offset }).end();
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

let asSeen = true;
for (const [status, wanted] of [[429, "error"], [413, "error"], [412, "error"], [503, "success"], [423, "success"], [409, "success"]]) {
  const ended = await new Promise((resolve) => {
    const upload = new Upload(Buffer.alloc(size), {
      endpoint: `${origin}/${status}`,
      retryDelays: [100, 100, 100],
      uploadSize: size,
      onError: () => resolve("error"),
      onSuccess: () => resolve("success"),
    });
    upload.start();
  });
  const { asked } = uploads.get(`/uploads/${status}`);
  console.log(`${status}: ${asked.join(", ")}, then ${ended}`);
  const once = asked.filter((method) => method === "PATCH").length === 1;
  asSeen &&= ended === wanted && once === (wanted === "error");
}
server.close();
process.exit(asSeen ? 0 : 1);
JS
node try.mjs || { echo "tus-js-client behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
