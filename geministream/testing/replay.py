"""Replay: recordings are played back byte for byte, in place of the recorded endpoint.

A request gets the recording with the same method, path, query and body; JSON may
be formatted differently, headers and credentials do not matter.  Equal requests
get their recordings in the order in which they were recorded, each once.
Queued answers, rules and faults come first: a fault without its own answer
applies to the recording.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Union
from urllib.parse import parse_qsl, urlencode, urlsplit

from .answers import Answer
from .json_checks import ScriptError
from .record import RecordedRequest
from .recording import Pairs, Recording, load, request_key
from .redact import Redactor, is_credential, secrets_of
from .stand_in import StandIn, answer_of


class Replay(StandIn):
    """Plays recordings: ``LocalServer(replay="tapes")`` or ``LocalServer(replay=Replay("tapes", speed=1))``.

    :param directory: the directory with the recordings.
    :param speed: play the body with its recorded pauses, this many times as fast; default: without pauses.
    :raises ScriptError: if a file is not a recording, or there is none.
    :raises OSError: if the directory cannot be read.
    """

    answers = True

    def __init__(self, directory: Union[str, "os.PathLike[str]"], speed: Optional[float] = None):
        self.speed = speed
        directory = os.fspath(directory)
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
        self.recordings = [load(os.path.join(directory, name)) for name in names]
        if not self.recordings:
            raise ScriptError(f"{directory}: has no recordings")
        self._lock = threading.Lock()
        self.begin_anew()

    def begin_anew(self) -> None:
        left: Dict[str, Deque[Recording]] = {}
        for recording in self.recordings:
            left.setdefault(repr(recording.key), deque()).append(recording)
        with self._lock:
            self._left = left

    def answer(self, recorded: RecordedRequest, url: str) -> Answer:
        parts = urlsplit(recorded.target)
        query = parse_qsl(parts.query, keep_blank_values=True)
        # Credentials are also hidden in the recorded body.
        hidden = Redactor(secrets_of(recorded.headers.pairs) | secrets_of(query))
        body = hidden(recorded.body)
        key = request_key(recorded.method, parts.path, query, recorded.headers.pairs, body)
        with self._lock:
            left = self._left.get(repr(key))
            recording = left.popleft() if left else None
        if recording is None:
            return self._not_recorded(recorded.method, parts.path, query, known=left is not None)
        return self._played(recording, url)

    def _played(self, recording: Recording, url: str) -> Answer:
        said = answer_of(recording, url)
        body: List[Any] = []  # bytes, and pauses between them
        before = recording.seconds
        for at, piece in recording.pieces:
            if self.speed is not None:
                body.append(max(0.0, at - before) / self.speed)
            body.append(piece)
            before = at
        said.body = body
        if self.speed is not None:
            said.delay = recording.seconds / self.speed
        if recording.end != "complete":
            said.stop_after = sum(len(piece) for _, piece in recording.pieces)
            said.stop_how = recording.end
            if said.transfer == "length":  # the length of the complete body, which never arrived
                said.transfer = "close"
                said.headers["Content-Length"] = recording.header("content-length") or "0"
        return said

    def _not_recorded(self, method: str, path: str, query: Pairs, known: bool) -> Answer:
        what = f"{method} {path}{_shown(query)}"
        if known:
            return Answer.failure(404, f"Every recording of {what} with this body has been played.")
        there = [each for each in self.recordings if each.path == path]
        if there:
            listed = "; ".join(_described(each) for each in there[:10])
            more = f"; and {len(there) - 10} more" if len(there) > 10 else ""
            return Answer.failure(
                404, f"No recording of {what} with this body. Recordings of this path: {listed}{more}."
            )
        paths = ", ".join(sorted({each.path for each in self.recordings})[:10])
        return Answer.failure(404, f"No recording of {what}. There are recordings of {paths}.")


def stand_in_of(record: Optional[StandIn], replay: Union[None, str, "os.PathLike[str]", Replay]) -> StandIn:
    """The stand-in for `LocalServer`'s arguments."""
    if record is not None and replay is not None:
        raise ValueError("record and replay exclude each other; leave one out")
    if replay is None:
        return record or StandIn()
    return replay if isinstance(replay, Replay) else Replay(replay)


def _shown(query: Pairs) -> str:
    asked = [(name, value) for name, value in query if not is_credential(name)]
    return f"?{urlencode(asked)}" if asked else ""


def _described(recording: Recording) -> str:
    body = recording.request_body.decode("utf-8", "replace") or "empty"
    asked = f"{recording.method} {recording.path}{_shown(recording.query)}"
    return f"{recording.name} ({asked}, body {body if len(body) <= 80 else body[:80] + '…'})"
