"""From bytes to JSON values, as they arrive, in whichever framing they come.

A body comes in pieces that end anywhere: inside a CRLF, a UTF-8 sequence, an
escape.  `Framing` takes them one by one and yields each JSON value as soon as
the last byte of it is here.  Servers answer in another framing than they were
asked for, and label it wrongly, so the first bytes of the body decide:

============  ==================================================================
first byte    framing
============  ==================================================================
``[``         a JSON array; each element is a value
``{``         JSON objects one after another: one alone, or newline-delimited
anything      server-sent events; the data of each event is a value
============  ==================================================================

Goals, in this order:

- Any split of the same bytes gives the same values, and the same error behind them.
- A value is not kept waiting for the bytes behind it.
- Time is linear in the bytes, however they are split.
- No value is larger than the limit, and nothing larger is ever held.
- No value is nested deeper than `DEEPEST`, whatever the Python: what came in can
  be copied, shown and written by code that calls itself for each level.
"""

import codecs
import re
from typing import Any, Iterator, Optional, Tuple, Union

from ..errors import IncompleteStreamError, StreamDecodeError
from .json_values import (
    CUT,
    FLAT,
    NO_VALUE,
    Held,
    JSONValues,
    bad_json,
    nested_too_deeply,
    scan_once,
    too_large,
    values_in,
)

_BOM = b"\xef\xbb\xbf"


class Framing:
    """The values of one body, whichever framing it comes in.

    :param max_event_bytes: the largest value that is accepted; characters that
        take several bytes are counted once.

    ``feed`` and ``close`` are generators: exhaust one before calling the next.
    Values come out in order, and an error only after all values before it.
    """

    def __init__(self, max_event_bytes: int = 256 * 2**20) -> None:
        self._limit = max_event_bytes
        self._start = b""
        self._cut = b""  # the beginning of a character whose other bytes are not here yet
        self._parser: Union[None, _ServerSentEvents, JSONValues] = None

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the values that these bytes complete.

        :raises StreamDecodeError: where the bytes cannot be what they began as.
        """
        parser = self._parser
        if parser is None:
            parser, data = self._detect(data)
            if parser is None:
                return iter(())
        if self._cut:
            data = self._cut + data
        try:
            # What an incremental decoder calls, without the calls around it.
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
            pass  # what is not whole here is not whole because of the bad bytes
        bad = error.object[error.start : error.start + 8]
        raise StreamDecodeError(f"bad UTF-8: {bad!r}")

    def close(self) -> Iterator[Any]:
        """The body has ended: yield what only its end completes.

        :raises IncompleteStreamError: where the body ended inside a value or an array.
        :raises StreamDecodeError: where what it ended in could not have become a value.
        """
        if self._parser is not None:
            yield from self._parser.close()
        if self._cut:
            raise IncompleteStreamError("the stream ended in the middle of a character")

    def _detect(self, data: bytes) -> Tuple[Any, bytes]:
        self._start += data
        if _BOM.startswith(self._start[:3]) and len(self._start) < 3:
            return None, b""  # it may yet become a byte order mark
        start = self._start[3:] if self._start.startswith(_BOM) else self._start
        start = start.lstrip(b" \t\r\n")
        if start:
            self._parser = (JSONValues if start[:1] in b"[{" else _ServerSentEvents)(self._limit)
        # White space before the first byte means nothing in any framing.
        self._start = b"" if start else self._start[:3]
        return self._parser, start


# Server-sent events ----------------------------------------------------------
# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

# Lines end in CR, LF or CRLF alone; str.splitlines knows too many line ends.
_line = re.compile(r"([^\r\n]*)(?:\r\n|\n|\r)")
_line_end = re.compile(r"[\r\n]")
_line_ends = re.compile(r"[ \t]*(?:\r\n|\n|\r){1,2}")
_OBJECT_LINE = ("data: {", "data:{")
_ignored_field = re.compile(r"[\w-]*(?::|\s*$)", re.ASCII)


class _ServerSentEvents:
    """One event after another; of their fields only ``data`` and ``event: error`` matter here.

    Beyond the standard, because servers do it:

    - a line that begins with ``{`` or ``[`` is JSON that lacks its ``data:``
      (Google reports errors that way, over several lines);
    - an event that lacks its blank line is complete when its line or the body ends;
    - one event may hold several JSON values, an array of them, or ``[DONE]``;
    - a line that cannot be a field (a proxy's HTML, say) is an error;
    - half a value in an event, and no event behind it, is a stream that ended
      early: some gateways put a blank line behind the half event of a cut upstream.

    An object on one line that has ``candidates`` is a chunk, and one that has an
    ``error`` is an error, whatever the event is called: they are passed on at once.
    Of any other the lines behind it may yet say ``event: error``, so it waits for
    the end of its event, or for the next ``data:``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = Held(limit + len("data: "))  # a line whose end is not here yet
        self._longest_line = self._held.room
        self._after_cr = False  # the last piece ended in CR: a LF may belong to it
        self._data = Held(limit + len(" \n"))  # the event's data lines so far
        self._waits = False  # the data is an object that only the event's name can change
        self._name = ""
        self._bare: Optional[JSONValues] = None  # JSON without data:, over several lines
        self._half: Optional[StreamDecodeError] = None  # what is wrong, unless the body ends here

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
                return  # the inside of a long line
            text, pos = self._held.take(), 0
        while pos < len(text):
            fresh = not (self._data.begun or self._name or self._bare or self._half)
            waits = False
            # The short way for nearly every event: an object on one line.  Nothing
            # behind its line can change it, so it need not wait for the blank line.
            while fresh and text.startswith(_OBJECT_LINE, pos):
                try:
                    value, end = scan_once(text, text.find("{", pos))
                except NO_VALUE:
                    break
                # To JSON a line end is white space, but here the line ends there.
                if text.find("\n", pos, end) >= 0 or text.find("\r", pos, end) >= 0:
                    break
                if end - pos > FLAT and nested_too_deeply(text, pos, end):
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
                # While a value of many MiB is with the caller, its text shall not be held.
                if pos == len(text):
                    text, pos = "", 0
                yield value
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
                f"this is no event stream, it has the line {line[:100]!r}; "
                "check that the base URL is that of a Gemini API"
            )

    def _too_long(self) -> Iterator[Any]:
        yield from self._dispatch()
        raise too_large(self._limit)

    def _refuse_half(self) -> None:
        if self._half is not None:
            raise self._half

    def _dispatch(self) -> Iterator[Any]:
        """The event is complete: yield the values in its data."""
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
    """What an event named "error" says, in the form that errors have elsewhere.

    Its data may be any text, and is JSON only if all of it is.
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
    return {"error": value or "an error event that says nothing"}
