"""Embeddings: deterministic vectors of a text, and the requests that ask for them.

A vector comes from a hash of the text: equal texts have equal vectors, and
different texts point in different directions.  It says nothing about meaning.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import Any, Dict, List

from .answers import Answer
from .prompt import whole_number, words

DIMENSIONS = 768


def embedding(text: str, dimensions: int = DIMENSIONS) -> List[float]:
    """The vector of a text: `dimensions` numbers, normalized to length 1."""
    data = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * dimensions)
    numbers = [number / 2**31 for number in struct.unpack(f">{dimensions}i", data)]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [round(number / length, 9) for number in numbers]


def embed(request: Dict[str, Any]) -> Answer:
    """The answer to `embedContent`."""
    return Answer(chunks=[{"embedding": _vector(request)}])


def embed_batch(request: Dict[str, Any]) -> Answer:
    """The answer to `batchEmbedContents`: a vector for each of its requests."""
    return Answer(chunks=[{"embeddings": [_vector(each) for each in request.get("requests") or []]}])


def predict(request: Dict[str, Any]) -> Answer:
    """The answer to Vertex AI's `predict`: a vector for each instance."""
    dimensions = (request.get("parameters") or {}).get("outputDimensionality") or DIMENSIONS
    predictions = []
    for instance in request.get("instances") or []:
        text = instance.get("content") or ""
        predictions.append(
            {
                "embeddings": {
                    "values": embedding(text, whole_number(dimensions)),
                    "statistics": {"token_count": len(words(text)), "truncated": False},
                }
            }
        )
    return Answer(chunks=[{"predictions": predictions}])


def _vector(request: Dict[str, Any]) -> Dict[str, Any]:
    config = request.get("embedContentConfig") or {}
    dimensions = request.get("outputDimensionality") or config.get("outputDimensionality") or DIMENSIONS
    parts = (request.get("content") or {}).get("parts") or []
    text = "\n".join(part.get("text") or json.dumps(part, sort_keys=True) for part in parts)
    return {"values": embedding(text, whole_number(dimensions))}
