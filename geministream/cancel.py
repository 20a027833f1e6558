"""A switch that ends calls from another thread, or from a signal handler.

A signal handler may interrupt any code of the main thread, including this module.  So nothing here
takes a lock that the interrupted code could hold: the flag is a plain attribute, and the set is
changed and copied by single operations, which are atomic.
"""

import threading
from typing import Any, Callable, Set

from .errors import ConfigurationError
from .retry import check_seconds, got


class Cancel:
    """A switch that ends calls from another thread or a signal handler.

    Pass it to one or more calls as ``cancel=``.  ``cancel()`` closes their connections and ends them
    within moments with StreamCancelled, while they connect, send, read or sleep before a retry.  It
    cannot interrupt the DNS lookup and the attempt to connect to one address, which ends with its
    timeout at the latest.  A cancel cannot be undone.

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
        """End all calls that use this Cancel, now and later; any thread or signal handler may call this."""
        self._cancelled = True
        for callback in list(self._callbacks):
            callback()

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Register a callback for ``cancel()``; call it immediately if that was called already.

        :param callback: must not raise; it may be called more than once, in any thread.
        """
        self._callbacks.add(callback)
        if self._cancelled:
            callback()

    def forget(self, callback: Callable[[], object]) -> None:
        """Unregister a callback (see `on_cancel`)."""
        self._callbacks.discard(callback)

    def sleep(self, seconds: float) -> None:
        """Sleep until the time has passed or ``cancel()`` is called."""
        asleep = threading.Lock()  # held while asleep; releasing it ends the sleep

        def wake() -> None:
            try:
                asleep.release()
            except RuntimeError:
                pass  # another callback has released it already

        asleep.acquire()
        self.on_cancel(wake)
        try:
            asleep.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        finally:
            self.forget(wake)


def check_limits(deadline: Any, cancel: Any) -> None:
    """Raise ConfigurationError if ``deadline`` or ``cancel`` is not valid; both are optional."""
    if deadline is not None:
        check_seconds("deadline", deadline)
    if cancel is not None and not isinstance(cancel, Cancel):
        raise ConfigurationError(f"cancel= must be a Cancel, {got(cancel)}")
