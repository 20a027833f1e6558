"""Models, and how many tokens a request has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from .codec import Message

if TYPE_CHECKING:  # only the annotation needs it
    from .response import ModalityTokenCount


@dataclass(repr=False, eq=False)
class Model(Message):
    """A model that the server offers (https://ai.google.dev/api/models).

    :ivar name: "models/…", its resource name.
    :ivar base_model_id: what a request names, such as "gemini-2.5-flash".
    :ivar input_token_limit: the most tokens of a prompt.
    :ivar output_token_limit: the most tokens of an answer.
    :ivar supported_generation_methods: such as "generateContent"; streaming comes with it.
    :ivar thinking: whether the model thinks.
    :ivar temperature: the default; as are ``top_p`` and ``top_k``.
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
    """How many tokens a request has (https://ai.google.dev/api/tokens).

    :ivar total_tokens: of the whole prompt, cached content included.
    :ivar cached_content_token_count: those of the cached content.
    :ivar total_billable_characters: told by Vertex AI alone.
    """

    total_tokens: Optional[int] = None
    cached_content_token_count: Optional[int] = None
    prompt_tokens_details: Optional[List[ModalityTokenCount]] = None
    cache_tokens_details: Optional[List[ModalityTokenCount]] = None
    total_billable_characters: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)
