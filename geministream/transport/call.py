"""A call: its requests, with their credentials, within its time."""

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
    """One call of a user: its endpoint, session, patience and secrets, over all its requests.

    A context manager; leaving it closes what the call opened, and takes every
    credential out of the error that leaves it.

    :param deadline: seconds from now for the whole call, or None.
    :ivar requests_sent: how many requests were sent.
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
        """Send one request and return its reply as soon as its headers are here.

        Redirects are followed within the origin of the base URL alone, and a
        callable ``auth`` is asked for another token after a 401, once.

        :param body: bytes, or an object with ``read`` and ``__len__``.
        :param ok: statuses that are no errors, besides 2xx.
        :raises APIError: if the status says so.
        :raises TransportError, StreamTimeoutError, StreamCancelled: if there was no answer.
        """
        try:
            return self._follow(method, url, headers or {}, body, ok)
        except GeministreamError as error:
            # The frames below hold credentials, and what a server made of them.
            cause = error.__cause__
            if cause is not None:
                cause.__suppress_context__ = True  # urllib3's chain below it says the same in 80 lines
            raise error.with_traceback(None) from cause

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, ok: Tuple[int, ...]
    ) -> Reply:
        """Send, and once more for each redirect and for a fresh token."""
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
                self.retried_below = False  # whatever comes now in the body, the adapter cannot retry
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
            response = error.response  # a hook of the session's calls raise_for_status()
        except GeministreamError:
            raise  # a cancel's or the deadline's, from below requests
        except (
            requests.RequestException,
            HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,  # from below requests: UnicodeError for a host name, and others
        ) as error:
            raise no_answer(error, url, sending, self.patience, self._session) from error
        sock = getattr(getattr(response.raw, "_connection", None), "sock", None)
        if not sending.watched and isinstance(sock, socket.socket):
            self.patience.watch(sock)  # from here on, if not from the connection's begin
        response.headers.update(response.__dict__.pop("_location", {}))
        self.retried_below = bool(getattr(getattr(response.raw, "retries", None), "history", ()))
        return Reply(response, self.patience)

    def _ask(
        self, sending: Sending, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> requests.Response:
        """One request through the session, whatever kind of session it is."""
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
            # An auth of any kind keeps requests from replacing our
            # Authorization header with what it finds in a .netrc file.
            auth=partial(self._last_look, sending),
            timeout=(self.patience.left(connect), self.patience.left(silence)),
            allow_redirects=False,
            stream=True,
        )
        return response

    def _last_look(self, sending: Sending, prepared: Any) -> Any:
        """The request as it goes out, by whatever session: requests calls this as its ``auth``."""
        session = self._session
        auth = session.auth
        if isinstance(auth, tuple) and len(auth) == 2:
            auth = HTTPBasicAuth(*auth)
        if callable(auth):
            prepared = auth(prepared)
        if not is_home(prepared.url or "", self.endpoint) and not self.secrets.are_in(prepared):
            return prepared  # the session's own request for something else, such as its next token
        check_home(prepared.url or "", self.endpoint)
        prepared.hooks["response"].append(_hide_location)
        self.secrets.add_request(prepared)
        adapter = session.get_adapter(prepared.url)
        watch_adapter(adapter, prepared, session)
        # Should this fail, the adapter will have retried it.
        self.retried_below = bool(getattr(getattr(adapter, "max_retries", None), "total", 0))
        return prepared


def _with_key_variable(error: APIError, endpoint: Endpoint) -> APIError:
    """An authentication error says where the key came from."""
    name = key_variable(endpoint) if endpoint.ways else None
    if isinstance(error, AuthenticationError) and name is not None:
        error.advice = f"The key came from {name}. {error.advice}"
    return error


def _hide_location(response: requests.Response, **_: Any) -> None:
    """Or requests would read the body of a redirect at once, all of it, whether it is followed or not."""
    if "location" in response.headers:
        response.__dict__["_location"] = {"location": response.headers.pop("location")}
