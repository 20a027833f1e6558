"""The server's answers: an :class:`Answer` is data.

It holds the content (chunks, an error, raw bytes) and how to send it (pieces,
pauses, a fault).  `render` turns it into bytes, `delivery` sends them.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

#: `google.rpc.Code` names for HTTP statuses.
STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

STOP_HOW = ("end", "drop", "reset", "stall")
FRAMINGS = ("sse", "json", "object", "ndjson")
TRANSFERS = ("chunked", "length", "close")
ERROR_FORMS = ("data", "event", "element", "raw")


@dataclass
class Answer:
    """One answer, and how it is sent.

    Its content is the first of these that is set.  With none of them the
    server answers as usual, and the fields below say how that is sent:

    body
        Raw bytes, or a list of them (one piece each), sent unchanged.
    error
        An HTTP error with Google's JSON: an error object as a dict, or
        (code, status, message, details), the last three optional.
    chunks
        The stream, one event for each item.  A str becomes a text chunk; the
        last of a list also gets the finish reason `finish` and the usage.  A
        dict, or an object with ``to_dict()``, is a complete chunk.  Bytes are sent
        unchanged.  A `threading.Event` is waited for; a number is a pause in
        seconds.  An iterator is read item by item while sending, and nothing
        is added to its last item.

    After the content:

    stream_error
        An error object like `error`, but in the stream, after the chunks, in
        the form `error_form`: "data", "event", "element" or "raw".  Default:
        "data" in server-sent events, "element" in an array.

    How it is sent:

    status, headers, content_type
        Of the response; the content type defaults to that of the framing.
    framing
        "sse", "json" (an array), "object" (one object) or "ndjson"; default:
        the one that the request asks for.  An array ends with ``]`` and
        nothing after it, because strict clients reject more.
    transfer
        "chunked" (default), "length" (Content-Length) or "close" (to the end
        of the connection).
    gzip
        True or False; default: True if the client accepts it, unless
        `stop_after` or `piece_bytes` count the bytes.
    piece_bytes
        Send the body in pieces of this many bytes; default: one per event.
    delay, wait
        Seconds to wait, and an event to wait for, before the response begins.
    piece_delay
        Seconds between two pieces; default: the server's.
    gates
        Events: the k-th is waited for before chunk k is sent; one more than
        there are chunks delays the end.
    stop_after
        Bytes of the body (as sent, after gzip) after which the fault occurs;
        a negative number counts from the end.
    stop_in_head
        Bytes of the response's head after which the fault occurs; 0 sends
        nothing at all.
    stop_how
        "end" (default: the body ends early, in well-formed HTTP; with
        ``transfer="length"`` it is shorter than its Content-Length), "drop"
        (the connection closes), "reset" (the connection is reset), "stall"
        (silence until the client leaves or the server closes).

    :raises ValueError: if one of the named choices is not valid.
    """

    chunks: Any = None
    status: Optional[int] = None
    error: Any = None
    body: Union[None, bytes, List[bytes]] = None
    stream_error: Any = None
    error_form: Optional[str] = None
    finish: Optional[str] = "STOP"

    headers: Dict[str, str] = field(default_factory=dict)
    content_type: Optional[str] = None
    framing: Optional[str] = None
    transfer: str = "chunked"
    gzip: Optional[bool] = None
    piece_bytes: Optional[int] = None
    delay: float = 0.0
    wait: Optional[threading.Event] = None
    piece_delay: Optional[float] = None
    gates: Sequence[threading.Event] = ()
    stop_after: Optional[int] = None
    stop_in_head: Optional[int] = None
    stop_how: str = "end"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("framing", self.framing, FRAMINGS + (None,)),
            ("transfer", self.transfer, TRANSFERS),
            ("error_form", self.error_form, ERROR_FORMS + (None,)),
            ("stop_how", self.stop_how, STOP_HOW),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}, got {value!r}")

    @property
    def speaks(self) -> bool:
        """Whether it has its own content; if not, the server answers as usual."""
        if (self.status or 200) != 200:
            return True
        return any(said is not None for said in (self.chunks, self.error, self.body))

    @property
    def fault(self) -> Optional[str]:
        """What goes wrong with it, in words; None if nothing does."""
        if self.stop_in_head is not None:
            return f"{self.stop_how} after {self.stop_in_head} bytes of the head"
        if self.stop_after is not None:
            return f"{self.stop_how} after {self.stop_after} bytes"
        if self.stream_error is not None:
            return f"error {error_object(self.stream_error)['error'].get('code')} in the stream"
        if self.error is not None or (self.status or 200) >= 400:
            return f"status {self.http_status}"
        return None

    @property
    def http_status(self) -> int:
        if self.status is not None:
            return self.status
        if self.error is not None:
            try:
                return int(error_object(self.error)["error"].get("code", 500))
            except (TypeError, ValueError):
                return 500
        return 200

    def sent_like(self, other: Answer) -> Answer:
        """This answer, with the other's settings for sending and its error in the stream."""
        changes: Dict[str, Any] = {}
        for each in dataclasses.fields(self):
            value = getattr(other, each.name)
            unset = each.default if each.default is not dataclasses.MISSING else {}
            if each.name not in ("chunks", "status", "error", "body", "finish") and value != unset:
                changes[each.name] = value
        if other.headers:
            changes["headers"] = {**self.headers, **other.headers}
        return dataclasses.replace(self, **changes)

    # -- common answers, by name --------------------------------------------

    @classmethod
    def text(cls, *pieces: str, **how: Any) -> Answer:
        """Stream these texts, one chunk each."""
        return cls(chunks=list(pieces), **how)

    @classmethod
    def call(
        cls,
        name: str,
        args: Optional[Dict[str, Any]] = None,
        *,
        signature: Optional[str] = None,
        id: Optional[str] = None,
        **how: Any,
    ) -> Answer:
        """Call one function."""
        return cls.calls((name, args or {}), signature=signature, ids=[id] if id else None, **how)

    @classmethod
    def calls(
        cls,
        *calls: Tuple[str, Dict[str, Any]],
        signature: Optional[str] = None,
        ids: Optional[Sequence[str]] = None,
        text: str = "",
        **how: Any,
    ) -> Answer:
        """Call functions in parallel: one part each, the signature beside the first, as Gemini 3 does.

        :param signature: the thought signature; default: derived from the call.
        """
        parts: List[Dict[str, Any]] = [{"text": text}] if text else []
        for k, (name, args) in enumerate(calls):
            part: Dict[str, Any] = {"functionCall": {"name": name, "args": args}}
            if ids:
                part["functionCall"]["id"] = ids[k]
            if k == 0:
                part["thoughtSignature"] = signature or make_signature(part)
            parts.append(part)
        chunks = [chunk_of(part) for part in parts]
        finish = how.pop("finish", "STOP")
        if finish:
            chunks[-1]["candidates"][0]["finishReason"] = finish
        return cls(chunks=chunks, **how)

    @classmethod
    def blocked(cls, reason: str = "SAFETY", **how: Any) -> Answer:
        """Block the prompt: one chunk with `promptFeedback` and no candidates."""
        return cls(
            chunks=[
                {
                    "promptFeedback": {"blockReason": reason},
                    "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1},
                    "modelVersion": "scripted",
                    "responseId": "scripted",
                }
            ],
            **how,
        )

    @classmethod
    def failure(
        cls,
        code: int,
        message: str = "",
        status: Optional[str] = None,
        *,
        retry_after: Any = None,
        retry_info: Optional[str] = None,
        details: Optional[List[Dict[str, Any]]] = None,
        **how: Any,
    ) -> Answer:
        """An HTTP error; `retry_after` is the header's value, `retry_info` a duration such as "1.5s"."""
        details = list(details or [])
        if retry_info is not None:
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_info})
        headers = dict(how.pop("headers", {}))
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return cls(error=(code, status, message, details), headers=headers, **how)

    @classmethod
    def garbage(cls, **how: Any) -> Answer:
        """A 200 whose body is not a Gemini stream in any framing, and not even UTF-8."""
        how.setdefault("content_type", "text/event-stream")
        return cls(body=b"\x8f\x00\xff<<< this is not a stream >>>\r\n\r\n{]", **how)

    @classmethod
    def nothing(cls, how: str = "drop", **more: Any) -> Answer:
        """No answer at all, not even a head: the connection drops, is reset, or stalls."""
        return cls(stop_in_head=0, stop_how=how, **more)


def error_object(error: Any) -> Dict[str, Any]:
    """`{"error": {…}}` from a dict (with or without that key) or (code, status, message, details)."""
    if isinstance(error, int):
        error = (error,)
    if isinstance(error, dict):
        return error if "error" in error else {"error": error}
    code, status, message, details = (tuple(error) + (None,) * 4)[:4]
    status = status or STATUS_NAMES.get(code, "UNKNOWN")
    inner = {"code": code, "message": message or f"Scripted: {status}.", "status": status}
    if details:
        inner["details"] = details
    return {"error": inner}


def chunk_of(part: Dict[str, Any], finish: Optional[str] = None) -> Dict[str, Any]:
    """A chunk that holds one part."""
    candidate: Dict[str, Any] = {"content": {"parts": [part], "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    candidate["index"] = 0
    return {"candidates": [candidate], "modelVersion": "scripted", "responseId": "scripted"}


def make_signature(part: Dict[str, Any]) -> str:
    """A thought signature for this part: opaque to clients, the same for the same part."""
    content = json.dumps({k: v for k, v in part.items() if k != "thoughtSignature"}, sort_keys=True)
    return base64.b64encode(b"\x12LocalServer" + zlib.crc32(content.encode()).to_bytes(4, "big") * 3).decode()
