"""Reading the arguments of a call."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple, Union

import pytest
from support.annotations import Maybe, Mode, Mute, Place, Size, Unit, read, weather

from geministream.tools.functions import Function
from geministream.tools.schema import Mismatch


@dataclass
class Picky:
    a: int

    def __post_init__(self):
        if self.a < 0:
            raise ValueError("below 0")


@pytest.mark.parametrize(
    "annotation, value, expected",
    [
        (int, 3, 3),
        (int, 3.0, 3),
        (int, 10**30, 10**30),
        (float, 3, 3.0),
        (float, 2.5, 2.5),
        (bool, True, True),
        (str, "", ""),
        (None, None, None),
        (Any, {"a": [1, None]}, {"a": [1, None]}),
        (Unit, "celsius", Unit.CELSIUS),
        (Size, 2.0, Size.LARGE),
        (Mode, "fast", Mode.FAST),
        (Literal[1, "a"], 1, 1),
        (Literal[1, "a"], 1.0, 1),
        (Literal[Unit.CELSIUS], "celsius", Unit.CELSIUS),
        (Optional[int], None, None),
        (Union[int, float], 3, 3),
        (Union[int, float], 3.0, 3.0),
        (Union[float, int], 3, 3),
        (Optional[float], 3, 3.0),
        (Union[List[int], List[float]], [1, 2.5], [1.0, 2.5]),
        (Union[str, Literal["auto"]], "auto", "auto"),
        (Union[int, Place], {"name": "Ulm"}, Place("Ulm")),
        (List[Place], [{"name": "Ulm", "height": 478}], [Place("Ulm", 478.0)]),
        (Sequence[int], [1, 2.0], [1, 2]),
        (Tuple[int, str], [1, "a"], (1, "a")),
        (Tuple[int, ...], [1, 2], (1, 2)),
        (Dict[str, Unit], {"a": "celsius"}, {"a": Unit.CELSIUS}),
        (Maybe, {"unit": "celsius", "days": 3.0}, {"unit": Unit.CELSIUS, "days": 3}),
        (dict, {"a": 1}, {"a": 1}),
    ],
)
def test_arguments_are_converted(annotation, value, expected):
    got = read(annotation, value)
    assert got == expected
    assert type(got) is type(expected)
    if isinstance(got, (list, tuple)):
        assert [type(each) for each in got] == [type(each) for each in expected]


@pytest.mark.parametrize(
    "annotation, value, said",
    [
        (int, "3", r'\$\.x: expected an integer, got "3"'),
        (int, 3.5, r"\$\.x: expected an integer, got 3.5"),
        (int, True, "got true"),
        (int, float("inf"), "Infinity"),
        (float, "3", "a finite number"),
        (float, True, "got true"),
        (float, float("nan"), "NaN"),
        (float, 10**400, "a finite number"),
        (bool, 1, "expected true or false, got 1"),
        (bool, "true", 'got "true"'),
        (str, 3, "expected a string, got 3"),
        (str, None, "expected a string, got null"),
        (None, 0, "expected null"),
        (Unit, "kelvin", 'expected one of "celsius", "fahrenheit", got "kelvin"'),
        (Unit, "CELSIUS", "one of"),
        (Size, True, "one of 1, 2"),
        (Literal[2, 1], True, "one of 2, 1"),
        (Optional[int], "3", 'expected an integer or null, got "3"'),
        (List[int], 3, "expected a list, got 3"),
        (List[int], "3", "expected a list"),
        (List[int], [1, "2"], r"\$\.x\[1\]: expected an integer"),
        (Tuple[int, str], [1], "expected a list of 2"),
        (Dict[str, int], {"a b": "c"}, r"\$\.x\['a b'\]: expected"),
        (Dict[str, int], [1], "expected an object"),
        (Place, {"height": 1}, r"\$\.x\.name: missing"),
        (Place, {"name": "Ulm", "size": 1}, r"\$\.x\.size: unknown field of Place"),
        (Optional[Place], {"name": "Ulm", "height": "1"}, r"\$\.x\.height: expected a finite number"),
        (Place, "Ulm", r"expected an object \(Place\)"),
        (Maybe, {"days": 1.5, "unit": "celsius"}, r"\$\.x\.days"),
        (Picky, {"a": -1}, r"\$\.x: not a valid Picky: ValueError: below 0"),
        (Union[str, Unit], "celsius", "ambiguous, valid as a string and as one of"),
    ],
)
def test_arguments_that_do_not_fit(annotation, value, said):
    with pytest.raises(Mismatch, match=said):
        read(annotation, value)


def test_a_union_inside_a_union_is_exact_where_the_outer_is():
    assert read(Union[List[Union[int, str]], List[float]], [3.0]) == [3.0]
    assert type(read(Union[List[Union[int, str]], List[float]], [3.0])[0]) is float


@pytest.mark.parametrize(
    "annotation, value, place",
    [
        (Union[List[float], str], [3, "x"], r"\$\.x\[1\]"),  # 3 is a problem only of the exact reading
        (Union[str, Place], {"name": 3}, r"\$\.x\.name"),
        (Tuple[int, str], [1, "a", 2], r"\$\.x: expected a list of 2"),
    ],
)
def test_the_place_of_a_mismatch(annotation, value, place):
    with pytest.raises(Mismatch, match=place):
        read(annotation, value)


@pytest.mark.parametrize("args", [[], "", 0, False])
def test_arguments_that_are_not_an_object(args):
    with pytest.raises(Mismatch, match=r"\$: expected an object"):
        Function(weather).arguments(args)


def test_missing_and_unknown_arguments():
    function = Function(weather)
    with pytest.raises(Mismatch, match=r"\$\.place: missing"):
        function.arguments({"days": 1})
    with pytest.raises(Mismatch, match=r"\$\.when: unknown field of weather"):
        function.arguments({"place": {"name": "Ulm"}, "when": 1})
    with pytest.raises(Mismatch, match="expected an object"):
        function.arguments(["Ulm"])
    # What is not given is left to the function's own default.
    assert function.arguments({"place": {"name": "Ulm"}}) == {"place": Place("Ulm")}


def test_a_mismatch_shows_only_a_part_of_a_large_value():
    with pytest.raises(Mismatch) as caught:
        read(int, ["x"] * 10**5)
    assert len(str(caught.value)) < 200


@dataclass
class Tree:
    children: List["Tree"] = field(default_factory=list)

    def __eq__(self, other):
        raise Mute


@dataclass
class Refusing:
    x: int

    def __post_init__(self):
        raise Mute


def test_arguments_whose_types_raise_are_mismatches():
    deep = {"children": []}
    for _ in range(5000):
        deep = {"children": [deep]}
    for annotation, value, said in (
        (Tree, deep, "RecursionError"),
        (Union[Tree, Optional[Tree]], {}, r"\$: Mute"),
        (Refusing, {"x": 1}, r"\$.x: not a valid Refusing: Mute"),
    ):
        with pytest.raises(Mismatch, match=said):
            read(annotation, value)
