"""The systems that the server can imitate: their paths, credentials and behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

from .answers import Answer
from .wire import Head

Check = Callable[[Head, str], Optional[Answer]]


NO_TOKEN = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid authentication credential."
)


def bearer(head: Head) -> Optional[str]:
    """The token of ``Authorization: Bearer TOKEN``."""
    scheme, _, token = head.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _google(head: Head, key: str) -> Optional[Answer]:
    given = head.headers.get("x-goog-api-key") or head.query.get("key")
    if given is None:
        if "authorization" in head.headers:
            return _unauthenticated(NO_TOKEN, "ACCESS_TOKEN_TYPE_UNSUPPORTED")
        return Answer.failure(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API.",
        )
    if given != key:
        return Answer.failure(
            400,
            "API key not valid. Please pass a valid API key.",
            details=[
                _error_info("API_KEY_INVALID"),
                {
                    "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                    "locale": "en-US",
                    "message": "API key not valid. Please pass a valid API key.",
                },
            ],
        )
    return None


def _chainhub(head: Head, key: str) -> Optional[Answer]:
    if head.query.get("key") == key and bearer(head) == key:
        return None
    return _unauthenticated("The key must be given both as ?key= and as a bearer token.")


def _bifrost(head: Head, key: str) -> Optional[Answer]:
    # A key is optional, but a wrong one is rejected.
    given = head.headers.get("x-goog-api-key") or bearer(head) or key
    return None if given == key else _unauthenticated("The virtual key is not known.")


def _vertex(head: Head, key: str) -> Optional[Answer]:
    if key in (bearer(head), head.headers.get("x-goog-api-key"), head.query.get("key")):
        return None  # a token, or in express mode an API key
    return _unauthenticated(NO_TOKEN, "ACCESS_TOKEN_EXPIRED" if bearer(head) else "CREDENTIALS_MISSING")


def _gateway(head: Head, key: str) -> Optional[Answer]:
    if key in (head.headers.get("x-goog-api-key"), head.query.get("key")):
        return None
    return _unauthenticated("Invalid API key.")


def _unauthenticated(message: str, reason: Optional[str] = None) -> Answer:
    details = [_error_info(reason)] if reason else None
    return Answer.failure(401, message, details=details, headers={"WWW-Authenticate": 'Bearer realm="local"'})


def _error_info(reason: str) -> Dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


@dataclass(frozen=True)
class Profile:
    """One system's rules."""

    name: str
    #: The beginning of every path, before the version.
    prefix: str
    check_key: Check
    #: The `auth` of a geministream Endpoint.
    auth: Tuple[str, ...]
    #: The supported upload protocols: "resumable", "multipart".
    uploads: Tuple[str, ...] = ()
    newline: bytes = b"\r\n"
    #: Sends server-sent events even without `alt=sse`.
    always_sse: bool = False
    #: Unknown fields of a request are errors.
    strict: bool = True
    #: A model's name may contain slashes, such as openai/gpt-4o.
    any_model: bool = False
    #: Models are under /v1/projects/…/locations/…/publishers/google/.
    long_paths: bool = False


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("google", "", _google, ("header",), uploads=("resumable",)),
        Profile("chainhub", "", _chainhub, ("query", "bearer"), newline=b"\n", strict=False, any_model=True),
        Profile(
            "bifrost",
            "/genai",
            _bifrost,
            ("header",),
            uploads=("multipart",),
            newline=b"\n",
            always_sse=True,
            strict=False,
            any_model=True,
        ),
        Profile("vertex", "", _vertex, ("bearer",), long_paths=True),
        Profile(
            "gateway",
            "",
            _gateway,
            ("header",),
            uploads=("resumable", "multipart"),
            newline=b"\n",
            strict=False,
            any_model=True,
        ),
    )
}


def endpoint_of(profile: Profile, url: str, key: str) -> Any:
    """A geministream `Endpoint` for a server of this profile, with short retry delays."""
    from ..endpoint import Endpoint, Retry

    common: Dict[str, Any] = {"timeout": (5, 30), "retry": Retry(initial_delay=0.01, max_delay=1.0)}
    base_url = url + profile.prefix
    if profile.long_paths:
        return Endpoint.vertex("local-project", "global", key, base_url=base_url, **common)
    auth = profile.auth[0] if len(profile.auth) == 1 else profile.auth
    if profile.uploads and "resumable" not in profile.uploads:
        common["upload_protocol"] = profile.uploads[0]
    return Endpoint(base_url=base_url, api_key=key, auth=auth, **common)
