"""JSON with many levels, which a Python may read and not be able to write: no request breaks the server."""

import json

import pytest
import requests
from support.plain_client import HELLO, KEY, STREAM

from geministream.testing import LocalServer, Recorder, Replay
from geministream.testing.json_checks import DEEPEST, ScriptError, parse_json
from geministream.testing.script_file import read_script

# Near the limits of all Pythons: of calls, of C's stack, of the json module's indented output.
DEPTHS = [DEEPEST + 1, *range(880, 1010, 16), 2990, 5000, 9990, 100000]

SSE = STREAM + "?alt=sse"


def nested(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text, more", [("%s", 0), ("[%s]", 1), ('{"a": %s, "b": [[]]}', 1), ('[1, {"a": %s}, []]', 2)]
)
def test_the_limit_is_exact(text, more):
    fits = text % nested(DEEPEST - more)
    assert parse_json(fits) == parse_json(fits.encode()) == json.loads(fits)
    with pytest.raises(ValueError, match="Nested more than 100 levels deep"):
        parse_json(text % nested(DEEPEST - more + 1))


def test_values_without_levels():
    assert [parse_json(text) for text in ("1", '"["', "null", "[]", "{}")] == [1, "[", None, [], {}]


@pytest.mark.parametrize(
    "path, body",
    [
        (SSE, '{"contents": [{"parts": [{"text": "x"}]}], "a": %s}'),
        (SSE, "%s"),
        ("/v1beta/models/m:countTokens", '{"contents": %s}'),
        ("/v1beta/models/m:embedContent", '{"content": %s}'),
        ("/v1beta/cachedContents", '{"model": "models/m", "contents": %s}'),
        ("/upload/v1beta/files", '{"file": {"name": %s}}'),
        ("/_control/answers", "%s"),
        ("/_control/answers", '{"chunks": [{"a": %s}]}'),
        ("/_control/rules", '{"text": %s, "answer": "x"}'),
    ],
)
def test_requests(path, body):
    upload = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
    with LocalServer(control=True) as server, requests.Session() as session:
        session.headers.update({**KEY, **(upload if "upload" in path else {})})
        for levels in DEPTHS:
            answer = session.post(server.url + path, data=body % nested(levels), timeout=10)
            assert answer.status_code == 400, levels
            assert answer.json()["error"]["message"]
        shown = session.get(server.url + "/_control/requests", timeout=10).json()["requests"]
        assert [each["body"] for each in shown] == [
            body % nested(levels) for levels in DEPTHS if "_control" not in path
        ]
        assert server.errors == []


def test_a_script(tmp_path):
    path, script = tmp_path / "talk.json", '{"answers": [{"chunks": [{"a": %s}]}]}'
    for levels in DEPTHS:
        path.write_text(script % nested(levels))
        with pytest.raises(
            ScriptError, match="talk.json: is not valid JSON: Nested more than 100 levels deep"
        ):
            read_script(path)


def test_a_recording_has_them_as_text(tmp_path):
    bodies = [json.dumps({**HELLO, "a": 0}).replace("0", nested(levels)) for levels in (1, *DEPTHS)]

    def answers(server):
        return [
            requests.post(server.url + STREAM, data=body, headers=KEY, timeout=10).status_code
            for body in bodies
        ]

    with LocalServer() as upstream, LocalServer(record=Recorder(tmp_path, upstream.url)) as server:
        recorded = answers(server)
    written = [json.loads(path.read_text("utf-8"))["request"]["body"] for path in sorted(tmp_path.iterdir())]
    assert written == [{"json": json.loads(bodies[0])}, *({"text": body} for body in bodies[1:])]
    with LocalServer(replay=Replay(tmp_path)) as replay:
        assert answers(replay) == recorded
