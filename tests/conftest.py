"""What all tests share: an environment without surprises."""

import dataclasses
import gc
import os
import signal
import subprocess
import sys

import pytest

from geministream.testing import LocalServer
from geministream.transport.patience import Patience

# A failing assert in there shows its values, as one in a test does.
pytest.register_assert_rewrite("support")

from support.raw_server import server_tls  # noqa: E402  after the line above
from support.side_by_side import FIGURES, pytest_addoption, pytest_runtestloop  # noqa: E402, F401  hooks


def pytest_collection_finish():
    gc.collect()
    getattr(gc, "freeze", int)()  # thousands of tests, to be looked through at each collection otherwise


# What a developer's shell may hold and would change what the tests see.
_VARIABLES = (
    "PYTHONDONTWRITEBYTECODE",  # programs would compile the package, each anew
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "NETRC",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)


@pytest.fixture(autouse=True, scope="session")
def _plain_environment():
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in _VARIABLES:
            monkeypatch.delenv(name, raising=False)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            # Shells let background jobs ignore Ctrl-C, and programs inherit that.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # The user's own .netrc is looked for in the home directory.
        monkeypatch.setenv("NETRC", os.devnull)
        yield


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """A server's `ssl.SSLContext`, and the path of the certificate to trust."""
    return server_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted_tls(tls, monkeypatch):
    """A server's `ssl.SSLContext` whose certificate this process trusts."""
    context, certificate = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    return context


@pytest.fixture
def run_python():
    """Run Python code in a process of its own, which finds what this one finds."""

    def run(code, *options, timeout=60, **environment):
        path = os.pathsep.join([os.path.dirname(os.path.abspath(__file__)), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, *options, "-c", code],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def sleeps(monkeypatch):
    """The seconds that calls would sleep; nobody sleeps."""
    slept = []
    monkeypatch.setattr(Patience, "sleep", lambda patience, seconds: slept.append(seconds))
    return slept


@pytest.fixture
def server():
    """A `LocalServer`; a fault of its own is raised at the end of the test."""
    with LocalServer() as server:
        yield server


@pytest.fixture
def endpoint(server):
    """The server's endpoint, without retries."""
    return dataclasses.replace(server.endpoint, retry=None)


@pytest.fixture(scope="session")
def figures():
    """A dict of name to number; it is printed when all tests have run."""
    return FIGURES


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("figures")
        for name, number in sorted(FIGURES.items()):
            terminalreporter.write_line(f"{name}: {number}")
