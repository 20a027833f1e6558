"""The tests side by side: the same results as in one process, and nothing is lost when a process dies."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="without os.fork, one process runs all tests")

FILES = {
    "conftest.py": """
        from support.side_by_side import FIGURES, pytest_addoption, pytest_runtestloop
        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"largest: {FIGURES}")
    """,
    "test_ends.py": """
        import pytest, warnings
        from support.side_by_side import FIGURES
        @pytest.fixture
        def broken():
            yield
            raise KeyError("at the end")
        def test_passes(broken):
            FIGURES["n"] = 2
        def test_fails():
            print("printed before")
            assert 1 == 2
        def test_warns():
            warnings.warn("be careful")
        @pytest.mark.skip(reason="not today")
        def test_skipped(): pass
    """,
    "test_other.py": """
        from support.side_by_side import FIGURES
        def test_passes():
            FIGURES["n"] = 3
    """,
}
DIES = {
    "test_dies.py": """
        import os, signal
        def test_before(): pass
        def test_dies(): os.kill(os.getpid(), signal.SIGKILL)
        def test_after(): pass
    """,
    "test_leaves.py": """
        import os
        def test_leaves(): os._exit(0)
    """,
    "test_stops.py": """
        def test_stops(): raise KeyboardInterrupt
    """,
}


@pytest.fixture
def run(tmp_path):
    """Run pytest over files: its exit status, and what it prints but for the times."""

    def run(files, *options):
        for name, code in files.items():
            lines = [line[8:] for line in code.splitlines()]
            (tmp_path / name).write_text("\n".join(lines))
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not done.stderr
        return done.returncode, re.sub(r" in \d+\.\d\ds", "", done.stdout)

    return run


def test_the_same_as_in_one_process(run):
    status, alone = run(FILES, "--workers", "1", "-v", "-rs")
    assert (
        status == 1 and "printed before" in alone and "be careful" in alone and "largest: {'n': 3}" in alone
    )
    status, shared = run(FILES, "--workers", "3", "-v", "-rs")
    parts = [re.sub(r" +\[ *\d+%\]", "", text).split("= ERRORS =") for text in (alone, shared)]
    assert sorted(parts[0][0].splitlines()) == sorted(parts[1][0].splitlines())
    assert parts[0][1] == parts[1][1] and status == 1


def test_a_process_that_dies_is_a_failure(run):
    status, printed = run({**FILES, **DIES}, "--workers", "2", "-rf")
    assert status == 1
    failed = re.findall(r"^FAILED (\S+)", printed, re.MULTILINE)
    assert sorted(failed) == [
        "test_dies.py::test_dies",
        "test_ends.py::test_fails",
        "test_leaves.py::test_leaves",
        "test_stops.py::test_stops",
    ]
    assert "ended with wait status 9" in printed and "in test_stops\n" in printed
    assert "4 failed, 5 passed, 1 skipped" in printed  # those that follow in the file, too


def test_some_run_alone_at_the_end(run):
    names = [f"test_{number}.py" for number in range(4)]
    alone = "\n        import pytest\n        @pytest.mark.alone\n        def test_alone(): pass"
    files = {name: f"{alone}\n        def test_with_others(): pass" for name in names}
    status, printed = run({"conftest.py": FILES["conftest.py"], **files}, "--workers", "3", "-v")
    order = re.findall(r"::test_(\w+)", printed.partition("= warnings summary")[0])
    assert status == 0 and order == ["with_others"] * 4 + ["alone"] * 4


EARLY = """
        import pathlib, pytest, time
        @pytest.mark.early
        def test_long():
            assert not list(pathlib.Path().glob("begun.short*"))
            pathlib.Path(f"begun.{__name__}").touch()
            until = time.monotonic() + 30
            while len(list(pathlib.Path().glob("begun.test*"))) < 2:  # both have begun
                assert time.monotonic() < until
                time.sleep(0.01)
        def test_after(): pass  # with a file's last test, a worker takes its next file
"""
SHORT = """
        import pathlib
        def test_short(): pathlib.Path(f"begun.short.{__name__}").touch()
"""


def test_long_files_begin_first(run):
    files = {f"test_{number}.py": EARLY if number in (3, 7) else SHORT for number in range(8)}
    status, printed = run({"conftest.py": FILES["conftest.py"], **files}, "--workers", "2")
    assert status == 0, printed


def test_the_first_failure_is_the_last(run):
    many = {f"test_{number}.py": "\n        def test(): assert 0" for number in range(20)}
    status, printed = run({**FILES, **many}, "--workers", "2", "-x")
    assert status == 1
    failed = int(re.search(r"(\d+) failed", printed)[1])
    assert 1 <= failed <= 4  # those that run already end
