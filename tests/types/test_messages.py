"""Messages are good to handle: shown, compared, copied, and asked for text, blocks and media."""

import copy
import dataclasses
import json
import pickle
import platform

import pytest
from support.messages import CHUNK, without_known_nulls
from support.wire_facts import ENUMS

from geministream import types
from geministream.errors import BlockedError, ConfigurationError
from geministream.types import (
    Blob,
    Content,
    FinishReason,
    FunctionCall,
    GenerateContentResponse,
    ModalityTokenCount,
    Part,
    PromptFeedback,
    UsageMetadata,
)


def answer(*parts, **candidate):
    content = {"parts": list(parts), "role": "model"}
    return GenerateContentResponse.from_dict({"candidates": [{"content": content, **candidate}]})


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


# A field that is decoded when it is read ---------------------------------------------------

USED = {
    "candidates": [{"index": 0}],
    "usageMetadata": {"totalTokenCount": 3, "promptTokensDetails": [{"modality": "TEXT"}], "new": [1]},
    "responseId": "r",
}
USAGE = UsageMetadata(
    total_token_count=3, prompt_tokens_details=[ModalityTokenCount(modality="TEXT")], extra={"new": [1]}
)


def used():
    return GenerateContentResponse.from_dict(copy.deepcopy(USED))


def test_token_counts_are_decoded_when_they_are_read():
    response = used()
    assert type(vars(response)["usage_metadata"]) is dict
    assert response.usage_metadata == USAGE and response.usage_metadata is response.usage_metadata
    assert list(vars(response)) == ["candidates", "usage_metadata", "response_id"]


@pytest.mark.parametrize(
    "same",
    [
        copy.copy,
        copy.deepcopy,
        lambda response: pickle.loads(pickle.dumps(response)),
        lambda response: dataclasses.replace(response, response_id="r"),
        lambda response: GenerateContentResponse.from_dict(response.to_dict()),
    ],
)
@pytest.mark.parametrize("read_before", [False, True])
def test_nothing_shows_whether_token_counts_were_read(same, read_before):
    response = used()
    if read_before:
        assert response.usage_metadata
    other = same(response)
    assert other == response == used() and repr(other) == repr(used()) and "UsageMetadata(" in repr(other)
    assert other.to_dict() == USED
    if platform.python_implementation() == "CPython":  # PyPy may reorder an object's attributes
        assert json.dumps(other.to_dict()) == json.dumps(USED)
    assert other.usage_metadata == USAGE


def test_token_counts_can_be_set_and_have_a_default():
    assert GenerateContentResponse().usage_metadata is None is GenerateContentResponse.usage_metadata
    response = used()
    response.usage_metadata = None
    assert response.usage_metadata is None and "usageMetadata" not in response.to_dict()
    response = GenerateContentResponse(usage_metadata=USAGE)
    assert response.usage_metadata is USAGE


@pytest.mark.parametrize("name", ["usage_metadata", "response_id"])
def test_any_field_can_be_deleted_once(name):
    response = used()
    delattr(response, name)
    assert getattr(response, name) is None and len(response.to_dict()) == 2
    with pytest.raises(AttributeError, match=name):
        delattr(response, name)
    for odd in (None, [], "x", 3):
        assert GenerateContentResponse.from_dict({"usageMetadata": odd}).usage_metadata == odd


def test_a_subclass_decodes_token_counts_later():
    class Mine(GenerateContentResponse):
        pass

    mine = Mine.from_dict(copy.deepcopy(USED))
    assert type(vars(mine)["usage_metadata"]) is dict and mine.usage_metadata == USAGE
