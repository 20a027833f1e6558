"""Requests over real sockets: retries, time, cancelling, redirects, sessions, threads, and nothing left open."""

import contextlib
import dataclasses
import errno
import gc
import gzip
import json
import logging
import os
import random
import select
import signal
import socket
import threading
import time

import pytest
import requests
from dialects import THREE, A, B, C, chunk, error, pretty, sse
from memory import TracedMemory
from raw_server import RawServer, answering, head

from geministream import (
    APIError,
    AuthenticationError,
    Cancel,
    Endpoint,
    GeministreamError,
    IncompleteStreamError,
    RateLimitError,
    Retry,
    ServerError,
    StreamCancelled,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
    part_from_bytes,
    stream_generate,
)
from geministream.testing import Answer, LocalServer
from geministream.transport import Attempts, Call

KEY = "local-key"
QUICK = 2  # seconds, for what should take a tenth: other processes may be busy
OK = Answer(chunks=[A, B, C])


def ask(endpoint, contents="Hello", **options):
    options.setdefault("deadline", 30)
    return stream_generate("m", contents, endpoint=endpoint, **options)


def texts_of(chunks):
    return [chunk.text for chunk in chunks]


def outcome(stream):
    texts = []
    try:
        for each in stream:
            texts.append(each.text)
    except GeministreamError as error:
        return texts, error
    return texts, None


@pytest.fixture
def retrying(server):
    return dataclasses.replace(server.endpoint, retry=Retry(attempts=4, initial_delay=1, max_delay=60))


@contextlib.contextmanager
def closed_port():
    """The port of a socket that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def full_port():
    """A port whose queue is full: connecting to it takes for ever, at 127.0.0.1, 127.0.0.2 and so on."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            if sock.connect_ex(("127.0.0.1", port)) != errno.EINPROGRESS:
                pytest.skip("connecting is not as it is on Linux")
            if not select.select([], [sock], [], 0.05)[1]:
                break
        else:
            pytest.skip("this machine's queues do not fill")
        yield port


# Retrying -----------------------------------------------------------------------


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


def test_comments_are_no_chunks(server, retrying, sleeps):
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


def test_nobody_listens(sleeps):
    with closed_port() as port:
        texts, raised = outcome(ask(Endpoint(f"http://127.0.0.1:{port}", auth=(), retry=Retry(attempts=3))))
    assert type(raised) is TransportError and len(sleeps) == 2
    assert f"127.0.0.1:{port}" in str(raised) and "refused" in str(raised)
    assert isinstance(raised.__cause__, requests.ConnectionError)


def test_a_host_that_is_none(sleeps, monkeypatch):
    def no_such_host(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    texts, raised = outcome(ask(Endpoint("http://gateway.test", auth=(), retry=Retry(attempts=2))))
    assert type(raised) is TransportError and len(sleeps) == 1
    assert "gateway.test" in str(raised) and "Name or service not known" in str(raised)


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
    assert len(records) == 3 and {record.levelname for record in records} == {"DEBUG"}
    texts = [record.getMessage() for record in records]
    assert "attempt 1 of 4" in texts[0] and "ServerError 503" in texts[0] and "TransportError" in texts[1]
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


# Time -------------------------------------------------------------------------------


@contextlib.contextmanager
def within(least, most):
    """That the block takes so many seconds."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert least <= took < most, f"took {took:.2f} s"


def test_connecting_is_bounded_and_retried(sleeps):
    with full_port() as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", auth=(), timeout=(0.1, 30), retry=Retry(attempts=3))
        with within(0.3, 3):
            texts, raised = outcome(ask(endpoint))
    assert type(raised) is StreamTimeoutError and len(sleeps) == 2
    assert "no connection" in str(raised) and "0.1 s" in str(raised)


def test_the_deadline_bounds_connecting():
    with full_port() as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", auth=(), timeout=(30, 30), retry=Retry(attempts=3))
        with within(0.2, 2):
            texts, raised = outcome(ask(endpoint, deadline=0.3))
    assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


@pytest.fixture
def addresses(monkeypatch):
    """What the name ``several.localhost`` resolves to: a list of (address, port)."""
    found, resolve = [], socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host == "several.localhost":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


def test_the_deadline_bounds_connecting_to_all_addresses_of_a_name(addresses):
    with full_port() as port:
        addresses += [(f"127.0.0.{number}", port) for number in range(1, 9)]
        endpoint = Endpoint(f"http://several.localhost:{port}", auth=(), timeout=(0.4, 30), retry=None)
        with within(0.5, 2):  # all of them would take 3.2 s
            texts, raised = outcome(ask(endpoint, deadline=0.6))
    assert type(raised) is StreamTimeoutError and "deadline of 0.6 s" in str(raised)


def test_a_cancel_ends_connecting_at_the_next_address(addresses):
    with full_port() as port:
        addresses += [(f"127.0.0.{number}", port) for number in range(1, 9)]
        running = Running(
            Endpoint(f"http://several.localhost:{port}", auth=(), timeout=(0.4, 30), retry=None)
        )
        assert running.cancelled_in() < 2  # all of them would take 3.2 s


@pytest.mark.parametrize(
    "options",
    [{"deadline": None}, {"deadline": 30}, {"deadline": None, "cancel": Cancel()}],
    ids=["plain", "deadline", "cancel"],
)
def test_the_next_address_is_tried(addresses, server, options):
    addresses += [("127.0.0.77", server.port), ("127.0.0.1", server.port)]  # nobody listens at the first
    endpoint = dataclasses.replace(server.endpoint, base_url=f"http://several.localhost:{server.port}")
    server.queue(OK)
    assert outcome(ask(endpoint, **options)) == (THREE, None)
    assert server.requests[-1].headers["host"] == f"several.localhost:{server.port}"


@pytest.mark.parametrize("options", [{"deadline": None}, {"deadline": 30}], ids=["plain", "deadline"])
def test_no_address_answers(addresses, options):
    with closed_port() as port:
        addresses += [("127.0.0.77", port), ("127.0.0.1", port)]
        texts, raised = outcome(
            ask(Endpoint(f"http://several.localhost:{port}", auth=(), retry=None), **options)
        )
    assert (
        type(raised) is TransportError
        and f"several.localhost:{port}" in str(raised)
        and "refused" in str(raised)
    )
    addresses.clear()
    texts, raised = outcome(ask(Endpoint("http://several.localhost", auth=(), retry=None), **options))
    assert type(raised) is TransportError and "several.localhost" in str(raised)


@pytest.mark.parametrize("options", [{"deadline": None}, {"deadline": 30}], ids=["plain", "deadline"])
def test_a_name_is_looked_up_once(monkeypatch, options):
    asked = []

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    texts, raised = outcome(ask(Endpoint("https://nobody.example", auth=(), retry=None), **options))
    assert type(raised) is TransportError and asked == ["nobody.example"]
    assert "no answer from nobody.example" in str(raised) and "Name or service not known" in str(raised)


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
    with within(0.08, 2):
        texts, raised = outcome(ask(dataclasses.replace(endpoint, timeout=timeout), deadline=0.1))
    assert type(raised) is StreamTimeoutError and "deadline of 0.1 s" in str(raised)


def trickled_head(connection):
    connection.read_request()
    connection.trickle(head(x="y" * 1000), 0.01)


def no_answer(connection):
    connection.read_request()
    connection.wait_until_client_leaves()


def never_reads(connection):
    connection.pause(60)


def reads_slowly(connection):
    while connection.sock.recv(2000):
        connection.pause(0.02)


def trickled_error_body(connection):
    connection.read_request()
    connection.send(head("503 No", content_length=5000))
    connection.trickle(b"x" * 5000, 0.01)


LARGE = part_from_bytes(bytes(12 * 2**20), "image/png")
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
        with within(0.08, 2.5):
            texts, raised = outcome(ask(endpoint, contents, deadline=0.1))
        assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


@pytest.mark.parametrize("timeout", [None, (None, None), (5, None)])
@pytest.mark.parametrize("name", ["no answer", "the request is never read", "trickled head"])
def test_the_deadline_is_enough_without_timeouts(name, timeout):
    script, contents = SLOW[name]
    with RawServer(script, receive_buffer=4096) as raw, within(0.08, 2.5):
        texts, raised = outcome(
            ask(Endpoint(raw.url, auth=(), timeout=timeout, retry=None), contents, deadline=0.1)
        )
    assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_a_request_that_is_never_read_is_silence(encrypted, trusted_tls, sleeps):
    with RawServer(never_reads, tls=trusted_tls if encrypted else None, receive_buffer=4096) as raw:
        endpoint = Endpoint(raw.url, auth=(), timeout=(20, 0.15), retry=Retry())
        with within(0.15, 2.5):
            texts, raised = outcome(ask(endpoint, [LARGE], deadline=None))
        assert type(raised) is StreamTimeoutError
        # The server has the request in part: it is not sent again.
        assert raw.connections == 1 and sleeps == []


def test_a_handshake_that_never_comes_is_a_connection_that_timed_out(trusted_tls, sleeps):
    with RawServer(never_reads) as raw:
        endpoint = Endpoint(
            raw.url.replace("http:", "https:"), auth=(), timeout=(0.15, 20), retry=Retry(attempts=2)
        )
        with within(0.25, 3):
            texts, raised = outcome(ask(endpoint, deadline=None))
        assert type(raised) is StreamTimeoutError and len(sleeps) == 1
        with within(0.1, 2):
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
            with within(0.2, 2.5):
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
    with within(0, 2):
        texts, raised = outcome(ask(endpoint, deadline=5))
    assert type(raised) is StreamTimeoutError and "deadline" in str(raised)
    assert isinstance(raised.__context__, ServerError)  # what the last attempt met is not lost


def test_the_deadline_starts_with_the_first_next(server, endpoint):
    stream = ask(endpoint, deadline=0.7)
    began = time.monotonic()
    while time.monotonic() < began + 0.8:
        time.sleep(0.01)
    assert len(list(stream)) > 0


def test_an_error_is_told_although_its_body_stalls(server, endpoint):
    server.queue(
        Answer(body=[b'{"error": {"code": 503'], status=503, stop_after=15, stop_how="stall", gzip=False)
    )
    texts, raised = outcome(ask(dataclasses.replace(endpoint, timeout=(5, 0.6))))
    assert type(raised) is ServerError and raised.code == 503


# Cancelling -------------------------------------------------------------------------


class Running:
    """A call on a thread of its own."""

    def __init__(self, endpoint, contents="Hello", cancel=None, **options):
        self.cancel = cancel or Cancel()
        self.texts = []
        self.error = None
        self.has_text = threading.Event()
        self._options = {"endpoint": endpoint, "contents": contents, "cancel": self.cancel, **options}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for each in stream_generate("m", **self._options):
                self.texts.append(each.text)
                self.has_text.set()
        except BaseException as error:
            self.error = error
        self.ended = time.monotonic()

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive(), "the call hangs"

    def cancelled_in(self):
        """Cancel; seconds until the call had ended."""
        began = time.monotonic()
        self.cancel.cancel()
        self.join()
        assert type(self.error) is StreamCancelled
        return self.ended - began


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
        with within(0.2, 2):
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


# Redirects --------------------------------------------------------------------------


def redirecting(locations, status=307, then=None):
    """A script: each path of ``locations`` leads to its value; any other is answered."""

    def script(connection):
        while True:
            connection.read_request()
            connection.seen.append(
                (connection.method, connection.target, connection.headers, connection.body)
            )
            path = connection.target.split("?")[0]
            if path in locations:
                connection.send(head(f"{status} Go", location=locations[path], content_length=0))
            else:
                body = then or sse(A, B, C)
                connection.send(head(content_length=len(body)) + body)

    return script


@contextlib.contextmanager
def recording(script, **options):
    seen = []

    def recorded(connection):
        connection.seen = seen
        script(connection)

    with RawServer(recorded, **options) as raw:
        raw.seen = seen
        yield raw


PATH = "/v1beta/models/m:streamGenerateContent"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("auth", ["header", "query", "bearer", ("query", "bearer")])
@pytest.mark.parametrize(
    "location",
    [
        "/other?alt=sse&a=b",
        "other?alt=sse&a=b",
        "{url}/other?alt=sse&a=b#f",
        "//{netloc}/other?alt=sse&a=b",
        "/other?alt=sse&a=b&key=" + KEY,
    ],
)
def test_a_redirect_within_the_origin_is_followed_as_it_was(status, auth, location):
    locations = {}
    with recording(redirecting(locations, status)) as raw:
        locations[PATH] = location.format(url=raw.url, netloc=raw.netloc)
        endpoint = Endpoint(raw.url, api_key=KEY, auth=auth, retry=None)
        assert outcome(ask(endpoint)) == (THREE, None)
        (method, target, headers, body), second = raw.seen
        path = "/v1beta/models/other" if location.startswith("other") else "/other"
        key = "&key=" + KEY if "query" in auth else ""
        assert second[:2] == ("POST", f"{path}?alt=sse&a=b{key}")
        assert second[3] == body and json.loads(body)["contents"]
        for name in ("x-goog-api-key", "authorization", "content-type"):
            assert second[2].get(name) == headers.get(name)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/x",
        "https://127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "//localhost:{port}/x",
        "http://127.0.0.1/x",
        "ftp://127.0.0.1:{port}/x",
        "http://127.0.0.1:{port}@localhost:{other}/",
        "http://[::1]:{port}/",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1/",
    ],
)
@pytest.mark.parametrize("auth", ["header", "query", "bearer", ()])
def test_a_redirect_to_another_origin_is_refused(location, auth, sleeps):
    locations = {}
    with recording(redirecting(locations)) as raw, recording(redirecting({})) as other:
        locations[PATH] = location.format(port=raw.port, other=other.port)
        endpoint = Endpoint(raw.url, api_key=KEY if auth else None, auth=auth)
        texts, raised = outcome(ask(endpoint))
        assert type(raised) is TransportError and "redirect" in str(raised)
        assert len(raw.seen) == 1 and other.connections == 0 and sleeps == []


def test_redirects_for_ever(sleeps):
    with recording(redirecting({PATH: "/a", "/a": "/b", "/b": "/a"})) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=())))
        assert type(raised) is TransportError and "for ever" in str(raised)
        assert len(raw.seen) < 10 and sleeps == []


@pytest.mark.parametrize("status", [300, 303, 304, 305])
def test_other_redirects_are_errors(status, sleeps):
    with recording(redirecting({PATH: "/other"}, status)) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=())))
        assert isinstance(raised, APIError) and raised.code == status and len(raw.seen) == 1


@pytest.mark.parametrize("target", ["{url}/other", "http://127.0.0.1:1/"], ids=["followed", "refused"])
def test_the_body_of_a_redirect_is_not_read(target):
    """Neither a bomb nor silence in it does harm."""
    bomb = gzip.compress(bytes(50 * 2**20))

    def script(connection):
        connection.read_request()
        if connection.target.startswith("/other"):
            connection.send(head() + sse(A, C))
            return
        connection.send(
            head("307 Go", location=target.format(url=raw.url), content_encoding="gzip", content_length=10**6)
        )
        connection.send(bomb)
        connection.wait_until_client_leaves()

    with RawServer(script) as raw:
        stream = ask(Endpoint(raw.url, auth=(), retry=None, timeout=20))
        with TracedMemory() as memory, within(0, 2):
            texts, raised = outcome(stream)
        assert memory.peak < 5 * 2**20
        assert texts == ["one, ", "three"] or type(raised) is TransportError


def test_a_redirect_to_nowhere(server, endpoint):
    server.queue(Answer(body=b"", status=302, gzip=False))
    texts, raised = outcome(ask(endpoint))
    assert isinstance(raised, APIError) and raised.code == 302


# .netrc -----------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True], ids=["library's session", "own session"])
@pytest.mark.parametrize("auth", ["header", "query", "bearer", ()])
def test_netrc_overrides_nothing(server, auth, own, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\ndefault login me password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with recording(redirecting({})) as raw, requests.Session() as session:
        assert requests.utils.get_netrc_auth(raw.url) == ("me", "other")  # it would be taken
        endpoint = Endpoint(
            raw.url, api_key=KEY if auth else None, auth=auth, retry=None, session=session if own else None
        )
        assert outcome(ask(endpoint)) == (THREE, None)
        authorization = raw.seen[0][2].get("authorization")
        assert authorization == ("Bearer " + KEY if auth == "bearer" else None)


# Sessions ---------------------------------------------------------------------------


def test_a_given_session_is_used_and_never_closed(server, endpoint, monkeypatch):
    closed = []
    with requests.Session() as session:
        session.headers["X-Team"] = "red"
        session.cookies.set("c", "1")
        monkeypatch.setattr(session, "close", lambda: closed.append(1))
        endpoint = dataclasses.replace(endpoint, session=session)
        for transfer in ("chunked", "length"):
            server.queue(Answer(chunks=[A, C], transfer=transfer))
            assert outcome(ask(endpoint)) == (["one, ", "three"], None)
        server.queue(Answer.failure(503))
        assert isinstance(outcome(ask(endpoint))[1], ServerError)
        server.queue(Answer(chunks=[A, threading.Event()]))
        stream = ask(endpoint)
        next(stream)
        stream.close()
        assert closed == []
        assert {each.headers["x-team"] for each in server.requests} == {"red"}
        assert server.requests[0].headers["cookie"] == "c=1"
        assert session.get(server.url + "/v1beta/models", headers={"x-goog-api-key": KEY}).ok
        monkeypatch.undo()


@pytest.mark.parametrize("transfer", ["chunked", "length"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_a_session_keeps_its_connection(server, endpoint, transfer, zipped):
    with requests.Session() as session:
        endpoint = dataclasses.replace(endpoint, session=session)
        for _ in range(3):
            server.queue(Answer(chunks=[A, C], transfer=transfer, gzip=zipped))
            assert outcome(ask(endpoint)) == (["one, ", "three"], None)
        assert server.connections == 1
        server.queue(Answer(chunks=[A], stream_error=(400,), transfer=transfer, gzip=zipped))
        outcome(ask(endpoint))
        assert session.get(server.url + "/v1beta/models", headers={"x-goog-api-key": KEY}).ok


def test_a_connection_that_was_not_read_to_its_end_is_not_used_again(server, endpoint):
    with requests.Session() as session:
        endpoint = dataclasses.replace(endpoint, session=session)
        server.queue(Answer(chunks=[A, B, C, threading.Event()]), Answer(body=b"<html>"), OK)
        stream = ask(endpoint)
        next(stream)
        stream.close()
        assert isinstance(outcome(ask(endpoint))[1], StreamDecodeError)
        assert outcome(ask(endpoint)) == (THREE, None)
        assert server.requests[0].connection != server.requests[1].connection


def test_a_body_longer_than_its_length_does_not_reach_the_next_answer():
    body = sse(A, C)

    def script(connection):
        while True:
            connection.read_request()
            connection.send(head(content_length=len(body)) + body + sse(chunk("smuggled", "STOP")))

    with RawServer(script) as raw, requests.Session() as session:
        endpoint = Endpoint(raw.url, auth=(), session=session, retry=None)
        for _ in range(4):
            texts, raised = outcome(ask(endpoint))
            assert "smuggled" not in texts and (texts == ["one, ", "three"] or raised)


def test_attempts_share_a_connection(server, sleeps):
    server.queue(Answer.failure(503), Answer.failure(503), OK)
    assert outcome(ask(dataclasses.replace(server.endpoint, retry=Retry()))) == (THREE, None)
    assert server.connections == 1
    server.wait_for_connections(0)


def test_a_connection_that_the_server_closed_meanwhile(server, endpoint):
    """The session believes it open; the request goes out on another."""
    with requests.Session() as session:
        endpoint = dataclasses.replace(endpoint, session=session)
        list(ask(endpoint))
        server.drop_connections()
        assert len(list(ask(endpoint))) > 0


def test_an_adapter_of_another_kind(server, endpoint):
    class Canned(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response.raw = __import__("io").BytesIO(sse(A, B, C))
            return response

        def close(self):
            pass

    with requests.Session() as session:
        session.mount("http://", Canned())
        assert outcome(ask(dataclasses.replace(endpoint, session=session))) == (THREE, None)


def test_the_sessions_own_auth(server, endpoint):
    with recording(redirecting({})) as raw, requests.Session() as session:
        session.auth = ("me", "secret")
        assert outcome(ask(Endpoint(raw.url, auth=(), session=session, retry=None))) == (THREE, None)
        assert raw.seen[0][2]["authorization"].startswith("Basic ")


# Early ends -------------------------------------------------------------------------


LYING = {
    "a length that is too long": head(content_length=10**6) + sse(A, C),
    "a chunk that is too long": head(transfer_encoding="chunked") + b"fffff\r\n" + sse(A, C),
    "a chunk that is too short": head(transfer_encoding="chunked") + b"20\r\n" + sse(A, C) + b"\r\n0\r\n\r\n",
    "a negative chunk": head(transfer_encoding="chunked") + b"-5\r\n" + sse(A, C) + b"\r\n0\r\n\r\n",
    "a chunk size that is no number": head(transfer_encoding="chunked")
    + b"zz\r\n"
    + sse(A, C)
    + b"\r\n0\r\n\r\n",
    "a chunk size without end": head(transfer_encoding="chunked") + b"1" * 100000,
    "a chunk extension without end": head(transfer_encoding="chunked") + b"5;" + b"x" * 100000,
    "a huge chunk size": head(transfer_encoding="chunked") + b"f" * 15 + b"\r\n" + sse(A, C),
    "no last chunk": head(transfer_encoding="chunked") + b"%x\r\n%b\r\n" % (len(sse(A, C)), sse(A, C)),
    "half a last chunk": head(transfer_encoding="chunked") + b"%x\r\n%b\r\n0" % (len(sse(A, C)), sse(A, C)),
}


@pytest.mark.parametrize("name", LYING)
def test_lengths_that_lie(name):
    with RawServer(answering(LYING[name])) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None)))
    assert type(raised) in (IncompleteStreamError, StreamDecodeError), raised
    assert texts == ["one, ", "three"][: len(texts)]
    if name in (
        "a length that is too long",
        "a chunk that is too long",
        "no last chunk",
        "half a last chunk",
        "a huge chunk size",
    ):
        assert texts == ["one, ", "three"]


@pytest.mark.parametrize("length", ["abc", "-5", "", "5, 5"])
def test_lengths_that_are_none(length):
    with RawServer(answering(head(content_length=length) + sse(A, B, C))) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None, timeout=2)))
    assert (texts, raised) == (THREE, None) or isinstance(raised, GeministreamError)


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset", "200 OK"])
def test_no_body_at_all(status):
    with RawServer(answering(head(status, content_length=0))) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None)))
    assert texts == [] and type(raised) is IncompleteStreamError


def test_an_informational_answer_first():
    with RawServer(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + head() + sse(A, C))) as raw:
        assert outcome(ask(Endpoint(raw.url, auth=(), retry=None))) == (["one, ", "three"], None)


def test_http_1_0():
    with RawServer(answering(b"HTTP/1.0 200 OK\r\n\r\n" + sse(A, C))) as raw:
        assert outcome(ask(Endpoint(raw.url, auth=(), retry=None))) == (["one, ", "three"], None)


@pytest.mark.parametrize(
    "body, message",
    [
        (b"", "No"),
        (b"Bad gateway", "Bad gateway"),
        (b"<html><style>b{}</style><h1>502</h1>\n<p>Bad\n gateway", "502 Bad gateway"),
        (pretty(error(503, "busy")), "busy"),
        (b"[" + pretty(error(503, "busy")) + b"]\n", "busy"),
        (b"data: " + b'{"error": "busy"}', "busy"),
        (b'{"message": "busy"}', "busy"),
        (b'{"error": "busy"}', "busy"),
        (b'{"error": {"message": "busy"}}', "busy"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"detail": "busy"}', '{"detail": "busy"}'),
        (b"null", "null"),
        (b"{", "{"),
        (pretty(error(503, "busy"))[:-3], None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bodies_of_errors(body, message):
    with RawServer(answering(head("503 No", content_length=len(body)) + body)) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None)))
    assert type(raised) is ServerError and raised.code == 503
    assert raised.message == message or message is None and "busy" in raised.message


def test_an_error_before_the_request_is_read():
    """As a proxy does when a body is too large for it."""

    def script(connection):
        connection.sock.recv(1000)
        body = b'{"error": {"code": 413, "message": "too large"}}'
        connection.send(head("413 Too Large", content_length=len(body), connection="close") + body)
        connection.sock.shutdown(socket.SHUT_WR)
        connection.wait_until_client_leaves()

    with RawServer(script) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=(), retry=None), [LARGE]))
    assert isinstance(raised, APIError) and (raised.code, raised.message) == (413, "too large")


# Threads, signals, and what is left behind --------------------------------------------


@pytest.mark.parametrize("shared", [False, True], ids=["own sessions", "one session"])
def test_sixteen_threads_at_once(server, shared, caplog):
    caplog.set_level(logging.ERROR, logger="urllib3")  # its pool holds ten, and says so
    results = {}
    with requests.Session() as session:
        endpoint = dataclasses.replace(server.endpoint, session=session if shared else None)

        def work(number):
            texts = []
            for k in range(5):
                whole = "".join(each.text for each in ask(endpoint, f"word{number}x{k}"))
                texts.append(whole == f"You said: word{number}x{k}")
            results[number] = texts

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == {number: [True] * 5 for number in range(16)}
    for _ in range(2):  # urllib3 2 closes a session's connections when its pools are collected
        gc.collect()
    server.wait_for_connections(0)


def test_a_stream_may_go_from_thread_to_thread(server, endpoint):
    server.queue(Answer(chunks=[A, B, C]))
    stream = ask(endpoint, cancel=Cancel())
    texts = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: texts.append(next(stream).text))
        thread.start()
        thread.join(10)
    assert texts == THREE and list(stream) == []


INTERRUPTED = """
import os, signal, threading
from geministream import stream_generate, Retry
from geministream.testing import Answer, LocalServer
import dataclasses

where = "%s"
with LocalServer() as server:
    answers = {
        "head": Answer(wait=threading.Event()),
        "body": Answer(chunks=[{"candidates": [{"index": 0}]}, threading.Event()]),
        "sleep": Answer.failure(503, retry_after="50"),
    }
    server.queue(answers[where])
    endpoint = dataclasses.replace(server.endpoint, retry=Retry(max_delay=60))

    def interrupt():
        request = server.wait_for_request(1)
        if where == "body":
            server.wait_until(lambda: request.bytes_sent > 0)
        if where == "sleep":
            request.finished.wait(5)
        threading.Event().wait(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        for chunk in stream_generate("m", "Hello", endpoint=endpoint):
            pass
    except KeyboardInterrupt:
        print("interrupted")
    server.wait_for_connections(0, 5)
    print("closed")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("where", ["head", "body", "sleep"])
def test_ctrl_c_passes_through_and_closes_the_connection(where, run_python):
    done = run_python(INTERRUPTED % where, "-W", "error::ResourceWarning")
    assert done.stdout.split() == ["interrupted", "closed"], done.stderr
    assert done.stderr == ""


def test_a_program_that_does_everything_leaves_nothing_open(run_python):
    done = run_python("import hygiene; hygiene.main()", "-W", "error::ResourceWarning", "-X", "dev")
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr and "ignored" not in done.stderr, done.stderr
    assert done.stdout.split()[-1] == "clean", done.stdout


def test_signals_are_not_touched(server, endpoint):
    every = [signal.SIGINT, signal.SIGTERM, *([signal.SIGPIPE, signal.SIGALRM] if os.name == "posix" else [])]
    before = [signal.getsignal(each) for each in every]
    server.queue(OK, Answer(chunks=[A, threading.Event()]))
    assert outcome(ask(endpoint)) == (THREE, None)
    stream = ask(endpoint)
    next(stream)
    assert [signal.getsignal(each) for each in every] == before
    stream.close()


def test_what_the_server_said_last_outweighs_that_it_is_gone(endpoint):
    """It answers once, with an error or with nothing, and is not there for the other attempts."""
    for body, expected in (
        (b"", IncompleteStreamError),
        (b'data: {"error": {"code": 503}}\n\n', ServerError),
    ):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve():
                connection, _ = listener.accept()
                listener.close()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)

            server = threading.Thread(target=serve, daemon=True)
            server.start()
            there = dataclasses.replace(
                endpoint,
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                retry=Retry(initial_delay=0.0),
            )
            with pytest.raises(expected):
                list(stream_generate("m", "Hello", endpoint=there))
            server.join()
