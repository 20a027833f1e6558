"""The record of the requests received, and waiting for changes in it."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any, Callable, Iterator, List, Optional

from .answers import Answer
from .wire import Head


class RecordedRequest:
    """A request, and what happened to it.

    :ivar number: the number of the request, from 0.
    :ivar connection: the number of its connection, from 0.
    :ivar method, target, path, query, headers: as sent; ``query`` is a dict
        (the last value wins), ``headers`` a case-insensitive mapping.
    :ivar body, size, sha256: the body; for an upload larger than 1 MiB only the
        size and the hash are kept, and ``body`` is empty.
    :ivar complete: whether the body arrived completely.
    :ivar model, verb: of ``…/models/{model}:{verb}``.
    :ivar answer: the `Answer` that was sent.
    :ivar fault: the fault that was injected, in words; None if there was none.
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

    def measure(self, pieces: Iterator[bytes], kept_bytes: int) -> Iterator[bytes]:
        """Pass on the pieces of the body; record its size and hash, and up to `kept_bytes` its bytes."""
        digest = hashlib.sha256()
        kept: List[bytes] = []
        try:
            for piece in pieces:
                digest.update(piece)
                self.size += len(piece)
                if self.size <= kept_bytes:
                    kept.append(piece)
                else:
                    kept.clear()
                yield piece
        finally:
            self.sha256 = digest.hexdigest()
            self.body = b"".join(kept)

    def __repr__(self) -> str:
        what = f"{self.method} {self.path}, {self.size} bytes"
        return f"<RecordedRequest {self.number}: {what}, fault={self.fault!r}>"


class Record:
    """The requests to one server, oldest first.

    :param keep: how many requests are kept; None: all.
    """

    def __init__(self, keep: Optional[int] = None):
        self.keep = keep
        self.requests: List[RecordedRequest] = []
        self.count = 0
        #: Held while anything here or at the listener changes, and notified afterwards.
        self.changed = threading.Condition()

    def add(self, recorded: RecordedRequest) -> None:
        """Give the request its number and keep it."""
        with self.changed:
            recorded.number = self.count
            self.count += 1
            self.requests.append(recorded)
            if self.keep is not None:
                del self.requests[: -self.keep or len(self.requests)]
            self.changed.notify_all()

    def clear(self) -> None:
        """Forget the requests received; the numbering continues."""
        with self.changed:
            self.requests = []
            self.changed.notify_all()

    def sent(self, recorded: RecordedRequest, size: int) -> None:
        """Count a piece of the answer's body."""
        with self.changed:
            recorded.bytes_sent += size
            recorded.pieces_sent += 1
            self.changed.notify_all()

    def finish(self, recorded: RecordedRequest) -> None:
        """Record that the server is done with the request."""
        recorded.finished.set()
        with self.changed:
            self.changed.notify_all()

    def wait_until(self, predicate: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until `predicate()` is true; it is called after each change."""
        with self.changed:
            if not self.changed.wait_for(predicate, timeout):
                raise TimeoutError(f"LocalServer waited {timeout} s for {what} in vain")
