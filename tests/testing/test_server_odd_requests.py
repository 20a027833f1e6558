"""Whatever comes is answered: requests that are odd at random."""

import copy
import json
import random
import socket

import pytest
from support.long_form import LONG
from support.odd_requests import FULL, FULL_TEXT, ODD, places_in
from support.plain_client import STREAM

from geministream.testing import LocalServer

pytestmark = pytest.mark.early


def odd_body(random, count):
    """A request as bytes: good but for a few places, or no JSON of use at all."""
    if random.random() < 0.05:
        return random.choice(
            [
                b"",
                b"null",
                b"3",
                b"[]",
                b"[" * 5000,
                b'{"a":' * 5000,
                b"\xff{}",
                b"\xef\xbb\xbf{}",
                b'{"contents": NaN}',
                b"9" * 5000,
                b'{"contents": ' + b"[" * 900 + b"]" * 900 + b"}",
                json.dumps(FULL).encode("utf-16"),
            ]
        )
    body = json.loads(FULL_TEXT)
    rare = {
        "contents": 0.05,
        "cachedContent": 0.95,
        "continuationToken": 0.8,
        "generateContentRequest": 0.5 if count else 0.95,
    }
    for name in FULL:
        if random.random() < rare.get(name, 0.4):
            del body[name]
    if "contents" in body:
        body["contents"] = body["contents"][-random.choice((1, 1, 3, 4)) :]
    for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
        places = places_in(body)
        if places:
            container, key = random.choice(places)
            choice = random.random()
            if choice < 0.15:
                del container[key]
            elif choice < 0.25:
                deep = copy.deepcopy(random.choice(ODD))
                for _ in range(random.choice((50, 150))):
                    deep = random.choice(([deep], {"a": deep}, {"properties": {"a": deep}}, {"items": deep}))
                container[key] = deep
            else:
                container[key] = copy.deepcopy(random.choice(ODD))
    return json.dumps(body).encode()


def odd_form(random):
    """A multipart form, or what is left of one."""
    line = random.choice([b"\r\n", b"\r\n", b"\n"])
    name = random.choice([b'"file"', b"file", b'"metadata"', b'""', b"\xff", b'"fi'])
    parts = [
        b"--b",
        b"Content-Disposition: form-data; name=" + name + random.choice([b"", b'; filename="\xff\\"x"']),
        random.choice([b"Content-Type: video/mp4", b"Content-Type:", b"\xff", b": x", b""]),
        b"",
        random.choice([b"{}", b"\xff", b"x" * 300]),
        b"--b",
        b'Content-Disposition: form-data; name="metadata"',
        b"",
        random.choice(UPLOADS),
        b"--b--",
        b"",
    ]
    body = line.join(parts)
    return body[: random.randrange(len(body))] if random.random() < 0.3 else body


UPLOADS = [
    b"",
    b"{}",
    b"[]",
    b"3",
    b'{"file": 3}',
    b'{"file": []}',
    b'{"file": {"name": 3}}',
    b'{"file": {"name": "\\ud800"}}',
    b'{"file": {"displayName": 3}}',
    b'{"file": {"displayName": ["x"]}}',
    b'{"file": {"displayName": "\\ud800"}}',
    b'{"file": {"name": "files/ok-1"}}',
    b"\xff",
    b"[" * 5000,
    b'{"file": {"name": {"a": 1}}}',
    b'{"file": {"display_name": {"a": 1}}}',
    b'{"file": {"name": "x", "displayName": "y"}}',
]


HEADERS = {
    "x-goog-api-key": ["local-key"] * 6 + ["", "x", "\xff"],
    "Authorization": ["Bearer local-key", "Bearer", "Basic x", "\xff", ""],
    "Content-Type": [
        "application/json",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "\xff",
    ],
    "X-Goog-Upload-Command": [
        "start",
        "start",
        "upload",
        "upload, finalize",
        "finalize",
        "query",
        "cancel",
        "",
        ",",
        "\xff",
    ],
    "X-Goog-Upload-Offset": ["0", "-1", "x", "9" * 5000, "\xb2"],
    "X-Goog-Upload-Protocol": ["resumable", "x"],
    "X-Goog-Upload-Header-Content-Length": ["3", "-3", "x", "\xb2", "9" * 5000, ""],
    "X-Goog-Upload-Header-Content-Type": ["video/mp4", "", "\xff", "x"],
    "Accept-Encoding": ["gzip", "gzip;q=0", "\xff"],
    "Expect": ["100-continue", "x"],
}


TARGETS = [
    STREAM,
    STREAM + "?alt=sse",
    STREAM + "?alt=sse",
    STREAM + "?alt=sse",
    STREAM + "?alt=x",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:countTokens",
    "/v1beta/models/m:countTokens",
    "/v1beta/models",
    "/v1beta/models/%ff",
    "/v1beta/models/\xff:streamGenerateContent",
    "/v1beta/models/%ed%a0%80:streamGenerateContent",
    "/v1beta/models/:x",
    "/v1beta/files",
    "/v1beta/files?pageSize=x",
    "/v1beta/files?pageSize=" + "9" * 5000,
    "/v1beta/files?pageToken=\xff",
    "/v1beta/files?pageToken=cGFnZTotNQ==",
    "/v1beta/files?pageToken=QUFBQUHCsg==",
    "/v1beta/files?pageSize=%C2%B2",
    "/v1beta/files?pageToken=%F0%9F%98%80",
    "/v1beta/files/ok-1",
    "/v1beta/files/%00",
    "/upload/v1beta/files",
    "/upload/v1beta/files",
    "/upload/v1beta/files?upload_id=upload-1",
    "/upload/v1beta/files?upload_id=%ff",
    "*",
    "/",
    "//",
    "http://[x",
    "?",
]


def odd_request(random, profile):
    """A request as bytes, with good credentials in most cases."""
    target = random.choice(TARGETS)
    if profile == "vertex":
        target = target.replace("/v1beta/models", "/v1/projects/p/locations/l/publishers/google/models")
    if profile == "bifrost":
        target = "/genai" + target
    if profile == "chainhub":
        target += ("&" if "?" in target else "?") + "key=local-key"
    headers = {"x-goog-api-key": "local-key", "Authorization": "Bearer local-key"}
    for name in random.sample(list(HEADERS), random.randrange(4)):
        headers[name] = random.choice(HEADERS[name])
    if "upload" in target:
        headers.setdefault("X-Goog-Upload-Command", random.choice(HEADERS["X-Goog-Upload-Command"]))
        body = odd_form(random) if "multipart" in headers.get("Content-Type", "") else random.choice(UPLOADS)
    else:
        body = odd_body(random, "countTokens" in target)
    length = random.choice(
        [f"Content-Length: {len(body)}"] * 30
        + [
            "Content-Length: x",
            "Content-Length: -1",
            "Content-Length: \xb2",
            "Transfer-Encoding: chunked",
            "Content-Length: " + "9" * 5000,
        ]
    )
    method = random.choice(
        ["POST"] * (60 if ":" in target else 6) + ["GET", "GET", "DELETE", "HEAD", "PUT", "\xff"]
    )
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        length,
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("profile", ["google", "gateway", "bifrost", "chainhub", "vertex"])
def test_every_request_is_answered(profile, lenient):
    """No request is too odd for an answer of the server's, and none makes it fail."""
    seeds = random.Random(f"whatever/{profile}/{lenient}")
    statuses = set()
    with LocalServer(
        profile=profile,
        lenient=lenient,
        tokens_per_request=4,
        checkpoint_every=2,
        require_signatures=True,
        reword=True,
    ) as server:
        for _ in range(8000 if LONG else 200):
            seed = seeds.random()
            request = odd_request(random.Random(seed), profile)
            answer = b""
            with socket.create_connection((server.host, server.port), timeout=10) as sock:
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                while True:
                    try:
                        piece = sock.recv(65536)
                    except ConnectionResetError:  # what it did not read is reset away
                        break
                    if not piece:
                        break
                    answer += piece
            if server.errors:
                raise AssertionError(f"seed {seed}: {request[:3000]!r}") from server.errors.pop()
            statuses.add(answer[9:12])
    assert b"500" not in statuses
    assert {b"200", b"400", b"404"} <= statuses
