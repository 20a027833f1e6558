"""A pytest fixture, `gemini_server`: a `LocalServer` for each test, found by code that reads the environment.

pytest finds this plugin by itself if the package is installed; activate a vendored
copy with ``-p mytool.geministream.testing.pytest_plugin``::

    def test_a_full_quota(gemini_server):
        gemini_server.queue(Answer.failure(429))
        with pytest.raises(QuotaExceeded):
            my_code_that_asks_gemini()

pytest imports every plugin in every run, so nothing but pytest is imported
here until a test uses the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from .server import LocalServer

#: These would redirect the code under test: another key, Vertex AI, a proxy.
MISLEADING = (
    "GOOGLE_API_KEY",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
)


@pytest.fixture
def gemini_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A running LocalServer; during the test GEMINI_API_KEY and GOOGLE_GEMINI_BASE_URL point to it."""
    from .server import LocalServer

    with LocalServer() as server:
        for name in MISLEADING:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GEMINI_API_KEY", server.api_key)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        yield server
