"""What ``import geministream`` loads: next to nothing until a call needs it."""

import ast
from pathlib import Path

import pytest

from geministream import cli

WITHOUT_REQUESTS = """
import sys
import geministream
from geministream import types
endpoint = geministream.Endpoint(api_key="k", base_url="https://gateway.example")
geministream.Endpoint.vertex("project", "europe-west4", "token")
geministream.Cancel().cancel()
content = geministream.to_contents(["a", geministream.part_from_bytes(b"b", "image/png")])
types.GroundingMetadata.from_dict({"new": 1})
geministream.collect([geministream.GenerateContentResponse.from_dict({"candidates": []})])
geministream.json_schema(int), geministream.parse("1", int)
chat = geministream.Chat("m", endpoint=endpoint)
try:
    raise geministream.RateLimitError("x", code=429)
except geministream.GeministreamError:
    pass
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"requests", "urllib3", "http", "ssl", "email", "asyncio"}, loaded
chunks = geministream.stream_generate("m", content, endpoint=endpoint)
assert "requests" in sys.modules
"""


@pytest.mark.parametrize(
    "first", ["", "import geministream.types", "from geministream import stream_generate"]
)
def test_nothing_but_a_call_loads_requests(run_python, first):
    done = run_python(first + WITHOUT_REQUESTS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["stream", "--help"], ["strem"]])
def test_a_command_line_that_sends_nothing_does_not_load_requests(run_python, arguments):
    code = (
        f"import sys\nfrom geministream.cli import main\nmain({arguments!r})\n"
        "assert not {'requests', 'urllib3', 'http', 'ssl'} & set(sys.modules)"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_tools_that_freeze_programs_can_see_every_command():
    source = ast.parse(Path(cli.__file__).read_text("utf-8"))
    shown = {
        alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None
        for alias in node.names
    }
    _, commands = cli.make_parser()
    assert set(commands) <= shown
