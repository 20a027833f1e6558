"""The command line: what a person sees while nothing comes, and at the end of an answer."""

import os
import re
import signal
import threading

import pytest
from support import program
from support.program import KEY, TIMEOUT, needs_posix, needs_pty, on_terminal, rest_of, started

from geministream.cli import batch_progress
from geministream.cli.waiting import Ticker
from geministream.errors import RateLimitError
from geministream.retry import RetryEvent
from geministream.testing import Answer, LocalServer

pytestmark = pytest.mark.early
here, server = program.here, program.server

DIM, BRIGHT = "\x1b[2m", "\x1b[22m"


# -- waiting for the first piece ------------------------------------------------------


@needs_pty
def test_a_silence_is_counted_until_the_first_piece(server):
    gate = threading.Event()
    server.queue(Answer(chunks=["first ", "last"], wait=gate))
    with on_terminal("stream", "Hello", server=server) as (process, read):
        assert read("waiting\u2026 ") == f"\r{DIM}waiting\u2026 "
        assert re.fullmatch(
            rf"\d s{re.escape(BRIGHT)}\r{re.escape(DIM)}waiting\u2026 ", read("waiting\u2026 ")
        )
        gate.set()
        rest = read()
    assert re.search(rf"\d s{re.escape(BRIGHT)}\r +\rfirst last\n$", rest)


@needs_pty
def test_hidden_thoughts_do_not_count_as_output(server):
    server.queue(
        Answer(
            chunks=[{"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}]}, "Yes"],
            gates=[program._OPEN, gate := threading.Event()],
        )
    )
    with on_terminal("stream", "Hello", server=server) as (process, read):
        read(" s")
        gate.set()
        assert read().endswith("\rYes\n")


@needs_pty
def test_the_count_is_only_for_a_terminal_and_goes_with_ctrl_c(server):
    gate = threading.Event()
    server.answer_with(lambda request: Answer(wait=gate))
    with on_terminal("stream", "Hello", server=server, err=False) as (process, read):
        server.wait_for_request(1, TIMEOUT)
        with on_terminal("stream", "Hello", server=server, env={"NO_COLOR": "1"}) as (other, read_other):
            assert read_other(" s").startswith("\rwaiting\u2026 ")
            assert read_other(" s")  # by now the first would have counted, too
            other.send_signal(signal.SIGINT)
            assert read_other().endswith("\r") and other.wait(TIMEOUT) == 130
        process.send_signal(signal.SIGINT)
        assert (read(), process.stderr.read(), process.wait(TIMEOUT)) == ("", b"", 130)
    gate.set()


@needs_pty
def test_a_chat_counts_too(server):
    gate = threading.Event()
    server.queue(Answer(chunks=["Hi"], wait=gate))
    with on_terminal("chat", server=server) as (process, read):
        read("> ")
        os.write(process.terminal, b"Hello\n")
        read("waiting\u2026 ")
        gate.set()
        assert "\rHi\n" in read("> ")


@needs_pty
def test_a_retry_has_a_countdown_and_the_reason(server):
    server.queue(Answer.failure(429, retry_info="2s"), Answer.text("better"))
    with on_terminal("stream", "--retries", "1", "Hello", server=server) as (process, read):
        reason = "429 rate limit (Scripted: RESOURCE_EXHAUSTED.)"
        assert read("\n") == f"geministream: {reason}; retrying in 2 s (2 of 2)\n"
        assert read("1 s").endswith(f"\r{DIM}retrying in 1 s")
        assert read().endswith("\rbetter\n")


@needs_pty
def test_a_retry_does_not_start_the_count_again(server):
    fail, answer = threading.Event(), threading.Event()
    server.queue(Answer.failure(503, retry_info="1.2s", wait=fail), Answer(chunks=["better"], wait=answer))
    with on_terminal("stream", "--retries", "1", "Hello", server=server) as (process, read):
        read("waiting\u2026 1 s")
        fail.set()
        read("retrying in 1 s")
        read("waiting\u2026 ")
        assert int(read(" s").split()[0]) >= 2  # 1 s, and the 1.2 s of the delay
        answer.set()
        assert read().endswith("\rbetter\n")


OTHER_COMMANDS = [["models"], ["count", "Hello"], ["files", "list"], ["files", "get", "files/x"]]


@needs_pty
@pytest.mark.parametrize("command", OTHER_COMMANDS[1:3])
def test_other_commands_count_too(command):
    with LocalServer(api_key=KEY, latency=1.5) as server:
        with on_terminal(*command, server=server) as (process, read):
            assert read("waiting\u2026 1 s") == f"\r{DIM}waiting\u2026 1 s"
            assert read().startswith(f"{BRIGHT}\r{' ' * len('waiting. 1 s')}\r")


@needs_pty
@pytest.mark.parametrize("command", OTHER_COMMANDS)
def test_retries_of_other_commands_are_shown(command):
    with LocalServer(api_key=KEY) as gone:
        pass
    with on_terminal(*command, "--base-url", gone.url, "--retries", "1") as (process, read):
        assert "Connection refused" in read("; retrying in ")


def test_a_failure_leaves_no_header(here, server):
    for command in (["models"], ["files", "list"]):
        result = here(*command, server=server, env={"GEMINI_API_KEY": "another-key"})
        assert (result.status, result.out) == (1, "") and len(result.notes) == 1


def test_nothing_is_written_after_the_end(monkeypatch):
    ticks = []
    ticked = threading.Event()

    def tick():
        ticks.append(threading.current_thread().daemon)
        ticked.set()

    ticker = Ticker(tick)
    ticker.start()
    ticker.start()  # which is no second one
    assert ticked.wait(TIMEOUT)
    with ticker.lock:
        ticker.stop()
        count = len(ticks)
    assert set(ticks) == {True}
    for thread in threading.enumerate():
        if thread.daemon and "_run" in thread.name:
            thread.join(TIMEOUT)
    assert len(ticks) == count


@needs_posix
def test_a_closed_stderr_harms_nothing(server):
    with started("stream", "Hello", server=server, preexec_fn=lambda: os.close(2)) as process:
        assert rest_of(process).out == "You said: Hello\n"


# -- how an answer ended ---------------------------------------------------------------

CUT_OFF = "answer cut off at the token limit (MAX_TOKENS); raise --max-tokens"


def test_an_answer_at_the_token_limit(here, server):
    for args, status, line in (([], 0, CUT_OFF), (["--strict"], 4, "the answer ended early: MAX_TOKENS")):
        server.queue(Answer.text("some", finish="MAX_TOKENS"))
        result = here("stream", *args, "Hello", server=server)
        assert (result.status, result.out, result.notes) == (status, "some\n", [line])
        server.queue(Answer.text("some", finish="MAX_TOKENS"))
        result = here("chat", *args, server=server, stdin=b"Hello\n")
        assert (result.status, result.out, result.notes) == (status, "some\n", [line])


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_empty_answer(here, server, form):
    thought = {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}, {"text": ""}]}}]}
    server.queue(Answer(chunks=[thought, {"candidates": [{"finishReason": "STOP"}]}]))
    result = here("stream", *form, "Hello", server=server)
    assert (result.status, result.notes) == (0, ["the answer is empty (STOP)"])


def test_an_empty_answer_in_a_chat(here, server):
    server.queue(Answer(chunks=[{"candidates": [{"finishReason": "STOP"}]}]))
    result = here("chat", server=server, stdin=b"Hello\n")
    assert result.notes == [
        "the answer is empty (STOP)",
        "the message is not recorded; /retry sends it again",
    ]


def test_a_batch_counts_how_answers_ended(here, server, tmp_path):
    prompts, output = tmp_path / "prompts", tmp_path / "results"
    prompts.write_text('"cut"\n"empty"\n"good"\n')
    answers = {
        "cut": Answer.text("some", finish="MAX_TOKENS"),
        "empty": Answer(chunks=[{"candidates": [{"finishReason": "STOP"}]}]),
    }
    server.answer_with(lambda request: answers.get(request.json["contents"][0]["parts"][0]["text"]))
    result = here("batch", prompts, "-o", output, server=server)
    assert result.status == 0
    assert result.notes[-1].startswith("3 of 3 done, 0 failed, 1 cut off at the token limit, 1 empty, ")
    output.unlink()
    result = here("batch", prompts, "-o", output, "--strict", server=server)
    assert result.status == 1 and "MAX_TOKENS" in result.notes[0]


def with_sources():
    web = [{"web": {"uri": f"https://{name}.example/", "title": f"{name}.example"}} for name in "ab"]
    metadata = [{"groundingChunks": web}, {"groundingChunks": [web[1], {"web": {"title": "c\x1b[2J"}}]}]
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": "Noon."}]}, "groundingMetadata": metadata[0]}]},
        {"candidates": [{"finishReason": "STOP", "groundingMetadata": metadata[1]}]},
    ]
    return Answer(chunks=chunks)


SOURCES = ["[1] a.example: https://a.example/", "[2] b.example: https://b.example/", "[3] c\u241b[2J"]


def test_sources_go_to_stderr_beside_a_pipe(here, server):
    server.queue(with_sources(), with_sources())
    result = here("stream", "--search", "When?", server=server)
    assert (result.status, result.out, result.notes) == (0, "Noon.\n", SOURCES)
    assert here("stream", "--json", "When?", server=server).err == ""


@needs_pty
def test_sources_are_footnotes_on_a_terminal(server):
    server.queue(with_sources())
    with on_terminal("stream", "When?", server=server, env={"NO_COLOR": "1"}) as (process, read):
        assert read() == "\n".join(["Noon.", "", *SOURCES, ""])


# -- a batch that waits -----------------------------------------------------------------


@needs_pty
def test_a_batch_says_when_it_resumes(server, tmp_path):
    prompts = tmp_path / "prompts"
    prompts.write_text('"one"\n"two"\n')
    server.queue(Answer.failure(429, retry_info="2s"))
    args = ["batch", prompts, "-o", tmp_path / "results", "--workers", "1", "--retries", "1"]
    with on_terminal(*args, server=server) as (process, read):
        text = read("resuming in 1 s")
        assert "geministream: 429 rate limit (Scripted: RESOURCE_EXHAUSTED.); resuming in 2 s\n" in text
        assert "0 of 2 done, 0 failed, 0.0/s, 0 tokens, rate limited, resuming in 2 s" in text
        rest = read()
    assert rest.split("\r")[-1].startswith("geministream: 2 of 2 done, 0 failed, ")


def test_the_time_left_is_honest(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("geministream.cli.progress.time.monotonic", lambda: now[0])
    progress = batch_progress.Progress(100, 0, 0)
    for _ in range(10):  # one a second
        now[0] += 1
        progress.one_done()
    assert progress._words() == "10 of 100 done, 0 failed, 1.0/s, 0 tokens, 1:30 left"
    now[0] += 10  # nothing comes
    assert progress._words() == "10 of 100 done, 0 failed, 0.5/s, 0 tokens, 3:00 left"
    closed = RetryEvent(1, 4, 20.0, RateLimitError("slow down"), gate="closed")
    progress.on_retry(closed)
    assert progress._words().endswith("0.5/s, 0 tokens, rate limited, resuming in 20 s, 3:20 left")
    now[0] += 5
    assert "resuming in 15 s" in progress._words()
    progress.on_retry(RetryEvent(1, 4, 0.0, closed.error, gate="opened"))
    assert "resuming" not in progress._words()


def test_without_a_terminal_a_line_follows_every_30_seconds(server, tmp_path, monkeypatch, here):
    monkeypatch.setattr(batch_progress, "_QUIET", 0.1)  # and not 30, to be quick
    prompts = tmp_path / "prompts"
    prompts.write_text('"one"\n')
    gate = threading.Event()
    server.answer_with(lambda request: Answer(wait=gate))
    notes = []
    monkeypatch.setattr(
        batch_progress, "note", lambda text: (notes.append(text), len(notes) == 2 and gate.set())
    )
    assert here("batch", prompts, "-o", tmp_path / "results", server=server).status == 0
    assert notes[:2] == ["0 of 1 done, 0 failed, 0.0/s, 0 tokens"] * 2
