"""An upload's progress and its cancel."""

import threading

import pytest
from support.raw_server import RawServer
from support.uploads import CONTENT, MIB, STEP, raw_endpoint

from geministream import Cancel, StreamCancelled, upload_file


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
