"""The command line: what a person types.

This room has the arguments, ``stream`` and the exit status; the other commands
are in ``cli_*.py``, and what only one command needs is imported when it runs: a
command line is started often, and starts in the time that ``requests`` takes.
"""

import argparse
import errno
import os
import sys
import warnings
from typing import Any, Dict, NoReturn, Optional, Sequence

from ._version import __version__
from .cli_output import (
    DONE,
    FAILED,
    INTERRUPTED,
    USAGE,
    Answer,
    in_options,
    note,
    prepare_streams,
    show_answer,
    status_of,
)
from .cli_request import (
    OFFLINE_PIECE_DELAY,
    attachment,
    generation_config,
    inline_bytes,
    media_directory,
    open_endpoint,
    piped_text,
)
from .endpoint import BASE_URL_VARIABLE, GOOGLE, KEY_VARIABLES
from .errors import ConfigurationError, GeministreamError
from .parts import LARGEST_INLINE
from .stream import stream_generate

DEFAULT_MODEL = "gemini-flash-latest"

_EPILOG = f"""\
environment:
  {" or ".join(KEY_VARIABLES)}
                        the API key.  There is no option for it: every user of a
                        machine can read the command lines of its processes.
  {BASE_URL_VARIABLE}
                        where --base-url is not given

exit status:
  0 done; 1 API or transport error; 2 usage; 3 blocked; 4 the answer ended
  early; 130 Ctrl-C
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit status.

    :param argv: the arguments; None takes the process's.
    """
    prepare_streams()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: note(str(message))
            status = _run(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can be dealt with
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
            return DONE  # whoever read it has had enough
        note(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return FAILED
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
        note(f"this is a bug in geministream {__version__}, please report it: {error!r} at {place}")
        return FAILED


def _run(argv: Sequence[str]) -> int:
    parser, commands = make_parser()
    try:
        if argv and argv[0] == "stream":
            # Options may stand between the words of a prompt ("intermixed"), but
            # not behind a --, of which argparse loses sight there.
            end = argv.index("--") if "--" in argv else len(argv)
            args = commands["stream"].parse_intermixed_args(argv[1:end])
            args.prompt += argv[end + 1 :]
        else:
            args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    status: int = args.run(args)
    return status


def _drop_what_stdout_does_not_take() -> None:
    """Python would try again to write it when it exits, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# The commands ----------------------------------------------------------------


def run_stream(args: argparse.Namespace) -> int:
    """``geministream stream``"""
    if args.json:
        prepare_streams(utf8=True)
    texts = [" ".join(args.prompt), piped_text(sys.stdin)]
    prompt = "\n\n".join(text for text in texts if text.strip())
    if not prompt and not args.file:
        raise ConfigurationError(
            "there is nothing to ask: give a prompt, pipe one in, or give a file with -f"
        )
    config = generation_config(args)
    media = media_directory(args)
    with open_endpoint(args) as endpoint:
        contents: Any = []
        for name in args.file:
            room = LARGEST_INLINE - inline_bytes(contents)
            contents.append(
                attachment(name, endpoint, mime_type=args.mime_type, upload=args.upload, room=room)
            )
        if prompt:
            contents.append(prompt)  # Google's advice: media before the text that is about them
        chunks = stream_generate(
            args.model,
            contents,
            system_instruction=args.system,
            generation_config=config,
            alt=args.alt,
            deadline=args.deadline,
            endpoint=endpoint,
        )
        answer = Answer(
            as_json=args.json,
            thoughts=args.thoughts,
            usage=args.usage,
            media=media,
            whole=args.schema is not None,
        )
        return show_answer(answer, chunks, usage=args.usage)


def run_chat(args: argparse.Namespace) -> int:
    """``geministream chat``"""
    from .cli_chat import run

    return run(args)


def run_files(args: argparse.Namespace) -> int:
    """``geministream files``"""
    from .cli_files import run

    return run(args)


def run_batch(args: argparse.Namespace) -> int:
    """``geministream batch``"""
    from .cli_batch import run

    return run(args)


def run_serve(args: argparse.Namespace) -> int:
    """``geministream serve``"""
    from .cli_serve import run

    return run(args)


# The arguments ---------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Tells an error in one line, as everything here does."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        note(f"{message}; see {self.prog} --help")
        raise SystemExit(USAGE)


def make_parser() -> "tuple[argparse.ArgumentParser, Dict[str, Any]]":
    """The parser, and those of the commands by name."""
    parser = _Parser(
        prog="geministream",
        description="Stream answers from Gemini's streamGenerateContent, wherever it is served.",
        epilog='example: geministream stream "Tell me a story about a lighthouse"\n\n' + _EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"geministream {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, run, add_arguments, help, description in (
        (
            "stream",
            run_stream,
            _stream_arguments,
            "ask once and watch the answer stream in",
            "Ask once; the answer appears on stdout as it arrives.",
        ),
        (
            "chat",
            run_chat,
            _chat_arguments,
            "a conversation in the terminal",
            "A conversation; /help tells its commands.  Ctrl-C stops an answer, Ctrl-D leaves.",
        ),
        (
            "files",
            run_files,
            _files_arguments,
            "upload files, and look after those that are there",
            "Upload files to the Files API, where they live for 48 hours, and look after them.",
        ),
        (
            "batch",
            run_batch,
            _batch_arguments,
            "ask many prompts, several at once",
            "Ask the prompts of a file, several at once.  Each line of it is a JSON string, or an\n"
            "object of request fields (contents, model, generationConfig, ...) and perhaps an id.\n"
            "Each line of the output has the index of a prompt, from 0, and its response or error.\n"
            "Started again after an interruption, it goes on with the prompts that have no line yet.",
        ),
        (
            "serve",
            run_serve,
            _serve_arguments,
            "run the test server, LocalServer, in the foreground",
            "Run LocalServer, a test server that tells back what it receives; it is no model.",
        ),
    ):
        command = commands.add_parser(
            name, help=help, description=description, epilog=None if name == "serve" else _EPILOG
        )
        command.set_defaults(run=run)
        add_arguments(command)
    return parser, commands.choices


_SAVE_MEDIA = "save images and other data of the answer here, and print their paths"


def _stream_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompt",
        nargs="*",
        metavar="PROMPT",
        help="the words of the prompt; what is piped into stdin is added to it",
    )
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        metavar="PATH_OR_URI",
        help="a file to send along: a path, a URI (https://..., gs://...), or the name "
        "(files/...) of an uploaded file; may be repeated",
    )
    parser.add_argument("--mime-type", metavar="TYPE", help="of files whose names do not tell it")
    parser.add_argument(
        "--upload",
        action="store_true",
        help="upload the files, also those that are small enough to send along",
    )
    parser.add_argument("--json", action="store_true", help="print each chunk as one line of JSON")
    parser.add_argument(
        "--alt", choices=("sse", "json"), default="sse", help="the framing to ask the server for"
    )
    parser.add_argument("--usage", action="store_true", help="tell the tokens on stderr")
    parser.add_argument("--save-media", metavar="DIR", help=_SAVE_MEDIA)
    _model_arguments(parser)
    _endpoint_arguments(parser)


def _chat_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--load", metavar="FILE", help="go on with a conversation that /save has saved")
    parser.add_argument("--usage", action="store_true", help="tell the tokens of each answer on stderr")
    parser.add_argument("--save-media", metavar="DIR", help=_SAVE_MEDIA)
    _model_arguments(parser)
    _endpoint_arguments(parser)


def _files_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    upload = actions.add_parser("upload", help="upload files, and print their names")
    upload.add_argument("paths", nargs="+", metavar="PATH")
    upload.add_argument("--wait", action="store_true", help="until the server has processed them")
    upload.add_argument("--mime-type", metavar="TYPE", help="of files whose names do not tell it")
    listing = actions.add_parser("list", help="print all files: name, state, type, size, display name")
    get = actions.add_parser("get", help="print all that the server knows of files")
    delete = actions.add_parser("delete", help="delete files")
    for action in (get, delete):
        action.add_argument("names", nargs="+", metavar="NAME", help="such as files/abc-123")
    for action in (upload, listing, get):
        action.add_argument("--json", action="store_true", help="print each file as one line of JSON")
    for action in (upload, listing, get, delete):
        _endpoint_arguments(action)


def _batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", metavar="PROMPTS.jsonl", help="or - for standard input")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="RESULTS.jsonl",
        help="it is added to, and nothing in it is lost; - (standard output), a pipe or a device is "
        "only written to, so that such a run cannot be resumed",
    )
    parser.add_argument(
        "--workers", type=int, default=8, metavar="NUMBER", help="prompts at once (default: %(default)s)"
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="take the failures of an earlier run out of the output, and ask these prompts again",
    )
    parser.add_argument(
        "--alt", choices=("sse", "json"), default="sse", help="the framing to ask the server for"
    )
    _model_arguments(parser)
    _endpoint_arguments(parser)


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument(
        "--profile",
        default="google",
        help="whose rules it enforces: google, chainhub, bifrost, vertex or gateway (default: %(default)s)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        default="local-key",
        help="the key that it asks for (default: %(default)s)",
    )
    parser.add_argument(
        "--piece-delay",
        type=float,
        metavar="SECONDS",
        default=OFFLINE_PIECE_DELAY,
        help="between two pieces of an answer (default: %(default)s)",
    )


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it should answer."""
    group = parser.add_argument_group("the model")
    group.add_argument("-m", "--model", default=DEFAULT_MODEL, help="default: %(default)s")
    group.add_argument("-s", "--system", metavar="TEXT", help="the system instruction")
    group.add_argument("--temperature", type=float, metavar="NUMBER")
    group.add_argument("--top-p", type=float, metavar="NUMBER")
    group.add_argument("--max-tokens", type=int, metavar="NUMBER", help="the most tokens of the answer")
    group.add_argument("--schema", metavar="FILE.json", help="ask for JSON, in the form of this JSON schema")
    group.add_argument(
        "--thoughts",
        action="store_true",
        help="ask for the model's thoughts; they are dimmed, or on stderr where stdout is no terminal",
    )
    group.add_argument(
        "--deadline",
        type=float,
        metavar="SECONDS",
        help="the longest that one answer may take, retries included",
    )


def _endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the model is, as whom to ask it, and how patiently."""
    group = parser.add_argument_group("the endpoint")
    group.add_argument("--base-url", metavar="URL", help=f"default: {BASE_URL_VARIABLE}, or {GOOGLE}")
    group.add_argument("--api-version", default="v1beta", metavar="PATH", help="default: %(default)s")
    group.add_argument(
        "--auth",
        metavar="HOW",
        help="how the key travels: header, query, bearer, several of these with commas, or none "
        "(default: header)",
    )
    group.add_argument(
        "--upload-protocol",
        choices=("resumable", "multipart"),
        default="resumable",
        help="of the server's Files API (default: %(default)s)",
    )
    group.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="the longest silence that is borne (default: 600)"
    )
    group.add_argument(
        "--retries",
        type=int,
        metavar="NUMBER",
        help="how often a request that failed is sent again (default: 3)",
    )
    group.add_argument(
        "--offline",
        action="store_true",
        help="ask an embedded test server, which is no model; nothing leaves this machine",
    )
