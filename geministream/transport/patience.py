"""The deadline, cancel and timeouts of a call, and the socket that they apply to."""

import os
import socket
import time
from functools import partial
from typing import Any, Callable, Optional

from ..cancel import Cancel
from ..errors import StreamCancelled, StreamTimeoutError


class Patience:
    """The deadline, cancel and timeouts of one call, for all its requests.

    :param connect: the connect timeout in seconds, or None.
    :param silence: the read timeout in seconds, or None.
    :param deadline: seconds from now for the entire call, or None.
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
        self._forget: Callable[[], None] = nothing  # reverts watch()

    @property
    def endless(self) -> bool:
        """Whether nothing but a timeout can end the call: it has neither a deadline nor a cancel."""
        return self._ends is None and self.cancel is None

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel()`` was called."""
        return self.cancel is not None and self.cancel.cancelled

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed, within 50 ms, since a socket's timeout may end early."""
        return self._ends is not None and time.monotonic() >= self._ends - 0.05

    def check(self) -> None:
        """Raise if the call was cancelled or its deadline has passed."""
        if self.cancelled:
            raise StreamCancelled("the call was cancelled")
        if self._ends is not None and time.monotonic() >= self._ends:
            raise self.timed_out()

    def left(self, seconds: Optional[float]) -> Optional[float]:
        """Return ``seconds``, or the time until the deadline if that is shorter."""
        if self._ends is None:
            return seconds
        left = max(self._ends - time.monotonic(), 0.001)
        return left if seconds is None else min(seconds, left)

    def timed_out(self, what: str = "", seconds: Optional[float] = None) -> StreamTimeoutError:
        """Return the error for a timeout: about the deadline if that has passed, else about ``what``."""
        if self.expired:
            return StreamTimeoutError(f"the deadline of {self.deadline:g} s has passed")
        wait_longer = "; set Endpoint(timeout=) to wait longer"
        return StreamTimeoutError(what if seconds is None else f"{what} for {seconds:g} s{wait_longer}")

    def sleep(self, seconds: float) -> None:
        """Sleep; raise if the deadline would pass before the end, or if the call is cancelled."""
        self.check()
        if self._ends is not None and time.monotonic() + seconds >= self._ends:
            raise StreamTimeoutError(
                f"the deadline of {self.deadline:g} s would pass before the next attempt; raise deadline="
            )
        if self.cancel is not None:
            self.cancel.sleep(seconds)
            self.check()
        else:
            time.sleep(seconds)

    def arm(self, sock: Any) -> None:
        """Set the socket's timeout before a wait."""
        self.check()
        seconds = self.left(self.silence)
        # Setting it is a system call, for which Python lets another thread run.
        if not hasattr(sock, "gettimeout") or sock.gettimeout() != seconds:
            sock.settimeout(seconds)

    def watch(self, sock: Any) -> None:
        """Set the socket that a cancel shuts down; None for no socket."""
        if self.cancel is None:
            return
        self._forget()
        self._forget = nothing
        if sock is not None:
            callback = partial(_shut_down_of, os.getpid(), sock)
            self._forget = partial(self.cancel.forget, callback)
            self.cancel.on_cancel(callback)

    def watch_connecting(self, sock: Any) -> None:
        """Watch a duplicate of a socket, since TLS takes over the original before it can be watched."""
        if self.cancel is None or not hasattr(type(sock), "dup"):  # a mock has no dup()
            return
        same = sock.dup()
        self.watch(same)
        forget = self._forget

        def forget_and_close() -> None:
            forget()
            same.close()

        self._forget = forget_and_close


def _shut_down_of(process: int, sock: Any) -> None:
    if process == os.getpid():  # a forked child must not shut down the connection of its parent
        shut_down(sock)


def shut_down(sock: Any) -> None:
    """Wake the threads that wait on this socket, and make its connection unusable."""
    sock = getattr(sock, "socket", sock)  # TLS within TLS is not a socket but wraps one
    try:
        if isinstance(sock, socket.socket) and hasattr(socket.socket, "shutdown"):
            # Not sock.shutdown(): SSLSocket's would remove the TLS state while another thread reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)  # another library's socket, such as eventlet's
    except OSError:
        pass  # the connection is closed already


def nothing() -> None:
    pass
