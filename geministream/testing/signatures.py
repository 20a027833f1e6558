"""Thought signatures, checked as Gemini 3 checks them.

The server remembers each signature that it sends, with its part.  In a request
a signature must be on the same part, and the function calls of the current turn
(everything after the user's last message) must have their signatures.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Dict, List, Optional, Set

from .answers import Answer
from .prompt import bytes_of

#: Google accepts these on calls that it did not issue (documentation of thought signatures).
LET_THROUGH = ("context_engineering_is_the_way_to_go", "skip_thought_signature_validator")


class Signatures:
    """The signatures that one server issued."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: Dict[bytes, Set[str]] = {}  # signature: the parts that it was issued with
        self._calls: Dict[str, Set[bytes]] = {}  # function call: the signatures that it was issued with

    def issue(self, chunk: Dict[str, Any]) -> None:
        """Remember the signatures, and the function calls, of a chunk."""
        for candidate in chunk.get("candidates") or []:
            for part in (candidate.get("content") or {}).get("parts") or []:
                signature = _bytes(part)
                streamed = _streamed_call(part)
                with self._lock:
                    if signature:
                        self._parts.setdefault(signature, set()).add(streamed or _canonical(part))
                    if "functionCall" in part and not streamed:
                        signatures = self._calls.setdefault(_canonical(part), set())
                        if signature:
                            signatures.add(signature)

    def check(self, contents: List[Dict[str, Any]]) -> Optional[Answer]:
        """The error for a signature that is missing, is on another part, or was not issued here."""
        turn = _current_turn(contents)
        for k, content in enumerate(contents):
            calls = 0
            for n, part in enumerate(content.get("parts") or []):
                signature = _bytes(part)
                if signature and part["thoughtSignature"] not in LET_THROUGH:
                    issued = self._parts.get(signature, set())
                    if not issued & {_canonical(part), _named_call(part)}:
                        return Answer.failure(
                            400, f"Corrupted thought signature in contents[{k}].parts[{n}]."
                        )
                if "functionCall" in part:
                    calls += 1
                    if not signature and k >= turn and self._must_be_signed(part, first=calls == 1):
                        name = part["functionCall"].get("name")
                        return Answer.failure(
                            400,
                            "Function call is missing a thought_signature in functionCall parts. "
                            "This is required for tools to work correctly, and missing "
                            "thought_signature may lead to degraded model performance. Additional "
                            f"data, function call `{name}`, position {k + 1}.",
                        )
        return None

    def _must_be_signed(self, part: Dict[str, Any], first: bool) -> bool:
        issued = self._calls.get(_canonical(part))
        # For a call that was not issued here, the first call of a content has the signature.
        return first if issued is None else bool(issued)


def _current_turn(contents: List[Dict[str, Any]]) -> int:
    """The index of the last user content with a part that is not a function response."""
    for k in range(len(contents) - 1, -1, -1):
        parts = contents[k].get("parts") or []
        if contents[k].get("role") != "model" and any("functionResponse" not in part for part in parts):
            return k
    return 0


def _bytes(part: Dict[str, Any]) -> bytes:
    """The bytes of a part's signature; clients may write them in either base64 alphabet."""
    written = part.get("thoughtSignature") or ""
    try:
        return bytes_of(written)
    except ValueError:
        return written.encode("utf-8", "surrogatepass")  # from a script, or not base64 at all


def _streamed_call(part: Dict[str, Any]) -> str:
    """The key of a call whose arguments are streamed; the client sends it back in one piece."""
    call = part.get("functionCall")
    pieces = isinstance(call, dict) and ("partialArgs" in call or call.get("willContinue"))
    return _named_call(part) if pieces else ""


def _named_call(part: Dict[str, Any]) -> str:
    call = part.get("functionCall")
    return f"call of {call.get('name')}" if isinstance(call, dict) else ""


def _canonical(part: Dict[str, Any]) -> str:
    """The content of a part, without its signature, a call's id and optional empty fields.

    Some clients leave the id out when they send a call back.
    """
    said: Dict[str, Any] = {k: v for k, v in part.items() if k != "thoughtSignature" and v is not None}
    if isinstance(said.get("functionCall"), dict):
        call = said["functionCall"]
        said["functionCall"] = [call.get("name"), call.get("args") or {}]
    if not said.get("thought"):
        said.pop("thought", None)
    return json.dumps(said, sort_keys=True)
