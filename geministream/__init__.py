"""Streams from Gemini's ``streamGenerateContent``, wherever it is served.

>>> from geministream import stream_generate
>>> for chunk in stream_generate("gemini-2.5-flash", "Hello"):    # doctest: +SKIP
...     print(chunk.text, end="")

What streaming needs is imported at once; everything else on first use.
"""

import importlib as _importlib  # with an underscore, so that completion offers the public API alone
import typing as _typing

from . import types
from ._version import __version__
from .cancel import Cancel
from .endpoint import Endpoint, Retry, RetryEvent
from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ConfigurationError,
    FileProcessingError,
    FunctionCallLimitError,
    GeministreamError,
    IncompleteStreamError,
    InsecureEndpointWarning,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamCancelled,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
)
from .parts import part_from_bytes, part_from_path, part_from_uri, to_contents
from .stream import stream_generate

if _typing.TYPE_CHECKING:
    from .batch import BatchResult as BatchResult
    from .batch import generate_many as generate_many
    from .chat import Chat as Chat
    from .files import delete_file as delete_file
    from .files import get_file as get_file
    from .files import list_files as list_files
    from .files import upload_file as upload_file
    from .files import wait_for_file as wait_for_file
    from .merging import collect as collect
    from .structured import iter_items as iter_items
    from .structured import json_schema as json_schema
    from .structured import parse as parse
    from .tools.functions import function_declaration as function_declaration

    # By name, since editors offer all that a star import could bring; a test compares this with `types`.
    # fmt: off
    from .types import AudioMetadata as AudioMetadata
    from .types import Behavior as Behavior
    from .types import Blob as Blob
    from .types import BlockedReason as BlockedReason
    from .types import Candidate as Candidate
    from .types import Citation as Citation
    from .types import CitationMetadata as CitationMetadata
    from .types import CodeExecutionResult as CodeExecutionResult
    from .types import Content as Content
    from .types import DocumentMetadata as DocumentMetadata
    from .types import DocumentMetadataContentLayer as DocumentMetadataContentLayer
    from .types import ExecutableCode as ExecutableCode
    from .types import File as File
    from .types import FileData as FileData
    from .types import FileSource as FileSource
    from .types import FileState as FileState
    from .types import FileStatus as FileStatus
    from .types import FinishReason as FinishReason
    from .types import FunctionCall as FunctionCall
    from .types import FunctionCallingConfig as FunctionCallingConfig
    from .types import FunctionCallingConfigMode as FunctionCallingConfigMode
    from .types import FunctionDeclaration as FunctionDeclaration
    from .types import FunctionResponse as FunctionResponse
    from .types import FunctionResponseBlob as FunctionResponseBlob
    from .types import FunctionResponseFileData as FunctionResponseFileData
    from .types import FunctionResponsePart as FunctionResponsePart
    from .types import FunctionResponseScheduling as FunctionResponseScheduling
    from .types import GenerateContentRequest as GenerateContentRequest
    from .types import GenerateContentResponse as GenerateContentResponse
    from .types import GenerationConfig as GenerationConfig
    from .types import GoogleTypeDate as GoogleTypeDate
    from .types import GroundingAttribution as GroundingAttribution
    from .types import GroundingChunk as GroundingChunk
    from .types import GroundingChunkCustomMetadata as GroundingChunkCustomMetadata
    from .types import GroundingChunkImage as GroundingChunkImage
    from .types import GroundingChunkMaps as GroundingChunkMaps
    from .types import GroundingChunkMapsPlaceAnswerSources as GroundingChunkMapsPlaceAnswerSources
    from .types import (
        GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution as GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution,
    )
    from .types import (
        GroundingChunkMapsPlaceAnswerSourcesReviewSnippet as GroundingChunkMapsPlaceAnswerSourcesReviewSnippet,
    )
    from .types import GroundingChunkMapsRoute as GroundingChunkMapsRoute
    from .types import GroundingChunkRetrievedContext as GroundingChunkRetrievedContext
    from .types import GroundingChunkStringList as GroundingChunkStringList
    from .types import GroundingChunkWeb as GroundingChunkWeb
    from .types import GroundingMetadata as GroundingMetadata
    from .types import GroundingMetadataSourceFlaggingUri as GroundingMetadataSourceFlaggingUri
    from .types import GroundingSupport as GroundingSupport
    from .types import HarmBlockMethod as HarmBlockMethod
    from .types import HarmBlockThreshold as HarmBlockThreshold
    from .types import HarmCategory as HarmCategory
    from .types import HarmProbability as HarmProbability
    from .types import HarmSeverity as HarmSeverity
    from .types import ImageConfig as ImageConfig
    from .types import Language as Language
    from .types import LatLng as LatLng
    from .types import LogprobsResult as LogprobsResult
    from .types import LogprobsResultCandidate as LogprobsResultCandidate
    from .types import LogprobsResultTopCandidates as LogprobsResultTopCandidates
    from .types import MapsAuthorAttribution as MapsAuthorAttribution
    from .types import MapsPlaceAnswerSources as MapsPlaceAnswerSources
    from .types import MapsReviewSnippet as MapsReviewSnippet
    from .types import MapsRoute as MapsRoute
    from .types import MediaModality as MediaModality
    from .types import MediaProcessing as MediaProcessing
    from .types import MediaResolution as MediaResolution
    from .types import Modality as Modality
    from .types import ModalityTokenCount as ModalityTokenCount
    from .types import ModelStage as ModelStage
    from .types import ModelStatus as ModelStatus
    from .types import MultiSpeakerVoiceConfig as MultiSpeakerVoiceConfig
    from .types import Outcome as Outcome
    from .types import Part as Part
    from .types import PartialArg as PartialArg
    from .types import PartMediaResolution as PartMediaResolution
    from .types import PartMediaResolutionLevel as PartMediaResolutionLevel
    from .types import PrebuiltVoiceConfig as PrebuiltVoiceConfig
    from .types import PromptFeedback as PromptFeedback
    from .types import RagChunk as RagChunk
    from .types import RagChunkPageSpan as RagChunkPageSpan
    from .types import RetrievalConfig as RetrievalConfig
    from .types import RetrievalMetadata as RetrievalMetadata
    from .types import SafetyRating as SafetyRating
    from .types import SafetySetting as SafetySetting
    from .types import SearchEntryPoint as SearchEntryPoint
    from .types import Segment as Segment
    from .types import SpeakerVoiceConfig as SpeakerVoiceConfig
    from .types import SpeechConfig as SpeechConfig
    from .types import SpeechMetadata as SpeechMetadata
    from .types import SpreadsheetMetadata as SpreadsheetMetadata
    from .types import SpreadsheetMetadataContentLayer as SpreadsheetMetadataContentLayer
    from .types import ThinkingConfig as ThinkingConfig
    from .types import ThinkingLevel as ThinkingLevel
    from .types import Tool as Tool
    from .types import ToolCall as ToolCall
    from .types import ToolConfig as ToolConfig
    from .types import ToolResponse as ToolResponse
    from .types import ToolType as ToolType
    from .types import TrafficType as TrafficType
    from .types import Transcription as Transcription
    from .types import UrlContextMetadata as UrlContextMetadata
    from .types import UrlMetadata as UrlMetadata
    from .types import UrlRetrievalStatus as UrlRetrievalStatus
    from .types import UsageMetadata as UsageMetadata
    from .types import VideoMetadata as VideoMetadata
    from .types import VideoMetadataContentLayer as VideoMetadataContentLayer
    from .types import VoiceConfig as VoiceConfig
    from .types import WordInfo as WordInfo
    # fmt: on

# Where the names live that are imported on first use; the messages of the wire
# are looked for in `types` last.
_ROOMS = {
    "collect": "merging",
    "Chat": "chat",
    "BatchResult": "batch",
    "generate_many": "batch",
    "upload_file": "files",
    "get_file": "files",
    "list_files": "files",
    "delete_file": "files",
    "wait_for_file": "files",
    "function_declaration": "tools.functions",
    "json_schema": "structured",
    "parse": "structured",
    "iter_items": "structured",
}

__all__ = [
    "__version__",
    "Endpoint",
    "Retry",
    "RetryEvent",
    "Cancel",
    "stream_generate",
    "collect",
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

if not _typing.TYPE_CHECKING:  # a type checker shall know what is not there

    def __getattr__(name: str) -> _typing.Any:
        if name in _ROOMS:
            value = getattr(_importlib.import_module(f".{_ROOMS[name]}", __name__), name)
        elif name in types.__all__:
            value = getattr(types, name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> _typing.List[str]:
    return sorted({*__all__, "types", *(name for name in globals() if name.startswith("__"))})
