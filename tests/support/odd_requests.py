"""A request with every field, and odd values for its fields."""

import base64
import json

# A request with every field that the server looks at, for its values to be replaced one by one.
FULL = {
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Call look(3) 'now'."},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"name": "look", "args": {"x": 1}, "id": "1"},
                    "thoughtSignature": "skip_thought_signature_validator",
                }
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"a": 1}, "id": "1"}}]},
        {
            "role": "user",
            "parts": [
                {"text": "look", "thought": False, "videoMetadata": {"fps": 1}},
                {"fileData": {"fileUri": "gs://x/y", "mimeType": "video/mp4"}},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
            ],
        },
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "generationConfig": {
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "candidateCount": 2,
        "maxOutputTokens": 5,
        "temperature": 1,
        "responseModalities": ["TEXT", "IMAGE"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1},
        "seed": 1,
        "responseJsonSchema": {
            "type": "object",
            "required": ["a"],
            "propertyOrdering": ["b", "a"],
            "$defs": {"n": {"type": "string", "minLength": 2}},
            "properties": {
                "a": {"$ref": "#/$defs/n"},
                "b": {"type": ["null", "array"], "items": {"enum": [1]}, "minItems": 1, "maxItems": 3},
                "c": {"anyOf": [{"type": "integer", "minimum": 2, "maximum": 5}]},
                "d": {"prefixItems": [{"const": 1}]},
            },
        },
    },
    "tools": [
        {
            "functionDeclarations": [
                {"name": "look", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}}}
            ]
        }
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/x",
    "labels": {"a": "b"},
    "continuationToken": base64.urlsafe_b64encode(b'["x", 0, 0, null]').decode(),
    "generateContentRequest": {"contents": [{"parts": [{"text": "x"}]}], "model": "models/m"},
}
FULL_TEXT = json.dumps(FULL)

ODD = [
    None,
    True,
    False,
    0,
    -1,
    2,
    1.5,
    1e308,
    -1e-308,
    10**30,
    float("inf"),
    float("nan"),
    "",
    " ",
    "x",
    "3",
    "2.0",
    "1e0",
    "\ud800",
    "\udc00x",
    "\0",
    "null",
    "é" * 3,
    "(((",
    "[a",
    "\\",
    "x" * 3000,
    "AAA",
    "====",
    "https://x.test/v1beta/files/abc",
    [],
    [[]],
    [None],
    [1, "a"],
    {},
    {"a": {}},
    {"": None},
    {"\ud800": "\ud800"},
    {"parts": [{"text": "\ud800"}]},
    [{"text": None}],
    {"name": 3},
    {"type": {}},
    {"$ref": 3},
    {"$ref": "#/x/y"},
    {"enum": {}},
    {"type": "array", "items": 3},
    {"type": "object", "properties": [1]},
    {"type": "string", "minLength": "x"},
    {"type": "integer", "minimum": "x"},
    {"anyOf": 3},
]


def places_in(value):
    """Each (container, key) of a JSON value, in the order of the text."""
    places, waiting = [], [(None, None, value)]
    while waiting:
        container, key, value = waiting.pop()
        if container is not None:
            places.append((container, key))
        if isinstance(value, (dict, list)):
            keys = list(value) if isinstance(value, dict) else range(len(value))
            waiting.extend((value, key, value[key]) for key in reversed(keys))
    return places
