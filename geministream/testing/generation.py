"""The model's answer as a stream: its chunks, their order and their usage."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .answers import make_signature
from .model import FileFacts, Reply, answer_tokens, expected_thoughts, function_calls, modalities, no_files
from .prompt import prompt_token_details, whole_number, words
from .samples import png

#: A candidate: its parts with their tokens, and its finish reason.
Lane = Tuple[List[Tuple[Dict[str, Any], int]], str]


class Hop(NamedTuple):
    """The section of the answer that one request returns (long decode)."""

    start: int = 0  # its first token
    end: Optional[int] = None  # the first token after it; None: up to the end
    thinking: bool = False  # spent on thinking: no text
    #: Returns the continuation token for a place in the answer; None: long decode is off.
    token: Optional[Callable[[int], str]] = None
    #: Whether the k-th chunk of the hop has a checkpoint.
    checkpoint: Callable[[int], bool] = lambda k: False
    #: How many times this section was generated, including this time; the text differs each time.
    variant: int = 1


#: The complete answer in one response.
WHOLE = Hop()


def reworded(word: str, variant: int) -> str:
    """The word as generated the `variant`-th time: ``word ``, ``word~2 ``, ``word~3 `` …"""
    bare = word.rstrip()
    return word if variant == 1 or not bare else f"{bare}~{variant}{word[len(bare) :]}"


class AnswerStream:
    """An answer while it is sent: what its chunks have in common, and the usage so far."""

    def __init__(self, request: Dict[str, Any], model: str, hop: Hop, cached_tokens: int = 0):
        self.model = model
        self.seed = json.dumps(request, sort_keys=True).encode()
        self.response_id = base64.urlsafe_b64encode(hashlib.sha256(self.seed).digest()[:12]).decode()
        self.details = prompt_token_details(request)
        self.prompt = sum(self.details.values()) + hop.start  # a hop reads everything before it again
        self.cached = cached_tokens
        self.thoughts = 0
        self.spoken = 0

    def chunk(
        self,
        index: int,
        part: Optional[Dict[str, Any]],
        finish: Optional[str] = None,
        token: Optional[str] = None,
    ) -> Dict[str, Any]:
        """The next chunk: one part of one candidate."""
        candidate: Dict[str, Any] = {"content": {"parts": [part], "role": "model"}} if part else {}
        if finish:
            candidate["finishReason"] = finish
        if token:
            candidate["continuationToken"] = token
        candidate["index"] = index
        usage: Dict[str, Any] = {"promptTokenCount": self.prompt}
        if self.cached:
            usage["cachedContentTokenCount"] = self.cached
        if self.spoken:
            usage["candidatesTokenCount"] = self.spoken
        usage["totalTokenCount"] = self.prompt + self.spoken + self.thoughts
        usage["promptTokensDetails"] = [{"modality": m, "tokenCount": n} for m, n in self.details.items()]
        if self.thoughts:
            usage["thoughtsTokenCount"] = self.thoughts
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": self.model,
            "responseId": self.response_id,
        }


def generate(
    request: Dict[str, Any],
    model: str,
    *,
    files: FileFacts = no_files,
    reply: Optional[Reply] = None,
    words_per_chunk: int = 3,
    hop: Hop = WHOLE,
    cached_tokens: int = 0,
) -> Iterator[Dict[str, Any]]:
    """The chunks of the answer to a request in its normal form; `cached_tokens` of it come from a cache."""
    config = request.get("generationConfig") or {}
    stream = AnswerStream(request, model, hop, cached_tokens)
    if hop.thinking and hop.token:
        stream.thoughts = 7
        yield stream.chunk(0, None, "CONTINUATION", hop.token(hop.start))
        return

    thinks = bool((config.get("thinkingConfig") or {}).get("includeThoughts"))
    if thinks and hop.start == 0:
        for piece in _groups(words(expected_thoughts(request)), 4):
            stream.thoughts += len(piece)
            yield stream.chunk(0, {"text": "".join(piece), "thought": True})

    calls = function_calls(request)
    for k, call in enumerate(calls):
        part: Dict[str, Any] = {"functionCall": call}
        if k == 0:
            part["thoughtSignature"] = make_signature(part)
        stream.spoken += 1
        yield stream.chunk(0, part, "STOP" if k == len(calls) - 1 else None)
    if calls:
        return

    lanes: List[Lane] = []
    end = 0
    for index in range(whole_number(config.get("candidateCount") or 1)):
        tokens, finish = answer_tokens(request, index, files=files, reply=reply)
        end = len(tokens) if hop.end is None else hop.end
        if end < len(tokens):
            finish = "CONTINUATION"
        tokens = [reworded(token, hop.variant) for token in tokens[hop.start : end]]
        parts = [({"text": "".join(piece)}, len(piece)) for piece in _groups(tokens, words_per_chunk)]
        if finish != "CONTINUATION":
            parts += _last_parts(config, stream, index, thinks)
        lanes.append((parts or [({"text": ""}, 0)], finish))
    yield from _interleaved(stream, lanes, hop, end)


def _interleaved(stream: AnswerStream, lanes: List[Lane], hop: Hop, end: int) -> Iterator[Dict[str, Any]]:
    """The chunks of all candidates, a part of each in turn; the hop ends at token `end`."""
    place = hop.start
    for k in range(max(len(parts) for parts, _ in lanes)):
        for index, (parts, finish) in enumerate(lanes):
            if k >= len(parts):
                continue
            part, cost = parts[k]
            stream.spoken += cost
            place += cost
            ends, token = k == len(parts) - 1, None
            if hop.token and ends and finish in ("CONTINUATION", "MAX_TOKENS"):
                token = hop.token(end)
            elif hop.token and not ends and "text" in part and hop.checkpoint(k):
                token = hop.token(place)
            yield stream.chunk(index, part, finish if ends else None, token)


def _last_parts(
    config: Dict[str, Any], stream: AnswerStream, index: int, thinks: bool
) -> List[Tuple[Dict[str, Any], int]]:
    """What follows the text: an image, and a signature on a part without text."""
    parts: List[Tuple[Dict[str, Any], int]] = []
    if "IMAGE" in modalities(config):
        picture = base64.b64encode(png(b"%d" % index + stream.seed)).decode()
        parts.append(({"inlineData": {"mimeType": "image/png", "data": picture}}, 258))
    if thinks:
        signature = make_signature({"text": "", "of": stream.response_id, "candidate": index})
        parts.append(({"text": "", "thoughtSignature": signature}, 0))
    return parts


def _groups(items: List[str], size: int) -> Iterator[List[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
