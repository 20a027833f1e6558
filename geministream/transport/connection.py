"""Connections that know the call that they work for, and tell what http.client leaves out.

requests makes the connections and sends on them, with all its habits (proxies,
certificates, sessions, adapters).  The connection classes of its pools are
derived here, so that

- each wait on a socket gets the time that is left, and a cancel reaches it,
  from the first byte to a proxy on;
- an answer that comes before all of the request is out is looked at;
- interim answers are skipped, and a head that is cut is not taken for a whole one;
- a connection on which anything is left behind an answer is never used again;
- a ``?key=`` stays out of urllib3's log and exceptions, which hold whole URLs.

Connections of another kind (recorders, mocks, other HTTP libraries) are left as they are.
"""

import contextlib
import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
from functools import lru_cache, partial
from typing import Any, Callable, Iterator, List, Optional

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import connection as urllib3_connection
from urllib3.util.wait import wait_for_socket

from .._version import __version__
from ..wire.body import PIECE
from .patience import Patience, nothing, shut_down

_MOST_INTERIM_ANSWERS = 100
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


# Sessions and pools ----------------------------------------------------------


def new_session(connections: int = 10) -> requests.Session:
    """Make a session for calls, as requests makes it but with our adapter and User-Agent; its maker closes it.

    :param connections: how many it keeps open; requests' default is 10.
    """
    session = requests.Session()
    session.headers["User-Agent"] = f"geministream/{__version__} {requests.utils.default_user_agent()}"
    adapter = _Adapter(pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Adapter(HTTPAdapter):
    """requests' own adapter, whose pools make connections that know their call."""

    def close(self) -> None:
        # urllib3 closes connections when their pools are garbage collected, which
        # an exception that somebody keeps can put off for ever.
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            pools = manager.pools
            for key in pools.keys() if hasattr(pools, "keys") else ():
                pool = pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        return _watch(super().get_connection_with_tls_context(*args, **kwargs))

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        return _watch(super().get_connection(*args, **kwargs))

    def request_url(self, request: Any, proxies: Any) -> str:
        url: str = super().request_url(request, proxies)
        sending = current()
        if sending is None or not (sending.hides_query and sending.watched):
            return url
        url, mark, query = url.partition("?")
        sending.query = mark + query
        return url


def watch_adapter(adapter: Any, prepared: Any, session: Any) -> None:
    """Let the pool that will serve this request make connections that know their call."""
    if not isinstance(adapter, HTTPAdapter) or isinstance(adapter, _Adapter):
        return  # ours does it itself
    settings = session.merge_environment_settings(prepared.url, {}, True, None, None)
    pool: Any
    try:
        if hasattr(adapter, "get_connection_with_tls_context"):  # requests 2.32
            pool = adapter.get_connection_with_tls_context(
                prepared, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
            )
        else:
            pool = adapter.get_connection(prepared.url, settings["proxies"])
    except (requests.RequestException, HTTPError, OSError, ValueError):
        return  # send() will meet the same error, and it is reported there
    _watch(pool)


def _watch(pool: Any) -> Any:
    kind: Any = type(pool)
    plain = getattr(pool, "ConnectionCls", None)
    sending = current()
    if sending is not None and _makes_what_it_says(pool) and _sends_as_urllib3_does(plain):
        sending.watched = True
        pool.__class__ = _watching(kind)
        watched = _watched(plain)
        for idle in list(getattr(pool.pool, "queue", ())):
            if type(idle) is plain:  # the session made it for a request of its own
                idle.__class__ = watched
    return pool


def _makes_what_it_says(pool: Any) -> bool:
    """Whether the pool's connections are of its ``ConnectionCls``: not so those of Unix sockets."""
    makes = getattr(pool, "_new_conn", None)
    return hasattr(pool, "is_watching") or getattr(makes, "__module__", "") == "urllib3.connectionpool"


def _sends_as_urllib3_does(connection_class: Any) -> bool:
    """Whether requests go through the methods that `_watched` overrides: not so in recorders."""
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
def _watching(base: Any) -> Any:
    """A pool class that makes watched connections.

    Its ``ConnectionCls`` stays as it is, for recorders to put theirs in its place, and to take it back.
    """
    if hasattr(base, "is_watching"):
        return base

    class Watching(base):  # type: ignore[misc]
        is_watching = True

        def _new_conn(self) -> Any:
            connection = super()._new_conn()
            made: Any = type(connection)
            if _sends_as_urllib3_does(made):
                connection.__class__ = _watched(made)
            return connection

    return Watching


@lru_cache(maxsize=16)
def _watched(base: Any) -> Any:
    """A connection class that does what ``base`` does, on behalf of a call if there is one."""

    class Watched(base):  # type: ignore[misc]
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
                base._new_conn is HTTPConnection._new_conn
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
            self.response_class = base.response_class
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

    return Watched


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
            except _NOT_NOW:
                pass  # only writing can go on
            try:
                unsent = unsent[sock.send(unsent[:PIECE]) :]
            except _NOT_NOW:
                pass
        finally:
            sock.settimeout(seconds)


# The last is how eventlet says it, of TLS.
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, socket.timeout)


class Response(http.client.HTTPResponse):
    """A response whose head is whole, and that leaves nothing on its connection.

    :param silence: seconds that it may take until the head is here, or None.
    """

    def __init__(
        self, sending: Sending, silence: Optional[float], sock: Any, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        sending.begun = True
        self._sending = sending
        self._silence = silence
        self._connection_socket = sock
        self._process = os.getpid()
        self.leftover = b""
        if not isinstance(self.fp, io.BufferedReader):
            return  # a mock's
        raw: Any = self.fp.detach()
        if sending.patience.deadline is not None or sending.early:
            raw = _Armed(raw, partial(self._arm, sock), sending.early)
        self.fp = _Reader(raw, PIECE)

    def _arm(self, sock: Any) -> None:
        self._sending.patience.check()
        sock.settimeout(self._sending.patience.left(self._silence))

    def begin(self) -> None:
        """Read the head."""
        reader: Any = self.fp
        reader.in_head = True
        super().begin()
        reader.in_head = False

    def _read_status(self) -> Any:
        """The status line, behind all interim answers: http.client skips those with status 100 alone."""
        began = time.monotonic()
        for _ in range(_MOST_INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            http.client.parse_headers(self.fp)
            if self._silence is not None and time.monotonic() - began > self._silence:
                raise socket.timeout("timed out")
        raise http.client.HTTPException("the server sends interim answers for ever")

    def _close_conn(self) -> None:
        # A forked child has the socket, too, but the connection is its parent's.
        if self._process == os.getpid() and not self.will_close and not self._is_spent():
            shut_down(self._connection_socket)  # its pool notices, and drops it
        super()._close_conn()  # type: ignore[misc]

    def _is_spent(self) -> bool:
        """Whether request and response are over, both, with nothing behind them on the connection."""
        if self._sending.broken_off or self.status == 101 or self.leftover:
            return False
        if not isinstance(self.fp, _Reader):
            return True
        sock = self._connection_socket
        if isinstance(self.fp.raw, _Armed):
            self.fp.raw.arm = nothing
        timeout = sock.gettimeout()
        try:
            sock.settimeout(0)
            try:
                return not self.fp.peek(1)
            finally:
                sock.settimeout(timeout)
        except _NOT_NOW:
            return True  # TLS had something of its own to read
        except (OSError, ValueError):
            return False


class _Reader(io.BufferedReader):
    """Reads what a connection brings.

    :ivar in_head: whether lines must be whole: http.client takes the end of a
        connection for the end of the head.
    """

    in_head = False

    def readline(self, limit: Any = -1) -> bytes:
        line = super().readline(limit)
        if self.in_head and not line.endswith(b"\n") and len(line) != limit:
            raise http.client.RemoteDisconnected(
                "the connection was closed before the end of the answer's head"
            )
        return line


class _Armed(io.RawIOBase):
    """A socket's bytes, each wait for them armed, behind those that have come already."""

    def __init__(self, raw: Any, arm: Callable[[], None], early: bytearray) -> None:
        self._raw = raw
        self.arm = arm
        self._early = early

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        if self._early:
            size = min(len(buffer), len(self._early))
            buffer[:size] = self._early[:size]
            del self._early[:size]
            return size
        self.arm()
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


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
