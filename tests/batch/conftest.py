"""What the tests of batches share."""

import logging
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest
from support.batches import KEY, can_spawn

from geministream.testing import LocalServer


@pytest.fixture
def server():
    with LocalServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def gate_closed():
    """An Event that is set when the batch's gate was closed by a 429."""
    closed = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("429:"):
                closed.set()

    log, handler = logging.getLogger("geministream"), Handler()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield closed
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.fixture(scope="module", params=[pytest.param("spawn", marks=can_spawn), "fork"])
def processes(request):
    context = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(2, context) as executor:
        executor.submit(int).result()
        yield executor
