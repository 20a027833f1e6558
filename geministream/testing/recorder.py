"""Recording: requests are forwarded to a real endpoint, and each exchange becomes a file.

Bytes reach the client as they arrive, and the file is written before the client
can see the end of the body.  The client's credentials are replaced by the
recorder's key, in the same places.  Neither is written; if the upstream echoes
one, the file has ``***`` (see `redact`).  The client gets the response unchanged.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
import time
from typing import Callable, Dict, Iterator, List, Optional, Tuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from .answers import Answer
from .record import RecordedRequest
from .recording import Pairs, Recording, redacted, save
from .redact import Redactor, secrets_of
from .stand_in import OF_A_CONNECTION, StandIn, answer_of
from .wire import READ, Gone, Head

CONNECT_SECONDS = 10.0
#: The longest silence of the upstream: models think in silence.
READ_SECONDS = 600.0


class Recorder(StandIn):
    """Forward to an endpoint and record: ``LocalServer(record=Recorder("tapes", "https://…", key))``.

    :param directory: where to write the recordings; created if missing.
    :param upstream: the endpoint's base URL.
    :param key: its API key or token, used for clients that send the server's own ``api_key``;
        default: the client's own credentials are forwarded.
    :raises ValueError: if the upstream is not a valid URL.
    :raises OSError: if the directory cannot be created.
    """

    answers = True

    def __init__(self, directory: str, upstream: str, key: Optional[str] = None):
        parts = urlsplit(upstream)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError("the upstream must be a URL such as https://host/path, without credentials")
        self.directory = os.fspath(directory)
        self.key = key
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._lock = threading.Lock()
        self._under_way: Dict[int, Exchange] = {}
        os.makedirs(self.directory, exist_ok=True)
        numbers = [re.match(r"(\d+)-.*\.json$", name) for name in os.listdir(self.directory)]
        self._count = max((int(match.group(1)) for match in numbers if match), default=0)

    def answer(self, recorded: RecordedRequest, url: str) -> Answer:
        target, headers = self._forwarded(recorded)
        connection = self._connection()
        redactor = self._redactor(recorded)
        exchange = Exchange(
            self._origin, recorded, lambda recording: save(redacted(recording, redactor), self.directory)
        )
        try:
            connection.connect()
            with self._lock:
                self._count += 1
                exchange.recording.name = _file_name(
                    self._count, recorded.method, redactor.text(recorded.path)
                )
                exchange.socket = connection.sock
                self._under_way[recorded.number] = exchange
            connection.sock.settimeout(READ_SECONDS)
            connection.putrequest(recorded.method, target, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(recorded.body)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: an invalid header
            with self._lock:
                self._under_way.pop(recorded.number, None)
            exchange.close()
            reason = redactor.text(str(error) or type(error).__name__)
            return Answer.failure(502, f"The upstream {self._origin} does not answer: {reason}")
        exchange.receive_head(response)
        said = answer_of(exchange.recording, url)
        if said.transfer == "length":  # the length is known before the body
            said.transfer = "close"
            said.headers["Content-Length"] = exchange.recording.header("content-length") or "0"
        said.body = exchange.pieces()  # type: ignore[assignment]  # an iterator, read while it is sent
        return said

    def needs_key(self, head: Head) -> bool:
        # An upload URL requires no key: its id cannot be guessed.
        return self.key is not None and "upload_id" not in head.query

    def finish(self, recorded: RecordedRequest) -> None:
        with self._lock:
            exchange = self._under_way.pop(recorded.number, None)
        if exchange is not None:
            exchange.close()
            exchange.save()  # what arrived, if it is not saved yet

    def close(self) -> None:
        with self._lock:
            for exchange in self._under_way.values():
                exchange.abort()

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=CONNECT_SECONDS)

    def _forwarded(self, recorded: RecordedRequest) -> Tuple[str, Pairs]:
        """The request's target and headers for the upstream."""
        packed = "gzip" in recorded.headers.get("accept-encoding", "")
        headers = [
            (name, value)
            for name, value in recorded.headers.pairs
            if name.lower() not in OF_A_CONNECTION | {"host", "expect", "accept-encoding"}
        ]
        # The redactor can only decompress gzip.
        headers += [("Accept-Encoding", "gzip" if packed else "identity"), ("Connection", "close")]
        if recorded.body or recorded.method in ("POST", "PUT", "PATCH"):
            headers.append(("Content-Length", str(len(recorded.body))))
        parts = urlsplit(recorded.target)
        query = parts.query
        if self.key is not None:
            query, headers = _with_key(self.key, query, headers)
        return f"{self._prefix}{parts.path}{'?' if query else ''}{query}", headers

    def _redactor(self, recorded: RecordedRequest) -> Redactor:
        secrets = secrets_of(recorded.headers.pairs) | secrets_of(recorded.query.items())
        return Redactor(secrets | ({self.key} if self.key is not None else set()))


class Exchange:
    """One request to the upstream and its response, while it arrives; `save` is called once."""

    def __init__(self, origin: str, recorded: RecordedRequest, save: Callable[[Recording], None]):
        self._save: Optional[Callable[[Recording], None]] = save
        self.started = time.monotonic()
        self.socket: Optional[socket.socket] = None
        self.response: Optional[http.client.HTTPResponse] = None
        parts = urlsplit(recorded.target)
        self.recording = Recording(
            upstream=origin,
            method=recorded.method,
            path=parts.path,
            query=parse_qsl(parts.query, keep_blank_values=True),
            request_headers=recorded.headers.pairs,
            request_body=recorded.body,
            status=0,
            headers=[],
            seconds=0.0,
        )

    def receive_head(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.recording.status = response.status
        self.recording.headers = response.getheaders()
        self.recording.seconds = time.monotonic() - self.started
        if response.isclosed():  # there is no body
            self._complete()

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives; Gone if it is cut off, so that the client's body is cut off too."""
        assert self.response is not None
        left = self.response.length  # None: chunked, or to the end of the connection
        while left != 0:
            piece = self._read(READ if left is None else min(READ, left))
            if not piece and left is not None:
                raise Gone
            if not piece:
                break
            left = None if left is None else left - len(piece)
            self.recording.pieces.append((time.monotonic() - self.started, piece))
            if left == 0:
                self._complete()
            yield piece
        self._complete()

    def _read(self, size: int) -> bytes:
        assert self.response is not None
        try:
            return self.response.read1(size)
        except ConnectionResetError as error:
            self.recording.end = "reset"
            raise Gone from error
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error

    def _complete(self) -> None:
        self.recording.end = "complete"
        self.save()

    def save(self) -> None:
        save, self._save = self._save, None
        if save is not None:
            save(self.recording)

    def abort(self) -> None:
        """Wake up the thread that waits for the upstream."""
        try:
            if self.socket is not None:
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass  # it is closed already

    def close(self) -> None:
        for thing in (self.response, self.socket):
            if thing is not None:
                thing.close()


def _with_key(key: str, query: str, headers: Pairs) -> Tuple[str, Pairs]:
    """Replace the client's credentials by the key; if it sent none, add Google's header."""
    places = {"x-goog-api-key": key, "authorization": f"Bearer {key}"}
    asked: List[str] = query.split("&") if query else []
    keyed = [f"key={quote(key, safe='')}" if unquote(each).startswith("key=") else each for each in asked]
    replaced = [(name, places.get(name.lower(), value)) for name, value in headers]
    if keyed == asked and replaced == headers:
        replaced.append(("x-goog-api-key", key))
    return "&".join(keyed), replaced


def _file_name(number: int, method: str, path: str) -> str:
    slug = re.sub("[^A-Za-z0-9.]+", "-", f"{method}-{path.rsplit('/', 1)[-1]}")
    return f"{number:06d}-{slug[:80].strip('-')}.json"
