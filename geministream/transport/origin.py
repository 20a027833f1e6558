"""The check that requests go only to the origin of the base URL."""

from functools import lru_cache
from typing import Optional, Tuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit

from ..endpoint import Endpoint
from ..errors import ConfigurationError, TransportError
from .secrets import Secrets

_MOST_REDIRECTS = 5


def is_home(url: str, endpoint: Endpoint) -> bool:
    """Whether the URL is at the origin of the base URL."""
    return _origin(urlsplit(url)) == _base_origin(endpoint.base_url)


def check_home(url: str, endpoint: Endpoint) -> None:
    """Raise ConfigurationError if the URL is not at the origin of the base URL.

    This is the last check before a request is sent, so that prompts and keys go nowhere else.
    """
    if not is_home(url, endpoint):
        raise ConfigurationError(
            f"refused to send a request to {urlsplit(url).hostname}: credentials are only for the "
            "host of the base URL; check the base URL and the session"
        )


def redirected(url: str, location: str, count: int, secrets: Secrets) -> str:
    """Return the URL of a redirect.

    :raises TransportError: if the URL is not valid or credentials must not be sent there.
    """
    here = urlsplit(url)
    try:
        there = urlsplit(urljoin(url, location))
    except ValueError:
        raise TransportError(f"{here.netloc} redirects to something that is not a valid URL") from None
    if _origin(there) != _origin(here):
        raise TransportError(
            f"refused the redirect from {here.scheme}://{here.netloc} to "
            f"{there.scheme}://{there.hostname}: credentials are only for the host of the base "
            "URL; if the redirect is correct, use its host in the base URL"
        )
    if count > _MOST_REDIRECTS:
        raise TransportError(f"{here.netloc} redirects forever; check the base URL")
    query = [pair for pair in parse_qsl(there.query, True) if pair[1] not in secrets.values]
    return there._replace(query=urlencode(query), fragment="").geturl()


@lru_cache(maxsize=64)
def _base_origin(base_url: str) -> Tuple[str, Optional[str], Optional[int]]:
    return _origin(urlsplit(base_url))


def _origin(url: SplitResult) -> Tuple[str, Optional[str], Optional[int]]:
    try:
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        port = -1  # not equal to any valid port
    return url.scheme, url.hostname, port
