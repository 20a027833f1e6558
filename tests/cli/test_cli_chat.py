"""The command line: ``chat``, at a pseudo-terminal and with piped lines."""

import json
import os
import select
import signal
import stat
import subprocess

import pytest
from support.program import KEY, TIMEOUT, gated, needs_posix, needs_pty, on_terminal, rest_of, started

from geministream.cli.disk import replacing
from geministream.cli.lines import read_message
from geministream.depth import DEEPEST
from geministream.testing import Answer, LocalServer


def texts(request):
    """What a request says: the role and the texts of each content."""
    return [
        (content["role"], *(part.get("text") for part in content["parts"]))
        for content in request.json["contents"]
    ]


# -- piped lines -----------------------------------------------------------------


def test_a_conversation(here, server):
    server.queue("Hi!", "Two.", "Three.")
    result = here("chat", "-s", "Be brief", "--usage", server=server, stdin=b"Hello\n\n1+1?\nand 1+2?")
    assert (result.status, result.out) == (0, "Hi!\nTwo.\nThree.\n")
    assert result.notes == ["1 prompt + 1 answer = 2 tokens, STOP, scripted"] * 3
    assert texts(server.requests[2]) == [
        ("user", "Hello"),
        ("model", "Hi!"),
        ("user", "1+1?"),
        ("model", "Two."),
        ("user", "and 1+2?"),
    ]
    assert server.requests[2].json["systemInstruction"] == {"parts": [{"text": "Be brief"}]}
    assert server.connections == 1


def test_offline(here):
    result = here("chat", "--offline", stdin=b"Hello\n", env={"GEMINI_API_KEY": None})
    assert (result.status, result.out) == (0, "You said: Hello\n")
    assert "not a model" in result.notes[0]


def test_messages_of_several_lines(here, server):
    server.queue("a", "b", "c")
    lines = b'one \\\ntwo\n"""\nthree\n\n/four\n"""\n//five\n'
    assert here("chat", server=server, stdin=lines).status == 0
    assert [texts(request)[-1][1] for request in server.requests] == ["one \ntwo", "three\n\n/four", "/five"]


def test_read_message():
    def reader(*lines):
        waiting = list(lines)

        def read(prompt):
            if not waiting:
                raise EOFError
            return waiting.pop(0)

        return read

    assert read_message(reader("/file C:\\", "x")) == "/file C:\\"
    assert read_message(reader("one\\")) == "one"  # the end of the input is the end of the message
    assert read_message(reader('"""', "one")) == "one"
    with pytest.raises(EOFError):
        read_message(reader())


def test_retry_and_undo(here, server):
    server.queue("1", "2", "again 2", "again 1", "3")
    lines = b"one\ntwo\n/retry\n/undo\n/retry\nthree\n/undo\n/undo\n/undo\n"
    result = here("chat", server=server, stdin=lines)
    said = [[text for role, text in texts(request) if role == "user"] for request in server.requests]
    assert said == [["one"], ["one", "two"], ["one", "two"], ["one"], ["one", "three"]]
    assert texts(server.requests[4])[1] == ("model", "again 1")
    assert result.notes == ["removed: two", "removed: three", "removed: one", "there is nothing to undo"]
    assert result.status == 2  # of the last


@needs_pty
def test_a_retry_that_fails_keeps_the_old_answer(server, tmp_path):
    path = tmp_path / "saved.json"
    server.queue("1", Answer.blocked(), "2")
    with on_terminal("chat", server=server) as (process, read):
        for line, answer in (
            ("one", "1\n"),
            ("/retry", "blocked"),
            (f"/save {path}", "saved 2 contents"),
            ("/retry", "2\n"),
        ):
            read("> ")
            type_line(process, line)
            read(answer)
    assert texts_of(path) == ["one", "1"]
    assert texts(server.requests[-1]) == [("user", "one")]


def texts_of(path):
    return [part["text"] for content in json.loads(path.read_text())["contents"] for part in content["parts"]]


def test_save_and_load(here, server, tmp_path):
    path = tmp_path / "my talk.json"
    server.queue("1", "2", "3", "4")
    result = here("chat", "-s", "Be brief", server=server, stdin=f'one\n/save "{path}"\n'.encode())
    assert result.notes == [f"saved 2 contents to {path}"]
    assert os.listdir(tmp_path) == ["my talk.json"]

    here("chat", "--load", path, "-s", "Be long", server=server, stdin=b"four\n")
    assert server.requests[1].json["systemInstruction"] == {"parts": [{"text": "Be long"}]}
    lines = f"two\n/system -\n/save {path}\n/load {path}\nthree\n".encode()
    result = here("chat", "--load", path, server=server, stdin=lines)
    assert result.status == 0
    assert [text for _, text in texts(server.requests[2])] == ["one", "1", "two"]
    assert server.requests[2].json["systemInstruction"] == {"parts": [{"text": "Be brief"}]}
    assert [text for _, text in texts(server.requests[3])] == ["one", "1", "two", "3", "three"]
    assert "systemInstruction" not in server.requests[3].json


def test_only_a_conversation_is_replaced(here, server, tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("Chapter 1")
    result = here("chat", server=server, stdin=f"/save {path}\n".encode())
    assert result.status == 2 and "not a saved conversation" in result.notes[0]
    assert path.read_text() == "Chapter 1"


@needs_posix
def test_a_save_keeps_what_the_file_is(here, server, tmp_path):
    real, path, dangling = tmp_path / "real.json", tmp_path / "talk.json", tmp_path / "new.json"
    path.symlink_to(real)
    dangling.symlink_to(tmp_path / "other.json")
    real.write_text("[]")
    os.chmod(str(real), 0o600)
    lines = f"one\n/save {path}\n/save {dangling}\n".encode()
    umask = os.umask(0o027)
    try:
        assert here("chat", server=server, stdin=lines).status == 0
    finally:
        os.umask(umask)
    assert path.is_symlink() and dangling.is_symlink()
    assert (
        len(json.loads(real.read_text())["contents"])
        == len(json.loads(dangling.read_text())["contents"])
        == 2
    )
    assert [stat.S_IMODE(each.stat().st_mode) for each in (real, dangling)] == [0o600, 0o640]
    assert sorted(os.listdir(str(tmp_path))) == ["new.json", "other.json", "real.json", "talk.json"]


def test_the_deepest_conversation(here, server, tmp_path):
    path, saved = tmp_path / "talk.json", tmp_path / "saved.json"

    def load(levels):  # of the entire file, whose args are on the seventh level
        args = '{"a":' * (levels - 6) + "1" + "}" * (levels - 6)
        call = '{"functionCall": {"name": "f", "args": ' + args + "}}"
        path.write_text('{"contents": [{"role": "model", "parts": [' + call + "]}]}")
        return here("chat", "--load", path, server=server, stdin=f"/save {saved}\n".encode())

    assert load(DEEPEST).status == 0
    assert json.loads(saved.read_text())["contents"] == json.loads(path.read_text())["contents"]
    for levels in (DEEPEST + 1, 10**5):
        result = load(levels)
        assert result.status == 2
        assert result.notes[0].endswith("is not a saved conversation: Nested more than 200 levels deep")


@needs_posix
@pytest.mark.parametrize("path", ["/dev/zero", "."])
def test_only_a_regular_file_is_replaced(here, server, path):
    result = here("chat", server=server, stdin=f"/save {path}\n".encode())
    assert result.status == 2 and "not a regular file" in result.notes[0]


def test_a_file_is_only_replaced_by_a_complete_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(KeyError):
        with replacing(str(path)) as file:
            file.write(b"half")
            raise KeyError
    assert path.read_bytes() == b"before" and os.listdir(str(tmp_path)) == ["file"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"contents": 5}',
        None,
        '"' + "[" * 100000,
        "\xff",
        "5",
        "null",
        "[[]]",
        "[{}]",
        '[{"colour": "red"}]',
        '[{"parts": 5}]',
        '[{"parts": "x"}]',
        '[{"parts": [5]}]',
        '[{"parts": [{"text": 5}]}]',
        '[{"role": 5, "parts": []}]',
        '{"contents": [], "systemInstruction": "x"}',
        '{"contents": [], "systemInstruction": {"parts": "x"}}',
        '{"contents": [], "systemInstruction": {"parts": [5]}}',
        '{"contents": [], "systemInstruction": {"parts": [{"text": 5}]}}',
    ],
)
def test_what_cannot_be_loaded(here, server, tmp_path, text):
    path = tmp_path / "saved.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    result = here("chat", "--load", path, server=server, stdin=b"Hello\n")
    assert (result.status, server.requests) == (2, [])
    assert str(path) in result.notes[0]


def test_files(here, server, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"PNG")
    server.queue("1", "2", "3")
    lines = f"/file {path}\n/file gs://bucket/a.mp4\nWhat?\nAnd?\n/file '{path}'\n/undo\nAnd?\n".encode()
    result = here("chat", server=server, stdin=lines)
    assert result.status == 0
    assert server.requests[2].json["contents"][-1]["parts"] == [{"text": "And?"}]
    assert [next(iter(part)) for part in server.requests[0].json["contents"][0]["parts"]] == [
        "inlineData",
        "fileData",
        "text",
    ]
    assert server.requests[1].json["contents"][-1]["parts"] == [{"text": "And?"}]


def test_media_of_an_answer(here, server, tmp_path):
    chunk = {
        "candidates": [
            {
                "content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "UE5H"}}]},
                "finishReason": "STOP",
            }
        ]
    }
    server.queue(Answer(chunks=[chunk]))
    result = here("chat", "--save-media", tmp_path / "new", server=server, stdin=b"Draw\n")
    assert (result.status, result.out) == (0, f"{tmp_path / 'new' / 'image-1.png'}\n")
    assert (tmp_path / "new" / "image-1.png").read_bytes() == b"PNG"


def test_usage(here, server):
    server.queue("1", "2")
    result = here("chat", server=server, stdin=b"/usage\none\ntwo\n/usage\n")
    assert result.notes == [
        "last answer: not known; total: 0 tokens",
        "last answer: 1 prompt + 1 answer = 2 tokens, STOP, scripted; total: 4 tokens",
    ]


@pytest.mark.parametrize(
    "line, words",
    [
        ("/nope", "/help"),
        ("/file", "path"),
        ("/file no/such.png", "No such file"),
        ("/save", "path"),
        ("/load", "path"),
        ("/retry", "no message"),
    ],
)
def test_wrong_commands(here, server, line, words):
    result = here("chat", server=server, stdin=f"{line}\nnever sent\n".encode())
    assert (result.status, server.requests) == (2, [])
    assert words in result.notes[0]


def test_help_lists_every_command(here, server):
    from geministream.cli.conversation import HELP

    result = here("chat", server=server, stdin=b"/help\n/quit\nnever sent\n")
    assert (result.status, result.out, server.requests) == (0, HELP, [])
    for command in ("/file", "/system", "/save", "/load", "/retry", "/undo", "/usage", "/help"):
        assert command in HELP


def test_a_script_ends_with_the_first_failure(here, server):
    server.queue("1", Answer.text("some ", finish=None), "never")
    result = here("chat", server=server, stdin=b"one\ntwo\nthree\n")
    assert (result.status, result.out) == (4, "1\nsome \n")
    assert server.request_count == 2


def test_no_key(here, server):
    result = here("chat", server=server, stdin=b"Hello\n", env={"GEMINI_API_KEY": None})
    assert (result.status, server.requests) == (2, [])


@needs_posix
def test_ctrl_c_ends_a_script(server):
    gate, answer = gated("first ", "last")
    server.queue(answer)
    with started("chat", server=server, stdin=subprocess.PIPE) as process:
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        first = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        result = rest_of(process, first)
        process.stdin.close()
    gate.set()
    assert (result.status, result.out, result.err) == (130, "first \n", "")


# -- at a terminal ---------------------------------------------------------------


def type_line(process, line):
    os.write(process.terminal, line.encode() + b"\n")


@needs_pty
def test_ctrl_c_stops_the_answer_and_ctrl_d_leaves(server):
    gate, answer = gated("first ", "last")
    server.queue(answer, "whole", "more")
    with on_terminal("chat", server=server) as (process, read):
        assert "/help" in read("> ")
        type_line(process, "Hello")
        read("first ")
        process.send_signal(signal.SIGINT)
        assert "/retry" in read("> ")
        assert server.requests[0].finished.wait(TIMEOUT)
        type_line(process, "/retry")
        read("whole\n")
        read("> ")
        os.write(process.terminal, b"half a li")
        read("i")  # the last of it: PyPy moves the cursor for each
        # At the prompt it forgets the line.  (CPython's readline overlooks a signal that comes
        # in the moment in which it takes a key.)
        process.send_signal(signal.SIGINT)
        while not select.select([process.terminal], [], [], 1)[0]:
            process.send_signal(signal.SIGINT)
        read("> ")
        type_line(process, "More")
        read("more\n")
        read("> ")
        os.write(process.terminal, b"\x04")
        assert process.wait(TIMEOUT) == 0
        read()
    gate.set()
    assert [texts(request) for request in server.requests] == [
        [("user", "Hello")],
        [("user", "Hello")],
        [("user", "Hello"), ("model", "whole"), ("user", "More")],
    ]


@needs_pty
def test_lines_can_be_edited_and_called_back(server):
    server.queue("1", "2")
    with on_terminal("chat", server=server) as (process, read):
        read("> ")
        type_line(process, "Hexlo\x1bOD\x1bOD\x7fl")  # two to the left, rub out, l
        read("1\n")
        read("> ")
        type_line(process, "\x1bOA!")  # the line before
        read("2\n")
        read("> ")
    assert [texts(request)[-1][1] for request in server.requests] == ["Hello", "Hello!"]


@needs_pty
def test_a_failure_does_not_end_it(server):
    server.queue(Answer.failure(500, "oops"), Answer.blocked(), "fine")
    with on_terminal("chat", "--thoughts", server=server) as (process, read):
        for line, answer in (
            ("one", "500 INTERNAL: oops"),
            ("/nope", "unknown command"),
            ("two", "was blocked"),
            ("three", "fine"),
        ):
            read("> ")
            type_line(process, line)
            read(answer)
        read("> ")
        type_line(process, "/quit")
        assert process.wait(TIMEOUT) == 0
    assert texts(server.requests[2]) == [("user", "three")]


@needs_pty
def test_thoughts_are_dimmed(server):
    with on_terminal("chat", "--thoughts", server=server) as (process, read):
        read("> ")
        type_line(process, "Hello")
        assert "\x1b[2m**Reading the prompt" in read("You said: Hello\n")


def test_a_turn_over_several_requests_is_one_turn(here):
    with LocalServer(api_key=KEY, tokens_per_request=3) as server:
        result = here("chat", "--usage", server=server, stdin=b"a b c d\nlast\n")
        assert result.out.startswith("You said: a b c d\n")
        assert ("model", "You said: a b c d") in texts(server.requests[-1])
    assert "in 2 requests" in result.notes[0]
