"""Read lines that are typed, pasted or piped in.

At a terminal, lines can be edited and recalled, including those of earlier sessions;
Tab completes commands and paths, and a paste of several lines is one line with
line ends in it.  Python's readline module does most of that; without it, as on
Windows, or where it cannot control the terminal, only the console's own editing is available.
"""

import glob
import json
import os
import select
import sys
from types import ModuleType
from typing import Callable, List, Optional, Sequence

from ..depth import loads
from ..errors import ConfigurationError
from .disk import replacing
from .status import reason_of
from .terminal import is_terminal, note

# How many lines are kept across sessions.
_MOST_KEPT = 1000


def read_message(read: Callable[[str], str], prompt: str = "> ") -> str:
    """Read one message, which may take several lines.

    :param read: returns a line, given the prompt to show; raises EOFError at the end.
    :param prompt: for the first line.
    """
    line = read(prompt)
    lines: List[str] = []
    try:
        if line.strip() == '"""':
            line = read(". ")
            while line.strip() != '"""':
                lines.append(line)
                line = read(". ")
            return "\n".join(lines)
        while line.endswith("\\") and not line.startswith("/"):  # a Windows path may end with it
            lines.append(line[:-1])
            line = read(". ")
        return "\n".join([*lines, line])
    except EOFError:
        return "\n".join(lines)  # an unfinished message is sent; the next call raises EOFError


def piped_lines() -> Callable[[str], str]:
    """A function that reads a line from a pipe; it does not show the prompt."""

    def read(prompt: str) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    return read


class TypedLines:
    """Reads lines at a terminal.

    :param commands: the commands that Tab completes at the start of a line.
    :param with_paths: the commands after which Tab completes paths.
    :param kept: the file with the lines of earlier sessions; None: no lines are kept.
    """

    def __init__(self, commands: Sequence[str], with_paths: Sequence[str], kept: Optional[str]) -> None:
        self._commands = sorted(commands)
        self._with_paths = with_paths
        self._kept = kept
        self._candidates: List[str] = []
        self._at_end = False
        self._readline = _prepared_readline()
        if self._readline is not None:
            self._readline.set_completer(self._complete)
            for line in self._lines_kept():
                self._remember(line)

    def read(self, prompt: str) -> str:
        """Read a line; a paste may contain line ends."""
        if self._at_end:
            raise EOFError
        text = input(prompt)
        if not _takes_pastes(self._readline):
            # Input that is available at once was pasted.
            while select.select([sys.stdin], [], [], 0.05)[0]:
                try:
                    text += "\n" + input(". ")
                except EOFError:  # the next call raises it; this one returns the text
                    self._at_end = True
                    break
        return text.rstrip("\r\n")

    def keep(self, text: str) -> None:
        """Make the text available in this session and in later ones."""
        if self._readline is not None and hasattr(self._readline, "set_auto_history"):
            self._remember(text)
        if self._kept is None or self._readline is None:
            return
        try:
            os.makedirs(os.path.dirname(self._kept), mode=0o700, exist_ok=True)
            with open(os.open(self._kept, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
                if hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), 0o600)  # it may have existed with another mode
                file.write(json.dumps(text) + "\n")
        except OSError as error:
            note(f"{self._kept} cannot be written: {reason_of(error)}; use --no-history to keep no lines")
            self._kept = None

    def _remember(self, text: str) -> None:
        try:
            self._readline.add_history(text)  # type: ignore[union-attr]
        except ValueError:
            pass  # the locale's encoding does not have all of its characters; it cannot be typed here

    def _lines_kept(self) -> List[str]:
        """The lines of earlier sessions; if there are too many, the oldest are removed."""
        if self._kept is None or not os.path.exists(self._kept):
            return []
        try:
            with open(self._kept, encoding="ascii", errors="replace") as file:
                lines = file.readlines()
            if len(lines) > 2 * _MOST_KEPT:
                with replacing(self._kept) as new:
                    new.write("".join(lines[-_MOST_KEPT:]).encode("ascii", "replace"))
        except OSError as error:
            note(f"{self._kept} cannot be read: {reason_of(error)}; use --no-history to keep no lines")
            self._kept = None
            return []
        return [line for line in map(_text_in, lines[-_MOST_KEPT:]) if line]

    def _complete(self, word: str, number: int) -> Optional[str]:
        """Return the candidates for Tab, one in each call, as readline requires."""
        if number == 0 and self._readline is not None:
            line = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            self._candidates = [word + rest for rest in self.rests(line)]
        return self._candidates[number] if number < len(self._candidates) else None

    def rests(self, line: str) -> List[str]:
        """The possible completions of the beginning of a line."""
        command, space, path = line.partition(" ")
        if not space:
            return [f"{name} "[len(line) :] for name in self._commands if line and name.startswith(line)]
        if command not in self._with_paths:
            return []
        begun = os.path.expanduser(path)
        found = sorted(glob.glob(glob.escape(begun) + "*"))
        return [(name + os.sep if os.path.isdir(name) else name)[len(begun) :] for name in found]


def _prepared_readline() -> Optional[ModuleType]:
    try:
        import readline
    except ImportError:
        return None  # Windows: its console can edit lines
    try:
        readline.get_line_buffer()
    except Exception:  # PyPy's own readline raises several kinds
        return None  # the terminal can do too little, as with TERM=dumb
    readline.set_completer_delims(" ")
    if _is_gnu(readline):
        readline.parse_and_bind("tab: complete")
        readline.parse_and_bind("set enable-bracketed-paste on")  # Python turns it off
    else:  # for libedit; PyPy's own readline ignores both
        readline.parse_and_bind("bind ^I rl_complete")
    if hasattr(readline, "set_auto_history"):  # PyPy does not have it
        readline.set_auto_history(False)  # keep() adds a message of several lines as one entry
    return readline


def _is_gnu(readline: ModuleType) -> bool:
    # readline.backend is new in Python 3.13; PyPy's own readline has fewer functions.
    return "libedit" not in (readline.__doc__ or "") and hasattr(readline, "set_auto_history")


def _takes_pastes(readline: Optional[ModuleType]) -> bool:
    """Whether a paste arrives as one line; also True on Windows, where select() does not work here."""
    if readline is None:
        return os.name == "nt"
    # input() supports editing only if stdout is also a terminal.
    return _is_gnu(readline) and os.environ.get("TERM") != "dumb" and is_terminal(sys.stdout)


def _text_in(line: str) -> str:
    """The text in a line of the file; "" for a truncated or changed line."""
    try:
        text = loads(line)
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""


def place_of_lines() -> str:
    """The file for kept lines: https://specifications.freedesktop.org/basedir-spec/latest/"""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "geministream", "chat-history")


def check_stdin() -> None:
    """Raise ConfigurationError if standard input is closed."""
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed; there is nothing to read from")
