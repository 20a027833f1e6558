"""http.client's response, with a head that is whole and nothing left behind the body."""

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

# A non-blocking socket has nothing now.  The last is how eventlet says it, of TLS.
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, socket.timeout)


class Response(http.client.HTTPResponse):
    """A response whose head is whole, and that leaves nothing on its connection.

    :param silence: seconds that it may take until the head is here, or None.
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
            return  # a mock's
        raw: Any = self.fp.detach()
        if sending.patience.deadline is not None or sending.early:
            raw = _Armed(raw, partial(self._arm, sock), sending.early)
        self.fp = _Reader(raw, PIECE)

    def _arm(self, sock: Any) -> None:
        self._sending.patience.check()
        sock.settimeout(self._sending.patience.left(self._silence))

    def begin(self) -> None:
        """Read the head."""
        reader: Any = self.fp
        reader.in_head = True
        super().begin()
        reader.in_head = False

    def _read_status(self) -> Any:
        """The status line, behind all interim answers: http.client skips those with status 100 alone."""
        began = time.monotonic()
        for _ in range(_MOST_INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            http.client.parse_headers(self.fp)
            if self._silence is not None and time.monotonic() - began > self._silence:
                raise socket.timeout("timed out")
        raise http.client.HTTPException("the server sends interim answers for ever")

    def _close_conn(self) -> None:
        # A forked child has the socket, too, but the connection is its parent's.
        if self._process == os.getpid() and not self.will_close and not self._is_spent():
            shut_down(self._connection_socket)  # its pool notices, and drops it
        super()._close_conn()  # type: ignore[misc]

    def _is_spent(self) -> bool:
        """Whether request and response are over, both, with nothing behind them on the connection."""
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
            return True  # TLS had something of its own to read
        except (OSError, ValueError):
            return False


class _Reader(io.BufferedReader):
    """Reads what a connection brings.

    :ivar in_head: whether lines must be whole: http.client takes the end of a
        connection for the end of the head.
    """

    in_head = False

    def readline(self, limit: Any = -1) -> bytes:
        line = super().readline(limit)
        if self.in_head and not line.endswith(b"\n") and len(line) != limit:
            raise http.client.RemoteDisconnected(
                "the connection was closed before the end of the answer's head"
            )
        return line


class _Armed(io.RawIOBase):
    """A socket's bytes, each wait for them armed, behind those that have come already."""

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
