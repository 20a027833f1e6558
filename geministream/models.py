"""The models that a server offers, and the number of tokens of a request."""

import re
from typing import Any, Dict, Iterator, Mapping, Optional, Union

from .cancel import Cancel, check_limits
from .endpoint import Endpoint, resolve
from .errors import ConfigurationError, StreamDecodeError
from .parts import ContentsLike
from .request import (
    GenerationConfigLike,
    RequestBody,
    SafetySettingsLike,
    ToolConfigLike,
    ToolsLike,
    request_fields,
)
from .transport import Call
from .transport.resources import get_object, pages, read_object, with_retries
from .types import CountTokensResponse, Model


def count_tokens(
    model: str,
    contents: ContentsLike,
    *,
    system_instruction: Optional[ContentsLike] = None,
    generation_config: GenerationConfigLike = None,
    safety_settings: SafetySettingsLike = None,
    tools: ToolsLike = None,
    tool_config: ToolConfigLike = None,
    cached_content: Optional[str] = None,
    extra_body: Optional[Mapping[str, Any]] = None,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> CountTokensResponse:
    """Count the tokens of a request without generating an answer.

    The arguments are those of `stream_generate`: pass the same ones to count that request.

    :returns: a `CountTokensResponse`; its ``total_tokens`` is the number.
    :raises ConfigurationError: if an argument is not valid.
    :raises GeministreamError: if the request fails, also after its retries.

    >>> count_tokens("gemini-flash-latest", "Hello").total_tokens    # doctest: +SKIP
    2
    """
    fields = request_fields(locals())
    endpoint = resolve(endpoint, api_key)
    check_limits(deadline, cancel)
    url = endpoint.model_url(model, "countTokens")
    body = _count_request(endpoint, model, contents, fields)
    headers = {"Content-Type": "application/json"}
    with Call(endpoint, deadline=deadline, cancel=cancel) as call:
        answer = with_retries(call, lambda: read_object(call.send("POST", url, headers=headers, body=body)))
    return CountTokensResponse.from_dict(answer)


def _count_request(endpoint: Endpoint, model: str, contents: Any, fields: Dict[str, Any]) -> bytes:
    if all(value is None for value in fields.values()) or endpoint.is_vertex:
        return RequestBody(contents, **fields).with_token(None)
    # Google's API accepts the other fields only inside a complete request, which names its model:
    # https://ai.google.dev/api/tokens#request-body
    fields["extra_body"] = {"model": endpoint.model_path(model), **(fields["extra_body"] or {})}
    return b'{"generateContentRequest":%s}' % RequestBody(contents, **fields).with_token(None)


def list_models(
    *,
    page_size: int = 1000,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> Iterator[Model]:
    """Yield all models that the server offers; a page is requested when the loop reaches it.

    The arguments are checked at the call; the first request is sent at the first ``next()``.

    :param page_size: the number of models per request; Google sends at most 1000.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param deadline: seconds for all pages together.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the call from another thread.
    :returns: a generator of `Model`.
    :raises ConfigurationError: at the call, if an argument is not valid.
    :raises GeministreamError: from the generator, if a request fails, also after its retries.

    >>> for model in list_models():    # doctest: +SKIP
    ...     print(model.name, model.input_token_limit)
    """
    endpoint = resolve(endpoint, api_key)
    check_limits(deadline, cancel)
    if isinstance(page_size, bool) or not isinstance(page_size, int) or page_size < 1:
        raise ConfigurationError(f"page_size= must be an integer >= 1, got {page_size!r}")
    return _models(endpoint, page_size, deadline, cancel)


def _models(
    endpoint: Endpoint, page_size: int, deadline: Optional[float], cancel: Optional[Cancel]
) -> Iterator[Model]:
    def url(params: Mapping[str, str]) -> str:
        listing = endpoint.url("models", params)
        # Vertex AI lists a publisher's models outside any project, in its beta version:
        # https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models/list
        return re.sub(r"/v1/projects/[^/]+/locations/[^/]+/publishers/", "/v1beta1/publishers/", listing)

    with Call(endpoint, deadline=deadline, cancel=cancel) as call:
        for page in pages(call, url, page_size):
            models = page.get("models", page.get("publisherModels"))
            for fields in models if isinstance(models, list) else ():
                yield Model.from_dict(fields)


def get_model(
    name: str,
    *,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> Model:
    """Return a model's metadata.

    :param name: such as ``"gemini-2.5-flash"`` or ``"models/gemini-2.5-flash"``.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param deadline: seconds for the entire call, including retries.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the call from another thread.
    :raises NotFoundError: if the server does not have this model.
    :raises ConfigurationError: if an argument is not valid.
    :raises GeministreamError: if the request fails, also after its retries.

    >>> get_model("gemini-2.5-flash").input_token_limit    # doctest: +SKIP
    1048576
    """
    endpoint = resolve(endpoint, api_key)
    check_limits(deadline, cancel)
    url = endpoint.url(endpoint.model_path(name))
    with Call(endpoint, deadline=deadline, cancel=cancel) as call:
        fields = get_object(call, url)
    if not fields:
        raise StreamDecodeError("the answer is empty; check that the endpoint has this model")
    return Model.from_dict(fields)
