"""Types that functions are annotated with, values that defy being looked at, and what becomes of them."""

import enum
import typing  # noqa: F401  declared() reads annotations that are text, and these names stand in them
from dataclasses import dataclass, field
from typing import Literal, Mapping, NewType, Optional, TypedDict  # noqa: F401  likewise

from geministream import function_declaration
from geministream.tools.functions import Function

STRING, INTEGER, NUMBER, NULL = ({"type": name} for name in ("string", "integer", "number", "null"))


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Mode(str, enum.Enum):
    FAST = "fast"


@dataclass
class Place:
    """Somewhere.

    :ivar name: what it is called
    """

    name: str
    height: float = 0.0


class Options(TypedDict):
    """What is wanted."""

    unit: Unit


class Maybe(Options, total=False):
    days: int


UserId = NewType("UserId", int)


def declared(annotation, default=None):
    """The schema of a parameter with this annotation."""

    def function(x):
        pass

    function.__annotations__ = {"x": annotation}
    return function_declaration(function).parameters_json_schema["properties"]["x"]


def read(annotation, value):
    """What the function gets for this argument."""

    def function(x):
        pass

    function.__annotations__ = {"x": annotation}
    return Function(function).arguments({"x": value})["x"]


def keywords(schema):
    """All keywords in a schema."""
    found = set()
    if isinstance(schema, dict):
        for name, value in schema.items():
            found.add(name)
            if name in ("properties", "$defs"):
                for each in value.values():
                    found |= keywords(each)
            elif name != "enum":
                found |= keywords(value)
    elif isinstance(schema, list):
        for each in schema:
            found |= keywords(each)
    return found


def weather(place: Place, unit: Unit = Unit.CELSIUS, *, days: "int | None" = None, note: str = "") -> str:
    """Tell the weather.

    It is always good.

    Args:
        place (Place): where,
            exactly
        days (Optional[int], optional): how many days ahead

    Returns:
        one word
    """
    return f"{place.name} {unit.name} {days!r} {note}"


async def later(x: int):
    pass


class Unreadable:
    """Whatever is looked at raises."""

    def __call__(self):
        pass

    def __repr__(self):
        raise LookupError("not to be read")

    __str__ = __eq__ = __iter__ = __len__ = __repr__
    __hash__ = object.__hash__


@dataclass
class Unset:
    """A dataclass with a field that nobody set."""

    name: str = field(init=False)


class Raising(Mapping):
    def __getitem__(self, name):
        raise LookupError(name)

    def __iter__(self):
        return iter("ab")

    def __len__(self):
        return 2


class Mute(Exception):
    def __str__(self):
        raise LookupError("no text")

    __repr__ = __str__


class Shy(list):
    def __iter__(self):
        raise LookupError("not today")

    @property
    def __class__(self):
        raise LookupError("not even this")


def nested(depth):
    value = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def circular():
    value = {}
    value["again"] = [value]
    return value
