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

# The names of each room, its __all__, before it is loaded.
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

if _typing.TYPE_CHECKING:
    from . import content, execution, file, grounding, media, request, response
    from .content import *
    from .execution import *
    from .file import *
    from .grounding import *
    from .media import *
    from .request import *
    from .response import *

    __all__ = []
    __all__ += content.__all__
    __all__ += response.__all__
    __all__ += file.__all__
    __all__ += request.__all__
    __all__ += media.__all__
    __all__ += execution.__all__
    __all__ += grounding.__all__
else:  # not for a type checker, which would take every misspelt name for one of these
    __all__ = list(_HOME)

    def __getattr__(name):
        """Load the room of a name when it is first used (PEP 562)."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(_importlib.import_module(f".{_HOME[name]}", __name__), name)
        return value


def __dir__() -> _typing.List[str]:
    return sorted({*(name for name in globals() if not name.startswith("_")), *_HOME})
