"""Proxies that others have written, named by the environment: first plain requests, then this library."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("proxy", reason="proxy.py is not installed (extra: interop)")
pytest.importorskip("socks", reason="PySocks is not installed (extra: interop)")

import requests
from support.proxies import Certificates, Proxy

from geministream import (
    Cancel,
    Chat,
    Endpoint,
    GeministreamError,
    StreamCancelled,
    StreamTimeoutError,
    TransportError,
    generate_many,
    stream_generate,
    upload_file,
)
from geministream.testing import Answer, LocalServer

pytestmark = pytest.mark.early

MODEL = "gemini-flash-latest"
KEY = "secret-key-of-this-test"
MITMDUMP = os.path.join(os.path.dirname(sys.executable), "mitmdump")
LONG = 20  # seconds; nothing waits so long, unless it hangs


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"), ["localhost", "gemini.example"])


@pytest.fixture(params=["http", "https"])
def server(request, certificates, monkeypatch):
    tls = certificates.context() if request.param == "https" else None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    with LocalServer(api_key=KEY, tls=tls) as server:
        yield server


def through(monkeypatch, url):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, url)


def plainly(endpoint, prompt="Hello", session=requests, timeout=LONG):
    response = session.post(
        endpoint.model_url(MODEL, "streamGenerateContent", {"alt": "sse"}),
        stream=True,
        timeout=timeout,
        headers={"x-goog-api-key": KEY},
        json={"contents": [{"role": "user", "parts": [{"text": prompt}]}]},
    )
    response.raise_for_status()
    for line in response.iter_lines():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])["candidates"][0]["content"]["parts"][0]["text"]


def streamed(endpoint, prompt="Hello", **options):
    return (chunk.text for chunk in stream_generate(MODEL, prompt, endpoint=endpoint, **options))


def assert_streams(server):
    """Both get each chunk when it is sent, not at the end of the answer; and all else goes the same way."""
    endpoint = server.endpoint
    for ask in (plainly, streamed):
        assert "".join(ask(endpoint)) == "You said: Hello"
        at_once, seen = threading.Event(), threading.Event()
        at_once.set()
        server.queue(Answer(chunks=["first", "last"], gates=[at_once, seen]))
        chunks = ask(endpoint)
        assert next(chunks) == "first"
        seen.set()
        assert list(chunks) == ["last"]
    assert server.request_count == 4
    assert {recorded.headers["x-goog-api-key"] for recorded in server.requests} == {KEY}
    with Chat(MODEL, endpoint=endpoint) as chat:
        assert "".join(chunk.text for chunk in chat.send("One")) == "You said: One"
    assert upload_file(b"x" * 300_000, mime_type="text/plain", endpoint=endpoint).size_bytes == 300_000
    prompts = [f"prompt {k}" for k in range(6)]
    results = generate_many(prompts, model=MODEL, endpoint=endpoint)
    assert sorted(result.text for result in results) == [f"You said: {prompt}" for prompt in prompts]


def texts_of(error):
    """The texts of an error and of what caused it."""
    texts = []
    while error is not None:
        texts.append(f"{error} {error!r}")
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


class Program:
    """A proxy in a process of its own, which listens at ``netloc``."""

    def __init__(self, *command):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.netloc = f"127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [argument.format(port=port) for argument in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, f"{command} has ended"
                assert time.monotonic() < until, f"{command} does not listen"
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait(LONG)


# proxy.py ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxy_py():
    with Program(
        sys.executable,
        "-m",
        "proxy",
        "--hostname",
        "127.0.0.1",
        "--port",
        "{port}",
        "--basic-auth",
        "me:pass word",
        "--num-workers",
        "1",
        "--num-acceptors",
        "1",
        "--log-level",
        "CRITICAL",
    ) as program:
        yield program.netloc


def test_proxy_py_with_a_password(server, proxy_py, monkeypatch):
    through(monkeypatch, f"http://me:pass%20word@{proxy_py}")
    assert_streams(server)
    # Whether this proxy takes away what was meant for it depends on the connection, not on who asks.
    plain, _, ours, *_ = [recorded.headers.get("proxy-authorization") for recorded in server.requests]
    assert plain == ours


def test_proxy_py_with_a_wrong_password(server, proxy_py, monkeypatch):
    through(monkeypatch, f"http://me:not-this-one@{proxy_py}")
    with pytest.raises(requests.RequestException, match="407"):
        list(plainly(server.endpoint))
    with pytest.raises(GeministreamError, match="407") as caught:
        list(streamed(server.endpoint))
    assert server.request_count == 0
    text = texts_of(caught.value)
    assert KEY not in text and "not-this-one" not in text


# mitmproxy -----------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists(MITMDUMP), reason="mitmproxy is not installed (extra: interop)")
def test_mitmproxy(server, certificates, tmp_path, monkeypatch):
    with Program(
        MITMDUMP,
        "--quiet",
        "--listen-host",
        "127.0.0.1",
        "--listen-port",
        "{port}",
        "--set",
        "stream_large_bodies=1",
        "--set",
        f"confdir={tmp_path}",
        "--set",
        f"ssl_verify_upstream_trusted_ca={certificates.authority}",
    ) as program:
        through(monkeypatch, f"http://{program.netloc}")
        if server.url.startswith("https"):  # the server's own certificate is not what the client sees
            for ask in (plainly, streamed):
                with pytest.raises((requests.exceptions.SSLError, TransportError), match="(?i)certificate"):
                    list(ask(server.endpoint))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "mitmproxy-ca-cert.pem"))
        assert_streams(server)


# SOCKS ---------------------------------------------------------------------------------------


class Socks(Proxy):
    """A SOCKS 5 proxy (RFC 1928), perhaps with a password (RFC 1929).

    :param silent: never say whether the connection is made.
    """

    def __init__(self, routes=None, *, user=None, silent=False):
        super().__init__(routes, user=user)
        self.asked = threading.Event()
        self._silent = silent

    def _begin(self, client):
        def read(size):
            return client.recv(size, socket.MSG_WAITALL)

        methods = read(read(2)[1])
        method = 2 if self._user else 0
        if method not in methods:
            client.sendall(b"\x05\xff")
            return None
        client.sendall(bytes([5, method]))
        if self._user:
            name = read(read(2)[1]).decode()
            right = f"{name}:{read(read(1)[0]).decode()}" == self._user
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return None
        _, _, _, kind = read(4)
        host = socket.inet_ntoa(read(4)) if kind == 1 else read(read(1)[0]).decode()
        netloc = f"{host}:{int.from_bytes(read(2), 'big')}"
        self.requests.append(netloc)
        self.asked.set()
        if self._silent:
            client.recv(1)  # until it leaves
            return None
        server = self._connect(netloc)
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        return server


@pytest.mark.parametrize("user", [None, "me:password"])
def test_socks(server, user, monkeypatch):
    with Socks(user=user) as proxy:
        through(monkeypatch, f"socks5://{user + '@' if user else ''}{proxy.netloc}")
        assert_streams(server)
        assert set(proxy.requests) == {f"127.0.0.1:{server.port}"}


@pytest.mark.filterwarnings("ignore::geministream.InsecureEndpointWarning")
def test_socks_that_finds_the_name(server, monkeypatch):
    scheme, _, _ = server.url.partition(":")
    with Socks({f"gemini.example:{server.port}": server.port}) as proxy:
        through(monkeypatch, f"socks5h://{proxy.netloc}")
        endpoint = Endpoint(f"{scheme}://gemini.example:{server.port}", api_key=KEY)
        assert "".join(plainly(endpoint)) == "".join(streamed(endpoint)) == "You said: Hello"
        assert proxy.requests == [f"gemini.example:{server.port}"] * 2


def test_socks_with_a_wrong_password(server, monkeypatch):
    endpoint = server.endpoint
    with Socks(user="me:password") as proxy:
        for given in ("me:not-this-one@", ""):
            through(monkeypatch, f"socks5://{given}{proxy.netloc}")
            with pytest.raises(requests.ConnectionError):
                list(plainly(endpoint))
            with pytest.raises(TransportError) as caught:
                list(streamed(endpoint))
            text = texts_of(caught.value)
            assert KEY not in text and "not-this-one" not in text
    assert server.request_count == 0 and not proxy.requests


@pytest.mark.parametrize("own", [False, True], ids=["library's session", "own session"])
@pytest.mark.parametrize("how", ["deadline", "cancel"])
@pytest.mark.parametrize("where", ["handshake", "answer"])
def test_a_call_through_socks_ends_in_time(server, where, how, own, monkeypatch):
    """Whether the proxy is silent, or the server behind it."""
    at_once, never = threading.Event(), threading.Event()
    at_once.set()
    server.answer_with(lambda recorded: Answer(chunks=["first", "last"], gates=[at_once, never]))
    with Socks(silent=where == "handshake") as proxy, requests.Session() as session:
        through(monkeypatch, f"socks5://{proxy.netloc}")
        with pytest.raises(requests.RequestException):  # plain requests has nothing but its time-out
            list(plainly(server.endpoint, timeout=0.5))
        proxy.asked.clear()
        # PySocks shows nobody its socket before the proxy has answered: the time-out for connecting ends
        # that, and what the call then raises is the cancel.
        connect = 3 if (where, how) == ("handshake", "cancel") else 60
        endpoint = Endpoint(
            server.url, api_key=KEY, timeout=(connect, 60), retry=None, session=session if own else None
        )
        cancel = Cancel()
        options = {"deadline": 1} if how == "deadline" else {"cancel": cancel}

        def cancel_it():
            if proxy.asked.wait(LONG):
                cancel.cancel()

        chunks = streamed(endpoint, **options)
        began = time.monotonic()
        canceller = threading.Thread(target=cancel_it)
        if where == "answer":
            assert next(chunks) == "first"
        if how == "cancel":
            canceller.start()
        with pytest.raises(StreamTimeoutError if how == "deadline" else StreamCancelled):
            list(chunks)
        assert time.monotonic() - began < LONG
        if how == "cancel":
            canceller.join()
