"""Write to stdout and stderr.

On a terminal, control characters in text from others are made visible;
otherwise a model, a server or a file's name could control the terminal.
All text passes through `visible` or `one_line`.  A pipe or a file gets an answer
unchanged.
"""

import io
import json
import os
import re
import sys
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, Optional, TextIO

from ..endpoint import KEY_VARIABLES

# Maps C0 and C1 control characters to Unicode's control pictures, or to the
# replacement character; tabs and line ends stay, carriage returns are removed.
_VISIBLE = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_VISIBLE.update({code: 0xFFFD for code in range(0x80, 0xA0)})
_VISIBLE[0x7F] = 0x2421
# Characters that change the order of displayed text: https://trojansource.codes
_VISIBLE.update({code: 0xFFFD for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))})
_VISIBLE_ON_TERMINAL: Dict[int, Optional[int]] = {**_VISIBLE, 13: None}


def prepare_streams(*, utf8: bool = False) -> None:
    """Make stdout and stderr accept every character.

    A character that their encoding does not have is written as an escape.

    :param utf8: write UTF-8 to stdout regardless of the locale, except on a terminal; for JSON.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # closed, or replaced by another object
        encoding = stream.encoding
        # On Windows files and pipes default to an old code page.
        windows_file = os.name == "nt" and not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
        if (stream is sys.stdout and utf8 and not stream.isatty()) or windows_file:
            encoding = "utf-8"
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def is_terminal(stream: Optional[TextIO]) -> bool:
    """Whether this stream is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # the stream is closed
        return False


def shows_styles(stream: Optional[TextIO]) -> bool:
    """Whether the stream is a terminal that may get escape sequences, https://no-color.org"""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if os.name == "nt":
        os.system("")  # enables escape sequences in the Windows console
    return True


def note(text: str) -> None:
    """Write one line on stderr: ``geministream: …``.

    Line ends, control characters and the environment's keys in ``text`` are replaced.
    """
    for name in KEY_VARIABLES:
        key = os.environ.get(name, "").strip()
        if len(key) > 4:
            text = text.replace(key, "***")
    write_quietly(sys.stderr, f"geministream: {one_line(text)}\n")


def visible(text: str) -> str:
    """The text for a terminal: control characters are made visible and have no effect."""
    return text.translate(_VISIBLE_ON_TERMINAL)


def one_line(text: str) -> str:
    """The text without line ends and control characters."""
    return " ".join(text.split()).translate(_VISIBLE)


def row(values: Iterable[object], widths: Iterable[int]) -> str:
    """One line of a table: None is a dash, and a negative width aligns to the right."""
    cells = []
    for value, width in zip(values, widths):
        text = "-" if value is None else one_line(str(value))
        cells.append(text.rjust(-width) if width < 0 else text.ljust(width))
    return "  ".join(cells).rstrip() + "\n"


def print_out(text: str) -> None:
    """Write to stdout and flush; control characters have no effect on a terminal."""
    Column(sys.stdout).write(text)


def write_quietly(stream: Optional[TextIO], text: str) -> None:
    """Write and flush, and ignore errors: the text is not worth a failure."""
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError):
        pass


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Add the file's name to an OSError of the block; the system does so only for paths."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or file
        raise


class Column:
    """A stream that tracks whether it is at the start of a line."""

    def __init__(self, stream: Optional[TextIO]) -> None:
        self._stream = stream
        self._safe = is_terminal(stream)
        self._styles = shows_styles(stream)
        self.at_start = True

    def write(self, text: str, *, dim: bool = False) -> None:
        """Write and flush, so that the text appears at once."""
        if self._safe:
            text = visible(text)
        if not text or self._stream is None:
            return
        # Set this first: Ctrl-C may arrive as soon as the text is written.
        self.at_start = text.endswith("\n")
        with naming("standard output" if self._stream is sys.stdout else "standard error"):
            self._stream.write(f"\x1b[2m{text}\x1b[22m" if dim and self._styles else text)
            self._stream.flush()

    def end_line(self) -> None:
        """Write a line end unless the last character was one."""
        if not self.at_start:
            self.write("\n")


def json_line(value: Any) -> str:
    """The value as one line of JSON for a UTF-8 stream with ``backslashreplace``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # These are valid in JSON, but many programs take them for line ends.  (A lone
    # surrogate becomes its escape when it is written.)
    return re.sub("[\x85\u2028\u2029]", lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"
