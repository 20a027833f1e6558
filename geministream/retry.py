"""How often a failed request is retried, and the delays between the attempts."""

from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Tuple

from .errors import ConfigurationError

#: Thirty years; not every platform's sockets and clocks accept more seconds than this.
MOST_SECONDS = 10**9


@dataclass(frozen=True)
class RetryEvent:
    """A failed request that is about to be retried; `Retry` passes it to ``on_retry``.

    :ivar attempt: the number of the attempt that failed, counted from 1.  After progress
        (a file's next piece, an answer's next token) the count restarts.
    :ivar attempts: the maximum number of attempts, ``Retry.attempts``.
    :ivar delay: seconds until the next attempt.
    :ivar error: the exception of the attempt that failed.
    :ivar resuming: whether the next attempt resumes an answer that has begun, from its
        last continuation token; False if it starts over.
    :ivar index: in `generate_many`: the index of the prompt, counted from 0.
    :ivar gate: in `generate_many`: ``"closed"`` if all prompts wait because of this error
        (a 429), ``"opened"`` if they resume (``delay`` is 0); otherwise None.
    """

    attempt: int
    attempts: int
    delay: float
    error: Exception
    resuming: bool = False
    index: Optional[int] = None
    gate: Optional[str] = None


@dataclass(frozen=True)
class Retry:
    """How often a failed request is retried, and the delays between the attempts.

    The delays are an exponential backoff with full jitter: before attempt ``n + 1`` the call
    sleeps a random time between 0 and ``min(max_delay, initial_delay * multiplier ** (n - 1))``
    seconds, or as long as the server asked for, if that is longer.

    :param attempts: the maximum number of requests, including the first; at least 1.
    :param initial_delay: seconds.
    :param max_delay: seconds; if the server asks for more, its error is raised immediately.
    :param multiplier: growth of the delay from attempt to attempt; at least 1.
    :param statuses: the HTTP codes that are retried, also if they come inside a stream.
    :param on_retry: called with a `RetryEvent` before each sleep; optional.  It runs in the
        thread that iterates over the stream or the results; an exception that it raises ends
        the call.  To pickle an Endpoint, use a callable that can be pickled.
    :raises ConfigurationError: if a value is not valid.

    >>> endpoint = Endpoint(retry=Retry(attempts=6, on_retry=print))
    """

    attempts: int = 4
    initial_delay: float = 1.0
    max_delay: float = 60.0
    multiplier: float = 2.0
    # 520 to 524: Cloudflare cannot reach the server behind it.  529: the server is overloaded.
    statuses: Tuple[int, ...] = (408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
    on_retry: Optional[Callable[[RetryEvent], object]] = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not is_whole(self.attempts) or self.attempts < 1:
            raise ConfigurationError(f"Retry(attempts=) must be an integer >= 1, {got(self.attempts)}")
        for name, least in (("initial_delay", 0), ("max_delay", 0), ("multiplier", 1)):
            value = getattr(self, name)
            if not is_number(value) or not least <= value <= MOST_SECONDS:
                raise ConfigurationError(f"Retry({name}=) must be a number >= {least}, {got(value)}")
        statuses = self.statuses
        if not isinstance(statuses, (tuple, list, set, frozenset)) or not all(map(is_whole, statuses)):
            raise ConfigurationError(f"Retry(statuses=) must be a tuple of HTTP codes, {got(statuses)}")
        object.__setattr__(self, "statuses", tuple(statuses))
        if self.on_retry is not None and not callable(self.on_retry):
            raise ConfigurationError(f"Retry(on_retry=) must be a callable or None, {got(self.on_retry)}")

    def longest_delay(self, failed: int) -> float:
        """Return the upper bound of the delay, in seconds, after ``failed`` failures in a row."""
        try:
            return min(self.max_delay, self.initial_delay * self.multiplier ** (failed - 1))
        except OverflowError:
            return self.max_delay


def got(value: Any) -> str:
    """Return how an error shows a bad value: only numbers, since anything else may be a misplaced key."""
    if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 10**20):
        return f"got {value!r}"
    if not isinstance(value, (str, bytes)):
        return f"got a value of type {type(value).__name__}"
    length = "empty" if not value else "short" if len(value) <= 16 else "long"
    return f"got a {type(value).__name__} ({length}; not shown, it may be a credential)"


def check_seconds(name: str, value: Any) -> None:
    """Raise ConfigurationError if the argument ``name`` is not a number of seconds > 0."""
    if not is_number(value) or not 0 < value <= MOST_SECONDS:
        raise ConfigurationError(
            f"{name}= must be a number of seconds > 0 and <= {MOST_SECONDS}, {got(value)}"
        )


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
