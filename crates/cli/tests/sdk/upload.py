"""Drives start, part PUTs and complete with the published SDK, responses strictly validated."""

import hashlib
import os

import autorender
import httpx
from autorender import Autorender

client = Autorender(_strict_response_validation=True, max_retries=0)
data = b"".join(hashlib.sha512(i.to_bytes(8, "big")).digest() for i in range(400_000))  # 25.6 MB: three parts

session = client.multipart_uploads.start(
    file_name="from-sdk.mp4",
    format="video/mp4",
    size=len(data),
    folder="sdk/videos",
    tags=["one", "two"],
    metadata={"source": "sdk", "nested": {"n": 1}},
    custom_id="sdk-1",
    random_prefix=False,
    ttl_seconds=600,
)
assert len(session.parts) == 3, session
assert session.policy.folder == "sdk/videos" and session.policy.tags == ["one", "two"]
assert session.public_key.startswith("pk_")

try:
    client.multipart_uploads.complete(session_id=session.session_id)
    raise SystemExit("completing without parts did not fail")
except autorender.BadRequestError as error:
    assert error.body["errorCode"] == "PARTS_MISSING" and error.body["missing_parts"] == [0, 1, 2], error.body

for index, url in reversed(list(enumerate(session.parts))):
    part = data[index * session.part_size : (index + 1) * session.part_size]
    response = httpx.put(url, content=part, headers={"Content-Type": "application/octet-stream"})
    assert response.status_code == 200 and response.headers["etag"], response.text

record = client.multipart_uploads.complete(session_id=session.session_id, uuid=session.uuid)
assert record.id == session.uuid and record.name == "from-sdk.mp4" and record.path == "sdk/videos/from-sdk.mp4", record
assert record.size == len(data) and record.mime_type == "video/mp4" and record.extension == "video", record
assert record.tags == ["one", "two"] and record.metadata == {"source": "sdk", "nested": {"n": 1}}, record
assert record.custom_id == "sdk-1" and record.created_at.tzinfo is not None, record
assert httpx.get(record.url).content == data
assert client.multipart_uploads.complete(session_id=session.session_id) == record

# Tags as one string, and the mistakes that the SDK maps to exceptions of its own.
client.multipart_uploads.start(file_name="t", format="mp4", size=1, tags="a,b")
for wrong, error_type in [
    (dict(file_name="", format="mp4", size=1), autorender.BadRequestError),
    (dict(file_name="x", format="mp4", size=0), autorender.BadRequestError),
]:
    try:
        client.multipart_uploads.start(**wrong)
        raise SystemExit(f"{wrong} was taken")
    except error_type:
        pass
try:
    Autorender(api_key="sk_wrong", base_url=os.environ["AUTORENDER_BASE_URL"], max_retries=0).multipart_uploads.start(
        file_name="x", format="mp4", size=1
    )
    raise SystemExit("a wrong key was taken")
except autorender.AuthenticationError:
    pass

print("all as expected")
