"""``generate``, ``count_tokens``, ``list_models`` and ``get_model``."""

import inspect
import json
from dataclasses import replace

import pytest
from support.raw_server import RawServer, head

from geministream import (
    Cancel,
    Chat,
    ConfigurationError,
    Endpoint,
    IncompleteStreamError,
    Model,
    NotFoundError,
    Retry,
    StreamCancelled,
    StreamDecodeError,
    count_tokens,
    generate,
    generate_many,
    get_model,
    list_models,
    part_from_bytes,
    stream_generate,
)
from geministream.request import FIELDS
from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"


def answering_in_turn(*bodies, targets=None):
    """A raw server's script: one connection, one JSON answer (or a status and an empty body) each."""

    def script(connection):
        connection.read_request()
        if targets is not None:
            targets.append(connection.target)
        answer = bodies[connection.number]
        status, body = (answer, b"") if isinstance(answer, str) else ("200 OK", json.dumps(answer).encode())
        connection.send(head(status, Content_Length=str(len(body)), Connection="close") + body)

    return script


def test_generate_returns_the_complete_answer(server, endpoint):
    response = generate(MODEL, "Hello there", endpoint=endpoint)
    assert response.text == "You said: Hello there"
    assert response.finish_reason == "STOP"
    assert server.requests[0].path.endswith(f"/models/{MODEL}:streamGenerateContent")


def test_generate_takes_what_stream_generate_takes():
    ours, theirs = inspect.signature(generate), inspect.signature(stream_generate)
    assert ours.parameters == theirs.parameters


@pytest.mark.parametrize(
    "function", [stream_generate, generate, count_tokens, generate_many, Chat, Chat.send]
)
def test_each_function_has_all_fields_of_a_request(function):
    assert set(FIELDS) <= set(inspect.signature(function).parameters)


def test_a_truncated_answer_raises_with_what_had_come(server, endpoint):
    server.queue(Answer.text("one", "two", "three", stop_after=-30))
    with pytest.raises(IncompleteStreamError) as caught:
        generate(MODEL, "Hello", endpoint=endpoint)
    assert caught.value.partial.text == "onetwo"


def test_tokens_of_a_text_are_counted(server, endpoint):
    counted = count_tokens(MODEL, "one two three", endpoint=endpoint)
    assert counted.total_tokens > 0
    assert counted.prompt_tokens_details[0].token_count == counted.total_tokens
    request = server.requests[-1]
    assert request.path.endswith(f"/models/{MODEL}:countTokens")
    assert request.json == {"contents": [{"parts": [{"text": "one two three"}], "role": "user"}]}


def test_other_fields_are_counted_inside_a_complete_request(server, endpoint):
    plain = count_tokens(MODEL, "one", endpoint=endpoint).total_tokens
    more = count_tokens(MODEL, "one", system_instruction="two three four", endpoint=endpoint).total_tokens
    assert more > plain
    inner = server.requests[-1].json["generateContentRequest"]
    assert inner["model"] == f"models/{MODEL}"
    assert inner["systemInstruction"] == {"parts": [{"text": "two three four"}]}
    assert list(server.requests[-1].json) == ["generateContentRequest"]


def test_media_are_counted_as_they_are_sent(server, endpoint):
    picture = part_from_bytes(b"\x89PNG" + bytes(100_000), "image/png")
    counted = count_tokens(MODEL, ["What is this?", picture], endpoint=endpoint)
    assert {detail.modality for detail in counted.prompt_tokens_details} == {"TEXT", "IMAGE"}


def test_vertex_takes_the_fields_beside_the_contents():
    with LocalServer(profile="vertex") as server:
        count_tokens(MODEL, "one", system_instruction="two", endpoint=server.endpoint)
        assert set(server.requests[-1].json) == {"contents", "systemInstruction"}


def test_a_failed_count_is_retried():
    with RawServer(answering_in_turn("503 Busy", {"totalTokens": 3})) as server:
        endpoint = Endpoint(server.url, auth=(), retry=Retry(initial_delay=0.001))
        assert count_tokens(MODEL, "one two three", endpoint=endpoint).total_tokens == 3


def test_a_model_is_described(endpoint):
    model = get_model(f"models/{MODEL}", endpoint=endpoint)
    assert model.name == f"models/{MODEL}"
    assert model.input_token_limit == 1048576
    assert "generateContent" in model.supported_generation_methods
    assert get_model(MODEL, endpoint=endpoint) == model


def test_a_model_that_is_not_there(endpoint):
    with pytest.raises(NotFoundError):
        get_model("no-such-model", endpoint=endpoint)


def test_models_are_listed(endpoint):
    models = list(list_models(endpoint=endpoint))
    assert f"models/{MODEL}" in [model.name for model in models]
    assert all(type(model) is Model for model in models)


def page(names, token=None, key="models"):
    fields = {key: [{"name": f"models/{name}"} for name in names]}
    return fields if token is None else {**fields, "nextPageToken": token}


def test_pages_are_requested_when_the_loop_gets_there():
    targets = []
    script = answering_in_turn(page("ab", "more & more"), page("c"), targets=targets)
    with RawServer(script) as server:
        models = list_models(page_size=2, endpoint=Endpoint(server.url, auth=()))
        assert targets == []
        assert [next(models).name, next(models).name] == ["models/a", "models/b"]
        assert targets == ["/v1beta/models?pageSize=2"]
        assert [model.name for model in models] == ["models/c"]
        assert targets[1:] == ["/v1beta/models?pageSize=2&pageToken=more+%26+more"]


def test_a_list_that_does_not_end():
    with RawServer(answering_in_turn(page("a", "again"), page("b", "again"))) as server:
        models = list_models(endpoint=Endpoint(server.url, auth=(), retry=None))
        assert [next(models).name, next(models).name] == ["models/a", "models/b"]
        with pytest.raises(StreamDecodeError, match="its pages repeat"):
            next(models)


def test_vertex_lists_a_publishers_models_outside_of_projects():
    targets = []
    with RawServer(answering_in_turn(page("a", key="publisherModels"), targets=targets)) as server:
        vertex = Endpoint.vertex("my-project", "europe-west4", "token")
        endpoint = replace(vertex, base_url=server.url)
        assert [model.name for model in list_models(endpoint=endpoint)] == ["models/a"]
    assert targets == ["/v1beta1/publishers/google/models?pageSize=1000"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"page_size": 0}, "page_size= must be an integer >= 1, got 0"),
        ({"page_size": True}, "page_size= must be an integer >= 1"),
        ({"deadline": 0}, "deadline"),
        ({"cancel": "now"}, "cancel"),
    ],
)
def test_bad_arguments_raise_at_the_call(endpoint, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        list_models(endpoint=endpoint, **arguments)


def test_a_cancelled_call_sends_nothing(server, endpoint):
    cancel = Cancel()
    cancel.cancel()
    with pytest.raises(StreamCancelled):
        count_tokens(MODEL, "Hello", endpoint=endpoint, cancel=cancel)
    assert server.requests == []
