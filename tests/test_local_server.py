"""The test server itself, seen from outside: raw sockets, http.client and requests, never our own client."""

import base64
import copy
import gc
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from long_form import LONG, sample

from geministream.testing import Answer, LocalServer, RandomFaults, expected_text, expected_thoughts
from geministream.testing.forms import form_parts
from geministream.testing.prompt import words
from geministream.testing.samples import instance_of
from geministream.testing.uploads import GRANULARITY

KEY = {"x-goog-api-key": "local-key"}
PLAIN = {**KEY, "Accept-Encoding": "identity"}
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Hello there, how <are> you today?"}]}]}
STREAM = "/v1beta/models/gemini-x:streamGenerateContent"


@pytest.fixture
def server():
    with LocalServer() as server:
        yield server


def ask(server, body=HELLO, *, alt="sse", path=STREAM, headers=PLAIN, stream=False, **how):
    url = server.url + path + (f"?alt={alt}" if alt else "")
    return requests.post(url, json=body, headers=headers, stream=stream, timeout=10, **how)


def sse(data):
    """The events of a body, read as plainly as can be."""
    events = data.replace(b"\r\n", b"\n").split(b"\n\n")
    return [json.loads(each[len(b"data: ") :]) for each in events if each.startswith(b"data: {")]


def text_of(chunks, index=0, thought=False):
    return "".join(
        part.get("text", "")
        for chunk in chunks
        for candidate in chunk.get("candidates", ())
        if candidate["index"] == index
        for part in candidate.get("content", {}).get("parts", ())
        if bool(part.get("thought")) == thought
    )


def prompt(text, **fields):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **fields}


def raw(server, data):
    """Everything that the server sends to these bytes, until it closes."""
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        sock.sendall(data)
        received = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                return received
            received += piece


def post_bytes(body=None, path=STREAM + "?alt=sse", extra="Connection: close\r\n"):
    body = json.dumps(HELLO if body is None else body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nx-goog-api-key: local-key\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


# -- framing, as Google sends it ----------------------------------------------------


def test_sse_bytes_are_googles(server):
    response = ask(server)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Transfer-Encoding"] == "chunked"
    first = b'data: {"candidates": [{"content": {"parts": [{"text": "You said: Hello "}]'
    assert response.content.startswith(first)
    assert response.content.endswith(b"}\r\n\r\n")
    assert b"\\u003care\\u003e" in response.content
    assert (
        text_of(sse(response.content))
        == expected_text(HELLO)
        == "You said: Hello there, how <are> you today?"
    )


def test_array_bytes_are_googles(server):
    response = ask(server, alt=None)
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert response.content.startswith(b'[{\n  "candidates": [')
    assert b"\n}\n,\r\n{\n" in response.content
    assert response.content.endswith(b"\n}\n]")
    assert response.json() == sse(ask(server).content)


@pytest.mark.parametrize("alt, first, last", [("sse", b"data: {", b"\r\n\r\n"), (None, b"[{", b"]")])
def test_each_event_is_one_http_chunk(server, alt, first, last):
    received = raw(server, post_bytes(path=STREAM + ("?alt=sse" if alt else "")))
    head, _, body = received.partition(b"\r\n\r\n")
    pieces = []
    while body:
        size, _, body = body.partition(b"\r\n")
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    assert pieces[-1] == b""  # the chunk that ends the body
    assert pieces[0].startswith(first) and pieces[-2].endswith(last)
    assert len(pieces) - 1 == (3 if alt else 4)
    assert alt or pieces[-2] == b"]"  # which comes alone


def test_gzip_is_flushed_with_each_event(server):
    gates = [threading.Event() for _ in range(2)]
    server.queue(Answer(["one", "two"], gates=gates))
    response = ask(server, headers={**KEY, "Accept-Encoding": "gzip"}, stream=True)
    assert response.headers["Content-Encoding"] == "gzip"
    pieces = response.iter_content(None)
    gates[0].set()
    assert b'"one"' in next(pieces)  # readable although the second is still held back
    gates[1].set()
    assert b'"two"' in b"".join(pieces)


def test_gzip_only_where_accepted_and_wanted():
    with LocalServer(gzip=False) as server:
        assert "Content-Encoding" not in ask(server, headers=KEY).headers
    with LocalServer() as server:
        assert "Content-Encoding" not in ask(server, headers=PLAIN).headers
        assert ask(server, headers=KEY).headers["Content-Encoding"] == "gzip"
        server.queue(Answer(stop_after=20), Answer(piece_bytes=5), Answer(piece_bytes=5, gzip=True))
        assert "Content-Encoding" not in ask(server, headers=KEY).headers
        assert "Content-Encoding" not in ask(server, headers=KEY).headers
        assert text_of(sse(ask(server, headers=KEY).content)) == expected_text(HELLO)


def test_generate_content_is_one_object(server):
    body = {**HELLO, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    whole = ask(server, body, alt=None, path="/v1beta/models/gemini-x:generateContent").json()
    parts = whole["candidates"][0]["content"]["parts"]
    assert [bool(part.get("thought")) for part in parts] == [True, False, False]
    assert parts[1]["text"] == expected_text(body) and parts[2]["thoughtSignature"]
    assert whole["candidates"][0]["finishReason"] == "STOP"


# -- the model --------------------------------------------------------------------


def test_text_is_the_rule_for_all_kinds_of_parts(server):
    request = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Before"}]},
            {"role": "model", "parts": [{"text": "Yes"}]},
            {
                "role": "user",
                "parts": [
                    {"text": "  Two\n\nlines \u2028 and ünï→ "},
                    {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"abc").decode()}},
                    {"fileData": {"fileUri": "gs://bucket/x.pdf", "mimeType": "application/pdf"}},
                ],
            },
        ],
    }
    text = text_of(sse(ask(server, request).content))
    assert text == expected_text(request) == server.expected_text(request)
    assert text.splitlines()[0] == "System instruction: Be brief."
    assert "I was sent 3 contents." in text
    assert f"You sent image/png, 3 bytes, SHA-256 {hashlib.sha256(b'abc').hexdigest()}." in text
    assert "You sent the file gs://bucket/x.pdf, application/pdf." in text


def test_snake_case_and_single_messages_are_taken(server):
    request = {
        "contents": {"parts": {"text": "hi"}},
        "system_instruction": {"parts": {"text": "S"}},
        "generation_config": {"max_output_tokens": 3},
    }
    chunks = sse(ask(server, request).content)
    assert text_of(chunks) == expected_text(request) == "System instruction: S\n"
    assert chunks[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_limits_stops_candidates_and_thoughts(server):
    request = prompt(
        "a b c d e f",
        generationConfig={
            "stopSequences": ["e"],
            "candidateCount": 2,
            "thinkingConfig": {"includeThoughts": True},
        },
    )
    chunks = sse(ask(server, request).content)
    assert text_of(chunks, 0) == expected_text(request) == "You said: a b c d "
    assert text_of(chunks, 1) == expected_text(request, 1) == "(2) You said: a b c d "
    assert text_of(chunks, thought=True) == expected_thoughts(request)
    finished = [chunk["candidates"][0] for chunk in chunks if "finishReason" in chunk["candidates"][0]]
    assert [each["index"] for each in finished] == [0, 1]
    assert chunks[-1]["candidates"][0]["content"]["parts"][0].keys() == {"text", "thoughtSignature"}


def test_usage_is_cumulative_and_adds_up(server):
    request = prompt("one two three", generationConfig={"thinkingConfig": {"includeThoughts": True}})
    request["contents"][0]["parts"].append({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})
    usages = [chunk["usageMetadata"] for chunk in sse(ask(server, request).content)]
    totals = [usage["totalTokenCount"] for usage in usages]
    assert totals == sorted(totals)
    last = usages[-1]
    assert last["totalTokenCount"] == (
        last["promptTokenCount"] + last["candidatesTokenCount"] + last["thoughtsTokenCount"]
    )
    assert last["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 3},
        {"modality": "IMAGE", "tokenCount": 258},
    ]


def test_json_answers_are_instances_of_the_schema(server):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer", "minimum": 5},
            "kind": {"enum": ["x", "y"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
        },
    }
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    made = json.loads(text_of(sse(ask(server, prompt("x", generationConfig=config)).content)))
    assert made == {
        "name": "name",
        "count": 5,
        "kind": "x",
        "tags": ["tags", "tags 2", "tags 3"],
        "next": None,
    }
    assert instance_of({"type": "ARRAY", "items": {"type": "NUMBER"}}) == [1.0, 2.0]
    recursive = {
        "$ref": "#/$defs/n",
        "$defs": {
            "n": {
                "type": "object",
                "properties": {
                    "v": {"type": "integer"},
                    "c": {"type": "array", "items": {"$ref": "#/$defs/n"}},
                },
                "required": ["v"],
            }
        },
    }
    json.dumps(instance_of(recursive))


def test_image_is_a_valid_png(server):
    request = prompt("draw", generationConfig={"responseModalities": ["TEXT", "IMAGE"]})
    chunks = sse(ask(server, request).content)
    data = base64.b64decode(chunks[-1]["candidates"][0]["content"]["parts"][0]["inlineData"]["data"])
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    length = struct.unpack(">I", data[33:37])[0]
    assert len(zlib.decompress(data[41 : 41 + length])) == height * (1 + 3 * width)
    assert text_of(chunks) == expected_text(request)
    assert (
        text_of(sse(ask(server, prompt("d", generationConfig={"responseModalities": ["IMAGE"]})).content))
        == ""
    )


def test_functions_are_called_by_name(server):
    tools = [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
                },
                {"name": "get_time"},
            ]
        }
    ]
    chunks = sse(
        ask(server, prompt('Please get_weather({"city": "Rome"}) and get_time', tools=tools)).content
    )
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in chunks]
    assert [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts] == [
        ("get_weather", {"city": "Rome"}),
        ("get_time", {}),
    ]
    assert ["thoughtSignature" in part for part in parts] == [True, False]
    forced = prompt("hi", tools=tools, toolConfig={"functionCallingConfig": {"mode": "ANY"}})
    part = sse(ask(server, forced).content)[0]["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"]["args"] == {"city": "city"}
    none = prompt("get_time", tools=tools, toolConfig={"functionCallingConfig": {"mode": "NONE"}})
    assert text_of(sse(ask(server, none).content)) == "You said: get_time"


def test_reply_replaces_the_rules():
    with LocalServer(reply=lambda request: "x " * 20, words_per_chunk=7) as server:
        chunks = sse(ask(server).content)
        assert text_of(chunks) == "x " * 20 == server.expected_text(HELLO)
        assert len(chunks) == 3


def test_words_join_to_the_text():
    for text in ("", " ", " a", "a  b\n", "\u2028a\u2028"):
        assert "".join(words(text)) == text


def test_models_and_count_tokens(server):
    names = [
        each["name"] for each in requests.get(server.url + "/v1beta/models", headers=KEY).json()["models"]
    ]
    assert "models/gemini-flash-latest" in names
    info = requests.get(server.url + "/v1beta/models/gemini-9", headers=KEY).json()
    assert info["name"] == "models/gemini-9" and "test program" in info["displayName"]
    counted = ask(server, path="/v1beta/models/m:countTokens", alt=None).json()
    assert counted["totalTokens"] == 6
    inner = {"generateContentRequest": {"model": "models/m", **HELLO}}
    assert ask(server, inner, path="/v1beta/models/m:countTokens", alt=None).json()["totalTokens"] == 6


# -- what it refuses --------------------------------------------------------------


def test_keys(server):
    missing = ask(server, headers={})
    assert (missing.status_code, missing.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    wrong = ask(server, headers={"x-goog-api-key": "no"})
    assert (wrong.status_code, wrong.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert wrong.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    bearer = ask(server, headers={"Authorization": "Bearer x"})
    assert (bearer.status_code, bearer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    url = f"{server.url}{STREAM}?alt=sse&key=local-key"
    assert requests.post(url, json=HELLO).status_code == 200


def test_errors_stand_in_an_array_without_alt(server):
    assert ask(server, headers={}, alt="sse").json().keys() == {"error"}
    array = ask(server, headers={}, alt=None)
    assert (
        array.json()[0].keys() == {"error"}
        and array.content.startswith(b"[{")
        and array.content.endswith(b"}\n]")
    )
    assert ask(server, headers={}, alt=None, path="/v1beta/models/m:generateContent").json().keys() == {
        "error"
    }


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": [{}]}, "contents[0].parts"),
        ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0].data"),
        ({"contents": [{"parts": [{"thought": True}]}]}, "contents[0].parts[0].data"),
        (
            {"contents": [{"parts": [{"text": "a", "inlineData": {"mimeType": "a/b", "data": "AA=="}}]}]},
            "contents[0].parts[0].data",
        ),
        ({"contents": [{"parts": [{"text": 3}]}]}, "contents[0].parts[0].text"),
        ({"contents": ["hi"]}, "contents[0]"),
        ({"contents": "hi"}, "contents"),
        ({"contents": [None]}, "contents"),
        ({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        (
            {"contents": [{"parts": [{"inline_data": {"mime_type": "a/b", "data": "?"}}]}]},
            "contents[0].parts[0].inline_data.data",
        ),
        (
            {"contents": [{"parts": [{"inlineData": {"data": "AAAA"}}]}]},
            "contents[0].parts[0].inline_data.mime_type",
        ),
        ({**HELLO, "generationConfig": {"temperature": 2.1}}, "generation_config.temperature"),
        ({**HELLO, "generationConfig": {"temperature": "hot"}}, "generation_config.temperature"),
        ({**HELLO, "generationConfig": {"topP": -0.1}}, "generation_config.top_p"),
        ({**HELLO, "generationConfig": {"maxOutputTokens": 1.5}}, "generation_config.max_output_tokens"),
        ({**HELLO, "generationConfig": {"candidateCount": 9}}, "generation_config.candidate_count"),
        ({**HELLO, "generationConfig": {"stopSequences": "x"}}, "generation_config.stop_sequences"),
        ({**HELLO, "generationConfig": []}, "generation_config"),
        ({**HELLO, "systemInstruction": "be kind"}, "system_instruction"),
        ({**HELLO, "colour": 1}, "colour"),
        (
            {**HELLO, "tools": [{"functionDeclarations": [{"name": "not a name"}]}]},
            "tools[0].function_declarations[0].name",
        ),
        (
            {
                **HELLO,
                "tools": [
                    {
                        "functionDeclarations": [
                            {"name": "f", "parametersJsonSchema": {"properties": {"a": {"items": 3}}}}
                        ]
                    }
                ],
            },
            "tools[0].function_declarations[0].parameters_json_schema.properties.a.items",
        ),
        (
            {
                **HELLO,
                "generationConfig": {"responseSchema": {"anyOf": [{"type": "array", "minItems": 10**9}]}},
            },
            "generation_config.response_schema.any_of[0].min_items",
        ),
        (
            {**HELLO, "generationConfig": {"responseJsonSchema": {"enum": "x"}}},
            "generation_config.response_json_schema.enum",
        ),
    ],
)
def test_bad_requests_name_the_field(server, body, field):
    response = ask(server, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    (details,) = error["details"]
    assert details["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    violation = details["fieldViolations"][0]
    assert violation["field"] == field and violation["description"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"contents": ' * 50_000,
        b'{"seed": NaN}',
        b'{"a": ' * 101 + b"1" + b"}" * 101,
    ],
)
def test_bad_json(server, body):
    response = requests.post(server.url + STREAM + "?alt=sse", data=body, headers=KEY)
    assert response.status_code == 400 and response.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_a_hundred_levels_are_read(server):
    body = (
        b'{"contents": [{"parts": [{"functionCall": {"name": "f", "args": '
        + b'{"a":' * 94
        + b"1"
        + b"}" * 94
        + b"}}]}]}"
    )
    for more, status in ((b"1", 200), (b"[]", 400)):
        response = requests.post(server.url + STREAM + "?alt=sse", data=body.replace(b"1", more), headers=KEY)
        assert response.status_code == status


def test_whole_numbers_are_read_in_each_spelling(server):
    for two in (2, 2.0, "2", "2.0", "2e0"):
        chunks = sse(
            ask(
                server, {**HELLO, "generationConfig": {"candidateCount": two, "maxOutputTokens": two}}
            ).content
        )
        assert text_of(chunks) == "You said: " and text_of(chunks, 1) == "(2) You "


def test_an_empty_stop_sequence_stops_nothing(server):
    assert text_of(
        sse(ask(server, {**HELLO, "generationConfig": {"stopSequences": [""]}}).content)
    ) == expected_text(HELLO)


def test_nothing_to_count(server):
    for body in (
        {},
        {"contents": []},
        {"generateContentRequest": {}},
        {"generateContentRequest": {"contents": []}},
    ):
        response = ask(server, body, alt=None, path="/v1beta/models/m:countTokens")
        assert (
            response.status_code,
            response.json()["error"]["details"][0]["fieldViolations"][0]["field"],
        ) == (400, "contents")


def test_nulls_are_fields_not_set(server):
    request = {**HELLO, "tools": None, "generationConfig": {"temperature": None}, "systemInstruction": None}
    assert ask(server, request).status_code == 200
    system = {"parts": [{"text": None}, {"text": "Be kind."}]}
    assert "System instruction:  Be kind." in text_of(
        sse(ask(server, {**HELLO, "systemInstruction": system}).content)
    )


def test_unknown_paths_models_and_methods(server):
    assert ask(server, path="/v1beta/models/no-such-model:streamGenerateContent").status_code == 404
    assert ask(server, path="/v1beta/models/m:embed").json()["error"]["status"] == "NOT_FOUND"
    assert ask(server, path="/nowhere").status_code == 404
    assert requests.get(server.url + STREAM, headers=KEY).status_code == 405
    head = requests.head(server.url + "/v1beta/models", headers=KEY)
    assert head.status_code == 200 and head.content == b""


def test_too_large_a_request():
    with LocalServer(max_request_bytes=1000) as server:
        assert ask(server, prompt("x" * 2000)).status_code == 400
        assert server.requests[0].body == b"" and server.requests[0].size > 2000


def test_function_responses_must_match_the_calls(server):
    call, answer = (
        {"functionCall": {"name": "f", "args": {}}},
        {"functionResponse": {"name": "f", "response": {}}},
    )
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [call, call]},
        {"role": "user", "parts": [answer]},
    ]
    assert (
        "number of function response parts" in ask(server, {"contents": contents}).json()["error"]["message"]
    )
    contents[-1]["parts"].append(answer)
    assert ask(server, {"contents": contents}).status_code == 200


# -- HTTP ----------------------------------------------------------------------------


def test_keep_alive_and_connection_numbers(server):
    with requests.Session() as session:
        for _ in range(3):
            session.post(server.url + STREAM + "?alt=sse", json=HELLO, headers=KEY)
    ask(server)
    assert [each.connection for each in server.requests] == [0, 0, 0, 1]
    assert server.connections == 2
    for _ in range(2):  # urllib3 2 closes a session's connections when its pools are collected
        gc.collect()
    server.wait_for_connections(0)


def test_records_what_came(server):
    ask(
        server,
        path="/v1beta/models/gemini-x:streamGenerateContent",
        headers={**KEY, "X-Test": "ü".encode()},
    )
    recorded = server.requests[0]
    assert (recorded.method, recorded.model, recorded.verb) == (
        "POST",
        "gemini-x",
        "streamGenerateContent",
    )
    assert recorded.query == {"alt": "sse"} and recorded.json == HELLO
    assert recorded.headers["X-GOOG-API-KEY"] == "local-key" and "x-test" in recorded.headers
    assert recorded.sha256 == hashlib.sha256(recorded.body).hexdigest() and recorded.size == len(
        recorded.body
    )
    assert recorded.finished.wait(5) and recorded.complete and recorded.fault is None
    assert not recorded.client_gone.is_set()


def test_chunked_request_bodies_and_continue(server):
    body = json.dumps(HELLO).encode()
    response = requests.post(server.url + STREAM + "?alt=sse", data=iter([body[:10], body[10:]]), headers=KEY)
    assert response.status_code == 200 and server.requests[0].json == HELLO
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        head, _, sent = post_bytes(extra="Expect: 100-continue\r\nConnection: close\r\n").partition(
            b"\r\n\r\n"
        )
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(sent)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_old_clients_and_absolute_targets(server):
    old = raw(server, post_bytes(extra="").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b"Transfer-Encoding" not in old and b"Connection: close" in old
    assert text_of(sse(old.partition(b"\r\n\r\n")[2])) == expected_text(HELLO)
    proxied = raw(server, post_bytes(path=f"http://some.host{STREAM}?alt=sse"))
    assert proxied.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
    ],
)
def test_rubbish_gets_an_error_and_the_door(server, junk):
    received = raw(server, junk)
    assert received.startswith(b"HTTP/1.1 ") and received[9:12] in (b"400", b"431", b"505")
    assert ask(server).status_code == 200


@pytest.mark.parametrize("cut", [1, 30, 120, -1])
def test_clients_that_leave_in_the_middle(server, cut, capfd):
    with socket.create_connection((server.host, server.port)) as sock:
        sock.sendall(post_bytes()[:cut])
    server.wait_for_connections(0)
    if cut == -1:  # a head, and a body that never ends
        recorded = server.wait_for_request()
        assert recorded.client_gone.is_set() and recorded.finished.is_set() and not recorded.complete
    assert ask(server).status_code == 200
    assert capfd.readouterr().err == "" and not server.errors


def test_a_bug_of_a_callable_is_not_hidden():
    def broken(recorded):
        raise LookupError("in the test's own callable")

    with pytest.raises(LookupError):
        with LocalServer() as server:
            server.answer_with(broken)
            assert ask(server).status_code == 500


def test_close_is_prompt_and_leaves_nothing_behind():
    program = f"""if True:
        import socket, threading, time
        from geministream.testing import Answer, LocalServer
        before = threading.active_count()
        server = LocalServer(latency=0).start()
        never = threading.Event()
        server.queue(Answer(stop_after=10, stop_how="stall"), Answer(delay=60), Answer(wait=never),
                     Answer(["x", 60, "y"]), Answer(["x"], gates=[never]), Answer.nothing("stall"),
                     Answer([b"x" * 2**26]), Answer(piece_delay=60))
        clients = []
        for _ in range(8):
            clients.append(socket.create_connection((server.host, server.port)))
            clients[-1].sendall({post_bytes()!r})
        clients.append(socket.create_connection((server.host, server.port)))  # says nothing
        server.wait_for_request(8)
        start = time.monotonic()
        server.close()
        print(time.monotonic() - start < 1.0, threading.active_count() - before, server.open_connections)
        server.close()
        for client in clients:
            client.close()
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["True", "0", "0"], "")


def test_sixty_four_clients_at_once():
    gate = threading.Event()
    with LocalServer() as server:
        server.queue(*[Answer(["a", gate, "b"]) for _ in range(64)])
        with ThreadPoolExecutor(64) as pool:
            waiting = [pool.submit(ask, server) for _ in range(64)]
            server.wait_until(lambda: sum(each.pieces_sent for each in server.requests) == 64)
            assert server.open_connections == 64
            gate.set()
            assert {text_of(sse(each.result().content)) for each in waiting} == {"ab"}


def test_tls(tmp_path):
    ssl = pytest.importorskip("ssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    try:
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout",
                str(key),
                "-out",
                str(cert),
            ],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(cert), str(key))
    with LocalServer(tls=context) as server:
        assert server.url.startswith("https://")
        for transfer in ("chunked", "length", "close"):
            server.queue(Answer(transfer=transfer))
            assert text_of(sse(ask(server, verify=str(cert)).content)) == expected_text(HELLO)
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url.replace("https", "http"), timeout=10)
        server.queue(Answer(stop_after=10, stop_how="stall"))
        response = ask(server, stream=True, verify=str(cert))
        recorded = server.wait_for_request(4)
        response.close()
        assert recorded.client_gone.wait(5)


def test_keep_requests_bounds_the_record():
    with LocalServer(keep_requests=2) as server:
        for _ in range(4):
            ask(server)
        assert [each.number for each in server.requests] == [2, 3]
        assert server.wait_for_request(4).number == 3


# -- scripted answers --------------------------------------------------------------


def test_queue_is_used_in_order_then_the_model(server):
    server.queue("first", Answer.text("sec", "ond"), Answer([{"candidates": []}, b": ping\r\n\r\n"]))
    assert text_of(sse(ask(server).content)) == "first"
    chunks = sse(ask(server).content)
    assert text_of(chunks) == "second"
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, "STOP"]
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 2
    assert ask(server).content == b'data: {"candidates": []}\r\n\r\n: ping\r\n\r\n'
    assert server.queued == 0 and text_of(sse(ask(server).content)) == expected_text(HELLO)


def test_answer_with_sees_every_path(server):
    server.answer_with(lambda recorded: Answer(body=b"mine", status=418) if recorded.path == "/x" else None)
    assert ask(server, path="/x").status_code == 418
    assert text_of(sse(ask(server).content)) == expected_text(HELLO)


def test_queued_answers_wait_for_a_good_request(server):
    server.queue("scripted")
    assert ask(server, {}).status_code == 400 and ask(server, headers={}).status_code == 403
    assert text_of(sse(ask(server).content)) == "scripted"


@pytest.mark.parametrize(
    "answer, content_type, body",
    [
        (Answer(["x"], framing="json", finish=None), "application/json; charset=UTF-8", None),
        (Answer(["x"], framing="ndjson"), "application/x-ndjson", None),
        (Answer(["x"], framing="object"), "application/json; charset=UTF-8", None),
        (Answer(["x"], content_type="text/plain"), "text/plain", None),
        (Answer(body=[b"ab", b"cd"], content_type="x/y"), "x/y", b"abcd"),
        (Answer([], framing="json"), "application/json; charset=UTF-8", b"[]"),
        (Answer([]), "text/event-stream", b""),
    ],
)
def test_framings(server, answer, content_type, body):
    server.queue(answer)
    response = ask(server)
    assert response.status_code == 200 and response.headers["Content-Type"] == content_type
    if body is not None:
        assert response.content == body
    elif answer.framing == "json":
        assert text_of(response.json()) == "x"


def test_objects_with_to_dict_and_iterators(server):
    class Chunk:
        def to_dict(self):
            return {"candidates": [{"index": 0, "content": {"parts": [{"text": "z"}]}}]}

    server.queue(Answer(Chunk() for _ in range(3)))
    assert text_of(sse(ask(server).content)) == "zzz"


@pytest.mark.parametrize(
    "form, alt, found",
    [
        (None, "sse", b'data: {"error": {"code": 429'),
        (None, None, b',\r\n{\n  "error": {\n    "code": 429'),
        ("event", "sse", b'event: error\r\ndata: {"error"'),
        ("raw", "sse", b'\r\n\r\n{\n  "error": {\n'),
    ],
)
def test_errors_in_the_stream(server, form, alt, found):
    server.queue(Answer(["x"], stream_error=(429, None, "slow down"), error_form=form))
    response = ask(server, alt=alt)
    assert response.status_code == 200 and found in response.content and b"slow down" in response.content
    assert b"finishReason" not in response.content
    assert server.requests[0].fault == "error 429 in the stream"


def test_http_errors(server):
    server.queue(
        Answer.failure(503, "busy", retry_after=7, retry_info="1.5s"),
        Answer(status=429),
        Answer(error={"code": "400", "message": "m"}),
        Answer(status=502, body=b"<html>"),
    )
    response = ask(server)
    assert response.status_code == 503 and response.headers["Retry-After"] == "7"
    assert response.json()["error"] == {
        "code": 503,
        "message": "busy",
        "status": "UNAVAILABLE",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}],
    }
    assert ask(server).json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    response = ask(server)
    assert response.status_code == 400 and response.json() == {"error": {"code": "400", "message": "m"}}
    response = ask(server)
    assert (response.status_code, response.content) == (502, b"<html>")
    assert [each.fault for each in server.requests] == [
        "status 503",
        "status 429",
        "status 400",
        "status 502",
    ]


def test_calls_images_and_blocks(server):
    server.queue(
        Answer.calls(("f", {"a": 1}), ("g", {}), signature="c2ln", ids=["1", "2"]), Answer.blocked("OTHER")
    )
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in sse(ask(server).content)]
    assert parts == [
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "1"}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": {}, "id": "2"}},
    ]
    assert sse(ask(server).content)[0]["promptFeedback"] == {"blockReason": "OTHER"}


def test_wrong_words_are_refused_at_once():
    for wrong in (
        {"framing": "xml"},
        {"stop_how": "explode"},
        {"transfer": "pigeon"},
        {"error_form": "song"},
    ):
        with pytest.raises(ValueError):
            Answer(**wrong)


# -- how it is sent -------------------------------------------------------------------


def whole(server, **how):
    """The body's bytes, undisturbed."""
    server.queue(Answer(**how))
    return ask(server).content


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("piece_bytes", [None, 1, 7, 10_000])
def test_the_bytes_are_the_same_however_they_are_cut(server, transfer, piece_bytes):
    expected = whole(server)
    server.queue(Answer(transfer=transfer, piece_bytes=piece_bytes))
    response = ask(server)
    assert response.content == expected
    assert ("Content-Length" in response.headers) == (transfer == "length")
    recorded = server.requests[-1]
    assert recorded.finished.wait(5) and recorded.bytes_sent == len(expected)
    if piece_bytes:
        assert recorded.pieces_sent == -(-len(expected) // piece_bytes)


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("stop", [0, 1, 100, -1, -100])
def test_stop_ends_drops_and_resets(server, transfer, stop):
    expected = whole(server)
    expected = expected[:stop] if stop else b""
    for how in ("end", "drop", "reset"):
        server.queue(Answer(transfer=transfer, stop_after=stop, stop_how=how))
        received, failure = b"", None
        with socket.create_connection((server.host, server.port), timeout=10) as sock:
            sock.sendall(post_bytes())
            try:
                while True:
                    piece = sock.recv(65536)
                    if not piece:
                        break
                    received += piece
            except ConnectionResetError as error:
                failure = error
        head, _, body = received.partition(b"\r\n\r\n")
        assert (failure is not None) == (how == "reset")
        if transfer == "chunked":
            assert body.endswith(b"0\r\n\r\n") == (how == "end")
            plain = b""
            while body and not body.startswith(b"0\r\n"):
                size, _, body = body.partition(b"\r\n")
                plain += body[: int(size, 16)]
                body = body[int(size, 16) + 2 :]
            body = plain
        assert body == expected
        assert server.requests[-1].fault == f"{how} after {stop} bytes"


def test_a_body_that_ends_early_in_good_http_keeps_its_connection(server):
    server.queue(Answer(stop_after=20), "whole")
    with requests.Session() as session:
        url = server.url + STREAM + "?alt=sse"
        assert len(session.post(url, json=HELLO, headers=KEY).content) == 20
        assert text_of(sse(session.post(url, json=HELLO, headers=KEY).content)) == "whole"
    assert server.connections == 1


def test_no_answer_at_all_and_half_a_head(server):
    server.queue(Answer.nothing(), Answer(stop_in_head=20, stop_how="drop"), Answer.nothing("reset"))
    assert raw(server, post_bytes()) == b""
    assert len(raw(server, post_bytes())) == 20
    with pytest.raises(ConnectionResetError):
        raw(server, post_bytes())


def test_stall_lasts_until_the_client_leaves(server):
    server.queue(Answer(stop_after=10, stop_how="stall"))
    response = ask(server, stream=True)
    recorded = server.wait_for_request()
    server.wait_until(lambda: recorded.bytes_sent == 10)
    assert not recorded.client_gone.is_set() and not recorded.finished.is_set()
    response.close()
    assert recorded.client_gone.wait(5) and recorded.finished.wait(5)


def test_a_client_that_leaves_is_noticed_while_streaming(server):
    server.queue(Answer("x" * 1000 for _ in range(10**9)))
    response = ask(server, stream=True)
    next(response.iter_content(None))
    response.close()
    assert server.requests[0].client_gone.wait(5)


def test_gates_pauses_and_waits_order_what_happens(server):
    before, gates = threading.Event(), [threading.Event() for _ in range(3)]
    server.queue(Answer(["a", 0.001, "b"], wait=before, gates=gates))
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        sock.sendall(post_bytes())
        recorded = server.wait_for_request()
        before.set()
        head = sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 200") and recorded.pieces_sent == 0
        for k, gate in enumerate(gates[:2], 1):
            gate.set()
            assert b"data: " in sock.recv(65536)
            server.wait_until(lambda k=k: recorded.pieces_sent == k)
        assert not recorded.finished.is_set()
        gates[2].set()
        assert sock.recv(65536) == b"0\r\n\r\n"


def test_latency_and_piece_delay_take_their_time():
    with LocalServer(latency=0.05, piece_delay=0.05) as server:
        start = time.monotonic()
        assert text_of(sse(ask(server).content)) == expected_text(HELLO)
        assert time.monotonic() - start >= 0.15  # the head, and twice between three pieces


def test_a_long_stream_holds_no_memory(server):
    chunk = b'data: {"candidates": []}\r\n\r\n'
    server.queue(Answer(chunk for _ in range(20_000)))
    size = sum(len(piece) for piece in ask(server, stream=True).iter_content(2**16))
    assert size == 20_000 * len(chunk)
    assert server.requests[0].finished.wait(5) and server.requests[0].pieces_sent == 20_000


# -- faults ---------------------------------------------------------------------------


def test_faults_are_put_on_the_answer_due(server):
    server.faults += [None, Answer(stop_after=30, stop_how="end"), Answer.failure(503)]
    server.queue("one", "two", "three")
    assert text_of(sse(ask(server).content)) == "one"
    assert len(ask(server).content) == 30
    assert ask(server).status_code == 503
    assert text_of(sse(ask(server).content)) == "three"  # an HTTP fault uses up no answer
    assert [each.fault for each in server.requests] == [None, "end after 30 bytes", "status 503", None]


def test_random_faults_are_the_same_for_the_same_seed():
    def run(seed):
        faults = RandomFaults(seed, rate=0.5)
        return [fault and fault.fault for fault in (faults(None) for _ in range(50))]

    assert run(1) == run(1) != run(2)
    assert 10 < sum(fault is not None for fault in run(3)) < 40
    with LocalServer(faults=RandomFaults(7, rate=1.0, kinds=("end",), body_bytes=1, limit=2)) as server:
        assert [len(ask(server).content) > 0 for _ in range(3)] == [False, False, True]


# -- files -----------------------------------------------------------------------------


def start_upload(server, size=None, mime_type="image/png", headers=KEY, **file):
    told = {} if size is None else {"X-Goog-Upload-Header-Content-Length": str(size)}
    response = requests.post(
        server.url + "/upload/v1beta/files",
        json={"file": file},
        headers={
            **headers,
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Type": mime_type,
            **told,
        },
    )
    assert response.headers.get("X-Goog-Upload-Status") == "active" or response.status_code != 200
    return response


def send(url, data, offset, command="upload"):
    return requests.post(
        url,
        data=data,
        headers={"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)},
        timeout=10,
    )


def received(url):
    response = requests.post(url, headers={"X-Goog-Upload-Command": "query"})
    return int(response.headers["X-Goog-Upload-Size-Received"]), response.headers["X-Goog-Upload-Status"]


def upload(server, data, mime_type="image/png", **file):
    url = start_upload(server, len(data), mime_type, **file).headers["X-Goog-Upload-URL"]
    return send(url, data, 0, "upload, finalize").json()["file"]


def test_upload_in_pieces(server):
    data = random.Random(1).getrandbits(8 * (2 * GRANULARITY + 5)).to_bytes(2 * GRANULARITY + 5, "big")
    start = start_upload(server, len(data), displayName="Käse.png")
    assert start.headers["X-Goog-Upload-Chunk-Granularity"] == str(GRANULARITY)
    url = start.headers["X-Goog-Upload-URL"]
    first = send(url, data[:GRANULARITY], 0)
    assert first.headers["X-Goog-Upload-Status"] == "active" and received(url) == (GRANULARITY, "active")
    send(url, data[GRANULARITY : 2 * GRANULARITY], GRANULARITY)
    last = send(url, data[2 * GRANULARITY :], 2 * GRANULARITY, "upload, finalize")
    assert last.headers["X-Goog-Upload-Status"] == "final"
    file = last.json()["file"]
    digest = hashlib.sha256(data).hexdigest()
    assert base64.b64decode(file["sha256Hash"]).decode() == digest == server.files[file["name"]].sha256
    assert (file["sizeBytes"], file["mimeType"], file["state"]) == (str(len(data)), "image/png", "ACTIVE")
    assert file["displayName"] == "Käse.png" and file["uri"] == f"{server.url}/v1beta/{file['name']}"
    request = {"contents": [{"parts": [{"fileData": {"fileUri": file["uri"], "mimeType": "image/png"}}]}]}
    text = text_of(sse(ask(server, request).content))
    assert text == server.expected_text(request)
    assert text == f"You sent the file {file['uri']}, image/png, {len(data)} bytes, SHA-256 {digest}."


def test_upload_rules(server):
    url = start_upload(server, 3 * GRANULARITY).headers["X-Goog-Upload-URL"]
    assert send(url, b"x" * 1000, 0).status_code == 400  # no multiple of the granularity
    assert received(url) == (0, "active")  # and so not counted
    assert send(url, b"x" * GRANULARITY, 5).status_code == 400  # not where it ended
    assert send(url, b"x" * GRANULARITY, 0, "upload, finalize").status_code == 400  # not all of it
    assert send(url, b"x" * 4 * GRANULARITY, 0).status_code == 400  # more than was told
    assert send(url, b"", 0, "dance").status_code == 400
    assert send(url, iter([b"x" * GRANULARITY] * 3), 0, "upload, finalize").status_code == 200
    assert received(url) == (3 * GRANULARITY, "final")
    assert send(url.replace("upload_id=", "upload_id=x"), b"", 0).status_code == 404
    assert start_upload(server, 2**31 + 1).status_code == 400
    assert start_upload(server, 1, name="files/Not_Good").status_code == 400
    assert start_upload(server, 1, headers={}).status_code == 403
    assert upload(server, b"x", name="files/mine")["name"] == "files/mine"
    assert start_upload(server, 1, name="mine").status_code == 409


@pytest.mark.parametrize("how", ["reset", "drop", "503", 429, "stall"])
def test_upload_breaks_and_goes_on_from_what_was_received(server, how):
    data = bytes(range(256)) * 4096  # 1 MiB
    server.fail_upload(how, piece=1, after_bytes=70_000)
    url = start_upload(server, len(data)).headers["X-Goog-Upload-URL"]
    send(url, data[:GRANULARITY], 0)
    headers = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": str(GRANULARITY)}
    try:
        response = requests.post(url, data=data[GRANULARITY : 3 * GRANULARITY], headers=headers, timeout=1)
        assert response.status_code == int(how)
    except requests.RequestException:
        assert how in ("reset", "drop", "stall")
    assert received(url) == (GRANULARITY + 70_000, "active")
    assert f"{how} at piece 1" in server.requests[2].fault
    rest = send(url, data[GRANULARITY + 70_000 :], GRANULARITY + 70_000, "upload, finalize")
    assert server.files[rest.json()["file"]["name"]].sha256 == hashlib.sha256(data).hexdigest()


def test_upload_whose_answer_is_lost(server):
    server.fail_upload("drop_answer", piece=0)
    url = start_upload(server, 10).headers["X-Goog-Upload-URL"]
    with pytest.raises(requests.ConnectionError):
        send(url, b"0123456789", 0, "upload, finalize")
    response = requests.post(url, headers={"X-Goog-Upload-Command": "query"})
    assert (
        response.headers["X-Goog-Upload-Status"] == "final" and response.json()["file"]["sizeBytes"] == "10"
    )


def test_upload_that_is_gone_and_faults_elsewhere(server):
    server.fail_upload("gone", piece=0)
    server.fail_upload(500, piece="query")
    server.fail_upload(503, piece="start")
    assert start_upload(server, 1).status_code == 503
    url = start_upload(server, 1).headers["X-Goog-Upload-URL"]
    assert requests.post(url, headers={"X-Goog-Upload-Command": "query"}).status_code == 500
    assert send(url, b"x", 0, "upload, finalize").status_code == 404
    assert send(url, b"x", 0, "upload, finalize").status_code == 404
    with pytest.raises(ValueError):
        server.fail_upload("whim", piece=0)
    with pytest.raises(ValueError):
        server.fail_upload("reset")


def test_upload_faults_at_bytes_of_the_file(server):
    data = random.Random(2).getrandbits(8 * 2**20).to_bytes(2**20, "big")
    places = [0, 1, 300_000, 300_001, 2**20 - 1]
    for place in places:
        server.fail_upload("reset", at=place)
    url = start_upload(server, len(data)).headers["X-Goog-Upload-URL"]
    met, offset = [], 0
    while True:
        try:
            done = send(url, data[offset:], offset, "upload, finalize")
            break
        except requests.ConnectionError:
            offset, _ = received(url)
            met.append(offset)
    assert met == places
    assert server.files[done.json()["file"]["name"]].sha256 == hashlib.sha256(data).hexdigest()


def test_large_uploads_keep_only_size_and_hash(server):
    block = b"z" * GRANULARITY
    url = start_upload(server, 40 * GRANULARITY).headers["X-Goog-Upload-URL"]
    send(url, (block for _ in range(40)), 0, "upload, finalize")
    recorded = server.requests[-1]
    assert (recorded.body, recorded.size) == (b"", 40 * GRANULARITY)
    assert recorded.sha256 == hashlib.sha256(block * 40).hexdigest()


def test_upload_url_may_name_another_host():
    with LocalServer(upload_host="https://elsewhere.example") as server:
        url = start_upload(server, 1).headers["X-Goog-Upload-URL"]
        assert url.startswith("https://elsewhere.example/upload/v1beta/files?upload_id=")
        own = url.replace("https://elsewhere.example", server.url)
        assert send(own, b"x", 0, "upload, finalize").status_code == 200


def test_list_get_delete_expire(server):
    names = [upload(server, b"%d" % k)["name"] for k in range(5)]
    url, seen, token = server.url + "/v1beta/files", [], ""
    while True:
        page = requests.get(url, params={"pageSize": 2, "pageToken": token}, headers=KEY).json()
        seen += [file["name"] for file in page["files"]]
        token = page.get("nextPageToken")
        if not token:
            break
    assert seen == names
    one = f"{server.url}/v1beta/{names[0]}"
    assert requests.get(one, headers=KEY).json()["name"] == names[0]
    assert requests.delete(one, headers=KEY).json() == {}
    for gone in (requests.get(one, headers=KEY), requests.delete(one, headers=KEY)):
        assert (gone.status_code, gone.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    server.expire_file(names[1])
    assert requests.get(f"{server.url}/v1beta/{names[1]}", headers=KEY).status_code == 403
    assert requests.get(url, params={"pageSize": 0}, headers=KEY).status_code == 400
    assert requests.get(url, params={"pageToken": "?"}, headers=KEY).status_code == 400
    assert requests.get(url).status_code == 403


def test_videos_are_processed_first():
    with LocalServer(processing_polls=1) as server:
        file = upload(server, b"video", "video/mp4")
        use = {"contents": [{"parts": [{"fileData": {"fileUri": file["uri"]}}]}]}
        assert file["state"] == "PROCESSING"
        early = ask(server, use).json()["error"]
        assert (early["code"], early["status"]) == (400, "FAILED_PRECONDITION")
        states = [requests.get(file["uri"], headers=KEY).json()["state"] for _ in range(2)]
        assert states == ["PROCESSING", "ACTIVE"] and ask(server, use).status_code == 200
    with LocalServer(processing_seconds=3600) as server:
        server.fail_processing("The codec is unknown.")
        failed, good = upload(server, b"v", "video/mp4"), upload(server, b"v", "video/mp4")
        server.finish_processing()
        failed = requests.get(failed["uri"], headers=KEY).json()
        assert failed["state"] == "FAILED" and failed["error"]["message"] == "The codec is unknown."
        assert "videoMetadata" in requests.get(good["uri"], headers=KEY).json()


def test_files_that_are_not_there_cannot_be_used(server):
    request = {"contents": [{"parts": [{"fileData": {"fileUri": f"{server.url}/v1beta/files/nope"}}]}]}
    error = ask(server, request).json()["error"]
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED") and "nope" in error["message"]


def test_multipart_upload():
    data = bytes(range(256)) * 5000
    with LocalServer(profile="bifrost") as server:
        form = {
            "metadata": (None, json.dumps({"file": {"displayName": "ü"}}), "application/json"),
            "file": ("f.bin", data, "audio/mpeg"),
        }
        response = requests.post(server.url + "/genai/upload/v1beta/files", files=form)
        file = response.json()["file"]
        assert (file["displayName"], file["mimeType"], file["sizeBytes"]) == (
            "ü",
            "audio/mpeg",
            str(len(data)),
        )
        assert server.files[file["name"]].sha256 == hashlib.sha256(data).hexdigest()
        assert file["uri"] == f"{server.url}/genai/v1beta/{file['name']}"
        assert requests.get(file["uri"]).json()["name"] == file["name"]
        no_file = requests.post(server.url + "/genai/upload/v1beta/files", files={"metadata": (None, "{}")})
        assert no_file.status_code == 400
        assert (
            requests.post(
                server.url + "/genai/upload/v1beta/files", json={}, headers={"X-Goog-Upload-Command": "start"}
            ).status_code
            == 400
        )  # not resumable here


def test_forms_are_read_at_any_split():
    data = b"\r\n--\r\n-B\r\n--A\r\n\r\n--"
    body = (
        b'preamble\r\n--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        b"\r\n--B\r\nX: y\r\n\r\n" + data + b"\r\n--B\r\n\r\nlast\r\n--B--\r\nepilogue"
    )
    for size in range(1, len(body) + 1):
        parts = []
        for headers, piece in form_parts((body[k : k + size] for k in range(0, len(body), size)), b"B"):
            if not parts or parts[-1][0] is not headers:
                parts.append((headers, []))
            parts[-1][1].append(piece)
        found = [(headers, b"".join(pieces)) for headers, pieces in parts if pieces[0] == b""]
        assert found[-3:] == [
            ({"content-disposition": 'form-data; name="a"'}, b""),
            ({"x": "y"}, data),
            ({}, b"last"),
        ]


# -- long decode ----------------------------------------------------------------------------


def hops(server, body):
    """Follow the answer over its requests; the chunks of each hop."""
    token, found = None, []
    while True:
        chunks = sse(ask(server, {**body, **({"continuationToken": token} if token else {})}).content)
        found.append(chunks)
        last = chunks[-1]["candidates"][0]
        if last.get("finishReason") != "CONTINUATION":
            return found
        token = last["continuationToken"]


def test_long_answers_take_many_requests():
    body = prompt(
        " ".join(f"w{k}" for k in range(40)), generationConfig={"thinkingConfig": {"includeThoughts": True}}
    )
    with LocalServer(tokens_per_request=10, thinking_hops={2}) as server:
        found = hops(server, body)
        assert len(found) == 6  # 42 words, and one hop that only thinks
        assert text_of([chunk for hop in found for chunk in hop]) == expected_text(body)
        assert "content" not in found[2][0]["candidates"][0]
        counts = [hop[-1]["usageMetadata"]["promptTokenCount"] for hop in found]
        assert counts == [40, 50, 60, 60, 70, 80]
        assert all(not text_of(hop, thought=True) for hop in found[1:])
        assert server.whole_text(server.requests[-1]) == expected_text(body)


def test_checkpoints_and_tokens_are_checked():
    body = prompt(" ".join(f"w{k}" for k in range(40)))
    with LocalServer(checkpoint_every=2, words_per_chunk=2) as server:
        chunks = sse(ask(server, body).content)
        tokens = [chunk["candidates"][0].get("continuationToken") for chunk in chunks]
        assert [bool(token) for token in tokens[:6]] == [False, True] * 3 and not tokens[-1]
        rest = text_of(sse(ask(server, {**body, "continuationToken": tokens[3]}).content))
        assert text_of(chunks[:4]) + rest == expected_text(body)
        for other in (
            {**body, "continuationToken": "made up"},
            {**prompt("else"), "continuationToken": tokens[3]},
        ):
            error = ask(server, other).json()["error"]
            assert error["code"] == 400 and "continuation_token" in error["message"]
    with LocalServer() as server:
        assert ask(server, {**body, "continuationToken": tokens[3]}).status_code == 400


def test_a_spent_budget_can_be_raised():
    body = prompt("a b c d e f g", generationConfig={"maxOutputTokens": 4})
    with LocalServer(tokens_per_request=3) as server:
        found = hops(server, body)
        last = found[-1][-1]["candidates"][0]
        assert last["finishReason"] == "MAX_TOKENS"
        more = {
            **body,
            "generationConfig": {"maxOutputTokens": 100},
            "continuationToken": last["continuationToken"],
        }
        rest = []
        while True:
            chunks = sse(ask(server, more).content)
            rest += chunks
            if chunks[-1]["candidates"][0]["finishReason"] == "STOP":
                break
            more["continuationToken"] = chunks[-1]["candidates"][0]["continuationToken"]
        told = text_of([chunk for hop in found for chunk in hop]) + text_of(rest)
        assert told == expected_text(prompt("a b c d e f g"))


def test_what_is_told_again_reads_otherwise():
    body = prompt("a b c d e f g h")
    with LocalServer(checkpoint_every=1, words_per_chunk=2, reword=True) as server:
        first = sse(ask(server, body).content)  # of which only two chunks are made use of
        token = first[1]["candidates"][0]["continuationToken"]
        rest = text_of(sse(ask(server, {**body, "continuationToken": token}).content))
        assert rest == "c~2 d~2 e~2 f~2 g~2 h~2"
        assert text_of(first[:2]) + rest == server.whole_text(server.requests[-1]) == "You said: a b " + rest


@pytest.mark.parametrize("seed", sample(range(20), 3))
def test_long_answers_can_be_followed_through_breaks_exactly_once(seed):
    """A client as simple as can be, which resumes only where nothing came after the checkpoint."""
    rng = random.Random(seed)
    body = prompt(" ".join(f"w{k}" for k in range(60)))
    decide = random.Random(seed + 1)
    with LocalServer(
        tokens_per_request=13,
        checkpoint_every=lambda k: decide.random() < 0.5,
        thinking_hops={1, 3},
        reword=True,
        faults=RandomFaults(seed, 0.6, kinds=("end", "drop", "reset"), body_bytes=3000, limit=30),
    ) as server:
        token, told, after = None, "", ""
        while True:
            alt = rng.choice(["sse", None])
            server.gzip = rng.random() < 0.5
            received = b""
            try:
                response = ask(
                    server,
                    {**body, **({"continuationToken": token} if token else {})},
                    alt=alt,
                    stream=True,
                    headers=KEY,
                )
                for piece in response.iter_content(1):
                    received += piece
            except requests.RequestException:
                pass
            finish = None
            for chunk in whole_chunks(received):
                candidate = chunk["candidates"][0]
                finish = candidate.get("finishReason")
                after += text_of([chunk])
                if "continuationToken" in candidate:
                    token, told, after = candidate["continuationToken"], told + after, ""
            told, after = (told + after, "") if finish == "STOP" else (told, after)
            if finish == "STOP":
                break
            after = ""  # what came after the last checkpoint is thrown away, as if it had not been shown
        assert told == server.whole_text(server.requests[-1])
        assert told.replace("~2", "").replace("~3", "").startswith("You said: w0 w1")
        assert [word.partition("~")[0] for word in told.split()] == expected_text(body).split()


def whole_chunks(data):
    """The chunks that came whole, from either framing."""
    if not data.startswith(b"["):
        return sse(data[: data.rfind(b"\r\n\r\n") + 4])
    chunks, decoder, text = [], json.JSONDecoder(), data.decode("utf-8", "ignore")
    at = 1
    while True:
        at = len(text) - len(text[at:].lstrip(" ,\r\n"))
        try:
            chunk, at = decoder.raw_decode(text, at)
        except ValueError:
            return chunks
        chunks.append(chunk)


def test_scripted_tokens_are_checked_too(server):
    chunk = {"candidates": [{"index": 0, "finishReason": "CONTINUATION", "continuationToken": "T"}]}
    server.queue(Answer([chunk]), "rest")
    ask(server)
    assert ask(server, {**prompt("other"), "continuationToken": "T"}).status_code == 400
    assert text_of(sse(ask(server, {**HELLO, "continuationToken": "T"}).content)) == "rest"


# -- thought signatures -----------------------------------------------------------------------


def played(server):
    """A turn with two parallel calls, as the server asked for them, and their answers."""
    parts = [
        part for chunk in sse(ask(server).content) for part in chunk["candidates"][0]["content"]["parts"]
    ]
    answers = [
        {"functionResponse": {"name": part["functionCall"]["name"], "response": {"result": 1}}}
        for part in parts
        if "functionCall" in part
    ]
    return [*HELLO["contents"], {"role": "model", "parts": parts}, {"role": "user", "parts": answers}]


def test_signatures_are_checked():
    with LocalServer(require_signatures=True) as server:
        server.queue(Answer.calls(("f", {"a": 1}), ("g", {"b": 2})))
        contents = played(server)
        assert ask(server, {"contents": contents}).status_code == 200

        signed, plain = contents[1]["parts"]
        bare = {key: value for key, value in signed.items() if key != "thoughtSignature"}
        moved = {**plain, "thoughtSignature": signed["thoughtSignature"]}
        for parts in (
            [bare, plain],
            [bare, moved],
            [signed, moved],
            [{**signed, "thoughtSignature": "AAAA"}, plain],
        ):
            wrong = [contents[0], {"role": "model", "parts": parts}, contents[2]]
            error = ask(server, {"contents": wrong}).json()["error"]
            assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT"), parts
            assert "signature" in error["message"]

        old = [
            contents[0],
            {"role": "model", "parts": [bare, plain]},
            contents[2],
            {"role": "model", "parts": [{"text": "ok"}]},
            {"role": "user", "parts": [{"text": "next"}]},
        ]
        assert ask(server, {"contents": old}).status_code == 200  # asked for only in the current turn
        url_safe = {**signed, "thoughtSignature": signed["thoughtSignature"].rstrip("=").replace("+", "-")}
        assert (
            ask(
                server,
                {"contents": [contents[0], {"role": "model", "parts": [url_safe, plain]}, contents[2]]},
            ).status_code
            == 200
        )


def test_a_signature_that_is_not_even_text():
    with LocalServer(require_signatures=True) as server:
        part = {"text": "x", "thoughtSignature": "\ud800"}
        response = ask(server, {"contents": [{"role": "model", "parts": [part]}, *HELLO["contents"]]})
    assert response.status_code == 400 and "signature" in response.json()["error"]["message"]


def test_a_scripted_conversation_of_two_rounds():
    with LocalServer(require_signatures=True) as server:
        server.queue(Answer.calls(("search", {"q": "a"})), Answer.call("search", {"q": "b"}), "Found both.")
        contents = list(HELLO["contents"])
        for _ in range(3):
            chunks = sse(ask(server, {"contents": contents}).content)
            parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
            contents.append({"role": "model", "parts": parts})
            contents.append(
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"name": "search", "response": {"n": 1}}}
                        for part in parts
                        if "functionCall" in part
                    ],
                }
            )
        assert parts == [{"text": "Found both."}]
        # The first round's call belongs to the current turn too, and must keep its signature.
        del contents[1]["parts"][0]["thoughtSignature"]
        assert ask(server, {"contents": contents[:5]}).status_code == 400


def test_signatures_of_text_stay_on_their_part():
    with LocalServer(require_signatures=True) as server:
        body = {**HELLO, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
        chunks = sse(ask(server, body).content)
        signature = chunks[-1]["candidates"][0]["content"]["parts"][0]["thoughtSignature"]
        last = {"role": "user", "parts": [{"text": "and?"}]}

        def status(*parts):
            return ask(
                server, {"contents": [*HELLO["contents"], {"role": "model", "parts": list(parts)}, last]}
            ).status_code

        assert status({"text": text_of(chunks)}, {"text": "", "thoughtSignature": signature}) == 200
        assert status({"text": text_of(chunks), "thoughtSignature": signature}) == 400


# -- profiles -----------------------------------------------------------------------------------


def test_chainhub():
    with LocalServer(profile="chainhub") as server:
        url = f"{server.url}{STREAM}?alt=sse"
        bearer = {"Authorization": "Bearer local-key"}
        assert requests.post(url + "&key=local-key", json=HELLO).status_code == 401
        assert requests.post(url, json=HELLO, headers=bearer).status_code == 401
        assert requests.post(url + "&key=local-key", json=HELLO, headers=bearer).status_code == 200
        assert requests.get(server.url + "/v1beta/files?key=local-key", headers=bearer).status_code == 404


def test_bifrost():
    with LocalServer(profile="bifrost") as server:
        path = "/genai" + STREAM
        for headers in ({}, KEY, {"Authorization": "Bearer local-key"}):
            assert ask(server, path=path, headers=headers).status_code == 200
        assert ask(server, path=path, headers={"x-goog-api-key": "no"}).status_code == 401
        plain = ask(server, path=path, alt=None)
        assert plain.headers["Content-Type"] == "text/event-stream" and b"\r" not in plain.content
        assert ask(server).status_code == 404


def test_vertex():
    with LocalServer(profile="vertex", api_key="token-1") as server:
        path = "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-x:streamGenerateContent"
        assert ask(server, path=path).status_code == 401
        assert ask(server, path=path, headers={"Authorization": "Bearer token-1"}).status_code == 200
        server.api_key = "token-2"  # the old one is over
        assert ask(server, path=path, headers={"Authorization": "Bearer token-1"}).status_code == 401
        assert ask(server, headers={"Authorization": "Bearer token-2"}).status_code == 404


def test_gateway():
    with LocalServer(profile="gateway", done_marker=True) as server:
        assert ask(server, headers={}).status_code == 401
        response = ask(server)
        assert response.content.endswith(b"}\n\ndata: [DONE]\n\n")
        assert (
            requests.post(f"{server.url}{STREAM}?key=local-key", json={**HELLO, "extra": 1}).status_code
            == 200
        )
        assert upload(server, b"x")["state"] == "ACTIVE"


@pytest.mark.parametrize("profile", ["google", "chainhub", "bifrost", "vertex", "gateway"])
def test_endpoint_fits_the_profile(profile):
    endpoint_room = pytest.importorskip("geministream.endpoint")
    with LocalServer(profile=profile) as server:
        endpoint = endpoint_room.resolve(server.endpoint)
        headers, query = endpoint_room.credentials(endpoint, None)
        url = endpoint.model_url("gemini-x", "streamGenerateContent", {"alt": "sse"})
        response = requests.post(url, json=HELLO, headers=headers, params=query)
        assert text_of(sse(response.content)) == expected_text(HELLO)
        assert endpoint.retry.initial_delay == 0.01


# -- whatever comes ----------------------------------------------------------------------

# A request with every field that the server looks at, for its values to be replaced one by one.
FULL = {
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Call look(3) 'now'."},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"name": "look", "args": {"x": 1}, "id": "1"},
                    "thoughtSignature": "skip_thought_signature_validator",
                }
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"a": 1}, "id": "1"}}]},
        {
            "role": "user",
            "parts": [
                {"text": "look", "thought": False, "videoMetadata": {"fps": 1}},
                {"fileData": {"fileUri": "gs://x/y", "mimeType": "video/mp4"}},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
            ],
        },
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "generationConfig": {
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "candidateCount": 2,
        "maxOutputTokens": 5,
        "temperature": 1,
        "responseModalities": ["TEXT", "IMAGE"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1},
        "seed": 1,
        "responseJsonSchema": {
            "type": "object",
            "required": ["a"],
            "propertyOrdering": ["b", "a"],
            "$defs": {"n": {"type": "string", "minLength": 2}},
            "properties": {
                "a": {"$ref": "#/$defs/n"},
                "b": {"type": ["null", "array"], "items": {"enum": [1]}, "minItems": 1, "maxItems": 3},
                "c": {"anyOf": [{"type": "integer", "minimum": 2, "maximum": 5}]},
                "d": {"prefixItems": [{"const": 1}]},
            },
        },
    },
    "tools": [
        {
            "functionDeclarations": [
                {"name": "look", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}}}
            ]
        }
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
    "safetySettings": [{"category": "C", "threshold": "T"}],
    "cachedContent": "cachedContents/x",
    "labels": {"a": "b"},
    "continuationToken": base64.urlsafe_b64encode(b'["x", 0, 0, null]').decode(),
    "generateContentRequest": {"contents": [{"parts": [{"text": "x"}]}], "model": "models/m"},
}
ODD = [
    None,
    True,
    False,
    0,
    -1,
    2,
    1.5,
    1e308,
    -1e-308,
    10**30,
    float("inf"),
    float("nan"),
    "",
    " ",
    "x",
    "3",
    "2.0",
    "1e0",
    "\ud800",
    "\udc00x",
    "\0",
    "null",
    "é" * 3,
    "(((",
    "[a",
    "\\",
    "x" * 3000,
    "AAA",
    "====",
    "https://x.test/v1beta/files/abc",
    [],
    [[]],
    [None],
    [1, "a"],
    {},
    {"a": {}},
    {"": None},
    {"\ud800": "\ud800"},
    {"parts": [{"text": "\ud800"}]},
    [{"text": None}],
    {"name": 3},
    {"type": {}},
    {"$ref": 3},
    {"$ref": "#/x/y"},
    {"enum": {}},
    {"type": "array", "items": 3},
    {"type": "object", "properties": [1]},
    {"type": "string", "minLength": "x"},
    {"type": "integer", "minimum": "x"},
    {"anyOf": 3},
]


def places_in(value):
    """Each (container, key) of a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places_in(value[key])


def odd_body(random, count):
    """A request as bytes: good but for a few places, or no JSON of use at all."""
    if random.random() < 0.05:
        return random.choice(
            [
                b"",
                b"null",
                b"3",
                b"[]",
                b"[" * 5000,
                b'{"a":' * 5000,
                b"\xff{}",
                b"\xef\xbb\xbf{}",
                b'{"contents": NaN}',
                b"9" * 5000,
                b'{"contents": ' + b"[" * 900 + b"]" * 900 + b"}",
                json.dumps(FULL).encode("utf-16"),
            ]
        )
    body = copy.deepcopy(FULL)
    rare = {"contents": 0.05, "continuationToken": 0.8, "generateContentRequest": 0.5 if count else 0.95}
    for name in FULL:
        if random.random() < rare.get(name, 0.4):
            del body[name]
    if "contents" in body:
        body["contents"] = body["contents"][-random.choice((1, 1, 3, 4)) :]
    for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
        places = list(places_in(body))
        if places:
            container, key = random.choice(places)
            choice = random.random()
            if choice < 0.15:
                del container[key]
            elif choice < 0.25:
                deep = copy.deepcopy(random.choice(ODD))
                for _ in range(random.choice((50, 150))):
                    deep = random.choice(([deep], {"a": deep}, {"properties": {"a": deep}}, {"items": deep}))
                container[key] = deep
            else:
                container[key] = copy.deepcopy(random.choice(ODD))
    return json.dumps(body).encode()


def odd_form(random):
    """A multipart form, or what is left of one."""
    line = random.choice([b"\r\n", b"\r\n", b"\n"])
    name = random.choice([b'"file"', b"file", b'"metadata"', b'""', b"\xff", b'"fi'])
    parts = [
        b"--b",
        b"Content-Disposition: form-data; name=" + name + random.choice([b"", b'; filename="\xff\\"x"']),
        random.choice([b"Content-Type: video/mp4", b"Content-Type:", b"\xff", b": x", b""]),
        b"",
        random.choice([b"{}", b"\xff", b"x" * 300]),
        b"--b",
        b'Content-Disposition: form-data; name="metadata"',
        b"",
        random.choice(UPLOADS),
        b"--b--",
        b"",
    ]
    body = line.join(parts)
    return body[: random.randrange(len(body))] if random.random() < 0.3 else body


UPLOADS = [
    b"",
    b"{}",
    b"[]",
    b"3",
    b'{"file": 3}',
    b'{"file": []}',
    b'{"file": {"name": 3}}',
    b'{"file": {"name": "\\ud800"}}',
    b'{"file": {"displayName": 3}}',
    b'{"file": {"displayName": ["x"]}}',
    b'{"file": {"displayName": "\\ud800"}}',
    b'{"file": {"name": "files/ok-1"}}',
    b"\xff",
    b"[" * 5000,
    b'{"file": {"name": {"a": 1}}}',
    b'{"file": {"display_name": {"a": 1}}}',
    b'{"file": {"name": "x", "displayName": "y"}}',
]
HEADERS = {
    "x-goog-api-key": ["local-key"] * 6 + ["", "x", "\xff"],
    "Authorization": ["Bearer local-key", "Bearer", "Basic x", "\xff", ""],
    "Content-Type": [
        "application/json",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "\xff",
    ],
    "X-Goog-Upload-Command": [
        "start",
        "start",
        "upload",
        "upload, finalize",
        "finalize",
        "query",
        "cancel",
        "",
        ",",
        "\xff",
    ],
    "X-Goog-Upload-Offset": ["0", "-1", "x", "9" * 5000, "\xb2"],
    "X-Goog-Upload-Protocol": ["resumable", "x"],
    "X-Goog-Upload-Header-Content-Length": ["3", "-3", "x", "\xb2", "9" * 5000, ""],
    "X-Goog-Upload-Header-Content-Type": ["video/mp4", "", "\xff", "x"],
    "Accept-Encoding": ["gzip", "gzip;q=0", "\xff"],
    "Expect": ["100-continue", "x"],
}
TARGETS = [
    STREAM,
    STREAM + "?alt=sse",
    STREAM + "?alt=sse",
    STREAM + "?alt=sse",
    STREAM + "?alt=x",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:countTokens",
    "/v1beta/models/m:countTokens",
    "/v1beta/models",
    "/v1beta/models/%ff",
    "/v1beta/models/\xff:streamGenerateContent",
    "/v1beta/models/%ed%a0%80:streamGenerateContent",
    "/v1beta/models/:x",
    "/v1beta/files",
    "/v1beta/files?pageSize=x",
    "/v1beta/files?pageSize=" + "9" * 5000,
    "/v1beta/files?pageToken=\xff",
    "/v1beta/files?pageToken=cGFnZTotNQ==",
    "/v1beta/files?pageToken=QUFBQUHCsg==",
    "/v1beta/files?pageSize=%C2%B2",
    "/v1beta/files?pageToken=%F0%9F%98%80",
    "/v1beta/files/ok-1",
    "/v1beta/files/%00",
    "/upload/v1beta/files",
    "/upload/v1beta/files",
    "/upload/v1beta/files?upload_id=upload-1",
    "/upload/v1beta/files?upload_id=%ff",
    "*",
    "/",
    "//",
    "http://[x",
    "?",
]


def odd_request(random, profile):
    """A request as bytes, with good credentials in most cases."""
    target = random.choice(TARGETS)
    if profile == "vertex":
        target = target.replace("/v1beta/models", "/v1/projects/p/locations/l/publishers/google/models")
    if profile == "bifrost":
        target = "/genai" + target
    if profile == "chainhub":
        target += ("&" if "?" in target else "?") + "key=local-key"
    headers = {"x-goog-api-key": "local-key", "Authorization": "Bearer local-key"}
    for name in random.sample(list(HEADERS), random.randrange(4)):
        headers[name] = random.choice(HEADERS[name])
    if "upload" in target:
        headers.setdefault("X-Goog-Upload-Command", random.choice(HEADERS["X-Goog-Upload-Command"]))
        body = odd_form(random) if "multipart" in headers.get("Content-Type", "") else random.choice(UPLOADS)
    else:
        body = odd_body(random, "countTokens" in target)
    length = random.choice(
        [f"Content-Length: {len(body)}"] * 30
        + [
            "Content-Length: x",
            "Content-Length: -1",
            "Content-Length: \xb2",
            "Transfer-Encoding: chunked",
            "Content-Length: " + "9" * 5000,
        ]
    )
    method = random.choice(
        ["POST"] * (60 if ":" in target else 6) + ["GET", "GET", "DELETE", "HEAD", "PUT", "\xff"]
    )
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        length,
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize("profile", ["google", "gateway", "bifrost", "chainhub", "vertex"])
def test_whatever_comes_is_answered(profile):
    """No request is too odd for an answer of the server's, and none makes it fail."""
    seeds = random.Random(f"whatever/{profile}")
    statuses = set()
    with LocalServer(
        profile=profile, tokens_per_request=4, checkpoint_every=2, require_signatures=True, reword=True
    ) as server:
        for _ in range(20000 if LONG else 400):
            seed = seeds.random()
            request = odd_request(random.Random(seed), profile)
            answer = b""
            with socket.create_connection((server.host, server.port), timeout=10) as sock:
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                while True:
                    try:
                        piece = sock.recv(65536)
                    except ConnectionResetError:  # what it did not read is reset away
                        break
                    if not piece:
                        break
                    answer += piece
            if server.errors:
                raise AssertionError(f"seed {seed}: {request[:3000]!r}") from server.errors.pop()
            statuses.add(answer[9:12])
    assert b"500" not in statuses
    assert {b"200", b"400", b"404"} <= statuses


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)  # that is what is tested
def test_a_forked_child_does_not_end_its_parents_server():
    with LocalServer() as server:
        child = os.fork()
        if child == 0:
            try:
                server.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert text_of(sse(ask(server).content)) == expected_text(HELLO)
