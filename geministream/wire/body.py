"""Decoding of an HTTP body: chunked transfer coding and compression.

`requests` can do both, but it returns a chunk only when it is complete, is slow with small
chunks, and has no limit for decompression.  This module does no I/O itself: it calls a ``read``
function and yields bytes.
"""

import re
import zlib
from typing import Any, Callable, Generator, Iterator

from ..errors import IncompleteStreamError, StreamDecodeError

PIECE = 2**16  # the maximum number of bytes that are read, sent or decompressed at once

# The end of the previous chunk and the size of the next one:
# https://www.rfc-editor.org/rfc/rfc9112#section-7.1
_chunk_head = re.compile(rb"\r?\n([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n").match
_end_of_trailers = re.compile(rb"\n\r?\n").search
_GZIP = 0x1F  # the first byte of gzip, https://www.rfc-editor.org/rfc/rfc1952#page-6
_LONGEST_HEAD = 2**12  # bytes of a chunk's size and extensions, or of the trailers


def dechunk(read: Callable[[int], bytes]) -> Generator[bytes, None, bytes]:
    """Yield the bytes of a chunked body as they arrive.

    Bytes are yielded before their chunk is complete; chunks that arrive together are yielded
    together.

    :param read: returns up to the given number of bytes, as soon as there are any, and ``b""``
        at the end of the connection.
    :returns: the bytes that were read after the end of the body.
    :raises IncompleteStreamError: if the chunks are truncated or damaged.
    """
    left = 0  # bytes of the current chunk that have not arrived
    rest = b"\r\n"  # bytes not parsed yet; at first as if a chunk had just ended
    while True:
        data = read(PIECE)
        if not data:
            raise IncompleteStreamError("the connection was closed before the end of the answer")
        if left >= len(data):
            left -= len(data)
            yield data
            continue
        if rest:
            data = rest + data
            # From a model, each chunk comes alone and complete.
            head = _chunk_head(data)
            start = head.end() if head else 0
            pos = start + int(head.group(1), 16) if head else 0
            if start < pos == len(data) - len(b"\r\n"):
                rest = data[pos:]
                yield data[start:pos]
                continue
        pieces = [data[:left]] if left else []
        pos = left
        while True:
            head = _chunk_head(data, pos)
            if head is None:
                left, rest = 0, data[pos:]
                break
            size = int(head.group(1), 16)
            start = head.end()
            pos = start + size
            if size == 0:
                break
            pieces.append(data[start:pos])
            if pos >= len(data):
                left, rest = pos - len(data), b""
                break
        if any(pieces):
            yield b"".join(pieces)
        if head is None and (len(rest) > _LONGEST_HEAD or b"\n" in rest[2:]):
            raise IncompleteStreamError(f"the answer's chunks are damaged at {rest[:40]!r}")
        if head is not None and size == 0:
            break
    # The trailers are not used, but must be read before the next response.
    rest = b"\n" + data[pos:]
    while True:
        end = _end_of_trailers(rest)
        if end is not None:
            return rest[end.end() :]
        if len(rest) >= _LONGEST_HEAD:
            return rest
        data = read(PIECE)
        if not data:
            return b""  # the body is complete after its last chunk, even without trailers
        rest += data


def inflate(pieces: Iterator[bytes], *, gzip: bool = False) -> Iterator[bytes]:
    """Decompress gzip or deflate, at most PIECE bytes at once, to limit the memory for a zip bomb.

    :param gzip: whether the header says gzip.  Relays that decompress may keep that header, so
        data that is neither gzip nor zlib is passed on unchanged.
    :raises IncompleteStreamError: if the compressed data is truncated.
    :raises StreamDecodeError: if the compressed data is damaged.
    """
    inflater: Any = None
    start = b""
    for data in pieces:
        if inflater is None:
            start += data
            if len(start) < 2:
                continue  # the first two bytes are needed to detect the format
            if gzip and start[0] != _GZIP and not _is_zlib(start):
                yield start
                yield from pieces
                return
            inflater, data = _inflater(start), start
        try:
            while True:
                before = inflater.copy()
                out = inflater.decompress(data, PIECE)
                if out:
                    yield out
                data = inflater.unconsumed_tail
                if inflater.eof and inflater.unused_data:  # another gzip member follows
                    data = inflater.unused_data
                    inflater = _inflater(data)
                elif not data and len(out) < PIECE:
                    break
        except zlib.error as error:
            yield from _up_to_damage(before, data)
            raise StreamDecodeError(f"the compressed answer is damaged: {error}") from error
    if start and (inflater is None or not inflater.eof):
        raise IncompleteStreamError("the compressed answer is truncated")


def _up_to_damage(inflater: Any, data: bytes) -> Iterator[bytes]:
    """Yield the data before the damaged byte, which zlib does not return when it fails."""
    for position in range(len(data)):
        try:
            out = inflater.decompress(data[position : position + 1])
        except zlib.error:
            return
        if out:
            yield out


def _inflater(start: bytes) -> Any:
    if start[0] == _GZIP:
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    # "deflate" means the zlib format, but some servers send raw deflate:
    # https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
    return zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(start) else -zlib.MAX_WBITS)


def _is_zlib(start: bytes) -> bool:
    """Whether this is a header of the zlib format, https://www.rfc-editor.org/rfc/rfc1950#page-5"""
    return len(start) > 1 and start[0] & 15 == 8 and (start[0] * 256 + start[1]) % 31 == 0
