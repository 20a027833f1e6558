"""`LocalServer`: the server itself, from the socket to the answer."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import threading
import time
from collections import deque
from typing import (
    Any,
    Callable,
    Container,
    Deque,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    Union,
)

from . import checks, model
from .answers import Answer, deliver, render
from .decode import LongDecode
from .files import MAX_FILE_BYTES, Files, StoredFile
from .profiles import PROFILES
from .signatures import Signatures
from .wire import BadRequest, Connection, Gone, Head

#: "The whole request may be 100 MB" (Gemini API reference, inline data).
MAX_REQUEST_BYTES = 100 * 2**20

#: What a path's verb asks for.
VERBS = {
    "streamGenerateContent": "generate",
    "generateContent": "generate",
    "countTokens": "count",
    None: "model",
}

#: What decides on an answer or a fault: called with the request, returns an Answer or None.
Decide = Callable[["RecordedRequest"], Optional[Answer]]


class RecordedRequest:
    """A request that came, and what became of it.

    :ivar number: its place among all requests, from 0.
    :ivar connection: the number of the connection that it came over, from 0.
    :ivar method, target, path, query, headers: as sent; ``query`` is a dict
        (the last value wins), ``headers`` a mapping that knows no case.
    :ivar body, size, sha256: the body; of an upload past 1 MiB only the size
        and the hash are kept, and ``body`` is empty.
    :ivar complete: whether the body came whole.
    :ivar model, verb: of ``…/models/{model}:{verb}``.
    :ivar answer: the `Answer` that was given.
    :ivar fault: in words, what was made to go wrong; None where nothing was.
    :ivar bytes_sent, pieces_sent: of the answer's body, so far.
    :ivar client_gone: an Event, set when the client left before the answer's end.
    :ivar finished: an Event, set when the server is done with the request.
    """

    def __init__(self, number: int, connection: int, head: Head):
        self.number = number
        self.connection = connection
        self.method, self.target, self.path, self.query, _, self.headers = head
        self.body = b""
        self.size = 0
        self.sha256 = ""
        self.complete = False
        self.model: Optional[str] = None
        self.verb: Optional[str] = None
        self.answer: Optional[Answer] = None
        self.fault: Optional[str] = None
        self.bytes_sent = 0
        self.pieces_sent = 0
        self.client_gone = threading.Event()
        self.finished = threading.Event()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        what = f"{self.method} {self.path}, {self.size} bytes"
        return f"<RecordedRequest {self.number}: {what}, fault={self.fault!r}>"


class Route(NamedTuple):
    """Where a path leads."""

    kind: str  # "generate", "count", "models", "model", "files", "upload"
    name: str = ""  # the model's or file's
    verb: str = ""


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
        processing_seconds: float = 0.0,
        processing_polls: int = 0,
        upload_host: Optional[str] = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ):
        self.profile = PROFILES[profile]
        self.api_key = api_key
        self.host = host
        self.port = port
        self.latency = latency
        self.piece_delay = piece_delay
        self.words_per_chunk = words_per_chunk
        self.gzip = gzip
        self.reply = reply
        self.faults: Any = faults if callable(faults) else list(faults or ())
        self.max_request_bytes = max_request_bytes
        self._decode = LongDecode(tokens_per_request, checkpoint_every, thinking_hops, reword)
        self._signatures = Signatures() if require_signatures else None
        self._files = Files(
            lambda: f"{self.url}{self.profile.prefix}/v1beta",
            processing_seconds=processing_seconds,
            processing_polls=processing_polls,
            upload_host=upload_host,
            max_file_bytes=max_file_bytes,
        )

        self.requests: List[RecordedRequest] = []
        self.request_count = 0
        self.connections = 0
        self.errors: List[BaseException] = []
        self._keep = keep_requests
        self._tls = tls
        self._queue: Deque[Answer] = deque()
        self._answer_with: Optional[Decide] = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._open: Set[Connection] = set()
        self._threads: Set[threading.Thread] = set()
        self._listener: Optional[socket.socket] = None

    # -- its life ------------------------------------------------------------

    def start(self) -> LocalServer:
        """Listen; returns the server."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._closing.clear()
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=512)
        self.port = self._listener.getsockname()[1]
        self._process = os.getpid()
        self._acceptor = threading.Thread(target=self._accept, name="LocalServer", daemon=True)
        self._acceptor.start()
        return self

    def close(self) -> None:
        """End every connection and thread now; the server can be asked about afterwards.

        In a forked child this does nothing: the server is its parent's.
        """
        listener, self._listener = self._listener, None
        if listener is None or self._process != os.getpid():
            return
        self._closing.set()
        try:
            # accept() wakes up at this on Linux; elsewhere at the connection.
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            pass
        self._acceptor.join(5)
        listener.close()
        with self._changed:
            connections, threads = list(self._open), list(self._threads)
        for connection in connections:
            connection.abort()
        for thread in threads:
            thread.join(5)

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    @property
    def url(self) -> str:
        """The base URL, without the profile's prefix."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

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
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    # -- scripts -------------------------------------------------------------

    def queue(self, *answers: Union[Answer, str]) -> None:
        """Give these answers to the next requests to a model, in order; a str is one chunk of text.

        They come before the model's own, after the checks of key and request.
        """
        with self._changed:
            self._queue.extend(Answer.text(each) if isinstance(each, str) else each for each in answers)

    def answer_with(self, decide: Optional[Decide]) -> None:
        """Ask `decide` for the answer to each request of any kind that the checks let through.

        None from it means: as usual.
        """
        self._answer_with = decide

    @property
    def queued(self) -> int:
        """How many scripted answers are left."""
        return len(self._queue)

    def expected_text(self, request: Dict[str, Any], candidate: int = 0) -> str:
        """The text that the model answers to this request; see `geministream.testing.model`."""
        return model.expected_text(request, candidate, files=self._files.facts, reply=self.reply)

    def whole_text(self, recorded: RecordedRequest) -> str:
        """The text of a long answer as it was told, request by request, up to the end of this one.

        It differs from :meth:`expected_text` where `reword` made it.
        """
        tokens, _ = model.answer_tokens(
            model.normal(recorded.json), files=self._files.facts, reply=self.reply
        )
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
        self._files.fail(how, piece, at, after_bytes)

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

    # -- waiting, for tests --------------------------------------------------

    def wait_for_request(self, count: int = 1, timeout: float = 10.0) -> RecordedRequest:
        """Wait until `count` requests came in all; the last of these."""
        self.wait_until(lambda: self.request_count >= count, timeout, f"request {count}")
        return self.requests[count - 1 - self.request_count]

    def wait_for_connections(self, count: int = 0, timeout: float = 10.0) -> None:
        """Wait until at most `count` connections are open."""
        self.wait_until(lambda: len(self._open) <= count, timeout, f"{count} open connections")

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10.0, what: str = "it") -> None:
        """Wait until `predicate()`, asked again whenever something happens here."""
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                raise TimeoutError(f"LocalServer waited {timeout} s for {what} in vain")

    # -- connections ---------------------------------------------------------

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._closing.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                if self._closing.is_set():
                    return
                time.sleep(0.01)  # out of descriptors: some will be given back
                continue
            if self._closing.is_set():
                sock.close()
                return
            if self._tls is not None:
                try:  # the handshake itself is left to the connection's own thread
                    sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                except OSError:
                    sock.close()
                    continue
            with self._changed:
                connection = Connection(sock, self.connections, self._closing)
                thread = threading.Thread(
                    target=self._serve,
                    args=(connection,),
                    name=f"LocalServer-{connection.number}",
                    daemon=True,
                )
                self.connections += 1
                self._open.add(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        """All that happens on one connection."""
        try:
            connection.open()
            while self._exchange(connection):
                pass
        except Gone:
            pass
        except BadRequest as error:
            self._refuse(connection, error)
        except Exception as error:  # a bug here, or in a test's callable: it must not go unseen
            self.errors.append(error)
            self._refuse(connection, BadRequest(f"LocalServer failed: {error!r}", 500))
        finally:
            connection.close()
            with self._changed:
                self._open.discard(connection)
                self._threads.discard(threading.current_thread())
                self._changed.notify_all()

    def _refuse(self, connection: Connection, error: BadRequest) -> None:
        answer = Answer.failure(error.status, str(error), transfer="length")
        try:
            if not connection.answering:
                deliver(connection, answer, render(answer, "object"), keep_alive=False)
        except Gone:
            pass

    def _exchange(self, connection: Connection) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = connection.read_head()
        recorded = RecordedRequest(0, connection.number, head)
        route = self._route(head, recorded)
        try:
            refusal = self._receive(connection, head, route, recorded)
            recorded.complete = not connection.body_unread
        except (Gone, BadRequest) as error:
            if isinstance(error, Gone) and not self._closing.is_set():
                recorded.client_gone.set()
            recorded.finished.set()
            raise
        finally:
            self._record(recorded)
        try:
            answer, request = self._answer(head, route, recorded, refusal)
            recorded.answer = answer
            if self.latency:
                connection.pause(self.latency)

            def watch(chunk: Dict[str, Any]) -> None:
                self._decode.issue(chunk, request)
                if self._signatures:
                    self._signatures.issue(chunk)

            def sent(size: int) -> None:
                with self._changed:
                    recorded.bytes_sent += size
                    recorded.pieces_sent += 1
                    self._changed.notify_all()

            rendered = render(
                answer,
                self._framing(route, head),
                newline=self.profile.newline,
                done=self.profile.done,
                watch=watch,
            )
            return deliver(
                connection,
                answer,
                rendered,
                piece_delay=self.piece_delay if route and route.kind == "generate" else 0.0,
                accepts_gzip=self.gzip and "gzip" in head.headers.get("accept-encoding", ""),
                keep_alive=head.keep_alive and not self._closing.is_set(),
                chunks_known=head.version != "HTTP/1.0",
                head_only=head.method == "HEAD",
                sent=sent,
            )
        except Gone:
            if not self._closing.is_set():
                recorded.client_gone.set()
            raise
        finally:
            recorded.finished.set()
            with self._changed:
                self._changed.notify_all()

    def _record(self, recorded: RecordedRequest) -> None:
        with self._changed:
            recorded.number = self.request_count
            self.request_count += 1
            self.requests.append(recorded)
            if self._keep is not None:
                del self.requests[: -self._keep or len(self.requests)]
            self._changed.notify_all()

    def _receive(
        self, connection: Connection, head: Head, route: Optional[Route], recorded: RecordedRequest
    ) -> Optional[Answer]:
        """Read the body; an answer where that alone decides on it."""
        if route and route.kind == "upload":
            # An upload's own URL is credential enough; its id cannot be guessed.
            refusal = None if "upload_id" in head.query else self.profile.check_key(head, self.api_key)
            if refusal is None:
                return self._files.upload(connection, head, recorded, self.profile.uploads)
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

    # -- what is asked, and the answer ---------------------------------------

    def _route(self, head: Head, recorded: RecordedRequest) -> Optional[Route]:
        """Where the path leads; None: nowhere."""
        if not head.path.startswith(self.profile.prefix + "/"):
            return None
        match = re.match(r"/(upload/)?v\d\w*/(.+)$", head.path[len(self.profile.prefix) :])
        if not match:
            return None
        path = match.group(2)
        if self.profile.uploads:
            if match.group(1):
                return Route("upload") if path == "files" else None
            if path == "files" or path.startswith("files/"):
                return Route("files", path[len("files/") :])
        if self.profile.long_paths:
            match = re.match(r"projects/[^/]+/locations/[^/]+/publishers/google/(models(?:/.+)?)$", path)
            if not match:
                return None
            path = match.group(1)
        match = re.match(r"(?:models|tunedModels)/(.+?)(?::(\w+))?$", path)
        if match:
            recorded.model, recorded.verb = match.groups()
            kind = VERBS.get(recorded.verb)
            return Route(kind, recorded.model, recorded.verb or "") if kind else None
        return Route("models") if path == "models" else None

    def _framing(self, route: Optional[Route], head: Head) -> str:
        if route is None or route.verb != "streamGenerateContent":
            return "object"
        return "sse" if head.query.get("alt") == "sse" or self.profile.always_sse else "json"

    def _answer(
        self, head: Head, route: Optional[Route], recorded: RecordedRequest, given: Optional[Answer]
    ) -> Tuple[Answer, Dict[str, Any]]:
        """The answer, and the request in its normal form; `given` is what the body alone led to."""
        request: Dict[str, Any] = {}
        if route is None or route.kind != "upload":
            given = given or self.profile.check_key(head, self.api_key)
            if given is None and route and route.kind in ("generate", "count"):
                request, given = self._check(head, route, recorded)
            if given:
                return given, request
        scripted = self._answer_with(recorded) if self._answer_with else None
        fault = None
        if route and route.kind == "generate":
            fault = self._next_fault(recorded)
            if fault and fault.speaks:
                recorded.fault = fault.fault
                return fault, request
            if scripted is None:
                with self._changed:
                    scripted = self._queue.popleft() if self._queue else None
        answer = scripted or Answer()
        if not answer.speaks:
            answer = (given or self._own_answer(head, route, request, recorded)).sent_like(answer)
        if fault:
            answer = answer.sent_like(fault)
        if scripted or fault:
            recorded.fault = answer.fault
        return answer, request

    def _check(
        self, head: Head, route: Route, recorded: RecordedRequest
    ) -> Tuple[Dict[str, Any], Optional[Answer]]:
        """The request in its normal form, and the error in it."""
        if head.method != "POST":
            return {}, Answer.failure(405, "Only POST is served here.", headers={"Allow": "POST"})
        if re.search("no-such-model|missing", route.name):
            return {}, _no_model(route)
        request, refusal = checks.parse(recorded.body)
        if refusal or route.kind == "count":
            return request, refusal or checks.check_count(request)
        refusal = checks.check(request, strict=self.profile.strict)
        if refusal is None and self.profile.uploads:
            refusal = self._files.check(request)
        if refusal is None and self._signatures:
            refusal = self._signatures.check(request["contents"])
        return request, refusal or self._decode.check(request)

    def _next_fault(self, recorded: RecordedRequest) -> Optional[Answer]:
        if callable(self.faults):
            fault: Optional[Answer] = self.faults(recorded)
            return fault
        with self._changed:
            return self.faults.pop(0) if self.faults else None

    def _own_answer(
        self, head: Head, route: Optional[Route], request: Dict[str, Any], recorded: RecordedRequest
    ) -> Answer:
        """What the server itself answers."""
        if route is None:
            return Answer.failure(404, f"Nothing is served at {head.path}.")
        if route.kind == "files":
            return self._files.serve(head, route.name)
        if route.kind == "generate":
            known: Dict[str, Any] = {"files": self._files.facts, "reply": self.reply}
            hop = self._decode.hop(
                request, recorded.number, lambda: len(model.answer_tokens(request, **known)[0])
            )
            if isinstance(hop, Answer):
                return hop
            return Answer(
                chunks=model.generate(
                    request, route.name, hop=hop, words_per_chunk=self.words_per_chunk, **known
                )
            )
        if route.kind == "count":
            counted = model.normal(request.get("generateContentRequest") or request)
            details = model.prompt_token_details(counted)
            return Answer(
                chunks=[
                    {
                        "totalTokens": sum(details.values()),
                        "promptTokensDetails": [{"modality": m, "tokenCount": n} for m, n in details.items()],
                    }
                ]
            )
        if head.method not in ("GET", "HEAD"):
            return Answer.failure(405, "Only GET is served here.", headers={"Allow": "GET"})
        if route.kind == "models":
            names = ("gemini-flash-latest", "gemini-pro-latest")
            return Answer(chunks=[{"models": [_model_info(name) for name in names]}])
        if re.search("no-such-model|missing", route.name):
            return _no_model(route)
        return Answer(chunks=[_model_info(route.name)])


def _no_model(route: Route) -> Answer:
    return Answer.failure(
        404,
        f"models/{route.name} is not found for API version v1beta, or is not supported for "
        f"{route.verb or 'GetModel'}. Call ListModels to see the list of available models and their "
        "supported methods.",
    )


def _model_info(name: str) -> Dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": f"LocalServer's test program, called as {name}",
        "description": "Not a model: it tells back what it was sent, by fixed rules.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }
