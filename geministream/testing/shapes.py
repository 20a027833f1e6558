"""The shape of every message that a client may send, derived from the dataclasses of `geministream.types`.

A shape is one of: a Python type, a `Number`, an `Enum`, a `Map`, one of the
constants below, ``[shape]`` for a list, or a dict from the wire names of a message's
fields to their shapes.  A field that is a plain dict in its dataclass may have
any content.  Tables add what the dataclasses do not have: bounds, enums, and
fields that only older clients send.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any, Dict, FrozenSet, NamedTuple, Optional


class Map(NamedTuple):
    """An object with any names, whose values have one shape."""

    shape: Any


class Number(NamedTuple):
    """A number, within bounds; protobuf JSON also accepts it as a string."""

    kind: type
    low: Optional[float] = None
    high: Optional[float] = None


class Enum(NamedTuple):
    """One of these names, in any case, or its number."""

    name: str
    values: FrozenSet[str]


ANY = "any"
BYTES = "bytes"
STRUCT = "struct"

#: The parts of JSON Schema that `samples.instance_of` reads; the rest may be anything.
SCHEMA: Dict[str, Any] = {
    "$ref": str,
    "enum": list,
    "required": [str],
    "propertyOrdering": [str],
    "property_ordering": [str],
    "minItems": Number(int, 0, 10**4),
    "maxItems": Number(int, 0),
    "minLength": Number(int, 0, 10**6),
    "minimum": Number(float),
    "maximum": Number(float),
}
SCHEMA.update(dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), [SCHEMA]), items=SCHEMA)
SCHEMA.update(dict.fromkeys(("properties", "$defs"), Map(SCHEMA)))

#: The enums of fields.
ENUMS = {
    "CodeExecutionResult.outcome": "Outcome",
    "DocumentMetadata.content_layers": "DocumentMetadataContentLayer",
    "ExecutableCode.language": "Language",
    "FunctionCallingConfig.mode": "FunctionCallingConfigMode",
    "FunctionDeclaration.behavior": "Behavior",
    "FunctionResponse.scheduling": "FunctionResponseScheduling",
    "FunctionResponsePart.media_processing": "MediaProcessing",
    "GenerationConfig.media_resolution": "MediaResolution",
    "GenerationConfig.response_modalities": "Modality",
    "Part.media_processing": "MediaProcessing",
    "PartMediaResolution.level": "PartMediaResolutionLevel",
    "SafetySetting.category": "HarmCategory",
    "SafetySetting.method": "HarmBlockMethod",
    "SafetySetting.threshold": "HarmBlockThreshold",
    "SpreadsheetMetadata.content_layers": "SpreadsheetMetadataContentLayer",
    "ThinkingConfig.thinking_level": "ThinkingLevel",
    "ToolCall.tool_type": "ToolType",
    "ToolResponse.tool_type": "ToolType",
    "VideoMetadata.content_layers": "VideoMetadataContentLayer",
}
#: Fields with bounds, or with more structure than the dataclass says.
SPECIAL: Dict[str, Any] = {
    "FunctionDeclaration.parameters": SCHEMA,
    "FunctionDeclaration.parameters_json_schema": SCHEMA,
    "GenerationConfig.candidate_count": Number(int, 1, 8),
    "GenerationConfig.frequency_penalty": Number(float, -2, 2),
    "GenerationConfig.logprobs": Number(int, 0, 20),
    "GenerationConfig.max_output_tokens": Number(int, 1),
    "GenerationConfig.presence_penalty": Number(float, -2, 2),
    "GenerationConfig.response_json_schema": SCHEMA,
    "GenerationConfig.response_schema": SCHEMA,
    "GenerationConfig.temperature": Number(float, 0, 2),
    "GenerationConfig.top_k": Number(float, 0),
    "GenerationConfig.top_p": Number(float, 0, 1),
    "LatLng.latitude": Number(float, -90, 90),
    "LatLng.longitude": Number(float, -180, 180),
    "ThinkingConfig.thinking_budget": Number(int, -1),
}
#: Fields that clients send and the dataclasses do not have.
MORE: Dict[str, Dict[str, Any]] = {
    "GenerateContentRequest": {"model": str},
    "GenerationConfig": {"_responseJsonSchema": SCHEMA},
}
PLAIN = {
    "str": str,
    "bool": bool,
    "int": Number(int),
    "Int64": Number(int),
    "float": Number(float),
    "bytes": BYTES,
    "Any": ANY,
    "Dict[str, str]": Map(str),
}
TASK_TYPES = Enum(
    "TaskType",
    frozenset(
        (
            "TASK_TYPE_UNSPECIFIED",
            "RETRIEVAL_QUERY",
            "RETRIEVAL_DOCUMENT",
            "SEMANTIC_SIMILARITY",
            "CLASSIFICATION",
            "CLUSTERING",
            "QUESTION_ANSWERING",
            "FACT_VERIFICATION",
            "CODE_RETRIEVAL_QUERY",
        )
    ),
)


@functools.lru_cache(maxsize=None)
def shape_of(message: str) -> Dict[str, Any]:
    """The fields of a message of `geministream.types`, by their wire names."""
    from .. import types  # imported by the first request: slow
    from ..types.codec import wire_name

    fields = {}
    for field in dataclasses.fields(getattr(types, message)):
        if field.name != "extra":
            fields[wire_name(field.name)] = _field_shape(types, f"{message}.{field.name}", str(field.type))
    return {**fields, **MORE.get(message, {})}


def _field_shape(types: Any, name: str, annotation: str) -> Any:
    kind = re.sub(r"^Optional\[(.*)\]$", r"\1", annotation)
    if name in SPECIAL:
        return SPECIAL[name]
    if kind.startswith("List["):
        return [_field_shape(types, name, kind[5:-1])]
    if name in ENUMS:
        values = vars(getattr(types, ENUMS[name]))
        return Enum(ENUMS[name], frozenset(each for each in values if each.isupper()))
    if kind in PLAIN:
        return PLAIN[kind]
    return STRUCT if kind.startswith("Dict[") else shape_of(kind)


@functools.lru_cache(maxsize=None)
def request_shape(kind: str) -> Dict[str, Any]:
    """The shape of the request for a kind of route; see `routes`."""
    generate, content = shape_of("GenerateContentRequest"), shape_of("Content")
    embed = {
        "model": str,
        "content": content,
        "taskType": TASK_TYPES,
        "title": str,
        "outputDimensionality": Number(int, 1, 3072),
        "autoTruncate": bool,
        "embedContentConfig": STRUCT,
    }
    cached = ("contents", "systemInstruction", "tools", "toolConfig")
    return {
        "generate": generate,
        "count": {"generateContentRequest": generate, **generate},
        "compute": {"model": str, "contents": [content], "instances": [STRUCT]},
        "embed": embed,
        "batch_embed": {"requests": [embed]},
        "predict": {
            "instances": [{"content": str, "taskType": TASK_TYPES, "title": str}],
            "parameters": {"outputDimensionality": Number(int, 1, 3072), "autoTruncate": bool},
        },
        "caches": {
            **{name: generate[name] for name in cached},
            **dict.fromkeys(("name", "model", "displayName", "ttl", "expireTime"), str),
        },
    }[kind]
