"""How a command ends: its exit status, errors in one line, Ctrl-C, closed pipes."""

import os
import signal
from contextlib import ExitStack

import pytest
from support.program import KEY, TIMEOUT, gated, needs_posix, rest_of, run, started

from geministream.testing import Answer, LocalServer

ENDINGS = {
    # the answer, the status, what is printed, what the last line on stderr holds
    "done": (Answer.text("all ", "good\n"), 0, "all good\n", None),
    "cut off by the token limit": (Answer.text("a", finish="MAX_TOKENS"), 0, "a\n", "MAX_TOKENS"),
    "wrong request": (Answer.failure(400, "No such\n field."), 1, "", "400 INVALID_ARGUMENT: No such field."),
    "wrong key": (Answer.failure(401, f"The key {KEY} is unknown"), 1, "", "The key *** is unknown"),
    "wrong model": (Answer.failure(404, "is not found"), 1, "", "404 NOT_FOUND: is not found"),
    "server error": (Answer.failure(500, "oops"), 1, "", "500 INTERNAL: oops"),
    "HTML of a proxy": (
        Answer(status=502, body=b"<html><h1>Bad\nGateway</h1>\x1b[2J</html>", content_type="text/html"),
        1,
        "",
        "502: Bad Gateway \u241b[2J",
    ),
    "error in the stream": (
        Answer(chunks=["some "], stream_error=(400, "INVALID_ARGUMENT", "no\u2028more")),
        1,
        "some \n",
        "no more",
    ),
    "no answer at all": (Answer.nothing("drop"), 1, "", "no answer from"),
    "garbage": (Answer.garbage(), 1, "", ""),
    "blocked prompt": (Answer.blocked("SAFETY"), 3, "", "the prompt was blocked: SAFETY"),
    "blocked answer": (Answer.text("some ", "text", finish="RECITATION"), 3, "some text\n", "RECITATION"),
    "cut": (Answer.text("some ", "text", stop_after=-20), 4, "some \n", "in the middle of an event"),
    "dropped": (Answer.text("some ", "text", stop_after=-3, stop_how="reset"), 4, "some text\n", "broke"),
    "no finish reason": (Answer.text("some ", finish=None), 4, "some \n", "finish reason"),
    "empty": (Answer(body=b""), 4, "", "ended without"),
    "given up": (Answer.text("some ", finish="MALFORMED_RESPONSE"), 4, "some \n", "MALFORMED_RESPONSE"),
    "a finish reason of tomorrow": (Answer.text("some ", finish="TOOL_CALLS"), 0, "some \n", None),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_exit_status(here, server, name):
    answer, status, out, last = ENDINGS[name]
    server.queue(answer)
    result = here("stream", "Hello", server=server)
    assert (result.status, result.out) == (status, out)
    if last is None:
        assert result.err == ""
    else:
        assert len(result.notes) == 1
        assert last in result.notes[0]


def test_the_last_line_says_what_to_do(here, server):
    server.queue(Answer.text("some ", "text", stop_after=-20), Answer.failure(404, "is not found"))
    [cut] = here("stream", "Hello", server=server).notes
    assert cut.endswith("; the answer is truncated, run the command again")
    [wrong_model] = here("stream", "Hello", server=server).notes
    assert "geministream models lists the models" in wrong_model
    assert "list_models()" not in wrong_model


def test_exit_status_of_the_process(server):
    """As the operating system gets it; all at once, to be quick."""
    by_model = {
        "done": (Answer.text("x"), 0),
        "failed": (Answer.failure(500), 1),
        "blocked": (Answer.blocked(), 3),
        "cut": (Answer.text("x", finish=None), 4),
    }
    server.answer_with(lambda request: by_model[request.model][0])
    with ExitStack() as stack:
        processes = {
            model: stack.enter_context(started("stream", "-m", model, "Hello", server=server))
            for model in by_model
        }
        usage = stack.enter_context(started("stream"))
        assert {model: rest_of(process).status for model, process in processes.items()} == {
            model: status for model, (_, status) in by_model.items()
        }
        assert rest_of(usage).status == 2


def test_silence_is_1_before_the_answer_and_4_in_it(here, server):
    server.queue(Answer.text("some ", stop_in_head=0, stop_how="stall"))
    assert here("stream", "--timeout", "0.2", "Hello", server=server).status == 1
    server.queue(Answer.text("some ", "text", stop_after=-5, stop_how="stall"))
    result = here("stream", "--timeout", "0.2", "Hello", server=server)
    assert (result.status, result.out) == (4, "some \n")
    assert "set --timeout" in result.notes[0]
    gate, answer = gated("some ", "text")
    server.queue(answer)
    result = here("stream", "--deadline", "0.5", "Hello", server=server)
    assert (result.status, result.out) == (4, "some \n")
    assert "deadline" in result.notes[0]
    gate.set()


def test_unreachable_server(here):
    with LocalServer() as gone:
        pass
    result = here("stream", "--auth", "query", "Hello", server=gone)
    assert (result.status, result.out) == (1, "")
    assert gone.url[len("http://") :] in result.notes[0]


def test_retries(here, server, sleeps):
    server.queue(Answer.failure(503, retry_info="0.01s"), Answer.text("better"))
    result = here("stream", "--retries", "1", "Hello", server=server)
    assert (result.status, result.out, result.err, len(sleeps)) == (0, "better\n", "", 1)


@pytest.mark.parametrize(
    "args, words",
    [
        ([], "COMMAND"),
        (["strem"], "strem"),
        (["stream", "--colour", "Hello"], "--colour"),
        (["stream", "--temperature", "hot", "Hello"], "--temperature"),
        (["stream", "--temperature", "nan", "Hello"], "--temperature must be a number, got nan"),
        (["stream", "--alt", "xml", "Hello"], "xml"),
        (["stream", "--auth", "cookie", "Hello"], "header"),
        (["stream", "--timeout", "-1", "Hello"], "timeout"),
        (["stream", "--retries", "-2", "Hello"], "--retries must be an integer >= 0, got -2"),
        (["stream", "--base-url", "localhost:8000", "Hello"], "http://"),
        (["stream", "--base-url", f"http://x/?key={KEY}", "Hello"], "query"),
        (["stream", "--model", "a model", "Hello"], "model is not a valid name"),
        (["stream", "--offline", "--auth", "query", "Hello"], "--offline"),
        (["stream", "-f", "no/such/file.png", "Hello"], "No such file"),
        (["stream", "-f", ".", "Hello"], "directory"),
        (["stream", "  "], "nothing to send"),
        (["serve", "--profile", "azure"], "azure"),
    ],
)
def test_usage_errors(here, args, words):
    result = here(*args)
    assert (result.status, result.out) == (2, "")
    assert len(result.notes) == 1 and words in result.notes[0]


def test_no_key(server):
    result = run("stream", "Hello", server=server, env={"GEMINI_API_KEY": None})
    assert (result.status, server.requests) == (2, [])
    assert "GEMINI_API_KEY" in result.notes[0] and "--auth none" in result.notes[0]


@pytest.mark.filterwarnings("default")
def test_a_key_in_clear_text_is_reported_in_one_line(here):
    result = here("stream", "--base-url", "http://gateway.invalid", "--retries", "0", "Hello")
    assert result.status == 1
    assert [("clear text" in line) for line in result.notes] == [True, False]


_BAD = [
    "",
    " ",
    "nan",
    "inf",
    "-1",
    "9" * 400,
    "\ud800",
    "\udc80",
    "a\0b",
    "http://[",
    "gone",
    ".",
    "bin",
    "deep",
    "list",
]


_OPTIONS = [
    "--model",
    "--system",
    "--temperature",
    "--top-p",
    "--max-tokens",
    "--schema",
    "--deadline",
    "--base-url",
    "--api-version",
    "--auth",
    "--upload-protocol",
    "--timeout",
    "--retries",
]


@pytest.mark.parametrize(
    "command, options",
    [
        (["stream", "Hi"], ["--file", "--mime-type", "--alt", "--save-media", *_OPTIONS]),
        (["chat"], ["--load", "--save-media"]),
        (["batch", "prompts", "-o", "results"], ["--output", "--workers", "--alt", *_OPTIONS]),
        (["files", "get", "x"], _OPTIONS[7:]),
        (["stream"], None),
        (["batch", "-o", "results"], None),
        (["files", "upload"], None),
        (["files", "get"], None),
        (["files", "delete"], None),
    ],
)
def test_bad_values_are_not_reported_as_bugs(here, server, tmp_path, monkeypatch, command, options):
    """Each option with each of them, or as an argument; some may even work."""
    monkeypatch.chdir(tmp_path)
    for name, data in {
        "bin": bytes(range(256)),
        "deep": b"[" * 10**5,
        "list": b"[1]",
        "prompts": b'"x"\n',
    }.items():
        (tmp_path / name).write_bytes(data)
    for value in _BAD:
        for option in options or ["--"]:
            args = [f"{option}={value}"] if options else ["--", value]
            result = here(*command, *args, server=server, stdin=b"Hi\n")
            assert not [note for note in result.notes if "bug" in note], args
            assert result.status in (0, 1, 2), args


@pytest.mark.parametrize(
    "line", ["/save {}", "/load {}", "/file {}", "/system {}", "/undo {}", "/nosuch{}", "{}"]
)
def test_bad_values_in_a_chat_are_not_reported_as_bugs(here, server, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    for value in _BAD:
        stdin = line.format(value).encode("utf-8", "surrogatepass") + b"\n"
        try:
            stdin.decode()
        except UnicodeDecodeError:
            continue  # standard input would not hold it either
        result = here("chat", server=server, stdin=stdin)
        assert not [note for note in result.notes if "bug" in note], stdin


def test_a_bug_is_reported_in_one_line(here, monkeypatch):
    monkeypatch.setattr("geministream.cli.stream.run", lambda args: {}[f"wrong\n{KEY}"])
    result = here("stream", "Hello")
    assert result.status == 1
    assert "bug" in result.notes[0] and "***" in result.notes[0] and "test_cli_ends.py" in result.notes[0]


@needs_posix
def test_ctrl_c_ends_with_130(server):
    gate, answer = gated("first ", "last")
    server.queue(answer)
    with started("stream", "Hello", server=server) as process:
        first = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        result = rest_of(process, first)
    assert (result.status, result.out, result.err) == (130, "first \n", "")
    assert server.requests[0].finished.wait(TIMEOUT)  # and the connection is closed
    gate.set()


@pytest.mark.parametrize("format", [[], ["--json"]])
def test_a_closed_pipe_ends_quietly(server, format):
    gate, answer = gated("first\n", "more\n", "last\n")
    server.queue(answer)
    with started("stream", *format, "Hello", server=server) as process:
        assert process.stdout.readline()
        process.stdout.close()
        gate.set()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT) == 0


@needs_posix
def test_a_pipe_that_is_closed_before_the_help():
    read, write = os.pipe()
    os.close(read)
    with started("stream", "--help", stdout=write) as process:
        os.close(write)
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error(server):
    with open("/dev/full", "wb") as full, started("stream", "Hello", server=server, stdout=full) as process:
        err = process.stderr.read()
        assert (process.wait(TIMEOUT), err) == (
            1,
            b"geministream: standard output: No space left on device; free some space and try again\n",
        )
