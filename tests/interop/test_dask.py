"""generate_many() on a Dask cluster: the same lines as on threads, with two worker processes."""

import logging
import re
import threading

import pytest

distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra: interop)")

from support import readme

from geministream import (
    BadRequestError,
    ConfigurationError,
    IncompleteStreamError,
    RateLimitError,
    ServerError,
    generate_many,
    part_from_bytes,
)
from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"
KEY = "secret-key-of-this-test"


@pytest.fixture(scope="module")
def client():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0", silence_logs=logging.ERROR
    ) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def server():
    with LocalServer(api_key=KEY) as server:
        yield server


def by_index(results):
    return sorted(results, key=lambda result: result.index)


def test_prompts(server, client):
    prompts = [f"prompt {k}" for k in range(60)]
    with client.get_executor() as executor:
        results = by_index(generate_many(prompts, model=MODEL, endpoint=server.endpoint, executor=executor))
    assert [result.text for result in results] == [f"You said: {prompt}" for prompt in prompts]
    assert [result.attempts for result in results] == [1] * 60
    # Both processes took part, and each thread of theirs has used its one connection again.
    assert 2 <= server.connections <= 4


def test_failures_come_back_as_they_are(server, client):
    answers = {
        "bad": Answer(
            error=(
                400,
                None,
                "bad",
                [
                    {
                        "@type": "type.googleapis.com/google.rpc.BadRequest",
                        "fieldViolations": [{"field": "f", "description": "d"}],
                    }
                ],
            )
        ),
        "down": Answer.failure(503),
        "quota": Answer.failure(429, retry_info="0.01s"),
        "short": Answer(chunks=["as far as ", "here"], finish=None),
    }
    server.faults = lambda recorded: answers.get(recorded.json["contents"][0]["parts"][0].get("text"))
    picture = part_from_bytes(b"x" * 200_000, "image/png")
    with client.get_executor() as executor:
        results = by_index(
            generate_many(
                [*answers, {"contents": 7}, picture, "good"],
                model=MODEL,
                endpoint=server.endpoint,
                executor=executor,
            )
        )
    assert [type(result.error) for result in results] == [
        BadRequestError,
        ServerError,
        RateLimitError,
        IncompleteStreamError,
        ConfigurationError,
        type(None),
        type(None),
    ]
    assert [result.attempts for result in results] == [1, 4, 4, 4, 0, 1, 1]
    assert results[0].error.field_violations == [("f", "d")] and results[2].error.retry_after == 0.01
    assert results[3].error.partial.text == "as far as here"
    assert "200000 bytes" in results[5].text


def test_an_answer_that_resumes_after_a_429(client):
    long = " ".join(f"w{k}" for k in range(40))
    with LocalServer(tokens_per_request=9) as server, client.get_executor() as executor:
        server.faults = [None, None, Answer.failure(429, retry_info="0.05s")]
        (result,) = generate_many([long], model=MODEL, endpoint=server.endpoint, executor=executor)
    assert result.text == f"You said: {long}" and result.attempts == 6


def _shown(task):
    # An error report of Dask's has the arguments' repr too.
    return f"{task!r} {task.run_spec!r} {getattr(task.run_spec, 'args', '')!r}"


def _all_that_dask_shows(dask_scheduler):
    """What the dashboard, the logs and error reports take their texts from."""
    shown = [_shown(task) for task in dask_scheduler.tasks.values()]
    return shown + [repr(dask_scheduler.get_logs()), repr(dask_scheduler.get_events())]


def _tasks_of_worker(dask_worker):
    return [_shown(task) for task in dask_worker.state.tasks.values()]


def test_the_key_is_in_no_tasks_repr(server, client):
    release = threading.Event()
    server.answer_with(lambda recorded: Answer(wait=release))
    with client.get_executor() as executor:
        results = generate_many(
            ["private words"] * 8, model=MODEL, endpoint=server.endpoint, executor=executor, max_workers=4
        )
        seen = []

        def look():
            try:
                server.wait_for_request(4)
                seen.extend(client.run_on_scheduler(_all_that_dask_shows))
                for texts in client.run(_tasks_of_worker).values():
                    seen.extend(texts)
            finally:
                release.set()

        looker = threading.Thread(target=look)
        looker.start()
        assert [result.error for result in results] == [None] * 8
        looker.join()
    assert sum(bool(re.search(r"attempt.*<prompt \d>", text)) for text in seen) >= 4  # they were caught at it
    assert KEY not in "".join(seen) and "private words" not in "".join(seen)


def test_closing_cancels_what_has_not_begun(server, client):
    release = threading.Event()
    server.answer_with(lambda recorded: None if b"prompt 0" in recorded.body else Answer(wait=release))
    with client.get_executor() as executor:
        results = generate_many(
            (f"prompt {k}" for k in range(100)), model=MODEL, endpoint=server.endpoint, executor=executor
        )
        assert next(results).text == "You said: prompt 0"
        results.close()
        release.set()
        sent = server.request_count
        assert sent <= 9
        assert executor.submit(int, "7").result() == 7


def test_the_readmes_example(server, client, monkeypatch, capsys):
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    code = readme.code("batch-threads").replace("range(1000)", "range(30)").replace("\nhaikus()\n", "\n")
    cluster = readme.code("batch-dask")
    assert '"tcp://scheduler:8786"' in cluster
    exec(code + cluster.replace("tcp://scheduler:8786", client.scheduler.address), {})
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        f"{n} You said: Write a haiku about the number {n}" for n in range(30)
    )
