"""Calls, what comes of them, and sockets that make them difficult."""

import contextlib
import errno
import select
import socket
import threading
import time

import pytest

from geministream import Cancel, GeministreamError, StreamCancelled, part_from_bytes, stream_generate
from geministream.testing import Answer

from .dialects import A, B, C, sse
from .raw_server import RawServer, head

KEY = "local-key"
QUICK = 2  # seconds, for what should take a tenth: other processes may be busy
OK = Answer(chunks=[A, B, C])


def ask(endpoint, contents="Hello", **options):
    options.setdefault("deadline", 30)
    return stream_generate("m", contents, endpoint=endpoint, **options)


def texts_of(chunks):
    return [chunk.text for chunk in chunks]


def outcome(stream):
    texts = []
    try:
        for each in stream:
            texts.append(each.text)
    except GeministreamError as error:
        return texts, error
    return texts, None


@contextlib.contextmanager
def closed_port():
    """The port of a socket that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def full_port():
    """A port whose queue is full: connecting to it takes forever, at 127.0.0.1, 127.0.0.2 and so on."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            if sock.connect_ex(("127.0.0.1", port)) != errno.EINPROGRESS:
                pytest.skip("connecting is not as it is on Linux")
            if not select.select([], [sock], [], 0.05)[1]:
                break
        else:
            pytest.skip("this machine's queues do not fill")
        yield port


@contextlib.contextmanager
def within(least, most):
    """That the block takes so many seconds."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert least <= took < most, f"took {took:.2f} s"


def never_reads(connection):
    connection.pause(60)


LARGE = part_from_bytes(bytes(12 * 2**20), "image/png")


class Running:
    """A call on a thread of its own."""

    def __init__(self, endpoint, contents="Hello", cancel=None, **options):
        self.cancel = cancel or Cancel()
        self.texts = []
        self.error = None
        self.has_text = threading.Event()
        self._options = {"endpoint": endpoint, "contents": contents, "cancel": self.cancel, **options}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for each in stream_generate("m", **self._options):
                self.texts.append(each.text)
                self.has_text.set()
        except BaseException as error:
            self.error = error
        self.ended = time.monotonic()

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive(), "the call hangs"

    def cancelled_in(self):
        """Cancel; seconds until the call had ended."""
        began = time.monotonic()
        self.cancel.cancel()
        self.join()
        assert type(self.error) is StreamCancelled
        return self.ended - began


def redirecting(locations, status=307, then=None):
    """A script: each path of ``locations`` leads to its value; any other is answered."""

    def script(connection):
        while True:
            connection.read_request()
            connection.seen.append(
                (connection.method, connection.target, connection.headers, connection.body)
            )
            path = connection.target.split("?")[0]
            if path in locations:
                connection.send(head(f"{status} Go", location=locations[path], content_length=0))
            else:
                body = then or sse(A, B, C)
                connection.send(head(content_length=len(body)) + body)

    return script


@contextlib.contextmanager
def recording(script, **options):
    seen = []

    def recorded(connection):
        connection.seen = seen
        script(connection)

    with RawServer(recorded, **options) as raw:
        raw.seen = seen
        yield raw
