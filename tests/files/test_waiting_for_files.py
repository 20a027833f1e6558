"""Waiting until a file is ready."""

import pickle
import threading
import time

import pytest
from support.raw_server import RawServer
from support.uploads import Talk, raw_endpoint, reply

from geministream import (
    Cancel,
    ConfigurationError,
    FileProcessingError,
    StreamCancelled,
    StreamTimeoutError,
    upload_file,
    wait_for_file,
)
from geministream.testing import Answer, LocalServer


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
        says = f"the server could not process {file.name}: The video has no frames"
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


def test_wait_survives_temporary_failures():
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
    with pytest.raises(ConfigurationError, match=f"{list(arguments)[0]}= must be a number of seconds"):
        wait_for_file("x", endpoint=server.endpoint, **arguments)
