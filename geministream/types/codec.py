"""Conversion between dataclasses and the API's JSON, driven by the dataclass definitions.

Each API message is defined once, as a dataclass in another module of ``types/``.  The
conversion follows from its field names and annotations:

======================  =====================================================
``start_index``         ``startIndex`` in JSON
``Optional[str]``       unchanged; likewise int, float, bool, Any, Dict
``Optional[Int64]``     an int here, a string in JSON
``Optional[bytes]``     bytes here, base64 in JSON
``Optional[Part]``      another message
``Optional[List[X]]``   a list of any of these
======================  =====================================================

Three rules make the conversion lossless:

- An unknown field is preserved in ``extra`` under its JSON name.
- A value of an unexpected type is preserved unchanged (a string instead of a list, say).
- A value with an unusual spelling (URL-safe or unpadded base64, an int64 as a number)
  remembers it: see `SpelledBytes` and `SpelledInt`, which are otherwise bytes and int.

Decoding must be fast, so each class gets one decoder on first use, which looks up each field
when it first sees it.  This also allows rare messages to be imported on first use.  Dataclass
defaults are class attributes, so an object contains only the fields that arrived, in the order
of their arrival, and they are sent back in the same order (PyPy may change it).  A field that comes
often and is read seldom is decoded when it is read: see `DecodedLater`.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import operator
import re
import sys
from collections.abc import Mapping as AnyMapping
from dataclasses import Field, fields, replace
from itertools import islice
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, Union

from ..errors import ConfigurationError, StreamDecodeError, UnknownFieldWarning, warn

Int64 = int
Convert = Optional[Callable[[Any], Any]]
M = TypeVar("M", bound="Message")


class _NothingExtra:
    """Creates an empty ``message.extra`` when it is first read.

    A decoded message has no ``extra`` unless unknown fields arrived: creating an empty dict for
    each message would take a tenth of the decoding time.
    """

    def __get__(self, message: Any, owner: Any) -> Any:
        return self if message is None else message.__dict__.setdefault("extra", {})


class DecodedLater:
    """The default of a field whose message remains a JSON object until it is first read.

    Every chunk has the token counts so far, and most callers read those of the last chunk.
    https://docs.python.org/3/library/dataclasses.html#descriptor-typed-fields
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, message: Any, owner: Any = None) -> Any:
        if message is None:
            return None  # the default of the dataclass field
        value = message.__dict__.get(self._name)
        if value.__class__ is dict:
            cls = type(message)
            convert = _converter(cls, cls.__dataclass_fields__[self._name])
            assert convert is not None
            value = message.__dict__[self._name] = convert(value)
        return value

    def __set__(self, message: Any, value: Any) -> None:
        message.__dict__[self._name] = value

    def __delete__(self, message: Any) -> None:
        try:
            del message.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None


class Message:
    """The base class of all API messages: a mutable dataclass that preserves unknown fields.

    Fields that are not set are None.  ``extra`` contains the unknown fields under their JSON
    names.  Two messages are equal if they have the same class and equal fields; they cannot be
    hashed because they are mutable.
    """

    extra: Dict[str, Any]
    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_dict(cls: Type[M], mapping: Mapping[str, Any]) -> M:
        """Return the message for a JSON object, as ``json.loads`` returns it.

        :param mapping: field names in camelCase, and their values.  Values of unexpected types
            are preserved.  ``extra`` and the arguments of functions are not copied.
        :raises StreamDecodeError: if ``mapping`` is not a mapping.

        >>> Part.from_dict({"text": "Hello", "thought": True})
        Part(text='Hello', thought=True)
        """
        if not isinstance(mapping, AnyMapping):
            raise StreamDecodeError(
                f"{cls.__name__} must be a JSON object, got {shorten(mapping)}; "
                "check that the URL is that of a Gemini endpoint"
            )
        message: M = decoder(cls)(dict(mapping))
        return message

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON object of this message, without unset fields, for ``json.dumps``.

        If ``extra`` contains a field that is also set, the value in ``extra`` is used.

        >>> Part(text="Hello", thought=True).to_dict()
        {'text': 'Hello', 'thought': True}
        """
        encoders = _encoders(type(self))
        wire = {}
        for name, value in given(self).items():
            key, convert = encoders[name]
            wire[key] = value if convert is None else convert(value)
        wire.update(self.__dict__.get("extra") or {})
        return wire

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _set_fields(self) == _set_fields(other)

    def __repr__(self) -> str:
        parts = (f"{name}={shorten(value)}" for name, value in _set_fields(self).items())
        return f"{type(self).__name__}({', '.join(parts)})"


# A decoded message has no `extra` in its __dict__ until it is needed.  The dataclass decorator
# removes the attribute from the subclasses, so the lookup finds this one.
Message.extra = _NothingExtra()  # type: ignore[assignment]


def given(message: Any) -> Dict[str, Any]:
    """Return the JSON fields that are set, in the order of their arrival, without ``extra``."""
    known = _encoders(type(message))
    names = [name for name, value in message.__dict__.items() if value is not None and name in known]
    return {name: getattr(message, name) for name in names}


def _set_fields(message: Any) -> Dict[str, Any]:
    """Return the fields that are set, in the order of the dataclass, without an empty ``extra``."""
    values = message.__dict__
    names = (field.name for field in fields(message) if values.get(field.name) is not None)
    return {name: getattr(message, name) for name in names if name != "extra" or values[name]}


_LONGEST_COLLECTION = 2000  # characters; items beyond this are omitted


def shorten(value: Any, limit: int = 80, depth: int = 8) -> str:
    """Return ``repr(value)``, with long strings, bytes and collections shortened.

    :param limit: the maximum number of characters of a string and of items of a collection;
        fewer long items are shown, so that the result has a few thousand characters at most.
    :param depth: the maximum depth of nested collections; deeper ones are shown as ``...``.
    """
    if isinstance(value, (bytes, bytearray)):
        head = repr(bytes(value[:16]))
        return head if len(value) <= 16 else f"<{len(value)} bytes: {head}...>"
    if isinstance(value, str) and len(value) > limit:
        return f"{value[: limit - 20]!r}...<{len(value)} characters>"
    if not isinstance(value, (list, dict)):
        return repr(value)
    if not depth:
        return "..."
    items: List[str] = []
    room = _LONGEST_COLLECTION
    for item in islice(value, limit):
        text = shorten(item, limit, depth - 1)
        if isinstance(value, dict):
            text += f": {shorten(value[item], limit, depth - 1)}"
        items.append(text)
        room -= len(text)
        if room < 0:
            break
    if len(items) < len(value):
        items.append(f"...<{len(value)} items>")
    return f"{{{', '.join(items)}}}" if isinstance(value, dict) else f"[{', '.join(items)}]"


# Spellings -------------------------------------------------------------------


class SpelledBytes(bytes):
    """Bytes from base64 in an unusual spelling; ``spelling`` is the original string."""

    spelling: str


class SpelledInt(int):
    """An int64 that arrived as a JSON number and is sent back as one."""


_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: Any) -> Any:
    """Return the bytes of a base64 string; return anything that is not base64 unchanged.

    Both alphabets are accepted, with or without padding and line breaks (RFC 4648, sections
    3.1, 4 and 5).  If encoding the bytes would not restore the string, they are `SpelledBytes`.
    """
    if type(text) is not str:
        return text
    data = _strict_base64(text)
    if data is not None and base64.b64encode(data[-(len(data) % 3 or 3) :]).decode() == text[-4:]:
        return data
    # Slower, for the other spellings: translate the alphabet and add the padding.
    plain = text.encode("utf-8", "replace").translate(_URL_SAFE_TO_STANDARD, b"\r\n").decode()
    data = _strict_base64(plain + "=" * (-len(plain) % 4))
    if data is None:
        return text
    spelled = SpelledBytes(data)
    spelled.spelling = text
    return spelled


def _strict_base64(text: str) -> Optional[bytes]:
    """Return the bytes of padded base64 in the standard alphabet, or None for any other string."""
    try:
        data = binascii.a2b_base64(text)
    except ValueError:  # not ASCII, or not padded
        return None
    # a2b_base64 skips unknown characters.  If it skipped any, at least four are missing (or
    # it would have raised), so the data is at least three bytes short.  Padding explains at most two.
    whole = len(text) % 4 == 0 and len(data) == len(text) // 4 * 3 - text.count("=", -2)
    return data if whole else None


def _encode_base64(value: Any) -> Any:
    if isinstance(value, SpelledBytes):
        return value.spelling
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    return value


def _decode_int64(value: Any) -> Any:
    if type(value) is str and re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value):
        return int(value)
    return SpelledInt(value) if type(value) is int else value


def _encode_int64(value: Any) -> Any:
    if isinstance(value, SpelledInt):
        return int(value)
    return str(value) if type(value) is int else value


def _encode_message(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_dict()
    return [_encode_message(item) for item in value] if isinstance(value, (list, tuple)) else value


# From fields to tables -------------------------------------------------------


def wire_name(name: str) -> str:
    """Convert ``start_index`` to ``startIndex``."""
    head, *tail = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def _wire_fields(cls: type) -> Dict[str, Field[Any]]:
    """Return JSON names and fields, without ``extra``."""
    return {wire_name(f.name): f for f in fields(cls) if f.name != "extra"}


def _kind(field: Field[Any]) -> Tuple[str, bool]:
    """Convert ``Optional[List[Part]]`` to ``("Part", True)``: the type, and whether it is a list of it."""
    kind = _inside("Optional", str(field.type)) or str(field.type)
    item = _inside("List", kind)
    return (item, True) if item else (kind, False)


def _inside(outer: str, text: str) -> Optional[str]:
    """Return ``X`` of ``outer[X]``, or None for any other text."""
    return text[len(outer) + 1 : -1] if text.startswith(outer + "[") else None


def _message_class(owner: type, kind: str) -> Optional[type]:
    """Return the message class that an annotation names, or None for any other type."""
    # A user's subclass is defined in another module; the package imports its own on first use.
    homes = [*(cls.__module__ for cls in owner.__mro__), __package__]
    for home in homes:
        found = getattr(sys.modules.get(home), kind, None)
        if isinstance(found, type) and issubclass(found, Message):
            return found
    return None


_DECODE: Dict[str, Convert] = {"bytes": decode_base64, "Int64": _decode_int64}
_ENCODE: Dict[str, Convert] = {
    "bytes": _encode_base64,
    "Int64": _encode_int64,
    **dict.fromkeys(["str", "int", "float", "bool"]),
}


def decoder(cls: type) -> Callable[[Any], Any]:
    """Return the function that converts a dict to ``cls`` and returns other values unchanged."""
    made = cls.__dict__.get("_decode")
    if made is not None:
        return made.__func__  # type: ignore[no-any-return]

    new = object.__new__
    wire_fields = _wire_fields(cls)
    # JSON name to field name and converter, for the known fields seen so far.  Unknown names are
    # not added, so that a server cannot make this grow.
    seen: Dict[str, Tuple[str, Convert]] = {}

    # This is the hot path: measure the time before you change anything here.
    def decode(value: Any) -> Any:
        if value.__class__ is not dict:
            return value
        message: Any = new(cls)
        values = message.__dict__
        for key in value:
            try:
                name, convert = seen[key]
            except KeyError:
                field = wire_fields.get(key)
                if field is None:
                    message.extra[key] = value[key]
                    continue
                later = isinstance(inspect.getattr_static(cls, field.name), DecodedLater)
                name, convert = seen[key] = field.name, None if later else _converter(cls, field)
            values[name] = value[key] if convert is None else convert(value[key])
        return message

    cls._decode = staticmethod(decode)  # type: ignore[attr-defined]
    return decode


def _converter(cls: type, field: Field[Any]) -> Convert:
    kind, is_list = _kind(field)
    message = _message_class(cls, kind)
    if message is None:
        return _DECODE.get(kind)
    decode = decoder(message)
    if not is_list:
        return decode

    def decode_list(value: Any) -> Any:
        if value.__class__ is not list:
            return value
        if len(value) == 1:  # most lists of a chunk; before Python 3.12 a comprehension costs a call
            return [decode(value[0])]
        return [decode(item) for item in value]

    return decode_list


def _encoders(cls: type) -> Dict[str, Tuple[str, Convert]]:
    """Return field names with their JSON names and converters."""
    made = cls.__dict__.get("_encode")
    if made is None:
        made = {}
        for wire, field in _wire_fields(cls).items():
            # Do not look up message classes here: that could import a module.
            made[field.name] = wire, _ENCODE.get(_kind(field)[0], _encode_message)
        cls._encode = made  # type: ignore[attr-defined]
    return made


# Mappings in requests --------------------------------------------------------


def from_request(cls: Type[M], value: Union[M, Mapping[str, Any]], what: str) -> M:
    """Return the message for a mapping, or for a message that contains mappings.

    A mapping may name fields in camelCase or snake_case.  An unknown field causes an
    `UnknownFieldWarning` and is sent unchanged, and so is user data (function arguments, JSON
    schemas).  ``value`` is not changed; a message without mappings is returned itself.

    :param what: the argument's name, for the error.
    :raises ConfigurationError: if ``value`` is anything else, or has a field in both spellings.
    """
    if not isinstance(value, (cls, AnyMapping)):
        raise ConfigurationError(f"{what} must be a {cls.__name__} or a mapping, got {shorten(value)}")
    message: M = _understand(cls, value, warns=True)
    return message


def _understand(cls: type, value: Any, warns: bool) -> Any:
    """Convert a mapping to ``cls``, and the mappings inside a message; return other values unchanged."""
    if isinstance(value, AnyMapping):
        return _from_mapping(cls, value, warns)
    if not isinstance(value, Message):
        return value
    message: Any = value
    changes = {}
    for field in _wire_fields(type(message)).values():
        old = message.__dict__.get(field.name)
        new = _understand_field(type(message), field, old, warns)
        if new is not old:
            changes[field.name] = new
    return replace(message, **changes) if changes else message


def _understand_field(cls: type, field: Field[Any], value: Any, warns: bool = False) -> Any:
    """Convert the value of a field for messages, or each item of its list.

    As in decoding, a field for a list is converted only if its value is a list, so that odd
    values in a received message do not change.
    """
    kind, is_list = _kind(field)
    if not isinstance(value, (list, tuple, AnyMapping, Message)):
        return value
    message = _message_class(cls, kind)
    if message is None or is_list is not isinstance(value, (list, tuple)):
        return value
    if isinstance(value, (list, tuple)):
        items = [_understand(message, item, warns) for item in value]
        return value if all(map(operator.is_, items, value)) else items
    return _understand(message, value, warns)


def _from_mapping(cls: type, mapping: Mapping[Any, Any], warns: bool) -> Any:
    # A model's turn may contain unknown fields, which are sent back without a warning.
    warns = warns and mapping.get("role") != "model"
    by_wire = _wire_fields(cls)
    by_name = {field.name: field for field in by_wire.values()}
    wire: Dict[Any, Any] = {}
    for key, value in mapping.items():
        field = by_name.get(key) or by_wire.get(key)
        if field is None:
            if warns:
                _warn_of_unknown_field(cls, key, by_name)
        else:
            key = wire_name(field.name)
            if key in wire:
                raise ConfigurationError(
                    f"{cls.__name__} has both {field.name!r} and {key!r}; pass only one of them"
                )
            value = _understand_field(cls, field, value, warns)
        wire[key] = value
    return decoder(cls)(wire)


def _warn_of_unknown_field(cls: type, key: Any, known: Mapping[str, Any]) -> None:
    from difflib import get_close_matches

    spellings = {spelling: name for name in known for spelling in (name, wire_name(name))}
    nearest = get_close_matches(str(key), spellings, 1)
    hint = f"did you mean {spellings[nearest[0]]!r}?" if nearest else f"its fields are {', '.join(known)}"
    warn(f"{cls.__name__} has no field {key!r}, which is sent unchanged; {hint}", UnknownFieldWarning)
