"""Classes that describe and check themselves, as Pydantic's models do; no package is imported for it.

A class is one if it has ``model_json_schema`` and ``model_validate_json``
(https://docs.pydantic.dev/latest/concepts/json_schema/).  Its schema is cut down to
what Gemini accepts, and its definitions join those of the schema around it.
"""

import json
from typing import Any, Dict, List, Optional

from .schema import Kind, Reading, Schema, Writer
from .values import Mismatch, in_words

# https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
_KEYWORDS = frozenset(
    [
        "$ref",
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
_REFERENCE = "#/$defs/"


def is_model(found: Any) -> bool:
    """Whether a class describes and checks itself."""
    return isinstance(found, type) and all(
        callable(getattr(found, name, None)) for name in ("model_json_schema", "model_validate_json")
    )


class Model(Kind):
    """A class that describes and checks itself."""

    def __init__(self, cls: Any) -> None:
        self.what = f"an object ({cls.__name__})"
        self._class = cls

    def schema(self, writer: Writer) -> Schema:
        if self._class not in writer.models:
            schema = dict(self._class.model_json_schema())
            definitions = schema.pop("$defs", {})
            names = {name: writer.free_name(name) for name in definitions}
            for name, definition in definitions.items():
                writer.definitions[names[name]] = _accepted(definition, names)
            writer.models[self._class] = _accepted(schema, names)
        return writer.models[self._class]

    def read(self, value: Any, path: str, how: Optional[Reading] = None) -> Any:
        try:
            return self._class.model_validate_json(json.dumps(value))
        except Exception as error:  # a ValidationError, or what a validator raises
            raise Mismatch(path, f"not a valid {self._class.__name__}: {in_words(error)}") from error


def _accepted(schema: Any, names: Dict[str, str]) -> Any:
    """A schema with the keywords that Gemini accepts, and with other names for its definitions."""
    if isinstance(schema, list):
        each_of: List[Any] = schema
        return [_accepted(each, names) for each in each_of]
    if not isinstance(schema, dict):
        return schema
    keywords: Dict[str, Any] = schema
    made: Dict[str, Any] = {}
    for key, value in keywords.items():
        if key == "const":
            made["enum"] = [value]
        elif key == "allOf" and isinstance(value, list) and len(value) == 1:
            made.update(_accepted(value[0], names))
        elif key == "$ref" and str(value).startswith(_REFERENCE):
            name = str(value)[len(_REFERENCE) :]
            made[key] = _REFERENCE + names.get(name, name)
        elif key == "properties":
            made[key] = {name: _accepted(each, names) for name, each in dict(value).items()}
        elif key in _KEYWORDS:
            made[key] = _accepted(value, names)
    return made
