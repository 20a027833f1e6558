"""What batches are tested with: prompts, iterables that watch, and the state of threads."""

import gc
import itertools
import platform
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from geministream.testing import Answer

MODEL = "gemini-flash-latest"
KEY = "secret-key-of-this-test"


def prompts(count):
    return [f"prompt {k}" for k in range(count)]


def by_index(results):
    results = list(results)
    found = {result.index: result for result in results}
    assert len(found) == len(results)
    return [found[k] for k in sorted(found)]


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("geministream")}


def assert_threads_end():
    """Those of a batch that was garbage collected, perhaps in one of them, which nobody waits for."""
    until = time.monotonic() + 20
    while threads() and time.monotonic() < until:
        gc.collect()  # on PyPy, what refers to something with a finalizer takes more than one
        for thread in threads():
            thread.join(0.5)
    assert not threads()


class Counting:
    """An endless iterable that knows how far it was read, and which of its prompts are still alive."""

    class Prompt(str):
        pass

    def __init__(self):
        self.taken = 0
        self.alive = weakref.WeakSet()

    def __iter__(self):
        for k in itertools.count():
            self.taken += 1
            prompt = self.Prompt(f"prompt {k}")
            self.alive.add(prompt)
            yield prompt


class Watching(ThreadPoolExecutor):
    """Threads that note how many tasks were under way, and how many were done, when each was handed over."""

    def __init__(self, threads):
        super().__init__(threads)
        self.futures, self.notes = [], []

    def submit(self, *args, **kwargs):
        future = super().submit(*args, **kwargs)
        self.futures.append(future)
        done = sum(each.done() for each in self.futures)
        self.notes.append((len(self.futures) - done, done))
        return future


def one_is_refused(server, gate_closed, workers):
    """Refuse the first of ``workers`` requests with a delay of 0.3 s when all have come; when the others
    are answered, the batch knows the delay.  Return the list of the requests' arrivals."""
    arrivals, lock, all_here = [], threading.Lock(), threading.Event()

    def decide(recorded):
        with lock:
            arrivals.append(time.monotonic())
            number = len(arrivals)
        if number == workers:
            all_here.set()
        if number == 1:
            return Answer.failure(429, retry_info="0.3s", wait=all_here)
        return Answer(wait=gate_closed) if number <= workers else None

    server.faults = decide
    return arrivals


can_spawn = pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="PyPy 3.9's process pools cannot spawn processes"
)
