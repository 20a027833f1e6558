"""``geministream serve``: a script, the control endpoint, recordings."""

import json
import os

import pytest
import requests
from support.plain_client import HELLO, KEY, STREAM, sse, text_of
from support.program import KEY as KEY_OF_THE_ENVIRONMENT, started

from geministream.testing import LocalServer


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

        def ask_and_look(status):
            response = ask(url)
            line = process.stdout.readline().decode()
            assert (response.status_code, line.split()[2]) == (status, f"{status},")
            return response.content

        assert text_of(sse(ask_and_look(200))) == "scripted"
        ask_and_look(429)
        own = sse(ask_and_look(200))
        assert len(own) == len(text_of(own).split())


@pytest.mark.parametrize(
    "args, words",
    [
        (["--latency", "-1"], "--latency must be a number of seconds >= 0, got -1.0"),
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


UNSIGNED = {
    "contents": [
        *HELLO["contents"],
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
    ]
}


@pytest.mark.parametrize(
    "options, statuses, ending",
    [
        ([], [400, 200], b"}\r\n\r\n"),
        (["--lenient", "--require-signatures", "--done-marker"], [200, 400], b"data: [DONE]\r\n\r\n"),
    ],
)
def test_how_strict_it_is_and_how_an_answer_ends(options, statuses, ending):
    with serving(*options) as process:
        url = url_of(process)
        assert [ask(url, body).status_code for body in ({**HELLO, "nosuch": 1}, UNSIGNED)] == statuses
        assert ask(url).content.endswith(ending)


def test_record_and_replay(tmp_path):
    tapes = tmp_path / "tapes"
    with LocalServer(api_key=KEY_OF_THE_ENVIRONMENT) as upstream:
        upstream.queue("of the upstream")
        with serving("--record", tapes, "--upstream", upstream.url) as process:
            url = url_of(process)
            recorded = ask(url).content
            assert text_of(sse(recorded)) == "of the upstream"
            assert process.stdout.readline().decode().split()[2] == "200,"
    [tape] = tapes.iterdir()
    assert KEY_OF_THE_ENVIRONMENT not in tape.read_text()
    with serving("--replay", tapes, "--replay-speed", "2") as process:
        url = url_of(process)
        assert ask(url).content == recorded
        assert ask(url).status_code == 404


@pytest.mark.skipif(os.name == "nt", reason="words of POSIX")
def test_a_recording_that_cannot_be_written(tmp_path):
    tapes = tmp_path / "tapes"
    with LocalServer(api_key=KEY_OF_THE_ENVIRONMENT) as upstream:
        with serving("--record", tapes, "--upstream", upstream.url) as process:
            url = url_of(process)
            tapes.rmdir()
            with pytest.raises(requests.RequestException):  # the client does not think that all is well
                ask(url)
            assert b"the test server failed: [Errno 2] No such file or directory" in process.stderr.readline()


@pytest.mark.parametrize(
    "args, words",
    [
        (["--record", "x"], "--record DIR and --upstream URL need each other; use both"),
        (["--upstream", "http://x"], "--record DIR and --upstream URL need each other; use both"),
        (
            ["--record", "x", "--upstream", "http://x", "--replay", "y"],
            "--record and --replay exclude each other; leave one out",
        ),
        (
            ["--record", "x", "--upstream", "http://x?key=AIzaSy-secret"],
            "--upstream must be a URL such as https://host/path, without credentials or a query",
        ),
        (["--record", "/dev/null/x", "--upstream", "http://x"], "--record /dev/null/x: Not a directory"),
        (["--replay-speed", "2"], "--replay-speed needs --replay DIR"),
        (
            ["--replay", "x", "--replay-speed", "0"],
            "--replay-speed must be a number > 0, got 0; see geministream serve --help",
        ),
        (["--replay", "no/such"], "--replay no/such: No such file or directory"),
    ],
)
def test_usage_of_recordings(here, args, words):
    result = here("serve", *args)
    assert (result.status, result.notes) == (2, [words])


def test_a_replay_that_is_not_one(here, tmp_path):
    (tmp_path / "000001-x.json").write_text("[]")
    result = here("serve", "--replay", tmp_path)
    assert result.notes == [f"--replay {tmp_path / '000001-x.json'}: $: must be an object, got []"]
