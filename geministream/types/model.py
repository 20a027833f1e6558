"""Models, and the token count of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from .codec import Message

if TYPE_CHECKING:  # only the annotation needs it
    from .response import ModalityTokenCount


@dataclass(repr=False, eq=False)
class Model(Message):
    """A model that the server offers (https://ai.google.dev/api/models).

    :ivar name: the resource name, "models/…".
    :ivar base_model_id: the name for a request, such as "gemini-2.5-flash".
    :ivar input_token_limit: the maximum number of tokens of a prompt.
    :ivar output_token_limit: the maximum number of tokens of an answer.
    :ivar supported_generation_methods: such as "generateContent", which includes streaming.
    :ivar thinking: whether the model can think.
    :ivar temperature: the default, as are ``top_p`` and ``top_k``.
    """

    name: Optional[str] = None
    base_model_id: Optional[str] = None
    version: Optional[str] = None
    display_name: Optional[str] = None
    description: Optional[str] = None
    input_token_limit: Optional[int] = None
    output_token_limit: Optional[int] = None
    supported_generation_methods: Optional[List[str]] = None
    thinking: Optional[bool] = None
    temperature: Optional[float] = None
    max_temperature: Optional[float] = None
    top_p: Optional[float] = None
    top_k: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class CountTokensResponse(Message):
    """The token count of a request (https://ai.google.dev/api/tokens).

    :ivar total_tokens: the tokens of the entire prompt, including cached content.
    :ivar cached_content_token_count: the tokens of the cached content.
    :ivar total_billable_characters: sent only by Vertex AI.
    """

    total_tokens: Optional[int] = None
    cached_content_token_count: Optional[int] = None
    prompt_tokens_details: Optional[List[ModalityTokenCount]] = None
    cache_tokens_details: Optional[List[ModalityTokenCount]] = None
    total_billable_characters: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)
