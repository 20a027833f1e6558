"""Framing: the largest event, the deepest nesting, and linear time."""

import copy
import dataclasses
import json
import pickle
import random
import time
from typing import Any, Dict

import pytest
from support.dialects import A, array, chunk, data_lines, dumps, ndjson, pretty, sse
from support.framings import in_pieces, outcome, values_of
from support.memory import TracedMemory

from geministream import collect, iter_items, parse
from geministream.depth import DEEPEST
from geministream.errors import IncompleteStreamError, StreamDecodeError
from geministream.request import RequestBody
from geministream.types import GenerateContentResponse
from geministream.wire.framing import Framing


def text_event(size):
    return {"a": "x" * (size - len('{"a": ""}'))}


@pytest.mark.parametrize(
    "frame", [sse, array, ndjson, lambda value: dumps(value)], ids=["SSE", "array", "lines", "object"]
)
@pytest.mark.parametrize("piece", [7, 2**20], ids=["small pieces", "one piece"])
def test_the_largest_event(frame, piece):
    limit = 1000
    fits, too_large = text_event(limit - 20), text_event(limit + 40)
    assert values_of(in_pieces(frame(fits), piece), limit) == ([repr(fits)], None)
    assert values_of(in_pieces(frame(too_large), piece), limit) == ([], StreamDecodeError)


def in_random_pieces(pick, body):
    size = pick.choice((1, 3, 20, 200, len(body)))
    pieces, start = [], 0
    while start < len(body):
        end = start + 1 + int(pick.random() * size)
        pieces.append(body[start:end])
        start = end
    return pieces


FOUR = [text_event(400)] * 4
NO_CHUNK = {"usageMetadata": {"totalTokenCount": 9}}  # it waits for the line behind it

LIMITED = [
    ("SSE", sse(*FOUR)),
    ("SSE, bare CR", sse(*FOUR, end=b"\r")),
    ("SSE, chunks", sse(*[chunk("x" * 330)] * 4, end=b"\n")),
    ("SSE without space", sse(*FOUR, space=b"")),
    ("SSE, spaces after the JSON", sse(*FOUR).replace(b"}\r", b"}   \r")),
    ("data over several lines", data_lines({"a": ["x" * 20] * 14}) * 3),
    ("data over several lines, LF", data_lines({"a": ["x" * 20] * 14}, b"\n") * 3),
    ("two objects in one event", b"data: " + dumps(A) * 4 + b"\n\n"),
    ("an array in one event", b"data: " + dumps([A] * 4) + b"\n\n"),
    ("comments", (b": " + b"x" * 398 + b"\n") * 3 + sse(A)),
    ("a comment behind an object that waits", sse(NO_CHUNK)[:-2] + b": " + b"x" * 398 + b"\n"),
    ("a field behind an object that waits", sse(NO_CHUNK)[:-2] + b"x" * 398 + b":\n"),
    ("bare JSON on a line", sse(A) + dumps(text_event(400)) + b"\n" + sse(A)),
    ("bare JSON over lines", sse(A) + pretty({"error": ["x" * 20] * 13}) + b"\r\n" + sse(A)),
    (
        "bare JSON over lines, CRLF",
        sse(A) + pretty({"error": ["x" * 20] * 13}).replace(b"\n", b"\r\n") + b"\r\n",
    ),
    ("array", array(*FOUR)),
    ("array without white space", dumps(FOUR)),
    ("array of strings", dumps(["x" * 398] * 3)),
    ("array of numbers", b"[" + b",".join([b"-" + b"9" * 399] * 3) + b"]"),
    ("array of one number, cut", b"[" + b"9" * 400),
    ("lines", ndjson(*FOUR)),
    ("lines, cut", ndjson(*FOUR)[:-2]),
    ("objects, pretty-printed", pretty({"a": ["x" * 20] * 13}) * 3),
    ("bad JSON", b"[" + dumps(text_event(400)).replace(b":", b";") + b"]"),
    ("deep JSON", b"[" + b"[" * 400 + b"]" * 400 + b"]"),
    ("deep JSON in an event", b"data: " + b"[" * 300 + b"]" * 300 + b"\n\n"),
    ("escapes", dumps([{"a": '\\"' * 98}] * 3)),
    ("several bytes a character", sse(*[{"a": "\u00e9" * 392}] * 3)),
]


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in LIMITED])
def test_a_limit_does_not_depend_on_the_split(body):
    """Neither which values are too large, nor what the error says."""
    pick = random.Random(len(body))
    outcomes = set()
    for limit in sorted({50, 200, 405, 399, 400, 401, 402, 407, 800, 1000, *range(380, 420, 5)}):
        expected = outcome([body], limit)
        outcomes.add(expected[1:])
        for _ in range(8):
            assert outcome(in_random_pieces(pick, body), limit) == expected, limit
    assert any("larger than" in said for _, said in outcomes) and len(outcomes) > 1


@pytest.mark.parametrize(
    "frame",
    [
        sse,
        array,
        ndjson,
        lambda *values: dumps([*values]),
        lambda *values: sse(*values, space=b""),
        lambda *values: sse(*values, end=b"\n"),
        lambda *values: sse(A) + ndjson(*values),
        lambda *values: b"".join(b"data: " + dumps(value) + b"\nevent: x\n\n" for value in values),
    ],
    ids=[
        "SSE",
        "array",
        "lines",
        "array on one line",
        "SSE without space",
        "SSE with LF",
        "bare JSON",
        "named event",
    ],
)
@pytest.mark.parametrize("piece", [7, 2**20], ids=["small pieces", "one piece"])
def test_the_limit_is_exact_and_counts_one_value(frame, piece):
    """Four events of 400 characters do not count as one of 1,600."""
    value = {"error": None, "candidates": "x" * 200}
    size = len(pretty(value) if frame is array else dumps(value))
    pieces = in_pieces(frame(value, value, value, value), piece)
    assert values_of(pieces, size) == (values_of(pieces)[0], None)
    values, error = values_of(pieces, size - 1)
    assert error is StreamDecodeError and repr(value) not in values


@pytest.mark.parametrize(
    "body",
    [
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
    ],
)
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
    with TracedMemory() as memory:
        for _ in range(2000):
            assert list(framing.feed(b" \r\n\t" * 256)) == []
    assert memory.peak < 100000
    assert list(framing.feed(dumps(A))) == [A]


@pytest.mark.parametrize("frame", [sse, array], ids=["SSE", "array"])
def test_memory_for_a_refused_event_stays_near_the_limit(frame):
    limit = 2**20
    body = frame(text_event(8 * limit))
    pieces = in_pieces(body, 2**16)
    with TracedMemory() as memory:
        assert values_of(pieces, limit) == ([], StreamDecodeError)
    assert memory.peak < 3 * limit


@pytest.mark.parametrize("frame", [sse, array, ndjson], ids=["SSE", "array", "lines"])
def test_memory_does_not_grow_with_the_stream(frame):
    piece = sse(A) if frame is sse else ndjson(A) if frame is ndjson else dumps(A) + b","
    framing = Framing()
    list(framing.feed(b"[" if frame is array else b""))
    for _ in range(100):
        list(framing.feed(piece))
    with TracedMemory() as memory:
        for _ in range(5000):
            list(framing.feed(piece))
    assert memory.current < 20000


NESTS = [
    (b"[", b"", b"]"),
    (b'{"":', b"{}", b"}"),
    (b'{"":', b"1", b"}"),
    (b'[{"a":', b"1", b"}]"),
    (b'{ "[[]]\\"]" : ', b"1", b" }"),
]


def nested(nest, depth):
    """JSON of so many levels, and how much the innermost holds."""
    opening, inmost, closing = nest
    levels = opening.count(b"{") + opening.count(b"[", 0, 1)
    times, rest = divmod(depth - inmost.count(b"{"), levels)
    return b"[" * rest + opening * times + inmost + closing * times + b"]" * rest


FRAMES = [
    b"data: %b\n\n",
    b"data: %b\r\n\r\n",
    b"event: x\ndata: %b\n\n",
    b"data: 1\ndata: %b\n\n",
    b"[%b]",
    b"[1, %b ]",
    b"%b\n",
]


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("much", [b"", b" " * 5000, b'{}, "[",' * 1000], ids=["little", "space", "much"])
def test_depth_is_bounded_alike_in_every_framing(nest, much):
    """Whatever this Python could read, and copy.deepcopy() could not walk through."""
    for depth in (DEEPEST - 1, DEEPEST, DEEPEST + 1, 900, 5000, 100000):
        value = b'{"candidates": [' + much + nested(nest, depth - 2) + b"]}"
        for frame in FRAMES:
            body = frame % value
            values, error, said = outcome([body])
            assert (error is None) == (depth <= DEEPEST), (depth, frame)
            assert error is None or (error is StreamDecodeError and f"more than {DEEPEST} levels" in said)
            assert outcome(in_pieces(body, 4096)) == (values, error, said)
            if depth < 300 and not much:
                assert outcome(in_pieces(body, 7)) == (values, error, said)


@pytest.mark.parametrize("nest", NESTS)
def test_the_bound_is_exact_for_the_shortest_value_so_deep(nest):
    for frame in (b"[%b]", b"event: x\ndata: %b\n\n"):
        assert values_of([frame % nested(nest, DEEPEST)])[1] is None
        assert values_of([frame % nested(nest, DEEPEST + 1)])[1] is StreamDecodeError


def test_brackets_in_strings_and_side_by_side_add_no_depth():
    for value in (
        {"a": "[{" * 5000},
        {"a": '\\"[' * 500},
        {"a": "\n[" * 500},
        {"a": [[]] * 500},
        {"a": [{}] * 5000},
        {"a" * 300: ['"[' * 201]},
    ):
        for frame in (sse, array, ndjson):
            assert values_of([frame(value)]) == ([repr(value)], None)


def test_the_deepest_value_can_be_used_in_every_way():
    """With as much of the stack in use as a web framework and a test runner take together."""

    def below(frames, use):
        return below(frames - 1, use) if frames else use()

    def use():
        (value,) = Framing().feed(body)
        chunk = GenerateContentResponse.from_dict(value)
        assert len(repr(chunk)) < 5000
        assert copy.deepcopy(chunk) == chunk == pickle.loads(pickle.dumps(chunk))
        assert json.loads(json.dumps(chunk.to_dict(), indent=1)) == chunk.to_dict() == value
        assert len(str(dataclasses.asdict(chunk))) > DEEPEST
        answer = collect([chunk, chunk])
        assert (
            answer.function_calls[1].args
            == value["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]
        )
        RequestBody([answer.candidates[0].content, "go on"])
        (item,) = iter_items([json.dumps([value])], Dict[str, Any])
        assert item == value == parse(json.dumps(value), Dict[str, Any])

    for nest in NESTS[:3]:
        body = (
            b'data: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": %b}}]}}]}\n\n'
            % (nested(nest, DEEPEST - 7))
        )
        below(300, use)


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
    for _ in range(4):
        small, large = in_pieces(shape(start), piece), in_pieces(shape(4 * start), piece)
        ratio = seconds(large) / max(seconds(small), 0.002)
        if ratio < 8:
            return
    pytest.fail(f"four times the bytes took {ratio:.1f} times as long")


def test_close_reports_where_the_body_ended():
    for body, what in ((b"[", "array"), (b'[{"a":', "value"), (b'data: {"a":', "event")):
        framing = Framing()
        list(framing.feed(body))
        with pytest.raises(IncompleteStreamError, match=what):
            list(framing.close())
