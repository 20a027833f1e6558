"""The checked arguments of an upload."""

import json
import os
import re
from pathlib import Path
from typing import Any, Callable, Optional

from ..errors import ConfigurationError
from ..parts import guess_mime_type
from .api import file_id
from .source import Source

Progress = Callable[[int, Optional[int]], Any]


class Job:
    """The arguments of one upload, checked.

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
            raise ConfigurationError(f"chunk_bytes= must be an integer >= 1, got {chunk_bytes!r}")
        if progress is not None and not callable(progress):
            raise ConfigurationError(f"progress= must be a callable progress(sent, total), got {progress!r}")
        if display_name is not None and not isinstance(display_name, str):
            raise ConfigurationError(f"display_name= must be a str, got {display_name!r}")
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(f"name= must be a str such as 'files/my-video', got {name!r}")
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
            f"cannot guess the MIME type from the name {name!r}; pass mime_type="
            if name
            else "cannot guess the MIME type of a source without a name; pass mime_type="
        )
    if not isinstance(mime_type, str) or not re.fullmatch(r"[!-~]+/[!-~][ -~]*", mime_type):
        raise ConfigurationError(f"mime_type= must be a str such as 'video/mp4', got {mime_type!r}")
    return mime_type


def _ascii_name(shown: str, name: str) -> str:
    """A file name for the form; servers written in Go take a part without one for text."""
    if re.fullmatch(r"[\w. ()+,=@-]+", shown, re.ASCII):
        return shown
    ending = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    return "upload" + (ending.group() if ending else "")
