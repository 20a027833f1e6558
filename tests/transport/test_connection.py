"""What http.client leaves out: interim answers, cut heads, leftovers, early answers, slow proxies."""

import dataclasses
import json
import os
import threading
import time

import pytest
import requests
from support.dialects import THREE, A, B, C, chunk as said, sse
from support.raw_server import RawServer, answering, chunk, head
from urllib3.util.wait import wait_for_read

from geministream import (
    APIError,
    BadRequestError,
    Cancel,
    Endpoint,
    GeministreamError,
    Retry,
    StreamCancelled,
    StreamTimeoutError,
    TransportError,
    delete_file,
    list_files,
    part_from_bytes,
    stream_generate,
    upload_file,
)
from geministream.transport import Call

pytestmark = pytest.mark.early
LONG = 30  # seconds that nothing here may take
WHOLE = sse(A, B, C)


def texts_from(endpoint, contents="Hello", **options):
    options.setdefault("deadline", LONG)
    return [each.text for each in stream_generate("m", contents, endpoint=endpoint, **options)]


def bare(url, **options):
    return Endpoint(url, **{"auth": (), "retry": None, "timeout": LONG, **options})


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def tls_or_none(request, trusted_tls):
    return trusted_tls if request.param else None


# Interim answers -------------------------------------------------------------------


INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103 with headers": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 5\r\n\r\n",
    "199 without a reason": b"HTTP/1.1 199\r\n\r\n",
    "several": b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" * 9,
}


@pytest.mark.parametrize("name", INTERIM)
@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "byte by byte"])
def test_an_interim_answer_is_not_the_answer(name, apart):
    """Each question on the connection gets its own answer."""

    def script(connection):
        while True:
            question = json.loads(connection.read_request())["contents"][0]["parts"][0]["text"]
            body = sse(said(question, "STOP"))
            for data in [INTERIM[name], head(content_length=len(body)), body]:
                for piece in [data[k : k + 1] for k in range(len(data))] if apart else [data]:
                    connection.send(piece)

    with RawServer(script) as raw, requests.Session() as session:
        endpoint = bare(raw.url, session=session)
        assert [texts_from(endpoint, str(k)) for k in range(4)] == [["0"], ["1"], ["2"], ["3"]]
        assert raw.connections == 1


def test_endless_interim_answers():
    def script(connection):
        connection.read_request()
        while True:
            connection.send(INTERIM["102"])

    with RawServer(script) as raw:
        with pytest.raises(TransportError, match="interim"):
            texts_from(bare(raw.url))


def test_interim_answers_are_silence_to_the_timeout():
    def script(connection):
        connection.read_request()
        while True:
            connection.send(INTERIM["102"])
            connection.pause(0.1)

    with RawServer(script) as raw:
        with pytest.raises(StreamTimeoutError, match="sent no answer for 1 s"):
            texts_from(bare(raw.url, timeout=(LONG, 1)))


def test_another_protocol_is_an_error_and_the_connection_is_over():
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        connection.wait_until_client_leaves()

    with RawServer(script) as raw, requests.Session() as session:
        for connections in (1, 2):
            with pytest.raises(APIError):
                texts_from(bare(raw.url, session=session))
            assert raw.connections == connections


# Cut heads --------------------------------------------------------------------------


HEAD = head(content_type="application/json", content_length=2)


@pytest.mark.parametrize("cut", [*range(len(b"HTTP/1.1 200 "), len(HEAD), 5), len(HEAD) - 1, len(HEAD) - 2])
@pytest.mark.parametrize("interim", [b"", INTERIM["103 with headers"]], ids=["", "behind 103"])
def test_a_cut_head_is_a_broken_connection(cut, interim):
    """An orderly end of the connection ends no head: an empty list and a deleted file would be guesses."""
    with RawServer(answering(interim + HEAD[:cut])) as raw:
        endpoint = bare(raw.url)
        for ask in (
            lambda: texts_from(endpoint),
            lambda: list(list_files(endpoint=endpoint)),
            lambda: delete_file("files/x", endpoint=endpoint),
            lambda: upload_file(b"x", mime_type="a/b", endpoint=endpoint),
        ):
            with pytest.raises(TransportError, match="no answer from") as caught:
                ask()
            assert caught.value.retryable


def test_a_cut_interim_head_is_a_broken_connection():
    with RawServer(answering(INTERIM["103 with headers"][:-2])) as raw:
        with pytest.raises(TransportError):
            texts_from(bare(raw.url))


def test_a_cut_head_is_asked_again(sleeps):
    def script(connection):
        connection.read_request()
        connection.send(head() + WHOLE if connection.number else HEAD[:30])

    with RawServer(script) as raw:
        assert texts_from(bare(raw.url, retry=Retry(attempts=2))) == THREE
        assert raw.connections == 2 and len(sleeps) == 1


# What is left behind an answer -------------------------------------------------------


SECOND = head(content_length=len(sse(said("swapped", "STOP")))) + sse(said("swapped", "STOP"))
ENDS = {
    "length": head(content_length=len(WHOLE)) + WHOLE,
    "chunked": head(transfer_encoding="chunked") + chunk(WHOLE) + b"0\r\n\r\n",
    "chunked with trailers": head(transfer_encoding="chunked") + chunk(WHOLE) + b"0\r\nA: b\r\n\r\n",
    "error": head("400 No", content_length=2) + b"{}",
    "chunked error": head("400 No", transfer_encoding="chunked") + chunk(b"{}") + b"0\r\n\r\n",
    "nothing": head("204 No", content_length=0),
}


@pytest.mark.parametrize("junk", [b"\r\n", b"x", SECOND], ids=["CRLF", "a byte", "an answer"])
@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_a_connection_with_a_rest_is_never_used_again(name, junk, later, tls_or_none):
    sent = threading.Event()

    def script(connection):
        connection.read_request()
        if connection.number:
            connection.send(head() + sse(said("own", "STOP")))
            return
        if later:
            connection.send(ENDS[name])
            sent.wait(LONG)
            connection.send(junk)
        else:
            connection.send(ENDS[name] + junk)
        sent.set()
        connection.wait_until_client_leaves()

    with RawServer(script, tls=tls_or_none) as raw, requests.Session() as session:
        endpoint = bare(raw.url, session=session)
        try:
            texts_from(endpoint)
        except GeministreamError:
            assert name not in ("length", "chunked", "chunked with trailers")
        sent.set()
        if later:
            wait_for_bytes(session, raw.url)
        assert texts_from(endpoint) == ["own"]
        assert raw.connections == 2


def wait_for_bytes(session, url):
    """Until the idle connection of the session has something to read."""
    adapter = session.get_adapter(url)
    for key in adapter.poolmanager.pools.keys():  # noqa: SIM118  nothing else iterates over it
        for idle in list(adapter.poolmanager.pools.get(key).pool.queue):
            if idle is not None and idle.sock is not None:
                assert wait_for_read(idle.sock, LONG)


@pytest.mark.parametrize("name", ["length", "chunked"])
def test_a_connection_without_a_rest_is_used_again(name, tls_or_none):
    def script(connection):
        while True:
            connection.read_request()
            connection.send(ENDS[name])

    with RawServer(script, tls=tls_or_none) as raw, requests.Session() as session:
        for options in ({}, {"deadline": None}, {"cancel": Cancel()}):
            assert texts_from(bare(raw.url, session=session), **options) == THREE
        assert raw.connections == 1


# Answers that come early ---------------------------------------------------------------


LARGE = part_from_bytes(bytes(8 * 2**20), "image/png")  # more than all buffers on the way hold
REFUSAL = head("413 Too Large", content_length=38) + b'{"error": {"code": 413, "message": 1}}'


@pytest.mark.parametrize("tail", [b"", INTERIM["102"]], ids=["", "behind 102"])
@pytest.mark.parametrize("what", ["stream", "file"])
def test_an_early_answer_is_looked_at(what, tail, tls_or_none):
    """From a server that then reads no further; the timeout would be a minute."""
    over = threading.Event()

    def script(connection):
        connection.sock.recv(1000)
        connection.send(tail + REFUSAL)
        connection.wait(over)

    with RawServer(script, tls=tls_or_none, receive_buffer=4096) as raw:
        endpoint = bare(raw.url, timeout=60, upload_protocol="multipart")
        began = time.monotonic()
        with pytest.raises(APIError) as caught:
            if what == "stream":
                texts_from(endpoint, LARGE, deadline=None)
            else:
                upload_file(LARGE.inline_data.data, mime_type="image/png", endpoint=endpoint)
        assert caught.value.code == 413 and time.monotonic() - began < LONG
        over.set()


def test_the_connection_of_an_early_answer_is_not_used_again():
    def script(connection):
        if connection.number:
            connection.read_request()
            connection.send(head() + WHOLE)
            return
        connection.sock.recv(1000)
        connection.send(REFUSAL)
        connection.wait_until_client_leaves()

    with RawServer(script) as raw, requests.Session() as session:
        with pytest.raises(APIError):
            texts_from(bare(raw.url, session=session), LARGE)
        assert texts_from(bare(raw.url, session=session)) == THREE
        assert raw.connections == 2


def test_an_interim_answer_does_not_stop_the_request(tls_or_none):
    """In pieces, while the body goes up: all of it arrives."""
    sizes = []

    def script(connection):
        connection.send(INTERIM["103 with headers"] + INTERIM["102"][:12])
        connection.read_request()
        sizes.append(len(connection.body))
        connection.send(INTERIM["102"][12:] + head(content_length=len(WHOLE)) + WHOLE)

    with RawServer(script, tls=tls_or_none) as raw:
        assert texts_from(bare(raw.url), LARGE) == THREE
    assert sizes[0] > 8 * 2**20


@pytest.mark.parametrize("early", [b"", b"HTTP/1.1 4", INTERIM["102"]], ids=["nothing", "half a head", "102"])
def test_a_server_that_leaves_while_the_request_goes_out(early, tls_or_none):
    def script(connection):
        connection.sock.recv(1000)
        connection.send(early)

    with RawServer(script, tls=tls_or_none) as raw:
        with pytest.raises(TransportError) as caught:
            texts_from(bare(raw.url), LARGE)
        assert caught.value.retryable


@pytest.mark.parametrize(
    "options, expected", [({"deadline": 1}, StreamTimeoutError), ({"cancel": Cancel()}, StreamCancelled)]
)
def test_a_request_that_is_not_read_ends_with_the_call(options, expected, tls_or_none):
    if "cancel" in options:
        options = {"cancel": Cancel()}

    def script(connection):
        if "cancel" in options:
            connection.sock.recv(1000)
            options["cancel"].cancel()
        connection.pause(60)

    with RawServer(script, tls=tls_or_none, receive_buffer=4096) as raw:
        began = time.monotonic()
        with pytest.raises(expected):
            texts_from(bare(raw.url, timeout=60), LARGE, **{"deadline": None, **options})
        assert time.monotonic() - began < LONG


# A server's fault is not the caller's -----------------------------------------------------


@pytest.mark.parametrize(
    "headers", [b"Content-Length: 5\r\nContent-Length: 7\r\n", b"Content-Length: 5, 7\r\n"]
)
def test_two_lengths_that_differ(headers):
    with RawServer(answering(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + WHOLE)) as raw:
        with pytest.raises(GeministreamError) as caught:
            texts_from(bare(raw.url))
        assert type(caught.value) is TransportError


def test_gzip_that_is_not():
    """A relay has decompressed the body and kept the header."""
    for body in (WHOLE, b"[" + sse(A)[6:-4] + b"," + sse(C)[6:-4] + b"]"):
        with RawServer(answering(head(content_encoding="gzip") + body)) as raw:
            assert texts_from(bare(raw.url))[-1] == "three"
    with RawServer(
        answering(head("400 No", content_encoding="gzip") + b'{"error": {"message": "plain"}}')
    ) as raw:
        with pytest.raises(BadRequestError, match="plain"):
            texts_from(bare(raw.url))


# Forked children -----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)  # that is what is tested
@pytest.mark.parametrize("how", ["close", "break", "error", "cancel"])
@pytest.mark.parametrize("transfer", ["length", "chunked"])
def test_what_a_forked_child_closes_stays_open_for_its_parent(how, transfer, tls_or_none):
    def script(connection):
        connection.read_request()
        if transfer == "length":
            pieces = [head(content_length=len(WHOLE)) + WHOLE[:-30], WHOLE[-30:]]
        else:
            pieces = [head(transfer_encoding="chunked") + chunk(sse(A, B)), chunk(sse(C)) + b"0\r\n\r\n"]
        connection.send(pieces[0])
        connection.wait(begun)
        connection.send(pieces[1][:20])
        sent.set()
        connection.wait(child_is_gone)
        connection.send(pieces[1][20:])
        connection.wait_until_client_leaves()

    begun, sent, child_is_gone = threading.Event(), threading.Event(), threading.Event()
    with RawServer(script, tls=tls_or_none) as raw:
        cancel = Cancel()
        stream = stream_generate("m", "Hello", endpoint=bare(raw.url), cancel=cancel)
        texts = [next(stream).text]
        begun.set()
        assert sent.wait(LONG)
        child = os.fork()
        if child == 0:
            try:
                if how == "close":
                    stream.close()
                elif how == "error":
                    stream.throw(RuntimeError)
                elif how == "cancel":
                    cancel.cancel()
                del stream
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        child_is_gone.set()
        texts += [each.text for each in stream]
    assert texts == THREE


# Proxies and handshakes that take their time ------------------------------------------------


def trickling_proxy(connection):
    connection.sock.recv(1000)
    connection.trickle(b"HTTP/1.1 200 Connection established\r\n" + b"X-A: b\r\n" * 99, 0.1)


def silent_proxy(connection):
    connection.sock.recv(1000)
    connection.pause(60)


def opens_and_is_silent(connection):
    connection.sock.recv(1000)
    connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    connection.pause(60)


def never_shakes_hands(connection):
    connection.pause(60)


@pytest.mark.parametrize(
    "through, script",
    [(True, trickling_proxy), (True, silent_proxy), (True, opens_and_is_silent), (False, never_shakes_hands)],
)
@pytest.mark.parametrize("how", ["deadline", "cancel"])
@pytest.mark.parametrize("own", [False, True], ids=["library's session", "own session"])
def test_connecting_ends_with_the_call(through, script, how, own, monkeypatch):
    cancel = Cancel()
    reached = threading.Event()

    def reporting(connection):
        reached.set()
        script(connection)

    with RawServer(reporting) as raw, requests.Session() as session:
        if through:
            monkeypatch.setenv("HTTPS_PROXY", raw.url)
        url = "https://gemini.example" if through else raw.url.replace("http:", "https:")
        endpoint = bare(url, timeout=60, session=session if own else None)
        began = time.monotonic()
        if how == "deadline":
            with pytest.raises(StreamTimeoutError, match="deadline"):
                texts_from(endpoint, deadline=1)
        else:
            canceller = threading.Thread(target=lambda: reached.wait(LONG) and cancel.cancel())
            canceller.start()
            with pytest.raises(StreamCancelled):
                texts_from(endpoint, deadline=None, cancel=cancel)
            canceller.join()
        assert time.monotonic() - began < LONG
    assert not cancel._callbacks


def test_a_proxy_that_is_not_there_is_named(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        with monkeypatch.context() as environment:
            environment.setenv(name, "http://me:secret@127.0.0.1:9")
            with pytest.raises(TransportError) as caught:
                texts_from(bare("https://gemini.example"))
        assert f"cannot connect to the proxy 127.0.0.1:9 ({name})" in str(caught.value)
        assert "secret" not in str(caught.value) and "gemini.example" not in str(caught.value)


def test_a_proxy_that_refuses_is_named(monkeypatch):
    with RawServer(answering(head("407 Who are you?", content_length=0))) as raw:
        monkeypatch.setenv("HTTPS_PROXY", raw.url)
        with pytest.raises(TransportError, match=f"the proxy {raw.netloc} .HTTPS_PROXY.: .*407 Who are you"):
            texts_from(bare("https://gemini.example"))


def test_where_requests_go_is_checked_at_the_end():
    """A session that changes the URL does not get the key sent to another server."""

    class Rewriting(requests.Session):
        def prepare_request(self, request):
            request.url = request.url.replace("127.0.0.1", "localhost")
            return super().prepare_request(request)

    with RawServer(answering(head() + WHOLE)) as raw, Rewriting() as session:
        endpoint = Endpoint(raw.url, api_key="secret-key", session=session, retry=None)
        with pytest.raises(GeministreamError, match="refused to send a request to localhost"):
            texts_from(dataclasses.replace(endpoint))
        assert raw.connections == 0


@pytest.mark.parametrize("auth", [(), "header"])
def test_no_url_of_our_own_leads_elsewhere(auth):
    with RawServer(answering(head() + WHOLE)) as raw:
        with Call(Endpoint("http://127.0.0.1:1", auth=auth, api_key="secret-key", retry=None)) as call:
            for url in (
                raw.url,
                f"http://127.0.0.1:1@{raw.netloc}/x",
                "https://127.0.0.1:1/x",
                raw.url.replace("127.0.0.1", "localhost"),
            ):
                with pytest.raises(GeministreamError, match="refused to send"):
                    call.send("POST", url, body=b"x")
        assert raw.connections == 0
