"""Dataclasses to and from the wire's JSON, driven by the dataclasses themselves.

A message of the wire is stated once, as a dataclass (see the other rooms of ``types/``).  Its
field names and annotations say everything that this room needs:

======================  =====================================================
``start_index``         ``startIndex`` on the wire
``Optional[str]``       taken as it is; likewise int, float, bool, Any, Dict
``Optional[Int64]``     an int here, a JSON string on the wire
``Optional[bytes]``     bytes here, base64 on the wire
``Optional[Part]``      another message
``Optional[List[X]]``   a list of any of these
======================  =====================================================

Three rules keep everything that came:

- A field that the dataclass does not have goes to ``extra`` under its wire
  name, and back from there.
- A value that is not of its field's type stays as it came (a string where a
  list was due is that string), and goes back as it came.
- A value that the wire spelled unusually (URL-safe or unpadded base64, an
  int64 as a bare number) knows how it was spelled: see `SpelledBytes` and
  `SpelledInt`.  They are bytes and int in every other respect.

Decoding sits on the hot path, so each class gets one decoder, made when the
class is first met, and a decoder learns each field when it is first seen.  That
is also what lets rarely seen messages be imported on first use.  Dataclass
defaults are class attributes, so an object holds only the fields that came, in
the order in which they came, and that is how they go back.
"""

from __future__ import annotations

import base64
import binascii
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
    """Makes ``message.extra`` an empty dict when it is first asked for.

    A decoded message has no ``extra`` of its own unless something unknown came;
    making an empty dict for each would be a tenth of the decoding time.
    """

    def __get__(self, message: Any, owner: Any) -> Any:
        return self if message is None else message.__dict__.setdefault("extra", {})


class Message:
    """The base of every message of the wire: a mutable dataclass that loses nothing.

    Fields that were not given are None.  ``extra`` holds the fields that this
    version of the library does not know, under their wire names.  Two messages
    are equal when they are of one class and have equal fields; like other
    mutable values they cannot be hashed.
    """

    extra: Dict[str, Any]
    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_dict(cls: Type[M], mapping: Mapping[str, Any]) -> M:
        """Make the message from its JSON object, as ``json.loads`` gives it.

        Fields of unexpected types are kept as they came.  What the library does
        not look into (``extra``, function arguments) is shared with ``mapping``.

        :raises StreamDecodeError: where ``mapping`` is no mapping.
        """
        if not isinstance(mapping, AnyMapping):
            raise StreamDecodeError(
                f"{cls.__name__} is a JSON object, not {shorten(mapping)}; "
                "check that the URL is that of a Gemini endpoint"
            )
        message: M = decoder(cls)(dict(mapping))
        return message

    def to_dict(self) -> Dict[str, Any]:
        """The JSON object of this message, fit for ``json.dumps``; nothing unset is in it.

        Where ``extra`` names a field that is also set, ``extra`` wins.
        """
        encoders = _encoders(type(self))
        wire = {}
        for name, value in self.__dict__.items():
            if value is not None and name in encoders:
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


# A decoded message has no `extra` in its __dict__ until it is needed; the
# dataclass decorator removes the attribute from the classes, so this is found.
Message.extra = _NothingExtra()  # type: ignore[assignment]


def given(message: Any) -> Dict[str, Any]:
    """The fields of the wire that are set, in the order in which they came; not ``extra``."""
    known = _encoders(type(message))
    return {name: value for name, value in message.__dict__.items() if value is not None and name in known}


def _set_fields(message: Any) -> Dict[str, Any]:
    """The fields that are set, in the order of the dataclass; an empty extra is not."""
    values = message.__dict__
    names = (field.name for field in fields(message))
    return {n: values[n] for n in names if values.get(n) is not None and (n != "extra" or values[n])}


_LONGEST_COLLECTION = 2000  # characters, after which no further item is shown


def shorten(value: Any, limit: int = 80, depth: int = 8) -> str:
    """``repr(value)``, with the greater part of long text, bytes and collections left out.

    :param limit: characters of a text, and items of a collection, that are shown at most;
        of long items fewer, so that the whole is some thousand characters and not ``limit ** depth``.
    :param depth: collections within collections; deeper ones are shown as ``...``.
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
    """Bytes whose base64 was not the usual one; ``spelling`` is the text that came."""

    spelling: str


class SpelledInt(int):
    """An int64 that came as a JSON number, and goes back as one."""


_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: Any) -> Any:
    """The bytes of base64 text; anything that is not base64 comes back as it is.

    Takes both alphabets, with or without padding and line breaks (RFC 4648,
    sections 3.1, 4 and 5); where the text is not what the bytes would be
    written as, they are `SpelledBytes`.
    """
    if type(text) is not str:
        return text
    data = _strict_base64(text)
    if data is not None and base64.b64encode(data[-(len(data) % 3 or 3) :]).decode() == text[-4:]:
        return data
    # The long way round: through bytes, where one pass translates both alphabets.
    plain = text.encode("utf-8", "replace").translate(_URL_SAFE_TO_STANDARD, b"\r\n").decode()
    data = _strict_base64(plain + "=" * (-len(plain) % 4))
    if data is None:
        return text
    spelled = SpelledBytes(data)
    spelled.spelling = text
    return spelled


def _strict_base64(text: str) -> Optional[bytes]:
    """The bytes of padded base64 of the standard alphabet, None for any other text."""
    try:
        data = binascii.a2b_base64(text)
    except ValueError:  # not ASCII, or not padded
        return None
    # a2b_base64 skips what it does not know: four characters at least where those
    # that are left come out even, so that three bytes are missing or more.  The
    # padding accounts for two at most.
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
    """``start_index`` to ``startIndex``."""
    head, *tail = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def _wire_fields(cls: type) -> Dict[str, Field[Any]]:
    """Wire name to field, for all that is of the wire."""
    return {wire_name(f.name): f for f in fields(cls) if f.name != "extra"}


def _kind(field: Field[Any]) -> Tuple[str, bool]:
    """``Optional[List[Part]]`` to ``("Part", True)``: of what, and whether a list of it."""
    kind = _inside("Optional", str(field.type)) or str(field.type)
    item = _inside("List", kind)
    return (item, True) if item else (kind, False)


def _inside(outer: str, text: str) -> Optional[str]:
    """``X`` of ``outer[X]``, None where the text is anything else."""
    return text[len(outer) + 1 : -1] if text.startswith(outer + "[") else None


def _message_class(owner: type, kind: str) -> Optional[type]:
    """The message class that an annotation names, or None where it names anything else."""
    # A user's subclass lives in another module; the package loads a room of its own on first use.
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
    """The function that makes a ``cls`` from a dict, and leaves all else as it is."""
    made = cls.__dict__.get("_decode")
    if made is not None:
        return made.__func__  # type: ignore[no-any-return]

    new = object.__new__
    wire_fields = _wire_fields(cls)
    # Wire name to field name and converter, for the fields that were seen.  Unknown
    # names are not kept: what a server sends must not make this grow.
    seen: Dict[str, Tuple[str, Convert]] = {}

    # Each turn of phrase here was measured: these are the quickest.
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
                name, convert = seen[key] = field.name, _converter(cls, field)
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
        if len(value) == 1:  # as nearly all lists of a chunk; a comprehension costs a call in old Pythons
            return [decode(value[0])]
        return [decode(item) for item in value]

    return decode_list


def _encoders(cls: type) -> Dict[str, Tuple[str, Convert]]:
    """Field name to wire name and converter."""
    made = cls.__dict__.get("_encode")
    if made is None:
        made = {}
        for wire, field in _wire_fields(cls).items():
            # What may be a message is not looked up: that could import its module.
            made[field.name] = wire, _ENCODE.get(_kind(field)[0], _encode_message)
        cls._encode = made  # type: ignore[attr-defined]
    return made


# What a caller wrote by hand -------------------------------------------------


def from_request(cls: Type[M], value: Union[M, Mapping[str, Any]], what: str) -> M:
    """Make a request message of a mapping, or of a message with mappings in it.

    A mapping may spell the fields that we know in camelCase or snake_case.  What
    we do not know, and everything inside user data (function arguments, JSON
    schemas), is left exactly as it is.  ``value`` is not changed; a message that
    has no mapping in the place of a message comes back itself.

    :param what: the argument's name, for the error.
    An unknown name in a mapping gives an `UnknownFieldWarning`, and is sent.

    :raises ConfigurationError: for any other value, or a field given in both spellings.
    """
    if not isinstance(value, (cls, AnyMapping)):
        raise ConfigurationError(f"{what} takes a {cls.__name__} or a mapping, not {shorten(value)}")
    message: M = _understand(cls, value, warns=True)
    return message


def _understand(cls: type, value: Any, warns: bool) -> Any:
    """Make a mapping a ``cls``; in a message look into its fields; all else stays as it is."""
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
    """The same for a field's value, or each item of it, where the field is for messages.

    As in decoding, only a list will do where a list is due.  So nothing changes
    in a message that was received, however odd.
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
    # What a model said goes back as it came, known to this version or not.
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
                    f"{cls.__name__} has both {field.name!r} and {key!r}; give one of them"
                )
            value = _understand_field(cls, field, value, warns)
        wire[key] = value
    return decoder(cls)(wire)


def _warn_of_unknown_field(cls: type, key: Any, known: Mapping[str, Any]) -> None:
    from difflib import get_close_matches

    spellings = {spelling: name for name in known for spelling in (name, wire_name(name))}
    nearest = get_close_matches(str(key), spellings, 1)
    hint = f"did you mean {spellings[nearest[0]]!r}?" if nearest else f"its fields are {', '.join(known)}"
    warn(f"{cls.__name__} has no field {key!r}, which is sent as it is; {hint}", UnknownFieldWarning)
