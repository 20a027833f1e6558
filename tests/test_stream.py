"""stream_generate() over real sockets: what is delivered, when, and what follows it."""

import copy
import dataclasses
import gc
import gzip
import json
import pickle
import threading
import time
import zlib

import pytest
from support.dialects import STREAMS, THREE, A, B, C, array, chunk, dumps, sse
from support.memory import TracedMemory
from support.raw_server import RawServer, chunk as http_chunk, head

from geministream import (
    ConfigurationError,
    Endpoint,
    GeministreamError,
    IncompleteStreamError,
    RateLimitError,
    StreamDecodeError,
    StreamTimeoutError,
    collect,
    stream_generate,
)
from geministream.testing import Answer, LocalServer

DEADLINE = 20  # seconds; what hangs fails


def texts_of(chunks):
    return [
        part.text if part else None for part in (chunk.parts[0] if chunk.parts else None for chunk in chunks)
    ]


def outcome(stream):
    """The texts of the chunks, and the error behind them."""
    chunks = []
    try:
        for each in stream:
            chunks.append(each)
    except GeministreamError as error:
        return texts_of(chunks), error
    return texts_of(chunks), None


def ask(endpoint, **options):
    return stream_generate("gemini-flash-latest", "Hello", endpoint=endpoint, deadline=DEADLINE, **options)


# From the first byte to the last ----------------------------------------------


def test_nothing_happens_before_the_first_next(server, endpoint):
    stream = ask(endpoint)
    assert iter(stream) is stream
    assert server.connections == 0
    next(stream)
    assert server.connections == 1
    stream.close()


def test_a_stream_that_is_never_begun_connects_never(server, endpoint):
    ask(endpoint).close()
    stream = ask(endpoint)
    del stream
    gc.collect()
    assert server.connections == 0


def test_the_request(server, endpoint):
    list(ask(endpoint))
    list(ask(endpoint, alt="json"))
    first, second = server.requests
    assert (first.method, first.path) == ("POST", "/v1beta/models/gemini-flash-latest:streamGenerateContent")
    assert first.query == {"alt": "sse"} and second.query == {}
    assert first.json == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    assert first.headers["content-type"] == "application/json"


@pytest.mark.parametrize("alt", ["sse", "json"])
@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_a_chunk_comes_when_its_last_byte_does(server, endpoint, alt, transfer, zipped):
    """Not with the next chunk, and not when the body ends."""
    gates = [threading.Event() for _ in range(4)]
    server.queue(Answer(chunks=[A, B, C], gates=gates, transfer=transfer, gzip=zipped))
    gates[0].set()
    came = []
    for chunk_ in ask(endpoint, alt=alt):
        came.append(chunk_)
        gates[len(came)].set()  # only now may the server go on
    assert texts_of(came) == THREE


def test_a_chunk_comes_before_its_http_chunk_is_complete():
    body = sse(A, B, C)
    first = len(sse(A))
    goes_on = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(head(transfer_encoding="chunked") + b"%x\r\n" % len(body) + body[:first])
        connection.wait(goes_on)
        connection.send(body[first:] + b"\r\n0\r\n\r\n")

    with RawServer(script) as raw:
        stream = ask(Endpoint(raw.url, auth=(), retry=None))
        assert next(stream).text == "one, "
        goes_on.set()
        assert texts_of(stream) == THREE[1:]


def test_an_element_does_not_wait_for_its_comma():
    goes_on = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(head() + b"[" + dumps(A))
        connection.wait(goes_on)
        connection.send(b"," + dumps(C) + b"]")

    with RawServer(script) as raw:
        stream = ask(Endpoint(raw.url, auth=(), retry=None))
        assert next(stream).text == "one, "
        goes_on.set()
        assert texts_of(stream) == ["three"]


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
def test_tls(trusted_tls, transfer):
    gates = [threading.Event() for _ in range(4)]
    with LocalServer(tls=trusted_tls) as server:
        server.queue(Answer(chunks=[A, B, C], gates=gates, transfer=transfer))
        gates[0].set()
        came = []
        for each in ask(dataclasses.replace(server.endpoint, retry=None)):
            came.append(each)
            gates[len(came)].set()
        assert texts_of(came) == THREE


@pytest.mark.parametrize("piece", [1, 3])
@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
def test_tiny_pieces(server, endpoint, transfer, piece):
    server.queue(Answer(chunks=[A, B, C], piece_bytes=piece, transfer=transfer))
    assert outcome(ask(endpoint)) == (THREE, None)


def test_chunk_extensions_and_trailers():
    body = sse(A, C)

    def script(connection):
        connection.read_request()
        connection.send(head(transfer_encoding="chunked", trailer="X-Sum"))
        for start in range(0, len(body), 10):
            piece = body[start : start + 10]
            connection.send(b'%X ; name="a;b"\r\n%b\r\n' % (len(piece), piece))
        connection.send(b"000;last\r\nX-Sum: 1\r\n\r\n")

    with RawServer(script) as raw:
        assert outcome(ask(Endpoint(raw.url, auth=(), retry=None))) == (["one, ", "three"], None)


@pytest.mark.parametrize(
    "encoding, pack",
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
        ("identity", bytes),
        ("", bytes),
    ],
    ids=["gzip", "x-gzip", "GZIP", "zlib", "raw deflate", "two members", "identity", "empty"],
)
@pytest.mark.parametrize("piece", [1, 1000])
def test_compressed_bodies(server, endpoint, encoding, pack, piece):
    packed = pack(sse(A, B, C))
    server.queue(Answer(body=packed, headers={"Content-Encoding": encoding}, gzip=False, piece_bytes=piece))
    assert outcome(ask(endpoint)) == (THREE, None)


def test_compression_that_was_not_asked_for(server, endpoint):
    server.queue(Answer(body=b"\x0b\x02\x80", headers={"Content-Encoding": "br"}, gzip=False))
    texts, error = outcome(ask(endpoint))
    assert type(error) is StreamDecodeError and "'br'" in str(error)


def test_damaged_compression(server, endpoint):
    packed = bytearray(gzip.compress(sse(A, B, C)))
    packed[40] ^= 255
    server.queue(Answer(body=bytes(packed), headers={"Content-Encoding": "gzip"}, gzip=False, piece_bytes=1))
    texts, error = outcome(ask(endpoint))
    assert type(error) in (StreamDecodeError, IncompleteStreamError)
    assert texts == THREE[: len(texts)]


def test_what_came_before_damaged_compression_is_delivered(server, endpoint):
    squeeze = zlib.compressobj(wbits=31)
    pieces = [squeeze.compress(sse(value)) + squeeze.flush(zlib.Z_SYNC_FLUSH) for value in (A, B)]
    server.queue(
        Answer(
            body=b"".join(pieces) + b"\x07 no block of deflate",
            headers={"Content-Encoding": "gzip"},
            gzip=False,
        )
    )
    texts, error = outcome(ask(endpoint))
    assert texts == THREE[:2] and type(error) is StreamDecodeError


# Leaving ----------------------------------------------------------------------


def leave_by_break(stream):
    for _ in stream:
        break
    stream.close()


def leave_by_close(stream):
    next(stream)
    stream.close()


def leave_by_garbage_collection(stream):
    next(stream)


def leave_by_throw(stream):
    next(stream)
    with pytest.raises(LookupError):
        stream.throw(LookupError())


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_by_close, leave_by_garbage_collection, leave_by_throw]
)
@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
def test_leaving_closes_the_connection(server, endpoint, leave, transfer):
    server.queue(Answer(chunks=[A, threading.Event()], transfer=transfer))
    stream = ask(endpoint)
    leave(stream)
    del stream
    gc.collect()
    assert server.requests[0].client_gone.wait(5)
    server.wait_for_connections(0)


def test_a_loop_that_is_left_closes_the_connection(server, endpoint):
    server.queue(Answer(chunks=[A, threading.Event()]))
    for _ in ask(endpoint):
        break  # nothing holds the generator any more
    gc.collect()
    assert server.requests[0].client_gone.wait(5)


def test_an_exception_in_the_loop_closes_the_connection(server, endpoint):
    server.queue(Answer(chunks=[A, threading.Event()]))

    def work():
        for _ in ask(endpoint):
            raise LookupError

    with pytest.raises(LookupError):
        work()
    gc.collect()
    assert server.requests[0].client_gone.wait(5)


def test_a_stream_that_has_ended_stays_ended(server, endpoint):
    server.queue(Answer(chunks=[A, C]), Answer.failure(500))
    stream = ask(endpoint)
    assert len(list(stream)) == 2 and list(stream) == []
    stream.close()
    failing = ask(endpoint)
    with pytest.raises(GeministreamError):
        next(failing)
    assert list(failing) == []


def test_two_streams_at_once_in_one_thread(server, endpoint):
    server.queue(Answer(chunks=[chunk("a"), chunk("b"), chunk("c", "STOP")]))
    server.queue(Answer(chunks=[chunk("1"), chunk("2"), chunk("3", "STOP")]))
    first, second = ask(endpoint), ask(endpoint)
    assert [a.text + b.text for a, b in zip(first, second)] == ["a1", "b2", "c3"]


# What a body means --------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(STREAMS)), ids=[name for name, *_ in STREAMS])
def test_real_world_streams(server, endpoint, number):
    """Whatever was asked for, however it is sent and labelled: the body decides."""
    name, body, texts, error = STREAMS[number]
    transfer = ("chunked", "length", "close")[number % 3]
    label = ("text/event-stream", "application/json", "text/plain", "", "nonsense")[number % 5]
    zipped = bool(body) and number % 4 == 0
    server.queue(Answer(body=body, transfer=transfer, content_type=label, gzip=zipped))
    came, raised = outcome(ask(endpoint, alt=("sse", "json")[number % 2]))
    assert came == texts
    assert (type(raised).__name__ if raised else None) == error, raised
    if raised:
        assert 0 < len(str(raised)) < 1000


def test_several_candidates(server, endpoint):
    def parts(index, text, finish=None):
        return {
            "index": index,
            "content": {"parts": [{"text": text}]},
            **({"finishReason": finish} if finish else {}),
        }

    chunks = [
        {"candidates": [parts(0, "a"), parts(1, "x")]},
        {"candidates": [parts(1, "y", "STOP")]},
        {"candidates": [parts(0, "b", "MAX_TOKENS"), parts(2, "q", "SAFETY")]},
    ]
    server.queue(Answer(chunks=chunks))
    whole = collect(ask(endpoint))
    assert [c.content.parts[0].text for c in whole.candidates] == ["ab", "xy", "q"]
    assert [c.finish_reason for c in whole.candidates] == [
        "STOP" if k == 1 else k or "MAX_TOKENS" for k in (0, 1, "SAFETY")
    ]
    # One candidate without an end makes the answer incomplete.
    server.queue(Answer(chunks=chunks[:2]))
    texts, error = outcome(ask(endpoint))
    assert len(texts) == 2 and type(error) is IncompleteStreamError


@pytest.mark.parametrize("token", [7, None, "", [], {}, True], ids=repr)
def test_a_token_that_is_not_a_string_continues_nothing(server, endpoint, token):
    """The same request again would give the same answer again."""
    whole = {"candidates": [{**chunk("a", "CONTINUATION")["candidates"][0], "continuationToken": token}]}
    server.queue(Answer(chunks=[whole]))
    texts, error = outcome(ask(endpoint))
    assert texts == ["a"] and server.request_count == 1
    assert type(error) is IncompleteStreamError and not error.retryable and "no token" in str(error)


@pytest.mark.parametrize("candidates", [5, "x", {}, [5, None, "x"]], ids=repr)
def test_odd_chunks_of_an_answer_that_continues(server, endpoint, candidates):
    first = {"candidates": [{**chunk("a", "CONTINUATION")["candidates"][0], "continuationToken": "t"}]}
    odd = sse({"candidates": candidates})  # as bytes: the server would look into it
    server.queue(Answer(chunks=[first, odd]), Answer(chunks=[chunk("b", "STOP")]))
    texts, error = outcome(ask(endpoint))
    assert [text for text in texts if text] == ["a", "b"] and error is None


def test_an_error_in_the_stream_knows_the_responses_headers(server, endpoint):
    server.queue(
        Answer(chunks=[A], stream_error=(429, None, "Slow down."), headers={"Retry-After": "7", "X-Id": "i"})
    )
    texts, error = outcome(ask(endpoint))
    assert texts == ["one, "] and type(error) is RateLimitError
    assert (error.code, error.status, error.message, error.retry_after) == (
        429,
        "RESOURCE_EXHAUSTED",
        "Slow down.",
        7.0,
    )
    assert error.headers["x-id"] == "i"


def test_collect_keeps_what_had_arrived(server, endpoint):
    server.queue(
        Answer(chunks=[A, B], stream_error=(503,)), Answer(chunks=[A, B], finish=None), Answer.failure(500)
    )
    for _ in range(2):
        with pytest.raises(GeministreamError) as caught:
            collect(ask(endpoint))
        assert caught.value.partial.text == "one, two, "
    with pytest.raises(GeministreamError) as caught:
        collect(ask(endpoint))
    assert caught.value.partial is None


# After the deadline -------------------------------------------------------------


@pytest.mark.parametrize("tail", [b"\r\n\r\n", b""], ids=["whole", "last event not closed"])
def test_what_came_together_is_delivered_together(tail):
    """A slow caller may lose what comes after the deadline, but never something in the middle."""
    events = [chunk(str(k)) for k in range(6)]

    def script(connection):
        connection.read_request()
        connection.send(head() + sse(*events)[:-4] + tail)
        connection.wait_until_client_leaves()

    with RawServer(script) as raw:
        stream = stream_generate("m", "Hello", endpoint=Endpoint(raw.url, auth=(), retry=None), deadline=0.6)
        began = time.monotonic()
        texts = [next(stream).text]
        while time.monotonic() < began + 0.7:
            time.sleep(0.01)  # until the deadline is over
        with pytest.raises(StreamTimeoutError):
            for each in stream:
                texts.append(each.text)
    assert texts == [str(k) for k in range(6)][: len(texts)]
    assert len(texts) >= 5


# Limits -------------------------------------------------------------------------


@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
@pytest.mark.parametrize("frame", [sse, array], ids=["SSE", "array"])
def test_an_event_past_the_limit_is_refused(server, endpoint, frame, transfer):
    endpoint = dataclasses.replace(endpoint, max_event_bytes=100_000)
    fits = chunk("x" * 99_000, "STOP")
    server.queue(Answer(body=frame(A, fits), transfer=transfer))
    assert outcome(ask(endpoint)) == (["one, ", "x" * 99_000], None)
    server.queue(Answer(body=frame(A, chunk("x" * 101_000, "STOP")), transfer=transfer))
    texts, error = outcome(ask(endpoint))
    assert texts == ["one, "] and type(error) is StreamDecodeError
    assert "max_event_bytes" in str(error)


def bomb(frame, size):
    """An event of ``size`` bytes, compressed to a thousandth."""
    start, end = frame(chunk("@", "STOP")).split(b"@")
    squeeze = zlib.compressobj(9, wbits=31)
    yield squeeze.compress(frame(A) if frame is sse else b"")
    yield squeeze.compress(start)
    for _ in range(size // 2**20):
        yield squeeze.compress(b"x" * 2**20)
    yield squeeze.compress(end) + squeeze.flush()


@pytest.mark.parametrize("frame", [sse, array], ids=["SSE", "array"])
def test_a_bomb_takes_no_more_memory_than_the_limit(server, endpoint, frame):
    limit = 2**20
    packed = b"".join(bomb(frame, 100 * 2**20))
    assert len(packed) < 2**18
    endpoint = dataclasses.replace(endpoint, max_event_bytes=limit)
    server.queue(Answer(body=packed, headers={"Content-Encoding": "gzip"}, gzip=False, transfer="length"))
    stream = ask(endpoint)
    with TracedMemory() as memory:
        texts, error = outcome(stream)
    assert type(error) is StreamDecodeError
    assert memory.peak < 4 * limit


def test_a_bomb_of_white_space_takes_no_memory(server, endpoint):
    squeeze = zlib.compressobj(9, wbits=31)
    packed = (
        b"".join(squeeze.compress(b"\n" * 2**20) for _ in range(50))
        + squeeze.compress(sse(C))
        + squeeze.flush()
    )
    server.queue(Answer(body=packed, headers={"Content-Encoding": "gzip"}, gzip=False))
    stream = ask(endpoint)
    with TracedMemory() as memory:
        assert outcome(stream) == (["three"], None)
    assert memory.peak < 2 * 2**20


@pytest.mark.parametrize("piece", [b"<", b"<script", b"x", b"\xff", b"[", b'{"a":', b" ", b"&lt;"], ids=repr)
def test_a_huge_error_body_is_read_up_to_a_limit(server, endpoint, piece):
    block = piece * (2**16 // len(piece))
    server.queue(Answer(body=[block] * 1600, status=503, gzip=False))  # 100 MiB
    began = time.process_time()
    texts, error = outcome(ask(endpoint))
    assert error.code == 503 and 0 < len(error.message) < 1000
    assert server.requests[0].client_gone.wait(5)
    assert server.requests[0].bytes_sent < 20 * 2**20
    assert time.process_time() - began < 5


def test_a_bomb_for_an_error_body(server, endpoint):
    squeeze = zlib.compressobj(9, wbits=31)
    packed = b"".join(squeeze.compress(b"x" * 2**20) for _ in range(100)) + squeeze.flush()
    server.queue(Answer(body=packed, status=500, headers={"Content-Encoding": "gzip"}, gzip=False))
    stream = ask(endpoint)
    with TracedMemory() as memory:
        texts, error = outcome(stream)
    assert memory.peak < 16 * 2**20
    assert error.code == 500


@pytest.mark.parametrize("depth", [100, 300, 700, 950, 5000, 9000, 100000])
@pytest.mark.parametrize("where", ["details", "message", "reason", "upstream", "list", "arguments"])
@pytest.mark.parametrize("status", [200, 400])
def test_nesting_ends_in_no_recursion_error(server, endpoint, depth, where, status):
    nest = "[" * depth + "]" * depth
    body = {
        "details": '{"error": {"code": 400, "message": "m", "details": %s}}',
        "message": '{"error": {"code": 400, "message": %s}}',
        "reason": '{"error": {"code": 400, "details": [{"@type": "google.rpc.ErrorInfo", "reason": %s}]}}',
        "upstream": '{"error": {"code": 400, "message": "upstream said - {\\"error\\": {\\"details\\": [%s]}}"}}',
        "list": "[%s]",
        "arguments": '{"candidates": [{"content": {"parts": [{"functionCall": {"args": {"a": %s}}}]}, "finishReason": "STOP"}]}',
    }[where] % nest
    server.queue(
        Answer(body=b"data: " + body.encode() + b"\n\n" if status == 200 else body.encode(), status=status)
    )
    chunks = []
    try:
        for each in ask(endpoint):
            chunks.append(each)
            each.to_dict(), each.text, each.function_calls
            repr(each)
        collect(iter(chunks))
    except GeministreamError as error:
        assert len(str(error)) < 1000 or where in ("message", "upstream")
        copy.deepcopy(error.__dict__), pickle.dumps(error), repr(error.__dict__)
        assert status == 200 or error.code == 400
    else:
        assert where == "arguments" and len(chunks) == 1


def test_a_value_of_many_megabytes(server, endpoint):
    data = "QUJD" * 2**20
    image = {
        "candidates": [
            {
                "content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]},
                "finishReason": "STOP",
            }
        ]
    }
    for frame in (sse, array):
        body = frame(image)
        for transfer in ("chunked", "length"):
            server.queue(
                Answer(body=[body[k : k + 30000] for k in range(0, len(body), 30000)], transfer=transfer)
            )
            (only,) = ask(endpoint)
            assert only.parts[0].inline_data.data == b"ABC" * 2**20


def test_json_is_what_json_says(server, endpoint):
    value = {
        "candidates": [{"finishReason": "STOP", "index": 0}],
        "new": {"big": 2**70, "float": 0.1, "null": None, "é": ["\u2028"]},
    }
    server.queue(Answer(body=b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"))
    (only,) = ask(endpoint)
    assert only.to_dict() == value


def test_http_chunks_of_http_chunks(server, endpoint):
    """A gateway that chunks a chunked body again makes a stream of garbage, which raises an error."""
    body = b"".join(http_chunk(sse(each)) for each in (A, B, C)) + b"0\r\n\r\n"
    server.queue(Answer(body=body, gzip=False))
    texts, error = outcome(ask(endpoint))
    assert texts == THREE[: len(texts)] and isinstance(error, GeministreamError) or texts == THREE


# Arguments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"deadline": value}
            for value in (True, False, "5", 0, 0.0, -1, float("nan"), float("inf"), 1e10, [5])
        ),
        {"alt": "xml"},
        {"alt": None},
        {"cancel": True},
        {"cancel": object()},
        {"continuation_token": 5},
        {"continuation_token": b"t"},
    ],
    ids=str,
)
def test_arguments_that_cannot_work_are_refused_at_the_call(options):
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"^{name}= "):
        stream_generate("m", "Hello", endpoint=Endpoint("http://127.0.0.1:1", auth=()), **options)


@pytest.mark.parametrize("deadline", [None, 30, 30.5, 10**9])
def test_deadlines_that_work(server, endpoint, deadline):
    assert len(list(stream_generate("m", "Hello", endpoint=endpoint, deadline=deadline))) > 0


@pytest.mark.parametrize("body", [b'{"hello": "world"}', b'[{"hello": "world"}]', sse({"hello": "world"})])
def test_other_json_is_not_an_answer(server, endpoint, body):
    server.queue(Answer(body=body))
    with pytest.raises(StreamDecodeError, match="not a Gemini answer.*hello"):
        list(ask(endpoint))
    server.queue(Answer(body=sse({"hello": "world"}, A, C)))
    assert [chunk.text for chunk in ask(endpoint)] == ["", "one, ", "three"]
