"""The control endpoint: scripting a server and reading its record over plain HTTP."""

import http.client
import json
import shutil
import subprocess

import pytest
from support.plain_client import HELLO, STREAM, prompt, raw, sse, text_of

from geministream.testing import Answer, LocalServer

TOOLS = [{"functionDeclarations": [{"name": "add", "parameters": {"type": "OBJECT"}}]}]


@pytest.fixture
def server():
    with LocalServer(control=True) as server:
        yield server


@pytest.fixture
def send(server):
    """Send a request with http.client; its status, headers and body."""
    connections = []

    def send(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        connections.append(connection)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    yield send
    for connection in connections:
        connection.close()


@pytest.fixture
def control(send):
    def control(method, action, body=None):
        status, headers, data = send(method, f"/_control/{action}", body)
        assert headers["Content-Type"].startswith("application/json")
        return status, json.loads(data)

    return control


def generate(send, body=HELLO):
    return send("POST", STREAM + "?alt=sse", body, **{"x-goog-api-key": "local-key"})


def test_a_full_quota(send, control):
    assert control("POST", "answers", {"error": {"code": 429, "retry_after": 3}}) == (200, {"queued": 1})
    status, headers, body = generate(send)
    assert (status, headers["Retry-After"]) == (429, "3")
    assert json.loads(body)["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert generate(send)[0] == 200


def test_a_cut_stream(send, control):
    control("POST", "answers", [{"text": ["cut", "short"], "stop_after": -9, "stop_how": "drop"}, "whole"])
    with pytest.raises(http.client.IncompleteRead) as caught:
        generate(send)
    assert b"cut" in caught.value.partial and b"}\r\n\r\n" not in caught.value.partial[-9:]
    assert text_of(sse(generate(send)[2])) == "whole"


def test_a_tool_call_of_two_rounds(send, control):
    control("POST", "answers", [{"calls": [{"name": "add", "args": {"a": 1, "b": 2}}]}, "It is 3."])
    question = {**prompt("What is 1 + 2?"), "tools": TOOLS}
    first = sse(generate(send, question)[2])
    turn = first[0]["candidates"][0]["content"]
    call = turn["parts"][0]["functionCall"]
    assert call == {"name": "add", "args": {"a": 1, "b": 2}}
    told = {"functionResponse": {"name": "add", "response": {"sum": sum(call["args"].values())}}}
    contents = [*question["contents"], turn, {"role": "user", "parts": [told]}]
    assert text_of(sse(generate(send, {**question, "contents": contents})[2])) == "It is 3."

    status, told = control("GET", "requests")
    assert (status, [each["status"] for each in told["requests"]]) == (200, [200, 200])
    second = told["requests"][1]
    assert (second["method"], second["path"], second["query"]) == ("POST", STREAM, {"alt": "sse"})
    assert second["body"]["contents"] == contents


def test_the_record_has_no_credentials(send, control):
    keys = {"x-goog-api-key": "local-key", "Authorization": "Bearer a-secret", "Cookie": "a=b", "X-Mine": "c"}
    send("POST", STREAM + "?alt=sse&key=local-key", b"\xff\x00", **keys)
    send("POST", STREAM, b"not json", **keys)
    status, told = control("GET", "requests")
    assert not any(secret in json.dumps(told) for secret in ("local-key", "a-secret", "a=b"))
    first, second = told["requests"]
    assert first["headers"]["x-goog-api-key"] == first["query"]["key"] == "***"
    assert first["headers"]["x-mine"] == "c"
    assert (first["body_base64"], second["body"]) == ("/wA=", "not json")
    assert [each["status"] for each in told["requests"]] == [400, 400]


def test_rules(send, control):
    assert control("POST", "rules", {"text": "weather", "answer": "Sunny."}) == (200, {})
    for _ in range(2):
        assert text_of(sse(generate(send, prompt("the weather?"))[2])) == "Sunny."
    assert text_of(sse(generate(send)[2])) != "Sunny."


def test_reset_begins_anew(send, control):
    with LocalServer(control=True, script={"answers": ["first"]}) as server:
        server.queue("second")
        server.reset()
        assert server.queued == 1
    control("POST", "answers", "a")
    control("POST", "rules", {"answer": "b"})
    generate(send)
    assert control("POST", "reset", None) == (200, {})
    assert control("GET", "requests") == (200, {"requests": []})
    assert text_of(sse(generate(send, prompt("x"))[2])) == "You said: x"
    assert len(control("GET", "requests")[1]["requests"]) == 1


@pytest.mark.parametrize(
    "method, action, body, status, words",
    [
        ("POST", "answers", {"stop_after": "x"}, 400, '$.stop_after: must be an integer, got "x"'),
        ("POST", "answers", ["a", {"txt": "b"}], 400, '$[1]: "txt" is not a valid name; did you mean "text"?'),
        ("POST", "answers", b"{", 400, "$: is not valid JSON: "),
        ("POST", "rules", [{"answer": 1}], 400, "$[0].answer: must be a string or an object, got 1"),
        ("GET", "answers", None, 404, "GET /_control/answers is not a control request; use POST /_control/answers, "),
        ("POST", "nothing", None, 404, "POST /_control/nothing is not a control request; use "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_control_request(server, control, method, action, body, status, words):
    given, told = control(method, action, body)
    assert given == status and told["error"]["message"].startswith(words)
    assert (server.queued, server.request_count) == (0, 0)


def test_a_control_request_leaves_the_connection_open(server):
    request = b"POST /_control/reset HTTP/1.1\r\nHost: x\r\n%bContent-Length: 1\r\n\r\nx"
    received = raw(server, request % b"" + request % b"Connection: close\r\n")
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2 and server.connections == 1


def test_it_is_off_unless_asked_for():
    with LocalServer() as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        connection.request("POST", "/_control/answers", b'"mine"', {"x-goog-api-key": "local-key"})
        assert connection.getresponse().status == 404
        connection.close()
        assert server.queued == 0 and server.request_count == 1


PROGRAM = r"""
const [url, stream] = process.argv.slice(2);
const control = (action, body) =>
  fetch(`${url}/_control/${action}`, {method: "POST", body: JSON.stringify(body)}).then((r) => r.json());
const ask = (contents) =>
  fetch(`${url}${stream}?alt=sse`, {
    method: "POST",
    headers: {"x-goog-api-key": "local-key", "accept-encoding": "identity"},
    body: JSON.stringify({contents}),
  });
const events = (text) => text.split("\r\n\r\n").filter(Boolean).map((each) => JSON.parse(each.slice(6)));
const question = {role: "user", parts: [{text: "What is 1 + 2?"}]};
const seen = {};

await control("answers", [
  {error: {code: 429, retry_after: 3}},
  {text: ["cut", "short"], stop_after: -9, stop_how: "drop"},
  {calls: [{name: "add", args: {a: 1, b: 2}}]},
  "It is 3.",
]);
const refused = await ask([question]);
seen.refused = [refused.status, refused.headers.get("retry-after")];
await refused.text();
seen.cut = await (await ask([question])).text().then(() => "whole", () => "cut");
const turn = events(await (await ask([question])).text())[0].candidates[0].content;
const {name, args} = turn.parts[0].functionCall;
const told = {functionResponse: {name, response: {sum: args.a + args.b}}};
const answer = events(await (await ask([question, turn, {role: "user", parts: [told]}])).text());
seen.answer = answer[0].candidates[0].content.parts[0].text;
const record = await (await fetch(`${url}/_control/requests`)).json();
seen.sum = record.requests[3].body.contents[2].parts[0].functionResponse.response.sum;
console.log(JSON.stringify(seen));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_a_test_in_javascript(server, tmp_path):
    version = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < 18:
        pytest.skip("needs fetch, of Node.js 18 or later")
    program = tmp_path / "program.mjs"
    program.write_text(PROGRAM)
    done = subprocess.run(
        ["node", str(program), server.url, STREAM], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"refused": [429, "3"], "cut": "cut", "answer": "It is 3.", "sum": 3}
    # fetch() does not send again what failed.
    assert server.request_count == 4
    assert isinstance(server.requests[0].answer, Answer)
