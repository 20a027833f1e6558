"""Metadata of a part's media (clips, resolution, transcripts), and media in function responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Message


class MediaProcessing:
    """Whether media is read once (STATIC) or again whenever the model needs it (AGENTIC)."""

    MEDIA_PROCESSING_UNSPECIFIED = "MEDIA_PROCESSING_UNSPECIFIED"
    STATIC = "STATIC"
    AGENTIC = "AGENTIC"


class PartMediaResolutionLevel:
    """The resolution at which the media of one part is read."""

    MEDIA_RESOLUTION_UNSPECIFIED = "MEDIA_RESOLUTION_UNSPECIFIED"
    MEDIA_RESOLUTION_LOW = "MEDIA_RESOLUTION_LOW"
    MEDIA_RESOLUTION_MEDIUM = "MEDIA_RESOLUTION_MEDIUM"
    MEDIA_RESOLUTION_HIGH = "MEDIA_RESOLUTION_HIGH"
    MEDIA_RESOLUTION_ULTRA_HIGH = "MEDIA_RESOLUTION_ULTRA_HIGH"


class VideoMetadataContentLayer:
    """A layer of a video that is read."""

    CONTENT_LAYER_UNSPECIFIED = "CONTENT_LAYER_UNSPECIFIED"
    FRAMES = "FRAMES"
    AUDIO = "AUDIO"
    TRANSCRIPT = "TRANSCRIPT"


class DocumentMetadataContentLayer:
    """A layer of a document that is read."""

    CONTENT_LAYER_UNSPECIFIED = "CONTENT_LAYER_UNSPECIFIED"
    PAGE_IMAGE = "PAGE_IMAGE"
    PAGE_TEXT = "PAGE_TEXT"


class SpreadsheetMetadataContentLayer:
    """A layer of a spreadsheet that is read."""

    CONTENT_LAYER_UNSPECIFIED = "CONTENT_LAYER_UNSPECIFIED"
    DATA = "DATA"
    FORMULAS = "FORMULAS"
    VISUAL = "VISUAL"


@dataclass(repr=False, eq=False)
class PartMediaResolution(Message):
    """The resolution at which the media of one part is read.

    :ivar level: one of `PartMediaResolutionLevel`.
    :ivar num_tokens: a number of tokens, instead of a level.
    """

    level: Optional[str] = None
    num_tokens: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class VideoMetadata(Message):
    """The section of a video that is read, and its frame rate.

    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    :ivar fps: frames per second.
    :ivar content_layers: a list of `VideoMetadataContentLayer`.
    """

    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    fps: Optional[float] = None
    content_layers: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class AudioMetadata(Message):
    """The section of an audio recording that is read.

    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    """

    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class DocumentMetadata(Message):
    """The pages of a document that are read.

    :ivar content_layers: a list of `DocumentMetadataContentLayer`.
    """

    start_page: Optional[int] = None
    end_page: Optional[int] = None
    content_layers: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpreadsheetMetadata(Message):
    """The cells of a spreadsheet that are read.

    :ivar content_layers: a list of `SpreadsheetMetadataContentLayer`.
    """

    sheet_index: Optional[int] = None
    visible_cells: Optional[str] = None
    content_layers: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpeechMetadata(Message):
    """The speaker of a text and the style of speech."""

    speaker: Optional[str] = None
    style: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Transcription(Message):
    """The transcription of a recording or of a section of it.

    :ivar finished: true if this transcription is complete.
    :ivar language_code: BCP 47, such as "en-US".
    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    """

    text: Optional[str] = None
    finished: Optional[bool] = None
    language_code: Optional[str] = None
    speaker_label: Optional[str] = None
    words: Optional[List[WordInfo]] = None
    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class WordInfo(Message):
    """The time of a word in a recording.

    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    """

    word: Optional[str] = None
    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionResponsePart(Message):
    """Media in the response of a function.

    :ivar media_processing: one of `MediaProcessing`.
    """

    inline_data: Optional[FunctionResponseBlob] = None
    file_data: Optional[FunctionResponseFileData] = None
    media_processing: Optional[str] = None
    media_resolution: Optional[PartMediaResolution] = None
    video_metadata: Optional[VideoMetadata] = None
    document_metadata: Optional[DocumentMetadata] = None
    spreadsheet_metadata: Optional[SpreadsheetMetadata] = None
    audio_metadata: Optional[AudioMetadata] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionResponseBlob(Message):
    """Data inside the response of a function.

    :ivar data: the decoded bytes; base64 is used only in JSON.
    """

    data: Optional[bytes] = None
    mime_type: Optional[str] = None
    display_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionResponseFileData(Message):
    """A file to which the response of a function refers."""

    file_uri: Optional[str] = None
    mime_type: Optional[str] = None
    display_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
