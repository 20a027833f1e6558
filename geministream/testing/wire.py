"""HTTP/1.1 as a server, by hand: requests read from a socket, bytes written to it.

Nothing here knows Gemini.  Ordinary HTTP servers hide what this test server
controls: which bytes are sent in which piece, when, and how a connection ends.
Sockets are blocking, with one thread for each connection.  Such a thread waits
only in :meth:`Connection.pause`, so every wait ends as soon as the client leaves or
the server closes.

The standard obeyed is RFC 9112.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

#: The limits for a line in bytes, and for the number of header lines.
MAX_LINE = 65536
MAX_HEADERS = 200
#: The largest read of a body, in bytes.
READ = 65536
#: Seconds between two checks, during a wait, that the client is still connected.
LOOK = 0.02


class Gone(Exception):
    """The client has left, or the server is closing."""


class BadRequest(Exception):
    """The request is not valid HTTP/1.1, or exceeds a limit."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


class Headers(Mapping[str, str]):
    """Header fields by case-insensitive name; repeated fields are joined by commas."""

    def __init__(self, pairs: List[Tuple[str, str]]):
        self.pairs = pairs
        self._values: Dict[str, str] = {}
        for name, value in pairs:
            name = name.lower()
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"Headers({self.pairs!r})"


class Head(NamedTuple):
    """A request's first line and header fields."""

    method: str
    target: str
    path: str
    query: Dict[str, str]
    version: str
    headers: Headers

    @property
    def keep_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection and (self.version == "HTTP/1.1" or "keep-alive" in connection)


class Connection:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, number: int, closing: threading.Event):
        self.sock = sock
        self.number = number
        self.closing = closing
        self._file: Any = None
        #: Whether bytes of the last request's body are still to be read.
        self.body_unread = False
        #: Whether the head of an answer has been sent to the last request.
        self.answering = False

    def open(self) -> None:
        """Prepare the connection; may block for the TLS handshake, if there is one."""
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.do_handshake()
            self._file = self.sock.makefile("rb", READ)
        except (OSError, ValueError) as error:
            raise Gone from error

    # -- in ----------------------------------------------------------------

    def read_head(self) -> Head:
        """The head of the next request; raises Gone if the client has closed."""
        self.answering = False
        line = self._line()
        while line in (b"\r\n", b"\n"):  # RFC 9112, 2.2: ignore empty lines before the request line
            line = self._line()
        try:
            method, target, version = line.decode("latin-1").split()
        except ValueError:
            raise BadRequest("The request line is not HTTP.") from None
        if not version.startswith("HTTP/1."):
            raise BadRequest("Only HTTP/1.1 is supported.", 505)
        pairs: List[Tuple[str, str]] = []
        while True:
            line = self._line()
            if line in (b"\r\n", b"\n"):
                break
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name != name.strip() or not name:
                raise BadRequest("A header line is not HTTP.")
            pairs.append((name, value.strip()))
            if len(pairs) > MAX_HEADERS:
                raise BadRequest("Too many header lines.", 431)
        try:
            parts = urlsplit(target)  # also accepts the absolute form that proxies get
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
        except ValueError:
            raise BadRequest("The request target is not a URL.") from None
        return Head(method, target, unquote(parts.path), query, version, Headers(pairs))

    def read_body(self, head: Head) -> Iterator[bytes]:
        """The request's body, in pieces as they arrive."""
        chunked = "chunked" in head.headers.get("transfer-encoding", "").lower()
        length = 0
        if not chunked:
            try:
                length = int(head.headers.get("content-length", "0"))
            except ValueError:
                length = -1
            if length < 0:
                raise BadRequest("The Content-Length is not a valid number.")
        if (chunked or length) and head.headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body_unread = True
        yield from self._chunks() if chunked else self._exactly(length)
        self.body_unread = False

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                size = int(self._line().split(b";")[0], 16)
            except ValueError:
                size = -1
            if size < 0:
                raise BadRequest("A chunk's size is not a valid number.")
            if size == 0:
                break
            yield from self._exactly(size)
            if self._line() not in (b"\r\n", b"\n"):
                raise BadRequest("A chunk is longer than its size.")
        while self._line() not in (b"\r\n", b"\n"):  # trailers
            pass

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            try:
                piece = self._file.read1(min(length, READ))
            except (OSError, ValueError) as error:
                raise Gone from error
            if not piece:
                raise Gone
            length -= len(piece)
            yield piece

    def _line(self) -> bytes:
        try:
            line: bytes = self._file.readline(MAX_LINE)
        except (OSError, ValueError) as error:
            raise Gone from error
        if len(line) >= MAX_LINE:
            raise BadRequest("A line of the head is too long.", 431)
        if not line.endswith(b"\n"):
            raise Gone
        return line

    # -- out ---------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send all of `data` now."""
        try:
            self.sock.sendall(data)
        except (OSError, ValueError) as error:
            raise Gone from error

    def pause(self, seconds: Optional[float] = None, until: Optional[threading.Event] = None) -> None:
        """Wait `seconds`, or until the event `until` is set; with neither, forever.

        Raises Gone as soon as the client has left or the server closes.
        """
        end = None if seconds is None else time.monotonic() + seconds
        event = self.closing if until is None else until
        while True:
            left = LOOK if end is None else min(LOOK, end - time.monotonic())
            if left <= 0:
                return
            if event.wait(left) and event is until:
                return
            if self.closing.is_set() or self._client_has_left():
                raise Gone

    def _client_has_left(self) -> bool:
        """Whether the client closed or reset the connection (a half-closed one counts as closed)."""
        try:
            if not select_readable(self.sock):
                return False
            # The base class's recv, because an SSLSocket's refuses to peek.
            return not socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, ValueError):
            return True

    # -- the end -----------------------------------------------------------

    def abort(self) -> None:
        """End the connection from another thread: its own thread wakes up and closes it."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass

    def reset_on_close(self) -> None:
        """Make the following close a reset (RST) instead of an orderly end (FIN)."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, ValueError):
            pass

    def say_goodbye(self) -> None:
        """Close this side and let the client read what was sent before the connection closes.

        Otherwise closing with unread bytes from the client resets the
        connection, and the client loses the answer that explains the close.
        """
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.settimeout(0)
                try:
                    self.sock.unwrap()  # sends close_notify without waiting for the reply
                except (OSError, ValueError):
                    pass
            socket.socket.shutdown(self.sock, socket.SHUT_WR)
            end = time.monotonic() + 0.5
            while time.monotonic() < end and not self.closing.is_set():
                if select_readable(self.sock, LOOK) and not socket.socket.recv(self.sock, READ):
                    return
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        for thing in (self._file, self.sock):
            try:
                if thing is not None:
                    thing.close()
            except (OSError, ValueError):
                pass


def drain(pieces: Iterator[bytes]) -> None:
    """Read what is left of a body."""
    for _ in pieces:
        pass


def select_readable(sock: socket.socket, timeout: float = 0.0) -> bool:
    """Whether a read of `sock` would not block: there is data, the end, or an error."""
    if hasattr(select, "poll"):  # unlike select, accepts any file descriptor number
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    return bool(select.select([sock], [], [], timeout)[0])


def response_head(status: int, headers: List[Tuple[str, str]]) -> bytes:
    """The head of a response, ready to send."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
