"""Parse the command line: convert options' values, and report each mistake in one line.

``arguments`` has the commands and options; this module adapts argparse, so that its
errors name what the user typed.
"""

import argparse
import dataclasses
import math
import re
from typing import Any, Callable, Dict, Iterable, List, NoReturn, Optional, Tuple

from ..depth import loads
from ..retry import MOST_SECONDS
from .status import USAGE, nearest
from .terminal import note

_AUTH_WAYS = ("header", "query", "bearer")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of at most 80 columns, so that it is readable on a wide terminal."""

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
        """Reject unknown options here, where the command and its options are known."""
        found, rest = super().parse_known_args(args, namespace)
        self._refuse_options(rest)
        return found, rest

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The same: newer Pythons do not call `parse_known_args` for it."""
        found, rest = super().parse_known_intermixed_args(args, namespace)
        self._refuse_options(rest)
        return found, rest

    def _refuse_options(self, rest: List[str]) -> None:
        for text in rest:
            # Other words may belong to a prompt, between options.
            if re.match(r"--?[A-Za-z][^ ]*$", text):
                typed = text.partition("=")[0]
                self.error(f"unknown option {typed}{nearest(typed, self._option_string_actions)}")

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
    """The type of an option that takes a number of seconds."""
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
    """The type of ``--auth``: the ways in which the key is sent."""
    ways = tuple(way.strip() for way in text.split(","))
    if ways == ("none",):
        return ()
    if not set(ways) <= set(_AUTH_WAYS):
        # A long value may be a key, typed here by mistake; do not show it.
        got = f"got {_shown(text)}" if len(text) <= 12 else "got something else, which may be a key"
        raise argparse.ArgumentTypeError(
            f"must be header, query, bearer, several of these joined by commas, or none; {got}"
        )
    return ways


def thinking(text: str) -> Dict[str, Any]:
    """The type of ``--thinking``: a thinkingConfig with a level or a budget."""
    from ..types import ThinkingLevel  # imported here, as below, because --help does not need it

    levels = _names(ThinkingLevel, "")
    if text.upper() in levels:
        return {"thinkingLevel": text.upper()}
    try:
        budget = int(text)
    except ValueError:
        budget = -2
    if budget < -1:
        raise argparse.ArgumentTypeError(
            f"must be {_one_of(map(str.lower, levels))}, or a number of tokens (0: none, -1: as many as it "
            f"needs), got {_shown(text)}"
        )
    return {"thinkingBudget": budget}


def safety(text: str) -> Tuple[str, str]:
    """The type of ``--safety``: a category and its threshold."""
    from ..types import HarmBlockThreshold, HarmCategory

    category, _, threshold = text.partition("=")
    return (
        _member("CATEGORY", category, _names(HarmCategory, "HARM_CATEGORY_"), "HARM_CATEGORY_"),
        _member("THRESHOLD", threshold, _names(HarmBlockThreshold, "BLOCK_"), "BLOCK_"),
    )


def _names(enum: Any, prefix: str) -> List[str]:
    """The values of an enumeration, without their prefix."""
    values = [value for name, value in vars(enum).items() if name.isupper() and "UNSPECIFIED" not in name]
    return [value[len(prefix) :] if value.startswith(prefix) else value for value in values]


def _member(what: str, text: str, known: List[str], prefix: str) -> str:
    """A value of an enumeration, which may be typed in lower case and without its prefix."""
    name = text.strip().upper().replace("-", "_")
    name = name[len(prefix) :] if name.startswith(prefix) else name
    if name not in known:
        hint = nearest(name, known) or f"; {what} is {_one_of(known)}"
        raise argparse.ArgumentTypeError(
            f"must be CATEGORY=THRESHOLD, got {what} {_shown(text)}{hint}".lower()
        )
    return name if name == "OFF" else prefix + name


class GenerationOption(argparse.Action):
    """``-o NAME VALUE``: a field of the generation config, and its value as JSON or text."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Optional[str] = None) -> None:
        from ..types import GenerationConfig

        name, text = values
        known = {field.name: field for field in dataclasses.fields(GenerationConfig)}
        snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
        if snake not in known:
            hint = nearest(snake, known)
            if hint or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
                raise argparse.ArgumentError(
                    self, f"{_shown(name)} is not a field of the generation config{hint}"
                )
        try:
            value = loads(text)
        except ValueError:
            value = text  # a string may be typed without quotes
        if snake == "stop_sequences" and not isinstance(value, list):
            value = [text]
        camel = re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (camel, value)])


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
    """A value for an error message: quoted if it is empty, truncated if it is long."""
    if not text.strip():
        return repr(text)
    return text if len(text) <= 40 else f"{text[:40]}..."
