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

- Any split of the same bytes gives the same values, and the same error behind them.
- A value is not kept waiting for the bytes behind it.
- Time is linear in the bytes, however they are split.  A value is parsed where
  it stands when all of it is in one piece; only one that lies across pieces is
  searched for its end first.
- No value is larger than the limit, and nothing larger is ever held.
- No value is nested deeper than `DEEPEST`, whatever the Python: what came in can
  be copied, shown and written by code that calls itself for each level.
"""

import codecs
import io
import json
import re
from itertools import accumulate
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from .errors import IncompleteStreamError, StreamDecodeError

_BOM = b"\xef\xbb\xbf"
_raw_decode = json.JSONDecoder().raw_decode
# JSON's white space, https://www.rfc-editor.org/rfc/rfc8259#section-2
_space = re.compile(r"[ \t\n\r]*")

# Levels of lists and objects in one value: copy.deepcopy() takes two calls for
# each, and Python gives 1,000 to all of a program.
DEEPEST = 200


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


class _Held:
    """Text of which more must come, and how much more there is room for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text: Optional[io.StringIO] = None
        self.begun = False

    @property
    def room(self) -> int:
        """How many characters more it may hold."""
        return self._limit if self._text is None else self._limit - self._text.tell()

    def add(self, text: str) -> None:
        """Hold this, too."""
        if self._text is None:
            self._text = io.StringIO()
            self.begun = True
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
        self._held = _Held(limit + len("data: "))  # a line whose end is not here yet
        self._longest_line = self._held.room
        self._after_cr = False  # the last piece ended in CR: a LF may belong to it
        self._data = _Held(limit + len(" \n"))  # the event's data lines so far
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
                    value, end = _raw_decode(text, text.find("{", pos))
                except (ValueError, RecursionError):
                    break
                # To JSON a line end is white space, but here the line ends there.
                if text.find("\n", pos, end) >= 0 or text.find("\r", pos, end) >= 0:
                    break
                if end - pos > _FLAT and nested_too_deeply(text, pos, end):
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
                raise _too_large(self._limit)
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
        raise _too_large(self._limit)

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
            raise _too_large(self._limit)
        if text and not text.startswith("[DONE]"):
            self._refuse_half()
        if self._name == "error":
            yield _as_error(text)
            return
        for value in _values_in(text):
            if value is _CUT:
                self._half = _bad_json(text)
            elif isinstance(value, list):
                yield from value
            else:
                yield value


def _as_error(text: str) -> Any:
    """What an event named "error" says, in the form that errors have elsewhere.

    Its data may be any text, and is JSON only if all of it is.
    """
    try:
        values = list(_values_in(text))
    except StreamDecodeError:
        values = []
    value = values[0] if len(values) == 1 and values[0] is not _CUT else text
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
_STEPS = {(_OUTSIDE, "["): _FIRST, (_FIRST, "]"): _OUTSIDE, (_AFTER, ","): _NEXT, (_AFTER, "]"): _OUTSIDE}
# The state in which a value begins to the one behind it; in no other can one begin.
_VALUES = {_OUTSIDE: _OUTSIDE, _FIRST: _AFTER, _NEXT: _AFTER}

_bracket_or_quote = re.compile(r'["{}\[\]]')
_scalar_end = re.compile(r"[,:\]}\s]")
# "1" is no value yet where it may become "1.5" or "1e5".
_SCALAR_ENDS = frozenset(",:]} \t\n\r")


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
        self._held = _Held(limit)  # a value whose end is not here yet,
        self._search = _Search("")  # and how far the search for it is

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
            pos = self._hold(text, 0)
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
                raise StreamDecodeError(f"bad JSON: {text[pos : pos + 40]!r} stands {self._state}")
            try:
                value, end = _raw_decode(text, pos)
            except (ValueError, RecursionError):
                end = -1
            if (
                end < 0
                or end - pos > self._limit
                or (end - pos > _FLAT and nested_too_deeply(text, pos, end))
                or (not isinstance(value, (dict, list, str)) and text[end : end + 1] not in _SCALAR_ENDS)
            ):
                # It is not all here, or something is wrong with it: its end will tell.
                self._search = _Search(text[pos])
                pos = self._hold(text, pos)
                if pos < 0:
                    return
                yield self._held_value()
                continue
            self._state = state_behind
            yield value
            pos = end

    def close(self) -> Iterator[Any]:
        """The text has ended.

        :raises IncompleteStreamError: where it ended inside a value or an array.
        :raises StreamDecodeError: where what it ended in could not have become a value.
        """
        if self._held.begun:
            text = self._held.take()
            if not self._search.could_go_on(text):
                raise _bad_json(text)
            raise IncompleteStreamError("the stream ended in the middle of a JSON value")
        if not self.idle:
            raise IncompleteStreamError("the stream ended in the middle of a JSON array")
        return iter(())

    def _hold(self, text: str, pos: int) -> int:
        """Hold what this piece has of the value; the index just past the value, or -1 if it goes on."""
        # One character more than there is room for, because only what follows ends a number.
        end = self._search.find_end(text, pos, pos + self._held.room + 1)
        stop = len(text) if end < 0 else end
        if stop - pos > self._held.room:
            raise _too_large(self._limit)
        self._held.add(text[pos:stop])
        return end

    def _held_value(self) -> Any:
        text = self._held.take()
        self._state = self._values[self._state]
        try:
            value, end = _raw_decode(text)
        except (ValueError, RecursionError):
            end = -1
        if end != len(text):
            raise _bad_json(text)
        return value


class _Search:
    """The search for the end of one value, through piece after piece.

    :param first: the first character of the value.
    """

    def __init__(self, first: str) -> None:
        self._scalar = first not in ("{", "[", '"')  # a number or a name: only what follows it ends it
        self._open: List[str] = []  # what closes the lists and objects that are open
        self._in_string = False
        self._escaped = False  # the piece ended in an odd number of backslashes

    def find_end(self, text: str, pos: int, stop: int) -> int:
        """Search on from ``pos`` to ``stop``: the index just past the value, or -1 if it goes on.

        :raises StreamDecodeError: where it is nested too deeply.
        """
        if self._scalar:
            match = _scalar_end.search(text, pos, stop)
            return match.start() if match else -1
        if self._escaped and pos < len(text):
            self._escaped = False
            pos += 1
        while True:
            if self._in_string:
                pos = self._string_end(text, pos, stop)
                if pos < 0:
                    return -1
                self._in_string = False
                if not self._open:
                    return pos  # the value is this string
            match = _bracket_or_quote.search(text, pos, stop)
            if match is None:
                return -1
            pos = match.end()
            what = match.group()
            if what == '"':
                self._in_string = True
            elif what in _CLOSING:
                self._open.append(_CLOSING[what])
                if len(self._open) > DEEPEST:
                    raise _too_deep()
            else:
                self._open.pop()
                if not self._open:
                    return pos

    def _string_end(self, text: str, pos: int, stop: int) -> int:
        while True:
            quote = text.find('"', pos, stop)
            before = text[pos : stop if quote < 0 else quote]
            escaped = (len(before) - len(before.rstrip("\\"))) % 2 == 1
            if quote < 0:
                self._escaped = escaped
                return -1
            if not escaped:
                return quote + 1
            pos = quote + 1

    def could_go_on(self, text: str) -> bool:
        """Whether the value so far, ``text``, is the beginning of any JSON: one of the ways to end it will do."""
        closing = "".join(reversed(self._open))
        for ending in _STRING_ENDINGS if self._in_string else _ENDINGS:
            whole = text + ending + closing
            try:
                if _raw_decode(whole)[1] == len(whole):
                    return True
            except (ValueError, RecursionError):
                pass
        return False


_CLOSING = {"{": "}", "[": "]"}
# Inside a string: the rest of an escape, the quote, and for a name its value.
_STRING_ENDINGS = [
    escape + '"' + value for escape in ("", "\\", "0", "00", "000", "0000") for value in ("", ":0")
]
# Elsewhere: a number or its digits, a value or another member, the rest of a name.
_ENDINGS = ["", "0", ":0", '"":0'] + [
    name[length:] for name in ("true", "false", "null") for length in range(1, len(name))
]


# Small change ----------------------------------------------------------------

_CUT: Any = object()  # stands for a value of which only the beginning is there


def _values_in(text: str) -> Iterator[Any]:
    """The JSON values in a text, up to [DONE]; `_CUT` where the text ends in the middle of one."""
    pos = 0
    while pos < len(text) and not text.startswith("[DONE]", pos):
        try:
            value, end = _raw_decode(text, pos)
        except (ValueError, RecursionError):
            end = -1
        if end < 0 or nested_too_deeply(text, pos, end):
            search = _Search(text[pos])
            stop = search.find_end(text, pos, len(text))
            rest = text[pos:] if stop < 0 else text[pos:stop]
            if stop >= 0 or not ("[DONE]".startswith(rest) or search.could_go_on(rest)):
                raise _bad_json(rest)
            value, end = _CUT, len(text)
        yield value
        pos = _end_of_space(text, end)


# A value of so many characters cannot be nested too deeply.
_FLAT = 2 * DEEPEST
_LARGE = 2**12  # characters from which it pays to count no further than needed
_bracket = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|([{}\[\]])', re.DOTALL)
_STEP_IN = {"{": 1, "[": 1, "}": -1, "]": -1}


def nested_too_deeply(text: str, pos: int, end: int) -> bool:
    """Whether the JSON there has more than `DEEPEST` levels; for nearly all a count of its brackets tells."""
    if end - pos < _LARGE:
        found = text.count("[", pos, end)
        # Each object takes five characters at least, {"":}, and only the innermost two.
        if found + (end - pos + 3) // 5 <= DEEPEST:
            return False
        found += text.count("{", pos, end)
    else:
        found = 0
        for bracket in "[{":
            at = text.find(bracket, pos, end)
            while at >= 0 and found <= DEEPEST:
                found += 1
                at = text.find(bracket, at + 1, end)
    if found <= DEEPEST:
        return False
    steps = map(_STEP_IN.__getitem__, "".join(_bracket.findall(text, pos, end)))
    return max(accumulate(steps), default=0) > DEEPEST


def _end_of_space(text: str, pos: int) -> int:
    return _space.match(text, pos).end()  # type: ignore[union-attr]  # it always matches


def _bad_json(text: str) -> StreamDecodeError:
    """What is wrong with a text that is no JSON value."""
    try:
        at = _raw_decode(text)[1]
        why = "there is more behind the value"
    except RecursionError:
        return _too_deep()
    except ValueError as error:
        at = getattr(error, "pos", 0)
        why = getattr(error, "msg", str(error))[:80]
    return StreamDecodeError(f"bad JSON: {why}, near {text[max(at - 20, 0) : at + 20]!r}")


def _too_deep() -> StreamDecodeError:
    return StreamDecodeError(f"the JSON is nested too deeply, more than {DEEPEST} levels")


def _too_large(limit: int) -> StreamDecodeError:
    return StreamDecodeError(
        f"an event is larger than {limit} bytes; set Endpoint(max_event_bytes=) to accept it"
    )
