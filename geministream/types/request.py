"""What a request consists of, apart from its contents.

Where the wire has an object that the library does not use itself (a JSON schema,
the settings of a built-in tool), the field takes a plain dict and leaves it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Message
from .content import Content


class Behavior:
    """Whether the model waits for a function."""

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
    """What a threshold is compared with."""

    HARM_BLOCK_METHOD_UNSPECIFIED = "HARM_BLOCK_METHOD_UNSPECIFIED"
    SEVERITY = "SEVERITY"
    PROBABILITY = "PROBABILITY"


class HarmBlockThreshold:
    """From which rating on something is blocked."""

    HARM_BLOCK_THRESHOLD_UNSPECIFIED = "HARM_BLOCK_THRESHOLD_UNSPECIFIED"
    BLOCK_LOW_AND_ABOVE = "BLOCK_LOW_AND_ABOVE"
    BLOCK_MEDIUM_AND_ABOVE = "BLOCK_MEDIUM_AND_ABOVE"
    BLOCK_ONLY_HIGH = "BLOCK_ONLY_HIGH"
    BLOCK_NONE = "BLOCK_NONE"
    OFF = "OFF"


class MediaResolution:
    """How finely the media of a whole request are read."""

    MEDIA_RESOLUTION_UNSPECIFIED = "MEDIA_RESOLUTION_UNSPECIFIED"
    MEDIA_RESOLUTION_LOW = "MEDIA_RESOLUTION_LOW"
    MEDIA_RESOLUTION_MEDIUM = "MEDIA_RESOLUTION_MEDIUM"
    MEDIA_RESOLUTION_HIGH = "MEDIA_RESOLUTION_HIGH"


class Modality:
    """A kind of answer that may be asked for."""

    MODALITY_UNSPECIFIED = "MODALITY_UNSPECIFIED"
    TEXT = "TEXT"
    IMAGE = "IMAGE"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"


class ThinkingLevel:
    """How much the model thinks."""

    THINKING_LEVEL_UNSPECIFIED = "THINKING_LEVEL_UNSPECIFIED"
    MINIMAL = "MINIMAL"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    XHIGH = "XHIGH"


@dataclass(repr=False, eq=False)
class GenerateContentRequest(Message):
    """The body of a request.

    :ivar cached_content: the name of a cached content, "cachedContents/…".
    :ivar continuation_token: of the answer that is to go on; opaque.
    :ivar labels: the user's own names and values, for the bill.
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
    """How the model is to answer.

    :ivar max_output_tokens: tokens, thoughts included.
    :ivar response_mime_type: "text/plain", "application/json" or "text/x.enum".
    :ivar response_json_schema: a JSON schema that the answer must follow.
    :ivar response_schema: the same in the wire's own ``Schema`` (a subset of OpenAPI's).
    :ivar response_modalities: of `Modality`.
    :ivar media_resolution: one of `MediaResolution`.
    :ivar logprobs: how many of the likeliest tokens to tell, for each token.
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
    """How much the model thinks, and whether it tells.

    :ivar thinking_budget: tokens; 0 for none, -1 for what the model finds right.
    :ivar thinking_level: one of `ThinkingLevel`; models take a level or a budget, not both.
    """

    include_thoughts: Optional[bool] = None
    thinking_budget: Optional[int] = None
    thinking_level: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ImageConfig(Message):
    """What generated images look like.

    :ivar aspect_ratio: such as "16:9".
    :ivar image_size: such as "1K", "2K" or "4K".
    """

    aspect_ratio: Optional[str] = None
    image_size: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpeechConfig(Message):
    """How generated speech sounds.

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
    """A voice that the server has.

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

    :ivar speaker: the name that the prompt gives the speaker.
    """

    speaker: Optional[str] = None
    voice_config: Optional[VoiceConfig] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SafetySetting(Message):
    """From which rating on one category of harm is blocked.

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
    """What the model may use: functions of the caller's, or one of the server's own tools.

    The server's tools take a dict of their settings; an empty one will do, as in
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
    """A function that the model may ask to have called.

    :ivar parameters_json_schema: the arguments, as a JSON schema of an object.
    :ivar parameters: the same in the wire's own ``Schema`` (a subset of OpenAPI's).
    :ivar response_json_schema: what the function returns, as a JSON schema.
    :ivar response: the same in the wire's own ``Schema``.
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
    """How the tools of a request are to be used."""

    function_calling_config: Optional[FunctionCallingConfig] = None
    retrieval_config: Optional[RetrievalConfig] = None
    include_server_side_tool_invocations: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionCallingConfig(Message):
    """Whether and which functions the model may call.

    :ivar mode: one of `FunctionCallingConfigMode`.
    :ivar allowed_function_names: the only ones to be called, where the mode is ANY or VALIDATED.
    :ivar stream_function_call_arguments: true to have arguments arrive piece by piece.
    """

    mode: Optional[str] = None
    allowed_function_names: Optional[List[str]] = None
    stream_function_call_arguments: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class RetrievalConfig(Message):
    """Where the user is and which language is spoken there, for search and maps.

    :ivar language_code: BCP 47, such as "en-US".
    """

    lat_lng: Optional[LatLng] = None
    language_code: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class LatLng(Message):
    """A place on earth.

    :ivar latitude: degrees, from -90 to 90.
    :ivar longitude: degrees, from -180 to 180.
    """

    latitude: Optional[float] = None
    longitude: Optional[float] = None
    extra: Dict[str, Any] = field(default_factory=dict)
