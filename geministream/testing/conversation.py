"""One connection from start to end: its requests are read, recorded and answered in order."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Protocol, Tuple

from .answers import Answer
from .api import Api
from .control import Control
from .cors import cors_headers, preflight
from .delivery import deliver, refuse
from .profiles import Profile
from .record import Record, RecordedRequest
from .render import render
from .routes import TO_A_MODEL, Route, find_route
from .script import Script
from .stand_in import StandIn
from .uploads import Uploads
from .wire import BadRequest, Connection, Gone, Head, drain


class Settings(Protocol):
    """Settings that a test may change at any time; see `LocalServer`."""

    profile: Profile
    api_key: str
    latency: float
    piece_delay: float
    gzip: bool
    done_marker: bool
    max_request_bytes: int
    errors: List[BaseException]

    @property
    def url(self) -> str: ...


class Conversation:
    """Talks with the clients of one server."""

    def __init__(
        self,
        settings: Settings,
        record: Record,
        script: Script,
        uploads: Uploads,
        api: Api,
        control: Optional[Control],
        stand_in: StandIn,
    ):
        self._settings = settings
        self._record = record
        self._script = script
        self._uploads = uploads
        self._api = api
        self._control = control
        self._stand_in = stand_in

    def talk(self, connection: Connection) -> None:
        """Serve one connection until it ends."""
        try:
            connection.open()
            while self._exchange(connection):
                pass
        except Gone:
            pass
        except BadRequest as error:
            refuse(connection, error)
        except Exception as error:  # a bug here or in a test's callable must be noticed
            self._settings.errors.append(error)
            refuse(connection, BadRequest(f"LocalServer failed: {error!r}", 500))

    def _exchange(self, connection: Connection) -> bool:
        """Serve one request; return whether the connection stays open."""
        head = connection.read_head()
        if self._control and self._control.owns(head):
            return self._control.exchange(connection, head)
        recorded = RecordedRequest(0, connection.number, head)
        route = find_route(head.path, self._settings.profile)
        if route and route.kind in TO_A_MODEL:
            recorded.model, recorded.verb = route.name, route.verb
        try:
            try:
                given = self._receive(connection, head, route, recorded)
                recorded.complete = not connection.body_unread
            finally:
                self._record.add(recorded)
            answer, request = self._answer(head, route, recorded, given)
            recorded.answer = answer
            return self._send(connection, head, route, recorded, answer, request)
        except Gone:
            if not connection.closing.is_set():
                recorded.client_gone.set()
            raise
        finally:
            try:
                self._stand_in.finish(recorded)
            finally:
                self._record.finish(recorded)

    def _receive(
        self, connection: Connection, head: Head, route: Optional[Route], recorded: RecordedRequest
    ) -> Optional[Answer]:
        """Read the body; return an answer for an upload, or if the body is too large."""
        if route and route.kind == "upload" and not self._stand_in.answers:
            # An upload URL requires no key: its id cannot be guessed.
            own_url = "upload_id" in head.query
            refusal = preflight(head) or (None if own_url else self._check_key(head))
            if refusal is None:
                return self._uploads.serve(connection, head, recorded, self._settings.profile.uploads)
            drain(connection.read_body(head))
            return refusal
        limit = self._settings.max_request_bytes
        drain(recorded.measure(connection.read_body(head), limit))
        if recorded.size <= limit:
            return None
        return Answer.failure(400, f"Request payload size exceeds the limit: {limit} bytes.")

    def _check_key(self, head: Head) -> Optional[Answer]:
        return self._settings.profile.check_key(head, self._settings.api_key)

    def _answer(
        self, head: Head, route: Optional[Route], recorded: RecordedRequest, given: Optional[Answer]
    ) -> Tuple[Answer, Dict[str, Any]]:
        """The answer, and the request in its normal form; `given` is the answer from `_receive`."""
        request: Dict[str, Any] = {}
        if self._stand_in.answers:
            given = given or preflight(head)
            if given is None and self._stand_in.needs_key(head):
                given = self._check_key(head)
            if given:
                return given, request
        elif route is None or route.kind != "upload":
            given = given or preflight(head) or self._check_key(head)
            if given is None and route:
                request, given = self._api.check(head, route, recorded.body)
            if given:
                return given, request
        scripted, fault = self._script.cue(recorded, generates=bool(route and route.kind == "generate"))
        if fault and fault.speaks:
            recorded.fault = fault.fault
            return fault, request
        answer = scripted or Answer()
        if not answer.speaks:
            if self._stand_in.answers:
                given = self._stand_in.answer(recorded, self._settings.url)
            answer = (given or self._api.answer(head, route, request, recorded)).sent_like(answer)
        if fault:
            answer = answer.sent_like(fault)
        if scripted or fault:
            recorded.fault = answer.fault
        return answer, request

    def _send(
        self,
        connection: Connection,
        head: Head,
        route: Optional[Route],
        recorded: RecordedRequest,
        answer: Answer,
        request: Dict[str, Any],
    ) -> bool:
        """Send the answer; return whether the connection stays open."""
        if self._settings.latency:
            connection.pause(self._settings.latency)
        status, headers, items = render(
            answer,
            self._api.framing(route, head),
            newline=self._settings.profile.newline,
            done=self._settings.done_marker,
            watch=lambda chunk: self._api.issue(chunk, request),
        )
        return deliver(
            connection,
            answer,
            (status, {**cors_headers(head), **headers}, items),
            piece_delay=self._settings.piece_delay if route and route.kind == "generate" else 0.0,
            accepts_gzip=self._settings.gzip and "gzip" in head.headers.get("accept-encoding", ""),
            keep_alive=head.keep_alive and not connection.closing.is_set(),
            chunks_known=head.version != "HTTP/1.0",
            head_only=head.method == "HEAD",
            sent=lambda size: self._record.sent(recorded, size),
        )
