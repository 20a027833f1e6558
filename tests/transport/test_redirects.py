"""Redirects within the origin and to another, and .netrc."""

import gzip
import json

import pytest
import requests
from support.calls import KEY, ask, outcome, recording, redirecting, within
from support.dialects import THREE, A, C, sse
from support.memory import TracedMemory
from support.raw_server import RawServer, head

from geministream import APIError, Endpoint, TransportError
from geministream.testing import Answer

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


def test_endless_redirects(sleeps):
    with recording(redirecting({PATH: "/a", "/a": "/b", "/b": "/a"})) as raw:
        texts, raised = outcome(ask(Endpoint(raw.url, auth=())))
        assert type(raised) is TransportError and "redirects forever" in str(raised)
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
