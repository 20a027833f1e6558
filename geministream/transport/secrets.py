"""The credentials that went out with a call's requests, and how they are kept out of its errors.

A server may send a credential back in any spelling: percent-encoded, escaped in
HTML or JSON, twice over, or cut by a length limit.  So a text is first read as
what its escapes stand for, and any run of `_RUN` characters that a credential
has, too, is taken out of it.
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

_RUN = 8  # of so many characters, what is left of a credential is of no use to anyone
_SHORTEST = 5  # what is shorter is no secret, and would tear every text apart
_LONGEST = 2**16  # of a foreign exception's text or data

_NO_SECRETS = ("pagetoken",)  # of the list of files
_scheme = re.compile("^(?:bearer|basic) +", re.IGNORECASE)

# One character, however it is escaped, each escape in itself escaped any number of times.
_escape = re.compile(
    r"%(?:25)*([0-9A-Fa-f]{2})"
    r"|\\+u([0-9A-Fa-f]{4})|\\+x([0-9A-Fa-f]{2})|\\+([^A-Za-z0-9])"
    r"|&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
)


class Secrets:
    """What must not be shown of one call."""

    def __init__(self) -> None:
        self._given: Set[str] = set()
        self._runs: Dict[int, Set[str]] = {}  # their length to what must not be shown of it

    def add(self, value: str) -> None:
        """From now on this value, a header's or parameter's, is a secret."""
        if value not in self._given:
            self._given.add(value)
            self._runs = {}

    def add_request(self, request: requests.PreparedRequest) -> None:
        """Learn the credentials of a request as it goes out, whoever put them there."""
        self.add_named(request.headers.items())
        query = urlsplit(request.url or "").query
        if names_a_secret(query):
            self.add_named(parse_qsl(query))

    def add_named(self, pairs: Any) -> None:
        """Learn the values of headers or parameters whose names say that they are credentials."""
        for name, value in pairs:
            if names_a_secret(name) and name.lower() not in _NO_SECRETS:
                self.add(value if isinstance(value, str) else value.decode("latin-1"))

    def are_in(self, request: requests.PreparedRequest) -> bool:
        """Whether a request carries any of them."""
        texts = [unquote(request.url or ""), *map(str, request.headers.values())]
        return any(secret in text for secret in self.values for text in texts)

    @property
    def values(self) -> Set[str]:
        """The credentials themselves."""
        return {_scheme.sub("", value) for value in self._given}

    def redact(self, text: str) -> str:
        """``text`` without any credential, or what is left of one."""
        if not self._runs:
            self._runs = _runs(self.values)
        spelled, ends = _unescaped(text)
        hidden: List[Tuple[int, int]] = []
        for length, runs in self._runs.items():
            for start in range(len(spelled) - length + 1):
                if spelled[start : start + length] in runs:
                    hidden.append((start, start + length))
        shown: List[str] = []
        behind = 0  # of what is hidden so far, in the text as it came
        for start, end in sorted(hidden):
            first = ends[start - 1] if start else 0
            if first >= behind:
                shown += [text[behind:first], "" if shown and first == behind else "***"]
            behind = max(behind, ends[end - 1])
        return "".join(shown) + text[behind:]

    def redact_value(self, value: Any) -> Any:
        """A JSON value without any credential."""
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
        """Take every credential out of an exception that leaves the call, and out of its causes.

        The causes are other packages' exceptions.  Their texts stay; their tracebacks, whose frames
        hold whole requests, and the objects that they refer to go, but for a copy of the request.
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
        """The attribute of a foreign exception, or what can be shown of it."""
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


# The attributes of our own exceptions that quote a server; what a model said is the answer, and stays.
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
    """The user and password of basic authentication, https://www.rfc-editor.org/rfc/rfc7617"""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
    except ValueError:
        return None


def _unescaped(text: str) -> Tuple[str, List[int]]:
    """What the text says once its escapes are read, and where each character of that ends in the text."""
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
    """An exception and all that it wraps, each once, the innermost last.

    What the caller was handling when it called us is its own, and not among them.
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
    """Whether a frame that is running now, and is none of ours, has caught it."""
    trace = error.__traceback__
    if trace is None or f"{trace.tb_frame.f_globals.get('__name__')}.".startswith(_PACKAGE):
        return False
    frame = sys._getframe()
    while frame is not None and frame is not trace.tb_frame:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


_PACKAGE = __name__.rpartition("transport.")[0]  # "geministream.", or where that is vendored
