"""Structured answers: a schema for the request, and typed objects from the answer's JSON."""

import json
from collections.abc import Generator
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Type, TypeVar, Union, overload

from .depth import DEEPEST, is_deep_json
from .errors import ConfigurationError, GeministreamError, IncompleteStreamError, StreamDecodeError
from .tools.annotations import kind_of
from .tools.schema import Kind, schema_of
from .tools.values import Mismatch, below
from .types import FinishReason, GenerateContentResponse
from .types.codec import shorten
from .wire.json_values import AFTER, FIRST, NEXT, OUTSIDE, JSONValues

T = TypeVar("T")


def json_schema(type: Any) -> Dict[str, Any]:
    """Return the JSON Schema of a type, in the subset that Gemini accepts.

    Use it in ``GenerationConfig(response_mime_type="application/json", response_json_schema=…)``.

    :param type: a dataclass, a TypedDict, a List, Dict, Tuple, Literal, Enum, Optional or
        Union of these, a Pydantic model (any class with ``model_json_schema`` and
        ``model_validate_json``), or str, int, float, bool, None or Any.
    :raises ConfigurationError: if the type has no JSON Schema; the error names the field.

    >>> json_schema(List[int])
    {'type': 'array', 'items': {'type': 'integer'}}
    """
    return schema_of(kind_of(type, "json_schema()"))


# A type checker cannot express "the type that this annotation means", so the result is Any
# unless the type is a class.
@overload
def parse(response: Union[GenerateContentResponse, str], type: Type[T]) -> T: ...
@overload
def parse(response: Union[GenerateContentResponse, str], type: Any) -> Any: ...


def parse(response: Union[GenerateContentResponse, str], type: Any) -> Any:
    """Parse a complete answer in JSON and return an object of the type.

    The text must be exactly one JSON value of the type: without text around it, a Markdown
    fence, missing or unknown fields, or ``"3"`` instead of 3.

    :param response: a complete answer, as `collect` returns it, or its text.
    :param type: as for `json_schema`.
    :raises BlockedError: if the prompt or the answer was blocked.
    :raises IncompleteStreamError: if the answer was cut off (MAX_TOKENS).
    :raises StreamDecodeError: if the text is not a value of the type; the error shows the
        text and the place, such as ``$.items[2].amount``.  All three errors have the
        response as ``partial``.
    :raises ConfigurationError: if the type has no JSON Schema.

    >>> parse('[1, 2]', List[int])
    [1, 2]
    """
    kind = kind_of(type, "parse()")
    if isinstance(response, str):
        return _parsed(response, kind, "")
    if not isinstance(response, GenerateContentResponse):
        raise ConfigurationError(
            f"response must be a complete answer or its text, got {shorten(response)}; "
            "call collect() to merge chunks"
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

    Each element is yielded as soon as it is complete.  Leaving the loop early, or closing
    the generator, closes the stream too.

    :param chunks: the return value of `stream_generate` or ``Chat.send``, or any iterable of
        chunks or strings.
    :param type: the type of an element, as for `json_schema`; default: as ``json.loads``
        returns it.
    :param key: the name of the array's field, if the answer is an object.
    :returns: a generator.
    :raises ConfigurationError: at the call, if the type has no JSON Schema.
    :raises BlockedError, IncompleteStreamError, StreamDecodeError: as `parse`, after all
        elements that were complete.
    :raises GeministreamError: what the stream raises, after all elements that were complete.

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
            chunks.close()  # or its connection would stay open while the caller refers to it
    if not began:
        raise StreamDecodeError(f"the answer has no text{f' (it ended with {reason})' if reason else ''}")
    if not values.idle:
        raise _cut_off(f"{count} elements of its array were complete", reason, token)
    if not values.found:
        raise StreamDecodeError(f"the answer is an object without the key {key!r}; check key= and the schema")


def _check_beginning(text: str, key: Optional[str]) -> None:
    """Raise StreamDecodeError if the answer starts with neither the array nor its object."""
    wanted = "[" if key is None else "{"
    if text[0] == wanted:
        return
    if text[0] == "{":
        hint = "an object; pass the name of its array as key="
    elif text[0] == "[":
        hint = "an array itself; omit key="
    else:
        hint = _not_json(text, "a JSON array" if key is None else "a JSON object")
    raise StreamDecodeError(f"the answer is {hint}; it starts with {text[:80]!r}")


# The array in an object ------------------------------------------------------------

# The states, in the words of an error: "bad JSON: unexpected '…' after a name".
_END = "after the end of the answer"
_FIRST_NAME = "where a name or the end of the object must be"
_NEXT_NAME = "where a name must be"
_NAMED = "after a name"
_FOUND = "after the name of the array"
_MEMBER = "where a member's value must be"
_ARRAY = "where the array must be"
_BEHIND_MEMBER = "after a member"

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
    """The elements of one array, which is the entire text or a member of the text's object.

    It is the framing's parser with other tables: a body may contain several arrays, but
    nothing may follow this one.

    :ivar found: whether the array has begun.
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
        """Whether the text is complete."""
        return self.state is _END

    def feed(self, text: str) -> Iterator[Any]:
        for value in super().feed(text):
            # The parser is already in the state after this value.
            if self.state is _NAMED:
                self._look_at_name(value)
            elif self.state is not _BEHIND_MEMBER:  # skip the values of other members
                yield value

    def _look_at_name(self, name: Any) -> None:
        if not isinstance(name, str):
            raise StreamDecodeError(f"bad JSON: unexpected {shorten(name)} where a name must be")
        if name == self._key:
            if self.found:
                raise StreamDecodeError(f"the answer has the key {name!r} twice")
            self.found = True
            self.state = _FOUND


# JSON, strictly --------------------------------------------------------------------


def _parsed(text: str, kind: Kind, ended: str) -> Any:
    if not text.strip():
        raise StreamDecodeError(f"the answer has no text{ended}")
    if is_deep_json(text, 0, len(text)):
        raise StreamDecodeError(f"the answer is nested too deeply, more than {DEEPEST} levels{ended}")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise StreamDecodeError(f"the answer is nested too deeply to be read{ended}") from None
    except ValueError as error:
        place = getattr(error, "pos", None)
        near = f", near {text[max(place - 40, 0) : place + 40]!r}" if place else ""
        raise StreamDecodeError(
            f"the answer is {_not_json(text.lstrip())}{ended}: {error}{near}; {_quoted(text)}"
        ) from None
    try:
        return kind.read(value, "$")
    except Mismatch as problem:
        raise StreamDecodeError(f"{problem}{ended}; {_quoted(text)}") from problem
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
    raise ValueError(f"{name} is not valid JSON")


def _not_json(text: str, wanted: str = "valid JSON") -> str:
    if text.startswith("```"):
        return (
            f"not {wanted} but starts with a Markdown fence; "
            'request plain JSON with response_mime_type="application/json"'
        )
    return f"not {wanted}"


def _quoted(text: str) -> str:
    return f"the answer is {_shown(text)}"


def _shown(text: str) -> str:
    return shorten(text, 300)


# The finish reasons of a truncated answer.
_CUT_OFF = (FinishReason.MAX_TOKENS, FinishReason.CONTINUATION)


def _cut_off(how_far: str, reason: Optional[str], token: Optional[str]) -> IncompleteStreamError:
    why = "it ended early"
    if reason == FinishReason.MAX_TOKENS:
        why = "MAX_TOKENS; raise max_output_tokens, or request less"
    elif reason:
        why = str(reason)
    error = IncompleteStreamError(f"the answer was cut off ({why}): {how_far}", continuation_token=token)
    error.retryable = False  # the same request would end at the same place
    return error


def _token(response: GenerateContentResponse) -> Optional[str]:
    """Return the token from which the server can continue the first candidate, or None."""
    candidates = response.candidates
    token = getattr(candidates[0], "continuation_token", None) if candidates else None
    return token if isinstance(token, str) else None
