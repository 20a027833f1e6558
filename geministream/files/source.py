"""The bytes to upload: of a path, a file object, a pipe or an object in memory.

A `Seekable` can read every byte again.  A `Stream` reads each byte once, and keeps
what the server does not have yet.  Neither has more than about two pieces in memory.
"""

import io
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Callable, List, Optional, Tuple, Union

from ..errors import ConfigurationError
from ..parts import check_file
from ..types.codec import shorten
from ..wire.body import PIECE

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes]]


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
            raise ConfigurationError("the source is empty; upload at least one byte")
        return stream
    start, end = extent
    if end <= start:
        raise ConfigurationError(
            "the file object is at its end; call seek(0) on it first"
            if end > 0
            else "the source is empty; upload at least one byte"
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
            f"source must be a path, a binary file object or bytes, got {shorten(source)}"
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
        raise ConfigurationError("the source has no data yet; pass a file object in blocking mode")
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
                f"the source changed during the upload: it had {self.total} bytes and has "
                f"{'fewer' if missing > 0 else 'more'} now; upload it again when nothing writes to it"
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
        """Copy the source to a temporary file, which ``stack`` closes."""
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
                    f"cannot buffer the source in {tempfile.gettempdir()}: {error.strerror}"
                ) from error
            total += len(data)
