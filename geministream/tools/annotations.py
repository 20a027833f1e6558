"""Annotations to kinds: of arguments, of the fields of dataclasses and TypedDicts.

An annotation may be an object or a string, spelled as Python 3.8 spells it
(``Optional[List[int]]``) or as today (``list[int] | None``).
"""

import ast
import inspect
import json
import sys
import types
from collections import ChainMap, abc
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, Dict, ForwardRef, List, Mapping, Optional, Tuple, Union, get_args, get_origin

from ..errors import ConfigurationError
from .docstrings import read_docstring
from .models import Model, is_model
from .schema import (
    JSON_TYPES,
    SCALARS,
    Choice,
    Described,
    DictOf,
    Kind,
    ListOf,
    OneOf,
    Property,
    Record,
    TupleOf,
)
from .values import to_json

_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)
_UnionType = getattr(types, "UnionType", None)  # of X | Y, from Python 3.10 on
# They say something about a field of a TypedDict or dataclass, and nothing about its type.
_MARKS = ("Required", "NotRequired", "ReadOnly", "Final")


def kind_of(annotation: Any, where: str) -> Kind:
    """Return the kind that an annotation means.

    :param where: what has the annotation, for the error.
    :raises ConfigurationError: if the type has no JSON form.
    """
    return Annotations().kind(annotation, {}, where)


class Annotations:
    """Reads annotations, and makes one record of each class, so that a class may contain itself."""

    def __init__(self) -> None:
        self._records: Dict[type, Record] = {}

    def kind(self, annotation: Any, names: Mapping[str, Any], where: str) -> Kind:
        """Return the kind of an annotation.

        :param names: the namespace for an annotation that is a string.
        """
        found = evaluated(annotation, names, where)
        if hasattr(found, "__metadata__"):  # Annotated, of typing or of typing_extensions
            inner = self.kind(found.__origin__, names, where)
            notes = [note for note in found.__metadata__ if isinstance(note, str)]
            return Described(inner, notes[0]) if notes else inner
        if hasattr(found, "__supertype__"):  # NewType
            return self.kind(found.__supertype__, names, where)
        origin, args, form = get_origin(found), get_args(found), _form(found)
        if found is Any:
            return Kind()
        if origin is Union or (_UnionType is not None and isinstance(found, _UnionType)):
            return OneOf([self.kind(arg, names, where) for arg in args])
        if form == "Literal":
            return Choice([_choice(arg, arg, where) for arg in args])
        if form in _MARKS:
            return self.kind(args[0], names, where)
        return self._container(origin or found, args, names, where) or self._class(found, where)

    def _container(
        self, outer: Any, args: Tuple[Any, ...], names: Mapping[str, Any], where: str
    ) -> Optional[Kind]:
        if outer in _LISTS:
            return ListOf(self.kind(args[0], names, where) if args else Kind())
        if outer is tuple:
            if args[1:] == (Ellipsis,) or not args:
                return ListOf(self.kind(args[0], names, where) if args else Kind(), tuple)
            return TupleOf([self.kind(arg, names, where) for arg in args])
        if outer in _DICTS:
            if args and evaluated(args[0], names, where) is not str:
                raise _refusal(where, f"{outer.__name__} with names that are not str")
            return DictOf(self.kind(args[1], names, where) if args else Kind())
        return None

    def _class(self, found: Any, where: str) -> Kind:
        if found is None:
            found = type(None)
        if not isinstance(found, type) or get_origin(found) is not None:
            raise _refusal(where, getattr(found, "__name__", None) or repr(found))
        if found in SCALARS:
            return SCALARS[found]
        if found in self._records:
            return self._records[found]
        if issubclass(found, Enum) and len(found):
            return Choice([_choice(member.value, member, where) for member in found])
        if is_model(found):
            return Model(found)
        if is_dataclass(found):
            return self._dataclass(found)
        if issubclass(found, dict) and hasattr(found, "__total__"):
            return self._typed_dict(found)
        raise _refusal(where, found.__name__)

    def _dataclass(self, cls: Any) -> Record:
        doc = str(cls.__dict__.get("__doc__") or "")
        if doc.startswith(f"{cls.__name__}("):
            doc = ""  # @dataclass made it up
        text, descriptions = read_docstring(doc)
        record = self._records[cls] = Record(cls.__name__, text, cls)
        for each in fields(cls):
            if each.init:
                kind = self.kind(each.type, names_at(_home(cls, each)), f"{cls.__name__}.{each.name}")
                has_default = each.default is not MISSING or each.default_factory is not MISSING
                description = with_default(descriptions.get(each.name, ""), each.default)
                record.properties[each.name] = Property(kind, not has_default, description)
        for name, parameter in inspect.signature(cls).parameters.items():
            if name not in record.properties and parameter.default is parameter.empty:
                raise ConfigurationError(
                    f"{cls.__name__} cannot be created from its fields alone: it also requires {name!r}"
                )
        return record

    def _typed_dict(self, cls: Any) -> Record:
        text, descriptions = read_docstring(cls.__dict__.get("__doc__"))
        record = self._records[cls] = Record(cls.__name__, text, dict)
        names = names_at(cls)
        annotations = cls.__annotations__
        # Python 3.8 has no __required_keys__.
        required = getattr(cls, "__required_keys__", annotations if cls.__total__ else ())
        for name, annotation in annotations.items():
            where = f"{cls.__name__}.{name}"
            is_required = name in required
            # Python does not look for Required and NotRequired in a string.
            inner = evaluated(annotation, names, where)
            while _form(inner) in _MARKS:
                is_required = {"Required": True, "NotRequired": False}.get(_form(inner), is_required)
                inner = evaluated(get_args(inner)[0], names, where)
            kind = self.kind(inner, names, where)
            record.properties[name] = Property(kind, is_required, descriptions.get(name, ""))
        return record


def _form(annotation: Any) -> str:
    """Return "Literal" for ``Literal["a"]``; on Python 3.8 special forms have no ``__name__``."""
    return str(get_origin(annotation)).rpartition(".")[2]


def _choice(value: Any, meant: Any, where: str) -> Tuple[Any, Any]:
    """Return a JSON value, and the literal or enum member that it stands for."""
    if isinstance(value, Enum):
        value = value.value
    if type(value) not in JSON_TYPES:
        raise _refusal(where, f"{meant!r}, whose value is neither text nor number,")
    return value, meant


def with_default(description: str, default: Any) -> str:
    """Add a default value to a description; Gemini's subset of JSON Schema has no keyword for it."""
    if default is MISSING or default is None:
        return description
    try:
        shown = json.dumps(to_json(default), ensure_ascii=False)
    except Exception:  # it has no JSON form, or its own code raises: leave it out
        return description
    return f"{description} (default: {shown})".strip() if len(shown) <= 80 else description


def _home(cls: Any, field: "Field[Any]") -> Any:
    """Return the class that defines a dataclass's field; subclasses have the same Field object."""
    for base in reversed(cls.__mro__):
        if base.__dict__.get("__dataclass_fields__", {}).get(field.name) is field:
            return base
    return cls


def names_at(thing: Any) -> Mapping[str, Any]:
    """Return the namespace of a class's module, and the class itself, which may be local to a function."""
    module = sys.modules.get(str(getattr(thing, "__module__", None)))  # methods of built-in types have none
    return ChainMap(vars(module) if module else {}, {thing.__name__: thing})


def _refusal(where: str, what: str) -> ConfigurationError:
    hint = "; use a str with base64 or a path instead" if what == "bytes" else ""
    return ConfigurationError(
        f"{where}: {what} has no JSON Schema{hint}; use str, int, float, bool, Literal, Enum, "
        "Optional, Union, List, Tuple, Dict[str, ...], a dataclass or a TypedDict"
    )


# Annotations that are strings --------------------------------------------------------


def evaluated(annotation: Any, names: Mapping[str, Any], where: str) -> Any:
    """Evaluate an annotation that is a string (``from __future__ import annotations``).

    ``int | None`` and ``list[int]`` in a string mean the same on each Python from 3.8 on.

    :raises ConfigurationError: if the string cannot be evaluated.
    """
    if isinstance(annotation, ForwardRef):
        module = sys.modules.get(str(getattr(annotation, "__forward_module__", None)))
        if module is not None:
            names = ChainMap(vars(module), dict(names))
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        tree = ast.parse(annotation.strip(), mode="eval")
        if sys.version_info < (3, 10):
            tree = ast.fix_missing_locations(_OlderSpelling().visit(tree))
            names = ChainMap({"_union": _union, "_item": _item}, dict(names))
        found = eval(compile(tree, "<annotation>", "eval"), {}, names)
    except NameError as error:
        raise ConfigurationError(
            f"{where}: the annotation {annotation!r} cannot be read: {error}; "
            "define its names at the top level of the module"
        ) from None
    except (SyntaxError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{where}: the annotation {annotation!r} cannot be read: {error}") from None
    return evaluated(found, names, where)


class _OlderSpelling(ast.NodeTransformer):
    """Replaces ``X | Y`` and ``list[X]`` by calls of `_union` and `_item`."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _call("_union", node.left, node.right) if isinstance(node.op, ast.BitOr) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        index = node.slice
        inner: Any = getattr(index, "value", index) if type(index).__name__ == "Index" else index
        return _call("_item", node.value, inner)


def _call(name: str, *args: Any) -> ast.Call:
    return ast.Call(func=ast.Name(id=name, ctx=ast.Load()), args=list(args), keywords=[])


def _union(left: Any, right: Any) -> Any:
    return Union[left, right]


def _item(outer: Any, index: Any) -> Any:
    try:
        return outer[index]
    except TypeError:
        if outer in _LISTS:
            return List[index]
        if outer is tuple:
            return Tuple[index]
        if outer in _DICTS:
            return Dict[index]  # type: ignore[misc]
        raise
