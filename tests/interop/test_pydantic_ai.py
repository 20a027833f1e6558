"""pydantic-ai against LocalServer."""

import asyncio
import hashlib

import pytest

pydantic_ai = pytest.importorskip(
    "pydantic_ai.models.google", reason="pydantic-ai-slim[google] is not installed (extra: clients)"
)

import pydantic
from pydantic_ai import Agent, BinaryContent, NativeOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider

from geministream.testing import Answer, LocalServer


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


@pytest.fixture
def model(server):
    provider = GoogleProvider(api_key=server.api_key, base_url=server.url)
    return GoogleModel("gemini-flash-latest", provider=provider)


def streamed(agent, prompt):
    """The pieces of an answer's text."""

    async def pieces():
        async with agent.run_stream(prompt) as run:
            return [piece async for piece in run.stream_text(delta=True, debounce_by=None)]

    return asyncio.run(pieces())


def test_stream(server, model):
    pieces = streamed(Agent(model), "Hello there, you")
    assert len(pieces) > 1 and "".join(pieces) == "You said: Hello there, you"
    assert server.requests[0].verb == "streamGenerateContent" and server.requests[0].query["alt"] == "sse"


def test_chat(server, model):
    agent = Agent(model, instructions="Be kind")
    history = agent.run_sync("I have 2 dogs").all_messages()
    answer = agent.run_sync("How many paws?", message_history=history).output
    assert answer == server.expected_text(server.requests[1].json)
    assert [each["role"] for each in server.requests[1].json["contents"]] == ["user", "model", "user"]


def test_image(model):
    pieces = streamed(Agent(model), ["Look", BinaryContent(b"abc", media_type="image/png")])
    digest = hashlib.sha256(b"abc").hexdigest()
    assert "".join(pieces) == f"You said: Look\nYou sent image/png, 3 bytes, SHA-256 {digest}."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cities", [["Paris"], ["Paris", "Oslo"]])
def test_tools_in_two_rounds(server, model, cities, stream):
    called = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return f"sunny in {city}"

    agent = Agent(model, tools=[get_weather])
    prompt = " and ".join(f'get_weather({{"city": "{city}"}})' for city in cities)
    answer = "".join(streamed(agent, prompt)) if stream else agent.run_sync(prompt).output
    assert sorted(called) == sorted(cities) and all(f"sunny in {city}" in answer for city in cities)
    # Streamed or not, several calls go back in one content, the signature beside the first.
    _, calls, _ = server.requests[1].json["contents"]
    assert [bool(part.get("thoughtSignature")) for part in calls["parts"]] == [True, False][: len(cities)]


class Recipe(pydantic.BaseModel):
    name: str
    steps: list[str]
    minutes: int


EXPECTED = Recipe(name="name", steps=["steps", "steps 2"], minutes=1)


@pytest.mark.parametrize("output", [Recipe, NativeOutput(Recipe)], ids=["by a function", "by a schema"])
def test_structured_output(model, output):
    assert Agent(model, output_type=output).run_sync("a recipe").output == EXPECTED


def test_streamed_structured_output(model):
    async def outputs():
        async with Agent(model, output_type=NativeOutput(Recipe)).run_stream("a recipe") as run:
            return [output async for output in run.stream_output(debounce_by=None)]

    assert asyncio.run(outputs())[-1] == EXPECTED


def test_rate_limit(server, model):
    server.queue(Answer.failure(429, "slow down"), Answer.failure(429, "slow down"))
    with pytest.raises(ModelHTTPError, match="slow down") as caught:
        Agent(model).run_sync("x")
    assert caught.value.status_code == 429
    with pytest.raises(ModelHTTPError, match="slow down"):
        streamed(Agent(model), "x")
    assert server.request_count == 2


@pytest.mark.parametrize("how", ["end", "drop", "reset"])
def test_cut_stream(server, model, how):
    server.queue(Answer(["You ", "said"], stop_after=-20, stop_how=how, gzip=False))
    with pytest.raises(ModelAPIError):
        streamed(Agent(model), "x")
    assert server.request_count == 1
