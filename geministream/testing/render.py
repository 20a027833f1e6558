"""The bytes of an answer in every framing: server-sent events, an array, one object, lines of JSON.

:func:`render` turns an `Answer` into a status, headers and the items of its
body.  The bytes are those that Google sends, unless the answer says otherwise.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple, Union

from .answers import Answer, chunk_of, error_object

#: An item of a body: bytes to send, an event to wait for, or seconds to pause.
Item = Union[bytes, threading.Event, float]
Watch = Callable[[Dict[str, Any]], None]


def dumps(value: Any, pretty: bool = False) -> bytes:
    """JSON as Google writes it: raw UTF-8, but <, >, &, = and ' escaped."""
    space: Dict[str, Any] = {"indent": 2 if pretty else None, "separators": (",", ": ")}
    try:
        data = json.dumps(value, ensure_ascii=False, **space).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be escaped
        data = json.dumps(value, **space).encode()
    for char in b"<>&='":  # these never occur outside a JSON string
        data = data.replace(bytes([char]), b"\\u%04x" % char)
    return data


def _chunks(answer: Answer) -> Iterator[Any]:
    """The items of an answer: dicts, bytes, events to wait for, and pauses."""
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


def _watched(items: Iterable[Any], watch: Watch) -> Iterator[Any]:
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
    """The chunks merged into the single object that `generateContent` returns."""
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
    watch: Watch = lambda chunk: None,
) -> Tuple[int, Dict[str, str], Iterator[Item]]:
    """The status, headers and body of an answer.

    `framing` is the one that the request asks for; `newline` ends the lines
    of server-sent events, and `done` adds the event ``[DONE]`` at the end;
    `watch` is called with each chunk before it is sent.
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
        # As at Google: without alt=sse, an error is an array with one element.
        events = iter([b"[" + error + b"]" if framing == "json" else error])
        content_type = json_type
    elif answer.chunks is None:
        events = iter(())
    else:
        events = framed(answer, framing, newline, done, watch)
    headers = {"Content-Type": answer.content_type or content_type, **answer.headers}
    return status, headers, events


def framed(answer: Answer, framing: str, newline: bytes, done: bool, watch: Watch) -> Iterator[Item]:
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
        # A single object stays unchanged; only several are merged.
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
        yield b"]" if written else b"[]"  # and nothing after it: some clients reject more
    elif framing == "sse" and done and error is None:
        yield b"data: [DONE]" + newline * 2
