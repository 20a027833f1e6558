"""A recording that was made through the official SDK, replayed to the SDK and to this library."""

import pytest
import requests

from geministream import Endpoint, collect, stream_generate
from geministream.testing import LocalServer, Recorder, Replay

genai = pytest.importorskip("google.genai")

MODEL = "gemini-flash-latest"
KEY = "AIzaSy-the-real-key-of-nobody-0123456789"
QUESTION = "Grüße: one two three four five six seven eight"


def answer_of_the_sdk(server):
    client = genai.Client(api_key=server.api_key, http_options={"base_url": server.url})
    return "".join(
        chunk.text or "" for chunk in client.models.generate_content_stream(model=MODEL, contents=QUESTION)
    )


def answer_of_ours(server, path, body):
    contents, more = body["contents"], {name: value for name, value in body.items() if name != "contents"}
    endpoint = Endpoint(
        server.url, path.split("/")[1], api_key=server.api_key
    )  # the SDK's version of the API
    return collect(stream_generate(MODEL, contents, extra_body=more, endpoint=endpoint)).text


def body_in(replay, path, body):
    """The body of a replay, as it travels."""
    with LocalServer(replay=replay) as server:
        headers = {"x-goog-api-key": server.api_key, "Accept-Encoding": "gzip"}
        with requests.post(
            server.url + path, json=body, headers=headers, stream=True, timeout=10
        ) as response:
            return response.raw.read(decode_content=False)


def test_the_same_bytes_for_both(tmp_path):
    tapes = tmp_path / "tapes"
    with LocalServer(api_key=KEY) as upstream:
        with LocalServer(record=Recorder(str(tapes), upstream.url, KEY)) as recorder:
            expected = answer_of_the_sdk(recorder)
            (request,) = recorder.requests
    assert expected == f"You said: {QUESTION}"
    assert all(KEY not in tape.read_text("utf-8") for tape in tapes.iterdir())
    path = request.path + "?alt=sse"
    with LocalServer(replay=str(tapes)) as server:
        assert answer_of_the_sdk(server) == expected
    with LocalServer(replay=str(tapes)) as server:
        assert answer_of_ours(server, path, request.json) == expected
    # What both of them got is what the upstream sent through the recorder.
    (recording,) = Replay(str(tapes)).recordings
    sent = b"".join(piece for _, piece in recording.pieces)
    assert sent
    assert body_in(str(tapes), path, request.json) == sent
