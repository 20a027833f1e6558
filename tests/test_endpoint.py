"""Endpoints: URLs for every system, where the key comes from, and that one is a value."""

import copy
import dataclasses
import pickle

import pytest
import responses

from geministream import Endpoint, Retry, collect, stream_generate
from geministream.errors import ConfigurationError, ServerError
from geministream.testing import Answer

KEY = "AIzaSy-Test_Key+1/=="
DONE = '{"candidates": [{"finishReason": "STOP"}]}'


def request_of(*args, **kwargs):
    """What stream_generate() sends, as requests' PreparedRequest."""
    with responses.RequestsMock() as mock:
        mock.add_callback(responses.POST, __import__("re").compile(".*"), lambda request: (200, {}, DONE))
        list(stream_generate(*args, **kwargs))
        return mock.calls[0].request


# URLs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model, path",
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("/models/gemini-2.5-flash/", "models/gemini-2.5-flash"),
        (" gemini-2.5-flash\n", "models/gemini-2.5-flash"),
        ("tunedModels/my-tune", "tunedModels/my-tune"),
        ("openai/gpt-4o", "models/openai/gpt-4o"),
        ("llama:7b", "models/llama:7b"),
        ("modèle", "models/mod%C3%A8le"),
        ("a%2fb", "models/a%252fb"),
    ],
)
def test_models(model, path):
    url = request_of(model, "hi", endpoint=Endpoint(api_key=KEY)).url
    assert url == f"https://generativelanguage.googleapis.com/v1beta/{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    "model",
    [
        None,
        7,
        "",
        " ",
        "/",
        "a b",
        "a?b",
        "a#b",
        "../../files/x",
        "a/../b",
        "a/./b",
        "a//b",
        "..",
        "a\nb",
        "a\\b",
        "\ud800",
        b"m",
        ["m"],
    ],
)
def test_models_that_are_none(model):
    with pytest.raises(ConfigurationError):
        stream_generate(model, "hi", endpoint=Endpoint(api_key=KEY))


ENDPOINTS = {
    "Google": (
        Endpoint(api_key="k"),
        "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse",
        {"x-goog-api-key": "k"},
    ),
    "Google, key in the query": (
        Endpoint(api_key="k", auth="query"),
        "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse&key=k",
        {},
    ),
    "ChainHub": (
        Endpoint("https://api.chainhub.tech", api_key="k", auth=("query", "bearer")),
        "https://api.chainhub.tech/v1beta/models/m:streamGenerateContent?alt=sse&key=k",
        {"Authorization": "Bearer k"},
    ),
    "Bifrost": (
        Endpoint("http://localhost:8080/genai", auth=()),
        "http://localhost:8080/genai/v1beta/models/m:streamGenerateContent?alt=sse",
        {},
    ),
    "Vertex AI": (
        Endpoint.vertex("my-project", "europe-west4", "t"),
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4"
        "/publishers/google/models/m:streamGenerateContent?alt=sse",
        {"Authorization": "Bearer t"},
    ),
    "Vertex AI, global": (
        Endpoint.vertex("my-project", "global", lambda: "fresh"),
        "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global"
        "/publishers/google/models/m:streamGenerateContent?alt=sse",
        {"Authorization": "Bearer fresh"},
    ),
    "the version in the base URL": (
        Endpoint("https://x.test/v1beta/", api_key="k"),
        "https://x.test/v1beta/models/m:streamGenerateContent?alt=sse",
        {"x-goog-api-key": "k"},
    ),
    "a path, another version, parameters and headers": (
        Endpoint("https://x.test/a/b", "v1", "k", params={"tenant": "a b&c"}, headers={"X-Team": "red"}),
        "https://x.test/a/b/v1/models/m:streamGenerateContent?tenant=a+b%26c&alt=sse",
        {"x-goog-api-key": "k", "X-Team": "red"},
    ),
    "a key of awkward characters": (
        Endpoint("https://x.test", api_key=KEY, auth=("query", "header")),
        "https://x.test/v1beta/models/m:streamGenerateContent?alt=sse&key=AIzaSy-Test_Key%2B1%2F%3D%3D",
        {"x-goog-api-key": KEY},
    ),
    "IPv6": (
        Endpoint("http://[::1]:8080", api_key="k"),
        "http://[::1]:8080/v1beta/models/m:streamGenerateContent?alt=sse",
        {"x-goog-api-key": "k"},
    ),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_urls_and_credentials(name):
    endpoint, url, headers = ENDPOINTS[name]
    request = request_of("m", "hi", endpoint=endpoint)
    assert request.url == url
    given = {
        k: v for k, v in request.headers.items() if k.lower() in ("authorization", "x-goog-api-key", "x-team")
    }
    assert given == headers
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert request.headers["User-Agent"].startswith("geministream/")


def test_alt_json_asks_for_no_alt():
    assert request_of("m", "hi", endpoint=Endpoint(api_key="k"), alt="json").url.endswith(
        ":streamGenerateContent"
    )
    query = Endpoint(api_key="k", auth="query")
    assert request_of("m", "hi", endpoint=query, alt="json").url.endswith(":streamGenerateContent?key=k")


@pytest.mark.parametrize(
    "base_url, api_version, root",
    [
        ("https://x.test", "", "https://x.test"),
        ("https://x.test/", "/", "https://x.test"),
        ("https://x.test", "/v1/", "https://x.test/v1"),
        ("https://x.test/v1/", "//v1//", "https://x.test/v1"),
        ("https://x.test/v1", "", "https://x.test/v1"),
        ("https://x.test/a/v1/v1", "v1", "https://x.test/a/v1"),
        ("https://v1", "v1", "https://v1/v1"),
        ("https://x.test/av1", "v1", "https://x.test/av1/v1"),
        ("https://x.test/?", "v1", "https://x.test/v1"),
        ("https://x.test", "google-ai-studio/v1beta", "https://x.test/google-ai-studio/v1beta"),
        (
            "https://x.test",
            "v1/projects/x/locations/y/publishers/google",
            "https://x.test/v1/projects/x/locations/y/publishers/google",
        ),
    ],
)
def test_the_version_is_joined_by_single_slashes(base_url, api_version, root):
    endpoint = Endpoint(base_url, api_version, "k")
    for each in (
        endpoint,
        dataclasses.replace(endpoint, api_key="other"),
        pickle.loads(pickle.dumps(endpoint)),
    ):
        assert each.url("models") == f"{root}/models"
        assert each.model_url("m", "countTokens") == f"{root}/models/m:countTokens"
        version = each.api_version
        base = root[: -len(version)].rstrip("/") if version else root
        assert each.upload_url() == "/".join(filter(None, (base, "upload", version, "files")))


def test_upload_url():
    assert Endpoint("https://x.test/genai").upload_url() == "https://x.test/genai/upload/v1beta/files"
    assert (
        Endpoint("https://x.test", params={"a": "b"}).upload_url() == "https://x.test/upload/v1beta/files?a=b"
    )


# Where the key and the URL come from ------------------------------------------


def test_keys_in_the_environment(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "second")
    assert request_of("m", "hi").headers["x-goog-api-key"] == "second"
    monkeypatch.setenv("GOOGLE_API_KEY", "first\n")
    with pytest.warns(
        UserWarning, match="GOOGLE_API_KEY and GEMINI_API_KEY are both set and differ"
    ) as warned:
        assert request_of("m", "hi").headers["x-goog-api-key"] == "first"
    assert "first" not in str(warned[0].message)
    assert request_of("m", "hi", endpoint=Endpoint(api_key="own")).headers["x-goog-api-key"] == "own"
    assert (
        request_of("m", "hi", endpoint=Endpoint(api_key="own"), api_key="given").headers["x-goog-api-key"]
        == "given"
    )
    assert "x-goog-api-key" not in request_of("m", "hi", endpoint=Endpoint(auth=())).headers
    monkeypatch.setenv("GOOGLE_API_KEY", "")  # set to nothing is not set
    assert request_of("m", "hi").headers["x-goog-api-key"] == "second"


def test_the_key_is_read_at_the_call(monkeypatch):
    endpoint = Endpoint()
    monkeypatch.setenv("GEMINI_API_KEY", "one")
    assert request_of("m", "hi", endpoint=endpoint).headers["x-goog-api-key"] == "one"
    monkeypatch.setenv("GEMINI_API_KEY", "two")
    assert request_of("m", "hi", endpoint=endpoint).headers["x-goog-api-key"] == "two"


def test_no_key_says_where_it_was_looked_for():
    with pytest.raises(ConfigurationError, match="GOOGLE_API_KEY.*GEMINI_API_KEY") as caught:
        stream_generate("m", "hi")  # at the call, not at the first next()
    assert isinstance(caught.value, ValueError)
    stream_generate("m", "hi", endpoint=Endpoint(auth=()))
    stream_generate("m", "hi", endpoint=Endpoint(auth=lambda: "t"))


def test_the_base_url_in_the_environment(monkeypatch):
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://gateway.test/x")
    assert request_of("m", "hi", api_key="k").url.startswith("https://gateway.test/x/v1beta/models/m:")
    assert request_of("m", "hi", api_key="k", endpoint="https://other.test").url.startswith(
        "https://other.test/v1beta/"
    )
    assert request_of("m", "hi", endpoint=Endpoint(api_key="k")).url.startswith("https://generativelanguage.")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "nonsense")
    with pytest.raises(ConfigurationError):
        stream_generate("m", "hi", api_key="k")


@pytest.mark.parametrize(
    "key", ["", " ", "\n", "a b", "a\nb", "a\r\nX: y", "clé", "\x00", "k\x7f", 7, b"key", ["k"]]
)
def test_keys_that_are_none(key, monkeypatch):
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(api_key=key)
    if isinstance(key, str) and len(key) > 2:
        assert key not in str(caught.value)
    with pytest.raises(ConfigurationError):
        stream_generate("m", "hi", api_key=key)
    if isinstance(key, str) and key.strip() and "\x00" not in key:
        monkeypatch.setenv("GEMINI_API_KEY", key)
        with pytest.raises(ConfigurationError):
            stream_generate("m", "hi")


def test_space_around_a_key_is_not_meant():
    assert Endpoint(api_key=" key\r\n").api_key == "key"


@pytest.mark.parametrize("token", [None, 7, "", "a b", b"t"])
def test_tokens_that_are_none(token):
    with pytest.raises(ConfigurationError):
        list(
            stream_generate(
                "m", "hi", endpoint=Endpoint("http://127.0.0.1:9", auth=lambda: token, retry=None)
            )
        )


def test_what_a_callable_raises_passes():
    def token():
        raise LookupError("no token today")

    with pytest.raises(LookupError, match="no token today"):
        list(stream_generate("m", "hi", endpoint=Endpoint("http://127.0.0.1:9", auth=token)))


@pytest.mark.parametrize("timeout", [5, 0.5, None, (3, 4), [3, 4], (None, 5), (5, None), (None, None), 10**9])
def test_timeouts(timeout):
    request_of("m", "hi", endpoint=Endpoint(api_key="k", timeout=timeout))


# A value ----------------------------------------------------------------------


def test_it_is_a_value():
    endpoint = Endpoint(
        "https://x.test", api_key=KEY, auth=["query", "bearer"], headers={"A": "b"}, timeout=[1, 2]
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        endpoint.api_key = "other"
    for copied in (
        pickle.loads(pickle.dumps(endpoint)),
        copy.copy(endpoint),
        copy.deepcopy(endpoint),
        dataclasses.replace(endpoint),
    ):
        assert copied == endpoint and copied.api_key == KEY and copied.auth == ("query", "bearer")
    assert pickle.loads(pickle.dumps(Retry(attempts=2))) == Retry(attempts=2)
    assert dataclasses.replace(endpoint, api_key="k").api_key == "k"


def test_values_are_normal():
    assert Endpoint(headers={"A": " b\t"}, params={"c": " d "}) == Endpoint(
        headers={"A": "b"}, params={"c": " d "}
    )
    assert Retry(statuses=[429]) == Retry(statuses={429}) == Retry(statuses=(429,))
    assert hash(Retry(statuses=[429])) == hash(Retry(statuses=(429,)))


def test_a_callers_mapping_is_copied():
    headers = {"A": "b"}
    endpoint = Endpoint(headers=headers)
    headers["A"] = "changed"
    assert endpoint.headers == {"A": "b"}


# Retrying ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [520, 521, 522, 523, 524, 529])
def test_what_stands_in_front_of_a_gateway_is_retried(server, sleeps, status):
    page = Answer(status=status, body=b"<html><title>| error</title></html>", content_type="text/html")
    for answer in (page, Answer.failure(status), Answer(chunks=[], stream_error=status)):
        server.queue(answer, "done")
        assert collect(stream_generate("m", "hi", endpoint=server.endpoint)).text == "done"
        server.queue(answer)
        with pytest.raises(ServerError) as caught:
            list(stream_generate("m", "hi", endpoint=dataclasses.replace(server.endpoint, retry=None)))
        assert caught.value.code == status
    assert len(sleeps) == 3
