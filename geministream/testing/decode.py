"""Long decode: one answer over several requests, each with a token from the request before.

A continuation token contains the request that it was issued for (without token
and `maxOutputTokens`), the place in the answer where the next request starts,
and the number of the next hop.  It is opaque to clients.  The server remembers
scripted tokens, and what :meth:`LongDecode.whole_text` needs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any, Callable, Container, Dict, List, NamedTuple, Optional, Union

from .answers import Answer
from .generation import Hop, reworded
from .json_checks import parse_json

#: How many tokens are remembered.
REMEMBERED = 100_000


class Stretch(NamedTuple):
    """The words of an answer that one request returned."""

    fingerprint: str
    parent: Optional[int]  # the number of the request that issued its token
    start: int
    end: int
    variant: int


class LongDecode:
    """The state of one server's long answers; its arguments are `LocalServer`'s."""

    def __init__(
        self,
        tokens_per_request: Optional[int] = None,
        checkpoint_every: Union[None, int, Callable[[int], bool]] = None,
        thinking_hops: Container[int] = (),
        reword: bool = False,
    ):
        self.tokens_per_request = tokens_per_request
        self.checkpoint_every = checkpoint_every
        self.thinking_hops = thinking_hops
        self.reword = reword
        self._lock = threading.Lock()
        self._issued: Dict[str, str] = {}
        self._stretches: Dict[int, Stretch] = {}

    @property
    def on(self) -> bool:
        return self.tokens_per_request is not None or self.checkpoint_every is not None

    def issue(self, chunk: Dict[str, Any], request: Dict[str, Any]) -> None:
        """Remember the request that the tokens of a chunk belong to."""
        for candidate in chunk.get("candidates") or []:
            token = isinstance(candidate, dict) and candidate.get("continuationToken")
            if token:
                with self._lock:
                    self._issued[str(token)] = fingerprint(request)
                    if len(self._issued) > REMEMBERED:
                        del self._issued[next(iter(self._issued))]

    def check(self, request: Dict[str, Any]) -> Optional[Answer]:
        """The error for a token that was issued for another request."""
        token = request.get("continuationToken")
        if token in self._issued and self._issued[token] != fingerprint(request):
            return _other_request()
        return None

    def hop(self, request: Dict[str, Any], number: int, length: Callable[[], int]) -> Union[Hop, Answer]:
        """The section of the answer, `length()` words, for the `number`-th request; or the error."""
        token = request.get("continuationToken")
        if not self.on:
            return Answer.failure(400, "This server has no continuations.") if token else Hop()
        start = index = 0
        parent: Optional[int] = None
        mark = fingerprint(request)
        if token:
            try:
                owner, start, index, parent = parse_json(base64.urlsafe_b64decode(token))
            except (ValueError, TypeError):
                return Answer.failure(400, "The continuation_token is not valid.")
            if owner != mark:  # issued by another server, or before this one was started
                return _other_request()
        thinking = index in self.thinking_hops
        end = length()
        if self.tokens_per_request is not None:
            end = min(end, start + self.tokens_per_request)
        if thinking:
            end = start
        variant = 1
        with self._lock:
            if self.reword:  # text that an earlier request returned is now generated differently
                variant += sum(
                    before.fingerprint == mark and before.start <= start < before.end
                    for before in self._stretches.values()
                )
            self._stretches[number] = Stretch(mark, parent, start, end, variant)

        def issue(place: int) -> str:
            following = index + 1 if thinking or place == end else index
            return base64.urlsafe_b64encode(json.dumps([mark, place, following, number]).encode()).decode()

        every = self.checkpoint_every
        if isinstance(every, int):
            return Hop(start, end, thinking, issue, lambda k: k % every == every - 1, variant)
        return Hop(start, end, thinking, issue, every or Hop().checkpoint, variant)

    def whole_text(self, number: int, words: List[str]) -> str:
        """The text of the answer as it was sent, to the end of the `number`-th request."""
        sections: List[str] = []
        upto: Optional[int] = None
        at: Optional[int] = number
        while at is not None:
            stretch = self._stretches[at]
            end = stretch.end if upto is None else upto
            sections.append("".join(reworded(word, stretch.variant) for word in words[stretch.start : end]))
            at, upto = stretch.parent, stretch.start
        return "".join(reversed(sections))


def fingerprint(request: Dict[str, Any]) -> str:
    """A hash of what stays the same over the hops of one answer."""
    same = {name: value for name, value in request.items() if name != "continuationToken"}
    config: Dict[str, Any] = dict(same.pop("generationConfig", None) or {})
    config.pop("maxOutputTokens", None)  # may grow when the budget is spent
    return hashlib.sha256(json.dumps([same, config], sort_keys=True).encode()).hexdigest()[:16]


def _other_request() -> Answer:
    return Answer.failure(
        400,
        "The continuation_token was issued for another request: send the same request again, "
        "with the token added.",
    )
