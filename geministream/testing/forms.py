"""Bodies in several parts: multipart/form-data and multipart/related, read while they arrive."""

from __future__ import annotations

import re
from typing import Dict, Iterator, Optional, Tuple

from .wire import BadRequest


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names."""
    match = re.search(r'boundary="?([^";]+)', content_type)
    if not match:
        raise BadRequest("The Content-Type has no boundary.")
    return match.group(1).encode()


def form_parts(pieces: Iterator[bytes], boundary: bytes) -> Iterator[Tuple[Dict[str, str], bytes]]:
    """The parts of a multipart body while it arrives: each piece of data with its part's headers."""
    mark = b"\r\n--" + boundary
    held = b"\r\n"  # there is no line end before the first boundary
    headers: Optional[Dict[str, str]] = {}  # of the preamble; None: a head is being read
    start = 0  # of the data: after the line end of the head, which may also begin a boundary
    for piece in pieces:
        held += piece
        while True:
            if headers is None:
                end = held.find(b"\r\n\r\n")
                if held.startswith(b"--") or end < 0:
                    break  # the end of the form, or of what has arrived
                lines = held[:end].decode("utf-8", "replace").split("\r\n")
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines if line)
                }
                held, start = held[end + 2 :], 2
                yield headers, b""
            place = held.find(mark)
            if place < 0:
                safe = len(held) - len(mark)
                if safe > start:
                    yield headers, held[start:safe]
                    held, start = held[safe:], 0
                break
            yield headers, held[start:place]
            held, headers = held[place + len(mark) :], None
