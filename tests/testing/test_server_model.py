"""What the test server's model answers, and where each profile serves it."""

import base64
import hashlib
import json
import struct
import zlib

import pytest
import requests
from support.plain_client import HELLO, KEY, STREAM, ask, prompt, sse, text_of, upload

from geministream.testing import LocalServer, expected_text, expected_thoughts
from geministream.testing.prompt import words
from geministream.testing.samples import instance_of


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


@pytest.mark.parametrize("levels", [99, 100, 500, 100000])
@pytest.mark.parametrize("opening, closing", ["[]", ('{"a": ', "}")])
def test_functions_are_not_called_with_what_is_too_deep_for_a_message(server, opening, closing, levels):
    args = '{"a": ' + opening * levels + "1" + closing * levels + "}"
    tools = [{"functionDeclarations": [{"name": "look"}]}]
    chunks = sse(ask(server, prompt(f"look({args})", tools=tools)).content)
    call = chunks[0]["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert call["args"] == (json.loads(args) if levels == 99 else {})


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
