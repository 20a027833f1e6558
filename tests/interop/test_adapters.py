"""Adapters that are not plain, and their retries: what works with requests, works with this library."""

import io
from dataclasses import replace

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from side_by_side import (
    ANSWER,
    EVENTS,
    PROMPT,
    assert_same,
    cancelled_between_two_chunks,
    chat_streamed,
    plainly,
    streamed,
    uploaded,
)
from support.raw_server import RawServer, head

import geministream
from geministream import Cancel, ConfigurationError, Endpoint, Retry, ServerError, TransportError
from geministream.testing import Answer, LocalServer


@pytest.fixture(params=[True, False], ids=["gzip", "identity"])
def server(request):
    with LocalServer(gzip=request.param) as server:
        yield server


class AddsHeaders(HTTPAdapter):
    def add_headers(self, request, **kwargs):
        request.headers["X-Team"] = "red"


class AddsHeadersInSend(HTTPAdapter):
    def send(self, request, **kwargs):
        request.headers["X-Team"] = "red"
        return super().send(request, **kwargs)


class ReadsTheBody(HTTPAdapter):
    def send(self, request, **kwargs):
        request.headers["X-Team"] = "red"
        response = super().send(request, **kwargs)
        assert isinstance(response.content, bytes)
        return response


class Wraps(BaseAdapter):
    """An adapter of another kind, that hands on to requests' own."""

    def __init__(self):
        super().__init__()
        self.inner = HTTPAdapter()

    def send(self, request, **kwargs):
        request.headers["X-Team"] = "red"
        return self.inner.send(request, **kwargs)

    def close(self):
        self.inner.close()


@pytest.mark.parametrize("adapter", [AddsHeaders, AddsHeadersInSend, ReadsTheBody, Wraps])
@pytest.mark.parametrize("auth", ["header", "query"])
@pytest.mark.parametrize("limits", [{}, {"deadline": 20}], ids=["", "deadline"])
def test_an_adapter(session, server, adapter, auth, limits):
    session.mount("http://", adapter())
    endpoint = replace(server.endpoint, auth=auth)
    assert_same(session, server, endpoint)
    assert streamed(session, endpoint, cancel=Cancel(), **limits) == ANSWER
    assert uploaded(session, endpoint) == 15
    assert {each.headers["x-team"] for each in server.requests} == {"red"}


class SourceAddress(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=("127.0.0.2", 0), **kwargs)


@pytest.mark.parametrize("limits", [{}, {"deadline": 20}, {"cancel": True}], ids=["", "deadline", "cancel"])
def test_a_source_address(session, limits):
    peers = []

    def script(connection):
        peers.append(connection.sock.getpeername()[0])
        connection.read_request()
        connection.send(head(content_type="text/event-stream", content_length=len(EVENTS)) + EVENTS)

    session.mount("http://", SourceAddress())
    limits = {"cancel": Cancel()} if "cancel" in limits else limits
    with RawServer(script) as raw:
        endpoint = Endpoint(raw.url, auth=())
        assert plainly(session, endpoint) == streamed(session, endpoint, **limits) == ANSWER
    assert peers == ["127.0.0.2", "127.0.0.2"]


class Canned(BaseAdapter):
    """No HTTP at all: answers with a file object, or with what it is given."""

    def __init__(self, raw):
        super().__init__()
        self.raw = raw
        self.sent = 0

    def send(self, request, stream=False, **kwargs):
        self.sent += 1
        response = requests.Response()
        response.status_code = 200
        response.url = request.url
        response.request = request
        response.raw = self.raw()
        return response

    def close(self):
        pass


def file_object():
    return io.BytesIO(EVENTS)


def urllib3_response():
    return urllib3.HTTPResponse(body=file_object(), preload_content=False, status=200)


@pytest.mark.parametrize("raw", [file_object, urllib3_response])
def test_an_adapter_that_has_the_answer(session, raw):
    session.mount("http://", Canned(raw))
    endpoint = Endpoint("http://localhost", api_key="k")
    assert plainly(session, endpoint) == streamed(session, endpoint) == ANSWER
    assert chat_streamed(session, endpoint, PROMPT, PROMPT) == [ANSWER, ANSWER]


@pytest.mark.parametrize("adapter", [AddsHeaders, Wraps])
def test_a_cancel_reaches_the_connection_of_an_adapter(session, server, adapter):
    session.mount("http://", adapter())
    cancelled_between_two_chunks(session, server, server.endpoint)


@pytest.mark.parametrize(
    "given", [None, requests.Session()], ids=["no session", "a session without an adapter"]
)
@pytest.mark.parametrize(
    "url", ["http+unix://%2Ftmp%2Fsocket", "ftp://host", "file:///etc/passwd", "host", "mock://x"]
)
def test_a_scheme_without_an_adapter_for_it(given, url):
    with pytest.raises(ConfigurationError, match="must start with http:// or https://"):
        Endpoint(url, session=given)


def test_any_scheme_with_an_adapter_for_it(session):
    session.mount("mock://", Canned(file_object))
    endpoint = Endpoint("mock://gemini", api_key="k", session=session)
    assert plainly(session, endpoint) == streamed(session, endpoint) == ANSWER
    assert geministream.endpoint.resolve(endpoint).base_url == "mock://gemini"


# Retries below ---------------------------------------------------------------------------


def mounted(session, **retry):
    session.mount("http://", HTTPAdapter(max_retries=urllib3.Retry(**{"backoff_factor": 0, **retry})))


def test_retries_of_the_adapter_are_not_multiplied(session):
    """Nothing answers; urllib3 has tried four times."""
    mounted(session, total=3, allowed_methods=None)
    with RawServer(lambda connection: connection.read_request()) as raw:
        endpoint = Endpoint(raw.url, auth=(), retry=Retry(initial_delay=0.01))
        with pytest.raises(requests.ConnectionError):
            plainly(session, endpoint)
        assert raw.connections == 4
        with pytest.raises(TransportError):
            streamed(session, endpoint)
        assert raw.connections == 8


def test_retries_of_the_adapter_for_a_status_are_not_multiplied(session, server):
    mounted(session, total=3, status_forcelist=[503], allowed_methods=None, raise_on_status=False)
    endpoint = server.endpoint
    server.queue(*[Answer.failure(503)] * 8)
    with pytest.raises(requests.HTTPError):
        plainly(session, endpoint)
    assert len(server.requests) == 4
    with pytest.raises(ServerError):
        streamed(session, endpoint)
    assert len(server.requests) == 8


def test_retries_of_the_adapter_that_raise_for_a_status_are_not_multiplied(session, server):
    mounted(session, total=3, status_forcelist=[503], allowed_methods=None)
    server.queue(*[Answer.failure(503)] * 8)
    with pytest.raises(requests.exceptions.RetryError):
        plainly(session, server.endpoint)
    assert len(server.requests) == 4
    with pytest.raises(TransportError):
        streamed(session, server.endpoint)
    assert len(server.requests) == 8


def test_the_adapters_retries_succeed(session, server):
    mounted(session, total=3, status_forcelist=[503], allowed_methods=None)
    for ask in (plainly, streamed):
        server.queue(Answer.failure(503))
        assert ask(session, server.endpoint) == ANSWER
    assert len(server.requests) == 4


def test_what_the_adapter_does_not_retry_is_retried_here(session, server):
    """A 429 that its Retry does not name, one inside the stream, and an answer that breaks."""
    mounted(session, total=3, status_forcelist=[503], allowed_methods=None)
    server.queue(Answer.failure(429, retry_info="0.01s"))
    assert streamed(session, server.endpoint) == ANSWER
    server.queue(Answer(chunks=[], stream_error=429))
    assert streamed(session, server.endpoint) == ANSWER
    server.queue(Answer(chunks=["You "], stop_after=0, stop_how="end"))
    assert streamed(session, server.endpoint) == ANSWER
    assert len(server.requests) == 6


def test_a_stream_error_behind_a_retry_of_the_adapter_is_retried_here(session, server):
    mounted(session, total=3, status_forcelist=[503], allowed_methods=None)
    server.queue(Answer.failure(503), Answer(chunks=[], stream_error=429))
    assert streamed(session, server.endpoint) == ANSWER
    assert len(server.requests) == 3
