"""Sessions, adapters, hooks and pools that are not plain: what works with requests, works with this library."""

import datetime
import io
import logging
import socket
import threading
import time
from dataclasses import replace
from urllib.parse import quote

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from side_by_side import (
    ANSWER,
    EVENTS,
    MODEL,
    PROMPT,
    assert_same,
    chat_streamed,
    plainly,
    skip_if_requests_fails,
    streamed,
    unix_socket,
    uploaded,
    url_of,
)
from support.raw_server import RawServer, answering, head

import geministream
from geministream import (
    AuthenticationError,
    BadRequestError,
    Cancel,
    ConfigurationError,
    Endpoint,
    RateLimitError,
    Retry,
    ServerError,
    TransportError,
)
from geministream.testing import Answer, LocalServer


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


@pytest.fixture(params=[True, False], ids=["gzip", "identity"])
def server(request):
    with LocalServer(gzip=request.param) as server:
        yield server


# Sessions that bring the credentials ----------------------------------------------


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


# Adapters ----------------------------------------------------------------------------


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


# Other name resolution ------------------------------------------------------------------


@pytest.fixture
def override(monkeypatch):
    """The well-known way to send a name elsewhere: urllib3's own function is replaced."""
    original = urllib3.util.connection.create_connection

    def put(target):
        asked = []

        def create_connection(address, *args, **kwargs):
            asked.append(address[0])
            return original((target, address[1]), *args, **kwargs)

        monkeypatch.setattr(urllib3.util.connection, "create_connection", create_connection)
        return asked

    return put


LIMITS = pytest.mark.parametrize(
    "limits",
    [{}, {"deadline": 20}, {"cancel": True}, {"deadline": 20, "cancel": True}],
    ids=["", "deadline", "cancel", "both"],
)


def limited(limits):
    return {**limits, "cancel": Cancel()} if "cancel" in limits else limits


@LIMITS
@pytest.mark.parametrize("own", [True, False], ids=["own session", "library's session"])
@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
def test_a_name_that_only_the_override_knows(session, server, override, limits, own):
    asked = override("127.0.0.1")
    endpoint = replace(server.endpoint, base_url=f"http://gemini.invalid:{server.port}")
    skip_if_requests_fails(session, endpoint, "a create_connection of one's own")
    with requests.Session() as fresh:
        assert streamed(fresh if own else None, endpoint, **limited(limits)) == ANSWER
    assert asked == ["gemini.invalid", "gemini.invalid"]


@LIMITS
@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
def test_a_getaddrinfo_of_ones_own(session, server, monkeypatch, limits):
    original = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        return original("127.0.0.1" if host == "gemini.invalid" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    endpoint = replace(server.endpoint, base_url=f"http://gemini.invalid:{server.port}")
    assert plainly(session, endpoint) == streamed(None, endpoint, **limited(limits)) == ANSWER


# Unix sockets ---------------------------------------------------------------------------


@pytest.fixture
def unix_session():
    # requests-unixsocket2 has the same name for its module.
    module = pytest.importorskip(
        "requests_unixsocket", reason="requests-unixsocket is not installed (extra: interop)"
    )
    with requests.Session() as session:
        session.mount("http+unix://", module.UnixAdapter())
        yield session


@pytest.fixture
def unix_url(server, tmp_path):
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no Unix sockets here")
    path = str(tmp_path / "socket")
    with unix_socket(server.port, path):
        yield f"http+unix://{quote(path, safe='')}"


@LIMITS
@pytest.mark.parametrize("auth", ["header", "query"])
def test_unix_sockets(unix_session, unix_url, server, auth, limits):
    endpoint = Endpoint(
        unix_url, api_key=server.api_key, auth=auth, session=unix_session, retry=Retry(initial_delay=0.01)
    )
    assert_same(unix_session, server, endpoint)
    assert streamed(unix_session, endpoint, **limited(limits)) == ANSWER


def test_files_and_retries_over_unix_sockets(unix_session, unix_url, server):
    endpoint = Endpoint(
        unix_url, api_key=server.api_key, session=unix_session, retry=Retry(initial_delay=0.01)
    )
    assert uploaded(unix_session, endpoint) == 15
    file = geministream.upload_file(b"x" * 100, mime_type="text/plain", endpoint=endpoint, cancel=Cancel())
    assert "100 bytes" in streamed(unix_session, endpoint, prompt=file)
    assert [each.name for each in geministream.list_files(endpoint=endpoint)]
    server.queue(Answer.failure(503))
    assert streamed(unix_session, endpoint) == ANSWER


def test_a_relative_upload_url_over_unix_sockets(unix_session, unix_url, server):
    seen = []

    def relative(response, **_):
        for name in ("X-Goog-Upload-URL", "X-Goog-Upload-Control-URL"):
            if name in response.headers:
                seen.append(response.headers[name])
                response.headers[name] = response.headers[name][len(server.url) :]

    unix_session.hooks["response"].append(relative)
    assert uploaded(unix_session, Endpoint(unix_url, api_key=server.api_key, session=unix_session)) == 15
    assert seen and all(url.startswith(f"{server.url}/upload/") for url in seen)


def cancelled_between_two_chunks(session, server, endpoint):
    """Cancel on another thread while nothing comes; the kind of error that ended it."""
    server.queue(Answer(chunks=["one", threading.Event(), "two"]))
    cancel = Cancel()
    chunks = geministream.stream_generate(
        MODEL, PROMPT, endpoint=replace(endpoint, session=session), cancel=cancel
    )
    assert next(chunks).text == "one"
    timer = threading.Timer(0.1, cancel.cancel)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(geministream.StreamCancelled):
        next(chunks)
    timer.join()
    assert time.monotonic() - begun < 20  # the timeout is 30 s
    assert not cancel._callbacks
    assert streamed(session, endpoint) == ANSWER


def test_a_cancel_reaches_a_unix_socket(unix_session, unix_url, server):
    endpoint = Endpoint(unix_url, api_key=server.api_key, session=unix_session, timeout=(5, 30))
    cancelled_between_two_chunks(unix_session, server, endpoint)


@pytest.mark.parametrize("adapter", [AddsHeaders, Wraps])
def test_a_cancel_reaches_the_connection_of_an_adapter(session, server, adapter):
    session.mount("http://", adapter())
    cancelled_between_two_chunks(session, server, server.endpoint)


def test_a_unix_socket_that_is_not_there(unix_session, tmp_path):
    url = f"http+unix://{quote(str(tmp_path / 'none'), safe='')}"
    endpoint = Endpoint(url, api_key="secret-key", session=unix_session, retry=None)
    with pytest.raises(requests.ConnectionError):
        plainly(unix_session, endpoint)
    with pytest.raises(TransportError) as caught:
        streamed(unix_session, endpoint)
    assert "No such file" in str(caught.value)


def test_redirects_stay_at_the_unix_socket(unix_session, unix_url, server):
    endpoint = Endpoint(unix_url, api_key=server.api_key, session=unix_session, retry=None)
    server.queue(Answer(status=307, headers={"Location": "http://elsewhere.example/"}, body=b""))
    with pytest.raises(TransportError, match="refused the redirect"):
        streamed(unix_session, endpoint)


@pytest.mark.parametrize(
    "given", [None, requests.Session()], ids=["no session", "a session without an adapter"]
)
@pytest.mark.parametrize(
    "url", ["http+unix://%2Ftmp%2Fsocket", "ftp://host", "file:///etc/passwd", "host", "mock://x"]
)
def test_a_scheme_without_an_adapter_for_it(given, url):
    with pytest.raises(ConfigurationError, match="does not begin with http:// or https://"):
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


# urllib3-future ---------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(urllib3, "AsyncHTTPConnectionPool"), reason="urllib3 is not urllib3-future")
@LIMITS
@pytest.mark.parametrize("own", [True, False], ids=["own session", "library's session"])
@pytest.mark.parametrize("auth", ["header", "query"])
def test_urllib3_future(session, server, own, auth, limits):
    endpoint = replace(server.endpoint, auth=auth)
    assert_same(session, server, endpoint)
    given = session if own else None
    assert streamed(given, endpoint, **limited(limits)) == ANSWER
    assert uploaded(given, endpoint) == 15
    server.queue(Answer.failure(503))
    assert chat_streamed(given, endpoint, PROMPT, "two") == [ANSWER, "I was sent 3 contents.\nYou said: two"]
    server.queue(Answer(stop_after=20, stop_how="drop"))
    with pytest.raises(geministream.GeministreamError):
        streamed(given, replace(endpoint, retry=None))
