"""The command line.

``arguments`` has the commands and their options.  Each command has its own module,
which is imported when the command runs: a command line starts often, so it must
start quickly.
"""

import errno
import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Optional, Sequence

from .._version import __version__
from ..errors import GeministreamError, UnknownFieldWarning
from .arguments import make_parser
from .status import DONE, FAILED, INTERRUPTED, command_line, in_options, status_of, system_error
from .terminal import naming, note, prepare_streams

if TYPE_CHECKING:  # tools that freeze programs find imports, but not import_module()
    from . import batch, chat, completion, count, files, models, serve, stream  # noqa: F401


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit status.

    :param argv: the arguments; default: those of the process.
    """
    prepare_streams()
    command_line[:] = sys.argv[1:] if argv is None else argv
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UnknownFieldWarning)  # always a note, regardless of -W
            warnings.showwarning = lambda message, *_: note(str(message))
            status = _run(command_line)
        if sys.stdout is not None:
            with naming("standard output"):
                sys.stdout.flush()  # here, because a closed pipe is handled below
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except GeministreamError as error:
        note(in_options(error))
        return status_of(error)
    except OSError as error:
        _drop_what_stdout_does_not_take()
        # Windows reports a closed pipe as EINVAL.
        if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
            return DONE  # the reader, such as head, has what it wants
        note(system_error(error))
        return FAILED
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
        note(f"this is a bug in geministream {__version__}, please report it: {error!r} at {place}")
        return FAILED


def _run(argv: Sequence[str]) -> int:
    parser, commands = make_parser(argv[0] if argv else None)
    try:
        if argv and argv[0] in ("stream", "count"):
            # Options may stand between the words of a prompt ("intermixed"), but
            # not after a --, which parse_intermixed_args() ignores.
            end = argv.index("--") if "--" in argv else len(argv)
            args = commands[argv[0]].parse_intermixed_args(argv[1:end])
            args.prompt += argv[end + 1 :]
        else:
            args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    status: int = importlib.import_module(f".{args.command}", __name__).run(args)
    return status


def _drop_what_stdout_does_not_take() -> None:
    """Discard unwritten output; otherwise Python tries to write it at exit, and reports an error."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
