"""``Retry(on_retry=)``: who receives a retry event, when, and what it holds."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest

from geministream import (
    Chat,
    ConfigurationError,
    Endpoint,
    IncompleteStreamError,
    RateLimitError,
    Retry,
    RetryEvent,
    ServerError,
    collect,
    generate_many,
    stream_generate,
    upload_file,
)
from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"


@pytest.fixture
def events():
    return []


@pytest.fixture
def heard(server, events):
    """The server's endpoint, whose retries are in ``events``."""
    return listening(server, events.append)


def listening(server, on_retry, **settings):
    return replace(server.endpoint, retry=Retry(initial_delay=0.001, on_retry=on_retry, **settings))


def test_each_retry_of_a_stream_is_reported_before_its_sleep(server, sleeps):
    told = []
    endpoint = listening(server, lambda event: told.append((event, list(sleeps))))
    server.queue(Answer.failure(503, retry_info="2s"), Answer.failure(500), Answer.text("at last"))
    assert collect(stream_generate(MODEL, "Hello", endpoint=endpoint)).text == "at last"
    (first, slept_before_first), (second, slept_before_second) = told
    assert (first.attempt, first.attempts, first.resuming) == (1, 4, False)
    assert (second.attempt, second.attempts, second.resuming) == (2, 4, False)
    assert type(first.error) is ServerError
    assert (first.error.code, second.error.code) == (503, 500)
    assert first.delay == 2.0
    assert slept_before_first == []
    assert slept_before_second == [2.0]
    assert sleeps == [2.0, second.delay]
    assert (first.index, first.gate) == (None, None)


def test_the_last_failure_is_not_a_retry(server, heard, events):
    server.queue(*[Answer.failure(503)] * 4)
    with pytest.raises(ServerError):
        collect(stream_generate(MODEL, "Hello", endpoint=heard))
    assert [event.attempt for event in events] == [1, 2, 3]


def test_a_failure_that_is_not_retried_is_not_reported(server, heard, events):
    server.queue(Answer.failure(400))
    with pytest.raises(Exception, match="400"):
        collect(stream_generate(MODEL, "Hello", endpoint=heard))
    assert events == []


def test_resuming_from_a_token_is_reported(events):
    words = "one two three four five six seven eight"
    with LocalServer(checkpoint_every=1, faults=[Answer(stop_after=-20)]) as server:
        response = collect(stream_generate(MODEL, words, endpoint=listening(server, events.append)))
    assert response.text == f"You said: {words}"
    (event,) = events
    assert event.resuming
    assert event.attempt == 1
    assert type(event.error) is IncompleteStreamError


class Enough(Exception):
    pass


def refuse(event):
    raise Enough


def test_what_it_raises_ends_the_stream(server):
    server.queue(Answer.failure(503))
    chunks = stream_generate(MODEL, "Hello", endpoint=listening(server, refuse))
    with pytest.raises(Enough):
        next(chunks)
    assert list(chunks) == []
    assert server.request_count == 1


def test_a_chat_reports_a_retry_and_its_turn_is_complete(server, heard, events):
    server.queue(Answer.failure(503), Answer.text("hello"))
    with Chat(MODEL, endpoint=heard) as chat:
        assert collect(chat.send("Hi")).text == "hello"
        assert [event.error.code for event in events] == [503]
        assert len(chat.history) == 2


def test_an_upload_reports_a_retry(server, heard, events):
    server.fail_upload(503, piece=0)
    file = upload_file(b"x" * 100, mime_type="text/plain", endpoint=heard)
    assert file.size_bytes == 100
    assert [(event.attempt, event.error.code, event.resuming) for event in events] == [(1, 503, False)]


def test_what_it_raises_ends_an_upload(server):
    server.fail_upload(503, piece=0)
    with pytest.raises(Enough):
        upload_file(b"x" * 100, mime_type="text/plain", endpoint=listening(server, refuse))


def test_a_batch_reports_which_prompt(server, heard, events):
    server.queue(Answer.failure(503))
    results = list(generate_many(["a", "b"], model=MODEL, endpoint=heard, max_workers=1))
    assert all(result.error is None for result in results)
    assert [(event.index, event.attempt, event.gate) for event in events] == [(0, 1, None)]
    assert type(events[0].error) is ServerError


def test_a_batch_reports_when_all_prompts_wait_and_resume(server, heard, events):
    server.queue(Answer.failure(429, retry_info="0.05s"))
    results = list(generate_many(["a", "b", "c"], model=MODEL, endpoint=heard, max_workers=2))
    assert all(result.error is None for result in results)
    closed, opened = events
    assert (closed.gate, opened.gate) == ("closed", "opened")
    assert type(closed.error) is RateLimitError
    assert closed.error is opened.error
    assert 0.04 < closed.delay < 1
    assert opened.delay == 0


def test_what_it_raises_ends_a_batch(server):
    server.queue(Answer.failure(503))
    with pytest.raises(Enough):
        list(generate_many(["a"], model=MODEL, endpoint=listening(server, refuse)))


def test_a_batch_in_processes_needs_no_callable_that_can_be_pickled(server):
    told = []
    endpoint = listening(server, lambda event: told.append(event.index))
    server.queue(Answer.failure(503))
    with ProcessPoolExecutor(1) as pool:
        results = list(generate_many(["a"], model=MODEL, endpoint=endpoint, executor=pool))
    assert results[0].error is None
    assert told == [0]


def test_an_endpoint_with_a_callable_that_can_be_pickled_is_pickled():
    endpoint = Endpoint(api_key="k", retry=Retry(on_retry=refuse))
    assert pickle.loads(pickle.dumps(endpoint)).retry.on_retry is refuse


def test_only_a_callable_will_do():
    with pytest.raises(ConfigurationError, match=r"Retry\(on_retry=\) must be a callable or None"):
        Retry(on_retry="print")


def test_an_event_is_a_value():
    event = RetryEvent(1, 4, 0.5, ValueError("x"))
    with pytest.raises(AttributeError):
        event.delay = 1
    assert (event.resuming, event.index, event.gate) == (False, None, None)
