"""The command line: ``batch``, through every interruption."""

import errno
import io
import json
import os
import random
import signal
import threading
from functools import partial

import pytest
from support.long_form import LONG
from support.program import KEY, TIMEOUT, needs_posix, needs_pty, on_terminal, rest_of, run, started

from geministream.cli import batch as cli_batch
from geministream.depth import DEEPEST
from geministream.testing import Answer, LocalServer


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(f"prompt {number}") + "\n" for number in range(12)))
    return path


@pytest.fixture
def output(tmp_path):
    return tmp_path / "results.jsonl"


def results(output):
    """The lines of the output by their index, each of which must be there once."""
    data = output.read_bytes()
    assert KEY.encode() not in data
    assert data.endswith(b"\n")
    lines = [json.loads(line) for line in data.splitlines()]
    by_index = {line["index"]: line for line in lines}
    assert len(by_index) == len(lines)
    return by_index


def check_all_right(output, count=12):
    lines = results(output)
    assert {index: line["text"] for index, line in lines.items()} == {
        index: f"You said: prompt {index}" for index in range(count)
    }


# -- what goes in and what comes out ---------------------------------------------


def test_all_good(here, server, prompts, output):
    result = here(
        "batch",
        prompts,
        "-o",
        output,
        "-m",
        "gemini-x",
        "--temperature",
        "0.5",
        "-s",
        "Be brief",
        server=server,
    )
    assert (result.status, result.out) == (0, "")
    (summary,) = result.notes
    assert summary.startswith("12 of 12 done, 0 failed, ") and " tokens, in 0:0" in summary
    lines = results(output)
    assert sorted(lines) == list(range(12))
    assert lines[3]["text"] == "System instruction: Be brief\nYou said: prompt 3"
    assert lines[3]["response"]["candidates"][0]["finishReason"] == "STOP"
    assert lines[3]["attempts"] == 1 and lines[3]["seconds"] >= 0
    for request in server.requests:
        assert request.model == "gemini-x"
        assert request.json["generationConfig"] == {"temperature": 0.5}


def test_every_kind_of_line(here, server, tmp_path, output):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_bytes(
        b'\xef\xbb\xbf"one"\r\n'
        b'{"contents": "two", "id": "second", "generationConfig": {"topP": 0.5}, "model": "gemini-y"}\n'
        b"\n"
        b"nonsense\n"
        b'"\xff"\n'
        b'{"id": 5, "prompt": "x"}\n'
        b'{"contents": "x", "colour": "red", "id": [6]}\n'
        b"7\n" + b"[" * 100000 + b"\n" + '"\u00e9\u2028"'.encode()
    )
    result = here("batch", prompts, "-o", output, server=server)
    lines = results(output)
    assert result.status == 1
    assert [lines[index].get("text") for index in (0, 1, 9)] == [
        "You said: one",
        "You said: two",
        "You said: \u00e9\u2028",
    ]
    assert [lines[index].get("id") for index in (1, 5, 6)] == ["second", 5, [6]]
    bad = {3: "not valid JSON", 4: "UTF-8", 5: "contents", 6: "colour", 7: "neither", 8: "not valid JSON"}
    assert sorted(lines) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    for index, words in bad.items():
        assert lines[index]["error"]["type"] == "ConfigurationError"
        assert words in lines[index]["error"]["message"]
        assert any(f"line {index + 1} of {prompts}: " in note and words in note for note in result.notes)
    assert result.notes[-1].startswith("9 of 9 done, 6 failed")
    by_text = {request.json["contents"][0]["parts"][0]["text"]: request for request in server.requests}
    assert by_text["two"].json["generationConfig"] == {"topP": 0.5} and by_text["two"].model == "gemini-y"


def test_failures_are_results(here, server, prompts, output):
    failures = {
        "prompt 1": Answer.failure(400, f"The key {KEY} is of no use"),
        "prompt 2": Answer.blocked("SAFETY"),
        "prompt 3": Answer.text("some ", finish=None),
        "prompt 4": Answer.text("some ", finish="MALFORMED_RESPONSE"),
    }
    server.answer_with(lambda request: failures.get(request.json["contents"][0]["parts"][0]["text"]))
    result = here("batch", prompts, "-o", output, server=server)
    lines = results(output)
    assert result.status == 1 and "12 of 12 done, 4 failed" in result.notes[-1]
    assert lines[1]["error"] == {
        "type": "BadRequestError",
        "message": "400 INVALID_ARGUMENT: The key *** is of no use",
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "details": [],
    }
    assert lines[2]["error"]["reason"] == "SAFETY" and lines[2]["response"]["promptFeedback"]
    assert lines[3]["error"]["type"] == "IncompleteStreamError"
    assert lines[3]["partial"]["candidates"][0]["content"]["parts"] == [{"text": "some "}]
    assert "MALFORMED_RESPONSE" in lines[4]["error"]["message"] and lines[4]["text"] == "some "

    # They are done, until they are asked for again.
    count = server.request_count
    assert here("batch", prompts, "-o", output, server=server).status == 1
    assert server.request_count == count
    server.answer_with(None)
    result = here("batch", prompts, "-o", output, "--retry-failed", server=server)
    assert (result.status, server.request_count) == (0, count + 4)
    check_all_right(output)


def test_many_failures_are_not_all_reported(here, server, tmp_path, output):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("bad\n" * 50)
    result = here("batch", prompts, "-o", output, server=server)
    assert len(result.notes) == 22 and len(results(output)) == 50


def test_offline(here, prompts, output):
    assert (
        here(
            "batch", prompts, "-o", output, "--offline", "--workers", "12", env={"GEMINI_API_KEY": None}
        ).status
        == 0
    )
    check_all_right(output)


def test_an_empty_file_of_prompts(here, server, tmp_path, output):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n")
    assert here("batch", prompts, "-o", output, server=server).status == 0
    assert output.read_bytes() == b""


@pytest.mark.parametrize(
    "args, words",
    [
        (["gone.jsonl", "-o", "results.jsonl"], "gone.jsonl"),
        (["prompts.jsonl"], "-o"),
        (["prompts.jsonl", "-o", "no/such/results.jsonl"], "results.jsonl"),
        (["prompts.jsonl", "-o", "prompts.jsonl"], "cannot be the file of the prompts"),
        (
            ["prompts.jsonl", "-o", "results.jsonl", "--workers", "0"],
            "--workers must be an integer >= 1, got 0",
        ),
        (["prompts.jsonl", "-o", "."], "."),
        ([".", "-o", "results.jsonl"], "."),
        (["prompts.jsonl", "-o", "-", "--retry-failed"], "regular file"),
    ],
)
def test_usage(here, server, prompts, monkeypatch, args, words):
    monkeypatch.chdir(prompts.parent)
    before = prompts.read_bytes()
    result = here("batch", *args, server=server)
    assert (result.status, server.requests) == (2, [])
    assert words in result.notes[-1]
    assert prompts.read_bytes() == before


# -- an output that is no file of its own -------------------------------------------


def lines_of(out):
    return {line["index"]: line["text"] for line in map(json.loads, out.splitlines())}


def test_stdin_and_stdout(server, prompts):
    result = run("batch", "-", "-o", "-", server=server, stdin=prompts.read_bytes() + b"bad\n")
    assert result.status == 1 and "line 13 of standard input" in result.notes[0]
    records = {line["index"]: line for line in map(json.loads, result.out.splitlines())}
    assert sorted(records) == list(range(13)) and "error" in records.pop(12)
    assert all(record["text"] == f"You said: prompt {index}" for index, record in records.items())


def test_stdin_can_be_resumed_into_a_file(server, prompts, output):
    assert run("batch", "-", "-o", output, server=server, stdin=prompts.read_bytes()).status == 0
    assert run("batch", "-", "-o", output, server=server, stdin=prompts.read_bytes()).status == 0
    check_all_right(output)
    assert server.request_count == 12


@needs_posix
def test_stdin_that_is_the_output(server, prompts):
    before = prompts.read_bytes()
    for to in ("-o", prompts), ("-o", "-"):
        with prompts.open("rb") as stdin, prompts.open("ab") as stdout:
            with started("batch", "-", *to, server=server, stdin=stdin, stdout=stdout) as process:
                err = process.stderr.read().decode()
                assert process.wait() == 2
        assert "cannot be the file of the prompts" in err
    assert (prompts.read_bytes(), server.requests) == (before, [])


@needs_posix
def test_a_pipe_gets_the_results(server, prompts, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(str(pipe))
    with started("batch", prompts, "-o", pipe, server=server) as process:
        out = pipe.read_bytes()
        assert rest_of(process).status == 0
    assert lines_of(out) == {index: f"You said: prompt {index}" for index in range(12)}


@needs_posix
def test_a_full_device(server, prompts):
    result = run("batch", prompts, "-o", "/dev/full", server=server)
    assert result.status == 1 and result.notes[-1].startswith("/dev/full: No space left on device; ")


@needs_pty
def test_a_terminal_is_not_steered_by_results(server, prompts):
    server.answer_with(lambda request: Answer.text("\x1b]0;x\x07\x9b31m\x7f"))
    with on_terminal("batch", prompts, "-o", "-", server=server) as (process, read):
        text = read()
    assert all(line.split("\r")[-1].startswith(("{", "geministream: ")) for line in text.split("\n")[:-1])
    assert text.count('"text":') >= 12
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\x7f"}


# -- a disk that is full --------------------------------------------------------------


class FullDisk(io.FileIO):
    """A file whose disk has no room in the middle of the second record, and then has again."""

    records = 0

    def write(self, data):
        if self.records == 1:
            type(self).records = 2
            super().write(bytes(data[:20]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.records == 0 or self.records == 2:
            type(self).records += 1
        return super().write(data)


def test_half_a_record_does_not_stay(here, server, tmp_path, output, monkeypatch):
    """A bad line fails while good ones are under way, whose results are then written."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('"prompt 0"\nbad\nbad\n"prompt 3"\n')
    monkeypatch.setattr(FullDisk, "records", 0)
    with monkeypatch.context() as full:
        full.setattr(cli_batch, "_opened", lambda path, mode: FullDisk(str(path), "a+"))
        result = here("batch", prompts, "-o", output, server=server)
    assert result.status == 1 and result.notes[-1].startswith(f"{output}: No space left on device; ")
    assert sorted(results(output)) == [0, 1]
    result = here("batch", prompts, "-o", output, server=server)
    assert (result.status, server.request_count) == (1, 2)
    assert sorted(results(output)) == [0, 1, 2, 3]


@needs_posix
def test_the_largest_file_that_is_allowed(server, tmp_path, output):
    import resource

    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("bad\n" * 20)
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, 1000))
    with started("batch", prompts, "-o", output, server=server, preexec_fn=limit) as process:
        result = rest_of(process)
    assert result.status == 1 and result.notes[-1] == f"{output}: File too large"
    assert 0 < len(results(output)) < 20
    assert run("batch", prompts, "-o", output, server=server).status == 1
    assert sorted(results(output)) == list(range(20))


def nested(levels):
    return "[" * levels + "]" * levels


def test_the_deepest_ids_and_answers(here, server, prompts, output):
    """What can be read can be written, and read again by the next run; what is deeper fails alone."""

    def answer(request):
        name = request.body.partition(b"#")[2][:1]
        if name in b"ab":  # the deepest chunk, and one that is deeper
            extra = json.loads(nested(DEEPEST - 1 if name == b"a" else DEEPEST))
            return Answer(chunks=[{"extra": extra, "candidates": [{"finishReason": "STOP"}]}])
        return Answer.failure(400, "no", details=[{"extra": json.loads(nested(DEEPEST - 4))}])

    ids = [f'{{"contents": "#a", "id": {nested(levels)}}}' for levels in (DEEPEST - 1, DEEPEST, 10**5)]
    prompts.write_text("\n".join([*ids, '"#a"', '"#b"', '"#c"']))
    server.answer_with(answer)
    assert here("batch", prompts, "-o", output, server=server).status == 1
    found = [line for _, line in sorted(results(output).items())]
    errors = [line.get("error", {}).get("message", "none") for line in found]
    too_deep = "the line is not valid JSON: Nested more than 200 levels deep"
    assert errors[:4] == ["none", too_deep, too_deep, "none"]
    assert "nested too deeply" in errors[4] and found[5]["error"]["details"]
    assert found[0]["id"] == found[3]["response"]["extra"] == json.loads(nested(DEEPEST - 1))
    count = server.request_count
    assert here("batch", prompts, "-o", output, server=server).status == 1
    assert server.request_count == count == 4


# -- what the output is stays -----------------------------------------------------------


@needs_posix
def test_retry_failed_keeps_what_the_file_is(here, server, prompts, tmp_path):
    real, output = tmp_path / "elsewhere.jsonl", tmp_path / "results.jsonl"
    output.symlink_to(real)
    server.answer_with(lambda request: Answer.failure(400, "no") if b"prompt 3" in request.body else None)
    assert here("batch", prompts, "-o", output, server=server).status == 1
    server.answer_with(None)
    os.chmod(str(real), 0o640)
    if os.getuid() == 0:
        os.chown(str(real), 12345, 23456)
    before = real.stat()
    assert here("batch", prompts, "-o", output, "--retry-failed", server=server).status == 0
    after = real.stat()
    assert output.is_symlink() and after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    check_all_right(output)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere.jsonl",
        "prompts.jsonl",
        "results.jsonl",
    ]


@needs_posix
def test_a_file_that_was_replaced_before_it_was_locked(here, server, prompts, output, monkeypatch):
    """As by a --retry-failed of another process; what the old one gets would be lost."""
    import fcntl

    here("batch", prompts, "-o", output, server=server)
    whole, flock = output.read_bytes(), fcntl.flock
    newer = output.with_name("newer")
    newer.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    output.write_bytes(whole[: whole.index(b"\n") + 1])

    def late(file, how):
        if newer.exists():
            newer.replace(output)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    count = server.request_count
    assert here("batch", prompts, "-o", output, server=server).status == 0
    assert server.request_count == count + 1
    check_all_right(output)


# -- again and again ---------------------------------------------------------------


def test_what_is_done_is_skipped(here, server, prompts, output):
    here("batch", prompts, "-o", output, server=server)
    before = output.read_bytes()
    result = here("batch", prompts, "-o", output, server=server)
    assert (result.status, server.request_count) == (0, 12)
    assert output.read_bytes() == before
    with prompts.open("a") as file:  # more may be added
        file.write('"prompt 12"\n')
    assert here("batch", prompts, "-o", output, server=server).status == 0
    check_all_right(output, 13)
    assert server.request_count == 13


def test_a_torn_line_is_redone(here, server, prompts, output):
    here("batch", prompts, "-o", output, server=server)
    whole = output.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    rng = random.Random(1)
    for cut in [
        0,
        1,
        5,
        last,
        last + 1,
        last + 9,
        len(whole) - 1,
        *(rng.randrange(len(whole)) for _ in range(5)),
    ]:
        output.write_bytes(whole[:cut])
        before = server.request_count
        assert here("batch", prompts, "-o", output, server=server).status == 0
        check_all_right(output)
        # A record that lacks its line end alone is paid for, and kept.
        assert server.request_count - before == 12 - whole[: cut + 1].count(b"\n")
    for end in (last, last + 20):  # as some file systems do when the power fails
        output.write_bytes(whole[:end] + b"\0" * 100)
        assert here("batch", prompts, "-o", output, server=server).status == 0
        check_all_right(output)


@pytest.mark.parametrize(
    "content",
    [
        b"my thesis",
        b"my thesis\n",
        b'{"index":"x"}\n',
        b'{"index":1}\n',
        b"{}\n",
        b'{"index":0,"in\n{"index":1,"inp',
    ],
)
def test_another_file_is_not_touched(here, server, prompts, output, content):
    output.write_bytes(content)
    result = here("batch", prompts, "-o", output, "--retry-failed", server=server)
    assert (result.status, server.requests) == (2, [])
    assert "line 1" in result.notes[0]
    assert output.read_bytes() == content


def test_other_prompts_are_not_mixed_in(here, server, prompts, output):
    here("batch", prompts, "-o", output, server=server)
    before = output.read_bytes()
    prompts.write_text(prompts.read_text().replace("prompt 7", "prompt seven"))
    result = here("batch", prompts, "-o", output, server=server)
    assert (result.status, server.request_count) == (2, 12)
    assert "line 8" in result.notes[0]
    assert output.read_bytes() == before


@needs_posix
def test_two_at_once_do_not_mix(server, prompts, output):
    gate = threading.Event()
    server.answer_with(lambda request: Answer(wait=gate))
    with started("batch", prompts, "-o", output, server=server) as process:
        server.wait_for_request(1)
        result = run("batch", prompts, "-o", output, server=server)
        assert result.status == 2 and "another batch" in result.notes[0]
        gate.set()
        assert rest_of(process).status == 0
    check_all_right(output)


def test_killed_again_and_again(tmp_path, output):
    count, kills = (500, 10) if LONG else (250, 4)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(f"prompt {number}") + "\n" for number in range(count)))
    rng = random.Random(5)
    with LocalServer(api_key=KEY, latency=0.01) as server:
        for _ in range(kills):
            with started("batch", prompts, "-o", output, "--workers", "4", server=server) as process:
                server.wait_for_request(server.request_count + rng.randrange(5, 45), TIMEOUT)
                process.kill()
                process.wait()
            lines = output.read_bytes().count(b"\n")
            assert lines < count
        result = run("batch", prompts, "-o", output, "--workers", "4", server=server)
        assert result.status == 0
        # Asked twice is at most what was under way at the kills, or answered and not yet written.
        assert server.request_count <= count + kills * 2 * 4
    check_all_right(output, count)


@needs_posix
def test_ctrl_c(server, prompts, output):
    gate = threading.Event()
    server.answer_with(lambda request: Answer(wait=gate) if server.request_count > 6 else None)
    with started("batch", prompts, "-o", output, "--workers", "3", server=server) as process:
        server.wait_until(
            lambda: server.request_count == 9 and sum(r.finished.is_set() for r in server.requests) == 6
        )
        process.send_signal(signal.SIGINT)
        result = rest_of(process)
    gate.set()
    assert result.status == 130
    assert "interrupted; rerun the same command to resume" in result.notes[-1]
    server.answer_with(None)
    assert run("batch", prompts, "-o", output, server=server).status == 0
    check_all_right(output)


@needs_pty
def test_progress(server, prompts, output):
    with prompts.open("a") as file:
        file.write("bad\n")
    with on_terminal("batch", prompts, "-o", output, server=server) as (process, read):
        text = read()
    assert "\r0 of 13 done, 0 failed, 0.0/s, 0 tokens" in text
    assert "\rgeministream: line 13 of " in text  # the line of progress was taken away for it
    assert "13 of 13 done, 1 failed, " in text.split("\r")[-1]
