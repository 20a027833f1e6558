"""OpenTelemetry's instrumentations, and http.client's own: what they show of a request, and what they must not."""

import http.client
import json

import pytest

pytest.importorskip(
    "opentelemetry.instrumentation.requests", reason="OpenTelemetry is not installed (extra: interop)"
)
pytest.importorskip(
    "opentelemetry.instrumentation.urllib3", reason="OpenTelemetry is not installed (extra: interop)"
)
pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed (extra: interop)")

import requests
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from geministream import APIError, Endpoint, generate_many, stream_generate
from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"
KEY = "secret-key-of-this-test"


@pytest.fixture
def server():
    with LocalServer(api_key=KEY) as server:
        yield server


@pytest.fixture(
    params=[[RequestsInstrumentor], [URLLib3Instrumentor], [RequestsInstrumentor, URLLib3Instrumentor]],
    ids=["requests", "urllib3", "both"],
)
def spans(request):
    """The spans that were made and not yet looked at."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = [instrumentor() for instrumentor in request.param]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)

    def taken():
        finished = exporter.get_finished_spans()
        exporter.clear()
        return [json.loads(span.to_json()) for span in finished]

    taken.by_requests = RequestsInstrumentor in request.param
    yield taken
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def plainly(server, auth="header"):
    response = requests.post(
        server.endpoint.model_url(MODEL, "streamGenerateContent", {"alt": "sse"}),
        stream=True,
        timeout=20,
        headers={"x-goog-api-key": KEY} if auth == "header" else {},
        params={} if auth == "header" else {"key": KEY},
        json={"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    )
    response.raise_for_status()
    lines = [line for line in response.iter_lines() if line.startswith(b"data: ")]
    return "".join(json.loads(line[6:])["candidates"][0]["content"]["parts"][0]["text"] for line in lines)


def streamed(server, auth="header", **options):
    endpoint = Endpoint(server.url, api_key=KEY, auth=auth, retry=None, **options)
    return "".join(chunk.text for chunk in stream_generate(MODEL, "Hello", endpoint=endpoint))


def comparable(spans):
    """What of the spans is the same for the same request."""
    return [
        (
            span["name"],
            span["kind"],
            span["status"],
            {name: value for name, value in span["attributes"].items() if name != "user_agent.original"},
        )
        for span in spans
    ]


@pytest.mark.parametrize("own", [False, True], ids=["library's session", "own session"])
def test_spans_are_those_of_plain_requests(server, spans, own):
    assert plainly(server) == "You said: Hello"
    expected = spans()
    with requests.Session() as session:
        assert streamed(server, session=session if own else None) == "You said: Hello"
    made = spans()
    assert expected and comparable(made) == comparable(expected)
    assert KEY not in json.dumps(made)
    # The context of the trace went along.
    assert all("traceparent" in recorded.headers for recorded in server.requests)


def test_spans_of_a_failure_and_of_a_batch(server, spans):
    server.queue(Answer.failure(404), Answer.failure(404))
    with pytest.raises(requests.HTTPError):
        plainly(server)
    expected = spans()
    with pytest.raises(APIError):
        streamed(server)
    made = spans()
    assert comparable(made) == comparable(expected) and made[0]["status"]["status_code"] == "ERROR"
    endpoint = Endpoint(server.url, api_key=KEY)
    assert all(result.text for result in generate_many(map(str, range(6)), model=MODEL, endpoint=endpoint))
    made += spans()
    assert len(made) == 7 * len(expected)
    assert KEY not in json.dumps(made)


def test_a_key_in_the_query_is_seen_by_who_looks_at_the_requests_of_requests(server, spans):
    """As with plain requests; below, on the way to urllib3, this library takes it out."""
    assert plainly(server, "query") == "You said: Hello"
    expected = spans()
    assert streamed(server, "query") == "You said: Hello"
    made = spans()
    assert server.requests[-1].query["key"] == KEY
    assert (KEY in json.dumps(expected), KEY in json.dumps(made)) == (True, spans.by_requests)


@pytest.mark.parametrize("auth", ["header", "query"])
def test_debuglevel(server, auth, monkeypatch, capsys):
    """It prints the headers as they are sent, whoever sends them: with it on, a key is seen."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    assert plainly(server, auth) == "You said: Hello"
    expected = capsys.readouterr().out
    assert streamed(server, auth) == "You said: Hello"
    printed = capsys.readouterr().out
    for text in (expected, printed):
        assert text.count("send: b'POST /v1beta/models/") == 1 and "reply: 'HTTP/1.1 200 OK" in text
        assert KEY in text
