"""The fields of a request, except its contents.

If the library does not use an object itself (a JSON schema, the settings of a built-in tool),
its field takes a plain dict, which is sent unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Message
from .content import Content


class Behavior:
    """Whether the model waits for the function's response."""

    UNSPECIFIED = "UNSPECIFIED"
    BLOCKING = "BLOCKING"
    NON_BLOCKING = "NON_BLOCKING"


class FunctionCallingConfigMode:
    """Whether the model may, must or must not call functions."""

    MODE_UNSPECIFIED = "MODE_UNSPECIFIED"
    AUTO = "AUTO"
    ANY = "ANY"
    NONE = "NONE"
    VALIDATED = "VALIDATED"


class HarmBlockMethod:
    """The measure that is compared with a threshold."""

    HARM_BLOCK_METHOD_UNSPECIFIED = "HARM_BLOCK_METHOD_UNSPECIFIED"
    SEVERITY = "SEVERITY"
    PROBABILITY = "PROBABILITY"


class HarmBlockThreshold:
    """The lowest rating that is blocked."""

    HARM_BLOCK_THRESHOLD_UNSPECIFIED = "HARM_BLOCK_THRESHOLD_UNSPECIFIED"
    BLOCK_LOW_AND_ABOVE = "BLOCK_LOW_AND_ABOVE"
    BLOCK_MEDIUM_AND_ABOVE = "BLOCK_MEDIUM_AND_ABOVE"
    BLOCK_ONLY_HIGH = "BLOCK_ONLY_HIGH"
    BLOCK_NONE = "BLOCK_NONE"
    OFF = "OFF"


class MediaResolution:
    """The resolution at which all media of a request is read."""

    MEDIA_RESOLUTION_UNSPECIFIED = "MEDIA_RESOLUTION_UNSPECIFIED"
    MEDIA_RESOLUTION_LOW = "MEDIA_RESOLUTION_LOW"
    MEDIA_RESOLUTION_MEDIUM = "MEDIA_RESOLUTION_MEDIUM"
    MEDIA_RESOLUTION_HIGH = "MEDIA_RESOLUTION_HIGH"


class Modality:
    """The kind of an answer."""

    MODALITY_UNSPECIFIED = "MODALITY_UNSPECIFIED"
    TEXT = "TEXT"
    IMAGE = "IMAGE"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"


class ThinkingLevel:
    """The amount of thinking."""

    THINKING_LEVEL_UNSPECIFIED = "THINKING_LEVEL_UNSPECIFIED"
    MINIMAL = "MINIMAL"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    XHIGH = "XHIGH"


@dataclass(repr=False, eq=False)
class GenerateContentRequest(Message):
    """The body of a request.

    :ivar cached_content: the resource name of cached content, "cachedContents/…".
    :ivar continuation_token: opaque; the token of the answer to continue.
    :ivar labels: your own names and values, which appear in the bill.
    """

    contents: Optional[List[Content]] = None
    system_instruction: Optional[Content] = None
    generation_config: Optional[GenerationConfig] = None
    tools: Optional[List[Tool]] = None
    tool_config: Optional[ToolConfig] = None
    safety_settings: Optional[List[SafetySetting]] = None
    cached_content: Optional[str] = None
    continuation_token: Optional[str] = None
    service_tier: Optional[str] = None
    store: Optional[bool] = None
    labels: Optional[Dict[str, str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GenerationConfig(Message):
    """The settings of an answer.

    :ivar max_output_tokens: the maximum number of tokens, including thoughts.
    :ivar response_mime_type: "text/plain", "application/json" or "text/x.enum".
    :ivar response_json_schema: a JSON Schema that the answer must follow.
    :ivar response_schema: the same as an API ``Schema`` (a subset of OpenAPI's).
    :ivar response_modalities: a list of `Modality`.
    :ivar media_resolution: one of `MediaResolution`.
    :ivar logprobs: the number of most likely tokens to return for each token.
    """

    temperature: Optional[float] = None
    top_p: Optional[float] = None
    top_k: Optional[float] = None
    max_output_tokens: Optional[int] = None
    stop_sequences: Optional[List[str]] = None
    candidate_count: Optional[int] = None
    seed: Optional[int] = None
    thinking_config: Optional[ThinkingConfig] = None
    response_mime_type: Optional[str] = None
    response_json_schema: Optional[Any] = None
    response_schema: Optional[Dict[str, Any]] = None
    response_json_schema_ordered: Optional[Any] = None
    response_format: Optional[List[Dict[str, Any]]] = None
    response_modalities: Optional[List[str]] = None
    presence_penalty: Optional[float] = None
    frequency_penalty: Optional[float] = None
    response_logprobs: Optional[bool] = None
    logprobs: Optional[int] = None
    media_resolution: Optional[str] = None
    speech_config: Optional[SpeechConfig] = None
    image_config: Optional[ImageConfig] = None
    audio_timestamp: Optional[bool] = None
    audio_transcription_config: Optional[Dict[str, Any]] = None
    translation_config: Optional[Dict[str, Any]] = None
    routing_config: Optional[Dict[str, Any]] = None
    model_selection_config: Optional[Dict[str, Any]] = None
    enable_affective_dialog: Optional[bool] = None
    enable_enhanced_civic_answers: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ThinkingConfig(Message):
    """The amount of thinking, and whether the answer includes the thoughts.

    :ivar thinking_budget: tokens; 0 disables thinking, -1 lets the model decide.
    :ivar thinking_level: one of `ThinkingLevel`; a model accepts a level or a budget, not both.
    """

    include_thoughts: Optional[bool] = None
    thinking_budget: Optional[int] = None
    thinking_level: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ImageConfig(Message):
    """The format of generated images.

    :ivar aspect_ratio: such as "16:9".
    :ivar image_size: such as "1K", "2K" or "4K".
    """

    aspect_ratio: Optional[str] = None
    image_size: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpeechConfig(Message):
    """The voice and language of generated speech.

    :ivar language_code: BCP 47, such as "en-US".
    """

    voice_config: Optional[VoiceConfig] = None
    multi_speaker_voice_config: Optional[MultiSpeakerVoiceConfig] = None
    language_code: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class VoiceConfig(Message):
    """One voice."""

    prebuilt_voice_config: Optional[PrebuiltVoiceConfig] = None
    replicated_voice_config: Optional[Dict[str, Any]] = None
    voice: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class PrebuiltVoiceConfig(Message):
    """One of the server's voices.

    :ivar voice_name: such as "Kore".
    """

    voice_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MultiSpeakerVoiceConfig(Message):
    """The voices of a dialogue."""

    speaker_voice_configs: Optional[List[SpeakerVoiceConfig]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpeakerVoiceConfig(Message):
    """The voice of one speaker of a dialogue.

    :ivar speaker: the speaker's name in the prompt.
    """

    speaker: Optional[str] = None
    voice_config: Optional[VoiceConfig] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SafetySetting(Message):
    """The threshold at which one category of harm is blocked.

    :ivar category: one of `HarmCategory`.
    :ivar threshold: one of `HarmBlockThreshold`.
    :ivar method: one of `HarmBlockMethod`.
    """

    category: Optional[str] = None
    threshold: Optional[str] = None
    method: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Tool(Message):
    """Functions or one of the server's own tools that the model may use.

    The server's tools take a dict of their settings, which may be empty, as in
    ``Tool(google_search={})``.
    """

    function_declarations: Optional[List[FunctionDeclaration]] = None
    google_search: Optional[Dict[str, Any]] = None
    url_context: Optional[Dict[str, Any]] = None
    code_execution: Optional[Dict[str, Any]] = None
    google_maps: Optional[Dict[str, Any]] = None
    file_search: Optional[Dict[str, Any]] = None
    computer_use: Optional[Dict[str, Any]] = None
    mcp_servers: Optional[List[Dict[str, Any]]] = None
    retrieval: Optional[Dict[str, Any]] = None
    google_search_retrieval: Optional[Dict[str, Any]] = None
    enterprise_web_search: Optional[Dict[str, Any]] = None
    parallel_ai_search: Optional[Dict[str, Any]] = None
    exa_ai_search: Optional[Dict[str, Any]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionDeclaration(Message):
    """A function that the model may call.

    :ivar parameters_json_schema: the JSON Schema of the arguments, an object.
    :ivar parameters: the same as an API ``Schema`` (a subset of OpenAPI's).
    :ivar response_json_schema: the JSON Schema of the return value.
    :ivar response: the same as an API ``Schema``.
    :ivar behavior: one of `Behavior`.
    """

    name: Optional[str] = None
    description: Optional[str] = None
    parameters_json_schema: Optional[Any] = None
    parameters: Optional[Dict[str, Any]] = None
    response_json_schema: Optional[Any] = None
    response: Optional[Dict[str, Any]] = None
    behavior: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ToolConfig(Message):
    """The settings of a request's tools."""

    function_calling_config: Optional[FunctionCallingConfig] = None
    retrieval_config: Optional[RetrievalConfig] = None
    include_server_side_tool_invocations: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionCallingConfig(Message):
    """Whether the model may call functions, and which ones.

    :ivar mode: one of `FunctionCallingConfigMode`.
    :ivar allowed_function_names: the functions that may be called if the mode is ANY or VALIDATED.
    :ivar stream_function_call_arguments: true to stream the arguments in pieces.
    """

    mode: Optional[str] = None
    allowed_function_names: Optional[List[str]] = None
    stream_function_call_arguments: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class RetrievalConfig(Message):
    """The location and language of the user, for search and maps.

    :ivar language_code: BCP 47, such as "en-US".
    """

    lat_lng: Optional[LatLng] = None
    language_code: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class LatLng(Message):
    """A place on earth.

    :ivar latitude: -90 to 90 degrees.
    :ivar longitude: -180 to 180 degrees.
    """

    latitude: Optional[float] = None
    longitude: Optional[float] = None
    extra: Dict[str, Any] = field(default_factory=dict)
