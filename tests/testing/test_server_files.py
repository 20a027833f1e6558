"""The test server's files: uploads in pieces and as a form, their faults, and what is done with files."""

import base64
import hashlib
import json
import random

import pytest
import requests
from support.plain_client import KEY, ask, received, send, sse, start_upload, text_of, upload

from geministream.testing import LocalServer
from geministream.testing.forms import form_parts
from geministream.testing.uploads import GRANULARITY


def test_upload_in_pieces(server):
    data = random.Random(1).getrandbits(8 * (2 * GRANULARITY + 5)).to_bytes(2 * GRANULARITY + 5, "big")
    start = start_upload(server, len(data), displayName="Käse.png")
    assert start.headers["X-Goog-Upload-Chunk-Granularity"] == str(GRANULARITY)
    url = start.headers["X-Goog-Upload-URL"]
    first = send(url, data[:GRANULARITY], 0)
    assert first.headers["X-Goog-Upload-Status"] == "active" and received(url) == (GRANULARITY, "active")
    send(url, data[GRANULARITY : 2 * GRANULARITY], GRANULARITY)
    last = send(url, data[2 * GRANULARITY :], 2 * GRANULARITY, "upload, finalize")
    assert last.headers["X-Goog-Upload-Status"] == "final"
    file = last.json()["file"]
    digest = hashlib.sha256(data).hexdigest()
    assert base64.b64decode(file["sha256Hash"]).decode() == digest == server.files[file["name"]].sha256
    assert (file["sizeBytes"], file["mimeType"], file["state"]) == (str(len(data)), "image/png", "ACTIVE")
    assert file["displayName"] == "Käse.png" and file["uri"] == f"{server.url}/v1beta/{file['name']}"
    request = {"contents": [{"parts": [{"fileData": {"fileUri": file["uri"], "mimeType": "image/png"}}]}]}
    text = text_of(sse(ask(server, request).content))
    assert text == server.expected_text(request)
    assert text == f"You sent the file {file['uri']}, image/png, {len(data)} bytes, SHA-256 {digest}."


def test_upload_rules(server):
    url = start_upload(server, 3 * GRANULARITY).headers["X-Goog-Upload-URL"]
    assert send(url, b"x" * 1000, 0).status_code == 400  # no multiple of the granularity
    assert received(url) == (0, "active")  # and so not counted
    assert send(url, b"x" * GRANULARITY, 5).status_code == 400  # not where it ended
    assert send(url, b"x" * GRANULARITY, 0, "upload, finalize").status_code == 400  # not all of it
    assert send(url, b"x" * 4 * GRANULARITY, 0).status_code == 400  # more than was told
    assert send(url, b"", 0, "dance").status_code == 400
    assert send(url, iter([b"x" * GRANULARITY] * 3), 0, "upload, finalize").status_code == 200
    assert received(url) == (3 * GRANULARITY, "final")
    assert send(url.replace("upload_id=", "upload_id=x"), b"", 0).status_code == 404
    assert start_upload(server, 2**31 + 1).status_code == 400
    assert start_upload(server, 1, name="files/Not_Good").status_code == 400
    assert start_upload(server, 1, headers={}).status_code == 403
    assert upload(server, b"x", name="files/mine")["name"] == "files/mine"
    assert start_upload(server, 1, name="mine").status_code == 409


@pytest.mark.parametrize("how", ["reset", "drop", "503", 429, "stall"])
def test_upload_breaks_and_resumes_from_what_was_received(server, how):
    data = bytes(range(256)) * 4096  # 1 MiB
    server.fail_upload(how, piece=1, after_bytes=70_000)
    url = start_upload(server, len(data)).headers["X-Goog-Upload-URL"]
    send(url, data[:GRANULARITY], 0)
    headers = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": str(GRANULARITY)}
    try:
        response = requests.post(url, data=data[GRANULARITY : 3 * GRANULARITY], headers=headers, timeout=1)
        assert response.status_code == int(how)
    except requests.RequestException:
        assert how in ("reset", "drop", "stall")
    assert received(url) == (GRANULARITY + 70_000, "active")
    assert f"{how} at piece 1" in server.requests[2].fault
    rest = send(url, data[GRANULARITY + 70_000 :], GRANULARITY + 70_000, "upload, finalize")
    assert server.files[rest.json()["file"]["name"]].sha256 == hashlib.sha256(data).hexdigest()


def test_upload_whose_answer_is_lost(server):
    server.fail_upload("drop_answer", piece=0)
    url = start_upload(server, 10).headers["X-Goog-Upload-URL"]
    with pytest.raises(requests.ConnectionError):
        send(url, b"0123456789", 0, "upload, finalize")
    response = requests.post(url, headers={"X-Goog-Upload-Command": "query"})
    assert (
        response.headers["X-Goog-Upload-Status"] == "final" and response.json()["file"]["sizeBytes"] == "10"
    )


def test_upload_that_is_gone_and_faults_elsewhere(server):
    server.fail_upload("gone", piece=0)
    server.fail_upload(500, piece="query")
    server.fail_upload(503, piece="start")
    assert start_upload(server, 1).status_code == 503
    url = start_upload(server, 1).headers["X-Goog-Upload-URL"]
    assert requests.post(url, headers={"X-Goog-Upload-Command": "query"}).status_code == 500
    assert send(url, b"x", 0, "upload, finalize").status_code == 404
    assert send(url, b"x", 0, "upload, finalize").status_code == 404
    with pytest.raises(ValueError, match="whim"):
        server.fail_upload("whim", piece=0)
    with pytest.raises(ValueError, match="piece="):
        server.fail_upload("reset")


def test_upload_faults_at_bytes_of_the_file(server):
    data = random.Random(2).getrandbits(8 * 2**20).to_bytes(2**20, "big")
    places = [0, 1, 300_000, 300_001, 2**20 - 1]
    for place in places:
        server.fail_upload("reset", at=place)
    url = start_upload(server, len(data)).headers["X-Goog-Upload-URL"]
    met, offset = [], 0
    while True:
        try:
            done = send(url, data[offset:], offset, "upload, finalize")
            break
        except requests.ConnectionError:
            offset, _ = received(url)
            met.append(offset)
    assert met == places
    assert server.files[done.json()["file"]["name"]].sha256 == hashlib.sha256(data).hexdigest()


def test_large_uploads_keep_only_size_and_hash(server):
    block = b"z" * GRANULARITY
    url = start_upload(server, 40 * GRANULARITY).headers["X-Goog-Upload-URL"]
    send(url, (block for _ in range(40)), 0, "upload, finalize")
    recorded = server.requests[-1]
    assert (recorded.body, recorded.size) == (b"", 40 * GRANULARITY)
    assert recorded.sha256 == hashlib.sha256(block * 40).hexdigest()


def test_upload_url_may_name_another_host():
    with LocalServer(upload_host="https://elsewhere.example") as server:
        url = start_upload(server, 1).headers["X-Goog-Upload-URL"]
        assert url.startswith("https://elsewhere.example/upload/v1beta/files?upload_id=")
        own = url.replace("https://elsewhere.example", server.url)
        assert send(own, b"x", 0, "upload, finalize").status_code == 200


def test_list_get_delete_expire(server):
    names = [upload(server, b"%d" % k)["name"] for k in range(5)]
    url, seen, token = server.url + "/v1beta/files", [], ""
    while True:
        page = requests.get(url, params={"pageSize": 2, "pageToken": token}, headers=KEY).json()
        seen += [file["name"] for file in page["files"]]
        token = page.get("nextPageToken")
        if not token:
            break
    assert seen == names
    one = f"{server.url}/v1beta/{names[0]}"
    assert requests.get(one, headers=KEY).json()["name"] == names[0]
    assert requests.delete(one, headers=KEY).json() == {}
    for gone in (requests.get(one, headers=KEY), requests.delete(one, headers=KEY)):
        assert (gone.status_code, gone.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    server.expire_file(names[1])
    assert requests.get(f"{server.url}/v1beta/{names[1]}", headers=KEY).status_code == 403
    assert requests.get(url, params={"pageSize": 0}, headers=KEY).status_code == 400
    assert requests.get(url, params={"pageToken": "?"}, headers=KEY).status_code == 400
    assert requests.get(url).status_code == 403


def test_videos_are_processed_first():
    with LocalServer(processing_polls=1) as server:
        file = upload(server, b"video", "video/mp4")
        use = {"contents": [{"parts": [{"fileData": {"fileUri": file["uri"]}}]}]}
        assert file["state"] == "PROCESSING"
        early = ask(server, use).json()["error"]
        assert (early["code"], early["status"]) == (400, "FAILED_PRECONDITION")
        states = [requests.get(file["uri"], headers=KEY).json()["state"] for _ in range(2)]
        assert states == ["PROCESSING", "ACTIVE"] and ask(server, use).status_code == 200
    with LocalServer(processing_seconds=3600) as server:
        server.fail_processing("The codec is unknown.")
        failed, good = upload(server, b"v", "video/mp4"), upload(server, b"v", "video/mp4")
        server.finish_processing()
        failed = requests.get(failed["uri"], headers=KEY).json()
        assert failed["state"] == "FAILED" and failed["error"]["message"] == "The codec is unknown."
        assert "videoMetadata" in requests.get(good["uri"], headers=KEY).json()


def test_files_that_are_not_there_cannot_be_used(server):
    request = {"contents": [{"parts": [{"fileData": {"fileUri": f"{server.url}/v1beta/files/nope"}}]}]}
    error = ask(server, request).json()["error"]
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED") and "nope" in error["message"]


def test_multipart_upload():
    data = bytes(range(256)) * 5000
    with LocalServer(profile="bifrost") as server:
        form = {
            "metadata": (None, json.dumps({"file": {"displayName": "ü"}}), "application/json"),
            "file": ("f.bin", data, "audio/mpeg"),
        }
        response = requests.post(server.url + "/genai/upload/v1beta/files", files=form)
        file = response.json()["file"]
        assert (file["displayName"], file["mimeType"], file["sizeBytes"]) == (
            "ü",
            "audio/mpeg",
            str(len(data)),
        )
        assert server.files[file["name"]].sha256 == hashlib.sha256(data).hexdigest()
        assert file["uri"] == f"{server.url}/genai/v1beta/{file['name']}"
        assert requests.get(file["uri"]).json()["name"] == file["name"]
        no_file = requests.post(server.url + "/genai/upload/v1beta/files", files={"metadata": (None, "{}")})
        assert no_file.status_code == 400
        assert (
            requests.post(
                server.url + "/genai/upload/v1beta/files", json={}, headers={"X-Goog-Upload-Command": "start"}
            ).status_code
            == 400
        )  # not resumable here


def test_forms_are_read_at_any_split():
    data = b"\r\n--\r\n-B\r\n--A\r\n\r\n--"
    body = (
        b'preamble\r\n--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        b"\r\n--B\r\nX: y\r\n\r\n" + data + b"\r\n--B\r\n\r\nlast\r\n--B--\r\nepilogue"
    )
    for size in range(1, len(body) + 1):
        parts = []
        for headers, piece in form_parts((body[k : k + size] for k in range(0, len(body), size)), b"B"):
            if not parts or parts[-1][0] is not headers:
                parts.append((headers, []))
            parts[-1][1].append(piece)
        found = [(headers, b"".join(pieces)) for headers, pieces in parts if pieces[0] == b""]
        assert found[-3:] == [
            ({"content-disposition": 'form-data; name="a"'}, b""),
            ({"x": "y"}, data),
            ({}, b"last"),
        ]
