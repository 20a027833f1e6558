"""Samples of a model's output: an instance of a schema, an image."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any

from .prompt import whole_number

_KINDS = {"1": "string", "2": "number", "3": "integer", "4": "boolean", "5": "array", "6": "object"}


def instance_of(schema: Any, name: str = "value", number: int = 1, root: Any = None, depth: int = 0) -> Any:
    """The simplest instance of a schema (JSON Schema, or Gemini's subset of OpenAPI's).

    A string is the name of its property; from the second item of an array it is
    followed by a number.  A number is the number of its item, or the nearest
    within its bounds.  An array has two items, within its bounds.  The first of
    several alternatives is used.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 12:
        return None
    again = {"root": root, "depth": depth + 1}
    if "$ref" in schema:
        return instance_of(_referred(root, schema["$ref"]), name, number, **again)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return instance_of(schema[several][0], name, number, **again)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if str(each).lower() != "null"), "null")
    if not kind:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    # Some clients send the number of the enum: https://ai.google.dev/api/caching#Type
    kind = _KINDS.get(str(kind), str(kind).lower())
    if kind == "object":
        properties = schema.get("properties") or {}
        order = schema.get("propertyOrdering") or schema.get("property_ordering") or list(properties)
        required = schema.get("required")
        if depth > 6 and required is not None:  # so that a recursive schema ends
            order = [each for each in order if each in required]
        return {
            each: instance_of(properties[each], each, number, **again) for each in order if each in properties
        }
    if kind == "array":
        if schema.get("prefixItems"):
            return [instance_of(each, name, k + 1, **again) for k, each in enumerate(schema["prefixItems"])]
        low, high = whole_number(schema.get("minItems") or 0), schema.get("maxItems")
        count = max(low, 2 if depth <= 6 else 0)
        count = count if high is None else min(count, whole_number(high))
        return [instance_of(schema.get("items") or {}, name, k + 1, **again) for k in range(count)]
    if kind in ("integer", "number"):
        value = float(number)
        if schema.get("minimum") is not None:
            value = max(value, float(schema["minimum"]))
        if schema.get("maximum") is not None:
            value = min(value, float(schema["maximum"]))
        return int(value) if kind == "integer" else value
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    made = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01", "time": "00:00:00Z"}.get(
        str(schema.get("format")), name if number == 1 else f"{name} {number}"
    )
    return made.ljust(whole_number(schema.get("minLength") or 0), ".")


def _referred(root: Any, reference: str) -> Any:
    """The schema that a `$ref` points to."""
    for step in [step for step in reference.lstrip("#").split("/") if step]:
        root = root.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else None
    return root


def png(seed: bytes, size: int = 16) -> bytes:
    """A valid PNG of `size` by `size` pixels whose colours depend on `seed`."""
    colours = hashlib.sha256(seed).digest()
    rows = b"".join(
        b"\0" + b"".join(colours[3 * ((x // 4 + y // 4) % 8) :][:3] for x in range(size)) for y in range(size)
    )

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (block(b"IHDR", head), block(b"IDAT", zlib.compress(rows)), block(b"IEND", b""))
    )
