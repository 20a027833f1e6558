"""README.rst's examples run as they stand, against LocalServer."""

import pytest
from support import readme

from geministream.testing import Answer, LocalServer

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63680000008200817b3e9b4b0000000049454e44ae426082"
)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A LocalServer that the environment names, and a folder with the files that the examples name."""
    (tmp_path / "photo.jpg").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    with LocalServer(api_key="YOUR-KEY") as server:
        monkeypatch.setenv("GEMINI_API_KEY", "YOUR-KEY")
        monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        yield server


def run(name):
    exec(compile(readme.code(name), f"README.rst: {name}", "exec"), {"__name__": "__main__"})


def test_text(server, capsys):
    run("text")
    assert capsys.readouterr().out == "You said: Tell me a story about a lighthouse"


def test_image(server, capsys):
    run("image")
    out = capsys.readouterr().out
    assert "What is in this picture?" in out and "image/jpeg" in out and str(len(PNG)) in out


def test_collect(server, capsys):
    run("collect")
    out = capsys.readouterr().out
    assert (
        "Reading the prompt" in out and "You said: Why is the sky blue?" in out and out.endswith(" tokens\n")
    )
    assert server.requests[0].json["generationConfig"] == {
        "temperature": 0.2,
        "thinkingConfig": {"includeThoughts": True},
    }


def test_cancel(server, capsys):
    code = readme.code("cancel")
    assert "threading.Timer(30, stop.cancel)" in code
    server.piece_delay = 10
    exec(code.replace("Timer(30", "Timer(0.2"), {})
    assert capsys.readouterr().out.endswith("... enough.\n")


def test_local_server(capsys):
    run("local-server")
    assert capsys.readouterr().out.startswith("Once upon a time\n")


def test_chat(server, capsys):
    run("chat")
    out = capsys.readouterr().out
    assert "You said: I have 2 dogs" in out and "I was sent 3 contents." in out and server.connections == 1


def test_history(server, capsys):
    run("history")
    assert "I was sent 3 contents.\nYou said: What is my name?" in capsys.readouterr().out


def test_tools(server, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or "y")
    server.queue(
        Answer.call("set_temperature", {"room": "kitchen", "degrees": 23}),
        Answer.text("It will ", "be warm."),
    )
    run("tools")
    assert asked == ["set_temperature with {'room': 'kitchen', 'degrees': 23}? "]
    assert capsys.readouterr().out == "It will be warm."
    response = server.requests[1].json["contents"][2]["parts"][0]["functionResponse"]
    assert response == {
        "name": "set_temperature",
        "response": {"result": "The kitchen will have 23.0 degrees."},
    }


def test_structured(server, capsys):
    run("structured")
    assert capsys.readouterr().out == "title 3.0\n"


def test_items(server, capsys):
    run("items")
    assert capsys.readouterr().out == "value\nvalue 2\n"
