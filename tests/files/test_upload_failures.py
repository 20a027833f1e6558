"""Uploads whose connection, server or memory fails under way, in pieces and as a form."""

import hashlib
import platform
import random
import threading
from dataclasses import replace

import pytest
from support.long_form import LONG, sample
from support.raw_server import RawServer
from support.uploads import (
    CONTENT,
    MIB,
    STEP,
    Once,
    raw_endpoint,
    reply,
    sent_pieces,
    sha256,
    some_bytes,
    stored,
)

from geministream import NotFoundError, RateLimitError, Retry, ServerError, TransportError, upload_file
from geministream.testing import Answer, LocalServer

pytestmark = pytest.mark.early


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
    with pytest.raises(TransportError, match="path or a seekable file object") as caught:
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


def test_a_fresh_token_sends_the_body_again(either):
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
