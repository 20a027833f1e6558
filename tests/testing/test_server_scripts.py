"""Answers and faults that a test scripts."""

import pytest
from support.plain_client import HELLO, ask, sse, text_of

from geministream.testing import Answer, LocalServer, RandomFaults, expected_text


def test_queue_is_used_in_order_then_the_model(server):
    server.queue("first", Answer.text("sec", "ond"), Answer([{"candidates": []}, b": ping\r\n\r\n"]))
    assert text_of(sse(ask(server).content)) == "first"
    chunks = sse(ask(server).content)
    assert text_of(chunks) == "second"
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, "STOP"]
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 2
    assert ask(server).content == b'data: {"candidates": []}\r\n\r\n: ping\r\n\r\n'
    assert server.queued == 0 and text_of(sse(ask(server).content)) == expected_text(HELLO)


def test_answer_with_sees_every_path(server):
    server.answer_with(lambda recorded: Answer(body=b"mine", status=418) if recorded.path == "/x" else None)
    assert ask(server, path="/x").status_code == 418
    assert text_of(sse(ask(server).content)) == expected_text(HELLO)


def test_queued_answers_wait_for_a_good_request(server):
    server.queue("scripted")
    assert ask(server, {}).status_code == 400 and ask(server, headers={}).status_code == 403
    assert text_of(sse(ask(server).content)) == "scripted"


@pytest.mark.parametrize(
    "answer, content_type, body",
    [
        (Answer(["x"], framing="json", finish=None), "application/json; charset=UTF-8", None),
        (Answer(["x"], framing="ndjson"), "application/x-ndjson", None),
        (Answer(["x"], framing="object"), "application/json; charset=UTF-8", None),
        (Answer(["x"], content_type="text/plain"), "text/plain", None),
        (Answer(body=[b"ab", b"cd"], content_type="x/y"), "x/y", b"abcd"),
        (Answer([], framing="json"), "application/json; charset=UTF-8", b"[]"),
        (Answer([]), "text/event-stream", b""),
    ],
)
def test_framings(server, answer, content_type, body):
    server.queue(answer)
    response = ask(server)
    assert response.status_code == 200 and response.headers["Content-Type"] == content_type
    if body is not None:
        assert response.content == body
    elif answer.framing == "json":
        assert text_of(response.json()) == "x"


def test_objects_with_to_dict_and_iterators(server):
    class Chunk:
        def to_dict(self):
            return {"candidates": [{"index": 0, "content": {"parts": [{"text": "z"}]}}]}

    server.queue(Answer(Chunk() for _ in range(3)))
    assert text_of(sse(ask(server).content)) == "zzz"


@pytest.mark.parametrize(
    "form, alt, found",
    [
        (None, "sse", b'data: {"error": {"code": 429'),
        (None, None, b',\r\n{\n  "error": {\n    "code": 429'),
        ("event", "sse", b'event: error\r\ndata: {"error"'),
        ("raw", "sse", b'\r\n\r\n{\n  "error": {\n'),
    ],
)
def test_errors_in_the_stream(server, form, alt, found):
    server.queue(Answer(["x"], stream_error=(429, None, "slow down"), error_form=form))
    response = ask(server, alt=alt)
    assert response.status_code == 200 and found in response.content and b"slow down" in response.content
    assert b"finishReason" not in response.content
    assert server.requests[0].fault == "error 429 in the stream"


def test_http_errors(server):
    server.queue(
        Answer.failure(503, "busy", retry_after=7, retry_info="1.5s"),
        Answer(status=429),
        Answer(error={"code": "400", "message": "m"}),
        Answer(status=502, body=b"<html>"),
    )
    response = ask(server)
    assert response.status_code == 503 and response.headers["Retry-After"] == "7"
    assert response.json()["error"] == {
        "code": 503,
        "message": "busy",
        "status": "UNAVAILABLE",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}],
    }
    assert ask(server).json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    response = ask(server)
    assert response.status_code == 400 and response.json() == {"error": {"code": "400", "message": "m"}}
    response = ask(server)
    assert (response.status_code, response.content) == (502, b"<html>")
    assert [each.fault for each in server.requests] == [
        "status 503",
        "status 429",
        "status 400",
        "status 502",
    ]


def test_calls_images_and_blocks(server):
    server.queue(
        Answer.calls(("f", {"a": 1}), ("g", {}), signature="c2ln", ids=["1", "2"]), Answer.blocked("OTHER")
    )
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in sse(ask(server).content)]
    assert parts == [
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "1"}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": {}, "id": "2"}},
    ]
    assert sse(ask(server).content)[0]["promptFeedback"] == {"blockReason": "OTHER"}


def test_wrong_words_are_refused_at_once():
    for wrong in (
        {"framing": "xml"},
        {"stop_how": "explode"},
        {"transfer": "pigeon"},
        {"error_form": "song"},
    ):
        with pytest.raises(ValueError, match="|".join(wrong)):
            Answer(**wrong)


# -- faults ---------------------------------------------------------------------------


def test_faults_are_put_on_the_answer_due(server):
    server.faults += [None, Answer(stop_after=30, stop_how="end"), Answer.failure(503)]
    server.queue("one", "two", "three")
    assert text_of(sse(ask(server).content)) == "one"
    assert len(ask(server).content) == 30
    assert ask(server).status_code == 503
    assert text_of(sse(ask(server).content)) == "three"  # an HTTP fault uses up no answer
    assert [each.fault for each in server.requests] == [None, "end after 30 bytes", "status 503", None]


def test_random_faults_are_the_same_for_the_same_seed():
    def run(seed):
        faults = RandomFaults(seed, rate=0.5)
        return [fault and fault.fault for fault in (faults(None) for _ in range(50))]

    assert run(1) == run(1) != run(2)
    assert 10 < sum(fault is not None for fault in run(3)) < 40
    with LocalServer(faults=RandomFaults(7, rate=1.0, kinds=("end",), body_bytes=1, limit=2)) as server:
        assert [len(ask(server).content) > 0 for _ in range(3)] == [False, False, True]
