"""Parts and contents, made from strings, paths, files, bytes and URIs."""

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

# A request may have 100 MB, including base64 (4 bytes for 3), and a PDF 50 MB:
# https://ai.google.dev/gemini-api/docs/file-input-methods
LARGEST_INLINE = 100 * 10**6 * 3 // 4
LARGEST_PDF = 50 * 10**6

# The types that Gemini accepts and that the standard library of Python 3.8 does not know, or
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
    """Guess the MIME type from a file's name or a URI; return None if that is not possible."""
    name = name.lower()
    known, encoding = _standard_types().guess_type(name)
    return _MIME_TYPES.get(os.path.splitext(name)[1]) or (None if encoding else known)


@lru_cache(maxsize=None)
def _standard_types() -> mimetypes.MimeTypes:
    """Return the standard library's table without the system's files, so that all machines agree."""
    return mimetypes.MimeTypes()


def part_from_path(path: "Union[str, os.PathLike[str]]", mime_type: Optional[str] = None) -> Part:
    """Return a part that contains a file's bytes.

    :param path: the path of the file, which is read now.
    :param mime_type: such as ``"image/png"``; default: guessed from the name.
    :raises ConfigurationError: if the file is missing, a directory, empty, unreadable or too
        large to be sent inline (use `upload_file` instead), or if its MIME type cannot be
        guessed from its name.

    >>> for chunk in stream_generate("gemini-flash-latest", [    # doctest: +SKIP
    ...     "What is in this picture?", part_from_path("cat.png")
    ... ]):
    ...     print(chunk.text, end="")
    """
    try:
        path = Path(path)
    except TypeError:
        raise ConfigurationError(f"path must be a str or a pathlib.Path, got {shorten(path)}") from None
    check_file(path)
    mime_type = mime_type or mime_type_of(path)
    size = path.stat().st_size
    limit = LARGEST_PDF if mime_type == "application/pdf" else LARGEST_INLINE
    if size > limit:
        raise ConfigurationError(
            f"{path} has {size} bytes, and at most {limit} bytes can be sent inline; "
            "upload it with upload_file() and use the File that it returns"
        )
    try:
        return part_from_bytes(path.read_bytes(), mime_type)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def check_file(path: Path) -> None:
    """Raise ConfigurationError unless ``path`` is a file that is not empty."""
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path} is a directory; pass the path of a file")
        size = path.stat().st_size
        special = not path.is_file()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} is not a valid path: {error}") from error
    if special:
        raise ConfigurationError(f"{path} is not a regular file; read it and use part_from_bytes()")
    if size == 0:
        raise ConfigurationError(f"{path} is empty")


def mime_type_of(path: Path) -> str:
    """Guess the MIME type from the name of ``path``.

    :raises ConfigurationError: if that is not possible.
    """
    mime_type = guess_mime_type(path.name)
    if mime_type is None:
        raise ConfigurationError(f"cannot guess the MIME type of {path} from its name; pass mime_type=")
    return mime_type


def part_from_bytes(data: Union[bytes, bytearray, memoryview], mime_type: str) -> Part:
    """Return a part that contains bytes.

    :param data: the bytes, at least one.
    :param mime_type: such as ``"image/png"``.
    :raises ConfigurationError: if ``data`` is not bytes or is empty, or the MIME type is not valid.

    >>> part_from_bytes(b"...", "image/png").inline_data.mime_type
    'image/png'
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ConfigurationError(f"data must be bytes, got a value of type {type(data).__name__}")
    if len(data) == 0:
        raise ConfigurationError("data is empty; pass at least one byte")
    if not isinstance(mime_type, str) or "/" not in mime_type:
        raise ConfigurationError(f"mime_type must be a str such as 'image/png', got {mime_type!r}")
    return Part(inline_data=Blob(data=data if type(data) is bytes else bytes(data), mime_type=mime_type))


def part_from_uri(uri: str, mime_type: Optional[str] = None) -> Part:
    """Return a part that refers to a file on a server.

    :param uri: the URI of an uploaded file, ``gs://…``, or the URL of a video.
    :param mime_type: default: guessed from the URI's path; omitted if that is not possible,
        since the server knows the type of its own files.
    :raises ConfigurationError: if ``uri`` has no scheme.

    >>> part_from_uri("gs://bucket/cat.png").file_data.mime_type
    'image/png'
    """
    if not isinstance(uri, str) or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
        raise ConfigurationError(
            f"{shorten(uri)} is not a valid URI, which starts with a scheme such as https://; "
            "for a file on this machine use part_from_path()"
        )
    name = unquote(re.split("[?#]", uri)[0]).rsplit("/", 1)[-1]
    return Part(file_data=FileData(file_uri=uri, mime_type=mime_type or guess_mime_type(name)))


def to_part(value: Any) -> Part:
    """Return the part for a str, a ``pathlib.Path``, a File, a mapping or a Part.

    :raises ConfigurationError: if the value is something else, or the file cannot be used.
    """
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
        raise ConfigurationError("bytes have no MIME type; use part_from_bytes(data, mime_type)")
    raise ConfigurationError(
        "contents must be a str, a pathlib.Path, a Part, a File, a Content or a mapping, "
        f"or a list of these, got {shorten(value)}"
    )


def _part_from_file(file: File) -> Part:
    if file.state == "PROCESSING":
        raise ConfigurationError(f"{file.name} is still being processed; call wait_for_file() first")
    if file.state == "FAILED":
        raise ConfigurationError(f"the server could not process {file.name}; upload it again")
    if not file.uri:
        raise ConfigurationError("the File has no uri; get it again with get_file(name)")
    return Part(file_data=FileData(file_uri=file.uri, mime_type=file.mime_type))


def to_contents(contents: ContentsLike) -> List[Content]:
    """Return the list of contents for a request.

    Consecutive strings, paths, Files, Parts and mappings of parts become one ``user``
    content.  Contents, and mappings with ``parts`` or ``role``, remain separate contents.

    :param contents: a str, a ``pathlib.Path``, a Part, File, Content or mapping, or a list of these.
    :raises ConfigurationError: if ``contents`` is empty or contains anything else.

    >>> to_contents(["What is this?", Part(text="a riddle")])
    [Content(parts=[Part(text='What is this?'), Part(text='a riddle')], role='user')]
    """
    items = contents if isinstance(contents, (list, tuple)) else [contents]
    made: List[Content] = []
    parts: Optional[List[Part]] = None  # the parts of the current user content
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
        raise ConfigurationError("contents are empty; pass a prompt")
    return made


def _as_content(item: Any) -> Optional[Content]:
    if isinstance(item, Content):
        return item
    if isinstance(item, Mapping) and ("parts" in item or "role" in item):
        return from_request(Content, item, "a content")
    return None


def to_instruction(instruction: Any) -> Content:
    """Return the system instruction's content.

    :raises ConfigurationError: if ``instruction`` does not make exactly one content.
    """
    if isinstance(instruction, str):
        return Content(parts=[Part(text=instruction)])
    made = to_contents(instruction)
    if len(made) != 1:
        raise ConfigurationError(f"system_instruction must be one content, got {len(made)}")
    return made[0]
