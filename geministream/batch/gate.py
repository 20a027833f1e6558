"""The gate: how many attempts may be under way at once, and from when, for all workers together."""

import logging
import random

from ..retry import Retry

log = logging.getLogger("geministream")


class Gate:
    """Closes after a 429 for all workers, and then opens for half as many.

    Times are those of ``time.monotonic()``.

    :ivar most: the highest number of attempts at once.
    :ivar allowed: the number of attempts at once, now.
    :ivar opens: when the next attempt may be sent.
    """

    def __init__(self, most: int, retry: Retry) -> None:
        self.most = most
        self.allowed = most
        self.opens = 0.0
        self._retry = retry
        self._closed = 0.0  # when it was last closed
        self._closings = 0  # how often it was closed since the last answer

    def answered(self) -> None:
        """Note that an attempt was answered."""
        self._closings = 0
        self.allowed = min(self.allowed + 1, self.most)

    def refused(self, sent: float, now: float, asked: float) -> None:
        """Note that an attempt got a 429.

        :param sent: when the attempt was sent.
        :param asked: the delay in seconds that the server asks for, or 0.
        """
        if sent >= self._closed:  # an attempt sent earlier was refused for the same reason
            self._closed = now
            self._closings += 1
            self.allowed = max(self.allowed // 2, 1)
        longest = self._retry.longest_delay(max(self._closings, 1))
        # Not full jitter: one gate holds back all workers, so there are no others to keep clear of.
        delay = max(random.uniform(longest / 2, longest), min(asked, self._retry.max_delay))
        self.opens = max(self.opens, now + delay)
        log.debug("429: nothing is sent for %.2f s, then at most %d at once", delay, self.allowed)
