"""``geministream serve`` and ``--offline`` for those who try them first."""

import signal

from support.program import TIMEOUT, needs_posix, run, started

from geministream import Endpoint, generate, upload_file
from geministream.cli.story import STORY
from geministream.testing import LocalServer

FIRST = "Tell me a story about a lighthouse"


def test_the_first_command_prints_a_story():
    result = run("stream", "--offline", FIRST)
    assert (result.status, result.out) == (0, STORY + "\n")


def test_other_prompts_are_answered_as_ever():
    assert run("stream", "--offline", "Tell me a story").out == "You said: Tell me a story\n"


@needs_posix
def test_the_server_streams_it_too():
    with started("serve", "--piece-delay", "0") as process:
        url = process.stdout.readline().decode().split(" listens at ")[1].split(";")[0]
        endpoint = Endpoint(url, api_key="local-key")
        assert generate("m", FIRST, endpoint=endpoint).text == STORY
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130


@needs_posix
def test_a_server_for_other_machines_says_how_they_reach_it():
    with started("serve", "--host", "0.0.0.0") as process:
        first, _, third = [process.stdout.readline().decode() for _ in range(3)]
        assert " listens at http://127.0.0.1:" in first
        port = first.split(";")[0].rsplit(":", 1)[1]
        assert third.startswith("other machines reach it at http://")
        assert third.endswith(f":{port}\n")
        assert "0.0.0.0" not in third
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130


def test_uploads_go_where_the_client_reached_the_server():
    with LocalServer(host="0.0.0.0") as server:
        endpoint = Endpoint(f"http://localhost:{server.port}", api_key=server.api_key)
        assert upload_file(b"abc", mime_type="text/plain", endpoint=endpoint).size_bytes == 3
        hosts = {request.headers["host"] for request in server.requests}
        assert hosts == {f"localhost:{server.port}"}
        start = server.requests[0].answer.headers
        assert start["X-Goog-Upload-URL"].startswith(f"http://localhost:{server.port}/")
