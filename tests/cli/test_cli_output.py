"""What ``stream`` prints: text, JSON, media and usage, in a pipe and on a terminal."""

import base64
import json
import re
from functools import partial

import pytest
from support.memory import TracedMemory
from support.program import KEY, needs_posix, needs_pty, on_terminal, rest_of, run, started

from geministream import GenerateContentResponse
from geministream.cli.answer import Answer as Shown
from geministream.cli.terminal import json_line
from geministream.testing import Answer, LocalServer

ODD = 'line\u2028end\x85\u2029 \x0b\x0c \u00e9\U0001f600 \x1b[31m \ud83d "q" \\'


def test_json_lines_are_the_chunks(server):
    texts = ["one\n", "two", ODD, "\u4f60\u597d"]
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": text, "newField": {"a": [None]}}]}}]}
        for text in texts
    ]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    server.queue(Answer(chunks=chunks))
    result = run("stream", "--json", "--usage", "Hello", server=server, env={"PYTHONIOENCODING": "latin-1"})
    assert (result.status, result.err) == (0, "")
    lines = result.raw.decode("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == chunks
    assert [GenerateContentResponse.from_dict(json.loads(line)).text for line in lines] == texts


def test_json_line_is_one_line():
    line = json_line({"text": ODD})
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line) == {"text": ODD}


@pytest.mark.parametrize(
    "encoding, printed", [("utf-8", "na\u00efve \u4f60 \\ud83d\n"), ("ascii", "na\\xefve \\u4f60 \\ud83d\n")]
)
def test_text_that_the_encoding_cannot_show(server, encoding, printed):
    server.queue(Answer.text("na\u00efve \u4f60 \ud83d"))
    result = run("stream", "Hello", server=server, env={"PYTHONIOENCODING": encoding})
    assert (result.status, result.out) == (0, printed)


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "integer"}}}


def test_schema(here, server, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    result = here("stream", "--schema", path, "How many?", server=server)
    assert (result.status, json.loads(result.out)) == (0, {"name": "name", "count": 1})
    assert server.requests[0].json["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    # Half a JSON text is no answer.
    result = here("stream", "--schema", path, "--max-tokens", "1", "How many?", server=server)
    assert result.status == 4 and "MAX_TOKENS" in result.notes[0]


@pytest.mark.parametrize(
    "text, words", [("{", "not valid JSON"), ("[1]", "not a JSON schema"), (None, "No such file")]
)
def test_a_schema_that_is_none(here, server, tmp_path, text, words):
    path = tmp_path / "schema.json"
    if text is not None:
        path.write_text(text)
    result = here("stream", "--schema", path, "Hello", server=server)
    assert (result.status, server.requests) == (2, [])
    assert words in result.notes[0]


def media(*blobs):
    parts = [
        {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}
        for mime_type, data in blobs
    ]
    return [
        {
            "candidates": [
                {"content": {"parts": [{"text": "Here: "}, *parts, {"text": "end"}]}, "finishReason": "STOP"}
            ]
        }
    ]


def test_save_media(here, server, tmp_path):
    blobs = [
        ("image/png", b"PNG"),
        ("image/png", b"PNG2"),
        ("audio/L16;rate=24000", b"PCM"),
        ("../../x/../y", b"?"),
    ]
    into = tmp_path / "new" / "media"
    server.queue(Answer(chunks=media(*blobs)), Answer(chunks=media(*blobs[:1])))
    result = here("stream", "--save-media", into, "Draw", server=server)
    names = ["image-1.png", "image-2.png", "audio-1.pcm", "data-1.bin"]
    lines = ["Here: ", *(str(into / name) for name in names), "end"]
    assert (result.status, result.out, result.err) == (0, "\n".join(lines) + "\n", "")
    assert [(into / name).read_bytes() for name in names] == [data for _, data in blobs]

    result = here("stream", "--save-media", into, "--json", "Draw", server=server)
    assert result.notes == [f"saved {into / 'image-3.png'}"]
    assert (into / "image-3.png").read_bytes() == b"PNG"
    assert [json.loads(line) for line in result.out.splitlines()] == media(blobs[0])


@needs_posix
def test_half_an_image_does_not_stay(server, tmp_path):
    import resource

    server.queue(Answer(chunks=media(("image/png", b"PNG" * 1000))))
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, 1000))
    with started("stream", "--save-media", tmp_path, "Draw", server=server, preexec_fn=limit) as process:
        result = rest_of(process)
    assert result.status == 1 and result.notes == [f"{tmp_path / 'image-1.png'}: File too large"]
    assert list(tmp_path.iterdir()) == []


def test_media_that_cannot_be_saved(here, server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    result = here("stream", "--save-media", tmp_path / "file", "Draw", server=server)
    assert (result.status, server.requests) == (2, [])
    server.queue(Answer(chunks=media(("image/png", b"PNG"))))
    result = here("stream", "Draw", server=server)
    assert (result.status, result.out) == (0, "Here: end\n")
    assert "--save-media" in result.notes[0]
    chunks = media(("image/png", b"PNG"))
    chunks[0]["candidates"][0]["content"]["parts"][1]["inlineData"]["data"] = "no base64!"
    server.queue(Answer(chunks=chunks))
    result = here("stream", "--save-media", tmp_path, "Draw", server=server)
    assert result.status == 0 and "not valid base64" in result.notes[0]


def test_a_pipe_gets_the_text_as_it_is(here, server):
    server.queue(Answer.text("\x1b[31mred\x07"))
    assert here("stream", "Hello", server=server).out == "\x1b[31mred\x07\n"


def test_thoughts_go_to_stderr_when_the_answer_goes_to_a_file(server):
    result = run("stream", "--thoughts", "Hello", server=server)
    assert (result.status, result.out) == (0, "You said: Hello\n")
    assert result.err == "**Reading the prompt**\n\nIt has 1 tokens in 1 parts.\n"


def test_usage(here, server):
    result = here("stream", "--usage", "Hello there", server=server)
    assert result.notes == ["2 prompt + 4 answer = 6 tokens, STOP, gemini-flash-latest"]
    server.queue(Answer.text("some ", finish=None))
    result = here("stream", "--usage", "Hello there", server=server)
    assert result.notes[0] == "1 prompt + 1 answer = 2 tokens, scripted"
    assert result.status == 4 and "finish reason" in result.notes[1]


def test_usage_of_an_answer_over_several_requests(here):
    with LocalServer(api_key=KEY, tokens_per_request=3) as server:
        result = here("stream", "--usage", "a b c d", server=server)
        assert result.out == "You said: a b c d\n" and server.request_count == 2
    assert result.notes == [
        "11 prompt + 6 answer = 17 tokens, in 2 requests "
        "(4 prompt + 3 answer = 7 tokens; 7 prompt + 3 answer = 10 tokens), STOP, gemini-flash-latest"
    ]


def test_a_long_answer_is_not_kept():
    piece = {
        "candidates": [{"content": {"parts": [{"text": "x" * 10000}]}}],
        "usageMetadata": {"totalTokenCount": 1},
    }
    chunks = (GenerateContentResponse.from_dict(json.loads(json.dumps(piece))) for _ in range(1000))
    answer = Shown(usage=True)
    answer.show(next(chunks))  # makes what is kept for all chunks
    with TracedMemory() as memory:
        for chunk in chunks:
            answer.show(chunk)
    assert memory.peak < 2**20
    assert answer.usage == "1 tokens"


def test_parts_that_are_not_text_are_mentioned(here, server):
    server.queue(Answer.call("look_up", {"word": "x"}))
    result = here("stream", "Hello", server=server)
    assert (result.status, result.out) == (0, "")
    assert result.notes == ["the answer contains functionCall, which is not shown; stream --json shows it"]


# -- on a terminal ---------------------------------------------------------------


@needs_pty
def test_thoughts_are_dimmed_on_a_terminal(server):
    thought = {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}]}
    server.queue(
        Answer(chunks=[thought, thought, "Yes"]),
        Answer(chunks=[thought, "Yes"]),
        Answer(chunks=[thought, "Yes"]),
    )
    with on_terminal("stream", "--thoughts", "Hello", server=server) as (process, read):
        assert read() == "\x1b[2mHm\x1b[22m\x1b[2mHm\x1b[22m\n\nYes\n"
    with on_terminal("stream", "--thoughts", "Hello", server=server, env={"NO_COLOR": "1"}) as (
        process,
        read,
    ):
        assert read() == "Hm\n\nYes\n"
    with on_terminal("stream", "Hello", server=server) as (process, read):
        assert read() == "Yes\n"


@needs_pty
def test_a_terminal_is_not_steered_by_the_answer(server):
    server.queue(Answer.text("a\x1b]52;c;ZXZpbA==\x07b\r\n\tc\x9b2J\x7f"))
    with on_terminal("stream", "Hello", server=server) as (process, read):
        assert read() == "a\u241b]52;c;ZXZpbA==\u2407b\n\tc\ufffd2J\u2421\n"


@needs_pty
def test_a_terminal_shows_a_retry(server):
    server.queue(Answer.failure(503, retry_info="0.01s"), Answer.text("better"))
    with on_terminal("stream", "--retries", "1", "Hello", server=server) as (process, read):
        text = read()
    told = r"geministream: 503 UNAVAILABLE \(Scripted: UNAVAILABLE\.\); retrying in (0\.\d|1) s \(2 of 2\)\n"
    count = r"(\r\x1b\[2mwaiting… \d+ s\x1b\[22m\r +\r)?"  # on a busy machine
    assert re.fullmatch(told + count + "better\n", text)


@needs_pty
def test_a_terminal_shows_that_the_answer_resumed():
    words = "one two three four five six seven eight nine ten"
    with LocalServer(api_key=KEY, checkpoint_every=1, faults=[Answer(stop_after=-20)]) as server:
        with on_terminal("stream", words, "--retries", "1", server=server) as (process, read):
            assert read() == (f"You said: {words}\ngeministream: the answer was interrupted and resumed\n")
