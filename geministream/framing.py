"""From bytes to JSON values, as they arrive: no I/O, nothing of HTTP or of Gemini.

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

- Any split of the same bytes gives the same values.
- A value is not kept waiting for the bytes behind it.
- Time is linear in the bytes, however they are split.  A value is parsed where
  it stands when all of it is in one piece; only one that lies across pieces is
  searched for its end first.
- No value is larger than the limit, and nothing larger is ever held.
"""

import codecs
import io
import json
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from .errors import IncompleteStreamError, StreamDecodeError

_BOM = b"\xef\xbb\xbf"
_raw_decode = json.JSONDecoder().raw_decode
# JSON's white space, https://www.rfc-editor.org/rfc/rfc8259#section-2
_space = re.compile(r"[ \t\n\r]*")


class Framing:
    """The values of one body, whichever framing it comes in.

    :param max_event_bytes: the largest value that is accepted.

    ``feed`` and ``close`` are generators: exhaust one before calling the next.
    Values come out in order, and an error only after all values before it.
    """

    def __init__(self, max_event_bytes: int = 256 * 2**20) -> None:
        self._limit = max_event_bytes
        self._start = b""
        self._parser: Union[None, _ServerSentEvents, _JSONBody] = None

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the values that these bytes complete.

        :raises StreamDecodeError: where the bytes cannot be what they began as.
        """
        parser = self._parser
        if parser is None:
            parser, data = self._detect(data)
        return parser.feed(data) if parser is not None else iter(())

    def close(self) -> Iterator[Any]:
        """The body has ended: yield what only its end completes.

        :raises IncompleteStreamError: where the body ended inside a value or an array.
        """
        return self._parser.close() if self._parser is not None else iter(())

    def _detect(self, data: bytes) -> Any:
        self._start += data
        if _BOM.startswith(self._start[:3]) and len(self._start) < 3:
            return None, b""  # it may yet become a byte order mark
        start = self._start[3:] if self._start.startswith(_BOM) else self._start
        start = start.lstrip(b" \t\r\n")
        if start:
            kind = _JSONBody if start[:1] in b"[{" else _ServerSentEvents
            self._parser = kind(self._limit)
        # White space before the first byte means nothing in any framing.
        self._start = b"" if start else self._start[:3]
        return self._parser, start


# Server-sent events ----------------------------------------------------------
# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

_LINE_ENDS = (b"\n", b"\r")
_BLANK = (b"\r\n", b"\n", b"\r")
_LINE_ENDS_OF_TEXT = ("\r\n", "\n", "\r")
_IGNORED_FIELD = re.compile(rb"[\w-]*(?::|\s*$)")
_DATA = b"data:"


class _ServerSentEvents:
    """One event after another; of their fields only ``data`` and ``event: error`` matter here.

    Beyond the standard, because servers do it:

    - a line that begins with ``{`` or ``[`` is JSON that lacks its ``data:``
      (Google reports errors that way, over several lines);
    - an event that lacks its blank line is complete when its line or the body ends;
    - one event may hold several JSON values, an array of them, or ``[DONE]``;
    - a line that cannot be a field (a proxy's HTML, say) is an error.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial = bytearray()  # a line whose end is not here yet
        self._after_cr = False  # the last piece ended in CR: a LF may belong to it
        # The event so far: its first data line as it came, the others appended.
        self._data: Union[None, bytes, bytearray] = None
        self._name = b""
        self._bare: Optional[JSONValues] = None  # JSON without data:, over several lines

    def feed(self, data: bytes) -> Iterator[Any]:
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if self._partial and b"\n" not in data and b"\r" not in data:
            self._hold(data)  # the inside of a long line, which need not be copied twice
            return
        # bytes.splitlines knows CR, LF and CRLF alone; str.splitlines knows too many.
        lines: List[Union[bytes, bytearray]] = list(data.splitlines(keepends=True))
        if not lines:
            return
        self._after_cr = data[-1:] == b"\r"
        tail = b"" if lines[-1].endswith(_LINE_ENDS) else lines.pop()
        if self._partial and lines:
            self._partial += lines[0]
            lines[0], self._partial = self._partial, bytearray()
        # While a value of many MiB is with the caller, its bytes must not be
        # held by this list or a local variable: hence pop, and no for loop.
        lines.reverse()
        while lines:
            line = lines.pop()
            if line[:5] == _DATA and self._bare is None:
                value = None
                if self._data is None and not self._name and len(line) <= self._limit:
                    value = _whole_object(line)
                if value is None:
                    self._add_data(line)
                else:
                    line = b""
                    yield value
            elif line in _BLANK and self._bare is None:
                if self._data is not None:
                    yield from self._dispatch()
                self._name = b""
            else:
                yield from self._other_line(line)
        self._hold(tail)

    def close(self) -> Iterator[Any]:
        partial, self._partial = self._partial, bytearray()
        if partial[:5] == _DATA and self._bare is None:
            self._add_data(partial)
        elif partial:
            yield from self._other_line(partial)
        try:
            if self._data is not None:
                yield from self._dispatch()
        except StreamDecodeError as error:
            raise IncompleteStreamError("the stream ended in the middle of an event") from error
        if self._bare is not None:
            yield from self._bare.close()

    def _hold(self, data: Union[bytes, bytearray]) -> None:
        self._partial += data
        if len(self._partial) > self._limit + len("data: "):
            raise _too_large(self._limit)

    def _add_data(self, line: Union[bytes, bytearray]) -> None:
        if self._data is None:
            self._data = line
        else:
            if not isinstance(self._data, bytearray):
                self._data = bytearray(self._data)
            while self._data[-1:] in _LINE_ENDS:
                del self._data[-1:]
            self._data += b"\n" + line[5:]
        if len(self._data) > self._limit + len("data: \r\n"):
            raise _too_large(self._limit)

    def _dispatch(self) -> Iterator[Any]:
        """The event is complete: yield the values in its data."""
        assert self._data is not None
        text = _decode(self._data)
        self._data = None
        if self._name == b"error":
            yield _as_error(text[5:].strip())
            return
        pos = _end_of_space(text, 5)
        while pos < len(text) and not text.startswith("[DONE]", pos):
            value, pos = _parse(text, pos)
            if isinstance(value, list):
                yield from value
            else:
                yield value
            pos = _end_of_space(text, pos)

    def _other_line(self, line: Union[bytes, bytearray]) -> Iterator[Any]:
        if self._bare is None and line.lstrip()[:1] in (b"{", b"["):
            if self._data is not None:
                yield from self._dispatch()
            self._bare = JSONValues(self._limit)
        if self._bare is not None:
            yield from self._bare.feed(_decode(line))
            if self._bare.idle:
                self._bare = None
        elif line[:6] == b"event:":
            self._name = bytes(line[6:].strip())
        elif line[:1] != b":" and not _IGNORED_FIELD.match(line):
            if self._data is not None:
                yield from self._dispatch()
            raise StreamDecodeError(
                f"this is no event stream, it has the line {bytes(line[:100])!r}; "
                "check that the base URL is that of a Gemini API"
            )


def _whole_object(line: Union[bytes, bytearray]) -> Any:
    """The object that is all of this data line, or None where it is anything else.

    Nearly every event is one such line, and nothing behind it can change it: it
    need not wait for the blank line.
    """
    try:
        text = line.decode("utf-8")
        value, end = _raw_decode(text, 6 if text[5:6] == " " else 5)
    except (ValueError, RecursionError):
        return None  # the event may go on, or is bad: `_dispatch` will tell
    return value if type(value) is dict and text[end:] in _LINE_ENDS_OF_TEXT else None


def _as_error(text: str) -> Any:
    """What an event named "error" says, in the form that errors have elsewhere."""
    try:
        value, _ = _parse(text, 0)
    except StreamDecodeError:
        value = text  # its data may be any text
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and value.get("error"):
        return value
    return {"error": value or "an error event that says nothing"}


# JSON ------------------------------------------------------------------------


class _JSONBody:
    """JSON values in UTF-8."""

    def __init__(self, limit: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._values = JSONValues(limit)

    def feed(self, data: bytes) -> Iterator[Any]:
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError as error:
            yield from self._values.feed(error.object[: error.start].decode("utf-8"))
            raise _bad_utf8(error) from None
        yield from self._values.feed(text)

    def close(self) -> Iterator[Any]:
        return self._values.close()


# Where the text stands between two values.
_OUTSIDE = "outside any array"
_FIRST = "at the start of an array"
_NEXT = "after a comma"
_AFTER = "after an element"

# (state, character) to the next state; every other character begins a value.
_STEPS = {
    (_OUTSIDE, "["): _FIRST,
    (_FIRST, "]"): _OUTSIDE,
    (_AFTER, ","): _NEXT,
    (_AFTER, "]"): _OUTSIDE,
}
# The state in which a value begins to the one behind it; in no other can one begin.
_VALUES = {_OUTSIDE: _OUTSIDE, _FIRST: _AFTER, _NEXT: _AFTER}

_bracket_or_quote = re.compile(r'["{}\[\]]')
_scalar_end = re.compile(r"[,\]}\s]")
# "1" is no value yet where it may become "1.5" or "1e5".
_SCALAR_ENDS = frozenset(",]} \t\n\r")
_DEEPEST = 20000  # no json of CPython 3.8 to 3.13 goes deeper than 10,000: not worth the search


class JSONValues:
    """The values of JSON text that comes in pieces: elements of arrays, or objects in a row.

    :param limit: the largest value that is accepted, in characters.
    """

    # What may stand between values; a subclass may know more than arrays.
    _steps: Dict[Tuple[str, str], str] = _STEPS
    _values: Dict[str, str] = _VALUES

    def __init__(self, limit: int = 256 * 2**20) -> None:
        self._limit = limit
        self._state = _OUTSIDE
        self._held: Optional[io.StringIO] = None  # a value whose end is not here yet
        # Where the search for its end stands:
        self._depth = 0
        self._in_string = False
        self._escaped = False  # the piece ended in an odd number of backslashes
        self._scalar = False  # a number or a name: only what follows it ends it

    @property
    def idle(self) -> bool:
        """Nothing is under way: the text could end here."""
        return self._state is _OUTSIDE and self._held is None

    def feed(self, text: str) -> Iterator[Any]:
        """Yield the values that this piece of text completes.

        :raises StreamDecodeError: where the text is not JSON.
        """
        pos = 0
        if self._held is not None:
            if not text:
                return  # or it would end an escape
            pos = self._find_end(text, 0)
            if pos < 0:
                self._hold(text)
                return
            self._hold(text[:pos])
            yield self._release()
        while True:
            pos = _end_of_space(text, pos)
            if pos == len(text):
                return
            step = self._steps.get((self._state, text[pos]))
            if step is not None:
                self._state = step
                pos += 1
                continue
            state_behind = self._values.get(self._state)
            if state_behind is None or (self._state is _OUTSIDE and text[pos] != "{"):
                raise StreamDecodeError(
                    f"bad JSON: {text[pos : pos + 40]!r} stands {self._state}"
                )
            try:
                value, end = _parse(text, pos)
            except StreamDecodeError:
                end = -1  # it is bad or not all here: its end will tell
            if end < 0 or (not isinstance(value, (dict, list, str)) and text[end : end + 1] not in _SCALAR_ENDS):
                self._scalar = text[pos] not in '{["'
                end = self._find_end(text, pos)
                if end < 0:
                    self._hold(text[pos:])
                    return
                value, end = _parse(text, pos)
            elif end - pos > self._limit:
                raise _too_large(self._limit)
            self._state = state_behind
            yield value
            pos = end

    def close(self) -> Iterator[Any]:
        """The text has ended.

        :raises IncompleteStreamError: where it ended inside a value or an array.
        """
        if not self.idle:
            what = "a JSON array" if self._held is None else "a JSON value"
            raise IncompleteStreamError(f"the stream ended in the middle of {what}")
        return iter(())

    def _hold(self, text: str) -> None:
        if self._held is None:
            self._held = io.StringIO()
        if self._held.tell() + len(text) > self._limit:
            raise _too_large(self._limit)
        self._held.write(text)

    def _release(self) -> Any:
        assert self._held is not None
        text = self._held.getvalue()
        self._held = None
        self._state = self._values[self._state]
        value, end = _parse(text, 0)
        if end != len(text):
            raise StreamDecodeError(f"bad JSON: {text[end : end + 40]!r} stands after a value")
        return value

    def _find_end(self, text: str, pos: int) -> int:
        """Search on from ``pos``: the index just past the value, or -1 if it goes on."""
        if self._scalar:
            match = _scalar_end.search(text, pos)
            return match.start() if match else -1
        if self._escaped and pos < len(text):
            self._escaped = False
            pos += 1
        while True:
            if self._in_string:
                pos = self._string_end(text, pos)
                if pos < 0:
                    return -1
                self._in_string = False
                if self._depth == 0:
                    return pos  # the value is this string
            match = _bracket_or_quote.search(text, pos)
            if match is None:
                return -1
            pos = match.end()
            if match.group() == '"':
                self._in_string = True
            elif match.group() in "{[":
                self._depth += 1
                if self._depth > _DEEPEST:
                    raise _too_deep()
            else:
                self._depth -= 1
                if self._depth == 0:
                    return pos

    def _string_end(self, text: str, pos: int) -> int:
        while True:
            quote = text.find('"', pos)
            stop = quote if quote >= 0 else len(text)
            before = text[pos:stop]
            escaped = (len(before) - len(before.rstrip("\\"))) % 2 == 1
            if quote < 0:
                self._escaped = escaped
                return -1
            if not escaped:
                return quote + 1
            pos = quote + 1


# Small change ----------------------------------------------------------------


def _end_of_space(text: str, pos: int) -> int:
    return _space.match(text, pos).end()  # type: ignore[union-attr]  # it always matches


def _parse(text: str, pos: int) -> Tuple[Any, int]:
    """The JSON value at ``pos``, and the index behind it."""
    try:
        return _raw_decode(text, pos)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        at = getattr(error, "pos", pos)
        raise StreamDecodeError(
            f"bad JSON: {str(error)[:80]}, near {text[max(at - 20, 0) : at + 20]!r}"
        ) from None


def _decode(data: Union[bytes, bytearray]) -> str:
    try:
        # A sequence that the end of the body cut is left out: the JSON is cut, then.
        return codecs.utf_8_decode(data, "strict", False)[0]
    except UnicodeDecodeError as error:
        raise _bad_utf8(error) from None


def _bad_utf8(error: UnicodeDecodeError) -> StreamDecodeError:
    return StreamDecodeError(f"bad UTF-8: {error.object[error.start : error.start + 8]!r}")


def _too_deep() -> StreamDecodeError:
    return StreamDecodeError("the JSON is nested too deeply to be read")


def _too_large(limit: int) -> StreamDecodeError:
    return StreamDecodeError(
        f"an event is larger than {limit} bytes; set Endpoint(max_event_bytes=) to accept it"
    )
