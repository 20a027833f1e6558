"""A session of the caller's: how it is used, and when a connection is used again."""

import dataclasses
import threading

import pytest
import requests
from support.calls import KEY, OK, ask, outcome, recording, redirecting
from support.dialects import THREE, A, B, C, chunk, sse
from support.raw_server import RawServer, head

from geministream import Endpoint, Retry, ServerError, StreamDecodeError
from geministream.testing import Answer


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
