"""The state of one request, and the thread-local variable that passes it to the connection."""

import contextlib
import re
import threading
from typing import Iterator, Optional

from .patience import Patience

# The start of a final response: 101 is the only final 1xx status,
# https://www.rfc-editor.org/rfc/rfc9110#section-15.2
_final_answer = re.compile(rb"(?!HTTP/1\.[01] 1(?!01)[0-9]{2})", re.DOTALL).match
_interim_head = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n")
_LONGEST_STATUS = len(b"HTTP/1.1 103")


class Sending:
    """The state of one request, shared with its connection.

    :ivar hides_query: whether the query contains a credential.
    :ivar query: the query that the adapter removed from the URL and the connection restores.
    :ivar watched: whether the connection is one of ours.
    :ivar begun: whether the connection has started to send the request.
    :ivar sent: the number of bytes that were passed to the connection.
    :ivar early: the bytes of the answer that came before the request was sent completely.
    :ivar broken_off: whether the rest of the request was not sent because of such an answer.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.hides_query = False
        self.query = ""
        self.begun = False
        self.sent = 0
        self.watched = False
        self.early = bytearray()
        self.broken_off = False

    @property
    def may_be_known(self) -> bool:
        """Whether the server may have seen the request."""
        return self.begun or not self.watched

    def answered(self, data: bytes) -> bool:
        """Take bytes that came while the request was being sent; return whether they are the answer."""
        self.early += data
        while True:
            interim = _interim_head.match(self.early)
            if interim is None:
                break
            del self.early[: interim.end()]
        self.broken_off = not data or (len(self.early) >= _LONGEST_STATUS and bool(_final_answer(self.early)))
        return self.broken_off


# requests passes only the request to adapters and connections, so the call that it belongs to
# must reach them in another way.
_thread = threading.local()


def current() -> Optional[Sending]:
    """Return the request that this thread is sending for one of our calls, or None."""
    return getattr(_thread, "sending", None)


@contextlib.contextmanager
def on_behalf_of(sending: Sending) -> Iterator[None]:
    """Set the request that this thread sends inside the ``with`` block."""
    before = current()
    _thread.sending = sending
    try:
        yield
    finally:
        _thread.sending = before
