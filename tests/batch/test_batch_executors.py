"""Executors of the caller's: threads and processes."""

import concurrent.futures
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest
import requests
from support.batches import KEY, MODEL, Counting, by_index, can_spawn, one_is_refused, prompts

from geministream import (
    BadRequestError,
    ConfigurationError,
    IncompleteStreamError,
    ServerError,
    StreamCancelled,
    generate_many,
    part_from_bytes,
)
from geministream.batch.schedule import Batch
from geministream.batch.stop import Stop
from geministream.batch.worker import Task, attempt
from geministream.request import RequestBody
from geministream.testing import Answer, LocalServer


def test_the_callers_threads(server):
    with ThreadPoolExecutor(3) as executor:
        results = by_index(
            generate_many(prompts(20), model=MODEL, endpoint=server.endpoint, executor=executor)
        )
        assert [result.text for result in results] == [f"You said: prompt {k}" for k in range(20)]
        server.wait_for_connections(0)  # although the threads live on
        assert executor.submit(int, "7").result() == 7
        never = threading.Event()
        server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=never))
        results = generate_many(prompts(20), model=MODEL, endpoint=server.endpoint, executor=executor)
        next(results)
        results.close()
        server.wait_for_connections(0)
        assert executor.submit(int, "8").result() == 8


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_processes(server, processes):
    answers = {
        "bad": Answer(error=(400, None, "bad")),
        "down": Answer.failure(503),
        "short": Answer(chunks=["as far as ", "here"], finish=None),
    }
    server.faults = lambda recorded: answers.get(recorded.json["contents"][0]["parts"][0].get("text"))
    given = prompts(40) + [part_from_bytes(b"y" * 200_000, "image/png"), *answers, {"contents": 5}]
    results = by_index(generate_many(given, model=MODEL, endpoint=server.endpoint, executor=processes))
    assert [result.text for result in results[:40]] == [f"You said: prompt {k}" for k in range(40)]
    assert "200000 bytes" in results[40].text
    assert [type(result.error) for result in results[41:]] == [
        BadRequestError,
        ServerError,
        IncompleteStreamError,
        ConfigurationError,
    ]
    assert [result.attempts for result in results[41:]] == [1, 4, 4, 0]
    assert results[42].error.code == 503 and results[43].error.partial.text == "as far as here"
    # Each process has one connection, which only a broken answer costs it.
    assert server.connections <= 2 + 4 + 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_gate_works_across_processes(server, processes, gate_closed):
    arrivals = one_is_refused(server, gate_closed, 2)
    results = by_index(
        generate_many(prompts(12), model=MODEL, endpoint=server.endpoint, executor=processes, max_workers=2)
    )
    assert [result.text for result in results] == [f"You said: prompt {k}" for k in range(12)]
    assert sum(result.attempts for result in results) == 13 == len(arrivals)
    assert min(arrivals[2:]) >= arrivals[1] + 0.3


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_long_answers_across_processes(processes):
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(tokens_per_request=9) as server:
        server.faults = [None, None, Answer.failure(429), None, Answer.failure(503)]
        (result,) = generate_many([long], model=MODEL, endpoint=server.endpoint, executor=processes)
    assert result.text == f"You said: {long}" and result.attempts == 7
    assert len(result.response.usage_by_request) == 5


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_session_goes_along_to_processes(server, processes):
    with requests.Session() as session:
        session.headers["X-Team"] = "a"
        endpoint = replace(server.endpoint, session=session)
        results = list(generate_many(prompts(20), model=MODEL, endpoint=endpoint, executor=processes))
    assert [result.error for result in results] == [None] * 20
    assert {recorded.headers["x-team"] for recorded in server.requests} == {"a"}
    assert server.connections <= 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_cannot_be_pickled_is_a_result(server, processes):
    endpoint = replace(server.endpoint, auth=lambda: "token")
    results = list(generate_many(prompts(3), model=MODEL, endpoint=endpoint, executor=processes))
    assert len(results) == 3 and all(isinstance(result.error, Exception) for result in results)
    assert server.request_count == 0


def test_tasks_are_small_and_show_no_key(server):
    """What goes to the executor: picklable, and nothing in its repr; what comes back likewise."""
    sent, returned = [], []

    class Executor(ThreadPoolExecutor):
        def submit(self, function, *args, **kwargs):
            sent.append((function, args, kwargs))
            future = concurrent.futures.Future()
            returned.append(function(*pickle.loads(pickle.dumps(args))))
            future.set_result(pickle.loads(pickle.dumps(returned[-1])))
            return future

    endpoint = replace(
        server.endpoint, headers={"X-Secret": "header-secret"}, params={"token": "param-secret"}
    )
    given = ["private words", part_from_bytes(b"z" * 300_000, "image/png")]
    with Executor(1) as executor:
        results = by_index(generate_many(given, model=MODEL, endpoint=endpoint, executor=executor))
    assert results[0].text == "You said: private words"
    shown = repr(sent) + str(sent) + repr(returned) + "".join(repr(vars(args[0])) for _, args, _ in sent)
    for secret in (KEY, "header-secret", "param-secret", "private words"):
        assert secret not in shown.replace("token=param-secret", "") or secret == "param-secret"
    assert "param-secret" not in repr(sent)
    assert len(pickle.dumps(sent[0][1])) < 2000
    assert len(pickle.dumps(sent[1][1])) < 302_000  # the bytes once, and not as base64


@can_spawn
def test_closing_takes_back_what_no_process_has_begun(server):
    release = threading.Event()
    server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=release))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        results = generate_many(
            prompts(50), model=MODEL, endpoint=server.endpoint, executor=executor, max_workers=20
        )
        assert next(results).index == 0
        server.wait_for_request(2)
        started = time.monotonic()
        results.close()  # what runs there runs on, and is not waited for
        assert time.monotonic() - started < 5 and server.request_count == 2
        release.set()
    # The pool itself had taken one or two more out of its queue.
    assert server.request_count <= 5


def test_an_executor_that_is_closed(server):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    results = generate_many(Counting(), model=MODEL, endpoint=server.endpoint, executor=executor)
    with pytest.raises(RuntimeError):
        list(results)
    results = generate_many(prompts(3), model=MODEL, endpoint=server.endpoint, executor=executor)
    first = next(results)
    assert isinstance(first.error, RuntimeError) and first.attempts == 0
    with pytest.raises(RuntimeError):
        next(results)


@can_spawn
def test_a_worker_process_that_dies(server):
    """Its prompts are results with the executor's error; the executor takes no more, and that is raised."""
    never = threading.Event()
    server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=never))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        process = executor.submit(os.getpid).result()
        results = generate_many(
            prompts(10), model=MODEL, endpoint=server.endpoint, executor=executor, max_workers=1
        )
        assert next(results).index == 0
        killer = threading.Thread(
            target=lambda: (server.wait_for_request(2), os.kill(process, signal.SIGKILL))
        )
        killer.start()
        seen = []
        with pytest.raises(BrokenProcessPool):
            for result in results:
                seen.append(result)
        killer.join()
    assert [result.index for result in seen] == [1, 2]  # 2 is the one that could not be handed over
    assert all(isinstance(result.error, BrokenProcessPool) for result in seen)


def test_a_task_that_comes_late_does_nothing(server):
    """An executor may start a task after the batch has ended."""
    done = queue.SimpleQueue()
    batch = Batch(iter(()), {}, server.endpoint, "sse", 1, None)
    task = Task(
        batch._shared, 0, server.endpoint.model_url(MODEL, "streamGenerateContent"), RequestBody("x"), None
    )
    batch._end(None, None)
    outcome = attempt(task)
    assert isinstance(outcome.error, StreamCancelled) and outcome.requests_sent == 0
    stop = Stop(done)
    stop.cancel()
    assert done.get_nowait() is None
    assert server.request_count == 0
