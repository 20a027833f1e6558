"""The Files API: uploads through hiccups, and what is done with files after that."""

import email
import gzip
import hashlib
import io
import json
import os
import pickle
import platform
import random
import select
import sys
import tempfile
import threading
import time
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from support import readme
from support.long_form import LONG, sample
from support.raw_server import RawServer, head

from geministream import (
    BadRequestError,
    Cancel,
    ConfigurationError,
    Endpoint,
    File,
    FileProcessingError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    Retry,
    ServerError,
    StreamCancelled,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
    collect,
    delete_file,
    get_file,
    list_files,
    part_from_path,
    stream_generate,
    upload_file,
    wait_for_file,
)
from geministream.testing import Answer, LocalServer

KIB, MIB = 2**10, 2**20
STEP = 256 * KIB  # the granularity of LocalServer, as Google's


def some_bytes(size, seed=0):
    """Bytes of which no two stretches are alike."""
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "little")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Once:
    """A binary file object that can only be read, and gives as much as it likes."""

    def __init__(self, data, most=10**9):
        self._file = io.BytesIO(data)
        self._most = most
        self.given = 0

    def read(self, size=-1):
        data = self._file.read(min(size, self._most) if size >= 0 else self._most)
        self.given += len(data)
        return data


@pytest.fixture
def server():
    with LocalServer() as server:
        yield server


@pytest.fixture(params=["resumable", "multipart"])
def either(request):
    """A server that takes files in pieces, then one that takes a form."""
    with LocalServer(profile="google" if request.param == "resumable" else "bifrost") as server:
        yield server


def sent_pieces(server):
    """``(command, offset, bytes)`` of all commands with an upload's id."""
    return [
        (r.headers["x-goog-upload-command"], int(r.headers.get("x-goog-upload-offset", -1)), r.size)
        for r in server.requests
        if "upload_id" in r.query
    ]


def stored(server):
    (file,) = server.files.values()
    return file


# Sources -----------------------------------------------------------------------

CONTENT = some_bytes(3 * STEP + 12345)


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
    file = tempfile.SpooledTemporaryFile(max_size=100)
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
def test_every_source_arrives_whole(either, make, tmp_path):
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


def test_the_mime_type_is_told_by_the_name(server, tmp_path):
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
    with pytest.raises(Exception) as caught:
        upload_file(b"2", mime_type="text/plain", name="mine", endpoint=either.endpoint)
    assert (caught.value.code, len(either.files)) == (409, 1)


def test_over_tls(trusted_tls):
    with LocalServer(tls=trusted_tls) as server:
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
        assert stored(server).sha256 == sha256(CONTENT)


# What cannot be uploaded ---------------------------------------------------------


def _empty_file(tmp_path):
    (tmp_path / "empty.mp3").touch()
    return tmp_path / "empty.mp3"


def _at_its_end(tmp_path):
    file = io.BytesIO()
    file.write(b"just written")
    return file


def _closed(tmp_path):
    file = io.BytesIO(b"x")
    file.close()
    return file


def _write_only(tmp_path):
    return (tmp_path / "out.mp3").open("wb")


class _NonBlocking:
    """As a pipe in non-blocking mode into which nobody has written yet."""

    def read(self, size=-1):
        return None if size else b""


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda t: t / "nowhere.mp3", "nowhere.mp3 cannot be read"),
        (lambda t: str(t / "nowhere.mp3"), "nowhere.mp3 cannot be read"),
        (lambda t: t, "is a directory"),
        (lambda t: "a\0b.mp3", "is no path"),
        (_empty_file, "is empty"),
        (lambda t: b"", "the source is empty"),
        (lambda t: io.BytesIO(), "the source is empty"),
        (lambda t: Once(b""), "the source is empty"),
        (_at_its_end, "call its seek"),
        (_closed, "closed file"),
        (_write_only, "cannot be read"),
        (lambda t: _NonBlocking(), "nothing to read now"),
        (lambda t: io.StringIO("text"), "mode 'rb'"),
        (lambda t: 42, "not 42"),
        (lambda t: None, "not None"),
        (lambda t: ["a.mp3"], "not \\["),
    ],
)
def test_what_is_no_source(either, tmp_path, make, says):
    source = make(tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        upload_file(source, mime_type="audio/mpeg", endpoint=either.endpoint)
    assert either.request_count == 0
    if hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(mime_type=None), "no name that tells its MIME type"),
        (dict(mime_type="mp3"), "not 'mp3'"),
        (dict(mime_type="a/b\r\nX-Evil: 1"), "a MIME type is"),
        (dict(mime_type="אודיו/mp3"), "a MIME type is"),
        (dict(mime_type=7), "a MIME type is"),
        (dict(display_name=b"x"), "display_name="),
        (dict(name="a/b"), "names no file"),
        (dict(name=""), "names no file"),
        (dict(name=5), "name="),
        (dict(chunk_bytes=0), "chunk_bytes="),
        (dict(chunk_bytes=1.5), "chunk_bytes="),
        (dict(chunk_bytes=True), "chunk_bytes="),
        (dict(progress=1), "progress="),
        (dict(cancel=threading.Event()), "cancel="),
    ],
)
def test_impossible_arguments(server, arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        upload_file(b"x", **{"mime_type": "audio/mpeg", "endpoint": server.endpoint, **arguments})
    assert server.request_count == 0


def test_a_name_that_tells_no_mime_type(server, tmp_path):
    (tmp_path / "thing.unheard-of").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="'thing.unheard-of' does not tell.*mime_type="):
        upload_file(tmp_path / "thing.unheard-of", endpoint=server.endpoint)


def test_without_a_key(monkeypatch):
    with pytest.raises(ConfigurationError, match="no API key"):
        upload_file(b"x", mime_type="text/plain")
    with pytest.raises(ConfigurationError, match="no API key"):
        list_files()


def test_vertex_has_no_files():
    endpoint = Endpoint.vertex("project", "global", "token")
    for call in (
        lambda: upload_file(b"x", mime_type="text/plain", endpoint=endpoint),
        lambda: list_files(endpoint=endpoint),
        lambda: get_file("x", endpoint=endpoint),
        lambda: delete_file("x", endpoint=endpoint),
        lambda: wait_for_file("x", endpoint=endpoint),
    ):
        with pytest.raises(ConfigurationError, match="Cloud Storage"):
            call()


def test_a_source_that_cannot_be_read_any_more(either):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= STEP:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(ConfigurationError, match="cannot be read: .*Input/output error"):
        upload_file(Failing(CONTENT), mime_type="audio/mpeg", endpoint=either.endpoint, chunk_bytes=STEP)
    assert not either.files
    assert either.request_count <= 2  # it is not tried again


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda file: file.truncate(2 * STEP + 5), "fewer"),
        (lambda file: (file.seek(0, io.SEEK_END), file.write(b"more")), "more"),
    ],
)
def test_a_file_that_changes_its_size_under_way(either, tmp_path, change, says):
    path = tmp_path / "log.txt"
    path.write_bytes(CONTENT)

    def progress(sent, total):
        if sent == STEP:
            with path.open("r+b") as file:
                change(file)

    with pytest.raises(ConfigurationError, match=f"had {len(CONTENT)} bytes at first and has {says} now"):
        upload_file(path, endpoint=either.endpoint, chunk_bytes=STEP, progress=progress)
    assert not either.files


@pytest.mark.parametrize("profile", ["google", "bifrost"])
def test_what_the_server_refuses(profile):
    with LocalServer(profile=profile, max_file_bytes=1000) as server:
        with pytest.raises(BadRequestError, match="at most 1000 bytes"):
            upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
        assert server.request_count == 1


# Hiccups -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "drop", "drop_answer", 408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("piece", [0, 1, 3])
@pytest.mark.parametrize("once", [False, True])
def test_a_piece_that_fails_is_gone_on_from_where_it_broke(server, how, piece, once):
    after = {"drop_answer": 0}.get(how, 5001)  # no multiple of anything
    server.fail_upload(how, piece=piece, after_bytes=after)
    file = upload_file(
        Once(CONTENT) if once else CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP
    )
    assert (file.size_bytes, stored(server).sha256) == (len(CONTENT), sha256(CONTENT))
    commands = sent_pieces(server)
    (asked,) = [k for k, command in enumerate(commands) if command[0] == "query"]
    received = piece * STEP + after
    if how == "drop_answer":
        received = min((piece + 1) * STEP, len(CONTENT))
    if asked + 1 < len(commands):
        assert commands[asked + 1][1] == received
    else:
        assert received == len(CONTENT)  # it was final, and nothing is left to do


def test_nothing_is_sent_twice(server):
    """What the server took before each fault is not sent again."""
    breaks = [10001, STEP, STEP + 77, 2 * STEP - 1, 3 * STEP + 12]
    for at in breaks:
        server.fail_upload("reset", at=at)
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=2 * STEP)
    offsets = [offset for command, offset, _ in sent_pieces(server) if command != "query"]
    assert offsets == sorted(set(offsets))
    for at in breaks:
        assert at in offsets
    assert stored(server).sha256 == sha256(CONTENT)


@pytest.mark.parametrize("how", ["reset", "drop", 503])
def test_a_start_and_a_query_that_fail(server, how):
    server.fail_upload(how, piece="start")
    server.fail_upload("reset", piece=1, after_bytes=5)
    server.fail_upload(how, piece="query")
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert stored(server).sha256 == sha256(CONTENT)
    assert [command for command, _, _ in sent_pieces(server)].count("query") == 2


def test_an_answer_that_never_comes(server):
    endpoint = replace(server.endpoint, timeout=(5, 0.6))
    server.fail_upload("stall", piece=1)
    server.fail_upload("stall", piece="query")
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=endpoint, chunk_bytes=STEP)
    assert stored(server).sha256 == sha256(CONTENT)


def test_the_last_answer_is_lost(server):
    server.fail_upload("drop_answer", at=len(CONTENT))
    progress = []
    file = upload_file(
        CONTENT,
        mime_type="audio/mpeg",
        endpoint=server.endpoint,
        chunk_bytes=STEP,
        progress=lambda *numbers: progress.append(numbers),
    )
    assert file.name == stored(server).name
    assert len(server.files) == 1
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert sent_pieces(server)[-1][0] == "query"


def test_all_bytes_are_there_and_the_end_was_not_understood(server):
    server.fail_upload("reset", at=len(CONTENT))
    file = upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert file.size_bytes == len(CONTENT)
    assert sent_pieces(server)[-1] == ("finalize", len(CONTENT), 0)


@pytest.mark.parametrize("how, error", [(503, ServerError), (429, RateLimitError), ("reset", TransportError)])
def test_attempts_are_bounded_while_nothing_arrives(server, how, error):
    for piece in range(1, 20):
        server.fail_upload(how, piece=piece)
    with pytest.raises(error):
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert [command for command, _, _ in sent_pieces(server)] == ["upload"] + ["upload", "query"] * 3 + [
        "upload"
    ]


def test_bytes_that_arrive_start_the_count_again(server):
    endpoint = replace(server.endpoint, retry=Retry(attempts=2, initial_delay=0.001))
    breaks = range(1000, len(CONTENT), 50000)
    for at in breaks:
        server.fail_upload("reset", at=at)
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=endpoint, chunk_bytes=STEP)
    assert stored(server).sha256 == sha256(CONTENT)
    assert [command for command, _, _ in sent_pieces(server)].count("query") == len(breaks)


def test_a_start_is_bounded_too(server):
    for _ in range(20):
        server.fail_upload(503, piece="start")
    with pytest.raises(ServerError):
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint)
    assert server.request_count == 4


def test_without_retry_the_first_failure_is_raised(server):
    server.fail_upload(503, piece=1)
    with pytest.raises(ServerError):
        upload_file(
            CONTENT, mime_type="audio/mpeg", endpoint=replace(server.endpoint, retry=None), chunk_bytes=STEP
        )
    assert server.request_count == 3


@pytest.mark.parametrize("where", [0, 2, "query"])
def test_an_upload_that_is_gone_starts_over(server, where):
    if where == "query":
        server.fail_upload("reset", piece=2, after_bytes=100)
    server.fail_upload("gone", piece=where)
    progress = []
    upload_file(
        CONTENT,
        mime_type="audio/mpeg",
        endpoint=server.endpoint,
        chunk_bytes=STEP,
        progress=lambda sent, total: progress.append(sent),
    )
    assert stored(server).sha256 == sha256(CONTENT)
    assert [r.headers["x-goog-upload-command"] for r in server.requests].count("start") == 2
    assert progress[-4:] == [STEP, 2 * STEP, 3 * STEP, len(CONTENT)]


def test_an_upload_starts_over_only_once(server):
    server.fail_upload("gone", piece=2)
    server.fail_upload("gone", piece=1)
    with pytest.raises(NotFoundError):
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert [r.headers["x-goog-upload-command"] for r in server.requests].count("start") == 2


def test_starting_over_with_what_can_be_read_only_once(server):
    server.fail_upload("gone", piece=0, after_bytes=1000)
    upload_file(Once(CONTENT), mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert stored(server).sha256 == sha256(CONTENT)  # the first piece was still here

    server.fail_upload("gone", piece=1)
    with pytest.raises(TransportError, match="path or a file object that can seek") as caught:
        upload_file(Once(CONTENT), mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
    assert isinstance(caught.value.__cause__, NotFoundError)


def test_killed_at_random_through_200_mib(tmp_path):
    """In the long form twenty times 200 MiB, each through connections that die at places of its own seed."""
    size = 200 * MIB + 4321
    path = tmp_path / "video.bin"
    block = some_bytes(MIB)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            piece = (number.to_bytes(8, "big") + block)[: min(MIB, size - number)]
            digest.update(piece)
            file.write(piece)
    for seed in sample(range(20), 10):
        chance = random.Random(seed)
        with LocalServer() as server:
            kills = chance.randint(3, 12)
            for at in chance.sample(range(size), kills):
                server.fail_upload(chance.choice(["reset", "drop", "reset", "drop", 503]), at=at)
            file = upload_file(path, mime_type="video/mp4", endpoint=server.endpoint)
            assert stored(server).sha256 == digest.hexdigest(), seed
            assert file.size_bytes == size
            commands = [command for command, _, _ in sent_pieces(server)]
            assert commands.count("query") == kills, seed


MEMORY = """
import resource, sys
from geministream import Endpoint, upload_file

def memory(field):
    # Not ru_maxrss where it can be helped: after fork and exec it begins at the parent's size.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

class Once:
    left = {size}
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return b"x" * size

source = {{"path": {path!r}, "once": Once()}}[{kind!r}]
start = memory("VmRSS:")
upload_file(source, mime_type="video/mp4", endpoint=Endpoint(
    base_url={url!r}, api_key="local-key", upload_protocol={protocol!r}))
print(memory("VmHWM:") - start)
"""


@pytest.mark.parametrize("kind", ["path", "once"])
def test_memory_stays_flat(either, run_python, tmp_path, kind):
    size = 1024 * MIB if LONG else 80 * MIB
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
    endpoint = either.endpoint
    done = run_python(
        MEMORY.format(
            size=size, path=str(path), kind=kind, url=endpoint.base_url, protocol=endpoint.upload_protocol
        )
    )
    assert done.returncode == 0, done.stderr
    assert stored(either).size == size
    # PyPy collects garbage later, but never holds the whole file.
    assert int(done.stdout) < (48 * MIB if platform.python_implementation() == "CPython" else size)


# Forms -----------------------------------------------------------------------------


@pytest.fixture
def bifrost():
    with LocalServer(profile="bifrost") as server:
        yield server


@pytest.mark.parametrize("how", ["reset", "drop", 503, 429])
@pytest.mark.parametrize("once", [False, True])
def test_a_form_that_fails_is_sent_again(bifrost, how, once):
    bifrost.fail_upload(how, piece="form")
    bifrost.fail_upload(how, piece="form")
    upload_file(Once(CONTENT) if once else CONTENT, mime_type="audio/mpeg", endpoint=bifrost.endpoint)
    assert stored(bifrost).sha256 == sha256(CONTENT)
    first, second, third = bifrost.requests
    assert first.size == second.size == third.size


def test_a_form_whose_connection_dies_half_way():
    done = threading.Event()

    def script(connection):
        if connection.number < 2:
            connection.sock.recv(65536)
            connection.reset()
        else:
            connection.read_request()
            bodies.append(connection.body)
            connection.send(reply({"file": {"name": "files/x"}}))
            done.set()

    bodies = []
    with RawServer(script) as server:
        endpoint = raw_endpoint(server, upload_protocol="multipart")
        assert upload_file(CONTENT, mime_type="audio/mpeg", endpoint=endpoint).name == "files/x"
    assert CONTENT in bodies[0]


def test_forms_are_bounded(bifrost):
    for _ in range(20):
        bifrost.fail_upload(503, piece="form")
    with pytest.raises(ServerError):
        upload_file(b"x", mime_type="audio/mpeg", endpoint=bifrost.endpoint)
    assert bifrost.request_count == 4


def test_a_form_whose_answer_never_comes(bifrost):
    bifrost.fail_upload("stall", piece="form")
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=replace(bifrost.endpoint, timeout=(5, 0.6)))
    assert stored(bifrost).sha256 == sha256(CONTENT)


def test_a_fresh_token_gets_the_whole_body_again(either):
    """After a 401 the same body is sent once more, from its beginning."""
    tokens = iter(["stale-token", "local-key"])
    endpoint = replace(either.endpoint, api_key=None, auth=lambda: next(tokens), retry=None)
    if endpoint.upload_protocol == "resumable":
        either.profile = replace(
            either.profile,
            check_key=lambda head, key: (
                None if head.headers.get("authorization") == "Bearer " + key else Answer.failure(401, "stale")
            ),
        )
    upload_file(CONTENT, mime_type="audio/mpeg", endpoint=endpoint)
    assert stored(either).sha256 == sha256(CONTENT)


# Progress and cancel -----------------------------------------------------------------


def test_what_progress_raises_comes_out(either):
    class Enough(Exception):
        pass

    def progress(sent, total):
        raise kind("enough")

    for kind in (Enough, OSError, ValueError):
        before = either.request_count
        with pytest.raises(kind, match="enough"):
            upload_file(
                CONTENT, mime_type="audio/mpeg", endpoint=either.endpoint, chunk_bytes=STEP, progress=progress
            )
        assert either.request_count - before <= 2
    assert not either.files


def test_cancel_between_pieces(either):
    cancel = Cancel()
    with pytest.raises(StreamCancelled):
        upload_file(
            CONTENT,
            mime_type="audio/mpeg",
            endpoint=either.endpoint,
            chunk_bytes=STEP,
            cancel=cancel,
            progress=lambda sent, total: cancel.cancel(),
        )
    assert not either.files
    either.wait_for_connections(0)


def test_cancel_while_an_answer_is_waited_for(either):
    cancel = Cancel()
    either.fail_upload("stall", piece="form" if either.endpoint.upload_protocol == "multipart" else 1)

    def cancel_it():
        either.wait_until(lambda: any(r.fault or r.size > STEP + 1 for r in either.requests))
        cancel.cancel()

    threading.Thread(target=cancel_it).start()
    with pytest.raises(StreamCancelled):
        upload_file(
            CONTENT, mime_type="audio/mpeg", endpoint=either.endpoint, chunk_bytes=2 * STEP, cancel=cancel
        )
    either.wait_for_connections(0)


def test_cancel_while_nothing_is_read():
    """The server takes no more bytes: the client hangs in a send."""
    begun = threading.Event()

    def script(connection):
        connection.sock.recv(1000)
        begun.set()
        connection.pause(30)

    cancel = Cancel()

    def cancel_it():
        begun.wait(10)
        cancel.cancel()

    threading.Thread(target=cancel_it).start()
    with RawServer(script, receive_buffer=4096) as server:
        endpoint = raw_endpoint(server, upload_protocol="multipart")
        with pytest.raises(StreamCancelled):
            upload_file(bytes(32 * MIB), mime_type="audio/mpeg", endpoint=endpoint, cancel=cancel)


def test_cancel_while_the_source_is_slow(either):
    cancel = Cancel()

    class Slow:
        def read(self, size):
            if reads:
                cancel.cancel()
            reads.append(size)
            return b"drop" if size else b""

    reads = []
    with pytest.raises(StreamCancelled):
        upload_file(Slow(), mime_type="audio/mpeg", endpoint=either.endpoint, cancel=cancel)
    assert len(reads) < 5


# Servers with manners of their own ------------------------------------------------------


def reply(value=None, status="200 OK", **headers):
    """A whole response."""
    body = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
    return head(status, content_length=len(body), **headers) + body


def begun(url="/upload/v1beta/files?upload_id=1", **headers):
    return reply({}, x_goog_upload_status="active", x_goog_upload_url=url, **headers)


def active(**headers):
    return reply(x_goog_upload_status="active", **headers)


def received(count):
    return active(x_goog_upload_size_received=count)


def final(**fields):
    return reply({"file": {"name": "files/x", **fields}}, x_goog_upload_status="final")


def failure(code, **headers):
    return reply({"error": {"code": code, "message": f"no {code}"}}, status=f"{code} No", **headers)


def raw_endpoint(server, prefix="", **fields):
    return Endpoint(
        **{
            "base_url": server.url + prefix,
            "api_key": "secret-key",
            "timeout": 10,
            "retry": Retry(initial_delay=0.001),
            **fields,
        }
    )


class Talk:
    """A `RawServer` script: one answer for each request, over as many connections as it takes."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.requests = []  # (command, offset, target, body)
        self.headers = []

    def __call__(self, connection):
        while self._answers:
            while not select.select([connection.sock], [], [], 0.02)[0]:
                connection.pause(0)  # ends it with the test
            connection.read_request()
            self.headers.append(connection.headers)
            self.requests.append(
                (
                    connection.headers.get("x-goog-upload-command"),
                    connection.headers.get("x-goog-upload-offset"),
                    connection.target,
                    connection.body,
                )
            )
            connection.send(self._answers.pop(0))

    def upload(self, data, prefix="", **arguments):
        fields = arguments.pop("fields", {})
        with RawServer(self) as server:
            return upload_file(
                data, mime_type="audio/mpeg", endpoint=raw_endpoint(server, prefix, **fields), **arguments
            )

    @property
    def commands(self):
        return [request[0] for request in self.requests]


def test_the_granularity_that_the_server_names():
    talk = Talk(begun(x_goog_upload_chunk_granularity=1000), active(), active(), final())
    assert talk.upload(bytes(5000), chunk_bytes=2999).name == "files/x"
    assert [len(request[3]) for request in talk.requests[1:]] == [2000, 2000, 1000]
    talk = Talk(begun(x_goog_upload_chunk_granularity=4000), active(), final())
    talk.upload(bytes(5000), chunk_bytes=1)
    assert [len(request[3]) for request in talk.requests[1:]] == [4000, 1000]


@pytest.mark.parametrize("told", ["0", "-5", "many", ""])
def test_a_granularity_that_is_none(told):
    talk = Talk(begun(x_goog_upload_chunk_granularity=told), active(), final())
    talk.upload(bytes(STEP + 1), chunk_bytes=1)
    assert [len(request[3]) for request in talk.requests[1:]] == [STEP, 1]


@pytest.mark.parametrize("granularity", [64 * MIB + 1, 9999999999, 2**63])
def test_a_granularity_that_has_no_room_in_memory(granularity):
    talk = Talk(begun(x_goog_upload_chunk_granularity=granularity))
    with pytest.raises(StreamDecodeError, match=f"pieces of {granularity} bytes.*chunk_bytes="):
        talk.upload(bytes(5))
    talk = Talk(begun(x_goog_upload_chunk_granularity=granularity), final())
    assert talk.upload(bytes(5), chunk_bytes=granularity).name == "files/x"


@pytest.mark.parametrize(
    "url, prefix, target",
    [
        (
            "https://upstream.invalid/upload/v1beta/files?upload_id=a%2Fb&x=1",
            "",
            "/upload/v1beta/files?upload_id=a%2Fb&x=1",
        ),
        (
            "https://upstream.invalid/upload/v1beta/files?upload_id=1",
            "/g/e",
            "/g/e/upload/v1beta/files?upload_id=1",
        ),
        (
            "https://upstream.invalid/g/e/upload/v1beta/files?upload_id=1",
            "/g/e",
            "/g/e/upload/v1beta/files?upload_id=1",
        ),
        ("/g/e/resumable/77", "/g/e", "/g/e/resumable/77"),
        ("/resumable/77", "/g/e", "/resumable/77"),
        ("https://user:pw@upstream.invalid:1/u#f", "", "/u"),
    ],
)
def test_the_upload_stays_on_its_own_origin(url, prefix, target):
    talk = Talk(begun(url), final())
    talk.upload(b"x", prefix)
    assert talk.requests[0][2] == prefix + "/upload/v1beta/files"
    assert talk.requests[1][2] == target


@pytest.mark.parametrize(
    "url",
    [
        "x:@{evil}/steal",
        "x:.evil.example/steal",
        "x::{port}/p",
        "mailto:a@{evil}",
        "x:\\@{evil}/steal",
        "data:,@{evil}",
        "//{evil}/steal",
        "http:@{evil}/steal",
        "http://@{evil}/steal",
        "https://{evil}",
        "http://{evil}//{evil}/x",
        "http:///@{evil}/steal",
        "/\\{evil}/steal",
        "@{evil}/steal",
        "?@{evil}/steal",
        "http://x\\@{evil}/steal",
    ],
)
@pytest.mark.parametrize("prefix", ["", "/g/e"])
def test_no_upload_url_leads_to_another_server(url, prefix):
    """Whatever the server names, the key and the file stay with the server of the base URL."""
    with RawServer(lambda connection: connection.read_request()) as evil:
        talk = Talk(begun(url.format(evil=evil.netloc, port=evil.port)), final())
        try:
            talk.upload(b"x", prefix, fields=dict(retry=None, timeout=2))
        except StreamDecodeError as error:
            assert "upload URL" in str(error) and len(talk.requests) == 1
        else:
            assert talk.requests[1][3] == b"x"
        assert evil.connections == 0


def test_local_server_names_another_host():
    with LocalServer(upload_host="https://upstream.invalid") as server:
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint)
        assert stored(server).sha256 == sha256(CONTENT)


def test_an_upload_url_that_cannot_be_read():
    with pytest.raises(StreamDecodeError, match="upload URL cannot be read"):
        Talk(begun("http://[::1/")).upload(b"x")


def test_the_key_and_the_parameters_are_sent_once():
    """Google copies the query of the start into the upload URL, key and all."""
    copied = "https://upstream.invalid/upload/v1beta/files?key=secret-key&tenant=t%201&upload_id=secret-key-7"
    talk = Talk(begun(copied), final())
    talk.upload(b"x", fields=dict(auth="query", params={"tenant": "t 1"}))
    query = parse_qsl(urlsplit(talk.requests[1][2]).query)
    assert sorted(query) == [("key", "secret-key"), ("tenant", "t 1"), ("upload_id", "secret-key-7")]


def test_a_server_that_knows_no_resumable_upload():
    with pytest.raises(StreamDecodeError, match="upload_protocol='multipart'"):
        Talk(reply({"file": {}})).upload(b"x")


def test_a_server_that_takes_one_piece_only():
    """It calls the upload final after the first piece of several."""
    talk = Talk(begun(), final())
    with pytest.raises(FileProcessingError, match="larger chunk_bytes=") as caught:
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert caught.value.file.name == "files/x"


@pytest.mark.parametrize("data", [bytes(2 * STEP), Once(bytes(2 * STEP))])
def test_a_server_that_takes_one_piece_only_and_loses_the_answer(data):
    talk = Talk(begun(), failure(503), final())
    with pytest.raises(FileProcessingError, match="larger chunk_bytes="):
        talk.upload(data, chunk_bytes=STEP)


def test_a_server_that_has_other_than_all_bytes():
    talk = Talk(begun(), final(sizeBytes="2"))
    with pytest.raises(FileProcessingError, match="2 bytes of 3; delete files/x"):
        talk.upload(b"abc")
    assert Talk(begun(), final(sizeBytes="3")).upload(b"abc").size_bytes == 3
    assert Talk(begun(), final(sizeBytes="0")).upload(b"abc").size_bytes == 0  # it does not tell


def test_a_form_that_arrived_in_part():
    with RawServer(Talk(reply({"file": {"name": "files/x", "sizeBytes": "2"}}))) as server:
        with pytest.raises(FileProcessingError, match="2 bytes of 3"):
            upload_file(b"abc", mime_type="a/b", endpoint=raw_endpoint(server, upload_protocol="multipart"))


def test_a_file_that_is_not_wrapped():
    with RawServer(Talk(reply({"name": "files/x"}))) as server:
        endpoint = raw_endpoint(server, upload_protocol="multipart")
        assert upload_file(b"abc", mime_type="a/b", endpoint=endpoint).name == "files/x"


@pytest.mark.parametrize("code", [400, 412, 416])
def test_an_offset_that_the_server_does_not_expect(code):
    """It has more than was thought: the bytes of a request that was given up came after all."""
    talk = Talk(begun(), active(), failure(code), received(STEP + 5), final())
    talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert talk.commands == ["start", "upload", "upload, finalize", "query", "upload, finalize"]
    assert talk.requests[-1][1] == str(STEP + 5)


@pytest.mark.parametrize("code", [400, 412, 416])
def test_a_piece_that_is_refused_for_what_it_is(code):
    talk = Talk(begun(), active(), failure(code), received(STEP))
    with pytest.raises(Exception, match=f"no {code}"):
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert talk.commands[-1] == "query"
    talk = Talk(begun(), failure(code, x_goog_upload_status="final"))
    with pytest.raises(Exception, match=f"no {code}"):
        talk.upload(b"x")


def test_an_offset_that_never_fits_is_bounded():
    answers = [begun(), active()]
    for k in range(9):
        answers += [failure(400), received(k)]
    talk = Talk(*answers)
    with pytest.raises(BadRequestError):
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert talk.commands == ["start", "upload", "upload, finalize", "query", "upload"]


def test_an_upload_that_is_over_is_not_tried_again():
    talk = Talk(begun(), failure(503, x_goog_upload_status="final"))
    with pytest.raises(ServerError):
        talk.upload(b"x")
    assert talk.commands == ["start", "upload, finalize"]


@pytest.mark.parametrize("code", [401, 403, 409, 413])
def test_other_errors_are_final(code):
    talk = Talk(begun(), failure(code))
    with pytest.raises(Exception, match=f"no {code}"):
        talk.upload(b"x")


def test_a_server_that_took_a_part_of_a_piece():
    talk = Talk(begun(), received(1000), received(1000 + STEP), final())
    talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert [request[1] for request in talk.requests] == [None, "0", "1000", str(1000 + STEP)]


def test_a_server_that_forgets_what_it_had():
    talk = Talk(begun(), active(), failure(503), received(7), active(), final())
    talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert [request[1] for request in talk.requests] == [None, "0", str(STEP), None, "7", str(STEP + 7)]
    talk = Talk(begun(), active(), failure(503), received(7))
    with pytest.raises(TransportError, match="cannot be read again"):
        talk.upload(Once(bytes(2 * STEP)), chunk_bytes=STEP)


@pytest.mark.parametrize("count", [str(STEP + 1), "-1", "many", "", 2**63, "9" * 5000, "0x10", "\xb2", "5,5"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_server_that_says_nonsense_about_what_it_has(count, asked):
    """When it is asked, or with a piece; there, it may also say nothing."""
    talk = Talk(begun(), *([failure(503)] if asked else []), received(count), final())
    if count == "" and not asked:
        assert talk.upload(bytes(STEP + 1), chunk_bytes=STEP).name == "files/x"
        return
    with pytest.raises(StreamDecodeError, match="which cannot be"):
        talk.upload(bytes(STEP + 1), chunk_bytes=STEP)
    assert talk.commands[-1] == ("query" if asked else "upload")


def test_a_server_that_never_finishes():
    talk = Talk(begun(), *[answer for _ in range(9) for answer in (active(), received(3))])
    with pytest.raises(TransportError, match="did not finish"):
        talk.upload(b"abc")
    assert talk.commands == ["start", "upload, finalize"] + ["query", "finalize"] * 4


def test_a_server_that_takes_nothing():
    talk = Talk(begun(), *[received(0) for _ in range(20)])
    with pytest.raises(TransportError, match="took nothing"):
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert len(talk.requests) < 10


def test_a_server_that_cancelled_the_upload():
    with pytest.raises(StreamDecodeError, match="cancelled"):
        Talk(begun(), reply({}, x_goog_upload_status="cancelled")).upload(b"x")


def test_a_proxy_that_takes_the_status_away():
    talk = Talk(begun(), reply(), reply({"file": {"name": "files/x"}}))
    assert talk.upload(bytes(2 * STEP), chunk_bytes=STEP).name == "files/x"


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{", b"\xff", b'{"file": 5}', b'{"file": {}}', b""])
def test_an_answer_that_is_no_file(answer):
    with pytest.raises(StreamDecodeError):
        Talk(begun(), reply(answer, x_goog_upload_status="final")).upload(b"x")
    with RawServer(Talk(reply(answer))) as server, pytest.raises(StreamDecodeError):
        get_file("x", endpoint=raw_endpoint(server))


def test_an_error_under_a_200():
    with RawServer(Talk(reply({"error": {"code": 403, "message": "not yours: secret-key"}}))) as server:
        with pytest.raises(PermissionDeniedError, match=r"not yours: \*\*\*"):
            get_file("x", endpoint=raw_endpoint(server))


def test_no_credential_comes_out():
    talk = Talk(begun(), failure(413), b"")
    with pytest.raises(Exception) as caught:
        talk.upload(b"x", fields=dict(auth=("query", "header", "bearer")))
    assert "secret-key" not in repr(caught.value) + str(caught.value.__dict__)
    pickle.loads(pickle.dumps(caught.value))
    assert talk.headers[1]["x-goog-api-key"] == "secret-key"


# Looking after files -----------------------------------------------------------------------


def test_get(server):
    file = upload_file(b"hello", mime_type="text/plain", name="my-file", endpoint=server.endpoint)
    for name in (
        "files/my-file",
        "my-file",
        " my-file\n",
        file,
        file.uri,
        File(uri=file.uri),
        file.uri + ":download?alt=media",
        "https://elsewhere.example/v1/files/my-file",
    ):
        assert get_file(name, endpoint=server.endpoint) == file
        assert server.requests[-1].path == "/v1beta/files/my-file"


def test_get_at_a_gateway():
    with LocalServer(profile="bifrost") as server:
        file = upload_file(b"hello", mime_type="text/plain", endpoint=server.endpoint)
        assert get_file(file, endpoint=server.endpoint) == file
        assert file in list(list_files(endpoint=server.endpoint))
        delete_file(file, endpoint=server.endpoint)
        assert not server.files


@pytest.mark.parametrize(
    "name",
    [
        "",
        "files/",
        " ",
        "a/b",
        "files/a/b",
        "../models",
        "..",
        ".",
        "a b",
        "a?b",
        "a#b",
        "a\\b",
        "a\x00b",
        None,
        5,
        b"abc",
        File(),
        File(name=""),
        "gs://bucket/object",
        "https://example.com/other/abc",
        "https://example.com/v1/files/",
        "https://example.com/v1/files/a/b",
        "http://[::1/v1/models/x",
    ],
)
def test_what_names_no_file(server, name):
    for call in (get_file, delete_file, wait_for_file):
        with pytest.raises(ConfigurationError, match="names no file"):
            call(name, endpoint=server.endpoint)
    assert server.request_count == 0


def test_an_unusual_name_is_quoted():
    talk = Talk(reply({"name": "files/file-ü:1+%"}))
    with RawServer(talk) as server:
        get_file("files/file-ü:1+%", endpoint=raw_endpoint(server))
    assert talk.requests[0][2] == "/v1beta/files/file-%C3%BC%3A1%2B%25"


def test_no_such_file(server):
    for call in (get_file, delete_file, wait_for_file):
        with pytest.raises(PermissionDeniedError, match="may not exist"):
            call("nowhere", endpoint=server.endpoint)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_list_goes_through_all_pages(server, count):
    names = [f"files/f-{k}" for k in range(count)]
    for name in names:
        upload_file(b"x", mime_type="text/plain", name=name, endpoint=server.endpoint)
    before = server.request_count
    assert [file.name for file in list_files(page_size=3, endpoint=server.endpoint)] == names
    assert server.request_count - before == max(1, -(-count // 3))
    assert all(r.query["pageSize"] == "3" for r in server.requests[before:])
    assert [file.name for file in list_files(endpoint=server.endpoint)] == names


def test_list_asks_for_a_page_when_the_loop_gets_there(server):
    for k in range(4):
        upload_file(b"x", mime_type="text/plain", endpoint=server.endpoint)
    before = server.request_count
    files = list_files(page_size=2, endpoint=server.endpoint)
    assert server.request_count == before
    next(files), next(files)
    assert server.request_count == before + 1
    files.close()
    server.wait_for_connections(0)


def test_list_is_asked_again(server):
    answers = [Answer.failure(503), Answer.nothing("drop"), None]
    server.answer_with(lambda recorded: answers.pop(0))
    assert list(list_files(endpoint=server.endpoint)) == []
    assert server.request_count == 3


def test_a_list_without_end():
    page = reply({"files": [{"name": "files/x"}], "nextPageToken": "t"})
    with RawServer(Talk(page, page, page)) as server:
        with pytest.raises(StreamDecodeError, match="for ever"):
            list(list_files(endpoint=raw_endpoint(server)))


@pytest.mark.parametrize("token", [{"a": 1}, ["t"], 5, True, "\ud800"])
def test_a_page_token_that_is_no_text(token):
    page = reply({"files": [{"name": "files/x"}], "nextPageToken": token})
    with RawServer(Talk(page, page)) as server:
        files = list_files(endpoint=raw_endpoint(server))
        assert next(files).name == "files/x"
        with pytest.raises(StreamDecodeError, match="nextPageToken"):
            next(files)


@pytest.mark.parametrize("page_size", [0, -1, 1.0, "5", True, None])
def test_page_size(server, page_size):
    with pytest.raises(ConfigurationError, match="page_size="):
        list_files(page_size=page_size, endpoint=server.endpoint)


def test_delete(server):
    file = upload_file(b"x", mime_type="text/plain", endpoint=server.endpoint)
    assert delete_file(file, endpoint=server.endpoint) is None
    assert not server.files
    assert server.requests[-1].method == "DELETE"


def test_delete_whose_answer_is_lost():
    """The file is gone at the second attempt because the first deleted it."""

    class Losing(Talk):
        def __call__(self, connection):
            if connection.number == 0:
                connection.read_request()
                connection.reset()
            else:
                super().__call__(connection)

    with RawServer(Losing(failure(404))) as server:
        delete_file("x", endpoint=raw_endpoint(server))
    with RawServer(Talk(failure(404))) as server, pytest.raises(NotFoundError):
        delete_file("x", endpoint=raw_endpoint(server))
    # A redirect is no attempt that may have deleted anything.
    moved = reply(status="307 Moved", location="/v1/files/x")
    with RawServer(Talk(moved, failure(404))) as server, pytest.raises(NotFoundError):
        delete_file("x", endpoint=raw_endpoint(server))


def test_get_is_asked_again_after_a_silence(server):
    upload_file(b"x", mime_type="text/plain", name="x", endpoint=server.endpoint)
    answers = [Answer.nothing("stall"), None]
    server.answer_with(lambda recorded: answers.pop(0))
    assert get_file("x", endpoint=replace(server.endpoint, timeout=(5, 0.6))).name == "files/x"


def test_cancel_looking_after_files(server):
    cancel = Cancel()
    cancel.cancel()
    for call in (get_file, delete_file, wait_for_file):
        with pytest.raises(StreamCancelled):
            call("x", endpoint=server.endpoint, cancel=cancel)
    with pytest.raises(StreamCancelled):
        next(list_files(endpoint=server.endpoint, cancel=cancel))
    assert server.request_count == 0


# Waiting ---------------------------------------------------------------------------------


def test_wait_until_active():
    with LocalServer(processing_polls=3) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        assert file.state == "PROCESSING"
        before = server.request_count
        ready = wait_for_file(file, interval=0.01, endpoint=server.endpoint)
        assert (ready.name, ready.state) == (file.name, "ACTIVE")
        assert ready.video_metadata == {"videoDuration": "12s"}
        assert server.request_count - before == 4
        # Ready: no request more; by name it has to be asked.
        assert wait_for_file(ready, endpoint=server.endpoint) is ready
        assert server.request_count - before == 4
        assert wait_for_file(ready.name, endpoint=server.endpoint) == ready


def test_wait_for_what_failed():
    with LocalServer(processing_polls=1) as server:
        server.fail_processing("The video has no frames.")
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        says = f"{file.name} could not be processed: The video has no frames"
        with pytest.raises(FileProcessingError, match=says) as caught:
            wait_for_file(file, interval=0.01, endpoint=server.endpoint)
        failed = caught.value.file
        assert (failed.name, failed.state, failed.error.message) == (
            file.name,
            "FAILED",
            "The video has no frames.",
        )
        before = server.request_count
        with pytest.raises(FileProcessingError):
            wait_for_file(failed, endpoint=server.endpoint)  # known, and not asked again
        assert server.request_count == before
    assert pickle.loads(pickle.dumps(caught.value)).file == failed


@pytest.mark.parametrize("error", [{}, {"error": {}}, {"error": {"code": 3}}, {"error": "text"}])
def test_wait_for_what_failed_without_a_reason(error):
    with RawServer(Talk(reply({"name": "files/x", "state": "FAILED", **error}))) as server:
        with pytest.raises(FileProcessingError, match="no reason"):
            wait_for_file("x", endpoint=raw_endpoint(server))


def test_wait_past_the_timeout():
    with LocalServer(processing_seconds=1000) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        start = time.monotonic()
        with pytest.raises(StreamTimeoutError, match=f"{file.name} is not ready yet"):
            wait_for_file(file, timeout=0.3, interval=0.1, endpoint=server.endpoint)
        assert 0.2 < time.monotonic() - start < 3
        # An interval longer than the time that is left: one look before its end.
        server.finish_processing()
        file.state = "PROCESSING"
        assert wait_for_file(file, timeout=2.5, interval=100, endpoint=server.endpoint).state == "ACTIVE"


def test_wait_looks_once_more_before_the_end():
    with LocalServer(processing_polls=1) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        assert wait_for_file(file, timeout=2.5, interval=100, endpoint=server.endpoint).state == "ACTIVE"


def test_a_silent_server_does_not_make_the_wait_longer(server):
    server.answer_with(lambda recorded: Answer.nothing("stall"))
    start = time.monotonic()
    with pytest.raises(StreamTimeoutError, match="files/x is not ready yet"):
        wait_for_file("x", timeout=0.2, endpoint=server.endpoint)
    assert time.monotonic() - start < 5


def test_wait_survives_hiccups():
    with LocalServer(processing_polls=2) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        answers = [Answer.failure(503), None, Answer.nothing("reset"), None, None, None]
        server.answer_with(lambda recorded: answers.pop(0))
        assert wait_for_file(file, interval=0.01, endpoint=server.endpoint).state == "ACTIVE"


def test_cancel_a_wait():
    with LocalServer(processing_seconds=1000) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        cancel = Cancel()
        looked = server.request_count + 1

        def cancel_it():
            server.wait_for_request(looked)
            cancel.cancel()

        threading.Thread(target=cancel_it).start()
        with pytest.raises(StreamCancelled):
            wait_for_file(file, interval=1000, timeout=None, endpoint=server.endpoint, cancel=cancel)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(timeout=0),
        dict(timeout=-1),
        dict(timeout="1"),
        dict(timeout=True),
        dict(timeout=float("nan")),
        dict(timeout=float("inf")),
        dict(timeout=10**400),
        dict(interval=0),
        dict(interval=None),
        dict(interval="x"),
        dict(interval=True),
        dict(interval=-1),
        dict(interval=float("inf")),
        dict(interval=float("nan")),
        dict(interval=10**400),
    ],
)
def test_impossible_waits(server, arguments):
    with pytest.raises(ConfigurationError, match=f"{list(arguments)[0]}= must be seconds"):
        wait_for_file("x", endpoint=server.endpoint, **arguments)


# In contents -------------------------------------------------------------------------------


def test_a_file_goes_into_contents(server):
    file = upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint)
    answer = collect(
        stream_generate("gemini-flash-latest", ["Describe this", file], endpoint=server.endpoint)
    )
    assert str(len(CONTENT)) in answer.text and sha256(CONTENT)[:8] in answer.text
    part = server.requests[-1].json["contents"][0]["parts"][1]
    assert part == {"fileData": {"fileUri": file.uri, "mimeType": "audio/mpeg"}}


def test_a_file_that_is_not_ready_raises_before_the_request():
    with LocalServer(processing_seconds=1000) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        before = server.request_count
        with pytest.raises(ConfigurationError, match="wait_for_file"):
            stream_generate(
                "gemini-flash-latest", ["Describe this video clip", file], endpoint=server.endpoint
            )
        assert server.request_count == before


@pytest.mark.parametrize("name, size", [("talk.wav", 75 * 10**6 + 1), ("report.pdf", 50 * 10**6 + 1)])
def test_past_the_inline_limit_upload_file_is_named(tmp_path, name, size):
    with (tmp_path / name).open("wb") as file:
        file.truncate(size)
    with pytest.raises(ConfigurationError, match="upload_file"):
        part_from_path(tmp_path / name)


# README ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, path", [("audio", "talk.mp3"), ("video", "clip.mp4"), ("pdf", "report.pdf")])
def test_the_examples_of_the_readme(name, path, tmp_path, monkeypatch, capsys):
    with LocalServer(processing_polls=1) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GEMINI_API_KEY", "local-key")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        (tmp_path / path).write_bytes(CONTENT)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between two looks at the video
        exec(compile(readme.code(name), f"README.rst: {name}", "exec"), {})
        printed = capsys.readouterr().out
        assert str(len(CONTENT)) in printed and sha256(CONTENT)[:8] in printed
