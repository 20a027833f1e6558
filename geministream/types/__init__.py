"""The messages of the wire as plain dataclasses, each field under its wire name in snake_case.

Every field is None until it is set, lists too: that is the one rule.  What the
wire calls ``finishReason`` is ``finish_reason`` here; a field that this version of
the library does not know is kept in ``extra``, under its wire name, and sent back
from there.  ``codec.py`` reads the definitions and does the rest; there is no
second table to keep in step.

The rooms are loaded when one of their names is first used: all seventy-five
dataclasses take longer to make than ``requests`` takes to import.
"""

import importlib as _importlib
import typing as _typing

# The names of each room; the codec, too, finds here the messages that annotations name.
_ROOMS = {
    "content": """
        Blob Content FileData FunctionCall FunctionResponse FunctionResponseScheduling Part
        PartialArg
    """,
    "response": """
        BlockedReason Candidate FinishReason GenerateContentResponse HarmCategory HarmProbability
        HarmSeverity MediaModality ModalityTokenCount ModelStage ModelStatus PromptFeedback
        SafetyRating TrafficType UsageMetadata
    """,
    "file": """
        File FileSource FileState FileStatus
    """,
    "request": """
        Behavior FunctionCallingConfig FunctionCallingConfigMode FunctionDeclaration
        GenerateContentRequest GenerationConfig HarmBlockMethod HarmBlockThreshold ImageConfig
        LatLng MediaResolution Modality MultiSpeakerVoiceConfig PrebuiltVoiceConfig RetrievalConfig
        SafetySetting SpeakerVoiceConfig SpeechConfig ThinkingConfig ThinkingLevel Tool ToolConfig
        VoiceConfig
    """,
    "media": """
        AudioMetadata DocumentMetadata DocumentMetadataContentLayer FunctionResponseBlob
        FunctionResponseFileData FunctionResponsePart MediaProcessing PartMediaResolution
        PartMediaResolutionLevel SpeechMetadata SpreadsheetMetadata SpreadsheetMetadataContentLayer
        Transcription VideoMetadata VideoMetadataContentLayer WordInfo
    """,
    "execution": """
        CodeExecutionResult ExecutableCode Language Outcome ToolCall ToolResponse ToolType
    """,
    "grounding": """
        Citation CitationMetadata GoogleTypeDate GroundingAttribution GroundingChunk
        GroundingChunkCustomMetadata GroundingChunkImage GroundingChunkMaps
        GroundingChunkMapsPlaceAnswerSources GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution
        GroundingChunkMapsPlaceAnswerSourcesReviewSnippet GroundingChunkMapsRoute
        GroundingChunkRetrievedContext GroundingChunkStringList GroundingChunkWeb GroundingMetadata
        GroundingMetadataSourceFlaggingUri GroundingSupport LogprobsResult LogprobsResultCandidate
        LogprobsResultTopCandidates MapsAuthorAttribution MapsPlaceAnswerSources MapsReviewSnippet
        MapsRoute RagChunk RagChunkPageSpan RetrievalMetadata SearchEntryPoint Segment
        UrlContextMetadata UrlMetadata UrlRetrievalStatus
    """,
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]

if _typing.TYPE_CHECKING:
    # fmt: off
    from .content import Blob as Blob
    from .content import Content as Content
    from .content import FileData as FileData
    from .content import FunctionCall as FunctionCall
    from .content import FunctionResponse as FunctionResponse
    from .content import FunctionResponseScheduling as FunctionResponseScheduling
    from .content import Part as Part
    from .content import PartialArg as PartialArg
    from .execution import CodeExecutionResult as CodeExecutionResult
    from .execution import ExecutableCode as ExecutableCode
    from .execution import Language as Language
    from .execution import Outcome as Outcome
    from .execution import ToolCall as ToolCall
    from .execution import ToolResponse as ToolResponse
    from .execution import ToolType as ToolType
    from .file import File as File
    from .file import FileSource as FileSource
    from .file import FileState as FileState
    from .file import FileStatus as FileStatus
    from .grounding import Citation as Citation
    from .grounding import CitationMetadata as CitationMetadata
    from .grounding import GoogleTypeDate as GoogleTypeDate
    from .grounding import GroundingAttribution as GroundingAttribution
    from .grounding import GroundingChunk as GroundingChunk
    from .grounding import GroundingChunkCustomMetadata as GroundingChunkCustomMetadata
    from .grounding import GroundingChunkImage as GroundingChunkImage
    from .grounding import GroundingChunkMaps as GroundingChunkMaps
    from .grounding import GroundingChunkMapsPlaceAnswerSources as GroundingChunkMapsPlaceAnswerSources
    from .grounding import (
        GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution as GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution,
    )
    from .grounding import (
        GroundingChunkMapsPlaceAnswerSourcesReviewSnippet as GroundingChunkMapsPlaceAnswerSourcesReviewSnippet,
    )
    from .grounding import GroundingChunkMapsRoute as GroundingChunkMapsRoute
    from .grounding import GroundingChunkRetrievedContext as GroundingChunkRetrievedContext
    from .grounding import GroundingChunkStringList as GroundingChunkStringList
    from .grounding import GroundingChunkWeb as GroundingChunkWeb
    from .grounding import GroundingMetadata as GroundingMetadata
    from .grounding import GroundingMetadataSourceFlaggingUri as GroundingMetadataSourceFlaggingUri
    from .grounding import GroundingSupport as GroundingSupport
    from .grounding import LogprobsResult as LogprobsResult
    from .grounding import LogprobsResultCandidate as LogprobsResultCandidate
    from .grounding import LogprobsResultTopCandidates as LogprobsResultTopCandidates
    from .grounding import MapsAuthorAttribution as MapsAuthorAttribution
    from .grounding import MapsPlaceAnswerSources as MapsPlaceAnswerSources
    from .grounding import MapsReviewSnippet as MapsReviewSnippet
    from .grounding import MapsRoute as MapsRoute
    from .grounding import RagChunk as RagChunk
    from .grounding import RagChunkPageSpan as RagChunkPageSpan
    from .grounding import RetrievalMetadata as RetrievalMetadata
    from .grounding import SearchEntryPoint as SearchEntryPoint
    from .grounding import Segment as Segment
    from .grounding import UrlContextMetadata as UrlContextMetadata
    from .grounding import UrlMetadata as UrlMetadata
    from .grounding import UrlRetrievalStatus as UrlRetrievalStatus
    from .media import AudioMetadata as AudioMetadata
    from .media import DocumentMetadata as DocumentMetadata
    from .media import DocumentMetadataContentLayer as DocumentMetadataContentLayer
    from .media import FunctionResponseBlob as FunctionResponseBlob
    from .media import FunctionResponseFileData as FunctionResponseFileData
    from .media import FunctionResponsePart as FunctionResponsePart
    from .media import MediaProcessing as MediaProcessing
    from .media import PartMediaResolution as PartMediaResolution
    from .media import PartMediaResolutionLevel as PartMediaResolutionLevel
    from .media import SpeechMetadata as SpeechMetadata
    from .media import SpreadsheetMetadata as SpreadsheetMetadata
    from .media import SpreadsheetMetadataContentLayer as SpreadsheetMetadataContentLayer
    from .media import Transcription as Transcription
    from .media import VideoMetadata as VideoMetadata
    from .media import VideoMetadataContentLayer as VideoMetadataContentLayer
    from .media import WordInfo as WordInfo
    from .request import Behavior as Behavior
    from .request import FunctionCallingConfig as FunctionCallingConfig
    from .request import FunctionCallingConfigMode as FunctionCallingConfigMode
    from .request import FunctionDeclaration as FunctionDeclaration
    from .request import GenerateContentRequest as GenerateContentRequest
    from .request import GenerationConfig as GenerationConfig
    from .request import HarmBlockMethod as HarmBlockMethod
    from .request import HarmBlockThreshold as HarmBlockThreshold
    from .request import ImageConfig as ImageConfig
    from .request import LatLng as LatLng
    from .request import MediaResolution as MediaResolution
    from .request import Modality as Modality
    from .request import MultiSpeakerVoiceConfig as MultiSpeakerVoiceConfig
    from .request import PrebuiltVoiceConfig as PrebuiltVoiceConfig
    from .request import RetrievalConfig as RetrievalConfig
    from .request import SafetySetting as SafetySetting
    from .request import SpeakerVoiceConfig as SpeakerVoiceConfig
    from .request import SpeechConfig as SpeechConfig
    from .request import ThinkingConfig as ThinkingConfig
    from .request import ThinkingLevel as ThinkingLevel
    from .request import Tool as Tool
    from .request import ToolConfig as ToolConfig
    from .request import VoiceConfig as VoiceConfig
    from .response import BlockedReason as BlockedReason
    from .response import Candidate as Candidate
    from .response import FinishReason as FinishReason
    from .response import GenerateContentResponse as GenerateContentResponse
    from .response import HarmCategory as HarmCategory
    from .response import HarmProbability as HarmProbability
    from .response import HarmSeverity as HarmSeverity
    from .response import MediaModality as MediaModality
    from .response import ModalityTokenCount as ModalityTokenCount
    from .response import ModelStage as ModelStage
    from .response import ModelStatus as ModelStatus
    from .response import PromptFeedback as PromptFeedback
    from .response import SafetyRating as SafetyRating
    from .response import TrafficType as TrafficType
    from .response import UsageMetadata as UsageMetadata
    # fmt: on
else:  # not for a type checker, which would take every misspelt name for one of these

    def __getattr__(name):
        """Load the room of a name when it is first used (PEP 562)."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(_importlib.import_module(f".{_HOME[name]}", __name__), name)
        return value


def __dir__() -> _typing.List[str]:
    return sorted({*(name for name in globals() if not name.startswith("_")), *__all__})
