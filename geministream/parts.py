"""What is asked: parts and contents, from the things that callers have at hand."""

import mimetypes
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, List, Mapping, Optional, Union
from urllib.parse import unquote

from .errors import ConfigurationError
from .types import Blob, Content, File, FileData, Part
from .types.codec import from_request, shorten

PartLike = Union[str, "os.PathLike[str]", Part, File, Mapping[str, Any]]
ContentsLike = Union[PartLike, Content, "List[Any]"]

# The whole request may be 100 MB, base64 (4 bytes for 3) included, and a PDF
# 50 MB: https://ai.google.dev/gemini-api/docs/file-input-methods
LARGEST_INLINE = 100 * 10**6 * 3 // 4
LARGEST_PDF = 50 * 10**6

# What Gemini takes and the standard library of Python 3.8 does not know, or
# knows by a name that Gemini does not list:
# https://ai.google.dev/gemini-api/docs/file-input-methods
_MIME_TYPES = {
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".avif": "image/avif",
    ".wav": "audio/wav",
    ".aac": "audio/aac",
    ".aif": "audio/aiff",
    ".aiff": "audio/aiff",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/opus",
    ".m4a": "audio/m4a",
    ".weba": "audio/webm",
    ".m4v": "video/mp4",
    ".avi": "video/avi",
    ".mkv": "video/x-matroska",
    ".wmv": "video/wmv",
    ".flv": "video/x-flv",
    ".3gp": "video/3gpp",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".rst": "text/x-rst",
    ".rtf": "text/rtf",
    ".jsonl": "text/plain",
    ".yaml": "text/plain",
    ".yml": "text/plain",
    ".toml": "text/plain",
    ".ini": "text/plain",
    ".cfg": "text/plain",
    ".log": "text/plain",
    ".srt": "text/plain",
}


def guess_mime_type(name: str) -> Optional[str]:
    """The MIME type that a file's name or a URI tells, or None; a compressed file tells none."""
    name = name.lower()
    known, encoding = _standard_types().guess_type(name)
    return _MIME_TYPES.get(os.path.splitext(name)[1]) or (None if encoding else known)


@lru_cache(maxsize=None)
def _standard_types() -> mimetypes.MimeTypes:
    """The standard library's, without the files of the system: the same name is the same everywhere."""
    return mimetypes.MimeTypes()


def part_from_path(path: "Union[str, os.PathLike[str]]", mime_type: Optional[str] = None) -> Part:
    """A part that holds a file's bytes.

    :param path: of the file; all of it is read now.
    :param mime_type: such as ``"image/png"``; None tells it from the name.
    :raises ConfigurationError: where the file is missing, a directory, empty,
        not readable, of a type that its name does not tell, or too large to be
        sent inline (then `upload_file` is the way).
    """
    try:
        path = Path(path)
    except TypeError:
        raise ConfigurationError(f"part_from_path() takes a path, not {shorten(path)}") from None
    check_file(path)
    mime_type = mime_type or mime_type_of(path)
    size = path.stat().st_size
    limit = LARGEST_PDF if mime_type == "application/pdf" else LARGEST_INLINE
    if size > limit:
        raise ConfigurationError(
            f"{path} has {size} bytes, and {limit} is the most that can be sent inline; "
            "upload it with upload_file() and use the File that it returns"
        )
    try:
        return part_from_bytes(path.read_bytes(), mime_type)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def check_file(path: Path) -> None:
    """Raise ConfigurationError unless ``path`` is a file with something in it."""
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path} is a directory; name a file in it")
        size = path.stat().st_size
        special = not path.is_file()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} is no path: {error}") from error
    if special:
        raise ConfigurationError(f"{path} is no regular file; read it and use part_from_bytes()")
    if size == 0:
        raise ConfigurationError(f"{path} is empty")


def mime_type_of(path: Path) -> str:
    """The MIME type that the name of ``path`` tells; ConfigurationError where it tells none."""
    mime_type = guess_mime_type(path.name)
    if mime_type is None:
        raise ConfigurationError(f"the name of {path} does not tell its MIME type; give mime_type=")
    return mime_type


def part_from_bytes(data: Union[bytes, bytearray, memoryview], mime_type: str) -> Part:
    """A part that holds ``data``.

    :param mime_type: such as ``"image/png"``.
    :raises ConfigurationError: where ``data`` is not bytes, or empty, or the MIME type is none.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ConfigurationError(f"part_from_bytes() takes bytes, not a {type(data).__name__}")
    if len(data) == 0:
        raise ConfigurationError("part_from_bytes() got no bytes")
    if not isinstance(mime_type, str) or "/" not in mime_type:
        raise ConfigurationError(f"a MIME type is a text such as 'image/png', not {mime_type!r}")
    return Part(inline_data=Blob(data=data if type(data) is bytes else bytes(data), mime_type=mime_type))


def part_from_uri(uri: str, mime_type: Optional[str] = None) -> Part:
    """A part that names a file on a server: an uploaded file's URI, ``gs://…``, a video's URL.

    :param mime_type: None tells it from the URI's path, and leaves it out where
        that tells nothing (the server knows its own files).
    :raises ConfigurationError: where ``uri`` has no scheme.
    """
    if not isinstance(uri, str) or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
        raise ConfigurationError(
            f"{shorten(uri)} is no URI (it would begin with a scheme such as https://); "
            "for a file on this machine use part_from_path()"
        )
    name = unquote(re.split("[?#]", uri)[0]).rsplit("/", 1)[-1]
    return Part(file_data=FileData(file_uri=uri, mime_type=mime_type or guess_mime_type(name)))


def to_part(value: Any) -> Part:
    """Make a part from a text, a path (``pathlib.Path``), a File, a mapping or a Part."""
    if isinstance(value, Part):
        return value
    if isinstance(value, str):
        return Part(text=value)
    if isinstance(value, os.PathLike):
        return part_from_path(value)
    if isinstance(value, File):
        return _part_from_file(value)
    if isinstance(value, Mapping):
        return from_request(Part, value, "a part")
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ConfigurationError("bytes need a MIME type: use part_from_bytes(data, mime_type)")
    raise ConfigurationError(
        f"contents are made of texts, paths, Parts, Files, Contents and mappings, not of {shorten(value)}"
    )


def _part_from_file(file: File) -> Part:
    if file.state == "PROCESSING":
        raise ConfigurationError(f"{file.name} is still being processed; call wait_for_file() first")
    if file.state == "FAILED":
        raise ConfigurationError(f"{file.name} could not be processed by the server; upload it again")
    if not file.uri:
        raise ConfigurationError("the File has no uri; get it again with get_file(name)")
    return Part(file_data=FileData(file_uri=file.uri, mime_type=file.mime_type))


def to_contents(contents: ContentsLike) -> List[Content]:
    """Make the list of contents that a request holds.

    Texts, paths, Files, Parts and mappings of parts that follow each other
    become one ``user`` content; Contents, and mappings with ``parts`` or
    ``role``, stand for themselves.

    :raises ConfigurationError: where there is nothing, or something else.

    >>> to_contents(["What is this?", Part(text="a riddle")])
    [Content(parts=[Part(text='What is this?'), Part(text='a riddle')], role='user')]
    """
    items = contents if isinstance(contents, (list, tuple)) else [contents]
    made: List[Content] = []
    parts: Optional[List[Part]] = None  # of the user content that is being put together
    for item in items:
        content = _as_content(item)
        if content is not None:
            made.append(content)
            parts = None
        else:
            if parts is None:
                parts = []
                made.append(Content(role="user", parts=parts))
            parts.append(to_part(item))
    if not made or contents == "":
        raise ConfigurationError("contents are empty: there is nothing to ask")
    return made


def _as_content(item: Any) -> Optional[Content]:
    if isinstance(item, Content):
        return item
    if isinstance(item, Mapping) and ("parts" in item or "role" in item):
        return from_request(Content, item, "a content")
    return None


def to_instruction(instruction: Any) -> Content:
    """Make the system instruction's content from whatever makes one content."""
    if isinstance(instruction, str):
        return Content(parts=[Part(text=instruction)])
    made = to_contents(instruction)
    if len(made) != 1:
        raise ConfigurationError("system_instruction is one content, not several")
    return made[0]
