"""The prompt: its words, piped text, and attached files."""

import argparse
import os
import re
import select
import sys
from pathlib import Path
from typing import Any, List, Optional, TextIO, Union

from ..endpoint import Endpoint
from ..errors import ConfigurationError
from ..parts import (
    LARGEST_INLINE,
    LARGEST_PDF,
    check_file,
    guess_mime_type,
    part_from_bytes,
    part_from_path,
    part_from_uri,
)
from ..types import Blob, File, Part
from .progress import upload_with_progress
from .terminal import is_terminal, note


def read_prompt(args: argparse.Namespace) -> str:
    """The words of the prompt, and the piped text.

    :raises ConfigurationError: if there is nothing to send, not even a file.
    """
    texts = [" ".join(args.prompt)]
    if not args.no_stdin and "-" not in args.file:
        texts.append(piped_text(sys.stdin))
    prompt = "\n\n".join(text for text in texts if text.strip())
    if not prompt and not args.file:
        raise ConfigurationError(
            "there is nothing to send; type a prompt, pipe one in, or attach a file with -f"
        )
    if args.file.count("-") > 1:
        raise ConfigurationError("-f - attaches standard input, which can be read only once; use it once")
    return prompt


def contents_of(args: argparse.Namespace, prompt: str, endpoint: Endpoint) -> List[Any]:
    """The contents of a request: the attachments, uploaded if necessary, and the prompt."""
    contents: List[Any] = []
    for name in args.file:
        room = LARGEST_INLINE - inline_bytes(contents)
        attach = _standard_input if name == "-" else attachment
        contents.append(attach(name, endpoint, mime_type=args.mime_type, upload=args.upload, room=room))
    # Google recommends media before the text about them.
    return [*contents, prompt] if prompt else contents


def attachment(
    name: str,
    endpoint: Endpoint,
    *,
    mime_type: Optional[str] = None,
    upload: bool = False,
    room: int = LARGEST_INLINE,
) -> Union[Part, File]:
    """The file or URI of ``-f``, for the contents of a request.

    A local file is sent inside the request if there is room; otherwise it is
    uploaded first.

    :param mime_type: default: guessed from the name.
    :param upload: upload the file even if it is small.
    :param room: the number of bytes that still fit in the request.
    :raises ConfigurationError: if there is no such file, or its type is not known.
    """
    try:
        return _attachment(name, endpoint, mime_type, upload, room)
    except ConfigurationError as error:
        raise ConfigurationError(f"cannot attach {name or repr(name)}: {error}") from error


def _attachment(
    name: str, endpoint: Endpoint, mime_type: Optional[str], upload: bool, room: int
) -> Union[Part, File]:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return part_from_uri(name, mime_type)
    if re.fullmatch(r"files/[a-z0-9-]+", name) and not os.path.exists(name):
        from ..files import wait_for_file

        return wait_for_file(name, endpoint=endpoint)
    mime_type = mime_type_of_file(name, mime_type)
    limit = LARGEST_PDF if mime_type == "application/pdf" else LARGEST_INLINE
    if not upload and os.path.getsize(name) <= min(limit, room):
        return part_from_path(name, mime_type)

    file = upload_with_progress(name, endpoint, mime_type, wait=True)
    note(f"uploaded {name} as {file.name}, which -f also accepts for 48 hours")
    return file


def _standard_input(
    name: str, endpoint: Endpoint, *, mime_type: Optional[str], upload: bool, room: int
) -> Union[Part, File]:
    """Standard input as an attachment."""
    data = sys.stdin.buffer.read() if sys.stdin is not None else b""
    if not data:
        raise ConfigurationError("cannot attach standard input: it is empty; pipe a file into it")
    mime_type = mime_type or _mime_type_of_data(data)
    if mime_type is None:
        raise ConfigurationError("cannot guess the MIME type of standard input; set --mime-type")
    limit = LARGEST_PDF if mime_type == "application/pdf" else LARGEST_INLINE
    if not upload and len(data) <= min(limit, room):
        return part_from_bytes(data, mime_type)
    file = upload_with_progress(data, endpoint, mime_type, wait=True)
    note(f"uploaded standard input as {file.name}, which -f also accepts for 48 hours")
    return file


# The first bytes of common files.
_BEGINNINGS = (
    (rb"\x89PNG\r\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"ID3|\xff\xfb", "audio/mpeg"),
    (rb"OggS", "audio/ogg"),
    (rb"fLaC", "audio/flac"),
    (rb"....ftyp", "video/mp4"),
    (rb"%PDF-", "application/pdf"),
)


def _mime_type_of_data(data: bytes) -> Optional[str]:
    """Guess the MIME type from the first bytes; None if the data are not a known type or text."""
    for beginning, mime_type in _BEGINNINGS:
        if re.match(beginning, data, re.DOTALL):
            return mime_type
    return "text/plain" if _is_text(data[: 2**16]) else None


def _is_text(head: bytes) -> bool:
    # The last character may be incomplete.
    return b"\0" not in head and "\ufffd" not in head.decode("utf-8", "replace")[:-1]


def inline_bytes(parts: List[Any]) -> int:
    """The bytes of media among these parts."""
    blobs = [part.inline_data for part in parts if isinstance(part, Part)]
    data = [blob.data for blob in blobs if isinstance(blob, Blob)]
    return sum(len(each) for each in data if isinstance(each, (bytes, str)))


def mime_type_of_file(path: str, mime_type: Optional[str] = None) -> str:
    """The given type, or the one guessed from the name, or plain text if the file contains text.

    :raises ConfigurationError: if there is no such file, or its type is not known.
    """
    if os.path.isdir(path):
        raise ConfigurationError(f"{path} is a directory; name a file in it")
    check_file(Path(path))
    mime_type = mime_type or guess_mime_type(path)
    if mime_type is None:
        with open(path, "rb") as file:
            head = file.read(2**16)
        if not _is_text(head):
            raise ConfigurationError(f"cannot guess the MIME type of {path}; set --mime-type")
        mime_type = "text/plain"
    return mime_type


def piped_text(stdin: Optional[TextIO]) -> str:
    """The text that is piped into stdin; "" if it is a terminal, empty or closed.

    :raises ConfigurationError: if it is not text.
    """
    if stdin is None or is_terminal(stdin):
        return ""
    _warn_of_silence(stdin)
    data = stdin.buffer.read()
    # Windows PowerShell pipes UTF-16; older Windows programs use their code page.
    encodings = ["utf-16"] if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", stdin.encoding]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.strip("\r\n")
    raise ConfigurationError("standard input is not text; use -f for files")


def _warn_of_silence(stdin: TextIO) -> None:
    """Print a note if stdin is a pipe that stays silent."""
    try:
        if not select.select([stdin], [], [], 2.0)[0]:
            note("waiting for standard input to end; use --no-stdin if nothing is piped in")
    except (OSError, ValueError):
        pass  # Windows can select only on sockets
