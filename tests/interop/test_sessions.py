"""Sessions and hooks that are not plain: what works with requests, works with this library."""

import datetime
import logging
from dataclasses import replace

import pytest
import requests
from side_by_side import ANSWER, PROMPT, assert_same, chat_streamed, plainly, streamed, uploaded, url_of
from support.raw_server import RawServer, answering, head

from geministream import (
    AuthenticationError,
    BadRequestError,
    Cancel,
    Endpoint,
    RateLimitError,
    Retry,
    ServerError,
)
from geministream.testing import Answer, LocalServer


@pytest.fixture(params=[True, False], ids=["gzip", "identity"])
def server(request):
    with LocalServer(gzip=request.param) as server:
        yield server


def bearer(server):
    """The server's endpoint for a session that brings its own credentials."""
    return Endpoint(server.url, auth=(), timeout=(5, 30), retry=Retry(initial_delay=0.01))


def tokens_of(server):
    return [each.headers.get("authorization") for each in server.requests]


@pytest.fixture
def vertex():
    with LocalServer(profile="vertex", api_key="fresh") as server:
        yield server


def vertex_without_token(server):
    return replace(server.endpoint, auth=(), api_key=None)


def google_session(*tokens):
    google = pytest.importorskip(
        "google.auth.credentials", reason="google-auth is not installed (extra: interop)"
    )
    from google.auth.transport.requests import AuthorizedSession

    class Credentials(google.Credentials):
        def refresh(self, request):
            self.token = given.pop(0)
            self.expiry = datetime.datetime.now(datetime.timezone.utc).replace(
                tzinfo=None
            ) + datetime.timedelta(1)

    given = list(tokens)
    return AuthorizedSession(Credentials())


def test_authorized_session(vertex):
    endpoint = vertex_without_token(vertex)
    with google_session("fresh") as session:
        assert_same(session, vertex, endpoint)
    assert tokens_of(vertex) == ["Bearer fresh"] * 3


def test_authorized_session_refreshes_its_token_after_a_401(vertex):
    endpoint = vertex_without_token(vertex)
    for ask in (plainly, streamed):
        with google_session("stale", "fresh") as session:
            assert ask(session, endpoint) == ANSWER
            assert ask(session, endpoint) == ANSWER
    assert tokens_of(vertex) == ["Bearer stale", "Bearer fresh", "Bearer fresh"] * 2


def test_authorized_session_whose_tokens_are_all_refused(vertex):
    with google_session("stale", "stale", "stale") as session:
        with pytest.raises(requests.HTTPError, match="401"):
            plainly(session, vertex_without_token(vertex))
    plain = len(vertex.requests)
    with google_session("stale", "stale", "stale") as session:
        with pytest.raises(AuthenticationError) as caught:
            streamed(session, vertex_without_token(vertex))
    assert len(vertex.requests) == 2 * plain
    assert "stale" not in str(caught.value)


def test_authorized_session_refreshes_under_a_deadline_and_a_cancel(vertex):
    with google_session("stale", "fresh") as session:
        assert streamed(session, vertex_without_token(vertex), deadline=20, cancel=Cancel()) == ANSWER
    assert tokens_of(vertex) == ["Bearer stale", "Bearer fresh"]


def oauth_session(**options):
    requests_oauthlib = pytest.importorskip(
        "requests_oauthlib", reason="requests-oauthlib is not installed (extra: interop)"
    )
    return requests_oauthlib.OAuth2Session("client", **options)


def test_oauth2_session(vertex, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the server speaks plain HTTP
    with oauth_session(token={"access_token": "fresh", "token_type": "Bearer"}) as session:
        assert_same(session, vertex, vertex_without_token(vertex))
    assert tokens_of(vertex) == ["Bearer fresh"] * 3


def test_oauth2_session_refreshes_a_token_that_is_over(vertex, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    token = b'{"access_token": "fresh", "token_type": "Bearer", "expires_in": 3600}'
    tokens = answering(head(content_type="application/json", content_length=len(token)) + token)
    with RawServer(tokens) as raw:
        for ask in (plainly, streamed):
            with oauth_session(
                token={
                    "access_token": "stale",
                    "token_type": "Bearer",
                    "refresh_token": "r",
                    "expires_in": -1,
                },
                auto_refresh_url=f"{raw.url}/token",
                token_updater=lambda token: None,
            ) as session:
                assert ask(session, vertex_without_token(vertex)) == ANSWER
        assert raw.connections == 2
    assert tokens_of(vertex) == ["Bearer fresh"] * 2


# requests-toolbelt -----------------------------------------------------------------


def test_dump_all_in_a_hook(session, server):
    dump = pytest.importorskip(
        "requests_toolbelt.utils.dump", reason="requests-toolbelt is not installed (extra: interop)"
    )
    dumped = []
    session.hooks["response"].append(lambda response, **_: dumped.append(dump.dump_all(response)))
    assert_same(session, server)
    assert len(dumped) == 3
    assert all(b"streamGenerateContent" in each and b'"text"' in each for each in dumped)


def test_dump_all_and_a_key_in_the_query(session, server):
    dump = pytest.importorskip(
        "requests_toolbelt.utils.dump", reason="requests-toolbelt is not installed (extra: interop)"
    )
    dumped = []
    session.hooks["response"].append(lambda response, **_: dumped.append(dump.dump_all(response)))
    assert_same(session, server, replace(server.endpoint, auth="query"))
    assert len(dumped) == 3


def test_base_url_session(server):
    sessions = pytest.importorskip(
        "requests_toolbelt.sessions", reason="requests-toolbelt is not installed (extra: interop)"
    )
    with sessions.BaseUrlSession(base_url=server.url + "/somewhere/") as session:
        assert_same(session, server)


def test_source_address_adapter(session, server):
    adapters = pytest.importorskip(
        "requests_toolbelt.adapters.source", reason="requests-toolbelt is not installed (extra: interop)"
    )
    session.mount("http://", adapters.SourceAddressAdapter("127.0.0.2"))
    assert_same(session, server)


# Something else reads the body first -------------------------------------------------


def reads_content(response, **_):
    assert isinstance(response.content, bytes)


def reads_lines(response, **_):
    response._content = b"\n".join(response.iter_lines()) + b"\n\n"


def reads_raw(response, **_):
    response._content = response.raw.read(decode_content=True)


@pytest.mark.parametrize("hook", [reads_content, reads_lines, reads_raw])
def test_a_hook_that_reads_the_body(session, server, hook):
    session.hooks["response"].append(hook)
    assert session.post(
        url_of(server.endpoint),
        json={"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
        headers={"x-goog-api-key": server.api_key},
        stream=True,
    ).content.startswith(b"data: ")
    for _ in range(2):
        assert streamed(session, server.endpoint) == ANSWER
    assert chat_streamed(session, server.endpoint, PROMPT) == [ANSWER]
    assert uploaded(session, server.endpoint) == 15
    server.queue(Answer.failure(429, retry_info="0.01s"))
    assert streamed(session, server.endpoint) == ANSWER


class Logging(requests.Session):
    """Reads each answer before anybody else does."""

    def request(self, *args, **kwargs):
        response = super().request(*args, **kwargs)
        logging.getLogger("test").info(response.text)
        return response


class NotStreaming(requests.Session):
    def request(self, *args, **kwargs):
        return super().request(*args, **{**kwargs, "stream": False})


class SendsUnstreamed(requests.Session):
    def send(self, *args, **kwargs):
        return super().send(*args, **{**kwargs, "stream": False})


@pytest.mark.parametrize("kind", [Logging, NotStreaming, SendsUnstreamed])
def test_a_session_that_reads_the_body(server, kind):
    with kind() as session:
        assert_same(session, server)
        assert uploaded(session, server.endpoint) == 15
        with pytest.raises(BadRequestError) as caught:
            server.queue(Answer.failure(400))
            streamed(session, server.endpoint)
        assert caught.value.code == 400


def raises_for_status(response, **_):
    response.raise_for_status()


@pytest.mark.parametrize(
    "status, error, retry",
    [
        (400, BadRequestError, Retry(initial_delay=0.01)),
        (429, RateLimitError, None),
        (503, ServerError, None),
    ],
    ids=str,
)
def test_a_hook_that_raises_for_the_status(session, server, status, error, retry):
    session.hooks["response"].append(raises_for_status)
    server.queue(*[Answer.failure(status, retry_info="7s") for _ in range(2)])
    with pytest.raises(requests.HTTPError, match=str(status)):
        plainly(session, server.endpoint)
    with pytest.raises(error) as caught:
        streamed(session, replace(server.endpoint, retry=retry))
    assert caught.value.code == status
    assert caught.value.retry_after == (7 if status != 400 else caught.value.retry_after)
    assert len(server.requests) == 2


def test_a_hook_that_raises_for_the_status_of_what_is_retried(session, server):
    session.hooks["response"].append(raises_for_status)
    server.queue(*[Answer.failure(status, retry_info="0.01s") for status in (429, 503)])
    assert streamed(session, server.endpoint) == ANSWER
    assert len(server.requests) == 3
    assert plainly(session, server.endpoint) == ANSWER
