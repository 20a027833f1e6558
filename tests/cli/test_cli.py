"""The command line: ``stream``, ``serve``, and what holds for every command."""

import base64
import json
import os
import re
import shlex
import signal
import socket
import subprocess
from contextlib import ExitStack
from functools import partial

import pytest
from support import program
from support.memory import TracedMemory
from support.program import KEY, TIMEOUT, gated, needs_posix, needs_pty, on_terminal, rest_of, run, started

import geministream
from geministream import GenerateContentResponse
from geministream.cli.answer import Answer as Shown
from geministream.cli.serve import how_to_ask
from geministream.cli.terminal import json_line
from geministream.testing import Answer, LocalServer
from geministream.testing.profiles import PROFILES

here, server = program.here, program.server


# -- the first minute ------------------------------------------------------------


def test_offline_needs_no_key_and_no_network():
    dead = "http://127.0.0.1:9"  # nothing may go to a proxy
    result = run(
        "stream",
        "--offline",
        "Tell me a story",
        env={"GEMINI_API_KEY": None, "http_proxy": dead, "HTTP_PROXY": dead, "GOOGLE_GEMINI_BASE_URL": dead},
    )
    assert (result.status, result.out) == (0, "You said: Tell me a story\n")
    (line,) = result.notes
    assert "test server" in line and "not a model" in line


def test_offline_streams():
    words = " ".join(["word"] * 60)  # 21 pieces, half a second
    with started("stream", "--offline", words) as process:
        first = os.read(process.stdout.fileno(), 65536)
        assert first.startswith(b"You said: word")
        assert len(first) < len(words)
        assert rest_of(process, first).out == f"You said: {words}\n"


def test_the_first_piece_is_printed_before_the_last_is_sent(server):
    gate, answer = gated("first ", "last")
    server.queue(answer)
    with started("stream", "Hello", server=server) as process:
        assert os.read(process.stdout.fileno(), 100) == b"first "
        assert not gate.is_set() and process.poll() is None
        gate.set()
        result = rest_of(process, b"first ")
    assert (result.status, result.out, result.err) == (0, "first last\n", "")


def test_version_and_help():
    result = run("--version")
    assert (result.status, result.out.strip(), result.err) == (
        0,
        f"geministream {geministream.__version__}",
        "",
    )
    result = run("stream", "--help")
    assert result.status == 0 and "GEMINI_API_KEY" in result.out and "130 Ctrl-C" in result.out


# -- what is asked ---------------------------------------------------------------


def test_every_option_of_the_model_arrives(here, server):
    result = here(
        "stream",
        "Write",
        "-m",
        "gemini-x",
        "a poem",
        "-s",
        "Be brief",
        "--temperature",
        "0.5",
        "--top-p",
        "0.25",
        "--max-tokens",
        "100",
        "--thoughts",
        "--",
        "-f",
        "no option",
        server=server,
    )
    assert result.status == 0
    (request,) = server.requests
    assert request.model == "gemini-x" and request.query == {"alt": "sse"}
    assert request.headers["x-goog-api-key"] == KEY
    assert request.json == {
        "contents": [{"role": "user", "parts": [{"text": "Write a poem -f no option"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.25,
            "maxOutputTokens": 100,
            "thinkingConfig": {"includeThoughts": True},
        },
    }


def test_files_stand_before_the_prompt(server, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / "Makefile").write_text("all:\n\techo \u00e9\n", encoding="utf-8")
    (tmp_path / "blob.xyz-data").write_bytes(b"\0\1\2")
    result = run(
        "stream",
        "-f",
        "photo.png",
        "--file",
        "gs://bucket/film.mp4",
        "-f",
        "Makefile",
        "What?",
        server=server,
        cwd=tmp_path,
    )
    assert result.status == 0
    parts = server.requests[0].json["contents"][0]["parts"]
    assert [part.get("inlineData", {}).get("mimeType") for part in parts] == [
        "image/png",
        None,
        "text/plain",
        None,
    ]
    assert parts[1] == {"fileData": {"fileUri": "gs://bucket/film.mp4", "mimeType": "video/mp4"}}
    assert parts[3] == {"text": "What?"}

    result = run("stream", "-f", tmp_path / "blob.xyz-data", "What?", server=server)
    assert result.status == 2 and "--mime-type" in result.notes[0]
    result = run("stream", "-f", tmp_path / "blob.xyz-data", "--mime-type", "image/png", server=server)
    assert (result.status, len(server.requests)) == (0, 2)


@pytest.mark.parametrize(
    "auth, query, header",
    [
        ("query", KEY, {}),
        ("bearer", None, {"authorization": f"Bearer {KEY}"}),
        ("query, bearer", KEY, {"authorization": f"Bearer {KEY}"}),
        ("none", None, {}),
    ],
)
def test_auth_and_framing_and_version(here, server, auth, query, header):
    here("stream", "--auth", auth, "--alt", "json", "--api-version", "v1", "Hello", server=server)
    (request,) = server.requests
    assert request.path == "/v1/models/gemini-flash-latest:streamGenerateContent"
    assert request.query == ({"key": query} if query else {})
    sent = {name: request.headers.get(name) for name in ("authorization", "x-goog-api-key")}
    assert {name: value for name, value in sent.items() if value is not None} == header


def test_auth_none_needs_no_key():
    with LocalServer(profile="bifrost") as server:
        result = run(
            "stream",
            "--auth",
            "none",
            "Hello",
            env={"GEMINI_API_KEY": None, "GOOGLE_GEMINI_BASE_URL": server.url + "/genai"},
        )
    assert (result.status, result.out, result.err) == (0, "You said: Hello\n", "")


@pytest.mark.parametrize(
    "words, stdin, asked",
    [
        ([], b"from a pipe\n", "from a pipe"),
        (["Sum", "up:"], "\u00e9tude\r\n".encode(), "Sum up:\n\n\u00e9tude"),
        (["Sum up:"], b"\xef\xbb\xbfwith a BOM", "Sum up:\n\nwith a BOM"),
        (["Sum up:"], "Windows".encode("utf-16"), "Sum up:\n\nWindows"),
        (["Alone"], b"\n", "Alone"),
    ],
)
def test_what_is_piped_in_is_added(here, server, words, stdin, asked):
    assert here("stream", *words, server=server, stdin=stdin).status == 0
    assert server.requests[0].json["contents"][0]["parts"] == [{"text": asked}]


@needs_posix
@pytest.mark.parametrize("how", ["/dev/null", "closed"])
def test_an_empty_stdin_is_no_prompt(server, how):
    stdin = subprocess.DEVNULL if how == "/dev/null" else None
    preexec = (lambda: os.close(0)) if how == "closed" else None
    with started("stream", "Hello", server=server, stdin=stdin, preexec_fn=preexec) as process:
        assert rest_of(process).out == "You said: Hello\n"
    with started("stream", server=server, stdin=stdin, preexec_fn=preexec) as process:
        result = rest_of(process)
    assert result.status == 2 and "nothing to send" in result.notes[0]


@needs_posix
def test_a_silent_pipe_is_waited_for_and_the_person_is_told(server):
    with started("stream", "Hello", server=server, stdin=subprocess.PIPE) as process:
        assert b"waiting for standard input" in process.stderr.readline()
        process.stdin.write(b"at last")
        process.stdin.close()
        assert rest_of(process).out == "You said: Hello\n\nat last\n"


def test_what_is_no_text_is_no_prompt(here, server):
    result = here("stream", "Look", server=server, stdin=b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert (result.status, len(server.requests)) == (2, 0)
    assert "-f" in result.notes[0]
    assert here("stream", server=server, stdin=b"BM\x16\0\0\0").status == 2


# -- how it ends -----------------------------------------------------------------

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
def test_a_key_in_clear_text_is_told_in_one_line(here):
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
def test_bad_values_are_no_bugs(here, server, tmp_path, monkeypatch, command, options):
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
def test_bad_values_in_a_chat_are_no_bugs(here, server, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    for value in _BAD:
        stdin = line.format(value).encode("utf-8", "surrogatepass") + b"\n"
        try:
            stdin.decode()
        except UnicodeDecodeError:
            continue  # standard input would not hold it either
        result = here("chat", server=server, stdin=stdin)
        assert not [note for note in result.notes if "bug" in note], stdin


def test_a_bug_is_told_in_one_line(here, monkeypatch):
    monkeypatch.setattr("geministream.cli.stream.run", lambda args: {}[f"wrong\n{KEY}"])
    result = here("stream", "Hello")
    assert result.status == 1
    assert "bug" in result.notes[0] and "***" in result.notes[0] and "test_cli.py" in result.notes[0]


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


# -- what is printed -------------------------------------------------------------

ODD = 'line\u2028end\x85\u2029 \x0b\x0c \u00e9\U0001f600 \x1b[31m \ud83d "q" \\'


def test_json_lines_are_the_chunks(server):
    texts = ["one\n", "two", ODD, "\u4f60\u597d"]
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": text, "newField": {"a": [None]}}]}}]}
        for text in texts
    ]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    server.queue(Answer(chunks=chunks))
    result = run("stream", "--json", "--usage", "Hello", server=server, env={"PYTHONIOENCODING": "latin-1"})
    assert (result.status, result.err) == (0, "")
    lines = result.raw.decode("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == chunks
    assert [GenerateContentResponse.from_dict(json.loads(line)).text for line in lines] == texts


def test_json_line_is_one_line():
    line = json_line({"text": ODD})
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line) == {"text": ODD}


@pytest.mark.parametrize(
    "encoding, printed", [("utf-8", "na\u00efve \u4f60 \\ud83d\n"), ("ascii", "na\\xefve \\u4f60 \\ud83d\n")]
)
def test_text_that_the_encoding_cannot_show(server, encoding, printed):
    server.queue(Answer.text("na\u00efve \u4f60 \ud83d"))
    result = run("stream", "Hello", server=server, env={"PYTHONIOENCODING": encoding})
    assert (result.status, result.out) == (0, printed)


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "integer"}}}


def test_schema(here, server, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    result = here("stream", "--schema", path, "How many?", server=server)
    assert (result.status, json.loads(result.out)) == (0, {"name": "name", "count": 1})
    assert server.requests[0].json["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    # Half a JSON text is no answer.
    result = here("stream", "--schema", path, "--max-tokens", "1", "How many?", server=server)
    assert result.status == 4 and "MAX_TOKENS" in result.notes[0]


@pytest.mark.parametrize(
    "text, words", [("{", "not valid JSON"), ("[1]", "not a JSON schema"), (None, "No such file")]
)
def test_a_schema_that_is_none(here, server, tmp_path, text, words):
    path = tmp_path / "schema.json"
    if text is not None:
        path.write_text(text)
    result = here("stream", "--schema", path, "Hello", server=server)
    assert (result.status, server.requests) == (2, [])
    assert words in result.notes[0]


def media(*blobs):
    parts = [
        {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}
        for mime_type, data in blobs
    ]
    return [
        {
            "candidates": [
                {"content": {"parts": [{"text": "Here: "}, *parts, {"text": "end"}]}, "finishReason": "STOP"}
            ]
        }
    ]


def test_save_media(here, server, tmp_path):
    blobs = [
        ("image/png", b"PNG"),
        ("image/png", b"PNG2"),
        ("audio/L16;rate=24000", b"PCM"),
        ("../../x/../y", b"?"),
    ]
    into = tmp_path / "new" / "media"
    server.queue(Answer(chunks=media(*blobs)), Answer(chunks=media(*blobs[:1])))
    result = here("stream", "--save-media", into, "Draw", server=server)
    names = ["image-1.png", "image-2.png", "audio-1.pcm", "data-1.bin"]
    lines = ["Here: ", *(str(into / name) for name in names), "end"]
    assert (result.status, result.out, result.err) == (0, "\n".join(lines) + "\n", "")
    assert [(into / name).read_bytes() for name in names] == [data for _, data in blobs]

    result = here("stream", "--save-media", into, "--json", "Draw", server=server)
    assert result.notes == [f"saved {into / 'image-3.png'}"]
    assert (into / "image-3.png").read_bytes() == b"PNG"
    assert [json.loads(line) for line in result.out.splitlines()] == media(blobs[0])


@needs_posix
def test_half_an_image_does_not_stay(server, tmp_path):
    import resource

    server.queue(Answer(chunks=media(("image/png", b"PNG" * 1000))))
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, 1000))
    with started("stream", "--save-media", tmp_path, "Draw", server=server, preexec_fn=limit) as process:
        result = rest_of(process)
    assert result.status == 1 and result.notes == [f"{tmp_path / 'image-1.png'}: File too large"]
    assert list(tmp_path.iterdir()) == []


def test_media_that_cannot_be_saved(here, server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    result = here("stream", "--save-media", tmp_path / "file", "Draw", server=server)
    assert (result.status, server.requests) == (2, [])
    server.queue(Answer(chunks=media(("image/png", b"PNG"))))
    result = here("stream", "Draw", server=server)
    assert (result.status, result.out) == (0, "Here: end\n")
    assert "--save-media" in result.notes[0]
    chunks = media(("image/png", b"PNG"))
    chunks[0]["candidates"][0]["content"]["parts"][1]["inlineData"]["data"] = "no base64!"
    server.queue(Answer(chunks=chunks))
    result = here("stream", "--save-media", tmp_path, "Draw", server=server)
    assert result.status == 0 and "not valid base64" in result.notes[0]


def test_a_pipe_gets_the_text_as_it_is(here, server):
    server.queue(Answer.text("\x1b[31mred\x07"))
    assert here("stream", "Hello", server=server).out == "\x1b[31mred\x07\n"


def test_thoughts_go_to_stderr_when_the_answer_goes_to_a_file(server):
    result = run("stream", "--thoughts", "Hello", server=server)
    assert (result.status, result.out) == (0, "You said: Hello\n")
    assert result.err == "**Reading the prompt**\n\nIt has 1 tokens in 1 parts.\n"


def test_usage(here, server):
    result = here("stream", "--usage", "Hello there", server=server)
    assert result.notes == ["2 prompt + 4 answer = 6 tokens, STOP, gemini-flash-latest"]
    server.queue(Answer.text("some ", finish=None))
    result = here("stream", "--usage", "Hello there", server=server)
    assert result.notes[0] == "1 prompt + 1 answer = 2 tokens, scripted"
    assert result.status == 4 and "finish reason" in result.notes[1]


def test_usage_of_an_answer_over_several_requests(here):
    with LocalServer(api_key=KEY, tokens_per_request=3) as server:
        result = here("stream", "--usage", "a b c d", server=server)
        assert result.out == "You said: a b c d\n" and server.request_count == 2
    assert result.notes == [
        "11 prompt + 6 answer = 17 tokens, in 2 requests "
        "(4 prompt + 3 answer = 7 tokens; 7 prompt + 3 answer = 10 tokens), STOP, gemini-flash-latest"
    ]


def test_a_long_answer_is_not_kept():
    piece = {
        "candidates": [{"content": {"parts": [{"text": "x" * 10000}]}}],
        "usageMetadata": {"totalTokenCount": 1},
    }
    chunks = (GenerateContentResponse.from_dict(json.loads(json.dumps(piece))) for _ in range(1000))
    answer = Shown(usage=True)
    answer.show(next(chunks))  # makes what is kept for all chunks
    with TracedMemory() as memory:
        for chunk in chunks:
            answer.show(chunk)
    assert memory.peak < 2**20
    assert answer.usage == "1 tokens"


def test_what_is_no_text_is_mentioned(here, server):
    server.queue(Answer.call("look_up", {"word": "x"}))
    result = here("stream", "Hello", server=server)
    assert (result.status, result.out) == (0, "")
    assert result.notes == ["the answer contains functionCall, which is not shown; stream --json shows it"]


# -- on a terminal ---------------------------------------------------------------


@needs_pty
def test_thoughts_are_dimmed_on_a_terminal(server):
    thought = {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}]}
    server.queue(
        Answer(chunks=[thought, thought, "Yes"]),
        Answer(chunks=[thought, "Yes"]),
        Answer(chunks=[thought, "Yes"]),
    )
    with on_terminal("stream", "--thoughts", "Hello", server=server) as (process, read):
        assert read() == "\x1b[2mHm\x1b[22m\x1b[2mHm\x1b[22m\n\nYes\n"
    with on_terminal("stream", "--thoughts", "Hello", server=server, env={"NO_COLOR": "1"}) as (
        process,
        read,
    ):
        assert read() == "Hm\n\nYes\n"
    with on_terminal("stream", "Hello", server=server) as (process, read):
        assert read() == "Yes\n"


@needs_pty
def test_a_terminal_is_not_steered_by_the_answer(server):
    server.queue(Answer.text("a\x1b]52;c;ZXZpbA==\x07b\r\n\tc\x9b2J\x7f"))
    with on_terminal("stream", "Hello", server=server) as (process, read):
        assert read() == "a\u241b]52;c;ZXZpbA==\u2407b\n\tc\ufffd2J\u2421\n"


@needs_pty
def test_a_person_is_told_that_it_tries_again(server):
    server.queue(Answer.failure(503, retry_info="0.01s"), Answer.text("better"))
    with on_terminal("stream", "--retries", "1", "Hello", server=server) as (process, read):
        text = read()
    told = r"geministream: 503 UNAVAILABLE \(Scripted: UNAVAILABLE\.\); retrying in (0\.\d|1) s \(2 of 2\)\nbetter\n"
    assert re.fullmatch(told, text)


@needs_pty
def test_a_person_is_told_that_it_resumed():
    words = "one two three four five six seven eight nine ten"
    with LocalServer(api_key=KEY, checkpoint_every=1, faults=[Answer(stop_after=-20)]) as server:
        with on_terminal("stream", words, "--retries", "1", server=server) as (process, read):
            assert read() == (f"You said: {words}\ngeministream: the answer was interrupted and resumed\n")


# -- serve -----------------------------------------------------------------------


@needs_posix
def test_serve():
    with started("serve") as process:
        first = process.stdout.readline().decode()
        example = process.stdout.readline().decode()
        url = first.split(" listens at ")[1].split(";")[0]
        assert (
            "no model" in first
            and f"GOOGLE_API_KEY=local-key geministream stream --base-url {url}" in example
        )
        result = run("stream", "--base-url", url, "Hello", env={"GOOGLE_API_KEY": "local-key"})
        assert (result.status, result.out) == (0, "You said: Hello\n")
        line = process.stdout.readline().decode()
        assert line.startswith("POST /v1beta/models/gemini-flash-latest:streamGenerateContent 200, ")
        process.send_signal(signal.SIGINT)
        assert (process.wait(TIMEOUT), process.stderr.read()) == (130, b"")


@needs_pty
@pytest.mark.parametrize("stdout_is_terminal", [True, False])
def test_serve_is_not_steered_by_a_path(stdout_is_terminal):
    """Any web page can make a browser send such a request."""
    path = b"/%1b]52;c;eA==%07%c2%9b31m%7f%0d%0aPOST%20/forged%e2%80%ae"

    def get(url):
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as client:
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while client.recv(4096):
                pass

    if stdout_is_terminal:
        with on_terminal("serve") as (process, read):
            get(read(";").split(" listens at ")[1][:-1])
            read("GET ")
            line = read("\n")
    else:
        with started("serve") as process:
            get(process.stdout.readline().decode().split(" listens at ")[1].split(";")[0])
            process.stdout.readline()
            line = process.stdout.readline().decode()
    assert "]52;c;eA==" in line and "forged" in line and line.endswith(" bytes\n")
    assert not set(line) & set("\x1b\x07\x9b\x7f\r\u202e")


@pytest.mark.parametrize(
    "option, value",
    [
        ("port", "-1"),
        ("port", "99999"),
        ("port", "9" * 99),
        ("port", "x"),
        ("host", "a\0b"),
        ("host", "\ud800"),
        ("host", ""),
        ("host", "a b"),
        ("piece-delay", "nan"),
        ("piece-delay", "inf"),
        ("piece-delay", "-1"),
        ("profile", "x"),
        ("api-key", ""),
    ],
)
def test_bad_values_for_serve(here, option, value):
    result = here("serve", f"--{option}={value}")
    assert result.status == 2 and len(result.notes) == 1 and "bug" not in result.notes[0]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_example_of_serve_works(here, profile):
    with LocalServer(profile=profile) as server:
        key, *args = shlex.split(how_to_ask(server).splitlines()[1])
        assert args.pop(0) == "geministream"
        name, _, value = key.partition("=")
        result = here(*args, env={"GEMINI_API_KEY": None, name: value})
    assert (result.status, result.out, result.err) == (0, "You said: Hello there\n", "")


def test_serve_at_a_port_that_is_taken(server):
    result = run("serve", "--port", server.port)
    assert result.status == 1 and len(result.notes) == 1
