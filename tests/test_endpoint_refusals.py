"""Endpoints: what is refused, and that neither this nor a repr shows a key."""

import dataclasses
import pickle
import traceback
import warnings

import pytest
import requests

from geministream import Endpoint, Retry, stream_generate
from geministream.endpoint import credentials, given_secrets, resolve
from geministream.errors import ConfigurationError, InsecureEndpointWarning

KEY = "AIzaSy-Test_Key+1/=="

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
    for text in (repr(endpoint), str(endpoint), f"{endpoint}", repr([endpoint]), "%r" % (endpoint,)):  # noqa: UP031  each way of formatting
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
