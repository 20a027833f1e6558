"""``geministream stream``: the first minute, and what is asked."""

import os
import subprocess

import pytest
from support.program import KEY, gated, needs_posix, rest_of, run, started

import geministream
from geministream.testing import LocalServer


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
def test_an_empty_stdin_is_not_a_prompt(server, how):
    stdin = subprocess.DEVNULL if how == "/dev/null" else None
    preexec = (lambda: os.close(0)) if how == "closed" else None
    with started("stream", "Hello", server=server, stdin=stdin, preexec_fn=preexec) as process:
        assert rest_of(process).out == "You said: Hello\n"
    with started("stream", server=server, stdin=stdin, preexec_fn=preexec) as process:
        result = rest_of(process)
    assert result.status == 2 and "nothing to send" in result.notes[0]


@needs_posix
def test_a_silent_pipe_is_waited_for_with_a_message(server):
    with started("stream", "Hello", server=server, stdin=subprocess.PIPE) as process:
        assert b"waiting for standard input" in process.stderr.readline()
        process.stdin.write(b"at last")
        process.stdin.close()
        assert rest_of(process).out == "You said: Hello\n\nat last\n"


def test_stdin_that_is_not_text_is_not_a_prompt(here, server):
    result = here("stream", "Look", server=server, stdin=b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert (result.status, len(server.requests)) == (2, 0)
    assert "-f" in result.notes[0]
    assert here("stream", server=server, stdin=b"BM\x16\0\0\0").status == 2
