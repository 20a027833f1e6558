"""What a part says about its media: clips, resolution, transcripts; and media in a function's response."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Message


class MediaProcessing:
    """Whether media are read once, or looked at again as the model finds it needful."""

    MEDIA_PROCESSING_UNSPECIFIED = "MEDIA_PROCESSING_UNSPECIFIED"
    STATIC = "STATIC"
    AGENTIC = "AGENTIC"


class PartMediaResolutionLevel:
    """How finely the media of one part are read."""

    MEDIA_RESOLUTION_UNSPECIFIED = "MEDIA_RESOLUTION_UNSPECIFIED"
    MEDIA_RESOLUTION_LOW = "MEDIA_RESOLUTION_LOW"
    MEDIA_RESOLUTION_MEDIUM = "MEDIA_RESOLUTION_MEDIUM"
    MEDIA_RESOLUTION_HIGH = "MEDIA_RESOLUTION_HIGH"
    MEDIA_RESOLUTION_ULTRA_HIGH = "MEDIA_RESOLUTION_ULTRA_HIGH"


class VideoMetadataContentLayer:
    """What of a video is read."""

    CONTENT_LAYER_UNSPECIFIED = "CONTENT_LAYER_UNSPECIFIED"
    FRAMES = "FRAMES"
    AUDIO = "AUDIO"
    TRANSCRIPT = "TRANSCRIPT"


class DocumentMetadataContentLayer:
    """What of a document is read."""

    CONTENT_LAYER_UNSPECIFIED = "CONTENT_LAYER_UNSPECIFIED"
    PAGE_IMAGE = "PAGE_IMAGE"
    PAGE_TEXT = "PAGE_TEXT"


class SpreadsheetMetadataContentLayer:
    """What of a spreadsheet is read."""

    CONTENT_LAYER_UNSPECIFIED = "CONTENT_LAYER_UNSPECIFIED"
    DATA = "DATA"
    FORMULAS = "FORMULAS"
    VISUAL = "VISUAL"


@dataclass(repr=False, eq=False)
class PartMediaResolution(Message):
    """How finely the medium of one part is read.

    :ivar level: one of `PartMediaResolutionLevel`.
    :ivar num_tokens: tokens, where a number is wanted instead of a level.
    """

    level: Optional[str] = None
    num_tokens: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class VideoMetadata(Message):
    """Which piece of a video is meant, and how densely it is read.

    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    :ivar fps: frames a second.
    :ivar content_layers: of `VideoMetadataContentLayer`.
    """

    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    fps: Optional[float] = None
    content_layers: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class AudioMetadata(Message):
    """Which piece of a recording is meant.

    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    """

    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class DocumentMetadata(Message):
    """Which pages of a document are meant.

    :ivar content_layers: of `DocumentMetadataContentLayer`.
    """

    start_page: Optional[int] = None
    end_page: Optional[int] = None
    content_layers: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpreadsheetMetadata(Message):
    """Which cells of a spreadsheet are meant.

    :ivar content_layers: of `SpreadsheetMetadataContentLayer`.
    """

    sheet_index: Optional[int] = None
    visible_cells: Optional[str] = None
    content_layers: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SpeechMetadata(Message):
    """Who speaks a text, and how."""

    speaker: Optional[str] = None
    style: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Transcription(Message):
    """What was said in a recording, or in a piece of it.

    :ivar finished: true where no more of this transcription follows.
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
    """When a word was said.

    :ivar start_offset: a duration, such as "3.5s"; likewise ``end_offset``.
    """

    word: Optional[str] = None
    start_offset: Optional[str] = None
    end_offset: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionResponsePart(Message):
    """A medium that belongs to the response of a function.

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

    :ivar data: the bytes themselves; base64 is the wire's business alone.
    """

    data: Optional[bytes] = None
    mime_type: Optional[str] = None
    display_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionResponseFileData(Message):
    """A file, named in the response of a function."""

    file_uri: Optional[str] = None
    mime_type: Optional[str] = None
    display_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
