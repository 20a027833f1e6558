"""Chats, what one says to them, their histories, and functions for them to call."""

from dataclasses import dataclass
from enum import Enum
from typing import List, Optional

import pytest

from geministream import collect
from geministream.chat import Chat
from geministream.testing import LocalServer
from geministream.types import GenerationConfig, ThinkingConfig

MODEL = "gemini-flash-latest"
THINKING = GenerationConfig(thinking_config=ThinkingConfig(include_thoughts=True))


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


def chat_with(server, **arguments):
    return Chat(MODEL, endpoint=server.endpoint, **arguments)


def say(chat, message, **arguments):
    """The complete answer to a message."""
    return collect(chat.send(message, **arguments))


def texts(history):
    return [(content.role, "".join(part.text or "" for part in content.parts)) for content in history]


def as_json(history):
    return [content.to_dict() for content in history]


def part_chunk(*parts, **candidate):
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **candidate}]}


def results(history):
    """The function responses of a history, in their order."""
    found = [part.function_response for content in history for part in content.parts]
    return [(each.name, each.response) for each in found if each is not None]


class Unit(Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@dataclass
class City:
    name: str
    country: str = "DE"


@dataclass
class Report:
    city: City
    degrees: float
    unit: Unit


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def weather(city: City, unit: Unit = Unit.CELSIUS, days: Optional[List[int]] = None) -> Report:
    """Tell the weather."""
    assert isinstance(city, City) and isinstance(unit, Unit)
    return Report(city, 20.5, unit)


def fail(reason: str) -> str:
    raise LookupError(reason)
