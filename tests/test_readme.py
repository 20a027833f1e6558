"""README.rst is short, and its examples run as they stand, against LocalServer."""

import json

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
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        yield server


def run(name):
    exec(compile(readme.code(name), f"README.rst: {name}", "exec"), {"__name__": "__main__"})


def in_the_readme():
    return [block for block in readme.BLOCKS if block.page == readme.README]


def test_it_is_short_and_no_line_of_it_is_long():
    lines = readme.README.read_text("utf-8").splitlines()
    begin, end = (
        next(n for n, line in enumerate(lines) if f"two-commands-{mark}" in line) for mark in ("begin", "end")
    )
    assert len(lines) <= 200
    prose = [line for n, line in enumerate(lines) if not begin < n < end and ".. image::" not in line]
    assert [line for line in prose if len(line) > 88] == []
    assert [block.name for block in in_the_readme() if len(block.code.splitlines()) > 8] == []


def test_each_example_of_it_is_run_here():
    tests = {name[5:].replace("_", "-") for name in globals() if name.startswith("test_")}
    assert {block.name for block in in_the_readme()} <= tests


def test_text(server, capsys):
    run("text")
    assert capsys.readouterr().out == "You said: Tell me a story"


def test_complete_answer(server, capsys):
    run("complete-answer")
    out = capsys.readouterr().out
    assert out.startswith("You said: Why is the sky blue?\nSTOP UsageMetadata(")


def test_image(server, capsys):
    run("image")
    out = capsys.readouterr().out
    assert "What is in this picture?" in out and "image/jpeg" in out and str(len(PNG)) in out


def test_make_image(server, tmp_path):
    run("make-image")
    assert (tmp_path / "ship.png").read_bytes().startswith(b"\x89PNG")


def test_chat(server, capsys):
    run("chat")
    out = capsys.readouterr().out
    assert "You said: I have 2 dogs" in out and "I was sent 3 contents." in out and server.connections == 1
    assert server.requests[1].json["systemInstruction"]["parts"] == [{"text": "Be brief."}]


def test_tools(server, capsys):
    server.queue(
        Answer.call("set_temperature", {"room": "kitchen", "degrees": 23}),
        Answer.text("It will ", "be warm."),
    )
    run("tools")
    assert capsys.readouterr().out == "It will be warm.\n"
    (declared,) = server.requests[0].json["tools"][0]["functionDeclarations"]
    assert declared["description"] == "Set the heating of a room, in degrees Celsius."
    response = server.requests[1].json["contents"][2]["parts"][0]["functionResponse"]
    assert response == {
        "name": "set_temperature",
        "response": {"result": "The kitchen will have 23.0 degrees."},
    }


def test_structured(server, capsys):
    server.queue(json.dumps({"title": "Tea", "minutes": 5}))
    run("structured")
    assert capsys.readouterr().out == "Tea\n"
    schema = server.requests[0].json["generationConfig"]["responseJsonSchema"]
    assert schema["properties"].keys() == {"title", "minutes"}


def test_many(server, capsys):
    run("many")
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"{n} You said: Write a haiku about the number {n}" for n in range(1000))


def test_your_code(tmp_path, run_python):
    example = tmp_path / "test_mine.py"
    example.write_text(readme.code("your-code"), "utf-8")
    plugin = "geministream.testing.pytest_plugin"
    code = (
        "import pytest, sys\n"
        f"found = any(each.value == {plugin!r} for each in entry_points())\n"
        f"sys.exit(pytest.main(['-q', *([] if found else ['-p', {plugin!r}]), {str(example)!r}]))"
    )
    finds = (
        "from importlib import metadata\n"
        "def entry_points():\n"
        "    return [each for dist in metadata.distributions() for each in dist.entry_points]\n"
    )
    done = run_python(finds + code)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
