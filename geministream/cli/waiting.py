"""Show a wait: a line on stderr that counts the seconds until data arrives.

The main thread is blocked in a read, so a daemon thread writes the line.  It
runs only between ``start()`` and ``stop()``, and writes nothing after ``stop()``.
"""

import math
import sys
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

from ..endpoint import Endpoint
from ..retry import RetryEvent
from .progress import ProgressLine, telling
from .status import retry_words
from .terminal import is_terminal, note

# Seconds between two ticks: short enough to show every second.
_TICK = 0.2


class Ticker:
    """Calls a function repeatedly on a daemon thread.

    :param tick: never runs while another thread holds ``lock``.
    :ivar lock: a reentrant lock; hold it to use anything that ``tick`` uses.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self._tick = tick
        self._ended: Optional[threading.Event] = None

    @property
    def running(self) -> bool:
        """Whether it has started and not stopped."""
        return self._ended is not None

    def start(self) -> None:
        """Start, unless it is running."""
        if self._ended is None:
            self._ended = threading.Event()
            threading.Thread(target=self._run, args=(self._ended,), daemon=True).start()

    def stop(self) -> None:
        """Wait for a running tick, then stop."""
        with self.lock:
            if self._ended is not None:
                self._ended.set()
                self._ended = None

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(_TICK):
            with self.lock:
                if not ended.is_set():
                    self._tick()


class Waiting:
    """``waiting… 12 s``, or ``retrying in 3 s``; nothing if stderr is not a terminal."""

    def __init__(self) -> None:
        self._line = ProgressLine(dim=True)
        self._ticker = Ticker(self._show)
        self._began = self._retry_at = 0.0
        encoding = str(getattr(sys.stderr, "encoding", "")).lower()
        self._dots = "\u2026" if encoding.startswith("utf") else "..."

    def start(self) -> None:
        """Start to count, unless it is running; the line appears after a second."""
        if is_terminal(sys.stderr) and not self._ticker.running:
            self._began = time.monotonic()
            self._ticker.start()

    def stop(self) -> None:
        """Clear the line."""
        with self._ticker.lock:
            self._ticker.stop()
            self._line.clear()

    def retry(self, event: RetryEvent) -> None:
        """Print the reason for a retry, and count down to it."""
        if not is_terminal(sys.stderr):
            return
        with self._ticker.lock:
            self._line.clear()
            note(retry_words(event))
            if event.delay > 1:  # a shorter delay ends before the line can be read
                self._retry_at = time.monotonic() + event.delay
        self.start()

    def _show(self) -> None:
        now = time.monotonic()
        if self._retry_at > now:
            text = f"retrying in {math.ceil(self._retry_at - now)} s"
        elif now - self._began >= 1:
            text = f"waiting{self._dots} {int(now - self._began)} s"
        else:
            return
        self._line.show(text, now=True)


@contextmanager
def waiting(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint for one call without a stream; waits and retries are shown at a terminal."""
    line = Waiting()
    try:
        line.start()
        yield telling(endpoint, line.retry)
    finally:
        line.stop()
