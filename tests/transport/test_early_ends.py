"""Bodies whose length is wrong, bodies of errors, and servers that leave early."""

import dataclasses
import socket
import threading

import pytest
from support.calls import LARGE, ask, outcome
from support.dialects import THREE, A, B, C, error, pretty, sse
from support.raw_server import RawServer, answering, head

from geministream import (
    APIError,
    Endpoint,
    GeministreamError,
    IncompleteStreamError,
    Retry,
    ServerError,
    StreamDecodeError,
    stream_generate,
)

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


def test_what_the_server_said_last_outweighs_that_it_is_gone(endpoint):
    """It answers once, with an error or with nothing, and is not there for the other attempts."""
    for body, expected in (
        (b"", IncompleteStreamError),
        (b'data: {"error": {"code": 503}}\n\n', ServerError),
    ):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve(listener=listener, body=body):
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
