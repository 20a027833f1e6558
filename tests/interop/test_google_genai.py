"""The official SDK against LocalServer: it is good enough for clients that are not ours."""

import asyncio
import hashlib
import io
import os

import pytest

genai = pytest.importorskip("google.genai", reason="google-genai is not installed (extra: interop)")

from google.genai import errors, types

from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"
#: What a part may be in these tests.
DATA = {"text", "functionCall", "functionResponse"}


@pytest.fixture
def server():
    with LocalServer() as server:
        yield server


@pytest.fixture
def client(server):
    options = types.HttpOptions(base_url=server.url, retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key="local-key", http_options=options)


def text_of(stream):
    return "".join(chunk.text or "" for chunk in stream)


def test_text_stream(server, client):
    prompt = "Tell me <everything> about Ünïcode & lines, it's for a test"
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=prompt))
    assert len(chunks) > 2
    assert text_of(chunks) == f"You said: {prompt}" == server.expected_text(server.requests[0].json)
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    usage = chunks[-1].usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert {chunk.response_id for chunk in chunks} == {chunks[0].response_id}
    assert server.requests[0].query["alt"] == "sse"


@pytest.mark.xfail(
    int(genai.__version__.split(".")[0]) < 3,
    reason="google-genai 2 ends a line at U+2028 inside a JSON string",
)
def test_line_separator_in_a_stream(client):
    prompt = "Two \u2028 lines & more"
    chunks = client.models.generate_content_stream(model=MODEL, contents=prompt)
    assert text_of(chunks) == f"You said: {prompt}"


def test_unstreamed_text_thoughts_and_media(server, client):
    config = types.GenerateContentConfig(
        system_instruction="Be kind",
        temperature=0.5,
        thinking_config=types.ThinkingConfig(include_thoughts=True),
    )
    contents = ["Look", types.Part.from_bytes(data=b"abc", mime_type="image/png")]
    response = client.models.generate_content(model=MODEL, contents=contents, config=config)
    assert response.text == server.expected_text(server.requests[0].json)
    assert hashlib.sha256(b"abc").hexdigest() in response.text and "Be kind" in response.text
    thoughts = [part for part in response.candidates[0].content.parts if part.thought]
    assert thoughts and response.usage_metadata.thoughts_token_count > 0


def test_chat(server, client):
    chat = client.chats.create(model=MODEL)
    first = text_of(chat.send_message_stream("I have 2 dogs"))
    second = text_of(chat.send_message_stream("How many paws?"))
    assert first == "You said: I have 2 dogs"
    assert second == server.expected_text(server.requests[1].json)
    assert second.endswith("You said: How many paws?")
    sent = server.requests[1].json["contents"]
    # It stores a content for each chunk of its answer.
    assert [content["role"] for content in sent[:2]] == ["user", "model"] and sent[-1]["role"] == "user"
    assert "".join(part["text"] for content in sent[1:-1] for part in content["parts"]) == first


def test_function_call_made_by_the_sdk_itself(server, client):
    called = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return f"sunny in {city}"

    response = client.models.generate_content(
        model=MODEL,
        contents='get_weather({"city": "Paris"})',
        config=types.GenerateContentConfig(tools=[get_weather]),
    )
    assert called == ["Paris"]
    assert "get_weather" in response.text and "sunny in Paris" in response.text
    assert server.request_count == 2
    answered = server.requests[1].json["contents"]
    assert answered[1]["parts"][0]["thoughtSignature"]  # it went back
    assert answered[2]["parts"][0]["functionResponse"]["name"] == "get_weather"


def test_parallel_function_calls_with_signatures():
    with LocalServer(require_signatures=True) as server:
        client = genai.Client(api_key="local-key", http_options=types.HttpOptions(base_url=server.url))
        called = []

        def get_time(city: str) -> str:
            """The time in a city."""
            called.append(city)
            return "noon"

        prompt = 'get_time({"city": "Rome"}) and get_time({"city": "Oslo"})'
        config = types.GenerateContentConfig(tools=[get_time])
        response = client.models.generate_content(model=MODEL, contents=prompt, config=config)
        assert called == ["Rome", "Oslo"] and response.text.count("noon") == 2


def test_streamed_function_call(client):
    declaration = types.FunctionDeclaration(
        name="add",
        description="Adds.",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={
                "a": types.Schema(type=types.Type.INTEGER),
                "b": types.Schema(type=types.Type.INTEGER),
            },
        ),
    )
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declaration])])
    stream = client.models.generate_content_stream(
        model=MODEL, contents='add({"a": 1, "b": 2})', config=config
    )
    calls = [call for chunk in stream for call in chunk.function_calls or []]
    assert [(call.name, call.args) for call in calls] == [("add", {"a": 1, "b": 2})]


@pytest.mark.parametrize("size", [3, 9 * 2**20 + 5])  # in one piece, and in several
def test_file_upload(server, client, tmp_path, size):
    data = os.urandom(size)
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    file = client.files.upload(file=path)
    assert file.state == types.FileState.ACTIVE and file.size_bytes == size and file.mime_type == "text/plain"
    stored = server.files[file.name]
    assert stored.size == size and stored.sha256 == hashlib.sha256(data).hexdigest()
    answer = text_of(client.models.generate_content_stream(model=MODEL, contents=["Describe it", file]))
    assert f"{size} bytes" in answer and hashlib.sha256(data).hexdigest() in answer
    assert [each.name for each in client.files.list()] == [file.name]
    assert client.files.get(name=file.name).uri == file.uri
    client.files.delete(name=file.name)
    assert server.files == {}
    with pytest.raises(errors.ClientError):
        client.files.get(name=file.name)


def test_video_is_processed_first(client, tmp_path):
    with LocalServer(processing_polls=2) as server:
        client = genai.Client(api_key="local-key", http_options=types.HttpOptions(base_url=server.url))
        path = tmp_path / "film.mp4"
        path.write_bytes(b"not quite a film")
        file = client.files.upload(file=path)
        states = [file.state]
        while states[-1] == types.FileState.PROCESSING and len(states) < 10:
            states.append(client.files.get(name=file.name).state)
        assert states[0] == types.FileState.PROCESSING and states[-1] == types.FileState.ACTIVE


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "model, config, code, status",
    [("no-such-model", None, 404, "NOT_FOUND"), (MODEL, {"temperature": 7}, 400, "INVALID_ARGUMENT")],
)
def test_errors(client, stream, model, config, code, status):
    with pytest.raises(errors.ClientError) as caught:
        if stream:
            list(client.models.generate_content_stream(model=model, contents="x", config=config))
        else:
            client.models.generate_content(model=model, contents="x", config=config)
    assert (caught.value.code, caught.value.status) == (code, status) and caught.value.message


def test_wrong_key_and_server_errors(server, client):
    stranger = genai.Client(api_key="another", http_options=types.HttpOptions(base_url=server.url))
    with pytest.raises(errors.ClientError) as caught:
        stranger.models.generate_content(model=MODEL, contents="x")
    assert caught.value.code == 400 and "API key not valid" in caught.value.message
    server.queue(Answer.failure(503, "overloaded"))
    with pytest.raises(errors.ServerError) as caught:
        client.models.generate_content(model=MODEL, contents="x")
    assert caught.value.code == 503 and caught.value.status == "UNAVAILABLE"


def test_structured_answer_count_and_models(client):
    import pydantic  # the SDK has it

    class Recipe(pydantic.BaseModel):
        name: str
        steps: list[str]
        minutes: int

    config = {"response_mime_type": "application/json", "response_schema": list[Recipe]}
    response = client.models.generate_content(model=MODEL, contents="two recipes", config=config)
    assert len(response.parsed) == 2 and all(isinstance(recipe, Recipe) for recipe in response.parsed)
    assert client.models.count_tokens(model=MODEL, contents="one two three").total_tokens == 3
    assert f"models/{MODEL}" in [model.name for model in client.models.list()]


def test_long_answer_over_several_requests():
    """The SDK continues by itself, as ours does."""
    words = " ".join(f"w{k}" for k in range(30))
    with LocalServer(tokens_per_request=7) as server:
        client = genai.Client(api_key="local-key", http_options=types.HttpOptions(base_url=server.url))
        assert (
            text_of(client.models.generate_content_stream(model=MODEL, contents=words))
            == f"You said: {words}"
        )
        assert server.request_count == 5


def test_vertex():
    """The same SDK in its Vertex manner: long paths and a bearer token."""
    from google.oauth2.credentials import Credentials

    with LocalServer(profile="vertex", api_key="local-token") as server:
        client = genai.Client(
            vertexai=True,
            project="local-project",
            location="global",
            credentials=Credentials(token="local-token"),
            http_options=types.HttpOptions(base_url=server.url, api_version="v1"),
        )
        assert (
            text_of(client.models.generate_content_stream(model=MODEL, contents="Hello")) == "You said: Hello"
        )
        assert server.requests[0].path.startswith(
            "/v1/projects/local-project/locations/global/publishers/google/"
        )


def test_embeddings_caches_models_and_downloads(server, client, tmp_path):
    config = {"output_dimensionality": 4, "task_type": "CLUSTERING"}
    vectors = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=config)
    assert [len(each.values) for each in vectors.embeddings] == [4, 4]

    cache = client.caches.create(model=MODEL, config={"contents": "one two", "ttl": "300s"})
    longer = client.caches.update(name=cache.name, config={"ttl": "900s"})
    assert longer.expire_time > cache.expire_time
    assert [each.name for each in client.caches.list()] == [cache.name]
    answer = client.models.generate_content(model=MODEL, contents="x", config={"cached_content": cache.name})
    assert answer.usage_metadata.cached_content_token_count == 2
    client.caches.delete(name=cache.name)
    with pytest.raises(errors.ClientError, match="CachedContent not found"):
        client.caches.get(name=cache.name)

    assert len(list(client.models.list(config={"page_size": 2}))) == 4
    path = tmp_path / "note.txt"
    path.write_bytes(b"hello")
    assert client.files.download(file=client.files.upload(file=path).name) == b"hello"


def test_vertex_express_mode():
    with LocalServer(profile="vertex") as server:
        client = genai.Client(vertexai=True, api_key="local-key", http_options={"base_url": server.url})
        assert client.models.generate_content(model=MODEL, contents="x").text == "You said: x"
        (info,) = client.models.compute_tokens(model=MODEL, contents="one two").tokens_info
        assert info.tokens == [b"one ", b"two"]
        names = [model.name for model in client.models.list(config={"page_size": 3})]
        assert names[0] == "publishers/google/models/gemini-flash-latest" and len(names) == 4


# -- asyncio, errors, and function calls that arrive one in a chunk --------------------


async def _streamed(client, contents):
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents=contents)
    return [chunk async for chunk in stream]


def streamed(client, contents, asynchronous):
    if asynchronous:
        return asyncio.run(_streamed(client, contents))
    return list(client.models.generate_content_stream(model=MODEL, contents=contents))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_streamed_answer_about_an_image(client, asynchronous):
    picture = types.Part.from_bytes(data=b"abc", mime_type="image/png")
    answer = text_of(streamed(client, ["Look", picture], asynchronous))
    digest = hashlib.sha256(b"abc").hexdigest()
    assert answer == f"You said: Look\nYou sent image/png, 3 bytes, SHA-256 {digest}."


async def _chat(client):
    chat = client.aio.chats.create(model=MODEL)
    for message in ("I have 2 dogs", "How many paws?"):
        answer = "".join([chunk.text or "" async for chunk in await chat.send_message_stream(message)])
    return answer


def test_asynchronous_chat(server, client):
    assert asyncio.run(_chat(client)) == server.expected_text(server.requests[1].json)
    assert server.requests[1].json["contents"][0]["parts"][0]["text"] == "I have 2 dogs"


async def _tools_structure_and_file(client):
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"

    models = client.aio.models
    prompt = 'get_weather({"city": "Paris"})'
    tools = await models.generate_content(model=MODEL, contents=prompt, config={"tools": [get_weather]})
    config = {"response_mime_type": "application/json", "response_schema": list[str]}
    strings = await models.generate_content(model=MODEL, contents="two", config=config)
    file = await client.aio.files.upload(file=io.BytesIO(b"notes"), config={"mime_type": "text/plain"})
    return tools.text, strings.parsed, file.name


def test_asynchronous_tools_structure_and_file(server, client):
    text, strings, file = asyncio.run(_tools_structure_and_file(client))
    assert "sunny in Paris" in text
    assert strings == ["value", "value 2"]
    assert server.files[file].sha256 == hashlib.sha256(b"notes").hexdigest()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_rate_limit(server, client, asynchronous):
    server.queue(Answer.failure(429, "slow down", retry_info="7s"))
    with pytest.raises(errors.ClientError) as caught:
        streamed(client, "x", asynchronous)
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert caught.value.details["error"]["details"][0]["retryDelay"] == "7s"
    assert server.request_count == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_cut_event(server, client, asynchronous):
    server.queue(Answer(["You ", "said"], stop_after=-20, gzip=False))
    with pytest.raises(errors.UnknownApiResponseError, match="Failed to parse response as JSON"):
        streamed(client, "x", asynchronous)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("how", ["drop", "reset"])
def test_broken_connection(server, client, how, asynchronous):
    """The error is that of the HTTP client that this version uses: httpx, aiohttp or requests."""
    server.queue(Answer(["You ", "said"], stop_after=-20, stop_how=how, gzip=False))
    with pytest.raises(Exception) as caught:  # noqa: PT011  some have no message
        streamed(client, "x", asynchronous)
    assert type(caught.value).__module__.split(".")[0] in ("httpx", "httpx2", "aiohttp", "requests")


@pytest.mark.parametrize("through", ["models", "chat"])
def test_streamed_parallel_calls_are_refused(server, client, through):
    """Each of the parallel calls comes in a chunk of its own, and the SDK keeps each chunk as a content.

    It then answers both calls in one content. Google demands as many responses as the content
    before has calls, and so does the server: 400, although both functions ran. Unstreamed, the calls
    are in one content, and it works (`test_parallel_function_calls_with_signatures`).
    """
    called = []

    def get_time(city: str) -> str:
        """The time in a city."""
        called.append(city)
        return "noon"

    prompt = 'get_time({"city": "Rome"}) and get_time({"city": "Oslo"})'
    config = {"tools": [get_time]}
    with pytest.raises(errors.ClientError, match="number of function response parts") as caught:
        if through == "models":
            list(client.models.generate_content_stream(model=MODEL, contents=prompt, config=config))
        else:
            list(client.chats.create(model=MODEL, config=config).send_message_stream(prompt))
    assert caught.value.code == 400 and called == ["Rome", "Oslo"]
    sent = server.requests[1].json["contents"]
    kinds = [[next(iter(part.keys() & DATA)) for part in content["parts"]] for content in sent]
    assert kinds == [["text"], ["functionCall"], ["functionCall"], ["functionResponse"] * 2]
