"""The levels of JSON: counted in values and in text, each against a count by hand."""

import json
import platform
import random
import sys

import pytest
from support.stack import with_calls_left

from geministream import ConfigurationError, Endpoint, stream_generate
from geministream.depth import DEEPEST, FLAT, is_deep, is_deep_json, limited, loads, raw_decode, scan_once


def levels_of(value):
    """Counted by going down, as an encoder does."""
    if not isinstance(value, (dict, list, tuple)):
        return 0
    return 1 + max(map(levels_of, value.values() if isinstance(value, dict) else value), default=0)


def value_of(pick, levels):
    """A value with so many levels, in which other things stand beside the deepest place."""
    if not levels:
        return pick.choice([0, "", '[[{"', '\\"[', "]", None, 1.5, "\\"])
    inside = value_of(pick, levels - 1)
    others = (
        [value_of(pick, pick.randrange(3)) for _ in range(pick.randrange(3))] if pick.random() < 0.3 else []
    )
    items = [*others, inside] if pick.random() < 0.5 else [inside, *others]
    if levels_of(items) > levels:
        items = [inside]
    return items if pick.random() < 0.5 else {f"{{{k}": item for k, item in enumerate(items)}


@pytest.mark.parametrize("seed", range(20))
def test_the_limit_is_exact(seed):
    pick = random.Random(seed)
    deepest = pick.choice([1, 2, 5, 20, 100])
    for levels in (deepest - 1, deepest, deepest + 1):
        value = value_of(pick, levels)
        assert levels_of(value) == levels
        assert is_deep(value, deepest) == (levels > deepest)
        for indent in (None, 1):
            text = json.dumps(value, indent=indent)
            for space in ("", " " * 5000):
                whole = f"[[ {text}{space}]"
                assert is_deep_json(whole, 3, len(whole) - 1, deepest) == (levels > deepest)


@pytest.mark.parametrize("value", [None, "[" * 1000, 5, [], {}, (), [()], {"a": ()}, [[1] * 1000] * 1000])
def test_values_with_few_levels(value):
    assert not is_deep(value, 2)
    assert is_deep(value, 0) == isinstance(value, (list, dict, tuple))


def test_a_value_in_itself_is_deep_and_soon_known():
    for circle in ([], [0]):
        circle += [circle, circle, {"a": circle}]
        assert is_deep(circle)
    twice = []
    for _ in range(DEEPEST - 1):
        twice = [twice, twice]  # written, it would have 2**199 elements
    assert not is_deep(twice) and is_deep([twice])


def test_flat_text():
    shortest = '{"":' * DEEPEST + "1" + "}" * DEEPEST
    assert not is_deep_json(shortest, 0, len(shortest))
    assert len("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)) > FLAT


@pytest.mark.parametrize("decode", [raw_decode, scan_once])
@pytest.mark.parametrize("beginning, end", ["[]", ('{"a":', "}"), ('[1,{"[":"]",  "b":', ',"c":0}]')])
def test_a_decoder_that_does_not_need_the_stack(decode, beginning, end):
    """As on PyPy, whose stack must not end."""

    def never_deep(text, pos):
        assert text.count(beginning) <= DEEPEST
        return decode(text, pos)

    per = 2 if end.endswith("}]") else 1
    for levels in (1, DEEPEST // per, DEEPEST // per + 1, 5000, 100000):
        text = beginning * levels + "1" + end * levels
        for whole in (text, text + ", [[", text[:-1], beginning * levels, text + text):
            if levels * per > DEEPEST:
                with pytest.raises(RecursionError):
                    limited(never_deep)(whole, 0)
            elif whole.startswith(text):
                assert limited(decode)(whole, 0) == decode(whole, 0) == (json.loads(text), len(text))
                assert limited(decode)(f"[[ {whole}", 3) == decode(f"[[ {whole}", 3)
            else:
                with pytest.raises((ValueError, StopIteration)):
                    limited(decode)(whole, 0)


@pytest.mark.parametrize(
    "text", ['"[[["', "1", "null ", "", "x", "]", '"abc', "[1 2]", "{]", '["a" : [[', "nope" + "[" * 500]
)
def test_a_limited_decoder_is_the_same_for_all_else(text):
    def outcome(decode):
        try:
            return decode(text, 0)
        except (ValueError, StopIteration) as error:
            return type(error), str(error)

    for decode in (raw_decode, scan_once):
        assert outcome(limited(decode)) == outcome(decode)


@pytest.mark.filterwarnings("ignore::geministream.UnknownFieldWarning")
@pytest.mark.parametrize("name", ["contents", "extra_body", "generation_config"])
def test_the_limit_of_a_request_is_the_same_in_all_pythons(name):
    def send(levels):
        value = json.loads('{"a":' * levels + "1" + "}" * levels)
        given = (
            {"contents": [{"functionCall": {"args": value}}]} if name == "contents" else {name: {"x": value}}
        )
        stream_generate("m", **{"contents": "hi", "endpoint": Endpoint(api_key="k"), **given})

    # The levels around it, with the body: contents, content, parts, part, functionCall; generationConfig.
    around = {"contents": 6, "extra_body": 1, "generation_config": 2}[name]
    send(DEEPEST - around)
    for levels in (DEEPEST - around + 1, 500):
        with pytest.raises(ConfigurationError, match=f"the request has more than {DEEPEST} levels"):
            send(levels)


def test_loads_like_json_with_a_limit():
    for text in ('{"a": [1, "[[", "\\ud800"]}', "null", "[1e5]"):
        for data in (
            text,
            text.encode(),
            text.encode("utf-8-sig"),
            text.encode("utf-16"),
            text.encode("utf-32-le"),
        ):
            assert loads(data) == json.loads(data)
    assert loads(b'{"a": NaN}', parse_constant=str, object_pairs_hook=list) == [("a", "NaN")]
    for wrong in ("", b"", "[", b"\xff", b'"\xff"', "\ufeff1", "[" * DEEPEST):
        with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
            loads(wrong)
    assert is_deep(loads("[" * DEEPEST + "]" * DEEPEST), DEEPEST - 1)
    for data in ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), b"[" * 10**6, b'{"a":' * 10**6):
        with pytest.raises(ValueError, match=f"^Nested more than {DEEPEST} levels deep$"):
            loads(data)


@pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="PyPy limits the stack's bytes, not its calls"
)
def test_a_request_that_is_too_deep_for_its_caller():
    """A caller far down the stack has fewer calls left than the request has levels."""
    value = json.loads('{"a":' * 180 + "1" + "}" * 180)

    def send():
        try:
            stream_generate("m", "hi", extra_body=value, endpoint=Endpoint(api_key="k"))
        except ConfigurationError as error:
            return str(error)
        return "written"  # its encoder has a stack of its own

    said = {with_calls_left(left, send) for left in range(100, 400, 10)}
    too_deep = "the request cannot be written as JSON: maximum recursion depth exceeded"
    assert all(each == "written" or each.startswith(too_deep) for each in said)
    assert "written" in said and (len(said) > 1 or sys.version_info >= (3, 12))
