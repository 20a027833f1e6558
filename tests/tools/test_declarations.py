"""What is declared of a function: its annotations as JSON Schema."""

import asyncio
import collections
import functools
import json
import sys
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Literal, Mapping, Optional, Sequence, Tuple, Union

import pytest
from support.annotations import (
    INTEGER,
    NULL,
    NUMBER,
    STRING,
    Maybe,
    Mode,
    Place,
    Raising,
    Size,
    Unit,
    Unreadable,
    Unset,
    UserId,
    declared,
    keywords,
    later,
    read,
    weather,
)

from geministream import ConfigurationError, function_declaration
from geministream.tools.functions import Function
from geministream.tools.schema import Mismatch
from geministream.types import FunctionDeclaration

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


def test_a_complete_declaration():
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
    tagged = List[annotated[str, "a tag"]]  # noqa: F722  a text that is no annotation
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
        with pytest.raises(Mismatch, match=r"\$\.x\.a: missing"):
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
    with pytest.raises(Mismatch, match="unknown field"):
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
    with pytest.raises(ConfigurationError, match="Needy contains itself in a required field"):
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
