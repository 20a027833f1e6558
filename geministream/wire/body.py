"""The bytes of an HTTP body: out of their chunks, out of their compression.

`requests` can do both, but hands a chunk out only when all of it is here, takes
its time over small ones, and inflates without a bound.  Nothing here does any
I/O: a ``read`` function goes in, pieces of bytes come out.
"""

import re
import zlib
from typing import Any, Callable, Generator, Iterator

from ..errors import IncompleteStreamError, StreamDecodeError

PIECE = 2**16  # the most bytes that are read, sent or inflated at once

# The end of the chunk before, and the size of the next:
# https://www.rfc-editor.org/rfc/rfc9112#section-7.1
_chunk_head = re.compile(rb"\r?\n([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n").match
_end_of_trailers = re.compile(rb"\n\r?\n").search
_GZIP = 0x1F  # its first byte, https://www.rfc-editor.org/rfc/rfc1952#page-6
_LONGEST_HEAD = 2**12  # with its extensions, of which no use is known


def dechunk(read: Callable[[int], bytes]) -> Generator[bytes, None, bytes]:
    """The bytes of a chunked body, as they arrive.

    A chunk is not waited for: what is here of it comes out at once, and the
    chunks that came together come out together.

    :param read: returns up to so many bytes, as soon as there are any, and
        ``b""`` at the end of the connection.
    :returns: what was read beyond the end of the body.
    :raises IncompleteStreamError: where the chunks do not end, or are damaged.
    """
    left = 0  # bytes of a chunk that are still to come
    rest = b"\r\n"  # not understood yet; as if a chunk had just ended
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
    # The trailers are of no use here, but must not be left for the next response.
    rest = b"\n" + data[pos:]
    while True:
        end = _end_of_trailers(rest)
        if end is not None:
            return rest[end.end() :]
        if len(rest) >= _LONGEST_HEAD:
            return rest
        data = read(PIECE)
        if not data:
            return b""  # the last chunk has said that the body is whole
        rest += data


def inflate(pieces: Iterator[bytes], *, gzip: bool = False) -> Iterator[bytes]:
    """Decompress gzip or deflate, at most PIECE bytes at once: a small bomb stays small.

    :param gzip: whether gzip was announced.  Relays that decompress may keep that
        header: what neither gzip nor zlib has written is then passed on as it is.

    :raises IncompleteStreamError: where the compressed data was cut short.
    :raises StreamDecodeError: where it is damaged.
    """
    inflater: Any = None
    start = b""
    for data in pieces:
        if inflater is None:
            start += data
            if len(start) < 2:
                continue  # the first two bytes tell the format
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
        raise IncompleteStreamError("the compressed answer was cut short")


def _up_to_damage(inflater: Any, data: bytes) -> Iterator[bytes]:
    """What zlib has of a piece before the byte at which it fails; it does not say by itself."""
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
    # "deflate" means zlib's format, and is raw deflate from some servers:
    # https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
    return zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(start) else -zlib.MAX_WBITS)


def _is_zlib(start: bytes) -> bool:
    """The header of zlib's format, https://www.rfc-editor.org/rfc/rfc1950#page-5"""
    return len(start) > 1 and start[0] & 15 == 8 and (start[0] * 256 + start[1]) % 31 == 0
