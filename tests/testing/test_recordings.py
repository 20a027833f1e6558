"""Recording a real endpoint, here another LocalServer, and replaying it byte for byte."""

import base64
import json
import re
import shutil
import socket
import threading
import time
import urllib.parse
import zlib

import pytest
import requests
from support.plain_client import HELLO, PLAIN, STREAM, post_bytes, prompt, raw, sse, text_of
from support.raw_server import RawServer, chunk, head

from geministream import Endpoint, IncompleteStreamError, collect, stream_generate, upload_file
from geministream.testing import Answer, LocalServer, Recorder, Replay
from geministream.testing.json_checks import ScriptError

KEY = "AIzaSy-the+real/key_of&nobody=0123456789"
GZIP = {"x-goog-api-key": "local-key", "Accept-Encoding": "gzip"}


@pytest.fixture
def upstream():
    with LocalServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def tapes(tmp_path):
    return tmp_path / "tapes"


@pytest.fixture
def recorder(upstream, tapes):
    with LocalServer(record=Recorder(str(tapes), upstream.url, KEY)) as server:
        yield server


def body_of(server, path=STREAM + "?alt=sse", body=HELLO, headers=PLAIN):
    """The status, and the bytes of the body as they travel."""
    with requests.post(server.url + path, json=body, headers=headers, stream=True, timeout=10) as response:
        return response.status_code, response.raw.read(decode_content=False)


def files(tapes):
    return sorted(path.name for path in tapes.iterdir())


WAYS = [(path, headers) for path in (STREAM + "?alt=sse", STREAM) for headers in (PLAIN, GZIP)]


def test_a_replay_has_the_same_bytes(upstream, recorder, tapes):
    """Both framings, compressed and not, errors, and what is not a stream."""
    upstream.queue("a", "b", "c", "d", Answer.failure(429, retry_after=2), Answer.garbage())
    asked = [*WAYS, (STREAM, PLAIN), (STREAM, GZIP), ("/v1beta/models/m:countTokens", PLAIN)]
    recorded = [body_of(recorder, path, headers=headers) for path, headers in asked]
    assert [status for status, _ in recorded] == [200] * 4 + [429, 200, 200]
    assert [zlib.decompress(recorded[k][1], 31)[:1] for k in (1, 3)] == [b"d", b"["]
    assert len(files(tapes)) == 7
    with LocalServer(replay=tapes) as replay:
        assert [body_of(replay, path, headers=headers) for path, headers in asked] == recorded


def test_the_head_is_the_same(upstream, recorder, tapes):
    def heads(server):
        for _ in range(2):
            response = requests.post(server.url + STREAM, json=HELLO, headers=PLAIN)
            changing = ("Date", "Connection")
            yield {name: value for name, value in response.headers.items() if name not in changing}

    upstream.queue(
        Answer.failure(429, retry_after=2, headers={"X-Mine": "a", "X-RateLimit-Remaining-Tokens": "7"}),
        Answer("x", transfer="length"),
    )
    recorded = list(heads(recorder))
    assert recorded[0]["Retry-After"] == "2" and recorded[0]["X-Mine"] == "a"
    assert recorded[0]["X-RateLimit-Remaining-Tokens"] == "7"
    assert "Content-Length" in recorded[1]
    with LocalServer(replay=tapes) as replay:
        assert list(heads(replay)) == recorded


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_this_library_gets_the_same_chunks(upstream, recorder, tapes, alt):
    def chunks(server):
        endpoint = Endpoint(server.url, api_key="local-key", retry=None)
        return list(stream_generate("m", "Tell me a long story, with ünïcode", endpoint=endpoint, alt=alt))

    direct = chunks(recorder)
    assert len(direct) > 1 and upstream.requests[0].headers["x-goog-api-key"] == KEY
    with LocalServer(replay=str(tapes)) as replay:
        assert chunks(replay) == direct


def test_pieces_are_forwarded_as_they_arrive(upstream, recorder, tapes):
    gate = threading.Event()
    upstream.queue(Answer(["first", gate, "second"]))
    with requests.post(
        recorder.url + STREAM + "?alt=sse", json=HELLO, headers=PLAIN, stream=True, timeout=10
    ) as response:
        assert b"first" in response.raw.read(60)  # while the upstream holds back the rest
        gate.set()
        assert b"second" in response.raw.read()
    assert files(tapes) == ["000001-POST-gemini-x-streamGenerateContent.json"]


def test_the_file_is_there_before_the_client_has_all(upstream, recorder, monkeypatch):
    """So that a test may replay it at once."""
    seen = []
    monkeypatch.setattr(
        "geministream.testing.recorder.save", lambda *args: seen.append(recorder.requests[0].bytes_sent)
    )
    upstream.queue(Answer("x", transfer="length"))
    status, body = body_of(recorder)
    assert seen == [0] and len(body) > 0


def test_the_rhythm(upstream, recorder, tapes):
    upstream.queue(Answer(["a", 0.2, "b"], delay=0.1))
    body_of(recorder)
    took = {}
    for speed in (None, 1.0, 4.0):
        with LocalServer(replay=Replay(tapes, speed)) as replay:
            start = time.monotonic()
            body_of(replay)
            took[speed] = time.monotonic() - start
    assert took[1.0] >= 0.3 > took[None] and took[4.0] >= 0.075
    assert took[4.0] < took[1.0]


def test_equal_requests_in_their_order_and_each_once(upstream, recorder, tapes):
    upstream.queue("first", "other", "second")
    for body in (HELLO, prompt("another"), HELLO):
        body_of(recorder, body=body)
    with LocalServer(replay=tapes, control=True) as replay:
        for _ in range(2):
            texts = [text_of(sse(body_of(replay)[1])) for _ in range(2)]
            assert texts == ["first", "second"]
            status, error = body_of(replay)
            assert status == 404 and b"has been played" in error
            requests.post(replay.url + "/_control/reset")
        # JSON spelled in another way, with the key elsewhere, is the same request.
        body = json.dumps(prompt("another"), indent=3)
        response = requests.post(replay.url + STREAM + "?key=some-other-key&alt=sse", body)
        assert text_of(sse(response.content)) == "other"


def test_text_that_is_not_quite_unicode(upstream, recorder, tapes):
    body = json.dumps(prompt("half a pair: \ud83d")).encode()
    upstream.queue("x")
    recorded = requests.post(recorder.url + STREAM, body, headers=PLAIN).content
    with LocalServer(replay=tapes) as replay:
        assert requests.post(replay.url + STREAM, body, headers=PLAIN).content == recorded


def test_what_was_not_recorded(recorder, tapes):
    body_of(recorder)
    with LocalServer(replay=tapes) as replay:
        status, error = body_of(replay, body=prompt("another"))
        message = json.loads(error)["error"]["message"]
        assert status == 404
        assert message.startswith(
            f"No recording of POST {STREAM}?alt=sse with this body. Recordings of this path: "
        )
        assert f"000001-POST-gemini-x-streamGenerateContent.json (POST {STREAM}?alt=sse, body " in message
        assert '{"contents": [{"role": "user"' in message
        assert body_of(replay, STREAM)[0] == 404  # another framing
        status, error = body_of(replay, "/v1beta/nowhere")
        assert (status, json.loads(error)["error"]["message"]) == (
            404,
            f"No recording of POST /v1beta/nowhere. There are recordings of {STREAM}.",
        )
        assert body_of(replay)[0] == 200


def test_faults_over_a_replay(recorder, tapes):
    _, whole = body_of(recorder)
    with LocalServer(
        replay=tapes, faults=[Answer.failure(503), Answer(stop_after=50, stop_how="drop")]
    ) as replay:
        assert body_of(replay)[0] == 503  # and the recording is still there
        with pytest.raises(requests.packages.urllib3.exceptions.HTTPError):
            body_of(replay)
        assert replay.requests[1].bytes_sent == 50
    with LocalServer(replay=tapes) as replay:
        replay.queue(Answer(stop_after=60, stop_how="end"))
        assert body_of(replay) == (200, whole[:60])
    with LocalServer(replay=tapes) as replay:
        replay.queue(Answer(piece_bytes=7))
        assert body_of(replay) == (200, whole)
        assert replay.requests[0].pieces_sent == -(-len(whole) // 7)


@pytest.mark.parametrize("how", ["drop", "reset"])
@pytest.mark.parametrize("transfer", ["chunked", "length", "close"])
def test_a_cut_is_recorded_and_replayed(tapes, transfer, how):
    """A body that ends with its connection cannot be seen to be cut by a close, only by a reset."""
    lines = {"chunked": "Transfer-Encoding: chunked", "length": "Content-Length: 100", "close": "X: y"}
    gate = threading.Event()

    def script(connection):
        connection.read_request()
        data = chunk(b"some bytes") if transfer == "chunked" else b"some bytes"
        connection.send(f"HTTP/1.1 200 OK\r\n{lines[transfer]}\r\n\r\n".encode() + data)
        connection.wait(gate)
        if how == "reset":
            connection.reset()

    def ending(server):
        with requests.post(
            server.url + STREAM, json=HELLO, headers=PLAIN, stream=True, timeout=10
        ) as response:
            received = response.raw.read(10)
            gate.set()
            try:
                response.raw.read(1)  # urllib3 1.26 sees a body that is too short here alone
                left = response.raw.length_remaining
                return received, "short" if left else "complete"
            except (requests.packages.urllib3.exceptions.HTTPError, OSError):
                return received, "short"

    with RawServer(script) as upstream, LocalServer(record=Recorder(str(tapes), upstream.url)) as recorder:
        recorded = ending(recorder)
        recorder.wait_until(recorder.requests[0].finished.is_set)
    [name] = files(tapes)
    expected = "reset" if how == "reset" else "complete" if transfer == "close" else "drop"
    assert json.loads((tapes / name).read_text())["response"]["end"] == expected
    if (transfer, how) != ("close", "reset"):  # the recorder closes here, the replay resets
        with LocalServer(replay=tapes) as replay:
            assert (
                ending(replay) == recorded == (b"some bytes", "complete" if transfer == "close" else "short")
            )


def test_a_cut_stream_replayed_to_this_library(upstream, recorder, tapes):
    upstream.queue(Answer(["one ", "two ", "three"], stop_after=-30, stop_how="drop"))
    partial = []
    for make in (lambda: recorder, lambda: LocalServer(replay=tapes).start()):
        server = make()
        with pytest.raises(IncompleteStreamError) as caught:
            collect(stream_generate("m", "x", endpoint=Endpoint(server.url, api_key="local-key", retry=None)))
        partial.append(caught.value.partial)
        server.close()
    assert partial[0] == partial[1] and partial[0].text == "one two "


def test_a_client_that_leaves(upstream, recorder, tapes):
    gate = threading.Event()
    upstream.queue(Answer(["first", gate, "x" * 10**7]))
    with requests.post(
        recorder.url + STREAM + "?alt=sse", json=HELLO, headers=PLAIN, stream=True, timeout=10
    ) as response:
        response.raw.read(60)
    gate.set()
    recorder.wait_until(recorder.requests[0].finished.is_set)
    [name] = files(tapes)
    assert json.loads((tapes / name).read_text())["response"]["end"] == "drop"


def test_closing_does_not_wait_for_the_upstream(upstream, tapes):
    upstream.queue(Answer(stop_in_head=0, stop_how="stall"))
    with LocalServer(record=Recorder(str(tapes), upstream.url, KEY)) as recorder:
        with socket.create_connection((recorder.host, recorder.port), timeout=10) as client:
            client.sendall(post_bytes())
            upstream.wait_for_request()
            start = time.monotonic()
            recorder.close()
            assert time.monotonic() - start < 4  # the listener gives up on a thread after 5 seconds
            assert b"200 OK" not in client.recv(1000)
    assert files(tapes) == []


def test_an_upload_and_its_file(recorder, tapes):
    """Upload URLs name the server that is asked."""

    def uploaded(server):
        endpoint = Endpoint(server.url, api_key="local-key", retry=None)
        file = upload_file(b"x" * 1000, mime_type="image/png", display_name="x", endpoint=endpoint)
        chunks = stream_generate("m", [file, "What is this?"], endpoint=endpoint)
        return file.sha256_hash, collect(chunks).text

    first = uploaded(recorder)
    assert "You sent the file" in first[1]
    start = json.loads((tapes / files(tapes)[0]).read_text())
    assert start["response"]["headers"]["X-Goog-Upload-URL"].startswith(start["upstream"])
    with LocalServer(replay=tapes) as replay:
        asked = {"X-Goog-Upload-Command": "start", "X-Goog-Upload-Protocol": "resumable"}
        response = requests.post(
            replay.url + "/upload/v1beta/files", json=start["request"]["body"]["json"], headers=asked
        )
        assert response.headers["X-Goog-Upload-URL"].startswith(replay.url)
    with LocalServer(replay=tapes) as replay:
        assert uploaded(replay) == first


def test_forms_are_matched_without_their_boundary(recorder, tapes):
    def form(server, boundary):
        data = f"--{boundary}\r\nContent-Type: text/plain\r\n\r\nx\r\n--{boundary}--\r\n"
        kind = {"Content-Type": f'multipart/form-data; boundary="{boundary}"'}
        return requests.post(
            server.url + "/upload/v1beta/files?x=1", data, headers={**PLAIN, **kind}
        ).status_code

    recorded = form(recorder, "one")
    with LocalServer(replay=tapes) as replay:
        assert form(replay, "another") == recorded != 404


def test_an_upstream_over_tls_and_below_a_path(tls, tapes, monkeypatch):
    context, certificate = tls
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    with LocalServer(profile="bifrost", tls=context, api_key=KEY) as upstream:
        with LocalServer(record=Recorder(str(tapes), upstream.url + "/genai/", KEY)) as recorder:
            assert body_of(recorder)[0] == 200
        assert upstream.requests[0].path == "/genai" + STREAM


def test_an_upstream_that_does_not_answer(tapes):
    with RawServer(lambda connection: None) as gone:
        pass
    with LocalServer(record=Recorder(str(tapes), gone.url, KEY)) as recorder:
        status, error = body_of(recorder)
        assert status == 502
        message = json.loads(error)["error"]["message"]
        assert message.startswith(f"The upstream {gone.url} does not answer: ")
    assert files(tapes) == []


def test_a_request_that_cannot_be_forwarded(recorder, tapes):
    """http.client names what it refuses; nothing of the client's credentials may be in it."""
    request = b"GET /v1beta/models?key=local-key HTTP/1.1\r\nHost: x\r\nX-Key: a-secret\rX: y\r\nConnection: close\r\n\r\n"
    received = raw(recorder, request)
    assert received.startswith(b"HTTP/1.1 502") and b"does not answer" in received
    assert b"a-secret" not in received and b"local-key" not in received
    assert recorder.errors == [] and files(tapes) == []


def test_a_second_recording_continues_the_numbers_in_the_directory(upstream, recorder, tapes):
    body_of(recorder)
    with LocalServer(record=Recorder(str(tapes), upstream.url, KEY)) as second:
        body_of(second)
    assert [name[:7] for name in files(tapes)] == ["000001-", "000002-"]


def test_without_a_key_the_clients_own_is_forwarded(upstream, tapes):
    with LocalServer(record=Recorder(str(tapes), upstream.url)) as recorder:
        assert body_of(recorder)[0] == 400
        assert body_of(recorder, headers={**PLAIN, "x-goog-api-key": KEY})[0] == 200
    assert KEY not in "".join((tapes / name).read_text() for name in files(tapes))


@pytest.mark.parametrize(
    "profile, headers, query",
    [
        ("google", {}, "&key=mine"),
        ("chainhub", {"Authorization": "Bearer mine"}, "&key=mine"),
        ("vertex", {"authorization": "Bearer mine"}, ""),
        ("bifrost", {}, ""),
    ],
)
def test_the_key_goes_where_the_clients_was(tapes, profile, headers, query):
    path = "/genai" + STREAM if profile == "bifrost" else STREAM
    if profile == "vertex":
        path = path.replace("/models/", "/projects/p/locations/global/publishers/google/models/")
    with LocalServer(profile=profile, api_key=KEY) as upstream:
        record = Recorder(str(tapes), upstream.url, KEY)
        with LocalServer(profile=profile, api_key="mine", record=record) as recorder:
            assert body_of(recorder, f"{path}?alt=sse{query}", headers=headers)[0] == 200
            # The key is not lent to whoever asks.
            stranger = body_of(recorder, f"{path}?alt=sse", headers={"x-goog-api-key": "guessed"})
        assert stranger[0] in (400, 401)
        [forwarded] = upstream.requests
        sent = [forwarded.query.get("key", ""), *forwarded.headers.values()]
        assert any(KEY in value for value in sent) and "mine" not in sent


# Secrets -----------------------------------------------------------------------------


def spellings(key):
    """The key as servers have been seen to echo it."""
    yield key
    yield urllib.parse.quote(key, safe="")
    yield urllib.parse.quote(urllib.parse.quote(key, safe=""), safe="")
    yield json.dumps(json.dumps({"upstream": f"{key}"}))
    yield "".join(f"\\u{ord(char):04X}" for char in key)
    yield key.replace("/", "\\/").replace("&", "&amp;")
    for before in ("", "x", "xy", "user:"):
        yield base64.b64encode((before + key).encode()).decode()
        yield base64.urlsafe_b64encode((before + key + ":rest").encode()).decode().rstrip("=")
    yield key[:20]  # cut by a limit


def joined(data):
    """The body of a recording's response in one piece."""
    value = json.loads(data)
    pieces = value["response"]["pieces"] if "response" in value else ()
    return b"".join(
        piece["text"].encode() if "text" in piece else base64.b64decode(piece["base64"]) for piece in pieces
    )


def undone(data):
    """Everything that a file could mean, for a plain search."""
    texts = {data, data.replace(b"\\", b""), joined(data)}
    for _ in range(3):
        texts |= {urllib.parse.unquote_to_bytes(each) for each in texts}
        texts |= {
            re.sub(rb"\\+u00([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m.group(1).decode()), each)
            for each in texts
        }
        texts |= {re.sub(rb"&(amp;)*amp;", b"&", each) for each in texts}
    for each in list(texts):
        for run in re.findall(rb"[A-Za-z0-9+/_-]{12,}", each):
            run = run.translate(bytes.maketrans(b"-_", b"+/"))
            for start in range(4):
                whole = run[start : len(run) - (len(run) - start) % 4]
                decoded = base64.b64decode(whole)
                texts.add(decoded)
                try:
                    texts.add(zlib.decompressobj(31).decompress(decoded))
                except zlib.error:
                    pass  # it is not compressed
    return texts


@pytest.mark.parametrize("packed", [False, True])
def test_no_file_has_a_credential(tapes, packed):
    """Not the key, nor the client's own credentials, in any spelling, split over pieces, compressed or not."""
    client = "the-clients-own-credential"
    echoes = [spelled for key in (KEY, client) for spelled in spellings(key)]
    data = json.dumps({"error": {"code": 400, "message": " | ".join(echoes)}}).encode() + b"".join(
        b"\n" + each.encode() for each in echoes
    )
    with LocalServer(api_key=KEY) as upstream:
        upstream.answer_with(
            lambda recorded: Answer(
                body=[data[k : k + 11] for k in range(0, len(data), 11)],
                status=400 if recorded.number % 2 else 200,
                headers={"Set-Cookie": f"session={client}", "X-Echo": urllib.parse.quote(KEY)},
                gzip=packed,
            )
        )
        with LocalServer(api_key=client, record=Recorder(str(tapes), upstream.url, KEY)) as recorder:
            credentials = {"x-goog-api-key": client, "Cookie": f"a={client}", "X-Note": f"my key is {KEY}"}
            for headers, query in (
                (credentials, ""),
                ({"Authorization": f"Bearer {client}"}, f"&key={client}"),
            ):
                for body in (prompt(f"What is {client}?"), prompt(KEY)):
                    path = f"{STREAM}?alt=sse{query}&q={urllib.parse.quote(KEY, safe='')}"
                    status, received = body_of(recorder, path, body, {**headers, "Accept-Encoding": "gzip"})
                    assert (zlib.decompress(received, 31) if packed else received) == data
    assert len(files(tapes)) == 4
    for name in files(tapes):
        content = (tapes / name).read_bytes()
        assert content.count(b"***") > 20
        found = [
            (secret, text[max(0, text.find(secret) - 30) :][:80])
            for secret in (
                each.encode() for key in (KEY, client) for each in (key[:12], key[10:22], key[-12:])
            )
            for text in undone(content)
            if secret in text
        ]
        assert found == []


def test_a_secret_behind_the_end_of_the_first_gzip_member(tapes):
    def packed(data):
        squeeze = zlib.compressobj(wbits=31)
        return squeeze.compress(data) + squeeze.flush()

    bodies = [packed(b"first") + packed(KEY.encode()), packed(KEY.encode()) + b"not compressed"]
    with LocalServer(api_key=KEY) as upstream:
        upstream.queue(
            *(Answer(body=body, gzip=False, headers={"Content-Encoding": "gzip"}) for body in bodies)
        )
        with LocalServer(record=Recorder(str(tapes), upstream.url, KEY)) as recorder:
            for body in bodies:
                assert body_of(recorder, headers=GZIP)[1] == body
    texts = [json.loads((tapes / name).read_text())["response"]["pieces"][0]["text"] for name in files(tapes)]
    assert texts == ["first***", "***not compressed"]


def test_the_search_for_credentials_would_find_them(tapes):
    for spelled in spellings(KEY):
        written = json.dumps({"text": f"before {spelled} after"}).encode()
        assert any(KEY[:12].encode() in text for text in undone(written)), spelled
    squeezed = zlib.compressobj(wbits=31)
    packed = base64.b64encode(squeezed.compress(KEY.encode()) + squeezed.flush())
    assert any(KEY.encode() in text for text in undone(json.dumps(packed.decode()).encode()))
    pieces = {"response": {"pieces": [{"text": "x " + KEY[:5]}, {"base64": "UG5vdA=="}, {"text": KEY[5:]}]}}
    assert not any(KEY.encode() in text for text in undone(json.dumps(pieces).encode()))
    del pieces["response"]["pieces"][1]
    assert any(KEY.encode() in text for text in undone(json.dumps(pieces).encode()))


def test_a_replay_without_the_secret_still_works(upstream, recorder, tapes):
    """The pieces around a secret stay as they were."""
    upstream.answer_with(
        lambda recorded: Answer(body=[b"data: 1\r\n\r\n", b"x " + KEY[:9].encode(), KEY[9:].encode() + b" y"])
    )
    body_of(recorder)
    with LocalServer(replay=tapes) as replay:
        assert body_of(replay) == (200, b"data: 1\r\n\r\nx *** y")


# What is wrong -----------------------------------------------------------------------


def test_what_is_not_a_recording(recorder, tapes, tmp_path):
    body_of(recorder)
    [name] = files(tapes)
    good = json.loads((tapes / name).read_text())
    bad = {**good, "response": {**good["response"], "end": "never"}}
    for text, words in (
        (json.dumps(bad), '$.response.end: must be one of "complete", "drop", "reset", got "never"'),
        (json.dumps({**good, "respons": 1}), '$: "respons" is not a valid name; did you mean "response"?'),
        ("{", "is not valid JSON: "),
    ):
        (tapes / name).write_text(text)
        with pytest.raises(ScriptError) as caught:
            LocalServer(replay=tapes)
        assert str(caught.value).startswith(f"{tapes / name}: {words}")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ScriptError, match="has no recordings"):
        Replay(empty)
    with pytest.raises(FileNotFoundError):
        Replay(tmp_path / "nowhere")
    shutil.rmtree(str(tapes))


@pytest.mark.parametrize(
    "url", ["localhost:80", "ftp://x", "https://", "https://user:pw@x", "https://x?key=abc"]
)
def test_an_upstream_that_is_not_a_url(tmp_path, url):
    with pytest.raises(ValueError, match="must be a URL") as caught:
        Recorder(str(tmp_path), url)
    assert "pw" not in str(caught.value) and "abc" not in str(caught.value)


def test_record_and_replay_exclude_each_other(tapes, upstream, recorder):
    body_of(recorder)
    with pytest.raises(ValueError, match="exclude each other"):
        LocalServer(record=Recorder(str(tapes), upstream.url), replay=tapes)


def test_a_raw_upstream_of_interim_responses_and_bad_gzip(tapes):
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(head(transfer_encoding="chunked", content_encoding="gzip", content_type="text/plain"))
        connection.send(chunk(b"not gzip") + b"0\r\n\r\n")

    with RawServer(script) as upstream, LocalServer(
        record=Recorder(str(tapes), upstream.url, KEY)
    ) as recorder:
        assert body_of(recorder) == (200, b"not gzip")
    with LocalServer(replay=tapes) as replay:
        assert body_of(replay) == (200, b"not gzip")
