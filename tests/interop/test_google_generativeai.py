"""google-generativeai, the SDK before google-genai, over REST: it reads the chunked JSON array."""

import hashlib
import json
import warnings

import pytest
import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it announces its own end
    genai = pytest.importorskip("google.generativeai", reason="google-generativeai is not installed")

import typing_extensions
from google.api_core import exceptions

from geministream import upload_file
from geministream.testing import Answer

MODEL = "gemini-flash-latest"


@pytest.fixture
def model(server):
    genai.configure(api_key=server.api_key, transport="rest", client_options={"api_endpoint": server.url})
    return genai.GenerativeModel(MODEL)


def text_of(stream):
    return "".join(chunk.text for chunk in stream)


def test_stream(server, model):
    stream = model.generate_content("Hello there, you", stream=True)
    texts = [chunk.text for chunk in stream]
    assert len(texts) > 1 and "".join(texts) == "You said: Hello there, you" == stream.text
    (request,) = server.requests
    assert request.verb == "streamGenerateContent" and request.query["$alt"].startswith("json")
    assert stream.usage_metadata.prompt_token_count == 3


def test_chat(server, model):
    chat = model.start_chat()
    assert text_of(chat.send_message("I have 2 dogs", stream=True)) == "You said: I have 2 dogs"
    assert text_of(chat.send_message("How many paws?", stream=True)).endswith("You said: How many paws?")
    sent = server.requests[1].json["contents"]
    assert [content["role"] for content in sent] == ["user", "model", "user"]
    assert sent[1]["parts"][0]["text"] == "You said: I have 2 dogs"


def test_image(model):
    picture = {"mime_type": "image/png", "data": b"\x89PNG and the rest"}
    answer = text_of(model.generate_content(["Look", picture], stream=True))
    digest = hashlib.sha256(picture["data"]).hexdigest()
    assert answer == f"You said: Look\nYou sent image/png, {len(picture['data'])} bytes, SHA-256 {digest}."


def test_tools_in_two_rounds(server, model):
    called = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return f"sunny in {city}"

    model = genai.GenerativeModel(MODEL, tools=[get_weather])
    chat = model.start_chat(enable_automatic_function_calling=True)
    answer = chat.send_message('get_weather({"city": "Paris"})').text
    assert called == ["Paris"] and "sunny in Paris" in answer and server.request_count == 2
    call, response = server.requests[1].json["contents"][1:]
    assert call["parts"][0]["functionCall"]["args"] == {"city": "Paris"}
    assert response["parts"][0]["functionResponse"]["name"] == "get_weather"


class Recipe(typing_extensions.TypedDict):
    name: str
    minutes: int


STRUCTURED = genai.GenerationConfig(response_mime_type="application/json", response_schema=Recipe)


def test_structured_output(server, model):
    server.queue('{"name": "bread", "minutes": 90}')
    answer = text_of(model.generate_content("a recipe", generation_config=STRUCTURED, stream=True))
    assert json.loads(answer) == {"name": "bread", "minutes": 90}
    # It writes enums as numbers: 6 is OBJECT, 1 is STRING, 3 is INTEGER.
    schema = server.requests[0].json["generationConfig"]["responseSchema"]
    assert schema["type"] == 6
    assert schema["properties"] == {"name": {"type": 1}, "minutes": {"type": 3}}


def test_sample_of_a_schema_with_numbers_as_types(model):
    answer = text_of(model.generate_content("a recipe", generation_config=STRUCTURED, stream=True))
    assert json.loads(answer) == {"minutes": 1, "name": "name"}


def test_files(server, model):
    """It looks for the upload URL in a document at Google, even with another endpoint; the other file calls work."""
    stored = upload_file(b"some notes", mime_type="text/plain", endpoint=server.endpoint)
    file = genai.get_file(stored.name)
    assert (file.uri, file.size_bytes, file.state.name) == (stored.uri, 10, "ACTIVE")
    assert [each.name for each in genai.list_files()] == [stored.name]
    assert "text/plain, 10 bytes" in text_of(model.generate_content(["Describe it", file], stream=True))
    genai.delete_file(file)
    assert server.files == {}


def test_rate_limit(server, model):
    server.queue(Answer.failure(429, "slow down"))
    with pytest.raises(exceptions.TooManyRequests, match="slow down"):
        model.generate_content("x")
    assert server.request_count == 1


def test_rate_limit_of_a_stream(server, model):
    """Errors of a JSON array are in an array, too; this client reads only a bare object, and hides the status."""
    server.queue(Answer.failure(429, "slow down"))
    with pytest.raises(exceptions.BadRequest, match="Please retry with `stream=False` for more details"):
        model.generate_content("x", stream=True)
    assert server.request_count == 1 and server.requests[0].fault == "status 429"


@pytest.mark.parametrize(
    "how, error, message",
    [
        ("end", ValueError, "Unfinished stream"),
        ("drop", requests.exceptions.ChunkedEncodingError, "ended prematurely|IncompleteRead"),
        ("reset", requests.exceptions.ChunkedEncodingError, "Connection broken"),
    ],
)
def test_cut_stream(server, model, how, error, message):
    server.queue(Answer(["You ", "said"], stop_after=-20, stop_how=how, gzip=False))
    with pytest.raises(error, match=message):
        list(model.generate_content("x", stream=True))


def test_models_and_tokens(model):
    assert model.count_tokens("one two three").total_tokens == 3
    assert f"models/{MODEL}" in [each.name for each in genai.list_models()]
