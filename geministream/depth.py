"""How many levels JSON may have: lists and objects inside one another.

Python's encoders and decoders of JSON call themselves for each level.  Where the stack ends, CPython
raises a RecursionError; PyPy may raise a TypeError instead, or abort.  So the levels of a
caller's values are counted before they are written, and on PyPy those of text before it is parsed.
"""

import json
import re
import sys
from itertools import accumulate
from typing import Any, Callable, List, Tuple, Union

# The maximum in a stream and in a request: copy.deepcopy() needs two calls for each level,
# and Python's default limit is 1,000 calls.
DEEPEST = 200
FLAT = 2 * DEEPEST  # characters; shorter JSON has no more levels

Decode = Callable[..., Tuple[Any, int]]

_LARGE = 2**12  # characters; in longer text, counting stops as soon as the result is known
_bracket = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|([{}\[\]])', re.DOTALL)
_STEP_IN = {"{": 1, "[": 1, "}": -1, "]": -1}


def is_deep(value: Any, deepest: int = DEEPEST) -> bool:
    """Whether a value has more than ``deepest`` levels of lists and dictionaries, or contains itself."""
    level: List[Any] = [[value]]
    for _ in range(deepest + 1):
        items = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        # By identity: each level might double the number of a value that occurs several times.
        level = list({id(item): item for item in items if isinstance(item, (dict, list, tuple))}.values())
        if not level:
            return False
    return True


def is_deep_json(text: str, pos: int, end: int, deepest: int = DEEPEST) -> bool:
    """Whether JSON has more than ``deepest`` levels; counting its brackets is enough for most values."""
    if end - pos < _LARGE:
        found = text.count("[", pos, end)
        # An object has at least five characters, {"":}, only the innermost one has two.
        if found + (end - pos + 3) // 5 <= deepest:
            return False
        found += text.count("{", pos, end)
    else:
        found = 0
        for bracket in "[{":
            at = text.find(bracket, pos, end)
            while at >= 0 and found <= deepest:
                found += 1
                at = text.find(bracket, at + 1, end)
    if found <= deepest:
        return False
    steps = map(_STEP_IN.__getitem__, "".join(_bracket.findall(text, pos, end)))
    return max(accumulate(steps), default=0) > deepest


def loads(data: Union[str, bytes], deepest: int = DEEPEST, **hooks: Any) -> Any:
    """Parse JSON like ``json.loads``, which also takes ``hooks``.

    :raises ValueError: if it is not JSON, or has more than ``deepest`` levels.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    if is_deep_json(text, 0, len(text), deepest):
        raise ValueError(f"Nested more than {deepest} levels deep")
    return json.loads(text, **hooks)


def limited(decode: Decode) -> Decode:
    """Return a decoder that counts the levels first, and raises RecursionError for too many of them."""

    def decoding(text: str, pos: int = 0) -> Tuple[Any, int]:
        level = 0
        if text.startswith(("[", "{"), pos):
            for match in _bracket.finditer(text, pos):
                level += _STEP_IN.get(match.group(1), 0)  # 0: a string
                if level > DEEPEST:
                    raise RecursionError(f"more than {DEEPEST} levels")
                if level == 0:
                    break  # the value's end
        return decode(text, pos)

    return decoding


raw_decode: Decode = json.JSONDecoder().raw_decode
# raw_decode() calls this; it is faster for many chunks, and raises StopIteration if there is no value.
scan_once: Decode = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
if sys.implementation.name == "pypy":
    raw_decode, scan_once = limited(raw_decode), limited(scan_once)
