"""Cancel at every instruction: in a signal handler it meets the main thread at any point."""

import os
import sys
import threading

import pytest

from geministream import Cancel, cancel as module

LONG = 30  # seconds that nothing here may take


def inject(run, at, stop):
    """Call ``run`` and cancel at the ``at``-th instruction of ours, as a signal handler would; False if there are fewer."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == at:
                sys.settrace(None)
                stop.cancel()
                return None
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(None)
    return count >= at


@pytest.mark.parametrize("what", ["sleep", "short sleep", "on_cancel", "cancel", "forget", "cancelled"])
def test_cancel_at_every_instruction(what):
    at = 1
    while cancelled_at(at, what):
        at += 1
    assert at > 3


def cancelled_at(at, what):
    """Was there an instruction of this number?  On a thread, so that a deadlock is a failure and not the end of the run."""
    stop = Cancel()
    called = []
    reached = []
    run = {
        "sleep": lambda: stop.sleep(2 * LONG),
        "short sleep": lambda: stop.sleep(1e-9),
        "on_cancel": lambda: stop.on_cancel(lambda: called.append(1)),
        "cancel": stop.cancel,
        "forget": lambda: stop.forget(print),
        "cancelled": lambda: stop.cancelled,
    }[what]
    # Only this ends a sleep, for the instructions behind its wait.
    waker = threading.Timer(0.05, stop.cancel)
    if what == "sleep":
        waker.start()
    thread = threading.Thread(target=lambda: reached.append(inject(run, at, stop)), daemon=True)
    thread.start()
    thread.join(LONG)
    assert reached, f"deadlock at instruction {at} of {what}"
    waker.cancel()
    assert stop.cancelled or not reached[0]
    if what == "on_cancel":
        assert called or not reached[0]
    else:
        assert not stop._callbacks
    return reached[0]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_signal_handler_may_cancel(run_python):
    """As scripts do it; the signals come at moments that nobody chose."""
    done = run_python("""
import random, signal, threading, time
from geministream import Cancel, StreamCancelled, stream_generate
from geministream.testing import Answer, LocalServer
from support.dialects import A

random.seed(1)
with LocalServer() as server:
    server.answer_with(lambda request: Answer(chunks=[A] * 500, delay=0.0005))
    for number in range(100):
        stop = Cancel()
        signal.signal(signal.SIGALRM, lambda *_: stop.cancel())
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.02))
        try:
            for chunk in stream_generate("m", "Hello", endpoint=server.endpoint, cancel=stop):
                stop.sleep(0.0001)
            raise SystemExit("not cancelled")
        except StreamCancelled:
            pass
        assert not stop._callbacks
print("all cancelled")
""")
    assert done.stdout.strip() == "all cancelled", done.stderr
