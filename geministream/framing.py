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
from typing import Any, Dict, Iterator, Optional, Tuple, Union

from .errors import IncompleteStreamError, StreamDecodeError

_BOM = b"\xef\xbb\xbf"
_raw_decode = json.JSONDecoder().raw_decode
# JSON's white space, https://www.rfc-editor.org/rfc/rfc8259#section-2
_space = re.compile(r"[ \t\n\r]*")


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
        bad = error.object[error.start : error.start + 8]
        raise StreamDecodeError(f"bad UTF-8: {bad!r}")

    def close(self) -> Iterator[Any]:
        """The body has ended: yield what only its end completes.

        :raises IncompleteStreamError: where the body ended inside a value or an array.
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


class _Held:
    """Text of which more must come, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text: Optional[io.StringIO] = None
        self.begun = False

    def add(self, text: str) -> None:
        """Hold this, too; StreamDecodeError past the limit."""
        if self._text is None:
            self._text = io.StringIO()
            self.begun = True
        if self._text.tell() + len(text) > self._limit:
            raise _too_large(self._limit)
        self._text.write(text)

    def take(self) -> str:
        """All of it; then nothing is held any more."""
        text = "" if self._text is None else self._text.getvalue()
        self._text = None
        self.begun = False
        return text


# Server-sent events ----------------------------------------------------------
# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

# Lines end in CR, LF or CRLF alone; str.splitlines knows too many line ends.
_line = re.compile(r"([^\r\n]*)(\r\n|\n|\r)")
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
    - a line that cannot be a field (a proxy's HTML, say) is an error.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = _Held(limit + len("data: \r"))  # a line whose end is not here yet
        self._after_cr = False  # the last piece ended in CR: a LF may belong to it
        self._data = _Held(limit)  # the event's data lines so far
        self._name = ""
        self._bare: Optional[JSONValues] = None  # JSON without data:, over several lines

    def feed(self, text: str) -> Iterator[Any]:
        pos = 1 if self._after_cr and text[:1] == "\n" else 0
        self._after_cr = text[-1:] == "\r" if text else self._after_cr
        if self._held.begun and text:
            self._held.add(text[pos:])
            if "\n" not in text and "\r" not in text:
                return  # the inside of a long line
            text, pos = self._held.take(), 0
        while pos < len(text):
            fresh = not (self._data.begun or self._name or self._bare)
            # The short way for nearly every event: an object on one line.  Nothing
            # behind its line can change it, so it need not wait for the blank line.
            while fresh and text.startswith(_OBJECT_LINE, pos):
                try:
                    value, end = _raw_decode(text, text.find("{", pos))
                except (ValueError, RecursionError):
                    break
                # To JSON a line end is white space, but here the line ends there.
                if text.find("\n", pos, end) >= 0 or text.find("\r", pos, end) >= 0:
                    break
                if end - pos > self._limit:
                    break
                if text.startswith("\r\n\r\n", end):
                    pos = end + 4
                else:
                    line_ends = _line_ends.match(text, end)
                    if line_ends is None:
                        break
                    pos = line_ends.end()
                # While a value of many MiB is with the caller, its text shall not be held.
                if pos == len(text):
                    text, pos = "", 0
                yield value
            match = _line.match(text, pos)
            if match is None:
                if pos < len(text):
                    self._held.add(text[pos:])
                return
            pos = match.end()
            yield from self._take_line(*match.groups())

    def close(self) -> Iterator[Any]:
        line = self._held.take()
        if line:
            yield from self._take_line(line, "")
        try:
            yield from self._dispatch()
        except StreamDecodeError as error:
            raise IncompleteStreamError("the stream ended in the middle of an event") from error
        if self._bare is not None:
            yield from self._bare.close()

    def _take_line(self, line: str, end: str) -> Iterator[Any]:
        if self._bare is None and line.lstrip()[:1] in ("{", "["):
            yield from self._dispatch()
            self._bare = JSONValues(self._limit)
        if self._bare is not None:
            yield from self._bare.feed(line + end)
            if self._bare.idle:
                self._bare = None
        elif line.startswith("data:"):
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

    def _dispatch(self) -> Iterator[Any]:
        """The event is complete: yield the values in its data."""
        if not self._data.begun:
            return
        text = self._data.take().strip(" \t\r\n")
        if self._name == "error":
            yield _as_error(text)
            return
        pos = 0
        while pos < len(text) and not text.startswith("[DONE]", pos):
            value, pos = _parse(text, pos)
            if isinstance(value, list):
                yield from value
            else:
                yield value
            pos = _end_of_space(text, pos)


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
        self._held = _Held(limit)  # a value whose end is not here yet
        # Where the search for its end stands:
        self._depth = 0
        self._in_string = False
        self._escaped = False  # the piece ended in an odd number of backslashes
        self._scalar = False  # a number or a name: only what follows it ends it

    @property
    def idle(self) -> bool:
        """Nothing is under way: the text could end here."""
        return self._state is _OUTSIDE and not self._held.begun

    def feed(self, text: str) -> Iterator[Any]:
        """Yield the values that this piece of text completes.

        :raises StreamDecodeError: where the text is not JSON.
        """
        pos = 0
        if self._held.begun:
            if not text:
                return  # or it would end an escape
            pos = self._find_end(text, 0)
            self._held.add(text if pos < 0 else text[:pos])
            if pos < 0:
                return
            yield self._held_value()
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
                    self._held.add(text[pos:])
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
            what = "a JSON value" if self._held.begun else "a JSON array"
            raise IncompleteStreamError(f"the stream ended in the middle of {what}")
        return iter(())

    def _held_value(self) -> Any:
        text = self._held.take()
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
        bad = _too_deep()
    except ValueError as error:
        at = getattr(error, "pos", pos)
        bad = StreamDecodeError(
            f"bad JSON: {str(error)[:80]}, near {text[max(at - 20, 0) : at + 20]!r}"
        )
    raise bad  # out here, so that its context does not hold all of the text


def _too_deep() -> StreamDecodeError:
    return StreamDecodeError("the JSON is nested too deeply to be read")


def _too_large(limit: int) -> StreamDecodeError:
    return StreamDecodeError(
        f"an event is larger than {limit} bytes; set Endpoint(max_event_bytes=) to accept it"
    )
