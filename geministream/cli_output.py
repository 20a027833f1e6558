"""What a person sees: the answer on stdout as it arrives, everything about it on stderr.

On a terminal the control characters of all that others wrote are made visible,
since a model, a server or a file's name could otherwise steer the terminal:
everything goes through `visible` or `one_line`.  A pipe or a file gets an answer
as it is.
"""

import copy
import io
import json
import logging
import os
import re
import stat
import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Callable, Deque, Dict, Iterable, Iterator, List, Optional, TextIO, Tuple

from .endpoint import KEY_VARIABLES
from .errors import (
    BlockedError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    StreamTimeoutError,
)
from .types import Blob, FinishReason, GenerateContentResponse, Part, UsageMetadata

# The exit statuses.
DONE, FAILED, USAGE, BLOCKED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 130

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
# What shows text in another order than it has: https://trojansource.codes
_VISIBLE.update({code: 0xFFFD for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))})
_VISIBLE_ON_TERMINAL: Dict[int, Optional[int]] = {**_VISIBLE, 13: None}


def prepare_streams(*, utf8: bool = False) -> None:
    """Let stdout and stderr take every character.

    What their encoding cannot show is written as an escape.

    :param utf8: what goes to stdout is JSON: UTF-8, whatever the locale says, but on a terminal.
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

    Whatever ``text`` holds, there is no line end in it, no control character
    and no key of the environment.
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


def print_out(text: str) -> None:
    """Write to stdout, flush, and let no text steer a terminal."""
    _Column(sys.stdout).write(text)


def write_quietly(stream: Optional[TextIO], text: str) -> None:
    """Write what is worth no failure: nobody may be listening."""
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError):
        pass


def status_of(error: GeministreamError, *, began: bool = False) -> int:
    """The exit status for an error.

    :param began: whether something of the answer had come.
    """
    if isinstance(error, ConfigurationError):
        return USAGE
    if isinstance(error, BlockedError):
        return BLOCKED
    if isinstance(error, IncompleteStreamError) or (isinstance(error, StreamTimeoutError) and began):
        return INCOMPLETE
    return FAILED


def reason_of(error: Exception) -> str:
    """Why a path cannot be used: the system's words for an OSError, Python's for what is no path."""
    return getattr(error, "strerror", None) or str(error)


def in_options(error: BaseException) -> str:
    """The error's text, with the command line's names for the library's arguments."""
    text = str(error) or type(error).__name__
    for argument, option in (
        ("set Endpoint(timeout=)", "give --timeout"),
        ("(auth=)", "(--auth)"),
        ("call wait_for_file() again, or give it longer", "try again later"),
        ("read it and use part_from_bytes()", "copy it into one first"),
        ("use part_from_uri('gs://…')", "name it with -f gs://..."),
    ):
        text = text.replace(argument, option)
    return text


# An answer -------------------------------------------------------------------


def show_answer(answer: "Answer", chunks: Iterable[GenerateContentResponse], *, usage: bool = False) -> int:
    """Print an answer as it arrives, then what there is to say about it, and return the exit status.

    :param usage: also tell the tokens, where the answer counts them.
    """
    status = DONE
    last_words: List[str] = []
    try:
        with telling_retries(answer.tell_retry, answer.tell_resume):
            for chunk in chunks:
                answer.show(chunk)
    except GeministreamError as error:
        status = status_of(error, began=answer.began)
        last_words.append(in_options(error))
    finally:
        answer.end()
    if status == DONE:
        problem = problem_of(answer.blocked, answer.finish_reason, whole=answer.must_be_whole)
        if problem is not None:
            status = status_of(problem)
            last_words.append(str(problem))
        elif answer.finish_reason == FinishReason.MAX_TOKENS:
            last_words.append("the answer has as many tokens as it may have (MAX_TOKENS)")
    if usage and answer.usage:
        last_words.insert(0, answer.usage)
    for text in last_words:
        note(text)
    return status


def problem_of(
    blocked: Optional[BlockedError], finish_reason: Optional[str], *, whole: bool = False
) -> Optional[GeministreamError]:
    """What is wrong with an answer whose stream ended well; None where nothing is.

    :param whole: an answer that was cut off is of no use, as half a JSON text.
    """
    if blocked is not None:
        return blocked
    if finish_reason in FAILED_FINISH_REASONS or (whole and finish_reason == FinishReason.MAX_TOKENS):
        return IncompleteStreamError(f"the answer ended early: {finish_reason}")
    return None


class Answer:
    """One answer on its way to a person, or with ``as_json`` to a program.

    Text goes to stdout.  Thoughts are shown where that was asked for: dimmed
    where stdout is a terminal, and else on stderr, so that a file or a pipe
    holds the answer alone.

    :param usage: count tokens, for the property of that name.
    :param media: the directory for images and other data; their paths are
        printed, each on a line of its own.
    :param whole: see `problem_of`.
    :ivar began: whether anything of the answer has come.
    :ivar blocked: the block, where there is one.
    :ivar finish_reason: the last that came.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        thoughts: bool = False,
        usage: bool = False,
        media: Optional[Path] = None,
        whole: bool = False,
    ) -> None:
        self.began = False
        self.blocked: Optional[BlockedError] = None
        self.finish_reason: Optional[str] = None
        self.must_be_whole = whole
        self._as_json = as_json
        self._media = media
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
        for part in chunk.parts:
            if self._media is not None and isinstance(part.inline_data, Blob):
                self._save(part.inline_data, self._media)
            elif isinstance(part.text, str) and not self._as_json:
                self._show_text(part.text, bool(part.thought))
            elif not self._as_json:
                self._mention(part)

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

    def _save(self, blob: Blob, directory: Path) -> None:
        if not isinstance(blob.data, (bytes, bytearray)):
            self._not_shown["no data"] = "the answer holds data that is not base64, which was not saved"
            return
        path = save_media(blob.data, str(blob.mime_type), directory)
        if self._as_json:
            note(f"saved {path}")
        else:
            self._out.end_line()
            self._out.write(f"{path}\n")

    def _mention(self, part: Part) -> None:
        """Tell, once for each kind, what has no place in a text."""
        for kind in part.to_dict():
            if kind in ("thought", "thoughtSignature") or kind in self._not_shown:
                continue
            blob = part.inline_data if isinstance(part.inline_data, Blob) else None
            what = f"{blob.mime_type} data" if blob else kind
            how = "--save-media saves it" if blob else "stream --json shows it"
            self._not_shown[kind] = f"the answer holds {what}, which is not shown; {how}"

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
    def total_tokens(self) -> int:
        """The tokens of all requests; 0 where the server told none or nobody asked."""
        usage = self._usage.response().usage_metadata if self._usage is not None else None
        return usage.total_token_count or 0 if isinstance(usage, UsageMetadata) else 0

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


def save_media(data: bytes, mime_type: str, directory: Path) -> Path:
    """Write data to a file of its own in the directory, and return its path; no file is replaced."""
    import mimetypes

    essence = mime_type.partition(";")[0].strip().lower()
    # Nothing of the server's but its type, which is looked up, gets into the path.
    kind = essence.partition("/")[0]
    kind = kind if kind in ("image", "audio", "video", "text") else "data"
    suffix = _SUFFIXES.get(essence) or mimetypes.guess_extension(essence) or ".bin"
    number = 1
    while True:
        path = directory / f"{kind}-{number}{suffix}"
        try:
            file = open(path, "xb")
            break
        except FileExistsError:
            number += 1
    try:
        with file:
            file.write(data)
    except BaseException:
        os.unlink(path)  # half an image is none
        raise
    return path


# What the standard library of Python 3.8 does not know, or knows by an odd name.
_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/l16": ".pcm",
    "audio/pcm": ".pcm",
    "text/plain": ".txt",
}


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A file whose content becomes that of ``path`` when the block has ended well, all at once.

    ``path`` stays what it is: a link stays a link, and the file keeps its mode,
    and its owner where that is allowed.
    """
    target = os.path.realpath(path)
    beside = f"{target}.{os.urandom(4).hex()}.tmp"
    before = os.stat(target) if os.path.exists(target) else None
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode)
    file = open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode & 0o777))
    try:
        with file:
            yield file
            file.flush()
            if before is not None:
                os.chmod(beside, _take_owner(beside, before, mode))
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise


def _take_owner(path: str, before: os.stat_result, mode: int) -> int:
    """Give the file the owner and group of another; the mode that it may then have."""
    for owner in (before.st_uid, -1) if hasattr(os, "chown") else ():
        try:
            os.chown(path, owner, before.st_gid)
            return mode
        except PermissionError:
            pass  # giving files away takes root
    return mode & ~stat.S_IRWXG if hasattr(os, "chown") else mode  # that was meant for another group


# While it takes its time --------------------------------------------------------


@contextmanager
def telling_retries(tell_retry: Callable[[str], None], tell_resume: Callable[[], None]) -> Iterator[None]:
    """Tell a person at a terminal what the library only logs: that it tries again, or resumes."""
    if not is_terminal(sys.stderr):
        yield
        return
    handler = _Listener(tell_retry, tell_resume)
    logger = logging.getLogger("geministream")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Listener(logging.Handler):
    def __init__(self, tell_retry: Callable[[str], None], tell_resume: Callable[[], None]) -> None:
        super().__init__()
        self._tell_retry = tell_retry
        self._tell_resume = tell_resume

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("attempt"):
            self._tell_retry(text.replace(" ,", ","))
        elif text.startswith("resuming"):
            self._tell_resume()


class ProgressLine:
    """A line on stderr that is written anew as things go on; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._on = is_terminal(sys.stderr)
        self._text = ""
        self._due = 0.0

    def show(self, text: str, *, now: bool = False) -> None:
        """Write it, though not more often than ten times a second, but for ``now``."""
        if not self._on or (time.monotonic() < self._due and not now):
            return
        self._due = time.monotonic() + 0.1
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            columns = 80
        text = visible(" ".join(text.splitlines()))[: max(columns - 1, 1)]
        write_quietly(sys.stderr, "\r" + text.ljust(len(self._text)))
        self._text = text

    def clear(self) -> None:
        """Take it away."""
        if self._text:
            write_quietly(sys.stderr, "\r" + " " * len(self._text) + "\r")
            self._text = ""

    def note(self, text: str) -> None:
        """A note that stays, above the line."""
        line = self._text
        self.clear()
        note(text)
        if line:
            self.show(line, now=True)


class Rate:
    """How fast something goes, by the last half minute.

    :ivar seconds: since the beginning.
    """

    WINDOW = 30.0

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._amounts: Deque[Tuple[float, float]] = deque([(self._began, 0.0)])  # when, how much by then

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def reached(self, amount: float) -> None:
        """So much is done by now, since the beginning."""
        now = time.monotonic()
        self._amounts.append((now, amount))
        while len(self._amounts) > 2 and self._amounts[1][0] < now - self.WINDOW:
            self._amounts.popleft()

    @property
    def per_second(self) -> float:
        (began, before), (ended, after) = self._amounts[0], self._amounts[-1]
        return max(after - before, 0.0) / (ended - began) if ended > began else 0.0

    def time_left(self, amount: float) -> str:
        """For so much more: ``0:08 left``, or "" where it cannot be told."""
        rate = self.per_second
        return f"{duration(amount / rate)} left" if rate > 0 else ""


def duration(seconds: float) -> str:
    """``0:08``, ``12:34``, ``1:02:03``"""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """``999 B``, ``1.5 kB``, ``12.0 MB``"""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            break
    return f"{count:.1f} {unit}"


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
            text = visible(text)
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
