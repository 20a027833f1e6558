"""Streams that break are resumed at their last checkpoint, wherever they break."""

import dataclasses
import json
import os
import random

import pytest
from support.hops import BREAKS, MODEL, read, text_chunk, tokens_asked
from support.long_form import LONG, sample
from support.memory import TracedMemory

import geministream
from geministream import (
    BadRequestError,
    IncompleteStreamError,
    Retry,
    ServerError,
    StreamTimeoutError,
    collect,
    stream_generate,
)
from geministream.testing import Answer, LocalServer

pytestmark = pytest.mark.early


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_broke_at_a_checkpoint_resumes_there(how):
    start = b"".join(_sse(text_chunk(*c, **t)) for c, t in [(("one ",), {"continuationToken": "t1"})])
    with LocalServer() as server:
        server.queue(
            Answer(
                body=start + b"data: {", content_type="text/event-stream", stop_after=len(start), stop_how=how
            ),
            Answer(chunks=[text_chunk("two", finishReason="STOP")]),
        )
        assert read(server) == ("one two", None)
        assert tokens_asked(server) == [None, "t1"]


def _sse(value):
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("how", BREAKS)
def test_content_after_the_checkpoint_is_never_asked_for_again(how):
    start = _sse(text_chunk("one ", continuationToken="t1")) + _sse(text_chunk("two "))
    broken = Answer(body=start + b"x", content_type="text/event-stream", stop_after=len(start), stop_how=how)
    with LocalServer() as server:
        server.queue(broken)
        text, error = read(server)
        assert text == "one two "
        assert type(error) is IncompleteStreamError and error.continuation_token == "t1"
        assert len(server.requests) == 1

        server.queue(
            dataclasses.replace(broken), Answer(chunks=[text_chunk("two again, three", finishReason="STOP")])
        )
        assert read(server, resume_with_repeats=True) == ("one two two again, three", None)
        assert tokens_asked(server)[1:] == [None, "t1"]


def test_an_error_inside_the_stream_is_resumed_if_it_is_retryable():
    with LocalServer() as server:
        server.queue(
            Answer(
                chunks=[text_chunk("one ", continuationToken="t1")], stream_error=(503, "UNAVAILABLE", "busy")
            ),
            Answer(chunks=[text_chunk("two", finishReason="STOP")]),
        )
        assert read(server) == ("one two", None)
        server.queue(
            Answer(
                chunks=[text_chunk("one ", continuationToken="t1")],
                stream_error=(400, "INVALID_ARGUMENT", "no"),
            )
        )
        text, error = read(server)
        assert text == "one " and type(error) is BadRequestError


def test_an_error_after_the_checkpoint_names_the_token():
    with LocalServer() as server:
        server.queue(
            Answer(
                chunks=[text_chunk("one ", continuationToken="t1"), text_chunk("two ")],
                stream_error=(503, "UNAVAILABLE", "busy"),
            )
        )
        text, error = read(server)
        assert text == "one two " and type(error) is IncompleteStreamError
        assert error.continuation_token == "t1" and type(error.__cause__) is ServerError


def test_silence_after_a_checkpoint_is_resumed_and_other_silence_is_not():
    with LocalServer() as server:
        endpoint = dataclasses.replace(server.endpoint, timeout=(5, 0.6))
        first = _sse(text_chunk("one ", continuationToken="t1"))
        server.queue(
            Answer(
                body=first + b"x", content_type="text/event-stream", stop_after=len(first), stop_how="stall"
            ),
            Answer(chunks=[text_chunk("two", finishReason="STOP")]),
        )
        assert collect(stream_generate(MODEL, "Go on", endpoint=endpoint)).text == "one two"
        first = _sse(text_chunk("one "))
        server.queue(
            Answer(
                body=first + b"x", content_type="text/event-stream", stop_after=len(first), stop_how="stall"
            )
        )
        with pytest.raises(StreamTimeoutError):
            collect(stream_generate(MODEL, "Go on", endpoint=endpoint))
        assert len(server.requests) == 3


def test_a_hop_that_broke_before_content_is_asked_again_with_its_token():
    with LocalServer() as server:
        server.queue(
            Answer(chunks=[text_chunk("one ", finishReason="CONTINUATION", continuationToken="t1")]),
            Answer.nothing("reset"),
            Answer.failure(503, "busy"),
            Answer(chunks=[text_chunk("two", finishReason="STOP")]),
        )
        assert read(server) == ("one two", None)
        assert tokens_asked(server) == [None, "t1", "t1", "t1"]


def test_resumes_without_progress_are_bounded_by_the_retry_and_progress_resets_it():
    with LocalServer() as server:
        first = Answer(chunks=[text_chunk("one ", finishReason="CONTINUATION", continuationToken="t1")])
        server.queue(first, *[Answer.nothing("drop")] * 9)
        text, error = read(server)
        assert text == "one " and type(error) is IncompleteStreamError and error.continuation_token == "t1"
        assert tokens_asked(server) == [None] + ["t1"] * server.endpoint.retry.attempts

    with LocalServer() as server:
        broken = [Answer.nothing("drop")] * 2
        for number in range(5):
            server.queue(
                *broken,
                Answer(
                    chunks=[
                        text_chunk(f"{number} ", finishReason="CONTINUATION", continuationToken=f"t{number}")
                    ]
                ),
            )
        server.queue(*broken, Answer(chunks=[text_chunk("end", finishReason="STOP")]))
        assert read(server) == ("0 1 2 3 4 end", None)
        assert len(server.requests) == 18


def test_without_a_retry_nothing_is_resumed():
    with LocalServer() as server:
        endpoint = dataclasses.replace(server.endpoint, retry=None)
        server.queue(Answer(chunks=[text_chunk("one ", continuationToken="t1")], finish=None))
        with pytest.raises(IncompleteStreamError) as caught:
            collect(stream_generate(MODEL, "Go on", endpoint=endpoint))
        assert caught.value.continuation_token == "t1" and caught.value.partial.text == "one "
        assert len(server.requests) == 1


# Anything at any time ---------------------------------------------------------------


def broken_answer(seed, alt):
    """Stream an answer of 40 hops, each broken at a random byte; what came, what was due, the error."""
    chance = random.Random(seed)
    words = " ".join(f"w{number}" for number in range(40 * 3))
    checkpoints = random.Random(seed + 1)
    clean = set()  # hops that were broken once already

    def fault(request):
        token = request.json.get("continuationToken")
        if token in clean or chance.random() < 0.1:
            return None
        clean.add(token)
        return Answer(stop_after=chance.randrange(1, 1500), stop_how=chance.choice(BREAKS))

    often = chance.choice([0.3, 0.95, 1.0, 1.0])
    with LocalServer(
        reply=lambda request: words,
        tokens_per_request=3,
        words_per_chunk=1,
        reword=True,
        faults=fault,
        checkpoint_every=lambda k: checkpoints.random() < often,
    ) as server:
        endpoint = dataclasses.replace(server.endpoint, retry=Retry(attempts=6, initial_delay=0.0))
        text, error = [], None
        try:
            for chunk in stream_generate(MODEL, "Tell it all", endpoint=endpoint, alt=alt):
                text.append(chunk.text)
        except IncompleteStreamError as incomplete:
            error = incomplete
        return "".join(text), server.whole_text(server.requests[-1]), error, len(server.requests)


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_forty_hops_each_broken_at_a_random_byte(alt):
    seeds = sample(range(200), 20, first=0 if alt == "sse" else 10)
    whole = requests = 0
    for seed in seeds:
        text, due, error, sent = broken_answer(seed, alt)
        requests += sent
        if error is None:
            assert text == due, seed
            whole += 1
        else:
            assert due.startswith(text), (seed, text, due)
    print(f"{alt}: {len(seeds)} seeds, {whole} answers whole, {requests} requests")
    assert len(seeds) / 10 < whole < len(seeds) * 9 / 10  # both outcomes were seen


def test_memory_stays_flat_over_the_hops():
    filler = "x" * 2000
    hops = 400 if LONG else 150

    def answer(request):
        last = request.number >= hops - 1
        reason = (
            {"finishReason": "STOP"}
            if last
            else {"finishReason": "CONTINUATION", "continuationToken": f"{request.number}" * 100}
        )
        return Answer(chunks=[text_chunk(filler), text_chunk(filler, **reason)])

    package = os.path.dirname(geministream.__file__)
    ours = os.path.join(package, "*.py"), os.path.join(package, "testing", "*.py")
    with LocalServer(keep_requests=1) as server:
        server.answer_with(answer)
        stream = stream_generate(MODEL, "Go on", endpoint=server.endpoint)
        with TracedMemory() as memory:
            for _ in range(100):
                next(stream)
            early = memory.allocated_in(*ours)
            count = sum(1 for _ in stream)
            late = memory.allocated_in(*ours)
    print(f"{early} bytes after 50 hops, {late} after {hops}")
    assert count == 2 * hops - 100 and late - early < 100_000
