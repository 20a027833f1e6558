"""Every way in which a call can end, in one process, which must then hold no more than before.

Run by test_threads_and_signals.py under ``-W error::ResourceWarning``.
"""

import dataclasses
import gc
import os
import sys
import threading

import requests

from geministream import Cancel, Endpoint, GeministreamError, Retry, collect, stream_generate
from geministream.testing import Answer, LocalServer


def open_files():
    """How many file descriptors this process has; None if the system does not show it."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


def chunk(text):
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "index": 0}]}


def endings(server, session):
    base = dataclasses.replace(
        server.endpoint, session=session, timeout=(5, 60), retry=Retry(attempts=2, initial_delay=0.001)
    )

    def run(answer, timeout=(5, 60), **options):
        server.queue(*answer if isinstance(answer, list) else [answer])
        endpoint = dataclasses.replace(base, timeout=timeout)
        try:
            collect(stream_generate("m", "Hello", endpoint=endpoint, **options))
        except GeministreamError as error:
            return error

    yield lambda: run("fine")
    yield lambda: run(Answer(chunks=[chunk("a"), chunk("b")], transfer="length"))
    yield lambda: run(Answer(chunks=["a", "b"], transfer="close"))
    yield lambda: run(Answer.failure(400))
    yield lambda: run([Answer.failure(503), Answer.failure(503)])
    yield lambda: run([Answer.nothing("drop"), Answer.nothing("reset")])
    yield lambda: run(Answer.nothing("stall"), timeout=(5, 0.5))
    yield lambda: run(Answer(chunks=[chunk("a")], stream_error=(503,)))
    yield lambda: run(Answer.garbage())
    yield lambda: run(Answer(chunks=[chunk("a"), chunk("b")], stop_after=-5, stop_how="reset"))
    yield lambda: run(
        Answer(chunks=[chunk("a"), chunk("b")], stop_after=-5, stop_how="stall"), timeout=(5, 0.5)
    )
    yield lambda: run(Answer(chunks=[chunk("a"), threading.Event()]), deadline=0.05)
    yield lambda: run(Answer(body=b"", status=302, headers={"Location": "http://127.0.0.1:1/"}))

    def leave(how):
        server.queue(Answer(chunks=[chunk("a"), threading.Event()]))
        stream = stream_generate("m", "Hello", endpoint=base)
        next(stream)
        if how == "close":
            stream.close()
        elif how == "cycle":  # only the garbage collector finds it
            holder = [stream]
            holder.append(holder)
        del stream

    yield lambda: leave("close")
    yield lambda: leave("drop")
    yield lambda: leave("cycle")

    def cancel():
        stop = Cancel()
        server.queue(Answer(chunks=[chunk("a"), threading.Event()]))
        stream = stream_generate("m", "Hello", endpoint=base, cancel=stop)
        next(stream)
        stop.cancel()
        try:
            next(stream)
        except GeministreamError:
            return
        raise AssertionError("not cancelled")

    yield cancel

    def refused():
        try:
            next(stream_generate("m", "Hello", endpoint=Endpoint("http://127.0.0.1:1", auth=(), retry=None)))
        except GeministreamError:
            return

    yield refused

    def never_begun():
        stream_generate("m", "Hello", endpoint=base)

    yield never_begun


def main():
    with LocalServer(gzip=False) as server:
        for session in (None, requests.Session()):
            for counted in (False, True):  # the first round fills what is made once
                gc.collect()
                server.wait_for_connections(0 if session is None or not counted else 10)
                before = open_files()
                for number, end in enumerate(endings(server, session)):
                    server.reset()  # an ending may have left the server no time to take its answer
                    end()
                    gc.collect()
                    if session is not None:
                        session.close()  # ours to close: its idle connections go
                        for _ in range(2):  # urllib3 2 closes them when their pools are collected
                            gc.collect()
                    server.wait_for_connections(0)
                    after = open_files()
                    if counted and after != before:
                        sys.exit(f"ending {number} with session {session} left {after - before} files open")
    kept = [type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in ("Call", "Reply")]
    assert not kept, kept
    print("clean")


if __name__ == "__main__":
    main()
