"""Exit statuses, and error messages for the command line."""

import errno
import math
import os
import re
from typing import Iterable, List, Optional

from ..endpoint import BASE_URL_VARIABLE, GOOGLE, KEY_VARIABLES
from ..errors import (
    APIError,
    BlockedError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    StreamTimeoutError,
    TransportError,
)
from ..retry import RetryEvent
from ..types import FinishReason

# The exit statuses.
DONE, FAILED, USAGE, BLOCKED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 130

# Finish reasons that are neither a normal end nor a block: the model failed.
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

    :param began: whether any part of the answer had arrived.
    """
    if isinstance(error, ConfigurationError):
        return USAGE
    if isinstance(error, BlockedError):
        return BLOCKED
    if isinstance(error, IncompleteStreamError) or (isinstance(error, StreamTimeoutError) and began):
        return INCOMPLETE
    return FAILED


def problem_of(
    blocked: Optional[BlockedError], finish_reason: Optional[str], *, complete: bool = False
) -> Optional[GeministreamError]:
    """The error of an answer whose stream completed, or None.

    :param complete: an answer that is cut off at the token limit is an error, as for JSON.
    """
    if blocked is not None:
        return blocked
    if finish_reason in FAILED_FINISH_REASONS or (complete and finish_reason == FinishReason.MAX_TOKENS):
        return IncompleteStreamError(f"the answer ended early: {finish_reason}")
    return None


def retry_words(event: RetryEvent) -> str:
    """``429 rate limit (the server's message); retrying in 7 s (2 of 4)``"""
    delay = f"{event.delay:.1f}" if event.delay < 0.95 else math.ceil(event.delay)
    return f"{cause_words(event)}; retrying in {delay} s ({event.attempt + 1} of {event.attempts})"


def cause_words(event: RetryEvent) -> str:
    """The reason for a retry: ``429 rate limit (the server's message)``"""
    error = event.error
    if not isinstance(error, APIError):
        return in_options(error)
    message = f" ({error.message})" if error.message else ""
    status = "rate limit" if error.code == 429 else error.status or ""
    return f"{error.code} {status}".strip() + message


def reason_of(error: Exception) -> str:
    """Why a path cannot be used: the system's message for an OSError, else Python's."""
    return getattr(error, "strerror", None) or str(error)


def system_error(error: OSError) -> str:
    """The message for an OSError, with the file's name if it has one."""
    name = f"{error.filename}: " if error.filename else ""
    hint = "; free some space and try again" if error.errno == errno.ENOSPC else ""
    return f"{name}{reason_of(error)}{hint}"


def nearest(typed: str, known: Iterable[str]) -> str:
    """`` (did you mean --model?)``, or "" if there is no similar name."""
    import difflib

    found = difflib.get_close_matches(typed, list(known), 1, cutoff=0.7)
    return f" (did you mean {found[0]}?)" if found else ""


# Errors for the command line -----------------------------------------

# The library's names for its arguments, and those of the command line.
_WORDS = (
    (r"set Endpoint\(timeout=\)", "set --timeout"),
    (r"\(auth=\)", "(--auth)"),
    (r"call wait_for_file\(\) again, or raise timeout=", "try again later"),
    (r"read it and use part_from_bytes\(\)", "copy it into one first"),
    (r"use part_from_uri\('gs://…'\)", "name it with -f gs://..."),
    (r"^model (?=is not|must)", "--model "),
    (r"^api_version= ", "--api-version "),
    (r"use api_key= or headers=", f"set {KEY_VARIABLES[0]} instead"),
    (r"use Endpoint\(params=\)", "leave it out"),
    (r"list_models\(\) yields the models", "geministream models lists the models"),
)

# The environment variables from which requests takes a file of CA certificates.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def in_options(error: BaseException) -> str:
    """The error's text, with the command line's names for the library's arguments."""
    text = str(error) or type(error).__name__
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    if isinstance(error, ConfigurationError):
        return text.replace("the base URL", _where_the_base_url_is_from())
    if isinstance(error, TransportError):
        return _what_to_do(text)
    return text


def _what_to_do(text: str) -> str:
    """The error of a failed connection, and what to do now."""
    proxy = re.search(r"^cannot connect to the proxy .*\((\w+)\): ", text)
    if proxy:
        return f"{text}; check {proxy.group(1)}, or unset it"
    bundle = next((name for name in _CA_VARIABLES if os.environ.get(name)), None)
    host = re.match("no answer from ([^ ]+): ", text)
    server = host.group(1) if host else "the server"
    if bundle and ("CA certificate bundle" in text or "NO_CERTIFICATE_OR_CRL_FOUND" in text):
        value = os.environ[bundle]
        return f"{bundle}={value} is not a file of CA certificates; name one in PEM format, or unset {bundle}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        how = f"check {bundle}" if bundle else f"set {_CA_VARIABLES[0]} to the file of its CA's certificate"
        return f"{text}; {how}"
    # OpenSSL's errors for an answer in plain HTTP, depending on its version.
    if re.search("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG", text):
        where = _where_the_base_url_is_from()
        return f"{server} does not speak TLS; write http:// instead of https:// in {where}"
    if server not in GOOGLE and host:
        return f"{text}; check {_where_the_base_url_is_from()}, and that the server is running"
    return text


def _where_the_base_url_is_from() -> str:
    """The source of the base URL, for errors: the option, which overrides the variable, or the variable."""
    given = any(re.match("--base-url(=|$)", text) for text in command_line)
    return BASE_URL_VARIABLE if os.environ.get(BASE_URL_VARIABLE) and not given else "--base-url"


# The typed arguments, for errors that name the option or the variable to correct.
command_line: List[str] = []
