"""http.client's response with checks for a truncated head and for bytes after the body."""

import http.client
import io
import os
import socket
import ssl
import time
from functools import partial
from typing import Any, Callable, Optional

from ..wire.body import PIECE
from .patience import nothing, shut_down
from .sending import Sending

_MOST_INTERIM_ANSWERS = 100

# The exceptions of a non-blocking socket without data; eventlet raises the last one for TLS.
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, socket.timeout)


class Response(http.client.HTTPResponse):
    """A response that rejects a truncated head and closes a connection with unread bytes.

    :param silence: the timeout for the head in seconds, or None.
    """

    def __init__(
        self, sending: Sending, silence: Optional[float], sock: Any, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        sending.begun = True
        self._sending = sending
        self._silence = silence
        self._connection_socket = sock
        self._process = os.getpid()
        self.leftover = b""
        if not isinstance(self.fp, io.BufferedReader):
            return  # a mock has no socket
        raw: Any = self.fp.detach()
        if sending.patience.deadline is not None or sending.early:
            raw = _Armed(raw, partial(self._arm, sock), sending.early)
        self.fp = _Reader(raw, PIECE)

    def _arm(self, sock: Any) -> None:
        self._sending.patience.check()
        sock.settimeout(self._sending.patience.left(self._silence))

    def begin(self) -> None:
        """Read the status line and the headers."""
        reader: Any = self.fp
        reader.in_head = True
        super().begin()
        reader.in_head = False

    def _read_status(self) -> Any:
        """Read the final status line; http.client only skips interim responses with status 100."""
        began = time.monotonic()
        for _ in range(_MOST_INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            http.client.parse_headers(self.fp)
            if self._silence is not None and time.monotonic() - began > self._silence:
                raise socket.timeout("timed out")
        raise http.client.HTTPException("the server sends interim responses forever")

    def _close_conn(self) -> None:
        # A forked child must not shut down the connection of its parent.
        if self._process == os.getpid() and not self.will_close and not self._is_spent():
            shut_down(self._connection_socket)  # so that the pool drops the connection
        super()._close_conn()  # type: ignore[misc]

    def _is_spent(self) -> bool:
        """Whether request and response are complete and no more bytes are on the connection."""
        if self._sending.broken_off or self.status == 101 or self.leftover:
            return False
        if not isinstance(self.fp, _Reader):
            return True
        sock = self._connection_socket
        if isinstance(self.fp.raw, _Armed):
            self.fp.raw.arm = nothing
        timeout = sock.gettimeout()
        try:
            sock.settimeout(0)
            try:
                return not self.fp.peek(1)
            finally:
                sock.settimeout(timeout)
        except NOT_NOW:
            return True  # TLS read data of its own
        except (OSError, ValueError):
            return False


class _Reader(io.BufferedReader):
    """Reads the bytes of a connection.

    :ivar in_head: whether an incomplete line is an error.  http.client would take the end of
        the connection for the end of the head.
    """

    in_head = False

    def readline(self, limit: Any = -1) -> bytes:
        line = super().readline(limit)
        if self.in_head and not line.endswith(b"\n") and len(line) != limit:
            raise http.client.RemoteDisconnected(
                "the connection was closed before the end of the response headers"
            )
        return line


class _Armed(io.RawIOBase):
    """The early bytes, then the bytes of a socket, with a call of ``arm`` before each wait."""

    def __init__(self, raw: Any, arm: Callable[[], None], early: bytearray) -> None:
        self._raw = raw
        self.arm = arm
        self._early = early

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        if self._early:
            size = min(len(buffer), len(self._early))
            buffer[:size] = self._early[:size]
            del self._early[:size]
            return size
        self.arm()
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()
