"""The credentials of a call's requests, and their removal from its errors.

A server may return a credential percent-encoded, escaped in HTML or JSON (also twice), or cut
by a length limit.  So the escapes of a text are decoded first, and then all sequences of `_RUN`
characters that also occur in a credential are removed.
"""

import base64
import html
import re
import sys
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from ..endpoint import names_a_secret
from ..errors import GeministreamError

_RUN = 8  # characters; shorter pieces of a credential are useless to an attacker
_SHORTEST = 5  # characters; shorter values are not secrets, and occur in every text
_LONGEST = 2**16  # characters of the text or data of another package's exception

_NO_SECRETS = ("pagetoken",)  # the query parameter of a list of files
_scheme = re.compile("^(?:bearer|basic) +", re.IGNORECASE)

# One escaped character, in any syntax; the escape itself may be escaped any number of times.
_escape = re.compile(
    r"%(?:25)*([0-9A-Fa-f]{2})"
    r"|\\+u([0-9A-Fa-f]{4})|\\+x([0-9A-Fa-f]{2})|\\+([^A-Za-z0-9])"
    r"|&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
)


class Secrets:
    """The credentials of one call."""

    def __init__(self) -> None:
        self._given: Set[str] = set()
        self._runs: Dict[int, Set[str]] = {}  # the sequences to remove, by their length

    def add(self, value: str) -> None:
        """Add the value of a header or parameter to the secrets."""
        if value not in self._given:
            self._given.add(value)
            self._runs = {}

    def add_request(self, request: requests.PreparedRequest) -> None:
        """Add the credentials of a request that is about to be sent."""
        self.add_named(request.headers.items())
        query = urlsplit(request.url or "").query
        if names_a_secret(query):
            self.add_named(parse_qsl(query))

    def add_named(self, pairs: Any) -> None:
        """Add the values of headers or parameters whose names say that they are credentials."""
        for name, value in pairs:
            if names_a_secret(name) and name.lower() not in _NO_SECRETS:
                self.add(value if isinstance(value, str) else value.decode("latin-1"))

    def are_in(self, request: requests.PreparedRequest) -> bool:
        """Whether a request contains one of the credentials."""
        texts = [unquote(request.url or ""), *map(str, request.headers.values())]
        return any(secret in text for secret in self.values for text in texts)

    @property
    def values(self) -> Set[str]:
        """The credentials, without ``Bearer`` and the like."""
        return {_scheme.sub("", value) for value in self._given}

    def redact(self, text: str) -> str:
        """Return ``text`` without credentials and pieces of them."""
        if not self._runs:
            self._runs = _runs(self.values)
        spelled, ends = _unescaped(text)
        hidden: List[Tuple[int, int]] = []
        for length, runs in self._runs.items():
            for start in range(len(spelled) - length + 1):
                if spelled[start : start + length] in runs:
                    hidden.append((start, start + length))
        shown: List[str] = []
        behind = 0  # the end of the last hidden sequence, in the original text
        for start, end in sorted(hidden):
            first = ends[start - 1] if start else 0
            if first >= behind:
                shown += [text[behind:first], "" if shown and first == behind else "***"]
            behind = max(behind, ends[end - 1])
        return "".join(shown) + text[behind:]

    def redact_value(self, value: Any) -> Any:
        """Return a JSON value without credentials."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, bytes):
            return self.redact(value.decode("latin-1")).encode("latin-1")
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.redact_value, value))
        if isinstance(value, dict):
            return {self.redact(str(key)): self.redact_value(item) for key, item in value.items()}
        return value

    def redact_error(self, error: BaseException) -> None:
        """Remove all credentials from an exception that leaves the call, and from its causes.

        The causes are exceptions of other packages.  They keep their texts and a copy of the
        request; their tracebacks and other objects are dropped, since these contain requests.
        """
        for each in error_chain(error):
            if isinstance(each, GeministreamError):
                _each_attribute(
                    each, lambda name, value: self.redact_value(value) if name in _TEXTS else value
                )
            else:
                each.__traceback__ = None if each is not error else each.__traceback__
                _each_attribute(each, self._harmless)
            each.args = tuple(
                arg if isinstance(arg, BaseException) else self._harmless("", arg) for arg in each.args
            )

    def _harmless(self, name: str, value: Any) -> Any:
        """Return an attribute of another package's exception without credentials, or None."""
        if isinstance(value, requests.PreparedRequest):
            shown = requests.PreparedRequest()
            shown.method = value.method
            shown.url = self.redact(value.url or "")
            shown.headers = CaseInsensitiveDict(
                {key: self.redact_value(item) for key, item in value.headers.items()}
            )
            return shown
        if isinstance(value, (str, bytes)):
            return self.redact_value(value[:_LONGEST])
        if isinstance(value, (list, tuple, dict)):
            return self.redact_value(value)
        return value if isinstance(value, (int, float, BaseException)) else None


# The attributes of our exceptions that quote a server.  The partial answer is not redacted.
_TEXTS = ("message", "status", "details", "headers")


def _each_attribute(error: BaseException, change: Any) -> None:
    for name, value in list(vars(error).items()):
        changed = change(name, value)
        if changed is not value:
            setattr(error, name, changed)


def _runs(secrets: Set[str]) -> Dict[int, Set[str]]:
    runs: Dict[int, Set[str]] = {}
    for secret in {*secrets, *filter(None, map(_basic, secrets))}:
        secret, _ = _unescaped(secret)
        length = min(len(secret), _RUN)
        if length >= _SHORTEST:
            found = runs.setdefault(length, set())
            found.update(secret[start : start + length] for start in range(len(secret) - length + 1))
    return runs


def _basic(value: str) -> Optional[str]:
    """Return the password of basic authentication, https://www.rfc-editor.org/rfc/rfc7617, or None."""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
    except ValueError:
        return None


def _unescaped(text: str) -> Tuple[str, List[int]]:
    """Return the text with decoded escapes, and the end of each of its characters in the original."""
    spelled: List[str] = []
    ends: List[int] = []
    pos = 0
    for match in _escape.finditer(text):
        percent, unicode, byte, itself, entity = match.groups()
        if entity:
            character = html.unescape(f"&{entity};")
        else:
            character = itself or chr(int(percent or unicode or byte, 16))
        if len(character) == 1:
            spelled += [text[pos : match.start()], character]
            ends += [*range(pos + 1, match.start() + 1), match.end()]
            pos = match.end()
    spelled.append(text[pos:])
    ends += range(pos + 1, len(text) + 1)
    return "".join(spelled), ends


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all exceptions that it wraps, each once, the innermost last.

    Exceptions that the caller was handling when it called us are not included.
    """
    seen: Set[int] = set()
    waiting: List[Any] = [error]
    while waiting:
        each = waiting.pop(0)
        if (
            isinstance(each, BaseException)
            and id(each) not in seen
            and (each is error or not _is_callers(each))
        ):
            seen.add(id(each))
            yield each
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def _is_callers(error: BaseException) -> bool:
    """Whether a running frame outside this package has caught the exception."""
    trace = error.__traceback__
    if trace is None or f"{trace.tb_frame.f_globals.get('__name__')}.".startswith(_PACKAGE):
        return False
    frame = sys._getframe()
    while frame is not None and frame is not trace.tb_frame:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


_PACKAGE = __name__.rpartition("transport.")[0]  # "geministream.", or another name if it is vendored
