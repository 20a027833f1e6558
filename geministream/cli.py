"""The command line: what a person types.

Each subcommand is a function that takes the parsed arguments and returns the
exit status.  What only one of them needs is imported in it: a command line is
started often, and starts in the time that ``requests`` takes.
"""

import argparse
import errno
import os
import re
import select
import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Sequence, TextIO

from ._version import __version__
from .cli_output import (
    FAILED_FINISH_REASONS,
    Answer,
    ShowRetries,
    is_terminal,
    note,
    prepare_streams,
)
from .endpoint import BASE_URL_VARIABLE, GOOGLE, KEY_VARIABLES, Endpoint, Retry
from .errors import (
    BlockedError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    StreamTimeoutError,
)
from .parts import check_file, guess_mime_type, part_from_path, part_from_uri
from .stream import stream_generate

DONE, FAILED, USAGE, BLOCKED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 130

DEFAULT_MODEL = "gemini-flash-latest"

# Seconds between two pieces of the embedded server: a person sees it stream.
_OFFLINE_PIECE_DELAY = 0.025

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
            args = parser.parse_args(argv)  # help, the version or an error
    except SystemExit as stop:
        return int(stop.code or 0)
    status: int = args.run(args)
    return status


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


def in_options(error: GeministreamError) -> str:
    """The error's text, with the command line's names for the library's arguments."""
    text = str(error)
    for argument, option in (("set Endpoint(timeout=)", "give --timeout"), ("(auth=)", "(--auth)")):
        text = text.replace(argument, option)
    return text


def _drop_what_stdout_does_not_take() -> None:
    """Python would try again to write it when it exits, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    """The parser, and those of the subcommands by name."""
    parser = _Parser(
        prog="geministream",
        description="Stream answers from Gemini's streamGenerateContent, wherever it is served.",
        epilog='example: geministream stream "Tell me a story about a lighthouse"\n\n' + _EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"geministream {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)

    stream = commands.add_parser(
        "stream",
        help="ask once and watch the answer stream in",
        description="Ask once; the answer appears on stdout as it arrives.",
        epilog=_EPILOG,
    )
    stream.set_defaults(run=run_stream)
    stream.add_argument(
        "prompt",
        nargs="*",
        metavar="PROMPT",
        help="the words of the prompt; what is piped into stdin is added to it",
    )
    stream.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        metavar="PATH_OR_URI",
        help="a file to send along: a path, a URI (https://..., gs://...), or the name "
        "(files/...) of an uploaded file; may be repeated",
    )
    stream.add_argument("--mime-type", metavar="TYPE", help="of files whose names do not tell it")
    stream.add_argument("--json", action="store_true", help="print each chunk as one line of JSON")
    stream.add_argument(
        "--alt", choices=("sse", "json"), default="sse", help="the framing to ask the server for"
    )
    add_model_arguments(stream)
    add_endpoint_arguments(stream)
    stream.add_argument(
        "--deadline", type=float, metavar="SECONDS", help="the longest that all may take"
    )

    serve = commands.add_parser(
        "serve",
        help="run the test server, LocalServer, in the foreground",
        description="Run LocalServer, a test server that tells back what it receives; it is no model.",
    )
    serve.set_defaults(run=run_serve)
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    serve.add_argument("--port", type=int, default=0, help="default: any that is free")
    serve.add_argument(
        "--profile",
        default="google",
        help="whose rules it enforces: google, chainhub, bifrost, vertex or gateway (default: %(default)s)",
    )
    serve.add_argument(
        "--api-key", metavar="KEY", default="local-key", help="the key that it asks for (default: %(default)s)"
    )
    serve.add_argument(
        "--piece-delay",
        type=float,
        metavar="SECONDS",
        default=_OFFLINE_PIECE_DELAY,
        help="between two pieces of an answer (default: %(default)s)",
    )
    return parser, commands.choices


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it should answer."""
    group = parser.add_argument_group("the model")
    group.add_argument("-m", "--model", default=DEFAULT_MODEL, help="default: %(default)s")
    group.add_argument("-s", "--system", metavar="TEXT", help="the system instruction")
    group.add_argument("--temperature", type=float, metavar="NUMBER")
    group.add_argument("--top-p", type=float, metavar="NUMBER")
    group.add_argument("--max-tokens", type=int, metavar="NUMBER", help="the most tokens of the answer")
    group.add_argument(
        "--thoughts",
        action="store_true",
        help="ask for the model's thoughts; they are dimmed, or on stderr where stdout is no terminal",
    )
    group.add_argument("--usage", action="store_true", help="tell the tokens on stderr")


def add_endpoint_arguments(parser: argparse.ArgumentParser) -> None:
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


# What the arguments mean -----------------------------------------------------


@contextmanager
def open_endpoint(args: argparse.Namespace) -> Iterator[Endpoint]:
    """The endpoint that the arguments name; the embedded server lives as long."""
    settings: Dict[str, Any] = {}
    if args.timeout is not None:
        settings["timeout"] = (min(args.timeout, 10), args.timeout)
    if args.retries is not None:
        settings["retry"] = Retry(attempts=args.retries + 1)
    if not args.offline:
        if args.auth is not None:
            ways = [way.strip() for way in args.auth.split(",")]
            settings["auth"] = () if ways == ["none"] else tuple(ways)
        base_url = args.base_url or os.environ.get(BASE_URL_VARIABLE) or GOOGLE
        endpoint = Endpoint(base_url, args.api_version, **settings)
        if endpoint.ways and not any(os.environ.get(name) for name in KEY_VARIABLES):
            raise ConfigurationError(
                f"no API key: set {' or '.join(KEY_VARIABLES)} in the environment; "
                "a server that needs none takes --auth none"
            )
        yield endpoint
        return
    if args.base_url or args.auth:
        raise ConfigurationError("--offline has an endpoint of its own: leave out --base-url and --auth")
    import requests

    from .testing import LocalServer

    note("offline: the answers come from an embedded test server, which is no model")
    with LocalServer(piece_delay=_OFFLINE_PIECE_DELAY, keep_requests=0) as server, requests.Session() as session:
        session.trust_env = False  # a proxy of the environment would be another machine
        yield replace(server.endpoint, session=session, **settings)


def generation_config(args: argparse.Namespace) -> Optional[Dict[str, Any]]:
    """The request's ``generationConfig``, or None where nothing was asked for."""
    config = {
        "temperature": args.temperature,
        "topP": args.top_p,
        "maxOutputTokens": args.max_tokens,
        "thinkingConfig": {"includeThoughts": True} if args.thoughts else None,
    }
    return {name: value for name, value in config.items() if value is not None} or None


def attachment(name: str, endpoint: Endpoint, mime_type: Optional[str] = None) -> Any:
    """What ``-f`` names, as something that goes into contents.

    :param mime_type: where the name does not tell it.
    :raises ConfigurationError: where there is no such file, or its type is not known.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return part_from_uri(name, mime_type)
    if re.fullmatch(r"files/[a-z0-9-]+", name) and not os.path.exists(name):
        from .files import get_file

        return get_file(name, endpoint=endpoint)
    return part_from_path(name, mime_type or mime_type_of_file(name))


def mime_type_of_file(path: str) -> str:
    """The MIME type that the file's name tells, or plain text where that is what is in it.

    :raises ConfigurationError: where there is no such file, or it is neither.
    """
    check_file(Path(path))
    mime_type = guess_mime_type(path)
    if mime_type is None:
        with open(path, "rb") as file:
            head = file.read(2**16)
        # A character may be cut in half at the end; b"\0" is text to UTF-8 alone.
        if b"\0" in head or "\ufffd" in head.decode("utf-8", "replace")[:-1]:
            raise ConfigurationError(f"the name of {path} does not tell its MIME type; give --mime-type")
        mime_type = "text/plain"
    return mime_type


def piped_text(stdin: Optional[TextIO]) -> str:
    """What is piped into stdin; "" where it is a terminal, empty or closed.

    :raises ConfigurationError: where that is no text.
    """
    if stdin is None or is_terminal(stdin):
        return ""
    _warn_of_silence(stdin)
    data = stdin.buffer.read()
    # Windows PowerShell pipes UTF-16, and older programs there their code page.
    encodings = ["utf-16"] if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", stdin.encoding]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.strip("\r\n")
    raise ConfigurationError("what is piped in is no text; give a file with -f")


def _warn_of_silence(stdin: TextIO) -> None:
    """Tell a person why nothing happens, where stdin is a pipe into which nobody writes."""
    try:
        if not select.select([stdin], [], [], 2.0)[0]:
            note("waiting for standard input to end; add </dev/null where there is none")
    except (OSError, ValueError):
        pass  # Windows can select on sockets alone


# The subcommands -------------------------------------------------------------


def run_stream(args: argparse.Namespace) -> int:
    """``geministream stream``"""
    if args.json:
        prepare_streams(utf8=True)
    texts = [" ".join(args.prompt), piped_text(sys.stdin)]
    prompt = "\n\n".join(text for text in texts if text.strip())
    if not prompt and not args.file:
        raise ConfigurationError("there is nothing to ask: give a prompt, pipe one in, or give a file with -f")
    with open_endpoint(args) as endpoint:
        # Google's advice: media before the text that is about them.
        contents = [attachment(name, endpoint, args.mime_type) for name in args.file]
        chunks = stream_generate(
            args.model,
            [*contents, prompt] if prompt else contents,
            system_instruction=args.system,
            generation_config=generation_config(args),
            alt=args.alt,
            deadline=args.deadline,
            endpoint=endpoint,
        )
        answer = Answer(as_json=args.json, thoughts=args.thoughts, usage=args.usage)
        return show_answer(answer, chunks)


def show_answer(answer: Answer, chunks: Iterator[Any]) -> int:
    """Print an answer as it arrives, then what there is to say about it, and return the exit status."""
    status = DONE
    last_words: List[str] = []
    try:
        with ShowRetries(answer):
            for chunk in chunks:
                answer.show(chunk)
    except GeministreamError as error:
        status = status_of(error, began=answer.began)
        last_words.append(in_options(error))
    finally:
        answer.end()
    if status == DONE:
        if answer.blocked is not None:
            status = BLOCKED
            last_words.append(str(answer.blocked))
        elif answer.finish_reason in FAILED_FINISH_REASONS:
            status = INCOMPLETE
            last_words.append(f"the answer ended early: {answer.finish_reason}")
        elif answer.finish_reason == "MAX_TOKENS":
            last_words.append("the answer has as many tokens as it may have (MAX_TOKENS)")
    if answer.usage:
        last_words.insert(0, answer.usage)
    for text in last_words:
        note(text)
    return status


def run_serve(args: argparse.Namespace) -> int:
    """``geministream serve``"""
    from .testing import LocalServer
    from .testing.profiles import PROFILES

    if args.profile not in PROFILES:
        raise ConfigurationError(f"--profile is one of {', '.join(PROFILES)}, not {args.profile!r}")
    with LocalServer(
        host=args.host,
        port=args.port,
        profile=args.profile,
        api_key=args.api_key,
        piece_delay=args.piece_delay,
        keep_requests=1000,
    ) as server:
        print(_how_to_ask(server), flush=True)
        waiting: List[Any] = []  # requests that are not yet answered
        seen = 0
        while True:
            try:
                server.wait_until(
                    lambda: server.request_count > seen or any(each.finished.is_set() for each in waiting),
                    timeout=1.0,  # Windows lets Ctrl-C through between two waits only
                )
            except TimeoutError:
                continue
            count = server.request_count
            if count > seen:
                waiting += server.requests[seen - count :]
                seen = count
            for request in [each for each in waiting if each.finished.is_set()]:
                waiting.remove(request)
                status = request.answer.http_status if request.answer else "no answer"
                print(f"{request.method} {request.path} {status}, {request.bytes_sent} bytes", flush=True)


def _how_to_ask(server: Any) -> str:
    """The server's address, and a command that asks it."""
    endpoint = server.endpoint
    key = server.api_key if server.api_key == "local-key" else "..."
    options = [f"--base-url {endpoint.base_url}"]
    if endpoint.api_version != "v1beta":
        options.append(f"--api-version {endpoint.api_version}")
    if endpoint.ways != ("header",):
        options.append(f"--auth {','.join(endpoint.ways)}")
    return (
        f"the test server (no model) listens at {server.url}; Ctrl-C ends it.  Ask it with:\n"
        f'{KEY_VARIABLES[0]}={key} geministream stream {" ".join(options)} "Hello there"'
    )
