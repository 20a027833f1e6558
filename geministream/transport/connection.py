"""Connection classes that know the call that uses them.

They extend those of urllib3:

- each wait on a socket, also for a proxy, ends with the deadline and can be cancelled;
- an answer that comes before the request is sent completely is read;
- a `Response` skips interim responses, rejects a truncated head, and closes a connection
  that has unread bytes after the answer;
- a ``?key=`` does not reach urllib3's log and exceptions, which contain URLs.
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

_Any: Any = object  # a type checker sees a class with any methods


def sends_as_urllib3_does(connection_class: Any) -> bool:
    """Whether the class sends through the methods that `watched` overrides; recorders do not."""
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
    """Return a subclass of ``base`` that also handles the current call, if there is one."""
    return type("Watched", (_Watched, base), {"base": base})


class _Watched(_Any):  # type: ignore[misc]
    """The methods that `watched` adds to ``base``, which is the next class for `super`."""

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
        if patience.endless or not self._finds_addresses_itself():
            sock = super()._new_conn()
        else:
            sock = self._first_that_connects(patience)
        patience.watch_connecting(sock)
        sock.settimeout(patience.left(patience.connect))
        return sock

    def _finds_addresses_itself(self) -> bool:
        """Whether urllib3 resolves the host name: there is neither a SOCKS proxy nor a replaced resolver."""
        connects = urllib3_connection.create_connection
        return (
            self.base._new_conn is HTTPConnection._new_conn
            and connects.__module__ == urllib3_connection.__name__
        )

    def _first_that_connects(self, patience: Patience) -> Any:
        """Connect to the first address that works, and check the deadline and cancel between two.

        urllib3 would use the entire timeout for each address, without a check in between.
        """
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
        """Send CONNECT to a proxy; the connect timeout also limits the wait for its answer."""
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
        # The data fits into the socket's buffer, or TLS within TLS cannot send a part of it.
        if sending.sent <= PIECE or hasattr(self.sock, "socket"):
            sending.patience.arm(self.sock)
            super().send(data)
        elif not sending.broken_off:
            _send_and_listen(self.sock, data, sending)


def _send_and_listen(sock: Any, data: bytes, sending: Sending) -> None:
    """Send ``data`` until the server answers, since it may not read the rest then."""
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
                pass  # nothing to read yet
            try:
                unsent = unsent[sock.send(unsent[:PIECE]) :]
            except NOT_NOW:
                pass
        finally:
            sock.settimeout(seconds)


def _addresses(host: str, port: int) -> List[str]:
    """Return the numeric addresses of a host, or the host itself, so that urllib3 raises the error."""
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, urllib3_connection.allowed_gai_family(), socket.SOCK_STREAM
        )
    except UnicodeError:
        found = []
    # With the zone of an IPv6 address, https://www.rfc-editor.org/rfc/rfc4007#section-11
    names = [f"{at[0]}%{at[3]}" if len(at) == 4 and at[3] else str(at[0]) for *_, at in found]
    return list(dict.fromkeys(names)) or [host]
