"""Random bodies in random pieces, through framing, decoding and all that reads a chunk.

    python tests/fuzz.py [COUNT] [--seed N] [--from CASE]

For each case: no exception outside the tree, the same outcome however the body
is split and for every limit, and no more CPU time than ``SECONDS``.  Of events
with their fields in any order, half events, error events and deep ones among
them, the outcome is known beforehand.  The same seed and count give
the same cases; ``--from`` starts at a case that failed.  ``test_fuzz.py`` runs
a short form.
"""

import argparse
import copy
import gzip
import json
import pickle
import random
import re
import time
import zlib

from support.dialects import QUOTA, STREAMS, array, chunk, ndjson, pretty, sse

from geministream import collect
from geministream.answer import Hop, _hide_continuation
from geministream.depth import DEEPEST
from geministream.errors import GeministreamError, IncompleteStreamError, StreamDecodeError, api_error
from geministream.transport.reply import error_value
from geministream.types import GenerateContentResponse
from geministream.types.codec import decoder
from geministream.wire.body import dechunk, inflate
from geministream.wire.framing import Framing

SECONDS = 2.0  # CPU of one case; they take well under a hundredth of it

RICH = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "think", "thought": True},
                    {"text": "a"},
                    {"text": "b"},
                    {"text": "", "thoughtSignature": "c2ln"},
                    {"inlineData": {"mimeType": "image/png", "data": "aGVsbG8="}},
                    {"fileData": {"fileUri": "gs://x", "mimeType": "a/b"}},
                    {
                        "functionCall": {"name": "f", "id": "1", "args": {"a": [1, {"b": None}]}},
                        "thoughtSignature": "c2ln",
                    },
                    {
                        "functionCall": {
                            "name": "g",
                            "willContinue": True,
                            "partialArgs": [
                                {"jsonPath": "$.a[0]['b']", "stringValue": "x", "willContinue": True}
                            ],
                        }
                    },
                    {
                        "functionCall": {
                            "willContinue": True,
                            "partialArgs": [
                                {"jsonPath": "$.a[0]['b']", "stringValue": "y"},
                                {"jsonPath": "$.n", "numberValue": 1.5},
                                {"jsonPath": "$.z", "nullValue": "NULL_VALUE"},
                                {"jsonPath": "$.t", "boolValue": True},
                            ],
                        }
                    },
                    {"functionCall": {}},
                    {"functionResponse": {"name": "f", "response": {"r": 1}}},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                ],
            },
            "index": 0,
            "finishReason": "CONTINUATION",
            "continuationToken": "t",
            "safetyRatings": [{"category": "C", "probability": "LOW", "blocked": False}],
            "citationMetadata": {"citationSources": [{"startIndex": 1, "endIndex": 2, "uri": "u"}]},
            "groundingMetadata": {
                "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
                "webSearchQueries": ["q"],
            },
            "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -0.5}]},
        },
        {"index": 1, "content": {"parts": [{"text": "other"}]}},
    ],
    "promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []},
    "usageMetadata": {"promptTokenCount": 3, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}]},
    "modelVersion": "m",
    "responseId": "r",
}

TOKENS = [
    b"data:",
    b"data: ",
    b"event:",
    b"event: error\n",
    b"id: 1\n",
    b":",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"[DONE]",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b'\\"',
    b"\\u00",
    b"\\ud83d",
    b"null",
    b"true",
    b"1",
    b"-1e5",
    b"1e999",
    b"NaN",
    b'{"error":',
    b'"error"',
    b'{"candidates": [',
    b'{"a":1}',
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xa9",
    b"\xf0\x9f\x98\x80",
    b"\xff",
    b"\x00",
    b" ",
    b"\t",
    b"\xe2\x80\xa8",
    b"<html>",
    b"9" * 30,
    b"[" * 50,
    b'{"a":' * 50,
    b"0\r\n\r\n",
    b"5\r\n",
    b"\x1f\x8b\x08",
    b"event: error\ndata: ",
    b"\nevent: error\n\n",
    b'data: {"a": [1\n\n',
    b"[" * 190,
    b'{"":' * 190,
    b"]" * 190,
    b"}" * 190,
    b": " + b"x" * 90,
    b"9" * 5000,
    b"tru",
    b"-",
    b"1e",
    b"data: [DO",
]
LIMITS = [20, 60, 100, 300, 1000, 256 * 2**20, 256 * 2**20, 256 * 2**20]
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**70,
    1.5,
    float("nan"),
    "",
    "x",
    "a" * 300,
    "\ud800",
    "$.a[99999999999999999999]",
    "$['",
    "$" + ".a" * 50,
    "$.a" + "[7]" * 5,
    "1024",
    "====",
    "aGVsbG8",
    "CONTINUATION",
    [],
    {},
    [None],
    [[]],
    {"a": None},
    {"error": 1},
    [{}],
    {"text": 1},
    [{"text": "x"}],
    {"parts": 7},
    10**30,
    "9" * 5000,
]
VALID = [body for _, body, _, _ in STREAMS if 0 < len(body) < 3000]


def mutated_bytes(pick, body):
    body = bytearray(body)
    for _ in range(pick.choice((1, 1, 2, 3, 8))):
        at = pick.randrange(len(body) + 1)
        end = min(len(body), at + pick.choice((1, 1, 2, 5, 40)))
        how = pick.randrange(7)
        if how == 0 and at < len(body):
            body[at] = pick.randrange(256)
        elif how == 1:
            del body[at:end]
        elif how == 2:
            body[at:at] = body[at:end] * pick.choice((1, 2, 5))
        elif how == 3:
            body[at:at] = pick.choice(TOKENS)
        elif how == 4:
            del body[at:]
        elif how == 5:
            other = pick.choice(VALID)
            body[at:end] = other[: pick.randrange(len(other))]
        elif at < len(body):
            body[at] ^= 1 << pick.randrange(8)
    return bytes(body)


def nodes_of(value):
    """Each (container, key) in the value."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(below, (dict, list)):
            yield from nodes_of(below)


def mutated_value(pick, value):
    """The value with some of what is in it replaced, removed, doubled or put elsewhere."""
    value = copy.deepcopy(value)
    for _ in range(pick.choice((1, 1, 2, 5))):
        nodes = list(nodes_of(value))
        if not nodes:
            return value
        container, key = pick.choice(nodes)
        how = pick.randrange(5)
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif how == 2:
            other, other_key = pick.choice(nodes)
            try:
                container[key] = copy.deepcopy(other[other_key])
            except (KeyError, IndexError, TypeError):
                pass  # it was removed with what held it
        else:
            container[key] = copy.deepcopy(pick.choice(VALUES))
    return value


def dumps(value):
    return json.dumps(value).encode()


# The data of an error event, and what it says.
ERRORS = [
    (b'{"code": 503}', {"code": 503}),
    (b'{"error": {"code": 503}}', {"code": 503}),
    (b'[{"error": "no"}]', "no"),
    (b'{"message": "no"}', {"message": "no"}),
    (b"500 no", "500 no"),
    (b"null and void", "null and void"),
    (b"7", 7),
    (b"{}", "an error event without a message"),
    (b'{"error": {"code', '{"error": {"code'),
    (b"[{1}]", "[{1}]"),
    (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)),
]


def make_events(pick):
    """Events with their fields in any order; their bytes, the values they are and the error behind those."""
    end = pick.choice((b"\n", b"\r\n", b"\r"))
    body, values, half = b"", [], False
    for _ in range(pick.choice((1, 2, 3, 6))):
        fields = pick.sample([b"id: 7", b": ping", b"retry: 3", b"id", b":"], pick.randrange(3))
        made, data = [], b""
        how = pick.randrange(9)
        if how == 0:
            data, said = pick.choice(ERRORS)
            made = [{"error": said}]
            fields.append(b"event: error")
        elif how == 1:
            data = dumps(chunk("half \\ \u00e9", x=[1.5e300, True, None]))
            data = data[: pick.randrange(1, len(data))]
        elif how == 2:
            depth = pick.choice((DEEPEST - 1, DEEPEST, DEEPEST + 1, 1500))
            left = depth - 2
            data = (
                b'{"candidates": ['
                + pick.choice((b'{"":' * left + b"1" + b"}" * left, b"[" * left + b"]" * left))
                + b"]}"
            )
            made = [json.loads(data)] if depth <= DEEPEST else None
        elif how == 3:
            data = pick.choice((b"[DONE]", b"", b"  "))
        else:
            made = [
                chunk("x" * pick.choice((1, 50, 500)))
                if how < 7
                else pick.choice(({"usageMetadata": {}}, {}, {"error": QUOTA}))
            ]
            data = dumps(made[0])
        lines = [b"data:" + pick.choice((b"", b" ")) + data]
        if made and how > 3 and pick.randrange(4) == 0:
            lines = [b"data: " + line for line in pretty(made[0]).split(b"\n")]
        at = pick.randrange(len(fields) + 1)
        fields = pick.sample(fields, len(fields))
        body += end.join(fields[:at] + lines + fields[at:]) + end * 2
        if (half and how != 3) or made is None:
            return body, values, StreamDecodeError
        values += made
        half = half or how == 1
    return body, values, IncompleteStreamError if half else None


def make_body(pick):
    """What kind of case it is, and its bytes."""
    how = pick.randrange(22)
    if how >= 20:
        return "events", make_events(pick)
    if how == 0:
        return "body", bytes(pick.randrange(256) for _ in range(pick.choice((1, 10, 200))))
    if how <= 3:
        return "body", b"".join(pick.choice(TOKENS) for _ in range(pick.choice((1, 3, 10, 60))))
    if how <= 9:
        return "body", mutated_bytes(pick, pick.choice(VALID))
    if how <= 15:
        values = [mutated_value(pick, RICH) for _ in range(pick.choice((1, 1, 2, 3)))]
        if pick.randrange(8) == 0:
            values.append(mutated_value(pick, QUOTA))
        frame = pick.choice((sse, array, ndjson, lambda *values: b"".join(map(pretty, values))))
        try:
            body = frame(*values)
        except UnicodeEncodeError:  # a lone surrogate must be escaped
            body = b"".join(b"data: " + dumps(value) + b"\n\n" for value in values)
        return "body", mutated_bytes(pick, body) if pick.randrange(4) == 0 else body
    if how <= 17:
        body = pick.choice(VALID)
        chunked = (
            b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in in_pieces(pick, body)) + b"0\r\n\r\n"
        )
        return "chunked", mutated_bytes(pick, chunked)
    body = pick.choice(VALID)
    packed = gzip.compress(body, mtime=0) if how == 18 else zlib.compress(body)
    return "packed", mutated_bytes(pick, packed)


def in_pieces(pick, body):
    if pick.randrange(4) == 0:
        return [body] if body else []
    # A tenth of the long bodies in tiny pieces: their number is what takes the time.
    size = pick.choice((1, 2, 5, 30, 200) if len(body) < 300 or pick.randrange(10) == 0 else (40, 300, 2000))
    pieces, start = [], 0
    while start < len(body):
        end = start + 1 + int(pick.random() * size)
        pieces.append(body[start:end])
        start = end
    return pieces


def values_of(pieces, limit=256 * 2**20):
    """The values, the class of the error behind them, and what it says except for what it quotes."""
    framing = Framing(limit)
    values = []
    try:
        for piece in pieces:
            values.extend(framing.feed(piece))
        values.extend(framing.close())
    except GeministreamError as error:
        return (
            values,
            type(error),
            re.sub("(UTF-8: |JSON: unexpected )b?['\"].*", r"\1", str(error), flags=re.DOTALL),
        )
    return values, None, ""


def read_all(pieces):
    """The bytes that an iterator gives, and the class of the error behind them."""
    data = bytearray()
    try:
        for piece in pieces:
            data += piece
    except GeministreamError as error:
        str(error)
        return bytes(data), type(error)
    return bytes(data), None


def use(values):
    """All that is done with values: by the library, and by a caller."""
    decode = decoder(GenerateContentResponse)
    hop = Hop(None)
    chunks = []
    for value in values:
        if not isinstance(value, dict):
            continue
        if value.get("error"):
            error = api_error(value["error"], http_status=200, headers={})
            str(error), error.field_violations, pickle.dumps(error)
        chunk = decode(value)
        chunks.append(chunk)
        assert canonical(chunk.to_dict()) == canonical(value), f"not lossless: {value!r}"
        hop.add(chunk)
        hop.complete
        _hide_continuation(decode(value))
        read(chunk)
    if chunks:
        for number, chunk in enumerate(chunks):
            chunk.request_number = number  # as if each came from a request of its own
        read(collect(iter(chunks)))


def canonical(value):
    """One text for all JSON that says the same; a null says nothing."""

    def without_nulls(value):
        if isinstance(value, dict):
            return {key: without_nulls(item) for key, item in value.items() if item is not None}
        return [without_nulls(item) for item in value] if isinstance(value, list) else value

    return json.dumps(without_nulls(value), sort_keys=True)


def read(response):
    response.text, response.thoughts, response.parts, response.function_calls, response.finish_reason
    repr(response)
    response.to_dict()
    try:
        response.raise_for_block()
    except GeministreamError as error:
        str(error)


def run_case(seed, number):
    """Make the case and run it; returns its description."""
    pick = random.Random(f"{seed}/{number}")
    kind, body = make_body(pick)
    if kind == "events":
        body, *expected = body
        pieces = in_pieces(pick, body)
        whole = values_of([body])
        assert repr(list(whole[:2])) == repr(expected), f"{whole!r} are not {expected!r}"
        assert repr(values_of(pieces)) == repr(whole), "the split matters"
        use(whole[0])
        return kind, body, pieces
    pieces = in_pieces(pick, body)
    if kind == "body":
        limit = pick.choice(LIMITS)
        whole = values_of([body], limit)
        split = values_of(pieces, limit)
        assert repr(whole) == repr(split), f"the split matters: {whole!r} or {split!r}"
        use(whole[0])
        error = error_value(body.decode("utf-8", "replace"))
        str(api_error(error, http_status=503, headers={"retry-after": body[:20].decode("latin-1")}))
    elif kind == "chunked":
        stream = iter(pieces)
        values_of(read_all(dechunk(lambda size: next(stream, b"")))[0:1])
        whole = iter([body])
        first = read_all(dechunk(lambda size: next(whole, b"")))
        stream = iter(pieces)
        assert read_all(dechunk(lambda size: next(stream, b""))) == first, "the split matters"
    else:
        assert read_all(inflate(iter(pieces))) == read_all(inflate(iter([body] if body else []))), (
            "the split matters"
        )
    return kind, body, pieces


def run(seed, count, start=0):
    """Run the cases; returns the longest CPU time of one."""
    longest = 0.0
    for number in range(start, count):
        began = time.process_time()
        try:
            run_case(seed, number)
        except Exception as error:
            kind, body = make_body(random.Random(f"{seed}/{number}"))
            raise AssertionError(f"seed {seed}, case {number}: {error!r} for a {kind} of {body!r}") from error
        spent = time.process_time() - began
        longest = max(longest, spent)
        assert spent < SECONDS, f"seed {seed}, case {number} took {spent:.1f} s"
    return longest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", type=int, default=0, dest="start", metavar="CASE")
    options = parser.parse_args()
    began = time.monotonic()
    longest = run(options.seed, options.count, options.start)
    print(
        f"{options.count - options.start} cases of seed {options.seed} passed in {time.monotonic() - began:.1f} s; "
        f"the longest took {longest * 1000:.1f} ms of CPU"
    )


if __name__ == "__main__":
    main()
