"""Functions and types that cannot be declared."""

import enum
import functools
import typing
from dataclasses import InitVar, dataclass
from typing import Dict, List, Literal, NamedTuple, Optional

import pytest
from support.annotations import Unreadable, declared, later

from geministream import ConfigurationError, function_declaration


@dataclass
class WithInitVar:
    a: int
    b: InitVar[int]


@dataclass
class WithBytes:
    data: bytes


class Point(NamedTuple):
    x: int


class Odd(enum.Enum):
    PAIR = (1, 2)


class Empty(enum.Enum):
    pass


@pytest.mark.parametrize(
    "annotation, said",
    [
        (bytes, "bytes has no JSON Schema; use a str with base64"),
        (object, "object"),
        (set, "set"),
        (typing.Set[int], "Set|set"),
        (complex, "complex"),
        (Dict[int, str], "names that are not str"),
        (typing.Callable[[int], str], "Callable"),
        (typing.TypeVar("T"), "T"),
        (Point, "Point"),
        (Odd, "PAIR"),
        (Empty, "Empty"),
        (Literal[b"x"], "b'x'"),
        (List[bytes], "bytes"),
        (Optional[bytes], "bytes"),
        ("nowhere.Thing", "nowhere.Thing.*define its names at the top level"),
        ("int |", "cannot be read"),
        ("List[", "cannot be read"),
        (3, "3"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_arguments_name(annotation, said):
    with pytest.raises(ConfigurationError, match=r"argument 'x' of function\(\)") as caught:
        declared(annotation)
    assert caught.match(said)


@pytest.mark.parametrize(
    "annotation, said",
    [
        (WithBytes, r"WithBytes\.data: bytes"),
        (WithInitVar, "WithInitVar cannot be created from its fields alone: it also requires 'b'"),
    ],
)
def test_what_cannot_be_declared_inside_a_class_is_refused_with_the_fields_name(annotation, said):
    with pytest.raises(ConfigurationError, match=said):
        declared(annotation)


def no_annotation(x):
    pass


def many(*rest: int):
    pass


def named(**rest: int):
    pass


exec("def positional(x: int, /): pass")


class Async:
    __name__ = "named"

    async def __call__(self, x: int):
        pass

    async def method(self, x: int):
        yield x


@pytest.mark.parametrize(
    "function, said",
    [
        (no_annotation, r"the argument 'x' of no_annotation\(\) has no type annotation"),
        (many, r"the argument 'rest' of many\(\) cannot be declared"),
        (named, r"the argument 'rest' of named\(\) cannot be declared"),
        (globals()["positional"], r"the argument 'x' of positional\(\) cannot be declared"),
        (later, r"later\(\) is asynchronous"),
        (lambda: 0, "'<lambda>' cannot be declared"),
        ("text", "a str cannot be declared"),
        (functools.partial, "partial"),
        (dict.fromkeys, "fromkeys"),
        # PyPy's built-in functions take arguments by name.
        (str.upper, r"the argument 'self' of upper\(\) (cannot be declared|has no type annotation)"),
        (int.__add__, r"the argument 'self' of __add__\(\) (cannot be declared|has no type annotation)"),
        ("abc".replace, r"of replace\(\) (cannot be|has no type annotation)"),
        (functools.partial(later, 1), r"later\(\) is asynchronous"),
        (Async().method, r"method\(\) is asynchronous"),
        (Async(), r"named\(\) is asynchronous"),
        (Unreadable(), "a Unreadable cannot be declared"),
    ],
)
def test_functions_that_cannot_be_declared(function, said):
    with pytest.raises(ConfigurationError, match=said):
        function_declaration(function)


def test_the_longest_name():
    def function():
        pass

    function.__name__ = "f" * 64
    assert function_declaration(function).name == "f" * 64
    function.__name__ = "f" * 65
    with pytest.raises(ConfigurationError, match="at most 64"):
        function_declaration(function)


def test_a_name_that_google_refuses():
    def grüße():
        pass

    with pytest.raises(ConfigurationError, match="ASCII"):
        function_declaration(grüße)
