"""Runs the command line: the real program in a process of its own, or main() in this one."""

import atexit
import io
import os
import select
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import geministream
from geministream.cli import main
from geministream.testing import Answer, LocalServer

# Nothing that the program prints may hold it: run() looks at all of it.
KEY = "AIzaSy-a-key-that-nobody-may-see"

needs_pty = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
needs_posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

TIMEOUT = 30  # seconds after which a program hangs


@pytest.fixture
def server():
    with LocalServer(api_key=KEY) as server:
        yield server


_STATE = tempfile.TemporaryDirectory()
atexit.register(_STATE.cleanup)


def environment(**more):
    """An environment with a key and nothing else of the developer's that would matter."""
    ours = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GEMINI_MODEL", "NO_COLOR")
    python = ("PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONWARNINGS")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ours + python and "proxy" not in name.lower()
    }
    env["PYTHONPATH"] = str(Path(geministream.__file__).parent.parent)
    env["GEMINI_API_KEY"] = KEY
    env["XDG_STATE_HOME"] = _STATE.name  # a chat keeps its lines there
    env.update(more)
    return {name: value for name, value in env.items() if value is not None}


def command(*args, server=None):
    at_server = ["--base-url", server.url, "--retries", "0"] if server else []
    names = 2 if args[:1] == ("files",) else 1
    return [sys.executable, "-m", "geministream", *map(str, [*args[:names], *at_server, *args[names:]])]


class Result:
    """What a program left behind."""

    def __init__(self, status, out, err):
        self.status = status
        self.raw = out
        self.out = out.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        self.err = err.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        assert KEY not in self.out + self.err
        assert "Traceback" not in self.out + self.err

    @property
    def notes(self):
        """The lines of stderr, each of which begins with the program's name."""
        lines = self.err.splitlines()
        assert all(line.startswith("geministream: ") for line in lines), lines
        return [line[len("geministream: ") :] for line in lines]


def run(*args, server=None, stdin=b"", env=None, cwd=None):
    done = subprocess.run(
        command(*args, server=server),
        input=stdin,
        capture_output=True,
        env=environment(**(env or {})),
        timeout=TIMEOUT,
        cwd=cwd,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here(capfd, monkeypatch):
    """run(), but in this process: for what is not about processes, to be quick."""

    def run_here(*args, server=None, stdin=b"", env=None):
        wanted = environment(**(env or {}))
        for name in set(os.environ) - set(wanted):
            monkeypatch.delenv(name)
        for name, value in wanted.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        status = main(command(*args, server=server)[3:])
        out, err = capfd.readouterr()
        return Result(status, out.encode("utf-8"), err.encode("utf-8"))

    return run_here


@contextmanager
def started(*args, server=None, env=None, **pipes):
    process = subprocess.Popen(
        command(*args, server=server),
        env=environment(**(env or {})),
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes},
    )
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def rest_of(process, already=b""):
    """Wait for its end."""
    err = process.stderr.read()
    out = already + process.stdout.read()
    return Result(process.wait(TIMEOUT), out, err)


def gated(*texts, **how):
    """An answer whose last piece waits for the event."""
    gate = threading.Event()
    return gate, Answer(chunks=list(texts), gates=[_OPEN] * (len(texts) - 1) + [gate], **how)


_OPEN = threading.Event()
_OPEN.set()


@contextmanager
def on_terminal(*args, server=None, env=None, err=True):
    """The program on a pseudo-terminal (``process.terminal``), and a function that reads it up to some text."""
    import pty

    ours, its = pty.openpty()
    pipes = {"stdin": its, "stdout": its, **({"stderr": its} if err else {})}
    try:
        env = {"TERM": "xterm", **(env or {})}
        with started(*args, server=server, env=env, start_new_session=True, **pipes) as process:
            os.close(its)
            process.terminal = ours  # what is written to it is typed
            seen = ""

            def read(until=None):
                """Everything up to ``until``, or to the end."""
                nonlocal seen
                while until is None or until not in seen:
                    if not select.select([ours], [], [], TIMEOUT)[0]:
                        raise AssertionError(f"the program hangs after {seen!r}")
                    try:
                        data = os.read(ours, 65536)
                    except OSError:  # Linux reports the end of a terminal as EIO
                        data = b""
                    if not data:
                        assert until is None, f"no {until!r} in {seen!r}"
                        break
                    seen += data.decode().replace("\r\n", "\n")
                end = len(seen) if until is None else seen.index(until) + len(until)
                text, seen = seen[:end], seen[end:]
                assert KEY not in text and "Traceback" not in text
                return text

            yield process, read
    finally:
        os.close(ours)
