"""One request on its way, and the one thread-local that tells a connection whose request it sends."""

import contextlib
import re
import threading
from typing import Iterator, Optional

from .patience import Patience

# The beginning of an answer's head that is final: of all 1xx, 101 alone ends the exchange,
# https://www.rfc-editor.org/rfc/rfc9110#section-15.2
_final_answer = re.compile(rb"(?!HTTP/1\.[01] 1(?!01)[0-9]{2})", re.DOTALL).match
_interim_head = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n")
_LONGEST_STATUS = len(b"HTTP/1.1 103")


class Sending:
    """One request on its way: what its connection must know of it, and what has become of it.

    :ivar hides_query: whether the query holds a credential.
    :ivar query: what the adapter took off the URL's end, and the connection puts back.
    :ivar watched: whether its connection is one of ours.
    :ivar begun: whether the connection has begun to send it.
    :ivar sent: bytes of it that were sent, or could not be.
    :ivar early: bytes of the answer that came before the request was out.
    :ivar broken_off: whether such an answer kept part of the request from being sent.
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
        """Take what came while the request was being sent; whether that is the answer."""
        self.early += data
        while True:
            interim = _interim_head.match(self.early)
            if interim is None:
                break
            del self.early[: interim.end()]
        self.broken_off = not data or (len(self.early) >= _LONGEST_STATUS and bool(_final_answer(self.early)))
        return self.broken_off


# requests calls adapters and connections with the request alone: this is the
# one way to tell them which call it belongs to.
_thread = threading.local()


def current() -> Optional[Sending]:
    """What this thread is sending for a call of ours."""
    return getattr(_thread, "sending", None)


@contextlib.contextmanager
def on_behalf_of(sending: Sending) -> Iterator[None]:
    """In the ``with`` block, what this thread sends is ``sending``."""
    before = current()
    _thread.sending = sending
    try:
        yield
    finally:
        _thread.sending = before
