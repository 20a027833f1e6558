"""The package inside of a program that PyInstaller has built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PyInstaller", reason="PyInstaller is not installed (extra: interop)")

from test_vendored import PROGRAM, printed_by_program

import geministream

APP = """
import multiprocessing
import sys

import program
from geministream.cli import main

if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main() if sys.argv[1:] else program.main())
"""


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=180, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_that_pyinstaller_built(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.format(package="geministream"))
    (tmp_path / "app.py").write_text(APP)
    package = Path(
        geministream.__file__
    ).parent.parent  # PyInstaller finds no editable installation by itself
    run(sys.executable, "-m", "PyInstaller", "--onedir", "--paths", package, "app.py", cwd=str(tmp_path))
    app = tmp_path / "dist" / "app" / "app"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = dict(cwd=str(tmp_path / "dist"), env={**alone, "PYTHONIOENCODING": "utf-8"})
    assert run(app, **where) == printed_by_program("geministream")
    assert run(app, "stream", "--offline", "Hello", input="", **where).strip() == "You said: Hello"
    assert "You said: Hello" in run(app, "chat", "--offline", input="Hello\n", **where)
    assert run(app, "--version", **where) == f"geministream {geministream.__version__}\n"
