"""litellm as a client of LocalServer; `test_litellm_proxy` has its proxy."""

import asyncio
import base64
import hashlib
import json
import os

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would ask GitHub for prices
litellm = pytest.importorskip("litellm", reason="litellm is not installed (extra: clients)")

import pydantic

from geministream.testing import Answer, LocalServer

GET_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


@pytest.fixture
def where(server):
    """The arguments that lead to the server; its base URL contains the version."""
    return {
        "model": "gemini/gemini-flash-latest",
        "api_key": server.api_key,
        "api_base": f"{server.url}/v1beta",
        "num_retries": 0,
    }


def said_by(role, content):
    return {"role": role, "content": content}


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def ask(messages, where, **more):
    return text_of(litellm.completion(messages=messages, stream=True, **where, **more))


def test_stream(server, where):
    assert ask([said_by("user", "Hello there, you")], where) == "You said: Hello there, you"
    assert server.requests[0].verb == "streamGenerateContent" and server.requests[0].query["alt"] == "sse"


def test_asynchronous_stream(where):
    async def chunks():
        messages = [said_by("user", "Hello there, you")]
        return [chunk async for chunk in await litellm.acompletion(messages=messages, stream=True, **where)]

    assert text_of(asyncio.run(chunks())) == "You said: Hello there, you"


def test_chat(server, where):
    messages = [
        said_by("system", "Be kind"),
        said_by("user", "I have 2 dogs"),
        said_by("assistant", "Good."),
        said_by("user", "How many paws?"),
    ]
    assert ask(messages, where) == server.expected_text(server.requests[0].json)
    assert [each["role"] for each in server.requests[0].json["contents"]] == ["user", "model", "user"]
    assert server.requests[0].json["system_instruction"]["parts"] == [{"text": "Be kind"}]


def test_image(where):
    url = "data:image/png;base64," + base64.b64encode(b"abc").decode()
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]
    digest = hashlib.sha256(b"abc").hexdigest()
    assert (
        ask([said_by("user", content)], where)
        == f"You said: Look\nYou sent image/png, 3 bytes, SHA-256 {digest}."
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cities", [["Paris"], ["Paris", "Oslo"]])
def test_tools_in_two_rounds(server, where, cities, stream):
    prompt = " and ".join(f'get_weather({{"city": "{city}"}})' for city in cities)
    messages = [said_by("user", prompt)]
    answer = litellm.completion(messages=messages, tools=[GET_WEATHER], stream=stream, **where)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    message = answer.choices[0].message
    messages.append(message.model_dump())
    called = []
    for call in message.tool_calls:
        called.append(json.loads(call.function.arguments)["city"])
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sunny in {called[-1]}"})
    assert called == cities
    answer = ask(messages, where, tools=[GET_WEATHER])
    assert all(f"sunny in {city}" in answer for city in cities)
    assert server.requests[1].json["contents"][1]["parts"][0]["thoughtSignature"]  # the server checked it


class Recipe(pydantic.BaseModel):
    name: str
    steps: list[str]
    minutes: int


def test_structured_output(where):
    answer = ask([said_by("user", "a recipe")], where, response_format=Recipe)
    expected = Recipe(name="name", steps=["steps", "steps 2"], minutes=1)
    assert Recipe.model_validate_json(answer) == expected


def test_file(server):
    """Only the upload: a file that is not at Google it would download itself, from public addresses alone."""
    file = litellm.create_file(
        file=("notes.txt", b"some notes"),
        purpose="user_data",
        custom_llm_provider="gemini",
        api_base=server.url,  # here without the version
        api_key=server.api_key,
    )
    (stored,) = server.files.values()
    assert stored.sha256 == hashlib.sha256(b"some notes").hexdigest() and file.id.endswith(stored.name)


def test_rate_limit(server, where):
    server.queue(Answer.failure(429, "slow down"))
    with pytest.raises(litellm.RateLimitError, match="slow down"):
        litellm.completion(messages=[said_by("user", "x")], **where)
    assert server.request_count == 1


def test_rate_limit_of_a_stream(server, where):
    """It wraps the error, for routers that would fall back to another model."""
    server.queue(Answer.failure(429, "slow down"))
    with pytest.raises(
        litellm.exceptions.MidStreamFallbackError, match="RateLimitError.*slow down"
    ) as caught:
        ask([said_by("user", "x")], where)
    assert isinstance(caught.value.original_exception, litellm.RateLimitError)
    assert server.request_count == 1


@pytest.mark.parametrize("how", ["drop", "reset"])
def test_broken_connection(server, where, how):
    server.queue(Answer(["You ", "said"], stop_after=-20, stop_how=how, gzip=False))
    with pytest.raises(litellm.exceptions.MidStreamFallbackError, match="incomplete|reset"):
        ask([said_by("user", "x")], where)


def test_a_cut_event_looks_finished(server, where):
    """It drops an event that is cut off, and the answer looks complete: the loss that geministream reports."""
    server.queue(Answer(["You ", "said"], stop_after=-20, gzip=False))
    *_, last = chunks = list(litellm.completion(messages=[said_by("user", "x")], stream=True, **where))
    assert text_of(chunks) == "You " and last.choices[0].finish_reason == "stop"
