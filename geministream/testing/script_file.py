"""Scripts in JSON: the server's answers and faults, for tests in any language.

``geministream serve --script FILE.json`` and ``LocalServer(script=…)`` read::

    {
      "answers": [
        "a text",
        {"error": {"code": 429, "retry_after": 2}},
        {"stop_after": -20, "stop_how": "reset"}
      ],
      "rules": [
        {"model": "gemini-*-image", "answer": {"error": 503}},
        {"text": "weather", "answers": [{"calls": [{"name": "weather", "args": {"city": "Oslo"}}]}]}
      ]
    }

``answers`` are sent to the requests that generate, in order.  Rules take
precedence: the first rule that matches sends its ``answer`` each time, or each of
its ``answers`` once.  ``model`` is a pattern in the style of file names, ``text``
must occur in the text of the last content; a rule without either matches every
request.  If no answer is left, the server answers by its own rules.

An answer is a string (one chunk of text) or an object.  It has at most one of

==================  =================================================================
text                a string, or a list of strings: a chunk for each
chunks              a list: a string is a chunk of text, an object is a complete chunk,
                    a number is a pause in seconds
calls               a list of function calls: {"name": …, "args": {…}, "id": …};
                    a ``text`` beside it comes first
error               an HTTP error: a status, or an object with ``code`` and optionally
                    ``status``, ``message``, ``details``, ``retry_after`` (the
                    header), ``retry_info`` (the detail, such as "1.5s")
body, body_base64   raw bytes, as text or as base64; a list: a piece for each
blocked             why the prompt is blocked, such as "SAFETY"
garbage             true: bytes that are not a Gemini stream
==================  =================================================================

and if it has none of them, the server answers as usual; the other names apply:

==================  =================================================================
status              the HTTP status
headers             an object of header names and values
content_type        default: that of the framing
finish              the finish reason of the text or calls; default: "STOP"; null:
                    none
continuation_token  the text continues in another request: the last chunk has this
                    token and the finish reason CONTINUATION
signature           the thought signature of the calls
stream_error        an error in the stream, after the chunks; like ``error``, but
                    without ``retry_after``
error_form          its form: "data", "event", "element" or "raw"
framing             "sse", "json", "object" or "ndjson"; default: as requested
transfer            "chunked", "length" or "close"
gzip                true or false; default: if the client accepts it
delay               seconds before the response's head
piece_bytes         the body is sent in pieces of this many bytes
piece_delay         seconds between two pieces
stop_after          bytes of the body after which the fault occurs; a negative
                    number counts from the end
stop_in_head        bytes of the head after which the fault occurs; 0: no answer
stop_how            the fault: "end" (the body ends early), "drop" (the connection
                    closes), "reset" or "stall" (silence)
==================  =================================================================
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from . import json_checks
from .answers import ERROR_FORMS, FRAMINGS, STOP_HOW, TRANSFERS, Answer, chunk_of
from .json_checks import (
    Check,
    ScriptError,
    integer,
    list_of,
    map_of,
    one_of,
    one_or_more,
    parse_json,
    record,
    wrong,
)

Source = Union[str, "os.PathLike[str]", Mapping[str, Any]]


@dataclass(frozen=True)
class Rule:
    """Answers for the requests that match."""

    model: Optional[str] = None
    text: Optional[str] = None
    answers: Sequence[Answer] = ()
    #: The only answer is used each time.
    always: bool = False

    def matches(self, model: str, text: str) -> bool:
        return fnmatchcase(model, self.model or "*") and (self.text or "") in text


@dataclass(frozen=True)
class ScriptFile:
    """The answers and rules of a script."""

    answers: Sequence[Answer] = ()
    rules: Sequence[Rule] = ()


def read_script(source: Source) -> ScriptFile:
    """Read a script from a file, or from the parsed JSON of such a file.

    :raises ScriptError: if the script is not valid; the text names the file and the place.
    :raises OSError: if the file cannot be read.
    """
    if isinstance(source, Mapping):
        return script(source)
    with open(source, encoding="utf-8-sig") as file:
        try:
            return script(parse_json(file.read()))
        except ScriptError as error:
            raise ScriptError(f"{os.fspath(source)}: {error}") from None
        except ValueError as error:
            raise ScriptError(f"{os.fspath(source)}: is not valid JSON: {error}") from None


def script(value: Any, path: str = "$") -> ScriptFile:
    """Check and convert a script."""
    known = record({"answers": list_of(answer), "rules": list_of(rule)})
    return ScriptFile(**known(value, path))


def rule(value: Any, path: str) -> Rule:
    """Check and convert a rule."""
    given = _RULE(value, path)
    if ("answer" in given) == ("answers" in given):
        raise ScriptError(f'{path}: must have "answer" (for each time) or "answers" (once each)')
    always = "answer" in given
    answers = [given["answer"]] if always else given["answers"]
    return Rule(given.get("model"), given.get("text"), answers, always)


def answer(value: Any, path: str = "$") -> Answer:
    """Check and convert an answer; `path` is its place in the script."""
    if isinstance(value, str):
        return Answer.text(value)
    if not isinstance(value, Mapping):
        wrong(path, "a string or an object", value)
    given = _ANSWER(value, path)
    said = [name for name in _SAYS if name in given]
    if len(said) > 1 and said != ["text", "calls"]:
        raise ScriptError(f'{path}: has "{said[0]}" and "{said[1]}"; leave one out')
    if "signature" in given and "calls" not in given:
        raise ScriptError(f'{path}: "signature" needs "calls"')
    if "continuation_token" in given and said != ["text"]:
        raise ScriptError(f'{path}: "continuation_token" needs "text"')
    made = _saying(given)
    how = {name: given[name] for name in _SENT if name in given}
    how["headers"] = {**made.headers, **given.get("headers", {})}
    return dataclasses.replace(made, **how)


def _saying(given: Dict[str, Any]) -> Answer:
    """The content of an answer, without how it is sent."""
    if "calls" in given:
        return _calls(given)
    if "text" in given:
        return _texts(given)
    if "error" in given:
        return given["error"]  # type: ignore[no-any-return]
    if "blocked" in given:
        return Answer.blocked(given["blocked"])
    if "garbage" in given:
        return Answer.garbage()
    body = given.get("body_base64")
    if "body" in given:
        body = [each.encode("utf-8", "surrogatepass") for each in given["body"]]
    return Answer(chunks=given.get("chunks"), body=body, finish=given.get("finish", "STOP"))


def _calls(given: Dict[str, Any]) -> Answer:
    calls = given["calls"]
    made = Answer.calls(
        *((call["name"], call.get("args", {})) for call in calls),
        signature=given.get("signature"),
        text="".join(given.get("text", ())),
        finish=given.get("finish", "STOP"),
    )
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in made.chunks]
    for part, call in zip(parts[-len(calls) :], calls):
        if "id" in call:
            part["functionCall"]["id"] = call["id"]
    return made


def _texts(given: Dict[str, Any]) -> Answer:
    chunks: List[Any] = given["text"]
    token = given.get("continuation_token")
    if token is None:
        return Answer(chunks=chunks, finish=given.get("finish", "STOP"))
    # Without any text the request was spent on thinking.
    last = chunk_of({"text": chunks.pop() if chunks else ""}, given.get("finish", "CONTINUATION"))
    last["candidates"][0]["continuationToken"] = token
    return Answer(chunks=[*chunks, last])


def _chunk(value: Any, path: str) -> Any:
    if isinstance(value, (str, Mapping)):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        wrong(path, "a string, an object or a number of seconds", value)
    return json_checks.seconds(value, path)


def _call(value: Any, path: str) -> Any:
    known = {"name": json_checks.text, "args": json_checks.fields, "id": json_checks.text}
    return record(known, required=["name"])(value, path)


def _calls_list(value: Any, path: str) -> Any:
    return list_of(_call)(value, path) or wrong(path, "a list of one call or more", value)


def _error(value: Any, path: str) -> Answer:
    """An HTTP error."""
    if isinstance(value, Mapping):
        return Answer.failure(**record({**_ERROR, "retry_after": _retry_after}, ["code"])(value, path))
    return Answer.failure(_STATUS(value, path))


def _stream_error(value: Any, path: str) -> Any:
    """An error object in the stream."""
    if isinstance(value, Mapping):
        return Answer.failure(**record(_ERROR, ["code"])(value, path)).error
    return Answer.failure(_STATUS(value, path)).error


def _retry_after(value: Any, path: str) -> Any:
    (_header if isinstance(value, str) else json_checks.seconds)(value, path)
    return value


def _header(value: Any, path: str) -> str:
    if not json_checks.text(value, path).isprintable():
        wrong(path, "one line without control characters", value)
    return str(value)


def _headers(value: Any, path: str) -> Dict[str, str]:
    for name in json_checks.fields(value, path):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            wrong(path, "an object of header names and values", value)
    return map_of(_header)(value, path)  # type: ignore[no-any-return]


def _finish(value: Any, path: str) -> Any:
    return value if value is None else json_checks.text(value, path)


_STATUS = integer(200, 599)
_ERROR: Dict[str, Check] = {
    "code": _STATUS,
    "status": json_checks.text,
    "message": json_checks.text,
    "details": list_of(json_checks.fields),
    "retry_info": json_checks.text,
}
#: The content of an answer: at most one of these, except for text and calls.
_SAYS: Dict[str, Check] = {
    "text": one_or_more(json_checks.text),
    "calls": _calls_list,
    "chunks": list_of(_chunk),
    "error": _error,
    "body": one_or_more(json_checks.text),
    "body_base64": one_or_more(json_checks.from_base64),
    "blocked": json_checks.text,
    "garbage": one_of(True),
}
#: How it is sent: fields of `Answer`.
_SENT: Dict[str, Check] = {
    "status": _STATUS,
    "headers": _headers,
    "content_type": _header,
    "stream_error": _stream_error,
    "error_form": one_of(*ERROR_FORMS),
    "framing": one_of(*FRAMINGS),
    "transfer": one_of(*TRANSFERS),
    "gzip": json_checks.boolean,
    "delay": json_checks.seconds,
    "piece_bytes": integer(1),
    "piece_delay": json_checks.seconds,
    "stop_after": integer(),
    "stop_in_head": integer(0),
    "stop_how": one_of(*STOP_HOW),
}
_ANSWER = record(
    {
        **_SAYS,
        "finish": _finish,
        "continuation_token": json_checks.text,
        "signature": json_checks.text,
        **_SENT,
    }
)
_RULE = record(
    {"model": json_checks.text, "text": json_checks.text, "answer": answer, "answers": list_of(answer)}
)
