"""Scripts in JSON: every answer and fault that they can ask for, and what is said about those that are not valid."""

import base64
import dataclasses
import json
import re
import time

import pytest
import requests
from support.plain_client import ask, prompt, sse, text_of

from geministream.testing import Answer, LocalServer, script_file
from geministream.testing.json_checks import ScriptError
from geministream.testing.script_file import answer, read_script


@pytest.fixture
def playing():
    """A server that plays these answers or this script."""
    servers = []

    def start(*answers, **script):
        servers.append(LocalServer(script={"answers": list(answers), **script}).start())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def test_answers_come_in_order_and_then_the_servers_own(playing):
    server = playing("first", {"text": ["sec", "ond"]}, {"chunks": ["a", 0.0, {"candidates": []}]})
    assert text_of(sse(ask(server).content)) == "first"
    second = sse(ask(server).content)
    assert text_of(second) == "second" and len(second) == 2
    assert second[-1]["candidates"][0]["finishReason"] == "STOP"
    assert sse(ask(server).content)[1] == {"candidates": []}
    assert text_of(sse(ask(server).content)).startswith("You said: Hello")


def test_a_file_says_the_same_as_a_mapping(tmp_path):
    path = tmp_path / "talk.json"
    path.write_text('\ufeff{"answers": ["naïve"]}', "utf-8")  # with the BOM that editors of Windows write
    for source in (path, str(path)):
        with LocalServer(script=source) as server:
            assert text_of(sse(ask(server).content)) == "naïve"


def test_rules(playing):
    server = playing(
        "queued",
        rules=[
            {"model": "gemini-*-image", "answer": {"error": 503}},
            {"text": "weather", "answers": ["sunny", "rainy"]},
            {"model": "other", "text": "weather", "answer": "of another"},
        ],
    )

    def said(text, model="gemini-x"):
        return ask(server, prompt(text), path=f"/v1beta/models/{model}:streamGenerateContent")

    assert [said("x", "gemini-9-image").status_code for _ in range(2)] == [503, 503]
    texts = [text_of(sse(said("the weather?", model).content)) for model in ["gemini-x", "other", "other"]]
    assert texts == ["sunny", "rainy", "of another"]
    assert [text_of(sse(said("the weather?").content)) for _ in range(2)] == [
        "queued",
        "You said: the weather?",
    ]


def test_a_rule_with_snake_case_and_several_parts(playing):
    server = playing(rules=[{"text": "two", "answer": "matched"}])
    body = {
        "contents": {"parts": [{"text": "one"}, {"text": "two"}]},
        "system_instruction": {"parts": {"text": "x"}},
    }
    assert text_of(sse(ask(server, body).content)) == "matched"


def test_an_http_error_with_its_delays(playing):
    server = playing(
        {"error": {"code": 429, "message": "Later.", "retry_after": 2, "retry_info": "1.5s"}},
        {"error": 404, "status": 410, "headers": {"X-A": "b"}},
        {"status": 502},
    )
    response = ask(server)
    error = response.json()["error"]
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
    assert (error["status"], error["message"]) == ("RESOURCE_EXHAUSTED", "Later.")
    assert error["details"][0]["retryDelay"] == "1.5s"
    response = ask(server)
    assert (response.status_code, response.headers["X-A"]) == (410, "b")
    assert response.json()["error"]["code"] == 404
    assert ask(server).status_code == 502


@pytest.mark.parametrize(
    "form, expected",
    [
        (None, b'data: {"error": '),
        ("event", b"event: error\r\ndata: "),
        ("raw", b'{\n  "error": {'),
        ("element", b"["),
    ],
)
def test_an_error_in_the_stream(playing, form, expected):
    scripted = {"text": "half", "stream_error": {"code": 503, "message": "Overloaded."}}
    body = ask(playing({**scripted, **({"error_form": form} if form else {})})).content
    first, rest = body.split(b"\r\n\r\n", 1)
    assert b"half" in first and b"finishReason" not in first
    assert rest.startswith(expected) and b"Overloaded." in rest


@pytest.mark.parametrize("how", ["end", "drop", "reset"])
def test_the_servers_own_answer_breaks(playing, how):
    server = playing({"stop_after": 30, "stop_how": how})
    with ask(server, stream=True) as response:
        received = b""
        try:
            while True:
                piece = response.raw.read(1)
                if not piece:
                    break
                received += piece
            ended = "end"
        except requests.packages.urllib3.exceptions.HTTPError as error:
            ended = "reset" if "reset" in str(error) else "drop"
    # What a reset overtakes may be lost.
    assert ended == how and (len(received) == 30 or how == "reset")


def test_no_answer_at_all(playing):
    with pytest.raises(requests.ConnectionError):
        ask(playing({"stop_in_head": 0, "stop_how": "drop"}))


def test_a_stall(playing):
    server = playing({"text": ["a", "b"], "stop_after": -5, "stop_how": "stall"})
    with ask(server, stream=True) as response:
        assert response.raw.read(10)
        assert not server.requests[0].finished.is_set()
    assert server.requests[0].fault == "stall after -5 bytes"
    server.wait_until(server.requests[0].finished.is_set)
    assert server.requests[0].client_gone.is_set()


def test_delays_are_kept(playing):
    server = playing(
        {"text": ["a", "b", "c"], "delay": 0.05, "piece_delay": 0.05}, {"chunks": ["a", 0.05, "b"]}
    )
    for least in (0.15, 0.05):
        start = time.monotonic()
        ask(server)
        assert time.monotonic() - start >= least


def test_pieces_and_framing(playing):
    server = playing(
        {"text": "x", "framing": "ndjson", "transfer": "length", "piece_bytes": 7, "content_type": "a/b"},
        {"text": "x", "gzip": True},
        {"body": ["naïve ", "text"], "transfer": "close"},
        {"body_base64": base64.b64encode(b"\xff\x00").decode()},
        {"garbage": True},
    )
    response = ask(server)
    assert (response.headers["Content-Type"], response.headers["Content-Length"]) == (
        "a/b",
        str(len(response.content)),
    )
    assert server.requests[0].finished.wait(5)  # the server counts a piece once it is out
    assert response.json()["candidates"] and server.requests[0].pieces_sent == -(-len(response.content) // 7)
    assert ask(server).headers["Content-Encoding"] == "gzip"
    assert ask(server).content == "naïve text".encode()
    assert ask(server).content == b"\xff\x00"
    assert b"not a stream" in ask(server).content


def test_calls_and_blocks(playing):
    server = playing(
        {
            "text": "Let me see. ",
            "calls": [{"name": "a", "args": {"x": 1}, "id": "1"}, {"name": "b"}],
            "signature": "c2ln",
        },
        {"blocked": "SAFETY"},
        {"text": "cut", "finish": None},
    )
    chunks = sse(ask(server).content)
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in chunks]
    assert parts == [
        {"text": "Let me see. "},
        {"functionCall": {"name": "a", "args": {"x": 1}, "id": "1"}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "b", "args": {}}},
    ]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert sse(ask(server).content)[0]["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "finishReason" not in sse(ask(server).content)[0]["candidates"][0]


def test_continuation(playing):
    server = playing(
        {"text": ["one ", "two "], "continuation_token": "t1"},
        {"text": [], "continuation_token": "t2"},
        "three",
    )
    chunks = [sse(ask(server, prompt("x", **more)).content) for more in ({}, {"continuationToken": "t1"})]
    last = [each[-1]["candidates"][0] for each in chunks]
    assert [each["continuationToken"] for each in last] == ["t1", "t2"]
    assert [each["finishReason"] for each in last] == ["CONTINUATION"] * 2
    assert [text_of(each) for each in chunks] == ["one two ", ""]
    # The token belongs to its request.
    assert ask(server, prompt("y", continuationToken="t2")).status_code == 400
    assert text_of(sse(ask(server, prompt("x", continuationToken="t2")).content)) == "three"


def test_every_field_of_an_answer_can_be_scripted():
    """Events cannot be written in JSON; all else can."""
    fields = {field.name for field in dataclasses.fields(Answer)} - {"wait", "gates"}
    names = set(re.findall(r'"(\w+)"|(\w+)', str(_names())))
    assert fields <= {name for pair in names for name in pair}


def _names():
    with pytest.raises(ScriptError) as caught:
        answer({"-": 1})
    return caught.value


def test_the_table_names_each_field():
    names = str(_names()).split("the names are ")[1].split(", ")
    table = script_file.__doc__.split("=\n", 1)[1]
    assert [name for name in names if not re.search(rf"^(\w+, )?{name}[ ,]", table, re.M)] == []


@pytest.mark.parametrize(
    "script, words",
    [
        ({"answers": ["a", {}, {"stop_after": "x"}]}, '$.answers[2].stop_after: must be an integer, got "x"'),
        ({"answers": [{"stop_afer": 1}]}, '$.answers[0]: "stop_afer" is not a valid name; did you mean "stop_after"?'),
        ({"answer": []}, '$: "answer" is not a valid name; did you mean "answers"?'),
        ({"answers": "a"}, '$.answers: must be a list, got "a"'),
        ({"answers": [3]}, "$.answers[0]: must be a string or an object, got 3"),
        ({"answers": [{"text": ["a", 1]}]}, "$.answers[0].text[1]: must be a string, got 1"),
        ({"answers": [{"text": "a", "error": 429}]}, '$.answers[0]: has "text" and "error"; leave one out'),
        ({"answers": [{"calls": []}]}, "$.answers[0].calls: must be a list of one call or more, got []"),
        ({"answers": [{"calls": [{"args": {}}]}]}, '$.answers[0].calls[0]: "name" is missing'),
        ({"answers": [{"signature": "x"}]}, '$.answers[0]: "signature" needs "calls"'),
        ({"answers": [{"continuation_token": "x"}]}, '$.answers[0]: "continuation_token" needs "text"'),
        ({"answers": [{"stop_how": "bang"}]}, '$.answers[0].stop_how: must be one of "end", "drop", "reset", "stall", got "bang"'),
        ({"answers": [{"gzip": 1}]}, "$.answers[0].gzip: must be true or false, got 1"),
        ({"answers": [{"garbage": False}]}, "$.answers[0].garbage: must be true, got false"),
        ({"answers": [{"piece_bytes": True}]}, "$.answers[0].piece_bytes: must be an integer >= 1, got true"),
        ({"answers": [{"delay": -1}]}, "$.answers[0].delay: must be a number of seconds >= 0, got -1"),
        ({"answers": [{"error": 99}]}, "$.answers[0].error: must be an integer from 200 to 599, got 99"),
        ({"answers": [{"error": {}}]}, '$.answers[0].error: "code" is missing'),
        ({"answers": [{"stream_error": {"code": 429, "retry_after": 1}}]}, '$.answers[0].stream_error: "retry_after" is not a valid name; did you mean "retry_info"?'),
        ({"answers": [{"headers": {"X": "a\r\nY: b"}}]}, '$.answers[0].headers.X: must be one line without control characters, got "a\\r\\nY: b"'),
        ({"answers": [{"headers": {"a b": "c"}}]}, '$.answers[0].headers: must be an object of header names and values, got {"a b": "c"}'),
        ({"answers": [{"body_base64": "!"}]}, '$.answers[0].body_base64: must be base64, got "!"'),
        ({"answers": [{"chunks": [True]}]}, "$.answers[0].chunks[0]: must be a string, an object or a number of seconds, got true"),
        ({"rules": [{}]}, '$.rules[0]: must have "answer" (for each time) or "answers" (once each)'),
        ({"rules": [{"model": 1, "answer": "a"}]}, "$.rules[0].model: must be a string, got 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_script(script, words, tmp_path):
    with pytest.raises(ScriptError) as caught:
        LocalServer(script=script)
    assert str(caught.value) == words
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(script))
    with pytest.raises(ScriptError) as caught:
        read_script(path)
    assert str(caught.value) == f"{path}: {words}"


def test_a_file_that_is_not_json(tmp_path):
    path = tmp_path / "talk.json"
    for text in ('{"answers": [}', '{"answers": [', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ScriptError, match="talk.json: is not valid JSON: "):
            read_script(path)
