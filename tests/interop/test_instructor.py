"""instructor, on google-genai, against LocalServer: every answer is an instance of a type."""

import pytest

instructor = pytest.importorskip("instructor", reason="instructor is not installed (extra: clients)")
genai = pytest.importorskip("google.genai", reason="google-genai is not installed (extra: clients)")

import pydantic
from instructor.core import InstructorRetryException

from geministream.testing import Answer, LocalServer

MODES = [instructor.Mode.GENAI_TOOLS, instructor.Mode.GENAI_STRUCTURED_OUTPUTS]


class Recipe(pydantic.BaseModel):
    name: str
    steps: list[str]
    minutes: int


EXPECTED = {"name": "name", "steps": ["steps", "steps 2"], "minutes": 1}


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def mode(request):
    return request.param


@pytest.fixture
def client(server, mode):
    options = genai.types.HttpOptions(base_url=server.url)
    gemini = genai.Client(api_key=server.api_key, http_options=options)
    return instructor.from_genai(gemini, mode=mode, model="gemini-flash-latest")


def messages(content="a recipe"):
    return [{"role": "user", "content": content}]


def recipe(client, messages):
    answer = client.create(messages=messages, response_model=Recipe, max_retries=1)
    assert isinstance(answer, Recipe)
    return answer.model_dump()


def test_structured_output(server, client):
    assert recipe(client, messages()) == EXPECTED
    assert server.requests[0].verb == "generateContent"


def test_stream(server, client, mode):
    *partial, whole = client.create_partial(messages=messages(), response_model=Recipe, max_retries=1)
    assert whole.model_dump() == EXPECTED
    assert server.requests[0].verb == "streamGenerateContent" and server.requests[0].query["alt"] == "sse"
    if mode is instructor.Mode.GENAI_STRUCTURED_OUTPUTS:  # a function call comes in one piece
        assert any(each.name is None or each.minutes is None for each in partial)


def test_stream_of_items(client):
    items = list(client.create_iterable(messages=messages(), response_model=Recipe, max_retries=1))
    assert [each.name for each in items] == ["name", "name 2"]


def test_chat(server, client):
    chat = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "I have 2 dogs"},
        {"role": "model", "content": "Good."},
        {"role": "user", "content": "How many paws?"},
    ]
    assert recipe(client, chat) == EXPECTED
    request = server.requests[0].json
    assert [each["role"] for each in request["contents"]] == ["user", "model", "user"]
    assert request["systemInstruction"]["parts"][0]["text"].strip() == "Be kind"


def test_image(server, client):
    image = instructor.Image.from_base64("data:image/png;base64,YWJj")
    assert recipe(client, messages(["Look", image])) == EXPECTED
    text, picture = server.requests[0].json["contents"][0]["parts"]
    assert text == {"text": "Look"} and picture["inlineData"]["data"] == "YWJj"


class Even(pydantic.BaseModel):
    minutes: int

    @pydantic.field_validator("minutes")
    @classmethod
    def be_even(cls, value):
        if value % 2:
            raise ValueError("odd")
        return value


def test_second_round_after_an_invalid_answer(server, client, mode):
    """It sends the error back: as the function's response, or as a text."""
    if mode is instructor.Mode.GENAI_TOOLS:
        server.queue(Answer.call("Even", {"minutes": 1}), Answer.call("Even", {"minutes": 2}))
    else:
        server.queue('{"minutes": 1}', '{"minutes": 2}')
    answer = client.create(messages=messages(), response_model=Even, max_retries=2)
    assert answer.minutes == 2 and server.request_count == 2
    assert "odd" in str(server.requests[1].json["contents"][-1])


def test_rate_limit(server, client):
    server.queue(Answer.failure(429, "slow down"), Answer.failure(429, "slow down"))
    with pytest.raises(InstructorRetryException, match="429 RESOURCE_EXHAUSTED"):
        client.create(messages=messages(), response_model=Recipe, max_retries=1)
    with pytest.raises(InstructorRetryException, match="429 RESOURCE_EXHAUSTED"):
        list(client.create_partial(messages=messages(), response_model=Recipe, max_retries=1))
    assert server.request_count == 2


@pytest.mark.parametrize("how", ["end", "drop", "reset"])
def test_cut_stream(server, client, how):
    server.queue(Answer(['{"name": "a",', ' "steps": []}'], stop_after=-20, stop_how=how, gzip=False))
    with pytest.raises(InstructorRetryException):
        list(client.create_partial(messages=messages(), response_model=Recipe, max_retries=1))
    assert server.request_count == 1
