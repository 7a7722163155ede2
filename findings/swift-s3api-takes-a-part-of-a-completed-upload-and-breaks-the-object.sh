#!/usr/bin/env bash
# Swift's s3api: a part that comes after CompleteMultipartUpload replaces that part of the object, and the object can no longer be read.
#
# Seen with Swift 2.30.1 of Debian 12 and boto3 1.40.0, on 2026-11-30. An object of two parts is completed and read whole; then part 1 is
# sent once more by the URL that was signed for it before, with other bytes:
#   the part: 200
#   HEAD: 200, and the size as before
#   GET: 409 BrokenMPU, and none of the 5242886 bytes
# Garage, Ceph RGW and LocalStack answer 404 NoSuchUpload, because the upload has ended. Swift keeps parts as objects, which the
# manifest names with their ETags: the URL of a part breaks a finished file until that URL expires.
#
# Needs Debian's swift-proxy, swift-account, swift-container, swift-object, memcached, and python3; takes nothing but a temporary directory and
# ports of 127.0.0.1, and leaves nothing there. Exits with 1 if Swift behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
echo "swift $(dpkg-query --show --showformat '${Version}' swift-proxy)"
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

mkdir -p "$work/srv/d1"
printf '[swift-hash]\nswift_hash_path_suffix = x\n[storage-policy:0]\nname = only\ndefault = yes\n' >"$work/swift.conf"
cat >"$work/run.py" <<'PYTHON'
import sys
from swift.common import utils
from swift.common.wsgi import run_wsgi
work, name = sys.argv[1:]
utils.SWIFT_CONF_FILE = f"{work}/swift.conf"
utils.validate_hash_conf()
sys.exit(run_wsgi(f"{work}/{name}.conf", f"{name}-server"))
PYTHON
# serve NAME  One of Swift's servers.
serve() {
  /usr/bin/python3 "$work/run.py" "$work" "$1" >"$work/$1.log" 2>&1 &
  pids+=($!)
}
common="bind_ip = 127.0.0.1
swift_dir = $work
user = $(id -un)
workers = 0"
for name in account container object; do
  port=$(free_port)
  for step in "create 4 1 1" "add r1z1-127.0.0.1:$port/d1 1" rebalance; do
    # shellcheck disable=SC2086
    swift-ring-builder "$work/$name.builder" $step >/dev/null
  done
  printf '[DEFAULT]\n%s\nbind_port = %s\ndevices = %s\nmount_check = false\n[pipeline:main]\npipeline = %s-server\n[app:%s-server]\nuse = egg:swift#%s\n' \
    "$common" "$port" "$work/srv" "$name" "$name" "$name" >"$work/$name.conf"
  serve "$name"
done
port=$(free_port) memcache=$(free_port)
cat >"$work/proxy.conf" <<CONF
[DEFAULT]
$common
bind_port = $port
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$memcache
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
CONF
memcached -u "$(id -un)" -l 127.0.0.1 -p "$memcache" &
pids+=($!)
serve proxy

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.40.0 requests==2.32.4
cat >"$work/try.py" <<'PYTHON'
"""One object of two parts, and a part that comes too late."""
import sys, time

import boto3, requests
from botocore.config import Config

s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    aws_access_key_id="test:tester",
    aws_secret_access_key="testing",
    config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"max_attempts": 0}, request_checksum_calculation="when_required"),
)
for _ in range(150):
    try:
        s3.create_bucket(Bucket="try")
        break
    except Exception:  # it is starting
        time.sleep(0.2)
names = {"Bucket": "try", "Key": "file"}
upload = {**names, "UploadId": s3.create_multipart_upload(**names)["UploadId"]}
urls = [s3.generate_presigned_url("upload_part", {**upload, "PartNumber": number}) for number in (1, 2)]
data = [b"a" * (5 << 20), b"second"]
for url, part in zip(urls, data):
    requests.put(url, data=part).raise_for_status()
parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in s3.list_parts(**upload)["Parts"]]
s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def read():
    answer = requests.get(s3.generate_presigned_url("get_object", names), stream=True)
    body = b""
    try:
        for piece in answer.iter_content(1 << 16):
            body += piece
    except requests.RequestException:
        pass  # it breaks off
    return answer.status_code, body


whole = read() == (200, b"".join(data))
print("read after complete:", "whole" if whole else "not whole")
late = requests.put(urls[0], data=b"z" * (5 << 20)).status_code
head = s3.head_object(**names)["ContentLength"]
status, body = read()
print("the late part:", late, "- HEAD:", head, "bytes - GET:", status, "with", len(body), "bytes")
sys.exit(0 if whole and late == 200 and head == len(b"".join(data)) and body != b"".join(data) else 1)
PYTHON
"$work/venv/bin/python" "$work/try.py" "http://127.0.0.1:$port" || { echo "Swift behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
