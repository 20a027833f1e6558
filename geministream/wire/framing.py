"""Detection and parsing of a body's framing, which yields JSON values as they arrive.

The pieces of a body may end anywhere: inside a CRLF, a UTF-8 sequence or an escape.  `Framing`
takes them one by one and yields each JSON value as soon as its last byte has arrived.  Servers
may send another framing than the requested one, with the wrong Content-Type, so the first byte
of the body decides:

============  ==================================================================
first byte    framing
============  ==================================================================
``[``         a JSON array; each element is a value
``{``         one or more JSON objects, such as newline-delimited JSON
any other     server-sent events; the data of each event is a value
============  ==================================================================

Goals, in this order:

- Any split of the same bytes gives the same values, and the same error after them.
- A value is yielded without waiting for the bytes after it.
- The time is linear in the number of bytes, for any split.
- A value larger than the limit is an error and is never kept in memory.
- A value nested deeper than `DEEPEST` is an error in all Python versions, so that recursive
  code can copy, print and write the values.
"""

import codecs
import re
from typing import Any, Iterator, Optional, Tuple, Union

from ..depth import FLAT, is_deep_json, scan_once
from ..errors import IncompleteStreamError, StreamDecodeError
from .json_values import CUT, NO_VALUE, Held, JSONValues, bad_json, too_large, values_in

_BOM = b"\xef\xbb\xbf"


class Framing:
    """Parses the values of one body in any framing.

    ``feed`` and ``close`` are generators: exhaust one before you call the next.  Values are
    yielded in order, and an error is raised only after all values before it.

    :param max_event_bytes: the size of the largest value that is accepted; a character of
        several bytes counts as one.
    """

    def __init__(self, max_event_bytes: int = 256 * 2**20) -> None:
        self._limit = max_event_bytes
        self._start = b""
        self._cut = b""  # the first bytes of an incomplete character
        self._parser: Union[None, _ServerSentEvents, JSONValues] = None

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the values that these bytes complete.

        :raises StreamDecodeError: if the bytes are not valid in the framing of the body.
        """
        parser = self._parser
        if parser is None:
            parser, data = self._detect(data)
            if parser is None:
                return iter(())
        if self._cut:
            data = self._cut + data
        try:
            # Faster than an incremental decoder, which calls this too.
            text, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as error:
            return self._until_bad(error)
        self._cut = data[used:]
        return parser.feed(text)

    def _until_bad(self, error: UnicodeDecodeError) -> Iterator[Any]:
        assert self._parser is not None
        yield from self._parser.feed(error.object[: error.start].decode("utf-8"))
        try:
            yield from self._parser.close()
        except (IncompleteStreamError, StreamDecodeError):
            pass  # the bad bytes are the reason why a value is incomplete
        bad = error.object[error.start : error.start + 8]
        raise StreamDecodeError(f"bad UTF-8: {bad!r}")

    def close(self) -> Iterator[Any]:
        """Yield the values that the end of the body completes.

        :raises IncompleteStreamError: if the body ended inside a value or an array.
        :raises StreamDecodeError: if the incomplete value at its end is not valid JSON.
        """
        if self._parser is not None:
            yield from self._parser.close()
        if self._cut:
            raise IncompleteStreamError("the stream ended in the middle of a character")

    def _detect(self, data: bytes) -> Tuple[Any, bytes]:
        self._start += data
        if _BOM.startswith(self._start[:3]) and len(self._start) < 3:
            return None, b""  # it may be the start of a byte order mark
        start = self._start[3:] if self._start.startswith(_BOM) else self._start
        start = start.lstrip(b" \t\r\n")
        if start:
            self._parser = (JSONValues if start[:1] in b"[{" else _ServerSentEvents)(self._limit)
        # No framing has a meaning for white space before the first byte.
        self._start = b"" if start else self._start[:3]
        return self._parser, start


# Server-sent events ----------------------------------------------------------
# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

# Lines end only with CR, LF or CRLF; str.splitlines() splits at other characters too.
_line = re.compile(r"([^\r\n]*)(?:\r\n|\n|\r)")
_line_end = re.compile(r"[\r\n]")
_line_ends = re.compile(r"[ \t]*(?:\r\n|\n|\r){1,2}")
_OBJECT_LINE = ("data: {", "data:{")
_ignored_field = re.compile(r"[\w-]*(?::|\s*$)", re.ASCII)


class _ServerSentEvents:
    """Parses server-sent events; only the fields ``data`` and ``event: error`` are used.

    Servers deviate from the standard, so these are accepted too:

    - A line that starts with ``{`` or ``[`` is JSON without ``data:`` (Google sends errors in
      this way, over several lines).
    - An event without a blank line is complete when its line or the body ends.
    - One event may contain several JSON values, an array of them, or ``[DONE]``.

    A line that cannot be a field (a proxy's HTML, say) is an error.  An incomplete value in the
    last event is a truncated stream: some gateways add a blank line to a truncated event.

    An object on one line with ``candidates`` is a chunk, and one with ``error`` is an error, for
    any name of the event, so they are yielded immediately.  Any other object waits for the end
    of its event or for the next ``data:``, since ``event: error`` may follow it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = Held(limit + len("data: "))  # an incomplete line
        self._longest_line = self._held.room
        self._after_cr = False  # the last piece ended with CR, and a LF may follow
        self._data = Held(limit + len(" \n"))  # the event's data lines so far
        self._waits = False  # the data is a complete object, but the event's name may follow
        self._name = ""
        self._bare: Optional[JSONValues] = None  # parses JSON without data:, over several lines
        self._half: Optional[StreamDecodeError] = (
            None  # the error of an incomplete value, if the body continues
        )

    def feed(self, text: str) -> Iterator[Any]:
        pos = 1 if self._after_cr and text[:1] == "\n" else 0
        self._after_cr = text[-1:] == "\r" if text else self._after_cr
        if self._held.begun and text:
            ends = "\n" in text or "\r" in text
            end = _line_end.search(text, pos).start() if ends else len(text)  # type: ignore[union-attr]
            if end - pos > self._held.room:
                yield from self._too_long()
            self._held.add(text[pos:])
            if not ends:
                return  # the line continues
            text, pos = self._held.take(), 0
        while pos < len(text):
            fresh = not (self._data.begun or self._name or self._bare or self._half)
            waits = False
            # The fast path for nearly every event, an object on one line, which does not wait for
            # the blank line.
            while fresh and text.startswith(_OBJECT_LINE, pos):
                try:
                    value, end = scan_once(text, text.find("{", pos))
                except NO_VALUE:
                    break
                # A line end is white space in JSON, but it ends the line of an event.
                if text.find("\n", pos, end) >= 0 or text.find("\r", pos, end) >= 0:
                    break
                if end - pos > FLAT and is_deep_json(text, pos, end):
                    break
                if text.startswith("\r\n\r\n", end):
                    end += 4
                else:
                    line_ends = _line_ends.match(text, end)
                    if line_ends is None:
                        break
                    end = line_ends.end()
                if end - pos > self._limit:
                    break
                if "candidates" not in value and not value.get("error"):
                    waits = True
                    break
                pos = end
                # Do not keep the text of a value of many MiB while the caller has the value.
                if pos == len(text):
                    text, pos = "", 0
                yield value
            if pos == len(text):
                return
            match = _line.match(text, pos)
            if (match.end(1) if match else len(text)) - pos > self._longest_line:
                yield from self._too_long()
            if match is None:
                if pos < len(text):
                    self._held.add(text[pos:])
                return
            pos = match.end()
            yield from self._take_line(match.group(1), "\n")
            self._waits = self._waits or waits

    def close(self) -> Iterator[Any]:
        line = self._held.take()
        if line:
            yield from self._take_line(line, "")
        yield from self._dispatch()
        if self._half is not None:
            raise IncompleteStreamError("the stream ended in the middle of an event") from self._half
        if self._bare is not None:
            yield from self._bare.close()

    def _take_line(self, line: str, end: str) -> Iterator[Any]:
        if self._bare is None and line.lstrip()[:1] in ("{", "["):
            yield from self._dispatch()
            self._refuse_half()
            self._bare = JSONValues(self._limit)
        if self._bare is not None:
            yield from self._bare.feed(line + end)
            if self._bare.idle:
                self._bare = None
        elif line.startswith("data:"):
            if self._waits:
                yield from self._dispatch()
            if len(line) - len("data:") + len("\n") > self._data.room:
                raise too_large(self._limit)
            self._data.add(line[5:] + "\n")
        elif not line:
            yield from self._dispatch()
            self._name = ""
        elif line.startswith("event:"):
            self._name = line[6:].strip()
        elif not line.startswith(":") and not _ignored_field.match(line):
            yield from self._dispatch()
            raise StreamDecodeError(
                f"the response is not an event stream (it contains {line[:100]!r}); "
                "check that the base URL belongs to a Gemini API"
            )

    def _too_long(self) -> Iterator[Any]:
        yield from self._dispatch()
        raise too_large(self._limit)

    def _refuse_half(self) -> None:
        if self._half is not None:
            raise self._half

    def _dispatch(self) -> Iterator[Any]:
        """Yield the values of a complete event."""
        if not self._data.begun:
            return
        self._waits = False
        text = self._data.take().strip(" \t\r\n")
        if len(text) > self._limit:
            raise too_large(self._limit)
        if text and not text.startswith("[DONE]"):
            self._refuse_half()
        if self._name == "error":
            yield _as_error(text)
            return
        for value in values_in(text):
            if value is CUT:
                self._half = bad_json(text)
            elif isinstance(value, list):
                yield from value
            else:
                yield value


def _as_error(text: str) -> Any:
    """Return the data of an event named "error" as a mapping with ``error``.

    The data may be any text; it counts as JSON only if all of it is one value.
    """
    try:
        values = list(values_in(text))
    except StreamDecodeError:
        values = []
    value = values[0] if len(values) == 1 and values[0] is not CUT else text
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and value.get("error"):
        return value
    return {"error": value or "an error event without a message"}
