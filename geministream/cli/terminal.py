"""What a person sees on stdout and stderr.

On a terminal, control characters in text from others are made visible,
since a model, a server or a file's name could otherwise steer the terminal:
everything goes through `visible` or `one_line`.  A pipe or a file gets an answer
as it is.
"""

import io
import json
import os
import re
import sys
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, Optional, TextIO

from ..endpoint import KEY_VARIABLES

# C0 and C1 control characters to Unicode's pictures of them, or to the
# replacement character; tabs and line ends stay, carriage returns go.
_VISIBLE = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_VISIBLE.update({code: 0xFFFD for code in range(0x80, 0xA0)})
_VISIBLE[0x7F] = 0x2421
# What shows text in another order than it has: https://trojansource.codes
_VISIBLE.update({code: 0xFFFD for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))})
_VISIBLE_ON_TERMINAL: Dict[int, Optional[int]] = {**_VISIBLE, 13: None}


def prepare_streams(*, utf8: bool = False) -> None:
    """Let stdout and stderr take every character.

    What their encoding cannot show is written as an escape.

    :param utf8: stdout gets JSON, in UTF-8 regardless of the locale, except on a terminal.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # closed, or something else was put in its place
        encoding = stream.encoding
        # Windows gives files and pipes an old code page.
        windows_file = os.name == "nt" and not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
        if (stream is sys.stdout and utf8 and not stream.isatty()) or windows_file:
            encoding = "utf-8"
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def is_terminal(stream: Optional[TextIO]) -> bool:
    """Whether a person looks at this stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def shows_styles(stream: Optional[TextIO]) -> bool:
    """Whether the stream is a terminal that may get escape sequences, https://no-color.org"""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if os.name == "nt":
        os.system("")  # makes the console of Windows obey escape sequences
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
    """The text for a terminal: control characters become visible, and steer nothing."""
    return text.translate(_VISIBLE_ON_TERMINAL)


def one_line(text: str) -> str:
    """The text without line ends and control characters, for a line of ours wherever it goes."""
    return " ".join(text.split()).translate(_VISIBLE)


def row(values: Iterable[object], widths: Iterable[int]) -> str:
    """One line of a table: None is a dash, and a negative width aligns to the right."""
    cells = []
    for value, width in zip(values, widths):
        text = "-" if value is None else one_line(str(value))
        cells.append(text.rjust(-width) if width < 0 else text.ljust(width))
    return "  ".join(cells).rstrip() + "\n"


def print_out(text: str) -> None:
    """Write to stdout, flush, and let no text steer a terminal."""
    Column(sys.stdout).write(text)


def write_quietly(stream: Optional[TextIO], text: str) -> None:
    """Write what is worth no failure: nobody may be listening."""
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError):
        pass


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Let an OSError name the file that the block writes; the system does so for paths alone."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or file
        raise


class Column:
    """A stream that knows whether it stands at the start of a line."""

    def __init__(self, stream: Optional[TextIO]) -> None:
        self._stream = stream
        self._safe = is_terminal(stream)
        self._styles = shows_styles(stream)
        self.at_start = True

    def write(self, text: str, *, dim: bool = False) -> None:
        """Write and flush; a person waits for it."""
        if self._safe:
            text = visible(text)
        if not text or self._stream is None:
            return
        # First this: a Ctrl-C may come as soon as the text is out.
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
    # Valid in JSON as they are, but line ends to many a program.  (A lone
    # surrogate becomes its escape when it is written.)
    return re.sub("[\x85\u2028\u2029]", lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"
