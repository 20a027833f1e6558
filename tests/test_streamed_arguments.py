"""collect(): the arguments of a call that come in pieces."""

import json
import random

import pytest
from support.merging import content, parts_of

from geministream import IncompleteStreamError, collect
from geministream.types import GenerateContentResponse


def call(*pieces, more=True, **fields):
    made = {"functionCall": {**fields, "partialArgs": list(pieces)}}
    if more:
        made["functionCall"]["willContinue"] = True
    return content(made)


def test_arguments_in_pieces_become_one_call():
    parts = parts_of(
        call(name="f", id="1"),
        call({"jsonPath": "$.city", "stringValue": "Par", "willContinue": True}),
        call({"jsonPath": "$.city", "stringValue": "is"}),
        call({"jsonPath": "$.days[0].n", "numberValue": 3}, {"jsonPath": "$.days[1].n", "numberValue": 4}),
        call(
            {"jsonPath": "$['odd.key'][\"x\"]", "boolValue": False},
            {"jsonPath": "$.none", "nullValue": "NULL_VALUE"},
        ),
        call(more=False),
    )
    assert parts == [
        {
            "functionCall": {
                "name": "f",
                "id": "1",
                "args": {
                    "city": "Paris",
                    "days": [{"n": 3}, {"n": 4}],
                    "odd.key": {"x": False},
                    "none": None,
                },
            }
        }
    ]


def test_two_calls_in_pieces():
    parts = parts_of(
        call({"jsonPath": "$.a", "stringValue": "x"}, name="f"),
        call(more=False),
        call({"jsonPath": "$.a", "stringValue": "y"}, name="g", more=False),
        content({"functionCall": {"name": "h", "args": {"a": "z"}}}),
    )
    assert [part["functionCall"] for part in parts] == [
        {"name": "f", "args": {"a": "x"}},
        {"name": "g", "args": {"a": "y"}},
        {"name": "h", "args": {"a": "z"}},
    ]


def test_continuing_a_string_differs_from_sending_it_again():
    assert parts_of(
        call(
            {"jsonPath": "$.a", "stringValue": "x", "willContinue": True},
            {"jsonPath": "$.a", "stringValue": "y"},
            {"jsonPath": "$.a", "stringValue": "z"},
            name="f",
            more=False,
        )
    )[0]["functionCall"]["args"] == {"a": "z"}


def test_the_signature_of_a_call_in_pieces_is_kept():
    first = call({"jsonPath": "$.a", "numberValue": 1}, name="f")
    first["candidates"][0]["content"]["parts"][0]["thoughtSignature"] = "c2ln"
    assert parts_of(first, call(more=False))[0] == {
        "functionCall": {"name": "f", "args": {"a": 1}},
        "thoughtSignature": "c2ln",
    }


def test_a_call_that_breaks_off_is_in_the_partial_response():
    def stream():
        yield GenerateContentResponse.from_dict(
            call({"jsonPath": "$.a", "stringValue": "x", "willContinue": True}, name="f")
        )
        raise IncompleteStreamError("broke off")

    with pytest.raises(IncompleteStreamError) as caught:
        collect(stream())
    assert caught.value.partial.function_calls[0].args == {"a": "x"}


@pytest.mark.parametrize(
    "path", [None, 5, "", "a", "$", "$..a", "$[", "$['a", "$[-1]", "$.a[" + "9" * 5000 + "]", "$[*]", "$.a b"]
)
def test_a_path_that_cannot_be_read_loses_nothing(path):
    piece = {"jsonPath": path, "stringValue": "x"}
    (part,) = parts_of(call(piece, name="f", more=False))
    assert "x" in json.dumps(part)


@pytest.mark.parametrize("index", [1, 2, 10**6, 999999999])
@pytest.mark.parametrize("path", ["$.a[{}]", "$.a.b[{}].c", "$.a[0][{}]"])
def test_an_index_beyond_the_end_makes_no_list(path, index):
    piece = {"jsonPath": path.format(index), "stringValue": "x"}
    (part,) = parts_of(call(piece, name="f", more=False))
    assert part["functionCall"] == {"name": "f", "args": {}, "partialArgs": [piece]}


@pytest.mark.parametrize(
    "before, piece",
    [
        ({}, {"jsonPath": "$[0]", "stringValue": "x"}),
        ({}, {"jsonPath": "$[0].a", "stringValue": "x"}),
        ({}, {"jsonPath": "$.a", "stringValue": "x", "newValue": 1}),
        ({}, {"jsonPath": "$.a", "stringValue": "x", "numberValue": 1}),
        ({}, {"jsonPath": "$.a", "newValue": {"b": 1}}),
        ({"a": "text"}, {"jsonPath": "$.a[0]", "stringValue": "x"}),
        ({"a": "text"}, {"jsonPath": "$.a[0]", "stringValue": "x", "willContinue": True}),
        ({"a": "text"}, {"jsonPath": "$.a.b", "numberValue": 1}),
        ({"a": [1]}, {"jsonPath": "$.a.b", "numberValue": 1}),
        ({"a": [1]}, {"jsonPath": "$.a[3]", "numberValue": 1}),
        ({"a": {"0": 1}}, {"jsonPath": "$.a[0]", "numberValue": 1}),
        ({"a": {"b": 1}}, {"jsonPath": "$.a", "nullValue": "NULL_VALUE"}),
        ({"a": None}, {"jsonPath": "$.a.b", "boolValue": True}),
    ],
    ids=str,
)
def test_what_does_not_fit_into_the_arguments_stays_beside_them(before, piece):
    first = call(name="f")
    first["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] = before
    (part,) = parts_of(first, call(piece), call(more=False))
    assert part["functionCall"] == {"name": "f", "args": before, "partialArgs": [piece]}


def test_complete_arguments_do_not_lose_a_string_that_continues():
    second = call({"jsonPath": "$.a", "stringValue": "y"})
    second["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] = {"a": {"b": 1}}
    (part,) = parts_of(
        call({"jsonPath": "$.a", "stringValue": "x", "willContinue": True}, name="f"),
        second,
        call(more=False),
    )
    assert part["functionCall"]["args"] == {"a": {"b": 1}}
    assert part["functionCall"]["partialArgs"] == [{"jsonPath": "$.a", "stringValue": "y"}]


@pytest.mark.parametrize("seed", range(20))
def test_every_piece_of_arguments_is_in_them_or_beside_them(seed):
    """Random paths, which often collide; every value is a word of its own."""
    rng = random.Random(seed)
    for case in range(30):
        pieces = []
        for number in range(rng.randrange(1, 12)):
            path = "$" + "".join(
                rng.choice([".a", ".b", "[0]", "[1]", "['c']", "[2]"]) for _ in range(rng.randrange(0, 4))
            )
            piece = {"jsonPath": path, "stringValue": f"<{case}-{number}>"}
            if rng.random() < 0.4:
                piece["willContinue"] = True
            pieces.append(piece)
        (part,) = parts_of(
            call(*pieces[: len(pieces) // 2], name="f"), call(*pieces[len(pieces) // 2 :]), call(more=False)
        )
        made = json.dumps([part["functionCall"].get("args"), part["functionCall"].get("partialArgs")])
        for number, piece in enumerate(pieces):
            # A value that is given again at the same path takes the place of the one before.
            again = any(later["jsonPath"] == piece["jsonPath"] for later in pieces[number + 1 :])
            assert again or piece["stringValue"] in made, (pieces, part)
