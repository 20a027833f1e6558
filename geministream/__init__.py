"""Stream answers from Gemini's ``streamGenerateContent``, wherever it is served.

>>> from geministream import stream_generate
>>> for chunk in stream_generate("gemini-flash-latest", "Hello"):    # doctest: +SKIP
...     print(chunk.text, end="")

The key comes from the environment: GOOGLE_API_KEY or GEMINI_API_KEY.

================================================  =====================================
``stream_generate`` ``generate`` ``collect``      an answer: streamed, complete, merged
``Chat``                                          a conversation, with functions
``generate_many``                                 many prompts at once
``part_from_path`` ``part_from_bytes`` ``…_uri``  images, sound, video, documents
``upload_file`` ``get_file`` ``list_files`` …     the Files API
``json_schema`` ``parse`` ``iter_items``          structured answers
``find_sources`` ``cite``                         the sources of an answer
``count_tokens`` ``list_models`` ``get_model``    models and tokens
``Endpoint`` ``Retry`` ``Cancel``                 server, key, timeouts, retries
``GeministreamError`` and its subclasses          errors
``GenerationConfig``, ``Part``, ``Tool`` …        the API's messages, in `types`
``geministream.testing.LocalServer``              a server to test against
================================================  =====================================

``help(geministream.stream_generate)``, for example, shows arguments, errors and an example.
A name is imported when it is first used; the first call imports ``requests``.
"""

import importlib as _importlib  # with an underscore, so that completion offers only the public API
import typing as _typing

from . import types
from ._version import __version__

if _typing.TYPE_CHECKING:
    from .batch import BatchResult as BatchResult, generate_many as generate_many
    from .cancel import Cancel as Cancel
    from .chat import Chat as Chat
    from .citing import Source as Source, cite as cite, find_sources as find_sources
    from .endpoint import Endpoint as Endpoint
    from .errors import (
        APIError as APIError,
        AuthenticationError as AuthenticationError,
        BadRequestError as BadRequestError,
        BlockedError as BlockedError,
        ConfigurationError as ConfigurationError,
        FileProcessingError as FileProcessingError,
        FunctionCallLimitError as FunctionCallLimitError,
        GeministreamError as GeministreamError,
        IncompleteStreamError as IncompleteStreamError,
        InsecureEndpointWarning as InsecureEndpointWarning,
        NotFoundError as NotFoundError,
        PermissionDeniedError as PermissionDeniedError,
        RateLimitError as RateLimitError,
        ServerError as ServerError,
        StreamCancelled as StreamCancelled,
        StreamDecodeError as StreamDecodeError,
        StreamTimeoutError as StreamTimeoutError,
        TransportError as TransportError,
        UnknownFieldWarning as UnknownFieldWarning,
    )
    from .files import (
        delete_file as delete_file,
        get_file as get_file,
        list_files as list_files,
        upload_file as upload_file,
        wait_for_file as wait_for_file,
    )
    from .merging import collect as collect
    from .models import count_tokens as count_tokens, get_model as get_model, list_models as list_models
    from .parts import (
        part_from_bytes as part_from_bytes,
        part_from_path as part_from_path,
        part_from_uri as part_from_uri,
        to_contents as to_contents,
    )
    from .retry import Retry as Retry, RetryEvent as RetryEvent
    from .stream import generate as generate, stream_generate as stream_generate
    from .structured import iter_items as iter_items, json_schema as json_schema, parse as parse
    from .tools.functions import function_declaration as function_declaration

    # One by one, as type checkers need it; a test compares this with `types`.
    # fmt: off
    # isort: off
    from .types import (
        AudioMetadata as AudioMetadata, Behavior as Behavior, Blob as Blob,
        BlockedReason as BlockedReason, Candidate as Candidate, Citation as Citation,
        CitationMetadata as CitationMetadata, CodeExecutionResult as CodeExecutionResult,
        Content as Content, CountTokensResponse as CountTokensResponse,
        DocumentMetadata as DocumentMetadata,
        DocumentMetadataContentLayer as DocumentMetadataContentLayer,
        ExecutableCode as ExecutableCode, File as File, FileData as FileData,
        FileSource as FileSource, FileState as FileState, FileStatus as FileStatus,
        FinishReason as FinishReason, FunctionCall as FunctionCall,
        FunctionCallingConfig as FunctionCallingConfig,
        FunctionCallingConfigMode as FunctionCallingConfigMode,
        FunctionDeclaration as FunctionDeclaration, FunctionResponse as FunctionResponse,
        FunctionResponseBlob as FunctionResponseBlob,
        FunctionResponseFileData as FunctionResponseFileData,
        FunctionResponsePart as FunctionResponsePart,
        FunctionResponseScheduling as FunctionResponseScheduling,
        GenerateContentRequest as GenerateContentRequest,
        GenerateContentResponse as GenerateContentResponse, GenerationConfig as GenerationConfig,
        GoogleTypeDate as GoogleTypeDate, GroundingAttribution as GroundingAttribution,
        GroundingChunk as GroundingChunk,
        GroundingChunkCustomMetadata as GroundingChunkCustomMetadata,
        GroundingChunkImage as GroundingChunkImage, GroundingChunkMaps as GroundingChunkMaps,
        GroundingChunkMapsPlaceAnswerSources as GroundingChunkMapsPlaceAnswerSources,
        GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution as GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution,
        GroundingChunkMapsPlaceAnswerSourcesReviewSnippet as GroundingChunkMapsPlaceAnswerSourcesReviewSnippet,
        GroundingChunkMapsRoute as GroundingChunkMapsRoute,
        GroundingChunkRetrievedContext as GroundingChunkRetrievedContext,
        GroundingChunkStringList as GroundingChunkStringList,
        GroundingChunkWeb as GroundingChunkWeb, GroundingMetadata as GroundingMetadata,
        GroundingMetadataSourceFlaggingUri as GroundingMetadataSourceFlaggingUri,
        GroundingSupport as GroundingSupport, HarmBlockMethod as HarmBlockMethod,
        HarmBlockThreshold as HarmBlockThreshold, HarmCategory as HarmCategory,
        HarmProbability as HarmProbability, HarmSeverity as HarmSeverity,
        ImageConfig as ImageConfig, Language as Language, LatLng as LatLng,
        LogprobsResult as LogprobsResult, LogprobsResultCandidate as LogprobsResultCandidate,
        LogprobsResultTopCandidates as LogprobsResultTopCandidates,
        MapsAuthorAttribution as MapsAuthorAttribution,
        MapsPlaceAnswerSources as MapsPlaceAnswerSources, MapsReviewSnippet as MapsReviewSnippet,
        MapsRoute as MapsRoute, MediaModality as MediaModality, MediaProcessing as MediaProcessing,
        MediaResolution as MediaResolution, Modality as Modality,
        ModalityTokenCount as ModalityTokenCount, Model as Model, ModelStage as ModelStage,
        ModelStatus as ModelStatus, MultiSpeakerVoiceConfig as MultiSpeakerVoiceConfig,
        Outcome as Outcome, Part as Part, PartMediaResolution as PartMediaResolution,
        PartMediaResolutionLevel as PartMediaResolutionLevel, PartialArg as PartialArg,
        PrebuiltVoiceConfig as PrebuiltVoiceConfig, PromptFeedback as PromptFeedback,
        RagChunk as RagChunk, RagChunkPageSpan as RagChunkPageSpan,
        RetrievalConfig as RetrievalConfig, RetrievalMetadata as RetrievalMetadata,
        SafetyRating as SafetyRating, SafetySetting as SafetySetting,
        SearchEntryPoint as SearchEntryPoint, Segment as Segment,
        SpeakerVoiceConfig as SpeakerVoiceConfig, SpeechConfig as SpeechConfig,
        SpeechMetadata as SpeechMetadata, SpreadsheetMetadata as SpreadsheetMetadata,
        SpreadsheetMetadataContentLayer as SpreadsheetMetadataContentLayer,
        ThinkingConfig as ThinkingConfig, ThinkingLevel as ThinkingLevel, Tool as Tool,
        ToolCall as ToolCall, ToolConfig as ToolConfig, ToolResponse as ToolResponse,
        ToolType as ToolType, TrafficType as TrafficType, Transcription as Transcription,
        UrlContextMetadata as UrlContextMetadata, UrlMetadata as UrlMetadata,
        UrlRetrievalStatus as UrlRetrievalStatus, UsageMetadata as UsageMetadata,
        VideoMetadata as VideoMetadata, VideoMetadataContentLayer as VideoMetadataContentLayer,
        VoiceConfig as VoiceConfig, WordInfo as WordInfo,
    )
    # isort: on
    # fmt: on

# The names of each module, which is imported when one of them is first used.  Names of API
# messages come from `types`.
_ROOMS = {
    "cancel": "Cancel",
    "endpoint": "Endpoint",
    "errors": """
        APIError AuthenticationError BadRequestError BlockedError ConfigurationError
        FileProcessingError FunctionCallLimitError GeministreamError IncompleteStreamError
        InsecureEndpointWarning NotFoundError PermissionDeniedError RateLimitError ServerError
        StreamCancelled StreamDecodeError StreamTimeoutError TransportError UnknownFieldWarning
    """,
    "parts": "part_from_bytes part_from_path part_from_uri to_contents",
    "retry": "Retry RetryEvent",
    "stream": "generate stream_generate",
    "merging": "collect",
    "citing": "Source cite find_sources",
    "models": "count_tokens list_models get_model",
    "chat": "Chat",
    "batch": "BatchResult generate_many",
    "files": "upload_file get_file list_files delete_file wait_for_file",
    "tools.functions": "function_declaration",
    "structured": "json_schema parse iter_items",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}
# The modules that need no import of their own, as in geministream.errors.APIError.
_MODULES = ("cancel", "endpoint", "errors", "parts", "request", "retry", "stream")

__all__ = [
    "__version__",
    "Endpoint",
    "Retry",
    "RetryEvent",
    "Cancel",
    "stream_generate",
    "generate",
    "collect",
    "Source",
    "cite",
    "find_sources",
    "count_tokens",
    "list_models",
    "get_model",
    "part_from_path",
    "part_from_bytes",
    "part_from_uri",
    "to_contents",
    "GeministreamError",
    "APIError",
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "RateLimitError",
    "ServerError",
    "TransportError",
    "IncompleteStreamError",
    "StreamTimeoutError",
    "StreamDecodeError",
    "StreamCancelled",
    "BlockedError",
    "FileProcessingError",
    "FunctionCallLimitError",
    "ConfigurationError",
    "InsecureEndpointWarning",
    "UnknownFieldWarning",
    "Chat",
    "BatchResult",
    "generate_many",
    "upload_file",
    "get_file",
    "list_files",
    "delete_file",
    "wait_for_file",
    "function_declaration",
    "json_schema",
    "parse",
    "iter_items",
]
__all__ += types.__all__

if not _typing.TYPE_CHECKING:  # so that a type checker reports misspelt names

    def __getattr__(name: str) -> _typing.Any:
        if name in _HOME:
            value = getattr(_importlib.import_module(f".{_HOME[name]}", __name__), name)
        elif name in _MODULES:
            value = _importlib.import_module(f".{name}", __name__)
        elif name in types.__all__:
            value = getattr(types, name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> _typing.List[str]:
    return sorted({*__all__, "types", *(name for name in globals() if name.startswith("__"))})
