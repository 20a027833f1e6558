"""Check requests; an invalid one gets the error that Google returns.

`shapes` describes a valid request; this module compares a request with its shape.
There are three checks, in this order: unknown fields and invalid values, missing
fields, and function responses that do not answer the calls before them.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .answers import Answer
from .json_checks import parse_json
from .prompt import bytes_of, camel_name
from .shapes import ANY, BYTES, SCHEMA, STRUCT, Enum, Map, Number, request_shape

#: A part has exactly one of these; a thought or a signature alone is not a part.
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

#: The request message of each kind of route.
MESSAGES = {
    "generate": "GenerateContentRequest",
    "count": "CountTokensRequest",
    "compute": "ComputeTokensRequest",
    "embed": "EmbedContentRequest",
    "batch_embed": "BatchEmbedContentsRequest",
    "predict": "PredictRequest",
    "caches": "CreateCachedContentRequest.cached_content",
}
#: "batchEmbedContents: at most 100 requests can be in one batch."
MOST_EMBEDDED = 100

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
    """The JSON object that a request consists of, or the error."""
    try:
        value = parse_json(body or b"{}", parse_constant=_no_number)
        if not isinstance(value, dict):
            raise ValueError("Root element must be a message.")
    except ValueError as error:
        text = f"Invalid JSON payload received. {error}"
        return None, bad_request(text, [("", text)])
    return value, None


def _no_number(name: str) -> None:
    raise ValueError(f"Unexpected token. {name}")


def check(
    kind: str, written: Dict[str, Any], request: Dict[str, Any], *, strict: bool = True, lenient: bool = False
) -> Optional[Answer]:
    """The error for a request, or None.

    :param kind: the kind of route; see `routes`.
    :param written: the request as the client wrote it, `request` its normal form.
    :param strict: reject unknown fields and unknown enum values.
    :param lenient: reject only what the server cannot read.
    """
    shape = request_shape(kind)
    found = list(_violations(request, shape, "", strict and not lenient))
    if strict and not lenient:
        found += _unknown(written, shape, "")
    if found:
        return bad_request("\n".join(text for _, text in found), found)
    found = list(_demands(kind, request, lenient))
    if found:
        message = "".join(f"* {MESSAGES[kind]}.{field}: {text}\n" for field, text in found)
        return bad_request(message, found)
    return None if lenient or kind != "generate" else _check_function_turns(request["contents"])


def snake(name: str) -> str:
    """A field's name as Google's errors spell it."""
    return re.sub(r"([A-Z])", lambda match: "_" + match.group(1).lower(), name)


# -- unknown fields and invalid values --------------------------------------


def _unknown(written: Any, shape: Any, path: str) -> Iterator[Violation]:
    """The unknown fields, by the names that the client wrote."""
    if isinstance(shape, list):
        for k, item in enumerate(written if isinstance(written, list) else [written]):
            yield from _unknown(item, shape[0], f"{path}[{k}]")
    elif isinstance(shape, dict) and isinstance(written, dict) and shape is not SCHEMA:
        for name, value in written.items():
            known = camel_name(name)
            place = f"{path}.{snake(known)}" if path else snake(known)
            if known in shape:
                yield from _unknown(value, shape[known], place)
            else:
                where = f" at '{path}'" if path else ""
                text = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
                yield path or name, text


def _violations(value: Any, shape: Any, path: str, enums: bool) -> Iterator[Violation]:
    """The values that do not match their shape; with `enums` also unknown enum names."""
    if value is None or shape is ANY:  # a field with an explicit null is not set
        return
    if isinstance(shape, Number):
        yield from _number_violations(value, shape, path)
    elif isinstance(shape, Enum):
        if not _is_enum(value, shape, enums):
            yield _invalid(
                path, value, f" (type.googleapis.com/google.ai.generativelanguage.v1beta.{shape.name})"
            )
    elif isinstance(shape, list):
        if not isinstance(value, list) or None in value:
            yield _invalid(path, value)
            return
        for k, item in enumerate(value):
            yield from _violations(item, shape[0], f"{path}[{k}]", enums)
    elif isinstance(shape, (dict, Map)):
        if not isinstance(value, dict):
            yield _invalid(path, value)
        elif isinstance(shape, Map):
            for name, item in value.items():
                yield from _violations(item, shape.shape, f"{path}.{name}", enums)
        else:
            for name, inner in shape.items():
                if name in value:
                    place = f"{path}.{snake(name)}" if path else snake(name)
                    yield from _violations(value[name], inner, place, enums)
    elif shape is STRUCT:
        if not isinstance(value, dict):
            yield _invalid(path, value, " (type.googleapis.com/google.protobuf.Struct)")
    elif shape is BYTES:
        try:
            bytes_of(value)
        except (AttributeError, ValueError, binascii.Error):
            yield _invalid(path, value, " (TYPE_BYTES)", "Base64 decoding failed for ")
    elif not isinstance(value, shape):
        yield _invalid(path, value, {str: " (TYPE_STRING)", bool: " (TYPE_BOOL)"}.get(shape, ""))


def _is_enum(value: Any, shape: Enum, known: bool) -> bool:
    """Whether a value is a name of the enum (any name unless it must be `known`), or a number."""
    if isinstance(value, str):
        return not known or value.upper() in shape.values
    return isinstance(value, int) and not isinstance(value, bool)


def _invalid(path: str, value: Any, kind: str = "", why: str = "") -> Violation:
    return path, f"Invalid value at '{path}'{kind}, {why}{json.dumps(value)[:80]}"


def _number_violations(value: Any, shape: Number, path: str) -> Iterator[Violation]:
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (shape.kind is int and number != int(number)):
            raise ValueError
    except (ValueError, OverflowError):
        yield _invalid(path, value, " (TYPE_INT32)" if shape.kind is int else " (TYPE_FLOAT)")
        return
    if (shape.low is not None and number < shape.low) or (shape.high is not None and number > shape.high):
        bounds = f"[{shape.low}, {'inf' if shape.high is None else shape.high}]"
        yield path, f"{path.rpartition('.')[2]} must be in the range {bounds}, got {value}."


# -- missing fields -----------------------------------------------------------


def _demands(kind: str, request: Dict[str, Any], lenient: bool) -> Iterator[Violation]:
    """The missing fields of a request whose fields are all valid."""
    if kind == "count":
        request = request.get("generateContentRequest") or request
    if kind == "embed":
        yield from _content_demands(request.get("content"), "content", lenient)
    elif kind == "batch_embed":
        several = request.get("requests") or []
        if not 1 <= len(several) <= MOST_EMBEDDED:
            yield "requests", f"at least 1 and at most {MOST_EMBEDDED} requests can be in one batch"
        for k, each in enumerate(several):
            yield from _content_demands(each.get("content"), f"requests[{k}].content", lenient)
    elif kind in ("generate", "count", "compute") or (kind == "caches" and request.get("contents")):
        contents = request.get("contents") or []
        if not contents:
            yield "contents", "contents is not specified"
        for k, content in enumerate(contents):
            if not lenient:
                yield from _content_demands(content, f"contents[{k}]", lenient)
    if not lenient:
        yield from _tool_demands(request.get("tools") or [])


def _content_demands(content: Optional[Dict[str, Any]], path: str, lenient: bool) -> Iterator[Violation]:
    if content is None:
        yield path, "content is not specified"
        return
    if lenient:
        return
    if content.get("role") not in (None, "", "user", "model", "function", "tool"):
        yield f"{path}.role", "Please use a valid role: user, model."
    parts = content.get("parts")
    if not parts:
        yield f"{path}.parts", "contents.parts must not be empty."
    for n, part in enumerate(parts or []):
        yield from _part_demands(part, f"{path}.parts[{n}]")


def _part_demands(part: Dict[str, Any], path: str) -> Iterator[Violation]:
    given = [name for name in PART_DATA if part.get(name) is not None]
    if len(given) != 1:
        yield f"{path}.data", "required oneof field 'data' must have one initialized field"
    elif given == ["inlineData"]:
        mime_type = part["inlineData"].get("mimeType") or ""
        if not re.match(r"[\w.+-]+/[\w.+-]+", mime_type):
            yield f"{path}.inline_data.mime_type", f"Unsupported MIME type: {mime_type}"
        if not part["inlineData"].get("data"):
            yield f"{path}.inline_data.data", "must not be empty"
    elif given == ["fileData"] and not part["fileData"].get("fileUri"):
        yield f"{path}.file_data.file_uri", "must not be empty"
    elif given in (["functionCall"], ["functionResponse"]) and not part[given[0]].get("name"):
        yield f"{path}.{snake(given[0])}.name", "Name cannot be empty."


def _tool_demands(tools: List[Dict[str, Any]]) -> Iterator[Violation]:
    for k, tool in enumerate(tools):
        for n, declaration in enumerate(tool.get("functionDeclarations") or []):
            if not re.match(r"^[A-Za-z_][\w.:-]{0,63}$", declaration.get("name") or ""):
                yield (
                    f"tools[{k}].function_declarations[{n}].name",
                    "Invalid function name. Must start with a letter or an underscore.",
                )


# -- function responses ----------------------------------------------------------


def _check_function_turns(contents: List[Dict[str, Any]]) -> Optional[Answer]:
    """The error for a turn that does not answer the function calls before it, by name."""
    for before, content in zip([{}] + contents, contents):
        if any("willContinue" in (part.get("functionResponse") or {}) for part in content["parts"]):
            continue  # a function that responds several times
        calls, answers = _named(before, "functionCall"), _named(content, "functionResponse")
        if answers and not calls:
            return Answer.failure(
                400, "Please ensure that function response turn comes immediately after a function call turn."
            )
        if len(answers) != len(calls) and (answers or content.get("role") != "model"):
            return Answer.failure(
                400,
                "Please ensure that the number of function response parts is equal to the number of "
                "function call parts of the function call turn.",
            )
        if answers and answers != calls:
            return Answer.failure(
                400,
                "Please ensure that the function response parts have the names of the function call parts "
                f"of the function call turn: {', '.join(calls)}, got {', '.join(answers)}.",
            )
    return None


def _named(content: Dict[str, Any], field: str) -> List[str]:
    """The names in a content's function calls or responses, sorted."""
    parts = [part[field] for part in content.get("parts") or [] if part.get(field)]
    return sorted(each.get("name") or "" for each in parts)
