"""A page in a browser may talk to the test server from any origin."""

import pytest
import requests

from geministream.testing import LocalServer

ORIGIN = {"Origin": "http://localhost:5173"}
ASK = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
ASKS_FIRST = {
    **ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-goog-api-key",
}


@pytest.mark.parametrize(
    "path", ["/v1beta/models/m:streamGenerateContent", "/upload/v1beta/files", "/v1beta/files/x", "/nowhere"]
)
def test_preflight_needs_no_key(path):
    with LocalServer() as server:
        answer = requests.options(server.url + path, headers=ASKS_FIRST, timeout=10)
        assert answer.status_code == 200 and answer.content == b""
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
        assert answer.headers["Access-Control-Allow-Headers"] == "content-type,x-goog-api-key"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_answers_and_errors_may_be_read():
    with LocalServer() as server:
        url = server.url + "/v1beta/models/m:streamGenerateContent"
        for key, status in (("local-key", 200), ("no", 400)):
            headers = {**ORIGIN, "x-goog-api-key": key}
            answer = requests.post(url, json=ASK, headers=headers, timeout=10)
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
            assert "Origin" in answer.headers["Vary"]
            assert "X-Goog-Upload-URL" in answer.headers["Access-Control-Expose-Headers"]
        plain = requests.post(url, json=ASK, headers={"x-goog-api-key": "local-key"}, timeout=10)
        assert "Access-Control-Allow-Origin" not in plain.headers


def test_options_that_is_not_a_preflight():
    with LocalServer() as server:
        headers = {"x-goog-api-key": "local-key"}
        url = server.url + "/v1beta/models/m:streamGenerateContent"
        assert requests.options(url, headers=headers, timeout=10).status_code == 405
