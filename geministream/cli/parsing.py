"""How a command line is read: its options' values, and one line for each mistake.

``arguments`` says which commands and options there are; this room knows argparse,
and says what is wrong in the words that were typed.
"""

import argparse
import math
import re
from typing import Any, Callable, Iterable, NoReturn, Optional, Tuple

from ..retry import MOST_SECONDS
from .status import USAGE, nearest
from .terminal import note

_AUTH_WAYS = ("header", "query", "bearer")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that can be read: no wider than 80 columns, however wide the terminal is."""

    def __init__(self, prog: str, **settings: Any) -> None:
        settings.setdefault("width", min(_columns(), 80) - 2)
        super().__init__(prog, **settings)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, and names the nearest command or option."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _Help)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        # argparse says "argument -m/--model: must be ..."
        message = re.sub(r"^argument ([^ ]+): ", r"\1 ", message)
        note(f"{message}; see {self.prog} --help")
        raise SystemExit(USAGE)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown options here, where their command and its options are known."""
        found, rest = super().parse_known_args(args, namespace)
        for text in rest:
            # What else is left may be the words of a prompt, between its options.
            if re.match(r"--?[A-Za-z][^ ]*$", text):
                typed = text.partition("=")[0]
                self.error(f"unknown option {typed}{nearest(typed, self._option_string_actions)}")
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if isinstance(action, argparse._SubParsersAction):
            hint = nearest(value, action.choices) or f"; it must be {_one_of(action.choices)}"
            self.error(f"unknown command {value}{hint}")
        raise argparse.ArgumentError(
            action, f"must be {_one_of(action.choices)}, got {_shown(value)}{nearest(value, action.choices)}"
        )


# The values of options ---------------------------------------------------------


def integer(least: int) -> Callable[[str], int]:
    """The type of an option that takes an integer."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be an integer >= {least}, got {_shown(text)}")
        return value

    return read


def number(text: str) -> float:
    """The type of an option that takes a number."""
    value = _float(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"must be a number, got {_shown(text)}")
    return value


def seconds(text: str) -> float:
    """The type of an option that takes a time."""
    value = _float(text)
    if value is None or not 0 < value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be a number of seconds > 0, got {_shown(text)}")
    return value


def speed(text: str) -> float:
    """The type of an option that takes a factor."""
    value = _float(text)
    if value is None or not 0 < value <= 10**6:
        raise argparse.ArgumentTypeError(f"must be a number > 0, got {_shown(text)}")
    return value


def auth(text: str) -> Tuple[str, ...]:
    """The type of ``--auth``: the ways in which the key travels."""
    ways = tuple(way.strip() for way in text.split(","))
    if ways == ("none",):
        return ()
    if not set(ways) <= set(_AUTH_WAYS):
        # A key that stands here by mistake is not shown; it is longer than any of these.
        got = f"got {_shown(text)}" if len(text) <= 12 else "got something else, which may be a key"
        raise argparse.ArgumentTypeError(
            f"must be header, query, bearer, several of these joined by commas, or none; {got}"
        )
    return ways


def _float(text: str) -> Optional[float]:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _one_of(choices: Iterable[Any]) -> str:
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last


def _shown(text: str) -> str:
    """A value in an error: an empty one is visible, and a long one is cut."""
    if not text.strip():
        return repr(text)
    return text if len(text) <= 40 else f"{text[:40]}..."
