"""Names that resolve elsewhere, Unix sockets and urllib3-future: what works with requests, works with this library."""

import socket
from dataclasses import replace
from urllib.parse import quote

import pytest
import requests
import urllib3
from side_by_side import (
    ANSWER,
    PROMPT,
    assert_same,
    cancelled_between_two_chunks,
    chat_streamed,
    plainly,
    skip_if_requests_fails,
    streamed,
    unix_socket,
    uploaded,
)

import geministream
from geministream import Cancel, Endpoint, Retry, TransportError
from geministream.testing import Answer, LocalServer


@pytest.fixture(params=[True, False], ids=["gzip", "identity"])
def server(request):
    with LocalServer(gzip=request.param) as server:
        yield server


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


def test_a_cancel_reaches_a_unix_socket(unix_session, unix_url, server):
    endpoint = Endpoint(unix_url, api_key=server.api_key, session=unix_session, timeout=(5, 30))
    cancelled_between_two_chunks(unix_session, server, endpoint)


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
