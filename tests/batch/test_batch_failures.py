"""Prompts that fail, are retried, and resume from a token."""

import threading
import time
from dataclasses import replace

import pytest
from support.batches import KEY, MODEL, by_index, prompts

from geministream import (
    AuthenticationError,
    BadRequestError,
    IncompleteStreamError,
    NotFoundError,
    RateLimitError,
    Retry,
    ServerError,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
    generate_many,
)
from geministream.testing import Answer, LocalServer


def test_one_failing_prompt_stops_nothing(server):
    answers = {
        "bad": Answer(error=(400, None, "bad")),
        "key": Answer(error=(401, None, "who?")),
        "gone": Answer(error=(404, None, "where?")),
        "down": Answer.failure(503),
        "garbage": Answer.garbage(),
        "short": Answer(chunks=["as far as ", "here"], finish=None),
        "drop": Answer.nothing("drop"),
        "late": Answer(chunks=["as far"], stream_error=(500, None, "broke"), error_form="raw"),
    }
    server.faults = lambda recorded: answers.get(recorded.json["contents"][0]["parts"][0].get("text"))
    given = [*answers, "good"] * 3
    results = by_index(generate_many(given, model=MODEL, endpoint=server.endpoint, max_workers=4))
    assert [result.request for result in results] == given
    kinds = [type(result.error) for result in results[:9]]
    assert kinds == [
        BadRequestError,
        AuthenticationError,
        NotFoundError,
        ServerError,
        StreamDecodeError,
        IncompleteStreamError,
        TransportError,
        ServerError,
        type(None),
    ]
    # An answer that nobody has seen is asked for again, although some of it had come.
    assert [result.attempts for result in results[:9]] == [1, 1, 1, 4, 1, 4, 4, 4, 1]
    assert [[type(result.error) for result in results[k : k + 9]] for k in (9, 18)] == [kinds] * 2
    assert results[5].error.partial.text == "as far as here" and results[7].error.partial.text == "as far"
    assert results[0].error.partial is None
    assert server.request_count == 3 * sum(result.attempts for result in results[:9])
    assert all(KEY not in repr(result) + str(result.error) for result in results)


def test_temporary_failures_are_retried(server):
    server.faults = [Answer.failure(503), Answer.nothing("reset"), Answer(chunks=["half"], finish=None)]
    (result,) = generate_many(["x"], model=MODEL, endpoint=server.endpoint)
    assert result.text == "You said: x" and result.attempts == 4
    assert result.response.usage_metadata.candidates_token_count == 3  # of the answer alone


def test_the_partial_answer_survives_worse_attempts(server):
    server.faults = [Answer(chunks=["what had come"], finish=None), *[Answer.nothing("drop")] * 3]
    (result,) = generate_many(["x"], model=MODEL, endpoint=server.endpoint)
    assert isinstance(result.error, TransportError) and result.attempts == 4
    assert result.error.partial.text == "what had come"


def test_a_waiting_prompt_keeps_no_worker_busy(server):
    """One worker: the others' answers come while the first prompt waits for its second attempt."""
    server.faults = [Answer.failure(503, retry_after=0.25)]
    results = list(generate_many(prompts(10), model=MODEL, endpoint=server.endpoint, max_workers=1))
    order = [result.index for result in results]
    assert sorted(order) == list(range(10)) and order.index(0) > 0
    first = results[order.index(0)]
    assert first.attempts == 2 and first.seconds >= 0.25


def test_without_a_retry_each_prompt_is_sent_once(server):
    server.faults = [Answer.failure(503), Answer.failure(429)]
    endpoint = replace(server.endpoint, retry=None)
    results = by_index(generate_many(prompts(4), model=MODEL, endpoint=endpoint, max_workers=1))
    assert [type(result.error) for result in results] == [ServerError, RateLimitError, type(None), type(None)]
    assert [result.attempts for result in results] == [1] * 4


def test_a_deadline_is_each_prompts_own(server):
    never = threading.Event()
    server.answer_with(lambda recorded: Answer(chunks=["half ", never]) if b"slow" in recorded.body else None)
    given = ["quick", "slow", "quick", "slow"]
    results = by_index(
        generate_many(given, model=MODEL, endpoint=server.endpoint, max_workers=1, deadline=0.8)
    )
    assert [type(result.error) for result in results] == [type(None), StreamTimeoutError] * 2
    for result in results[1::2]:
        assert result.error.partial.text == "half " and result.attempts == 1
        assert 0.7 <= result.seconds < 10


def test_an_attempt_past_the_deadline_is_not_waited_for(server):
    server.faults = [Answer.failure(503, retry_after=50)]
    (result,) = generate_many(
        ["x"], model=MODEL, endpoint=replace(server.endpoint, retry=Retry()), deadline=20
    )
    assert isinstance(result.error, StreamTimeoutError) and isinstance(result.error.__cause__, ServerError)
    assert result.attempts == 1 and result.seconds < 10


def test_an_answer_over_several_requests(server):
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(tokens_per_request=9) as server:
        results = list(generate_many([long] * 3, model=MODEL, endpoint=server.endpoint))
    for result in results:
        assert result.text == f"You said: {long}" and result.attempts == 5
        assert len(result.response.usage_by_request) == 5


@pytest.mark.parametrize("fault", [Answer.failure(429), Answer.failure(503), Answer.nothing("drop")])
def test_a_long_answer_resumes_from_its_token(fault):
    """The request for the third stretch fails: the first two are not asked for again."""
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(tokens_per_request=9) as server:
        server.faults = [None, None, fault]
        (result,) = generate_many([long], model=MODEL, endpoint=server.endpoint)
        tokens = [recorded.json.get("continuationToken") for recorded in server.requests]
    assert result.text == f"You said: {long}" and result.attempts == 6
    assert tokens[0] is None and tokens[2] == tokens[3] and len(set(tokens)) == 5
    usages = result.response.usage_by_request
    assert len(usages) == 5  # the request that failed had none
    assert sum(usage.candidates_token_count for usage in usages) == 42


def test_text_after_the_last_checkpoint_is_not_repeated():
    """The stream breaks between two checkpoints, and what is generated again reads otherwise."""
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(words_per_chunk=1, checkpoint_every=4, reword=True) as server:
        # Cut after 1.5 KB or so: some checkpoints have gone by, and a chunk or two since the last.
        server.faults = [Answer(stop_after=3000, stop_how="drop"), Answer(stop_after=2100, stop_how="reset")]
        (result,) = generate_many([long], model=MODEL, endpoint=server.endpoint)
        assert result.attempts == 3
        assert result.text == server.whole_text(server.requests[-1])
        tokens = [recorded.json.get("continuationToken") for recorded in server.requests]
    assert tokens[0] is None and None not in tokens[1:]
    assert [word.partition("~")[0] for word in result.text.split()] == ["You", "said:", *long.split()]
    assert "~2" in result.text


def test_progress_starts_the_count_again():
    """Each stretch needs two attempts, and no more than two are allowed in a row."""
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(tokens_per_request=9) as server:
        server.faults = [None if k % 2 else Answer.failure(503) for k in range(10)]
        endpoint = replace(server.endpoint, retry=Retry(attempts=2, initial_delay=0.01))
        (result,) = generate_many([long], model=MODEL, endpoint=endpoint)
    assert result.text == f"You said: {long}" and result.attempts == 10


def test_a_429_in_the_middle_of_an_answer_closes_the_gate():
    long = " ".join(f"w{k}" for k in range(20))
    with LocalServer(tokens_per_request=9) as server:
        arrivals = []

        def decide(recorded):
            arrivals.append(time.monotonic())
            return Answer.failure(429, retry_info="0.25s") if len(arrivals) == 2 else None

        server.faults = decide
        results = list(generate_many([long, "short"], model=MODEL, endpoint=server.endpoint, max_workers=1))
    assert sorted(result.text for result in results) == sorted([f"You said: {long}", "You said: short"])
    assert len(arrivals) == 5 and arrivals[2] - arrivals[1] >= 0.25


def token_chunk(text, token):
    return {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "continuationToken": token}]
    }


def test_all_that_came_is_in_the_partial(server):
    server.queue(Answer(chunks=[token_chunk("secured ", "t1"), "and since"], finish=None))
    (result,) = generate_many(["x"], model=MODEL, endpoint=replace(server.endpoint, retry=None))
    assert isinstance(result.error, IncompleteStreamError) and result.error.continuation_token == "t1"
    assert result.error.partial.text == "secured and since"


def test_a_later_attempt_that_brings_nothing_loses_nothing(server):
    server.faults = [
        Answer(chunks=[token_chunk("secured ", "t1"), "and since"], finish=None),
        *[Answer(body=b"")] * 3,
    ]
    (result,) = generate_many(["x"], model=MODEL, endpoint=server.endpoint)
    assert isinstance(result.error, IncompleteStreamError) and result.attempts == 4
    assert result.error.continuation_token == "t1" and result.error.partial.text == "secured "
    assert [recorded.json.get("continuationToken") for recorded in server.requests] == [
        None,
        "t1",
        "t1",
        "t1",
    ]


def test_a_long_answer_that_fails_for_good_has_its_partial_and_token():
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(words_per_chunk=1, checkpoint_every=4) as server:
        broken = Answer(stop_after=3000, stop_how="drop")
        endpoint = replace(server.endpoint, retry=None)
        server.faults = [broken]
        (result,) = generate_many([long], model=MODEL, endpoint=endpoint)
        assert isinstance(result.error, IncompleteStreamError)
        partial = result.error.partial.text
        assert f"You said: {long}".startswith(partial) and len(partial) > 20
        again = [{"contents": long, "continuation_token": result.error.continuation_token}]
        (rest,) = generate_many(again, model=MODEL, endpoint=endpoint)
        assert rest.error is None and f"You said: {long}".endswith(rest.text)
        assert len(partial) + len(rest.text) >= len(f"You said: {long}")
