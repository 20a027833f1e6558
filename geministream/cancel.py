"""A switch that ends calls from another thread, or from a signal handler.

A signal handler runs on the main thread between any two instructions of whatever is running there,
this file included.  So nothing here takes a lock that the interrupted code could be holding: the flag
is a plain attribute, and the set is changed and copied by single operations, which are atomic.
"""

import threading
from typing import Callable, Set


class Cancel:
    """A switch that ends calls from another thread or a signal handler.

    Pass it to one or several calls as ``cancel=``.  ``cancel()`` ends them within moments with
    StreamCancelled, whether they sleep between two attempts, connect, send or read, and closes their
    connections.  Two things are not interrupted: the look-up of a host's name, and the attempt to reach
    one address, which ends at its own timeout at the latest.  A cancel cannot be undone.

    >>> stop = Cancel()
    >>> stop.cancel()
    >>> stop.cancelled
    True
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._callbacks: Set[Callable[[], object]] = set()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel()`` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End every call that has this Cancel, now and later.  Any thread or signal handler may call it."""
        self._cancelled = True
        for callback in list(self._callbacks):
            callback()

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` upon ``cancel()``; at once if that has happened.

        :param callback: must not raise, and may be called more than once, on any thread.
        """
        self._callbacks.add(callback)
        if self._cancelled:
            callback()

    def forget(self, callback: Callable[[], object]) -> None:
        """Undo `on_cancel`."""
        self._callbacks.discard(callback)

    def sleep(self, seconds: float) -> None:
        """Sleep, or return at ``cancel()``."""
        asleep = threading.Lock()  # held while asleep; releasing it is what wakes

        def wake() -> None:
            try:
                asleep.release()
            except RuntimeError:
                pass  # woken already

        asleep.acquire()
        self.on_cancel(wake)
        try:
            asleep.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        finally:
            self.forget(wake)
