"""A cancel at any moment of a call."""

import contextlib
import dataclasses
import threading
import time

import pytest
import requests
from support.calls import KEY, LARGE, QUICK, Running, ask, full_port, outcome, within
from support.dialects import A, B, C, sse
from support.raw_server import RawServer

from geministream import Cancel, Endpoint, Retry, StreamCancelled, StreamTimeoutError
from geministream.testing import Answer, LocalServer


def while_sleeping(stack, tls, session):
    server = stack.enter_context(LocalServer(tls=tls))
    server.answer_with(lambda request: Answer.failure(503, retry_after="30"))
    running = Running(dataclasses.replace(server.endpoint, session=session, retry=Retry(max_delay=60)))
    server.wait_for_request(1).finished.wait(5)
    return running


def while_sending(stack, tls, session):
    reading = threading.Event()

    def script(connection):
        connection.sock.recv(100)
        reading.set()
        connection.pause(60)

    server = stack.enter_context(RawServer(script, tls=tls, receive_buffer=4096))
    running = Running(Endpoint(server.url, auth=(), session=session), [LARGE])
    assert reading.wait(10)
    return running


def while_waiting_for_the_head(stack, tls, session):
    server = stack.enter_context(LocalServer(tls=tls))
    server.queue(Answer(wait=threading.Event()))
    running = Running(dataclasses.replace(server.endpoint, session=session))
    server.wait_for_request(1)
    return running


def while_waiting_for_the_rest_of_the_head(stack, tls, session):
    server = stack.enter_context(LocalServer(tls=tls))
    server.queue(Answer(stop_in_head=30, stop_how="stall"))
    running = Running(dataclasses.replace(server.endpoint, session=session))
    server.wait_for_request(1)
    return running


def while_reading(transfer, zipped=False):
    def start(stack, tls, session):
        server = stack.enter_context(LocalServer(tls=tls))
        server.queue(Answer(chunks=[A, threading.Event(), C], transfer=transfer, gzip=zipped))
        running = Running(dataclasses.replace(server.endpoint, session=session))
        assert running.has_text.wait(10)
        return running

    return start


def while_reading_an_error(stack, tls, session):
    server = stack.enter_context(LocalServer(tls=tls))
    server.queue(Answer(body=[b"x" * 100], status=503, stop_after=50, stop_how="stall", gzip=False))
    running = Running(dataclasses.replace(server.endpoint, session=session))
    server.wait_until(lambda: server.requests and server.requests[0].bytes_sent)
    return running


def while_chunks_keep_coming(stack, tls, session):
    server = stack.enter_context(LocalServer(tls=tls))

    def chunks():
        while True:
            yield A
            yield 0.001

    server.queue(Answer(chunks=chunks()))
    running = Running(dataclasses.replace(server.endpoint, session=session))
    assert running.has_text.wait(10)
    return running


MOMENTS = {
    "sleeping between attempts": while_sleeping,
    "sending": while_sending,
    "waiting for the head": while_waiting_for_the_head,
    "waiting for the rest of the head": while_waiting_for_the_rest_of_the_head,
    "reading, chunked": while_reading("chunked"),
    "reading, with a length": while_reading("length"),
    "reading, to the end of the connection": while_reading("close"),
    "reading, gzip": while_reading("chunked", True),
    "reading the body of an error": while_reading_an_error,
    "chunks keep coming": while_chunks_keep_coming,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("own", [False, True], ids=["library's session", "own session"])
def test_cancel(moment, encrypted, own, trusted_tls, figures):
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(requests.Session()) if own else None
        running = MOMENTS[moment](stack, trusted_tls if encrypted else None, session)
        took = running.cancelled_in()
        name = f"slowest cancel in ms, {moment}"
        figures[name] = max(figures.get(name, 0), round(took * 1000, 1))
        assert took < QUICK
        assert running.cancel._callbacks == set()


def test_cancel_while_connecting_ends_with_the_attempt():
    with full_port() as port:
        running = Running(
            Endpoint(f"http://127.0.0.1:{port}", auth=(), timeout=(0.25, 30), retry=Retry(attempts=50))
        )
        assert running.cancelled_in() < 1.5


def test_cancelled_already(server, retrying):
    cancel = Cancel()
    cancel.cancel()
    cancel.cancel()
    assert cancel.cancelled
    with pytest.raises(StreamCancelled):
        next(ask(retrying, cancel=cancel))
    assert server.connections == 0


def test_cancelled_between_two_chunks(server, retrying):
    """By the thread that reads; the chunks that are here already are not delivered any more."""
    server.queue(Answer(body=sse(A, B, C)))
    cancel = Cancel()
    stream = ask(retrying, cancel=cancel)
    next(stream)
    cancel.cancel()
    with pytest.raises(StreamCancelled):
        next(stream)
    server.wait_for_connections(0)


def test_one_cancel_for_several_calls(server):
    server.answer_with(lambda request: Answer(chunks=[A, threading.Event()]))
    cancel = Cancel()
    calls = [Running(server.endpoint, cancel=cancel) for _ in range(8)]
    others = [Running(server.endpoint) for _ in range(2)]
    for call in calls + others:
        assert call.has_text.wait(10)
    began = time.monotonic()
    cancel.cancel()
    for call in calls:
        call.join()
        assert type(call.error) is StreamCancelled and call.ended - began < QUICK
    assert all(other.error is None for other in others)
    for other in others:
        other.cancelled_in()
    server.wait_for_connections(0)


def test_a_cancel_is_not_spent_by_a_call_that_ended(server, retrying):
    cancel = Cancel()
    for _ in range(3):
        assert len(list(ask(retrying, cancel=cancel))) > 0
    assert cancel._callbacks == set() and not cancel.cancelled
    cancel.cancel()
    with pytest.raises(StreamCancelled):
        list(ask(retrying, cancel=cancel))


def test_a_cancel_harms_no_other_call_of_the_session(server, endpoint):
    """The connection of a call that is read to its end may serve another before the first is closed."""
    with requests.Session() as session:
        endpoint = dataclasses.replace(endpoint, session=session)
        server.queue(Answer(body=sse(A, C)[:-4]), Answer(chunks=[A, threading.Event(), C]))
        cancel = Cancel()
        first = ask(endpoint, cancel=cancel)
        next(first)
        assert next(first).text == "three"  # the last: it became complete with the end of the body
        second = Running(endpoint)
        assert second.has_text.wait(10)
        assert server.connections == 1
        cancel.cancel()
        server.requests[1].answer.chunks[1].set()
        second.join()
        assert (second.texts, second.error) == (["one, ", "three"], None)


def test_cancel_reaches_a_connection_that_the_session_had_already(server, endpoint):
    with requests.Session() as session:
        session.get(server.url + "/v1beta/models", headers={"x-goog-api-key": KEY}).json()
        server.queue(Answer(chunks=[A, threading.Event()]))
        running = Running(dataclasses.replace(endpoint, session=session))
        assert running.has_text.wait(10)
        assert server.connections == 1
        assert running.cancelled_in() < QUICK


def test_the_deadline_reaches_a_connection_that_the_session_had_already(server, endpoint):
    with requests.Session() as session:
        session.get(server.url + "/v1beta/models", headers={"x-goog-api-key": KEY}).json()
        server.queue(Answer(body=sse(*[A] * 100), piece_bytes=1, piece_delay=0.01))
        with within(0.2, 8):
            texts, raised = outcome(
                ask(dataclasses.replace(endpoint, session=session, timeout=20), deadline=0.3)
            )
        assert server.connections == 1 and type(raised) is StreamTimeoutError


def test_waiting_for_a_cancel_takes_no_cpu_and_no_thread(server):
    threads = threading.active_count()
    server.queue(Answer(chunks=[A, threading.Event()]))
    running = Running(server.endpoint)
    assert running.has_text.wait(10)
    names = sorted(each.name for each in threading.enumerate() if "LocalServer" not in each.name)
    assert len(names) <= threads + 1, names
    running.cancelled_in()
