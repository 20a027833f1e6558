"""Kinds: Python types that describe themselves as JSON Schema and read JSON values.

An annotation is read once and becomes a `Kind` (see ``annotations``).

=======================================  =======================  =========================
annotation                               JSON                     Python value
=======================================  =======================  =========================
``str int float bool None``              their types              themselves
``Any``                                  anything                 unchanged
``Literal``, ``Enum``                    one of the values        literal, member
``Optional``, ``Union``, ``X | Y``       any of them              that of the one that fits
``List``, ``Sequence``, ``Iterable`` …   array                    list
``Tuple``                                array                    tuple
``Dict[str, X]``, ``Mapping``            object of any names      dict
dataclass, ``TypedDict``                 object of these names    instance, dict
=======================================  =======================  =========================

A schema stays within the subset of JSON Schema that Gemini accepts
(https://ai.google.dev/api/generate-content#FIELDS.response_json_schema), and uses
as little of it as possible, because gateways accept less than Google.

Reading never guesses.  ``"3"`` is not a number, ``1`` is not ``true``, an object has
all required fields and no unknown ones, and a value that fits two members of a
Union differently is refused.  Because JSON has only one type of number, 3.0 is read
as an int and 3 as a float where the annotation asks for it.
"""

import json
import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import ConfigurationError
from .values import Mismatch, below, cut, in_words, shown

Schema = Dict[str, Any]


def schema_of(kind: "Kind") -> Schema:
    """Return the JSON Schema of a kind, complete with its definitions.

    :raises ConfigurationError: if a type contains itself in a way that Gemini does not accept.
    """
    writer = Writer()
    schema = kind.schema(writer)
    if writer.definitions:
        schema = {**schema, "$defs": writer.definitions}
    return schema


# The kinds ---------------------------------------------------------------------


class Kind:
    """One type; this class itself is ``Any``.

    :ivar what: what an error calls the type, such as "an integer".
    """

    what = "anything"

    def schema(self, writer: "Writer") -> Schema:
        """Describe the type."""
        return {}

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        """Convert a JSON value to a Python value.

        :param path: the place of the value, for the error.
        :param how: the way that a Union around it asks for; None outside of any Union.
        :raises Mismatch: if the value does not fit.
        """
        return value

    def mismatch(self, value: Any, path: str) -> Mismatch:
        """Return the error for a value that does not fit."""
        return Mismatch(path, f"expected {self.what}, got {shown(value)}")


class Reading:
    """One way to read a value inside a Union.

    Each member of a Union reads the entire value.  A nested Union caches its results, or the
    time would double with each level of nesting.

    :ivar exact: whether 3.0 is refused for an int, and 3 for a float.
    :ivar exactly: the same reading, but exact.
    :ivar unions: what each Union has read at a path, or why it could not.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact
        self.exactly = self if exact else Reading(True)
        self.unions: Dict[Tuple[Kind, str], Tuple[Any, Optional[Mismatch]]] = {}


class Described(Kind):
    """``Annotated[X, "description"]``."""

    def __init__(self, kind: Kind, description: str) -> None:
        self.what = kind.what
        self._kind = kind
        self._description = description

    def schema(self, writer: "Writer") -> Schema:
        return described(self._kind.schema(writer), self._description)

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        return self._kind.read(value, path, how)


class Scalar(Kind):
    def __init__(self, json_type: str, what: str) -> None:
        self.what = what
        self._schema = {"type": json_type}

    def schema(self, writer: "Writer") -> Schema:
        return dict(self._schema)

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
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
SCALARS = {
    str: Scalar("string", "a string"),
    int: Scalar("integer", "an integer"),
    float: Scalar("number", "a finite number"),
    bool: Scalar("boolean", "true or false"),
    type(None): Scalar("null", "null"),
}


class Choice(Kind):
    """``Literal`` and ``Enum``.

    :param choices: pairs of a JSON value and the Python value that it stands for.
    """

    def __init__(self, choices: Sequence[Tuple[Any, Any]]) -> None:
        self._choices = choices
        listed = ", ".join(json.dumps(value, ensure_ascii=False) for value, _ in choices)
        self.what = f"one of {cut(listed, 200)}"

    def schema(self, writer: "Writer") -> Schema:
        by_type: Dict[str, List[Any]] = {}
        for value, _ in self._choices:
            by_type.setdefault(JSON_TYPES[type(value)], []).append(value)
        schemas: List[Schema] = []
        for json_type, values in by_type.items():
            schema: Schema = {"type": json_type}
            if json_type in ("string", "integer", "number"):  # Gemini accepts enum for these only
                schema["enum"] = values
            schemas.append(schema)
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        exact = how is not None and how.exact
        numbers = () if exact or type(value) not in (int, float) else (int, float)
        for choice, meant in self._choices:
            if (type(choice) is type(value) or type(choice) in numbers) and choice == value:
                return meant
        raise self.mismatch(value, path)


class OneOf(Kind):
    """``Union`` and ``Optional``."""

    def __init__(self, members: List[Kind]) -> None:
        self._members = members
        self.what = " or ".join(member.what for member in members)

    def schema(self, writer: "Writer") -> Schema:
        return {"anyOf": [member.schema(writer) for member in self._members]}

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        how = how or Reading()
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

    def _read(self, value: Any, path: str, how: "Reading") -> Any:
        problems: List[Mismatch] = []
        # 3 fits both members of Union[int, float]; read it as a float only if nothing fits exactly.
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
                raise Mismatch(path, f"ambiguous, valid as {fits}, got {shown(value)}")
        # The member that got furthest is probably the one that was meant.
        furthest = max(problems, key=lambda problem: len(problem.path))
        raise furthest if furthest.path != path else self.mismatch(value, path)


class ListOf(Kind):
    what = "a list"

    def __init__(self, item: Kind, make: Callable[[List[Any]], Any] = list) -> None:
        self._item = item
        self._make = make

    def schema(self, writer: "Writer") -> Schema:
        items = self._item.schema(writer)
        return {"type": "array", "items": items} if items else {"type": "array"}

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        if not isinstance(value, list):
            raise self.mismatch(value, path)
        return self._make(
            [self._item.read(item, f"{path}[{number}]", how) for number, item in enumerate(value)]
        )


class TupleOf(Kind):
    def __init__(self, items: List[Kind]) -> None:
        self._items = items
        self.what = f"a list of {len(items)}"

    def schema(self, writer: "Writer") -> Schema:
        count = len(self._items)
        return {
            "type": "array",
            "prefixItems": [item.schema(writer) for item in self._items],
            "minItems": count,
            "maxItems": count,
        }

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        if not isinstance(value, list) or len(value) != len(self._items):
            raise self.mismatch(value, path)
        return tuple(
            kind.read(item, f"{path}[{number}]", how)
            for number, (kind, item) in enumerate(zip(self._items, value))
        )


class DictOf(Kind):
    what = "an object"

    def __init__(self, value: Kind) -> None:
        self._value = value

    def schema(self, writer: "Writer") -> Schema:
        values = self._value.schema(writer)
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
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

    :ivar properties: name to `Property`; its maker fills it later, because a record
        may contain itself.
    """

    def __init__(self, name: str, description: str, make: Callable[..., Any]) -> None:
        self.name = name
        self.what = f"an object ({name})"
        self.properties: Dict[str, Property] = {}
        self._description = description
        self._make = make

    def schema(self, writer: "Writer") -> Schema:
        known = writer.reference(self)
        if known:
            return known
        properties = {}
        for name, each in self.properties.items():
            writer.way.append((self, each.required))
            properties[name] = described(each.kind.schema(writer), each.description)
            writer.way.pop()
        schema: Schema = {"type": "object", "properties": properties}
        required = [name for name, each in self.properties.items() if each.required]
        if required:
            schema["required"] = required
        return writer.written(self, described(schema, self._description))

    def read(self, value: Any, path: str, how: Optional["Reading"] = None) -> Any:
        if not isinstance(value, dict):
            raise self.mismatch(value, path)
        for name in value:
            if name not in self.properties:
                raise Mismatch(below(path, name), f"unknown field of {self.name}")
        for name, each in self.properties.items():
            if each.required and name not in value:
                raise Mismatch(below(path, name), "missing")
        read = {
            name: self.properties[name].kind.read(item, below(path, name), how)
            for name, item in value.items()
        }
        try:
            return self._make(**read)
        except Exception as error:  # such as that of a __post_init__
            raise Mismatch(path, f"not a valid {self.name}: {in_words(error)}") from error


def described(schema: Schema, description: str) -> Schema:
    """Return the schema with a description, if there is one, in place of its own."""
    if not description:
        return schema
    if "$ref" in schema:
        # "If $ref is set on a sub-schema, no other properties [...] may be set":
        # https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
        schema = {"anyOf": [schema]}
    return {**schema, "description": description}


class Writer:
    """Defines the records that contain themselves under ``$defs``.

    :ivar way: from the outermost record to what is being written: each record, and
        whether it requires the property that comes next.
    """

    def __init__(self) -> None:
        self.definitions: Dict[str, Schema] = {}
        self.models: Dict[type, Schema] = {}  # classes that describe themselves
        self.way: List[Tuple[Record, bool]] = []
        self._names: Dict[Record, str] = {}  # of records that contain themselves

    def reference(self, record: Record) -> Optional[Schema]:
        """Return the reference to a record that is being written already, or defined, else None."""
        depth = next((n for n, (other, _) in enumerate(self.way) if other is record), None)
        if depth is not None:
            # "Cyclic references [...] may only be used within non-required properties.
            # (Nullable properties are not sufficient.)", at the same place.
            if all(required for _, required in self.way[depth:]):
                raise ConfigurationError(
                    f"{record.name} contains itself in a required field, which Gemini does "
                    "not accept; give the field a default"
                )
            if record not in self._names:
                self._names[record] = self.free_name(record.name)
        known = self._names.get(record)
        return {"$ref": f"#/$defs/{known}"} if known else None

    def free_name(self, name: str) -> str:
        """Return a name that no other definition has."""
        taken = {*self._names.values(), *self.definitions}
        free, number = name, 1
        while free in taken:
            number += 1
            free = f"{name}{number}"
        return free

    def written(self, record: Record, schema: Schema) -> Schema:
        """Return the schema, or a reference if the record turned out to contain itself."""
        name = self._names.get(record)
        if name is None:
            return schema
        self.definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}
