"""Exit statuses, and errors in the words of the command line."""

from typing import Optional

from ..errors import (
    APIError,
    BlockedError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    StreamTimeoutError,
)
from ..retry import RetryEvent
from ..types import FinishReason

# The exit statuses.

DONE, FAILED, USAGE, BLOCKED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 130

# How an answer can end that is neither its end nor a block: the model gave up.
FAILED_FINISH_REASONS = frozenset(
    [
        FinishReason.LANGUAGE,
        FinishReason.OTHER,
        FinishReason.MALFORMED_FUNCTION_CALL,
        FinishReason.IMAGE_OTHER,
        FinishReason.NO_IMAGE,
        FinishReason.UNEXPECTED_TOOL_CALL,
        FinishReason.TOO_MANY_TOOL_CALLS,
        FinishReason.MISSING_THOUGHT_SIGNATURE,
        FinishReason.MALFORMED_RESPONSE,
    ]
)


def status_of(error: GeministreamError, *, began: bool = False) -> int:
    """The exit status for an error.

    :param began: whether something of the answer had come.
    """
    if isinstance(error, ConfigurationError):
        return USAGE
    if isinstance(error, BlockedError):
        return BLOCKED
    if isinstance(error, IncompleteStreamError) or (isinstance(error, StreamTimeoutError) and began):
        return INCOMPLETE
    return FAILED


def problem_of(
    blocked: Optional[BlockedError], finish_reason: Optional[str], *, whole: bool = False
) -> Optional[GeministreamError]:
    """What is wrong with an answer whose stream ended well; None where nothing is.

    :param whole: an answer that was cut off is of no use, as half a JSON text.
    """
    if blocked is not None:
        return blocked
    if finish_reason in FAILED_FINISH_REASONS or (whole and finish_reason == FinishReason.MAX_TOKENS):
        return IncompleteStreamError(f"the answer ended early: {finish_reason}")
    return None


def retry_words(event: RetryEvent) -> str:
    """``429 RESOURCE_EXHAUSTED (the server's words); retrying in 7 s (2 of 4)``"""
    error = event.error
    what = in_options(error)
    if isinstance(error, APIError):
        what = f"{error.code} {error.status or ''}".strip() + (f" ({error.message})" if error.message else "")
    delay = f"{event.delay:.1f}" if event.delay < 1 else f"{event.delay:.0f}"
    return f"{what}; retrying in {delay} s ({event.attempt + 1} of {event.attempts})"


def reason_of(error: Exception) -> str:
    """Why a path cannot be used: the system's words for an OSError, Python's for what is no path."""
    return getattr(error, "strerror", None) or str(error)


def in_options(error: BaseException) -> str:
    """The error's text, with the command line's names for the library's arguments."""
    text = str(error) or type(error).__name__
    for argument, option in (
        ("set Endpoint(timeout=)", "give --timeout"),
        ("(auth=)", "(--auth)"),
        ("call wait_for_file() again, or give it longer", "try again later"),
        ("read it and use part_from_bytes()", "copy it into one first"),
        ("use part_from_uri('gs://…')", "name it with -f gs://..."),
    ):
        text = text.replace(argument, option)
    return text
