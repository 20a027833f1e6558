"""What a person sees: the answer on stdout as it arrives, everything about it on stderr.

On a terminal the answer's control characters are made visible, since a model, or
who writes in its name, could otherwise steer the terminal; a pipe or a file gets
the text as it is.
"""

import copy
import io
import json
import logging
import os
import re
import sys
from typing import Any, Dict, Optional, TextIO

from .endpoint import KEY_VARIABLES
from .errors import BlockedError
from .types import Blob, FinishReason, GenerateContentResponse, Part, UsageMetadata

# How an answer can end that is neither its end nor a block: the model gave up.
FAILED_FINISH_REASONS = frozenset(
    [
        FinishReason.LANGUAGE,
        FinishReason.OTHER,
        FinishReason.MALFORMED_FUNCTION_CALL,
        FinishReason.IMAGE_OTHER,
        FinishReason.NO_IMAGE,
        FinishReason.UNEXPECTED_TOOL_CALL,
        FinishReason.TOO_MANY_TOOL_CALLS,
        FinishReason.MISSING_THOUGHT_SIGNATURE,
        FinishReason.MALFORMED_RESPONSE,
    ]
)

# C0 and C1 control characters to Unicode's pictures of them, or to the
# replacement character; tabs and line ends stay, carriage returns go.
_VISIBLE = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_VISIBLE.update({code: 0xFFFD for code in range(0x80, 0xA0)})
_VISIBLE[0x7F] = 0x2421
_VISIBLE_ON_TERMINAL: Dict[int, Optional[int]] = {**_VISIBLE, 13: None}


def prepare_streams(*, utf8: bool = False) -> None:
    """Let stdout and stderr take every character.

    What their encoding cannot show is written as an escape.

    :param utf8: stdout is for programs: UTF-8, whatever the locale says.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # closed, or something else was put in its place
        encoding = stream.encoding
        # Windows gives files and pipes an old code page.
        windows_file = os.name == "nt" and not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
        if stream is sys.stdout and utf8 or windows_file:
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

    Whatever ``text`` holds, there is no line end in it, no control character
    and no key of the environment.
    """
    for name in KEY_VARIABLES:
        key = os.environ.get(name, "").strip()
        if len(key) > 4:
            text = text.replace(key, "***")
    line = " ".join(text.split()).translate(_VISIBLE)
    write_quietly(sys.stderr, f"geministream: {line}\n")


def write_quietly(stream: Optional[TextIO], text: str) -> None:
    """Write what is worth no failure: nobody may be listening."""
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError):
        pass


class Answer:
    """One answer on its way to a person, or with ``as_json`` to a program.

    Text goes to stdout.  Thoughts are shown where that was asked for: dimmed
    where stdout is a terminal, and else on stderr, so that a file or a pipe
    holds the answer alone.

    :ivar began: whether anything of the answer has come.
    :ivar blocked: the block, where there is one.
    :ivar finish_reason: the last that came.
    """

    def __init__(self, *, as_json: bool = False, thoughts: bool = False, usage: bool = False) -> None:
        self.began = False
        self.blocked: Optional[BlockedError] = None
        self.finish_reason: Optional[str] = None
        self._as_json = as_json
        self._out = _Column(sys.stdout)
        self._thoughts: Optional[_Column] = None
        if thoughts and not as_json:
            self._thoughts = self._out if is_terminal(sys.stdout) else _Column(sys.stderr)
        self._after_thought = False
        self._resumed = 0
        self._not_shown: Dict[str, str] = {}
        self._usage: Any = None
        if usage:
            from .merging import Merger

            self._usage = Merger()

    def show(self, chunk: GenerateContentResponse) -> None:
        """Print what is new.

        :raises OSError: where stdout takes no more; BrokenPipeError where nobody reads it.
        """
        self.began = True
        if self._usage is not None:
            bare = copy.copy(chunk)
            bare.candidates = None  # the text is not kept, however long the answer
            self._usage.add(bare)
        self.finish_reason = chunk.finish_reason or self.finish_reason
        try:
            chunk.raise_for_block()
        except BlockedError as blocked:
            self.blocked = blocked  # what may still come is not lost for it
        if self._as_json:
            self._out.write(json_line(chunk.to_dict()))
            return
        for part in chunk.parts:
            if isinstance(part.text, str):
                self._show_text(part.text, bool(part.thought))
            else:
                self._show_other(part)

    def _show_text(self, text: str, is_thought: bool) -> None:
        if not text:
            return
        column = self._thoughts if is_thought else self._out
        if column is None:
            return
        if is_thought != self._after_thought:
            (self._out if is_thought else self._thoughts or self._out).end_line()
            if self._after_thought and self._thoughts is self._out:
                self._out.write("\n")
            self._after_thought = is_thought
        column.write(text, dim=is_thought)

    def _show_other(self, part: Part) -> None:
        """Tell, once for each kind, what has no place in a text."""
        kinds = [name for name in part.to_dict() if name not in ("thought", "thoughtSignature")]
        for kind in kinds:
            if kind not in self._not_shown:
                blob = part.inline_data if isinstance(part.inline_data, Blob) else None
                what = f"{blob.mime_type} data" if blob else kind
                self._not_shown[kind] = f"the answer holds {what}, which is not shown; --json shows it"

    def tell_retry(self, text: str) -> None:
        """Tell a person that there is a wait, unless that is in the middle of a line."""
        if self._out.at_start or not is_terminal(sys.stdout):
            note(text)

    def tell_resume(self) -> None:
        """Remember to tell that the answer had broken off."""
        self._resumed += 1

    def end(self) -> None:
        """Let the terminal be at the start of a line, and tell what has been held back."""
        for column in (self._thoughts, self._out):
            if column is not None:
                column.end_line()
        notes = list(self._not_shown.values())
        if self._resumed:
            times = "" if self._resumed == 1 else f" {self._resumed} times"
            notes.append(f"the answer had broken off and was resumed{times}")
        for text in notes:
            note(text)
        self._not_shown = {}
        self._resumed = 0

    @property
    def usage(self) -> str:
        """The tokens in words, or "" where the server told none or nobody asked."""
        response = self._usage.response() if self._usage is not None else GenerateContentResponse()
        if not isinstance(response.usage_metadata, UsageMetadata):
            return ""
        words = usage_in_words(response.usage_metadata)
        hops = response.usage_by_request
        if len(hops) > 1:
            each = "; ".join(usage_in_words(hop) for hop in hops)
            words += f", in {len(hops)} requests ({each})"
        ending = [text for text in (self.finish_reason, response.model_version) if text]
        return ", ".join([words, *ending])


def usage_in_words(usage: UsageMetadata) -> str:
    """``4 prompt + 12 answer = 16 tokens``."""
    counts = [
        (usage.prompt_token_count, "prompt"),
        (usage.tool_use_prompt_token_count, "tools"),
        (usage.thoughts_token_count, "thoughts"),
        (usage.candidates_token_count, "answer"),
    ]
    words = " + ".join(f"{count} {name}" for count, name in counts if count)
    total = usage.total_token_count
    if total is None:
        total = sum(count or 0 for count, _ in counts)
    return " = ".join([word for word in (words, f"{total} tokens") if word])


def json_line(value: Any) -> str:
    """The value as one line of JSON for a UTF-8 stream with ``backslashreplace``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Valid in JSON as they are, but line ends to many a program.  (A lone
    # surrogate becomes its escape when it is written.)
    return re.sub("[\x85\u2028\u2029]", lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"


class ShowRetries(logging.Handler):
    """Tells a person at a terminal what the library only logs: that it tries again, or resumes."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("attempt"):
            self._answer.tell_retry(text.replace(" ,", ","))
        elif text.startswith("resuming"):
            self._answer.tell_resume()

    def __enter__(self) -> None:
        if is_terminal(sys.stderr):
            logger = logging.getLogger("geministream")
            logger.setLevel(logging.DEBUG)
            logger.addHandler(self)

    def __exit__(self, *exc_info: object) -> None:
        logging.getLogger("geministream").removeHandler(self)


class _Column:
    """A stream that knows whether it stands at the start of a line."""

    def __init__(self, stream: Optional[TextIO]) -> None:
        self._stream = stream
        self._safe = is_terminal(stream)
        self._styles = shows_styles(stream)
        self.at_start = True

    def write(self, text: str, *, dim: bool = False) -> None:
        """Write and flush; a person waits for it."""
        if self._safe:
            text = text.translate(_VISIBLE_ON_TERMINAL)
        if not text or self._stream is None:
            return
        # First this: a Ctrl-C may come as soon as the text is out.
        self.at_start = text.endswith("\n")
        self._stream.write(f"\x1b[2m{text}\x1b[22m" if dim and self._styles else text)
        self._stream.flush()

    def end_line(self) -> None:
        """Write a line end unless the last character was one."""
        if not self.at_start:
            self.write("\n")
