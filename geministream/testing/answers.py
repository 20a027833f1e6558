"""What the server says: answers, their bytes in every framing, and how they break.

An :class:`Answer` is data: what to say (chunks, an error, raw bytes) and how
to send it (pieces, pauses, a fault).  :func:`render` turns it into a status,
headers and the body's events; :func:`deliver` sends these over a connection.
The bytes are those that Google sends, unless the answer says otherwise.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from .wire import Connection, Gone, response_head

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

#: What a body is made of: bytes to send, events to wait for, numbers of seconds to pause.
Item = Union[bytes, threading.Event, float]


@dataclass
class Answer:
    """One answer, and how it is sent.

    What is said - the first of these that is given; with none of them the
    server's own model (or the route asked for) answers, sent as told below:

    body
        Raw bytes, or a list of them (one piece each): sent as they are.
    error
        An error object, as a dict or as (code, status, message, details), the
        last three optional.  It is an HTTP error, with Google's JSON.
    chunks
        What is streamed, one event for each: a str becomes a text chunk (the
        last of a list also gets the finish reason `finish` and the usage), a
        dict or an object with ``to_dict()`` is a whole chunk, bytes go out as
        they are.  A `threading.Event` between them is waited for, a number is
        a pause in seconds.  An iterator is taken item by item while sending,
        and nothing is added to its last.
    stream_error
        An error object like `error`, but in the stream, after the chunks, in
        the form `error_form`: "data", "event", "element" or "raw".

    How it is sent:

    status, headers, content_type
        Of the response; the content type is that of the framing by default.
    framing
        "sse", "json" (an array), "object" (one), "ndjson"; default: as the
        request asks.
    transfer
        "chunked", "length" (Content-Length) or "close" (to the end of the
        connection).
    gzip
        True or False; default: where the client accepts it, and neither
        `stop_after` nor `piece_bytes` counts the bytes.
    piece_bytes
        The body goes out in pieces of this many bytes; default: one for each
        event.
    delay, wait
        Seconds before, and an event waited for before, the head is sent.
    piece_delay
        Seconds between two pieces; default: the server's.
    gates
        Events: the k-th is waited for before chunk k is sent; one more than
        there are chunks holds back the end.
    stop_after
        Bytes of the body (as sent, after gzip) after which the fault
        strikes; a negative number counts from the end.
    stop_in_head
        Bytes of the response's head after which the fault strikes; 0 answers
        nothing at all.
    stop_how
        "end" (the body ends early, in well-formed HTTP; with
        ``transfer="length"`` it is shorter than its Content-Length), "drop"
        (the connection closes), "reset" (it is reset), "stall" (silence
        until the client leaves or the server closes).
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
                raise ValueError(f"{name}={value!r} is none of {known}")

    @property
    def speaks(self) -> bool:
        """Whether it says something of its own, or leaves that to the model."""
        if (self.status or 200) != 200:
            return True
        return any(said is not None for said in (self.chunks, self.error, self.body))

    @property
    def fault(self) -> Optional[str]:
        """In words, what is wrong with it; None where nothing is."""
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
        """This answer, with all that the other says about how to send it (and its error in the stream)."""
        changes: Dict[str, Any] = {}
        for each in dataclasses.fields(self):
            value = getattr(other, each.name)
            unset = each.default if each.default is not dataclasses.MISSING else {}
            if each.name not in ("chunks", "status", "error", "body", "finish") and value != unset:
                changes[each.name] = value
        if other.headers:
            changes["headers"] = {**self.headers, **other.headers}
        return dataclasses.replace(self, **changes)

    # -- the usual ones, by name --------------------------------------------

    @classmethod
    def text(cls, *pieces: str, **how: Any) -> Answer:
        """Stream these texts, a chunk for each."""
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
        """Call functions in parallel: one part for each, the signature beside the first, as at Gemini 3.

        Without a `signature` one is made up, from the call.
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
        """A 200 whose body is no Gemini stream in any framing, and not even UTF-8."""
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


# -- bytes -------------------------------------------------------------------


def dumps(value: Any, pretty: bool = False) -> bytes:
    """JSON as Google writes it: raw UTF-8, but <, >, &, = and ' escaped."""
    space = {"indent": 2, "separators": (",", ": ")} if pretty else {"separators": (",", ": ")}
    try:
        data = json.dumps(value, ensure_ascii=False, **space).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be escaped
        data = json.dumps(value, **space).encode()
    for char in b"<>&='":  # these never stand outside a JSON string
        data = data.replace(bytes([char]), b"\\u%04x" % char)
    return data


def _chunks(answer: Answer) -> Iterator[Any]:
    """The answer's items: dicts, bytes, events to wait for and pauses."""
    chunks = answer.chunks
    last_text, texts = -1, 0
    if isinstance(chunks, (list, tuple)):
        last = [k for k, item in enumerate(chunks) if not isinstance(item, (threading.Event, int, float))]
        last_text = last[-1] if last and isinstance(chunks[last[-1]], str) else -1
    for k, item in enumerate(chunks):
        if isinstance(item, str):
            texts += 1
            finish = answer.finish if k == last_text and answer.stream_error is None else None
            item = chunk_of({"text": item}, finish)
            item["usageMetadata"] = {
                "promptTokenCount": 1,
                "candidatesTokenCount": texts,
                "totalTokenCount": 1 + texts,
            }
        elif not isinstance(item, (dict, bytes, threading.Event, int, float)):
            item = item.to_dict()
        yield item


def _watched(items: Iterable[Any], watch: Callable[[Dict[str, Any]], None]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, dict):
            watch(item)
        yield item


def _gated(items: Iterable[Any], gates: Sequence[threading.Event]) -> Iterator[Any]:
    """The items, with the k-th gate before the k-th chunk."""
    passed = 0
    for item in items:
        if isinstance(item, (dict, bytes)):
            if passed < len(gates):
                yield gates[passed]
            passed += 1
        yield item
    yield from gates[passed:]


def _merged(items: Iterable[Any]) -> Dict[str, Any]:
    """The chunks as the one object that `generateContent` answers."""
    whole: Dict[str, Any] = {}
    candidates: Dict[int, Dict[str, Any]] = {}
    for chunk in items:
        if not isinstance(chunk, dict):
            continue
        whole.update({k: v for k, v in chunk.items() if k != "candidates"})
        for new in chunk.get("candidates") or []:
            old = candidates.setdefault(new.get("index", 0), {"content": {"parts": [], "role": "model"}})
            old.update({k: v for k, v in new.items() if k != "content"})
            parts = old["content"]["parts"]
            for part in (new.get("content") or {}).get("parts") or []:
                text_alone = {"text", "thought"}.issuperset
                if (
                    parts
                    and text_alone(part)
                    and text_alone(parts[-1])
                    and part.get("thought") == parts[-1].get("thought")
                ):
                    parts[-1] = {**part, "text": parts[-1].get("text", "") + part.get("text", "")}
                else:
                    parts.append(dict(part))
    if candidates:
        whole = {"candidates": [candidates[k] for k in sorted(candidates)], **whole}
    return whole


def render(
    answer: Answer,
    framing: str,
    *,
    newline: bytes = b"\r\n",
    done: bool = False,
    watch: Callable[[Dict[str, Any]], None] = lambda chunk: None,
) -> Tuple[int, Dict[str, str], Iterator[Item]]:
    """The status, headers and body of an answer.

    `framing` is the one that the request asks for; `newline` ends the lines
    of server-sent events, and with `done` a last one says ``[DONE]``;
    `watch` sees each chunk before it is sent.
    """
    status = answer.http_status
    framing = answer.framing or framing
    json_type = "application/json; charset=UTF-8"
    content_type = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}.get(framing, json_type)
    events: Iterator[Item]
    if answer.body is not None:
        events = iter([answer.body] if isinstance(answer.body, bytes) else answer.body)
    elif answer.error is not None or status >= 400:
        said = error_object(answer.error if answer.error is not None else (status,))
        error = dumps(said, pretty=True) + b"\n"
        # Google's own: an array stream's error is an array of one.
        events = iter([b"[" + error + b"]" if framing == "json" else error])
        content_type = json_type
    elif answer.chunks is None:
        events = iter(())
    else:
        events = _framed(answer, framing, newline, done, watch)
    headers = {"Content-Type": answer.content_type or content_type, **answer.headers}
    return status, headers, events


def _framed(
    answer: Answer, framing: str, newline: bytes, done: bool, watch: Callable[[Dict[str, Any]], None]
) -> Iterator[Item]:
    items = _gated(_watched(_chunks(answer), watch), answer.gates)
    error = None if answer.stream_error is None else error_object(answer.stream_error)
    form = answer.error_form or {"sse": "data", "json": "element"}.get(framing, "raw")
    if framing == "object":
        waits: List[Any] = []
        chunks: List[Dict[str, Any]] = []
        for item in items:
            (chunks if isinstance(item, dict) else waits).append(item)
        yield from waits
        if error is not None:
            chunks.append(error)
        # A single object is passed on untouched; only several need merging.
        yield dumps(chunks[0] if len(chunks) == 1 else _merged(chunks), pretty=True) + b"\n"
        return
    written = False
    for item in items:
        if not isinstance(item, dict):
            yield item
        elif framing == "sse":
            yield b"data: " + dumps(item) + newline * 2
        elif framing == "ndjson":
            yield dumps(item) + b"\n"
        else:
            yield (b",\r\n" if written else b"[") + dumps(item, pretty=True) + b"\n"
            written = True
    if error is not None:
        if form == "event":
            yield b"event: error" + newline + b"data: " + dumps(error) + newline * 2
        elif form == "data":
            yield b"data: " + dumps(error) + newline * 2
        elif form == "element":
            yield (b",\r\n" if written else b"[") + dumps(error, pretty=True) + b"\n"
            written = True
        else:
            yield dumps(error, pretty=True) + b"\n"
    if framing == "json":
        yield b"]" if written else b"[]"  # and nothing behind it: some clients refuse more
    elif framing == "sse" and done and error is None:
        yield b"data: [DONE]" + newline * 2


# -- sending -----------------------------------------------------------------


def _gzipped(items: Iterable[Item]) -> Iterator[Item]:
    """The items compressed, flushed after each, so that each can be read when it arrives."""
    squeeze = zlib.compressobj(wbits=31)
    for item in items:
        if isinstance(item, bytes):
            item = squeeze.compress(item) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        yield item
    yield squeeze.flush(zlib.Z_FINISH)


def _resized(items: Iterable[Item], size: int) -> Iterator[Item]:
    """The same bytes in pieces of `size`; a wait lets out first what came before it."""
    held = b""
    for item in items:
        if isinstance(item, bytes):
            held += item
            whole = len(held) - len(held) % size
            for start in range(0, whole, size):
                yield held[start : start + size]
            held = held[whole:]
        else:
            if held:
                yield held
                held = b""
            yield item
    if held:
        yield held


def deliver(
    connection: Connection,
    answer: Answer,
    rendered: Tuple[int, Dict[str, str], Iterator[Item]],
    *,
    piece_delay: float = 0.0,
    accepts_gzip: bool = False,
    keep_alive: bool = True,
    chunks_known: bool = True,
    head_only: bool = False,
    sent: Callable[[int], None] = lambda size: None,
) -> bool:
    """Send an answer; whether the connection can go on to the next request.

    `chunks_known` is False for an HTTP/1.0 client, who knows no chunked
    transfer; `sent` is told the size of each piece of the body once it is out.
    """
    status, headers, items = rendered
    counted = answer.stop_after is not None or answer.piece_bytes is not None
    if answer.gzip or (answer.gzip is None and accepts_gzip and not counted):
        headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        items = _gzipped(items)
    if answer.piece_bytes:
        items = _resized(items, answer.piece_bytes)
    if piece_delay if answer.piece_delay is None else answer.piece_delay:
        items = _spaced(items, answer.piece_delay or piece_delay)

    stop, total = answer.stop_after, 0
    transfer = answer.transfer if chunks_known or answer.transfer != "chunked" else "close"
    if transfer == "length" or (stop is not None and stop < 0):
        items = list(items)  # type: ignore[assignment]
        total = sum(len(item) for item in items if isinstance(item, bytes))
        if stop is not None and stop < 0:
            stop = max(0, total + stop)
        if transfer == "length":
            headers = {**headers, "Content-Length": str(total)}
    bodiless = head_only or status in (204, 304)
    if transfer == "chunked" and not bodiless:
        headers = {**headers, "Transfer-Encoding": "chunked"}
    keep_alive = keep_alive and not connection.body_unread and transfer != "close"
    if not keep_alive:
        headers = {**headers, "Connection": "close"}

    if answer.delay:
        connection.pause(answer.delay)
    if answer.wait is not None:
        connection.pause(until=answer.wait)
    head = response_head(status, list(headers.items()))
    if answer.stop_in_head is not None:
        connection.send(head[: answer.stop_in_head])
        return _break(connection, answer)
    connection.answering = True
    connection.send(head)
    if bodiless:
        return keep_alive

    left = stop
    for item in items:
        if isinstance(item, threading.Event):
            connection.pause(until=item)
            continue
        if not isinstance(item, bytes):
            connection.pause(item)
            continue
        piece = item if left is None else item[:left]
        if piece:  # an empty HTTP chunk would end the body
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if transfer == "chunked" else piece)
            sent(len(piece))
        if left is not None:
            left -= len(piece)
            if left == 0:
                break
    if stop is not None:
        if answer.stop_how != "end":
            return _break(connection, answer)
        if transfer == "length" and stop < total:
            keep_alive = False  # nobody announced it: the body is just shorter than its length
    if transfer == "chunked":
        connection.send(b"0\r\n\r\n")
    if not keep_alive:
        connection.say_goodbye()
    return keep_alive


def _spaced(items: Iterable[Item], seconds: float) -> Iterator[Item]:
    first = True
    for item in items:
        if isinstance(item, bytes):
            if not first:
                yield seconds
            first = False
        yield item


def _break(connection: Connection, answer: Answer) -> bool:
    """Let the fault strike."""
    if answer.stop_how == "stall":
        try:
            connection.pause()
        except Gone:
            if not connection.closing.is_set():
                raise
    elif answer.stop_how == "reset":
        connection.reset_on_close()
    elif connection.body_unread:
        connection.say_goodbye()  # closing on unread bytes would be a reset
    return False
