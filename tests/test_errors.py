"""Errors: every form in which servers report one, and what the exception then knows."""

import copy
import dataclasses
import json
import pickle
import time
from email.utils import formatdate

import pytest

from geministream import Retry, collect, errors, stream_generate
from geministream.depth import raw_decode
from geministream.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ConfigurationError,
    FileProcessingError,
    GeministreamError,
    IncompleteStreamError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamCancelled,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
    api_error,
)
from geministream.testing import Answer

TYPE = "type.googleapis.com/google.rpc."


def made_of(error, http_status=200, **headers):
    return api_error(
        error, http_status=http_status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_the_tree():
    for name in errors.__all__:
        if name != "GeministreamError" and not name.endswith("Warning"):
            assert issubclass(getattr(errors, name), GeministreamError)
    for kind in (
        BadRequestError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        RateLimitError,
        ServerError,
    ):
        assert issubclass(kind, APIError)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(errors.InsecureEndpointWarning, UserWarning)
    assert issubclass(errors.UnknownFieldWarning, UserWarning)


@pytest.mark.parametrize(
    "code, kind",
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (429, RateLimitError),
        (500, ServerError),
        (501, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
        (408, APIError),
        (409, APIError),
        (418, APIError),
        (499, APIError),
    ],
)
def test_the_class_follows_the_code(code, kind):
    for error in (
        made_of({"code": code, "message": "m"}),
        made_of({"message": "m"}, code),
        made_of("m", code),
        made_of({"code": str(code), "message": "m"}, 500),
    ):
        assert type(error) is kind
        assert error.code == code and type(error.code) is int
        assert error.message == "m"


@pytest.mark.parametrize("status, code", sorted(errors._HTTP_CODES.items()))
def test_a_status_stands_in_for_a_code(status, code):
    for error in (
        {"status": status, "message": "m"},
        {"code": status, "message": "m"},
        {"code": 0, "status": status, "message": "m"},
        {"code": None, "status": status, "message": "m"},
    ):
        made = made_of(error)
        assert (made.code, made.status) == (code, status)


@pytest.mark.parametrize(
    "code", [None, 0, -1, 7, 1e3, "x", "", [], {}, True, "99999", 10**30, "4\u0664\u0664"]
)
def test_codes_that_are_none(code):
    assert made_of({"code": code, "message": "m"}, 429).code == 429
    assert made_of({"code": code, "message": "m"}, 200).code == 500  # gRPC's UNKNOWN


def test_all_that_google_says():
    details = [
        {"@type": TYPE + "ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"},
        {"@type": TYPE + "QuotaFailure", "violations": [{"quotaId": "x"}]},
        {"@type": TYPE + "Help", "links": []},
        {"@type": TYPE + "RetryInfo", "retryDelay": "27.5s"},
    ]
    error = made_of(
        {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED", "details": details}, 429
    )
    assert error.details == details
    assert error.retry_after == 27.5 and type(error.retry_after) is float
    assert str(error) == "429 RESOURCE_EXHAUSTED: Quota. (the server asks to wait 27.5 s)"


def test_a_wrong_key_under_400_is_an_authentication_error():
    info = {"@type": TYPE + "ErrorInfo", "reason": "API_KEY_INVALID"}
    error = made_of({"code": 400, "message": "API key not valid.", "details": [info]}, 400)
    assert type(error) is AuthenticationError and error.code == 400
    assert (
        str(error)
        == "400: API key not valid. Check the API key and the way that the endpoint sends it (auth=)."
    )
    forbidden = made_of({"code": 403, "message": "m", "details": [info]}, 403)
    assert type(forbidden) is PermissionDeniedError  # only Google's 400 means another class
    other = made_of({"code": 400, "message": "m", "details": [{**info, "reason": "OTHER"}]}, 400)
    assert type(other) is BadRequestError


def test_fields_that_the_server_refused():
    violations = [
        {"field": "contents[0].parts", "description": "must not be empty"},
        {"description": "bad"},
        7,
    ]
    error = made_of(
        {
            "code": 400,
            "message": "Invalid.",
            "details": [{"@type": TYPE + "BadRequest", "fieldViolations": violations}],
        },
        400,
    )
    assert error.field_violations == [("contents[0].parts", "must not be empty"), ("", "bad")]
    assert "contents[0].parts: must not be empty" in str(error)


@pytest.mark.parametrize(
    "message, violations, text",
    [
        # Google's own: the description is the message, or stands in it behind the field's longer name.
        (
            "Invalid value at 'contents[0]' (TYPE_STRING), 5",
            [("contents[0]", "Invalid value at 'contents[0]' (TYPE_STRING), 5")],
            "400: Invalid value at 'contents[0]' (TYPE_STRING), 5",
        ),
        (
            "* GenerateContentRequest.contents: contents is not specified\n",
            [("contents", "contents is not specified")],
            "400: * GenerateContentRequest.contents: contents is not specified",
        ),
        (
            'Invalid JSON payload received. Unknown name "foo": Cannot find field.',
            [("", 'Invalid JSON payload received. Unknown name "foo": Cannot find field.')],
            '400: Invalid JSON payload received. Unknown name "foo": Cannot find field.',
        ),
        (
            "Must not be empty!",
            [("contents[0].parts", "must not be empty.")],
            "400: Must not be empty! [contents[0].parts]",
        ),
        (
            "Bad contents.",
            [("contents", "must not be empty")],
            "400: Bad contents. [contents: must not be empty]",
        ),
        ("Bad.", [("a", "x"), ("a", "x"), ("b", "y"), ("", "z")], "400: Bad. [a: x; b: y; z]"),
        ("A bad parting", [("part", "bad")], "400: A bad parting [part]"),  # words, not letters
        (
            "Bad.",
            [(f"f{n}", "x") for n in range(12)],
            "400: Bad. [" + "; ".join(f"f{n}: x" for n in range(10)) + "; …]",
        ),
        ("Bad.", [("", "")], "400: Bad."),
    ],
)
def test_a_violation_is_reported_once(message, violations, text):
    details = [
        {
            "@type": TYPE + "BadRequest",
            "fieldViolations": [{"field": f, "description": d} for f, d in violations],
        }
    ]
    assert str(made_of({"code": 400, "message": message, "details": details}, 400)) == text


@pytest.mark.parametrize(
    "delay, seconds",
    [
        ("27s", 27.0),
        ("0.5s", 0.5),
        ("1.25s", 1.25),
        ("0s", 0.0),
        ("27", None),
        ("s", None),
        ("-3s", None),
        ("1e3s", None),
        (27, None),
        (None, None),
        ({"seconds": 3}, None),
        ("9" * 400 + "s", None),
    ],
)
def test_retry_info(delay, seconds):
    error = made_of({"code": 503, "details": [{"@type": TYPE + "RetryInfo", "retryDelay": delay}]})
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", None),
        ("", None),
        ("soon", None),
        ("9" * 400, None),
        ("Thu, 99 Foo 2015 99:99:99 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ],
)
def test_retry_after_header(value, seconds):
    assert made_of({"code": 503}, 503, retry_after=value).retry_after == seconds
    assert made_of({"code": 503}, 503, Retry_After=value).retry_after == seconds


def test_retry_after_as_a_date():
    error = made_of({"code": 503}, 503, retry_after=formatdate(time.time() + 30, usegmt=True))
    assert 25 < error.retry_after <= 30


def test_the_longer_wait_counts():
    details = [{"@type": TYPE + "RetryInfo", "retryDelay": "5s"}]
    assert made_of({"code": 503, "details": details}, 503, retry_after="3").retry_after == 5
    assert made_of({"code": 503, "details": details}, 503, retry_after="9").retry_after == 9


def test_a_number_in_quotes_is_not_a_status():
    assert made_of({"code": "429", "message": "m"}).status is None


def test_several_errors_are_all_reported():
    message = made_of([{"message": "one"}, {"message": "two"}], 400).message
    assert "one" in message and "two" in message


def test_an_error_inside_the_message():
    upstream = {
        "error": {
            "code": 400,
            "message": "API key not valid.",
            "status": "INVALID_ARGUMENT",
            "details": [{"@type": TYPE + "ErrorInfo", "reason": "API_KEY_INVALID"}],
        }
    }
    for message in (json.dumps(upstream), json.dumps([upstream]), "\n" + json.dumps(upstream, indent=2)):
        error = made_of({"code": 400, "message": message}, 400)
        assert error.message == "API key not valid."
        assert type(error) is AuthenticationError
        assert error.status == "INVALID_ARGUMENT"
        # What the gateway says itself counts for more.
        assert made_of({"code": 502, "status": "BAD", "message": message}, 200).code == 502


UPSTREAM = {
    "error": {
        "code": 429,
        "message": "Resource has been exhausted.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": TYPE + "QuotaFailure", "violations": [{"quotaId": "x"}]},
            {"@type": TYPE + "RetryInfo", "retryDelay": "27s"},
        ],
    }
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "before",
    ["litellm.RateLimitError: GeminiException - ", '[429] {model: gemini} (try [1], {"a": 1}) ', "{ "],
)
@pytest.mark.parametrize(
    "wrap",
    [lambda error: error, lambda error: [error], lambda error: [error, {"error": {"message": "second"}}]],
    ids=["object", "array", "array of two"],
)
def test_an_upstreams_error_inside_a_longer_message(indent, before, wrap):
    after = "\n\nLiteLLM: model group fallbacks=None"
    message = before + json.dumps(wrap(UPSTREAM), indent=indent) + after
    error = made_of(
        {"message": message, "status": "", "details": [], "param": None, "code": "429"},
        429,
        llm_provider_retry_after="3",
    )
    assert (type(error), error.code, error.status) == (RateLimitError, 429, "RESOURCE_EXHAUSTED")
    assert error.details == UPSTREAM["error"]["details"]
    assert error.retry_after == 27
    assert error.message == f"{before}Resource has been exhausted.{after}".strip()


@pytest.mark.parametrize(
    "name", ["llm_provider-retry-after", "LLM_Provider-Retry-After", "x-upstream-retry-after", "Retry-After"]
)
def test_the_upstreams_delay_in_a_header_of_the_gateways(name):
    assert api_error("m", http_status=429, headers={name: "41"}).retry_after == 41
    assert api_error("m", http_status=429, headers={name: "41", "retry-after": "7"}).retry_after == (
        7 if name == "Retry-After" else 41
    )
    assert api_error("m", http_status=429, headers={name + "-policy": "41"}).retry_after is None


def test_an_upstreams_delay_inside_the_message_is_waited_for(server, sleeps):
    message = f"litellm.RateLimitError: GeminiException - {json.dumps(UPSTREAM)}\n\nLiteLLM: model group m"
    server.queue(
        Answer(error={"message": message, "code": "429"}),
        Answer.failure(429, headers={"llm_provider-retry-after": "5"}),
        "done",
    )
    endpoint = dataclasses.replace(server.endpoint, retry=Retry())
    assert collect(stream_generate("m", "hi", endpoint=endpoint)).text == "done"
    assert sleeps == [27.0, 5.0]


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[",
        "[ ",
        '{"',
        '{"a":',
        '{"a": [',
        '[{"error":',
        '{"a": 1}, ',
        '{"error": ',
        '"',
        "{" + " " * 2**14,
    ],
    ids=repr,
)
def test_looking_for_json_takes_linear_time(message, monkeypatch):
    """Counted, not timed: the decoder is started a few times, however long the message is."""
    started = []

    def counted(*args):
        started.append(args)
        return raw_decode(*args)

    monkeypatch.setattr(errors, "raw_decode", counted)
    text = message * (2**20 // len(message))
    assert made_of({"code": 400, "message": text}).message == text.strip()
    assert len(started) <= 16


@pytest.mark.parametrize(
    "message", ["{", "{}", "[]", "[1]", '{"error": 1}', '{"error": {}}', "[" * 100000, "{not json"]
)
def test_a_message_that_only_looks_like_an_error(message):
    assert made_of({"code": 400, "message": message}).message.startswith(message[:3])


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        1.5,
        True,
        "",
        "text",
        [],
        [None],
        [[]],
        {},
        {"message": None},
        {"message": 5},
        {"message": {"a": [1]}},
        {"code": [], "message": [], "status": [], "details": {}},
        {"details": [None, 1, [], {"@type": 5}]},
        {"details": [{"@type": TYPE + "BadRequest", "fieldViolations": 5}]},
        {"details": [{"@type": TYPE + "BadRequest", "fieldViolations": {"field": 1}}]},
        {"details": [{"@type": TYPE + "BadRequest", "fieldViolations": [{"field": [], "description": {}}]}]},
        {"details": [{"@type": TYPE + "ErrorInfo"}], "code": 400},
        {"details": [{"@type": TYPE + "ErrorInfo", "reason": {}}], "code": 400},
        {"message": "\ud800"},
        {"message": "x" * 10**6},
        {"status": "x", "code": float("nan")},
    ],
    ids=lambda value: repr(value)[:60],
)
def test_any_value_makes_an_error(value):
    for http_status in (200, 400, 503):
        error = made_of(value, http_status)
        assert isinstance(error, APIError) and error.message
        assert type(error.code) is int and isinstance(error.details, list)
        str(error), repr(error), error.field_violations


ALL = [
    GeministreamError("m"),
    TransportError("m"),
    StreamDecodeError("m"),
    StreamCancelled("m"),
    ConfigurationError("m"),
    StreamTimeoutError("m"),
    StreamTimeoutError("m", continuation_token="t"),
    IncompleteStreamError("m"),
    IncompleteStreamError("m", continuation_token="t"),
    BlockedError("m", reason="SAFETY"),
    FileProcessingError("m", file={"name": "files/x"}),
    made_of(
        {
            "code": 429,
            "message": "m",
            "status": "S",
            "details": [{"@type": TYPE + "RetryInfo", "retryDelay": "3s"}],
        },
        429,
        retry_after="4",
    ),
    *(made_of("m", code) for code in (400, 401, 403, 404, 418, 500)),
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_errors_travel(error):
    error.partial = {"some": "thing"}
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is type(error)
        assert str(copied) == str(error) and copied.args == error.args
        assert vars(copied) == vars(error)
        assert copied.partial == {"some": "thing"}


def test_what_is_not_known_is_none():
    assert GeministreamError("m").partial is None
    assert IncompleteStreamError("m").continuation_token is None
    assert StreamTimeoutError("m").continuation_token is None
    error = made_of("m", 500)
    assert (error.status, error.details, error.retry_after, error.headers) == (None, [], None, {})
