"""Endpoints: URLs for every system, where the key comes from, what is refused, what is shown."""

import copy
import dataclasses
import pickle
import traceback
import warnings

import pytest
import requests
import responses

from geministream import Endpoint, Retry, collect, stream_generate
from geministream.endpoint import credentials, given_secrets, resolve
from geministream.errors import ConfigurationError, InsecureEndpointWarning, ServerError
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
    assert request_of("m", "hi").headers["x-goog-api-key"] == "first"
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


# What is refused --------------------------------------------------------------

NOT_THESE = {
    "base_url": [
        None,
        7,
        "",
        "x.test",
        "ftp://x.test",
        "https://",
        "https:///path",
        "https://x.test?a=b",
        "https://x.test#a",
        "https://user:secret@x.test",
        "https://x.test:port",
        "https://x.test:99999",
        "https://x .test",
        "https://x.test/a b",
        "https://[::1",
        b"https://x.test",
        "//x.test",
        "https://user:sec/ret@host",
        "https://user:12/secret@host",
        "https://x.test\\secret",
        "https://x.test/@secret",
        "https://x.test/\ud800",
    ],
    "api_version": [
        None,
        7,
        "v1?x",
        "v1#x",
        "v 1",
        b"v1",
        "v1/../v2",
        "..",
        ".",
        "v1/./x",
        "v1//x",
        "v1\\x",
        "%2e%2e",
        "v1/%2E./x",
        "v1%2f..%2fx",
        "v1%5cx",
        "v1%3fx",
        "v1%00",
        "v1\x7f",
        "me:secret@v1",
        "v\ud800",
    ],
    "auth": ["basic", "", 7, True, ("header", "basic"), ["x"], {"a": 1}, [["header"]], (None,), b"header"],
    "headers": [
        None,
        7,
        "a: b",
        [("a", "b")],
        {"a": 1},
        {1: "a"},
        {"a": "b\nc"},
        {"a\r\nb": "c"},
        {"a": None},
        {"": "a"},
        {"a b": "c"},
        {"a:": "c"},
        {"a": "secret \u20ac"},
        {"a": "secret\0"},
        {"a": "secret \ud800"},
    ],
    "params": [
        {"a": "secret \ud800"},
        {"secret \ud800": "a"},
        {"a": "b\nc"},
        None,
        7,
        "a=b",
        {"a": 1},
        {1: "a"},
        {"a": None},
    ],
    "upload_protocol": [None, 7, "", "tus"],
    "timeout": [
        0,
        -1,
        "5",
        (1,),
        (1, 2, 3),
        (0, 1),
        (1, -1),
        ("1", 2),
        float("nan"),
        True,
        [],
        {},
        (None, "x"),
        (float("nan"), 1),
        b"5",
        float("inf"),
        (1, 1e300),
    ],
    "retry": [3, "none", {}, (), False],
    "max_event_bytes": [0, -1, None, "1", 1.5, float("inf"), True],
}


@pytest.mark.parametrize(
    "field, value",
    [(f, v) for f, values in NOT_THESE.items() for v in values],
    ids=lambda value: repr(value)[:40],
)
def test_fields_that_cannot_work(field, value):
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(**{field: value})
    assert "secret" not in str(caught.value)


NOT_IN_RETRY = {
    "attempts": [0, -1, 1.5, "3", None, True],
    "initial_delay": [-1, "1", None, float("nan"), True, [1]],
    "max_delay": [-0.1, "1", None, float("nan"), float("inf")],
    "multiplier": [0.5, "2", None, float("nan"), float("inf")],
    "statuses": [429, None, "429", ["429"], (None,), (1.5,)],
}


@pytest.mark.parametrize(
    "field, value",
    [(f, v) for f, values in NOT_IN_RETRY.items() for v in values],
    ids=lambda value: repr(value)[:40],
)
def test_retries_that_cannot_work(field, value):
    with pytest.raises(ConfigurationError):
        Retry(**{field: value})


@pytest.mark.parametrize("timeout", [5, 0.5, None, (3, 4), [3, 4], (None, 5), (5, None), (None, None), 10**9])
def test_timeouts(timeout):
    request_of("m", "hi", endpoint=Endpoint(api_key="k", timeout=timeout))


def test_texts_that_are_not_ascii(server):
    endpoint = dataclasses.replace(
        server.endpoint, headers={"X-City": "K\xf6ln\t1"}, params={"city": "K\xf6ln \u20ac"}
    )
    list(stream_generate("m", "hi", endpoint=endpoint))
    assert (
        server.requests[0].headers["X-City"] == "K\xf6ln\t1"
        and server.requests[0].query["city"] == "K\xf6ln \u20ac"
    )


def test_the_session_is_a_session():
    for session in ("x", 7, object()):
        with pytest.raises(ConfigurationError):
            Endpoint(session=session)


@pytest.mark.parametrize("endpoint", [7, b"https://x.test", {}, [], Endpoint, True])
def test_endpoints_that_are_none(endpoint):
    with pytest.raises(ConfigurationError):
        stream_generate("m", "hi", endpoint=endpoint, api_key="k")


def test_vertex_checks_its_arguments():
    for args in (
        (None, "global", "t"),
        ("p", None, "t"),
        ("", "global", "t"),
        ("p", "", "t"),
        ("p", "global", None),
        ("p", "global", ""),
        ("p", "global", 7),
        ("..", "global", "t"),
        ("p/q", "global", "t"),
        ("p", "evil.test/", "t"),
        ("p", "evil.test#", "t"),
    ):
        with pytest.raises(ConfigurationError):
            Endpoint.vertex(*args)


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


def test_the_repr_shows_no_credential():
    endpoint = Endpoint(
        "https://x.test",
        api_key=KEY,
        auth=("query", "bearer"),
        headers={"Cookie": "cookie-secret"},
        params={"token": "param-secret"},
        session=requests.Session(),
        retry=None,
        timeout=3,
        max_event_bytes=5,
    )
    for text in (repr(endpoint), str(endpoint), f"{endpoint}", repr([endpoint]), "%r" % (endpoint,)):
        for secret in (KEY, "cookie-secret", "param-secret"):
            assert secret not in text
        for shown in (
            "https://x.test",
            "Cookie",
            "token",
            "query",
            "retry=None",
            "timeout=3",
            "max_event_bytes=5",
        ):
            assert shown in text
    vertex = Endpoint.vertex("p", "global", "vertex-secret")
    assert "vertex-secret" not in repr(vertex) and "projects/p" in repr(vertex)
    assert "callable" in repr(Endpoint(auth=lambda: "t"))


# Of every shape that keys have: Google's two, OAuth's, OpenAI's, a password, a JWT.
KEYS = [
    "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "AQ.Ab8RN6LQ3xY2zP",
    "ya29.a0AfH6SMBx-7_c",
    "sk-0123456789abcdef",
    "hunter2!pass/word",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]
OTHER_FIELDS = [f.name for f in dataclasses.fields(Endpoint) if f.name != "api_key"]


def shown_of(make):
    """All that can be seen of a value or of the error in its place."""
    try:
        made = make()
    except ConfigurationError as error:
        assert error.__cause__ is None and error.__context__ is None
        return (
            "".join(traceback.format_exception(type(error), error, error.__traceback__)[-1:])
            + repr(error)
            + repr(pickle.dumps(error))
        )
    return repr(made)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:6])
def test_a_key_in_the_wrong_place_is_not_shown(key):
    shapes = [
        key,
        key.encode(),
        f" {key} ",
        (key,),
        ("user", key),
        [key],
        {key: "x"},
        {"a": [key]},
        {key},
        (key, 1),
        (1, key, 2),
    ]
    places = [lambda f=f, v=v: Endpoint(**{f: v}) for f in OTHER_FIELDS for v in shapes]
    places += [lambda f=f, v=v: Retry(**{f: v}) for f in NOT_IN_RETRY for v in shapes]
    places += [
        lambda: Endpoint(key),
        lambda: Endpoint("https://x.test", key),
        lambda: Endpoint("https://x.test", "v1", "k", key),
        lambda: Endpoint("https://x.test", "v1", "k", ("user", key)),
        lambda: Endpoint(headers={"a b" + key: "x"}),
        lambda: Endpoint(f"https://user:{key}@host"),
        lambda: Endpoint(f"https://host:{key}"),
        lambda: Endpoint(f"https://host?{key}"),
        lambda: Endpoint(f"https://user:12/{key}@host"),
        lambda: Endpoint(f"{key}@host"),
        lambda: Endpoint(f"https://[{key}"),
        lambda: Endpoint.vertex(f"Bearer {key}", "global", "t"),
        lambda: Endpoint.vertex("p", f"Bearer {key}", "t"),
        lambda: resolve(key),
        lambda: resolve(key.encode()),
        lambda: resolve([key]),
        lambda: resolve("https://x.test", key),
        lambda: resolve("https://x.test", f"Bearer {key}"),
        lambda: stream_generate(f"Bearer {key}", "hi", api_key="k"),
        lambda: stream_generate([key], "hi", api_key="k"),
        lambda: stream_generate("m", "hi", endpoint=key),
        lambda: stream_generate("m", "hi", endpoint=(key,)),
    ]
    if key != key.lower():  # a project may be called like any other
        places += [lambda: Endpoint.vertex(key, "global", "t"), lambda: Endpoint.vertex("p", key, "t")]
    assert [number for number, make in enumerate(places) if key in shown_of(make)] == []


@pytest.mark.parametrize(
    "version",
    [
        "",
        "v1",
        "v1beta1",
        "v1/projects/x-1/locations/y/publishers/google",
        "gemini",
        "google-ai-studio/v1beta",
    ],
)
def test_a_version_is_shown(version):
    assert f"api_version={version!r}" in repr(Endpoint(api_version=version))


def test_numbers_are_shown():
    for make, shown in (
        (lambda: Retry(attempts=0), "got 0"),
        (lambda: Endpoint(timeout=(1, -2.5)), "got -2.5"),
        (lambda: Endpoint(timeout=float("nan")), "got nan"),
        (lambda: Endpoint(max_event_bytes=None), "got None"),
        (lambda: Retry(attempts=-(10**5000)), "got a value of type int"),
        (lambda: Endpoint(auth=""), "got a str (empty"),
        (lambda: Retry(attempts="3"), "got a str (short"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert shown in str(caught.value)


def test_no_error_shows_the_credential():
    for bad in (
        {"base_url": "https://x.test?key=" + KEY},
        {"base_url": f"https://me:{KEY}@x.test"},
        {"base_url": f"x.test?key={KEY}"},
        {"base_url": f"https://x.test/a b?key={KEY}"},
        {"base_url": f"me:{KEY}@x.test"},
        {"api_key": KEY + " x"},
        {"headers": {"Cookie": KEY + "\n"}},
        {"params": {"key": KEY.encode()}},
    ):
        with pytest.raises(ConfigurationError) as caught:
            Endpoint(**bad)
        assert KEY not in "".join(traceback.format_exception(type(caught.value), caught.value, caught.tb))


def test_which_headers_and_parameters_are_credentials():
    endpoint = Endpoint(
        headers={
            "Authorization": "Bearer 1",
            "X-Team": "red",
            "Ocp-Apim-Subscription-Key": "2",
            "cookie": "3",
            "X-Empty-Token": "",
        },
        params={"KEY": "4", "password": "5", "X-Goog-Signature": "6", "X-Goog-Credential": "7", "alt": "sse"},
    )
    assert given_secrets(endpoint) == {"Bearer 1", "2", "3", "4", "5", "6", "7"}
    assert given_secrets(Endpoint(api_key="k")) == set()


def test_credentials():
    endpoint = Endpoint(api_key="k", auth=("header", "query", "bearer"))
    assert credentials(endpoint, None) == (
        {"x-goog-api-key": "k", "Authorization": "Bearer k"},
        [("key", "k")],
    )
    assert credentials(Endpoint(auth=lambda: "x"), "t") == ({"Authorization": "Bearer t"}, [])
    assert credentials(Endpoint(auth=()), None) == ({}, [])


# Clear text -------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url, exposed",
    [
        ("http://gateway.test", True),
        ("http://10.0.0.7:8080", True),
        ("http://127.0.0.1.evil.test", True),
        ("http://localhost.evil.test", True),
        ("http://[fe80::1]", True),
        ("http://0x7f.1", True),
        ("https://gateway.test", False),
        ("http://localhost:8080", False),
        ("http://127.0.0.1", False),
        ("http://127.8.9.10:1", False),
        ("http://[::1]:8080", False),
        ("http://LOCALHOST", False),
        ("http://a.localhost", False),
    ],
)
def test_a_key_over_plain_http_to_another_machine_warns(base_url, exposed):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream_generate("m", "hi", endpoint=base_url, api_key=KEY)
    assert [warning.category for warning in caught] == [InsecureEndpointWarning] * exposed
    for warning in caught:
        assert KEY not in str(warning.message) and warning.filename == __file__
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream_generate("m", "hi", endpoint=Endpoint(base_url, auth=(), headers={"X-Token": KEY}))
    assert len(caught) == exposed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream_generate(
            "m", "hi", endpoint=Endpoint(base_url, auth=(), headers={"X-Team": "red"})
        )  # no key, nothing to lose


def test_it_warns_once_for_a_place_in_the_code():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(5):
            resolve("http://once.test", KEY)
    assert len(caught) == 1


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
