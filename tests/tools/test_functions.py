"""Callables as tools: what is declared, what is refused, how calls are read and run."""

import asyncio
import collections
import enum
import functools
import json
import logging
import sys
import types
import typing
from dataclasses import InitVar, dataclass, field
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    Literal,
    Mapping,
    NamedTuple,
    NewType,
    Optional,
    Sequence,
    Tuple,
    TypedDict,
    Union,
)

import pytest

from geministream import Chat, ConfigurationError, collect, function_declaration, stream_generate
from geministream.testing import Answer, LocalServer
from geministream.tools.docstrings import read_docstring
from geministream.tools.functions import Function, Toolbox
from geministream.tools.schema import Mismatch
from geministream.types import FunctionCall, FunctionDeclaration, Tool

STRING, INTEGER, NUMBER, NULL = ({"type": name} for name in ("string", "integer", "number", "null"))

# The keywords that Gemini's subset of JSON Schema has, from the API reference.
KEYWORDS = set(
    [
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    ]
)


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Mode(str, enum.Enum):
    FAST = "fast"


@dataclass
class Place:
    """Somewhere.

    :ivar name: what it is called
    """

    name: str
    height: float = 0.0


class Options(TypedDict):
    """What is wanted."""

    unit: Unit


class Maybe(Options, total=False):
    days: int


UserId = NewType("UserId", int)


def declared(annotation, default=None):
    """The schema of a parameter with this annotation."""

    def function(x):
        pass

    function.__annotations__ = {"x": annotation}
    return function_declaration(function).parameters_json_schema["properties"]["x"]


def read(annotation, value):
    """What the function gets for this argument."""

    def function(x):
        pass

    function.__annotations__ = {"x": annotation}
    return Function(function).arguments({"x": value})["x"]


def keywords(schema):
    """All keywords in a schema."""
    found = set()
    if isinstance(schema, dict):
        for name, value in schema.items():
            found.add(name)
            if name in ("properties", "$defs"):
                for each in value.values():
                    found |= keywords(each)
            elif name != "enum":
                found |= keywords(value)
    elif isinstance(schema, list):
        for each in schema:
            found |= keywords(each)
    return found


# What is declared --------------------------------------------------------------

TODAY = (
    []
    if sys.version_info < (3, 10)
    else [
        (list[int], {"type": "array", "items": INTEGER}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (tuple[int, str], {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
        (int | None, {"anyOf": [INTEGER, NULL]}),
        (collections.abc.Sequence[str], {"type": "array", "items": STRING}),
        (list["int | None"], {"type": "array", "items": {"anyOf": [INTEGER, NULL]}}),
    ]
)


@pytest.mark.parametrize(
    "annotation, schema",
    [
        (str, STRING),
        (int, INTEGER),
        (float, NUMBER),
        (bool, {"type": "boolean"}),
        (None, NULL),
        (type(None), NULL),
        (Any, {}),
        (UserId, INTEGER),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (
            Literal["auto", 1, None],
            {"anyOf": [{"type": "string", "enum": ["auto"]}, {"type": "integer", "enum": [1]}, NULL]},
        ),
        (Literal[True], {"type": "boolean"}),
        (Literal[Unit.CELSIUS], {"type": "string", "enum": ["celsius"]}),
        (Unit, {"type": "string", "enum": ["celsius", "fahrenheit"]}),
        (Size, {"type": "integer", "enum": [1, 2]}),
        (Mode, {"type": "string", "enum": ["fast"]}),
        (Optional[int], {"anyOf": [INTEGER, NULL]}),
        (Union[int, str], {"anyOf": [INTEGER, STRING]}),
        (List[int], {"type": "array", "items": INTEGER}),
        (List, {"type": "array"}),
        (list, {"type": "array"}),
        (List[Any], {"type": "array"}),
        (Sequence[int], {"type": "array", "items": INTEGER}),
        (Iterable[int], {"type": "array", "items": INTEGER}),
        (List["int"], {"type": "array", "items": INTEGER}),
        (Tuple[int, ...], {"type": "array", "items": INTEGER}),
        (Tuple[int, str], {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
        (tuple, {"type": "array"}),
        (
            Dict[str, List[int]],
            {"type": "object", "additionalProperties": {"type": "array", "items": INTEGER}},
        ),
        (Mapping[str, Any], {"type": "object"}),
        (dict, {"type": "object"}),
        (
            Place,
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "what it is called"},
                    "height": {"type": "number", "description": "(default: 0.0)"},
                },
                "required": ["name"],
                "description": "Somewhere.",
            },
        ),
        (
            Maybe,
            {
                "type": "object",
                "properties": {
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                    "days": INTEGER,
                },
                # Python 3.8 does not tell which keys of an inherited TypedDict are required.
                **({} if sys.version_info < (3, 9) else {"required": ["unit"]}),
            },
        ),
        # In texts (`from __future__ import annotations`) the spellings of today work on each Python.
        ("int", INTEGER),
        ("list[int]", {"type": "array", "items": INTEGER}),
        ("dict[str, int | None]", {"type": "object", "additionalProperties": {"anyOf": [INTEGER, NULL]}}),
        ("tuple[int, ...] | None", {"anyOf": [{"type": "array", "items": INTEGER}, NULL]}),
        ("Optional[Literal['a | b']]", {"anyOf": [{"type": "string", "enum": ["a | b"]}, NULL]}),
        (List["int | None"], {"type": "array", "items": {"anyOf": [INTEGER, NULL]}}),
        (
            "typing.List[typing.Dict[str, float]]",
            {"type": "array", "items": {"type": "object", "additionalProperties": NUMBER}},
        ),
        *TODAY,
    ],
)
def test_an_annotation_is_declared(annotation, schema):
    made = declared(annotation)
    assert made == schema
    assert keywords(made) <= KEYWORDS
    json.dumps(made)


def weather(place: Place, unit: Unit = Unit.CELSIUS, *, days: "int | None" = None, note: str = "") -> str:
    """Tell the weather.

    It is always good.

    Args:
        place (Place): where,
            exactly
        days (Optional[int], optional): how many days ahead

    Returns:
        one word
    """
    return f"{place.name} {unit.name} {days!r} {note}"


def test_a_whole_declaration():
    declaration = function_declaration(weather)
    assert isinstance(declaration, FunctionDeclaration)
    assert declaration.to_dict() == {
        "name": "weather",
        "description": "Tell the weather.\n\nIt is always good.\n\nReturns:\n    one word",
        "parametersJsonSchema": {
            "type": "object",
            "properties": {
                "place": {**declared(Place), "description": "where, exactly"},
                "unit": {**declared(Unit), "description": '(default: "celsius")'},
                "days": {"anyOf": [INTEGER, NULL], "description": "how many days ahead"},
                "note": {"type": "string", "description": '(default: "")'},
            },
            "required": ["place"],
        },
    }


def test_a_function_without_parameters_has_no_schema():
    # Google refuses an object without properties.
    def now() -> str:
        return ""

    assert function_declaration(now).to_dict() == {"name": "now"}


def test_methods_partials_and_decorated_functions():
    class Shop:
        def price(self, item: str, count: int = 1) -> float:
            """Tell a price."""

    price = function_declaration(Shop().price)
    assert (price.name, price.description) == ("price", "Tell a price.")
    assert list(price.parameters_json_schema["properties"]) == ["item", "count"]

    bound = function_declaration(functools.partial(Shop().price, "tea"))
    assert bound.name == "price" and list(bound.parameters_json_schema["properties"]) == ["count"]

    @functools.wraps(weather)
    def wrapped(*args, **kwargs):
        return weather(*args, **kwargs)

    assert function_declaration(wrapped) == function_declaration(weather)
    assert Function(wrapped).run({"place": Place("Ulm")}) == {"result": "Ulm CELSIUS None "}


def test_a_wrapper_that_runs_a_coroutine_function():
    @functools.wraps(later)
    def run(*args, **kwargs):
        return asyncio.run(later(*args, **kwargs))

    function = Function(run)
    assert function.declaration.name == "later"
    assert list(function.declaration.parameters_json_schema["properties"]) == ["x"]
    assert function.run({"x": 1}) == {"result": None}


def test_a_default_that_cannot_be_shown_is_not():
    endless = []
    endless.append(endless)
    for default in (Unreadable(), endless, [Unset()], {"a": Raising()}, 10**5000, float("nan")):

        def function(x: int = default):
            """Do it."""

        assert function_declaration(function).parameters_json_schema["properties"]["x"] == INTEGER


def test_annotated_descriptions():
    annotated = getattr(typing, "Annotated", None) or pytest.importorskip("typing_extensions").Annotated
    assert declared(annotated[int, 5, "in metres", "ignored"]) == {
        "type": "integer",
        "description": "in metres",
    }
    tagged = List[annotated[str, "a tag"]]  # noqa: F722
    assert declared(tagged)["items"] == {"type": "string", "description": "a tag"}
    assert declared(annotated[int, 5]) == INTEGER
    assert read(annotated[int, "in metres"], 3) == 3


def test_marks_of_typed_dicts():
    extensions = typing if sys.version_info >= (3, 11) else pytest.importorskip("typing_extensions")
    names = {
        "TypedDict": extensions.TypedDict,
        "Required": extensions.Required,
        "NotRequired": extensions.NotRequired,
    }
    module = types.ModuleType("marks")
    vars(module).update(names)
    # Python itself does not see a mark inside a text.
    exec(
        "from __future__ import annotations\n"
        "class A(TypedDict):\n    a: int\n    b: NotRequired[str]\n"
        "class B(TypedDict, total=False):\n    a: Required[int]\n    b: str\n"
        "class C(A):\n    c: list[int]\n",
        vars(module),
    )
    sys.modules["marks"] = module
    try:
        assert declared(module.A)["required"] == ["a"]
        assert declared(module.B)["required"] == ["a"]
        assert declared(module.C)["required"] == ["a", "c"]
        assert read(module.A, {"a": 1}) == {"a": 1}
        with pytest.raises(Mismatch, match=r"\$\.x\.a: it is missing"):
            read(module.B, {})
    finally:
        del sys.modules["marks"]


def test_names_of_another_module_are_found_there(tmp_path, monkeypatch):
    (tmp_path / "far_away.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import TypedDict\n"
        "Local = int\n"
        "@dataclass\nclass Base:\n    a: Local\n"
        "class Keys(TypedDict):\n    k: Local\n"
        "def function(base: Base, more: list[Local] | None = None): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import far_away

    @dataclass
    class Derived(far_away.Base):
        b: str

    assert declared(Derived)["properties"] == {"a": INTEGER, "b": STRING}
    properties = function_declaration(far_away.function).parameters_json_schema["properties"]
    assert properties["base"]["properties"] == {"a": INTEGER}
    assert properties["more"] == {"anyOf": [{"type": "array", "items": INTEGER}, NULL]}
    assert declared(far_away.Keys)["properties"] == {"k": INTEGER}

    @functools.wraps(far_away.function)
    def wrapped(*args, **kwargs):
        pass

    assert function_declaration(wrapped) == function_declaration(far_away.function)
    assert function_declaration(far_away.Base).parameters_json_schema["properties"] == {"a": INTEGER}
    if sys.version_info >= (3, 11):  # older ones do not tell where a key was written

        class More(far_away.Keys):
            m: "str"

        assert declared(More)["properties"] == {"k": INTEGER, "m": STRING}
    del sys.modules["far_away"]


def test_fields_that_are_not_given():
    @dataclass
    class Counted:
        a: typing.Final[int]
        b: int = field(init=False, default=0)
        c: typing.ClassVar[int] = 5
        d: List[int] = field(default_factory=list)

    assert declared(Counted)["properties"] == {"a": INTEGER, "d": {"type": "array", "items": INTEGER}}
    assert declared(Counted)["required"] == ["a"]
    assert read(Counted, {"a": 1}) == Counted(1)
    with pytest.raises(Mismatch, match="no such name"):
        read(Counted, {"a": 1, "b": 2})


# A type that contains itself -----------------------------------------------------


@dataclass
class Node:
    value: int
    children: List["Node"] = field(default_factory=list)
    left: Optional["Node"] = None


@dataclass
class Needy:
    value: int
    children: List["Needy"]


@dataclass
class Ping:
    pong: Optional["Pong"] = None


@dataclass
class Pong:
    ping: Ping


def test_a_type_that_contains_itself():
    def plant(tree: Node, other: Node) -> None:
        """Plant trees.

        :param tree: the first
        """

    schema = function_declaration(plant).parameters_json_schema
    reference = {"$ref": "#/$defs/Node"}
    # Beside $ref nothing may stand.
    assert schema["properties"] == {
        "tree": {"anyOf": [reference], "description": "the first"},
        "other": reference,
    }
    assert schema["$defs"] == {
        "Node": {
            "type": "object",
            "properties": {
                "value": INTEGER,
                "children": {"type": "array", "items": reference},
                "left": {"anyOf": [reference, NULL]},
            },
            "required": ["value"],
        }
    }
    assert keywords(schema) <= KEYWORDS
    tree = Function(plant).arguments(
        {"tree": {"value": 1, "children": [{"value": 2, "left": {"value": 3}}]}, "other": {"value": 4}}
    )["tree"]
    assert tree == Node(1, [Node(2, [], Node(3))])


def test_types_that_contain_each_other():
    schema = declared(Ping)
    assert schema == {"$ref": "#/$defs/Ping"}
    assert read(Ping, {"pong": {"ping": {}}}) == Ping(Pong(Ping()))


def test_types_of_one_name_that_contain_themselves_are_numbered():
    def link():
        @dataclass
        class Link:
            again: Optional["Link"] = None

        return Link

    def function(a: link(), b: link(), c: link(), d: link()):
        pass

    schema = function_declaration(function).parameters_json_schema
    assert list(schema["$defs"]) == ["Link", "Link2", "Link3", "Link4"]
    assert [each["$ref"] for each in schema["properties"].values()] == [
        f"#/$defs/{name}" for name in schema["$defs"]
    ]
    for name, definition in schema["$defs"].items():
        assert definition["properties"]["again"] == {"anyOf": [{"$ref": f"#/$defs/{name}"}, NULL]}


def test_a_type_that_requires_itself_is_refused():
    # "Cyclic references [...] may only be used within non-required properties."
    with pytest.raises(ConfigurationError, match="Needy contains itself in a field that is required"):
        declared(Needy)


def test_a_default_above_a_type_that_requires_itself_does_not_help():
    def function(x: Needy = None):
        pass

    with pytest.raises(ConfigurationError, match="Needy contains itself"):
        function_declaration(function)


def test_a_field_that_is_declared_anew_is_read_where_it_is_declared():
    @dataclass
    class Base:
        again: Optional["Base"] = None

    @dataclass
    class Derived(Base):
        again: Optional["Derived"] = None

    assert read(Derived, {"again": {}}) == Derived(Derived())


def test_a_class_inside_a_function_knows_itself():
    @dataclass
    class Local:
        inner: "Optional[Local]" = None

    assert read(Local, {"inner": {}}) == Local(Local())


# What is refused -----------------------------------------------------------------


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
        (bytes, "bytes cannot be described in JSON Schema; take a str with base64"),
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
        ("nowhere.Thing", "nowhere.Thing.*define what it names at the top level"),
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
        (WithInitVar, "WithInitVar cannot be made of its fields: it wants 'b' too"),
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


async def later(x: int):
    pass


class Async:
    __name__ = "named"

    async def __call__(self, x: int):
        pass

    async def method(self, x: int):
        yield x


class Unreadable:
    """Whatever is looked at raises."""

    def __call__(self):
        pass

    def __repr__(self):
        raise LookupError("not to be read")

    __str__ = __eq__ = __iter__ = __len__ = __repr__
    __hash__ = object.__hash__


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
    with pytest.raises(ConfigurationError, match="up to 64"):
        function_declaration(function)


def test_a_name_that_google_refuses():
    def grüße():
        pass

    with pytest.raises(ConfigurationError, match="ASCII"):
        function_declaration(grüße)


# Docstrings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "doc, text, found",
    [
        (None, "", {}),
        ("Do it.", "Do it.", {}),
        (
            """Do it.

     :param a: one,
         and more
     :param int b: two
     :type b: int
     :param Optional[Dict[str, int]] c: three
     :returns: nothing
     """,
            "Do it.\n\n:returns: nothing",
            {"a": "one, and more", "b": "two", "c": "three"},
        ),
        (
            """Do it.

     Args:
         a: one
             and more: much more

             even after a blank line
         b (int, optional): two
         *rest (List[Dict[str, int]]): three
         c:
             four

     Raises:
         ValueError: never

     More.
     """,
            "Do it.\n\nRaises:\n    ValueError: never\n\nMore.",
            {
                "a": "one and more: much more even after a blank line",
                "b": "two",
                "rest": "three",
                "c": "four",
            },
        ),
        (
            """Do it.

     Parameters
     ----------
     a : int
         one
         and more
     b, c : str, optional
         two

     d
         four

     Returns
     -------
     int
         five
     """,
            "Do it.\n\nReturns\n-------\nint\n    five",
            {"a": "one and more", "b": "two", "c": "two", "d": "four"},
        ),
        (
            """Do it.

     Parameters
     ----------
     a : int
         one

     And this is prose.
     """,
            "Do it.\n\nAnd this is prose.",
            {"a": "one"},
        ),
        ("Do it.\n:param a: one\n\nMore.", "Do it.\n\nMore.", {"a": "one"}),
        ("Arguments:\nare not always a section", "Arguments:\nare not always a section", {}),
        ("Attributes:\n\n    a: one\n", "", {"a": "one"}),
    ],
)
def test_docstrings(doc, text, found):
    assert read_docstring(doc) == (text, found)


def test_descriptions_of_a_dataclass_and_its_own_docstring():
    @dataclass
    class Documented:
        """A thing.

        Attributes:
            a: one
        """

        a: int

    @dataclass
    class Undocumented:
        a: int  # the decorator writes a docstring: "Undocumented(a: int)"

    assert declared(Documented)["description"] == "A thing."
    assert declared(Documented)["properties"]["a"]["description"] == "one"
    assert "description" not in declared(Undocumented)


# Reading arguments ---------------------------------------------------------------


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
        (int, "3", r'\$\.x: expected a whole number, got "3"'),
        (int, 3.5, r"\$\.x: expected a whole number, got 3.5"),
        (int, True, "got true"),
        (int, float("inf"), "Infinity"),
        (float, "3", "a finite number"),
        (float, True, "got true"),
        (float, float("nan"), "NaN"),
        (float, 10**400, "a finite number"),
        (bool, 1, "expected true or false, got 1"),
        (bool, "true", 'got "true"'),
        (str, 3, "expected a text, got 3"),
        (str, None, "expected a text, got null"),
        (None, 0, "expected null"),
        (Unit, "kelvin", 'expected one of "celsius", "fahrenheit", got "kelvin"'),
        (Unit, "CELSIUS", "one of"),
        (Size, True, "one of 1, 2"),
        (Literal[2, 1], True, "one of 2, 1"),
        (Optional[int], "3", 'expected a whole number or null, got "3"'),
        (List[int], 3, "expected a list, got 3"),
        (List[int], "3", "expected a list"),
        (List[int], [1, "2"], r"\$\.x\[1\]: expected a whole number"),
        (Tuple[int, str], [1], "expected a list of 2"),
        (Dict[str, int], {"a b": "c"}, r"\$\.x\['a b'\]: expected"),
        (Dict[str, int], [1], "expected an object"),
        (Place, {"height": 1}, r"\$\.x\.name: it is missing"),
        (Place, {"name": "Ulm", "size": 1}, r"\$\.x\.size: there is no such name in Place"),
        (Optional[Place], {"name": "Ulm", "height": "1"}, r"\$\.x\.height: expected a finite number"),
        (Place, "Ulm", r"expected an object \(Place\)"),
        (Maybe, {"days": 1.5, "unit": "celsius"}, r"\$\.x\.days"),
        (Picky, {"a": -1}, r"\$\.x: Picky refuses it: ValueError: below 0"),
        (Union[str, Unit], "celsius", "it can be read as a text and as one of"),
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
def test_arguments_that_are_no_object(args):
    with pytest.raises(Mismatch, match=r"\$: expected an object"):
        Function(weather).arguments(args)


def test_missing_and_unknown_arguments():
    function = Function(weather)
    with pytest.raises(Mismatch, match=r"\$\.place: it is missing"):
        function.arguments({"days": 1})
    with pytest.raises(Mismatch, match=r"\$\.when: there is no such name in weather"):
        function.arguments({"place": {"name": "Ulm"}, "when": 1})
    with pytest.raises(Mismatch, match="expected an object"):
        function.arguments(["Ulm"])
    # What is not given is left to the function's own default.
    assert function.arguments({"place": {"name": "Ulm"}}) == {"place": Place("Ulm")}


def test_a_mismatch_shows_only_a_part_of_a_large_value():
    with pytest.raises(Mismatch) as caught:
        read(int, ["x"] * 10**5)
    assert len(str(caught.value)) < 200


# Running -------------------------------------------------------------------------


def gives(value):
    def function():
        if isinstance(value, BaseException):
            raise value
        return value

    return Function(function).run({})


@pytest.mark.parametrize(
    "value, response",
    [
        ({"a": 1}, {"a": 1}),
        ({Unit.CELSIUS: {1}, 5: (None,)}, {"celsius": [1], "5": [None]}),
        (types.MappingProxyType({"a": Place("Ulm")}), {"a": {"name": "Ulm", "height": 0.0}}),
        (None, {"result": None}),
        ("text", {"result": "text"}),
        (True, {"result": True}),
        (2.5, {"result": 2.5}),
        ([Size.LARGE, Mode.FAST], {"result": [2, "fast"]}),
        (Place("Ulm"), {"result": {"name": "Ulm", "height": 0.0}}),
        (FunctionDeclaration(name="x"), {"result": {"name": "x"}}),
        (ValueError("no such city"), {"error": "ValueError: no such city"}),
        (ValueError("half \ud83d"), {"error": "ValueError: half ?"}),
        (float("nan"), {"error": "the function's result is no JSON: $: JSON has no nan"}),
        ({"a": [b"x"]}, {"error": "the function's result is no JSON: $.a[0]: a bytes has no JSON form"}),
        (
            {"a": {(1, 2): 3}},
            {"error": "the function's result is no JSON: $.a: a name in an object is a text, not [1, 2]"},
        ),
    ],
)
def test_results(value, response):
    made = gives(value)
    assert made == response
    json.dumps(made).encode("utf-8")
    assert all(type(each) in (str, int, float, bool, type(None), dict, list) for each in made.values())


def test_results_that_cannot_be_sent():
    endless = []
    endless.append(endless)
    assert "no JSON" in gives(endless)["error"]
    assert "half a character" in gives("\ud83d")["error"]
    assert "half a character" in gives({"\ud83d": 1})["error"]
    json.dumps(gives("\ud83d"), ensure_ascii=False).encode("utf-8")


@dataclass
class Unset:
    """A dataclass with a field that nobody set."""

    name: str = field(init=False)


class Raising(Mapping):
    def __getitem__(self, name):
        raise LookupError(name)

    def __iter__(self):
        return iter("ab")

    def __len__(self):
        return 2


class Mute(Exception):
    def __str__(self):
        raise LookupError("no text")

    __repr__ = __str__


class Shy(list):
    def __iter__(self):
        raise LookupError("not today")

    @property
    def __class__(self):
        raise LookupError("not even this")


@dataclass
class Property:
    name: str = "x"

    def __getattribute__(self, name):
        if name == "name":
            raise Mute
        return super().__getattribute__(name)


def nested(depth):
    value = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def generator():
    yield 1


def circular():
    value = {}
    value["again"] = [value]
    return value


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: Unset(), "AttributeError"),
        (lambda: [Raising()], "LookupError"),
        (lambda: Raising(), "LookupError"),
        (lambda: Mute(), "Mute"),
        (lambda: Unreadable(), "a Unreadable has no JSON form"),
        (lambda: Shy(), "LookupError"),
        (lambda: Property(), "Mute"),
        (lambda: {Unreadable(): 1}, "a name in an object"),
        (lambda: {b"a": 1}, "a name in an object"),
        (lambda: {None: 1}, "a name in an object"),
        (lambda: {1.5: 1}, "a name in an object"),
        (lambda: {True: 1}, "a name in an object"),
        (lambda: {1: "a", "1": "b"}, "two names"),
        (lambda: {Unit.CELSIUS: 1, "celsius": 2}, "two names"),
        (lambda: nested(91), "more than 90 levels"),
        (lambda: nested(10**5), "more than 90 levels"),
        (circular, "more than 90 levels"),
        (generator, "a generator has no JSON form"),
        (lambda: iter([1]), "has no JSON form"),
        (lambda: object(), "has no JSON form"),
        (lambda: b"x", "has no JSON form"),
        (lambda: 1j, "has no JSON form"),
        (lambda: Place, "a type has no JSON form"),
        (lambda: [float("inf")], "JSON has no inf"),
        (lambda: {"a": float("-inf")}, "JSON has no -inf"),
        (lambda: {"a": ["\udc00"]}, "half a character"),
        (lambda: FunctionCall(name="f", args={"x": float("nan")}), "JSON has no nan"),
        (lambda: FunctionCall(name="\ud800"), "half a character"),
        (lambda: FunctionCall(name="f", args={"x": object()}), "has no JSON form"),
        (lambda: StopIteration(3), "StopIteration: 3"),
        (lambda: RecursionError(), "RecursionError"),
        (lambda: MemoryError("m"), "MemoryError: m"),
        (lambda: KeyError("\ud800"), "KeyError"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error_for_the_model(make, error):
    response = gives(make())
    assert list(response) == ["error"] and error in response["error"]
    json.dumps(response, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: 10**5000,
        lambda: {10**5000: 1},
        lambda: [{"a": -(10**5000)}],
        lambda: nested(90),
        lambda: {1, 2},
        lambda: FunctionCall(name="f", args={"x": 10**5000}),
        lambda: {"a": 10**4000, "b": True},
    ],
)
def test_whatever_a_function_returns_can_be_sent(make):
    """What fits differs: some Pythons write numbers of any length."""
    response = gives(make())
    json.dumps(response, ensure_ascii=False, allow_nan=False).encode()
    if "error" in response:
        assert "digits" in response["error"] and hasattr(sys, "set_int_max_str_digits")


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
        (Refusing, {"x": 1}, r"\$.x: Refusing refuses it: Mute"),
    ):
        with pytest.raises(Mismatch, match=said):
            read(annotation, value)


def test_a_turn_goes_on_whatever_a_function_does():
    outcomes = [
        10**5000,
        Unset(),
        Raising(),
        Mute(),
        Unreadable(),
        Shy(),
        circular(),
        nested(90),
        nested(91),
        {"\ud800": 1},
        float("nan"),
    ]

    def strange(number: int):
        """Give something strange."""
        if isinstance(outcomes[number], Exception):
            raise outcomes[number]
        return outcomes[number]

    with LocalServer() as server:
        server.queue(
            Answer.calls(*(("strange", {"number": number}) for number in range(len(outcomes)))), "done"
        )
        assert collect(Chat("m", endpoint=server.endpoint, tools=[strange]).send("Go")).text == "done"
        responses = [
            part["functionResponse"]["response"] for part in server.requests[1].json["contents"][-1]["parts"]
        ]
    assert [("error" in response) for response in responses] == [hasattr(sys, "set_int_max_str_digits")] + [
        True
    ] * 6 + [False] + [True] * 3


def test_a_failing_function_is_logged_without_content(caplog):
    def secretive(password: str) -> str:
        raise ValueError(password)

    with caplog.at_level(logging.DEBUG, "geministream"):
        Function(secretive).run({"password": "hunter2"})
        gives({"hunter2": b"hunter2"})
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert "secretive raised ValueError at" in caplog.text and "test_functions.py" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_exit_is_not_swallowed():
    for exit in (KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(exit)):
            gives(exit)


# Toolboxes, and requests with callables --------------------------------------------


def test_a_toolbox_knows_what_it_can_run():
    declaration = FunctionDeclaration(name="by_hand")
    toolbox = Toolbox(
        [weather, declaration, {"function_declarations": [{"name": "mapped"}]}, Tool(google_search={})]
    )
    assert set(toolbox.functions) == {"weather"}
    assert toolbox.others == {"by_hand", "mapped"}
    assert toolbox.declared == [
        function_declaration(weather),
        declaration,
        Tool(function_declarations=[FunctionDeclaration(name="mapped")]),
        Tool(google_search={}),
    ]
    assert Toolbox(None).declared == []
    assert set(Toolbox(weather).functions) == {"weather"}


@pytest.mark.parametrize(
    "tools",
    [
        [weather, weather],
        [weather, FunctionDeclaration(name="weather")],
        [{"functionDeclarations": [{"name": "a"}, {"name": "a"}]}],
    ],
)
def test_a_name_is_declared_once(tools):
    with pytest.raises(ConfigurationError, match="two functions with the name"):
        Toolbox(tools)


def test_stream_generate_declares_callables_and_only_reports_the_calls():
    called = []

    def look(place: str) -> str:
        """Look at a place."""
        called.append(place)
        return "seen"

    with LocalServer() as server:
        server.queue(Answer.call("look", {"place": "Ulm"}))
        answer = collect(stream_generate("m", "look", tools=[look], endpoint=server.endpoint))
        sent = server.requests[0].json["tools"]
    assert sent == [{"functionDeclarations": [function_declaration(look).to_dict()]}]
    assert [(call.name, call.args) for call in answer.function_calls] == [("look", {"place": "Ulm"})]
    assert called == []
