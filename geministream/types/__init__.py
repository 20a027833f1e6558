"""The API's messages as plain dataclasses, with the API's field names in snake_case.

Every field is None until it is set, also a list.  The JSON name ``finishReason`` becomes
``finish_reason``.  Unknown fields are preserved in ``extra``, under their JSON names.
``codec.py`` reads the dataclass definitions, so there is no second table of fields.

A module is imported when one of its names is first used: creating all seventy-five
dataclasses takes longer than importing ``requests``.
"""

import importlib as _importlib
import typing as _typing

# The names of each module; the codec also finds the classes of annotations here.
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
    "model": """
        CountTokensResponse Model
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
    # isort: off
    from .content import (
        Blob as Blob, Content as Content, FileData as FileData, FunctionCall as FunctionCall,
        FunctionResponse as FunctionResponse,
        FunctionResponseScheduling as FunctionResponseScheduling, Part as Part,
        PartialArg as PartialArg,
    )
    from .response import (
        BlockedReason as BlockedReason, Candidate as Candidate, FinishReason as FinishReason,
        GenerateContentResponse as GenerateContentResponse, HarmCategory as HarmCategory,
        HarmProbability as HarmProbability, HarmSeverity as HarmSeverity,
        MediaModality as MediaModality, ModalityTokenCount as ModalityTokenCount,
        ModelStage as ModelStage, ModelStatus as ModelStatus, PromptFeedback as PromptFeedback,
        SafetyRating as SafetyRating, TrafficType as TrafficType, UsageMetadata as UsageMetadata,
    )
    from .file import (
        File as File, FileSource as FileSource, FileState as FileState, FileStatus as FileStatus,
    )
    from .request import (
        Behavior as Behavior, FunctionCallingConfig as FunctionCallingConfig,
        FunctionCallingConfigMode as FunctionCallingConfigMode,
        FunctionDeclaration as FunctionDeclaration,
        GenerateContentRequest as GenerateContentRequest, GenerationConfig as GenerationConfig,
        HarmBlockMethod as HarmBlockMethod, HarmBlockThreshold as HarmBlockThreshold,
        ImageConfig as ImageConfig, LatLng as LatLng, MediaResolution as MediaResolution,
        Modality as Modality, MultiSpeakerVoiceConfig as MultiSpeakerVoiceConfig,
        PrebuiltVoiceConfig as PrebuiltVoiceConfig, RetrievalConfig as RetrievalConfig,
        SafetySetting as SafetySetting, SpeakerVoiceConfig as SpeakerVoiceConfig,
        SpeechConfig as SpeechConfig, ThinkingConfig as ThinkingConfig,
        ThinkingLevel as ThinkingLevel, Tool as Tool, ToolConfig as ToolConfig,
        VoiceConfig as VoiceConfig,
    )
    from .model import (
        CountTokensResponse as CountTokensResponse, Model as Model,
    )
    from .media import (
        AudioMetadata as AudioMetadata, DocumentMetadata as DocumentMetadata,
        DocumentMetadataContentLayer as DocumentMetadataContentLayer,
        FunctionResponseBlob as FunctionResponseBlob,
        FunctionResponseFileData as FunctionResponseFileData,
        FunctionResponsePart as FunctionResponsePart, MediaProcessing as MediaProcessing,
        PartMediaResolution as PartMediaResolution,
        PartMediaResolutionLevel as PartMediaResolutionLevel, SpeechMetadata as SpeechMetadata,
        SpreadsheetMetadata as SpreadsheetMetadata,
        SpreadsheetMetadataContentLayer as SpreadsheetMetadataContentLayer,
        Transcription as Transcription, VideoMetadata as VideoMetadata,
        VideoMetadataContentLayer as VideoMetadataContentLayer, WordInfo as WordInfo,
    )
    from .execution import (
        CodeExecutionResult as CodeExecutionResult, ExecutableCode as ExecutableCode,
        Language as Language, Outcome as Outcome, ToolCall as ToolCall,
        ToolResponse as ToolResponse, ToolType as ToolType,
    )
    from .grounding import (
        Citation as Citation, CitationMetadata as CitationMetadata,
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
        GroundingSupport as GroundingSupport, LogprobsResult as LogprobsResult,
        LogprobsResultCandidate as LogprobsResultCandidate,
        LogprobsResultTopCandidates as LogprobsResultTopCandidates,
        MapsAuthorAttribution as MapsAuthorAttribution,
        MapsPlaceAnswerSources as MapsPlaceAnswerSources, MapsReviewSnippet as MapsReviewSnippet,
        MapsRoute as MapsRoute, RagChunk as RagChunk, RagChunkPageSpan as RagChunkPageSpan,
        RetrievalMetadata as RetrievalMetadata, SearchEntryPoint as SearchEntryPoint,
        Segment as Segment, UrlContextMetadata as UrlContextMetadata, UrlMetadata as UrlMetadata,
        UrlRetrievalStatus as UrlRetrievalStatus,
    )
    # isort: on
    # fmt: on
else:  # hidden from type checkers, so that they report misspelt names

    def __getattr__(name):
        """Import the module of a name when it is first used (PEP 562)."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(_importlib.import_module(f".{_HOME[name]}", __name__), name)
        return value


def __dir__() -> _typing.List[str]:
    return sorted({*(name for name in globals() if not name.startswith("_")), *__all__})
