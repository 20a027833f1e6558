"""Each script in examples/ is short and runs offline."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import PNG

import geministream

HOME = str(Path(geministream.__file__).resolve().parent.parent)
EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))

# The file that each script takes, and what it prints.
SCRIPTS = {
    "text": (None, ["You said: Write a story about a magic backpack.\n"]),
    "image": (("photo.png", PNG), ["Tell me about this picture.", f"image/png, {len(PNG)} bytes"]),
    "audio": (("talk.mp3", b"ID3 sound"), ["Give me a summary", "audio/mpeg, 9 bytes"]),
    "video": (("clip.mp4", b"moving"), ["Describe this video clip.", "video/mp4, 6 bytes"]),
    "pdf": (("report.pdf", b"%PDF-1.7"), ["Give me a summary", "application/pdf, 8 bytes"]),
    "chat": (
        None,
        ["I was sent 3 contents.\nYou said: I have 2", "I was sent 5 contents.\nYou said: How many"],
    ),
}


def test_each_script_is_known_and_short():
    assert {path.stem for path in EXAMPLES} == {*SCRIPTS}
    assert [path.name for path in EXAMPLES if len(path.read_text("utf-8").splitlines()) > 20] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_script_runs_offline(path, tmp_path):
    file, printed = SCRIPTS[path.stem]
    arguments = []
    if file is not None:
        (tmp_path / file[0]).write_bytes(file[1])
        arguments = [file[0]]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *arguments, "--offline"],
        cwd=str(tmp_path),
        env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for piece in printed:
        assert piece in done.stdout


def test_the_script_asks_google_without_a_server(tmp_path):
    """With no key there is nothing to send, and the error says what to do."""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOOGLE_API_KEY", "GEMINI_API_KEY")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES[-2])],
        env={**environment, "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert EXAMPLES[-2].stem == "text" and done.returncode == 1
    assert "no API key: pass api_key= or set" in done.stderr
