"""The base URL, the credentials, the timeouts and the retries of a server.

An `Endpoint` is a frozen, picklable value that is safe to print: its ``repr`` hides
credentials.  It builds the URLs and credentials of a request; it never connects.
"""

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Set, Tuple, Union
from urllib.parse import quote, unquote, urlencode, urlsplit

from .errors import ConfigurationError, InsecureEndpointWarning, warn
from .retry import (
    MOST_SECONDS,
    Retry as Retry,  # some programs import it from here
    RetryEvent as RetryEvent,
    got,
    is_number,
    is_whole,
)

#: The environment variables of the key, in this order, used if no key is passed.
KEY_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
#: The environment variable of the base URL, used if no endpoint is passed.
BASE_URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL"

GOOGLE = "https://generativelanguage.googleapis.com"
GET_A_KEY = "https://aistudio.google.com/apikey"

Token = Union[str, Callable[[], str]]
Auth = Union[str, Tuple[str, ...], Callable[[], str]]
Timeout = Union[None, float, Tuple[Optional[float], Optional[float]]]

_WAYS = ("header", "query", "bearer")

# The name of a header or parameter that holds a credential.
names_a_secret = re.compile("auth|key|token|secret|cookie|passw|credential|signature", re.IGNORECASE).search
# A user may pass a key as the wrong argument, so a repr shows a value only if it cannot be a key:
# a path that begins with a version, or a path of versions and words too short for a key.
_word = r"(?:v\d\w{0,9}|[A-Za-z_.-]{1,30})"
_shows_no_secret = re.compile(rf"(?:v\d\w{{0,9}}/.*|{_word}(?:/{_word})*)?")


@dataclass(frozen=True, repr=False)
class Endpoint:
    """A server of ``streamGenerateContent``, and how to connect to it.

    :param base_url: the URL before the API version.
    :param api_version: the path between the base URL and ``/models/…``; may be empty.
    :param api_key: the key or token; None uses the environment variable GOOGLE_API_KEY or
        GEMINI_API_KEY, read at each call.
    :param auth: how the key is sent: ``"header"`` (x-goog-api-key), ``"query"``
        (``?key=``), ``"bearer"`` (Authorization), or a tuple of several; an empty
        tuple sends no key.  Or a callable that returns a bearer token; it is called before
        each call, and once more if the server answers 401.
    :param headers: additional headers for every request.
    :param params: additional query parameters for every request.
    :param upload_protocol: how files are uploaded: ``"resumable"`` or ``"multipart"``.
    :param timeout: a pair of seconds: the connect timeout, and the read timeout, which is
        the longest time without data (a model may think for minutes); or one number for
        both.  None disables a timeout.
    :param retry: a `Retry`, or None to send every request only once.
    :param session: a ``requests.Session`` to use; it is never closed.  By default each
        call has a session of its own.
    :param max_event_bytes: the size of the largest event that is accepted, in bytes.
    :raises ConfigurationError: if a value is not valid.

    >>> Endpoint(base_url="https://api.chainhub.tech", auth=("query", "bearer"), api_key="k")
    Endpoint(base_url='https://api.chainhub.tech', api_key=***, auth=('query', 'bearer'))
    """

    base_url: str = GOOGLE
    api_version: str = "v1beta"
    api_key: Optional[str] = None
    auth: Auth = "header"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    upload_protocol: str = "resumable"
    timeout: Timeout = (10, 600)
    retry: Optional[Retry] = Retry()
    session: Any = None
    max_event_bytes: int = 256 * 2**20

    @classmethod
    def vertex(cls, project: str, location: str, token: Token, **fields: Any) -> "Endpoint":
        """Return the endpoint of Vertex AI for a project and a location.

        :param project: the project's ID.
        :param location: such as ``"europe-west4"``, or ``"global"``.
        :param token: a short-lived OAuth token, or a callable that returns a fresh one; it
            is called before each call, and once more if the server answers 401.
        :param fields: any other argument of `Endpoint`.
        :raises ConfigurationError: if a value is not valid.

        >>> Endpoint.vertex("my-project", "global", lambda: "a fresh token").base_url
        'https://aiplatform.googleapis.com'
        """
        for name, value in (("project", project), ("location", location)):
            # Google Cloud's names have no capitals and tokens do, so this notices swapped arguments.
            if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9.:-]{1,80}", value):
                raise ConfigurationError(f"{name} must be a name as Google Cloud shows it, {got(value)}")
        host = "aiplatform" if location == "global" else f"{location}-aiplatform"
        settings: Dict[str, Any] = {
            "base_url": f"https://{host}.googleapis.com",
            "api_version": f"v1/projects/{project}/locations/{location}/publishers/google",
            **({"auth": token} if callable(token) else {"auth": "bearer", "api_key": _checked_secret(token)}),
            **fields,
        }
        return cls(**settings)

    def __post_init__(self) -> None:
        def fix(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)  # the dataclass is frozen

        fix("api_version", _checked_version(self.api_version))
        fix("base_url", _checked_base_url(self.base_url, self.api_version, self.session))
        if self.api_key is not None:
            fix("api_key", _checked_secret(self.api_key))
        if isinstance(self.auth, list):
            fix("auth", tuple(self.auth))
        if self.auth is None:
            fix("auth", ())
        known = callable(self.auth) or isinstance(self.auth, (str, tuple))
        if not known or not all(way in _WAYS for way in self.ways):
            raise ConfigurationError(
                f"auth= must be one or several of {_WAYS}, or a callable, {got(self.auth)}; "
                "pass the key as api_key="
            )
        for name in ("headers", "params"):
            fix(name, _checked_strings(name, getattr(self, name)))
        if self.upload_protocol not in ("resumable", "multipart"):
            raise ConfigurationError(
                f"upload_protocol= must be 'resumable' or 'multipart', {got(self.upload_protocol)}"
            )
        for seconds in self.timeouts:
            if seconds is not None and (not is_number(seconds) or not 0 < seconds <= MOST_SECONDS):
                raise ConfigurationError(
                    f"timeout= must be a number of seconds > 0, a pair of them, or None, {got(seconds)}"
                )
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ConfigurationError(f"retry= must be a Retry or None, {got(self.retry)}")
        if self.session is not None and not hasattr(self.session, "prepare_request"):
            raise ConfigurationError(f"session= must be a requests.Session, {got(self.session)}")
        if not is_whole(self.max_event_bytes) or self.max_event_bytes < 1:
            raise ConfigurationError(f"max_event_bytes= must be an integer >= 1, {got(self.max_event_bytes)}")

    def __repr__(self) -> str:
        shown = [f"base_url={self.base_url!r}"]
        plain = Endpoint.__dataclass_fields__
        for name in ("api_version", "upload_protocol", "timeout", "retry", "max_event_bytes"):
            value = getattr(self, name)
            if value != plain[name].default:
                hidden = name == "api_version" and not _shows_no_secret.fullmatch(value)
                shown.append(f"{name}={'***' if hidden else repr(value)}")
        if self.api_key is not None:
            shown.append("api_key=***")
        if callable(self.auth):
            shown.append("auth=<callable>")
        elif self.auth != "header":
            shown.append(f"auth={self.auth!r}")
        for name in ("headers", "params"):  # their values may be credentials
            if getattr(self, name):
                names = (f"{_name_shown(key)}: ***" for key in getattr(self, name))
                shown.append(f"{name}={{{', '.join(names)}}}")
        if self.session is not None:
            shown.append("session=<given>")
        return f"Endpoint({', '.join(shown)})"

    @property
    def ways(self) -> Tuple[str, ...]:
        """How the credential is sent, as a tuple (see ``auth``)."""
        if callable(self.auth):
            return ("bearer",)
        return (self.auth,) if isinstance(self.auth, str) else tuple(self.auth)

    @property
    def timeouts(self) -> Tuple[Optional[float], Optional[float]]:
        """The connect timeout and the read timeout, in seconds."""
        if isinstance(self.timeout, (tuple, list)):
            if len(self.timeout) != 2:
                raise ConfigurationError(f"timeout= must be one number or two, got {len(self.timeout)}")
            return self.timeout[0], self.timeout[1]
        return self.timeout, self.timeout

    def url(self, path: str, params: Optional[Mapping[str, str]] = None) -> str:
        """Return the URL of ``path`` below the API version, without credentials."""
        return self._with_query((self.base_url, self.api_version, path), params)

    def model_url(self, model: str, method: str, params: Optional[Mapping[str, str]] = None) -> str:
        """Return the URL of a model's method, such as ``streamGenerateContent``.

        :param model: a short name (``gemini-2.5-flash``, a gateway's ``openai/gpt-4o``)
            or a resource name (``models/…``, ``tunedModels/…``).
        :raises ConfigurationError: if ``model`` is not a valid name.
        """
        return self.url(f"{quote(self.model_path(model), safe='/:@')}:{method}", params)

    def model_path(self, model: str) -> str:
        """Return the resource name of a model, such as ``models/gemini-2.5-flash``.

        :raises ConfigurationError: if ``model`` is not a valid name.
        """
        return _checked_model(model)

    @property
    def is_vertex(self) -> bool:
        """Whether the endpoint is Vertex AI, or a gateway with its paths."""
        return "/publishers/" in f"/{self.api_version}/"

    def upload_url(self) -> str:
        """Return the URL that starts an upload to the Files API."""
        return self._with_query((self.base_url, "upload", self.api_version, "files"), None)

    def _with_query(self, path: Tuple[str, ...], params: Optional[Mapping[str, str]]) -> str:
        url = "/".join(filter(None, path))  # the API version may be empty
        given = {name: value for name, value in self.params.items() if not names_a_secret(name)}
        query = urlencode({**given, **(params or {})})
        return f"{url}?{query}" if query else url


def resolve(endpoint: Union[None, str, Endpoint], api_key: Optional[str] = None) -> Endpoint:
    """Return the endpoint of a call with its key filled in.

    :param endpoint: an `Endpoint`, a base URL, or None for the environment variable
        GOOGLE_GEMINI_BASE_URL (default: Google's server).
    :param api_key: overrides the endpoint's key.
    :raises ConfigurationError: if there is no key, or the URL is not valid.
    """
    if endpoint is None:
        endpoint = os.environ.get(BASE_URL_VARIABLE) or GOOGLE
    if isinstance(endpoint, str):
        endpoint, api_key = Endpoint(base_url=endpoint, api_key=api_key), None
    elif not isinstance(endpoint, Endpoint):
        raise ConfigurationError(f"endpoint= must be an Endpoint, a base URL or None, {got(endpoint)}")
    if api_key is not None:
        endpoint = replace(endpoint, api_key=api_key)
    if endpoint.ways and endpoint.api_key is None and not callable(endpoint.auth):
        found = {name: os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)}
        if not found:
            raise ConfigurationError(
                f"no API key: pass api_key= or set {' or '.join(KEY_VARIABLES)}; get a key at {GET_A_KEY}, "
                "use Endpoint(auth=()) for a server without keys, or try the command line with --offline"
            )
        name, key = next(iter(found.items()))
        if len(set(found.values())) > 1:
            warn(f"{' and '.join(found)} are both set and differ; {name} is used", UserWarning)
        endpoint = replace(endpoint, api_key=key)
    if _is_exposed(endpoint.base_url) and (endpoint.ways or given_secrets(endpoint)):
        host = urlsplit(endpoint.base_url).hostname
        warn(f"the API key is sent in clear text to {host}; use https", InsecureEndpointWarning)
    return endpoint


def key_variable(endpoint: Endpoint) -> Optional[str]:
    """Return the name of the environment variable that holds the endpoint's key, or None."""
    if endpoint.api_key is None:  # the token of a callable auth=
        return None
    held = {os.environ.get(name, "").strip(): name for name in reversed(KEY_VARIABLES)}
    return held.get(endpoint.api_key)


def given_secrets(endpoint: Endpoint) -> Set[str]:
    """Return the values of ``headers`` and ``params`` whose names say that they are credentials."""
    given = (*endpoint.headers.items(), *endpoint.params.items())
    return {value for name, value in given if value and names_a_secret(name)}


def credentials(endpoint: Endpoint, token: Optional[str]) -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    """Return the headers and query parameters that carry the credential.

    :param token: the token that a callable ``auth`` returned; None for the endpoint's key.
    :raises ConfigurationError: if the token is not valid.
    """
    secret = _checked_secret(token) if callable(endpoint.auth) else endpoint.api_key
    headers: Dict[str, str] = {}
    query: List[Tuple[str, str]] = []
    for way in endpoint.ways if secret is not None else ():
        assert secret is not None
        if way == "header":
            headers["x-goog-api-key"] = secret
        elif way == "bearer":
            headers["Authorization"] = f"Bearer {secret}"
        else:
            query.append(("key", secret))
    query += [(name, value) for name, value in endpoint.params.items() if names_a_secret(name)]
    return headers, query


# Checks ----------------------------------------------------------------------


def _checked_version(given: Any) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"api_version= must be a path such as 'v1beta', {got(given)}")
    version = given.strip("/")
    # A server or urllib3 would read these as another path or as a query.
    plain = unquote(version)
    odd = re.search(r"[\s\x00-\x1f\x7f?#@\\\ud800-\udfff]", plain) or {"", ".", ".."} & set(plain.split("/"))
    if version and odd:
        raise ConfigurationError(f"api_version= is not a valid path such as 'v1beta', {got(given)}")
    return version


def _checked_base_url(given: Any, api_version: str, session: Any) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"base_url= must be a str, {got(given)}")
    url = given.strip()
    if "@" in url:  # also after a slash, since a password may contain one
        raise ConfigurationError("the base URL contains a user or password; use api_key= or headers=")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises if the port is not valid)
    except ValueError:
        parts = None  # this exception quotes the port, so it must not become the context of ours
    if parts is None:
        raise ConfigurationError("the base URL has no valid host or port; write https://host:port/path")
    if not (parts.scheme in ("http", "https") or _has_an_adapter(session, url)) or not parts.hostname:
        raise ConfigurationError("the base URL must start with http:// or https:// and a host")
    if re.search(r"[\s\x00-\x1f\\\ud800-\udfff]", url):
        raise ConfigurationError(
            "the base URL contains white space, a backslash or a lone surrogate; remove it"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError("the base URL contains a query or fragment; use Endpoint(params=)")
    # Users copy base URLs that include the version; do not repeat it.
    path, version = parts.path.rstrip("/"), f"/{api_version}"
    while path.endswith(version):
        path = path[: -len(version)]
    return parts._replace(path=path).geturl()


def _has_an_adapter(session: Any, url: str) -> bool:
    """Whether the session supports a scheme that requests does not, such as Unix sockets."""
    try:
        return hasattr(session, "get_adapter") and bool(session.get_adapter(url))
    except ValueError:  # requests' InvalidSchema
        return False


def _checked_secret(given: Any) -> str:
    """Return the key without a newline from a file or a shell; errors never show the key."""
    if not isinstance(given, str):
        raise ConfigurationError(
            f"an API key or token must be a str, got a value of type {type(given).__name__}"
        )
    secret = given.strip()
    if not secret or not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise ConfigurationError(
            f"the API key or token is empty; pass a key, or get one at {GET_A_KEY}"
            if not secret
            else "the API key or token contains white space or characters that are not ASCII; copy it again"
        )
    return secret


# The characters that can be sent in a header and in a query:
# https://www.rfc-editor.org/rfc/rfc9110#name-field-values
_sendable = {"headers": re.compile(r"[\t -~\x80-\xff]*"), "params": re.compile(r"[^\r\n\ud800-\udfff]*")}


def _checked_strings(name: str, mapping: Any) -> Dict[str, str]:
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"{name}= must be a mapping, {got(mapping)}")
    checked = {}
    for key, value in mapping.items():
        texts = isinstance(key, str) and isinstance(value, str)
        if not texts or not _sendable[name].fullmatch(key + value):
            raise ConfigurationError(
                f"{name}= must map names to values, both of type str on one line; see {_name_shown(key)}"
            )
        # https://www.rfc-editor.org/rfc/rfc9110#name-tokens
        if name == "headers" and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", key):
            raise ConfigurationError(
                f"headers= contains {_name_shown(key)}, which is not a valid HTTP header name"
            )
        checked[key] = value.strip() if name == "headers" else value
    return checked


def _name_shown(name: Any) -> str:
    """Return the name of a header or parameter, or ``***`` if it may be a secret in the wrong place."""
    return repr(name) if isinstance(name, str) and _shows_no_secret.fullmatch(name) else "***"


def _checked_model(model: Any) -> str:
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(f"model must be a name such as 'gemini-2.5-flash', {got(model)}")
    model = model.strip().strip("/")
    if re.search(r"[\s\x00-\x1f?#\\\ud800-\udfff]", model) or {"", ".", ".."} & set(model.split("/")):
        raise ConfigurationError(f"model is not a valid name such as 'gemini-2.5-flash', {got(model)}")
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def _is_exposed(base_url: str) -> bool:
    """Whether the URL is plain http to another machine."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    local = host == "localhost" or host.endswith(".localhost") or host == "::1"
    return parts.scheme == "http" and not local and not re.fullmatch(r"127(\.\d{1,3}){3}", host)
