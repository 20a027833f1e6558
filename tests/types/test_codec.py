"""The codec: there and back without loss, and requests in both spellings."""

import base64
import copy
import json
import pickle
import platform
import random
from types import MappingProxyType

import pytest
from support.messages import CHUNK, without_known_nulls
from support.wire_facts import ENUMS, MESSAGES, fields_of

from geministream import types
from geministream.errors import BlockedError, ConfigurationError, StreamDecodeError
from geministream.types import (
    Blob,
    Content,
    File,
    FunctionCall,
    FunctionDeclaration,
    GenerateContentResponse,
    GenerationConfig,
    Part,
    ThinkingConfig,
    Tool,
)
from geministream.types.codec import SpelledBytes, from_request

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
    """Base64 that our encoder would never write, and text that is not base64 at all."""
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


def test_a_turn_received_goes_into_a_request_unchanged():
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


def test_a_field_of_an_unexpected_type_is_kept_unchanged():
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
        with pytest.raises(StreamDecodeError, match="GenerateContentResponse must be a JSON object"):
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
def test_odd_spellings_of_base64_are_bytes_and_go_back_unchanged(text):
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


@pytest.mark.filterwarnings("ignore::geministream.UnknownFieldWarning")
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
        with pytest.raises(ConfigurationError, match="system_instruction must be a Content or a mapping"):
            from_request(Content, value, "system_instruction")


def test_a_field_in_both_spellings_is_refused():
    with pytest.raises(ConfigurationError, match="'top_k' and 'topK'"):
        from_request(GenerationConfig, {"topK": 1, "top_k": 2}, "generation_config")


def test_a_misspelt_field_is_a_type_error():
    with pytest.raises(TypeError, match="txt"):
        Part(txt="a")
