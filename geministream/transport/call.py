"""A call: where its requests go, with which credentials, for how long; and what comes back instead of an answer."""

import http.client
import os
import socket
from functools import partial
from typing import Any, Mapping, Optional, Tuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from ..cancel import Cancel
from ..endpoint import Endpoint, credentials, given_secrets
from ..errors import ConfigurationError, GeministreamError, TransportError
from .connection import Sending, new_session, on_behalf_of, watch_adapter
from .patience import Patience
from .reply import Reply
from .secrets import Secrets, error_chain

_MOST_REDIRECTS = 5
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
                self.secrets.add(unquote(urlsplit(self._proxy_url(self.endpoint.base_url)).password or ""))
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
            raise error.with_traceback(
                None
            )  # the frames below hold credentials and what a server made of them

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
                url = self._redirected(url, reply.header("location"), redirects)
            elif 200 <= status < 300 or status in ok:
                self.retried_below = False  # whatever comes now in the body, the adapter cannot retry
                return reply
            else:
                raise reply.error()

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
                raise self._no_answer(url, sending, error) from error
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
            raise self._no_answer(url, sending, error) from error
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
        self._check_home(url)
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

    def _last_look(self, sending: Sending, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request as it goes out, by whatever session: requests calls this as its ``auth``."""
        session = self._session
        auth = session.auth
        if isinstance(auth, tuple) and len(auth) == 2:
            auth = requests.auth.HTTPBasicAuth(*auth)
        if callable(auth):
            prepared = auth(prepared)
        if not self._is_home(prepared.url or "") and not self._holds_a_secret(prepared):
            return prepared  # the session's own request for something else, such as its next token
        self._check_home(prepared.url or "")
        prepared.hooks["response"].append(_hide_location)
        self.secrets.add_request(prepared)
        adapter = session.get_adapter(prepared.url)
        watch_adapter(adapter, prepared, session)
        # Should this fail, the adapter will have retried it.
        self.retried_below = bool(getattr(getattr(adapter, "max_retries", None), "total", 0))
        return prepared

    def _is_home(self, url: str) -> bool:
        """Whether the URL is at the origin of the base URL."""
        return _origin(urlsplit(url)) == _origin(urlsplit(self.endpoint.base_url))

    def _check_home(self, url: str) -> None:
        """Whatever made this URL: neither a prompt nor a key goes anywhere else."""
        if not self._is_home(url):
            raise ConfigurationError(
                f"refused to send a request to {urlsplit(url).hostname}: "
                "credentials stay with the host of the base URL"
            )

    def _holds_a_secret(self, prepared: requests.PreparedRequest) -> bool:
        texts = [unquote(prepared.url or ""), *map(str, prepared.headers.values())]
        return any(secret in text for secret in self.secrets.values for text in texts)

    def _no_answer(self, url: str, sending: Sending, error: Exception) -> GeministreamError:
        """The error of the tree for what requests raised instead of returning a response."""
        self.patience.check()
        host = urlsplit(url).netloc
        causes = list(error_chain(error))
        timed_out = any(isinstance(cause, socket.timeout) for cause in causes)
        if isinstance(error, requests.Timeout) or timed_out:
            # urllib3 calls it a read, too, where TLS gets no answer to its handshake; a mock means it.
            from_a_mock = isinstance(error, requests.ReadTimeout) and not any(
                isinstance(cause, HTTPError) for cause in causes
            )
            connected = (sending.may_be_known or from_a_mock) and not isinstance(
                error, requests.ConnectTimeout
            )
            answer: GeministreamError = self.patience.timed_out(
                f"{host} sent no answer" if connected else f"no connection to {host}",
                self.patience.silence if connected else self.patience.connect,
            )
            # The server may be at work on an answer that costs money, if it has the request.
            answer.retryable = not connected
            return answer
        if isinstance(error, ValueError) and not (
            isinstance(error, requests.ConnectionError) or sending.begun
        ):
            return ConfigurationError(f"no request can be made to {host}: {error}")
        reasons = [str(cause) for cause in causes if isinstance(cause, (OSError, http.client.HTTPException))]
        reason = reasons[-1] if reasons else str(error)
        what = f"no answer from {host}"
        if isinstance(error, requests.exceptions.ProxyError):
            what = f"cannot connect to the proxy {self._proxy(url)}"
        answer = TransportError(f"{what}: {reason}")
        refused = ("SSLCertVerificationError", "CertificateError")  # the latter is urllib3's own
        answer.retryable = not any(type(cause).__name__ in refused for cause in causes)
        return answer

    def _proxy_url(self, url: str) -> str:
        settings = self._session.merge_environment_settings(url, {}, True, None, None)
        proxy: str = requests.utils.select_proxy(url, settings["proxies"]) or ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _proxy(self, url: str) -> str:
        """The proxy for ``url``, and where it was set."""
        proxy = self._proxy_url(url)
        parts = urlsplit(proxy)
        variables = [
            name
            for name, value in os.environ.items()
            if value and name.lower().endswith("_proxy") and proxy.endswith(value)
        ]
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port}" + (f" ({variables[0]})" if variables else "")

    def _redirected(self, url: str, location: str, count: int) -> str:
        """Where to go on, or TransportError if the credentials must not go there."""
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
        except ValueError:
            raise TransportError(f"{here.netloc} redirects to what is no URL") from None
        if _origin(there) != _origin(here):
            raise TransportError(
                f"refused the redirect from {here.scheme}://{here.netloc} to "
                f"{there.scheme}://{there.hostname}: credentials stay with the host that they "
                "were given for; if it is right, use it as the base URL"
            )
        if count > _MOST_REDIRECTS:
            raise TransportError(f"{here.netloc} redirects for ever")
        query = [pair for pair in parse_qsl(there.query, True) if pair[1] not in self.secrets.values]
        return there._replace(query=urlencode(query), fragment="").geturl()


def _origin(url: SplitResult) -> Tuple[str, Optional[str], Optional[int]]:
    try:
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        port = -1  # no port that could be ours
    return url.scheme, url.hostname, port


def _hide_location(response: requests.Response, **_: Any) -> None:
    """Or requests would read the body of a redirect at once, all of it, whether it is followed or not."""
    if "location" in response.headers:
        response.__dict__["_location"] = {"location": response.headers.pop("location")}
