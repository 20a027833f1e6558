"""The ends of streams: nothing behind an array's bracket, and `[DONE]` only if it is asked for."""

import json

import pytest
import requests

from geministream.testing import Answer, LocalServer

KEY = {"x-goog-api-key": "local-key"}
ASK = {"contents": [{"role": "user", "parts": [{"text": 'quotes " and \\ {brackets] and ü'}]}]}
PROFILES = ["google", "gateway"]


def ask(server, query="", **headers):
    url = f"{server.url}/v1beta/models/m:streamGenerateContent{query}"
    return requests.post(url, json=ASK, headers={**KEY, **headers}, timeout=10)


def strictly(text):
    """Read an array as google-api-core 2 reads it: character by character, nothing before `[` or after `]`."""
    assert text.startswith("["), "an array must begin with a bracket"
    objects, current, level, in_string, escaped = [], "", 1, False, False
    for char in text[1:]:
        assert level, f"an array must end with its bracket, not with {char!r}"
        if char == '"' and not escaped:
            in_string = not in_string
        current += char
        if char in "[{" and not in_string:
            level += 1
            if level == 2:
                current = char
        elif char in "]}" and not in_string:
            level -= 1
            if level == 1:
                objects.append(json.loads(current))
        escaped = char == "\\" and not escaped
    assert not level, "an array must end with a bracket"
    return objects


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(gzip=True),
        Answer(transfer="length"),
        Answer(transfer="close"),
        Answer(piece_bytes=1),
        Answer.text("one", "two"),
        Answer.text(*"abc", stream_error=503),
        Answer(chunks=[]),
        Answer.blocked(),
        Answer.failure(429),
    ],
)
def test_strict_clients_read_the_array(profile, answer):
    with LocalServer(profile=profile) as server:
        server.queue(answer)
        received = ask(server, "?%24alt=json%3Benum-encoding%3Dint")  # as google-generativeai 0.8 asks
        assert received.text[0] == "[" and received.text[-1] == "]"
        assert strictly(received.text) == received.json()


def test_the_strict_reader_is_strict():
    for text in ("[]\n", "[", "{}", "[{}]]", " []", '[{"a": "]"}', ""):
        with pytest.raises((AssertionError, ValueError)):
            strictly(text)


@pytest.mark.parametrize("query", ["?alt=sse", "?%24alt=sse"])
@pytest.mark.parametrize("profile", PROFILES)
def test_done_is_sent_if_it_is_asked_for(profile, query):
    with LocalServer(profile=profile) as server:
        assert b"[DONE]" not in ask(server, query).content
    with LocalServer(profile=profile, done_marker=True) as server:
        end = server.profile.newline * 2
        assert ask(server, query).content.endswith(b"}" + end + b"data: [DONE]" + end)
        assert b"[DONE]" not in ask(server).content  # the array has no such end
        server.queue(Answer.text("x", stream_error=503))
        assert b"[DONE]" not in ask(server, query).content
