"""Structured answers: a schema for the request, and typed objects out of the answer's JSON."""

import json
from collections.abc import Generator
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Type, TypeVar, Union, overload

from .errors import ConfigurationError, GeministreamError, IncompleteStreamError, StreamDecodeError
from .tools.annotations import kind_of
from .tools.schema import Kind, schema_of
from .tools.values import Mismatch, below
from .types import FinishReason, GenerateContentResponse
from .types.codec import shorten
from .wire.json_values import AFTER, DEEPEST, FIRST, NEXT, OUTSIDE, JSONValues, nested_too_deeply

T = TypeVar("T")


def json_schema(type: Any) -> Dict[str, Any]:
    """The JSON Schema of a type, in the subset that Gemini takes.

    For ``GenerationConfig(response_mime_type="application/json", response_json_schema=…)``.

    :param type: a dataclass, a TypedDict, a List, Dict, Tuple, Literal, Enum,
        Optional or Union of such, a Pydantic model (any class with ``model_json_schema``
        and ``model_validate_json``), or str, int, float, bool, None or Any.
    :raises ConfigurationError: for a type that cannot be described, with the field's name.

    >>> json_schema(List[int])
    {'type': 'array', 'items': {'type': 'integer'}}
    """
    return schema_of(kind_of(type, "json_schema()"))


# A type checker has no word for "the type that this annotation means": what is
# no class (a Union, say) comes back as Any.
@overload
def parse(response: Union[GenerateContentResponse, str], type: Type[T]) -> T: ...
@overload
def parse(response: Union[GenerateContentResponse, str], type: Any) -> Any: ...


def parse(response: Union[GenerateContentResponse, str], type: Any) -> Any:
    """Make the typed object of a whole answer in JSON.  It never guesses.

    The text must be one JSON value that has exactly the type's form: no text
    around it, no Markdown fence, no field missing or unknown, no ``"3"`` for 3.

    :param response: a whole answer, as `collect` returns it, or its text.
    :param type: as for `json_schema`.
    :raises BlockedError: where the prompt or the answer was blocked.
    :raises IncompleteStreamError: where the answer was cut off (MAX_TOKENS).
    :raises StreamDecodeError: where the text is not such a value; the message
        shows the text and the place, such as ``$.items[2].amount``.  As with
        every stream that does not decode, what was meant cannot be told.  All
        three have the response as ``partial``.
    :raises ConfigurationError: for a type that has no JSON form.

    >>> parse('[1, 2]', List[int])
    [1, 2]
    """
    kind = kind_of(type, "parse()")
    if isinstance(response, str):
        return _parsed(response, kind, "")
    if not isinstance(response, GenerateContentResponse):
        raise ConfigurationError(
            f"parse() takes a whole answer or its text, not {shorten(response)}; "
            "collect() makes one of chunks"
        )
    try:
        response.raise_for_block()
        reason = response.finish_reason
        if reason in _CUT_OFF:
            raise _cut_off(f"it has {len(response.text)} characters", reason, _token(response))
        ended = f" (it ended with {reason})" if reason not in (None, FinishReason.STOP) else ""
        return _parsed(response.text, kind, ended)
    except GeministreamError as error:
        error.partial = response
        raise


Chunks = Iterable[Union[GenerateContentResponse, str]]


@overload
def iter_items(chunks: Chunks, type: Type[T], key: Optional[str] = None) -> Iterator[T]: ...
@overload
def iter_items(chunks: Chunks, type: Any = None, key: Optional[str] = None) -> Iterator[Any]: ...


def iter_items(chunks: Chunks, type: Any = None, key: Optional[str] = None) -> Iterator[Any]:
    """Yield the elements of a JSON array while the answer is still streaming.

    Each element comes as soon as it is whole, and the stream is read to its end.
    Leaving the loop early, or closing the generator, closes the stream too.

    :param chunks: what `stream_generate` or ``Chat.send`` returns, or any iterable
        of chunks or texts.
    :param type: of an element, as for `json_schema`; None leaves the elements as
        ``json.loads`` makes them.
    :param key: where the answer is an object: the name of the array in it.
    :returns: a generator.
    :raises ConfigurationError: at the call, for a type that has no JSON form.
    :raises BlockedError, IncompleteStreamError, StreamDecodeError: as `parse`, and
        what the stream raises; always after every element that was whole.

    >>> list(iter_items(['{"items": [1', '0, 2', '0]}'], int, key="items"))
    [10, 20]
    """
    kind = Kind() if type is None else kind_of(type, "iter_items()")
    return _items(chunks, kind, key)


def _items(chunks: Chunks, kind: Kind, key: Optional[str]) -> Iterator[Any]:
    values = _Items(key)
    path = "$" if key is None else below("$", key)
    count = 0
    began = False
    reason = token = None
    try:
        for chunk in chunks:
            text = chunk if isinstance(chunk, str) else chunk.text
            if not began and text.strip():
                began = True
                _check_beginning(text.lstrip(), key)
            for value in values.feed(text):
                try:
                    item = kind.read(value, f"{path}[{count}]")
                except Mismatch as problem:
                    raise StreamDecodeError(
                        f"{problem}; the element is {_shown(json.dumps(value))}"
                    ) from problem
                except RecursionError:
                    raise StreamDecodeError(f"{path}[{count}] is nested too deeply to be read") from None
                yield item
                count += 1
            if not isinstance(chunk, str):
                chunk.raise_for_block()
                reason = chunk.finish_reason or reason
                token = _token(chunk) or token
    finally:
        if isinstance(chunks, Generator):
            chunks.close()  # or its connection would stay open for as long as the caller has it
    if not began:
        raise StreamDecodeError(f"the answer has no text{f' (it ended with {reason})' if reason else ''}")
    if not values.idle:
        raise _cut_off(f"{count} elements of its array were whole", reason, token)
    if not values.found:
        raise StreamDecodeError(f"the answer is an object without the key {key!r}")


def _check_beginning(text: str, key: Optional[str]) -> None:
    """Refuse at once what cannot be the array, or the object that holds it."""
    wanted = "[" if key is None else "{"
    if text[0] == wanted:
        return
    if text[0] == "{":
        hint = "an object; name the key of its array with key="
    elif text[0] == "[":
        hint = "an array itself; leave key= out"
    else:
        hint = _no_json(text)
    raise StreamDecodeError(f"the answer is {hint}; it begins with {text[:80]!r}")


# The array in an object ------------------------------------------------------------

_END = "behind the end of the answer"
_FIRST_NAME = "where a name or the end of the object must be"
_NEXT_NAME = "where a name must be"
_NAMED = "behind a name"
_FOUND = "behind the name of the array"
_MEMBER = "where a member's value must be"
_ARRAY = "where the array must be"
_BEHIND_MEMBER = "behind a member"

_ELEMENT_STEPS = {(OUTSIDE, "["): FIRST, (FIRST, "]"): _END, (AFTER, ","): NEXT, (AFTER, "]"): _END}
_ELEMENTS = {FIRST: AFTER, NEXT: AFTER}

_MEMBER_STEPS = {
    (OUTSIDE, "{"): _FIRST_NAME,
    (_FIRST_NAME, "}"): _END,
    (_NAMED, ":"): _MEMBER,
    (_FOUND, ":"): _ARRAY,
    (_ARRAY, "["): FIRST,
    (FIRST, "]"): _BEHIND_MEMBER,
    (AFTER, ","): NEXT,
    (AFTER, "]"): _BEHIND_MEMBER,
    (_BEHIND_MEMBER, ","): _NEXT_NAME,
    (_BEHIND_MEMBER, "}"): _END,
}
_MEMBERS = {**_ELEMENTS, _FIRST_NAME: _NAMED, _NEXT_NAME: _NAMED, _MEMBER: _BEHIND_MEMBER}


class _Items(JSONValues):
    """The elements of one array: the whole text, or a member of the object that is the whole text.

    The framing's parser with other tables: a body may hold several arrays, here
    nothing follows the first.

    :ivar found: whether the array was there.
    """

    def __init__(self, key: Optional[str]) -> None:
        if key is None:
            super().__init__(steps=_ELEMENT_STEPS, values=_ELEMENTS)
        else:
            super().__init__(steps=_MEMBER_STEPS, values=_MEMBERS)
        self._key = key
        self.found = key is None

    @property
    def idle(self) -> bool:
        """All of it has come."""
        return self.state is _END

    def feed(self, text: str) -> Iterator[Any]:
        for value in super().feed(text):
            # The parser is already in the state behind this value.
            if self.state is _NAMED:
                self._look_at_name(value)
            elif self.state is not _BEHIND_MEMBER:  # of other members only the end matters
                yield value

    def _look_at_name(self, name: Any) -> None:
        if not isinstance(name, str):
            raise StreamDecodeError(f"bad JSON: {shorten(name)} stands where a name must be")
        if name == self._key:
            if self.found:
                raise StreamDecodeError(f"the answer has the key {name!r} twice")
            self.found = True
            self.state = _FOUND


# JSON, strictly --------------------------------------------------------------------


def _parsed(text: str, kind: Kind, ended: str) -> Any:
    if not text.strip():
        raise StreamDecodeError(f"the answer has no text{ended}")
    if nested_too_deeply(text, 0, len(text)):
        raise StreamDecodeError(f"the answer is nested too deeply, more than {DEEPEST} levels{ended}")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise StreamDecodeError(f"the answer is nested too deeply to be read{ended}") from None
    except ValueError as error:
        place = getattr(error, "pos", None)
        near = f", near {text[max(place - 40, 0) : place + 40]!r}" if place else ""
        raise StreamDecodeError(
            f"the answer is {_no_json(text.lstrip())}{ended}: {error}{near}; {_told(text)}"
        ) from None
    try:
        return kind.read(value, "$")
    except Mismatch as problem:
        raise StreamDecodeError(f"{problem}{ended}; {_told(text)}") from problem
    except RecursionError:
        raise StreamDecodeError(f"the answer is nested too deeply to be read{ended}") from None


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice!r} twice")
    return made


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _no_json(text: str) -> str:
    if text.startswith("```"):
        return (
            "JSON inside a Markdown fence, at best; "
            'ask for JSON alone with response_mime_type="application/json"'
        )
    return "no JSON"


def _told(text: str) -> str:
    return f"the answer is {_shown(text)}"


def _shown(text: str) -> str:
    return shorten(text, 300)


# The ends of an answer that is not whole.
_CUT_OFF = (FinishReason.MAX_TOKENS, FinishReason.CONTINUATION)


def _cut_off(how_far: str, reason: Optional[str], token: Optional[str]) -> IncompleteStreamError:
    why = "it ended early"
    if reason == FinishReason.MAX_TOKENS:
        why = "MAX_TOKENS; raise max_output_tokens, or ask for less"
    elif reason:
        why = str(reason)
    error = IncompleteStreamError(f"the answer was cut off ({why}): {how_far}", continuation_token=token)
    error.retryable = False  # the same request would end at the same place
    return error


def _token(response: GenerateContentResponse) -> Optional[str]:
    """The token from which the server can go on with the first candidate."""
    candidates = response.candidates
    token = getattr(candidates[0], "continuation_token", None) if candidates else None
    return token if isinstance(token, str) else None
