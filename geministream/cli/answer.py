"""Show an answer: its text on stdout as it arrives, everything else on stderr."""

import copy
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

from ..citing import find_sources
from ..errors import BlockedError, GeministreamError, IncompleteStreamError
from ..retry import RetryEvent
from ..types import Blob, FinishReason, GenerateContentResponse, Part, UsageMetadata
from .disk import save_media
from .status import DONE, in_options, problem_of, status_of
from .terminal import Column, is_terminal, json_line, note, one_line
from .waiting import Waiting

CUT_OFF = "answer cut off at the token limit (MAX_TOKENS); raise --max-tokens"


def show_answer(answer: "Answer", chunks: Iterable[GenerateContentResponse], *, usage: bool = False) -> int:
    """Print an answer as it arrives, then notes about it, and return the exit status.

    :param usage: also print the token counts, if the server sent them.
    """
    status = DONE
    last_words: List[str] = []
    try:
        answer.start()
        for chunk in chunks:
            answer.show(chunk)
    except GeministreamError as error:
        status = status_of(error, began=answer.began)
        last_words.append(in_options(error))
        if isinstance(error, IncompleteStreamError) and error.retryable:
            last_words[-1] += "; the answer is truncated, run the command again"
    finally:
        answer.end()
    if status == DONE:
        problem = problem_of(answer.blocked, answer.finish_reason, complete=answer.must_be_complete)
        if problem is not None:
            status = status_of(problem)
            last_words.append(str(problem))
        elif answer.finish_reason == FinishReason.MAX_TOKENS:
            last_words.append(CUT_OFF)
        elif answer.empty:
            last_words.append(f"the answer is empty ({answer.finish_reason})")
    if usage and answer.usage:
        last_words.insert(0, answer.usage)
    for text in last_words:
        note(text)
    return status


class Answer:
    """Shows one answer to a person, or with ``as_json`` to a program.

    Text goes to stdout.  Thoughts are shown if the user asked for them: dimmed
    if stdout is a terminal, otherwise on stderr, so that a file or a pipe
    contains only the answer.

    :param usage: count tokens, for the property ``usage``.
    :param media: the directory for images and other data; their paths are
        printed, one on each line.
    :param complete: whether the answer must be complete; see `problem_of`.
    :ivar began: whether any part of the answer has arrived.
    :ivar empty: whether it has no content except thoughts.
    :ivar blocked: the block, or None.
    :ivar finish_reason: the last one received, or None.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        thoughts: bool = False,
        usage: bool = False,
        media: Optional[Path] = None,
        complete: bool = False,
    ) -> None:
        self.began = False
        self.empty = True
        self.blocked: Optional[BlockedError] = None
        self.finish_reason: Optional[str] = None
        self.must_be_complete = complete
        self._as_json = as_json
        self._media = media
        self._out = Column(sys.stdout)
        self._thoughts: Optional[Column] = None
        if thoughts and not as_json:
            self._thoughts = self._out if is_terminal(sys.stdout) else Column(sys.stderr)
        self._after_thought = False
        self._resumed = 0
        self._waiting = Waiting()
        self._not_shown: Dict[str, str] = {}
        self._sources: Dict[str, None] = {}  # in order
        self._usage: Any = None
        if usage:
            from ..merging import Merger

            self._usage = Merger()

    def start(self) -> None:
        """Start to wait for the first piece."""
        self._waiting.start()

    def show(self, chunk: GenerateContentResponse) -> None:
        """Print a chunk.

        :raises OSError: if stdout cannot be written; BrokenPipeError if the reader has closed it.
        """
        self.began = True
        if self._usage is not None:
            bare = copy.copy(chunk)
            bare.candidates = None  # the text is not kept, so memory stays flat
            self._usage.add(bare)
        self.finish_reason = chunk.finish_reason or self.finish_reason
        try:
            chunk.raise_for_block()
        except BlockedError as blocked:
            self.blocked = blocked  # later chunks are still shown
        if self._as_json:
            self._waiting.stop()
            self._out.write(json_line(chunk.to_dict()))
        else:
            for source in find_sources(chunk):
                self._sources.setdefault(": ".join(filter(None, (source.title, source.uri))))
        for part in chunk.parts:
            self.empty = self.empty and (bool(part.thought) or part.text == "")
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
        self._waiting.stop()
        if is_thought != self._after_thought:
            (self._out if is_thought else self._thoughts or self._out).end_line()
            if self._after_thought and self._thoughts is self._out:
                self._out.write("\n")
            self._after_thought = is_thought
        column.write(text, dim=is_thought)

    def _save(self, blob: Blob, directory: Path) -> None:
        if not isinstance(blob.data, (bytes, bytearray)):
            self._not_shown["no data"] = "the answer contains data that is not valid base64; it was not saved"
            return
        self._waiting.stop()
        path = save_media(blob.data, str(blob.mime_type), directory)
        if self._as_json:
            note(f"saved {path}")
        else:
            self._out.end_line()
            self._out.write(f"{path}\n")

    def _mention(self, part: Part) -> None:
        """Prepare a note, once for each kind, about content that is not text."""
        for kind in part.to_dict():
            if kind in ("thought", "thoughtSignature") or kind in self._not_shown:
                continue
            blob = part.inline_data if isinstance(part.inline_data, Blob) else None
            what = f"{blob.mime_type} data" if blob else kind
            how = "--save-media saves it" if blob else "stream --json shows it"
            self._not_shown[kind] = f"the answer contains {what}, which is not shown; {how}"

    def on_retry(self, event: RetryEvent) -> None:
        """Show at a terminal that there is a wait, unless the cursor is in the middle of a line."""
        self._resumed += event.resuming
        if is_terminal(sys.stderr) and (self._out.at_start or not is_terminal(sys.stdout)):
            self._waiting.retry(event)

    def end(self) -> None:
        """End the line, and print the pending notes."""
        self._waiting.stop()
        for column in (self._thoughts, self._out):
            if column is not None:
                column.end_line()
        self._show_sources()
        notes = list(self._not_shown.values())
        if self._resumed and is_terminal(sys.stderr):
            times = "" if self._resumed == 1 else f" {self._resumed} times"
            notes.append(f"the answer was interrupted and resumed{times}")
        for text in notes:
            note(text)
        self._not_shown = {}
        self._resumed = 0

    def _show_sources(self) -> None:
        """Print footnotes: below the answer on a terminal, otherwise on stderr, like thoughts."""
        for number, source in enumerate(self._sources, 1):
            line = f"[{number}] {source}"
            if is_terminal(sys.stdout):
                self._out.write(("\n" if number == 1 else "") + one_line(line) + "\n", dim=True)
            else:
                note(line)
        self._sources = {}

    @property
    def total_tokens(self) -> int:
        """The total tokens of all requests; 0 if unknown."""
        usage = self._usage.response().usage_metadata if self._usage is not None else None
        return usage.total_token_count or 0 if isinstance(usage, UsageMetadata) else 0

    @property
    def usage(self) -> str:
        """The tokens as text, or "" if unknown."""
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
