"""The package under another name: copied into a program's own folder, or in a zip file.

There, ``import geministream`` finds nothing, so the package may not look for itself by that name.
"""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import geministream

PACKAGE = Path(geministream.__file__).parent


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def test_no_module_imports_the_package_by_its_name():
    found = [(path.name, name) for path in PACKAGE.rglob("*.py") for name in _imported(path)]
    assert len(found) > 100
    assert not [each for each in found if each[1].split(".")[0] == "geministream"]


@pytest.fixture
def copied(tmp_path):
    """A folder with the package as ``mytool._vendor.geministream``, and without any ``geministream``."""
    vendor = tmp_path / "mytool" / "_vendor"
    vendor.mkdir(parents=True)
    for folder in (vendor.parent, vendor):
        (folder / "__init__.py").write_text("")
    shutil.copytree(str(PACKAGE), str(vendor / "geministream"), ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "geministream.py").write_text("raise ImportError('nobody installed it')")
    return tmp_path


def run(folder, *arguments, search=None):
    """Run a Python in this folder, which finds ``search`` and what is installed, apart from the package itself."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=str(folder),
        env={**os.environ, "PYTHONPATH": str(search or folder), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PROGRAM = """
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import requests

from {package} import APIError, Chat, generate_many, stream_generate, upload_file
from {package}.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"


def plainly(server):
    response = requests.post(
        server.url + "/v1beta/models/" + MODEL + ":streamGenerateContent?alt=sse", stream=True,
        headers={{"x-goog-api-key": server.api_key}}, json={{"contents": [{{"parts": [{{"text": "Hello"}}]}}]}})
    for line in response.iter_lines():
        if line.startswith(b"data: "):
            for part in json.loads(line[6:])["candidates"][0]["content"]["parts"]:
                yield part["text"]


def main():
    with LocalServer() as server:
        endpoint = server.endpoint
        print("".join(plainly(server)))
        print("".join(chunk.text for chunk in stream_generate(MODEL, "Hello", endpoint=endpoint)))
        with Chat(MODEL, endpoint=endpoint) as chat:
            print("".join(chunk.text for chunk in chat.send("How are you?")))
        print(upload_file(b"data", mime_type="text/plain", endpoint=endpoint).size_bytes)
        server.queue(Answer.failure(404))
        try:
            list(stream_generate(MODEL, "Hello", endpoint=endpoint))
        except APIError as error:
            print(type(error).__module__, error.code)
        prompts = ["prompt %d" % k for k in range(6)]
        print(sorted(result.text for result in generate_many(prompts, model=MODEL, endpoint=endpoint)))
        print("geministream" in sys.modules)
        if not hasattr(ProcessPoolExecutor, "_adjust_process_count"):
            return  # this PyPy's own submit() needs it
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            results = generate_many(prompts, model=MODEL, endpoint=endpoint, executor=pool)
            print(sorted(result.text for result in results))


if __name__ == "__main__":
    main()
"""


def printed_by_program(package):
    answers = [f"You said: prompt {k}" for k in range(6)]
    on_processes = [answers] if hasattr(ProcessPoolExecutor, "_adjust_process_count") else []
    printed = [
        "You said: Hello",
        "You said: Hello",
        "You said: How are you?",
        4,
        f"{package}.errors 404",
        answers,
        package == "geministream",
        *on_processes,
    ]
    return "".join(f"{line}\n" for line in printed)


@pytest.fixture
def program(tmp_path):
    def write(package):
        path = tmp_path / "program.py"
        path.write_text(PROGRAM.format(package=package))
        return path

    return write


def test_vendored(copied, program):
    package = "mytool._vendor.geministream"
    assert run(copied, program(package)) == printed_by_program(package)


def test_vendored_command_line(copied):
    out = run(copied, "-m", "mytool._vendor.geministream", "stream", "--offline", "Hello")
    assert out.strip() == "You said: Hello"


def test_from_a_zip_file(tmp_path, program):
    archive = tmp_path / "libraries.zip"
    with zipfile.ZipFile(str(archive), "w") as file:
        for path in PACKAGE.rglob("*"):
            if "__pycache__" not in path.parts:
                file.write(str(path), path.relative_to(PACKAGE.parent).as_posix())
    where = "import geministream; print(geministream.__file__)"
    assert run(tmp_path, "-c", where, search=archive).startswith(str(archive))
    assert run(tmp_path, program("geministream"), search=archive) == printed_by_program("geministream")
    out = run(tmp_path, "-m", "geministream", "stream", "--offline", "Hello", search=archive)
    assert out.strip() == "You said: Hello"
