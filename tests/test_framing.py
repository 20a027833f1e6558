"""Framing: any split of any body gives the same values; limits; linear time."""

import json
import random
import time
import tracemalloc

import pytest
from dialects import A, B, C, STREAMS, array, chunk, dumps, ndjson, sse
from long_form import sample

from geministream.errors import GeministreamError, IncompleteStreamError, StreamDecodeError
from geministream.framing import Framing

LONG = 5000  # bodies above this are not split at every position


def values_of(pieces, limit=256 * 2**20):
    """The values, and the class of the error that ended them."""
    framing = Framing(limit)
    values = []
    try:
        for piece in pieces:
            values.extend(framing.feed(piece))
        values.extend(framing.close())
    except GeministreamError as error:
        return as_text(values), type(error)
    return as_text(values), None


def as_text(values):
    """Comparable, also where NaN is among the values."""
    return [repr(value) for value in values]


def in_pieces(body, size):
    return [body[start : start + size] for start in range(0, len(body), size)]


BODIES = [pytest.param(body, id=name) for name, body, _, _ in STREAMS]


@pytest.mark.parametrize("body", BODIES)
def test_every_split_gives_the_same(body):
    expected = values_of([body])
    if len(body) > LONG:
        splits = range(0, len(body), len(body) // 8)
    else:
        splits = sample(range(len(body) + 1), 2, first=len(body) % 2)
    for split in splits:
        # An empty piece means nothing.
        empty = [b""] if split % 2 else []
        assert values_of([body[:split], *empty, body[split:]]) == expected, split


@pytest.mark.parametrize("body", BODIES)
def test_small_pieces_give_the_same(body):
    expected = values_of([body])
    for size in (1, 2, 3, 7) if len(body) < LONG else (997,):
        assert values_of(in_pieces(body, size)) == expected, size
    pick = random.Random(len(body))
    for _ in range(3):
        pieces, start = [], 0
        while start < len(body):
            end = start + pick.choice((1, 2, 5, 50, 500 if len(body) < LONG else 50000))
            pieces.append(body[start:end])
            start = end
        assert values_of(pieces) == expected


@pytest.mark.parametrize("body", [
    pytest.param(sse(A, B, C), id="SSE"),
    pytest.param(sse(A, B, C, end=b"\n"), id="SSE, LF"),
    pytest.param(sse(A, B, C, end=b"\r"), id="SSE, CR"),
    pytest.param(array(A, B, C), id="array"),
    pytest.param(ndjson(A, B, C), id="lines"),
])
def test_a_value_comes_with_its_last_byte(body):
    """Not a byte later: the caller may wait a minute for the next one."""
    framing = Framing()
    came_at = []
    for position in range(len(body)):
        for _ in framing.feed(body[position : position + 1]):
            came_at.append(position + 1)
    expected = []
    for value in (A, B, C):
        written = dumps(value) if dumps(value) in body else json.dumps(value, indent=2).encode()
        end = body.index(written) + len(written)
        if body.startswith(b"data:"):
            end += 1  # the line's end: of CRLF the CR suffices, and the blank line says nothing new
        expected.append(end)
    assert came_at == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_object_does_not_go_on_in_the_next_line(end):
    """Line ends are white space to JSON: without its data: the next line is no part of the event."""
    body = b'data: {"a":' + end + b' 1}' + end + end
    whole = values_of([body])
    assert whole[0] == [] and whole[1] is StreamDecodeError, whole
    assert values_of([body[i:i + 1] for i in range(len(body))])[:2] == whole[:2]


def test_a_bare_cr_whose_lf_comes_with_the_next_piece():
    for body in (sse(A, B), sse(A, B, end=b"\r")):
        whole = values_of([body])
        assert len(whole[0]) == 2
        pieces = [piece + b"\r" for piece in body.split(b"\r")[:-1]]
        assert values_of(pieces + [body.split(b"\r")[-1]]) == whole


def test_values_are_the_json_values():
    values = [
        {"int": 12345678901234567890123, "float": 1.5e300, "tiny": 5e-324, "zero": -0.0},
        {"escapes": "\u0000\u001f\u2028\U0001f600", "key \"\\": None, "": [[], {}, True, False]},
    ]
    for body in (sse(*values), array(*values), ndjson(*values)):
        framing = Framing()
        assert [*framing.feed(body), *framing.close()] == values
    assert values_of([b'data: {"a": [NaN, Infinity, -Infinity, 1e999]}\n\n']) == (
        ["{'a': [nan, inf, -inf, inf]}"], None)


def test_done_ends_an_event_and_no_more():
    a, b = repr(A), repr(B)
    assert values_of([b"data: [DONE]\n\n"]) == ([], None)
    assert values_of([sse(A) + b"data: [DONE]\n\n" + sse(B)]) == ([a, b], None)
    assert values_of([b"data: " + dumps(A) + b"[DONE] and what not\n\n" + sse(B)]) == ([a, b], None)
    assert values_of([b"data: [DONE\n\n"]) == ([], StreamDecodeError)


def test_lone_surrogates_pass():
    for body in (b'data: {"a": "\\ud800"}\n\n', b'[{"a": "\\ud800"}]', b'{"a": "\\ud800"}'):
        framing = Framing()
        assert [*framing.feed(body), *framing.close()] == [{"a": "\ud800"}]


def test_a_huge_number_is_a_value_or_an_error_of_the_tree():
    digits = b"9" * 5000  # past the limit that Python sets since 3.8.14
    for body in (b'data: {"a": %b}\n\n' % digits, b'[{"a": %b}]' % digits, b"[%b]" % digits):
        values, error = values_of([body])
        assert (len(values), error) in ((1, None), (0, StreamDecodeError))


@pytest.mark.parametrize("body", [b"[1]", b"[1,2.5e3 , true,null, \"a]b\" ,[1]]", b"[ 1\n]", b"[\"\\\\\"]"])
def test_scalars_in_arrays(body):
    expected = [repr(value) for value in json.loads(body)]
    assert values_of([body]) == (expected, None)
    assert values_of(in_pieces(body, 1)) == (expected, None)


def test_an_error_names_what_came_and_what_to_do():
    def error_of(body):
        framing = Framing()
        with pytest.raises(StreamDecodeError) as caught:
            list(framing.feed(body))
            list(framing.close())
        return str(caught.value)

    assert "<html>busy</html>" in error_of(b"<html>busy</html>")
    assert "base URL" in error_of(b"<html>busy</html>")
    assert "oops" in error_of(b"data: {oops}\n\n")
    assert "\\xff" in error_of(b'data: {"a": "\xff"}\n\n')
    assert len(error_of(b"data: " + b"x" * 100000 + b"\n\n")) < 500
    assert len(error_of(b"<" * 100000)) < 500


# Limits ----------------------------------------------------------------------


def text_event(size):
    return {"a": "x" * (size - len('{"a": ""}'))}


@pytest.mark.parametrize("frame", [sse, array, ndjson, lambda value: dumps(value)], ids=["SSE", "array", "lines", "object"])
@pytest.mark.parametrize("piece", [7, 2**20], ids=["small pieces", "one piece"])
def test_the_largest_event(frame, piece):
    limit = 1000
    fits, too_large = text_event(limit - 20), text_event(limit + 40)
    assert values_of(in_pieces(frame(fits), piece), limit) == ([repr(fits)], None)
    assert values_of(in_pieces(frame(too_large), piece), limit) == ([], StreamDecodeError)


@pytest.mark.parametrize("body", [
    pytest.param(b"data: " + b"x" * 10**6, id="a line without end"),
    pytest.param(b"data: " + b"1\ndata: " * 10**5, id="data lines without end"),
    pytest.param(b": " + b"x" * 10**6, id="a comment without end"),
    pytest.param(b"field" * 10**5, id="a field name without end"),
    pytest.param(b"data: 1\n\n{" + b"\n" * 10**6, id="raw JSON without end"),
    pytest.param(b"[" + b"9" * 10**6, id="a number without end"),
    pytest.param(b'["' + b"x" * 10**6, id="a string without end"),
    pytest.param(b'["' + b"\\" * 10**6, id="backslashes without end"),
    pytest.param(b"[" * 10**6, id="brackets without end"),
    pytest.param(b"{" * 10**6, id="braces without end"),
])
def test_nothing_grows_past_the_limit(body):
    """Refused when the limit is passed, not at the end of the body."""
    limit = 50000
    framing = Framing(limit)
    fed = 0
    with pytest.raises(StreamDecodeError, match="larger than|nested|bad JSON"):
        for piece in in_pieces(body, 1000):
            fed += len(piece)
            for _ in framing.feed(piece):
                pass
    assert fed < 3 * limit  # each "data: " counts, and is not kept


def test_nesting_without_end_is_refused_long_before_the_limit():
    framing = Framing()
    fed = 0
    with pytest.raises(StreamDecodeError, match="nested"):
        for piece in in_pieces(b'[{"a":' + b"[" * 10**6, 1000):
            fed += len(piece)
            list(framing.feed(piece))
    assert fed < 50000


def test_white_space_without_end_takes_no_memory():
    framing = Framing()
    tracemalloc.start()
    try:
        for _ in range(2000):
            assert list(framing.feed(b" \r\n\t" * 256)) == []
        assert tracemalloc.get_traced_memory()[1] < 100000
    finally:
        tracemalloc.stop()
    assert list(framing.feed(dumps(A))) == [A]


@pytest.mark.parametrize("frame", [sse, array], ids=["SSE", "array"])
def test_memory_for_a_refused_event_stays_near_the_limit(frame):
    limit = 2**20
    body = frame(text_event(8 * limit))
    pieces = in_pieces(body, 2**16)
    tracemalloc.start()
    try:
        assert values_of(pieces, limit) == ([], StreamDecodeError)
        assert tracemalloc.get_traced_memory()[1] < 3 * limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("frame", [sse, array, ndjson], ids=["SSE", "array", "lines"])
def test_memory_does_not_grow_with_the_stream(frame):
    piece = sse(A) if frame is sse else ndjson(A) if frame is ndjson else dumps(A) + b","
    framing = Framing()
    list(framing.feed(b"[" if frame is array else b""))
    for _ in range(100):
        list(framing.feed(piece))
    tracemalloc.start()
    try:
        for _ in range(5000):
            list(framing.feed(piece))
        assert tracemalloc.get_traced_memory()[0] < 20000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"1}")], ids=["lists", "objects"])
@pytest.mark.parametrize("depth", [100, 900, 1100, 5000, 20000, 200000])
def test_nesting_is_a_value_or_an_error_of_the_tree(opening, closing, depth):
    nested = b'{"x": ' + opening * depth + closing * depth + b"}"
    if closing == b"1}":
        nested = b'{"x": ' + opening * depth + b"1" + b"}" * depth + b"}"
    for body in (b"data: " + nested + b"\n\n", b"[" + nested + b"]", nested, sse(A) + nested + b"\n"):
        for size in (2**20, 2**13):
            framing = Framing()
            try:
                count = len([*framing.feed(b"")]) + sum(len(list(framing.feed(p))) for p in in_pieces(body, size))
            except StreamDecodeError as error:
                assert "nested" in str(error)
            else:
                assert count in (1, 2)


# Time ------------------------------------------------------------------------


def seconds(pieces):
    """CPU seconds, the least of two runs: what else the machine does only adds to them."""
    best = None
    for _ in range(2):
        start = time.process_time()
        values_of(pieces)
        spent = time.process_time() - start
        best = spent if best is None else min(best, spent)
    return best


BIG_TEXT = ('"\\"{[' * 5 + "x" * 30) * 40

SHAPES = [
    # name, body of about n kilobytes, size of the pieces, kilobytes to begin with
    ("many events", lambda n: sse(A) * (n * 10), 4096, 50),
    ("many elements", lambda n: b"[" + b",".join([dumps(A)] * (n * 10)) + b"]", 4096, 50),
    ("many elements in one piece", lambda n: b"[" + b",".join([dumps(A)] * (n * 10)) + b"]", 2**30, 50),
    ("many lines", lambda n: ndjson(A) * (n * 10), 4096, 50),
    ("one event, small pieces", lambda n: sse(chunk(BIG_TEXT * (n // 2))), 64, 50),
    ("one event, byte by byte", lambda n: sse(chunk(BIG_TEXT * (n // 2))), 1, 10),
    ("one element, byte by byte", lambda n: array(chunk(BIG_TEXT * (n // 2))), 1, 10),
    ("one element, small pieces", lambda n: array(chunk(BIG_TEXT * (n // 2))), 64, 50),
    ("a number", lambda n: b"[0." + b"9" * (1000 * n) + b"]", 64, 50),
    ("backslashes", lambda n: b'["' + b"\\\\" * (500 * n) + b'"]', 64, 50),
    ("backslashes, byte by byte", lambda n: b'["' + b"\\\\" * (500 * n) + b'"]', 1, 10),
    ("quotes", lambda n: b'["' + b'\\"' * (500 * n) + b'"]', 4096, 50),
    ("brackets", lambda n: b"[" + b"[]," * (100 * n) + b"1]", 4096, 50),
    ("one event of many data lines", lambda n: b"data: 1\n" * (125 * n) + b"\n", 4096, 50),
    ("one event of empty data lines", lambda n: b"data:\n" * (160 * n) + b"\n", 4096, 50),
    ("one event of many values", lambda n: b"data: " + b"1 " * (200 * n) + b"\n\n", 4096, 50),
    ("raw JSON of many lines", lambda n: b"data: 1\n\n{" + b"\n" * (100 * n) + b"}\n", 4096, 50),
    ("comments", lambda n: b":\n" * (200 * n), 4096, 50),
    ("a long comment", lambda n: b"data: 1\n\n:" + b"x" * (1000 * n), 64, 50),
    ("blank lines", lambda n: b"data: 1\n\n" + b"\r" * (200 * n), 4096, 50),
    ("white space", lambda n: b" " * (1000 * n) + dumps(A), 64, 50),
    ("white space in an array", lambda n: b"[" + b" " * (1000 * n) + b"]", 64, 50),
    ("a field name", lambda n: b"data: 1\n\n" + b"field" * (200 * n), 64, 50),
]


@pytest.mark.parametrize("shape, piece, start", [pytest.param(*rest, id=name) for name, *rest in SHAPES])
def test_time_is_linear(shape, piece, start):
    """Four times the bytes take about four times as long; with squares in it, sixteen times."""
    for attempt in range(4):
        small, large = in_pieces(shape(start), piece), in_pieces(shape(4 * start), piece)
        ratio = seconds(large) / max(seconds(small), 0.002)
        if ratio < 8:
            return
    pytest.fail(f"four times the bytes took {ratio:.1f} times as long")


def test_close_tells_where_the_body_ended():
    for body, what in ((b"[", "array"), (b'[{"a":', "value"), (b'data: {"a":', "event")):
        framing = Framing()
        list(framing.feed(body))
        with pytest.raises(IncompleteStreamError, match=what):
            list(framing.close())
