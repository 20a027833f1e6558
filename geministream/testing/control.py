r"""The control endpoint: a test in any language scripts the server and reads its record, over plain HTTP.

It is on the server's own port, and off by default; ``geministream serve
--control`` or ``LocalServer(control=True)`` turns it on.  It requires no key:
anyone who can reach the port can use it.

=======================  ===========================================================
POST /_control/answers   queue an answer, or a list of them
POST /_control/rules     add a rule, or a list of them
GET /_control/requests   the requests received, oldest first: method, path, query,
                         headers (credentials are ``***``), body (JSON if it is JSON,
                         else text, or ``body_base64``), and the answer's status
POST /_control/reset     clear queue, rules and requests; restart script and replay
=======================  ===========================================================

Answers and rules are written as in a script, see `geministream.testing.script_file`.
Control requests are not recorded.  With ``serve --control --port 8765``::

    curl localhost:8765/_control/answers -d '{"error": {"code": 429, "retry_after": 1}}'
    curl localhost:8765/_control/answers -d '[{"text": "cut short", "stop_after": -9}, "complete"]'
    curl localhost:8765/_control/answers -d '{"calls": [{"name": "add", "args": {"a": 1, "b": 2}}]}'
    curl localhost:8765/_control/rules -d '{"text": "weather", "answer": "Sunny."}'
    curl localhost:8765/_control/requests
    curl -X POST localhost:8765/_control/reset
"""

from __future__ import annotations

import base64
from typing import Any, Callable, Dict

from .answers import Answer
from .delivery import deliver
from .json_checks import ScriptError, one_or_more, parse_json
from .record import Record, RecordedRequest
from .redact import without_credentials
from .render import render
from .script import Script
from .script_file import ScriptFile, answer, rule
from .wire import Connection, Head


class Control:
    """The control endpoint of one server.

    :param reset: restores the server's initial state.
    """

    def __init__(self, script: Script, record: Record, reset: Callable[[], None]):
        self._script = script
        self._record = record
        self._reset = reset
        self._actions: Dict[str, Callable[[bytes], Any]] = {
            "POST /_control/answers": self._answers,
            "POST /_control/rules": self._rules,
            "GET /_control/requests": self._requests,
            "POST /_control/reset": self._anew,
        }

    def owns(self, head: Head) -> bool:
        """Whether this is a control request."""
        return head.path.startswith("/_control/")

    def exchange(self, connection: Connection, head: Head) -> bool:
        """Read a control request's body and answer it; return whether the connection stays open."""
        body = b"".join(connection.read_body(head))
        said = self._answer(f"{head.method} {head.path}", body)
        keep_alive = head.keep_alive and not connection.closing.is_set()
        return deliver(connection, said, render(said, "object"), keep_alive=keep_alive)

    def _answer(self, what: str, body: bytes) -> Answer:
        action = self._actions.get(what)
        if action is None:
            message = f"{what} is not a control request; use {', '.join(self._actions)}."
            return Answer.failure(404, message, transfer="length")
        try:
            return Answer(chunks=[action(body)], transfer="length")
        except ScriptError as error:
            return Answer.failure(400, str(error), transfer="length")

    def _answers(self, body: bytes) -> Any:
        self._script.play(ScriptFile(answers=one_or_more(answer)(_json(body), "$")))
        return {"queued": len(self._script.answers)}

    def _rules(self, body: bytes) -> Any:
        self._script.play(ScriptFile(rules=one_or_more(rule)(_json(body), "$")))
        return {}

    def _requests(self, body: bytes) -> Any:
        return {"requests": [_shown(each) for each in list(self._record.requests)]}

    def _anew(self, body: bytes) -> Any:
        self._reset()
        return {}


def _json(body: bytes) -> Any:
    try:
        return parse_json(body)
    except ValueError as error:
        raise ScriptError(f"$: is not valid JSON: {error}") from None


def _shown(recorded: RecordedRequest) -> Dict[str, Any]:
    """A request without its credentials."""
    shown: Dict[str, Any] = {
        "number": recorded.number,
        "method": recorded.method,
        "path": recorded.path,
        "query": dict(without_credentials(recorded.query.items())),
        "headers": dict(without_credentials(recorded.headers.items())),
        "status": recorded.answer.http_status if recorded.answer else None,
        "fault": recorded.fault,
    }
    try:
        text = recorded.body.decode()
    except UnicodeDecodeError:
        return {**shown, "body_base64": base64.b64encode(recorded.body).decode()}
    try:
        return {**shown, "body": parse_json(text)}
    except ValueError:
        return {**shown, "body": text}
