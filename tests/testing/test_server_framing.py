"""The bytes of the test server's answers, and how they are sent: cut, stopped, stalled, timed."""

import socket
import threading
import time

import pytest
import requests
from support.plain_client import HELLO, KEY, PLAIN, STREAM, ask, body_bytes, post_bytes, raw, sse, text_of

from geministream.testing import Answer, LocalServer, expected_text


def test_sse_bytes_are_googles(server):
    response = ask(server)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Transfer-Encoding"] == "chunked"
    first = b'data: {"candidates": [{"content": {"parts": [{"text": "You said: Hello "}]'
    assert response.content.startswith(first)
    assert response.content.endswith(b"}\r\n\r\n")
    assert b"\\u003care\\u003e" in response.content
    assert (
        text_of(sse(response.content))
        == expected_text(HELLO)
        == "You said: Hello there, how <are> you today?"
    )


def test_array_bytes_are_googles(server):
    response = ask(server, alt=None)
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert response.content.startswith(b'[{\n  "candidates": [')
    assert b"\n}\n,\r\n{\n" in response.content
    assert response.content.endswith(b"\n}\n]")
    assert response.json() == sse(ask(server).content)


@pytest.mark.parametrize("alt, first, last", [("sse", b"data: {", b"\r\n\r\n"), (None, b"[{", b"]")])
def test_each_event_is_one_http_chunk(server, alt, first, last):
    received = raw(server, post_bytes(path=STREAM + ("?alt=sse" if alt else "")))
    head, _, body = received.partition(b"\r\n\r\n")
    pieces = []
    while body:
        size, _, body = body.partition(b"\r\n")
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    assert pieces[-1] == b""  # the chunk that ends the body
    assert pieces[0].startswith(first) and pieces[-2].endswith(last)
    assert len(pieces) - 1 == (3 if alt else 4)
    assert alt or pieces[-2] == b"]"  # which comes alone


def test_gzip_is_flushed_with_each_event(server):
    gates = [threading.Event() for _ in range(2)]
    server.queue(Answer(["one", "two"], gates=gates))
    response = ask(server, headers={**KEY, "Accept-Encoding": "gzip"}, stream=True)
    assert response.headers["Content-Encoding"] == "gzip"
    pieces = response.iter_content(None)
    gates[0].set()
    assert b'"one"' in next(pieces)  # readable although the second is still held back
    gates[1].set()
    assert b'"two"' in b"".join(pieces)


def test_gzip_only_where_accepted_and_wanted():
    with LocalServer(gzip=False) as server:
        assert "Content-Encoding" not in ask(server, headers=KEY).headers
    with LocalServer() as server:
        assert "Content-Encoding" not in ask(server, headers=PLAIN).headers
        assert ask(server, headers=KEY).headers["Content-Encoding"] == "gzip"
        server.queue(Answer(stop_after=20), Answer(piece_bytes=5), Answer(piece_bytes=5, gzip=True))
        assert "Content-Encoding" not in ask(server, headers=KEY).headers
        assert "Content-Encoding" not in ask(server, headers=KEY).headers
        assert text_of(sse(ask(server, headers=KEY).content)) == expected_text(HELLO)


def test_generate_content_is_one_object(server):
    body = {**HELLO, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    whole = ask(server, body, alt=None, path="/v1beta/models/gemini-x:generateContent").json()
    parts = whole["candidates"][0]["content"]["parts"]
    assert [bool(part.get("thought")) for part in parts] == [True, False, False]
    assert parts[1]["text"] == expected_text(body) and parts[2]["thoughtSignature"]
    assert whole["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("piece_bytes", [None, 1, 7, 10_000])
def test_the_bytes_are_the_same_however_they_are_cut(server, transfer, piece_bytes):
    expected = body_bytes(server)
    server.queue(Answer(transfer=transfer, piece_bytes=piece_bytes))
    response = ask(server)
    assert response.content == expected
    assert ("Content-Length" in response.headers) == (transfer == "length")
    recorded = server.requests[-1]
    assert recorded.finished.wait(5) and recorded.bytes_sent == len(expected)
    if piece_bytes:
        assert recorded.pieces_sent == -(-len(expected) // piece_bytes)


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("stop", [0, 1, 100, -1, -100])
def test_stop_ends_drops_and_resets(server, transfer, stop):
    expected = body_bytes(server)
    expected = expected[:stop] if stop else b""
    for how in ("end", "drop", "reset"):
        server.queue(Answer(transfer=transfer, stop_after=stop, stop_how=how))
        received, failure = b"", None
        with socket.create_connection((server.host, server.port), timeout=10) as sock:
            sock.sendall(post_bytes())
            try:
                while True:
                    piece = sock.recv(65536)
                    if not piece:
                        break
                    received += piece
            except ConnectionResetError as error:
                failure = error
        head, _, body = received.partition(b"\r\n\r\n")
        assert (failure is not None) == (how == "reset")
        if transfer == "chunked":
            assert body.endswith(b"0\r\n\r\n") == (how == "end")
            plain = b""
            while body and not body.startswith(b"0\r\n"):
                size, _, body = body.partition(b"\r\n")
                plain += body[: int(size, 16)]
                body = body[int(size, 16) + 2 :]
            body = plain
        assert body == expected
        assert server.requests[-1].fault == f"{how} after {stop} bytes"


def test_a_body_that_ends_early_in_good_http_keeps_its_connection(server):
    server.queue(Answer(stop_after=20), "whole")
    with requests.Session() as session:
        url = server.url + STREAM + "?alt=sse"
        assert len(session.post(url, json=HELLO, headers=KEY).content) == 20
        assert text_of(sse(session.post(url, json=HELLO, headers=KEY).content)) == "whole"
    assert server.connections == 1


def test_no_answer_at_all_and_half_a_head(server):
    server.queue(Answer.nothing(), Answer(stop_in_head=20, stop_how="drop"), Answer.nothing("reset"))
    assert raw(server, post_bytes()) == b""
    assert len(raw(server, post_bytes())) == 20
    with pytest.raises(ConnectionResetError):
        raw(server, post_bytes())


def test_stall_lasts_until_the_client_leaves(server):
    server.queue(Answer(stop_after=10, stop_how="stall"))
    response = ask(server, stream=True)
    recorded = server.wait_for_request()
    server.wait_until(lambda: recorded.bytes_sent == 10)
    assert not recorded.client_gone.is_set() and not recorded.finished.is_set()
    response.close()
    assert recorded.client_gone.wait(5) and recorded.finished.wait(5)


def test_a_client_that_leaves_is_noticed_while_streaming(server):
    server.queue(Answer("x" * 1000 for _ in range(10**9)))
    response = ask(server, stream=True)
    next(response.iter_content(None))
    response.close()
    assert server.requests[0].client_gone.wait(5)


def test_gates_pauses_and_waits_order_what_happens(server):
    before, gates = threading.Event(), [threading.Event() for _ in range(3)]
    server.queue(Answer(["a", 0.001, "b"], wait=before, gates=gates))
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        sock.sendall(post_bytes())
        recorded = server.wait_for_request()
        before.set()
        head = sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 200") and recorded.pieces_sent == 0
        for k, gate in enumerate(gates[:2], 1):
            gate.set()
            assert b"data: " in sock.recv(65536)
            server.wait_until(lambda k=k: recorded.pieces_sent == k)
        assert not recorded.finished.is_set()
        gates[2].set()
        assert sock.recv(65536) == b"0\r\n\r\n"


def test_latency_and_piece_delay_take_their_time():
    with LocalServer(latency=0.05, piece_delay=0.05) as server:
        start = time.monotonic()
        assert text_of(sse(ask(server).content)) == expected_text(HELLO)
        assert time.monotonic() - start >= 0.15  # the head, and twice between three pieces


def test_a_long_stream_holds_no_memory(server):
    chunk = b'data: {"candidates": []}\r\n\r\n'
    server.queue(Answer(chunk for _ in range(20_000)))
    size = sum(len(piece) for piece in ask(server, stream=True).iter_content(2**16))
    assert size == 20_000 * len(chunk)
    assert server.requests[0].finished.wait(5) and server.requests[0].pieces_sent == 20_000
