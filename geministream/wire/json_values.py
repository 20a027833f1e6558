"""JSON values in text that arrives in pieces, each as soon as its last character has arrived.

`JSONValues` parses the elements of arrays, and objects one after another.  A table of states
defines what may come between two values; `structured` replaces it to parse the elements of an
array inside an object.

A value that is complete in one piece is parsed in place.  A value over several pieces is kept
until the search has found its end, so that the time is linear for any split.
"""

import re
from typing import Any, Iterator, List, Mapping, Tuple

from ..depth import DEEPEST, FLAT, is_deep_json, raw_decode, scan_once
from ..errors import IncompleteStreamError, StreamDecodeError

NO_VALUE = (ValueError, StopIteration, RecursionError)  # what scan_once() raises
# JSON's white space, https://www.rfc-editor.org/rfc/rfc8259#section-2
_space = re.compile(r"[ \t\n\r]*")

# The states between two values, in the words of an error.
OUTSIDE = "outside any array"
FIRST = "at the start of an array"
NEXT = "after a comma"
AFTER = "after an element"

Steps = Mapping[Tuple[str, str], str]

# (state, character) to the next state; any other character starts a value.
STEPS = {(OUTSIDE, "["): FIRST, (FIRST, "]"): OUTSIDE, (AFTER, ","): NEXT, (AFTER, "]"): OUTSIDE}
# The states in which a value may start, each with the state after the value.
VALUES = {OUTSIDE: OUTSIDE, FIRST: AFTER, NEXT: AFTER}

_bracket_or_quote = re.compile(r'["{}\[\]]')
_scalar_end = re.compile(r"[,:\]}\s]")
# "1" is not complete before one of these, since it may become "1.5" or "1e5".
_SCALAR_ENDS = frozenset(",:]} \t\n\r")


class JSONValues:
    """Parses JSON text that arrives in pieces: elements of arrays, or consecutive objects.

    :param limit: the size of the largest value that is accepted, in characters.
    :param steps: the table of characters between values, such as `STEPS` for arrays.
    :param values: the table of states in which a value may start, such as `VALUES`.
    :ivar state: the state of the parser; when a value is yielded, the state after it.
    """

    def __init__(
        self, limit: int = 256 * 2**20, steps: Steps = STEPS, values: Mapping[str, str] = VALUES
    ) -> None:
        self.state = OUTSIDE
        self._limit = limit
        self._steps = steps
        self._values = values
        self._held = Held(limit)  # an incomplete value
        self._search = _Search("")  # the search for its end

    @property
    def idle(self) -> bool:
        """Whether the text could end here."""
        return self.state is OUTSIDE and not self._held.begun

    def feed(self, text: str) -> Iterator[Any]:
        """Yield the values that this piece of text completes.

        :raises StreamDecodeError: if the text is not valid JSON.
        """
        pos = 0
        if self._held.begun:
            if not text:
                return  # an empty piece would end an escape
            pos = self._hold(text, 0)
            if pos < 0:
                return
            yield self._held_value()
        while True:
            pos = _end_of_space(text, pos)
            if pos == len(text):
                return
            step = self._steps.get((self.state, text[pos]))
            if step is not None:
                self.state = step
                pos += 1
                continue
            state_behind = self._values.get(self.state)
            if state_behind is None or (self.state is OUTSIDE and text[pos] != "{"):
                raise StreamDecodeError(f"bad JSON: unexpected {text[pos : pos + 40]!r} {self.state}")
            try:
                value, end = scan_once(text, pos)
            except NO_VALUE:
                end = -1
            if (
                end < 0
                or end - pos > self._limit
                or (end - pos > FLAT and is_deep_json(text, pos, end))
                or (not isinstance(value, (dict, list, str)) and text[end : end + 1] not in _SCALAR_ENDS)
            ):
                # The value is incomplete or not valid, which is known at its end.
                self._search = _Search(text[pos])
                pos = self._hold(text, pos)
                if pos < 0:
                    return
                yield self._held_value()
                continue
            self.state = state_behind
            yield value
            pos = end

    def close(self) -> Iterator[Any]:
        """Check that the text is complete at its end.

        :raises IncompleteStreamError: if it ended inside a value or an array.
        :raises StreamDecodeError: if the incomplete value at its end is not valid JSON.
        """
        if self._held.begun:
            text = self._held.take()
            if not self._search.could_go_on(text):
                raise bad_json(text)
            raise IncompleteStreamError("the stream ended in the middle of a JSON value")
        if not self.idle:
            raise IncompleteStreamError("the stream ended in the middle of a JSON array")
        return iter(())

    def _hold(self, text: str, pos: int) -> int:
        """Keep this piece's part of the value; return the index after the value, or -1 if it continues."""
        # Search one character beyond the limit, because a number ends at the character after it.
        end = self._search.find_end(text, pos, pos + self._held.room + 1)
        stop = len(text) if end < 0 else end
        if stop - pos > self._held.room:
            raise too_large(self._limit)
        self._held.add(text[pos:stop])
        return end

    def _held_value(self) -> Any:
        text = self._held.take()
        self.state = self._values[self.state]
        try:
            value, end = raw_decode(text)
        except (ValueError, RecursionError):
            end = -1
        if end != len(text):
            raise bad_json(text)
        return value


class Held:
    """Incomplete text with a maximum length.

    It is kept in UTF-8: a bytearray grows in place, while an io.StringIO copies the text at the end.
    """

    def __init__(self, limit: int) -> None:
        self.room = self._limit = limit  # the number of characters that can be added
        self._data = bytearray()
        self.begun = False

    def add(self, text: str) -> None:
        """Append text."""
        self._data += text.encode("utf-8", "surrogatepass")  # a model may say half a pair
        self.room -= len(text)
        self.begun = True

    def take(self) -> str:
        """Return the text and clear it."""
        text = self._data.decode("utf-8", "surrogatepass")
        self._data = bytearray()
        self.room = self._limit
        self.begun = False
        return text


class _Search:
    """The search for the end of one value, over several pieces.

    :param first: the first character of the value.
    """

    def __init__(self, first: str) -> None:
        self._scalar = first not in ("{", "[", '"')  # a number or a name ends at the character after it
        self._open: List[str] = []  # the closing brackets of the open lists and objects
        self._in_string = False
        self._escaped = False  # the piece ended with an odd number of backslashes

    def find_end(self, text: str, pos: int, stop: int) -> int:
        """Search from ``pos`` to ``stop``; return the index after the value, or -1 if it continues.

        :raises StreamDecodeError: if the value is nested too deeply.
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
        """Whether any ending makes ``text``, the incomplete value, valid JSON."""
        closing = "".join(reversed(self._open))
        for ending in _STRING_ENDINGS if self._in_string else _ENDINGS:
            whole = text + ending + closing
            try:
                if raw_decode(whole)[1] == len(whole):
                    return True
            except (ValueError, RecursionError):
                pass
        return False


_CLOSING = {"{": "}", "[": "]"}
# The endings inside a string: the rest of an escape, the quote, and after a name its value.
_STRING_ENDINGS = [
    escape + '"' + value for escape in ("", "\\", "0", "00", "000", "0000") for value in ("", ":0")
]
# The other endings: a digit, a value, another member, the rest of true, false or null.
_ENDINGS = ["", "0", ":0", '"":0'] + [
    name[length:] for name in ("true", "false", "null") for length in range(1, len(name))
]


# Complete texts, and errors ---------------------------------------------------------

CUT: Any = object()  # the result for an incomplete value


def values_in(text: str) -> Iterator[Any]:
    """Yield the JSON values in a text, up to [DONE]; yield `CUT` if the last one is incomplete."""
    pos = 0
    while pos < len(text) and not text.startswith("[DONE]", pos):
        try:
            value, end = raw_decode(text, pos)
        except (ValueError, RecursionError):
            end = -1
        if end < 0 or is_deep_json(text, pos, end):
            search = _Search(text[pos])
            stop = search.find_end(text, pos, len(text))
            rest = text[pos:] if stop < 0 else text[pos:stop]
            if stop >= 0 or not ("[DONE]".startswith(rest) or search.could_go_on(rest)):
                raise bad_json(rest)
            value, end = CUT, len(text)
        yield value
        pos = _end_of_space(text, end)


def _end_of_space(text: str, pos: int) -> int:
    return _space.match(text, pos).end()  # type: ignore[union-attr]  # it always matches


def bad_json(text: str) -> StreamDecodeError:
    """Return the error for a text that is not a valid JSON value."""
    try:
        at = raw_decode(text)[1]
        why = "extra data after the value"
    except RecursionError:
        return _too_deep()
    except ValueError as error:
        at = getattr(error, "pos", 0)
        why = getattr(error, "msg", str(error))[:80]
    return StreamDecodeError(f"bad JSON: {why}, near {text[max(at - 20, 0) : at + 20]!r}")


def _too_deep() -> StreamDecodeError:
    return StreamDecodeError(f"the JSON is nested too deeply, more than {DEEPEST} levels")


def too_large(limit: int) -> StreamDecodeError:
    return StreamDecodeError(
        f"an event is larger than {limit} bytes; set Endpoint(max_event_bytes=) to accept it"
    )
