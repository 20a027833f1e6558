"""aimock (https://www.npmjs.com/package/@copilotkit/aimock), a mock of many APIs, as a server for this library."""

import json
import re
import subprocess

import pytest

from geministream import Chat, Endpoint, RateLimitError, ServerError, collect, stream_generate

MODEL = "gemini-2.5-flash"
GREETING = "Grüße aus dem Norden, und einen guten Tag an alle."
FIXTURES = [
    {"match": {"userMessage": "hello"}, "response": {"content": GREETING}},
    {
        "match": {"userMessage": "weather"},
        "response": {"toolCalls": [{"name": "get_weather", "arguments": '{"city": "Paris"}'}]},
    },
    {
        "match": {"userMessage": "busy"},
        "response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429},
    },
]


@pytest.fixture(scope="module")
def endpoint(npm_installed):
    """The endpoint of an aimock that answers from `FIXTURES`, and with 503 to everything else."""
    folder = npm_installed("@copilotkit/aimock")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": FIXTURES}), "utf-8")
    command = ["node_modules/.bin/llmock", "-p", "0", "-f", "fixtures.json", "--strict"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                listens = re.search(r"listening on (http://\S+)", line)
                if listens:
                    break
            else:
                pytest.skip(f"aimock did not start: {said}")
            yield Endpoint(listens.group(1), api_key="local-key", retry=None)
        finally:
            process.terminate()


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_stream_in_both_framings(endpoint, alt):
    chunks = list(stream_generate(MODEL, "hello", alt=alt, endpoint=endpoint))
    assert len(chunks) > 1
    response = collect(chunks)
    assert response.text == GREETING
    assert response.finish_reason == "STOP"


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_function_call(endpoint, alt):
    response = collect(stream_generate(MODEL, "weather", alt=alt, endpoint=endpoint))
    (call,) = response.function_calls
    assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
    assert response.finish_reason == "FUNCTION_CALL"  # in no published list, and kept as it is


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_errors(endpoint, alt):
    with pytest.raises(RateLimitError, match="slow down"):
        collect(stream_generate(MODEL, "busy", alt=alt, endpoint=endpoint))
    with pytest.raises(ServerError, match="no fixture matched"):
        collect(stream_generate(MODEL, "anything else", alt=alt, endpoint=endpoint))


def test_a_chat(endpoint):
    with Chat(MODEL, endpoint=endpoint) as chat:
        assert chat.ask("hello").text == GREETING
        assert len(chat.history) == 2
