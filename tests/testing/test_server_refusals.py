"""What the test server refuses, and what its error says."""

import pytest
import requests
from support.plain_client import HELLO, KEY, STREAM, ask, prompt, sse, text_of

from geministream.testing import LocalServer, expected_text


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


def test_integers_are_read_in_each_spelling(server):
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
