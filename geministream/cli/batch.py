"""``geministream batch``: send the prompts of a file, several at once, and resume after interruptions.

All state is in the output.  Each prompt has one line there, written in one piece
when its answer is complete; so a killed process leaves complete lines and at most
one truncated line at the end, which the next run removes and replaces.  A line's
``input`` is a hash of the prompt's line, so that an output is never resumed with
other prompts.  A run whose output is not a regular file (stdout, a pipe, a
device) cannot be resumed.
"""

import argparse
import hashlib
import os
import stat
import sys
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Deque, Dict, Iterator, Optional

from ..batch import BatchResult, generate_many
from ..depth import DEEPEST, loads
from ..errors import APIError, BlockedError, ConfigurationError
from .batch_progress import Progress
from .disk import replacing
from .generation import model_of, request_fields
from .progress import telling
from .request import open_endpoint
from .status import DONE, FAILED, in_options, problem_of, reason_of
from .terminal import json_line, naming, visible

# How every line of the output begins.
_BEGINNING = b'{"index":'


def run(args: argparse.Namespace) -> int:
    """Send all prompts that have no line in the output yet."""
    fields = request_fields(args)
    name = "standard input" if args.prompts == "-" else args.prompts
    with ExitStack() as stack:
        prompts = stack.enter_context(_open_prompts(args.prompts))
        output, done = stack.enter_context(_open_output(args.output, prompts, args.retry_failed))
        total = _survey(prompts, name, done)
        endpoint = stack.enter_context(open_endpoint(args))
        progress = Progress(total, len(done.inputs), done.failed)
        writer = _Writer(args, name, output, progress)
        results = generate_many(
            writer.requests(prompts, done),
            max_workers=args.workers,
            model=model_of(args),
            alt=args.alt,
            endpoint=telling(endpoint, progress.on_retry),
            deadline=args.deadline,
            **fields,
        )
        last_words = "interrupted; rerun the same command to resume" if _is_regular(output) else "interrupted"
        try:
            progress.start()
            with closing(results):
                for result in results:
                    writer.result(result)
            last_words = "--retry-failed sends the failed prompts again" if progress.failed else ""
        finally:
            try:
                writer.write_early_ones()
            finally:
                progress.end(last_words)
            if _is_regular(output):
                os.fsync(output.fileno())
    return FAILED if progress.failed else DONE


# The prompts -------------------------------------------------------------------


@contextmanager
def _open_prompts(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        if sys.stdin is None:
            raise ConfigurationError("standard input is closed; name a file of prompts")
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {reason_of(error)}; name a file of prompts, or - for standard input"
        ) from error
    with file:
        yield file


def _survey(file: BinaryIO, path: str, done: "_Done") -> Optional[int]:
    """Count the prompts, and check those that are done; None if the file can be read only once."""
    if not _is_regular(file):
        return None
    count, start = 0, file.tell()  # standard input may not be at its start
    for index, line in enumerate(file):
        if line.strip():
            count += 1
            done.has(index, line, path)
    file.seek(start)
    return count


def _is_regular(file: BinaryIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


@dataclass
class _Place:
    """The place of a prompt in the input."""

    index: int  # of its line, from 0
    id: Any
    input: str

    def fields(self) -> Dict[str, Any]:
        fields: Dict[str, Any] = {"index": self.index, "input": self.input}
        if self.id is not None:
            fields["id"] = self.id
        return fields


def _hash(line: bytes) -> str:
    return hashlib.sha256(line.strip()).hexdigest()[:16]


def _request(line: bytes, is_text: bool) -> "tuple[Any, Any]":
    """The request in a line, and its id.

    :raises ConfigurationError: if the line is not valid.
    """
    try:
        if is_text:
            return {"contents": line.decode("utf-8-sig").strip("\r\n")}, None
        value = loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigurationError("the line is not UTF-8") from None
    except ValueError as error:
        raise ConfigurationError(f"the line is not valid JSON: {error}") from None
    if isinstance(value, str):
        return {"contents": value}, None
    if not isinstance(value, dict):
        raise ConfigurationError("the line is neither a JSON string nor an object")
    return value, value.pop("id", None)


# The output --------------------------------------------------------------------


class _Done:
    """The prompts that have a result in the output.

    :ivar inputs: the hash of each prompt that is done, by its index.
    :ivar failed: how many of them failed.
    """

    def __init__(self) -> None:
        self.inputs: Dict[int, str] = {}
        self.failed = 0

    def has(self, index: int, line: bytes, path: str) -> bool:
        """Whether the prompt in this line is done.

        :raises ConfigurationError: if the output has the result of another prompt there.
        """
        if index not in self.inputs:
            return False
        if self.inputs[index] != _hash(line):
            raise ConfigurationError(
                f"line {index + 1} of {path} is not the one that the output has a result for; "
                "use another -o for other prompts"
            )
        return True


@contextmanager
def _open_output(path: str, prompts: BinaryIO, retry_failed: bool) -> "Iterator[tuple[BinaryIO, _Done]]":
    """Open the output for this process alone, and read what earlier runs have done.

    With ``retry_failed`` the failures are removed.
    """
    if path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
        if retry_failed:
            raise ConfigurationError("--retry-failed needs a regular file as the output; name one with -o")
        with _opened(path, "wb") as output:
            _check_differs(output, prompts)
            yield output, _Done()
        return
    with _locked(path) as output:
        _check_differs(output, prompts)
        done = _read_output(path, output)
        if not (retry_failed and done.failed):
            yield output, done
            return
        with replacing(path) as kept:
            for _, line, _ in _lines(path):
                if "error" not in (_result_in(line) or {}):
                    kept.write(line)
            if os.name == "nt":
                output.close()  # Windows cannot replace an open file
    with _locked(path) as output:
        yield output, _read_output(path, output)


def _opened(path: str, mode: str) -> BinaryIO:
    """Open the output unbuffered, so that each line reaches the operating system at once."""
    if path == "-" and sys.stdout is None:
        raise ConfigurationError("standard output is closed; name a file with -o")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise ConfigurationError(f"-o {path}: there is no directory {folder}; create it first")
    try:
        if path == "-":
            return open(sys.stdout.fileno(), mode, buffering=0, closefd=False)  # type: ignore[return-value]
        return open(path, mode, buffering=0)  # type: ignore[return-value]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"-o {path}: {reason_of(error)}; name a file that can be written") from error


def _check_differs(output: BinaryIO, prompts: BinaryIO) -> None:
    same = os.path.samestat(os.fstat(output.fileno()), os.fstat(prompts.fileno()))
    if same and _is_regular(output):
        raise ConfigurationError("-o cannot be the file of the prompts; name another file")


@contextmanager
def _locked(path: str) -> Iterator[BinaryIO]:
    try:
        import fcntl
    except ImportError:  # Windows
        with _opened(path, "a+b") as file:
            yield file
        return
    while True:
        with _opened(path, "a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigurationError(f"another batch is writing to {path}") from None
            # Before the lock, --retry-failed in another process may have replaced the file.
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield file
                return


def _read_output(path: str, output: BinaryIO) -> _Done:
    """Read what earlier runs have done, and remove a truncated last line."""
    done = _Done()
    for number, line, start in _lines(path):
        result = _result_in(line)
        if result is None:
            # A power failure may have left zeros.
            torn = line.rstrip(b"\0")
            if line.endswith(b"\n") or not (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn)):
                raise ConfigurationError(
                    f"line {number} of {path} is not a result of a batch; name another file with -o"
                )
            output.truncate(start)
            break
        done.failed += "error" in result
        done.inputs[result["index"]] = result["input"]
        if not line.endswith(b"\n"):  # only the line end is missing
            output.write(b"\n")
            break
    return done


def _lines(path: str) -> "Iterator[tuple[int, bytes, int]]":
    """The lines of the output: number (from 1), bytes, and offset of each."""
    start = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line, start
            start += len(line)


def _result_in(line: bytes) -> Optional[Dict[str, Any]]:
    """The result in a line; None if it is not a result, or truncated."""
    if not line.startswith(_BEGINNING):
        return None
    try:
        value = loads(line, DEEPEST + 1)  # the record around an answer is one level
    except ValueError:
        return None
    is_ours = type(value["index"]) is int and isinstance(value.get("input"), str)
    return value if is_ours else None


class _Writer:
    """Reads prompts for `generate_many`, and writes a line for each result."""

    def __init__(self, args: argparse.Namespace, prompts: str, output: BinaryIO, progress: Progress) -> None:
        self._prompts = prompts
        self._path = args.output
        self._strict = args.strict
        self._lines = args.lines
        self._ordered = args.ordered
        self._turns: Deque[int] = deque()  # the prompts without a written result, in order
        self._early: Dict[int, str] = {}  # results of prompts whose turn has not come
        self._output = output
        self._is_regular = _is_regular(output)
        self._progress = progress
        self._places: Dict[int, _Place] = {}  # of the prompts in progress, by generate_many's index
        self._taken = 0

    def requests(self, prompts: BinaryIO, done: _Done) -> Iterator[Any]:
        """The requests of the prompts that are not done yet."""
        for index, line in enumerate(prompts):
            if not line.strip() or done.has(index, line, self._prompts):
                continue
            place = _Place(index, None, _hash(line))
            self._turns.append(index)
            try:
                request, place.id = _request(line, self._lines)
                if "contents" not in request:
                    raise ConfigurationError("the object has no contents")
            except ConfigurationError as error:
                self._failed(place, error, {})
                continue
            self._places[self._taken] = place
            self._taken += 1
            yield request

    def result(self, result: BatchResult) -> None:
        """Write the result of a prompt."""
        place = self._places.pop(result.index)
        more: Dict[str, Any] = {"attempts": result.attempts, "seconds": round(result.seconds, 3)}
        response, error = result.response, result.error
        if response is not None:
            self._progress.count(response)
            error = problem_of(_block_of(response), response.finish_reason, complete=self._strict)
            more = {"text": response.text, **more, "response": response.to_dict()}
        elif getattr(error, "partial", None) is not None:
            more["partial"] = error.partial.to_dict()  # type: ignore[union-attr]
        if error is None:
            self._write({**place.fields(), **more})
            self._progress.one_done()
        else:
            self._failed(place, error, more)

    def _failed(self, place: _Place, error: Exception, more: Dict[str, Any]) -> None:
        self._write({**place.fields(), "error": _error_fields(error), **more})
        self._progress.one_failed(f"line {place.index + 1} of {self._prompts}: {in_options(error)}")

    def _write(self, fields: Dict[str, Any]) -> None:
        line = json_line(fields)
        if not self._ordered:
            self._print(line)
            return
        self._early[fields["index"]] = line
        while self._turns and self._turns[0] in self._early:
            self._print(self._early.pop(self._turns.popleft()))

    def write_early_ones(self) -> None:
        """After an interruption, write the results that wait for their turn, so that they are not lost."""
        while self._early:
            self._print(self._early.pop(min(self._early)))

    def _print(self, line: str) -> None:
        if self._output.isatty():
            with self._progress.away():
                self._write_line(visible(line))
        else:
            self._write_line(line)

    def _write_line(self, line: str) -> None:
        start = self._output.seek(0, os.SEEK_END) if self._is_regular else 0
        data = memoryview(line.encode("utf-8", "backslashreplace"))
        try:
            with naming("standard output" if self._path == "-" else self._path):
                while data:
                    data = data[self._output.write(data) :]
        except BaseException:
            # After a full disk or Ctrl-C, other lines may follow; remove the partial line.
            if self._is_regular:
                self._output.truncate(start)
            raise


def _block_of(response: Any) -> Optional[BlockedError]:
    try:
        response.raise_for_block()
    except BlockedError as blocked:
        return blocked
    return None


def _error_fields(error: Exception) -> Dict[str, Any]:
    fields: Dict[str, Any] = {"type": type(error).__name__, "message": in_options(error)}
    if isinstance(error, APIError):
        fields["code"] = error.code
        fields["status"] = error.status
        fields["details"] = error.details
    if isinstance(error, BlockedError):
        fields["reason"] = error.reason
    token = getattr(error, "continuation_token", None)
    if token is not None:
        fields["continuationToken"] = token
    return fields
