"""How often a request is sent again and after which delays, as a value."""

from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Tuple

from .errors import ConfigurationError

#: Thirty years: more seconds than sockets and clocks take everywhere.
MOST_SECONDS = 10**9


@dataclass(frozen=True)
class RetryEvent:
    """A request failed and will be sent again; what `Retry` passes to ``on_retry``.

    :ivar attempt: the number of the attempt that failed, from 1.  After progress
        (a file's next piece, an answer's next token) the count starts again.
    :ivar attempts: the most attempts, ``Retry.attempts``.
    :ivar delay: seconds until the next attempt.
    :ivar error: why the attempt failed.
    :ivar resuming: whether the next attempt continues an answer that has begun, from its
        last continuation token; False if it starts over.
    :ivar index: in `generate_many`: the index of the prompt, from 0.
    :ivar gate: in `generate_many`: ``"closed"`` if all prompts wait because of this error
        (a 429), ``"opened"`` if they go on (``delay`` is 0); otherwise None.
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
    """How often a request is sent again, and after which delays.

    Before attempt ``n + 1`` the call sleeps a random time between 0 and
    ``min(max_delay, initial_delay * multiplier ** (n - 1))`` seconds (full
    jitter), or as long as the server asked for, if that is longer.

    :param attempts: requests in all, the first included; at least 1.
    :param initial_delay: seconds.
    :param max_delay: seconds; where a server asks for more, its error is raised at once.
    :param multiplier: growth of the delay from attempt to attempt; at least 1.
    :param statuses: the HTTP codes, also of errors inside a stream, worth another attempt.
    :param on_retry: called with a `RetryEvent` before each sleep; None for nothing.
        It runs in the thread that iterates over the stream or the results, and what
        it raises ends the call.  An Endpoint that is pickled needs a callable that
        can be pickled.
    :raises ConfigurationError: for a value outside these bounds.
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
        """Return the most seconds to sleep after so many failures in a row; jitter takes a part of it."""
        try:
            return min(self.max_delay, self.initial_delay * self.multiplier ** (failed - 1))
        except OverflowError:
            return self.max_delay


def got(value: Any) -> str:
    """A wrong value in an error: numbers are quoted; anything else may be a key in the wrong place."""
    if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 10**20):
        return f"got {value!r}"
    if not isinstance(value, (str, bytes)):
        return f"got a value of type {type(value).__name__}"
    length = "empty" if not value else "short" if len(value) <= 16 else "long"
    return f"got a {type(value).__name__} ({length}; not shown, it may be a credential)"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
