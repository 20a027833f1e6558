"""`LocalServer`: the server itself, from the connection to the answer."""

from __future__ import annotations

import os
import ssl
from typing import Any, Callable, Container, Dict, Iterable, List, Optional, Union

from .answers import Answer
from .api import Api
from .caches import StoredCache
from .control import Control
from .conversation import Conversation
from .decode import LongDecode
from .files import MAX_FILE_BYTES, Files, StoredFile
from .listener import Listener
from .model import Reply
from .profiles import PROFILES, endpoint_of
from .record import Record, RecordedRequest
from .recorder import Recorder
from .replay import Replay, stand_in_of
from .script import Decide, Script
from .script_file import ScriptFile, Source, read_script
from .signatures import Signatures
from .upload_faults import UploadFault
from .uploads import Uploads

#: The limit for a request with inline data is 100 MB (Gemini API reference).
MAX_REQUEST_BYTES = 100 * 2**20


class LocalServer:
    """A real HTTP server on loopback that speaks the Gemini API: a TEST server, not a model.

    A small deterministic program answers (`geministream.testing.model` has its
    rules), unless a test queues answers (:meth:`queue`), decides on them
    (:meth:`answer_with`), or injects faults (``faults``).

    It serves ``v1``, ``v1beta`` and every other version:

    - ``streamGenerateContent`` (server-sent events or a JSON array),
      ``generateContent``, ``countTokens``;
    - ``embedContent`` and ``batchEmbedContents``: vectors from a hash of the
      text, 768 values or ``outputDimensionality``;
    - ``cachedContents``: create, get, list, patch, delete, and use by name; the
      cached tokens are in ``usageMetadata.cachedContentTokenCount``;
    - ``models`` in pages; any model name gets an answer, except for names that
      contain ``missing`` or ``no-such-model``;
    - ``files``: resumable uploads, and uploads in one request (multipart/related,
      or multipart/form-data); get, list, delete; ``:download`` for files up to 1 MiB;
    - with ``profile="vertex"`` the paths of Vertex AI, with a project or
      without (express mode), ``computeTokens`` and ``predict`` for embeddings.

    Pages in a browser may use it from any origin (CORS).  A request that Google
    would reject gets Google's error: unknown fields at any depth, wrong types
    and enum values, empty parts, invalid roles, function responses that do not
    answer the calls before them.

    :param profile: the system whose rules apply: "google" (default), "chainhub",
        "bifrost", "vertex" or "gateway".  Gateways allow unknown fields, and
        slashes in model names.
    :param api_key: the accepted key, or bearer token; may be reassigned later.
    :param host: the address to listen on.
    :param port: the port to listen on; default 0: a free port.
    :param tls: an `ssl.SSLContext`; makes it an HTTPS server.
    :param latency: seconds before each response.
    :param piece_delay: seconds between two pieces of a stream.
    :param words_per_chunk: words in each chunk of the model's text.
    :param gzip: compress if the client accepts it, as Google does.
    :param reply: returns the text of an answer, given the request as a dict, or None for
        the answer by the model's rules.
    :param faults: the fault of each request to a model: a callable that decides, or
        a list that is used up.  An `Answer` without content applies its fault
        to the answer that would be sent; one with content replaces that answer.
    :param script: answers, faults and rules in JSON; see `geministream.testing.script_file`.
    :param control: serve the endpoint of `geministream.testing.control`.
    :param record: a `Recorder`: forward to a real endpoint, and record the exchanges.
    :param replay: play back a directory of recordings; a path, or a `Replay`.
    :param keep_requests: how many requests ``requests`` keeps; default: all.
    :param max_request_bytes: the largest accepted request; default 100 MiB.
    :param tokens_per_request: long decode: the maximum number of words in one response; the
        answer continues in the next request.
    :param checkpoint_every: long decode: every n-th chunk has a checkpoint; or a
        callable that decides for the k-th chunk of a request.
    :param thinking_hops: long decode: the requests (from 0) whose response has no text.
    :param reword: long decode: text that is generated again is different
        (``word~2``), as at Google; `whole_text` returns the answer.
    :param require_signatures: check thought signatures as Gemini 3 does.
    :param lenient: accept requests that Google would reject, if the server can
        read them; default: as strict as the profile.
    :param done_marker: end server-sent events with ``data: [DONE]``, as some
        gateways do; five official clients cannot read it.
    :param processing_seconds: seconds for which an uploaded video is PROCESSING.
    :param processing_polls: how many times a client sees an uploaded video PROCESSING.
    :param upload_host: scheme and host in upload URLs; default: the server's own.
    :param max_file_bytes: the largest accepted file; default 2 GiB.

    :ivar requests: the requests received, oldest first (`RecordedRequest`).
    :ivar request_count: the number of requests received, kept or not.
    :ivar connections: the number of connections accepted.
    :ivar files, caches: the uploaded files and the cached contents, by name.
    :ivar faults: the argument ``faults``; a list may be appended to.
    :ivar errors: exceptions raised by the server or by callables given to it;
        leaving the ``with`` block raises the first.

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
        reply: Optional[Reply] = None,
        faults: Union[None, Decide, Iterable[Optional[Answer]]] = None,
        script: Optional[Source] = None,
        control: bool = False,
        record: Optional[Recorder] = None,
        replay: Union[None, str, "os.PathLike[str]", Replay] = None,
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
        self._script = Script(faults, ScriptFile() if script is None else read_script(script))
        self._stand_in = stand_in_of(record, replay)
        self._files = Files(self._base, processing_seconds, processing_polls, max_file_bytes)
        self._uploads = Uploads(self._files, upload_host)
        decode = LongDecode(tokens_per_request, checkpoint_every, thinking_hops, reword)
        signatures = Signatures() if require_signatures else None
        self._api = Api(self.profile, self._files, decode, signatures, reply, words_per_chunk, lenient)
        conversation = Conversation(
            self,
            self._record,
            self._script,
            self._uploads,
            self._api,
            Control(self._script, self._record, self.reset) if control else None,
            self._stand_in,
        )
        self._listener = Listener(host, port, tls, self._record.changed, conversation.talk)

    # -- start and end ------------------------------------------------------------

    def start(self) -> LocalServer:
        """Listen; returns the server."""
        self._listener.start()
        return self

    def close(self) -> None:
        """End every connection and thread now; what it recorded stays available.

        Does nothing in a forked child: the server belongs to the parent.
        """
        self._stand_in.close()
        self._listener.close()

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port that it listens on, once it has started."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The base URL, without the profile's prefix."""
        return self._listener.url

    def _base(self) -> str:
        return f"{self.url}{self.profile.prefix}/v1beta"

    @property
    def endpoint(self) -> Any:
        """An `Endpoint` for this server, with its key and short retry delays."""
        return endpoint_of(self.profile, self.url, self.api_key)

    @property
    def connections(self) -> int:
        """The number of connections accepted."""
        return self._listener.accepted

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return len(self._listener.open)

    @property
    def requests(self) -> List[RecordedRequest]:
        """The requests received, oldest first."""
        return self._record.requests

    @property
    def request_count(self) -> int:
        """The number of requests received, kept or not."""
        return self._record.count

    def drop_connections(self) -> None:
        """Close every open connection; the server still listens."""
        self._listener.drop_connections()
        self.wait_for_connections()

    # -- scripts -------------------------------------------------------------

    @property
    def faults(self) -> Any:
        """The argument ``faults``; a list may be appended to."""
        return self._script.faults

    @faults.setter
    def faults(self, faults: Any) -> None:
        self._script.faults = faults

    def queue(self, *answers: Union[Answer, str]) -> None:
        """Answer the next requests to a model with these, in order; a str is one chunk of text.

        Only a request that passes the checks uses one up.
        """
        self._script.add(*answers)

    def answer_with(self, decide: Optional[Decide]) -> None:
        """Call `decide` for the answer to each request, of any kind, that passes the checks.

        If it returns None, the server answers as usual.
        """
        self._script.decide = decide

    def reset(self) -> None:
        """Clear queued answers, rules and recorded requests; restart the script and the replay."""
        self._stand_in.begin_anew()
        self._script.begin_anew()
        self._record.clear()

    @property
    def queued(self) -> int:
        """The number of queued answers left."""
        return len(self._script.answers)

    def expected_text(self, request: Dict[str, Any], candidate: int = 0) -> str:
        """The text that the model answers to this request; see `geministream.testing.model`."""
        return self._api.expected_text(request, candidate)

    def whole_text(self, recorded: RecordedRequest) -> str:
        """The text of a long answer as it was sent, request by request, to the end of this one.

        It differs from :meth:`expected_text` if `reword` is set.
        """
        return self._api.whole_text(recorded)

    # -- files and cached contents ---------------------------------------------

    @property
    def files(self) -> Dict[str, StoredFile]:
        """The uploaded files by name."""
        return dict(self._files.stored)

    def fail_upload(
        self,
        how: Union[str, int],
        *,
        piece: Union[None, int, str] = None,
        at: Optional[int] = None,
        after_bytes: int = 0,
    ) -> None:
        """Make an upload fail, once; call it again for more faults.

        :param how: "reset" or "drop" (the connection ends in the middle of the
            piece), "stall" (no answer until the client leaves), "drop_answer"
            (the piece is accepted and the connection ends before the answer),
            "gone" (404, and the upload is forgotten), or a status such as 503,
            sent after the piece has arrived.
        :param piece: the number of an upload's request with bytes, from 0; or
            "start", "query", "form" (an upload in one request).
        :param at: instead of ``piece``: the byte of the file at which it fails.
        :param after_bytes: the bytes of the piece that are accepted before it fails.
        """
        self._uploads.faults.add(UploadFault(how, piece, at, after_bytes))

    def fail_processing(self, *reasons: str) -> None:
        """Make the processing of the next uploaded files fail, for these reasons."""
        self._files.failures.extend(reasons)

    def finish_processing(self) -> None:
        """Process all files now."""
        for file in self.files.values():
            file.ready_at, file.polls_left = 0.0, 0

    def expire_file(self, name: str) -> None:
        """Make a file expire now instead of after 48 hours."""
        self._files.stored.pop(name, None)

    @property
    def caches(self) -> Dict[str, StoredCache]:
        """The cached contents by name."""
        return dict(self._api.caches.stored)

    def expire_cache(self, name: str) -> None:
        """Make a cached content expire."""
        self._api.caches.stored[name].expires = 0.0

    # -- waiting, for tests --------------------------------------------------

    def wait_for_request(self, count: int = 1, timeout: float = 10.0) -> RecordedRequest:
        """Wait until `count` requests have arrived in total; return the last of these."""
        self.wait_until(lambda: self.request_count >= count, timeout, f"request {count}")
        return self.requests[count - 1 - self.request_count]

    def wait_for_connections(self, count: int = 0, timeout: float = 10.0) -> None:
        """Wait until at most `count` connections are open."""
        self.wait_until(lambda: self.open_connections <= count, timeout, f"{count} open connections")

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10.0, what: str = "it") -> None:
        """Wait until `predicate()` is true; it is called after each change here."""
        self._record.wait_until(predicate, timeout, what)
