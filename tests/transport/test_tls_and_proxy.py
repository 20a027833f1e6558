"""TLS, proxies and client certificates, as with requests: through a session or the environment.

Everything is real here: LocalServer speaks TLS with a certificate that openssl
makes on the fly, and the proxies of ``support/proxies.py`` forward and tunnel.
"""

import threading
from dataclasses import replace

import pytest
import requests
from support.proxies import Certificates, Proxy

from geministream import (
    AuthenticationError,
    Cancel,
    Endpoint,
    IncompleteStreamError,
    StreamCancelled,
    StreamTimeoutError,
    TransportError,
    collect,
    generate_many,
    part_from_bytes,
    stream_generate,
    upload_file,
)
from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"
KEY = "secret-key-of-this-test"
ANSWER = "You said: Hello there, how are you today?"
PROMPT = "Hello there, how are you today?"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(
        tmp_path_factory.mktemp("certificates"), ["localhost", "gemini.example", "proxy.example"]
    )


@pytest.fixture
def server(certificates):
    """LocalServer behind TLS."""
    with LocalServer(api_key=KEY, tls=certificates.context()) as server:
        yield server


@pytest.fixture
def session(certificates):
    with requests.Session() as session:
        session.verify = certificates.authority
        yield session


def ask(endpoint, contents=PROMPT, **more):
    return collect(stream_generate(MODEL, contents, endpoint=endpoint, **more)).text


def without_secrets(error):
    """The error and all that it carries along hold neither key nor password."""
    seen, waiting = set(), [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            assert KEY not in str(each) + repr(each) and "pass-word" not in str(each) + repr(each)
            waiting += [each.__cause__, each.__context__, *each.args]
    return True


# TLS --------------------------------------------------------------------------------


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_an_authority_of_ones_own_through_the_session(server, session, alt):
    assert ask(replace(server.endpoint, session=session), alt=alt) == ANSWER


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own_through_the_environment(server, certificates, monkeypatch, variable):
    monkeypatch.setenv(variable, certificates.authority)
    assert ask(server.endpoint) == ANSWER
    results = list(generate_many([PROMPT] * 9, model=MODEL, endpoint=server.endpoint))
    assert [result.text for result in results] == [ANSWER] * 9


def test_nobody_else_is_trusted(server, certificates, monkeypatch):
    connections = server.connections
    with pytest.raises(TransportError) as caught:
        ask(server.endpoint)
    assert "certificate" in str(caught.value).lower() and without_secrets(caught.value)
    assert isinstance(caught.value.__cause__, requests.exceptions.SSLError)
    assert server.connections == connections + 1 and server.request_count == 0  # it is not tried again
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.others)
    with pytest.raises(TransportError, match="(?i)certificate"):
        ask(server.endpoint)
    assert server.request_count == 0


def test_the_name_must_fit(server, session):
    with Proxy({"other.example:443": server.port}) as proxy:
        session.proxies = {"https": proxy.url}
        with pytest.raises(TransportError, match="(?i)other.example"):
            ask(Endpoint("https://other.example", api_key=KEY, session=session))
        assert len(proxy.requests) == 1 and server.request_count == 0  # it is not tried again


def test_a_bundle_that_is_missing(server, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(TransportError, match="nowhere.pem"):
        ask(replace(server.endpoint, retry=None))


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_no_verification_where_the_session_says_so(server):
    with requests.Session() as session:
        session.verify = False
        assert ask(replace(server.endpoint, session=session)) == ANSWER


def test_a_client_certificate(certificates, session):
    with LocalServer(api_key=KEY, tls=certificates.context(want_client=True)) as server:
        endpoint = replace(server.endpoint, session=session)
        with pytest.raises((TransportError, IncompleteStreamError)) as caught:
            ask(endpoint)
        assert without_secrets(caught.value) and server.request_count == 0
        session.cert = certificates.client
        assert ask(endpoint) == ANSWER


def test_chunks_come_through_tls_as_they_are_sent(server, session):
    """A chunk is here before the next one is sent, and a record's end is not a chunk's."""
    gates = [threading.Event() for _ in range(3)]
    server.queue(Answer(chunks=["one ", gates[0], "two ", gates[1], "three ", gates[2], "x" * 70_000]))
    chunks = stream_generate(MODEL, PROMPT, endpoint=replace(server.endpoint, session=session))
    for text, gate in zip(["one ", "two ", "three "], gates):
        assert next(chunks).text == text
        gate.set()
    assert [len(chunk.text) for chunk in chunks] == [70_000]


def test_a_cancel_and_a_deadline_end_a_tls_connection(server, session):
    endpoint = replace(server.endpoint, session=session)
    never = threading.Event()
    server.queue(Answer(chunks=["one ", never]), Answer(chunks=["one ", never]))
    stop = Cancel()
    chunks = stream_generate(MODEL, PROMPT, endpoint=endpoint, cancel=stop)
    assert next(chunks).text == "one "
    threading.Timer(0.1, stop.cancel).start()
    with pytest.raises(StreamCancelled):
        next(chunks)
    with pytest.raises(StreamTimeoutError) as caught:
        ask(endpoint, deadline=0.8)
    assert caught.value.partial.text == "one "
    for recorded in server.requests:
        assert recorded.client_gone.wait(10)


def test_a_tls_connection_that_breaks(server, session):
    endpoint = replace(server.endpoint, session=session, retry=None)
    for how in ("drop", "reset", "end"):
        server.queue(Answer(chunks=["one ", "two ", "three"], stop_after=400, stop_how=how))
        with pytest.raises(IncompleteStreamError) as caught:
            ask(endpoint)
        assert caught.value.partial.text.startswith("one ")


# Proxies ----------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_tunnel_through_the_environments_proxy(server, session, monkeypatch, variable, alt):
    with Proxy({"gemini.example:443": server.port}) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        endpoint = Endpoint("https://gemini.example", api_key=KEY, session=session)
        assert ask(endpoint, alt=alt) == ANSWER
        (first,) = proxy.requests
        assert first.startswith("CONNECT gemini.example:443 HTTP/1.")
        # The key goes through the tunnel, and is no business of the proxy's.
        assert KEY not in "".join(proxy.heads)
    assert server.requests[0].headers["x-goog-api-key"] == KEY


def test_a_tunnel_serves_several_requests_and_everything_else(server, certificates, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    with Proxy({"gemini.example:443": server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        endpoint = Endpoint("https://gemini.example", api_key=KEY, retry=server.endpoint.retry)
        results = list(generate_many([PROMPT] * 12, model=MODEL, endpoint=endpoint, max_workers=2))
        assert [result.text for result in results] == [ANSWER] * 12
        assert 1 <= len(proxy.requests) <= 2
        file = upload_file(b"x" * 700_000, mime_type="text/plain", chunk_bytes=2**18, endpoint=endpoint)
        assert file.size_bytes == 700_000 and KEY not in "".join(proxy.heads)


def test_a_query_key_through_a_tunnel(session, certificates, monkeypatch):
    with LocalServer(profile="chainhub", api_key=KEY, tls=certificates.context()) as server:
        with Proxy({"gemini.example:443": server.port}) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            endpoint = Endpoint(
                "https://gemini.example", api_key=KEY, auth=("query", "bearer"), session=session
            )
            assert ask(endpoint) == ANSWER
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
            assert ask(replace(endpoint, session=None)) == ANSWER
            assert KEY not in "".join(proxy.heads)
        assert {recorded.query["key"] for recorded in server.requests} == {KEY}


@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("auth", ["header", "query"])
def test_plain_http_is_forwarded(monkeypatch, auth, own_session):
    with LocalServer(api_key=KEY) as server, Proxy({"gemini.example:80": server.port}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", "")  # a CGI variable elsewhere; the small one counts everywhere
        monkeypatch.setenv("http_proxy", proxy.url)
        with requests.Session() as session:
            endpoint = Endpoint(
                "http://gemini.example", api_key=KEY, auth=auth, session=session if own_session else None
            )
            assert ask(endpoint) == ANSWER
        (first,) = proxy.requests
        key = f"&key={KEY}" if auth == "query" else ""
        path = f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse{key}"
        assert first == f"POST http://gemini.example{path} HTTP/1.1"
        assert server.requests[0].target == path


@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
@pytest.mark.parametrize("where", ["http_proxy", "HTTP_PROXY", "Http_Proxy", "All_Proxy", "system"])
def test_proxies_are_found_wherever_requests_finds_them(monkeypatch, where):
    """Windows and macOS have proxies outside the environment, too."""
    with LocalServer(api_key=KEY) as server, Proxy({"gemini.example:80": server.port}) as proxy:
        if where == "system":
            monkeypatch.setattr("requests.utils.getproxies", lambda: {"http": proxy.url})
        else:
            monkeypatch.setenv(where, proxy.url)
        assert ask(Endpoint("http://gemini.example", api_key=KEY)) == ANSWER
        assert len(proxy.requests) == 1


def test_no_proxy_goes_around_it(server, session, monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "gemini.example,127.0.0.1")
        assert ask(replace(server.endpoint, session=session)) == ANSWER
        assert proxy.requests == []
        monkeypatch.setenv("NO_PROXY", "elsewhere.example")
        assert ask(replace(server.endpoint, session=session)) == ANSWER
        assert len(proxy.requests) == 1


def test_the_sessions_proxy(server, session, certificates):
    with Proxy({"gemini.example:443": server.port}) as proxy:
        session.proxies = {"https": proxy.url}
        assert ask(Endpoint("https://gemini.example", api_key=KEY, session=session)) == ANSWER
        assert len(proxy.requests) == 1


def test_a_session_without_trust_in_the_environment(server, session, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    session.trust_env = False
    assert ask(replace(server.endpoint, session=session)) == ANSWER


def test_a_proxy_that_wants_a_password(server, session, monkeypatch):
    with Proxy({"gemini.example:443": server.port}, user="me:pass-word") as proxy:
        endpoint = Endpoint("https://gemini.example", api_key=KEY, session=session, retry=None)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass-word@{proxy.netloc}")
        assert ask(endpoint) == ANSWER
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(TransportError, match="407") as caught:
            ask(endpoint)
        assert without_secrets(caught.value)
    assert server.request_count == 1


@pytest.mark.parametrize("status", ["403 Forbidden", "502 Bad Gateway"])
def test_a_proxy_that_refuses(session, monkeypatch, status):
    with Proxy(refuse=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass-word@{proxy.netloc}")
        endpoint = Endpoint("https://gemini.example", api_key=KEY, session=session, retry=None)
        with pytest.raises(TransportError, match=status[:3]) as caught:
            ask(endpoint)
        assert without_secrets(caught.value)


@pytest.mark.parametrize("auth", ["header", "query"])
def test_a_proxy_that_is_not_there(session, monkeypatch, auth):
    with Proxy() as proxy:
        netloc = proxy.netloc
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass-word@{netloc}")
    endpoint = Endpoint("https://gemini.example", api_key=KEY, auth=auth, session=session, retry=None)
    with pytest.raises(TransportError) as caught:
        ask(endpoint)
    assert without_secrets(caught.value)


def test_a_tunnel_that_breaks(server, session, monkeypatch):
    with Proxy({"gemini.example:443": server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        never = threading.Event()
        server.queue(Answer(chunks=["one ", never]))
        endpoint = Endpoint("https://gemini.example", api_key=KEY, session=session)
        chunks = stream_generate(MODEL, PROMPT, endpoint=endpoint)
        assert next(chunks).text == "one "
        proxy.drop_connections()
        with pytest.raises(IncompleteStreamError):
            next(chunks)


@pytest.mark.parametrize("own_session", [False, True])
def test_a_cancel_reaches_through_a_tunnel(server, session, certificates, monkeypatch, own_session):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    with Proxy({"gemini.example:443": server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        server.queue(Answer(chunks=["one ", threading.Event()]))
        stop = Cancel()
        endpoint = Endpoint("https://gemini.example", api_key=KEY, session=session if own_session else None)
        chunks = stream_generate(MODEL, PROMPT, endpoint=endpoint, cancel=stop)
        assert next(chunks).text == "one "
        threading.Timer(0.1, stop.cancel).start()
        with pytest.raises(StreamCancelled):
            next(chunks)
        assert server.requests[0].client_gone.wait(10)


def test_tls_within_tls(server, certificates, session, monkeypatch):
    """A proxy that is itself spoken to by TLS."""
    with Proxy({"gemini.example:443": server.port}, tls=certificates.context()) as proxy:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)  # for the proxy's own certificate
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        endpoint = Endpoint("https://gemini.example", api_key=KEY, session=session)
        assert ask(endpoint) == ANSWER
        assert ask(endpoint, [part_from_bytes(bytes(6 * 2**20), "image/png"), PROMPT])
        server.queue(Answer(chunks=["one ", threading.Event()]))
        stop = Cancel()
        chunks = stream_generate(MODEL, PROMPT, endpoint=endpoint, cancel=stop)
        assert next(chunks).text == "one "
        threading.Timer(0.1, stop.cancel).start()
        with pytest.raises(StreamCancelled):
            next(chunks)


# Tokens -------------------------------------------------------------------------------


class Tokens:
    """A callable that returns these tokens, then the last one forever."""

    def __init__(self, *tokens):
        self.left = list(tokens)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def vertex(server, token):
    return Endpoint.vertex("local-project", "global", token, base_url=server.url, retry=server.endpoint.retry)


def test_a_callable_token_is_asked_again_once_after_a_401():
    with LocalServer(profile="vertex", api_key="fresh-token") as server:
        tokens = Tokens("stale-token", "fresh-token")
        endpoint = vertex(server, tokens)
        assert ask(endpoint) == ANSWER
        assert tokens.asked == 2
        sent = [recorded.headers["authorization"] for recorded in server.requests]
        assert sent == ["Bearer stale-token", "Bearer fresh-token"]
        assert ask(endpoint) == ANSWER and tokens.asked == 3 and server.request_count == 3


def test_a_token_that_stays_wrong_is_an_error():
    with LocalServer(profile="vertex", api_key="fresh-token") as server:
        tokens = Tokens("stale-token")
        with pytest.raises(AuthenticationError) as caught:
            ask(vertex(server, tokens))
        assert caught.value.code == 401 and "stale-token" not in str(caught.value)
        assert tokens.asked == 2 and server.request_count == 2  # once, and not as often as Retry says
        with pytest.raises(AuthenticationError):
            ask(vertex(server, "stale-token"))
        assert server.request_count == 3


def test_a_token_that_expires_in_the_middle_of_a_long_answer():
    long = " ".join(f"w{k}" for k in range(30))
    with LocalServer(profile="vertex", api_key="first-token", tokens_per_request=9) as server:
        tokens = Tokens("first-token", "second-token")
        chunks = stream_generate(MODEL, long, endpoint=vertex(server, tokens))
        text = next(chunks).text
        server.api_key = "second-token"
        text += "".join(chunk.text for chunk in chunks)
        assert text == f"You said: {long}" and tokens.asked == 2
        assert server.request_count == 5  # four, and the one that was refused


def test_a_token_that_cannot_be_had():
    def token():
        raise LookupError("no token today")

    with LocalServer(profile="vertex") as server:
        with pytest.raises(LookupError, match="no token today"):
            ask(vertex(server, token))
        (result,) = generate_many([PROMPT], model=MODEL, endpoint=vertex(server, token))
        assert isinstance(result.error, LookupError) and result.attempts == 0
        assert server.request_count == 0


def test_many_prompts_with_a_token_that_is_stale_at_first():
    with LocalServer(profile="vertex", api_key="fresh-token") as server:
        lock, asked = threading.Lock(), []

        def token():
            with lock:
                asked.append(None)
                return "stale-token" if len(asked) == 1 else "fresh-token"

        results = list(
            generate_many([PROMPT] * 20, model=MODEL, endpoint=vertex(server, token), max_workers=4)
        )
        assert [result.text for result in results] == [ANSWER] * 20
        assert server.request_count == sum(result.attempts for result in results) == 21 == len(asked)
