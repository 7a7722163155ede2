#!/usr/bin/env bash
# Garage: a part that is sent again and breaks off stays in the list of parts as it was, and yet the upload cannot be completed with it.
#
# Seen with Garage 2.5.0 and boto3 1.40.0, on 2026-11-28. Part 1 of a multipart upload is sent whole, and a second time
# only in half (the connection is cut); the list of parts goes on saying part 1 with its size and ETag:
#   CompleteMultipartUpload with exactly the parts that are listed: 400 InvalidPart, ten seconds later, too
#   after part 1 was sent once more, whole: 200
# The list and Complete contradict each other, so a client that trusts the list never ends: it has to send the refused part again,
# which the error does not name.
#
# Needs python3, and cargo with a C compiler and protoc unless GARAGE=/path/to/garage names one; takes nothing but a temporary directory
# and ports of 127.0.0.1, and leaves nothing there (cargo keeps what it downloads). Exits with 1 if Garage behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
garage=${GARAGE:-}
if [ -z "$garage" ]; then
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR=$work/target \
    cargo install garage --version 2.5.0 --locked --quiet --root "$work/garage" --no-default-features --features lmdb,bundled-libs
  garage=$work/garage/bin/garage
fi
"$garage" --version
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet boto3==1.40.0 requests==2.32.4

cat >"$work/try.py" <<'PYTHON'
"""One Garage node, and one upload of which a part is sent again in half."""
import os, re, secrets, socket, subprocess, sys, time
from urllib.parse import urlsplit

import boto3, requests
from botocore.config import Config
from botocore.exceptions import ClientError

garage, work = sys.argv[1:]
MIB = 1 << 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


s3_port, rpc_port = free_port(), free_port()
with open(f"{work}/garage.toml", "w") as config:
    config.write(f"""
metadata_dir = "{work}/meta"
data_dir = "{work}/data"
db_engine = "lmdb"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc_port}"
rpc_public_addr = "127.0.0.1:{rpc_port}"
rpc_secret = "{secrets.token_hex(32)}"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:{s3_port}"
""")


def run(*arguments):
    return subprocess.run([garage, "-c", f"{work}/garage.toml", *arguments], check=True, capture_output=True, text=True).stdout


server = subprocess.Popen([garage, "-c", f"{work}/garage.toml", "server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(200):
        try:
            node = run("node", "id", "-q").split("@")[0]
            run("status")
            break
        except subprocess.CalledProcessError:
            time.sleep(0.1)
    run("layout", "assign", "-z", "here", "-c", "1G", node)
    run("layout", "apply", "--version", "1")
    run("bucket", "create", "try")
    key = run("key", "create", "try")
    run("bucket", "allow", "--read", "--write", "--owner", "try", "--key", "try")
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3_port}",
        region_name="garage",
        aws_access_key_id=re.search(r"GK[0-9a-f]+", key)[0],
        aws_secret_access_key=re.search(r"Secret key:\s+(\S+)", key)[1],
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, request_checksum_calculation="when_required"),
    )
    for _ in range(100):
        try:
            upload = s3.create_multipart_upload(Bucket="try", Key="file")["UploadId"]
            break
        except ClientError:  # the layout is not known everywhere yet
            time.sleep(0.1)
    names = {"Bucket": "try", "Key": "file", "UploadId": upload}
    part = lambda number: s3.generate_presigned_url("upload_part", {**names, "PartNumber": number})
    requests.put(part(1), data=b"a" * 5 * MIB).raise_for_status()
    requests.put(part(2), data=b"b" * MIB).raise_for_status()

    def listed():
        return [{"PartNumber": each["PartNumber"], "ETag": each["ETag"], "Size": each["Size"]} for each in s3.list_parts(**names)["Parts"]]

    def complete():
        parts = [{"PartNumber": each["PartNumber"], "ETag": each["ETag"]} for each in listed()]
        try:
            s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
            return "200"
        except ClientError as error:
            return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"

    before = listed()
    url = urlsplit(part(1))
    cut = socket.create_connection(("127.0.0.1", s3_port))
    cut.sendall(f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: 127.0.0.1:{s3_port}\r\nContent-Length: {5 * MIB}\r\n\r\n".encode() + b"a" * 2 * MIB)
    time.sleep(1)
    cut.close()
    time.sleep(1)
    same = listed() == before
    print("the list of parts after the cut:", "as before" if same else listed())
    at_once = complete()
    time.sleep(10)
    later = complete()
    print("complete with the listed parts:", at_once, "and later:", later)
    requests.put(part(1), data=b"a" * 5 * MIB).raise_for_status()
    resent = complete()
    print("complete once the part was sent again:", resent)
    as_seen = same and (at_once, later, resent) == ("400 InvalidPart", "400 InvalidPart", "200")
finally:
    server.terminate()
    server.wait()
sys.exit(0 if as_seen else 1)
PYTHON
"$work/venv/bin/python" "$work/try.py" "$garage" "$work" || { echo "Garage behaves otherwise than was seen"; exit 1; }
echo "as it was seen"
