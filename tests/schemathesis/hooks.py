"""What JSON Schema cannot say of Partway's rules, how a part gets its URL, and what keeps requests on this machine.

A request that is as the document says may be refused only for a reason that stands here; every other refusal is a failure.
"""

import itertools
import json
import os
import re
import unicodedata
import urllib.parse
import urllib.request

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

MAX_NAME_BYTES = 255
# Common forms of hosts. The server judges others (numbers, punycode, ports) as browsers do.
PLAIN_URL = re.compile(r"https?://[a-z][a-z-]*(\.[a-z][a-z-]*)*(/[a-z0-9/._-]*)?")
CONTENT_MD5 = re.compile(r"[0-9A-Za-z+/]{21}[AQgw]==")
PLAIN_FIELD = re.compile(r"[A-Za-z0-9_ -]*")


def bytes_of(text):
    """After NFC, as the server counts."""
    return len(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))


def members(case):
    return case.body if isinstance(case.body, dict) else {}


def texts(case, *fields):
    return [members(case)[field] for field in fields if isinstance(members(case).get(field), str)]


def long_name(case):
    # Eight characters and a dash come before it, or the extension of the file that is renamed after it.
    added = 9 if str(members(case).get("random_prefix")).lower() == "true" else 0
    added = 20 if "file_name" not in members(case) else added
    return any(bytes_of(name) > MAX_NAME_BYTES - added for name in texts(case, "file_name", "name"))


def long_folder(case):
    # 1,024 bytes, of which some are those of the folder that it is in.
    paths = texts(case, "folder", "name")
    return any(bytes_of(path) > 900 or any(bytes_of(name) > MAX_NAME_BYTES for name in path.split("/")) for path in paths)


def odd_member(case):
    """A hash of a kind that this server does not know, or a URL or a form that can be judged in more than one way."""
    return (
        any(not text.startswith("blake3:") for text in texts(case, "hash"))
        or any(not PLAIN_URL.fullmatch(url) for url in texts(case, "webhook_url"))
        or any(not PLAIN_FIELD.fullmatch(field) for field in members(case))
    )


def numbers(value):
    if isinstance(value, dict):
        return [number for member in value.values() for number in numbers(member)]
    if isinstance(value, list):
        return [number for member in value for number in numbers(member)]
    return [value] if isinstance(value, (int, float)) else []


def odd_metadata(case):
    """Text, which must be JSON, or a number that 64 bits may not hold exactly."""
    return bool(texts(case, "metadata")) or any(abs(number) >= 2**63 for number in numbers(members(case).get("metadata")))


def given(*fields):
    return lambda case: any(members(case).get(field) for field in fields)


def always(_):
    return True


NAMES = {"INVALID_FILE_NAME": long_name, "INVALID_FOLDER": long_folder}
FIELDS = NAMES | {"INVALID_METADATA": odd_metadata, "INVALID_PARAMETER": odd_member}
ENDED = {"SESSION_EXPIRED": always, "SESSION_ABORTED": always}
# For each operation, the codes that may refuse a request that conforms to the document.
REASONS = {
    # Which extensions are known, and how large a file may be, is the server's own.
    "start_multipart": FIELDS
    | {
        "INVALID_FORMAT": lambda case: any("/" not in text for text in texts(case, "format")),
        "FILE_TOO_LARGE": always,
        # Its bounds depend on the size.
        "INVALID_PARAMETER": lambda case: odd_member(case) or given("part_size")(case),
    },
    # Wrong bytes arrived.
    "complete_multipart": ENDED
    | {
        "PARTS_MISSING": always,
        "UUID_MISMATCH": given("uuid"),
        "CHECKSUM_MISMATCH": given("hash"),
        "INVALID_PARAMETER": odd_member,
    },
    # The session has fewer parts.
    "resign_multipart": ENDED | {"INVALID_PARAMETER": given("parts")},
    "put_part": {
        "CHECKSUM_MISMATCH": lambda case: case.headers.keys() & {"Content-MD5", "Content-Digest"},
        # A structured field (RFC 9651); and schemathesis counts some wrong MD5 sums as right.
        "INVALID_PARAMETER": lambda case: "Content-Digest" in case.headers
        or not CONTENT_MD5.fullmatch(case.headers.get("Content-MD5", "")),
    },
    "create_upload": FIELDS | {"CHECKSUM_MISMATCH": given("hash")},
    # Nothing is reached from here.
    "create_remote_upload": FIELDS | {"INVALID_REMOTE_URL": always, "REMOTE_FETCH_FAILED": always},
    # Tags and metadata that the file has already count, too.
    "update_file": {"INVALID_TAGS": given("add_tags"), "INVALID_METADATA": given("metadata")},
    # One of them must be given, and not null.
    "rename_file": NAMES | {"FILE_NAME_REQUIRED": lambda case: not texts(case, "name", "folder")},
    # The folder that it is in may be deep already.
    "create_folder": {"INVALID_FOLDER": lambda case: long_folder(case) or given("parent_folder_no")(case)},
    "rename_folder": {"INVALID_FOLDER": long_folder},
    "get_file_content": {
        "RANGE_NOT_SATISFIABLE": lambda case: "Range" in case.headers,
        # RFC 9110, section 13.
        "PRECONDITION_FAILED": lambda case: bool(case.headers.keys() & {"If-Match", "If-Unmodified-Since"}),
    },
}


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


# Ids of the requests that only asked what would be deleted.
dry_runs = set()


@schemathesis.hook
def after_call(context, case, response):
    """Takes note of dry runs: schemathesis takes them for deletions."""
    if case.method == "DELETE" and response.status_code == 200:
        dry_runs.add(case.id)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops a failure that is none."""
    if isinstance(failure, UseAfterFree):
        # A session that was aborted is still there and says that it was (the contract: its status is `aborted`).
        is_session = case.operation.path.startswith("/api/v1/multipart/")
        return not is_session and failure.deleted_case_id not in dry_runs
    if isinstance(failure, AcceptedNegativeData):
        # Schemathesis reports a wrong request that a link has made right by itself. In a form all is text, so that no value
        # is of a wrong type.
        is_form = case.media_type == "multipart/form-data"
        retyped = is_form and any(not isinstance(value, str | bytes) for value in members(case).values())
        # Given without a value, `dry_run` is meant, and other parameters are as if they were not given; OpenAPI has no word
        # for either. An empty object is sent as no value.
        wrong = getattr(case.meta.phase.data, "parameter", None)
        bare = (case.query or {}).get("dry_run") == "" or (case.query or {}).get(wrong) in ("", {}, [])
        return not bare and not retyped and case.meta.phase.data.description != "Positive test case"
    if not isinstance(failure, RejectedPositiveData):
        return True
    try:
        code = response.json()["errorCode"]
    except (ValueError, KeyError, TypeError):
        return True
    return not REASONS.get(operation_id(case), {}).get(code, lambda _: False)(case)


# How much of a URL is before its host, and the host with its port; as URLs are read (https://url.spec.whatwg.org).
AUTHORITY = re.compile(r"([\x00-\x20]*https?:[/\\]*(?:[^/\\?#]*@)?)([^/\\?#]*)", re.IGNORECASE)


def kept_here(url):
    """The URL, with this machine's address in place of any that may be another's: names are not found, but addresses are."""
    found = AUTHORITY.match(re.sub(r"[\t\r\n]", "", url))
    if not found:
        return url
    host = unicodedata.normalize("NFKC", urllib.parse.unquote(found[2]))
    last = re.split("[.\u3002]", host.split(":")[0].rstrip(".\u3002"))[-1]
    is_address = host.startswith("[") or last[:1].isdigit()
    return f"{found[1]}127.0.0.1{found.string[found.end():]}" if is_address else url


calls = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Nothing leaves this machine; and nobody can guess the URL of a part."""
    if isinstance(case.body, dict):
        urls = {name: kept_here(url) for name, url in case.body.items() if name.endswith("_url") and type(url) is str}
        if any(case.body[name] != url for name, url in urls.items()):
            case.body = case.body | urls
    if operation_id(case) == "put_part" and case.meta and case.meta.generation.mode.is_positive and next(calls) % 2:
        send_for_real(case)


def send_for_real(case):
    """Sends the part to the URL of a session that is started for it."""
    content = getattr(case.body, "data", case.body)
    if not isinstance(content, bytes) or not content:
        return
    body = {"file_name": "part.bin", "size": len(content), "format": "bin"}
    headers = {"Authorization": f"Bearer {os.environ['PARTWAY_KEY']}", "Content-Type": "application/json"}
    url = case.operation.base_url.rstrip("/") + "/api/v1/multipart/start"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        part = urllib.parse.urlsplit(json.load(answer)["parts"][0])
    session_id, _, index = part.path.rsplit("/", 3)[1:]
    case.path_parameters = {"session_id": session_id, "part_index": int(index)}
    case.query = dict(urllib.parse.parse_qsl(part.query))
