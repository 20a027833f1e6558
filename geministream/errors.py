"""The exceptions and warnings, and the parser of the server's error objects.

Every exception that this library raises is a :class:`GeministreamError`.  It can be
pickled, never contains a credential, and its text says what to do next.
"""

import json
import re
import sys
import time
import warnings
from itertools import islice
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Type

from .depth import is_deep, raw_decode

__all__ = [
    "GeministreamError",
    "APIError",
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "RateLimitError",
    "ServerError",
    "TransportError",
    "IncompleteStreamError",
    "StreamTimeoutError",
    "StreamDecodeError",
    "StreamCancelled",
    "BlockedError",
    "FileProcessingError",
    "FunctionCallLimitError",
    "ConfigurationError",
    "InsecureEndpointWarning",
    "UnknownFieldWarning",
]


class GeministreamError(Exception):
    """The base class of every exception that this library raises.

    :ivar partial: the chunks that arrived before the error, merged into one
        :class:`~geministream.types.GenerateContentResponse`, if something collected them
        (``generate``, ``collect``, ``Chat``, ``generate_many``); otherwise None.
    :ivar retryable: whether the same request may succeed if it is sent again.  For an
        `APIError`, look at its code instead (see ``Retry.statuses``).
    """

    partial: Any = None
    retryable: bool = False


class APIError(GeministreamError):
    """An error that the server returned, as an HTTP status or inside the stream.

    :ivar message: the server's message.
    :ivar code: the HTTP status code (int), also for an error inside a 200 stream.
    :ivar status: the name of the code, such as ``"RESOURCE_EXHAUSTED"``, or None.
    :ivar details: the list of ``google.rpc`` details, as plain mappings.
    :ivar retry_after: the delay that the server asked for, in seconds (float), or None.
    :ivar headers: the headers of the HTTP response, with lower-case names.
    """

    advice = ""

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        status: Optional[str] = None,
        details: Optional[List[Any]] = None,
        retry_after: Optional[float] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.details: List[Any] = details or []
        self.retry_after = retry_after
        self.headers: Dict[str, str] = dict(headers or {})

    def __str__(self) -> str:
        text = " ".join(str(word) for word in (self.code or None, self.status) if word)
        text = f"{text}: {self.message}" if text else self.message
        said = _words(text)
        news = []
        for field, description in self.field_violations:
            if _words(description) not in said:
                news.append(f"{field}: {description}" if field else description)
            elif _words(field) not in said:
                news.append(field)
        news = list(dict.fromkeys(news))
        if news:
            text += f" [{'; '.join(news[:10])}{'; …' if len(news) > 10 else ''}]"
        if self.retry_after is not None:
            text += f" (the server asks to wait {self.retry_after:g} s)"
        return f"{text.rstrip('.')}. {self.advice}" if self.advice else text

    @property
    def field_violations(self) -> List[Tuple[str, str]]:
        """``(field, description)`` of each field that the server refused."""
        found = []
        for detail in _details_of_type(self.details, "google.rpc.BadRequest"):
            violations = detail.get("fieldViolations")
            for violation in violations if isinstance(violations, list) else ():
                if isinstance(violation, dict):
                    field = str(violation.get("field", ""))
                    found.append((field, str(violation.get("description", ""))))
        return found


class BadRequestError(APIError):
    """400: the request is not valid; a retry does not help."""


class AuthenticationError(APIError):
    """401, or 400 with the reason API_KEY_INVALID: the server rejected the credentials."""

    advice = "Check the API key and the way that the endpoint sends it (auth=)."


class PermissionDeniedError(APIError):
    """403: the credentials are missing or do not permit this request."""

    advice = "Check that the key was sent and may use this model, file or project."


class NotFoundError(APIError):
    """404: the model or file does not exist, or the base URL lacks a part of its path."""

    advice = "Check the name (list_models() yields the models) and the base URL."


class RateLimitError(APIError):
    """429: the rate limit or the quota is exceeded."""


class ServerError(APIError):
    """5xx: the server failed or is overloaded."""


class TransportError(GeministreamError):
    """A request without an answer: no connection, a TLS or DNS failure, a refused redirect.

    If ``requests`` raised an exception, it is the ``__cause__``.
    """


class IncompleteStreamError(GeministreamError):
    """A truncated answer: it began and ended early.

    :ivar continuation_token: the last token from which the server can continue the answer
        (pass it to ``stream_generate(continuation_token=…)``), or None.
    """

    retryable = True

    def __init__(self, message: str, *, continuation_token: Optional[str] = None) -> None:
        super().__init__(message)
        self.continuation_token = continuation_token


class StreamTimeoutError(GeministreamError):
    """No data came within the timeout, or the deadline passed.

    :ivar continuation_token: as in :class:`IncompleteStreamError`.
    """

    def __init__(self, message: str, *, continuation_token: Optional[str] = None) -> None:
        super().__init__(message)
        self.continuation_token = continuation_token


class StreamDecodeError(GeministreamError):
    """A response that is not a Gemini stream: bad JSON, bad UTF-8, an event above the size limit."""


class StreamCancelled(GeministreamError):
    """The call was cancelled with ``Cancel.cancel()``."""


class BlockedError(GeministreamError):
    """The prompt or the answer was blocked; only ``raise_for_block()`` raises this.

    :ivar reason: the block reason or the finish reason, such as ``"SAFETY"``.
    :ivar response: the response that was blocked.
    """

    def __init__(self, message: str, *, reason: Optional[str] = None, response: Any = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.response = response


class FileProcessingError(GeministreamError):
    """The server could not process an uploaded file.

    :ivar file: the :class:`~geministream.types.File` that the server returned, or None.
    """

    def __init__(self, message: str, *, file: Any = None) -> None:
        super().__init__(message)
        self.file = file


class FunctionCallLimitError(GeministreamError):
    """The model called functions again after ``max_function_calls`` rounds of a ``Chat``.

    :ivar contents: all contents of the turn; the last one holds the calls that were not
        run.  To answer these calls yourself, append the contents to ``chat.history``.
    """

    def __init__(self, message: str, *, contents: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.contents = list(contents)


class ConfigurationError(GeministreamError, ValueError):
    """A call with a missing key, a bad URL or an argument that is not valid."""


class InsecureEndpointWarning(UserWarning):
    """A credential is about to be sent in clear text to another machine."""


class UnknownFieldWarning(UserWarning):
    """A mapping has a field that this library does not know; it is sent unchanged.

    To turn the warning off: ``warnings.simplefilter("ignore", UnknownFieldWarning)``.
    """


def warn(message: str, category: Type[Warning]) -> None:
    """Issue a warning for the line outside this package that made the call."""
    package = f"{__name__.rpartition('.')[0]}."
    level = 1
    frame: Any = sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(package):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


# Google's error format, https://google.aip.dev/193, and the variants that gateways send.

_CLASSES: Dict[int, Type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}

# google.rpc.Code to HTTP, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_HTTP_CODES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}


def api_error(error: Any, *, http_status: int, headers: Optional[Mapping[str, str]] = None) -> APIError:
    """Return the exception for the value of an ``"error"`` field.

    :param error: the JSON value: Google's mapping, a gateway's variant of it, or a string.
    :param http_status: the status of the response, used if the error has no code.
    :param headers: the headers of the response.
    """
    if isinstance(error, list) and len(error) == 1:
        error = error[0]
    fields = error if isinstance(error, dict) else {"message": error}
    message = fields.get("message")
    message = message if isinstance(message, str) else json.dumps(error, ensure_ascii=False)[:500]
    message, upstream = _without_json(message)
    fields = {**upstream, **{k: v for k, v in fields.items() if v not in (None, "", [])}}
    status = fields.get("status")
    status = status if isinstance(status, str) and status else None
    code = _as_code(fields.get("code"))
    if status is None and isinstance(fields.get("code"), str) and not code:
        status = fields["code"] or None  # some gateways put the name into "code"
    if not code:
        # An error without a code inside a 200 stream is gRPC's UNKNOWN.
        code = _HTTP_CODES.get(status or "", http_status if http_status >= 300 else 500)
    details = fields.get("details")
    details = details if isinstance(details, list) else []

    lower = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    # LiteLLM forwards the upstream's header as llm_provider-retry-after.
    given = [value for name, value in lower.items() if name.endswith("retry-after")]
    waits = [_retry_info(details), *map(_retry_after_header, given)]
    kind = _CLASSES.get(code) or (ServerError if 500 <= code <= 599 else APIError)
    if kind is BadRequestError and _reason(details) == "API_KEY_INVALID":
        kind = AuthenticationError
    return kind(
        message.strip() or "the server gave no message",
        code=code,
        status=status,
        details=details,
        retry_after=max((wait for wait in waits if wait is not None), default=None),
        headers=lower,
    )


# Where JSON may begin.  The number of places that are tried is limited, to keep the time linear.
_json_begins = re.compile(r'[\[{](?=\s*[\[{"])')
_MOST_BEGINNINGS = 16


def _without_json(message: str) -> Tuple[str, Dict[str, Any]]:
    """Return the message and, if a gateway put the upstream's error into it as JSON, that error.

    The upstream's message then replaces the JSON in the message.
    """
    for begin in islice(_json_begins.finditer(message), _MOST_BEGINNINGS):
        try:
            value, end = raw_decode(message, begin.start())
        except (ValueError, RecursionError):
            continue  # not JSON, it only looks like it
        if isinstance(value, list):
            value = value[0]
        error = value.get("error") if isinstance(value, dict) else None
        if error and isinstance(error, dict) and not is_deep(error):
            text = str(error.get("message") or message[begin.start() : end])
            return message[: begin.start()] + text + message[end:], error
    return message, {}


def _words(text: str) -> str:
    """Return the words of a text without punctuation, to compare texts."""
    return " ".join(["", *re.findall(r"[^\W_]+", text.lower()), ""])


def _as_code(value: Any) -> int:
    """Return ``400`` or ``"400"`` as an integer, and 0 for anything that is not a code."""
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{2}", value.strip()):
        return int(value)
    return value if type(value) is int and 100 <= value <= 999 else 0


def _details_of_type(details: List[Any], name: str) -> List[Dict[str, Any]]:
    found = (detail for detail in details if isinstance(detail, dict))
    return [detail for detail in found if str(detail.get("@type", "")).endswith(name)]


def _reason(details: List[Any]) -> Optional[str]:
    for detail in _details_of_type(details, "google.rpc.ErrorInfo"):
        return str(detail.get("reason"))
    return None


def _retry_info(details: List[Any]) -> Optional[float]:
    for detail in _details_of_type(details, "google.rpc.RetryInfo"):
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)s", str(detail.get("retryDelay")))
        if match:
            return float(match.group(1))
    return None


def _retry_after_header(value: str) -> Optional[float]:
    """Parse seconds or an HTTP date, https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]+)?\s*", value):
        return float(value)
    from email.utils import parsedate_to_datetime  # slower to import than this entire package

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None  # not a date either: ignore the header
