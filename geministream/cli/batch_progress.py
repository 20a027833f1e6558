"""Show the progress of a batch: on a terminal a line that is updated, elsewhere a line every 30 seconds."""

import math
import sys
import time
from contextlib import contextmanager
from typing import Iterator, Optional

from ..retry import RetryEvent
from ..types import FinishReason, GenerateContentResponse
from .progress import ProgressLine, Rate, duration
from .status import cause_words
from .terminal import is_terminal, note
from .waiting import Ticker

# Seconds between two lines if stderr is not a terminal.
_QUIET = 30.0
# How many failures are printed; the rest are only in the output.
_MOST_PRINTED = 20


class Progress:
    """Counts prompts, and shows the progress, even if no result arrives.

    :param total: the number of prompts, or None if unknown.
    :param done: how many of them earlier runs have finished.
    :param failed: how many of these failed.
    :ivar failed: how many failed, including earlier runs.
    """

    def __init__(self, total: Optional[int], done: int, failed: int) -> None:
        self.failed = failed
        self._total = total
        self._before = done
        self._done = self._tokens = self._printed = self._cut_off = self._empty = 0
        self._resumes_at: Optional[float] = None  # if the server asked for a pause
        self._was_limited = False
        self._rate = Rate()
        self._line = ProgressLine()
        self._due = _QUIET
        self._ticker = Ticker(self._tick)

    def start(self) -> None:
        """Show the progress until ``end()``."""
        self._line.show(self._words())
        self._ticker.start()

    def _tick(self) -> None:
        self._line.show(self._words())
        if not is_terminal(sys.stderr) and self._rate.seconds >= self._due:
            self._due = self._rate.seconds + _QUIET
            note(self._words())

    def count(self, response: GenerateContentResponse) -> None:
        """Count an answer's tokens, and whether it is cut off or empty."""
        count = getattr(response.usage_metadata, "total_token_count", None)
        self._tokens += count if isinstance(count, int) else 0
        if response.finish_reason == FinishReason.MAX_TOKENS:
            self._cut_off += 1
        elif not any(part.thought is not True and part.text != "" for part in response.parts):
            self._empty += 1

    def one_done(self) -> None:
        """Count a prompt that has its result."""
        with self._ticker.lock:
            self._done += 1
            self._rate.reached(self._done)
            self._line.show(self._words())

    def one_failed(self, text: str) -> None:
        """Count a prompt that has failed; ``text`` names it and its error."""
        with self._ticker.lock:
            self.failed += 1
            self._printed += 1
            if self._printed <= _MOST_PRINTED:
                self._line.note(text)
            elif self._printed == _MOST_PRINTED + 1:
                self._line.note("further failures are in the output only")
            self.one_done()

    def on_retry(self, event: RetryEvent) -> None:
        """Show that the server asked for a pause; retries of single prompts are not shown."""
        with self._ticker.lock:
            if event.gate == "opened":
                self._resumes_at = None
            elif event.gate == "closed":
                self._resumes_at = time.monotonic() + event.delay
                if not self._was_limited:  # the line shows each pause, but not its reason
                    self._was_limited = True
                    self._line.note(f"{cause_words(event)}; resuming in {math.ceil(event.delay)} s")
                self._line.show(self._words(), now=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Clear the line while the block writes a result to the same terminal."""
        with self._ticker.lock:
            self._line.clear()
            yield

    def end(self, last_words: str = "") -> None:
        """Write the final line."""
        with self._ticker.lock:
            self._ticker.stop()
            self._line.clear()
        note("; ".join(filter(None, [self._words(ended=True), last_words])))

    def _words(self, *, ended: bool = False) -> str:
        """``12 of 500 done, 1 failed, 3.2/s, 45123 tokens, 2:32 left``"""
        done = self._before + self._done
        words = [f"{done} of {self._total} done" if self._total is not None else f"{done} done"]
        words.append(f"{self.failed} failed")
        if self._cut_off:
            words.append(f"{self._cut_off} cut off at the token limit")
        if self._empty:
            words.append(f"{self._empty} empty")
        rate = self._done / max(self._rate.seconds, 0.001) if ended else self._rate.per_second
        words.append(f"{rate:.1f}/s")
        words.append(f"{self._tokens} tokens")
        pause = 0.0
        if self._resumes_at is not None and not ended:
            pause = max(self._resumes_at - time.monotonic(), 0.0)
            words.append(f"rate limited, resuming in {max(math.ceil(pause), 1)} s")
        if ended:
            words.append(f"in {duration(self._rate.seconds)}")
        elif self._total is not None:
            words.append(self._rate.time_left(self._total - done, pause))
        return ", ".join(filter(None, words))
