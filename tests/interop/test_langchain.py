"""langchain-google-genai against LocalServer."""

import asyncio
import base64
import hashlib

import pytest

langchain = pytest.importorskip(
    "langchain_google_genai", reason="langchain-google-genai is not installed (extra: clients)"
)

import pydantic
from google.genai.errors import UnknownApiResponseError
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"


def model_at(server):
    return langchain.ChatGoogleGenerativeAI(
        model=MODEL, google_api_key=server.api_key, base_url=server.url, max_retries=1
    )


@pytest.fixture
def model(server):
    return model_at(server)


def test_stream(server, model):
    texts = [chunk.text for chunk in model.stream("Hello there, you")]
    assert len(texts) > 1 and "".join(texts) == "You said: Hello there, you"
    assert server.requests[0].verb == "streamGenerateContent" and server.requests[0].query["alt"] == "sse"


def test_asynchronous_stream(model):
    async def texts():
        return [chunk.text async for chunk in model.astream("Hello there, you")]

    assert "".join(asyncio.run(texts())) == "You said: Hello there, you"


def test_chat(server, model):
    answer = model.invoke([HumanMessage("I have 2 dogs"), AIMessage("Good."), HumanMessage("How many paws?")])
    assert answer.text == server.expected_text(server.requests[0].json)
    assert [each["role"] for each in server.requests[0].json["contents"]] == ["user", "model", "user"]
    assert answer.usage_metadata["output_tokens"] == len(answer.text.split())


def test_image(model):
    data = base64.b64encode(b"abc").decode()
    message = HumanMessage(
        [{"type": "text", "text": "Look"}, {"type": "image", "base64": data, "mime_type": "image/png"}]
    )
    answer = "".join(chunk.text for chunk in model.stream([message]))
    digest = hashlib.sha256(b"abc").hexdigest()
    assert answer == f"You said: Look\nYou sent image/png, 3 bytes, SHA-256 {digest}."


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def weather_in_two_rounds(model, prompt, stream):
    """Let the model call `get_weather`; return its calls and its answer to the results."""
    model = model.bind_tools([get_weather])
    history = [HumanMessage(prompt)]
    if stream:
        first, *others = model.stream(history)
        message = sum(others, first)
    else:
        message = model.invoke(history)
    history.append(message)
    for call in message.tool_calls:
        result = get_weather(**call["args"])
        history.append(ToolMessage(result, tool_call_id=call["id"], name=call["name"]))
    return [call["args"]["city"] for call in message.tool_calls], model.invoke(history).text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cities", [["Paris"], ["Paris", "Oslo"]])
def test_tools_in_two_rounds(server, model, cities, stream):
    prompt = " and ".join(f'get_weather({{"city": "{city}"}})' for city in cities)
    called, answer = weather_in_two_rounds(model, prompt, stream)
    assert called == cities and all(f"sunny in {city}" in answer for city in cities)
    # Its messages hold several calls: they go back in one content, and the signature with the first.
    _, calls, results = server.requests[1].json["contents"]
    assert [bool(part.get("thoughtSignature")) for part in calls["parts"]] == [True, False][: len(cities)]
    assert len(results["parts"]) == len(cities)


def test_signatures_are_checked():
    with LocalServer(require_signatures=True) as server:
        called, _ = weather_in_two_rounds(model_at(server), 'get_weather({"city": "Paris"})', stream=False)
        assert called == ["Paris"]


class Recipe(pydantic.BaseModel):
    name: str
    steps: list[str]
    minutes: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(model, method):
    expected = Recipe(name="name", steps=["steps", "steps 2"], minutes=1)
    structured = model.with_structured_output(Recipe, method=method)
    assert structured.invoke("a recipe") == expected
    assert list(structured.stream("a recipe"))[-1] == expected


def test_rate_limit(server, model):
    server.queue(Answer.failure(429, "slow down"), Answer.failure(429, "slow down"))
    with pytest.raises(ModelRateLimitError, match="slow down"):
        model.invoke("x")
    with pytest.raises(ModelRateLimitError, match="slow down"):
        list(model.stream("x"))
    assert server.request_count == 2


def test_cut_event(server, model):
    server.queue(Answer(["You ", "said"], stop_after=-20, gzip=False))
    with pytest.raises(UnknownApiResponseError):
        list(model.stream("x"))


@pytest.mark.parametrize("how", ["drop", "reset"])
def test_broken_connection(server, model, how):
    server.queue(Answer(["You ", "said"], stop_after=-20, stop_how=how, gzip=False))
    with pytest.raises(Exception) as caught:  # noqa: PT011  the error of google-genai's HTTP client
        list(model.stream("x"))
    assert type(caught.value).__module__.split(".")[0] in ("httpx", "httpx2", "aiohttp", "requests")
