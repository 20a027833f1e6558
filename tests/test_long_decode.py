"""One answer over many requests: every piece once and in order, or an exception that says so."""

import threading
import time

import pytest
from support.dialects import sse
from support.hops import MODEL, WORDS, candidate, read, text_chunk, tokens_asked, usage
from support.raw_server import RawServer, answering, chunk as http_chunk, head

from geministream import (
    BlockedError,
    Cancel,
    Chat,
    Endpoint,
    GeministreamError,
    IncompleteStreamError,
    Retry,
    StreamCancelled,
    StreamTimeoutError,
    collect,
    stream_generate,
)
from geministream.testing import Answer, LocalServer


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_an_answer_over_many_requests_is_one_stream(alt):
    with LocalServer(reply=lambda request: WORDS, tokens_per_request=30) as server:
        chunks = list(stream_generate(MODEL, "Go on", endpoint=server.endpoint, alt=alt))
        assert "".join(chunk.text for chunk in chunks) == WORDS
        assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["STOP"]
        assert len(server.requests) == 7
        first, *others = [request.json for request in server.requests]
        tokens = [request.pop("continuationToken") for request in others]
        assert len(set(tokens)) == 6
        assert all(request == first for request in others)  # the same request, the token apart
        assert server.connections == 1


def test_a_hop_without_any_text_is_normal():
    with LocalServer(reply=lambda request: WORDS, tokens_per_request=90, thinking_hops={0, 2}) as server:
        assert read(server) == (WORDS, None)
        assert len(server.requests) == 5


def test_without_continue_automatically_the_reason_and_the_token_are_the_callers():
    with LocalServer(reply=lambda request: WORDS, tokens_per_request=150) as server:
        chunks = list(stream_generate(MODEL, "Go on", endpoint=server.endpoint, continue_automatically=False))
        assert chunks[-1].finish_reason == "CONTINUATION"
        token = chunks[-1].candidates[0].continuation_token
        assert token and len(server.requests) == 1
        rest, error = read(server, continuation_token=token)
        assert "".join(chunk.text for chunk in chunks) + rest == WORDS and error is None
        assert tokens_asked(server) == [None, token]


@pytest.mark.parametrize("automatically", [True, False])
def test_a_continuation_without_a_token_is_cut_off(automatically):
    """The same request again would give the same answer again, and cost as much."""
    with LocalServer() as server:
        server.queue(
            Answer(chunks=[text_chunk("one ", finishReason="CONTINUATION", continuationToken="t1")]),
            Answer(chunks=[text_chunk("two ", finishReason="CONTINUATION")]),
        )
        got = []
        stream = stream_generate(
            MODEL, "Go on", endpoint=server.endpoint, continue_automatically=automatically
        )
        if automatically:
            with pytest.raises(IncompleteStreamError, match="no token") as caught:
                got.extend(stream)
            assert not caught.value.retryable and [chunk.text for chunk in got] == ["one ", "two "]
        else:
            got.extend(stream)  # the caller sees how it ended
            assert [chunk.finish_reason for chunk in got] == ["CONTINUATION"]
        assert len(server.requests) == len(got)


@pytest.mark.parametrize("behind", [[], [{"usageMetadata": {"totalTokenCount": 5}}]], ids=["next", "usage"])
def test_the_token_of_a_continuation_may_come_before_it(behind):
    with LocalServer() as server:
        server.queue(
            Answer(
                chunks=[
                    text_chunk("a ", continuationToken="t1"),
                    *behind,
                    text_chunk("", finishReason="CONTINUATION"),
                ]
            ),
            Answer(chunks=[text_chunk("b", finishReason="STOP")]),
        )
        assert read(server) == ("a b", None)
        assert tokens_asked(server) == [None, "t1"]


@pytest.mark.parametrize("repeats", [False, True])
def test_content_behind_the_token_of_a_continuation_is_not_said_twice(repeats):
    """As after a break: what came after a checkpoint is generated again, in other words."""
    with LocalServer() as server:
        server.queue(
            Answer(
                chunks=[
                    text_chunk("a ", continuationToken="t1"),
                    text_chunk("b ", finishReason="CONTINUATION"),
                ]
            ),
            Answer(chunks=[text_chunk("c", finishReason="STOP")]),
        )
        text, error = read(server, resume_with_repeats=repeats)
        if repeats:
            assert (text, error) == ("a b c", None)
        else:
            assert text == "a b " and "would repeat" in str(error)
            assert error.continuation_token == "t1" and not error.retryable and len(server.requests) == 1


def test_a_continuation_with_the_token_that_was_sent_goes_nowhere():
    with LocalServer() as server:
        server.queue(Answer(chunks=[text_chunk("a ", finishReason="CONTINUATION", continuationToken="t0")]))
        text, error = read(server, continuation_token="t0")
        assert text == "a " and "repeats a token" in str(error) and len(server.requests) == 1


@pytest.mark.parametrize("order", ["first", "last", "one chunk"])
def test_of_several_candidates_none_is_continued_and_none_forgotten(order):
    """A token belongs to one of them: continuing would repeat the others, or drop them."""
    cut = candidate(1, "cut off", finishReason="CONTINUATION", continuationToken="t1")
    done = candidate(0, "done", finishReason="STOP")
    chunks = {
        "first": [cut, done],
        "last": [done, cut],
        "one chunk": [{"candidates": [*cut["candidates"], *done["candidates"]]}],
    }[order]
    with LocalServer() as server:
        server.queue(Answer(chunks=chunks))
        with pytest.raises(IncompleteStreamError, match="single candidate") as caught:
            collect(stream_generate(MODEL, "Go on", endpoint=server.endpoint))
        assert caught.value.continuation_token == "t1" and not caught.value.retryable
        partial = caught.value.partial
        assert [(c.index, c.content.parts[0].text) for c in partial.candidates] == [
            (0, "done"),
            (1, "cut off"),
        ]
        assert len(server.requests) == 1


def test_several_candidates_are_not_resumed():
    body = sse(candidate(0, "a", continuationToken="t1"), candidate(1, "b", continuationToken="t2"))
    with RawServer(answering(head(content_length=len(body) + 5) + body)) as raw:
        with pytest.raises(IncompleteStreamError) as caught:
            list(
                stream_generate(
                    MODEL, "Go on", endpoint=Endpoint(raw.url, auth=(), retry=Retry(initial_delay=0))
                )
            )
        assert raw.connections == 1 and caught.value.continuation_token == "t2"


def test_one_candidate_of_several_that_never_ended():
    with LocalServer() as server:
        server.queue(Answer(chunks=[candidate(0, "a"), candidate(1, "b", finishReason="STOP")]))
        with pytest.raises(IncompleteStreamError, match="without a finish reason"):
            list(stream_generate(MODEL, "Go on", endpoint=server.endpoint))


ENDINGS = {
    "STOP": [candidate(0, "b", finishReason="STOP")],
    "MAX_TOKENS": [candidate(0, "b", finishReason="MAX_TOKENS", continuationToken="t2")],
    "two candidates": [candidate(0, "b", finishReason="STOP"), candidate(1, "c", finishReason="STOP")],
    "usage behind it": [candidate(0, "b", finishReason="STOP"), {"usageMetadata": {"totalTokenCount": 5}}],
    "block": [candidate(0, "b"), {"promptFeedback": {"blockReason": "SAFETY"}}],
}


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("how", ["close", "reset", "length"])
@pytest.mark.parametrize("name", ENDINGS)
def test_when_every_candidate_has_ended_nothing_is_asked_again(name, how, repeats):
    """However the connection ends then: another request would be paid, and add text behind the end."""
    first = candidate(0, "a", continuationToken="t1")
    body = sse(first, *ENDINGS[name])
    sent = head(content_length=len(body) + (5 if how == "length" else 0)) + body
    if how == "close":
        sent = head(transfer_encoding="chunked") + http_chunk(body)  # and no last one
    asked = []

    def script(connection):
        connection.read_request()
        asked.append(connection.body)
        connection.send(sent if len(asked) == 1 else head() + sse(candidate(0, "again", finishReason="STOP")))
        if how == "reset":
            connection.reset()

    with RawServer(script) as raw:
        texts = []
        stream = stream_generate(
            MODEL,
            "Go on",
            resume_with_repeats=repeats,
            endpoint=Endpoint(raw.url, auth=(), retry=Retry(initial_delay=0)),
        )
        try:
            for each in stream:
                texts += [c.content.parts[0].text for c in each.candidates or ()]
        except IncompleteStreamError as error:
            assert not error.retryable
        else:
            assert how == "reset"  # the end of the connection is the body's where it has no length
    assert len(asked) == 1 and "".join(texts) in ("ab", "abc")


def test_a_block_after_content_is_a_blocked_answer():
    with LocalServer() as server:
        server.queue(
            Answer(chunks=[text_chunk("half an "), {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}])
        )
        answer = collect(stream_generate(MODEL, "Go on", endpoint=server.endpoint))
        with pytest.raises(BlockedError, match="PROHIBITED_CONTENT"):
            answer.raise_for_block()
        assert answer.text == "half an " and len(server.requests) == 1
        server.queue(
            Answer(chunks=[text_chunk("half an "), {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}])
        )
        chat = Chat(MODEL, endpoint=server.endpoint)
        list(chat.send("Go on"))
        assert chat.history == []


@pytest.mark.parametrize(
    "error", [IncompleteStreamError("mine"), StreamTimeoutError("mine"), GeministreamError("mine")]
)
def test_an_error_thrown_in_is_the_callers(error):
    with LocalServer() as server:
        server.queue(
            Answer(chunks=[text_chunk("a ", continuationToken="t1"), text_chunk("b", finishReason="STOP")])
        )
        stream = stream_generate(MODEL, "Go on", endpoint=server.endpoint)
        next(stream)
        with pytest.raises(type(error)) as caught:
            stream.throw(error)
        assert caught.value is error and len(server.requests) == 1
        server.wait_for_connections(0)


def test_max_tokens_ends_the_stream_with_its_token_on_the_last_chunk():
    with LocalServer() as server:
        server.queue(Answer(chunks=[text_chunk("half", finishReason="MAX_TOKENS", continuationToken="t1")]))
        chunks = list(stream_generate(MODEL, "Go on", endpoint=server.endpoint))
        assert chunks[-1].finish_reason == "MAX_TOKENS"
        assert chunks[-1].candidates[0].continuation_token == "t1"
        assert len(server.requests) == 1


def test_what_comes_after_the_continuation_still_belongs_to_the_hop():
    with LocalServer() as server:
        server.queue(
            Answer(
                chunks=[
                    text_chunk("one ", finishReason="CONTINUATION", continuationToken="t1"),
                    {"usageMetadata": usage(5, 10)},
                ]
            ),
            Answer(chunks=[text_chunk("two", finishReason="STOP"), {"usageMetadata": usage(15, 7)}]),
        )
        answer = collect(stream_generate(MODEL, "Go on", endpoint=server.endpoint))
        assert answer.text == "one two"
        assert answer.finish_reason == "STOP"
        assert [u.prompt_token_count for u in answer.usage_by_request] == [5, 15]
        assert answer.usage_metadata.prompt_token_count == 20
        assert answer.usage_metadata.candidates_token_count == 17
        assert answer.usage_metadata.total_token_count == 37


def test_usage_of_the_chunks_stays_what_the_server_said():
    with LocalServer(reply=lambda request: WORDS, tokens_per_request=100) as server:
        chunks = list(stream_generate(MODEL, "Go on", endpoint=server.endpoint))
        sent = [c for c in (chunk.usage_metadata for chunk in chunks) if c is not None]
        whole = collect(iter(chunks))
        assert len(whole.usage_by_request) == 2
        assert whole.usage_by_request[-1] == sent[-1]
        assert whole.usage_metadata.total_token_count == sum(
            u.total_token_count for u in whole.usage_by_request
        )
        assert whole.usage_metadata.total_token_count > sent[-1].total_token_count


# For ever ------------------------------------------------------------------------


def test_a_server_that_repeats_a_token_ends_in_an_error():
    def answer(request):
        return Answer(chunks=[text_chunk("again ", finishReason="CONTINUATION", continuationToken="same")])

    with LocalServer() as server:
        server.answer_with(answer)
        text, error = read(server)
        assert text == "again again " and type(error) is IncompleteStreamError
        assert error.continuation_token == "same"


def test_tokens_that_go_round_in_a_circle_end_in_an_error():
    def answer(request):
        following = {"a": "b", "b": "c"}.get(request.json.get("continuationToken"), "a")
        return Answer(chunks=[text_chunk("x", finishReason="CONTINUATION", continuationToken=following)])

    with LocalServer() as server:
        server.answer_with(answer)
        text, error = read(server)
        assert text == "xxxx" and type(error) is IncompleteStreamError


def test_a_server_that_continues_forever_without_content_ends_in_an_error():
    def answer(request):
        return Answer(
            chunks=[text_chunk("", finishReason="CONTINUATION", continuationToken=f"t{request.number}")]
        )

    with LocalServer() as server:
        server.answer_with(answer)
        text, error = read(server)
        assert text == "" and type(error) is IncompleteStreamError
        assert len(server.requests) == 16


def test_a_server_that_gives_new_checkpoints_but_never_content_ends_in_an_error():
    def answer(request):
        return Answer(chunks=[text_chunk("", continuationToken=f"t{request.number}")], finish=None)

    with LocalServer() as server:
        server.answer_with(answer)
        text, error = read(server)
        assert text == "" and type(error) is IncompleteStreamError
        assert len(server.requests) == server.endpoint.retry.attempts


def test_the_deadline_holds_over_all_hops():
    def answer(request):
        return Answer(
            chunks=[text_chunk("x", finishReason="CONTINUATION", continuationToken=f"t{request.number}")],
            delay=0.05,
        )

    with LocalServer() as server:
        server.answer_with(answer)
        began = time.monotonic()
        text, error = read(server, deadline=1)
        assert 0.9 < time.monotonic() - began < 5
        assert len(text) >= 2 and type(error) is StreamTimeoutError and error.continuation_token


def test_a_cancel_holds_over_all_hops():
    cancel = Cancel()
    reached = threading.Event()

    def answer(request):
        if request.number >= 5:
            reached.set()
            return Answer.nothing("stall")
        return Answer(
            chunks=[text_chunk("x", finishReason="CONTINUATION", continuationToken=f"t{request.number}")]
        )

    with LocalServer() as server:
        server.answer_with(answer)
        canceller = threading.Thread(target=lambda: reached.wait(10) and cancel.cancel())
        canceller.start()
        with pytest.raises(StreamCancelled):
            list(stream_generate(MODEL, "Go on", endpoint=server.endpoint, cancel=cancel))
        canceller.join()


def test_odd_values_beside_a_continuation_do_not_crash():
    """A candidate that is not an object is passed on, and a token that is not a string is ignored."""
    with LocalServer() as server:
        odd = text_chunk("one ", finishReason="CONTINUATION", continuationToken="t1")
        odd["candidates"].append("x")
        server.queue(Answer(chunks=[odd]), Answer(chunks=[text_chunk("two", finishReason="STOP")]))
        assert read(server) == ("one two", None)
        server.queue(Answer(chunks=[text_chunk("one ", finishReason="CONTINUATION", continuationToken=7)]))
        text, error = read(server)
        assert text == "one " and "no token" in str(error)
        assert tokens_asked(server) == [None, "t1", None]
