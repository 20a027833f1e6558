"""How long a call may take: its deadline, its cancel, its timeouts, and the socket that waits for them."""

import os
import socket
import time
from functools import partial
from typing import Any, Callable, Optional

from ..cancel import Cancel
from ..errors import StreamCancelled, StreamTimeoutError


class Patience:
    """The time that one call has, over all its requests.

    :param connect: seconds for connecting, or None.
    :param silence: the most seconds between two reads, or None.
    :param deadline: seconds from now for the whole call, or None.
    """

    def __init__(
        self,
        connect: Optional[float],
        silence: Optional[float],
        deadline: Optional[float] = None,
        cancel: Optional[Cancel] = None,
    ) -> None:
        self.connect = connect
        self.silence = silence
        self.deadline = deadline
        self.cancel = cancel
        self._ends = None if deadline is None else time.monotonic() + deadline
        self._forget: Callable[[], None] = nothing  # undoes watch()

    @property
    def cancelled(self) -> bool:
        """Whether the call's `Cancel` was used."""
        return self.cancel is not None and self.cancel.cancelled

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed; a timeout set to end then may be a little early."""
        return self._ends is not None and time.monotonic() >= self._ends - 0.05

    def check(self) -> None:
        """Raise if the call was cancelled or is out of time."""
        if self.cancelled:
            raise StreamCancelled("the call was cancelled")
        if self._ends is not None and time.monotonic() >= self._ends:
            raise self.timed_out()

    def left(self, seconds: Optional[float]) -> Optional[float]:
        """``seconds``, or the time to the deadline if that is less."""
        if self._ends is None:
            return seconds
        left = max(self._ends - time.monotonic(), 0.001)
        return left if seconds is None else min(seconds, left)

    def timed_out(self, what: str = "", seconds: Optional[float] = None) -> StreamTimeoutError:
        """The error for a wait that is over: of the deadline if that has passed, else of ``what``."""
        if self.expired:
            return StreamTimeoutError(f"the deadline of {self.deadline:g} s has passed")
        wait_longer = "; set Endpoint(timeout=) to wait longer"
        return StreamTimeoutError(what if seconds is None else f"{what} for {seconds:g} s{wait_longer}")

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the deadline would pass in the meantime; a cancel ends it."""
        self.check()
        if self._ends is not None and time.monotonic() + seconds >= self._ends:
            raise StreamTimeoutError(
                f"the deadline of {self.deadline:g} s would pass before the next attempt"
            )
        if self.cancel is not None:
            self.cancel.sleep(seconds)
            self.check()
        else:
            time.sleep(seconds)

    def arm(self, sock: Any) -> None:
        """Before each wait on the socket: give it the time that is left."""
        self.check()
        sock.settimeout(self.left(self.silence))

    def watch(self, sock: Any) -> None:
        """From now on this socket (None: no socket) is the one that a cancel shuts down."""
        if self.cancel is None:
            return
        self._forget()
        self._forget = nothing
        if sock is not None:
            callback = partial(_shut_down_of, os.getpid(), sock)
            self._forget = partial(self.cancel.forget, callback)
            self.cancel.on_cancel(callback)

    def watch_connecting(self, sock: Any) -> None:
        """As `watch`, for a socket that TLS will take over; it tells nobody before its handshake is done."""
        if self.cancel is None or not hasattr(type(sock), "dup"):  # a mock's has none of its own
            return
        same = sock.dup()
        self.watch(same)
        forget = self._forget

        def forget_and_close() -> None:
            forget()
            same.close()

        self._forget = forget_and_close


def _shut_down_of(process: int, sock: Any) -> None:
    if process == os.getpid():  # the connection of a forked child's parent is not the child's to end
        shut_down(sock)


def shut_down(sock: Any) -> None:
    """Wake whoever is blocked on this socket, and let nobody use its connection again."""
    sock = getattr(sock, "socket", sock)  # TLS within TLS is not a socket, but has one
    try:
        if isinstance(sock, socket.socket) and hasattr(socket.socket, "shutdown"):
            # Not sock.shutdown(): that of an SSLSocket takes the TLS state from
            # under the thread that is reading.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)  # a socket of another make, such as eventlet's
    except OSError:
        pass  # closed already, which is all that is wanted


def nothing() -> None:
    pass
