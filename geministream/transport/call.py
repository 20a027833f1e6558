"""A call: it sends requests with credentials, within its timeouts and its deadline."""

import http.client
import socket
from functools import partial
from typing import Any, Mapping, Optional, Tuple
from urllib.parse import unquote, urlencode, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from ..cancel import Cancel
from ..endpoint import Endpoint, credentials, given_secrets, key_variable
from ..errors import APIError, AuthenticationError, GeministreamError
from .failures import no_answer, proxy_url
from .origin import check_home, is_home, redirected
from .patience import Patience
from .reply import Reply
from .secrets import Secrets
from .sending import Sending, on_behalf_of
from .sessions import new_session, watch_adapter

_REDIRECTS = (301, 302, 307, 308)  # 303 would turn the POST into a GET


class Call:
    """One call of a user: the endpoint, session, timeouts and secrets of all its requests.

    A context manager: leaving it closes the call's own session, and removes all credentials
    from the error that leaves it.

    :param deadline: seconds from now for the entire call, or None.
    :ivar requests_sent: the number of requests sent so far.
    :ivar retried_below: whether the session's own adapter has retried the last request.
    """

    def __init__(
        self, endpoint: Endpoint, *, deadline: Optional[float] = None, cancel: Optional[Cancel] = None
    ) -> None:
        self.endpoint = endpoint
        self.patience = Patience(*endpoint.timeouts, deadline=deadline, cancel=cancel)
        self.secrets = Secrets()
        self.requests_sent = 0
        self.retried_below = False
        self._session = endpoint.session
        self._token: Optional[str] = None

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.patience.watch(None)
        if self._session is not None and self._session is not self.endpoint.session:
            self._session.close()
        if isinstance(error, GeministreamError):
            if self._session is not None:
                self.secrets.add(
                    unquote(urlsplit(proxy_url(self.endpoint.base_url, self._session)).password or "")
                )
            self.secrets.redact_error(error)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Optional[Mapping[str, str]] = None,
        body: Any = None,
        ok: Tuple[int, ...] = (),
    ) -> Reply:
        """Send one request and return its reply as soon as the headers have arrived.

        Redirects are followed only within the origin of the base URL.  After a 401, a callable
        ``auth`` is called once more.

        :param body: bytes, or an object with ``read`` and ``__len__``.
        :param ok: statuses that are not errors, besides 2xx.
        :raises APIError: if the status is an error.
        :raises TransportError, StreamTimeoutError, StreamCancelled: if there was no answer.
        """
        try:
            return self._follow(method, url, headers or {}, body, ok)
        except GeministreamError as error:
            # No traceback: the frames below contain credentials, also in the server's spelling.
            cause = error.__cause__
            if cause is not None:
                cause.__suppress_context__ = True  # urllib3's chain repeats the cause in 80 lines
            raise error.with_traceback(None) from cause

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, ok: Tuple[int, ...]
    ) -> Reply:
        """Send the request; send it again after a redirect, or with a fresh token."""
        redirects = 0
        token_is_fresh = False
        while True:
            reply = self._send_once(method, url, headers, body)
            status = reply.status
            if status == 401 and callable(self.endpoint.auth) and not token_is_fresh:
                reply.close()
                self._token = None
                token_is_fresh = True
            elif status in _REDIRECTS and reply.header("location") and status not in ok:
                reply.close()
                redirects += 1
                url = redirected(url, reply.header("location"), redirects, self.secrets)
            elif 200 <= status < 300 or status in ok:
                self.retried_below = False  # the adapter cannot retry failures of the body
                return reply
            else:
                raise _with_key_variable(reply.error(), self.endpoint)

    def _send_once(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> Reply:
        self.patience.check()
        if self._session is None:
            self._session = new_session()
        if callable(self.endpoint.auth) and self._token is None:
            self._token = self.endpoint.auth()
        sending = Sending(self.patience)
        try:
            with on_behalf_of(sending):
                response = self._ask(sending, method, url, headers, body)
        except requests.HTTPError as error:
            if error.response is None:
                raise no_answer(error, url, sending, self.patience, self._session) from error
            response = error.response  # a hook of the session calls raise_for_status()
        except GeministreamError:
            raise  # a cancel or the deadline, raised by our connection
        except (
            requests.RequestException,
            HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,  # also from the standard library, such as UnicodeError for a host name
        ) as error:
            raise no_answer(error, url, sending, self.patience, self._session) from error
        sock = getattr(getattr(response.raw, "_connection", None), "sock", None)
        if not sending.watched and isinstance(sock, socket.socket):
            self.patience.watch(sock)  # our connections do this as soon as they connect
        response.headers.update(response.__dict__.pop("_location", {}))
        self.retried_below = bool(getattr(getattr(response.raw, "retries", None), "history", ()))
        return Reply(response, self.patience)

    def _ask(
        self, sending: Sending, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> requests.Response:
        """Send one request through the session, which may be the user's own."""
        check_home(url, self.endpoint)
        secret_headers, secret_query = credentials(self.endpoint, self._token)
        if secret_query:
            sending.hides_query = True
            url += ("&" if "?" in url else "?") + urlencode(secret_query)
        for secret in (*given_secrets(self.endpoint), *secret_headers.values(), *dict(secret_query).values()):
            self.secrets.add(secret)
        self.requests_sent += 1
        connect, silence = self.patience.connect, self.patience.silence
        response: requests.Response = self._session.request(
            method,
            url,
            headers={"Accept-Encoding": "gzip", **self.endpoint.headers, **secret_headers, **headers},
            data=body,
            # Without any auth, requests would replace our Authorization header by credentials
            # from a .netrc file.
            auth=partial(self._last_look, sending),
            timeout=(self.patience.left(connect), self.patience.left(silence)),
            allow_redirects=False,
            stream=True,
        )
        return response

    def _last_look(self, sending: Sending, prepared: Any) -> Any:
        """Check and return the prepared request; requests calls this as its ``auth``."""
        session = self._session
        auth = session.auth
        if isinstance(auth, tuple) and len(auth) == 2:
            auth = HTTPBasicAuth(*auth)
        if callable(auth):
            prepared = auth(prepared)
        if not is_home(prepared.url or "", self.endpoint):
            if not self.secrets.are_in(prepared):
                return prepared  # the session's own request, such as one for its next token
            check_home(prepared.url or "", self.endpoint)
        prepared.hooks["response"].append(_hide_location)
        self.secrets.add_request(prepared)
        adapter = session.get_adapter(prepared.url)
        watch_adapter(adapter, prepared, session)
        # If the request fails, the adapter has already retried it.
        self.retried_below = bool(getattr(getattr(adapter, "max_retries", None), "total", 0))
        return prepared


def _with_key_variable(error: APIError, endpoint: Endpoint) -> APIError:
    """Add the environment variable of the key to an authentication error."""
    name = key_variable(endpoint) if endpoint.ways else None
    if isinstance(error, AuthenticationError) and name is not None:
        error.advice = f"The key came from {name}. {error.advice}"
    return error


def _hide_location(response: requests.Response, **_: Any) -> None:
    """Hide the location of a redirect from requests, which would read the entire body otherwise."""
    if "location" in response.headers:
        response.__dict__["_location"] = {"location": response.headers.pop("location")}
