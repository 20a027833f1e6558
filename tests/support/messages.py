"""A chunk with everything in it, and what tests ask of messages."""

from .wire_facts import MESSAGES, fields_of

CHUNK = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "Let me think.", "thought": True},
                    {"text": "It is "},
                    {"functionCall": {"name": "clock", "args": {"time_zone": "UTC"}}},
                    {"text": "noon.", "thoughtSignature": "c2ln+/8="},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
            "citationMetadata": {"citationSources": [{"uri": "https://example.com/", "new": 1}]},
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 12,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    },
    "brandNew": {"snake_case": [None]},
}


def without_known_nulls(value, kind):
    """What must come back: explicit nulls of known fields are the one thing that does not."""
    if kind in MESSAGES and isinstance(value, dict):
        facts = fields_of(kind)
        return {
            key: without_known_nulls(item, facts.get(key, "any"))
            for key, item in value.items()
            if item is not None or key not in facts
        }
    if kind.startswith("[") and isinstance(value, list):
        return [without_known_nulls(item, kind[1:-1]) for item in value]
    return value
