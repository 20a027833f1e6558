"""`stream_generate` and `generate`: a model's answer, chunk by chunk or whole."""

from functools import partial
from typing import Any, Iterator, Mapping, Optional, Union

from .cancel import Cancel
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
from .retry import MOST_SECONDS
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
    """Stream a model's answer, chunk by chunk, as the chunks arrive.

    The arguments are checked now; the network is touched at the first
    ``next()``.  Closing the generator, or leaving its loop, closes the connection.

    :param model: such as ``"gemini-2.5-flash"``, ``"tunedModels/mine"`` or a gateway's name.
    :param contents: a text, a ``pathlib.Path``, a Part, File, Content or mapping, or a list of these.
    :param system_instruction: a text, or anything that makes one content.
    :param generation_config: a `GenerationConfig` or a mapping.
    :param safety_settings: a list of `SafetySetting` or mappings.
    :param tools: a list of `Tool`, `FunctionDeclaration`, callables or mappings.
    :param tool_config: a `ToolConfig` or a mapping.
    :param cached_content: the name of cached content.
    :param extra_body: laid over the request's JSON as it is, for what this library does not know.
    :param alt: the framing to ask for: ``"sse"``, or ``"json"`` for the chunked
        array.  Whatever the server then sends is read.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
    :param api_key: replaces the endpoint's.
    :param deadline: seconds for the whole call from the first ``next()``, retries included.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the call from another thread.
    :param continue_automatically: ask on when an answer is longer than one request may give.
    :param continuation_token: start from this token of an earlier answer to the same request.
    :param resume_with_repeats: resume a broken stream from its last token even
        where content came after it, which the model then says again in other words.
    :returns: a generator of `GenerateContentResponse`.
    :raises ConfigurationError: at the call, for arguments that cannot work.
    :raises GeministreamError: from the generator, see ``errors.py`` for the tree;
        always after every chunk that was whole.

    >>> for chunk in stream_generate("gemini-2.5-flash", "Hello"):    # doctest: +SKIP
    ...     print(chunk.text, end="")
    """
    fields = request_fields(locals())
    endpoint = resolve(endpoint, api_key)
    if alt not in ("sse", "json"):
        raise ConfigurationError(f"alt= is 'sse' or 'json', not {alt!r}")
    check_limits(deadline, cancel)
    if continuation_token is not None and not isinstance(continuation_token, str):
        raise ConfigurationError(f"continuation_token= is a text, not {continuation_token!r}")
    url = endpoint.model_url(model, "streamGenerateContent", {"alt": "sse"} if alt == "sse" else None)
    body = RequestBody(contents, **fields)
    # What talks to the network is loaded now: importing requests takes most of a short program's start.
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
    """Return a model's whole answer: ``collect(stream_generate(...))``.

    The answer is streamed, so a long one does not time out, and a truncated one raises.
    All arguments are those of `stream_generate`.

    :raises ConfigurationError: if an argument is not valid.
    :raises GeministreamError: as `stream_generate`; ``partial`` is what had arrived.

    >>> print(generate("gemini-flash-latest", "Hello").text)    # doctest: +SKIP
    """
    chunks = stream_generate(**locals())
    from .merging import collect

    return collect(chunks)


def check_limits(deadline: Any, cancel: Any) -> None:
    """Raise ConfigurationError unless these can end a call."""
    if deadline is not None and (
        isinstance(deadline, bool)
        or not isinstance(deadline, (int, float))
        or not 0 < deadline <= MOST_SECONDS
    ):
        raise ConfigurationError(f"deadline= is seconds above 0, not {deadline!r}")
    if cancel is not None and not isinstance(cancel, Cancel):
        raise ConfigurationError(f"cancel= is a Cancel, not {cancel!r}")
