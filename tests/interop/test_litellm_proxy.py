"""litellm's proxy as a server for this library, with LocalServer behind it.

Two of its routes speak Gemini's API: its own, which makes the answer anew, and
``/gemini``, which passes it through. They accept the proxy's key, not the server's.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from typing import Dict

import pytest

from geministream import (
    Chat,
    Endpoint,
    IncompleteStreamError,
    RateLimitError,
    ServerError,
    parse,
    part_from_bytes,
    stream_generate,
)
from geministream.testing import Answer, LocalServer

if importlib.util.find_spec("litellm") is None or importlib.util.find_spec("uvicorn") is None:
    pytest.skip("litellm[proxy] is not installed (extra: clients)", allow_module_level=True)

MODEL = "gemini-flash-latest"
KEY = "sk-of-the-proxy"
#: Seconds that the proxy gets to start.
STARTUP = 60


@pytest.fixture(scope="module")
def upstream():
    with LocalServer() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(upstream, tmp_path_factory):
    """The URL of a proxy in a process of its own."""
    command = shutil.which("litellm", path=os.path.dirname(sys.executable)) or shutil.which("litellm")
    if command is None:
        pytest.skip("there is no command litellm")
    folder = tmp_path_factory.mktemp("litellm")
    config = folder / "config.yaml"
    config.write_text(json.dumps(configuration(upstream)))  # JSON is YAML, too
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would ask GitHub for prices
        "GEMINI_API_KEY": upstream.api_key,  # both are for /gemini
        "GEMINI_API_BASE": upstream.url,
    }
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            if not accepts_connections(port, process):
                pytest.skip("litellm's proxy did not start:\n" + (folder / "log").read_text()[-2000:])
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def configuration(upstream):
    parameters = {
        "model": f"gemini/{MODEL}",
        "api_key": upstream.api_key,
        "api_base": f"{upstream.url}/v1beta",
        "num_retries": 0,
    }
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"num_retries": 0},
        # A model that failed once would be refused for a while.
        "router_settings": {"disable_cooldowns": True},
    }


def accepts_connections(port, process):
    """Whether the proxy listens before its time is over; uvicorn listens when the proxy is ready."""
    end = time.monotonic() + STARTUP
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        try:
            process.wait(0.1)
            return False
        except subprocess.TimeoutExpired:
            continue  # it still starts
    return False


@pytest.fixture(params=["", "/gemini"], ids=["own route", "pass-through"])
def endpoint(request, proxy, upstream):
    upstream.reset()
    return Endpoint(proxy + request.param, api_key=KEY, retry=None)


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_stream(upstream, endpoint, alt):
    chunks = list(stream_generate(MODEL, "Hello there, you", alt=alt, endpoint=endpoint))
    assert [chunk.text for chunk in chunks] == ["You said: Hello ", "there, you"]
    assert chunks[-1].finish_reason == "STOP" and chunks[-1].usage_metadata.candidates_token_count == 5
    (request,) = upstream.requests
    assert request.verb == "streamGenerateContent" and KEY not in request.target
    # Its own route always asks upstream for server-sent events, and answers with them.
    passed_through = endpoint.base_url.endswith("/gemini")
    assert request.query.get("alt") == (None if passed_through and alt == "json" else "sse")


def test_chat(upstream, endpoint):
    chat = Chat(MODEL, endpoint=endpoint)
    assert chat.ask("I have 2 dogs").text == "You said: I have 2 dogs"
    assert chat.ask("How many paws?").text.endswith("You said: How many paws?")
    assert [each["role"] for each in upstream.requests[1].json["contents"]] == ["user", "model", "user"]


def test_image(endpoint):
    contents = ["Look", part_from_bytes(b"abc", "image/png")]
    answer = "".join(chunk.text for chunk in stream_generate(MODEL, contents, endpoint=endpoint))
    digest = hashlib.sha256(b"abc").hexdigest()
    assert answer == f"You said: Look\nYou sent image/png, 3 bytes, SHA-256 {digest}."


def test_tools_in_two_rounds(upstream, endpoint):
    called = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return f"sunny in {city}"

    prompt = 'get_weather({"city": "Paris"}) and get_weather({"city": "Oslo"})'
    answer = Chat(MODEL, tools=[get_weather], endpoint=endpoint).ask(prompt)
    assert called == ["Paris", "Oslo"] and "sunny in Paris" in answer.text and "sunny in Oslo" in answer.text
    assert upstream.requests[1].json["contents"][1]["parts"][0]["thoughtSignature"]


def test_structured_output(endpoint):
    schema = {"type": "object", "properties": {"minutes": {"type": "integer"}}}
    config = {"response_mime_type": "application/json", "response_json_schema": schema}
    chunks = stream_generate(MODEL, "x", generation_config=config, endpoint=endpoint)
    assert parse("".join(chunk.text for chunk in chunks), Dict[str, int]) == {"minutes": 1}


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_rate_limit(upstream, endpoint, alt):
    upstream.queue(Answer.failure(429, "slow down"))
    with pytest.raises(RateLimitError, match="slow down") as caught:
        list(stream_generate(MODEL, "x", alt=alt, endpoint=endpoint))
    assert caught.value.code == 429 and len(upstream.requests) == 1


@pytest.mark.parametrize("alt", ["sse", "json"])
@pytest.mark.parametrize("how", ["end", "drop", "reset"])
def test_cut_stream(upstream, endpoint, alt, how):
    """Its own route reports a lost connection as an error 500; otherwise the stream ends early here, too."""
    upstream.queue(Answer(["You ", "said"], stop_after=-20, stop_how=how, gzip=False))
    reported = how != "end" and not endpoint.base_url.endswith("/gemini")
    texts = []
    with pytest.raises(ServerError if reported else IncompleteStreamError):
        for chunk in stream_generate(MODEL, "x", alt=alt, endpoint=endpoint):
            texts.append(chunk.text)
    assert texts in ([], ["You "])  # the proxy may give up before it begins
