"""When a request is sent again, and what is waited for before."""

import logging
import random
from typing import Tuple

from ..errors import APIError, GeministreamError
from ..retry import RetryEvent
from .call import Call

log = logging.getLogger("geministream")


class Attempts:
    """Counts the attempts at one request and sleeps between them, as the endpoint's Retry says."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._failed = 0

    def progress(self) -> None:
        """Something was gained: the count starts again."""
        self._failed = 0

    def again(self, error: GeministreamError, *, resuming: bool = False) -> bool:
        """After ``error``: sleep and return True, or return False if it is final.

        :param resuming: for the `RetryEvent`.
        :raises StreamTimeoutError, StreamCancelled: if the call's time is over.
        :raises Exception: what ``on_retry`` raises.
        """
        retry = self._call.endpoint.retry
        if retry is None or not is_retryable(error, retry.statuses) or self._call.retried_below:
            return False
        self._failed += 1
        asked = getattr(error, "retry_after", None) or 0.0
        if self._failed >= retry.attempts or asked > retry.max_delay:
            return False
        delay = max(random.uniform(0, retry.longest_delay(self._failed)), asked)
        self._call.secrets.redact_error(error)  # it leaves the call now, if only for those who listen
        # More than a second is a wait that someone may wonder about.
        level = logging.INFO if delay > 1 else logging.DEBUG
        log.log(level, "%s; retrying in %.1f s (%d of %d)", error, delay, self._failed + 1, retry.attempts)
        if retry.on_retry is not None:
            retry.on_retry(RetryEvent(self._failed, retry.attempts, delay, error, resuming))
        self._call.patience.sleep(delay)
        return True


def is_retryable(error: GeministreamError, statuses: Tuple[int, ...]) -> bool:
    """Whether the same request, sent again, may do better."""
    return error.code in statuses if isinstance(error, APIError) else error.retryable
