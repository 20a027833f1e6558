"""How a batch ends: by its input, by closing, by being forgotten, and by a cancel."""

import gc
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.batches import KEY, MODEL, assert_threads_end, prompts, threads

from geministream import Cancel, Retry, StreamCancelled, generate_many
from geministream.testing import Answer


def test_what_the_iterable_raises_comes_after_the_results(server):
    def source():
        yield from prompts(5)
        raise LookupError("the caller's own")

    results = generate_many(source(), model=MODEL, endpoint=server.endpoint, max_workers=2)
    seen = []
    with pytest.raises(LookupError, match="the caller's own"):
        for result in results:
            seen.append(result.index)
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert not threads()


def test_closing_ends_what_is_under_way(server):
    never = threading.Event()
    server.answer_with(
        lambda recorded: None if b"prompt 0" in recorded.body else Answer(chunks=["half", never])
    )
    results = generate_many(prompts(20), model=MODEL, endpoint=server.endpoint, max_workers=4)
    assert next(results).index == 0
    server.wait_for_request(4)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5
    assert not threads()
    server.wait_for_connections(0)
    gone = [recorded.client_gone.wait(10) for recorded in server.requests if b"prompt 0" not in recorded.body]
    assert gone and all(gone)


def test_an_exception_in_the_loop_ends_what_is_under_way(server):
    never = threading.Event()
    server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=never))

    def loop():
        for result in generate_many(prompts(20), model=MODEL, endpoint=server.endpoint):
            raise KeyError(result.index)

    with pytest.raises(KeyError):
        loop()
    gc.collect()
    server.wait_for_connections(0)
    assert_threads_end()


def test_a_forgotten_batch_ends_too(server):
    never = threading.Event()
    server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=never))
    results = generate_many(prompts(20), model=MODEL, endpoint=server.endpoint)
    next(results)
    cycle = [results]
    cycle.append(cycle)
    del results, cycle
    gc.collect()
    server.wait_for_connections(0)
    assert_threads_end()


@pytest.mark.parametrize("own_threads", [True, False])
def test_a_batch_may_be_collected_in_a_worker(server, monkeypatch, own_threads):
    """A garbage collection can strike on any thread; there is nothing to wait for then."""
    go, collected, holder, wrong = threading.Event(), threading.Event(), [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: wrong.append(unraisable.exc_value))
    first = threading.Lock()

    def token():
        if not first.acquire(blocking=False):
            go.wait(30)
            holder.clear()  # the last reference: the generator ends here
            gc.collect()
            collected.set()
        return KEY

    endpoint = replace(server.endpoint, auth=token)
    server.answer_with(lambda recorded: Answer.text("good"))  # bearer or not
    server.profile = replace(server.profile, check_key=lambda head, key: None)
    with ThreadPoolExecutor(2) as executor:
        holder.append(
            generate_many(
                prompts(2),
                model=MODEL,
                endpoint=endpoint,
                max_workers=2,
                executor=None if own_threads else executor,
            )
        )
        assert next(holder[0]).text == "good"
        go.set()
        assert collected.wait(30)
    assert wrong == []


def test_a_forgotten_batch_may_be_collected_between_two_attempts(server, monkeypatch):
    go, collected, holder, wrong = threading.Event(), threading.Event(), [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: wrong.append(unraisable.exc_value))

    def reporter(done):
        def report(future):
            done.put((future, time.monotonic()))
            go.wait(30)
            holder.clear()  # the last reference: the generator ends here
            gc.collect()
            collected.set()

        return report

    monkeypatch.setattr("geministream.batch.schedule.reporter", reporter)
    holder.append(generate_many(prompts(1), model=MODEL, endpoint=server.endpoint))
    assert next(holder[0]).text == "You said: prompt 0"
    go.set()
    assert collected.wait(30)
    assert wrong == []
    assert_threads_end()


def test_closing_waits_for_the_callers_threads(server):
    """When close() returns, nothing of the batch runs there any more."""
    entered, left = threading.Event(), []
    first = threading.Lock()

    def token():
        if not first.acquire(blocking=False):
            entered.set()
            time.sleep(0.3)  # busy where no switch ends it
            left.append(None)
        return KEY

    endpoint = replace(server.endpoint, auth=token)
    server.profile = replace(server.profile, check_key=lambda head, key: None)
    with ThreadPoolExecutor(2) as executor:
        results = generate_many(prompts(2), model=MODEL, endpoint=endpoint, max_workers=2, executor=executor)
        next(results)
        assert entered.wait(30)
        results.close()
        assert left == [None]


def test_a_script_that_fails_half_way_does_not_wait_for_its_answers(server, run_python):
    never = threading.Event()
    server.answer_with(lambda recorded: None if b"quick" in recorded.body else Answer(chunks=["half", never]))
    done = run_python(
        f"""if True:
        from geministream import Endpoint, generate_many
        endpoint = Endpoint(base_url={server.url!r}, api_key={KEY!r})
        results = generate_many(["quick", "slow"], model="m", endpoint=endpoint)  # a name that outlives the loop
        for result in results:
            print(result.text)
            raise KeyError("in the loop")
    """,
        timeout=60,
    )
    assert done.stdout == "You said: quick\n" and "KeyError: 'in the loop'" in done.stderr


_FORKS = """
import multiprocessing, os, sys
from geministream import GeministreamError, collect, generate_many, stream_generate

def fork(how):
    if how == "multiprocessing":
        child = multiprocessing.get_context("fork").Process(target=str)
        child.start()
        child.join(20)
        return child.exitcode
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    if how == "next":
        try:
            next(results)
        except GeministreamError as error:
            os._exit("forked" not in str(error))
    if how == "close":
        results.close()
    if how == "begin":
        os._exit([result.text for result in later] != ["You said: later"])
    sys.exit()

results = generate_many(map(str, range(24)), model="m", max_workers=4)
later = generate_many(["later"], model="m")  # nothing of it has begun
texts = [next(results).text]
print([fork(how) for how in ("multiprocessing", "sys.exit", "close", "next", "begin")])
collect(stream_generate("m", "release"))
texts += [result.text for result in results]
print(sorted(texts) == sorted(f"You said: {number}" for number in range(24)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_a_forked_child_leaves_the_batch_alone(server, run_python):
    """Neither its exit nor its generator may shut down connections that are its parent's too."""
    released = threading.Event()

    def answer(recorded):
        text = recorded.json["contents"][0]["parts"][0]["text"]
        if text == "release":
            released.set()
        return Answer(wait=released) if text not in ("0", "later", "release") else None

    server.answer_with(answer)
    done = run_python(_FORKS, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=server.url)
    assert done.stdout.split("\n")[:2] == ["[0, 0, 0, 0, 0]", "True"], done.stderr
    assert (done.returncode, server.request_count) == (0, 26)


def test_closing_takes_every_step_even_if_one_of_them_raises(server, monkeypatch):
    """As with sockets that another library has put in their place."""
    never = threading.Event()
    server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=never))
    results = generate_many(prompts(9), model=MODEL, endpoint=server.endpoint, max_workers=3)
    next(results)
    server.wait_for_request(3)
    cancel = Cancel.cancel

    def failing(stop):
        cancel(stop)
        raise AttributeError("no such socket")

    monkeypatch.setattr(Cancel, "cancel", failing)
    with pytest.raises(AttributeError, match="no such socket"):
        results.close()
    assert not threads()
    server.wait_for_connections(0)


def test_cancel_ends_the_batch(server):
    never, cancel = threading.Event(), Cancel()
    server.answer_with(lambda recorded: None if b"quick" in recorded.body else Answer(chunks=["half", never]))

    def source():
        yield "quick"
        yield from prompts(20)

    results = generate_many(source(), model=MODEL, endpoint=server.endpoint, max_workers=3, cancel=cancel)
    assert next(results).text == "You said: quick"
    canceller = threading.Thread(target=lambda: (server.wait_for_request(4), cancel.cancel()))
    canceller.start()
    with pytest.raises(StreamCancelled):
        next(results)
    canceller.join()
    assert not threads() and not cancel._callbacks
    server.wait_for_connections(0)
    with pytest.raises(StreamCancelled):
        next(generate_many(["x"], model=MODEL, endpoint=server.endpoint, cancel=cancel))
    assert server.request_count == 4


def test_cancel_ends_the_wait_for_a_delay(server):
    cancel = Cancel()
    server.faults = lambda recorded: Answer.failure(429, retry_after=50)
    endpoint = replace(server.endpoint, retry=Retry())
    results = generate_many(prompts(3), model=MODEL, endpoint=endpoint, max_workers=1, cancel=cancel)

    def stop():
        server.wait_until(lambda: server.requests and server.requests[0].finished.is_set())
        cancel.cancel()

    canceller = threading.Thread(target=stop)
    canceller.start()
    started = time.monotonic()
    with pytest.raises(StreamCancelled):
        next(results)
    assert time.monotonic() - started < 20
    canceller.join()


def test_results_that_were_complete_come_before_the_cancellation(server):
    never, cancel = threading.Event(), Cancel()
    server.answer_with(lambda recorded: Answer(wait=never) if b"slow" in recorded.body else None)
    with ThreadPoolExecutor(2) as executor:
        results = generate_many(
            ["slow", "a", "b"], model=MODEL, endpoint=server.endpoint, executor=executor, cancel=cancel
        )
        assert next(results).text == "You said: a"
        executor.submit(int).result()  # one thread is stuck, so this came after "b" on the other
        cancel.cancel()
        assert next(results).text == "You said: b"
        with pytest.raises(StreamCancelled):
            next(results)


def test_closing_a_batch_leaves_the_callers_cancel_alone(server):
    cancel = Cancel()
    results = generate_many(prompts(9), model=MODEL, endpoint=server.endpoint, cancel=cancel)
    next(results)
    results.close()
    assert not cancel.cancelled and not cancel._callbacks
