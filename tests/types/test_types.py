"""The messages have all that the wire has, and the package offers its public names alone."""

import ast
import dataclasses
import inspect
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from support import typing_examples
from support.wire_facts import ENUMS, MESSAGES, fields_of

import geministream
from geministream import types
from geministream.types import GenerationConfig, ThinkingConfig
from geministream.types.codec import Int64, wire_name

PYTHON_TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "int64": Int64,
    "dict": typing.Dict[str, typing.Any],
    "{str}": typing.Dict[str, str],
    "any": typing.Any,
    **dict.fromkeys(ENUMS, str),
}


def python_type(kind):
    if kind.startswith("["):
        return typing.List[python_type(kind[1:-1])]
    return PYTHON_TYPES.get(kind) or getattr(types, kind)


@pytest.fixture(scope="module")
def hints():
    """The evaluated annotations of a class; those of rooms that are loaded later are evaluated, too."""
    names = {name: getattr(types, name) for name in types.__all__}
    return lambda cls: typing.get_type_hints(cls, localns=names)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_field_of_the_wire_is_there_with_its_type(message, hints):
    cls = getattr(types, message)
    annotations = hints(cls)
    facts = fields_of(message)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    assert list(fields)[-1] == "extra"
    assert {wire_name(name) for name in fields if name != "extra"} == set(facts)
    for name, field in fields.items():
        if name != "extra":
            expected = python_type(facts[wire_name(name)])
            assert field.default is None
            assert annotations[name] == typing.Optional[expected], name


@pytest.mark.parametrize("enum", ENUMS)
def test_every_value_of_an_enum_is_a_constant_equal_to_its_name(enum):
    constants = {k: v for k, v in vars(getattr(types, enum)).items() if not k.startswith("_")}
    assert constants == {value: value for value in ENUMS[enum].split()}


def test_all_names_what_there_is_and_nothing_else():
    aliases = {n for n in types.__all__ if getattr(types, n).__name__ != n}
    friendly = {getattr(types, n).__name__ for n in aliases}
    assert len(types.__all__) == len(set(types.__all__))
    assert set(types.__all__) == {*MESSAGES, *ENUMS, *friendly}
    assert aliases < set(MESSAGES)
    assert set(types.__all__) <= set(dir(types))


def test_every_class_has_a_docstring_that_names_only_its_own_fields():
    for name in types.__all__:
        cls = getattr(types, name)
        assert cls.__doc__.split("\n\n")[0].endswith((".", "…")), name
        if dataclasses.is_dataclass(cls):
            noted = [w.split(":")[0] for w in cls.__doc__.split(":ivar ")[1:]]
            assert set(noted) <= {f.name for f in dataclasses.fields(cls)}, name


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="GenerationConfg"):
        types.GenerationConfg
    with pytest.raises(ImportError):
        from geministream.types import Parrt  # noqa: F401  only imported


FIRST_USE = """
import pickle, sys
from geministream import types
rare, request = "geministream.types.grounding", "geministream.types.request"
plain = types.GenerateContentResponse.from_dict({"candidates": [{"content": {"parts": [{"text": "a"}]}}]})
plain.to_dict(), repr(plain), plain.text, pickle.loads(pickle.dumps(plain))
assert "GroundingMetadata" in dir(types) and "GenerationConfig" in dir(types)
assert rare not in sys.modules and request not in sys.modules
types.GenerationConfig
assert rare not in sys.modules and request in sys.modules
grounded = types.GenerateContentResponse.from_dict({"candidates": [{"groundingMetadata": {"new": 1}}]})
assert type(grounded.candidates[0].grounding_metadata).__name__ == "GroundingMetadata"
assert rare in sys.modules
"""


def test_what_is_seldom_needed_is_loaded_on_first_use():
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True)


def test_a_pickle_of_a_lazily_loaded_message_can_be_read_by_a_fresh_process():
    config = GenerationConfig(temperature=0.5, thinking_config=ThinkingConfig(thinking_budget=0))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(config), stdout=subprocess.PIPE, check=True
    )
    assert run.stdout.decode().strip() == repr(config)


def test_the_typing_examples_run_too(tmp_path):
    examples = [f for name, f in vars(typing_examples).items() if name.startswith("example_")]
    assert examples
    for example in examples:
        example(tmp_path) if inspect.signature(example).parameters else example()


def test_the_package_offers_its_public_names_alone():
    """At run time, and to editors and type checkers, which read the imports."""
    shown = {name for name in dir(geministream) if not name.startswith("__")}
    assert shown | {"__version__"} == {*geministream.__all__, "types"}
    for module, public in ((types, set(types.__all__)), (geministream, {*geministream.__all__, "types"})):
        imported = {name for name in imported_names(module) if name[0] != "_"}
        assert imported == public - {"__version__"}


def imported_names(module):
    source = ast.parse(Path(module.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(source) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {alias.asname or alias.name for node in imports for alias in node.names}
