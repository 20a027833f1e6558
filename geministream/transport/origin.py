"""Where requests may go: to the origin of the base URL, whoever made their URL, and nowhere else."""

from typing import Optional, Tuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit

from ..endpoint import Endpoint
from ..errors import ConfigurationError, TransportError
from .secrets import Secrets

_MOST_REDIRECTS = 5


def is_home(url: str, endpoint: Endpoint) -> bool:
    """Whether the URL is at the origin of the base URL."""
    return _origin(urlsplit(url)) == _origin(urlsplit(endpoint.base_url))


def check_home(url: str, endpoint: Endpoint) -> None:
    """Whatever made this URL: neither a prompt nor a key goes anywhere else."""
    if not is_home(url, endpoint):
        raise ConfigurationError(
            f"refused to send a request to {urlsplit(url).hostname}: "
            "credentials stay with the host of the base URL"
        )


def redirected(url: str, location: str, count: int, secrets: Secrets) -> str:
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
    query = [pair for pair in parse_qsl(there.query, True) if pair[1] not in secrets.values]
    return there._replace(query=urlencode(query), fragment="").geturl()


def _origin(url: SplitResult) -> Tuple[str, Optional[str], Optional[int]]:
    try:
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        port = -1  # no port that could be ours
    return url.scheme, url.hostname, port
