"""The body of a request: its fields are checked, assembled and written as JSON once.

Media makes bodies large.  To avoid a copy of everything as base64, as JSON and as UTF-8, the
JSON is written around the media and the base64 is inserted directly.
"""

import binascii
import io
import json
import math
import os
import re
from collections.abc import Mapping as AnyMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from .depth import DEEPEST, is_deep
from .errors import ConfigurationError
from .parts import ContentsLike, to_contents, to_instruction
from .types import Content, Part
from .types.codec import SpelledBytes, from_request, shorten

if TYPE_CHECKING:  # imported on first use
    from .types import FunctionDeclaration, GenerationConfig, SafetySetting, Tool, ToolConfig

# The types of the arguments of a request.
GenerationConfigLike = Union["GenerationConfig", Mapping[str, Any], None]
SafetySettingLike = Union["SafetySetting", Mapping[str, Any]]
SafetySettingsLike = Union[SafetySettingLike, Sequence[SafetySettingLike], None]
ToolLike = Union["Tool", "FunctionDeclaration", Callable[..., Any], Mapping[str, Any]]
ToolsLike = Union[ToolLike, Sequence[ToolLike], None]
ToolConfigLike = Union["ToolConfig", Mapping[str, Any], None]

_LARGE = 2**16  # bytes; smaller media is faster to write as a part of the JSON
_SLICE = 3 * 2**16  # bytes; a multiple of 3, so that base64 can be written slice by slice


class RequestBody:
    """The JSON of a ``GenerateContentRequest``; the arguments are those of ``stream_generate()``.

    :raises ConfigurationError: if an argument is not valid or cannot be written as JSON.
    """

    def __init__(
        self,
        contents: Any,
        *,
        system_instruction: Optional[ContentsLike] = None,
        generation_config: GenerationConfigLike = None,
        safety_settings: SafetySettingsLike = None,
        tools: ToolsLike = None,
        tool_config: ToolConfigLike = None,
        cached_content: Optional[str] = None,
        extra_body: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self._media: List[bytes] = []
        self._mark = ""  # followed by an index, the placeholder of media in the fields
        fields: Dict[str, Any] = {"contents": [self._content(content) for content in to_contents(contents)]}
        if system_instruction is not None:
            fields["systemInstruction"] = self._content(to_instruction(system_instruction))
        if generation_config is not None:
            fields["generationConfig"] = _config(generation_config)
        if safety_settings is not None:
            settings = _as_list(safety_settings)
            fields["safetySettings"] = [_message("SafetySetting", s, "safety_settings") for s in settings]
        if tools is not None:
            fields["tools"] = _tools(_as_list(tools))
        if tool_config is not None:
            fields["toolConfig"] = _message("ToolConfig", tool_config, "tool_config")
        if cached_content is not None:
            if not isinstance(cached_content, str):
                raise ConfigurationError(
                    f"cached_content must be a resource name, got {shorten(cached_content)}"
                )
            fields["cachedContent"] = cached_content
        if extra_body is not None:
            if not isinstance(extra_body, AnyMapping):
                raise ConfigurationError(f"extra_body must be a mapping, got {shorten(extra_body)}")
            fields = _merged(fields, extra_body)
        self._fields = fields
        self._json = self._write({})

    def __getstate__(self) -> Dict[str, Any]:
        # A pickle contains the media once, without the JSON made from it.
        return {"_media": self._media, "_mark": self._mark, "_fields": self._fields}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._json = self._write({})

    def with_token(self, continuation_token: Optional[str]) -> bytes:
        """Return the body in UTF-8, with the continuation token of the request."""
        if continuation_token is None:
            return self._json
        return self._write({"continuationToken": continuation_token})

    def _write(self, more: Dict[str, Any]) -> bytes:
        fields = {**self._fields, **more}
        if is_deep(fields):
            raise ConfigurationError(
                f"the request has more than {DEEPEST} levels of lists and objects, or contains itself"
            )
        try:
            text = _dumps(fields)
            if not self._media:
                return text.encode("utf-8")
            body = io.BytesIO()  # getvalue() returns its bytes without a copy
            # extra_body may have replaced some placeholders, so search for the remaining ones.
            before, *marked = re.split(self._mark + "([0-9]+)", text)
            body.write(before.encode("utf-8"))
            for number, after in zip(marked[::2], marked[1::2]):
                data = self._media[int(number)]
                for start in range(0, len(data), _SLICE):
                    body.write(binascii.b2a_base64(data[start : start + _SLICE], newline=False))
                body.write(after.encode("utf-8"))
            return body.getvalue()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"the request cannot be written as JSON: {error}") from error

    def _content(self, content: Content) -> Dict[str, Any]:
        parts = content.parts
        if isinstance(parts, list) and any(_has_media(part) for part in parts):
            content = replace(content, parts=[self._marked(part) for part in parts])
        return content.to_dict()

    def _marked(self, part: Any) -> Any:
        """Return the part with a placeholder instead of its bytes."""
        if not _has_media(part):
            return part
        self._mark = self._mark or os.urandom(16).hex()
        mark = f"{self._mark}{len(self._media)}"
        self._media.append(part.inline_data.data)
        return replace(part, inline_data=replace(part.inline_data, data=mark))


# The arguments of stream_generate() that are fields of the request, without its contents.
FIELDS = tuple(RequestBody.__init__.__kwdefaults__ or ())


def request_fields(arguments: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the request's fields from a function's arguments, its ``locals()``."""
    return {name: arguments[name] for name in FIELDS}


# json.dumps() would create an encoder at each call.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_to_ascii_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _dumps(fields: Dict[str, Any]) -> str:
    try:
        text = _to_json(fields)
    except ValueError:  # NaN or Infinity: allow it in a turn that a model sent
        contents = fields["contents"]
        if not isinstance(contents, list):
            raise
        fields = {**fields, "contents": [_spelled_out(c) if _is_of_model(c) else c for c in contents]}
        text = _to_json(fields)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate that a server sent: send it back escaped
        text = _to_ascii_json(fields)
    return text


def _is_of_model(content: Any) -> bool:
    return isinstance(content, dict) and content.get("role") == "model"


def _spelled_out(value: Any) -> Any:
    """Replace NaN and Infinity by protobuf's names: https://protobuf.dev/programming-guides/json/"""
    if isinstance(value, dict):
        return {name: _spelled_out(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled_out(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _has_media(part: Any) -> bool:
    data = getattr(part.inline_data, "data", None) if isinstance(part, Part) else None
    return isinstance(data, bytes) and not isinstance(data, SpelledBytes) and len(data) >= _LARGE


def _message(class_name: str, value: Any, what: str) -> Dict[str, Any]:
    from . import types

    message: Dict[str, Any] = from_request(getattr(types, class_name), value, what).to_dict()
    return message


def _config(value: Any) -> Dict[str, Any]:
    config = _message("GenerationConfig", value, "generation_config")
    for name, given in config.items():
        if isinstance(given, type):
            raise ConfigurationError(
                f"{name} must be a schema, got the class {given.__name__}; use json_schema({given.__name__})"
            )
    return config


def _as_list(value: Any) -> List[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _tools(tools: List[Any]) -> List[Dict[str, Any]]:
    """Return the tools; all callables and single declarations together become one tool."""
    from .types import FunctionDeclaration

    made: List[Dict[str, Any]] = []
    declarations: List[Dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, FunctionDeclaration):
            declarations.append(tool.to_dict())
        elif callable(tool):
            from .tools.functions import function_declaration

            declarations.append(function_declaration(tool).to_dict())
        else:
            made.append(_message("Tool", tool, "tools"))
    if declarations:
        made.append({"functionDeclarations": declarations})
    return made


def _merged(base: Dict[str, Any], more: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``base`` with ``more`` merged into it, mapping by mapping."""
    merged = dict(base)
    for key, value in more.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, AnyMapping)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return merged
