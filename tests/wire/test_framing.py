"""Framing: any split of any body gives the same values, and what is wrong says so."""

import ast
import json
import random

import pytest
from support.dialects import QUOTA, STREAMS, A, B, C, array, dumps, ndjson, sse
from support.framings import in_pieces, outcome, values_of
from support.long_form import sample

from geministream.errors import IncompleteStreamError, StreamDecodeError
from geministream.wire.framing import Framing

LONG = 5000  # bodies above this are not split at every position
BODIES = [pytest.param(body, id=name) for name, body, _, _ in STREAMS]


@pytest.mark.parametrize("body", BODIES)
def test_every_split_gives_the_same(body):
    expected = outcome([body])
    if len(body) > LONG:
        splits = range(0, len(body), len(body) // 8)
    else:
        splits = sample(range(len(body) + 1), 2, first=len(body) % 2)
    for split in splits:
        # An empty piece means nothing.
        empty = [b""] if split % 2 else []
        assert outcome([body[:split], *empty, body[split:]]) == expected, split


@pytest.mark.parametrize("body, texts, error", [pytest.param(*rest, id=name) for name, *rest in STREAMS])
def test_what_each_dialect_is(body, texts, error):
    """The framing cannot know whether an answer is complete, nor what an error means."""
    values, found, _ = outcome([body])
    if error is None or error.endswith(("StreamError", "DecodeError")):
        assert found is None or found.__name__ == error
        assert [text for text in texts if text] == [text for text in map(text_of, values) if text]
    else:
        assert len(values) > len(texts) and "'error': " in values[len(texts)]


def text_of(value):
    """The text of a chunk in the form of `as_text`."""
    value = ast.literal_eval(value)
    try:
        return value["candidates"][0]["content"]["parts"][0]["text"]
    except (KeyError, IndexError, TypeError):
        return None


@pytest.mark.parametrize("body", BODIES)
def test_small_pieces_give_the_same(body):
    expected = outcome([body])
    for size in (1, 2, 3, 7) if len(body) < LONG else (997,):
        assert outcome(in_pieces(body, size)) == expected, size
    pick = random.Random(len(body))
    for _ in range(3):
        pieces, start = [], 0
        while start < len(body):
            end = start + pick.choice((1, 2, 5, 50, 500 if len(body) < LONG else 50000))
            pieces.append(body[start:end])
            start = end
        assert outcome(pieces) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(sse(A, B, C), id="SSE"),
        pytest.param(sse(A, B, C, end=b"\n"), id="SSE, LF"),
        pytest.param(sse(A, B, C, end=b"\r"), id="SSE, CR"),
        pytest.param(array(A, B, C), id="array"),
        pytest.param(ndjson(A, B, C), id="lines"),
    ],
)
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
def test_an_object_does_not_continue_in_the_next_line(end):
    """Line ends are white space to JSON: without its data: the next line is not part of the event."""
    body = b'data: {"a":' + end + b" 1}" + end + end
    whole = values_of([body])
    assert whole[0] == [] and whole[1] is StreamDecodeError, whole
    assert values_of([body[i : i + 1] for i in range(len(body))])[:2] == whole[:2]


def test_a_bare_cr_whose_lf_comes_with_the_next_piece():
    for body in (sse(A, B), sse(A, B, end=b"\r")):
        whole = values_of([body])
        assert len(whole[0]) == 2
        pieces = [piece + b"\r" for piece in body.split(b"\r")[:-1]]
        assert values_of(pieces + [body.split(b"\r")[-1]]) == whole


def test_values_are_the_json_values():
    values = [
        {"int": 12345678901234567890123, "float": 1.5e300, "tiny": 5e-324, "zero": -0.0},
        {"escapes": "\u0000\u001f\u2028\U0001f600", 'key "\\': None, "": [[], {}, True, False]},
    ]
    for body in (sse(*values), array(*values), ndjson(*values)):
        framing = Framing()
        assert [*framing.feed(body), *framing.close()] == values
    assert values_of([b'data: {"a": [NaN, Infinity, -Infinity, 1e999]}\n\n']) == (
        ["{'a': [nan, inf, -inf, inf]}"],
        None,
    )


def test_done_ends_an_event_and_no_more():
    a, b = repr(A), repr(B)
    assert values_of([b"data: [DONE]\n\n"]) == ([], None)
    assert values_of([sse(A) + b"data: [DONE]\n\n" + sse(B)]) == ([a, b], None)
    assert values_of([b"data: " + dumps(A) + b"[DONE] and what not\n\n" + sse(B)]) == ([a, b], None)
    assert values_of([b"data: [DONE\n\n"]) == ([], IncompleteStreamError)  # half of it
    assert values_of([b"data: [DONE}\n\n"]) == ([], StreamDecodeError)


@pytest.mark.parametrize(
    "text, said",
    [
        (b"500 upstream connect error", "500 upstream connect error"),
        (b"null pointer in upstream", "null pointer in upstream"),
        (b'"quoted" is not all of it', '"quoted" is not all of it'),
        (b"true\ndata: story", "true\n story"),
        (b"[DONE] is not done", "[DONE] is not done"),
        (b'{"error": {"code": 4', '{"error": {"code": 4'),
        (b"[" * 300 + b"]" * 300, "[" * 300 + "]" * 300),
        (b"500", 500),
        (b'"all of it"', "all of it"),
        (b"null", "an error event without a message"),
        (b"", "an error event without a message"),
        (b'[{"code": 503}]', {"code": 503}),
        (b'[{"error": {"code": 503}}]', {"code": 503}),
        (b'[{"code": 503}, 2]', [{"code": 503}, 2]),
        (b'{"code": 503}', {"code": 503}),
        (b'{"error": {"code": 503}} [DONE]', {"code": 503}),
    ],
)
@pytest.mark.parametrize(
    "event",
    [
        b"event: error\ndata: %b\n\n",
        b"data: %b\nevent: error\n\n",
        b"data: %b\nid: 7\n:\nevent: error\n:\n\n",
        b"event: x\ndata: %b\r\nevent:error",
        b"data: %b\revent: error\r",
    ],
    ids=["first", "last", "in the middle", "twice", "CR"],
)
def test_an_error_event_says_what_its_data_says(event, text, said):
    """Wherever its name stands, and JSON only where all of it is JSON."""
    body = event % text
    expected = ([repr({"error": said})], None)
    assert values_of([body]) == expected
    assert values_of(in_pieces(body, 1)) == expected


def test_what_an_event_is_called_counts_at_its_end_and_keeps_no_chunk_waiting():
    framing = Framing()
    usage = dumps({"usageMetadata": {"totalTokenCount": 9}})
    assert list(framing.feed(b"data: " + dumps(A) + b"\n")) == [A]
    assert list(framing.feed(b"data: " + usage + b"\n")) == []
    assert list(framing.feed(b"\n")) == [json.loads(usage)]
    assert list(framing.feed(b"data: " + usage + b"\n")) == []
    assert list(framing.feed(b"data: " + usage + b"\n")) == [json.loads(usage)]  # no blank line
    with pytest.raises(StreamDecodeError, match="UTF-8"):
        for value in framing.feed(b"\xff"):
            assert value == json.loads(usage)  # bad bytes behind it take nothing away
            usage = None
    assert usage is None
    framing = Framing()
    assert list(framing.feed(dumps(A).join([b"data: ", b"\n"]) + sse(QUOTA)[:-2])) == [A, QUOTA]
    assert values_of([b"event: errors\n" + sse({"a": 1})]) == ([repr({"a": 1})], None)
    framing = Framing()
    assert list(framing.feed(b'data: {"a": 1}\n: ping\nid: 7\ndata: {"a": 2}\n')) == [{"a": 1}]
    assert values_of([b'data: {"a": 1}\n:' + b"x" * 99], 50) == (["{'a': 1}"], StreamDecodeError)


def test_a_character_cut_in_two_is_an_early_end():
    for body in (sse(C), array(C), ndjson(C)):
        assert values_of([body + b"\xc3"]) == ([repr(C)], IncompleteStreamError)


WHOLE_JSON = b'{"a": [1.5e+3, -0, true, false, null, "\\u00e9\\\\ \\"x", {}, {"b": []}], "c": {"d e": ""}}'


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\n:\n\ndata:\n\ndata:[DONE]\n\n"])
def test_every_beginning_of_a_value_is_an_early_end(end):
    for cut in range(1, len(WHOLE_JSON)):
        expected = ([repr(A)], IncompleteStreamError)
        assert values_of([sse(A) + b"data: " + WHOLE_JSON[:cut] + end]) == expected, WHOLE_JSON[:cut]
        assert values_of([b"[" + dumps(A) + b"," + WHOLE_JSON[:cut]]) == expected
        assert values_of([dumps(A) + WHOLE_JSON[:cut]]) == expected
        assert values_of([sse(A) + WHOLE_JSON[:cut]]) == expected
        for behind in (sse(A), dumps(A), b"data: x\n\n"):
            assert values_of([b"data: " + WHOLE_JSON[:cut] + b"\n\n" + behind]) == ([], StreamDecodeError)


@pytest.mark.parametrize(
    "bad",
    [
        b"{a",
        b'{"a" "',
        b'{"a": tru3',
        b'{"a": trueish',
        b'{"a": 1 2',
        b'{"a": 1,, ',
        b"[1, 2}",
        b'{"a": "\\x',
        b'{"a": "\\u00g',
        b'{"a": 01',
        b'{"a": 1.5.',
        b'{"a": .5',
        b'{"a": -x',
        b'{"a": +',
        b'{"a": "x"y',
        b'{"a": \'',
        b'{"a": "\tx',
        b"{]",
        b'{"a": [1,]',
        b"tru, 1",
        b"-, 1",
        b"{,",
        b'{"a",',
        b'{"a": ,',
        b"{1",
        b'{"a": nul1',
        b'{"a": 1e+-',
    ],
)
def test_an_impossible_beginning_is_bad_json(bad):
    for body in (b"data: " + bad, b"data: " + bad + b"\n\n", b"[" + bad, b"[1," + bad):
        assert values_of([body])[1] is StreamDecodeError, body
        assert outcome(in_pieces(body, 1)) == outcome([body])


def test_lone_surrogates_pass():
    for body in (b'data: {"a": "\\ud800"}\n\n', b'[{"a": "\\ud800"}]', b'{"a": "\\ud800"}'):
        framing = Framing()
        assert [*framing.feed(body), *framing.close()] == [{"a": "\ud800"}]


def test_a_huge_number_is_a_value_or_an_error_of_the_tree():
    digits = b"9" * 5000  # past the limit that Python sets since 3.8.14
    for body in (b'data: {"a": %b}\n\n' % digits, b'[{"a": %b}]' % digits, b"[%b]" % digits):
        values, error = values_of([body])
        assert (len(values), error) in ((1, None), (0, StreamDecodeError))


@pytest.mark.parametrize("body", [b"[1]", b'[1,2.5e3 , true,null, "a]b" ,[1]]', b"[ 1\n]", b'["\\\\"]'])
def test_scalars_in_arrays(body):
    expected = [repr(value) for value in json.loads(body)]
    assert values_of([body]) == (expected, None)
    assert values_of(in_pieces(body, 1)) == (expected, None)


@pytest.mark.parametrize(
    "body", [b"[1:2]", b"[tru:2]", b'["a":2]', b"[1\x0b,2]", b"[1 2]", b"[1{}]", b"[nul,1]", b"[1}"]
)
def test_bad_scalars_in_arrays(body):
    assert values_of([body])[1] is StreamDecodeError
    assert outcome(in_pieces(body, 1)) == outcome([body])


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
