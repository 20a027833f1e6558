"""Connection classes that know the call that they work for.

They are derived from those of urllib3, so that

- each wait on a socket gets the time that is left, and a cancel reaches it,
  from the first byte to a proxy on;
- an answer that comes before all of the request is out is looked at;
- a `Response` skips interim answers, takes no cut head for a whole one, and lets no
  connection be used again on which anything is left behind an answer;
- a ``?key=`` stays out of urllib3's log and exceptions, which hold whole URLs.
"""

import http.client
import socket
from functools import lru_cache, partial
from typing import Any, List

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import connection as urllib3_connection
from urllib3.util.wait import wait_for_socket

from ..wire.body import PIECE
from .patience import Patience
from .response import NOT_NOW, Response
from .sending import Sending, current, on_behalf_of

_Any: Any = object  # to a type checker, a class with any methods


def sends_as_urllib3_does(connection_class: Any) -> bool:
    """Whether requests go through the methods that `watched` overrides: not so in recorders."""
    return (
        isinstance(connection_class, type)
        and issubclass(connection_class, HTTPConnection)
        and issubclass(connection_class, http.client.HTTPConnection)
        and all(
            getattr(connection_class, name).__module__ in ("urllib3.connection", "http.client")
            for name in ("request", "putrequest", "send", "getresponse")
        )
    )


@lru_cache(maxsize=16)
def watched(base: Any) -> Any:
    """A connection class that does what ``base`` does, on behalf of a call if there is one."""
    return type("Watched", (_Watched, base), {"base": base})


class _Watched(_Any):  # type: ignore[misc]
    """What a watched connection class adds to its ``base``, for which the methods of `super` are called."""

    base: Any
    response_class: Any
    timeout: Any
    _dns_host: str

    def connect(self) -> None:
        sending = current()
        try:
            super().connect()
        finally:
            if sending is not None:
                sending.patience.watch(self.sock)

    def _new_conn(self) -> Any:
        sending = current()
        if sending is None:
            return super()._new_conn()
        patience = sending.patience
        if (patience.deadline is None and patience.cancel is None) or not self._finds_addresses_itself():
            sock = super()._new_conn()
        else:
            sock = self._first_that_connects(patience)
        patience.watch_connecting(sock)
        sock.settimeout(patience.left(patience.connect))
        return sock

    def _finds_addresses_itself(self) -> bool:
        """Neither is there a SOCKS proxy, nor has somebody put a name resolution of their own in place."""
        connects = urllib3_connection.create_connection
        return (
            self.base._new_conn is HTTPConnection._new_conn
            and connects.__module__ == urllib3_connection.__name__
        )

    def _first_that_connects(self, patience: Patience) -> Any:
        """urllib3 would give each address of a host the whole timeout, and ask nobody in between."""
        host, timeout = self._dns_host, self.timeout
        try:
            *others, last = _addresses(host, self.port)
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        try:
            for self._dns_host in others:
                self.timeout = patience.left(timeout)
                try:
                    return super()._new_conn()
                except HTTPError:
                    patience.check()
            self._dns_host, self.timeout = last, patience.left(timeout)
            return super()._new_conn()
        finally:
            self._dns_host, self.timeout = host, timeout

    def _tunnel(self) -> None:
        """CONNECT to a proxy: its answer is waited for as the connection is."""
        sending = current()
        if sending is None:
            super()._tunnel()
            return
        patience = sending.patience
        tunnelling = Sending(patience)
        self.response_class = partial(Response, tunnelling, patience.connect)
        with on_behalf_of(tunnelling):
            super()._tunnel()
        self.sock.settimeout(patience.left(patience.connect))  # for the TLS handshake that follows

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        sending = current()
        self.response_class = self.base.response_class
        if sending is not None:
            self.response_class = partial(Response, sending, sending.patience.silence)
            sending.sent = 0
            url += sending.query
            if self.sock is not None:
                sending.patience.watch(self.sock)
        return super().putrequest(method, url, *args, **kwargs)

    def send(self, data: Any) -> None:
        sending = current()
        if sending is None or not isinstance(data, bytes):
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        sending.begun = True
        sending.sent += len(data)
        # It fits into the socket's buffer, or is TLS within TLS, which cannot send in part.
        if sending.sent <= PIECE or hasattr(self.sock, "socket"):
            sending.patience.arm(self.sock)
            super().send(data)
        elif not sending.broken_off:
            _send_and_listen(self.sock, data, sending)


def _send_and_listen(sock: Any, data: bytes, sending: Sending) -> None:
    """Send ``data``, or what of it can go out before the server answers: it may not read the rest."""
    patience = sending.patience
    unsent = memoryview(data)
    while unsent:
        patience.check()
        seconds = patience.left(patience.silence)
        if not wait_for_socket(sock, read=True, write=True, timeout=seconds):
            raise socket.timeout("timed out")
        sock.settimeout(0)
        try:
            try:
                if sending.answered(sock.recv(PIECE)):
                    return
            except NOT_NOW:
                pass  # only writing can go on
            try:
                unsent = unsent[sock.send(unsent[:PIECE]) :]
            except NOT_NOW:
                pass
        finally:
            sock.settimeout(seconds)


def _addresses(host: str, port: int) -> List[str]:
    """The numeric addresses of a host, or if there are none the host itself, for urllib3 to say so."""
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, urllib3_connection.allowed_gai_family(), socket.SOCK_STREAM
        )
    except UnicodeError:
        found = []
    # With the zone of an IPv6 address, https://www.rfc-editor.org/rfc/rfc4007#section-11
    names = [f"{at[0]}%{at[3]}" if len(at) == 4 and at[3] else str(at[0]) for *_, at in found]
    return list(dict.fromkeys(names)) or [host]
