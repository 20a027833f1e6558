"""collect(): one response out of many chunks, with nothing lost and nothing joined that must stay apart."""

import copy
import json
import random
import time

import pytest
from support.merging import content, merged, parts_of

from geministream import ConfigurationError, GeministreamError, IncompleteStreamError, collect
from geministream.types import GenerateContentResponse


def test_text_is_joined():
    assert parts_of(
        content({"text": "a"}), content({"text": "b"}, {"text": "c"}), content({"text": "d"})
    ) == [{"text": "abcd"}]


def test_thoughts_stay_apart_from_answers():
    thought = {"thought": True}
    assert parts_of(
        content({"text": "t1", **thought}),
        content({"text": "t2", **thought}, {"text": "a"}),
        content({"text": "b", "thought": False}),
        content({"text": "t3", **thought}),
        content({"text": "c"}),
    ) == [{"text": "t1t2", **thought}, {"text": "ab"}, {"text": "t3", **thought}, {"text": "c"}]


def test_a_part_with_a_signature_is_kept_unchanged():
    signed, empty = {"text": "b", "thoughtSignature": "c2ln"}, {"text": "", "thoughtSignature": "c2ln"}
    assert parts_of(
        content({"text": "a"}),
        content(signed),
        content({"text": "c"}),
        content({"text": "d"}),
        content(empty),
    ) == [{"text": "a"}, signed, {"text": "cd"}, empty]
    assert parts_of(content(empty, empty, signed, signed)) == [empty, empty, signed, signed]
    thought = {"text": "t", "thought": True, "thoughtSignature": "YQ=="}
    assert parts_of(content({"text": "t", "thought": True}), content(thought), content(thought)) == [
        {"text": "t", "thought": True},
        thought,
        thought,
    ]
    call = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "-_=="}
    assert parts_of(content(call), content({"functionCall": {"name": "f", "args": {}}}), content(call)) == [
        call,
        {"functionCall": {"name": "f", "args": {}}},
        call,
    ]


def test_a_part_with_an_unknown_field_is_kept_unchanged():
    new = {"text": "b", "newField": {"a": 1}}
    assert parts_of(content({"text": "a"}), content(new), content({"text": "c"})) == [
        {"text": "a"},
        new,
        {"text": "c"},
    ]
    video = {"text": "b", "videoMetadata": {"fps": 1.0}}
    assert parts_of(content({"text": "a"}), content(video)) == [{"text": "a"}, video]


def test_media_divides_text():
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    assert parts_of(
        content({"text": "a"}), content(image), content(image, {"text": "b"}), content({"text": "c"})
    ) == [{"text": "a"}, image, image, {"text": "bc"}]


def test_text_that_says_nothing_is_left_out():
    assert parts_of(content({"text": "a"}), content({"text": ""}), content({"text": "b"})) == [{"text": "ab"}]
    assert parts_of(content({"text": ""}), content({"text": "", "thought": True})) == []
    # But not what stands around it.
    whole = merged(content({"text": ""}, finishReason="STOP"))
    assert whole["candidates"][0]["finishReason"] == "STOP"


def test_candidates_stay_apart_by_their_index():
    whole = merged(
        {
            "candidates": [
                {"index": 1, "content": {"parts": [{"text": "x"}]}},
                {"content": {"parts": [{"text": "a"}]}},
            ]
        },
        content({"text": "q"}, index=7, finishReason="SAFETY"),
        {
            "candidates": [
                {"index": 0, "content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"},
                {"index": 1, "content": {"parts": [{"text": "y"}]}, "finishReason": "MAX_TOKENS"},
            ]
        },
    )
    assert [
        (c.get("index", 0), c["content"]["parts"][0]["text"], c["finishReason"]) for c in whole["candidates"]
    ] == [(0, "ab", "STOP"), (1, "xy", "MAX_TOKENS"), (7, "q", "SAFETY")]


def test_the_last_usage_counts():
    usages = [
        {"promptTokenCount": 5},
        {"promptTokenCount": 5, "candidatesTokenCount": 1},
        {"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14},
    ]
    chunks = [{**content({"text": "a"}), "usageMetadata": usage} for usage in usages]
    assert merged(*chunks)["usageMetadata"] == usages[-1]
    assert merged(*chunks, content({"text": "b"}))["usageMetadata"] == usages[-1]
    assert merged(*chunks[:2], {"usageMetadata": usages[2]})["usageMetadata"] == usages[-1]


def test_usage_of_several_requests_is_their_sum():
    def chunk(request, **usage):
        made = GenerateContentResponse.from_dict({"usageMetadata": usage})
        made.request_number = request
        return made

    def details(**counts):
        return [{"modality": name, "tokenCount": count} for name, count in counts.items()]

    whole = collect(
        [
            chunk(1, promptTokenCount=5, candidatesTokenCount=100),
            chunk(1, promptTokenCount=5, candidatesTokenCount=200),
            chunk(2, promptTokenCount=205, promptTokensDetails=details(TEXT=200, IMAGE=5)),
            chunk(3, promptTokenCount=6, promptTokensDetails=details(TEXT=6), newField="x"),
        ]
    )
    assert whole.usage_metadata.to_dict() == {
        "promptTokenCount": 216,
        "candidatesTokenCount": 200,
        "promptTokensDetails": details(TEXT=206, IMAGE=5),
        "newField": "x",
    }
    assert [usage.prompt_token_count for usage in whole.usage_by_request] == [5, 205, 6]


def test_later_metadata_is_kept():
    whole = merged(
        {**content({"text": "a"}), "modelVersion": "m-1", "responseId": "r"},
        content({"text": "b"}, finishReason="STOP", safetyRatings=[{"category": "C", "probability": "LOW"}]),
        {
            "candidates": [{"groundingMetadata": {"webSearchQueries": ["q"]}, "avgLogprobs": -0.5}],
            "modelVersion": "m-2",
        },
        {"promptFeedback": {"blockReason": "OTHER"}, "createTime": "2026-01-01T00:00:00Z"},
    )
    assert whole == {
        "candidates": [
            {
                "content": {"parts": [{"text": "ab"}], "role": "model"},
                "finishReason": "STOP",
                "safetyRatings": [{"category": "C", "probability": "LOW"}],
                "groundingMetadata": {"webSearchQueries": ["q"]},
                "avgLogprobs": -0.5,
            }
        ],
        "modelVersion": "m-2",
        "responseId": "r",
        "promptFeedback": {"blockReason": "OTHER"},
        "createTime": "2026-01-01T00:00:00Z",
    }


def test_nulls_take_nothing_away():
    whole = merged(
        content({"text": "a"}, finishReason="STOP"),
        {
            "candidates": [{"content": None, "finishReason": None, "index": None}],
            "modelVersion": None,
            "usageMetadata": None,
        },
    )
    assert whole["candidates"][0]["finishReason"] == "STOP" and whole["candidates"][0]["content"][
        "parts"
    ] == [{"text": "a"}]


def test_citations_grow():
    def cited(*sources, **more):
        return content(
            {"text": "a"}, citationMetadata={"citationSources": [{"uri": uri} for uri in sources], **more}
        )

    whole = merged(cited("u", "v"), content({"text": "b"}), cited("w", new=1))
    assert whole["candidates"][0]["citationMetadata"] == {
        "citationSources": [{"uri": "u"}, {"uri": "v"}, {"uri": "w"}],
        "new": 1,
    }


def test_unknown_fields_are_kept_everywhere():
    whole = merged(
        {"new": 1, "candidates": [{"new": 2, "content": {"new": 3, "parts": [{"text": "a"}]}}]},
        {"newer": 4, "candidates": [{"newer": 5, "content": {"newer": 6}}]},
    )
    assert whole == {
        "new": 1,
        "newer": 4,
        "candidates": [{"new": 2, "newer": 5, "content": {"new": 3, "newer": 6, "parts": [{"text": "a"}]}}],
    }


# Arguments that are streamed ------------------------------------------------------


def call(*pieces, more=True, **fields):
    made = {"functionCall": {**fields, "partialArgs": list(pieces)}}
    if more:
        made["functionCall"]["willContinue"] = True
    return content(made)


# Nothing shared -----------------------------------------------------------------------


def things_in(value):
    """All lists, mappings and messages in a value, itself included."""
    found = [value] if isinstance(value, (list, dict)) or hasattr(value, "to_dict") else []
    inside = (
        value.__dict__.values()
        if hasattr(value, "to_dict")
        else value.values()
        if isinstance(value, dict)
        else value
    )
    return found + [thing for item in (inside if found else ()) for thing in things_in(item)]


def spoil(value):
    """Change everything in it that can be changed."""
    for thing in things_in(value):
        if isinstance(thing, list):
            thing.clear()
        elif isinstance(thing, dict):
            thing.clear()
            thing["spoilt"] = True
        else:
            for name in list(thing.__dict__):
                if not isinstance(thing.__dict__[name], (list, dict)):
                    thing.__dict__[name] = "spoilt"


EVERYTHING = [
    content({"text": "a", "new": {"b": [1]}}, {"text": "t", "thought": True}, role="model", newList=[[1]]),
    content(
        {"functionCall": {"name": "f", "args": {"a": [{"b": 1}]}, "new": [1]}, "thoughtSignature": "c2ln"}
    ),
    content(
        {
            "functionCall": {
                "name": "g",
                "args": {"d": {"e": 1}},
                "willContinue": True,
                "partialArgs": [
                    {"jsonPath": "$.x[0]", "stringValue": "s"},
                    {"jsonPath": "$[0]", "stringValue": "s", "new": [1]},
                ],
            }
        }
    ),
    content(
        {"functionCall": {}},
        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        {"executableCode": {"code": "1"}},
    ),
    content(
        citationMetadata={"citationSources": [{"uri": "u", "new": [1]}]},
        logprobsResult={"chosenCandidates": [{"token": "t"}]},
        groundingMetadata={"webSearchQueries": ["q"], "new": {"a": [1]}},
        safetyRatings=[{"category": "C"}],
    ),
    content(citationMetadata={"citationSources": [{"uri": "v"}]}, index=1, new={"a": [1]}),
    {
        "usageMetadata": {
            "promptTokenCount": 1,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}],
        },
        "promptFeedback": {"safetyRatings": [{"category": "C"}]},
        "new": {"a": [1]},
    },
]


@pytest.mark.parametrize("seed", range(8))
def test_the_chunks_and_what_they_make_share_nothing(seed):
    rng = random.Random(seed)
    chunks = [GenerateContentResponse.from_dict(copy.deepcopy(each)) for each in EVERYTHING]
    rng.shuffle(chunks)
    for number, chunk in enumerate(chunks):
        chunk.request_number = number % 3
    before = [chunk.to_dict() for chunk in chunks]
    made = collect(chunks)
    of_chunks = {id(thing) for chunk in chunks for thing in things_in(chunk)}
    assert not [thing for thing in things_in(made) if id(thing) in of_chunks]
    whole = made.to_dict()
    for chunk in chunks:
        spoil(chunk)
    assert made.to_dict() == whole, "what happens to a chunk changes the response"
    again = [GenerateContentResponse.from_dict(each) for each in before]
    spoil(collect(again))
    assert [chunk.to_dict() for chunk in again] == before, "what happens to the response changes a chunk"


# What goes wrong --------------------------------------------------------------------


def test_nothing_is_an_empty_response():
    assert collect([]).to_dict() == {}
    assert collect(iter(())).text == ""


def test_the_error_knows_what_had_arrived():
    def stream(*chunks):
        yield from map(GenerateContentResponse.from_dict, chunks)
        raise IncompleteStreamError("broke off")

    with pytest.raises(IncompleteStreamError) as caught:
        collect(stream(content({"text": "a"}), {**content({"text": "b"}), "modelVersion": "m"}))
    assert caught.value.partial.to_dict() == {
        "candidates": [{"content": {"parts": [{"text": "ab"}], "role": "model"}}],
        "modelVersion": "m",
    }
    with pytest.raises(IncompleteStreamError) as caught:
        collect(stream())
    assert caught.value.partial is None


def test_a_partial_response_that_is_there_already_stays():
    known = GenerateContentResponse.from_dict(content({"text": "all of it"}))

    def stream():
        yield GenerateContentResponse.from_dict(content({"text": "a"}))
        error = GeministreamError("x")
        error.partial = known
        raise error

    with pytest.raises(GeministreamError) as caught:
        collect(stream())
    assert caught.value.partial is known


def test_every_way_to_end_closes_the_stream():
    closed = []

    def stream(last):
        try:
            yield GenerateContentResponse.from_dict(content({"text": "a"}))
            yield last
        finally:
            closed.append(last)

    kept = stream(5)
    with pytest.raises(ConfigurationError, match="expected a GenerateContentResponse, got 5"):
        collect(kept)
    assert closed == [5]


def test_other_exceptions_pass():
    def stream():
        yield GenerateContentResponse.from_dict(content({"text": "a"}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(stream())


@pytest.mark.parametrize(
    "chunk",
    [
        {"candidates": 5},
        {"candidates": [5, None, "x", []]},
        {"candidates": [{"content": 5}]},
        {"candidates": [{"content": {"parts": 5}}]},
        {"candidates": [{"content": {"parts": {"text": "a"}}}]},
        {"candidates": [{"content": {"parts": [None, 5, "x", [], {}]}}]},
        {"candidates": [{"content": {"parts": [{"text": 5}]}}]},
        {"candidates": [{"index": "0"}]},
        {"candidates": [{"index": []}]},
        {"candidates": [{"citationMetadata": 5}]},
        {"candidates": [{"citationMetadata": {"citationSources": 5}}]},
        {"candidates": [{"finishReason": []}]},
        {"usageMetadata": 5},
        {"usageMetadata": {"promptTokenCount": "5", "promptTokensDetails": 7}},
        {
            "usageMetadata": {
                "promptTokensDetails": [
                    5,
                    {"modality": [], "tokenCount": 1},
                    {"modality": "TEXT", "tokenCount": "1"},
                ]
            }
        },
        content({"functionCall": 5}),
        content({"functionCall": {"name": 5, "args": 5, "partialArgs": 5, "willContinue": 5}}),
        content({"functionCall": {"args": "x", "willContinue": True}}),
        content({"functionCall": {"partialArgs": [5, None, {}], "willContinue": True}}),
        content(
            {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": 5, "willContinue": True}]}}
        ),
    ],
    ids=lambda chunk: json.dumps(chunk)[:70],
)
def test_values_of_other_types_than_expected(chunk):
    """They are kept where there is a place for them, and break nothing."""
    plain = content({"text": "a"}, citationMetadata={"citationSources": [{"uri": "u"}]})
    plain["usageMetadata"] = {
        "promptTokenCount": 1,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}],
    }
    for chunks in ([chunk], [chunk, chunk], [plain, chunk], [chunk, plain], [plain, chunk, plain]):
        made = [GenerateContentResponse.from_dict(each) for each in chunks]
        for number, each in enumerate(made):
            each.request_number = number
        whole = collect(made)
        whole.to_dict(), repr(whole), whole.text, whole.function_calls
        if plain in chunks:
            assert "a" in json.dumps(whole.to_dict())


def test_merging_is_linear():
    def seconds(count, make):
        chunks = [GenerateContentResponse.from_dict(make(k)) for k in range(count)]
        best = 10.0
        for _ in range(2):
            start = time.process_time()
            collect(chunks)
            best = min(best, time.process_time() - start)
        return best

    shapes = {
        "text": lambda k: content({"text": "x" * 20}),
        "text and thoughts": lambda k: content({"text": "x" * 20, "thought": k % 2 == 0}),
        "calls": lambda k: content({"functionCall": {"name": "f", "args": {"a": k}}}),
        "an argument": lambda k: content(
            {
                "functionCall": {
                    "name": "f",
                    "willContinue": True,
                    "partialArgs": [{"jsonPath": "$.a", "stringValue": "x" * 20, "willContinue": True}],
                }
            }
        ),
        "citations": lambda k: content({"text": "x"}, citationMetadata={"citationSources": [{"uri": "u"}]}),
    }
    for name, make in shapes.items():
        for _ in range(4):
            ratio = seconds(8000, make) / max(seconds(2000, make), 0.002)
            if ratio < 8:
                break
        else:
            pytest.fail(f"{name}: four times the chunks took {ratio:.1f} times as long")


def test_any_division_of_the_same_text_gives_the_same():
    pick = random.Random(3)
    text = "The quick brown fox \U0001f98a jumps. " * 20
    for _ in range(20):
        chunks, start = [], 0
        while start < len(text):
            end = start + pick.randint(1, 60)
            chunks.append(content({"text": text[start:end]}))
            start = end
        assert parts_of(*chunks) == [{"text": text}]
