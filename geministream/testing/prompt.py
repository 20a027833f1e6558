"""A request as the model reads it: one spelling, its parts, its tokens."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Dict, List

#: Fields whose values are user data: the keys in them stay as they are.
FREE_FORM = frozenset(
    (
        "args",
        "response",
        "labels",
        "responseSchema",
        "responseJsonSchema",
        "_responseJsonSchema",
        "parameters",
        "parametersJsonSchema",
    )
)

#: By the first half of the MIME type: the modality, and the price of one file in tokens.
PRICES = {
    "image": ("IMAGE", 258),
    "video": ("VIDEO", 263),
    "audio": ("AUDIO", 32),
    "application": ("DOCUMENT", 258),
}


def camel_name(name: str) -> str:
    """A field's name in camelCase."""
    return re.sub(r"(?<=[a-z0-9])_([a-z])", lambda match: match.group(1).upper(), name)


def camel(value: Any) -> Any:
    """A request with its field names in camelCase; protobuf JSON accepts both spellings."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, item in value.items():
        key = camel_name(key)
        renamed[key] = item if key in FREE_FORM else camel(item)
    return renamed


def normal(request: Dict[str, Any]) -> Dict[str, Any]:
    """A request in camelCase, with each list as a list: Google also accepts a single message."""
    request = camel(request)
    for name in ("contents", "tools", "safetySettings"):
        if isinstance(request.get(name), dict):
            request[name] = [request[name]]
    contents = request.get("contents")
    for content in [*(contents if isinstance(contents, list) else []), request.get("systemInstruction")]:
        if isinstance(content, dict) and isinstance(content.get("parts"), dict):
            content["parts"] = [content["parts"]]
    return request


def last_parts(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The parts of the last content."""
    contents = request.get("contents")
    return contents[-1].get("parts") or [] if contents else []


def bytes_of(text: str) -> bytes:
    """Decode base64 in either alphabet, padded or not, as protobuf JSON allows."""
    text = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)


def words(text: str) -> List[str]:
    """The text's tokens: words with their whitespace, so that they join to the same text."""
    return re.findall(r"^\s+|\S+\s*", text)


def prompt_text(request: Dict[str, Any]) -> str:
    """The text of the last content's parts."""
    return "\n".join(part["text"] for part in last_parts(request) if part.get("text"))


def whole_number(value: Any) -> int:
    """Read an integer from protobuf JSON: 2, "2" or "2.0"."""
    return int(float(value))


def prompt_token_details(request: Dict[str, Any]) -> Dict[str, int]:
    """The prompt's tokens by modality: text by words, each file at a flat price."""
    counts: Dict[str, int] = {}
    system = request.get("systemInstruction")
    for content in [*(request.get("contents") or []), *([system] if system else [])]:
        for part in content.get("parts") or []:
            medium = part.get("inlineData") or part.get("fileData")
            if medium:
                kind = str(medium.get("mimeType") or "").partition("/")[0]
                modality, tokens = PRICES.get(kind, ("TEXT", 258))
            else:
                text = part.get("text")
                modality, tokens = "TEXT", len(words(text if isinstance(text, str) else json.dumps(part)))
            counts[modality] = counts.get(modality, 0) + tokens
    return counts
