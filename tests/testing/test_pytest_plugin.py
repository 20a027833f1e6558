"""The fixture `gemini_server`, in a pytest of its own."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import geministream
from geministream.testing import pytest_plugin

HOME = str(Path(geministream.__file__).parent.parent)


def is_installed():
    """Whether pytest finds this very package's plugin by itself."""
    found = metadata.entry_points()
    plugins = found.select(group="pytest11") if hasattr(found, "select") else found.get("pytest11", ())
    return any(each.value == pytest_plugin.__name__ for each in plugins)


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest on one file, with the plugin active, and return how it ended."""

    def run(code, **environment):
        (tmp_path / "test_it.py").write_text(code, "utf-8")
        plugin = [] if is_installed() else ["-p", pytest_plugin.__name__]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugin, "test_it.py"],
            cwd=str(tmp_path),
            env={**env, "PYTHONPATH": HOME, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )

    return run


USES_IT = """
import os

import pytest

from geministream import ServerError, collect, stream_generate
from geministream.testing import Answer


def answer():
    return collect(stream_generate("any-model", "Hello")).text


def test_code_that_reads_the_environment_finds_the_server(gemini_server):
    gemini_server.queue("scripted")
    assert (answer(), answer()) == ("scripted", "You said: Hello")
    assert gemini_server.request_count == 2


def test_each_test_has_a_server_of_its_own(gemini_server):
    assert gemini_server.request_count == 0
    gemini_server.queue(Answer.failure(501))
    with pytest.raises(ServerError):
        answer()


def test_the_environment_is_as_it_was_before():
    assert os.environ["GOOGLE_API_KEY"] == "a-real-key"
    assert os.environ["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert "GEMINI_API_KEY" not in os.environ and "GOOGLE_GEMINI_BASE_URL" not in os.environ
"""


def test_the_fixture(run_pytest):
    done = run_pytest(USES_IT, GOOGLE_API_KEY="a-real-key", HTTP_PROXY="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


FAILS_INSIDE = """
def test_it(gemini_server):
    import requests

    gemini_server.answer_with(lambda recorded: 1 / 0)
    assert requests.get(gemini_server.url + "/v1beta/models?key=local-key").status_code == 500
"""


def test_a_failure_inside_the_server_is_an_error_of_the_test(run_pytest):
    done = run_pytest(FAILS_INSIDE)
    assert done.returncode == 1, done.stdout
    assert "ZeroDivisionError" in done.stdout and "1 error" in done.stdout


UNUSED = """
import sys


def test_nothing_is_imported(request):
    assert request.config.pluginmanager.has_plugin("PLUGIN") or "PLUGIN" in sys.modules
    assert "requests" not in sys.modules
    assert not [name for name in sys.modules if name.startswith("geministream.testing.") and name != "PLUGIN"]
"""


def test_pytest_without_the_fixture_imports_nothing_more(run_pytest):
    done = run_pytest(UNUSED.replace("PLUGIN", pytest_plugin.__name__))
    assert done.returncode == 0, done.stdout
