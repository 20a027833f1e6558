"""Python values to JSON, and how an error names a value and its place."""

import json
import math
from collections import abc
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Dict

from ..types.codec import Message

# Google accepts JSON of 100 levels; the request around a function's result needs some of them.
_DEEPEST = 90


class Mismatch(ValueError):
    """A value is not of the expected type; the text says where and why.

    :ivar path: its place, such as ``$.items[2].amount``.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


def to_json(value: Any, path: str = "$", depth: int = 0) -> Any:
    """Convert a Python value to a JSON value (dict, list, str, …).

    It takes JSON values, Mappings, tuples, sets, enums, dataclasses and API messages.

    :raises Mismatch: for anything else.
    :raises Exception: what the value's own code raises, such as a property.
    """
    if depth > _DEEPEST:
        raise Mismatch(path, f"nested more than {_DEEPEST} levels deep")
    depth += 1
    if isinstance(value, Enum):
        return to_json(value.value, path, depth)
    if value is None:
        return None
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:  # past sys.get_int_max_str_digits()
            raise Mismatch(path, "the number has too many digits") from None
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
                raise Mismatch(path, f"the object has the name {shown(name)} twice")
            made[name] = to_json(item, below(path, name), depth)
        return made
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item, f"{path}[{number}]", depth) for number, item in enumerate(value)]
    raise Mismatch(path, f"a value of type {type(value).__name__} cannot be written as JSON")


def _text(value: str, path: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Mismatch(path, f"the text contains a lone surrogate: {shown(value)}") from None
    return value


def _name(name: Any, path: str) -> str:
    if isinstance(name, Enum):
        name = name.value
    if isinstance(name, int) and not isinstance(name, bool):
        return int.__repr__(name)
    if not isinstance(name, str):
        raise Mismatch(path, f"a name in an object must be a string, got {shown(name)}")
    return _text(name, path)


# For errors --------------------------------------------------------------------------


def below(path: str, name: Any) -> str:
    """Return the path of a member (RFC 9535)."""
    return f"{path}.{name}" if isinstance(name, str) and name.isidentifier() else f"{path}[{name!r}]"


def in_words(error: Exception) -> str:
    """Return the type and text of somebody else's exception."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # its __str__ is broken
        return type(error).__name__


def shown(value: Any) -> str:
    """Return a value as JSON, cut to 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = object.__repr__(value)
    return cut(text, 80)


def cut(text: str, most: int) -> str:
    """Return at most so many characters of a text."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
