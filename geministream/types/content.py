"""A turn of a conversation and its parts: text, data, files, function calls and responses."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from ..errors import ConfigurationError
from .codec import Message, shorten

if TYPE_CHECKING:  # imported on first use
    from .execution import CodeExecutionResult, ExecutableCode, ToolCall, ToolResponse
    from .media import (
        AudioMetadata,
        DocumentMetadata,
        FunctionResponsePart,
        PartMediaResolution,
        SpeechMetadata,
        SpreadsheetMetadata,
        Transcription,
        VideoMetadata,
    )


@dataclass(repr=False, eq=False)
class Content(Message):
    """One turn of a conversation.

    :ivar role: "user" or "model".
    """

    parts: Optional[List[Part]] = None
    role: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Part(Message):
    """One part of a turn: a text, data, a file, a function call, its response and others.

    :ivar thought: true if the text is a thought of the model, not its answer.
    :ivar thought_signature: opaque; must be sent back unchanged, on the same part.
    :ivar part_metadata: any data that the application stores with the part.
    """

    text: Optional[str] = None
    inline_data: Optional[Blob] = None
    file_data: Optional[FileData] = None
    function_call: Optional[FunctionCall] = None
    function_response: Optional[FunctionResponse] = None
    thought: Optional[bool] = None
    thought_signature: Optional[str] = None
    executable_code: Optional[ExecutableCode] = None
    code_execution_result: Optional[CodeExecutionResult] = None
    video_metadata: Optional[VideoMetadata] = None
    media_resolution: Optional[PartMediaResolution] = None
    media_processing: Optional[str] = None
    tool_call: Optional[ToolCall] = None
    tool_response: Optional[ToolResponse] = None
    audio_transcription: Optional[Transcription] = None
    audio_metadata: Optional[AudioMetadata] = None
    document_metadata: Optional[DocumentMetadata] = None
    spreadsheet_metadata: Optional[SpreadsheetMetadata] = None
    speech_metadata: Optional[SpeechMetadata] = None
    part_metadata: Optional[Dict[str, Any]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Blob(Message):
    """Data inside a message: an image, audio, a document.

    :ivar data: the decoded bytes; base64 is used only in JSON.
    """

    data: Optional[bytes] = None
    mime_type: Optional[str] = None
    display_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)

    @property
    def is_raw_sound(self) -> bool:
        """Whether the data is raw audio without a header: ``audio/L16`` or ``audio/pcm``."""
        essence = str(self.mime_type).partition(";")[0].strip().lower()
        return essence in ("audio/l16", "audio/pcm")

    def save(self, path: Union[str, os.PathLike[str]]) -> Path:
        """Write the data to a file, replacing an existing one, and return its path.

        Raw audio (see `is_raw_sound`) is saved as a WAV file if the path ends with ``.wav``:
        16 bits, with the ``rate`` and ``channels`` of the MIME type (default: 24000 Hz and 1
        channel, as Gemini's speech).

        :param path: the file to write.
        :raises ConfigurationError: if there is no data, or the data was not base64.
        :raises OSError: if the file cannot be written.

        >>> answer.media[0].save("picture.png")    # doctest: +SKIP
        """
        if not isinstance(self.data, (bytes, bytearray)):
            raise ConfigurationError(f"the Blob has no bytes to save, its data is {shorten(self.data)}")
        target = Path(path)
        if target.suffix.lower() == ".wav" and self.is_raw_sound:
            self._save_wav(target)
        else:
            target.write_bytes(self.data)
        return target

    def _save_wav(self, target: Path) -> None:
        import wave

        named = dict(re.findall(r"(\w+)\s*=\s*\"?([0-9]{1,9})\b", str(self.mime_type).lower()))
        with wave.open(str(target), "wb") as file:
            file.setnchannels(int(named.get("channels", 1)) or 1)
            file.setsampwidth(2)
            file.setframerate(int(named.get("rate", 24000)) or 24000)
            # RFC 2586 defines L16 as big-endian; Gemini sends it little-endian, as in WAV files.
            file.writeframes(self.data or b"")

    def _repr_png_(self) -> Optional[bytes]:
        return self.data if self.mime_type == "image/png" and isinstance(self.data, bytes) else None

    def _repr_jpeg_(self) -> Optional[bytes]:
        return self.data if self.mime_type == "image/jpeg" and isinstance(self.data, bytes) else None


@dataclass(repr=False, eq=False)
class FileData(Message):
    """A file that the server reads itself: from the Files API or from a URL."""

    file_uri: Optional[str] = None
    mime_type: Optional[str] = None
    display_name: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionCall(Message):
    """A function call that the model requests.

    :ivar id: if set, the response to this call must have the same id.
    :ivar partial_args: pieces of the arguments, if these are streamed.
    :ivar will_continue: true if more pieces of this call follow.
    """

    name: Optional[str] = None
    args: Optional[Dict[str, Any]] = None
    id: Optional[str] = None
    partial_args: Optional[List[PartialArg]] = None
    will_continue: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class PartialArg(Message):
    """One piece of a streamed argument; one of the four values is set.

    :ivar json_path: the place of the value in the arguments, such as ``$.city`` (RFC 9535).
    :ivar null_value: "NULL_VALUE" if the argument is null.
    :ivar will_continue: true if the next piece continues the string.
    """

    json_path: Optional[str] = None
    string_value: Optional[str] = None
    number_value: Optional[float] = None
    bool_value: Optional[bool] = None
    null_value: Optional[str] = None
    will_continue: Optional[bool] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FunctionResponse(Message):
    """The result of a function call.

    :ivar name: the name in the call.
    :ivar response: by convention ``{"output": …}`` or ``{"error": …}``.
    :ivar id: the id of the call, if it had one.
    :ivar parts: media that belongs to the response.
    :ivar will_continue: true if more responses to this call follow.
    :ivar scheduling: one of `FunctionResponseScheduling`.
    """

    name: Optional[str] = None
    response: Optional[Dict[str, Any]] = None
    id: Optional[str] = None
    parts: Optional[List[FunctionResponsePart]] = None
    will_continue: Optional[bool] = None
    scheduling: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


class FunctionResponseScheduling:
    """When the model handles the response of a non-blocking function."""

    SCHEDULING_UNSPECIFIED = "SCHEDULING_UNSPECIFIED"
    SILENT = "SILENT"
    WHEN_IDLE = "WHEN_IDLE"
    INTERRUPT = "INTERRUPT"
