"""The key is in no exception, traceback, log record, pickle or repr, even if a server echoes it.

One thing is out of the library's reach: with ``auth="query"`` and a session of
the caller's own, urllib3's DEBUG log has the URL with ``?key=`` in it.  The
library's own sessions keep it out of there too.
"""

import dataclasses
import html
import itertools
import json
import logging
import pickle
import re
import socket
import threading
import traceback
import warnings
from urllib.parse import quote, quote_plus

import pytest
import requests
from support.calls import closed_port, full_port
from support.dialects import A, chunk, sse
from support.long_form import sample
from support.raw_server import RawServer, answering, head

from geministream import Cancel, Endpoint, GeministreamError, Retry, collect, stream_generate
from geministream.testing import Answer, LocalServer

KEY = "AIzaSy-S3cret_K3y+/with=odd~chars<&>=="


def lower_percent(text):
    return re.sub("%..", lambda match: match.group().lower(), quote(text, safe=""))


# How servers spell what they send back.
SPELLED = {
    "as it is": lambda text: text,
    "percent-encoded": quote,
    "percent-encoded, all of it": lambda text: quote(text, safe=""),
    "as a form": quote_plus,
    "percent-encoded in lower case": lower_percent,
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, by numbers": lambda text: "".join(f"&#{ord(c)};" if not c.isalnum() else c for c in text),
    "HTML, by hexadecimal numbers": lambda text: "".join(f"&#x{ord(c):X};" for c in text),
    "JSON with escaped slashes": lambda text: text.replace("/", "\\/"),
    "JSON for HTML": lambda text: re.sub("[<>&=+]", lambda match: f"\\u{ord(match.group()):04x}", text),
    "JSON in JSON": lambda text: re.sub("[<>&=+/]", lambda match: f"\\\\u{ord(match.group()):04X}", text),
}
SPELLINGS = {spell(KEY) for spell in SPELLED.values()}
# A run of eight characters is too much as well.
SPELLINGS |= {KEY[start : start + 8] for start in range(len(KEY) - 7)}

AUTHS = {
    "header": {"api_key": KEY, "auth": "header"},
    "query": {"api_key": KEY, "auth": "query"},
    "bearer": {"api_key": KEY, "auth": "bearer"},
    "query and bearer": {"api_key": KEY, "auth": ("query", "bearer")},
    "callable": {"auth": lambda: KEY},
    "own header": {"auth": (), "headers": {"X-Gateway-Token": KEY}},
    "own Authorization": {"auth": (), "headers": {"Authorization": "Bearer " + KEY}},
    "own parameter": {"auth": (), "params": {"access_token": KEY}},
}


def texts_of(error):
    """Every text that can be reached from an exception, as a tracker of errors reaches it.

    That is: attributes, arguments and causes to any depth; of the frames of its
    traceback all that a local variable shows of itself, containers looked into.
    """
    yield from traceback.format_exception(type(error), error, error.__traceback__)
    yield repr(pickle.dumps(error))
    seen = {}  # holds what it has seen, or an id could be used again
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        if isinstance(each, (str, bytes, bytearray)):
            yield each if isinstance(each, str) else bytes(each).decode("latin-1")
        elif isinstance(each, BaseException):
            yield from (str(each), repr(each))
            waiting += [each.args, vars(each), each.__cause__, each.__context__]
            for frame, _ in traceback.walk_tb(each.__traceback__):
                if frame.f_code.co_filename != __file__:
                    for value in frame.f_locals.values():
                        containers = (list, tuple, set, dict, str, bytes, BaseException)
                        waiting.append(value if isinstance(value, containers) else repr(value))
        elif isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            waiting += each
        elif not isinstance(each, (int, float, type, type(None))):
            yield repr(each)
            waiting += [getattr(each, "__dict__", None)]


def assert_clean(texts):
    for text in texts:
        for spelling in SPELLINGS:
            assert spelling not in text, f"{spelling!r} is in {text[:2000]!r}"


@pytest.fixture
def log(caplog):
    """All records at DEBUG, urllib3's included."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    return caplog


def log_texts(log):
    formatter = logging.Formatter("%(name)s %(message)s")
    for record in log.records:
        yield formatter.format(record)
        yield repr(record.__dict__)


def fail(endpoint, **options):
    """Ask, and return the exception."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(GeministreamError) as caught:
            collect(stream_generate("m", "Hello", endpoint=endpoint, **options))
    assert_clean(str(each.message) for each in warned)
    return caught.value


# What a server may do with the key it got ------------------------------------------

GOOGLE = json.dumps(
    {
        "error": {
            "code": 400,
            "message": f"API key {KEY} is not valid.",
            "status": f"BAD {KEY}",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID",
                    "metadata": {KEY: KEY},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": KEY, "description": KEY}],
                },
            ],
        }
    }
)
ESCAPED = GOOGLE.replace("=", "\\u003d")
NESTED = json.dumps({"error": {"code": 502, "message": ESCAPED}})
PAGE = "<html><title>502</title><p>Bad gateway: "
UNUSUAL = json.dumps(
    {"error": {"code": 400, "keys": [KEY] * 40}}
)  # without message: all of it is the message, cut

ECHOES = {
    "Google's form": head("400 Bad", content_type="application/json") + GOOGLE.encode(),
    "Google's form, escaped": head("400 Bad") + ESCAPED.encode(),
    "in an array": head("400 Bad") + f"[{ESCAPED}]".encode(),
    "an error in an error": head("502 Bad") + NESTED.encode(),
    "no message": head("400 Bad") + UNUSUAL.encode(),
    "text of the status": head(f"400 {KEY}", content_length=0),
    "a page": head("502 Bad", content_type="text/html")
    + f"<html><title>{KEY}</title><p>{'x' * 260}{KEY}".encode(),
    "plain text": head("500 Bad") + f"{'x' * 285}{KEY}".encode(),
    "headers": head("400 Bad", x_key=KEY, link=f"<https://x.test/?key={quote(KEY)}>", www_authenticate=KEY)
    + b"no",
    "error in the stream": head() + f"data: {GOOGLE}\r\n\r\n".encode(),
    "error in the stream, escaped": head() + sse(A) + f"data: {ESCAPED}\r\n\r\n".encode(),
    "error in the stream, nested": head() + sse(A) + f"data: {NESTED}\r\n\r\n".encode(),
    "raw error in the stream": head() + sse(A) + json.dumps(json.loads(GOOGLE), indent=2).encode(),
    "error event of text": head() + f"event: error\ndata: bad key {KEY}\n\n".encode(),
    "a page for a stream": head() + f"<p>{KEY}</p>".encode(),
    "a page for a stream, cut": head() + f"<p>{'x' * 80}{KEY}</p>".encode(),
    "bad JSON": head() + f'data: {{"a": "{KEY}" oops}}\n\n'.encode(),
    "bad JSON, cut": head() + f'data: {{"a": "{KEY}", oops}}\n\n'.encode(),
    "bad JSON in an array": head() + f'[{{"a": "{KEY}" oops}}]'.encode(),
    "bad UTF-8": head() + b'data: {"a": "\xff' + KEY.encode() + b'"}\n\n',
    "no chunk": head() + f'data: ["{KEY}"]\n\n'.encode(),
    "no chunk, long": head() + f'data: "{"x" * 50}{KEY}{"x" * 50}"\n\n'.encode(),
    "damaged chunks": head(transfer_encoding="chunked") + b"5\r\nhello" + KEY.encode() + b"\r\n",
    "a chunk size": head(transfer_encoding="chunked") + KEY.encode() + b"\r\n",
    "a status line": f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
    "no HTTP": KEY.encode() + b"\r\n\r\n",
    "an encoding": head(content_encoding=KEY) + b"x",
    "redirect to a path": head("307 Go", location=f"http://other.test/{KEY}?key={KEY}", content_length=0),
    "redirect to a host": head("307 Go", location=f"http://{KEY[:8]}.test/", content_length=0),
    "redirect to nonsense": head("307 Go", location=f"http://[{KEY}", content_length=0),
    "redirect for ever": head("307 Go", location=f"?key={quote(KEY)}&a=b", content_length=0),
    "303": head("303 Go", location=f"http://other.test/{KEY}", content_length=0),
    "an early end": head() + sse(chunk("x")),
    "an early end in a line": head(content_length=99999) + f'data: {{"a": "{KEY}'.encode(),
    "an early end in JSON": head(content_length=99999) + f'[{{"a": "{KEY}'.encode(),
    "an early end in bad JSON": head(transfer_encoding="chunked")
    + b"999\r\n"
    + f'data: {{"a": "{KEY}" x}}\n'.encode(),
    "two lengths": head(content_length=f"5, {KEY}") + b"x",
    "a head that is cut": b"HTTP/1.1 200 OK\r\nX: " + KEY.encode(),
    "a header that is too long": b"HTTP/1.1 200 OK\r\nX: " + KEY.encode() * 9999,
    **{
        f"a message, {name}": head("400 Bad")
        + json.dumps({"error": {"message": "no: " + spell(KEY)}}).encode()
        for name, spell in SPELLED.items()
    },
    **{
        f"a page, {name}": head("502 Bad") + (PAGE + "x" * 240 + spell(KEY)).encode()
        for name, spell in SPELLED.items()
    },
    **{f"a bad line, {name}": head() + ("x" * 80 + spell(KEY)).encode() for name, spell in SPELLED.items()},
}


# Every fifth, each time with others: 5 and the 16 ways to send a key have no divisor in common.
@pytest.mark.parametrize("echo, auth, own", sample(itertools.product(ECHOES, AUTHS, [False, True]), 5))
def test_a_server_that_echoes_the_key(echo, auth, own, log):
    with RawServer(answering(ECHOES[echo])) as raw, requests.Session() as session:
        endpoint = Endpoint(raw.url, retry=None, session=session if own else None, timeout=10, **AUTHS[auth])
        error = fail(endpoint)
    assert_clean(texts_of(error))
    if not (own and ("query" in auth or auth == "own parameter")):
        assert_clean(log_texts(log))


# Connections that fail -------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True], ids=["library's session", "own session"])
@pytest.mark.parametrize("auth", AUTHS)
def test_connections_that_fail(auth, own, log, monkeypatch, tls):
    with requests.Session() as session:
        base = Endpoint(
            "http://127.0.0.1",
            retry=Retry(attempts=2, initial_delay=0.001),
            timeout=(0.02, 0.02),
            session=session if own else None,
            **AUTHS[auth],
        )

        def at(url):
            return dataclasses.replace(base, base_url=url)

        errors = []
        with closed_port() as port:
            errors.append(fail(at(f"http://127.0.0.1:{port}")))
            errors.append(fail(at(f"https://127.0.0.1:{port}")))
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            errors.append(fail(at("http://gateway.test")))
            errors.append(fail(at("https://gateway.test")))
            monkeypatch.delenv("http_proxy")
            monkeypatch.delenv("https_proxy")
        with full_port() as port:
            errors.append(fail(at(f"http://127.0.0.1:{port}")))
            errors.append(fail(at(f"http://127.0.0.1:{port}"), deadline=0.01))
            cancel = Cancel()
            threading.Timer(0.01, cancel.cancel).start()
            errors.append(fail(at(f"http://127.0.0.1:{port}"), cancel=cancel))
        with LocalServer() as server:
            for answer in (
                Answer.nothing("drop"),
                Answer.nothing("reset"),
                Answer.nothing("stall"),
                Answer(chunks=[A, A], stop_after=100, stop_how="reset"),
                Answer(chunks=[A, A], stop_after=100, stop_how="stall"),
            ):
                server.answer_with(lambda request, answer=answer: answer)
                errors.append(fail(at(server.url)))
                errors.append(fail(at(server.url), deadline=0.01))
        with LocalServer(tls=tls[0]) as server:
            errors.append(fail(at(server.url)))  # a certificate that is not trusted
            errors.append(fail(at(server.url.replace("https", "http"))))
        errors.append(fail(at("http://127.0.0.1:1"), deadline=1e-9))

        def no_such_host(*args, **kwargs):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
        errors.append(fail(at("http://gateway.test")))
    for error in errors:
        assert_clean(texts_of(error))
    if not (own and ("query" in auth or auth == "own parameter")):
        assert_clean(log_texts(log))


@pytest.mark.parametrize("auth", AUTHS)
def test_the_log_of_a_call_that_succeeds(auth, log, server):
    server.answer_with(lambda request: None)
    options = AUTHS[auth]
    with RawServer(answering(head() + sse(chunk("x", "STOP")))) as raw:
        list(stream_generate("m", "Hello", endpoint=Endpoint(raw.url, retry=None, **options)))
    assert any(record.name.startswith("urllib3") for record in log.records)
    assert_clean(log_texts(log))


def test_the_log_of_a_redirect_that_is_followed(log):
    def script(connection):
        connection.read_request()
        if "other" in connection.target:
            connection.send(head() + sse(chunk("x", "STOP")))
        else:
            connection.send(head("307 Go", location=f"/other?alt=sse&key={quote(KEY)}", content_length=0))

    with RawServer(script) as raw:
        list(stream_generate("m", "Hello", endpoint=Endpoint(raw.url, api_key=KEY, auth="query", retry=None)))
    assert_clean(log_texts(log))


def test_the_key_in_the_query_of_an_own_session_is_in_urllib3s_log_alone(log, server):
    """What is said at the top of this file; if urllib3 stops logging it, all the better."""
    with requests.Session() as session, RawServer(answering(head() + sse(chunk("x", "STOP")))) as raw:
        endpoint = Endpoint(raw.url, api_key=KEY, auth="query", session=session, retry=None)
        list(stream_generate("m", "Hello", endpoint=endpoint))
    assert_clean(
        text
        for record in log.records
        if not record.name.startswith("urllib3")
        for text in [record.getMessage()]
    )


def test_what_the_model_says_is_not_touched():
    """Only errors are: an answer that holds the key is the answer."""
    with RawServer(answering(head() + sse(chunk(KEY, "STOP")))) as raw:
        assert (
            collect(stream_generate("m", KEY, endpoint=Endpoint(raw.url, api_key=KEY, retry=None))).text
            == KEY
        )


@pytest.mark.parametrize("auth", ["header", "query", "bearer"])
@pytest.mark.parametrize(
    "key",
    ["k", "abcd", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "%41%42%43%44", "a&key=b", "a b".replace(" ", "+")],
)
def test_awkward_keys_arrive_as_they_are(auth, key, log):
    seen = []

    def script(connection):
        connection.read_request()
        seen.append((connection.target, connection.headers))
        connection.send(head() + sse(chunk("x", "STOP")))

    with RawServer(script) as raw:
        list(stream_generate("m", "Hello", endpoint=Endpoint(raw.url, api_key=key, auth=auth, retry=None)))
    target, headers = seen[0]
    if auth == "query":
        from urllib.parse import parse_qsl, urlsplit

        assert parse_qsl(urlsplit(target).query) == [("alt", "sse"), ("key", key)]
        if len(key) > 4:
            assert not any(quote(key, safe="") in text for text in log_texts(log))
    else:
        assert (
            headers["x-goog-api-key" if auth == "header" else "authorization"]
            == ("Bearer " if auth == "bearer" else "") + key
        )


def test_a_short_key_does_not_tear_errors_apart():
    with RawServer(answering(head("400 Bad") + b"a bad banana")) as raw:
        error = fail(Endpoint(raw.url, api_key="a", retry=None))
    assert error.message == "a bad banana"
