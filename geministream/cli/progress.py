"""A progress line on stderr, and uploads with such a line."""

import os
import sys
import time
from collections import deque
from dataclasses import replace
from typing import Callable, Deque, Optional, Tuple, Union

from ..endpoint import Endpoint
from ..files import upload_file, wait_for_file
from ..retry import RetryEvent
from ..types import File
from .status import retry_words
from .terminal import is_terminal, note, shows_styles, visible, write_quietly


class ProgressLine:
    """A line on stderr that is rewritten in place; nothing if stderr is not a terminal."""

    def __init__(self, *, dim: bool = False) -> None:
        self._on = is_terminal(sys.stderr)
        self._dim = dim and shows_styles(sys.stderr)
        self._text = ""
        self._due = 0.0

    def show(self, text: str, *, now: bool = False) -> None:
        """Write the line, at most ten times a second unless ``now`` is set."""
        if not self._on or (time.monotonic() < self._due and not now):
            return
        self._due = time.monotonic() + 0.1
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            columns = 80
        text = visible(" ".join(text.splitlines()))[: max(columns - 1, 1)]
        if text == self._text:
            return
        shown = text.ljust(len(self._text))
        write_quietly(sys.stderr, f"\r\x1b[2m{shown}\x1b[22m" if self._dim else f"\r{shown}")
        self._text = text

    def clear(self) -> None:
        """Clear the line."""
        if self._text:
            write_quietly(sys.stderr, "\r" + " " * len(self._text) + "\r")
            self._text = ""

    def on_retry(self, event: RetryEvent) -> None:
        """Show the reason for a wait, if stderr is a terminal."""
        if self._on:
            self.note(retry_words(event))

    def note(self, text: str) -> None:
        """Write a permanent note above the line."""
        line = self._text
        self.clear()
        note(text)
        if line:
            self.show(line, now=True)


def telling(endpoint: Endpoint, on_retry: Callable[[RetryEvent], None]) -> Endpoint:
    """The endpoint, with a listener for its retries."""
    if endpoint.retry is None:
        return endpoint
    return replace(endpoint, retry=replace(endpoint.retry, on_retry=on_retry))


class Rate:
    """The rate of progress over the last 30 seconds.

    :ivar seconds: since the start.
    """

    WINDOW = 30.0

    def __init__(self) -> None:
        self._began = time.monotonic()
        # Times, and the total amount at each.
        self._amounts: Deque[Tuple[float, float]] = deque([(self._began, 0.0)])

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def reached(self, amount: float) -> None:
        """Record the amount that is done since the start."""
        now = time.monotonic()
        self._amounts.append((now, amount))
        while len(self._amounts) > 2 and self._amounts[1][0] < now - self.WINDOW:
            self._amounts.popleft()

    @property
    def per_second(self) -> float:
        """The rate up to now, so that it falls if nothing is done."""
        (began, before), (_, after), now = self._amounts[0], self._amounts[-1], time.monotonic()
        return max(after - before, 0.0) / (now - began) if now > began else 0.0

    def time_left(self, amount: float, pause: float = 0.0) -> str:
        """The time for this amount after a pause of ``pause`` seconds: ``0:08 left``, or "" if unknown."""
        rate = self.per_second
        return f"{duration(amount / rate + pause)} left" if rate > 0 else ""


def upload_with_progress(
    source: Union[str, bytes], endpoint: Endpoint, mime_type: Optional[str] = None, *, wait: bool = False
) -> File:
    """Upload a file, with a bar on stderr if that is a terminal.

    :param source: the path of the file, or its bytes.
    :param wait: wait until the server has processed the file.
    """
    line = ProgressLine()
    rate = Rate()
    name = "standard input" if isinstance(source, bytes) else os.path.basename(source)

    def progress(sent: int, total: Optional[int]) -> None:
        rate.reached(sent)
        line.show(_bar(sent, total, rate) + f"  {name}", now=sent == total)

    endpoint = telling(endpoint, line.on_retry)
    try:
        progress(0, len(source) if isinstance(source, bytes) else os.path.getsize(source))
        file = upload_file(source, mime_type=mime_type, endpoint=endpoint, progress=progress)
        if wait and file.state == "PROCESSING":
            line.show(f"the server processes {file.name}  {name}", now=True)
            file = wait_for_file(file, endpoint=endpoint)
    finally:
        line.clear()
    return file


def _bar(sent: int, total: Optional[int], rate: Rate) -> str:
    """``[#####---------------]  25%  12.0 of 48.0 MB  8.0 MB/s  0:05 left``"""
    fields = []
    if total:
        filled = 20 * sent // total
        fields.append(f"[{'#' * filled}{'-' * (20 - filled)}] {100 * sent // total:3d}%")
        fields.append(f"{size(sent)} of {size(total)}")
    else:
        fields.append(size(sent))
    if rate.per_second > 0:
        fields.append(f"{size(rate.per_second)}/s")
        if total:
            fields.append(rate.time_left(total - sent))
    return "  ".join(fields)


def duration(seconds: float) -> str:
    """``0:08``, ``12:34``, ``1:02:03``"""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """``999 B``, ``1.5 kB``, ``12.0 MB``"""
    if count < 1000:
        return f"{count:.0f} B"
    if count < 999_950:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 999_950_000 else f"{count / 1e9:.1f} GB"
