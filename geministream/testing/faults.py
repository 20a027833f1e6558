"""Random faults, the same for the same seed: for soak tests."""

from __future__ import annotations

import random
import threading
from typing import Any, Optional, Sequence

from .answers import Answer

KINDS = ("end", "drop", "reset", "nothing", "status", "stream_error")


class RandomFaults:
    """Decide on a fault for each request: ``LocalServer(faults=RandomFaults(seed))``.

    :param seed: makes the faults repeatable.
    :param rate: the share of the requests that fail; default 0.3.
    :param kinds: any of "end", "drop", "reset", "stall" (the body is cut off),
        "nothing" (no response), "status" (429, 500, 502, 503, 504),
        "stream_error" (429 or 503 in the stream); default: all but "stall".
    :param body_bytes: the body is cut off before this many bytes; default 2000.
    :param limit: the maximum number of faults; default: no limit.
    """

    def __init__(
        self,
        seed: int,
        rate: float = 0.3,
        *,
        kinds: Sequence[str] = KINDS,
        body_bytes: int = 2000,
        limit: Optional[int] = None,
    ):
        self.rate = rate
        self.kinds = tuple(kinds)
        self.body_bytes = body_bytes
        self.left = limit
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, recorded: Any) -> Optional[Answer]:
        with self._lock:
            if self.left == 0 or self._random.random() >= self.rate:
                return None
            if self.left is not None:
                self.left -= 1
            kind = self._random.choice(self.kinds)
            if kind == "nothing":
                return Answer.nothing(self._random.choice(("drop", "reset")))
            if kind == "status":
                return Answer.failure(self._random.choice((429, 500, 502, 503, 504)), retry_info="0.01s")
            if kind == "stream_error":
                return Answer(chunks=[], stream_error=self._random.choice((429, 503)))
            return Answer(stop_after=self._random.randrange(self.body_bytes), stop_how=kind)
