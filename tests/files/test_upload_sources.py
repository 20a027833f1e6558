"""Sources of an upload: each arrives complete, in pieces and as a form."""

import email
import gzip
import io
import json
import os
import sys
import tempfile
import threading

import pytest
from support.uploads import CONTENT, STEP, Once, sent_pieces, sha256, some_bytes, stored

from geministream import APIError, File, upload_file
from geministream.testing import LocalServer


def _path(tmp_path):
    path = tmp_path / "talk.mp3"
    path.write_bytes(CONTENT)
    return path


def _fifo(tmp_path):
    path = tmp_path / "pipe.mp3"
    os.mkfifo(str(path))
    threading.Thread(target=path.write_bytes, args=(CONTENT,), daemon=True).start()
    return path


def _pipe(tmp_path):
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "wb") as file:
            file.write(CONTENT)

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(reading, "rb", 0)


def _standing(tmp_path):
    file = io.BytesIO(b"not this" + CONTENT)
    file.seek(len(b"not this"))
    return file


def _short(tmp_path):
    class Short(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1000))

    return Short(CONTENT)


def _spooled(tmp_path):
    file = tempfile.SpooledTemporaryFile(max_size=100)  # noqa: SIM115  it is read after this function
    file.write(CONTENT)
    file.seek(0)
    return file


def _zipped(tmp_path):
    path = tmp_path / "talk.mp3.gz"
    path.write_bytes(gzip.compress(CONTENT, 1))
    return gzip.open(str(path))


SOURCES = {
    "path": _path,
    "text": lambda tmp_path: str(_path(tmp_path)),
    "bytes": lambda tmp_path: CONTENT,
    "bytearray": lambda tmp_path: bytearray(CONTENT),
    "memoryview": lambda tmp_path: memoryview(CONTENT),
    "BytesIO": lambda tmp_path: io.BytesIO(CONTENT),
    "from where it stands": _standing,
    "file": lambda tmp_path: _path(tmp_path).open("rb"),
    "unbuffered": lambda tmp_path: _path(tmp_path).open("rb", 0),
    "short reads": _short,
    "spooled": _spooled,
    "gzip": _zipped,
    "once": lambda tmp_path: Once(CONTENT),
    "in drops": lambda tmp_path: Once(CONTENT, 1000),
    "pipe": _pipe,
    "named pipe": _fifo,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
def test_every_source_arrives_complete(either, make, tmp_path):
    source = make(tmp_path)
    progress = []
    file = upload_file(
        source,
        mime_type="audio/mpeg",
        endpoint=either.endpoint,
        chunk_bytes=STEP,
        progress=lambda sent, total: progress.append((sent, total)),
    )
    assert isinstance(file, File) and file.state == "ACTIVE"
    assert file.size_bytes == len(CONTENT)
    assert (stored(either).sha256, stored(either).size) == (sha256(CONTENT), len(CONTENT))
    assert stored(either).mime_type == "audio/mpeg"
    assert [sent for sent, _ in progress] == [STEP, 2 * STEP, 3 * STEP, len(CONTENT)]
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    if hasattr(source, "close"):
        assert not source.closed  # it is not ours
        source.close()


@pytest.mark.parametrize("size", [1, STEP - 1, STEP, STEP + 1, 2 * STEP, 3 * STEP])
@pytest.mark.parametrize("once", [False, True])
def test_every_length_around_a_piece(either, size, once):
    data = some_bytes(size)
    file = upload_file(
        Once(data) if once else data, mime_type="audio/mpeg", endpoint=either.endpoint, chunk_bytes=STEP
    )
    assert (file.size_bytes, stored(either).sha256) == (size, sha256(data))


def test_total_is_none_until_the_end_was_seen(server):
    progress = []
    upload_file(
        Once(CONTENT),
        mime_type="audio/mpeg",
        endpoint=server.endpoint,
        chunk_bytes=STEP,
        progress=lambda *numbers: progress.append(numbers),
    )
    assert progress[:3] == [(STEP, None), (2 * STEP, None), (3 * STEP, None)]
    assert "x-goog-upload-header-content-length" not in server.requests[0].headers


def test_the_end_is_seen_with_the_last_piece(server):
    upload_file(Once(CONTENT[: 2 * STEP]), mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert sent_pieces(server) == [("upload", 0, STEP), ("upload, finalize", STEP, STEP)]


def test_a_source_is_read_as_it_is_sent(server):
    source = Once(CONTENT)
    given = []
    upload_file(
        source,
        mime_type="audio/mpeg",
        endpoint=server.endpoint,
        chunk_bytes=STEP,
        progress=lambda sent, total: given.append(source.given),
    )
    assert given[0] < 2 * STEP


def test_the_wire_of_an_upload_in_pieces(server):
    upload_file(
        CONTENT, mime_type="audio/mpeg", display_name="Talk", endpoint=server.endpoint, chunk_bytes=STEP
    )
    start = server.requests[0]
    assert (start.method, start.path) == ("POST", "/upload/v1beta/files")
    assert start.headers["x-goog-upload-protocol"] == "resumable"
    assert start.headers["x-goog-upload-command"] == "start"
    assert start.headers["x-goog-upload-header-content-length"] == str(len(CONTENT))
    assert start.headers["x-goog-upload-header-content-type"] == "audio/mpeg"
    assert start.json == {"file": {"displayName": "Talk"}}
    assert sent_pieces(server) == [
        ("upload", 0, STEP),
        ("upload", STEP, STEP),
        ("upload", 2 * STEP, STEP),
        ("upload, finalize", 3 * STEP, 12345),
    ]
    assert len({r.connection for r in server.requests}) == 1


def test_the_wire_of_a_form():
    with LocalServer(profile="bifrost") as server:
        upload_file(
            b"hello there", mime_type="text/plain", display_name="greeting.txt", endpoint=server.endpoint
        )
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/genai/upload/v1beta/files")
    message = email.message_from_bytes(
        b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n" + request.body
    )
    metadata, file = message.get_payload()
    assert metadata.get_param("name", header="content-disposition") == "metadata"
    assert metadata.get_content_type() == "application/json"
    assert json.loads(metadata.get_payload()) == {"file": {"displayName": "greeting.txt"}}
    assert file.get_param("name", header="content-disposition") == "file"
    assert file.get_filename() == "greeting.txt"
    assert file.get_content_type() == "text/plain"
    assert file.get_payload(decode=True) == b"hello there"
    assert int(request.headers["content-length"]) == request.size
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize(
    "chunk_bytes, pieces",
    [(1, STEP), (STEP, STEP), (STEP + 1, STEP), (2 * STEP - 1, STEP), (2 * STEP, 2 * STEP)],
)
def test_pieces_are_multiples_of_the_granularity(server, chunk_bytes, pieces):
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=chunk_bytes)
    assert sent_pieces(server)[0] == ("upload", 0, pieces)


def test_the_mime_type_is_guessed_from_the_name(server, tmp_path):
    path = tmp_path / "CLIP.MP4"
    path.write_bytes(b"moov")
    assert upload_file(path, endpoint=server.endpoint).mime_type == "video/mp4"
    with path.open("rb") as file:
        assert upload_file(file, endpoint=server.endpoint).mime_type == "video/mp4"
    assert (
        upload_file(path, mime_type="video/quicktime", endpoint=server.endpoint).mime_type
        == "video/quicktime"
    )


@pytest.mark.parametrize(
    "name", ["שיעור ראשון.mp3", "講演 №1.mp3", "🎧.mp3", 'a "b" \\c;.mp3', "naïve talk.mp3"]
)
def test_names_of_any_script(either, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"ID3")
    file = upload_file(path, endpoint=either.endpoint)
    assert file.display_name == name
    assert file.mime_type == "audio/mpeg"
    for request in either.requests:
        assert all(
            value.isascii() if hasattr(value, "isascii") else value.encode("ascii") is not None
            for value in request.headers.values()
        )
    assert name.encode("utf-8") not in either.requests[0].body  # in the JSON, and there as \u…


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are bytes")
def test_a_name_that_is_not_utf8(either, tmp_path):
    path = os.fsencode(str(tmp_path)) + b"/caf\xe9.mp3"
    with open(path, "wb") as file:
        file.write(b"ID3")
    assert upload_file(os.fsdecode(path), endpoint=either.endpoint).display_name == "caf?.mp3"


def test_the_display_name_and_the_name_that_are_given(either, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"moov")
    file = upload_file(path, display_name="הקליפ", name="my-clip", endpoint=either.endpoint)
    assert (file.name, file.display_name) == ("files/my-clip", "הקליפ")
    file = upload_file(path, name="files/my-clip-2", endpoint=either.endpoint)
    assert file.name == "files/my-clip-2"


def test_a_name_that_is_taken_is_the_servers_error(either):
    upload_file(b"1", mime_type="text/plain", name="mine", endpoint=either.endpoint)
    with pytest.raises(APIError) as caught:
        upload_file(b"2", mime_type="text/plain", name="mine", endpoint=either.endpoint)
    assert (caught.value.code, len(either.files)) == (409, 1)


def test_over_tls(trusted_tls):
    with LocalServer(tls=trusted_tls) as server:
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
        assert stored(server).sha256 == sha256(CONTENT)
