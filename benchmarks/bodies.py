"""The bodies that the server replays, made once: what Google would send.

Each name is that of a "model", so that every client asks for a body in its own way.
"""

import base64
import json
from typing import Any, Dict, List, NamedTuple, Tuple

MIB = 2**20
SMALL_CHUNKS = 2_000
MANY_CHUNKS = 1_000_000
IMAGE_BASE64 = 16 * MIB  # characters


class Body(NamedTuple):
    """How an answer goes out.

    :ivar pieces: each becomes one HTTP chunk; the number is how often in a row the
        piece is sent, so that a million events need no million objects.
    :ivar pause: seconds between two HTTP chunks; without one, all goes out at once.
    :ivar latency: seconds before the answer begins.
    """

    pieces: List[Tuple[bytes, int]]
    pause: float = 0.0
    latency: float = 0.0


def small_chunk(**more: Any) -> Dict[str, Any]:
    """One chunk of a text answer, about 330 bytes of JSON."""
    parts = [{"text": " keeper climbed the stairs, as on every evening,"}]
    return {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, **more}],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 345,
            "totalTokenCount": 357,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "x5DlaP7kKoWDkdUPqv2u0Ac",
    }


def image_chunk(base64_size: int) -> Dict[str, Any]:
    """One chunk with an image, given as ``base64_size`` characters (a multiple of 1,024)."""
    data = base64.b64encode(bytes(range(256)) * (base64_size // 1024 * 3)).decode()
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}]
    return {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, "finishReason": "STOP"}],
        "modelVersion": "gemini-2.5-flash-image",
    }


def sse(*chunks: Any) -> List[bytes]:
    """Server-sent events, one piece each."""
    return [b"data: " + _compact(chunk) + b"\r\n\r\n" for chunk in chunks]


def array(*chunks: Any) -> List[bytes]:
    """A JSON array without white space, one piece for each element."""
    texts = [_compact(chunk) for chunk in chunks]
    return _bracketed(texts, b",")


def pretty_array(*chunks: Any) -> List[bytes]:
    """A JSON array as Google prints it, one piece for each element."""
    texts = [json.dumps(chunk, indent=2).encode() + b"\n" for chunk in chunks]
    return _bracketed(texts, b",\r\n")


def _bracketed(texts: List[bytes], comma: bytes) -> List[bytes]:
    pieces = [comma + text for text in texts]
    pieces[0] = b"[" + texts[0]
    pieces[-1] += b"]\n"
    return pieces


def _compact(chunk: Any) -> bytes:
    return json.dumps(chunk, separators=(",", ":")).encode()


def _once(pieces: List[bytes]) -> List[Tuple[bytes, int]]:
    return [(piece, 1) for piece in pieces]


def _in_pieces(data: bytes, size: int) -> List[Tuple[bytes, int]]:
    return _once([data[start : start + size] for start in range(0, len(data), size)])


def all_bodies() -> Dict[Tuple[str, bool], Body]:
    """(model, whether as an array) to its body."""
    chunk, last = small_chunk(), small_chunk(finishReason="STOP")
    small = [chunk] * (SMALL_CHUNKS - 1) + [last]
    image = image_chunk(IMAGE_BASE64)
    (image_event,) = sse(image)
    (many,), (end,) = sse(chunk), sse(last)
    return {
        ("one", False): Body(_once(sse(last))),
        ("one-late", False): Body(_once(sse(last)), latency=0.05),
        ("small", False): Body(_once(sse(*small))),
        ("small", True): Body(_once(array(*small))),
        # As many gateways write it.
        ("small-lf", False): Body(_once([event.replace(b"\r\n", b"\n") for event in sse(*small)])),
        ("small-pretty", True): Body(_once(pretty_array(*small))),
        # Each chunk comes alone, as from a model, and is read alone.
        ("small-slow", False): Body(_once(sse(*small)), pause=0.0001),
        ("image", False): Body([(image_event, 1)]),
        ("image", True): Body(_once(array(image))),
        # As Google sends it: in hundreds of HTTP chunks.
        ("image-split", False): Body(_in_pieces(image_event, 2**16)),
        ("many", False): Body([(many, MANY_CHUNKS - 1), (end, 1)]),
    }
