"""The interface of what can answer in place of the server's own API: a recorder or a replay."""

from __future__ import annotations

from typing import Dict

from .answers import Answer
from .record import RecordedRequest
from .recording import Pairs, Recording
from .wire import Head

#: Headers that belong to one connection, or that this server writes itself.
OF_A_CONNECTION = {
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class StandIn:
    """Answers every request, without the server's own checks; the base class answers none."""

    answers = False

    def answer(self, recorded: RecordedRequest, url: str) -> Answer:
        """The answer to a request; `url` is the server's own."""
        raise NotImplementedError

    def needs_key(self, head: Head) -> bool:
        """Whether the client must send the server's key."""
        return False

    def finish(self, recorded: RecordedRequest) -> None:
        """Called when the server is done with the request."""

    def begin_anew(self) -> None:
        """Forget the requests so far."""

    def close(self) -> None:
        """Called when the server closes: end pending requests."""


def answer_of(recording: Recording, url: str) -> Answer:
    """The head of a recorded response, sent by a server with this URL; the body is still missing."""
    headers: Pairs = [
        (name, url + value[len(recording.upstream) :] if value.startswith(recording.upstream) else value)
        for name, value in recording.headers
        # `cors` adds these headers.
        if name.lower() not in OF_A_CONNECTION and not name.lower().startswith("access-control-")
    ]
    said: Dict[str, str] = {}
    for name, value in headers:
        said[name] = f"{said[name]}, {value}" if name in said else value
    content_type = recording.header("content-type")
    said = {name: value for name, value in said.items() if name.lower() != "content-type"}
    if (recording.header("transfer-encoding") or "").lower() == "chunked":
        transfer = "chunked"
    else:
        transfer = "close" if recording.header("content-length") is None else "length"
    return Answer(
        status=recording.status,
        headers=said,
        content_type=content_type,
        body=b"",
        transfer=transfer,
        gzip=False,  # the bytes are sent as recorded
        piece_delay=0.0,
    )
