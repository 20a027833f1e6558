"""Bodies: out of their chunks and their compression, however the bytes are split."""

import gzip
import zlib

import pytest
from support.long_form import sample

from geministream.errors import IncompleteStreamError, StreamDecodeError
from geministream.wire.body import PIECE, dechunk, inflate

TEXT = bytes(range(256)) * 2


def chunked(*pieces, end=b"0\r\n\r\n", line=b"\r\n"):
    return b"".join(b"%x%b%b%b" % (len(piece), line, piece, line) for piece in pieces) + end


def dechunked(pieces):
    """All bytes, the error behind them, and how many pieces were not asked for."""
    stream = iter(pieces)
    data = bytearray()
    try:
        for piece in dechunk(lambda size: next(stream, b"")):
            assert piece
            data += piece
    except IncompleteStreamError as error:
        return bytes(data), str(error)
    return bytes(data), None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(chunked(TEXT), id="one chunk"),
        pytest.param(chunked(TEXT[:1], TEXT[1:3], TEXT[3:]), id="three chunks"),
        pytest.param(chunked(*[TEXT[k : k + 1] for k in range(len(TEXT))]), id="chunks of one byte"),
        pytest.param(chunked(TEXT[:300], TEXT[300:], line=b"\n", end=b"0\n\n"), id="LF"),
        pytest.param(chunked(TEXT, end=b"000\r\nX-Sum: 1\r\nY: 2\r\n\r\n"), id="trailers"),
        pytest.param(b'00200 ; a="b;c"\r\n' + TEXT + b"\r\n0;x\r\n\r\n", id="extensions"),
        pytest.param(
            b"1FF\r\n" + TEXT[:511] + b"\r\n1\r\n" + TEXT[511:] + b"\r\n0\r\n\r\n", id="capital digits"
        ),
    ],
)
def test_chunks_at_every_split(body):
    assert dechunked([body]) == (TEXT, None)
    for split in sample(range(1, len(body)), 5):
        assert dechunked([body[:split], body[split:]]) == (TEXT, None), split
    for size in (1, 2, 3, 10):
        assert dechunked([body[k : k + size] for k in range(0, len(body), size)]) == (TEXT, None)


def test_a_cut_at_every_byte_raises():
    body = chunked(TEXT[:200], TEXT[200:])
    for cut in range(len(body) - 4):  # from "0" on, the body was whole
        data, error = dechunked([body[:cut]] if cut else [])
        assert TEXT.startswith(data) and error, cut
    # What is here of a chunk comes out before its end does.
    assert dechunked([body[:100]])[0] == TEXT[:96]


def test_bytes_come_out_as_they_come_in():
    body = chunked(TEXT)
    stream = iter([body[:10], body[10:11], body[11:]])
    pieces = dechunk(lambda size: next(stream, b""))
    assert next(pieces) == TEXT[:5] and next(pieces) == TEXT[5:6]


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"\r\n\r\n",
        b"-5\r\nhello",
        b"5\r\nhelloworld",
        b"5 5\r\n",
        b"0x5\r\nhello",
        b"5\r\rhello",
        b"1" * 20 + b"\r\n",
        b"5;" + b"x" * 20000,
        b" 5\r\nhello",
        b"5\r\nhello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xb2\r\nxx",
    ],
)
def test_a_body_that_is_not_chunked_raises(body):
    for pieces in ([body], [body[k : k + 1] for k in range(len(body))]):
        data, error = dechunked(pieces)
        assert error and len(error) < 300
        assert data in (b"", b"hello")


@pytest.mark.parametrize("body", [b"x\r\n", b"5\r\nhello\r\n\r\n", b"5;" + b"x" * 5000, b"5" + b" " * 5000])
def test_damage_raises_at_once(body):
    """Without waiting for bytes that may never come."""
    stream = iter([body])
    with pytest.raises(IncompleteStreamError, match="damaged"):
        for _ in dechunk(lambda size: next(stream)):
            pass


def test_endless_trailers_do_not_hang():
    asked = []

    def read(size):
        asked.append(size)
        assert len(asked) < 100
        return chunked(TEXT, end=b"0\r\n") if len(asked) == 1 else b"X: 1\r\n" * 100

    assert b"".join(dechunk(read)) == TEXT and len(asked) > 2


def test_nothing_past_the_end_is_asked_for():
    """Or a connection that is kept open would be waited for."""
    asked = []

    def read(size):
        asked.append(size)
        if len(asked) > 1:
            raise AssertionError("asked for more")
        return chunked(TEXT)

    assert b"".join(dechunk(read)) == TEXT and asked == [PIECE]


def pieces_of(packed, size):
    return [packed[k : k + size] for k in range(0, len(packed), size)]


PACKED = {
    "gzip": gzip.compress(TEXT),
    "zlib": zlib.compress(TEXT),
    "raw deflate": zlib.compress(TEXT)[2:-4],
    "two members": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    "an empty member": gzip.compress(b"") + gzip.compress(TEXT),
    "stored": gzip.compress(TEXT, 0),
}


@pytest.mark.parametrize("name", PACKED)
def test_compression_at_every_split(name):
    packed = PACKED[name]
    assert b"".join(inflate(iter([packed]))) == TEXT
    for split in range(1, len(packed)):
        assert b"".join(inflate(iter([packed[:split], packed[split:]]))) == TEXT, split
    for size in (1, 2, 3, 10):
        assert b"".join(inflate(iter(pieces_of(packed, size)))) == TEXT


@pytest.mark.parametrize("name", ["gzip", "zlib", "two members"])
def test_compression_cut_at_every_byte(name):
    packed = PACKED[name]
    complete = {len(packed), len(gzip.compress(TEXT[:100])) if name == "two members" else len(packed)}
    for cut in set(range(1, len(packed))) - complete:
        data = bytearray()
        with pytest.raises(IncompleteStreamError):
            for piece in inflate(iter([packed[:cut]])):
                data += piece
        assert TEXT.startswith(bytes(data))
        assert bytes(data) == zlib.decompressobj(47).decompress(packed[:cut]) or name == "two members"


def test_raw_deflate_that_begins_almost_as_zlib_does():
    squeeze = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = squeeze.compress(TEXT[:31]) + squeeze.flush(zlib.Z_FULL_FLUSH) + squeeze.flush()
    assert packed[0] == 0 and (packed[0] * 256 + packed[1]) % 31 == 0
    assert b"".join(inflate(iter([packed]))) == TEXT[:31]


@pytest.mark.parametrize("size", range(2 * PIECE - 3, 2 * PIECE + 300, 29))
def test_output_that_fills_a_piece_may_continue_without_further_input(size):
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = squeeze.compress(bytes(size)) + squeeze.flush()
    for step in (1, len(packed)):
        assert b"".join(inflate(iter(pieces_of(packed, step)))) == bytes(size)


def test_nothing_compressed_inflates_to_nothing():
    assert list(inflate(iter([]))) == []


def test_a_piece_is_never_large():
    bomb = gzip.compress(bytes(20 * 2**20))
    sizes = [len(piece) for piece in inflate(iter(pieces_of(bomb, PIECE)))]
    assert max(sizes) <= PIECE and sum(sizes) == 20 * 2**20


def test_damage_raises_after_all_intact_data():
    squeeze = zlib.compressobj(wbits=31)
    whole = squeeze.compress(TEXT) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    for size in (1, 10, 10**6):
        data = bytearray()
        with pytest.raises(StreamDecodeError, match="damaged"):
            for piece in inflate(iter(pieces_of(whole + b"\x07 no block", size))):
                data += piece
        assert bytes(data) == TEXT
