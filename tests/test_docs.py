"""Each code block of docs/ runs as it stands, against LocalServer; an index leads to what newcomers ask."""

import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import wave
from pathlib import Path

import pytest
from support import readme
from test_english import INSTEAD_OF
from test_readme import PNG

import geministream
from geministream.testing import Answer, LocalServer, pytest_plugin

HOME = str(Path(geministream.__file__).resolve().parent.parent)
PAGES = [page for page in readme.PAGES if page != readme.README]
BLOCKS = [block for block in readme.BLOCKS if block.page in PAGES]
FILES = {
    "photo.jpg": PNG,
    "scan": PNG,
    "talk.mp3": b"ID3 sound",
    "clip.mp4": b"moving pictures",
    "report.pdf": b"%PDF-1.7 report",
    "report.txt": b"All is well.",
    "recipe.json": b'{"type": "object", "properties": {"title": {"type": "string"}}}',
    "prompts.jsonl": b'"one"\n{"contents": "two"}\n',
}
SOUND = {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": base64.b64encode(b"\1\0" * 12000).decode()}
RECIPE = {"title": "Tea", "steps": [{"text": "Boil.", "minutes": 3}, {"text": "Wait.", "minutes": 4}]}

# These need servers of their own names, or packages of their own.
ELSEWHERE = {
    "endpoint-google": "test_profiles.py",
    "endpoint-chainhub": "test_profiles.py",
    "endpoint-gateway": "test_profiles.py",
    "endpoint-bifrost": "test_profiles.py",
    "endpoint-vertex": "test_profiles.py",
    "endpoint-session": "test_profiles.py",
    "batch-dask": "interop/test_dask.py",
    "audio": "files/test_uploaded_files.py",
    "video": "files/test_uploaded_files.py",
    "pdf": "files/test_uploaded_files.py",
}


def chunk(*parts, **candidate):
    """A chunk of a model's answer."""
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **candidate}]}


GROUNDED = chunk(
    {"text": "Noon is at 12:00."},
    finishReason="STOP",
    groundingMetadata={
        "groundingChunks": [{"web": {"uri": "https://time.example/oslo", "title": "time.example"}}],
        "groundingSupports": [
            {"segment": {"endIndex": 17, "text": "Noon is at 12:00."}, "groundingChunkIndices": [0]}
        ],
    },
)
SPOKEN = chunk({"inlineData": SOUND}, finishReason="STOP")
CHECKPOINT = chunk({"text": "One. "}, continuationToken="token-1")

HAIKUS = [f"{n} You said: Write a haiku about the number {n}\n" for n in (0, 1, 99)]

# What the examples print, in pieces; and what the server answers, if not by its own rules.
PRINTED = {
    "index": "You said: Tell me a story",
    "start-stream": "You said: Tell me a story about the sea",
    "start-whole": ["You said: Why is the sky blue?\n", " tokens\n"],
    "start-dataclass": "Recipe(title='title', minutes=1.0)\n",
    "start-describe-image": ["What is in this picture?", "image/jpeg"],
    "start-make-image": "saved lighthouse.png\n",
    "start-speech": "",
    "start-agent": "In 30 days.\n",
    "start-many": "\r100 of 100, 0 failed",
    "start-count": ["Summarize this text.", "text/plain"],
    "streaming": "You said: Why is the sky blue?",
    "whole-answer": "You said: Why is the sky blue?\n",
    "collect": ["Reading the prompt", "You said: Why is the sky blue?\n", " tokens\n"],
    "contents": "[Content(parts=[Part(text='What is this?'), Part(file_data=",
    "extra-body": "'finishReason': 'STOP'",
    "max-tokens": "cut off at the token limit: You said: Tell me \n",
    "safety": "You said: A joke\n",
    "blocked": "blocked: SAFETY\n",
    "errors": "too many requests; wait 3600.0 seconds\n",
    "base-url": "https://gateway.example.com/gemini/v1/models/gemini-flash-latest:streamGenerateContent?region=eu\n",
    "media-in": ["Compare these.", "image/png", "What is this?"],
    "files": ["notes.txt 9 ACTIVE\n", "text/plain\n"],
    "save-image": "image/png lighthouse-1.png\n",
    "save-speech": "0.5 seconds\n",
    "thinking": ["thinking: **Reading the prompt**", "You said: What is 17 times 23?"],
    "conversation": ["You said: I have 2 dogs", "I was sent 3 contents."],
    "history": "I was sent 3 contents.\nYou said: What is my name?\n",
    "one-turn": ["Name a river.", "Be creative."],
    "functions": "It will be warm.",
    "own-functions": ["called: weather {'city': 'Oslo'}\n", 'weather answered {"result": "sunny"}'],
    "structured-answer": "Tea 7.0\n",
    "items": "value\nvalue 2\n",
    "sources": [
        "Noon is at 12:00.[1]\n\n[1] time.example: https://time.example/oslo\n",
        "time.example https://time.example/oslo\n   supports: Noon is at 12:00.\n",
    ],
    "count-tokens": "",
    "usage": "",
    "models": ["models/gemini-flash-latest ", "1048576\n"],
    "in-asyncio": "['You said: one', 'You said: two']\n",
    "long": "One. Two. \n(what follows repeats the last lines in other words)\nAnother two. End.",
    "batch": HAIKUS,
    "batch-threads": HAIKUS,
    "local-server": "Once upon a time\nIt is  ... ",
    "script": "Sunny.\na text\n",
    "record": "You said: Hello\nYou said: Hello\n",
    "security": "api_key=***, auth='query')\n",
    "log": "",
    "moving-stream": "You said: Hello",
    "moving-config": "",
    "moving-loop": "You said: Hello",
    "moving-loop-after": "You said: Hello",
}
ANSWERS = {
    "start-speech": [Answer([SPOKEN])],
    "save-speech": [Answer([SPOKEN])],
    "start-agent": [
        Answer.call("today"),
        Answer.call("days_between", {"first": "2026-11-24", "last": "2026-12-24"}),
        "In 30 days.",
    ],
    "blocked": [Answer.blocked()],
    "errors": [Answer.failure(429, retry_after=3600)],
    "functions": [
        Answer.call("set_temperature", {"room": "kitchen", "degrees": 23}),
        Answer.text("It will ", "be warm."),
    ],
    "own-functions": [Answer.call("weather", {"city": "Oslo"})],
    "structured-answer": [json.dumps(RECIPE)],
    "sources": [Answer([GROUNDED])],
    "long": [Answer([CHECKPOINT, "Two. "], finish=None), "Another two. End."],
    "log": [Answer.failure(400, "a bad request")],
}


def fewer(code):
    """A thousand prompts are sent for README.rst."""
    assert "range(1000)" in code
    return code.replace("range(1000)", "range(100)")


# What is not run as it stands.
CHANGES = {"start-many": fewer, "batch": fewer, "batch-threads": fewer}


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A LocalServer that the environment names, and a folder with the files that the examples name."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with LocalServer(api_key="YOUR-KEY") as server:
        monkeypatch.setenv("GEMINI_API_KEY", "YOUR-KEY")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        yield server


def run(name, change=None):
    block = readme.block(name)
    code = change(block.code) if change else block.code
    exec(compile(code, f"{block.page.name}: {name}", "exec"), {"__name__": "__main__"})


def run_python(*arguments, cwd):
    """Run Python in a process of its own; what it prints, and how it ended."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=str(cwd),
        env={**env, "PYTHONPATH": HOME},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


# The pages ------------------------------------------------------------------------------------


def test_each_block_has_a_name_or_the_reason_why_it_is_not_run():
    assert [f"{b.page.name}:{b.line}" for b in readme.BLOCKS if not (b.name or b.reason)] == []
    assert len([b for b in readme.BLOCKS if b.reason]) < len(readme.BLOCKS) / 8


def test_no_name_stands_twice():
    names = [block.name for block in readme.BLOCKS if block.name]
    assert sorted(names) == sorted(set(names))
    # Type checkers read each as a module.
    assert not {name.replace("-", "_") for name in names} & {*getattr(sys, "stdlib_module_names", ())}


def test_no_other_block_of_code_hides_behind_two_colons():
    found = []
    for page in PAGES:
        lines = page.read_text("utf-8").splitlines()
        found += [f"{page.name}: {line}" for line in lines if re.search(r"^(?! *\.\. ).*::$", line)]
    assert found == []


def test_no_line_of_code_is_wider_than_88_columns():
    wide = [
        (block.name, line) for block in readme.BLOCKS for line in block.code.splitlines() if len(line) > 88
    ]
    assert wide == []


def test_each_example_in_python_is_run():
    here = {*PRINTED, *(name[5:].replace("_", "-") for name in globals() if name.startswith("test_"))}
    names = {block.name for block in BLOCKS if block.name and block.language == "python"}
    assert names - here - {*ELSEWHERE} == set()
    assert {*PRINTED} - names == set()
    for name, path in ELSEWHERE.items():
        assert f'"{name}"' in (readme.ROOT / "tests" / path).read_text("utf-8"), name


def test_each_program_of_the_start_is_short():
    start = [block for block in BLOCKS if block.page.name == "start.rst" and block.language == "python"]
    assert len(start) == 10
    assert [block.name for block in start if len(block.code.splitlines()) > 12] == []


@pytest.mark.parametrize("page", [*readme.PAGES, readme.ROOT / "CHANGES.rst"], ids=lambda page: page.name)
def test_plain_english(page):
    """As in the package, with one exception: a phrase that users look for."""
    text = " ".join(page.read_text("utf-8").split())
    text = re.sub(r"whole[ -]answer|example: \S+", "", text)
    found = [
        f"{match.group()!r}, write: {instead}"
        for phrase, instead in INSTEAD_OF.items()
        for match in re.finditer(phrase, text)
    ]
    assert found == []


def test_the_reference_has_each_public_name():
    text = "\n".join(page.read_text("utf-8") for page in PAGES if page.parent.name == "reference")
    shown = re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE)
    public = {*geministream.__all__, *geministream.testing.__all__} - {"__version__"}
    assert public - {*shown} == set()
    assert {*shown} - public == {"Message"}
    assert len(shown) == len({*shown})


def test_no_cell_of_a_table_is_a_bullet():
    for page in readme.PAGES:
        found = re.findall(r"^.*  [-*+](?:  .*|)$", page.read_text("utf-8"), re.MULTILINE)
        assert found == [], page.name


def test_the_picture_shows_a_real_run(tmp_path):
    picture = (readme.ROOT / "docs" / "terminal.svg").read_text("utf-8")
    prompt = re.search(r'--offline "(.*?)"</text>', picture)[1]
    shown = "".join(html.unescape(text) for text in re.findall(r"<text[^>]*piece[^>]*>(.*?)</text>", picture))
    done = run_python("-m", "geministream", "stream", "--offline", prompt, cwd=tmp_path)
    assert done.returncode == 0
    assert "".join(shown.split()) in "".join(done.stdout.split()), "run python docs/make_terminal_svg.py"
    assert len(shown) > 500


def test_the_chart_shows_the_table():
    done = run_python(
        "-c",
        "import chart; rows = chart.rows(chart.TABLE.read_text('utf-8')); assert len(rows) > 5;"
        " print(chart.draw(rows) == chart.CHART.read_text('utf-8'))",
        cwd=readme.ROOT / "benchmarks",
    )
    assert done.stdout == "True\n", "run python benchmarks/chart.py"


def test_the_figures_of_the_readme_are_those_of_the_table():
    measured = (readme.ROOT / "docs" / "performance.rst").read_text("utf-8")
    text = readme.README.read_text("utf-8")
    figures = re.findall(r"^.* (\S+) (?:×|MiB) +(\S+) (?:×|MiB) .*\[2\]_$", text, re.MULTILINE)
    assert len(figures) == 5
    for ours, theirs in figures:
        assert re.search(rf" {re.escape(ours)} .* {re.escape(theirs)} ", measured), (ours, theirs)


# The examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRINTED)
def test_the_example(name, server, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    server.queue(*ANSWERS.get(name, ()))
    run(name, CHANGES.get(name))
    out = capsys.readouterr().out
    pieces = PRINTED[name]
    for piece in [pieces] if isinstance(pieces, str) else pieces:
        assert piece in out
    assert server.queued == 0
    looks = LOOKS.get(name)
    if looks is not None:
        looks(server, out)
    else:
        assert out


def _look_at_speech(server, out):
    with wave.open("hello.wav") as sound:
        assert (sound.getframerate(), sound.getnframes(), sound.getnchannels()) == (24000, 12000, 1)


def _look_at_image(server, out):
    assert Path("lighthouse.png").read_bytes().startswith(b"\x89PNG")


def _look_at_temperatures(server, out):
    configs = [request.json["generationConfig"]["temperature"] for request in server.requests]
    assert configs == [0, 2]


def _look_at_config(server, out):
    (request,) = server.requests
    assert request.json["tools"] == [{"googleSearch": {}}]
    assert request.json["generationConfig"] == {"temperature": 0.2}


def _look_at_safety(server, out):
    (setting,) = server.requests[0].json["safetySettings"]
    assert setting == {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}


def _look_at_labels(server, out):
    assert server.requests[0].json["labels"] == {"team": "a"}


def _look_at_recording(server, out):
    assert server.request_count == 1
    (name,) = os.listdir("recordings")
    assert "YOUR-KEY" not in Path("recordings", name).read_text("utf-8")


def _look_at_functions(server, out):
    response = server.requests[1].json["contents"][2]["parts"][0]["functionResponse"]["response"]
    assert response == {"result": "The kitchen will have 23.0 degrees."}


def _look_at_days(server, out):
    responses = [request.json["contents"][-1]["parts"][0] for request in server.requests[1:]]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", responses[0]["functionResponse"]["response"]["result"])
    assert responses[1]["functionResponse"]["response"] == {"result": 30}


def _look_at_number(server, out):
    assert int(out) > 0


def _look_at_two_numbers(server, out):
    assert all(int(word) > 0 for word in out.split()) and len(out.split()) == 2


def _look_at_token(server, out):
    assert [request.json.get("continuationToken") for request in server.requests] == [None, "token-1"]


def _look_at_log(server, out):
    assert server.request_count == 1


LOOKS = {
    "start-speech": _look_at_speech,
    "start-make-image": _look_at_image,
    "start-agent": _look_at_days,
    "one-turn": _look_at_temperatures,
    "moving-config": _look_at_config,
    "extra-body": _look_at_labels,
    "safety": _look_at_safety,
    "record": _look_at_recording,
    "functions": _look_at_functions,
    "count-tokens": _look_at_number,
    "usage": _look_at_two_numbers,
    "long": _look_at_token,
    "log": _look_at_log,
}


def test_web_server(server):
    namespace = {"__name__": "__main__"}
    exec(readme.code("web-server"), namespace)
    begun = []
    pieces = list(namespace["app"]({}, lambda status, headers: begun.append(status)))
    assert (begun, b"".join(pieces)) == (["200 OK"], b"You said: Hello")


def test_start_chat(server, capsys, monkeypatch):
    for said in ("My name is Ada.", "What is my name?"):
        monkeypatch.setattr("builtins.input", lambda prompt, said=said: said)
        run("start-chat")
    assert "I was sent 3 contents.\nYou said: What is my name?" in capsys.readouterr().out
    assert len(json.loads(Path("chat.json").read_text())) == 4


def test_stop_after(server, capsys):
    server.queue(Answer(["One. ", threading.Event()]))
    run("stop-after", lambda code: code.replace("deadline=10", "deadline=0.3"))
    assert "deadline=10" in readme.code("stop-after")
    assert capsys.readouterr().out == "One.  ... stopped after 10 seconds\n"


def test_retries(server, capsys):
    """With the server's URL: an Endpoint without one is Google's."""
    server.queue(Answer.failure(503))
    run("retries", lambda code: code.replace("Endpoint(retry", f"Endpoint({server.url!r}, retry"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("attempt 1 of 6 failed: 503 UNAVAILABLE")
    assert lines[1:] == ["You said: Hello"]


def test_cancel(server, capsys):
    assert "threading.Timer(30, stop.cancel)" in readme.code("cancel")
    server.piece_delay = 10
    run("cancel", lambda code: code.replace("Timer(30", "Timer(0.2"))
    assert capsys.readouterr().out.endswith("... enough.\n")


def test_batch_mpi(server, capsys, monkeypatch):
    """With threads in MPI's place."""
    import types
    from concurrent.futures import ThreadPoolExecutor

    module = types.ModuleType("mpi4py.futures")
    module.MPIPoolExecutor = ThreadPoolExecutor
    monkeypatch.setitem(sys.modules, "mpi4py", types.ModuleType("mpi4py"))
    monkeypatch.setitem(sys.modules, "mpi4py.futures", module)
    code = fewer(readme.code("batch-threads")).replace("\nhaikus()\n", "\n") + readme.code("batch-mpi")
    exec(code, {"__name__": "__main__"})
    out = capsys.readouterr().out
    assert all(line in out for line in HAIKUS) and out.count("\n") == 100


def test_fixture(tmp_path):
    test = tmp_path / "test_mine.py"
    test.write_text(readme.code("fixture"), "utf-8")
    is_found = "gemini_server" in run_python("-m", "pytest", "--fixtures", "-q", cwd=tmp_path).stdout
    plugin = [] if is_found else ["-p", pytest_plugin.__name__]
    done = run_python("-m", "pytest", "-q", *plugin, "test_mine.py", cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout


# The command line -----------------------------------------------------------------------------

SHOWN = {
    "start-key": ["You said: Hello"],
    "start-offline": ["You said: Hello"],
    "cli": [
        "You said: Tell me a story about a lighthouse",
        "What is in this picture?",
        "Write a commit message for this",
        '{"title": "title"}',
        "You said: When is noon",
        "You said: I have 2 dogs in my house.",
        "files/",
        "clip.mp4",
        "gemini-flash-latest",
    ],
    "cli-options": [
        "You said: What is 17 times 23?",
        "You said: Write a haiku",
        "You said: What is the 20th prime number?",
        "You said: Sum up https://example.com/",
        "You said: Tell me a joke",
        '"candidates"',
        "You said: Count to ten",
    ],
    "cli-completion": [],
    "cli-batch": ["You said: Write a haiku about the sea"],
}


@pytest.mark.skipif(not shutil.which("sh"), reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("name", [b.name for b in BLOCKS if b.name and b.language == "console"])
def test_the_commands(name, server, tmp_path):
    lines = readme.code(name).splitlines()
    assert all(line.startswith("$ ") for line in lines)
    # A process of this Python, and a git that has something to say.
    functions = 'geministream() { "$PYTHON" -m geministream "$@"; }\ngit() { echo "+ a line"; }\nset -e\n'
    done = subprocess.run(
        ["sh", "-c", functions + "\n".join(line[2:] for line in lines)],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": HOME},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    at = 0
    for piece in SHOWN[name]:
        found = done.stdout.find(piece, at)
        assert found >= 0, (piece, done.stdout)
        at = found + len(piece)
    if name == "cli-completion":
        assert "complete" in (tmp_path / "geministream.bash").read_text("utf-8")
    if name == "cli":
        assert [path.suffix for path in (tmp_path / "pictures").iterdir()] == [".png"]
        assert done.stdout.rstrip().splitlines()[-1].split()[0].isdigit()  # the tokens that count prints
        assert len((tmp_path / "results.jsonl").read_text("utf-8").splitlines()) == 2
