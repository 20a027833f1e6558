"""What the requests of a batch have in common, and how one item of ``requests`` fills it in."""

from collections.abc import Mapping as AnyMapping
from typing import Any, Dict, Mapping, Optional, Tuple

from ..endpoint import Endpoint
from ..errors import ConfigurationError
from ..request import FIELDS, RequestBody
from ..types.codec import shorten, wire_name

# The fields of a request mapping: those arguments of stream_generate() that make up a request.
_FIELDS = ("model", "contents", *FIELDS, "continuation_token")
_NAMES = {spelling: name for name in _FIELDS for spelling in (name, wire_name(name))}


class Template:
    """The endpoint, the framing and the default fields of a batch's requests."""

    def __init__(self, endpoint: Endpoint, alt: str, defaults: Mapping[str, Any]) -> None:
        self._endpoint = endpoint
        self._params = {"alt": "sse"} if alt == "sse" else None
        self._defaults = defaults

    def fill(self, request: Any) -> Tuple[str, RequestBody, Optional[str]]:
        """Return the URL, the body and the continuation token of one item of ``requests``.

        :raises ConfigurationError: if it is not a valid request.
        """
        fields = {**self._defaults, **_fields_of(request)}
        model, token = fields.pop("model"), fields.pop("continuation_token", None)
        if model is None:
            raise ConfigurationError("no model; pass model= to generate_many(), or 'model' in the request")
        if "contents" not in fields:
            raise ConfigurationError("the request has no 'contents'; add them")
        if token is not None and not isinstance(token, str):
            raise ConfigurationError(f"continuation_token must be a str, got {shorten(token)}")
        url = self._endpoint.model_url(model, "streamGenerateContent", self._params)
        return url, RequestBody(fields.pop("contents"), **fields), token


def _fields_of(request: Any) -> Dict[str, Any]:
    if not isinstance(request, AnyMapping) or not (request.keys() & _NAMES.keys()):
        return {"contents": request}
    unknown = [name for name in request if name not in _NAMES]
    if unknown:
        raise ConfigurationError(
            f"a request has no field {unknown[0]!r}; its fields are {', '.join(_FIELDS)}; "
            "put any other field into extra_body"
        )
    # A null in a line of JSON means the same as a missing field.
    return {_NAMES[name]: value for name, value in request.items() if value is not None}
