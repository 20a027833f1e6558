"""The messages and their codec: complete, lossless, and good to handle."""

import ast
import base64
import copy
import dataclasses
import inspect
import json
import pickle
import platform
import random
import subprocess
import sys
import typing
from pathlib import Path
from types import MappingProxyType

import pytest
from support import typing_examples
from support.wire_facts import ENUMS, MESSAGES, fields_of

import geministream
from geministream import types
from geministream.errors import BlockedError, ConfigurationError, StreamDecodeError
from geministream.types import (
    Blob,
    Content,
    File,
    FinishReason,
    FunctionCall,
    FunctionDeclaration,
    GenerateContentResponse,
    GenerationConfig,
    Part,
    PromptFeedback,
    ThinkingConfig,
    Tool,
)
from geministream.types.codec import Int64, SpelledBytes, from_request, wire_name

CHUNK = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "Let me think.", "thought": True},
                    {"text": "It is "},
                    {"functionCall": {"name": "clock", "args": {"time_zone": "UTC"}}},
                    {"text": "noon.", "thoughtSignature": "c2ln+/8="},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
            "citationMetadata": {"citationSources": [{"uri": "https://example.com/", "new": 1}]},
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 12,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    },
    "brandNew": {"snake_case": [None]},
}


def answer(*parts, **candidate):
    content = {"parts": list(parts), "role": "model"}
    return GenerateContentResponse.from_dict({"candidates": [{"content": content, **candidate}]})


# All that the wire has -----------------------------------------------------------


PYTHON_TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "int64": Int64,
    "dict": typing.Dict[str, typing.Any],
    "{str}": typing.Dict[str, str],
    "any": typing.Any,
    **dict.fromkeys(ENUMS, str),
}


def python_type(kind):
    if kind.startswith("["):
        return typing.List[python_type(kind[1:-1])]
    return PYTHON_TYPES.get(kind) or getattr(types, kind)


@pytest.fixture(scope="module")
def hints():
    """The evaluated annotations of a class; those of rooms that are loaded later are evaluated, too."""
    names = {name: getattr(types, name) for name in types.__all__}
    return lambda cls: typing.get_type_hints(cls, localns=names)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_field_of_the_wire_is_there_with_its_type(message, hints):
    cls = getattr(types, message)
    annotations = hints(cls)
    facts = fields_of(message)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    assert list(fields)[-1] == "extra"
    assert {wire_name(name) for name in fields if name != "extra"} == set(facts)
    for name, field in fields.items():
        if name != "extra":
            expected = python_type(facts[wire_name(name)])
            assert field.default is None
            assert annotations[name] == typing.Optional[expected], name


@pytest.mark.parametrize("enum", ENUMS)
def test_every_value_of_an_enum_is_a_constant_equal_to_its_name(enum):
    constants = {k: v for k, v in vars(getattr(types, enum)).items() if not k.startswith("_")}
    assert constants == {value: value for value in ENUMS[enum].split()}


def test_all_names_what_there_is_and_nothing_else():
    aliases = {n for n in types.__all__ if getattr(types, n).__name__ != n}
    friendly = {getattr(types, n).__name__ for n in aliases}
    assert len(types.__all__) == len(set(types.__all__))
    assert set(types.__all__) == {*MESSAGES, *ENUMS, *friendly}
    assert aliases < set(MESSAGES)
    assert set(types.__all__) <= set(dir(types))


def test_every_class_has_a_docstring_that_names_only_its_own_fields():
    for name in types.__all__:
        cls = getattr(types, name)
        assert cls.__doc__.split("\n\n")[0].endswith((".", "…")), name
        if dataclasses.is_dataclass(cls):
            noted = [w.split(":")[0] for w in cls.__doc__.split(":ivar ")[1:]]
            assert set(noted) <= {f.name for f in dataclasses.fields(cls)}, name


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="GenerationConfg"):
        types.GenerationConfg
    with pytest.raises(ImportError):
        from geministream.types import Parrt  # noqa: F401


FIRST_USE = """
import pickle, sys
from geministream import types
rare, request = "geministream.types.grounding", "geministream.types.request"
plain = types.GenerateContentResponse.from_dict({"candidates": [{"content": {"parts": [{"text": "a"}]}}]})
plain.to_dict(), repr(plain), plain.text, pickle.loads(pickle.dumps(plain))
assert "GroundingMetadata" in dir(types) and "GenerationConfig" in dir(types)
assert rare not in sys.modules and request not in sys.modules
types.GenerationConfig
assert rare not in sys.modules and request in sys.modules
grounded = types.GenerateContentResponse.from_dict({"candidates": [{"groundingMetadata": {"new": 1}}]})
assert type(grounded.candidates[0].grounding_metadata).__name__ == "GroundingMetadata"
assert rare in sys.modules
"""


def test_what_is_seldom_needed_is_loaded_on_first_use():
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True)


def test_a_pickle_of_a_lazily_loaded_message_can_be_read_by_a_fresh_process():
    config = GenerationConfig(temperature=0.5, thinking_config=ThinkingConfig(thinking_budget=0))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(config), stdout=subprocess.PIPE, check=True
    )
    assert run.stdout.decode().strip() == repr(config)


# There and back ------------------------------------------------------------------


TEXTS = ["", "a", "Grüße\u2028\x85", "STOP", "extra", "\ud800", "x" * 300]


class Drawing:
    """Random JSON objects that a server may send for a message, most of them sound."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def message(self, name, depth=0):
        facts = fields_of(name)
        share = self.random.choice([0.1, 0.4, 0.9] if depth < 4 else [0.1, 0.4])
        drawn = {field: self.field(facts[field], depth) for field in facts if self.chance(share)}
        while self.chance(0.15):
            unknown = ["brandNew", "snake_case", "extra", "__class__", "from_dict", "finish_reason", ""]
            drawn[self.random.choice(unknown)] = self.anything()
        items = list(drawn.items())
        self.random.shuffle(items)
        return dict(items)

    def field(self, kind, depth):
        if self.chance(0.05):
            return None
        return self.anything() if self.chance(0.05) else self.sound(kind, depth)

    def sound(self, kind, depth):
        if kind.startswith("["):
            return [self.field(kind[1:-1], depth) for _ in range(self.random.choice([0, 1, 1, 2]))]
        if kind in MESSAGES:
            return self.message(kind, depth + 1)
        if kind in ENUMS:
            return self.random.choice(ENUMS[kind].split() + ["FUNCTION_CALL", ""])
        if kind == "bytes":
            return self.base64()
        number = self.random.choice([0, 1, -1, 7, 10**15, 2**63 - 1, -(2**63)])
        return {
            "str": self.random.choice(TEXTS),
            "int": number,
            "float": self.random.choice([0.0, -0.5, 1e-300, 3, number / 7]),
            "bool": self.chance(0.5),
            "int64": self.random.choice([str(number), str(number), number, "007", "-0", "+1", "1e3"]),
            "dict": {self.random.choice(TEXTS): self.anything(), "some_key": 1},
            "{str}": {self.random.choice(TEXTS): "a"},
            "any": self.anything(),
        }[kind]

    def base64(self):
        data = bytes(self.random.getrandbits(8) for _ in range(self.random.randrange(9)))
        text = base64.b64encode(data).decode()
        return self.random.choice([text, text, text.rstrip("="), *spoiled(text)])

    def anything(self):
        simple = [None, True, False, 0, 1, 1.0, -0.0, "", "text", "1024", [], {}, [None], [[]]]
        nested = [{"text": "x", "partMetadata": None}, ["a", {"name": 1}], {"parts": {}}, [{"k": []}]]
        return copy.deepcopy(self.random.choice(simple + nested))

    def chance(self, share):
        return self.random.random() < share


def spoiled(text):
    """Base64 as no encoder of ours would write it, and what is no base64 at all."""
    return [
        text.replace("+", "-").replace("/", "_"),
        "\n" + text,
        text[:4] + "\r\n" + text[4:],
        text + "=",
        text + "!",
        text[:-1],
        text[::-1],
        " ".join(text),
        "é" + text,
    ]


def without_known_nulls(value, kind):
    """What must come back: explicit nulls of known fields are the one thing that does not."""
    if kind in MESSAGES and isinstance(value, dict):
        facts = fields_of(kind)
        return {
            key: without_known_nulls(item, facts.get(key, "any"))
            for key, item in value.items()
            if item is not None or key not in facts
        }
    if kind.startswith("[") and isinstance(value, list):
        return [without_known_nulls(item, kind[1:-1]) for item in value]
    return value


def exactly(value):
    """As text, because ``1 == 1.0 == True``."""
    return json.dumps(value, sort_keys=True)


def test_ten_thousand_random_objects_come_back_as_they_went():
    drawing = Drawing(seed=3)
    others = sorted(MESSAGES)
    for number in range(10000):
        name = "GenerateContentResponse" if number % 2 else others[number // 2 % len(others)]
        cls = getattr(types, name)
        came = drawing.message(name)
        before = exactly(came)
        message = cls.from_dict(came)
        assert exactly(message.to_dict()) == exactly(without_known_nulls(came, name))
        assert exactly(came) == before
        if name == "GenerateContentResponse":
            assert_conveniences_never_fail(message)
        if number % 10 == 1:
            assert pickle.loads(pickle.dumps(message)) == copy.deepcopy(message) == message
            assert exactly(pickle.loads(pickle.dumps(message)).to_dict()) == exactly(message.to_dict())
            assert from_request(cls, message, "it") is message
            assert len(repr(message)) < 100 + 40 * len(before)


def assert_conveniences_never_fail(response):
    assert isinstance(response.text, str)
    assert isinstance(response.thoughts, str)
    assert all(type(part) is Part for part in response.parts)
    assert all(type(call) is FunctionCall for call in response.function_calls)
    assert response.finish_reason is None or type(response.finish_reason) is str
    try:
        assert response.raise_for_block() is response
    except BlockedError as error:
        assert type(error.reason) is str and error.response is response


@pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="PyPy may reorder an object's attributes"
)
def test_what_came_goes_back_in_the_order_in_which_it_came():
    assert json.dumps(GenerateContentResponse.from_dict(CHUNK).to_dict()) == json.dumps(CHUNK)


def test_a_turn_received_goes_into_a_request_as_it_came():
    turn = GenerateContentResponse.from_dict(CHUNK).candidates[0].content
    request = types.GenerateContentRequest(contents=[turn])
    assert request.to_dict() == {"contents": [CHUNK["candidates"][0]["content"]]}
    assert turn.parts[3].thought_signature == "c2ln+/8="


def test_types_of_values():
    came = {"sizeBytes": "1024", "createTime": "2025-01-01T00:00:00.5Z", "videoMetadata": {"a_b": "1s"}}
    file = File.from_dict(came)
    assert (file.size_bytes, type(file.size_bytes)) == (1024, int)
    assert file.create_time == "2025-01-01T00:00:00.5Z"
    assert file.video_metadata == {"a_b": "1s"}
    assert Blob.from_dict({"data": "aGk="}).data == b"hi"
    assert File(size_bytes=5).to_dict() == {"sizeBytes": "5"}
    assert Blob(data=b"hi").to_dict() == Blob(data=bytearray(b"hi")).to_dict() == {"data": "aGk="}


def test_a_field_of_an_unexpected_type_stays_as_it_came():
    came = {"candidates": "none", "usageMetadata": [1], "modelVersion": {"a": 1}, "promptFeedback": 0}
    response = GenerateContentResponse.from_dict(came)
    assert (response.candidates, response.usage_metadata) == ("none", [1])
    assert response.to_dict() == came
    assert exactly(File.from_dict({"sizeBytes": True}).to_dict()) == '{"sizeBytes": true}'


def test_an_int64_that_came_as_a_number_is_an_int_and_goes_back_as_a_number():
    file = File.from_dict({"sizeBytes": 1024})
    assert file.size_bytes + 1 == 1025 and repr(file) == "File(size_bytes=1024)"
    assert exactly(pickle.loads(pickle.dumps(file)).to_dict()) == '{"sizeBytes": 1024}'
    assert File.from_dict({"sizeBytes": "007"}).size_bytes == "007"


def test_only_mappings_can_be_messages():
    for value in ([], "text", None, 5):
        with pytest.raises(StreamDecodeError, match="GenerateContentResponse is a JSON object"):
            GenerateContentResponse.from_dict(value)
    assert Part.from_dict(MappingProxyType({"text": "a"})) == Part(text="a")


@pytest.mark.parametrize("remainder", range(4))
def test_base64_as_other_servers_write_it(remainder):
    data = bytes(range(256)) * 3 + b"?" * remainder
    usual = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    assert type(Blob.from_dict({"data": usual}).data) is bytes
    for text in {url_safe, url_safe.rstrip("="), base64.encodebytes(data).decode()}:
        blob = Blob.from_dict({"data": text})
        assert blob.data == data and isinstance(blob.data, SpelledBytes)
        assert blob.to_dict() == {"data": text}
        assert pickle.loads(pickle.dumps(blob)).to_dict() == copy.deepcopy(blob).to_dict() == {"data": text}


@pytest.mark.parametrize(
    "text", ["not!", "Q", "=QQ=", "QQ=A", "QQ==QQ==", "QQ===", "====", "é", "\ud800", "QQQ Q", "\x00"]
)
def test_what_is_not_base64_is_kept_as_the_text_that_it_is(text):
    blob = Blob.from_dict({"data": text})
    assert blob.data == text and blob.to_dict() == {"data": text}


@pytest.mark.parametrize("text", ["", "QQ", "QQ=", "QR==", "\nQQ==", "Q\nQ==", "QQ==\r\n", "QUJD\n\n\n\n"])
def test_odd_spellings_of_base64_are_bytes_and_go_back_as_they_came(text):
    blob = Blob.from_dict({"data": text})
    assert blob.data in (b"", b"A", b"ABC") and blob.to_dict() == {"data": text}


# Requests, in both spellings ------------------------------------------------------


def test_a_mapping_may_use_either_spelling_at_any_depth():
    camel = {
        "maxOutputTokens": 5,
        "speechConfig": {
            "multiSpeakerVoiceConfig": {"speakerVoiceConfigs": [{"voiceConfig": {"voice": "a"}}]}
        },
    }
    snake = {
        "max_output_tokens": 5,
        "speech_config": {
            "multi_speaker_voice_config": {"speaker_voice_configs": ({"voice_config": {"voice": "a"}},)}
        },
    }
    mixed = {"max_output_tokens": 5, "speechConfig": snake["speech_config"]}
    for given in (camel, snake, mixed, MappingProxyType(snake)):
        assert from_request(GenerationConfig, given, "it").to_dict() == camel


def test_user_data_and_unknown_keys_are_never_touched():
    data = {"time_zone": {"mime_type": "x", "mimeType": [{"inline_data": None}]}}
    given = {
        "function_call": {"name": "f", "args": data},
        "function_response": {"name": "f", "response": data},
        "part_metadata": data,
        "misspelt_key": data,
    }
    sent = from_request(Part, given, "it").to_dict()
    assert sent == {
        "functionCall": {"name": "f", "args": data},
        "functionResponse": {"name": "f", "response": data},
        "partMetadata": data,
        "misspelt_key": data,
    }
    schema = {"type": "object", "properties": {"file_uri": {"any_of": []}}}
    declaration = {"name": "f", "parameters_json_schema": schema, "parameters": schema}
    tools = from_request(Tool, {"function_declarations": [declaration], "google_search": data}, "it")
    assert tools.function_declarations == [FunctionDeclaration("f", None, schema, schema)]
    assert tools.to_dict()["googleSearch"] == data


def test_a_mapping_inside_a_message_is_understood_and_the_message_left_alone():
    given = Content(
        parts=[Part(text="a"), {"file_data": {"file_uri": "u"}}, Part(inline_data={"mime_type": "m"})]
    )
    content = from_request(Content, given, "it")
    assert content.to_dict() == {
        "parts": [{"text": "a"}, {"fileData": {"fileUri": "u"}}, {"inlineData": {"mimeType": "m"}}]
    }
    assert content.parts[0] is given.parts[0]
    assert given.parts[1] == {"file_data": {"file_uri": "u"}}
    config = GenerationConfig(temperature=0.0, thinking_config={"thinking_budget": 0})
    assert from_request(GenerationConfig, config, "it").thinking_config == ThinkingConfig(thinking_budget=0)


def test_a_message_without_mappings_comes_back_itself():
    content = Content(parts=[Part(text="a", function_call=FunctionCall(args={"b_c": 1}))])
    assert from_request(Content, content, "it") is content


def test_messages_inside_a_mapping_are_taken_as_they_are():
    part = Part(text="a")
    assert from_request(Content, {"parts": [part]}, "it").parts[0] is part


def test_what_is_neither_message_nor_mapping_is_refused():
    for value in ("text", None, [("role", "user")], Blob()):
        with pytest.raises(ConfigurationError, match="system_instruction takes a Content or a mapping"):
            from_request(Content, value, "system_instruction")


def test_a_field_in_both_spellings_is_refused():
    with pytest.raises(ConfigurationError, match="'top_k' and 'topK'"):
        from_request(GenerationConfig, {"topK": 1, "top_k": 2}, "generation_config")


def test_a_misspelt_field_is_a_type_error():
    with pytest.raises(TypeError, match="txt"):
        Part(txt="a")


# Good to handle -------------------------------------------------------------------


def test_repr_shows_what_is_set_and_shortens_what_is_long():
    assert repr(Part()) == "Part()"
    assert repr(Part(text="a", thought=False)) == "Part(text='a', thought=False)"
    assert (
        repr(Part.from_dict({"thought": None, "text": "a", "new": 1})) == "Part(text='a', extra={'new': 1})"
    )
    assert repr(Content(parts=[Part(text="a"), "odd"])) == "Content(parts=[Part(text='a'), 'odd'])"
    assert repr(Blob(data=b"ab")) == "Blob(data=b'ab')"
    for long in (Blob(data=b"a" * 10**6), Part(text="a" * 10**6), FunctionCall(args={"a": ["a" * 10**6]})):
        assert len(repr(long)) < 200
    nested = {str(number): [[{"text": "x" * 60}] * 50] * 50 for number in range(50)}
    assert len(repr(FunctionCall(args=nested))) < 5000
    assert "1000000 bytes" in repr(Blob(data=b"a" * 10**6))
    assert "1000000 characters" in repr(Part(text="a" * 10**6))


def test_equality_is_by_class_and_fields():
    assert Part(text="a") == Part.from_dict({"text": "a", "thought": None})
    assert Part(text="a") != Part(text="b")
    assert Part(text="a") != Part(text="a", extra={"new": 1})
    assert Content() != Part()
    assert Part(text="a") != {"text": "a"}
    assert GenerateContentResponse.from_dict(CHUNK) == GenerateContentResponse.from_dict(CHUNK)


def test_messages_are_mutable_and_so_not_hashable():
    part = Part.from_dict({"text": "a"})
    part.text = "b"
    part.extra["new"] = 1
    assert part.to_dict() == {"text": "b", "new": 1}
    with pytest.raises(TypeError):
        hash(part)


def test_no_two_messages_share_their_extra():
    Part().extra["new"] = 1
    Part.from_dict({}).extra["new"] = 1
    assert Part().extra == Part.from_dict({}).extra == {}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol):
    response = GenerateContentResponse.from_dict(CHUNK)
    again = pickle.loads(pickle.dumps(response, protocol))
    assert again == response and again.to_dict() == CHUNK


def test_copies():
    response = GenerateContentResponse.from_dict(CHUNK)
    shallow, deep = copy.copy(response), copy.deepcopy(response)
    assert shallow == deep == response
    assert shallow.candidates is response.candidates
    deep.candidates[0].content.parts[1].text = "It was "
    deep.extra["brandNew"] = 2
    assert response.to_dict() == CHUNK


def test_replace_and_asdict_work_on_what_was_made_and_on_what_came():
    for part in (Part(text="a", thought=True), Part.from_dict({"text": "a", "thought": True})):
        changed = dataclasses.replace(part, text="b")
        assert changed == Part(text="b", thought=True) and part.text == "a"
        as_dict = dataclasses.asdict(part)
        assert list(as_dict) == [f.name for f in dataclasses.fields(Part)]
        assert {k: v for k, v in as_dict.items() if v} == {"text": "a", "thought": True}
    deep = dataclasses.asdict(GenerateContentResponse.from_dict(CHUNK))
    assert deep["candidates"][0]["content"]["parts"][4]["inline_data"]["data"] == b"\x89PNG"


def test_common_fields_can_be_given_by_position():
    assert Part("a").text == "a"
    assert Content([Part("a")], "user").role == "user"
    assert Blob(b"a", "image/png").mime_type == "image/png"


class Note(Part):
    """A user's own kind of part."""


def test_a_subclass_in_another_module_decodes_like_its_base():
    note = Note.from_dict({"inlineData": {"data": "aGk="}, "videoMetadata": {"fps": 1}})
    assert type(note) is Note and note.inline_data == Blob(data=b"hi")
    assert note.video_metadata == types.VideoMetadata(fps=1)


# Conveniences ---------------------------------------------------------------------


def test_conveniences_look_at_the_first_candidate():
    response = GenerateContentResponse.from_dict(CHUNK)
    assert response.text == "It is noon."
    assert response.thoughts == "Let me think."
    assert response.parts == response.candidates[0].content.parts
    assert response.function_calls == [FunctionCall(name="clock", args={"time_zone": "UTC"})]
    assert response.finish_reason == FinishReason.STOP == "STOP"


@pytest.mark.parametrize(
    "came",
    [
        {},
        {"candidates": None},
        {"candidates": []},
        {"candidates": [{}]},
        {"candidates": "text"},
        {"candidates": {"content": {}}},
        {"candidates": 5},
        {"candidates": ["text"]},
        {"candidates": [None]},
        {"candidates": [{"content": None, "finishReason": None}]},
        {"candidates": [{"content": "text", "finishReason": 3}]},
        {"candidates": [{"content": {"parts": None}}]},
        {"candidates": [{"content": {"parts": "text"}}]},
        {"candidates": [{"content": {"parts": {"text": "a"}}}]},
        {"candidates": [{"content": {"parts": ["text", None, 5, {"text": 5}, {"functionCall": "f"}]}}]},
        {"promptFeedback": "text"},
        {"promptFeedback": {"blockReason": 5}},
        {"promptFeedback": {"blockReason": None}},
        {"promptFeedback": {"blockReason": ""}},
        {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}},
        {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}},
    ],
)
def test_what_is_odd_or_not_there_is_as_if_absent(came):
    response = GenerateContentResponse.from_dict(came)
    assert (response.text, response.thoughts, response.function_calls) == ("", "", [])
    assert all(part in (Part(text=5), Part(function_call="f")) for part in response.parts)
    assert response.finish_reason is None
    assert response.raise_for_block() is response
    assert response.to_dict() == without_known_nulls(came, "GenerateContentResponse")


BLOCKING = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
    "ESCALATION",
    "PUP_LIMITED_DISABLED",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
]


@pytest.mark.parametrize("reason", ENUMS["FinishReason"].split() + ["UNHEARD_OF"])
def test_an_answer_is_blocked_by_policies_alone(reason):
    response = answer(finishReason=reason, finishMessage="so it is")
    if reason not in BLOCKING:
        assert response.raise_for_block() is response
        return
    with pytest.raises(BlockedError, match="answer was blocked: " + reason) as caught:
        response.raise_for_block()
    assert (caught.value.reason, caught.value.response) == (reason, response)
    assert "so it is" in str(caught.value)


@pytest.mark.parametrize("reason", ENUMS["BlockedReason"].split()[1:] + ["UNHEARD_OF"])
def test_a_prompt_is_blocked_by_any_reason(reason):
    response = GenerateContentResponse(prompt_feedback=PromptFeedback(reason, "so it is"))
    with pytest.raises(BlockedError, match="prompt was blocked: " + reason) as caught:
        response.raise_for_block()
    assert (caught.value.reason, caught.value.response) == (reason, response)
    assert "so it is" in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).response == response


def test_a_blob_is_saved(tmp_path):
    target = Blob.from_dict({"data": "aGk"}).save(str(tmp_path / "hi.bin"))
    assert target == tmp_path / "hi.bin" and target.read_bytes() == b"hi"
    Blob(data=b"").save(target)
    assert target.read_bytes() == b""


@pytest.mark.parametrize("came", [{}, {"data": "not!"}, {"data": 5}])
def test_a_blob_without_bytes_is_not_saved(came, tmp_path):
    with pytest.raises(ConfigurationError, match="no bytes to save"):
        Blob.from_dict(came).save(tmp_path / "hi.bin")
    assert not list(tmp_path.iterdir())


def test_the_longest_names_have_friendlier_ones():
    came = {"maps": {"placeAnswerSources": {"reviewSnippets": [{"authorAttribution": {"uri": "u"}}]}}}
    maps = types.GroundingChunk.from_dict(came).maps
    assert type(maps.place_answer_sources) is types.MapsPlaceAnswerSources
    assert type(maps.place_answer_sources) is types.GroundingChunkMapsPlaceAnswerSources
    assert maps.place_answer_sources.review_snippets[0].author_attribution.uri == "u"


def test_the_typing_examples_run_too(tmp_path):
    examples = [f for name, f in vars(typing_examples).items() if name.startswith("example_")]
    assert examples
    for example in examples:
        example(tmp_path) if inspect.signature(example).parameters else example()


def test_the_package_offers_its_public_names_alone():
    """At run time, and to editors and type checkers, which read the imports."""
    shown = {name for name in dir(geministream) if not name.startswith("__")}
    assert shown | {"__version__"} == {*geministream.__all__, "types"}
    for module, public in ((types, set(types.__all__)), (geministream, {*geministream.__all__, "types"})):
        imported = {name for name in imported_names(module) if name[0] != "_"}
        assert imported == public - {"__version__"}


def imported_names(module):
    source = ast.parse(Path(module.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(source) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {alias.asname or alias.name for node in imports for alias in node.names}
