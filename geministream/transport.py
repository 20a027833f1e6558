"""The only room that knows requests: send, stream the bytes, map the errors, wait.

What requests offers for streaming is not enough here: it hands out a body that
has a Content-Length only when all of it has come, overlooks bodies that are cut
short, bounds neither a slow header nor a whole call, and cannot be stopped from
another thread.  So requests makes the connection and sends, with all its
habits (proxies, certificates, sessions, adapters), and two things are ours:

- The connection classes of the pool are derived (`_watched`), so that a `Call`
  knows its socket from the moment it is connected: each wait on it gets the time
  that is left, and a `Cancel` in another thread can shut it down.
- The body is read from the http.client response below urllib3's (`_fp`, the
  same in urllib3 1.26 and 2), which returns what is there, whatever the framing
  of the body, and tells a whole body from a short one.
"""

import http.client
import io
import logging
import random
import re
import socket
import threading
import time
from functools import lru_cache, partial
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from ._version import __version__
from .body import PIECE, dechunk, inflate
from .endpoint import Endpoint, credentials
from .errors import (
    APIError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    StreamCancelled,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
    api_error,
)
from .framing import Framing

log = logging.getLogger("geministream")

_LARGEST_ERROR_BODY = 2**20
_MOST_REDIRECTS = 5

# What a header or parameter that holds a credential is called, and what may stand before it.
_names_a_secret = re.compile("auth|key|token|secret|cookie", re.IGNORECASE)
_scheme = re.compile("^(?:bearer|basic) +", re.IGNORECASE)


class Cancel:
    """A switch that ends calls from another thread.

    Give it to one or several calls as ``cancel=``; ``cancel()`` ends them
    within moments with StreamCancelled, whether they sleep between two attempts,
    send or read, and closes their connections.  An attempt to reach one address
    ends at its own time-out at the latest.  It cannot be undone.

    >>> stop = Cancel()
    >>> stop.cancel()
    >>> stop.cancelled
    True
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: Set[Any] = set()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel()`` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """End every call that has this Cancel, now and later.  Any thread may call it."""
        self._event.set()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            _shut_down(sock)

    def _watch(self, sock: Any) -> None:
        with self._lock:
            self._sockets.add(sock)
        if self.cancelled:
            _shut_down(sock)

    def _forget(self, sock: Any) -> None:
        with self._lock:
            self._sockets.discard(sock)

    def _sleep(self, seconds: float) -> None:
        self._event.wait(seconds)


def _shut_down(sock: Any) -> None:
    """Wake whoever is blocked on this socket; a `Cancel` may stand below another, too."""
    if isinstance(sock, Cancel):
        sock.cancel()
        return
    sock = getattr(sock, "socket", sock)  # TLS within TLS is no socket, but has one
    try:
        # Not sock.shutdown(): that of an SSLSocket takes the TLS state from
        # under the thread that is reading.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except (OSError, TypeError):
        pass  # closed already, which is all that is wanted


class Call:
    """One call of a user: its endpoint, session, patience and secrets, over all its requests.

    A context manager; leaving it closes what the call opened.

    :param deadline: seconds from now for the whole call, or None.
    """

    def __init__(
        self, endpoint: Endpoint, *, deadline: Optional[float] = None, cancel: Optional[Cancel] = None
    ) -> None:
        self.endpoint = endpoint
        self.cancel = cancel
        self.deadline = deadline
        self.requests_sent = 0
        self._ends = None if deadline is None else time.monotonic() + deadline
        self._session = endpoint.session
        self._token: Optional[str] = None
        self._sent: Set[str] = set()  # the credentials that went out
        self._known: Set[str] = set()  # and how they may be spelled, once there was something to show
        self._socket: Any = None
        self._query = ""  # the end of the URL with the key, while a request goes out,
        self._hidden = ""  # and whether the adapter took it off
        self._request_left = False  # whether the server may have seen the request

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.watch(None)
        if self._session is not None and self._session is not self.endpoint.session:
            self._session.close()

    # Patience

    @property
    def cancelled(self) -> bool:
        """Whether the call's `Cancel` was used."""
        return self.cancel is not None and self.cancel.cancelled

    def check(self) -> None:
        """Raise where the call was cancelled or is out of time."""
        if self.cancelled:
            raise StreamCancelled("the call was cancelled")
        if self._ends is not None and time.monotonic() >= self._ends:
            raise StreamTimeoutError(f"the deadline of {self.deadline:g} s has passed")

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed; a time-out set to end then may be a little early."""
        return self._ends is not None and time.monotonic() >= self._ends - 0.05

    def left(self, seconds: Optional[float]) -> Optional[float]:
        """``seconds``, or the time to the deadline if that is less."""
        if self._ends is None:
            return seconds
        left = max(self._ends - time.monotonic(), 0.001)
        return left if seconds is None else min(seconds, left)

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the deadline would pass in the meantime; a cancel ends it."""
        self.check()
        if self._ends is not None and time.monotonic() + seconds >= self._ends:
            raise StreamTimeoutError(
                f"the deadline of {self.deadline:g} s would pass before the next attempt"
            )
        if self.cancel is not None:
            self.cancel._sleep(seconds)
            self.check()
        else:
            time.sleep(seconds)

    def watch(self, sock: Any) -> None:
        """From now on this socket is the one that a cancel shuts down."""
        if self.cancel is not None and sock is not self._socket:
            if self._socket is not None:
                self.cancel._forget(self._socket)
            self._socket = sock
            if sock is not None:
                self.cancel._watch(sock)

    def arm(self, sock: Any) -> None:
        """Before each wait on the socket: give it the time that is left."""
        self.check()
        sock.settimeout(self.left(self.endpoint.timeouts[1]))

    # Requests

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Optional[Mapping[str, str]] = None,
        body: Any = None,
        ok: Tuple[int, ...] = (),
    ) -> "Reply":
        """Send one request and return its reply as soon as its headers are here.

        Redirects are followed within the origin of ``url`` alone, and a callable
        ``auth`` is asked for another token after a 401, once.

        :param body: bytes, or an object with ``read`` and ``__len__``.
        :param ok: statuses that are no errors, besides 2xx.
        :raises APIError: where the status says so.
        :raises TransportError, StreamTimeoutError, StreamCancelled: where there was no answer.
        """
        redirects = 0
        token_is_fresh = False
        while True:
            reply = self._send_once(method, url, headers or {}, body)
            status = reply.status
            if status == 401 and callable(self.endpoint.auth) and not token_is_fresh:
                reply.close()
                self._token = None
                token_is_fresh = True
            elif status in _REDIRECTS and reply.header("location") and status not in ok:
                reply.close()
                redirects += 1
                url = self._redirected(url, reply.header("location"), redirects)
            elif 200 <= status < 300 or status in ok:
                return reply
            else:
                raise reply.error()

    def _send_once(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> "Reply":
        self.check()
        if self._session is None:
            self._session = new_session()
        session = self._session
        if callable(self.endpoint.auth) and self._token is None:
            self._token = self.endpoint.auth()
            self._known = set()
        secret_headers, secret_query = credentials(self.endpoint, self._token)
        self._sent.update(secret_headers.values(), (value for _, value in secret_query))
        hidden = ""
        if secret_query:
            hidden = ("&" if "?" in url else "?") + urlencode(secret_query)
        self._request_left = False
        previous = getattr(_running, "call", None)
        try:
            request = requests.Request(
                method,
                url + hidden,
                headers={
                    "Accept-Encoding": "gzip",
                    **self.endpoint.headers,
                    **secret_headers,
                    **headers,
                },
                data=body,
                # An auth of any kind keeps requests from replacing our
                # Authorization header with what it finds in a .netrc file.
                auth=None if session.auth else _no_auth,
            )
            prepared = session.prepare_request(request)
            prepared.register_hook("response", _hide_location)
            settings = session.merge_environment_settings(prepared.url, {}, True, None, None)
            _watch_connections(session.get_adapter(prepared.url), prepared, settings)
            connect, silence = self.endpoint.timeouts
            timeout = (self.left(connect), self.left(silence))
            self.requests_sent += 1
            _running.call, self._query, self._hidden = self, hidden, ""
            response = session.send(prepared, timeout=timeout, allow_redirects=False, **settings)
            response.headers.update(response.__dict__.pop("_location", {}))
        except (
            requests.RequestException,
            HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,  # from below requests: UnicodeError for a host name, and others
        ) as error:
            if isinstance(error, GeministreamError):
                raise
            self.redact_chain(error)  # first of all: any other error will have it in its context
            raise self._no_answer(url, error) from error
        finally:
            _running.call = previous
        return Reply(self, response)

    def _no_answer(self, url: str, error: Exception) -> GeministreamError:
        """The error of the tree for what requests raised instead of returning a response."""
        self.check()
        host = urlsplit(url).netloc
        causes = list(error_chain(error))
        timed_out = any(isinstance(cause, socket.timeout) for cause in causes)
        if isinstance(error, requests.Timeout) or timed_out:
            connected = self._request_left and not isinstance(error, requests.ConnectTimeout)
            answer = self._timed_out(
                f"{host} sent no answer" if connected else f"no connection to {host}",
                self.endpoint.timeouts[1 if connected else 0],
            )
            # The server may be at work on an answer that costs money, if it has the request.
            answer.retryable = not connected
            return answer
        if isinstance(error, ValueError) and not isinstance(error, requests.ConnectionError):
            return ConfigurationError(self.redact(f"no request can be made to {host}: {error}"))
        reasons = [str(cause) for cause in causes if isinstance(cause, (OSError, http.client.HTTPException))]
        reason = self.redact(reasons[-1] if reasons else str(error))
        answer = TransportError(f"no answer from {host}: {reason}")
        refused = ("SSLCertVerificationError", "CertificateError")  # the latter is urllib3's own
        answer.retryable = not any(type(cause).__name__ in refused for cause in causes)
        return answer

    def _timed_out(self, what: str, seconds: Optional[float]) -> GeministreamError:
        if self.expired:
            return StreamTimeoutError(f"the deadline of {self.deadline:g} s has passed")
        return StreamTimeoutError(
            f"{what} for {seconds:g} s; set Endpoint(timeout=) to wait longer"
            if seconds is not None
            else what
        )

    def _redirected(self, url: str, location: str, count: int) -> str:
        """Where to go on, or TransportError where the credentials must not go."""
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
        except ValueError:
            raise TransportError(f"{here.netloc} redirects to what is no URL") from None
        if _origin(there) != _origin(here):
            raise TransportError(self.redact(
                f"refused the redirect from {here.scheme}://{here.netloc} to "
                f"{there.scheme}://{there.hostname}: credentials stay with the host that they "
                "were given for; if it is right, use it as the base URL"
            ))
        if count > _MOST_REDIRECTS:
            raise TransportError(f"{here.netloc} redirects for ever")
        secrets = self._secrets()
        query = [pair for pair in parse_qsl(there.query, True) if pair[1] not in secrets]
        return there._replace(query=urlencode(query), fragment="").geturl()

    # Secrets

    def _secrets(self) -> Set[str]:
        """Every spelling of what must not be shown."""
        if not self._known:
            given = set(self._sent)
            for mapping in (self.endpoint.headers, self.endpoint.params):
                given.update(value for name, value in mapping.items() if _names_a_secret.search(name))
            for value in given:
                secret = _scheme.sub("", value)
                if len(secret) > 4:  # less is no secret, and would tear every text apart
                    self._known.update((secret, quote(secret, safe=""), quote(secret)))
        return self._known

    def redact(self, text: str) -> str:
        """``text`` without this call's credentials."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def _redact_quote(self, text: str) -> str:
        """`redact`, where the text quotes what came and the quote may have cut a credential in two."""
        text = self.redact(text)
        for secret in self._secrets():
            for start in range(len(secret) - 7):
                text = text.replace(secret[start : start + 8], "***")
        return text

    def redact_value(self, value: Any) -> Any:
        """A JSON value without this call's credentials."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_value(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(str(key)): self.redact_value(item) for key, item in value.items()}
        return value

    def api_error(self, error: Any, reply: "Reply") -> APIError:
        """The exception for an error value that a server sent."""
        try:
            made = api_error(error, http_status=reply.status, headers=reply.headers)
            # Only now is all text as the caller will see it: the server may have
            # escaped a credential in its JSON, and put that JSON into another.
            made.details = self.redact_value(made.details)
        except RecursionError:
            short: Dict[str, Any] = {"message": "the error is nested too deeply to be shown"}
            if isinstance(error, dict):
                short.update({name: error.get(name) for name in ("code", "status")})
            made = api_error(short, http_status=reply.status, headers=reply.headers)
        made.message = (self._redact_quote if len(made.message) <= 500 else self.redact)(made.message)
        made.status = made.status and self.redact(made.status)
        made.args = (made.message,)
        return made

    def redact_chain(self, error: BaseException) -> BaseException:
        """Take this call's credentials out of an exception's text, and out of its causes'."""
        for cause in error_chain(error):
            if any(isinstance(arg, str) for arg in cause.args):
                cause.args = tuple(self._redact_quote(a) if isinstance(a, str) else a for a in cause.args)
        return error


class Reply:
    """A response whose headers are here and whose body is still to come.

    :ivar status: the HTTP status.
    """

    def __init__(self, call: Call, response: requests.Response) -> None:
        self.call = call
        self.status = response.status_code
        self._response = response

    def header(self, name: str) -> str:
        """A header as it came, credentials and all; empty where it did not."""
        value: str = self._response.headers.get(name, "")
        return value

    @property
    def headers(self) -> Dict[str, str]:
        """All headers, fit to be shown; names in lower case."""
        return {name.lower(): self.call.redact(value) for name, value in self._response.headers.items()}

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        self._response.close()

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the body, decompressed, as they arrive.

        :raises IncompleteStreamError: where the body is shorter than announced or the connection broke.
        :raises StreamTimeoutError, StreamCancelled: as the call says.
        :raises StreamDecodeError: where the body is compressed in a way not asked for.
        """
        encoding = self.header("content-encoding").strip().lower()
        if encoding in ("", "identity"):
            return self._read()
        if encoding in ("gzip", "x-gzip", "deflate"):
            return inflate(self._read())
        shown = self.call.redact(encoding)
        raise StreamDecodeError(f"the server compressed its answer with {shown!r}, unasked")

    def _read(self) -> Iterator[bytes]:
        call = self.call
        raw = self._response.raw
        # Below urllib3's response stands http.client's, or a BytesIO in tests
        # with mocks; an adapter of another kind has only read().
        body: Any = getattr(raw, "_fp", None)
        read = getattr(body, "read1", None) or raw.read
        if getattr(body, "chunked", False) and body.fp is not None:
            pieces = dechunk(body.fp.read1)
        else:
            pieces = iter(partial(read, PIECE), b"")
        try:
            for data in pieces:
                if call.cancelled:
                    break
                yield data
                call.check()  # a deadline that passed takes nothing that has come
        except (OSError, http.client.HTTPException, HTTPError, ValueError) as error:
            raise self._broken(error) from error
        except IncompleteStreamError as error:
            call.redact_chain(error)  # it quotes what came
            call.check()  # a connection that was shut down looks like an early end
            raise
        call.check()
        missing = getattr(body, "length", None)
        if missing:
            raise IncompleteStreamError(f"the body ended {missing} bytes short of its Content-Length")
        if body is not None:
            body.close()
            # All is read: the connection can serve another request, perhaps another call's.
            call.watch(None)
            getattr(raw, "release_conn", _nothing)()

    def _broken(self, error: Exception) -> GeministreamError:
        self.call.redact_chain(error)
        self.call.check()
        if isinstance(error, socket.timeout):
            return self.call._timed_out("nothing came", self.call.endpoint.timeouts[1])
        reason = str(error) or type(error).__name__
        return IncompleteStreamError(f"the connection broke before the end of the answer: {reason}")

    def read(self, limit: int) -> bytes:
        """The whole body; StreamDecodeError where it is larger than ``limit`` bytes."""
        body = bytearray()
        try:
            for piece in self.pieces():
                body += piece
                if len(body) > limit:
                    raise StreamDecodeError(f"the answer is larger than {limit} bytes")
        finally:
            self.close()
        return bytes(body)

    def error(self) -> APIError:
        """Read the body of an error, up to a limit, and make its exception."""
        body = bytearray()
        try:
            for piece in self.pieces():
                body += piece
                if len(body) > _LARGEST_ERROR_BODY:
                    break
        except (IncompleteStreamError, StreamTimeoutError, StreamDecodeError):
            self.call.check()  # otherwise the status and what has come say enough
        finally:
            self.close()
        text = self.call.redact(body.decode("utf-8", "replace"))
        error = _error_value(text)
        if error is None:
            plain = " ".join(_markup.sub(" ", text).split())
            error = {"message": plain[:300] or self._response.reason or "no message"}
        return self.call.api_error(error, self)


# What a page for people has besides its text; linear, whatever the page.
_markup = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def _error_value(text: str) -> Any:
    framing = Framing()
    values: List[Any] = []
    try:
        values.extend(framing.feed(text.encode("utf-8")))
        values.extend(framing.close())
    except (StreamDecodeError, IncompleteStreamError):
        pass  # a page for people, or half an error
    for value in values:
        if isinstance(value, dict) and value.get("error"):
            return value["error"]
        if isinstance(value, dict) and value.get("message"):
            return value
    return None


class Attempts:
    """Counts the attempts at one request and sleeps between them, as the endpoint's Retry says."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._failed = 0

    def progress(self) -> None:
        """Something was gained: the count starts again."""
        self._failed = 0

    def again(self, error: GeministreamError) -> bool:
        """After ``error``: sleep and return True, or return False where it is final.

        :raises StreamTimeoutError, StreamCancelled: where the call's time is over.
        """
        retry = self._call.endpoint.retry
        if retry is None or not is_retryable(error, retry.statuses):
            return False
        self._failed += 1
        asked = getattr(error, "retry_after", None) or 0.0
        if self._failed >= retry.attempts or asked > retry.max_delay:
            return False
        try:
            longest = min(retry.max_delay, retry.initial_delay * retry.multiplier ** (self._failed - 1))
        except OverflowError:
            longest = retry.max_delay
        delay = max(random.uniform(0, longest), asked)
        log.debug(
            "attempt %d of %d failed with %s %s, the next follows in %.2f s",
            self._failed, retry.attempts, type(error).__name__, getattr(error, "code", ""), delay,
        )
        self._call.sleep(delay)
        return True


def is_retryable(error: GeministreamError, statuses: Tuple[int, ...]) -> bool:
    """Whether the same request, sent again, may do better."""
    return error.code in statuses if isinstance(error, APIError) else error.retryable


# Connections that know their call ----------------------------------------------

# The call that is sending on this thread, for the connection to find.
_running = threading.local()

_REDIRECTS = (301, 302, 307, 308)  # 303 would turn the POST into a GET


def new_session() -> requests.Session:
    """A session for calls, for its maker to close: as requests makes it, but for our adapter and User-Agent."""
    session = requests.Session()
    session.headers["User-Agent"] = f"geministream/{__version__} {requests.utils.default_user_agent()}"
    adapter = _Adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Adapter(HTTPAdapter):
    """Keeps a ``?key=`` from urllib3, whose log and exceptions hold whole URLs.

    The connection puts it back (`_watched`) when the request goes out.
    """

    def close(self) -> None:
        # urllib3 closes connections when their pools are garbage collected, which
        # an exception that somebody keeps can put off for ever.
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        return _watch_pool(super().get_connection_with_tls_context(*args, **kwargs))

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        return _watch_pool(super().get_connection(*args, **kwargs))

    def request_url(self, request: Any, proxies: Any) -> str:
        url: str = super().request_url(request, proxies)
        call = getattr(_running, "call", None)
        if call is not None and call._query and url.endswith(call._query):
            call._hidden = call._query
            return url[: -len(call._hidden)]
        return url


def _watch_connections(adapter: Any, prepared: Any, settings: Mapping[str, Any]) -> None:
    """Let the pool that will serve this request make connections that know their call."""
    if not isinstance(adapter, HTTPAdapter) or isinstance(adapter, _Adapter):
        return  # ours does it itself
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
    _watch_pool(pool)


def _watch_pool(pool: Any) -> Any:
    pool.ConnectionCls = _watched(pool.ConnectionCls)
    for idle in list(getattr(pool.pool, "queue", ())):
        if idle is not None:  # the session made it for a request of its own
            idle.__class__ = _watched(idle.__class__)
    return pool


@lru_cache(maxsize=16)
def _watched(base: Any) -> Any:
    """A connection class that does what ``base`` does, on behalf of a call where there is one."""
    if getattr(base, "is_watched", False):
        return base

    class Watched(base):  # type: ignore[misc]
        is_watched = True
        response_class: Any
        timeout: Any
        _dns_host: str

        def connect(self) -> None:
            # A proxy's answer to CONNECT is read as it always is.
            ours, self.response_class = self.response_class, base.response_class
            super().connect()
            self.response_class = ours
            call = getattr(_running, "call", None)
            if call is not None:
                call.watch(self.sock)

        def _new_conn(self) -> Any:
            call = getattr(_running, "call", None)
            for_socks = base._new_conn is not HTTPConnection._new_conn
            if call is None or for_socks or (call.deadline is None and call.cancel is None):
                return super()._new_conn()
            # urllib3 gives each address of a host the whole time-out, and asks nobody in between.
            host, timeout = self._dns_host, self.timeout
            try:
                *others, last = _addresses(host, self.port)
            except OSError as error:
                raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
            try:
                for self._dns_host in others:
                    self.timeout = call.left(timeout)
                    try:
                        return super()._new_conn()
                    except HTTPError:
                        call.check()
                self._dns_host, self.timeout = last, call.left(timeout)
                return super()._new_conn()
            finally:
                self._dns_host, self.timeout = host, timeout

        def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            call = getattr(_running, "call", None)
            self.response_class = base.response_class
            if call is not None:
                self.response_class = partial(_Response, call)
                url += call._hidden
                if self.sock is not None:
                    call.watch(self.sock)
            return super().putrequest(method, url, *args, **kwargs)

        def send(self, data: Any) -> None:
            call = getattr(_running, "call", None)
            if call is None or self.sock is None or not isinstance(data, bytes):
                super().send(data)
                return
            for start in range(0, len(data), PIECE):
                call._request_left = True
                call.arm(self.sock)
                super().send(data[start : start + PIECE])

    return Watched


class _Response(http.client.HTTPResponse):
    """A response whose every wait gets the time that its call has left."""

    def __init__(self, call: Call, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        call._request_left = True
        raw: Any = self.fp.detach()
        if call.deadline is not None:
            raw = _Armed(raw, partial(call.arm, sock))
        self.fp = io.BufferedReader(raw, PIECE)


class _Armed(io.RawIOBase):
    def __init__(self, raw: Any, arm: Any) -> None:
        self._raw = raw
        self._arm = arm

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        self._arm()
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


# Small change ----------------------------------------------------------------


def _addresses(host: str, port: int) -> List[str]:
    """The numeric addresses of a host, or where there are none the host itself, for urllib3 to say so."""
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV  # with the zone of an IPv6 address
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
    except UnicodeError:
        found = []
    return list(dict.fromkeys(socket.getnameinfo(address[-1], numeric)[0] for address in found)) or [host]


def _origin(url: SplitResult) -> Tuple[str, Optional[str], Optional[int]]:
    try:
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        port = -1  # no port that could be ours
    return url.scheme, url.hostname, port


def _no_auth(request: Any) -> Any:
    return request


def _hide_location(response: requests.Response, **_: Any) -> None:
    """Or requests would read the body of a redirect at once, all of it, whether it is followed or not."""
    if "location" in response.headers:
        response.__dict__["_location"] = {"location": response.headers.pop("location")}


def _nothing() -> None:
    pass


def error_chain(error: Optional[BaseException]) -> Iterator[BaseException]:
    """An exception and all that it wraps, each once, the innermost last."""
    seen: Set[int] = set()
    waiting: List[Any] = [error]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            waiting += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
