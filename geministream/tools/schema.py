"""Python types as JSON Schema, JSON values as these types, and Python values as JSON.

An annotation is read once and becomes a `Kind`.  A kind knows both directions:
how to describe itself to a model, and how to make the Python value out of a
JSON value, or to say where that does not fit.

=======================================  =======================  ==================
annotation                               JSON                     Python value
=======================================  =======================  ==================
``str int float bool None``              their types              themselves
``Any``                                  anything                 as it came
``Literal``, ``Enum``                    one of the values        literal, member
``Optional``, ``Union``, ``X | Y``       any of them              the one that fits
``List``, ``Sequence``, ``Iterable`` …   array                    list
``Tuple``                                array                    tuple
``Dict[str, X]``, ``Mapping``            object of any names      dict
dataclass, ``TypedDict``                 object of these names    instance, dict
=======================================  =======================  ==================

What is described stays within the subset of JSON Schema that Gemini takes
(https://ai.google.dev/api/generate-content#FIELDS.response_json_schema), and
uses no more of it than it must: gateways take less than Google.

Reading never guesses.  ``"3"`` is no number, ``1`` is not ``true``, an object
has all the fields that it must have and no other, and a value that two members
of a Union would take is refused.  As JSON has but one kind of number, 3.0 is a
whole number, and 3 is a float.
"""

import ast
import inspect
import json
import math
import sys
import types
from collections import ChainMap, abc
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import (
    Any,
    Callable,
    Dict,
    ForwardRef,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
    get_args,
    get_origin,
)

from ..errors import ConfigurationError
from ..types.codec import Message
from .docstrings import read_docstring

Schema = Dict[str, Any]


class Mismatch(ValueError):
    """A value is not what it should be; the text says where and how.

    :ivar path: where, as in ``$.items[2].amount``.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


def kind_of(annotation: Any, where: str) -> "Kind":
    """The kind that an annotation means.

    :param where: what the annotation is of, for the error.
    :raises ConfigurationError: for a type that has no JSON form.
    """
    return Annotations().kind(annotation, {}, where)


def schema_of(kind: "Kind") -> Schema:
    """The JSON Schema of a kind, complete with its definitions.

    :raises ConfigurationError: for a type that contains itself where Gemini does not take that.
    """
    writer = _Writer()
    schema = kind.schema(writer)
    if writer.definitions:
        schema = {**schema, "$defs": writer.definitions}
    return schema


# The kinds ---------------------------------------------------------------------


class Kind:
    """One type.

    :ivar what: the type in the words of an error, such as "a whole number".
    """

    what = "anything"

    def schema(self, writer: "_Writer") -> Schema:
        """Describe the type."""
        return {}

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        """Make the Python value of a JSON value.

        :param path: of the value, for the error.
        :param how: what the Union around it has settled; None outside of any.
        :raises Mismatch: where the value does not fit.
        """
        return value

    def mismatch(self, value: Any, path: str) -> Mismatch:
        return Mismatch(path, f"expected {self.what}, got {_shown(value)}")


class _Reading:
    """One way to read what is in a Union.

    Each member of a Union reads all that is below.  A Union in it reads that once
    for all of them, or the time would double with each Union around it.

    :ivar exact: take no 3.0 for an int and no 3 for a float.
    :ivar exactly: the exact way that goes with this one.
    :ivar unions: what each Union made of what stands at a path, or why it could not.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact
        self.exactly = self if exact else _Reading(True)
        self.unions: Dict[Tuple[Kind, str], Tuple[Any, Optional[Mismatch]]] = {}


class _Described(Kind):
    """``Annotated[X, "description"]``."""

    def __init__(self, kind: Kind, description: str) -> None:
        self.what = kind.what
        self._kind = kind
        self._description = description

    def schema(self, writer: "_Writer") -> Schema:
        return described(self._kind.schema(writer), self._description)

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        return self._kind.read(value, path, how)


class _Scalar(Kind):
    def __init__(self, json_type: str, what: str) -> None:
        self.what = what
        self._schema = {"type": json_type}

    def schema(self, writer: "_Writer") -> Schema:
        return dict(self._schema)

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        if JSON_TYPES.get(type(value)) == self._schema["type"]:
            if type(value) is not float or math.isfinite(value):
                return value
        elif how is not None and how.exact:
            pass
        elif type(value) is float and self._schema["type"] == "integer":
            if value.is_integer():
                return int(value)
        elif type(value) is int and self._schema["type"] == "number":
            try:
                return float(value)
            except OverflowError:
                pass
        raise self.mismatch(value, path)


JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_SCALARS = {
    str: _Scalar("string", "a text"),
    int: _Scalar("integer", "a whole number"),
    float: _Scalar("number", "a finite number"),
    bool: _Scalar("boolean", "true or false"),
    type(None): _Scalar("null", "null"),
}


class _Choice(Kind):
    """``Literal`` and ``Enum``.

    :param choices: each JSON value with the Python value that it stands for.
    """

    def __init__(self, choices: Sequence[Tuple[Any, Any]]) -> None:
        self._choices = choices
        listed = ", ".join(json.dumps(value, ensure_ascii=False) for value, _ in choices)
        self.what = f"one of {_cut(listed, 200)}"

    def schema(self, writer: "_Writer") -> Schema:
        by_type: Dict[str, List[Any]] = {}
        for value, _ in self._choices:
            by_type.setdefault(JSON_TYPES[type(value)], []).append(value)
        schemas: List[Schema] = []
        for json_type, values in by_type.items():
            schema: Schema = {"type": json_type}
            if json_type in ("string", "integer", "number"):  # Gemini takes enum for no others
                schema["enum"] = values
            schemas.append(schema)
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        exact = how is not None and how.exact
        numbers = () if exact or type(value) not in (int, float) else (int, float)
        for choice, meant in self._choices:
            if (type(choice) is type(value) or type(choice) in numbers) and choice == value:
                return meant
        raise self.mismatch(value, path)


class _OneOf(Kind):
    """``Union`` and ``Optional``."""

    def __init__(self, members: List[Kind]) -> None:
        self._members = members
        self.what = " or ".join(member.what for member in members)

    def schema(self, writer: "_Writer") -> Schema:
        return {"anyOf": [member.schema(writer) for member in self._members]}

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        how = how or _Reading()
        known = how.unions.get((self, path))
        if known is None:
            try:
                known = how.unions[self, path] = self._read(value, path, how), None
            except Mismatch as problem:
                known = how.unions[self, path] = None, problem
        made, mismatch = known
        if mismatch is not None:
            raise mismatch.with_traceback(None)
        return made

    def _read(self, value: Any, path: str, how: "_Reading") -> Any:
        problems: List[Mismatch] = []
        # 3 fits Union[int, float] twice; only where nothing fits exactly is 3 a float.
        for each in (how,) if how.exact else (how.exactly, how):
            found = []
            problems.clear()
            for member in self._members:
                try:
                    found.append((member, member.read(value, path, each)))
                except Mismatch as problem:
                    problems.append(problem)
            if found:
                first = found[0][1]
                if all(type(other) is type(first) and other == first for _, other in found):
                    return first
                fits = " and as ".join(member.what for member, _ in found)
                raise Mismatch(path, f"it can be read as {fits}, got {_shown(value)}")
        # The member that got furthest is the one that was meant.
        furthest = max(problems, key=lambda problem: len(problem.path))
        raise furthest if furthest.path != path else self.mismatch(value, path)


class _ListOf(Kind):
    what = "a list"

    def __init__(self, item: Kind, make: Callable[[List[Any]], Any] = list) -> None:
        self._item = item
        self._make = make

    def schema(self, writer: "_Writer") -> Schema:
        items = self._item.schema(writer)
        return {"type": "array", "items": items} if items else {"type": "array"}

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        if not isinstance(value, list):
            raise self.mismatch(value, path)
        return self._make(
            [self._item.read(item, f"{path}[{number}]", how) for number, item in enumerate(value)]
        )


class _TupleOf(Kind):
    def __init__(self, items: List[Kind]) -> None:
        self._items = items
        self.what = f"a list of {len(items)}"

    def schema(self, writer: "_Writer") -> Schema:
        count = len(self._items)
        return {
            "type": "array",
            "prefixItems": [item.schema(writer) for item in self._items],
            "minItems": count,
            "maxItems": count,
        }

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        if not isinstance(value, list) or len(value) != len(self._items):
            raise self.mismatch(value, path)
        return tuple(
            kind.read(item, f"{path}[{number}]", how)
            for number, (kind, item) in enumerate(zip(self._items, value))
        )


class _DictOf(Kind):
    what = "an object"

    def __init__(self, value: Kind) -> None:
        self._value = value

    def schema(self, writer: "_Writer") -> Schema:
        values = self._value.schema(writer)
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        if not isinstance(value, dict):
            raise self.mismatch(value, path)
        return {name: self._value.read(item, below(path, name), how) for name, item in value.items()}


class Property(NamedTuple):
    """One name of a `Record`."""

    kind: Kind
    required: bool
    description: str


class Record(Kind):
    """A dataclass, a ``TypedDict`` or a function's parameters.

    :ivar properties: name to `Property`; filled after the record is made, because
        a record may contain itself.
    """

    def __init__(self, name: str, description: str, make: Callable[..., Any]) -> None:
        self.name = name
        self.what = f"an object ({name})"
        self.properties: Dict[str, Property] = {}
        self._description = description
        self._make = make

    def schema(self, writer: "_Writer") -> Schema:
        known = writer.reference(self)
        if known:
            return known
        properties = {}
        for name, each in self.properties.items():
            writer.enter(self, each.required)
            properties[name] = described(each.kind.schema(writer), each.description)
            writer.leave()
        schema: Schema = {"type": "object", "properties": properties}
        required = [name for name, each in self.properties.items() if each.required]
        if required:
            schema["required"] = required
        return writer.written(self, described(schema, self._description))

    def read(self, value: Any, path: str, how: Optional["_Reading"] = None) -> Any:
        if not isinstance(value, dict):
            raise self.mismatch(value, path)
        for name in value:
            if name not in self.properties:
                raise Mismatch(below(path, name), f"there is no such name in {self.name}")
        for name, each in self.properties.items():
            if each.required and name not in value:
                raise Mismatch(below(path, name), "it is missing")
        read = {
            name: self.properties[name].kind.read(item, below(path, name), how)
            for name, item in value.items()
        }
        try:
            return self._make(**read)
        except Exception as error:  # a __post_init__ may refuse what it gets
            raise Mismatch(path, f"{self.name} refuses it: {in_words(error)}") from error


def described(schema: Schema, description: str) -> Schema:
    """The schema with a description in place of its own, if there is one."""
    if not description:
        return schema
    if "$ref" in schema:
        # "If $ref is set on a sub-schema, no other properties [...] may be set":
        # https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
        schema = {"anyOf": [schema]}
    return {**schema, "description": description}


class _Writer:
    """Gives the records that contain themselves their place under ``$defs``."""

    def __init__(self) -> None:
        self.definitions: Dict[str, Schema] = {}
        self._names: Dict[int, str] = {}  # of records that contain themselves, by id()
        # The way to what is being written: records, and whether they require what comes next.
        self._way: List[Tuple[Record, bool]] = []

    def enter(self, record: Record, required: bool) -> None:
        self._way.append((record, required))

    def leave(self) -> None:
        self._way.pop()

    def reference(self, record: Record) -> Optional[Schema]:
        """The reference to a record that is on the way already, or defined; None for any other."""
        depth = next((n for n, (other, _) in enumerate(self._way) if other is record), None)
        if depth is not None:
            # "Cyclic references [...] may only be used within non-required properties.
            # (Nullable properties are not sufficient.)", at the same place.
            if all(required for _, required in self._way[depth:]):
                raise ConfigurationError(
                    f"{record.name} contains itself in a field that is required, which Gemini does "
                    "not take; give the field a default"
                )
            if id(record) not in self._names:
                name, number = record.name, 1
                while name in self._names.values():
                    number += 1
                    name = f"{record.name}{number}"
                self._names[id(record)] = name
        known = self._names.get(id(record))
        return {"$ref": f"#/$defs/{known}"} if known else None

    def written(self, record: Record, schema: Schema) -> Schema:
        """The schema, or where the record turned out to contain itself, the reference to it."""
        name = self._names.get(id(record))
        if name is None:
            return schema
        self.definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}


# From annotations to kinds --------------------------------------------------------

_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)
_UnionType = getattr(types, "UnionType", None)  # of X | Y, from Python 3.10 on
# Marks on a TypedDict's or a dataclass's fields that do not change the type itself.
_MARKS = ("Required", "NotRequired", "ReadOnly", "Final")


class Annotations:
    """Reads annotations; each class becomes one record, so that records can contain themselves."""

    def __init__(self) -> None:
        self._records: Dict[type, Record] = {}

    def kind(self, annotation: Any, names: Mapping[str, Any], where: str) -> Kind:
        """The kind of an annotation.

        :param names: what the names in an annotation that is a text stand for.
        """
        found = evaluated(annotation, names, where)
        if hasattr(found, "__metadata__"):  # Annotated, of typing or of typing_extensions
            inner = self.kind(found.__origin__, names, where)
            notes = [note for note in found.__metadata__ if isinstance(note, str)]
            return _Described(inner, notes[0]) if notes else inner
        if hasattr(found, "__supertype__"):  # NewType
            return self.kind(found.__supertype__, names, where)
        origin, args = get_origin(found), get_args(found)
        form = str(origin).rpartition(".")[2]  # special forms have no other name on Python 3.8
        if found is Any:
            return Kind()
        if origin is Union or (_UnionType is not None and isinstance(found, _UnionType)):
            return _OneOf([self.kind(arg, names, where) for arg in args])
        if form == "Literal":
            return _Choice([_choice(arg, arg, where) for arg in args])
        if form in _MARKS:
            return self.kind(args[0], names, where)
        return self._container(origin or found, args, names, where) or self._class(found, where)

    def _container(
        self, outer: Any, args: Tuple[Any, ...], names: Mapping[str, Any], where: str
    ) -> Optional[Kind]:
        if outer in _LISTS:
            return _ListOf(self.kind(args[0], names, where) if args else Kind())
        if outer is tuple:
            if args[1:] == (Ellipsis,) or not args:
                return _ListOf(self.kind(args[0], names, where) if args else Kind(), tuple)
            return _TupleOf([self.kind(arg, names, where) for arg in args])
        if outer in _DICTS:
            if args and evaluated(args[0], names, where) is not str:
                raise _refusal(where, f"{outer.__name__} with names that are not str")
            return _DictOf(self.kind(args[1], names, where) if args else Kind())
        return None

    def _class(self, found: Any, where: str) -> Kind:
        if found is None:
            found = type(None)
        if not isinstance(found, type) or get_origin(found) is not None:
            raise _refusal(where, getattr(found, "__name__", None) or repr(found))
        if found in _SCALARS:
            return _SCALARS[found]
        if found in self._records:
            return self._records[found]
        if issubclass(found, Enum) and len(found):
            return _Choice([_choice(member.value, member, where) for member in found])
        if is_dataclass(found):
            return self._dataclass(found)
        if issubclass(found, dict) and hasattr(found, "__total__"):
            return self._typed_dict(found)
        raise _refusal(where, found.__name__)

    def _dataclass(self, cls: Any) -> Record:
        doc = str(cls.__dict__.get("__doc__") or "")
        if doc.startswith(f"{cls.__name__}("):
            doc = ""  # the decorator's, in place of one
        text, descriptions = read_docstring(doc)
        record = self._records[cls] = Record(cls.__name__, text, cls)
        homes = {name: base for base in reversed(cls.__mro__) for name in _annotations(base)}
        for each in fields(cls):
            if each.init:
                home = homes.get(each.name, cls)
                kind = self.kind(each.type, names_at(home), f"{cls.__name__}.{each.name}")
                has_default = each.default is not MISSING or each.default_factory is not MISSING
                description = with_default(descriptions.get(each.name, ""), each.default)
                record.properties[each.name] = Property(kind, not has_default, description)
        for name, parameter in inspect.signature(cls).parameters.items():
            if name not in record.properties and parameter.default is parameter.empty:
                raise ConfigurationError(
                    f"{cls.__name__} cannot be made of its fields: it wants {name!r} too"
                )
        return record

    def _typed_dict(self, cls: Any) -> Record:
        text, descriptions = read_docstring(cls.__dict__.get("__doc__"))
        record = self._records[cls] = Record(cls.__name__, text, dict)
        names = names_at(cls)
        annotations = cls.__annotations__
        # Python 3.8 knows only whether all are required.
        all_required = annotations if cls.__total__ else ()
        required = getattr(cls, "__required_keys__", all_required)
        for name, annotation in annotations.items():
            where = f"{cls.__name__}.{name}"
            is_required = name in required
            # Marks inside an annotation that is a text are not seen by Python itself.
            inner = evaluated(annotation, names, where)
            while str(get_origin(inner)).rpartition(".")[2] in _MARKS:
                mark = str(get_origin(inner)).rpartition(".")[2]
                is_required = {"Required": True, "NotRequired": False}.get(mark, is_required)
                inner = evaluated(get_args(inner)[0], names, where)
            kind = self.kind(inner, names, where)
            record.properties[name] = Property(kind, is_required, descriptions.get(name, ""))
        return record


def _choice(value: Any, meant: Any, where: str) -> Tuple[Any, Any]:
    """A JSON value, and the literal or enum member that it stands for."""
    if isinstance(value, Enum):
        value = value.value
    # An enum of texts may derive from str: its values are plain then.
    if type(value) not in JSON_TYPES:
        raise _refusal(where, f"{meant!r}, whose value is neither text nor number,")
    return value, meant


def with_default(description: str, default: Any) -> str:
    """The description, with the default in it where that is worth telling.

    JSON Schema has a keyword for it, which Gemini's subset has not.
    """
    if default is MISSING or default is None:
        return description
    try:
        shown = json.dumps(to_json(default), ensure_ascii=False)
    except Exception:  # no JSON, or the default's own code raises when it is looked at: it is not told
        return description
    return f"{description} (default: {shown})".strip() if len(shown) <= 80 else description


def _annotations(cls: type) -> Mapping[str, Any]:
    found: Mapping[str, Any] = cls.__dict__.get("__annotations__", {})
    return found


def names_at(thing: Any) -> Mapping[str, Any]:
    """What names stand for where a class was written; it knows itself even inside a function."""
    module = sys.modules.get(str(getattr(thing, "__module__", None)))  # methods of built-in types have none
    return ChainMap(vars(module) if module else {}, {thing.__name__: thing})


def _refusal(where: str, what: str) -> ConfigurationError:
    hint = "; take a str with base64 or a path in its place" if what == "bytes" else ""
    return ConfigurationError(
        f"{where}: {what} cannot be described in JSON Schema{hint}; what can is str, int, float, bool, "
        "Literal, Enum, Optional, Union, List, Tuple, Dict[str, ...], dataclasses and TypedDict"
    )


# Annotations that are texts --------------------------------------------------------


def evaluated(annotation: Any, names: Mapping[str, Any], where: str) -> Any:
    """The annotation itself, where it is a text (``from __future__ import annotations``).

    ``int | None`` and ``list[int]`` in a text mean the same on each Python from 3.8 on.

    :raises ConfigurationError: where a name in it cannot be found.
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
            "define what it names at the top level of its module"
        ) from None
    except (SyntaxError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{where}: the annotation {annotation!r} cannot be read: {error}") from None
    return evaluated(found, names, where)


class _OlderSpelling(ast.NodeTransformer):
    """Turns ``X | Y`` and ``list[X]`` into calls of `_union` and `_item`."""

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


# From Python values to JSON ----------------------------------------------------------


# Google reads JSON of 100 levels; the request around a function's result needs some of them.
_DEEPEST = 90


def to_json(value: Any, path: str = "$", depth: int = 0) -> Any:
    """The JSON value (of dict, list, str, …) of a Python value.

    Takes what JSON has, and Mappings, tuples, sets, enums, dataclasses and messages of the wire.

    :raises Mismatch: for anything else, which says where it is.
    :raises Exception: what the value's own code raises, such as a property.
    """
    if depth > _DEEPEST:
        raise Mismatch(path, f"it is nested in more than {_DEEPEST} levels")
    depth += 1
    if isinstance(value, Enum):
        return to_json(value.value, path, depth)
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:  # Python writes so many digits and no more
            raise Mismatch(path, "the number has too many digits") from None
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Mismatch(path, f"JSON has no {value}")
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, Message):
        return to_json(value.to_dict(), path, depth)
    if is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, abc.Mapping):
        made: Dict[str, Any] = {}
        for name, item in value.items():
            name = _name(name, path)
            if name in made:
                raise Mismatch(path, f"two names in an object are {_shown(name)}")
            made[name] = to_json(item, below(path, name), depth)
        return made
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item, f"{path}[{number}]", depth) for number, item in enumerate(value)]
    raise Mismatch(path, f"a {type(value).__name__} has no JSON form")


def _text(value: str, path: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Mismatch(path, f"the text holds half a character: {_shown(value)}") from None
    return value


def _name(name: Any, path: str) -> str:
    if isinstance(name, Enum):
        name = name.value
    if isinstance(name, int) and not isinstance(name, bool):
        return int.__repr__(name)
    if not isinstance(name, str):
        raise Mismatch(path, f"a name in an object is a text, not {_shown(name)}")
    return _text(name, path)


# Small change ------------------------------------------------------------------------


def below(path: str, name: Any) -> str:
    """The path of what has a name below ``path`` (RFC 9535)."""
    return f"{path}.{name}" if isinstance(name, str) and name.isidentifier() else f"{path}[{name!r}]"


def in_words(error: Exception) -> str:
    """The kind and text of an exception that is not ours, so that reading the text may raise another."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = object.__repr__(value)
    return _cut(text, 80)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
