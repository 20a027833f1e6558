"""``geministream serve``: what it prints, its options, and what it shows of requests."""

import shlex
import signal
import socket

import pytest
from support.program import TIMEOUT, needs_posix, needs_pty, on_terminal, run, started

from geministream.cli.serve import how_to_ask
from geministream.testing import LocalServer
from geministream.testing.profiles import PROFILES


@needs_posix
def test_serve():
    with started("serve") as process:
        first = process.stdout.readline().decode()
        example = process.stdout.readline().decode()
        url = first.split(" listens at ")[1].split(";")[0]
        assert (
            "not a model" in first
            and f"GOOGLE_API_KEY=local-key geministream stream --base-url {url}" in example
        )
        result = run("stream", "--base-url", url, "Hello", env={"GOOGLE_API_KEY": "local-key"})
        assert (result.status, result.out) == (0, "You said: Hello\n")
        line = process.stdout.readline().decode()
        assert line.startswith("POST /v1beta/models/gemini-flash-latest:streamGenerateContent 200, ")
        process.send_signal(signal.SIGINT)
        assert (process.wait(TIMEOUT), process.stderr.read()) == (130, b"")


@needs_pty
@pytest.mark.parametrize("stdout_is_terminal", [True, False])
def test_serve_is_not_steered_by_a_path(stdout_is_terminal):
    """Any web page can make a browser send such a request."""
    path = b"/%1b]52;c;eA==%07%c2%9b31m%7f%0d%0aPOST%20/forged%e2%80%ae"

    def get(url):
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as client:
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while client.recv(4096):
                pass

    if stdout_is_terminal:
        with on_terminal("serve") as (process, read):
            get(read(";").split(" listens at ")[1][:-1])
            read("GET ")
            line = read("\n")
    else:
        with started("serve") as process:
            get(process.stdout.readline().decode().split(" listens at ")[1].split(";")[0])
            process.stdout.readline()
            line = process.stdout.readline().decode()
    assert "]52;c;eA==" in line and "forged" in line and line.endswith(" bytes\n")
    assert not set(line) & set("\x1b\x07\x9b\x7f\r\u202e")


@pytest.mark.parametrize(
    "option, value",
    [
        ("port", "-1"),
        ("port", "99999"),
        ("port", "9" * 99),
        ("port", "x"),
        ("host", "a\0b"),
        ("host", "\ud800"),
        ("host", ""),
        ("host", "a b"),
        ("piece-delay", "nan"),
        ("piece-delay", "inf"),
        ("piece-delay", "-1"),
        ("profile", "x"),
        ("api-key", ""),
    ],
)
def test_bad_values_for_serve(here, option, value):
    result = here("serve", f"--{option}={value}")
    assert result.status == 2 and len(result.notes) == 1 and "bug" not in result.notes[0]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_example_of_serve_works(here, profile):
    with LocalServer(profile=profile) as server:
        key, *args = shlex.split(how_to_ask(server).splitlines()[1])
        assert args.pop(0) == "geministream"
        name, _, value = key.partition("=")
        result = here(*args, env={"GEMINI_API_KEY": None, name: value})
    assert (result.status, result.out, result.err) == (0, "You said: Hello there\n", "")


def test_serve_at_a_port_that_is_taken(server):
    result = run("serve", "--port", server.port)
    assert result.status == 1 and len(result.notes) == 1
