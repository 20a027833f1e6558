"""`stream_generate` and `generate`: a model's answer, as chunks or as one response."""

from functools import partial
from typing import Any, Iterator, Mapping, Optional, Union

from .cancel import Cancel, check_limits
from .endpoint import Endpoint, resolve
from .errors import ConfigurationError
from .parts import ContentsLike
from .request import (
    GenerationConfigLike,
    RequestBody,
    SafetySettingsLike,
    ToolConfigLike,
    ToolsLike,
    request_fields,
)
from .types import GenerateContentResponse


def stream_generate(
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
    alt: str = "sse",
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
    continue_automatically: bool = True,
    continuation_token: Optional[str] = None,
    resume_with_repeats: bool = False,
) -> Iterator[GenerateContentResponse]:
    """Stream a model's answer and yield each chunk as it arrives.

    The arguments are checked at the call; the request is sent at the first ``next()``.
    Closing the generator, or leaving its loop, closes the connection.

    :param model: such as ``"gemini-2.5-flash"``, ``"tunedModels/mine"`` or a gateway's model name.
    :param contents: a str, a ``pathlib.Path``, a Part, File, Content or mapping, or a list of these.
    :param system_instruction: a str, or anything else that makes one content.
    :param generation_config: a `GenerationConfig` or a mapping.
    :param safety_settings: a list of `SafetySetting` or mappings.
    :param tools: a list of `Tool`, `FunctionDeclaration`, callables or mappings.
    :param tool_config: a `ToolConfig` or a mapping.
    :param cached_content: the resource name of cached content.
    :param extra_body: arbitrary JSON fields, merged into the request's JSON.
    :param alt: the framing to request: ``"sse"``, or ``"json"`` for the chunked array.  A
        response in either framing is accepted.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param deadline: seconds for the entire call from the first ``next()``, including retries.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the call from another thread.
    :param continue_automatically: whether to send further requests if an answer is too long
        for one request.
    :param continuation_token: resume an earlier answer to the same request from this token.
    :param resume_with_repeats: resume a truncated stream from its last token even if content
        came after that token; the model then generates that content again, in other words.
    :returns: a generator of `GenerateContentResponse`.
    :raises ConfigurationError: at the call, if an argument is not valid.
    :raises GeministreamError: from the generator, after all chunks that were complete:
        `APIError` if the server returns an error, `TransportError` if there is no answer,
        `IncompleteStreamError` if the answer is truncated, `StreamTimeoutError`,
        `StreamDecodeError` or `StreamCancelled`.

    >>> for chunk in stream_generate("gemini-2.5-flash", "Hello"):    # doctest: +SKIP
    ...     print(chunk.text, end="")
    """
    fields = request_fields(locals())
    endpoint = resolve(endpoint, api_key)
    if alt not in ("sse", "json"):
        raise ConfigurationError(f"alt= must be 'sse' or 'json', got {alt!r}")
    check_limits(deadline, cancel)
    if continuation_token is not None and not isinstance(continuation_token, str):
        raise ConfigurationError(f"continuation_token= must be a str, got {continuation_token!r}")
    url = endpoint.model_url(model, "streamGenerateContent", {"alt": "sse"} if alt == "sse" else None)
    body = RequestBody(contents, **fields)
    # Imported here because importing requests is most of the startup time of a short program.
    from .answer import answer_chunks
    from .transport import Call

    call = partial(Call, endpoint, deadline=deadline, cancel=cancel)
    return answer_chunks(call, url, body, continuation_token, continue_automatically, resume_with_repeats)


def generate(
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
    alt: str = "sse",
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
    continue_automatically: bool = True,
    continuation_token: Optional[str] = None,
    resume_with_repeats: bool = False,
) -> GenerateContentResponse:
    """Return a model's complete answer: ``collect(stream_generate(...))``.

    The answer is streamed, so a long one does not time out; a truncated one raises.
    The arguments are those of `stream_generate`.

    :returns: the merged `GenerateContentResponse`.
    :raises ConfigurationError: if an argument is not valid.
    :raises GeministreamError: as `stream_generate`; its ``partial`` is the answer so far.

    >>> print(generate("gemini-flash-latest", "Hello").text)    # doctest: +SKIP
    """
    chunks = stream_generate(**locals())
    from .merging import collect

    return collect(chunks)
