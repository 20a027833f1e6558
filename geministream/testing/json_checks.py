"""Checks for hand-written JSON: each returns the converted value, or raises an error that names the place.

A check is called with a value and its path in the document, such as
``$.answers[2].stop_after``.  Checks are made of checks: ``list_of(integer())``.
"""

from __future__ import annotations

import base64
import difflib
import json
from typing import Any, Callable, Dict, Mapping, NoReturn, Optional, Sequence, Union

from ..depth import loads

Check = Callable[[Any, str], Any]


#: How many objects and arrays may be nested in JSON that somebody else wrote, as at Google.
DEEPEST = 100


def parse_json(data: Union[str, bytes], parse_constant: Optional[Callable[[str], Any]] = None) -> Any:
    """Parse JSON of at most `DEEPEST` levels, which any Python can also write.

    :param parse_constant: called for NaN and the infinities, as by ``json.loads``.
    :raises ValueError: if it is not JSON, or has more levels.
    """
    return loads(data, DEEPEST, parse_constant=parse_constant)


class ScriptError(ValueError):
    """A script that is not valid; the text begins with the path of the value."""


def wrong(path: str, must: str, value: Any) -> NoReturn:
    """Raise the error for a value that is not valid."""
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except TypeError:  # a script need not come from JSON
        shown = repr(value)
    raise ScriptError(f"{path}: must be {must}, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def text(value: Any, path: str) -> str:
    return value if isinstance(value, str) else wrong(path, "a string", value)


def boolean(value: Any, path: str) -> bool:
    return value if isinstance(value, bool) else wrong(path, "true or false", value)


def fields(value: Any, path: str) -> Dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else wrong(path, "an object", value)


def from_base64(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(text(value, path), validate=True)
    except ValueError:
        return wrong(path, "base64", value)


def seconds(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 10**6:
        wrong(path, "a number of seconds >= 0", value)
    return float(value)


def integer(low: float = float("-inf"), high: float = float("inf")) -> Check:
    must = "an integer" + (f" >= {low}" if high == float("inf") else f" from {low} to {high}")
    must = "an integer" if low == float("-inf") else must

    def check(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            wrong(path, must, value)
        return value

    return check


def one_of(*values: Any) -> Check:
    listed = ", ".join(json.dumps(value) for value in values)

    def check(value: Any, path: str) -> Any:
        # In Python True equals 1, in JSON true does not.
        known = any(value == each and type(value) is type(each) for each in values)
        return value if known else wrong(path, f"one of {listed}" if len(values) > 1 else listed, value)

    return check


def list_of(check: Check) -> Check:
    def check_list(value: Any, path: str) -> Any:
        if not isinstance(value, (list, tuple)):
            wrong(path, "a list", value)
        return [check(each, f"{path}[{k}]") for k, each in enumerate(value)]

    return check_list


def one_or_more(check: Check) -> Check:
    """A single value or a list of values; returns a list in both cases."""

    def check_either(value: Any, path: str) -> Any:
        if isinstance(value, (list, tuple)):
            return list_of(check)(value, path)
        return [check(value, path)]

    return check_either


def map_of(check: Check) -> Check:
    def check_map(value: Any, path: str) -> Any:
        return {name: check(each, f"{path}.{name}") for name, each in fields(value, path).items()}

    return check_map


def record(known: Mapping[str, Check], required: Sequence[str] = ()) -> Check:
    """An object with these names and no others."""

    def check_record(value: Any, path: str) -> Any:
        given = fields(value, path)
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"the names are {', '.join(known)}"
                raise ScriptError(f'{path}: "{name}" is not a valid name; {hint}')
        for name in required:
            if name not in given:
                raise ScriptError(f'{path}: "{name}" is missing')
        return {name: known[name](each, f"{path}.{name}") for name, each in given.items()}

    return check_record
