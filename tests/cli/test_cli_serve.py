"""``geministream serve``: a script, the control endpoint, recordings."""

import json

import pytest
import requests
from support.plain_client import HELLO, KEY, STREAM, sse, text_of
from support.program import started


def serving(*args, env=None):
    return started("serve", "--piece-delay", 0, *args, env=env)


def url_of(process):
    """Where the program says that it listens."""
    line = process.stdout.readline().decode()
    process.stdout.readline()
    return line.split("listens at ")[1].split(";")[0]


def ask(url, body=HELLO, **how):
    return requests.post(url + STREAM + "?alt=sse", json=body, headers=KEY, timeout=10, **how)


def test_a_script(tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({"answers": ["scripted", {"error": 429}]}))
    with serving("--script", path, "--words-per-chunk", 1) as process:
        url = url_of(process)
        assert text_of(sse(ask(url).content)) == "scripted"
        assert ask(url).status_code == 429
        own = sse(ask(url).content)
        assert len(own) == len(text_of(own).split())
        told = [process.stdout.readline().decode() for _ in range(3)]
        assert [line.split()[2] for line in told] == ["200,", "429,", "200,"]


@pytest.mark.parametrize(
    "args, words",
    [
        (["--latency", "-1"], "--latency must be seconds, at least 0, got -1.0"),
        (["--words-per-chunk", "0"], "--words-per-chunk must be an integer >= 1, got 0; see geministream serve --help"),
        (["--script", "no/such.json"], "--script no/such.json: No such file or directory"),
    ],
)  # fmt: skip
def test_usage(here, args, words):
    result = here("serve", *args)
    assert (result.status, result.notes) == (2, [words])


def test_a_script_that_is_not_valid(here, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text('{"answers": ["a", "b", {"stop_after": "x"}]}')
    result = here("serve", "--script", path)
    assert (result.status, result.notes) == (
        2,
        [f'--script {path}: $.answers[2].stop_after: must be an integer, got "x"'],
    )


def test_control():
    with serving("--control") as process:
        url = url_of(process)
        assert requests.post(url + "/_control/answers", json="scripted").json() == {"queued": 1}
        assert text_of(sse(ask(url).content)) == "scripted"
        assert len(requests.get(url + "/_control/requests").json()["requests"]) == 1
