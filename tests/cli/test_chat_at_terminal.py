"""The command line: ``chat`` as people use it: pastes, Tab, kept lines, the editor, and its commands."""

import json
import os
import stat
import subprocess
import sys

import pytest
from support.program import TIMEOUT, needs_posix, needs_pty, on_terminal, rest_of, started

from geministream.cli.lines import TypedLines

try:
    import readline
except ImportError:  # Windows
    readline = None

needs_gnu_readline = pytest.mark.skipif(
    not hasattr(readline, "set_auto_history") or "libedit" in readline.__doc__,
    reason="libedit and PyPy's readline can do less",
)


def said(request):
    """The texts of a request's contents."""
    return [part.get("text") for content in request.json["contents"] for part in content["parts"]]


def type_line(process, line):
    os.write(process.terminal, line.encode() + b"\n")


def paste(process, text):
    """As a terminal in bracketed paste mode: https://invisible-island.net/xterm/xterm-paste64.html"""
    os.write(process.terminal, b"\x1b[200~" + text.replace("\n", "\r").encode() + b"\x1b[201~")


# -- pastes ----------------------------------------------------------------------------


@needs_pty
@needs_gnu_readline
def test_a_paste_of_several_lines_is_one_message(server):
    server.queue("1", "2")
    with on_terminal("chat", server=server) as (process, read):
        assert "\x1b[?2004h" in read("> ")  # it asks the terminal to mark pastes
        paste(process, "first\n\n  second\n/third\n")
        read("third")
        assert server.request_count == 0  # it waits for Enter
        type_line(process, "")
        read("1\n")
        read("> ")
        paste(process, "/usr/bin\n// a comment")
        type_line(process, "!")
        read("2\n")
    assert said(server.requests[0]) == ["first\n\n  second\n/third"]
    assert said(server.requests[1])[-1] == "/usr/bin\n// a comment!"


@needs_pty
def test_a_paste_into_a_terminal_that_does_not_mark_it(server, tmp_path):
    (tmp_path / "geministream").mkdir()
    (tmp_path / "geministream" / "chat-history").write_text('"kept"\n')
    server.queue("1")
    env = {"TERM": "dumb", "XDG_STATE_HOME": str(tmp_path)}
    with on_terminal("chat", server=server, env=env) as (process, read):
        read("> ")
        os.write(process.terminal, b"first\nsecond\nthird\n")
        read("1\n")
        read("> ")
    assert [said(request) for request in server.requests] == [["first\nsecond\nthird"]]


@needs_pty
def test_a_paste_while_stdout_is_a_pipe(server):
    import pty

    ours, its = pty.openpty()
    server.queue("1")
    try:
        with started("chat", server=server, stdin=its, stdout=subprocess.PIPE) as process:
            assert b"/help" in process.stderr.readline()
            os.write(ours, b"first\nsecond\n\x04")
            result = rest_of(process)
            assert (result.status, result.out) == (0, "> . . 1\n\n")
    finally:
        os.close(ours)
        os.close(its)
    assert [said(request) for request in server.requests] == [["first\nsecond"]]


# -- lines that are kept ------------------------------------------------------------------


@needs_pty
@needs_gnu_readline
def test_lines_are_kept_across_sessions_in_a_private_file(server, tmp_path):
    kept = tmp_path / "geministream" / "chat-history"
    env = {"XDG_STATE_HOME": str(tmp_path)}
    server.queue("1", "2", "3")
    with on_terminal("chat", server=server, env=env) as (process, read):
        read("> ")
        paste(process, "several\nlines")
        type_line(process, "")
        read("1\n")
        read("> ")
        type_line(process, "/quit")
        assert process.wait(TIMEOUT) == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    kept.chmod(0o644)
    with open(str(kept), "a") as file:
        file.write('"cut o')  # by the end of a process
    with on_terminal("chat", server=server, env=env) as (process, read):
        read("> ")
        type_line(process, "\x1b[A\x1b[A!")  # two lines up
        read("2\n")
        read("> ")
    assert said(server.requests[1]) == ["several\nlines!"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = kept.read_bytes()
    with on_terminal("chat", "--no-history", server=server, env=env) as (process, read):
        read("> ")
        type_line(process, "\x1b[Anew")
        read("3\n")
        read("> ")
    assert said(server.requests[2]) == ["new"]
    assert kept.read_bytes() == before


def test_lines_that_something_else_wrote_are_left_out(tmp_path):
    kept = tmp_path / "chat-history"
    kept.write_text('"first"\n5\nnull\n\n' + "[" * 100000 + '\n"\\ud800 \\u0000"\nnot JSON\n"last"\n')
    assert TypedLines([], [], str(kept))._lines_kept() == ["first", "\ud800 \0", "last"]


def test_only_the_last_lines_are_kept(tmp_path):
    kept = tmp_path / "chat-history"
    kept.write_text("".join(json.dumps(str(number)) + "\n" for number in range(2001)))
    lines = TypedLines([], [], str(kept))._lines_kept()
    assert (len(lines), lines[0], lines[-1]) == (1000, "1001", "2000")
    assert len(kept.read_text().splitlines()) == 1000


@needs_pty
def test_a_history_file_that_cannot_be_written_is_reported_once(server, tmp_path):
    (tmp_path / "geministream").write_text("a file where the folder should be")
    server.queue("1", "2")
    with on_terminal("chat", server=server, env={"XDG_STATE_HOME": str(tmp_path)}) as (process, read):
        read("> ")
        type_line(process, "Hello")
        assert "cannot be written" in (told := read("1\n")) and "--no-history" in told
        read("> ")
        type_line(process, "Hello")
        assert "cannot" not in read("2\n")


# -- Tab ------------------------------------------------------------------------------------


@needs_pty
@needs_gnu_readline
def test_tab_completes_commands_and_paths(server, tmp_path):
    (tmp_path / "a photo.png").write_bytes(b"PNG")
    server.queue("1")
    with on_terminal("chat", server=server) as (process, read):
        read("> ")
        os.write(process.terminal, f"/fi\t{tmp_path}/a\t\n".encode())
        read("a photo.png will be sent with the next message\n")
        assert read("> ").endswith("[a photo.png] > ")
        type_line(process, "What?")
        read("1\n")
        assert "[" not in read("> ").replace("\x1b[?2004", "")
    assert [next(iter(part)) for part in server.requests[0].json["contents"][0]["parts"]] == [
        "inlineData",
        "text",
    ]


def test_what_tab_offers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x [1].txt").write_text("x")
    (tmp_path / "file").write_text("x")
    lines = TypedLines(["/file", "/history", "/help"], ["/file"], None)
    assert lines.rests("/h") == ["elp ", "istory "]
    assert lines.rests("") == lines.rests("Hel") == lines.rests("/help f") == []
    assert lines.rests("/file f") == ["ile", "older" + os.sep]
    assert lines.rests("/file folder/x [") == ["1].txt"]
    if os.name != "nt":
        assert lines.rests("/file ~/fo") == ["lder/"]


# -- the prompt and the commands --------------------------------------------------------------


@needs_pty
def test_the_prompt_shows_pending_attachments(server, tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    with on_terminal("chat", server=server) as (process, read):
        read("> ")
        for path, prompt in zip(paths, ("[a.png] > ", "[2 files] > ")):
            path.write_bytes(b"PNG")
            type_line(process, f"/file {path}")
            read("next message\n")
            assert read("> ").endswith(prompt)
        type_line(process, "/undo")
        read("pending attachments removed\n")
        assert "]" not in read("> ")


def editor(tmp_path, code):
    """A program that edits the file which is its last argument; its name has a space in it."""
    path = tmp_path / "my editor.py"
    path.write_text(f"import sys\npath = sys.argv[-1]\ntext = open(path).read()\n{code}\n")
    return f'"{sys.executable}" "{path}" --wait'


@needs_posix
def test_a_message_from_the_editor(here, server, tmp_path):
    server.queue("1", "2")
    append = editor(tmp_path, "open(path, 'w').write(text + ' line 1\\n/line 2\\n')")
    result = here("chat", server=server, stdin=b"/edit Begin:\n", env={"EDITOR": "false", "VISUAL": append})
    assert (result.status, said(server.requests[0])) == (0, ["Begin: line 1\n/line 2"])
    empty = editor(tmp_path, "open(path, 'w').write(' \\n')")
    result = here("chat", server=server, stdin=b"/edit Begin:\n", env={"VISUAL": None, "EDITOR": empty})
    assert (result.status, result.notes, server.request_count) == (
        0,
        ["the message is empty; it was not sent"],
        1,
    )
    for command, words in (
        ("false", "failed with status 1"),
        ("/no/editor", "set EDITOR"),
        ("'", "set EDITOR"),
    ):
        result = here("chat", server=server, stdin=b"/edit\n", env={"VISUAL": None, "EDITOR": command})
        assert result.status == 2 and words in result.notes[0]
    assert server.request_count == 1


def test_model(here, server):
    server.queue("1", "2")
    lines = b"/model\none\n/model gemini-y\ntwo\n/model a model\n"
    result = here("chat", "-m", "gemini-x", server=server, stdin=lines)
    assert [request.model for request in server.requests] == ["gemini-x", "gemini-y"]
    assert result.notes[:2] == ["model: gemini-x", "model: gemini-y"]
    assert result.status == 2 and result.notes[2].startswith("--model is not a valid name")


def test_system(here, server):
    server.queue("1", "2")
    lines = b"/system\n/system Be brief\n/system\none\n/system -\n/system\ntwo\n"
    result = here("chat", server=server, stdin=lines)
    none = "there is no system instruction; set one with /system TEXT"
    assert result.out == "Be brief\n1\n2\n"
    assert result.notes == [none, "system instruction set", "system instruction cleared", none]
    assert [request.json.get("systemInstruction") for request in server.requests] == [
        {"parts": [{"text": "Be brief"}]},
        None,
    ]


def test_history_and_clear(here, server, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"PNG")
    server.queue("1", "2")
    lines = f"/file {path}\none\n/history\n/file {path}\n/clear\n/history\ntwo\n".encode()
    result = here("chat", server=server, stdin=lines)
    assert result.out == "1\nuser: [image/png] one\nmodel: 1\n2\n"
    assert "the conversation is empty" in result.notes
    assert said(server.requests[1]) == ["two"]


def test_load_restores_the_model(here, server, tmp_path):
    path = tmp_path / "talk.json"
    server.queue("1", "2", "3", "4")
    here("chat", "-m", "gemini-x", server=server, stdin=f"one\n/save {path}\n".encode())
    assert json.loads(path.read_text())["model"] == "gemini-x"
    result = here("chat", "--load", path, server=server, stdin=b"two\n", env={"GEMINI_MODEL": "gemini-env"})
    assert result.notes[0] == f"loaded 2 contents of gemini-x from {path}"
    here("chat", "--load", path, "-m", "gemini-z", server=server, stdin=b"three\n")
    here("chat", server=server, stdin=f"/load {path}\nfour\n".encode())
    models = [request.model for request in server.requests]
    assert models == ["gemini-x", "gemini-x", "gemini-z", "gemini-x"]


@pytest.mark.parametrize("model", [5, "a model"])
def test_a_saved_model_that_is_not_a_valid_name(here, server, tmp_path, model):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({"model": model, "contents": []}))
    result = here("chat", "--load", path, server=server, stdin=b"Hello\n")
    assert (result.status, server.requests) == (2, []) and len(result.notes) == 1


@pytest.mark.parametrize("line", ["/quit", "/quit now", "/exit", " /quit"])
def test_quit(here, server, line):
    assert here("chat", server=server, stdin=f"{line}\nnever sent\n".encode()).status == 0
    assert server.requests == []
