"""`LocalServer`: the server itself, from the connection to the answer."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any, Callable, Container, Dict, Iterable, List, Optional, Tuple, Union

from . import model
from .answers import Answer
from .api import Api
from .caches import StoredCache
from .cors import cors_headers, preflight
from .decode import LongDecode
from .delivery import deliver
from .files import MAX_FILE_BYTES, Files, StoredFile
from .listener import Listener
from .profiles import PROFILES
from .prompt import normal
from .record import Record, RecordedRequest
from .render import render
from .routes import TO_A_MODEL, Route, find_route
from .script import Decide, Script
from .signatures import Signatures
from .upload_faults import UploadFault
from .uploads import Uploads
from .wire import BadRequest, Connection, Gone, Head

#: "The whole request may be 100 MB" (Gemini API reference, inline data).
MAX_REQUEST_BYTES = 100 * 2**20


class LocalServer:
    """A real HTTP server on loopback that speaks Gemini's wire: a TEST server, not a model.

    Its answers come from a small deterministic program that shows what it
    received (`geministream.testing.model`), or from scripts
    (:meth:`queue`, :meth:`answer_with`); faults can be put on any of them.

    :param profile: whose rules it enforces: "google", "chainhub", "bifrost",
        "vertex" or "gateway".
    :param api_key: the key, or bearer token, that it wants; may be set anew later.
    :param host: where it listens.
    :param port: 0 takes a free one.
    :param tls: an `ssl.SSLContext` that makes it an HTTPS server.
    :param latency: seconds before each answer's head.
    :param piece_delay: seconds between two pieces of a stream.
    :param words_per_chunk: how many words a chunk of the model's text holds.
    :param gzip: compress where the client accepts it, as Google does.
    :param reply: tells the text of an answer (called with the request as a
        dict), in place of the model's rules.
    :param faults: what goes wrong, for each request to a model: a callable
        that decides, or a list that is used up.  An `Answer` of it that says
        nothing puts its fault on the answer due; one that speaks replaces it.
    :param keep_requests: how many requests are kept in ``requests``; default: all.
    :param max_request_bytes: the longest request that is taken.
    :param tokens_per_request: long decode: the most words that one request
        gives; the answer goes on in the next.
    :param checkpoint_every: long decode: each so many chunks bear a
        checkpoint; or a callable that decides for the k-th chunk of a request.
    :param thinking_hops: long decode: the hops (from 0) that give no text.
    :param reword: long decode: what is generated again reads otherwise
        (``word~2``), as at Google; `whole_text` knows the answer.
    :param require_signatures: check thought signatures as Gemini 3 does.
    :param processing_seconds: how long an uploaded video is PROCESSING,
    :param processing_polls: and for how many looks at it.
    :param upload_host: scheme and host that upload URLs name, where not its own.
    :param max_file_bytes: the largest file that is taken.

    :ivar requests: the requests that came, oldest first (`RecordedRequest`).
    :ivar request_count: how many came, kept or not.
    :ivar connections: how many connections were accepted so far.
    :ivar faults: what `faults` gave; a list may be added to.
    :ivar errors: exceptions of the server's own, or of callables given to it;
        the first is raised at the end of the ``with``.

    >>> from geministream import stream_generate
    >>> from geministream.testing import LocalServer
    >>> with LocalServer() as server:
    ...     for chunk in stream_generate("gemini-flash-latest", "Hello there", endpoint=server.endpoint):
    ...         print(chunk.text, end="")
    You said: Hello there
    """

    def __init__(
        self,
        *,
        profile: str = "google",
        api_key: str = "local-key",
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        latency: float = 0.0,
        piece_delay: float = 0.0,
        words_per_chunk: int = 3,
        gzip: bool = True,
        reply: Optional[model.Reply] = None,
        faults: Union[None, Decide, Iterable[Optional[Answer]]] = None,
        keep_requests: Optional[int] = None,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        tokens_per_request: Optional[int] = None,
        checkpoint_every: Union[None, int, Callable[[int], bool]] = None,
        thinking_hops: Container[int] = (),
        reword: bool = False,
        require_signatures: bool = False,
        lenient: bool = False,
        done_marker: bool = False,
        processing_seconds: float = 0.0,
        processing_polls: int = 0,
        upload_host: Optional[str] = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ):
        self.profile = PROFILES[profile]
        self.api_key = api_key
        self.latency = latency
        self.piece_delay = piece_delay
        self.gzip = gzip
        self.done_marker = done_marker
        self.max_request_bytes = max_request_bytes
        self.errors: List[BaseException] = []
        self._record = Record(keep_requests)
        self._listener = Listener(host, port, tls, self._record.changed, self._talk)
        self._script = Script(faults)
        self._files = Files(
            lambda: f"{self.url}{self.profile.prefix}/v1beta",
            processing_seconds=processing_seconds,
            processing_polls=processing_polls,
            max_file_bytes=max_file_bytes,
        )
        self._uploads = Uploads(self._files, upload_host)
        self._decode = LongDecode(tokens_per_request, checkpoint_every, thinking_hops, reword)
        signatures = Signatures() if require_signatures else None
        self._api = Api(self.profile, self._files, self._decode, signatures, reply, words_per_chunk, lenient)

    # -- its life ------------------------------------------------------------

    def start(self) -> LocalServer:
        """Listen; returns the server."""
        self._listener.start()
        return self

    def close(self) -> None:
        """End every connection and thread now; the server can be asked about afterwards.

        In a forked child this does nothing: the server is its parent's.
        """
        self._listener.close()

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port that it listens on, once it has started."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The base URL, without the profile's prefix."""
        return self._listener.url

    @property
    def endpoint(self) -> Any:
        """An `Endpoint` for this server, with its key and short retry delays."""
        from ..endpoint import Endpoint, Retry

        common: Dict[str, Any] = {"timeout": (5, 30), "retry": Retry(initial_delay=0.01, max_delay=1.0)}
        base_url = self.url + self.profile.prefix
        if self.profile.long_paths:
            return Endpoint.vertex("local-project", "global", self.api_key, base_url=base_url, **common)
        auth = self.profile.auth[0] if len(self.profile.auth) == 1 else self.profile.auth
        if "resumable" not in self.profile.uploads and self.profile.uploads:
            common["upload_protocol"] = self.profile.uploads[0]
        return Endpoint(base_url=base_url, api_key=self.api_key, auth=auth, **common)

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._listener.accepted

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._listener.open)

    @property
    def requests(self) -> List[RecordedRequest]:
        """The requests that came, oldest first."""
        return self._record.requests

    @property
    def request_count(self) -> int:
        """How many requests came, kept or not."""
        return self._record.count

    def drop_connections(self) -> None:
        """Close every open connection; the server goes on listening."""
        self._listener.drop_connections()
        self.wait_for_connections()

    # -- scripts -------------------------------------------------------------

    @property
    def faults(self) -> Any:
        """What `faults` gave; a list may be added to."""
        return self._script.faults

    @faults.setter
    def faults(self, faults: Any) -> None:
        self._script.faults = faults

    def queue(self, *answers: Union[Answer, str]) -> None:
        """Give these answers to the next requests to a model, in order; a str is one chunk of text.

        They come before the model's own, after the checks of key and request.
        """
        self._script.add(*answers)

    def answer_with(self, decide: Optional[Decide]) -> None:
        """Ask `decide` for the answer to each request of any kind that the checks let through.

        None from it means: as usual.
        """
        self._script.decide = decide

    @property
    def queued(self) -> int:
        """How many scripted answers are left."""
        return len(self._script.answers)

    def expected_text(self, request: Dict[str, Any], candidate: int = 0) -> str:
        """The text that the model answers to this request; see `geministream.testing.model`."""
        whole = self._api.caches.whole(normal(request))
        return model.expected_text(whole, candidate, files=self._files.facts, reply=self._api.reply)

    def whole_text(self, recorded: RecordedRequest) -> str:
        """The text of a long answer as it was told, request by request, up to the end of this one.

        It differs from :meth:`expected_text` where `reword` made it.
        """
        tokens, _ = model.answer_tokens(normal(recorded.json), files=self._files.facts, reply=self._api.reply)
        return self._decode.whole_text(recorded.number, tokens)

    # -- files ---------------------------------------------------------------

    @property
    def files(self) -> Dict[str, StoredFile]:
        """The uploaded files by name: size and hash, not their bytes."""
        return dict(self._files.stored)

    def fail_upload(
        self,
        how: Union[str, int],
        *,
        piece: Union[None, int, str] = None,
        at: Optional[int] = None,
        after_bytes: int = 0,
    ) -> None:
        """Let an upload fail, once; call it several times for several faults.

        :param how: "reset" or "drop" (the connection dies in the middle of the
            piece), "stall" (no answer until the client leaves), "drop_answer"
            (all was taken, and the connection dies instead of the answer),
            "gone" (404, and the upload is forgotten), or a status such as 503,
            given when the piece has come.
        :param piece: which of an upload's requests with bytes, from 0; or
            "start", "query", "form".
        :param at: in place of ``piece``: the byte of the file at which it strikes.
        :param after_bytes: how many bytes of the piece are taken before it strikes.
        """
        self._uploads.faults.add(UploadFault(how, piece, at, after_bytes))

    def fail_processing(self, *reasons: str) -> None:
        """Let the processing of the next uploaded files fail, for these reasons."""
        self._files.failures.extend(reasons)

    def finish_processing(self) -> None:
        """Process all files now."""
        for file in self.files.values():
            file.ready_at, file.polls_left = 0.0, 0

    def expire_file(self, name: str) -> None:
        """Let a file's 48 hours be over."""
        self._files.stored.pop(name, None)

    # -- cached contents -------------------------------------------------------

    @property
    def caches(self) -> Dict[str, StoredCache]:
        """The cached contents by name."""
        return dict(self._api.caches.stored)

    def expire_cache(self, name: str) -> None:
        """Let a cached content be over."""
        self._api.caches.stored.pop(name, None)

    # -- waiting, for tests --------------------------------------------------

    def wait_for_request(self, count: int = 1, timeout: float = 10.0) -> RecordedRequest:
        """Wait until `count` requests came in all; the last of these."""
        self.wait_until(lambda: self.request_count >= count, timeout, f"request {count}")
        return self.requests[count - 1 - self.request_count]

    def wait_for_connections(self, count: int = 0, timeout: float = 10.0) -> None:
        """Wait until at most `count` connections are open."""
        self.wait_until(lambda: self.open_connections <= count, timeout, f"{count} open connections")

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10.0, what: str = "it") -> None:
        """Wait until `predicate()`, asked again whenever something happens here."""
        self._record.wait_until(predicate, timeout, what)

    # -- one connection --------------------------------------------------------

    def _talk(self, connection: Connection) -> None:
        """All that happens on one connection."""
        try:
            connection.open()
            while self._exchange(connection):
                pass
        except Gone:
            pass
        except BadRequest as error:
            _refuse(connection, error)
        except Exception as error:  # a bug here, or in a test's callable: it must not go unseen
            self.errors.append(error)
            _refuse(connection, BadRequest(f"LocalServer failed: {error!r}", 500))

    def _exchange(self, connection: Connection) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = connection.read_head()
        recorded = RecordedRequest(0, connection.number, head)
        route = find_route(head.path, self.profile)
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
            self._record.finish(recorded)

    def _receive(
        self, connection: Connection, head: Head, route: Optional[Route], recorded: RecordedRequest
    ) -> Optional[Answer]:
        """Read the body; an answer if that alone decides on it."""
        if route and route.kind == "upload":
            # An upload's own URL is credential enough; its id cannot be guessed.
            own_url = "upload_id" in head.query
            refusal = preflight(head) or (None if own_url else self.profile.check_key(head, self.api_key))
            if refusal is None:
                return self._uploads.serve(connection, head, recorded, self.profile.uploads)
            for _ in connection.read_body(head):
                pass
            return refusal
        digest = hashlib.sha256()
        kept: List[bytes] = []
        for piece in connection.read_body(head):
            digest.update(piece)
            recorded.size += len(piece)
            if recorded.size <= self.max_request_bytes:
                kept.append(piece)
        recorded.sha256 = digest.hexdigest()
        if recorded.size > self.max_request_bytes:
            return Answer.failure(
                400, f"Request payload size exceeds the limit: {self.max_request_bytes} bytes."
            )
        recorded.body = b"".join(kept)
        return None

    def _answer(
        self, head: Head, route: Optional[Route], recorded: RecordedRequest, given: Optional[Answer]
    ) -> Tuple[Answer, Dict[str, Any]]:
        """The answer, and the request in its normal form; `given` is what the body alone led to."""
        request: Dict[str, Any] = {}
        if route is None or route.kind != "upload":
            given = given or preflight(head) or self.profile.check_key(head, self.api_key)
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
        """Send the answer; whether the connection goes on."""
        if self.latency:
            connection.pause(self.latency)
        status, headers, items = render(
            answer,
            self._api.framing(route, head),
            newline=self.profile.newline,
            done=self.done_marker,
            watch=lambda chunk: self._api.issue(chunk, request),
        )
        return deliver(
            connection,
            answer,
            (status, {**cors_headers(head), **headers}, items),
            piece_delay=self.piece_delay if route and route.kind == "generate" else 0.0,
            accepts_gzip=self.gzip and "gzip" in head.headers.get("accept-encoding", ""),
            keep_alive=head.keep_alive and not connection.closing.is_set(),
            chunks_known=head.version != "HTTP/1.0",
            head_only=head.method == "HEAD",
            sent=lambda size: self._record.sent(recorded, size),
        )


def _refuse(connection: Connection, error: BadRequest) -> None:
    answer = Answer.failure(error.status, str(error), transfer="length")
    try:
        if not connection.answering:
            deliver(connection, answer, render(answer, "object"), keep_alive=False)
    except Gone:
        pass
