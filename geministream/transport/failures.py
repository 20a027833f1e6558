"""The error of this library for an exception that requests raised."""

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
    """Return the error for an exception that requests raised instead of returning a response."""
    patience.check()
    host = urlsplit(url).netloc
    causes = list(error_chain(error))
    timed_out = any(isinstance(cause, socket.timeout) for cause in causes)
    if isinstance(error, requests.Timeout) or timed_out:
        # urllib3 also raises ReadTimeout for the TLS handshake; from a mock it is a real read timeout.
        from_a_mock = isinstance(error, requests.ReadTimeout) and not any(
            isinstance(cause, HTTPError) for cause in causes
        )
        connected = (sending.may_be_known or from_a_mock) and not isinstance(error, requests.ConnectTimeout)
        answer: GeministreamError = patience.timed_out(
            f"{host} sent no answer" if connected else f"no connection to {host}",
            patience.silence if connected else patience.connect,
        )
        # If the server has the request, it may be working on an answer that costs money.
        answer.retryable = not connected
        return answer
    if isinstance(error, ValueError) and not (isinstance(error, requests.ConnectionError) or sending.begun):
        return ConfigurationError(f"cannot send a request to {host}: {error}; check the endpoint")
    reasons = [str(cause) for cause in causes if isinstance(cause, (OSError, http.client.HTTPException))]
    reason = reasons[-1] if reasons else str(error)
    what = f"no answer from {host}"
    if isinstance(error, requests.exceptions.ProxyError):
        what = f"cannot connect to the proxy {_proxy(url, session)}"
    answer = TransportError(f"{what}: {reason}")
    refused = ("SSLCertVerificationError", "CertificateError")  # the second one is urllib3's
    answer.retryable = not any(type(cause).__name__ in refused for cause in causes)
    return answer


def proxy_url(url: str, session: Any) -> str:
    """Return the URL of the proxy that a session uses for ``url``, or ``http://`` without a proxy."""
    settings = session.merge_environment_settings(url, {}, True, None, None)
    proxy: str = requests.utils.select_proxy(url, settings["proxies"]) or ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy(url: str, session: Any) -> str:
    """Return the host and port of the proxy for ``url``, and the environment variable that sets it."""
    proxy = proxy_url(url, session)
    parts = urlsplit(proxy)
    variables = [
        name
        for name, value in os.environ.items()
        if value and name.lower().endswith("_proxy") and proxy.endswith(value)
    ]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}" + (f" ({variables[0]})" if variables else "")
