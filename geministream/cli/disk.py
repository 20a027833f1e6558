"""Write files atomically."""

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator

from .terminal import naming


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A new file that replaces ``path`` if the block ends without an exception.

    A link stays a link, and the file keeps its mode, and its owner if that is
    allowed.
    """
    target = os.path.realpath(path)
    beside = f"{target}.{os.urandom(4).hex()}.tmp"
    before = os.stat(target) if os.path.exists(target) else None
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode)
    file = open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode & 0o777))
    try:
        with file:
            yield file
            file.flush()
            if before is not None:
                os.chmod(beside, _take_owner(beside, before, mode))
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise


def _take_owner(path: str, before: os.stat_result, mode: int) -> int:
    """Give the file the owner and group of another; return the mode to set."""
    for owner in (before.st_uid, -1) if hasattr(os, "chown") else ():
        try:
            os.chown(path, owner, before.st_gid)
            return mode
        except PermissionError:
            pass  # only root may change the owner
    return mode & ~stat.S_IRWXG if hasattr(os, "chown") else mode  # those bits were for another group


def save_media(data: bytes, mime_type: str, directory: Path) -> Path:
    """Write data to a new file in the directory, and return its path; no file is replaced."""
    import mimetypes

    essence = mime_type.partition(";")[0].strip().lower()
    # The server's MIME type is only looked up, so it cannot inject a path.
    kind = essence.partition("/")[0]
    kind = kind if kind in ("image", "audio", "video", "text") else "data"
    suffix = _SUFFIXES.get(essence) or mimetypes.guess_extension(essence) or ".bin"
    number = 1
    while True:
        path = directory / f"{kind}-{number}{suffix}"
        try:
            file = open(path, "xb")
            break
        except FileExistsError:
            number += 1
    try:
        with naming(str(path)), file:
            file.write(data)
    except BaseException:
        os.unlink(path)  # a truncated image is useless
        raise
    return path


# Types that the standard library of Python 3.8 does not know, or with an unusual suffix.
_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/l16": ".pcm",
    "audio/pcm": ".pcm",
    "text/plain": ".txt",
}
