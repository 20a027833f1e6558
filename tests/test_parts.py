"""Parts, contents and the request's body: what callers have at hand, and what is sent of it."""

import base64
import json
import os
import pathlib
import pickle
import re

import pytest
import responses
from support.memory import TracedMemory

from geministream import (
    ConfigurationError,
    Endpoint,
    part_from_bytes,
    part_from_path,
    part_from_uri,
    stream_generate,
    to_contents,
)
from geministream.parts import guess_mime_type
from geministream.request import RequestBody
from geministream.types import (
    Blob,
    Content,
    File,
    FileData,
    FunctionDeclaration,
    FunctionResponse,
    GenerationConfig,
    Part,
    SafetySetting,
    ThinkingConfig,
    Tool,
)
from geministream.types.codec import decode_base64

DONE = '{"candidates": [{"finishReason": "STOP"}]}'


def body_of(*args, **kwargs):
    """The JSON that stream_generate() sends for these arguments."""
    with responses.RequestsMock() as mock:
        mock.add_callback(responses.POST, re.compile(".*"), lambda request: (200, {}, DONE))
        list(stream_generate("m", *args, endpoint=Endpoint(api_key="k"), **kwargs))
        body = mock.calls[0].request.body
    assert isinstance(body, bytes)
    return json.loads(body)


def user(*parts):
    return {"role": "user", "parts": list(parts)}


# MIME types -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, mime_type",
    [
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.JPEG", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.heic", "image/heic"),
        ("a.heif", "image/heif"),
        ("a.gif", "image/gif"),
        ("a.wav", "audio/wav"),
        ("a.mp3", "audio/mpeg"),
        ("a.aac", "audio/aac"),
        ("a.aiff", "audio/aiff"),
        ("a.ogg", "audio/ogg"),
        ("a.flac", "audio/flac"),
        ("a.opus", "audio/opus"),
        ("a.m4a", "audio/m4a"),
        ("a.mp4", "video/mp4"),
        ("a.mpeg", "video/mpeg"),
        ("a.mov", "video/quicktime"),
        ("a.avi", "video/avi"),
        ("a.flv", "video/x-flv"),
        ("a.webm", "video/webm"),
        ("a.wmv", "video/wmv"),
        ("a.3gp", "video/3gpp"),
        ("a.mkv", "video/x-matroska"),
        ("a.pdf", "application/pdf"),
        ("a.txt", "text/plain"),
        ("a.md", "text/markdown"),
        ("a.html", "text/html"),
        ("a.csv", "text/csv"),
        ("a.xml", "text/xml"),
        ("a.rtf", "text/rtf"),
        ("a.py", "text/x-python"),
        ("a.json", "application/json"),
        ("archive.v2.PNG", "image/png"),
        ("a", None),
        ("a.unknown", None),
        (".png", None),
        ("", None),
    ],
)
def test_mime_types(name, mime_type):
    found = guess_mime_type(name)
    assert found == mime_type or (mime_type == "text/xml" and found == "application/xml")


def test_mime_types_do_not_depend_on_the_machine(monkeypatch):
    import mimetypes

    monkeypatch.setitem(mimetypes.types_map, ".png", "image/of-this-machine")
    assert guess_mime_type("a.png") == "image/png"


# part_from_… -------------------------------------------------------------------


def test_part_from_path(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG")
    for given in (path, str(path), pathlib.PurePath(path)):
        assert part_from_path(given) == Part(inline_data=Blob(data=b"\x89PNG", mime_type="image/png"))
    assert part_from_path(path, "image/x-own").inline_data.mime_type == "image/x-own"


def test_part_from_path_names_what_is_wrong(tmp_path):
    def error_of(path, *args):
        with pytest.raises(ConfigurationError) as caught:
            part_from_path(path, *args)
        assert caught.value.args[0]
        return str(caught.value)

    missing, directory, empty, unknown = (
        tmp_path / name for name in ("missing.png", "dir.png", "empty.png", "what.xyz-")
    )
    directory.mkdir()
    empty.touch()
    unknown.write_bytes(b"x")
    assert str(missing) in error_of(missing) and "No such file" in error_of(missing)
    assert str(directory) in error_of(directory) and "directory" in error_of(directory)
    assert str(empty) in error_of(empty) and "empty" in error_of(empty)
    assert str(unknown) in error_of(unknown) and "MIME type" in error_of(unknown)
    # What is wrong with the file counts before its name's.
    assert "directory" in error_of(tmp_path)
    assert "No such file" in error_of(tmp_path / "missing")
    error_of("bad\0name.png")
    for nonsense in (None, 7, b"bytes.png", [], Part()):
        error_of(nonsense)
    error_of(unknown, 7)
    error_of(unknown, "nonsense")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_a_regular_file(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(str(pipe))
    with pytest.raises(ConfigurationError, match="regular"):
        part_from_path(pipe)  # and does not wait for a writer


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(ConfigurationError, match=re.escape(str(path))):
        part_from_path(path)


@pytest.mark.parametrize(
    "name, size, fits",
    [("a.pdf", 50 * 10**6 + 1, False), ("a.png", 75 * 10**6 + 1, False), ("a.png", 50 * 10**6 + 1, True)],
)
def test_what_is_too_large_says_where_to_go(tmp_path, name, size, fits):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(size)  # takes no space on the disk
    if fits:
        assert len(part_from_path(path).inline_data.data) == size
    else:
        with pytest.raises(ConfigurationError, match="upload_file"):
            part_from_path(path)


def test_part_from_bytes():
    assert part_from_bytes(b"x", "a/b") == Part(inline_data=Blob(data=b"x", mime_type="a/b"))
    for data in (bytearray(b"x"), memoryview(b"x")):
        made = part_from_bytes(data, "a/b").inline_data.data
        assert made == b"x" and type(made) is bytes
    for data, mime_type in (
        (b"", "a/b"),
        ("text", "a/b"),
        (None, "a/b"),
        ([1], "a/b"),
        (b"x", None),
        (b"x", "png"),
        (b"x", 7),
    ):
        with pytest.raises(ConfigurationError):
            part_from_bytes(data, mime_type)


def test_part_from_uri():
    assert part_from_uri("gs://bucket/a%20b.PNG?x=1").file_data == FileData(
        file_uri="gs://bucket/a%20b.PNG?x=1", mime_type="image/png"
    )
    assert part_from_uri("https://x.test/v1beta/files/abc").file_data.mime_type is None
    assert part_from_uri("https://x.test/a.png", "image/own").file_data.mime_type == "image/own"
    assert part_from_uri("https://[::1/a.png").file_data.mime_type == "image/png"  # the server will judge
    for uri in ("a.png", "/a.png", "", None, 7, b"https://x.test", "://x", "1a:b"):
        with pytest.raises(ConfigurationError):
            part_from_uri(uri)


# Contents ---------------------------------------------------------------------


def test_contents(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    image = Part(inline_data=Blob(data=b"x", mime_type="image/png"))
    file = File(name="files/a", uri="https://x.test/files/a", mime_type="video/mp4", state="ACTIVE")
    video = Part(file_data=FileData(file_uri="https://x.test/files/a", mime_type="video/mp4"))
    turn = Content(role="model", parts=[Part(text="b")])
    cases = [
        ("a", [Content(role="user", parts=[Part(text="a")])]),
        (path, [Content(role="user", parts=[image])]),
        (Part(text="a"), [Content(role="user", parts=[Part(text="a")])]),
        (file, [Content(role="user", parts=[video])]),
        (turn, [turn]),
        ({"text": "a"}, [Content(role="user", parts=[Part(text="a")])]),
        ({"inlineData": {"mimeType": "image/png", "data": "eA=="}}, [Content(role="user", parts=[image])]),
        ({"inline_data": {"mime_type": "image/png", "data": b"x"}}, [Content(role="user", parts=[image])]),
        ({"role": "model", "parts": [{"text": "b"}]}, [turn]),
        (
            ["a", path, file, Part(text="c")],
            [Content(role="user", parts=[Part(text="a"), image, video, Part(text="c")])],
        ),
        (
            ("a", turn, "c", "d"),
            [
                Content(role="user", parts=[Part(text="a")]),
                turn,
                Content(role="user", parts=[Part(text="c"), Part(text="d")]),
            ],
        ),
        (["", "a"], [Content(role="user", parts=[Part(text=""), Part(text="a")])]),
    ]
    for given, expected in cases:
        assert to_contents(given) == expected, given


@pytest.mark.parametrize(
    "contents",
    [
        "",
        [],
        (),
        None,
        7,
        b"bytes",
        object(),
        [None],
        ["a", 7],
        [["nested"]],
        {"a", "b"},
        [b"x"],
        Part,
        iter("a"),
        File(name="files/a", state="PROCESSING", uri="https://x.test"),
        File(name="files/a", state="FAILED"),
        File(),
        pathlib.Path("is-not-here.png"),
        {"role": "user", "parts": 7, "text": "both"},
    ],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.filterwarnings("ignore::geministream.UnknownFieldWarning")
def test_contents_that_are_none(contents):
    try:
        made = to_contents(contents)
    except ConfigurationError as error:
        assert str(error)
    else:
        assert isinstance(contents, dict) and isinstance(made, list)
        return
    with pytest.raises(ConfigurationError):
        stream_generate("m", contents, endpoint=Endpoint(api_key="k"))


def test_what_the_caller_gave_is_not_changed():
    part = {"inline_data": {"mime_type": "a/b", "data": b"x" * 10**5}}
    given = [{"role": "user", "parts": [part, "text"]}, part, "a"]
    before = repr(given)
    body_of(given)
    assert repr(given) == before


# The body ---------------------------------------------------------------------


def test_a_prompt():
    assert body_of("Grüße \u2028 \U0001f600") == {"contents": [user({"text": "Grüße \u2028 \U0001f600"})]}


@pytest.mark.filterwarnings("ignore::geministream.UnknownFieldWarning")
def test_every_field():
    config = {
        "temperature": 0.5,
        "max_output_tokens": 9,
        "thinkingConfig": {"includeThoughts": True},
        "newField": {"a_b": 1},
    }
    assert body_of(
        "hi",
        system_instruction="be brief",
        generation_config=config,
        safety_settings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
        tools=[{"google_search": {}}, {"functionDeclarations": [{"name": "f"}]}],
        tool_config={"function_calling_config": {"mode": "ANY"}},
        cached_content="cachedContents/x",
        extra_body={"labels": {"a_b": "c"}, "generationConfig": {"seed": 7}},
    ) == {
        "contents": [user({"text": "hi"})],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "generationConfig": {
            "temperature": 0.5,
            "maxOutputTokens": 9,
            "thinkingConfig": {"includeThoughts": True},
            "newField": {"a_b": 1},
            "seed": 7,
        },
        "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "cachedContent": "cachedContents/x",
        "labels": {"a_b": "c"},
    }


def test_dataclasses_say_the_same_as_mappings():
    assert body_of(
        [Content(role="user", parts=[Part(text="hi")])],
        system_instruction=Content(parts=[Part(text="be brief")]),
        generation_config=GenerationConfig(
            max_output_tokens=9, thinking_config=ThinkingConfig(thinking_budget=0)
        ),
        safety_settings=SafetySetting(category="C", threshold="T"),
        tools=FunctionDeclaration(name="f"),
    ) == body_of(
        "hi",
        system_instruction=["be brief"] and {"parts": [{"text": "be brief"}]},
        generation_config={"maxOutputTokens": 9, "thinking_config": {"thinking_budget": 0}},
        safety_settings={"category": "C", "threshold": "T"},
        tools=Tool(function_declarations=[FunctionDeclaration(name="f")]),
    )


def test_callables_and_declarations_become_one_tool():
    def clock(zone: str) -> str:
        """Tell the time."""
        return zone

    tools = body_of("hi", tools=[clock, {"googleSearch": {}}, FunctionDeclaration(name="f")])["tools"]
    assert tools[0] == {"googleSearch": {}}
    assert [declaration["name"] for declaration in tools[1]["functionDeclarations"]] == ["clock", "f"]


def test_signatures_go_back_unchanged():
    parts = [
        {"functionCall": {"name": "f", "args": {"snake_case": {"a_b": 1}}}, "thoughtSignature": "a-_/+b"},
        {"text": "", "thoughtSignature": "c2ln"},
    ]
    turn = {"role": "model", "parts": parts}
    assert body_of(["hi", turn])["contents"][1] == turn
    assert body_of(["hi", Content.from_dict(turn)])["contents"][1] == turn


def test_user_data_is_left_alone():
    data = {"snake_case": {"inner_key": [{"mime_type": 1}]}}
    assert body_of([Part(function_response=FunctionResponse(name="f", response=data))]) == {
        "contents": [user({"functionResponse": {"name": "f", "response": data}})]
    }
    assert body_of("hi", extra_body=data)["snake_case"] == data["snake_case"]


def test_media_of_any_size_is_base64():
    for size in (1, 2, 3, 65535, 65536, 65537, 3 * 2**16, 3 * 2**16 + 1, 10**6):
        data = os.urandom(min(size, 50)) * (size // min(size, 50) + 1)
        data = data[:size]
        parts = body_of(["before", part_from_bytes(data, "a/b"), "between", part_from_bytes(data, "a/b")])[
            "contents"
        ][0]["parts"]
        assert (
            parts[1]
            == parts[3]
            == {"inlineData": {"data": base64.b64encode(data).decode(), "mimeType": "a/b"}}
        )
        assert parts[2] == {"text": "between"}


def test_media_in_the_system_instruction():
    data = bytes(10**5)
    body = body_of("hi", system_instruction=Content(parts=[part_from_bytes(data, "a/b")]))
    assert body["systemInstruction"]["parts"][0]["inlineData"]["data"] == base64.b64encode(data).decode()


@pytest.mark.parametrize("size", [10, 10**5])
def test_extra_body_may_replace_media(size):
    one, two = bytes(size), b"\1" * size
    contents = ["x", part_from_bytes(one, "a/b")]
    more = {"contents": [{"parts": [{"text": "other"}]}], "a": 1}
    assert body_of(contents, extra_body=more) == more
    body = body_of(contents, system_instruction=Content(parts=[part_from_bytes(two, "a/b")]), extra_body=more)
    assert body["contents"] == more["contents"]
    assert base64.b64decode(body["systemInstruction"]["parts"][0]["inlineData"]["data"]) == two
    sent = pickle.loads(pickle.dumps(RequestBody(contents, extra_body={"a": 1}))).with_token("t")
    assert base64.b64decode(json.loads(sent)["contents"][0]["parts"][1]["inlineData"]["data"]) == one


def test_media_of_unusual_spelling_goes_back_unchanged():
    spelled = base64.urlsafe_b64encode(b"\xff\xfe" * 10**5).decode().rstrip("=")
    blob = Blob.from_dict({"data": spelled, "mimeType": "a/b"})
    assert blob.data == b"\xff\xfe" * 10**5 and decode_base64(spelled) == blob.data
    assert body_of([Part(inline_data=blob)])["contents"][0]["parts"][0]["inlineData"]["data"] == spelled


def test_large_media_takes_little_more_memory_than_its_base64():
    part = part_from_bytes(bytes(12 * 2**20), "a/b")
    with TracedMemory() as memory:
        body = RequestBody([part]).with_token(None)
    assert 16 * 2**20 < len(body) < 17 * 2**20
    assert memory.peak < 2.2 * len(body)


def test_the_token_of_a_hop():
    body = RequestBody("hi", extra_body={"a": 1})
    assert json.loads(body.with_token(None)) == {"contents": [user({"text": "hi"})], "a": 1}
    assert json.loads(body.with_token("t")) == {
        "contents": [user({"text": "hi"})],
        "a": 1,
        "continuationToken": "t",
    }
    assert json.loads(body.with_token(None)) == {"contents": [user({"text": "hi"})], "a": 1}


CIRCLE = {}
CIRCLE["a"] = CIRCLE
DEEP = {}
for _ in range(100000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    "arguments",
    [
        {"contents": [{"text": float("nan")}]},
        {"contents": {"parts": [{"text": object()}]}},
        {"contents": [{"functionCall": {"args": CIRCLE}}]},
        {"contents": [{"functionCall": {"args": DEEP}}]},
        {"contents": [{"text": "a", "inlineData": {}, "inline_data": {}}]},
        {"system_instruction": []},
        {"system_instruction": 7},
        {"system_instruction": ["a", Content()]},
        {"generation_config": 7},
        {"generation_config": "x"},
        {"generation_config": []},
        {"generation_config": {"a": float("inf")}},
        {"generation_config": {"max_output_tokens": 1, "maxOutputTokens": 2}},
        {"generation_config": {"a": b"x"}},
        {"generation_config": Part()},
        {"generation_config": {"responseSchema": DEEP}},
        {"generation_config": {("a",): 1}},
        {"safety_settings": 7},
        {"safety_settings": ["x"]},
        {"tools": 7},
        {"tools": ["x"]},
        {"tools": [None]},
        {"tools": [7]},
        {"tool_config": 7},
        {"tool_config": []},
        {"cached_content": 7},
        {"cached_content": b"x"},
        {"extra_body": 7},
        {"extra_body": [("a", 1)]},
        {"extra_body": {"a": object()}},
        {"extra_body": {"a": {1, 2}}},
        {"extra_body": CIRCLE},
        {"extra_body": DEEP},
        {"extra_body": {b"a": 1}},
        {"alt": "xml"},
        {"alt": None},
        {"alt": []},
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": "5"},
        {"deadline": True},
        {"deadline": float("nan")},
        {"deadline": float("inf")},
        {"deadline": []},
        {"cancel": True},
        {"cancel": object()},
        {"continuation_token": 7},
        {"continuation_token": b"x"},
    ],
    ids=lambda arguments: ", ".join(arguments),
)
@pytest.mark.filterwarnings("ignore::geministream.UnknownFieldWarning")
def test_arguments_that_cannot_work_raise_at_the_call(arguments):
    with pytest.raises(ConfigurationError) as caught:
        stream_generate("m", **{"contents": "hi", "endpoint": Endpoint(api_key="k"), **arguments})
    assert len(str(caught.value)) < 1000


def test_a_schema_that_holds_itself():
    schema = {"type": "object", "properties": {}}
    schema["properties"]["self"] = schema
    with pytest.raises(ConfigurationError):
        stream_generate(
            "m", "hi", generation_config={"responseSchema": schema}, endpoint=Endpoint(api_key="k")
        )


@pytest.mark.parametrize("name", ["notes.txt.gz", "scan.pdf.bz2", "drawing.svgz"])
def test_a_compressed_file_is_not_sent_as_what_is_inside(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(ConfigurationError, match="cannot guess the MIME type"):
        part_from_path(tmp_path / name)


def test_a_lone_surrogate_is_sent_escaped():
    """Servers send such halves in their texts, and a history must not be stuck because of one."""
    assert (
        RequestBody("a\ud83d").with_token(None)
        == b'{"contents":[{"parts":[{"text":"a\\ud83d"}],"role":"user"}]}'
    )
