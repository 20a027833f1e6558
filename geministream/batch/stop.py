"""The switch of a batch, and what throws it if the program ends first."""

import atexit
import os
import queue
import threading
import weakref
from typing import Any

from ..cancel import Cancel


class Stop(Cancel):
    """The batch's own `Cancel`; it also wakes the thread that waits for outcomes.

    :param outcomes: gets a None at ``cancel()``.
    """

    def __init__(self, outcomes: "queue.SimpleQueue[Any]") -> None:
        super().__init__()
        self._outcomes = outcomes
        self._process = os.getpid()

    def arm(self) -> None:
        """From now on the batch is at work: cancel it when the process exits."""
        self._process = os.getpid()  # the process may have forked since the batch was made
        _armed.add(self)

    def disarm(self) -> None:
        """Undo `arm`."""
        _armed.discard(self)

    def is_ours(self) -> bool:
        """Return False in a forked child: its parent has the threads and owns the connections."""
        return self._process == os.getpid()

    def cancel(self) -> None:
        try:
            super().cancel()
        finally:
            self._outcomes.put(None)


# Python waits for the threads of executors before it exits.  If a script ends with a
# batch half read, because of an exception for example, it must not wait for the answers.
_armed: "weakref.WeakSet[Stop]" = weakref.WeakSet()


def _stop_all() -> None:
    for stop in list(_armed):
        if stop.is_ours():
            stop.cancel()


# Executors register with the former, if it exists; what is registered there runs before they wait.
getattr(threading, "_register_atexit", atexit.register)(_stop_all)
