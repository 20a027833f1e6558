"""The same question asked with requests alone and with this library.

Where requests with ``stream=True`` works, this library works: a test asks both,
and compares what they got and what reached the server.
"""

import contextlib
import dataclasses
import json
import os
import select
import socket
import threading
import time

import pytest

import geministream
from geministream import Cancel
from geministream.endpoint import credentials
from geministream.testing import Answer

MODEL = "gemini-flash-latest"
PROMPT = "Hello there"
ANSWER = "You said: Hello there"
EVENTS = b"".join(
    b"data: "
    + json.dumps(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **end}]}
    ).encode()
    + b"\r\n\r\n"
    for text, end in (("You said: ", {}), ("Hello there", {"finishReason": "STOP"}))
)


def url_of(endpoint):
    """Where the question goes."""
    return endpoint.model_url(MODEL, "streamGenerateContent", {"alt": "sse"})


def plainly(session, endpoint, prompt=PROMPT, contents=None, **options):
    """The text of the answer, read line by line by requests alone."""
    headers, query = credentials(endpoint, None)
    response = session.post(
        url_of(endpoint),
        json={"contents": contents or [{"role": "user", "parts": [{"text": prompt}]}]},
        headers=headers,
        params=query,
        **{"stream": True, "timeout": endpoint.timeouts, **options},
    )
    with response:
        response.raise_for_status()
        lines = [line for line in response.iter_lines() if line.startswith(b"data: ")]
    parts = [part for line in lines for part in json.loads(line[6:])["candidates"][0]["content"]["parts"]]
    return "".join(part["text"] for part in parts)


def chat_plainly(session, endpoint, *prompts):
    """The answers to the turns of a conversation."""
    contents, answers = [], []
    for prompt in prompts:
        contents.append({"role": "user", "parts": [{"text": prompt}]})
        answers.append(plainly(session, endpoint, contents=contents))
        contents.append({"role": "model", "parts": [{"text": answers[-1]}]})
    return answers


def streamed(session, endpoint, prompt=PROMPT, **options):
    """The text of the answer, read by this library."""
    endpoint = dataclasses.replace(endpoint, session=session)
    return "".join(
        chunk.text for chunk in geministream.stream_generate(MODEL, prompt, endpoint=endpoint, **options)
    )


def chat_streamed(session, endpoint, *prompts):
    """The answers to the turns of a `Chat`."""
    with geministream.Chat(MODEL, endpoint=dataclasses.replace(endpoint, session=session)) as chat:
        return ["".join(chunk.text for chunk in chat.send(prompt)) for prompt in prompts]


def uploaded(session, endpoint, data=b"bytes of a file"):
    """The size of a file as the server knows it, once this library has uploaded it."""
    endpoint = dataclasses.replace(endpoint, session=session)
    return geministream.upload_file(data, mime_type="text/plain", endpoint=endpoint).size_bytes


def arrived(server):
    """The questions that came to the server: path, credentials and contents."""
    return [
        (
            each.path,
            each.query.get("key"),
            each.headers.get("x-goog-api-key"),
            each.headers.get("authorization"),
            each.json["contents"],
        )
        for each in server.requests
        if each.verb
    ]


def assert_same(session, server, endpoint=None, answer=ANSWER):
    """Both get the answer, with one request each, and the requests are the same."""
    endpoint = endpoint or server.endpoint
    assert plainly(session, endpoint) == answer
    assert streamed(session, endpoint) == answer
    assert chat_streamed(session, endpoint, PROMPT) == [answer]
    first, *others = arrived(server)
    assert others == [first, first]


def skip_if_requests_fails(session, endpoint, mock):
    """What plain requests cannot do, nobody can."""
    try:
        assert plainly(session, endpoint) == ANSWER
    except Exception as error:
        pytest.skip(f"plain requests fails with {mock}, too: {type(error).__name__}: {error}")


@contextlib.contextmanager
def unix_socket(port, path):
    """Listen on a Unix socket, and pass each connection on to a port of this machine."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    over, wake = socket.socketpair()
    threads = []

    def accept():
        while True:
            readable, _, _ = select.select([listener, over], [], [])
            if over in readable:
                return
            threads.append(threading.Thread(target=forward, args=(listener.accept()[0],)))
            threads[-1].start()

    def forward(client):
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            while True:
                readable, _, _ = select.select([client, server, over], [], [])
                if over in readable:
                    return
                for source, sink in ((client, server), (server, client)):
                    try:
                        data = source.recv(65536) if source in readable else None
                        sink.sendall(data or b"")
                    except OSError:
                        return  # one of them has left
                    if data == b"":
                        return

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield
    finally:
        wake.close()
        for thread in threads:
            thread.join(5)
        listener.close()
        over.close()
        os.unlink(path)


def cancelled_between_two_chunks(session, server, endpoint):
    """Cancel on another thread while nothing comes; the kind of error that ended it."""
    server.queue(Answer(chunks=["one", threading.Event(), "two"]))
    cancel = Cancel()
    chunks = geministream.stream_generate(
        MODEL, PROMPT, endpoint=dataclasses.replace(endpoint, session=session), cancel=cancel
    )
    assert next(chunks).text == "one"
    timer = threading.Timer(0.1, cancel.cancel)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(geministream.StreamCancelled):
        next(chunks)
    timer.join()
    assert time.monotonic() - begun < 20  # the timeout is 30 s
    assert not cancel._callbacks
    assert streamed(session, endpoint) == ANSWER
