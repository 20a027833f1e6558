"""Threads, signals, and what a program leaves behind."""

import dataclasses
import gc
import logging
import os
import signal
import threading

import pytest
import requests
from support.calls import OK, ask, outcome
from support.dialects import THREE, A, B, C

from geministream import Cancel
from geministream.testing import Answer


@pytest.mark.parametrize("shared", [False, True], ids=["own sessions", "one session"])
def test_sixteen_threads_at_once(server, shared, caplog):
    caplog.set_level(logging.ERROR, logger="urllib3")  # its pool holds ten, and says so
    results = {}
    with requests.Session() as session:
        endpoint = dataclasses.replace(server.endpoint, session=session if shared else None)

        def work(number):
            texts = []
            for k in range(5):
                whole = "".join(each.text for each in ask(endpoint, f"word{number}x{k}"))
                texts.append(whole == f"You said: word{number}x{k}")
            results[number] = texts

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == {number: [True] * 5 for number in range(16)}
    for _ in range(2):  # urllib3 2 closes a session's connections when its pools are collected
        gc.collect()
    server.wait_for_connections(0)


def test_a_stream_may_go_from_thread_to_thread(server, endpoint):
    server.queue(Answer(chunks=[A, B, C]))
    stream = ask(endpoint, cancel=Cancel())
    texts = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: texts.append(next(stream).text))
        thread.start()
        thread.join(10)
    assert texts == THREE and list(stream) == []


INTERRUPTED = """
import os, signal, threading
from geministream import stream_generate, Retry
from geministream.testing import Answer, LocalServer
import dataclasses

where = "%s"
with LocalServer() as server:
    answers = {
        "head": Answer(wait=threading.Event()),
        "body": Answer(chunks=[{"candidates": [{"index": 0}]}, threading.Event()]),
        "sleep": Answer.failure(503, retry_after="50"),
    }
    server.queue(answers[where])
    endpoint = dataclasses.replace(server.endpoint, retry=Retry(max_delay=60))

    def interrupt():
        request = server.wait_for_request(1)
        if where == "body":
            server.wait_until(lambda: request.bytes_sent > 0)
        if where == "sleep":
            request.finished.wait(5)
        threading.Event().wait(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        for chunk in stream_generate("m", "Hello", endpoint=endpoint):
            pass
    except KeyboardInterrupt:
        print("interrupted")
    server.wait_for_connections(0, 5)
    print("closed")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("where", ["head", "body", "sleep"])
def test_ctrl_c_passes_through_and_closes_the_connection(where, run_python):
    done = run_python(INTERRUPTED % where, "-W", "error::ResourceWarning")
    assert done.stdout.split() == ["interrupted", "closed"], done.stderr
    assert done.stderr == ""


def test_a_program_that_does_everything_leaves_nothing_open(run_python):
    done = run_python(
        "from support import hygiene; hygiene.main()", "-W", "error::ResourceWarning", "-X", "dev"
    )
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr and "ignored" not in done.stderr, done.stderr
    assert done.stdout.split()[-1] == "clean", done.stdout


def test_signals_are_not_touched(server, endpoint):
    every = [signal.SIGINT, signal.SIGTERM, *([signal.SIGPIPE, signal.SIGALRM] if os.name == "posix" else [])]
    before = [signal.getsignal(each) for each in every]
    server.queue(OK, Answer(chunks=[A, threading.Event()]))
    assert outcome(ask(endpoint)) == (THREE, None)
    stream = ask(endpoint)
    next(stream)
    assert [signal.getsignal(each) for each in every] == before
    stream.close()
