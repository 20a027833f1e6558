"""What is retried, how often, and after which delay."""

import dataclasses
import logging
import os
import random
import re
import time

import pytest
import requests
from support.calls import KEY, OK, ask, outcome
from support.dialects import THREE, A
from support.raw_server import RawServer, answering

from geministream import (
    AuthenticationError,
    Endpoint,
    GeministreamError,
    RateLimitError,
    Retry,
    ServerError,
    TransportError,
    part_from_bytes,
)
from geministream.testing import Answer, LocalServer
from geministream.transport import Attempts, Call


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_statuses_that_pass_are_retried(server, retrying, sleeps, status):
    server.queue(Answer.failure(status), OK)
    assert outcome(ask(retrying)) == (THREE, None)
    assert server.request_count == 2 and len(sleeps) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 422, 501, 505])
def test_other_statuses_are_not(server, retrying, sleeps, status):
    server.queue(Answer.failure(status), OK)
    texts, raised = outcome(ask(retrying))
    assert texts == [] and raised.code == status
    assert server.request_count == 1 and sleeps == []


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_are_counted(server, sleeps, attempts):
    server.answer_with(lambda request: Answer.failure(503))
    endpoint = dataclasses.replace(server.endpoint, retry=Retry(attempts=attempts))
    texts, raised = outcome(ask(endpoint))
    assert type(raised) is ServerError
    assert server.request_count == attempts and len(sleeps) == attempts - 1


def test_no_retry(server, endpoint, sleeps):
    server.queue(Answer.failure(503), OK)
    texts, raised = outcome(ask(endpoint))
    assert type(raised) is ServerError and server.request_count == 1 and sleeps == []


def test_own_statuses(server, sleeps):
    endpoint = dataclasses.replace(server.endpoint, retry=Retry(statuses=(418,)))
    server.queue(Answer.failure(418), Answer.failure(503), OK)
    texts, raised = outcome(ask(endpoint))
    assert raised.code == 503 and server.request_count == 2


@pytest.mark.parametrize("alt", ["sse", "json"])
@pytest.mark.parametrize("form", ["data", "event", "element", "raw"])
@pytest.mark.parametrize("code", [429, 503])
def test_an_error_that_comes_first_in_a_stream_is_retried(server, retrying, sleeps, alt, form, code):
    if form == "element":
        alt = "json"
    server.queue(Answer(chunks=[], stream_error=(code,), error_form=form), OK)
    assert outcome(ask(retrying, alt=alt)) == (THREE, None)
    assert server.request_count == 2 and len(sleeps) == 1


@pytest.mark.parametrize("form", ["data", "event", "element", "raw"])
def test_but_not_after_the_first_chunk(server, retrying, sleeps, form):
    server.queue(Answer(chunks=[A], stream_error=(503,), error_form=form), OK)
    texts, raised = outcome(ask(retrying, alt="json" if form == "element" else "sse"))
    assert texts == ["one, "] and type(raised) is ServerError
    assert server.request_count == 1 and sleeps == []


def test_a_chunk_without_text_is_a_chunk(server, retrying, sleeps):
    server.queue(Answer(chunks=[{"usageMetadata": {"promptTokenCount": 1}}], stream_error=(503,)), OK)
    texts, raised = outcome(ask(retrying))
    assert texts == [""] and type(raised) is ServerError and server.request_count == 1


def test_comments_are_not_chunks(server, retrying, sleeps):
    server.queue(Answer(chunks=[b": ping\n\ndata:\n\n"], stream_error=(503,)), OK)
    assert outcome(ask(retrying)) == (THREE, None) and server.request_count == 2


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_an_error_in_the_stream_that_does_not_pass(server, retrying, sleeps, code):
    server.queue(Answer(chunks=[], stream_error=(code,)), OK)
    texts, raised = outcome(ask(retrying))
    assert raised.code == code and server.request_count == 1 and sleeps == []


@pytest.mark.parametrize("how", ["drop", "reset"])
def test_a_connection_that_breaks_before_the_answer_is_retried(server, retrying, sleeps, how):
    server.queue(Answer.nothing(how), Answer(stop_in_head=20, stop_how=how), OK)
    assert outcome(ask(retrying)) == (THREE, None)
    assert server.request_count == 3 and len(sleeps) == 2


def test_a_connection_that_always_breaks(server, retrying, sleeps):
    server.answer_with(lambda request: Answer.nothing("reset"))
    texts, raised = outcome(ask(retrying))
    assert type(raised) is TransportError and isinstance(raised.__cause__, requests.ConnectionError)
    assert server.request_count == 4


@pytest.mark.parametrize(
    "answer",
    [
        Answer(chunks=[]),
        Answer(chunks=[], transfer="length"),
        Answer(chunks=[A], stop_after=10),
        Answer(chunks=[A], stop_after=10, stop_how="reset"),
        Answer(chunks=[A], stop_after=10, transfer="length", stop_how="drop"),
    ],
    ids=["empty", "empty with a length", "cut", "reset", "dropped"],
)
def test_an_answer_of_which_nothing_came_is_retried(server, retrying, sleeps, answer):
    server.queue(answer, OK)
    assert outcome(ask(retrying)) == (THREE, None)
    assert server.request_count == 2


@pytest.mark.parametrize(
    "first_bytes",
    [b"SSH-2.0-x\r\n", b"\x15\x03\x01\x00\x02\x02F", b"HTTP/9 x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\r\n"],
)
def test_what_is_not_http(first_bytes, sleeps):
    with RawServer(answering(first_bytes)) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None)))
    assert isinstance(raised, GeministreamError) and str(raised)


def test_headers_without_end(sleeps):
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")

    with RawServer(script) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None)))
    assert type(raised) is TransportError


@pytest.mark.parametrize(
    "answer, seconds",
    [
        (Answer.failure(429, retry_after="7"), 7.0),
        (Answer.failure(503, retry_info="8.5s"), 8.5),
        (Answer.failure(503, retry_info="8s", retry_after="9"), 9.0),
        (
            Answer(
                chunks=[],
                stream_error={
                    "code": 429,
                    "message": "m",
                    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "6s"}],
                },
            ),
            6.0,
        ),
        (Answer(chunks=[], stream_error=(503,), headers={"Retry-After": "5"}), 5.0),
    ],
    ids=["Retry-After", "RetryInfo", "both", "RetryInfo in the stream", "Retry-After in the stream"],
)
def test_what_the_server_asks_for_wins_when_longer(server, retrying, sleeps, answer, seconds):
    server.queue(answer, OK)
    assert outcome(ask(retrying)) == (THREE, None)
    assert sleeps == [seconds]


def test_retry_after_a_date(server, retrying, sleeps):
    from email.utils import formatdate

    server.queue(Answer.failure(503, retry_after=formatdate(time.time() + 20, usegmt=True)), OK)
    assert outcome(ask(retrying)) == (THREE, None)
    assert 15 < sleeps[0] <= 20


def test_the_back_off_wins_when_longer(server, sleeps, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    endpoint = dataclasses.replace(server.endpoint, retry=Retry(initial_delay=30, max_delay=60))
    server.queue(Answer.failure(503, retry_after="7"), Answer.failure(503, retry_after="7"), OK)
    assert outcome(ask(endpoint)) == (THREE, None)
    assert sleeps == [30, 60]


def test_a_wait_past_max_delay_is_the_callers_affair(server, retrying, sleeps):
    for answer in (
        Answer.failure(429, retry_after="61"),
        Answer.failure(429, retry_info="3600s"),
        Answer(chunks=[], stream_error=(429,), headers={"Retry-After": "100"}),
    ):
        server.queue(answer)
        before = server.request_count
        texts, raised = outcome(ask(retrying))
        assert type(raised) is RateLimitError and raised.retry_after > 60
        assert server.request_count == before + 1 and sleeps == []


def test_full_jitter(server, retrying, sleeps, monkeypatch):
    asked = []

    def uniform(low, high):
        asked.append((low, high))
        return high / 2

    monkeypatch.setattr(random, "uniform", uniform)
    endpoint = dataclasses.replace(
        retrying, retry=Retry(attempts=6, initial_delay=2, max_delay=20, multiplier=3)
    )
    server.answer_with(lambda request: Answer.failure(503))
    outcome(ask(endpoint))
    assert asked == [(0, 2), (0, 6), (0, 18), (0, 20), (0, 20)]
    assert sleeps == [1, 3, 9, 10, 10]


def test_jitter_differs_and_stays_in_bounds(sleeps):
    random.seed(7)
    for _ in range(200):
        attempts = Attempts(Call(Endpoint(auth=(), retry=Retry(attempts=4, initial_delay=1, max_delay=3))))
        while attempts.again(TransportErrorThatPasses("x")):
            pass
    for nth, longest in enumerate((1, 2, 3)):
        nth_sleeps = sleeps[nth::3]
        assert 0 <= min(nth_sleeps) < longest * 0.1 and longest * 0.9 < max(nth_sleeps) <= longest
        assert len(set(nth_sleeps)) == 200


class TransportErrorThatPasses(TransportError):
    retryable = True


def test_very_many_attempts_do_not_overflow(sleeps):
    attempts = Attempts(
        Call(Endpoint(auth=(), retry=Retry(attempts=3000, initial_delay=0.001, max_delay=5, multiplier=10)))
    )
    while attempts.again(TransportErrorThatPasses("x")):
        pass
    assert len(sleeps) == 2999 and max(sleeps) <= 5


def test_each_retry_is_logged(server, retrying, sleeps, caplog):
    caplog.set_level(logging.DEBUG, logger="geministream")
    server.queue(Answer.failure(503), Answer.nothing("drop"), Answer(chunks=[], stream_error=(429,)), OK)
    outcome(ask(retrying, "a prompt that is nobody's affair"))
    records = [record for record in caplog.records if record.name == "geministream"]
    assert [record.levelname for record in records] == ["INFO" if wait > 1 else "DEBUG" for wait in sleeps]
    texts = [record.getMessage() for record in records]
    assert re.fullmatch(r"503 UNAVAILABLE: .*; retrying in \d\.\d s \(2 of 4\)", texts[0])
    assert texts[1].startswith("no answer from 127.0.0.1")
    assert "nobody" not in "".join(texts) and KEY not in "".join(texts)


def test_a_retry_sends_the_same_again(server, retrying, sleeps):
    image = part_from_bytes(os.urandom(200_000), "image/png")
    server.queue(Answer.failure(503), Answer(chunks=[], stream_error=(503,)), OK)
    outcome(ask(retrying, [image, "Hello"]))
    assert len({(each.sha256, each.size, each.target) for each in server.requests}) == 1
    assert server.requests[0].size > 200_000


# A token that goes stale ----------------------------------------------------------


def test_a_callable_is_asked_again_after_a_401_once(server, sleeps):
    with LocalServer(profile="vertex", api_key="good") as vertex:
        tokens = iter(["stale", "good"])
        endpoint = Endpoint.vertex("p", "global", lambda: next(tokens), base_url=vertex.url, retry=Retry())
        assert len(list(ask(endpoint))) > 0
        assert [each.headers["authorization"] for each in vertex.requests] == ["Bearer stale", "Bearer good"]

        asked = []

        def always_stale():
            asked.append(1)
            return "stale"

        endpoint = dataclasses.replace(endpoint, auth=always_stale)
        texts, raised = outcome(ask(endpoint))
        assert type(raised) is AuthenticationError and len(asked) == 2
        assert sleeps == []


def test_a_callable_is_asked_once_for_a_call(server, sleeps):
    with LocalServer(profile="vertex", api_key="good") as vertex:
        asked = []

        def token():
            asked.append(1)
            return "good"

        vertex.queue(Answer.failure(503), Answer.failure(503), OK)
        endpoint = Endpoint.vertex("p", "global", token, base_url=vertex.url, retry=Retry())
        assert outcome(ask(endpoint)) == (THREE, None)
        assert len(asked) == 1
        list(ask(endpoint))
        assert len(asked) == 2
