"""Silence and the deadline: nothing outlasts them, wherever the server stalls."""

import dataclasses
import select
import socket
import threading
import time

import pytest
from support.calls import LARGE, OK, ask, never_reads, outcome, within
from support.dialects import THREE, A, B, C, chunk, sse
from support.raw_server import RawServer, head

from geministream import Endpoint, Retry, ServerError, StreamTimeoutError
from geministream.testing import Answer, LocalServer

pytestmark = pytest.mark.early


def test_silence_before_the_answer_is_not_retried(server, retrying, sleeps):
    server.queue(Answer(wait=threading.Event()), OK)
    with within(0.5, 5):
        texts, raised = outcome(ask(dataclasses.replace(retrying, timeout=(5, 0.6))))
    assert type(raised) is StreamTimeoutError and "0.6 s" in str(raised) and "timeout=" in str(raised)
    assert server.request_count == 1 and sleeps == []
    assert server.requests[0].client_gone.wait(5)


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("deadline", [None, 30])
def test_silence_in_the_answer(server, retrying, sleeps, transfer, deadline):
    server.queue(Answer(chunks=[A, B, threading.Event(), C], transfer=transfer), OK)
    with within(0.5, 5):
        texts, raised = outcome(ask(dataclasses.replace(retrying, timeout=(5, 0.6)), deadline=deadline))
    assert texts == THREE[:2] and type(raised) is StreamTimeoutError
    assert server.request_count == 1 and sleeps == []
    assert server.requests[0].client_gone.wait(5)


def test_silence_before_the_first_chunk_is_not_retried(server, retrying, sleeps):
    server.queue(Answer(chunks=[b": ping\n\n", threading.Event()]), OK)
    texts, raised = outcome(ask(dataclasses.replace(retrying, timeout=(5, 0.6))))
    assert type(raised) is StreamTimeoutError and server.request_count == 1 and sleeps == []


def test_thinking_is_not_silence_as_long_as_it_stays_below_the_timeout(server, endpoint):
    server.queue(Answer(chunks=[A, 0.1, B, 0.1, C], delay=0.1))
    assert outcome(ask(dataclasses.replace(endpoint, timeout=(5, 2)))) == (THREE, None)


@pytest.mark.parametrize("timeout", [(5, 30), (5, None), None, (None, None)])
def test_a_trickled_body_does_not_outlast_the_deadline(server, endpoint, timeout):
    server.queue(
        Answer(body=sse(*[chunk("x" * 200)] * 50), piece_bytes=1, piece_delay=0.01, transfer="length")
    )
    with within(0.08, 8):
        texts, raised = outcome(ask(dataclasses.replace(endpoint, timeout=timeout), deadline=0.1))
    assert type(raised) is StreamTimeoutError and "deadline of 0.1 s" in str(raised)


def trickled_head(connection):
    connection.read_request()
    connection.trickle(head(x="y" * 1000), 0.01)


def no_answer(connection):
    connection.read_request()
    connection.wait_until_client_leaves()


def reads_slowly(connection):
    while connection.sock.recv(2000):
        connection.pause(0.02)


def trickled_error_body(connection):
    connection.read_request()
    connection.send(head("503 No", content_length=5000))
    connection.trickle(b"x" * 5000, 0.01)


SLOW = {
    "trickled head": (trickled_head, "Hello"),
    "no answer": (no_answer, "Hello"),
    "the request is never read": (never_reads, [LARGE]),
    "the request is read slowly": (reads_slowly, [LARGE]),
    "trickled body of an error": (trickled_error_body, "Hello"),
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_nothing_outlasts_the_deadline(name, encrypted, trusted_tls):
    script, contents = SLOW[name]
    with RawServer(script, tls=trusted_tls if encrypted else None, receive_buffer=4096) as raw:
        endpoint = Endpoint(raw.url, auth=(), timeout=(20, 20), retry=Retry(initial_delay=0.01))
        with within(0.08, 8):
            texts, raised = outcome(ask(endpoint, contents, deadline=0.1))
        assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


@pytest.mark.parametrize("timeout", [None, (None, None), (5, None)])
@pytest.mark.parametrize("name", ["no answer", "the request is never read", "trickled head"])
def test_the_deadline_is_enough_without_timeouts(name, timeout):
    script, contents = SLOW[name]
    with RawServer(script, receive_buffer=4096) as raw, within(0.08, 8):
        texts, raised = outcome(
            ask(Endpoint(raw.url, auth=(), timeout=timeout, retry=None), contents, deadline=0.1)
        )
    assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_a_request_that_is_never_read_is_silence(encrypted, trusted_tls, sleeps):
    with RawServer(never_reads, tls=trusted_tls if encrypted else None, receive_buffer=4096) as raw:
        endpoint = Endpoint(raw.url, auth=(), timeout=(20, 0.15), retry=Retry())
        with within(0.15, 8):
            texts, raised = outcome(ask(endpoint, [LARGE], deadline=None))
        assert type(raised) is StreamTimeoutError
        # The server has the request in part: it is not sent again.
        assert raw.connections == 1 and sleeps == []


def test_a_handshake_that_never_comes_is_a_connection_that_timed_out(trusted_tls, sleeps):
    with RawServer(never_reads) as raw:
        endpoint = Endpoint(
            raw.url.replace("http:", "https:"), auth=(), timeout=(0.15, 20), retry=Retry(attempts=2)
        )
        with within(0.25, 8):
            texts, raised = outcome(ask(endpoint, deadline=None))
        assert type(raised) is StreamTimeoutError and len(sleeps) == 1
        with within(0.1, 8):
            texts, raised = outcome(ask(dataclasses.replace(endpoint, timeout=20), deadline=0.2))
        assert type(raised) is StreamTimeoutError


def test_trickled_tls_records_do_not_outlast_the_deadline(server, trusted_tls):
    """The bytes of one TLS record come one by one, so that nothing can be decrypted."""
    with LocalServer(tls=trusted_tls) as encrypted:
        encrypted.queue(Answer(chunks=[chunk("x" * 10000)] * 5, gzip=False))

        def relay(connection):
            with socket.create_connection(("127.0.0.1", encrypted.port)) as upstream:
                answered = 0
                while True:
                    readable, _, _ = select.select([connection.sock, upstream], [], [], 0.02)
                    connection.pause(0)
                    if connection.sock in readable:
                        data = connection.sock.recv(65536)
                        if not data:
                            return
                        upstream.sendall(data)
                    if upstream in readable:
                        data = upstream.recv(65536)
                        answered += len(data)
                        if answered < 6000:
                            connection.send(data)  # the handshake, and the head
                        else:
                            connection.trickle(data, 0.01)

        with RawServer(relay) as raw:
            endpoint = dataclasses.replace(
                encrypted.endpoint, base_url=f"https://127.0.0.1:{raw.port}", retry=None
            )
            with within(0.2, 8):
                texts, raised = outcome(ask(endpoint, deadline=0.25))
        assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


def test_the_deadline_holds_for_all_attempts_together(server):
    endpoint = dataclasses.replace(
        server.endpoint, retry=Retry(attempts=1000, initial_delay=0.05, multiplier=1)
    )
    server.answer_with(lambda request: Answer.failure(503))
    with within(0.5, 5):
        texts, raised = outcome(ask(endpoint, deadline=1))
    assert type(raised) is StreamTimeoutError
    assert 2 < server.request_count < 1000


def test_a_sleep_past_the_deadline_is_not_begun(server):
    endpoint = dataclasses.replace(server.endpoint, retry=Retry(max_delay=60))
    server.queue(Answer.failure(503, retry_after="50"))
    with within(0, 4):
        texts, raised = outcome(ask(endpoint, deadline=5))
    assert type(raised) is StreamTimeoutError and "deadline" in str(raised)
    assert isinstance(raised.__context__, ServerError)  # what the last attempt met is not lost


def test_the_deadline_starts_with_the_first_next(server, endpoint):
    stream = ask(endpoint, deadline=0.7)
    began = time.monotonic()
    while time.monotonic() < began + 0.8:
        time.sleep(0.01)
    assert len(list(stream)) > 0


def test_an_error_is_raised_although_its_body_stalls(server, endpoint):
    server.queue(
        Answer(body=[b'{"error": {"code": 503'], status=503, stop_after=15, stop_how="stall", gzip=False)
    )
    texts, raised = outcome(ask(dataclasses.replace(endpoint, timeout=(5, 0.6))))
    assert type(raised) is ServerError and raised.code == 503
