"""Drives every call of the published SDK, synchronous and asynchronous, responses strictly validated."""

import asyncio
import contextlib
import hashlib
import inspect
import os
import re
import struct
import tempfile
import uuid
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import autorender
import httpx
from autorender import AsyncAutorender, Autorender
from autorender.types import FileRetrieveResponse

PUBLIC_KEY = os.environ["PARTWAY_TEST_PUBLIC_KEY"]
REMOTE_URL = os.environ["PARTWAY_TEST_REMOTE_URL"]
REMOTE_BYTES = b"remote bytes " * 1000
# Nothing answers there: that a delivery fails is no matter of the upload's.
WEBHOOK_URL = "http://127.0.0.1:9/uploaded"
STRICT = dict(_strict_response_validation=True, max_retries=0)


async def done(result):
    """The result of a call of either client."""
    return await result if inspect.isawaitable(result) else result


async def rows_of(result):
    """The rows of this and all following pages, which the SDK fetches as it goes."""
    if hasattr(result, "__aiter__"):
        return [row async for row in result]
    return list(result)


async def pages_of(page):
    """This and all following pages."""
    pages = page.iter_pages()
    if hasattr(pages, "__aiter__"):
        return [page async for page in pages]
    return list(pages)


async def refused(error_type, codes, call, *arguments, **named):
    """The call ends with exactly this exception, and one of these codes in the contract's error shape."""
    try:
        answer = await done(call(*arguments, **named))
    except autorender.APIStatusError as error:
        assert type(error) is error_type, (error, error_type)
        assert set(error.body) >= {"success", "error", "message", "errorCode", "requestId"}, error.body
        assert error.body["errorCode"] in codes.split(), (error.body, codes)
        assert error.body["success"] is False and error.body["error"] and error.body["message"], error.body
        assert error.body["requestId"] == error.response.headers["x-request-id"], error.body
        return error
    raise AssertionError(f"{call} took {arguments} {named}: {answer}")


async def update(client, file_no, **body):
    """The one route of a file that the SDK has no method for, through its own door for such routes."""
    answer = await done(client.patch(f"/api/v1/files/{file_no}", cast_to=FileRetrieveResponse, body=body))
    return answer.data


def names(rows):
    return [row.name for row in rows]


def bytes_of(seed, size):
    """Bytes that no other file has."""
    return hashlib.shake_128(f"{os.getpid()} {seed}".encode()).digest(size)


def png(width, height):
    """A whole PNG image."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\x7f" * width) * height))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def check_time(time):
    assert time.utcoffset() == timedelta(0), time
    assert abs(datetime.now(timezone.utc) - time) < timedelta(minutes=10), time


def check_record(record, data, folder, name):
    """What every way of uploading answers, and what is then served."""
    path = f"{folder}/{name}" if folder else name
    assert str(uuid.UUID(record.id)) == record.id and str(uuid.UUID(record.workspace_id)), record
    assert len(record.file_no) == len(record.workspace_no) == 10, record
    assert (record.name, record.path, record.size) == (name, path, len(data)), record
    assert bool(record.folder_no) == bool(folder), record
    assert re.fullmatch("blake3:[0-9a-f]{64}", record.hash), record
    assert record.is_private is False and record.thumbnail == "" and record.upload_source, record
    check_time(record.created_at)
    # The shape of the documentation pages, next to the one of the SDK.
    assert record.success is True, record
    shown = dict(
        id=record.id,
        file_no=record.file_no,
        name=name,
        url=record.url,
        version_url=record.version_url,
        path=folder,
        width=record.width,
        height=record.height,
        format=record.format,
        file_size=len(data),
        workspace_no=record.workspace_no,
    )
    assert record.data == shown, (record.data, shown)
    check_served(record.url, data, record.mime_type)
    # The SDK knows no such member, and passes it on.
    check_served(record.version_url, data, record.mime_type)


def check_served(url, data, mime_type):
    answer = httpx.get(url)
    assert answer.status_code == 200 and answer.content == data, (url, answer)
    assert answer.headers["content-type"].split(";")[0] == mime_type.split(";")[0], answer.headers


def check_gone(url):
    assert httpx.get(url).status_code == 404, url


def check_row(row, record, folder_name):
    """A row of the list, or the details of a file, against the record that the upload answered."""
    same = "id file_no name path url size format mime_type width height hash tags metadata custom_id folder_no"
    for field in same.split() + ["workspace_no", "extension", "thumbnail"]:
        assert getattr(row, field) == getattr(record, field), (field, row, record)
    assert row.file_size == record.size and row.source == record.upload_source, row
    assert row.created_at == record.created_at, row
    assert row.updated_at is None or row.updated_at >= row.created_at, row
    assert row.folder_name == folder_name, row


async def check_direct_uploads(client, root):
    folder = f"{root}/direct"
    data = bytes_of(folder, 50_000).hex().encode()
    record = await done(
        client.uploads.create(
            file=data,
            file_name="report.txt",
            folder=f"/{root}//direct/",
            tags=" campaign, raw,,campaign",
            metadata='{"source": "sdk", "nested": {"n": [1, null]}}',
            custom_id="direct-1",
            random_prefix="false",
            webhook_url=WEBHOOK_URL,
        )
    )
    check_record(record, data, folder, "report.txt")
    # The SDK sends bytes as application/octet-stream, named "upload": the name in file_name decides.
    assert (record.mime_type.split(";")[0], record.format) == ("text/plain", "txt"), record
    assert record.extension == "document" and record.width is None and record.height is None, record
    assert record.tags == ["campaign", "raw"] and record.custom_id == "direct-1", record
    assert record.metadata == {"source": "sdk", "nested": {"n": [1, None]}}, record
    assert record.upload_source == "api" and record.is_duplicate is False, record
    check_row((await done(client.files.retrieve(record.file_no))).data, record, "direct")

    # At the root, with nothing but what is required, from a file on disk.
    with tempfile.TemporaryDirectory() as directory:
        on_disk = Path(directory, "local name.bin")
        on_disk.write_bytes(data)
        plain = await done(client.uploads.create(file=on_disk, file_name=f"{root} at the root.txt"))
    check_record(plain, data, "", f"{root} at the root.txt")
    assert plain.tags == [] and plain.metadata is None and plain.custom_id is None, plain
    assert plain.is_duplicate is True and plain.hash == record.hash and plain.id != record.id, plain
    check_row((await done(client.files.retrieve(plain.file_no))).data, plain, None)
    await done(client.files.delete(plain.file_no))
    check_gone(plain.url)
    check_served(record.url, data, "text/plain")

    prefixed = await done(
        client.uploads.create(file=data, file_name="prefixed.txt", folder=folder, random_prefix="true")
    )
    assert re.fullmatch("[0-9A-Za-z]{8}-prefixed.txt", prefixed.name), prefixed
    check_record(prefixed, data, folder, prefixed.name)

    image = await done(
        client.uploads.create(file=("pixel.png", png(3, 2), "image/png"), file_name="Übersicht №1.png", folder=folder)
    )
    check_record(image, png(3, 2), folder, "Übersicht №1.png")
    assert (image.width, image.height, image.mime_type) == (3, 2, "image/png"), image
    assert (image.format, image.extension) == ("png", "image"), image
    check_row((await done(client.files.retrieve(image.file_no))).data, image, "direct")

    # The same name again replaces the file.
    second = bytes_of(f"{folder} again", 50_000)
    replaced = await done(client.uploads.create(file=second, file_name="report.txt", folder=folder))
    check_record(replaced, second, folder, "report.txt")
    assert replaced.url == record.url and replaced.tags == [] and replaced.metadata is None, replaced
    found = await rows_of(client.files.list(folder_no=replaced.folder_no, search="report.txt"))
    assert [row.size for row in found] == [50_000], found

    for wrong, code in [
        # The SDK leaves empty text fields away.
        (dict(file_name=""), "FILE_NAME_REQUIRED"),
        (dict(file_name="a/b"), "INVALID_FILE_NAME"),
        (dict(folder="a/../b"), "INVALID_FOLDER"),
        (dict(tags="x" * 129), "INVALID_TAGS"),
        (dict(metadata="not JSON"), "INVALID_METADATA"),
        (dict(metadata="[1]"), "INVALID_METADATA"),
        (dict(custom_id="x" * 256), "INVALID_CUSTOM_ID"),
    ]:
        fields = {"file": b"x", "file_name": "wrong.txt", "folder": folder, **wrong}
        await refused(autorender.BadRequestError, code, client.uploads.create, **fields)
    form = {"headers": {"Content-Type": "multipart/form-data"}}
    await refused(
        autorender.BadRequestError,
        "FILE_REQUIRED",
        client.post,
        "/api/v1/uploads",
        cast_to=object,
        body={"file_name": "no-file.txt"},
        options=form,
    )
    listed = names(await rows_of(client.files.list(folder_no=record.folder_no)))
    assert sorted(listed) == sorted(["report.txt", prefixed.name, image.name]), listed


async def check_remote_uploads(client, root):
    folder = f"{root}/remote"
    record = await done(
        client.uploads.create_from_url(
            remote_url=REMOTE_URL,
            file_name="fetched.txt",
            folder=folder,
            tags=["campaign", " raw ", "campaign"],
            metadata='{"source": "url"}',
            custom_id="remote-1",
            random_prefix="false",
            webhook_url=WEBHOOK_URL,
        )
    )
    check_record(record, REMOTE_BYTES, folder, "fetched.txt")
    assert record.mime_type.split(";")[0] == "text/plain" and record.extension == "document", record
    assert record.tags == ["campaign", "raw"] and record.custom_id == "remote-1", record
    assert record.metadata == {"source": "url"}, record
    check_row((await done(client.files.retrieve(record.file_no))).data, record, "remote")

    # The name is the URL's own where none is given; tags as one text, metadata as an object.
    own_name = await done(
        client.uploads.create_from_url(
            remote_url=REMOTE_URL, folder=folder, tags="a,b", extra_body={"metadata": {"n": 1}}
        )
    )
    check_record(own_name, REMOTE_BYTES, folder, "remote.txt")
    assert own_name.is_duplicate is True and own_name.hash == record.hash, own_name
    assert own_name.tags == ["a", "b"] and own_name.metadata == {"n": 1}, own_name

    prefixed = await done(
        client.uploads.create_from_url(remote_url=REMOTE_URL, folder=folder, random_prefix="true")
    )
    assert re.fullmatch("[0-9A-Za-z]{8}-remote.txt", prefixed.name), prefixed

    for wrong, codes in [
        (dict(remote_url="ftp://example.com/a.txt"), "INVALID_REMOTE_URL"),
        (dict(remote_url="no URL"), "INVALID_REMOTE_URL"),
        (dict(remote_url=""), "INVALID_REMOTE_URL"),
        # Nothing listens there, and it is no address for the server to ask in the first place.
        (dict(remote_url="http://127.0.0.1:1/a.txt"), "INVALID_REMOTE_URL REMOTE_FETCH_FAILED"),
        (dict(file_name="a/b"), "INVALID_FILE_NAME"),
        (dict(metadata="not JSON"), "INVALID_METADATA"),
    ]:
        fields = {"remote_url": REMOTE_URL, "folder": folder, **wrong}
        await refused(autorender.BadRequestError, codes, client.uploads.create_from_url, **fields)


async def check_multipart_uploads(client, root):
    folder = f"{root}/multipart"
    data = bytes_of(folder, 70_000)
    session = await done(
        client.multipart_uploads.start(
            file_name="parts.mp4",
            format="video/mp4",
            size=len(data),
            folder=folder,
            tags=["one", "two"],
            metadata={"n": 1},
            custom_id="multipart-1",
            random_prefix=False,
            ttl_seconds=600,
        )
    )
    assert len(session.parts) == 1 and session.policy.folder == folder, session
    answer = httpx.put(session.parts[0], content=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 200, answer.text
    record = await done(client.multipart_uploads.complete(session_id=session.session_id, uuid=session.uuid))
    assert record.id == session.uuid and record.path == f"{folder}/parts.mp4" and record.size == len(data), record
    check_served(record.url, data, "video/mp4")
    check_row((await done(client.files.retrieve(record.file_no))).data, record, "multipart")


async def check_lists_of_files(client, root):
    folder = f"{root}/lists"
    records = []
    for index, name in enumerate(["echo", "alpha", "delta", "bravo", "charlie", "under_score"]):
        records.append(
            await done(
                client.uploads.create(
                    file=bytes_of(f"{folder}/{name}", [600, 100, 500, 300, 200, 400][index]),
                    file_name=f"{name}.txt",
                    folder=folder,
                    tags=["even,all", "odd,all"][index % 2],
                    custom_id=f"{folder} {index}",
                )
            )
        )
    below = await done(
        client.uploads.create(
            file=bytes_of(f"{folder}/deeper/alpha", 700),
            file_name="alpha.txt",
            folder=f"{folder}/deeper",
            tags="odd,all,deep",
        )
    )
    folder_no = records[0].folder_no
    here = {record.name for record in records}

    async def listed(extra=None, **parameters):
        return await rows_of(client.files.list(extra_query=extra, **parameters))

    by_name = ["alpha.txt", "bravo.txt", "charlie.txt", "delta.txt", "echo.txt", "under_score.txt"]
    by_size = ["alpha.txt", "charlie.txt", "bravo.txt", "under_score.txt", "delta.txt", "echo.txt"]
    assert names(await listed(folder_no=folder_no, sort="name_asc")) == by_name
    assert names(await listed(folder_no=folder_no, sort="name_desc")) == by_name[::-1]
    assert names(await listed(folder_no=folder_no, sort="size_asc")) == by_size
    assert names(await listed(folder_no=folder_no, sort="size_desc")) == by_size[::-1]
    for sort, newest_first in [("created_at_asc", False), ("created_at_desc", True)]:
        rows = await listed(folder_no=folder_no, sort=sort)
        times = [row.created_at for row in rows]
        assert times == sorted(times, reverse=newest_first) and set(names(rows)) == here, (sort, rows)
    for field, ascending in [("name", by_name), ("file_size", by_size)]:
        extra = {"sort_field": field, "sort_order": "asc"}
        assert names(await listed(extra, folder_no=folder_no)) == ascending, field
        extra = {"sort_field": field, "sort_order": "desc"}
        assert names(await listed(extra, folder_no=folder_no)) == ascending[::-1], field

    # Rows say what the uploads have answered.
    for row, record in zip(await listed(folder_no=folder_no, sort="name_asc"), sorted(records, key=lambda r: r.name)):
        check_row(row, record, "lists")

    # Only what is in the folder itself; the path is a prefix and reaches further down.
    assert set(names(await listed(folder_no=folder_no))) == here
    assert names(await listed(folder_no=below.folder_no)) == ["alpha.txt"]
    assert len(await listed({"path": folder})) == len(records) + 1
    assert [row.path for row in await listed({"path": f"{folder}/deeper"})] == [below.path]
    assert await listed({"path": f"{root}/no such folder"}) == []

    # A part of the name, in capitals or not, and nothing but the name; no character is a wild card.
    for search, found in [("ALPHA", ["alpha.txt"]), ("lph", ["alpha.txt"]), ("_", ["under_score.txt"])]:
        assert names(await listed(folder_no=folder_no, search=search)) == found, search
        assert names(await listed({"name": search}, folder_no=folder_no)) == found, search
    assert names(await listed(folder_no=folder_no, search=".TXT", sort="name_asc")) == by_name
    for search in ["%", "lists", "*", "no such name"]:
        assert await listed(folder_no=folder_no, search=search) == [], search

    # Files that have all of the tags. The SDK sends a list as comma-separated text.
    assert set(names(await listed({"tags": "even"}, folder_no=folder_no))) == {"echo.txt", "delta.txt", "charlie.txt"}
    assert set(names(await listed({"tags": "all"}, folder_no=folder_no))) == here
    both = await listed({"tags": ["odd", "deep"], "path": folder})
    assert [row.id for row in both] == [below.id], both
    assert await listed({"tags": "even,odd"}, folder_no=folder_no) == []
    assert await listed({"tags": "eve"}, folder_no=folder_no) == []

    found = await listed({"custom_id": f"{folder} 2"})
    assert [(row.id, row.custom_id) for row in found] == [(records[2].id, f"{folder} 2")], found
    assert await listed({"custom_id": f"{folder} 99"}) == []
    extra = {"tags": "odd", "path": folder, "custom_id": f"{folder} 3"}
    assert names(await listed(extra, folder_no=folder_no, search="bravo", sort="size_asc")) == ["bravo.txt"]

    await check_pages(client, folder_no, by_name)
    for wrong in [dict(limit=0), dict(limit=101), dict(page=0), dict(sort="nonsense")]:
        await refused(autorender.BadRequestError, "INVALID_PARAMETER", client.files.list, **wrong)


async def check_pages(client, folder_no, by_name):
    first = await done(client.files.list(folder_no=folder_no, sort="name_asc", limit=4))
    assert names(first.files) == by_name[:4], first
    assert first.meta.page == 1 and first.meta.has_next is True and first.meta.hasPrev is False, first.meta
    assert first.meta.limit == 4 and first.meta.total == 6, first.meta
    assert first.has_next_page() and first.next_page_info().params == {"page": 2}
    second = await done(first.get_next_page())
    assert names(second.files) == by_name[4:] and not second.has_next_page(), second
    assert second.meta.page == 2 and second.meta.has_next is False and second.meta.hasPrev is True, second.meta
    assert second.meta.total == 6, second.meta
    beyond = await done(client.files.list(folder_no=folder_no, sort="name_asc", limit=4, page=9))
    assert beyond.files == [] and beyond.meta.page == 9 and beyond.meta.has_next is False, beyond
    assert beyond.meta.total == 6 and not beyond.has_next_page(), beyond

    # A last page that is full has none after it.
    pages = await pages_of(await done(client.files.list(folder_no=folder_no, sort="name_asc", limit=2)))
    assert [names(page.files) for page in pages] == [by_name[:2], by_name[2:4], by_name[4:]], pages
    for limit in [1, 4, 5, 100]:
        assert names(await rows_of(client.files.list(folder_no=folder_no, sort="name_asc", limit=limit))) == by_name
    rest = await rows_of(client.files.list(folder_no=folder_no, sort="name_asc", limit=2, page=2))
    assert names(rest) == by_name[2:], rest
    whole = await done(client.files.list())
    assert whole.meta.limit == 20 and whole.meta.page == 1 and whole.meta.total >= 6, whole.meta


async def check_changes_of_files(client, root):
    folder = f"{root}/changes"
    data = bytes_of(folder, 500).hex().encode()
    record = await done(
        client.uploads.create(
            file=data, file_name="first.txt", folder=folder, tags="a,b", metadata='{"keep": 1, "drop": 2, "change": 3}'
        )
    )

    # Times are UTC with milliseconds.
    raw = await done(client.files.with_raw_response.retrieve(record.file_no))
    body = raw.http_response.json()
    assert raw.status_code == 200 and body["success"] is True, body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["data"]["created_at"]), body

    changed = await update(
        client,
        record.file_no,
        add_tags=["c", "a"],
        remove_tags=["b", "never there"],
        metadata={"drop": None, "change": "new", "add": [1]},
    )
    assert changed.tags == ["a", "c"], changed
    assert changed.metadata == {"keep": 1, "change": "new", "add": [1]}, changed
    assert (changed.id, changed.name, changed.url, changed.size) == (record.id, "first.txt", record.url, 1000), changed
    assert changed.updated_at >= record.created_at, changed
    assert (await done(client.files.retrieve(record.file_no))).data == changed
    unchanged = await update(client, record.file_no)
    assert (unchanged.tags, unchanged.metadata) == (changed.tags, changed.metadata), unchanged
    assert (await update(client, record.file_no, remove_tags=["a", "c"])).tags == []
    for wrong, code in [
        (dict(add_tags=[1]), "INVALID_TAGS"),
        (dict(add_tags=["x" * 129]), "INVALID_TAGS"),
        (dict(metadata="text"), "INVALID_METADATA"),
    ]:
        await refused(autorender.BadRequestError, code, update, client, record.file_no, **wrong)

    # The name goes without the extension, which stays.
    renamed = await done(client.files.rename(record.file_no, name="renamed"))
    assert renamed.success is True
    assert (renamed.data.name, renamed.data.path) == ("renamed.txt", f"{folder}/renamed.txt"), renamed
    assert (renamed.data.id, renamed.data.file_no) == (record.id, record.file_no), renamed
    assert renamed.data.metadata == changed.metadata and renamed.data.folder_no == record.folder_no, renamed
    assert renamed.data.created_at == record.created_at and renamed.data.mime_type == record.mime_type, renamed
    check_served(renamed.data.url, data, "text/plain")
    check_gone(record.url)
    assert (await done(client.files.retrieve(record.file_no))).data.to_dict() == renamed.data.to_dict()

    other_data = (bytes_of(f"{folder} other", 500).hex() + "\n").encode()
    other = await done(client.uploads.create(file=other_data, file_name="other.txt", folder=folder))
    await refused(autorender.ConflictError, "FILE_EXISTS", client.files.rename, other.file_no, name="renamed")
    check_served(other.url, other_data, "text/plain")
    check_served(renamed.data.url, data, "text/plain")
    for name in ["a/b", "a\\b", ""]:
        codes = "INVALID_FILE_NAME FILE_NAME_REQUIRED"
        await refused(autorender.BadRequestError, codes, client.files.rename, other.file_no, name=name)

    # Saying what would be deleted deletes nothing.
    would = await done(client.files.with_raw_response.delete(other.file_no, extra_query={"dry_run": True}))
    assert would.status_code == 200 and would.http_response.json()["dry_run"] is True, would.http_response.text
    assert "would_delete" in would.http_response.json(), would.http_response.text
    check_served(other.url, other_data, "text/plain")

    assert await done(client.files.delete(other.file_no)) is None
    check_gone(other.url)
    files = client.files
    for file_no in [other.file_no, "0000000000"]:
        for call, named in [
            (files.retrieve, {}),
            (files.delete, {}),
            (files.rename, dict(name="x")),
            (lambda file_no: update(client, file_no, add_tags=["x"]), {}),
        ]:
            await refused(autorender.NotFoundError, "FILE_NOT_FOUND", call, file_no, **named)
    # A number that cannot be one may be no address at all.
    await refused(autorender.NotFoundError, "FILE_NOT_FOUND NOT_FOUND", files.retrieve, "no/such ü")
    assert names(await rows_of(files.list(folder_no=record.folder_no))) == ["renamed.txt"]
    check_served(renamed.data.url, data, "text/plain")


async def check_folders(client, root):
    folders = client.folders
    top = await done(folders.create(name=f"{root}-folders"))
    assert str(uuid.UUID(top.id)) == top.id and len(top.folder_no) == 10, top
    assert (top.name, top.path, top.parent_folder_no) == (f"{root}-folders", f"{root}-folders", None), top
    check_time(top.created_at)
    inner = await done(folders.create(name="inner ü", parent_folder_no=top.folder_no))
    assert (inner.name, inner.path) == ("inner ü", f"{top.path}/inner ü"), inner
    assert inner.parent_folder_no == top.folder_no and inner.folder_no != top.folder_no, inner
    other = await done(folders.create(name="other", parent_folder_no=top.folder_no))
    deepest = await done(folders.create(name="deepest", parent_folder_no=inner.folder_no))
    assert deepest.path == f"{top.path}/inner ü/deepest", deepest

    await refused(autorender.ConflictError, "FOLDER_EXISTS", folders.create, name=top.name)
    await refused(
        autorender.ConflictError, "FOLDER_EXISTS", folders.create, name="other", parent_folder_no=top.folder_no
    )
    await refused(
        autorender.NotFoundError, "FOLDER_NOT_FOUND", folders.create, name="x", parent_folder_no="0000000000"
    )
    for name in ["", "a/b", "..", "x" * 101]:
        codes = "INVALID_FOLDER INVALID_PARAMETER INVALID_FILE_NAME FILE_NAME_REQUIRED"
        await refused(autorender.BadRequestError, codes, folders.create, name=name)
        await refused(autorender.BadRequestError, codes, folders.rename, other.folder_no, name=name)

    # Those of the root without a parent, and else the folder's own.
    async def listed(**parameters):
        return (await done(folders.list(**parameters))).folders

    at_root = names(await listed())
    assert top.name in at_root and root in at_root and "inner ü" not in at_root, at_root
    assert names(await listed(parent_folder_no=top.folder_no, sort="name_asc")) == ["inner ü", "other"]
    assert names(await listed(parent_folder_no=top.folder_no, sort="name_desc")) == ["other", "inner ü"]
    for sort, newest_first in [("created_at_asc", False), ("created_at_desc", True)]:
        rows = await listed(parent_folder_no=top.folder_no, sort=sort)
        times = [row.created_at for row in rows]
        assert times == sorted(times, reverse=newest_first) and len(rows) == 2, (sort, rows)
    assert names(await listed(parent_folder_no=inner.folder_no)) == ["deepest"]
    assert await listed(parent_folder_no=deepest.folder_no) == []
    assert names(await listed(parent_folder_no=top.folder_no, search="OTH")) == ["other"]
    assert names(await listed(search=f"{root}-FOLD")) == [top.name]
    assert await listed(parent_folder_no=top.folder_no, search="%") == []
    row = (await listed(parent_folder_no=top.folder_no, search="inner"))[0]
    assert (row.id, row.folder_no, row.path, row.created_at) == (
        inner.id,
        inner.folder_no,
        inner.path,
        inner.created_at,
    ), row
    assert row.parent_folder_no == top.folder_no and (row.total_items, row.total_size) == (0, 0), row
    await refused(autorender.BadRequestError, "INVALID_PARAMETER", folders.list, sort="size_asc")

    # Uploads land in the folders that there are. Sizes count all that is below, items what is in the folder.
    uploads = []
    for folder, name, size in [(inner, "a.txt", 100), (deepest, "b.txt", 20), (deepest, "c.txt", 3)]:
        data = bytes_of(f"{folder.path}/{name}", size).hex().encode()[:size]
        upload = await done(client.uploads.create(file=data, file_name=name, folder=folder.path))
        assert upload.folder_no == folder.folder_no, (upload, folder)
        uploads.append((upload, data))
    row = (await listed(parent_folder_no=inner.folder_no))[0]
    assert (row.total_items, row.total_size) == (2, 23), row
    sizes = {row.name: row.total_size for row in await listed(parent_folder_no=top.folder_no)}
    assert sizes == {"inner ü": 123, "other": 0}, sizes
    assert [row.total_size for row in await listed(search=top.name)] == [123]

    # Renaming takes along everything below.
    renamed = await done(folders.rename(inner.folder_no, name="renamed"))
    assert (renamed.id, renamed.folder_no, renamed.name) == (inner.id, inner.folder_no, "renamed"), renamed
    assert renamed.path == f"{top.path}/renamed" and renamed.parent_folder_no == top.folder_no, renamed
    assert renamed.created_at == inner.created_at and renamed.updated_at >= inner.created_at, renamed
    below = await listed(parent_folder_no=inner.folder_no)
    assert [(row.folder_no, row.path) for row in below] == [(deepest.folder_no, f"{renamed.path}/deepest")], below
    for upload, data in uploads:
        moved = (await done(client.files.retrieve(upload.file_no))).data
        assert moved.path == upload.path.replace("inner ü", "renamed"), moved
        assert moved.folder_no == upload.folder_no, moved
        assert moved.folder_name == ("renamed" if upload.name == "a.txt" else "deepest"), moved
        check_served(moved.url, data, "text/plain")
        check_gone(upload.url)
    assert len(await rows_of(client.files.list(extra_query={"path": renamed.path}))) == 3
    assert await rows_of(client.files.list(extra_query={"path": inner.path})) == []
    await refused(autorender.ConflictError, "FOLDER_EXISTS", folders.rename, inner.folder_no, name="other")
    await refused(autorender.NotFoundError, "FOLDER_NOT_FOUND", folders.rename, "0000000000", name="x")

    # Saying what would be deleted deletes nothing; deleting takes everything below.
    would = await done(folders.with_raw_response.delete(inner.folder_no, extra_query={"dry_run": True}))
    assert would.status_code == 200 and would.http_response.json()["dry_run"] is True, would.http_response.text
    assert len(await listed(parent_folder_no=top.folder_no)) == 2
    moved = [(await done(client.files.retrieve(upload.file_no))).data for upload, _ in uploads]
    assert await done(folders.delete(inner.folder_no)) is None
    assert names(await listed(parent_folder_no=top.folder_no)) == ["other"]
    for row in moved:
        check_gone(row.url)
        await refused(autorender.NotFoundError, "FILE_NOT_FOUND", client.files.retrieve, row.file_no)
    for folder in [inner, deepest]:
        await refused(autorender.NotFoundError, "FOLDER_NOT_FOUND", folders.delete, folder.folder_no)
    await done(folders.delete(top.folder_no))
    assert top.name not in names(await listed())


async def check_keys(client, public, stranger, root):
    # A public key may upload, and nothing else.
    data = bytes_of(f"{root} public", 1000).hex().encode()
    folder = f"{root}/public"
    record = await done(
        public.uploads.create(file=data, file_name="visitor.txt", folder=folder, tags="x", metadata='{"n": 1}')
    )
    check_record(record, data, folder, "visitor.txt")
    assert record.tags == ["x"] and record.metadata == {"n": 1}, record
    check_row((await done(client.files.retrieve(record.file_no))).data, record, "public")
    for other, error_type, code in [
        (public, autorender.PermissionDeniedError, "FORBIDDEN"),
        (stranger, autorender.AuthenticationError, "UNAUTHORIZED"),
    ]:
        files, folders = other.files, other.folders
        for call, arguments, named in [
            (other.uploads.create_from_url, (), dict(remote_url=REMOTE_URL)),
            (files.list, (), {}),
            (files.retrieve, (record.file_no,), {}),
            (files.rename, (record.file_no,), dict(name="taken")),
            (files.delete, (record.file_no,), {}),
            (files.delete, (record.file_no,), dict(extra_query={"dry_run": True})),
            (update, (other, record.file_no), dict(add_tags=["taken"])),
            (folders.list, (), {}),
            (folders.create, (), dict(name="taken")),
            (folders.rename, (record.folder_no,), dict(name="taken")),
            (folders.delete, (record.folder_no,), {}),
            # Whether there is such a file is none of its business either.
            (files.retrieve, ("0000000000",), {}),
        ]:
            error = await refused(error_type, code, call, *arguments, **named)
            assert other is public or error.response.headers["www-authenticate"].startswith("Bearer"), error
    upload = dict(file=b"x", file_name="x.txt")
    await refused(autorender.AuthenticationError, "UNAUTHORIZED", stranger.uploads.create, **upload)
    check_row((await done(client.files.retrieve(record.file_no))).data, record, "public")


async def check_all(client, public, stranger, root):
    await check_direct_uploads(client, root)
    await check_remote_uploads(client, root)
    await check_multipart_uploads(client, root)
    await check_lists_of_files(client, root)
    await check_changes_of_files(client, root)
    await check_folders(client, root)
    await check_keys(client, public, stranger, root)
    # The folders that the uploads made are folders like any other.
    top = [row for row in (await done(client.folders.list(search=root))).folders if row.name == root]
    assert len(top) == 1 and top[0].path == root and top[0].total_size > 0, top
    children = (await done(client.folders.list(parent_folder_no=top[0].folder_no, sort="name_asc"))).folders
    assert names(children) == ["changes", "direct", "lists", "multipart", "public", "remote"], children
    await done(client.folders.delete(top[0].folder_no))
    assert await rows_of(client.files.list(extra_query={"path": root})) == []


async def main():
    with contextlib.ExitStack() as clients:
        keys = [None, PUBLIC_KEY, "sk_wrong"]
        await check_all(*(clients.enter_context(Autorender(api_key=key, **STRICT)) for key in keys), "sdk-sync")
    async with contextlib.AsyncExitStack() as clients:
        opened = [await clients.enter_async_context(AsyncAutorender(api_key=key, **STRICT)) for key in keys]
        await check_all(*opened, "sdk-async")


asyncio.run(main())
print("all as expected")
