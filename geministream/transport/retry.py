"""The retries of a request and the delays before them."""

import logging
import random
from typing import Tuple

from ..errors import APIError, GeministreamError
from ..retry import RetryEvent
from .call import Call

log = logging.getLogger("geministream")


class Attempts:
    """Counts the attempts of one request and sleeps between them, according to the endpoint's Retry."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._failed = 0

    def progress(self) -> None:
        """Restart the count, after a request made progress."""
        self._failed = 0

    def again(self, error: GeministreamError, *, resuming: bool = False) -> bool:
        """Return False if ``error`` must not be retried; otherwise sleep and return True.

        :param resuming: the value for the `RetryEvent`.
        :raises StreamTimeoutError, StreamCancelled: if the deadline passes or the call is cancelled.
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
        self._call.secrets.redact_error(error)  # it goes to the log and to on_retry
        # Users notice a delay of more than a second.
        level = logging.INFO if delay > 1 else logging.DEBUG
        log.log(level, "%s; retrying in %.1f s (%d of %d)", error, delay, self._failed + 1, retry.attempts)
        if retry.on_retry is not None:
            retry.on_retry(RetryEvent(self._failed, retry.attempts, delay, error, resuming))
        self._call.patience.sleep(delay)
        return True


def is_retryable(error: GeministreamError, statuses: Tuple[int, ...]) -> bool:
    """Whether the same request may succeed if it is sent again."""
    return error.code in statuses if isinstance(error, APIError) else error.retryable
