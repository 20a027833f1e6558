"""Uploads as multipart/related, as @google/generative-ai sends them; and downloads of what was uploaded."""

import hashlib
import socket

import pytest
import requests

from geministream.testing import LocalServer

KEY = {"x-goog-api-key": "local-key"}
DATA = bytes(range(256)) * 5 + b"\r\n--B\r\n--"


def related(metadata=b'{"file": {"displayName": "a picture", "mimeType": "image/png"}}', data=DATA):
    """The body that GoogleAIFileManager.uploadFile makes."""
    head = b"--BOUND\r\nContent-Type: application/json; charset=utf-8\r\n\r\n" + metadata
    return head + b"\r\n--BOUND\r\nContent-Type: image/png\r\n\r\n" + data + b"\r\n--BOUND--"


def upload(server, body, **more):
    headers = {
        **KEY,
        "X-Goog-Upload-Protocol": "multipart",
        "Content-Type": "multipart/related; boundary=BOUND",
        **more,
    }
    return requests.post(server.url + "/upload/v1beta/files", data=body, headers=headers, timeout=10)


@pytest.fixture
def server():
    with LocalServer() as server:
        yield server


def test_related(server):
    file = upload(server, related()).json()["file"]
    assert (file["displayName"], file["mimeType"], file["state"]) == ("a picture", "image/png", "ACTIVE")
    stored = server.files[file["name"]]
    assert (stored.size, stored.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    named = upload(server, related(b'{"file": {"name": "files/mine"}}', b"")).json()["file"]
    assert (named["name"], named["sizeBytes"]) == ("files/mine", "0")


def test_related_in_pieces_of_any_size(server):
    body = related()
    head = (
        b"POST /upload/v1beta/files HTTP/1.1\r\nHost: x\r\nx-goog-api-key: local-key\r\nConnection: close\r\n"
        b"X-Goog-Upload-Protocol: multipart\r\nContent-Type: multipart/related; boundary=BOUND\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    for size in (1, 7, 64, 1000):
        with socket.create_connection((server.host, server.port), timeout=10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(head)
            for start in range(0, len(body), size):
                sock.sendall(body[start : start + size])
            while sock.recv(65536):
                pass
    digests = [file.sha256 for file in server.files.values()]
    assert digests == [hashlib.sha256(DATA).hexdigest()] * 4


def test_related_that_is_refused(server):
    for body, status in (
        (b"", 400),
        (b"--BOUND\r\n\r\n{}\r\n--BOUND--", 400),
        (related(b"{"), 400),
        (related(b'{"file": {"name": "files/UPPER"}}'), 400),
        (related(b"{" + b" " * 2**20), 413),
    ):
        assert upload(server, body).status_code == status, body[:60]
    assert upload(server, related(), **{"Content-Type": "multipart/related"}).status_code == 400
    assert upload(server, related(), **{"x-goog-api-key": "no"}).status_code == 400
    assert not server.files
    server.fail_upload(503, piece="form")
    assert [upload(server, related()).status_code for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("query", ["", "?alt=media"])
def test_download(server, query):
    name = upload(server, related()).json()["file"]["name"]
    answer = requests.get(f"{server.url}/v1beta/{name}:download{query}", headers=KEY, timeout=10)
    assert answer.content == DATA and answer.headers["Content-Type"] == "image/png"
    assert server.files[name].content == DATA


def test_download_of_an_upload_in_pieces(server):
    start = {**KEY, "X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
    url = requests.post(server.url + "/upload/v1beta/files", headers=start, timeout=10).headers[
        "X-Goog-Upload-URL"
    ]
    piece = b"x" * 2**18
    for command, offset, data in (
        ("upload", 0, piece),
        ("upload", 2**18, b"bad"),
        ("upload, finalize", 2**18, b"end"),
    ):
        headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
        answer = requests.post(url, data=data, headers=headers, timeout=10)
    name = answer.json()["file"]["name"]
    answer = requests.get(f"{server.url}/v1beta/{name}:download", headers=KEY, timeout=10)
    assert answer.content == piece + b"end"


def test_downloads_that_are_refused(server):
    name = upload(server, related(data=b"x" * (2**20 + 1))).json()["file"]["name"]
    url = f"{server.url}/v1beta/{name}:download"
    large = requests.get(url, headers=KEY, timeout=10)
    assert large.status_code == 400 and "up to 1048576 bytes" in large.json()["error"]["message"]
    assert (
        requests.get(f"{server.url}/v1beta/files/none:download", headers=KEY, timeout=10).status_code == 403
    )
    assert requests.post(url, headers=KEY, timeout=10).status_code == 405
    assert requests.get(url, timeout=10).status_code == 403
    assert requests.get(url + "ed", headers=KEY, timeout=10).status_code == 404
