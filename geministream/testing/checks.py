"""Is this a request that Gemini takes?  If not: the error that Google answers.

The request's shape is a table; :func:`violations` walks it.  Fields that the
table does not know are let through below the top level, where the published
list grows faster than this one.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .answers import Answer
from .prompt import bytes_of, normal


class Map(NamedTuple):
    """An object of any names, whose values are of one kind."""

    kind: Any


class Number(NamedTuple):
    """A number, within bounds; JSON of protocol buffers also takes it as a string."""

    kind: type
    low: Optional[float] = None
    high: Optional[float] = None


ANY = "any"
BYTES = "bytes"
STRUCT = "struct"
#: How many objects and arrays may be nested.
DEEPEST = 100
#: As much of JSON Schema as `samples.instance_of` looks at.
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
BLOB = {"mimeType": str, "data": BYTES, "displayName": str}
FILE_DATA = {"mimeType": str, "fileUri": str, "displayName": str}
FUNCTION_CALL = {"id": str, "name": str, "args": STRUCT}
FUNCTION_RESPONSE = {"id": str, "name": str, "response": STRUCT}
PART = {
    "text": str,
    "thought": bool,
    "thoughtSignature": str,
    "inlineData": BLOB,
    "fileData": FILE_DATA,
    "functionCall": FUNCTION_CALL,
    "functionResponse": FUNCTION_RESPONSE,
    "executableCode": {"language": str, "code": str},
    "codeExecutionResult": {"outcome": str, "output": str},
    "videoMetadata": {"startOffset": str, "endOffset": str, "fps": Number(float)},
}
CONTENT = {"role": str, "parts": [PART]}
GENERATION_CONFIG = {
    "stopSequences": [str],
    "responseMimeType": str,
    "responseSchema": SCHEMA,
    "responseJsonSchema": SCHEMA,
    "_responseJsonSchema": SCHEMA,
    "responseModalities": [str],
    "candidateCount": Number(int, 1, 8),
    "maxOutputTokens": Number(int, 1),
    "temperature": Number(float, 0, 2),
    "topP": Number(float, 0, 1),
    "topK": Number(float, 0),
    "seed": Number(int),
    "presencePenalty": Number(float, -2, 2),
    "frequencyPenalty": Number(float, -2, 2),
    "responseLogprobs": bool,
    "logprobs": Number(int, 0, 20),
    "speechConfig": STRUCT,
    "imageConfig": STRUCT,
    "thinkingConfig": {"includeThoughts": bool, "thinkingBudget": Number(int, -1), "thinkingLevel": str},
    "mediaResolution": str,
}
FUNCTION_DECLARATION = {
    "name": str,
    "description": str,
    "parameters": SCHEMA,
    "parametersJsonSchema": SCHEMA,
    "response": STRUCT,
    "responseJsonSchema": ANY,
    "behavior": str,
}
TOOL = {
    "functionDeclarations": [FUNCTION_DECLARATION],
    "codeExecution": STRUCT,
    "googleSearch": STRUCT,
    "urlContext": STRUCT,
}
REQUEST = {
    "contents": [CONTENT],
    "systemInstruction": CONTENT,
    "generationConfig": GENERATION_CONFIG,
    "tools": [TOOL],
    "safetySettings": [{"category": str, "threshold": str}],
    "toolConfig": {"functionCallingConfig": {"mode": str, "allowedFunctionNames": [str]}},
    "cachedContent": str,
    "continuationToken": str,
    "model": str,
    "labels": STRUCT,
    "serviceTier": str,
    "store": bool,
}
#: What a part says: exactly one of these (a thought or a signature alone is not a part).
PART_DATA = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
COUNT_REQUEST = {"contents": [CONTENT], "generateContentRequest": REQUEST, **REQUEST}

Violation = Tuple[str, str]


def bad_request(message: str, found: List[Violation]) -> Answer:
    """400 INVALID_ARGUMENT, naming the fields."""
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "description": text} for field, text in found],
        }
    ]
    return Answer.failure(400, message, details=details)


def parse(body: bytes) -> Tuple[Any, Optional[Answer]]:
    """The JSON object that a request holds, or the error."""
    try:
        value = json.loads(body or b"{}", parse_constant=_no_number)
        if not isinstance(value, dict):
            raise ValueError("Root element must be a message.")
        _limit_depth(value)
    except (ValueError, RecursionError) as error:
        text = f"Invalid JSON payload received. {error}"
        return None, bad_request(text, [("", text)])
    return normal(value), None


def _no_number(name: str) -> None:
    raise ValueError(f"Unexpected token. {name}")


def _limit_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError("Message too deep.")
        children = [child for each in level for child in (each.values() if isinstance(each, dict) else each)]
        level = [child for child in children if isinstance(child, (dict, list))]


def check(request: Dict[str, Any], *, strict: bool = True) -> Optional[Answer]:
    """The error for a `GenerateContentRequest` in its normal form, or None.

    Only a `strict` server refuses unknown fields at the top level.
    """
    found = list(_violations(request, REQUEST, ""))
    if strict:
        found += _unknown(request, REQUEST)
    if found:
        return bad_request("\n".join(text for _, text in found), found)
    found = list(_demands(request))
    if found:
        message = "".join(f"* GenerateContentRequest.{field}: {text}\n" for field, text in found)
        return bad_request(message, found)
    return _check_tool_turn(request["contents"])


def check_count(request: Dict[str, Any]) -> Optional[Answer]:
    """The error for a `CountTokensRequest`, or None."""
    found = list(_violations(request, COUNT_REQUEST, "")) + _unknown(request, COUNT_REQUEST)
    if not found and not (request.get("generateContentRequest") or request).get("contents"):
        found = [("contents", "* CountTokensRequest.contents: contents is not specified")]
    return bad_request("\n".join(text for _, text in found), found) if found else None


def _unknown(request: Dict[str, Any], known: Dict[str, Any]) -> List[Violation]:
    return [
        (name, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
        for name in request
        if name not in known
    ]


def snake(name: str) -> str:
    """A field's name as Google's errors spell it."""
    return re.sub(r"([A-Z])", lambda match: "_" + match.group(1).lower(), name)


def _violations(value: Any, kind: Any, path: str) -> Iterator[Violation]:
    """Where a value is not of its kind."""
    if value is None or kind is ANY:  # an explicit null is a field not set
        return
    if isinstance(kind, Number):
        yield from _number_violations(value, kind, path)
    elif isinstance(kind, list):
        if not isinstance(value, list) or None in value:
            yield _invalid(path, value)
            return
        for k, item in enumerate(value):
            yield from _violations(item, kind[0], f"{path}[{k}]")
    elif isinstance(kind, Map):
        if not isinstance(value, dict):
            yield _invalid(path, value)
            return
        for name, item in value.items():
            yield from _violations(item, kind.kind, f"{path}.{name}")
    elif isinstance(kind, dict):
        if not isinstance(value, dict):
            yield _invalid(path, value)
            return
        for name, inner in kind.items():
            if name in value:
                yield from _violations(value[name], inner, f"{path}.{snake(name)}" if path else snake(name))
    elif kind is STRUCT:
        if not isinstance(value, dict):
            yield _invalid(path, value, " (type.googleapis.com/google.protobuf.Struct)")
    elif kind is BYTES:
        try:
            bytes_of(value)
        except (AttributeError, ValueError, binascii.Error):
            yield _invalid(path, value, " (TYPE_BYTES)", "Base64 decoding failed for ")
    elif not isinstance(value, kind):
        yield _invalid(path, value, {str: " (TYPE_STRING)", bool: " (TYPE_BOOL)"}.get(kind, ""))


def _invalid(path: str, value: Any, kind: str = "", why: str = "") -> Violation:
    return path, f"Invalid value at '{path}'{kind}, {why}{json.dumps(value)[:80]}"


def _number_violations(value: Any, kind: Number, path: str) -> Iterator[Violation]:
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (kind.kind is int and number != int(number)):
            raise ValueError
    except (ValueError, OverflowError):
        yield _invalid(path, value, " (TYPE_INT32)" if kind.kind is int else " (TYPE_FLOAT)")
        return
    if (kind.low is not None and number < kind.low) or (kind.high is not None and number > kind.high):
        bounds = f"[{kind.low}, {'inf' if kind.high is None else kind.high}]"
        yield path, f"{path.rpartition('.')[2]} must be in the range {bounds}, got {value}."


def _demands(request: Dict[str, Any]) -> Iterator[Violation]:
    """What is missing, where all that is there is well-formed."""
    contents = request.get("contents") or []
    if not contents:
        yield "contents", "contents is not specified"
    for k, content in enumerate(contents):
        if content.get("role") not in (None, "", "user", "model", "function", "tool"):
            yield f"contents[{k}].role", "Please use a valid role: user, model."
        parts = content.get("parts")
        if not parts:
            yield f"contents[{k}].parts", "contents.parts must not be empty."
        for n, part in enumerate(parts or []):
            path = f"contents[{k}].parts[{n}]"
            given = [name for name in PART_DATA if part.get(name) is not None]
            if len(given) != 1:
                yield f"{path}.data", "required oneof field 'data' must have one initialized field"
            elif given == ["inlineData"]:
                if not re.match(r"[\w.+-]+/[\w.+-]+", part["inlineData"].get("mimeType") or ""):
                    yield (
                        f"{path}.inline_data.mime_type",
                        "Unsupported MIME type: " + (part["inlineData"].get("mimeType") or ""),
                    )
                if not part["inlineData"].get("data"):
                    yield f"{path}.inline_data.data", "must not be empty"
            elif given == ["fileData"] and not part["fileData"].get("fileUri"):
                yield f"{path}.file_data.file_uri", "must not be empty"
            elif given in (["functionCall"], ["functionResponse"]) and not part[given[0]].get("name"):
                yield f"{path}.{snake(given[0])}.name", "Name cannot be empty."
    for k, tool in enumerate(request.get("tools") or []):
        for n, declaration in enumerate(tool.get("functionDeclarations") or []):
            if not re.match(r"^[A-Za-z_][\w.:-]{0,63}$", declaration.get("name") or ""):
                yield (
                    f"tools[{k}].function_declarations[{n}].name",
                    "Invalid function name. Must start with a letter or an underscore.",
                )


def _check_tool_turn(contents: List[Dict[str, Any]]) -> Optional[Answer]:
    """A turn of function responses answers each call of the turn before it."""
    for before, content in zip([{}] + contents, contents):
        answers = sum("functionResponse" in part for part in content.get("parts") or [])
        calls = sum("functionCall" in part for part in before.get("parts") or [])
        if answers and answers != calls:
            return Answer.failure(
                400,
                "Please ensure that the number of function response parts is equal to the number of "
                "function call parts of the function call turn.",
            )
    return None
