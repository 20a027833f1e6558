"""Structured answers: schemas, strict parsing, and elements that come while the answer streams."""

import copy
import enum
import json
import pickle
import platform
import random
import re
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Literal, Optional, TypedDict, Union

import pytest
from support.stack import with_calls_left

from geministream import (
    BlockedError,
    ConfigurationError,
    GenerationConfig,
    IncompleteStreamError,
    ServerError,
    StreamDecodeError,
    collect,
    iter_items,
    json_schema,
    parse,
    stream_generate,
)
from geministream.depth import DEEPEST
from geministream.testing import Answer, LocalServer
from geministream.types import GenerateContentResponse


class Unit(enum.Enum):
    GRAM = "g"
    PIECE = "piece"


@dataclass
class Ingredient:
    name: str
    amount: float
    unit: Unit = Unit.GRAM


@dataclass
class Recipe:
    """Something to cook."""

    title: str
    ingredients: List[Ingredient]
    kind: Literal["starter", "main"] = "main"
    serves: Optional[int] = None
    notes: Dict[str, str] = field(default_factory=dict)


class Pair(TypedDict):
    left: int
    right: Optional[str]


def response(text="", finish="STOP", **candidate):
    parts = [{"text": "a thought {", "thought": True}, {"text": text}]
    return GenerateContentResponse.from_dict(
        {"candidates": [{"content": {"parts": parts}, "finishReason": finish, **candidate}]}
    )


# json_schema ---------------------------------------------------------------------


def test_the_schema_of_a_dataclass():
    assert json_schema(Recipe) == {
        "type": "object",
        "description": "Something to cook.",
        "properties": {
            "title": {"type": "string"},
            "ingredients": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "amount": {"type": "number"},
                        "unit": {"type": "string", "enum": ["g", "piece"], "description": '(default: "g")'},
                    },
                    "required": ["name", "amount"],
                },
            },
            "kind": {"type": "string", "enum": ["starter", "main"], "description": '(default: "main")'},
            "serves": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "notes": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["title", "ingredients"],
    }


def test_schemas_are_made_anew_each_time():
    first = json_schema(Recipe)
    untouched = copy.deepcopy(first)
    json_schema(int)["type"] = "broken"
    first["properties"]["title"]["type"] = "broken"
    assert json_schema(Recipe) == untouched and json_schema(int) == {"type": "integer"}


def test_a_type_that_cannot_be_described_is_refused():
    for call in (json_schema, lambda type: parse("1", type), lambda type: iter_items([], type)):
        with pytest.raises(ConfigurationError, match="bytes has no JSON Schema"):
            call(List[bytes])


@pytest.mark.parametrize(
    "type", [Recipe, Pair, List[Recipe], Dict[str, int], Unit, Literal["a", "b"], Optional[int]]
)
def test_what_a_server_makes_of_a_schema_can_be_parsed(type):
    config = GenerationConfig(response_mime_type="application/json", response_json_schema=json_schema(type))
    with LocalServer() as server:
        answer = collect(stream_generate("m", "Cook", generation_config=config, endpoint=server.endpoint))
        sent = server.requests[0].json["generationConfig"]
    assert sent == {"responseMimeType": "application/json", "responseJsonSchema": json_schema(type)}
    if type != Dict[str, int]:  # LocalServer makes an empty one
        assert parse(answer, type)
    else:
        assert parse(answer, type) == {}


# parse ---------------------------------------------------------------------------


def test_parse():
    text = '{"title": "Tea", "ingredients": [{"name": "leaves", "amount": 5, "unit": "g"}], "serves": 2.0}'
    tea = Recipe("Tea", [Ingredient("leaves", 5.0, Unit.GRAM)], "main", 2, {})
    assert parse(response(text), Recipe) == tea
    assert parse(f" \n{text}\n", Recipe) == tea
    assert type(parse(text, Recipe).serves) is int
    assert parse("[[1, 2], []]", List[List[int]]) == [[1, 2], []]
    assert parse('{"left": 1, "right": null}', Pair) == {"left": 1, "right": None}
    assert parse("[1, null]", Any) == [1, None]
    # Reasons that are in no published list do not matter where the text is whole.
    assert parse(response("1", finish="DONE"), int) == parse(response("1", finish=None), int) == 1


@pytest.mark.parametrize(
    "text, type, said",
    [
        (
            '{"left": "1", "right": null}',
            Pair,
            r'\$\.left: expected an integer, got "1"; the answer is .*right',
        ),
        ('[{"left": 1, "right": null}, {"left": 2}]', List[Pair], r"\$\[1\]\.right: missing"),
        ('[{"left": 1, "right": null, "up": 2}]', List[Pair], r"\$\[0\]\.up: unknown field of Pair"),
        ("[1, 2", List[int], r"the answer is not valid JSON.*near '\[1, 2'; the answer is '\[1, 2'"),
        ("[1, 2] or so", List[int], r"not valid JSON.*Extra data.*or so"),
        ("Here it is: [1]", List[int], r"not valid JSON.*Here it is"),
        ("```json\n[1]\n```", List[int], "starts with a Markdown fence.*response_mime_type"),
        ("\n```\n[1]\n```", List[int], "starts with a Markdown fence"),
        ("[1] [2]", List[int], "Extra data"),
        ("[1,]", List[int], "not valid JSON"),
        ("{'a': 1}", Dict[str, int], "not valid JSON"),
        ("[NaN]", List[float], "NaN is not valid JSON"),
        ("[NaN]", Any, "NaN is not valid JSON"),
        ('{"a": 1, "a": 2}', Dict[str, int], "an object has the name 'a' twice"),
        ("red", Unit, "not valid JSON"),
        ("", List[int], "the answer has no text"),
        (" \n", List[int], "the answer has no text"),
        ("[" * 100000, Any, "nested too deeply"),
        ('"x"', Union[int, None], "an integer or null"),
    ],
)
def test_parse_never_guesses(text, type, said):
    for source in (text, response(text)):
        with pytest.raises(StreamDecodeError, match=said) as caught:
            parse(source, type)
        assert caught.value.partial is (source if source is not text else None)
        assert len(str(caught.value)) < 1500


def test_a_deep_answer_for_a_type_that_contains_itself():
    @dataclass
    class Nest:
        inner: "Optional[Nest]" = None

    def nested(depth):
        return '{"inner":' * depth + "null" + "}" * depth

    assert parse(nested(3), Nest) == Nest(Nest(Nest(None)))
    assert repr(parse(nested(100), Nest)).count("inner") == 100
    for depth in (DEEPEST + 1, 500, 2000, 90000):
        for type in (Nest, Any):
            with pytest.raises(StreamDecodeError, match=f"nested too deeply, more than {DEEPEST} levels"):
                parse(nested(depth), type)
            with pytest.raises(StreamDecodeError, match=f"nested too deeply, more than {DEEPEST} levels"):
                list(iter_items(["[", nested(depth), "]"], type))


@pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="PyPy limits the stack's bytes, not its calls"
)
def test_what_is_too_deep_for_a_type_is_an_error_of_the_tree():
    """Reading a type takes several calls a level; a caller far down the stack has none left."""

    @dataclass
    class Nest:
        inner: "Optional[Nest]" = None

    text = '{"inner":' * DEEPEST + "null" + "}" * DEEPEST
    for read in (lambda: parse(text, Nest), lambda: list(iter_items(["[", text, "]"], Nest))):
        with pytest.raises(StreamDecodeError, match="nested too deeply to be read"):
            with_calls_left(300, read)


made = []  # of the classes below


@dataclass
class Leaf:
    size: float


@dataclass
class Plus:
    left: "Union[Plus, Minus, Leaf]"
    right: "Union[Plus, Minus, Leaf]"
    sign: Literal["+"]

    def __post_init__(self):
        made.append(self)


@dataclass
class Minus:
    left: "Union[Plus, Minus, Leaf]"
    right: "Union[Plus, Minus, Leaf]"
    sign: Literal["-"]

    def __post_init__(self):
        made.append(self)


def test_the_work_of_a_union_in_unions_grows_with_the_value_alone():
    """The members differ only at the end, so each of them has read all that is below by then."""

    def chain(depth, inmost=Leaf(1)):  # noqa: B008  never changed; 1, not 1.0: no level fits exactly
        for _ in range(depth):
            inmost = Minus(inmost, Leaf(2), "-")
        return inmost

    def work(value):
        text = json.dumps(asdict(value))
        made.clear()
        assert parse(text, Minus) == value
        return len(made)

    assert work(chain(60)) < 2.5 * work(chain(30)) < 400
    assert work(Minus(chain(30), chain(30), "-")) < 400
    with pytest.raises(StreamDecodeError, match=r"(\.left){30}\.size: "):
        parse(json.dumps(asdict(chain(30, inmost=Leaf("x")))), Union[Minus, Leaf])


def test_parse_says_that_an_answer_was_cut_off():
    # 12 could have become 123: a whole value at a cut is none.
    cut = response("12", finish="MAX_TOKENS", continuationToken="t")
    with pytest.raises(IncompleteStreamError, match="cut off.*MAX_TOKENS; raise max_output_tokens") as caught:
        parse(cut, int)
    assert caught.value.partial is cut
    assert caught.value.continuation_token == "t"
    assert not caught.value.retryable
    with pytest.raises(IncompleteStreamError):
        parse(response("[1]", finish="CONTINUATION"), List[int])


def test_parse_says_that_an_answer_was_blocked():
    blocked = response("[1", finish="SAFETY")
    with pytest.raises(BlockedError, match="SAFETY") as caught:
        parse(blocked, List[int])
    assert caught.value.partial is blocked
    prompt = GenerateContentResponse.from_dict({"promptFeedback": {"blockReason": "SAFETY"}})
    with pytest.raises(BlockedError, match="prompt"):
        parse(prompt, List[int])
    with pytest.raises(StreamDecodeError, match=r"no text \(it ended with MALFORMED_RESPONSE\)"):
        parse(response("", finish="MALFORMED_RESPONSE"), List[int])


def test_parse_takes_only_answers():
    for wrong in (None, iter([response("1")]), b"1", {"candidates": []}):
        with pytest.raises(ConfigurationError, match="a complete answer or its text"):
            parse(wrong, int)


def test_errors_of_parse_can_be_pickled():
    with pytest.raises(StreamDecodeError) as caught:
        parse(response("[x"), List[int])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.partial == caught.value.partial


# iter_items ----------------------------------------------------------------------

VALUES = [1, 'two, ] } " \\ \u2028', [3, [4]], {"five": {"items": [6]}}, None, True, -7.5e3, "", {}, []]


def pieces_of(text, seed):
    """The text, cut at random places."""
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(len(text) + 1), min(len(text), rng.randrange(20))))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]


@pytest.mark.parametrize(
    "key, text",
    [
        (None, json.dumps(VALUES)),
        (None, json.dumps(VALUES, indent=2, ensure_ascii=False)),
        ("items", json.dumps({"items": VALUES})),
        (
            "items",
            json.dumps(
                {"a": 1, "b": {"items": [0]}, "c": "items", "items": VALUES, "d": [[], "x"], "e": 2.5},
                indent=1,
            ),
        ),
        ('the "key"', json.dumps({'the "key"': VALUES})),
    ],
)
def test_the_elements_of_any_split(key, text):
    assert list(iter_items([text], key=key)) == VALUES
    assert list(iter_items(text, key=key)) == VALUES  # letter by letter
    for seed in range(200):
        assert list(iter_items(pieces_of(text, seed), key=key)) == VALUES


def test_half_a_pair_of_surrogates_passes():
    text = '["a \ud83d b", "\ude00"]'
    assert list(iter_items(text)) == list(iter_items([text])) == ["a \ud83d b", "\ude00"]


@pytest.mark.parametrize("text, key", [("[]", None), (" [ ] \n", None), ('{"items":[]}', "items")])
def test_no_elements(text, key):
    assert list(iter_items(text, key=key)) == []


def test_each_element_comes_as_soon_as_it_is_complete():
    given = []

    def chunks():
        for piece in ['[{"name": "a", "am', 'ount": 1}', ', {"name": "b"', ', "amount": 2', "}, ", "]"]:
            given.append(piece)
            yield response(piece, finish=None)

    items = iter_items(chunks(), Ingredient)
    assert given == []
    assert next(items) == Ingredient("a", 1.0) and len(given) == 2
    assert next(items) == Ingredient("b", 2.0) and len(given) == 5
    with pytest.raises(StreamDecodeError):  # the comma before the ]
        next(items)


def test_elements_arrive_while_the_server_still_holds_back_the_rest():
    gates = [threading.Event() for _ in range(4)]
    gates[0].set()
    with LocalServer() as server:
        server.queue(Answer.text('{"items": [1', "0, 2", "0]}", gates=gates))
        items = iter_items(stream_generate("m", "Count", endpoint=server.endpoint), int, key="items")
        gates[1].set()
        assert next(items) == 10
        gates[2].set()
        assert next(items) == 20
        gates[3].set()
        assert list(items) == []


@pytest.mark.parametrize("leave", ["break", "close", "error", "end"])
def test_what_leaves_the_elements_closes_the_stream(leave):
    """Although the caller still has it: nothing here waits for the garbage collector."""
    first, last = threading.Event(), threading.Event()
    first.set()
    with LocalServer() as server:
        server.queue(Answer.text("[1, ", '"no number", ', "3]", gates=[first, first, last]))
        stream = stream_generate("m", "Count", endpoint=server.endpoint)
        items = iter_items(stream, int if leave == "error" else None)
        assert next(items) == 1
        if leave == "error":
            with pytest.raises(StreamDecodeError, match="an integer"):
                next(items)
        elif leave == "close":
            items.close()
        elif leave == "break":
            for _ in items:
                break
            items.close()  # as CPython does by itself, and others do later
        else:
            last.set()
            assert list(items) == ["no number", 3]
        if leave != "end":
            assert server.requests[0].client_gone.wait(5)
        last.set()
        assert list(stream) == []


def test_an_iterable_that_is_not_a_stream_is_not_closed(tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("[1,\n2]\n")
    with open(path) as lines:
        assert next(iter_items(lines)) == 1
        assert not lines.closed


def ends(pieces, type=None, key=None):
    """The elements and the error that ended them."""
    got = []
    try:
        for item in iter_items(pieces, type, key):
            got.append(item)
    except Exception as error:
        return got, error
    return got, None


@pytest.mark.parametrize(
    "text, key, whole, kind, said",
    [
        ("[1, 2", None, [1], IncompleteStreamError, "1 elements of its array were complete"),
        ("[1, 2]", "items", [], StreamDecodeError, "an array itself; omit key="),
        ('{"items": [1]}', None, [], StreamDecodeError, "an object; pass the name of its array as key="),
        ('{"items": [1], "b": ', "items", [1], IncompleteStreamError, "1 elements"),
        ('{"items": [1, 2}', "items", [1, 2], StreamDecodeError, "bad JSON"),
        ('{"items": 5}', "items", [], StreamDecodeError, "unexpected '5}' where the array must be"),
        ('{"items": null}', "items", [], StreamDecodeError, "where the array must be"),
        ('{"items": {"a": [1]}}', "items", [], StreamDecodeError, "where the array must be"),
        ('{"other": [1]}', "items", [], StreamDecodeError, "without the key 'items'"),
        ("{}", "items", [], StreamDecodeError, "without the key 'items'"),
        ('{"items": [1], "items": [2]}', "items", [1], StreamDecodeError, "the key 'items' twice"),
        ("{1: [1]}", "items", [], StreamDecodeError, "unexpected 1 where a name must be"),
        ('{"items" [1]}', "items", [], StreamDecodeError, "after the name of the array"),
        ('{"items": [1]]', "items", [1], StreamDecodeError, "after a member"),
        ('{"a": 1 "items": []}', "items", [], StreamDecodeError, "after a member"),
        ("[1] [2]", None, [1], StreamDecodeError, "after the end of the answer"),
        ("[1], 2", None, [1], StreamDecodeError, "after the end of the answer"),
        ("[1] and that is all", None, [1], StreamDecodeError, "after the end of the answer"),
        ('{"items": [1]} {', "items", [1], StreamDecodeError, "after the end of the answer"),
        ("[1, 2,]", None, [1, 2], StreamDecodeError, "bad JSON"),
        ("[1 2]", None, [1], StreamDecodeError, "bad JSON"),
        ("[1, x]", None, [1], StreamDecodeError, "bad JSON"),
        ("```json\n[1]\n```", None, [], StreamDecodeError, "starts with a Markdown fence"),
        ("Here: [1]", None, [], StreamDecodeError, "not a JSON array; it starts with 'Here: "),
        ("5", None, [], StreamDecodeError, "not a JSON array"),
        ("", None, [], StreamDecodeError, "the answer has no text"),
        ("  \n ", None, [], StreamDecodeError, "the answer has no text"),
    ],
)
def test_iter_items_never_guesses(text, key, whole, kind, said):
    for pieces in ([text], list(text), *(pieces_of(text, seed) for seed in range(20))):
        got, error = ends(pieces, None, key)
        assert got == whole
        assert type(error) is kind
        if pieces == [text]:
            assert re.search(said, str(error)), str(error)


def test_an_element_that_does_not_fit():
    got, error = ends(['[{"left": 1, "right": null}, {"left": 2.5, "right": null}]'], Pair)
    assert got == [{"left": 1, "right": None}]
    assert isinstance(error, StreamDecodeError)
    assert str(error).startswith("$[1].left: expected an integer, got 2.5; the element is")
    _, error = ends(['{"list of": ["1"]}'], int, "list of")
    assert str(error).startswith("$['list of'][0]: expected an integer")


def test_thoughts_are_not_part_of_the_answer():
    # `response` puts a thought before each text.
    assert list(iter_items([response("[1", finish=None), response(", 2]")])) == [1, 2]


def test_an_early_end_raises_after_the_complete_elements():
    cut = [response("[1, 2, 3", finish=None), response("4", finish="MAX_TOKENS", continuationToken="t")]
    got, error = ends(cut)
    assert got == [1, 2]
    assert isinstance(error, IncompleteStreamError) and "MAX_TOKENS" in str(error)
    assert error.continuation_token == "t" and not error.retryable
    # What comes behind the reason does not hide it, and only a text is a token.
    got, error = ends([*cut, response("", finish=None)])
    assert "MAX_TOKENS" in str(error) and error.continuation_token == "t"
    assert ends([response("[1", finish="MAX_TOKENS", continuationToken=7)])[1].continuation_token is None
    # The array is whole; that the model meant to go on does not matter.
    assert ends([response("[1, 2]", finish="MAX_TOKENS")]) == ([1, 2], None)


def test_a_block_raises_after_the_complete_elements():
    got, error = ends([response("[1, 2, 3", finish="SAFETY")])
    assert got == [1, 2] and isinstance(error, BlockedError)
    got, error = ends([GenerateContentResponse.from_dict({"promptFeedback": {"blockReason": "OTHER"}})])
    assert got == [] and isinstance(error, BlockedError)


@pytest.mark.parametrize(
    "fault, kind",
    [
        ({"stop_after": -70}, IncompleteStreamError),
        ({"stop_how": "reset", "stop_after": -70}, IncompleteStreamError),
        ({"stream_error": 503}, ServerError),
    ],
)
def test_a_broken_stream_raises_after_the_complete_elements(fault, kind):
    with LocalServer() as server:
        server.queue(Answer(chunks=["[1, ", "2, ", "3", "]"], **fault))
        got, error = ends(stream_generate("m", "Count", endpoint=server.endpoint), int)
    assert got in ([1], [1, 2], [1, 2, 3])
    assert type(error) is kind


def test_an_array_over_many_hops():
    numbers = list(range(300))
    with LocalServer(
        reply=lambda request: json.dumps(numbers), tokens_per_request=17, words_per_chunk=1
    ) as server:
        assert list(iter_items(stream_generate("m", "Count", endpoint=server.endpoint), int)) == numbers
        assert len(server.requests) > 10


def test_time_grows_linearly_with_the_pieces():
    def seconds(count):
        text = "[" + ",".join(json.dumps("x" * 50) for _ in range(count)) + "]"
        start = time.process_time()
        assert sum(1 for _ in iter_items(text)) == count
        return time.process_time() - start

    seconds(100)
    small, large = min(seconds(100) for _ in range(5)), min(seconds(1000) for _ in range(5))
    assert large < 30 * small
