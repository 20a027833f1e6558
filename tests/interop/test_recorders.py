"""Recorders and mocks of HTTP: what plain requests gets through them, this library gets, too."""

import gzip
from dataclasses import replace

import pytest
import requests
from side_by_side import (
    ANSWER,
    EVENTS,
    PROMPT,
    arrived,
    chat_plainly,
    chat_streamed,
    plainly,
    skip_if_requests_fails,
    streamed,
    uploaded,
    url_of,
)

import geministream
from geministream import BadRequestError, Endpoint, RateLimitError, Retry, StreamTimeoutError, TransportError
from geministream.testing import Answer, LocalServer

MOCKED = Endpoint("https://gemini.example", api_key="k", retry=Retry(initial_delay=0.01))
SSE = {"Content-Type": "text/event-stream"}


def zipped(data):
    return gzip.compress(data, mtime=0)


# responses ---------------------------------------------------------------------


@pytest.fixture
def responses():
    responses = pytest.importorskip("responses", reason="responses is not installed (extra: test)")
    with responses.mock:
        yield responses


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_responses(session, responses, encoding):
    headers = {**SSE, **({"Content-Encoding": encoding} if encoding else {})}
    responses.post(url_of(MOCKED), body=zipped(EVENTS) if encoding else EVENTS, headers=headers)
    assert plainly(session, MOCKED) == ANSWER
    assert streamed(session, MOCKED) == ANSWER
    assert chat_streamed(session, MOCKED, PROMPT, PROMPT) == [ANSWER, ANSWER]
    assert len(responses.calls) == 4
    assert {call.request.headers["x-goog-api-key"] for call in responses.calls} == {"k"}


def test_responses_without_a_session(responses):
    responses.post(url_of(MOCKED), body=EVENTS, headers=SSE)
    assert streamed(None, MOCKED) == ANSWER


def test_responses_then_a_retry(session, responses):
    responses.post(url_of(MOCKED), status=429, json={"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}})
    responses.post(url_of(MOCKED), body=EVENTS, headers=SSE)
    with pytest.raises(requests.HTTPError, match="429"):
        plainly(session, MOCKED)
    responses.calls.reset()
    responses.reset()
    responses.post(url_of(MOCKED), status=429, json={"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}})
    responses.post(url_of(MOCKED), body=EVENTS, headers=SSE)
    assert streamed(session, MOCKED) == ANSWER
    assert len(responses.calls) == 2


@pytest.mark.parametrize(
    "failure, error, requests_sent",
    [
        (requests.ReadTimeout("mocked"), StreamTimeoutError, 1),
        (requests.ConnectTimeout("mocked"), StreamTimeoutError, 4),
        (requests.ConnectionError("mocked"), TransportError, 4),
    ],
    ids=["read timeout", "connect timeout", "connection error"],
)
def test_responses_that_are_not_answers(session, responses, failure, error, requests_sent):
    responses.post(url_of(MOCKED), body=failure)
    with pytest.raises(type(failure)):
        plainly(session, MOCKED)
    responses.calls.reset()
    with pytest.raises(error):
        streamed(session, MOCKED)
    assert len(responses.calls) == requests_sent


@pytest.mark.parametrize("zip_it", [True, False], ids=["gzip", "identity"])
def test_the_recorder_of_responses(session, tmp_path, zip_it):
    pytest.importorskip("responses", reason="responses is not installed (extra: test)")
    from responses import _recorder, mock

    path = str(tmp_path / "recorded.yaml")
    with LocalServer(gzip=zip_it) as server:
        for ask in (plainly, streamed):
            assert _recorder.record(file_path=path)(ask)(session, server.endpoint) == ANSWER
            with mock:
                mock._add_from_file(path)
                assert plainly(session, server.endpoint) == ANSWER
                assert streamed(session, server.endpoint) == ANSWER
        assert len(server.requests) == 2


# requests-mock -----------------------------------------------------------------


@pytest.fixture
def requests_mock(session):
    requests_mock = pytest.importorskip(
        "requests_mock", reason="requests-mock is not installed (extra: interop)"
    )
    with requests_mock.Mocker(session=session) as mocker:
        yield mocker


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_requests_mock(session, requests_mock, encoding):
    headers = {**SSE, **({"Content-Encoding": encoding} if encoding else {})}
    requests_mock.post(url_of(MOCKED), content=zipped(EVENTS) if encoding else EVENTS, headers=headers)
    assert plainly(session, MOCKED) == ANSWER
    assert streamed(session, MOCKED) == ANSWER
    assert chat_streamed(session, MOCKED, PROMPT, PROMPT) == [ANSWER, ANSWER]
    assert requests_mock.call_count == 4
    assert {each.headers["x-goog-api-key"] for each in requests_mock.request_history} == {"k"}


def test_requests_mock_that_fails_and_then_answers(session, requests_mock):
    requests_mock.post(
        url_of(MOCKED),
        [
            {"exc": requests.ConnectTimeout},
            {
                "status_code": 503,
                "json": {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}},
            },
            {"content": EVENTS, "headers": SSE},
        ],
    )
    with pytest.raises(requests.ConnectTimeout):
        plainly(session, MOCKED)
    assert streamed(session, MOCKED) == ANSWER
    assert requests_mock.call_count == 3


def test_requests_mock_whose_read_times_out(session, requests_mock):
    requests_mock.post(url_of(MOCKED), exc=requests.ReadTimeout)
    with pytest.raises(requests.ReadTimeout):
        plainly(session, MOCKED)
    with pytest.raises(StreamTimeoutError, match="sent no answer"):
        streamed(session, MOCKED)
    assert requests_mock.call_count == 2


def test_requests_mock_of_an_error(session, requests_mock):
    requests_mock.post(
        url_of(MOCKED),
        status_code=429,
        json={
            "error": {
                "code": 429,
                "message": "slow down",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "77s"}],
            }
        },
    )
    with pytest.raises(RateLimitError, match="slow down") as caught:
        streamed(session, MOCKED)
    assert caught.value.retry_after == 77
    assert requests_mock.call_count == 1


# Responses that a test makes itself ---------------------------------------------


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_response_whose_content_is_set(session, monkeypatch, encoding):
    statuses = []

    def send(request, **_):
        response = requests.Response()
        response.status_code = statuses.pop() if statuses else 200
        response.url = request.url
        response.request = request
        response.headers.update({**SSE, **({"Content-Encoding": encoding} if encoding else {})})
        response._content = EVENTS
        return response

    monkeypatch.setattr(session, "send", send)
    assert session.post(url_of(MOCKED), stream=True).content == EVENTS
    assert streamed(session, MOCKED) == ANSWER
    statuses.append(400)
    with pytest.raises(BadRequestError):
        streamed(session, MOCKED)
    statuses.append(401)
    tokens = ["stale", "fresh"]
    assert streamed(session, replace(MOCKED, auth=lambda: tokens.pop(0))) == ANSWER
    assert tokens == []


# vcrpy -------------------------------------------------------------------------


@pytest.fixture
def vcr():
    vcr = pytest.importorskip("vcr", reason="vcrpy is not installed (extra: interop)")
    return vcr.VCR(match_on=["method", "scheme", "host", "port", "path", "query", "body"])


def conversation(session, endpoint):
    """Everything that takes more than one request, over one connection where it can."""
    yield streamed(session, endpoint)
    yield chat_streamed(session, endpoint, "one", "two")
    yield uploaded(session, endpoint)


EXPECTED = [ANSWER, ["You said: one", "I was sent 3 contents.\nYou said: two"], 15]


@pytest.mark.parametrize("zip_it", [True, False], ids=["gzip", "identity"])
@pytest.mark.parametrize("auth", ["header", "query"])
@pytest.mark.parametrize("own", [True, False], ids=["own session", "library's session"])
def test_vcrpy(vcr, tmp_path, zip_it, auth, own):
    path = str(tmp_path / "cassette.yaml")
    with LocalServer(gzip=zip_it) as server:
        endpoint = Endpoint(server.url, api_key=server.api_key, auth=auth, timeout=(5, 30))
        with requests.Session() as session, vcr.use_cassette(str(tmp_path / "plain.yaml")):
            assert plainly(session, endpoint) == ANSWER
            assert chat_plainly(session, endpoint, "one", "two") == EXPECTED[1]
        plain = arrived(server)
        del server.requests[:]
        with requests.Session() as session, vcr.use_cassette(path):
            assert list(conversation(session if own else None, endpoint)) == EXPECTED
        assert arrived(server)[:3] == plain
        sent = len(server.requests)
        for _ in range(2):
            with requests.Session() as session, vcr.use_cassette(path, record_mode="none") as cassette:
                assert list(conversation(session if own else None, endpoint)) == EXPECTED
                assert cassette.all_played
        # What one has recorded, the other plays.
        with requests.Session() as session, vcr.use_cassette(path, record_mode="none"):
            assert chat_plainly(session, endpoint, "one", "two") == EXPECTED[1]
        with requests.Session() as session, vcr.use_cassette(
            str(tmp_path / "plain.yaml"), record_mode="none"
        ):
            assert chat_streamed(session if own else None, endpoint, "one", "two") == EXPECTED[1]
        assert len(server.requests) == sent


def test_vcrpy_records_a_retry(vcr, tmp_path, session):
    path = str(tmp_path / "cassette.yaml")
    with LocalServer(faults=[Answer.failure(503)]) as server:
        with vcr.use_cassette(path):
            assert streamed(session, server.endpoint) == ANSWER
        assert len(server.requests) == 2
        with vcr.use_cassette(path, record_mode="none", allow_playback_repeats=False):
            assert streamed(session, server.endpoint) == ANSWER
        with vcr.use_cassette(path, record_mode="none"):
            with pytest.raises(requests.HTTPError, match="503"):
                plainly(session, server.endpoint)
        assert len(server.requests) == 2


def test_vcrpy_within_a_session_that_has_connections(vcr, tmp_path, session):
    """Made before the recorder, used under it, and used again after it."""
    path = str(tmp_path / "cassette.yaml")
    with LocalServer() as server:
        for _ in range(2):
            assert streamed(session, server.endpoint) == plainly(session, server.endpoint) == ANSWER
            with vcr.use_cassette(path) as cassette:
                assert plainly(session, server.endpoint) == ANSWER
                assert streamed(session, server.endpoint) == ANSWER
                assert len(cassette) == 2
        assert len(server.requests) == 6  # four without the recorder, two for it to record


def test_a_deadline_and_a_cancel_under_vcrpy(vcr, tmp_path, session):
    with LocalServer() as server, vcr.use_cassette(str(tmp_path / "cassette.yaml")):
        for _ in range(2):
            cancel = geministream.Cancel()
            assert streamed(session, server.endpoint, deadline=20, cancel=cancel) == ANSWER
        assert not cancel._callbacks


# betamax -----------------------------------------------------------------------


@pytest.mark.parametrize("zip_it", [True, False], ids=["gzip", "identity"])
@pytest.mark.parametrize("auth", ["header", "query"])
def test_betamax(tmp_path, zip_it, auth):
    betamax = pytest.importorskip("betamax", reason="betamax is not installed (extra: interop)")

    def recorder(session, name):
        return betamax.Betamax(session, cassette_library_dir=str(tmp_path)).use_cassette(
            name, match_requests_on=["method", "uri"]
        )

    with LocalServer(gzip=zip_it) as server:
        endpoint = Endpoint(server.url, api_key=server.api_key, auth=auth, timeout=(5, 30))
        for _ in range(2):
            for name, ask in (("plain", chat_plainly), ("streamed", chat_streamed)):
                with requests.Session() as session, recorder(session, name):
                    assert ask(session, endpoint, "one", "two") == EXPECTED[1]
        with requests.Session() as session, recorder(session, "streamed"):
            assert chat_plainly(session, endpoint, "one", "two") == EXPECTED[1]
        with requests.Session() as session, recorder(session, "plain"):
            assert chat_streamed(session, endpoint, "one", "two") == EXPECTED[1]
        assert len(server.requests) == 4
        assert arrived(server)[:2] == arrived(server)[2:]


# httpretty and mocket replace the socket ----------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("limits", [{}, {"deadline": 20}, {"cancel": True}], ids=["", "deadline", "cancel"])
@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
def test_httpretty(session, scheme, limits):
    httpretty = pytest.importorskip("httpretty", reason="httpretty is not installed (extra: interop)")
    endpoint = Endpoint(f"{scheme}://gemini.example", api_key="k", retry=None, timeout=(5, 30))
    limits = {"cancel": geministream.Cancel()} if "cancel" in limits else limits
    with httpretty.enabled(allow_net_connect=False, verbose=False):
        httpretty.register_uri(
            "POST", url_of(endpoint).partition("?")[0], body=EVENTS, **{"content_type": SSE["Content-Type"]}
        )
        skip_if_requests_fails(session, endpoint, "httpretty")
        assert streamed(session, endpoint, **limits) == ANSWER
        assert streamed(None, endpoint, **limits) == ANSWER
        assert chat_streamed(session, endpoint, PROMPT, PROMPT) == [ANSWER, ANSWER]
        assert {each.headers["x-goog-api-key"] for each in httpretty.latest_requests()} == {"k"}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("limits", [{}, {"deadline": 20}, {"cancel": True}], ids=["", "deadline", "cancel"])
@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
def test_mocket(session, scheme, limits):
    mocket = pytest.importorskip("mocket", reason="mocket is not installed (extra: interop)")
    from mocket.mocks.mockhttp import Entry

    endpoint = Endpoint(f"{scheme}://gemini.example", api_key="k", retry=None, timeout=(5, 30))
    limits = {"cancel": geministream.Cancel()} if "cancel" in limits else limits
    with mocket.Mocketizer(strict_mode=True):
        Entry.single_register(Entry.POST, url_of(endpoint), body=EVENTS.decode(), headers=SSE)
        skip_if_requests_fails(session, endpoint, "mocket")
        assert streamed(session, endpoint, **limits) == ANSWER
        assert streamed(None, endpoint, **limits) == ANSWER
        assert chat_streamed(session, endpoint, PROMPT, PROMPT) == [ANSWER, ANSWER]
        assert len(mocket.Mocket.request_list()) == 5
        assert {each.headers["x-goog-api-key"] for each in mocket.Mocket.request_list()} == {"k"}


# pytest-httpserver ---------------------------------------------------------------


def test_pytest_httpserver(session):
    pytest_httpserver = pytest.importorskip(
        "pytest_httpserver", reason="pytest-httpserver is not installed (extra: interop)"
    )
    with pytest_httpserver.HTTPServer() as httpserver:
        endpoint = Endpoint(httpserver.url_for("").rstrip("/"), api_key="k", retry=Retry(initial_delay=0.01))
        path = url_of(endpoint).partition("?")[0][len(endpoint.base_url) :]
        httpserver.expect_ordered_request(path, "POST", query_string="alt=sse").respond_with_data(
            EVENTS, headers=SSE
        )
        assert plainly(session, endpoint) == ANSWER
        httpserver.expect_ordered_request(path, "POST", query_string="alt=sse").respond_with_json(
            {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}, 503
        )
        for _ in range(3):
            httpserver.expect_ordered_request(path, "POST", query_string="alt=sse").respond_with_data(
                zipped(EVENTS), headers={**SSE, "Content-Encoding": "gzip"}
            )
        assert streamed(session, endpoint, deadline=20) == ANSWER
        assert chat_streamed(session, endpoint, PROMPT, PROMPT) == [ANSWER, ANSWER]
        assert len(httpserver.log) == 5
        assert {request.headers["x-goog-api-key"] for request, _ in httpserver.log} == {"k"}


# requests-cache ------------------------------------------------------------------


@pytest.mark.parametrize("zip_it", [True, False], ids=["gzip", "identity"])
def test_requests_cache(tmp_path, zip_it):
    requests_cache = pytest.importorskip(
        "requests_cache", reason="requests-cache is not installed (extra: interop)"
    )
    with LocalServer(gzip=zip_it) as server, requests_cache.CachedSession(
        str(tmp_path / "cache"), backend="sqlite", allowable_methods=["GET", "POST"]
    ) as session:
        assert plainly(session, server.endpoint, "plain") == plainly(session, server.endpoint, "plain")
        assert len(server.requests) == 1
        assert streamed(session, server.endpoint) == streamed(session, server.endpoint) == ANSWER
        assert len(server.requests) == 2  # the second came from the cache
        assert chat_streamed(session, server.endpoint, "one", "two") == EXPECTED[1]
        assert chat_streamed(session, server.endpoint, "one", "two") == EXPECTED[1]
        assert len(server.requests) == 4
        server.queue(Answer.failure(503))
        assert streamed(session, server.endpoint, "three") == "You said: three"  # an error is not kept
        assert len(server.requests) == 6
