"""Requests that Google refuses are refused here, in Google's words; `lenient=True` lets them through."""

import re

import pytest
import requests

from geministream import types
from geministream.testing import LocalServer, expected_text
from geministream.testing.shapes import ENUMS, SPECIAL

KEY = {"x-goog-api-key": "local-key"}
TEXT = {"role": "user", "parts": [{"text": "Hello"}]}
ASK = {"contents": [TEXT]}


def ask(server, body, verb="generateContent"):
    return requests.post(f"{server.url}/v1beta/models/m:{verb}", json=body, headers=KEY, timeout=10)


@pytest.fixture(scope="module")
def server():
    with LocalServer() as server:
        yield server


@pytest.fixture(scope="module")
def lenient():
    with LocalServer(lenient=True) as server:
        yield server


UNKNOWN = [
    ({**ASK, "colour": 1}, "colour", 'Unknown name "colour": Cannot find field.'),
    (
        {**ASK, "generationConfig": {"maxTokens": 5}},
        "generation_config",
        "Unknown name \"maxTokens\" at 'generation_config': Cannot find field.",
    ),
    (
        {**ASK, "generation_config": {"thinking_config": {"think_hard": True}}},
        "generation_config.thinking_config",
        "Unknown name \"think_hard\" at 'generation_config.thinking_config': Cannot find field.",
    ),
    (
        {"contents": [TEXT, {"role": "user", "parts": [{"text": "x"}, {"text": "y", "cache": {}}]}]},
        "contents[1].parts[1]",
        "Unknown name \"cache\" at 'contents[1].parts[1]': Cannot find field.",
    ),
    (
        {"contents": {"role": "user", "parts": {"txt": "x", "text": "y"}}},
        "contents[0].parts[0]",
        "Unknown name \"txt\" at 'contents[0].parts[0]': Cannot find field.",
    ),
    (
        {**ASK, "tools": [{"function_declarations": [{"name": "f", "strict": True}]}]},
        "tools[0].function_declarations[0]",
        "Unknown name \"strict\" at 'tools[0].function_declarations[0]': Cannot find field.",
    ),
    (
        {**ASK, "generationConfig": {"speechConfig": {"voiceConfig": {"name": "Kore"}}}},
        "generation_config.speech_config.voice_config",
        "Unknown name \"name\" at 'generation_config.speech_config.voice_config': Cannot find field.",
    ),
]
WRONG_VALUES = [
    ({"safetySettings": [{"category": "HARM_CATEGORY_RUDENESS"}]}, "safety_settings[0].category"),
    ({"generationConfig": {"responseModalities": ["SMELL"]}}, "generation_config.response_modalities[0]"),
    (
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "WILD"}}},
        "generation_config.thinking_config.thinking_level",
    ),
    (
        {"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}},
        "tool_config.function_calling_config.mode",
    ),
]
WRONG_TYPES = [
    (
        {"generationConfig": {"speechConfig": {"languageCode": 7}}},
        "generation_config.speech_config.language_code",
    ),
    ({"generationConfig": {"imageConfig": "16:9"}}, "generation_config.image_config"),
    (
        {"generationConfig": {"thinkingConfig": {"includeThoughts": "yes"}}},
        "generation_config.thinking_config.include_thoughts",
    ),
    (
        {"toolConfig": {"retrievalConfig": {"latLng": {"latitude": 91}}}},
        "tool_config.retrieval_config.lat_lng.latitude",
    ),
    ({"labels": {"a": 1}}, "labels.a"),
    ({"safetySettings": [{"category": 1.5}]}, "safety_settings[0].category"),
    ({"store": "true"}, "store"),
]


def violation(answer):
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT"), error
    (details,) = error["details"]
    assert details["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    (found,) = details["fieldViolations"]
    assert found["description"] in error["message"]
    return found


@pytest.mark.parametrize("body, field, words", UNKNOWN)
def test_unknown_fields(server, lenient, body, field, words):
    found = violation(ask(server, body))
    assert found == {"field": field, "description": "Invalid JSON payload received. " + words}
    assert ask(lenient, body).status_code == 200
    if "colour" in body:
        assert (
            "generate_content_request"
            in violation(ask(server, {"generateContentRequest": body}, "countTokens"))["field"]
        )


@pytest.mark.parametrize("more, field", WRONG_VALUES)
def test_values_that_an_enum_does_not_have(server, lenient, more, field):
    found = violation(ask(server, {**ASK, **more}))
    assert (
        found["field"] == field
        and f"Invalid value at '{field}' (type.googleapis.com/" in found["description"]
    )
    assert ask(lenient, {**ASK, **more}).status_code == 200


@pytest.mark.parametrize("more, field", WRONG_TYPES)
def test_wrong_types_at_any_depth(server, more, field):
    assert violation(ask(server, {**ASK, **more}))["field"] == field


def test_enums_in_any_case_and_by_number(server):
    for more in (
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}, "responseModalities": ["Text"]}},
        {
            "safetySettings": [{"category": 7, "threshold": "BLOCK_NONE"}]
        },  # as google-generativeai writes them
        {"toolConfig": {"functionCallingConfig": {"mode": 1}}},
        {"safetySettings": {"category": "HARM_CATEGORY_HARASSMENT", "threshold": 3}},
    ):
        assert ask(server, {**ASK, **more}).status_code == 200, more


def test_what_is_open_stays_open(server):
    for more in (
        {"tools": [{"googleSearch": {"anything": {"goes": 1}}}, {"codeExecution": {}}]},
        {
            "generationConfig": {
                "responseJsonSchema": {"type": "object", "x-mine": 1, "additionalProperties": False}
            }
        },
        {"labels": {"any": "thing"}},
    ):
        assert ask(server, {**ASK, **more}).status_code == 200, more


@pytest.mark.parametrize(
    "contents, words",
    [
        ([{"role": "user", "parts": []}], "contents.parts must not be empty"),
        ([{"role": "user"}], "contents.parts must not be empty"),
        ([{"role": "user", "parts": [{}]}], "required oneof field 'data' must have one initialized field"),
        ([{"role": "assistant", "parts": [{"text": "x"}]}], "Please use a valid role: user, model."),
    ],
)
def test_empty_parts_and_strange_roles(server, lenient, contents, words):
    assert words in ask(server, {"contents": contents}).json()["error"]["message"]
    assert ask(lenient, {"contents": contents}).status_code == 200


def call(name):
    return {"functionCall": {"name": name, "args": {}}}


def response(name, **more):
    return {"functionResponse": {"name": name, "response": {}, **more}}


@pytest.mark.parametrize(
    "calls, turn, words",
    [
        ([call("f"), call("g")], [response("g"), response("f")], None),
        ([call("f"), call("g")], [response("f")], "number of function response parts"),
        ([call("f")], [response("f"), response("f")], "number of function response parts"),
        ([call("f")], [{"text": "Never mind."}], "number of function response parts"),
        ([call("f")], [response("g")], "names of the function call parts"),
        ([{"text": "x"}], [response("g")], "immediately after a function call turn"),
        ([call("f")], [response("f", willContinue=True), response("f")], None),
    ],
)
def test_function_responses_answer_the_calls(server, lenient, calls, turn, words):
    body = {"contents": [TEXT, {"role": "model", "parts": calls}, {"role": "user", "parts": turn}]}
    answer = ask(server, body)
    assert answer.status_code == (400 if words else 200)
    if words:
        assert words in answer.json()["error"]["message"]
    assert ask(lenient, body).status_code == 200


def test_a_gateway_lets_unknown_fields_and_values_through():
    with LocalServer(profile="gateway") as server:
        body = {**ASK, "colour": 1, "generationConfig": {"mood": 1, "responseModalities": ["TEXT", "SMELL"]}}
        assert ask(server, body).status_code == 200
        assert ask(server, {"contents": [{"role": "user"}]}).status_code == 400


def test_a_lenient_server_still_needs_contents_that_it_can_read(lenient):
    assert ask(lenient, {}).status_code == 400
    assert ask(lenient, {"contents": [{"parts": [{"text": 3}]}]}).status_code == 400
    assert ask(lenient, {**ASK, "tools": [{"functionDeclarations": [{}]}]}).status_code == 200
    nowhere = {"fileData": {"fileUri": None, "mimeType": "video/mp4"}}
    assert ask(lenient, {"contents": [{"parts": [nowhere]}]}).status_code == 200
    answer = ask(lenient, {**ASK, "cachedContent": "cachedContents/none"}).json()
    assert answer["candidates"][0]["content"]["parts"][0]["text"] == expected_text(ASK)


def test_the_tables_name_fields_and_enums_that_exist():
    for name in (*ENUMS, *SPECIAL):
        message, field = name.split(".")
        assert field in getattr(types, message).__dataclass_fields__, name
    for enum in ENUMS.values():
        assert any(name.isupper() for name in vars(getattr(types, enum))), enum


def test_each_enum_that_the_dataclasses_describe_is_in_the_table():
    seen, waiting, described = set(), ["GenerateContentRequest"], {}
    while waiting:
        name = waiting.pop()
        message = getattr(types, name)
        seen.add(name)
        for field in message.__dataclass_fields__.values():
            kinds = set(re.findall(r"\w+", str(field.type))) & set(types.__all__)
            waiting += sorted(kinds - seen)
        for field, enum in re.findall(r":ivar (\w+): (?:one|a list) of `(\w+)`", message.__doc__):
            described[f"{name}.{field}"] = enum
    assert {"Part", "ThinkingConfig", "VideoMetadata", "LatLng"} <= seen
    missing = {"Part.media_processing": "MediaProcessing"}  # its docstring does not name the enum
    assert {**described, **missing} == ENUMS


def test_numbers_of_enums_mean_what_their_names_mean(server):
    body = {**ASK, "tools": [{"functionDeclarations": [{"name": "look"}]}]}
    for mode, field in ((1, "text"), (2, "functionCall"), (3, "text"), ("ANY", "functionCall")):
        config = {"toolConfig": {"functionCallingConfig": {"mode": mode}}}
        (candidate,) = ask(server, {**body, **config}).json()["candidates"]
        assert field in candidate["content"]["parts"][0], mode
    (candidate,) = ask(server, {**ASK, "generationConfig": {"responseModalities": [2]}}).json()["candidates"]
    assert [list(part) for part in candidate["content"]["parts"]] == [["inlineData"]]
