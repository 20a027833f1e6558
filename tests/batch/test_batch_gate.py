"""After a 429: one gate for all workers."""

import threading
import time
from dataclasses import replace

from support.batches import MODEL, Watching, by_index, one_is_refused, prompts

from geministream import RateLimitError, Retry, generate_many
from geministream.batch.gate import Gate
from geministream.testing import Answer


def test_a_429_stops_all_workers_until_its_delay_is_over(server, gate_closed):
    arrivals = one_is_refused(server, gate_closed, 4)
    results = by_index(generate_many(prompts(30), model=MODEL, endpoint=server.endpoint, max_workers=4))
    assert [result.text for result in results] == [f"You said: prompt {k}" for k in range(30)]
    assert sum(result.attempts for result in results) == 31 == len(arrivals)
    # The fourth arrived before the 429 was sent, and the fifth had to wait.
    assert min(arrivals[4:]) >= arrivals[3] + 0.3


def test_after_a_429_half_as_many_are_under_way_and_each_answer_allows_one_more():
    gate = Gate(8, Retry(initial_delay=1.0, max_delay=60.0))
    gate.refused(sent=10.0, now=11.0, asked=5.0)
    assert gate.allowed == 4 and gate.opens == 16.0
    gate.refused(sent=10.5, now=12.0, asked=7.0)  # of the same burst: later, but not fewer
    assert gate.allowed == 4 and gate.opens == 19.0
    gate.refused(sent=19.0, now=20.0, asked=0.0)  # the server names no time: twice the delay of a first 429
    assert gate.allowed == 2 and 21.0 <= gate.opens <= 22.0
    gate.refused(sent=22.0, now=23.0, asked=3600.0)  # no longer than max_delay
    assert gate.allowed == 1 and gate.opens == 83.0
    gate.refused(sent=83.0, now=84.0, asked=0.0)
    assert gate.allowed == 1
    for allowed in (2, 3, 4, 5, 6, 7, 8, 8):
        gate.answered()
        assert gate.allowed == allowed
    gate.refused(sent=90.0, now=91.0, asked=0.0)
    assert 91.5 <= gate.opens <= 92.0  # it was long ago: a first one again


def test_only_so_many_are_under_way_after_a_429(server):
    """All eight are refused; then four are allowed, and one more for each answer."""
    all_here = {7: threading.Event(), 11: threading.Event(), 19: threading.Event()}

    def decide(recorded):
        # Eight come, then four, then eight again: each is held until the last of them is here.
        if recorded.number in all_here:
            all_here[recorded.number].set()
        held = [Answer(wait=event) for last, event in all_here.items() if recorded.number <= last]
        if recorded.number < 8:
            return Answer.failure(429, retry_info="0.05s", wait=all_here[7])
        return held[0] if held else None

    server.faults = decide
    with Watching(16) as executor:
        results = list(
            generate_many(
                prompts(30),
                model=MODEL,
                endpoint=server.endpoint,
                max_workers=8,
                executor=executor,
                deadline=20,
            )
        )
    assert [result.error for result in results] == [None] * 30
    assert [under_way for under_way, _ in executor.notes[:8]] == [1, 2, 3, 4, 5, 6, 7, 8]
    for under_way, done in executor.notes[8:]:
        assert under_way <= min(4 + done - 8, 8)


def test_a_quota_that_stays_exhausted_is_a_result(server):
    server.faults = lambda recorded: Answer.failure(429, "quota", retry_info="0.01s")
    endpoint = replace(server.endpoint, retry=Retry(initial_delay=0.02))
    results = by_index(generate_many(prompts(3), model=MODEL, endpoint=endpoint))
    assert [type(result.error) for result in results] == [RateLimitError] * 3
    assert [result.attempts for result in results] == [4] * 3
    assert results[0].error.retry_after == 0.01


def test_a_wait_longer_than_max_delay_fails_the_prompt_and_slows_the_rest(server):
    server.faults = [Answer.failure(429, retry_after=3600)]
    started = time.monotonic()
    endpoint = replace(server.endpoint, retry=Retry(initial_delay=0.01, max_delay=0.4))
    results = list(generate_many(prompts(2), model=MODEL, endpoint=endpoint, max_workers=1))
    assert [type(result.error) for result in results] == [RateLimitError, type(None)]
    assert results[0].attempts == 1 and results[0].error.retry_after == 3600
    assert time.monotonic() - started >= 0.4
