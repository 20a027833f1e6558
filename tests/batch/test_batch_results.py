"""Each prompt has its result, also one that is wrong or cannot be sent."""

import pickle
import threading
from collections import Counter

import pytest
from support.batches import MODEL, by_index, prompts

from geministream import (
    BatchResult,
    ConfigurationError,
    Content,
    Endpoint,
    GenerationConfig,
    Part,
    RateLimitError,
    generate_many,
    part_from_bytes,
)
from geministream.testing import Answer


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_each_prompt_has_its_result(server, alt):
    results = by_index(generate_many(prompts(30), model=MODEL, endpoint=server.endpoint, alt=alt))
    assert [result.text for result in results] == [f"You said: prompt {k}" for k in range(30)]
    assert [result.request for result in results] == prompts(30)
    assert {result.attempts for result in results} == {1}
    assert all(result.error is None and 0 < result.seconds < 30 for result in results)
    assert results[3].raise_for_error().finish_reason == "STOP"
    assert server.request_count == 30
    assert {"alt" in recorded.query for recorded in server.requests} == {alt == "sse"}


def test_anything_that_makes_contents_is_a_prompt(server, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"not quite a picture")
    given = [
        "text",
        Part(text="part"),
        Content(role="user", parts=[Part(text="content")]),
        {"text": "a mapping of a part"},
        {"role": "user", "parts": [{"text": "a mapping of a content"}]},
        ["two", "texts"],
        ("a tuple", Part(text="of two")),
        picture,
        part_from_bytes(b"x" * 100_000, "image/png"),
    ]
    results = by_index(generate_many(given, model=MODEL, endpoint=server.endpoint))
    assert [result.error for result in results] == [None] * len(given)
    assert [result.text for result in results[:6]] == [
        "You said: text",
        "You said: part",
        "You said: content",
        "You said: a mapping of a part",
        "You said: a mapping of a content",
        "You said: two\nYou said: texts",
    ]
    assert "19 bytes" in results[7].text and "100000 bytes" in results[8].text


def test_a_mapping_has_fields_of_a_request(server):
    given = [
        {"contents": "a b c d", "model": "other", "generation_config": {"max_output_tokens": 3}},
        {"contents": "a b c d", "generationConfig": {"maxOutputTokens": 4}, "systemInstruction": "Be brief."},
        {"contents": "a b c d", "generation_config": None},  # null in a line of JSON: not given
        "a b c d",
        {"contents": "x", "extra_body": {"labels": {"team": "a"}}},
    ]
    results = by_index(
        generate_many(
            given,
            model=MODEL,
            generation_config=GenerationConfig(max_output_tokens=5),
            endpoint=server.endpoint,
        )
    )
    assert [result.text for result in results] == [
        "You said: a ",
        "System instruction: Be brief.\n",
        "You said: a b c ",
        "You said: a b c ",
        "You said: x",
    ]
    assert Counter(recorded.model for recorded in server.requests) == {"other": 1, MODEL: 4}
    assert any(recorded.json.get("labels") == {"team": "a"} for recorded in server.requests)


class Unreadable:
    def __repr__(self):
        raise RuntimeError("not even this")


def test_a_bad_request_is_a_result_and_costs_nothing(server):
    given = [
        "good",
        {"contents": "x", "promt": "y"},
        {"model": MODEL},
        {"contents": "x", "generation_config": "warm"},
        {"contents": "x", "extra_body": {"n": float("nan")}},
        {"contents": "x", "model": "a b"},
        {"contents": "x", "continuation_token": 7},
        "",
        17,
        None,
        Unreadable(),
        "also good",
    ]
    results = by_index(generate_many(given, model=MODEL, endpoint=server.endpoint, max_workers=2))
    assert [result.text for result in results if result.error is None] == [
        "You said: good",
        "You said: also good",
    ]
    for result in results[1:-1]:
        assert result.response is None and result.attempts == 0 and result.text == ""
        if result.index != 10:
            assert isinstance(result.error, ConfigurationError)
            with pytest.raises(ConfigurationError):
                result.raise_for_error()
    assert isinstance(results[10].error, Exception)
    assert "'promt'" in str(results[1].error) and "'contents'" in str(results[2].error)
    assert server.request_count == 2


def test_without_any_model(server):
    given = ["x", {"contents": "y", "model": MODEL}]
    first, second = by_index(generate_many(given, endpoint=server.endpoint))
    assert isinstance(first.error, ConfigurationError) and "model" in str(first.error)
    assert second.text == "You said: y"


def test_an_empty_iterable(server):
    assert list(generate_many([], model=MODEL, endpoint=server.endpoint)) == []
    assert server.request_count == 0


def test_in_the_order_of_completion(server):
    release = threading.Event()
    server.answer_with(lambda recorded: Answer(wait=release) if b"prompt 0" in recorded.body else None)
    results = generate_many(prompts(20), model=MODEL, endpoint=server.endpoint, max_workers=2)
    seen = [next(results).index for _ in range(19)]
    assert sorted(seen) == list(range(1, 20))
    release.set()
    assert [result.index for result in results] == [0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"requests": "one prompt"},
        {"requests": {"contents": "one request"}},
        {"requests": 5},
        {"requests": b"bytes"},
        {"max_workers": 0},
        {"max_workers": True},
        {"max_workers": 2.5},
        {"executor": 4},
        {"alt": "xml"},
        {"deadline": 0},
        {"cancel": "now"},
        {"generation_config": "warm"},
        {"tools": 7},
        {"model": "a b"},
        {"endpoint": "ftp://x"},
    ],
)
def test_bad_arguments_are_refused_at_the_call(arguments):
    given = {"requests": ["x"], "model": MODEL, "endpoint": Endpoint(auth=()), **arguments}
    with pytest.raises(ConfigurationError):
        generate_many(given.pop("requests"), **given)


def test_a_missing_key_raises_at_the_call():
    with pytest.raises(ConfigurationError, match="API key"):
        generate_many(["x"], model=MODEL)


def test_a_result_can_be_pickled_and_does_not_show_the_request():
    result = BatchResult(
        3, None, RateLimitError("slow", code=429, retry_after=2.0), 4, 1.5, {"contents": "private"}
    )
    again = pickle.loads(pickle.dumps(result))
    assert (again.index, again.attempts, again.seconds, again.request) == (3, 4, 1.5, {"contents": "private"})
    assert again.error.retry_after == 2.0
    assert "private" not in repr(result)
    with pytest.raises(AttributeError):
        result.index = 4
