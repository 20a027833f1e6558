"""Bodies as they come from Google, gateways and proxies, and what each must become.

``STREAMS`` are (name, body, texts, error): the body of a 200, the text of each
chunk that must be delivered (None for a chunk without text), and the name of
the exception that must follow them, or None.  They were put together from what
is known of the wire and from reports in the trackers of Gemini clients and
gateways; where a report describes one, it is named.
"""

import json


def chunk(text=None, finish=None, **more):
    """A chunk as Google sends it; ``more`` goes to its top level."""
    candidate = {}
    if text is not None:
        candidate["content"] = {"parts": [{"text": text}], "role": "model"}
    if finish:
        candidate["finishReason"] = finish
    candidate["index"] = 0
    return {"candidates": [candidate], **more}


A, B, C = chunk("one, "), chunk("two, "), chunk("three", "STOP", usageMetadata={"totalTokenCount": 9})
THREE = ["one, ", "two, ", "three"]


def dumps(value, **options):
    return json.dumps(value, ensure_ascii=False, **options).encode()


def pretty(value):
    return dumps(value, indent=2)


def sse(*values, end=b"\r\n", space=b" "):
    return b"".join(b"data:" + space + dumps(value) + end * 2 for value in values)


def array(*values):
    return b"[" + b"\n,\r\n".join(pretty(value) for value in values) + b"\n]\n"


def ndjson(*values, end=b"\n"):
    return b"".join(dumps(value) + end for value in values)


def error(code=503, message="The model is overloaded.", status="UNAVAILABLE"):
    return {"error": {"code": code, "message": message, "status": status}}


QUOTA = error(429, "Quota exceeded.", "RESOURCE_EXHAUSTED")
WHOLE = sse(A, B, C)
LINES = dumps(C).replace(b", ", b",\n").replace(b"{", b"{\n")  # one value over several lines
AWKWARD = 'a\u2028b\u2029c\x85d e\u000b "\\" {[}] \U0001f600 \\u0041 data: x\r\n\r\ndata: y'
SIGNATURE = {
    "candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "c2ln"}]}, "finishReason": "STOP"}]
}


def data_lines(value, end=b"\r\n"):
    """Pretty-printed JSON with a ``data:`` before each line."""
    return b"".join(b"data: " + line + end for line in pretty(value).split(b"\n")) + end


STREAMS = [
    # Server-sent events, whole.
    ("SSE as Google sends it", WHOLE, THREE, None),
    ("LF", sse(A, B, C, end=b"\n"), THREE, None),
    ("bare CR", sse(A, B, C, end=b"\r"), THREE, None),
    ("line ends mixed", sse(A) + sse(B, end=b"\n") + sse(C, end=b"\r"), THREE, None),
    ("no space after data:", sse(A, B, C, space=b""), THREE, None),  # python-genai #2584
    ("a tab after data:", sse(A, B, C, space=b"\t"), THREE, None),
    ("two spaces after data:", sse(A, B, C, space=b"  "), THREE, None),
    ("spaces after the JSON", WHOLE.replace(b"}\r\n", b"}  \r\n"), THREE, None),
    ("a byte order mark", b"\xef\xbb\xbf" + WHOLE, THREE, None),
    ("blank lines first", b"\r\n\r\n\n" + WHOLE, THREE, None),
    ("blank lines between", WHOLE.replace(b"\r\n", b"\r\n\r\n"), THREE, None),
    (
        "comments between events",
        b": ping\r\n\r\n" + WHOLE.replace(b"\r\n\r\n", b"\r\n\r\n:\n\n"),
        THREE,
        None,
    ),  # go-genai #903
    ("comments inside events", WHOLE.replace(b"data: ", b": ping\r\ndata: "), THREE, None),
    ("a comment like JSON", b":{[\n" + WHOLE, THREE, None),
    (
        "event, id and retry lines",
        WHOLE.replace(b"data: ", b"event: message\nid: 7\nretry: 3000\ndata: "),
        THREE,
        None,
    ),
    (
        "fields behind the data",
        WHOLE.replace(b"}\r\n\r\n", b"}\r\nid: 8\r\nevent: chunk\r\n\r\n"),
        THREE,
        None,
    ),
    ("fields without values", b"id\nretry\n\n" + WHOLE, THREE, None),
    ("data over several lines", data_lines(A) + data_lines(B) + data_lines(C), THREE, None),
    ("data over several lines, CR", data_lines(A, b"\r") + data_lines(C, b"\r"), [THREE[0], THREE[2]], None),
    (
        "data over several lines, comments inside",
        data_lines(C).replace(b"\r\ndata", b"\r\n: ping\r\ndata"),
        ["three"],
        None,
    ),
    ("[DONE]", WHOLE + b"data: [DONE]\n\n", THREE, None),
    ("[DONE] without space and blank line", WHOLE + b"data:[DONE]", THREE, None),
    ("[DONE] in the last event", WHOLE[:-2] + b"data: [DONE]\r\n\r\n", THREE, None),
    ("no blank line after the last event", WHOLE[:-2], THREE, None),
    ("no line end after the last event", WHOLE[:-4], THREE, None),
    ("no blank lines at all", sse(A, B, C).replace(b"\r\n\r\n", b"\n"), THREE, None),
    ("empty data as heartbeat", WHOLE.replace(b"data: ", b"data:\n\ndata: \n\ndata: "), THREE, None),
    (
        "two objects in one event",
        sse(A) + b"data: " + dumps(B) + dumps(C) + b"\n\n",
        THREE,
        None,
    ),  # python-genai #1024
    ("an array in one event", b"data: " + dumps([A, B, C]) + b"\n\n", THREE, None),  # bifrost #5188
    ("an empty array in one event", WHOLE + b"data: []\n\n", THREE, None),
    ("awkward text", sse(chunk(AWKWARD), C), [AWKWARD, "three"], None),
    (
        "awkward text, escaped",
        b"data: " + json.dumps(chunk(AWKWARD, "STOP")).encode() + b"\n\n",
        [AWKWARD],
        None,
    ),
    (
        "heartbeat events",
        b'event: ping\ndata: {"type": "ping"}\n\n' + WHOLE,
        [None] + THREE,
        None,
    ),  # sub2api #7277
    # JSON, whole.
    ("array as Google sends it", array(A, B, C), THREE, None),
    ("array on one line", dumps([A, B, C]), THREE, None),
    (
        "array with a comma before each line",
        b"[" + ndjson(A) + b"," + ndjson(B) + b"," + ndjson(C) + b"]",
        THREE,
        None,
    ),
    (
        "array with much white space",
        b" \r\n[ \n" + b"\r\n,\t".join(map(dumps, (A, B, C))) + b" \n ] \r\n ",
        THREE,
        None,
    ),
    ("array with a byte order mark", b"\xef\xbb\xbf" + array(A, B, C), THREE, None),
    ("array of awkward text", array(chunk(AWKWARD), C), [AWKWARD, "three"], None),
    ("two arrays", array(A, B) + array(C), THREE, None),
    ("one object, pretty-printed", pretty(C), ["three"], None),
    ("one object on one line", dumps(C), ["three"], None),
    ("objects on lines", ndjson(A, B, C), THREE, None),
    ("objects on lines, CRLF and blank lines", ndjson(A, B, C, end=b"\r\n\r\n"), THREE, None),
    ("objects without anything between", ndjson(A, B, C, end=b""), THREE, None),  # python-genai #2042
    ("objects, pretty-printed", pretty(A) + b"\n" + pretty(B) + b"\n" + pretty(C), THREE, None),
    ("objects of awkward text", ndjson(chunk(AWKWARD), C), [AWKWARD, "three"], None),
    # Finish reasons.
    ("STOP on every chunk", sse(chunk("a", "STOP"), chunk("b", "STOP")), ["a", "b"], None),
    (
        "STOP on empty chunks first",
        sse(chunk("", "STOP"), chunk(None, "STOP"), A, chunk(None, "STOP")),
        ["", None, "one, ", None],
        None,
    ),  # kelivo #1003
    (
        "STOP on empty chunks first, and none at the end",
        sse(chunk("", "STOP"), A),
        ["", "one, "],
        "IncompleteStreamError",
    ),
    ("a finish reason without content", sse(A, chunk(None, "STOP")), ["one, ", None], None),  # req_llm #638
    ("an unknown finish reason", sse(chunk("a", "FUNCTION_CALL")), ["a"], None),
    (
        "usage after the finish reason",
        sse(A, C, {"usageMetadata": {"totalTokenCount": 3}}),
        ["one, ", "three", None],
        None,
    ),
    (
        "grounding after the finish reason",
        sse(C, {"candidates": [{"index": 0, "groundingMetadata": {"webSearchQueries": ["x"]}}]}),
        ["three", None],
        None,
    ),
    (
        "nulls",
        sse(
            {
                "candidates": [
                    {
                        "content": {"parts": [{"text": "a", "thought": None}], "role": None},
                        "finishReason": None,
                        "safetyRatings": [],
                    }
                ],
                "promptFeedback": None,
                "error": None,
            },
            C,
        ),
        ["a", "three"],
        None,
    ),
    (
        "nulls after the finish reason",
        sse(
            C,
            {
                "candidates": [
                    {"content": {"parts": [{"text": "", "thoughtSignature": None}]}, "finishReason": None}
                ]
            },
        ),
        ["three", ""],
        None,
    ),
    (
        "parts, content and candidates missing",
        sse({}, {"candidates": []}, {"candidates": [{}]}, {"candidates": [{"content": {}}]}, C),
        [None] * 4 + ["three"],
        None,
    ),
    ("a null for a candidate", sse({"candidates": [None]}, C), [None, "three"], None),
    ("a signature at the end", sse(A, SIGNATURE), ["one, ", ""], None),
    ("a blocked prompt", sse({"promptFeedback": {"blockReason": "SAFETY"}}), [None], None),
    ("no finish reason at all", sse(A, B), THREE[:2], "IncompleteStreamError"),  # CLIProxyAPI #5226
    (
        "an unspecified finish reason",
        sse(chunk("a", "FINISH_REASON_UNSPECIFIED")),
        ["a"],
        "IncompleteStreamError",
    ),
    (
        "another API's chunks",
        sse({"choices": [{"delta": {"content": "x"}}]}) + b"data: [DONE]\n\n",
        [None],
        "StreamDecodeError",
    ),
    # Errors.
    ("error as data", sse(A, QUOTA), ["one, "], "RateLimitError"),
    ("error first", sse(error()), [], "ServerError"),
    ("error event", sse(A) + b"event: error\r\n" + sse(QUOTA), ["one, "], "RateLimitError"),
    ("error event, name last", sse(A) + sse(QUOTA)[:-2] + b"event:error\n\n", ["one, "], "RateLimitError"),
    (
        "error event without error member",
        sse(A) + b"event: error\n" + sse(QUOTA["error"]),
        ["one, "],
        "RateLimitError",
    ),
    ("error event in an array", sse(A) + b"event: error\n" + sse([QUOTA]), ["one, "], "RateLimitError"),
    (
        "error event of plain text",
        sse(A) + b"event: error\ndata: upstream timed out\n\n",
        ["one, "],
        "ServerError",
    ),
    (
        "error event of two lines of text",
        sse(A) + b"event: error\ndata: a\ndata: b\n\n",
        ["one, "],
        "ServerError",
    ),
    ("error event of nothing", sse(A) + b"event: error\ndata: {}\n\n", ["one, "], "ServerError"),
    ("error event of a string", sse(A) + b'event: error\ndata: "no"\n\n', ["one, "], "ServerError"),
    (
        "error event, name last, without error member",
        sse(A) + sse(QUOTA["error"])[:-2] + b"event: error\n\n",
        ["one, "],
        "RateLimitError",
    ),
    (
        "error event, name behind a comment",
        sse(A) + sse({"message": "no"})[:-2] + b": x\r\nid: 7\r\nevent: error\r\n\r\n",
        ["one, "],
        "ServerError",
    ),
    (
        "error event, name last, nothing behind it",
        sse(A) + b'data: {"detail": "no"}\nevent: error',
        ["one, "],
        "ServerError",
    ),
    (
        "error event of a list of one",
        sse(A) + b"event: error\n" + sse([QUOTA["error"]]),
        ["one, "],
        "RateLimitError",
    ),
    (
        "error event and [DONE]",
        sse(A) + b"event: error\n" + sse(QUOTA)[:-2] + b"data: [DONE]\n\n",
        ["one, "],
        "RateLimitError",
    ),
    (
        "error event of half an object",
        sse(A) + b'event: error\ndata: {"error": {"co\n\n',
        ["one, "],
        "ServerError",
    ),
    (
        "a chunk that is called an error too late",
        sse(A)[:-2] + b"event: error\r\n\r\n" + sse(C),
        ["one, ", "three"],
        None,
    ),
    (
        "usage in an event of its own",
        sse({"usageMetadata": {"totalTokenCount": 3}}, C),
        [None, "three"],
        None,
    ),
    (
        "usage without blank lines",
        sse({"usageMetadata": {}}, A, {}, C).replace(b"\r\n\r\n", b"\n"),
        [None, "one, ", None, "three"],
        None,
    ),
    (
        "error event, cut before its blank line",
        sse(A) + b"event: error\n" + sse(QUOTA)[:-4],
        ["one, "],
        "RateLimitError",
    ),
    (
        "raw error after events",
        sse(A, B) + pretty(QUOTA) + b"\n",
        THREE[:2],
        "RateLimitError",
    ),  # python-genai #1162
    (
        "raw error with CRLF",
        sse(A) + pretty(QUOTA).replace(b"\n", b"\r\n") + b"\r\n",
        ["one, "],
        "RateLimitError",
    ),
    ("raw error between events", sse(A) + pretty(QUOTA) + b"\n\n" + sse(C), ["one, "], "RateLimitError"),
    ("raw error without line end", sse(A) + pretty(QUOTA), ["one, "], "RateLimitError"),
    ("raw error on one line", sse(A) + dumps(QUOTA), ["one, "], "RateLimitError"),
    (
        "raw error with blank lines inside",
        sse(A) + pretty(QUOTA).replace(b"\n", b"\n\n"),
        ["one, "],
        "RateLimitError",
    ),
    ("raw error right behind data", sse(A)[:-2] + pretty(QUOTA), ["one, "], "RateLimitError"),
    ("raw error in an array", sse(A) + pretty([QUOTA]), ["one, "], "RateLimitError"),
    (
        "raw error whose text looks like a stream",
        sse(A) + pretty(error(429, 'see\n\ndata: {"x": [', "X")),
        ["one, "],
        "RateLimitError",
    ),
    ("error element", array(A, B, QUOTA), THREE[:2], "RateLimitError"),
    ("error element, array not closed", array(A, QUOTA)[:-3], ["one, "], "RateLimitError"),
    ("error alone, in an array", array(error()), [], "ServerError"),
    ("error alone, as an object", pretty(error()), [], "ServerError"),
    ("error on a line", ndjson(A, QUOTA), ["one, "], "RateLimitError"),
    ("error code as text", sse(error("400", "no", None)), [], "BadRequestError"),
    ("error without code", sse(error(None, "no", "NOT_FOUND")), [], "NotFoundError"),
    ("error with neither code nor status", sse({"error": {"message": "no"}}), [], "ServerError"),
    (
        "error with a code by name",
        sse({"error": {"message": "slow down", "code": "RESOURCE_EXHAUSTED"}}),
        [],
        "RateLimitError",
    ),
    ("error without message", sse({"error": {"code": 503}}), [], "ServerError"),  # opencode #46069
    ("error as text", sse({"error": "overloaded"}), [], "ServerError"),
    ("error as a list", sse({"error": [QUOTA["error"]]}), [], "RateLimitError"),
    (
        "error of another API",
        sse({"error": {"message": "slow down", "type": "rate_limit", "code": None}}),
        [],
        "ServerError",
    ),
    ("error inside a message", sse(error(429, json.dumps(error(400, "bad")), "")), [], "RateLimitError"),
    # Not a stream.
    ("a page", b"<!DOCTYPE html>\n<html><title>502</title></html>\n", [], "StreamDecodeError"),
    ("a page without line end", b"<html>busy</html>", [], "StreamDecodeError"),
    ("plain text", b"upstream connect error or disconnect", [], "StreamDecodeError"),
    ("a page behind an event", sse(A) + b"<html>\n", ["one, "], "StreamDecodeError"),
    ("a page in an event", sse(A) + b"data: <html>\n\n", ["one, "], "StreamDecodeError"),
    ("a page right behind data", sse(A)[:-2] + b"<html>\n", ["one, "], "StreamDecodeError"),
    ("a string in an event", sse(A, "message"), ["one, "], "StreamDecodeError"),  # bifrost #5188
    ("null in an event", sse(A, None), ["one, "], "StreamDecodeError"),
    ("a number in an event", sse(A, 7), ["one, "], "StreamDecodeError"),
    ("a list in an array in an event", sse([[A]]), [], "StreamDecodeError"),
    (
        "an event cut in two by a proxy",
        sse(A) + WHOLE[:30] + b"\n\n" + WHOLE[30:],
        ["one, "],
        "StreamDecodeError",
    ),  # litellm #30224
    ("bad UTF-8 in an event", sse(A) + b'data: {"x": "\xff"}\n\n', ["one, "], "StreamDecodeError"),
    ("bad UTF-8 in an array", array(A, B)[:-3] + b',{"x": "\xff"}]', THREE[:2], "StreamDecodeError"),
    ("bad UTF-8 in a line", ndjson(A) + b'{"x": "\xc3\x28"}\n', ["one, "], "StreamDecodeError"),
    ("bad UTF-8 in a raw error", sse(A) + b'{"error": "\xff"}\n', ["one, "], "StreamDecodeError"),
    ("zero bytes", sse(A) + b"\0\0\0\0\n", ["one, "], "StreamDecodeError"),
    ("an array of arrays", dumps([[A], [B]]), [], "StreamDecodeError"),
    ("an array of numbers", b"[1, 2]", [], "StreamDecodeError"),
    ("an array without commas", b"[" + dumps(A) + dumps(B) + b"]", ["one, "], "StreamDecodeError"),
    ("an array with two commas", b"[" + dumps(A) + b",," + dumps(B) + b"]", ["one, "], "StreamDecodeError"),
    ("an array with a comma at its end", b"[" + dumps(A) + b",]", ["one, "], "StreamDecodeError"),
    ("an array with a comma first", b"[," + dumps(A) + b"]", [], "StreamDecodeError"),
    ("text behind an array", array(A) + b"oops", ["one, "], "StreamDecodeError"),
    ("text behind an object", dumps(A) + b"\noops", ["one, "], "StreamDecodeError"),
    ("objects with commas", ndjson(A)[:-1] + b",\n" + ndjson(B), ["one, "], "StreamDecodeError"),
    ("bad JSON in an event", sse(A) + b"data: {'a': 1}\n\n", ["one, "], "StreamDecodeError"),
    ("bad JSON in an array", b"[" + dumps(A) + b", {x: 1}]", ["one, "], "StreamDecodeError"),
    ("brackets that do not match", b"[" + dumps(A) + b', {"a": ]}]', ["one, "], "StreamDecodeError"),
    (
        "JSON nested too deeply, in an event",
        sse(A) + b"data: " + b"[" * 50000 + b"\n\n",
        ["one, "],
        "StreamDecodeError",
    ),
    (
        "JSON nested too deeply, in an array",
        b"[" + dumps(A) + b"," + b'{"a":' * 50000 + b"1" + b"}" * 50000 + b"]",
        ["one, "],
        "StreamDecodeError",
    ),
    # Ended early.
    ("nothing", b"", [], "IncompleteStreamError"),
    ("white space", b" \r\n\n", [], "IncompleteStreamError"),
    ("half a byte order mark", b"\xef\xbb", [], "IncompleteStreamError"),
    ("comments alone", b": ping\n\n: ping\n\n", [], "IncompleteStreamError"),
    ("[DONE] alone", b"data: [DONE]\n\n", [], "IncompleteStreamError"),
    ("an empty array", b"[]", [], "IncompleteStreamError"),
    ("an empty object", b"{}", [None], "IncompleteStreamError"),
    ("cut in a field's name", sse(A) + b"da", ["one, "], "IncompleteStreamError"),
    ("cut in an event", sse(A) + WHOLE[:30], ["one, "], "IncompleteStreamError"),
    (
        "cut in a UTF-8 sequence",
        (sse(A, chunk("\u00e9")).split(b"\xa9")[0]),
        ["one, "],
        "IncompleteStreamError",
    ),
    ("cut in an escape", b'data: {"a": "\\u00', [], "IncompleteStreamError"),
    ("cut in data of several lines", sse(A) + data_lines(B)[:60], ["one, "], "IncompleteStreamError"),
    (
        "half an event and a blank line",
        sse(A) + WHOLE[:30] + b"\r\n\r\n",
        ["one, "],
        "IncompleteStreamError",
    ),  # litellm
    (
        "half an event, then comments and [DONE]",
        sse(A) + WHOLE[:30] + b"\n\n: ping\n\nid: 7\n\ndata: \n\ndata: [DONE]\n\n",
        ["one, "],
        "IncompleteStreamError",
    ),
    (
        "half an event behind a whole value",
        b"data: " + dumps(A) + b'{"candidates": [\n\n',
        ["one, "],
        "IncompleteStreamError",
    ),
    (
        "half an event of several lines",
        sse(A) + data_lines(B)[:60] + b"\n\n",
        ["one, "],
        "IncompleteStreamError",
    ),
    ("half an event, then a chunk", sse(A) + WHOLE[:30] + b"\n\n" + sse(C), ["one, "], "StreamDecodeError"),
    (
        "half an event, then an object",
        sse(A) + WHOLE[:30] + b"\n\n" + ndjson(C),
        ["one, "],
        "StreamDecodeError",
    ),
    (
        "half an event, then half an event",
        sse(A) + (WHOLE[:30] + b"\n\n") * 2,
        ["one, "],
        "StreamDecodeError",
    ),
    ("half an event, then a page", sse(A) + WHOLE[:30] + b"\n\n<html>", ["one, "], "StreamDecodeError"),
    ("bad JSON in the last event", sse(A) + b'data: {"a": 1, b\n\n', ["one, "], "StreamDecodeError"),
    ("bad JSON in the last event, cut", sse(A) + b'data: {"a": 1, b', ["one, "], "StreamDecodeError"),
    ("bad JSON in an array, cut", b"[" + dumps(A) + b', {"a": 1, b', ["one, "], "StreamDecodeError"),
    ("bad JSON in a line, cut", ndjson(A) + b'{"a" 1', ["one, "], "StreamDecodeError"),
    ("cut in [DONE]", sse(A) + b"data: [DO", ["one, "], "IncompleteStreamError"),
    ("cut in a raw error", sse(A) + pretty(QUOTA)[:-9], ["one, "], "IncompleteStreamError"),
    ("cut in a raw error's UTF-8", sse(A) + b'{"error": "\xc3', ["one, "], "IncompleteStreamError"),
    ("array not closed", array(A, B)[:-3], THREE[:2], "IncompleteStreamError"),
    ("array not closed, after a finish reason", array(A, B, C)[:-3], THREE, "IncompleteStreamError"),
    (
        "array cut after a comma",
        array(A, B, C)[: array(A, B).rindex(b"]")] + b",",
        THREE[:2],
        "IncompleteStreamError",
    ),
    ("array cut at its start", b"[", [], "IncompleteStreamError"),
    ("array cut in an element", array(A, B)[:-20], ["one, "], "IncompleteStreamError"),
    ("object cut", pretty(C)[:-1], [], "IncompleteStreamError"),
    ("line cut", ndjson(A, C)[:-2], ["one, "], "IncompleteStreamError"),
]
assert len({name for name, *_ in STREAMS}) == len(STREAMS)
