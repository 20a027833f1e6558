"""README.rst's example for Vertex with the real google-auth, which gets its token from a server of ours."""

import json

import pytest

pytest.importorskip("google.auth", reason="google-auth is not installed (extra: interop)")

from support import readme
from support.proxies import Certificates, Proxy
from support.raw_server import RawServer, head

from geministream.testing import LocalServer


def test_the_readmes_example(tmp_path, monkeypatch, capsys):
    certificates = Certificates(tmp_path, ["oauth2.googleapis.com", "europe-west4-aiplatform.googleapis.com"])
    (tmp_path / "credentials.json").write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "secret",
                "refresh_token": "refresh",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    asked = []

    def give_token(connection):
        asked.append(connection.read_request())
        body = json.dumps(
            {"access_token": "fresh-token", "expires_in": 3600, "token_type": "Bearer"}
        ).encode()
        connection.send(head(content_type="application/json", content_length=len(body)) + body)

    context = certificates.context()
    with RawServer(give_token, tls=context) as tokens, LocalServer(
        profile="vertex", api_key="fresh-token", tls=context
    ) as server, Proxy(
        {"oauth2.googleapis.com:443": tokens.port, "europe-west4-aiplatform.googleapis.com:443": server.port}
    ) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        code = readme.code("endpoint-vertex")
        again = code[code.index("for chunk in") :]
        exec(code + again, {})
        assert capsys.readouterr().out == "You said: Hello" * 2
        assert len(asked) == 1 and b"refresh_token" in asked[0]  # the second call found the token valid
        assert {recorded.headers["authorization"] for recorded in server.requests} == {"Bearer fresh-token"}
        assert "/projects/my-project/locations/europe-west4/" in server.requests[0].path
