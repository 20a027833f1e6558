"""What is uploaded: the bytes of a path, a file object or a pipe, and what is said about them.

Bytes come from a `Seekable`, which can read every byte again, or from a `Stream`,
which reads each byte once and keeps what the server does not have yet.  Neither has
more than about two pieces in memory.
"""

import io
import json
import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Callable, List, Optional, Tuple, Union

from ..errors import ConfigurationError
from ..parts import check_file, guess_mime_type
from ..types.codec import shorten
from ..wire.body import PIECE
from .api import file_id

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes]]
Progress = Callable[[int, Optional[int]], Any]


class Job:
    """What is said about a source, and how to send it; checked.

    :ivar metadata: the JSON of the file's names.  They may be in any script, so they
        never go into a header.
    :ivar filename: the file's name in ASCII, for the form.
    """

    def __init__(
        self,
        source: Source,
        mime_type: Optional[str],
        display_name: Optional[str],
        name: Optional[str],
        chunk_bytes: int,
        progress: Optional[Progress],
    ) -> None:
        if isinstance(chunk_bytes, bool) or not isinstance(chunk_bytes, int) or chunk_bytes < 1:
            raise ConfigurationError(f"chunk_bytes= is a number of bytes from 1, not {chunk_bytes!r}")
        if progress is not None and not callable(progress):
            raise ConfigurationError(f"progress= is called as progress(sent, total); {progress!r} cannot be")
        if display_name is not None and not isinstance(display_name, str):
            raise ConfigurationError(f"display_name= is a text, not {display_name!r}")
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(f"name= is a text such as 'files/my-video', not {name!r}")
        own_name = _name_of(source)
        self.mime_type = _mime_type(mime_type, own_name)
        shown = display_name or own_name
        # A file's name may hold bytes that are not UTF-8, as lone surrogates (PEP 383).
        fields = {"displayName": shown.encode("utf-8", "replace").decode("utf-8")} if shown else {}
        if name is not None:
            fields["name"] = f"files/{file_id(name)}"
        self.metadata = json.dumps({"file": fields}).encode("ascii")
        self.filename = _ascii_name(shown, own_name)
        self.chunk_bytes = chunk_bytes
        self.progress: Progress = progress or _no_progress


def _no_progress(sent: int, total: Optional[int]) -> None:
    pass


def _name_of(source: Source) -> str:
    """The source's file name without its directory; empty if it has none."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).name
    name = getattr(source, "name", None)
    # The name of a temporary file may be a number, that of a pipe is "<stdin>".
    return os.path.basename(name) if isinstance(name, str) and not name.startswith("<") else ""


def _mime_type(given: Optional[str], name: str) -> str:
    mime_type = given or guess_mime_type(name)
    if not mime_type:
        raise ConfigurationError(
            f"the name {name!r} does not tell the MIME type; give mime_type="
            if name
            else "the source has no name that tells its MIME type; give mime_type="
        )
    if not isinstance(mime_type, str) or not re.fullmatch(r"[!-~]+/[!-~][ -~]*", mime_type):
        raise ConfigurationError(f"a MIME type is a text such as 'video/mp4', not {mime_type!r}")
    return mime_type


def _ascii_name(shown: str, name: str) -> str:
    """A file name for the form; servers written in Go take a part without one for text."""
    if re.fullmatch(r"[\w. ()+,=@-]+", shown, re.ASCII):
        return shown
    ending = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    return "upload" + (ending.group() if ending else "")


# The bytes -------------------------------------------------------------------------


def open_source(source: Source, check: Callable[[], None], stack: ExitStack) -> "Union[Seekable, Stream]":
    """Open a source, and check that it is binary and not empty.

    :param check: raises if the call is over; a `Stream` calls it before each read.
    :param stack: closes what is opened here.
    """
    file = _open(source, stack)
    if not isinstance(_read(file, 0), (bytes, bytearray, memoryview)):
        raise ConfigurationError("the file object is not binary; open it with mode 'rb'")
    extent = _extent(file)
    if extent is None:
        stream = Stream(file, check)
        if not stream.piece(0, 1):
            raise ConfigurationError("the source is empty")
        return stream
    start, end = extent
    if end <= start:
        raise ConfigurationError(
            "the file object stands at its end; call its seek(0) first" if end > 0 else "the source is empty"
        )
    return Seekable(file, start, end - start)


def _open(source: Source, stack: ExitStack) -> Any:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_fifo():
            check_file(path)
        try:
            return stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if not callable(getattr(source, "read", None)):
        raise ConfigurationError(
            f"upload_file() takes a path, a binary file object or bytes, not {shorten(source)}"
        )
    return source


def _extent(file: Any) -> Optional[Tuple[int, int]]:
    """The position and the end of a file object, or None if it can be read only once."""
    try:
        if hasattr(file, "seekable") and not file.seekable():
            return None
        start = file.tell()
        file.seek(0, io.SEEK_END)
        end = file.tell()
        file.seek(start)
    except (OSError, ValueError, AttributeError):
        return None
    return start, end


def _read(file: Any, size: int) -> Any:
    try:
        data = file.read(size)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise ConfigurationError(f"the source cannot be read: {error}") from error
    if data is None:
        raise ConfigurationError("the source has nothing to read now; give a file object that blocks")
    return data


class Seekable:
    """A source whose bytes can be read again.

    :ivar total: its size in bytes.
    :ivar earliest: the first offset that can be read.
    """

    earliest = 0

    def __init__(self, file: Any, start: int, total: int) -> None:
        self._file = file
        self._start = start
        self.total = total

    def piece(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on, or those up to the end."""
        size = min(size, self.total - offset)
        self._file.seek(self._start + offset)
        parts: List[bytes] = []
        missing = size
        while missing > 0:  # an unbuffered file may return less than it has
            data = _read(self._file, missing)
            if not data:
                break
            parts.append(data)
            missing -= len(data)
        if missing > 0 or (offset + size == self.total and _read(self._file, 1)):
            raise ConfigurationError(
                f"the source changed while it was uploaded: it had {self.total} bytes at first and "
                f"has {'fewer' if missing > 0 else 'more'} now; upload it when nobody writes to it"
            )
        return b"".join(parts)  # of a single part no copy is made


class Stream:
    """A source that can be read only once; it keeps the bytes that the server does not have yet.

    :ivar total: its size in bytes; None until its end was read.
    :ivar earliest: the first offset that is kept.
    """

    def __init__(self, file: Any, check: Callable[[], None]) -> None:
        self._file = file
        self._check = check
        self._kept = bytearray()
        self.earliest = 0
        self.total: Optional[int] = None

    def piece(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on, or those up to the end; forget what is before them."""
        del self._kept[: offset - self.earliest]
        self.earliest = offset
        # One byte more shows whether this piece is the last.
        while self.total is None and len(self._kept) <= size:
            self._check()  # the source may be slow
            data = _read(self._file, PIECE)
            if not data:
                self.total = offset + len(self._kept)
            self._kept += data
        return bytes(memoryview(self._kept)[:size])

    def on_disk(self, stack: ExitStack) -> Seekable:
        """Copy the whole source to a temporary file, which ``stack`` closes."""
        copy = stack.enter_context(tempfile.TemporaryFile())
        total = 0
        while True:
            data = self.piece(total, PIECE)
            if not data:
                return Seekable(copy, 0, total)
            try:
                copy.write(data)
            except OSError as error:
                raise ConfigurationError(
                    f"the source cannot be kept in {tempfile.gettempdir()} for the upload: {error.strerror}"
                ) from error
            total += len(data)
