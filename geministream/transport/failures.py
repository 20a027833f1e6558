"""What it means that requests raised an exception instead of returning a response."""

import http.client
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from ..errors import ConfigurationError, GeministreamError, TransportError
from .patience import Patience
from .secrets import error_chain
from .sending import Sending


def no_answer(
    error: Exception, url: str, sending: Sending, patience: Patience, session: Any
) -> GeministreamError:
    """The error of the tree for what requests raised instead of returning a response."""
    patience.check()
    host = urlsplit(url).netloc
    causes = list(error_chain(error))
    timed_out = any(isinstance(cause, socket.timeout) for cause in causes)
    if isinstance(error, requests.Timeout) or timed_out:
        # urllib3 calls it a read, too, where TLS gets no answer to its handshake; a mock means it.
        from_a_mock = isinstance(error, requests.ReadTimeout) and not any(
            isinstance(cause, HTTPError) for cause in causes
        )
        connected = (sending.may_be_known or from_a_mock) and not isinstance(error, requests.ConnectTimeout)
        answer: GeministreamError = patience.timed_out(
            f"{host} sent no answer" if connected else f"no connection to {host}",
            patience.silence if connected else patience.connect,
        )
        # The server may be at work on an answer that costs money, if it has the request.
        answer.retryable = not connected
        return answer
    if isinstance(error, ValueError) and not (isinstance(error, requests.ConnectionError) or sending.begun):
        return ConfigurationError(f"no request can be made to {host}: {error}")
    reasons = [str(cause) for cause in causes if isinstance(cause, (OSError, http.client.HTTPException))]
    reason = reasons[-1] if reasons else str(error)
    what = f"no answer from {host}"
    if isinstance(error, requests.exceptions.ProxyError):
        what = f"cannot connect to the proxy {_proxy(url, session)}"
    answer = TransportError(f"{what}: {reason}")
    refused = ("SSLCertVerificationError", "CertificateError")  # the latter is urllib3's own
    answer.retryable = not any(type(cause).__name__ in refused for cause in causes)
    return answer


def proxy_url(url: str, session: Any) -> str:
    """The URL of the proxy that a session uses for ``url``; ``http://`` if it uses none."""
    settings = session.merge_environment_settings(url, {}, True, None, None)
    proxy: str = requests.utils.select_proxy(url, settings["proxies"]) or ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy(url: str, session: Any) -> str:
    """The proxy for ``url``, and where it was set."""
    proxy = proxy_url(url, session)
    parts = urlsplit(proxy)
    variables = [
        name
        for name, value in os.environ.items()
        if value and name.lower().endswith("_proxy") and proxy.endswith(value)
    ]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}" + (f" ({variables[0]})" if variables else "")
