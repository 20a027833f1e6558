"""gevent and eventlet: calls on green threads, each program in a process of its own, since they replace the standard library."""

import threading

import pytest
from support.raw_server import RawServer, head

from geministream.testing import Answer, LocalServer

pytestmark = pytest.mark.early

PATCHES = {
    "gevent": """
from gevent import monkey; monkey.patch_all()
import gevent
from gevent import spawn
def result(green): return green.get(timeout=60)
""",
    "eventlet": """
import eventlet; eventlet.monkey_patch()
from eventlet import spawn
def result(green): return green.wait()
""",
}
PRELUDE = """
import os, sys, threading, time
import requests
from side_by_side import *
from geministream import *
endpoint = Endpoint(os.environ["URL"], api_key="local-key", timeout=(5, 60), retry=Retry(initial_delay=0.01))
def canceller(stop):
    requests.get(os.environ["ARRIVED"]).raise_for_status()  # answered once the request has arrived
    stop.cancel()
def ends_with(kind, ask, *args, **options):
    begun = time.monotonic()
    try:
        ask(*args, **options)
    except kind:
        assert time.monotonic() - begun < 20, time.monotonic() - begun
        return kind.__name__
    raise AssertionError("it has not ended so")
"""


@pytest.fixture(params=sorted(PATCHES))
def library(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed (extra: interop)")
    return request.param


@pytest.fixture(params=[False, True], ids=["http", "https"])
def server(request, tls):
    with LocalServer(tls=tls[0] if request.param else None) as server:
        server.certificate = tls[1]
        yield server


@pytest.fixture
def run(library, server, run_python, request):
    """Run a program on green threads; its output."""

    def arrived(connection):
        connection.read_request()
        server.wait_for_request(1)
        connection.send(head(content_length=0))

    def run(code):
        import side_by_side

        directory = side_by_side.__file__.rpartition("side_by_side")[0]
        code = f"{PATCHES[library]}\nimport sys; sys.path.insert(0, {directory!r})\n{PRELUDE}\n{code}"
        with RawServer(arrived) as gate:
            done = run_python(
                code,
                timeout=40,
                URL=server.url,
                ARRIVED=gate.url,
                REQUESTS_CA_BUNDLE=server.certificate,
                EVENTLET_NO_GREENDNS="yes",
            )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run


def test_both_get_the_answer(run, server):
    out = run("""
with requests.Session() as session:
    print(plainly(session, endpoint) == streamed(session, endpoint) == streamed(None, endpoint) == ANSWER)
    print(chat_streamed(session, endpoint, "one", "two") == chat_plainly(session, endpoint, "one", "two"))
    print(streamed(session, endpoint, deadline=50, cancel=Cancel()) == ANSWER)
    print(streamed(None, endpoint, deadline=50, cancel=Cancel()) == ANSWER)
    print(uploaded(session, endpoint, bytes(3_000_000)), uploaded(None, endpoint, bytes(3_000_000)))
    print(streamed(None, endpoint, "x" * 3_000_000, deadline=50) == "You said: " + "x" * 3_000_000)
""")
    assert out.split() == ["True"] * 4 + ["3000000"] * 2 + ["True"]


def test_many_at_once(run, server):
    """None is answered before all have come: each wait lets the others continue."""
    count = 8
    all_here = threading.Event()

    def decide(recorded):
        if recorded.number >= count - 1:
            all_here.set()
        return Answer(wait=all_here)

    server.answer_with(decide)
    out = run(f"""
print([result(each) == ANSWER for each in [spawn(streamed, None, endpoint) for _ in range({count})]])
""")
    assert out.strip() == str([True] * count)


def test_a_cancel_while_waiting_for_the_head(run, server):
    server.queue(Answer(wait=threading.Event()))
    out = run("""
stop = Cancel()
green = spawn(canceller, stop)
print(ends_with(StreamCancelled, streamed, None, endpoint, cancel=stop, deadline=50))
result(green)
print(streamed(None, endpoint) == ANSWER)
""")
    assert out.split() == ["StreamCancelled", "True"]
    assert server.requests[0].client_gone.wait(10)


@pytest.mark.parametrize("own", [True, False], ids=["own session", "library's session"])
def test_a_cancel_between_two_chunks(run, server, own):
    server.queue(Answer(chunks=["one", threading.Event(), "two"]))
    out = run(f"""
from dataclasses import replace
stop = Cancel()
with requests.Session() as session:
    if {own}:
        endpoint = replace(endpoint, session=session)
    chunks = stream_generate(MODEL, PROMPT, endpoint=endpoint, cancel=stop)
    print(next(chunks).text)
    green = spawn(canceller, stop)
    print(ends_with(StreamCancelled, next, chunks))
    result(green)
    print(streamed(session if {own} else None, endpoint) == ANSWER)
""")
    assert out.split() == ["one", "StreamCancelled", "True"]
    assert server.requests[0].client_gone.wait(10)


def test_a_cancel_between_two_attempts(run, server):
    server.queue(Answer.failure(503, retry_info="50s"))
    out = run("""
stop = Cancel()
green = spawn(canceller, stop)
print(ends_with(StreamCancelled, streamed, None, endpoint, cancel=stop))
result(green)
""")
    assert out.split() == ["StreamCancelled"]


def test_a_cancel_from_a_real_signal(run, server):
    server.queue(Answer(wait=threading.Event()))
    out = run("""
import signal
stop = Cancel()
signal.signal(signal.SIGUSR1, lambda *_: stop.cancel())
def kill():
    requests.get(os.environ["ARRIVED"]).raise_for_status()
    os.kill(os.getpid(), signal.SIGUSR1)
green = spawn(kill)
print(ends_with(StreamCancelled, streamed, None, endpoint, cancel=stop))
result(green)
""")
    assert out.split() == ["StreamCancelled"]


def test_a_deadline(run, server):
    server.queue(
        Answer(wait=threading.Event()),
        Answer(chunks=["one", threading.Event(), "two"]),
        Answer.failure(503, retry_info="50s"),
    )
    out = run("""
for _ in range(3):
    print(ends_with(StreamTimeoutError, streamed, None, endpoint, deadline=1))
with requests.Session() as session:
    print(streamed(session, endpoint) == ANSWER)
""")
    assert out.split() == ["StreamTimeoutError"] * 3 + ["True"]


def test_generate_many(run, server):
    out = run("""
results = list(generate_many(["one", "two", "three"], model=MODEL, endpoint=endpoint, max_workers=2, deadline=50))
print(sorted((each.index, each.text) for each in results))
""")
    assert out.strip() == str([(0, "You said: one"), (1, "You said: two"), (2, "You said: three")])


@pytest.mark.parametrize("own", [True, False], ids=["own session", "library's session"])
def test_generate_many_left_early(run, server, own):
    """One result is taken; the others never come, and are not waited for."""
    first = threading.Event()

    def decide(recorded):
        if recorded.json["contents"][0]["parts"][0]["text"] == "first":
            return None
        first.wait(20)
        return Answer(wait=threading.Event())

    server.answer_with(decide)
    out = run(f"""
from dataclasses import replace
with requests.Session() as session:
    endpoint = replace(endpoint, session=session if {own} else None)
    begun = time.monotonic()
    results = generate_many(["first", "a", "b", "c"], model=MODEL, endpoint=endpoint, max_workers=3)
    print(next(results).text)
    results.close()
    assert time.monotonic() - begun < 20, time.monotonic() - begun
    print("left")
""")
    first.set()
    assert out.split("\n") == ["You said: first", "left", ""]
    server.wait_for_connections(0)


def test_generate_many_cancelled(run, server):
    server.answer_with(lambda recorded: Answer(wait=threading.Event()))
    out = run("""
stop = Cancel()
green = spawn(canceller, stop)
print(ends_with(StreamCancelled, list, generate_many(["a", "b"], model=MODEL, endpoint=endpoint, cancel=stop)))
result(green)
""")
    assert out.split() == ["StreamCancelled"]
