"""The commands and their options."""

import argparse
from typing import Any, Dict, Optional, Tuple

from .._version import __version__
from ..endpoint import BASE_URL_VARIABLE, GOOGLE, KEY_VARIABLES
from .completion import SHELLS, script
from .generation import DEFAULT_MODEL, MODEL_VARIABLE
from .parsing import GenerationOption, Parser, auth, integer, number, safety, seconds, speed, thinking
from .terminal import print_out

# Seconds between two pieces of the embedded server, so that a person sees the answer stream.
OFFLINE_PIECE_DELAY = 0.025

_ENVIRONMENT = f"""\
environment:
  {" or ".join(KEY_VARIABLES)}
                        the API key.  It has no option, because every user of a
                        machine can read the command lines of its processes.
  {BASE_URL_VARIABLE}
                        if --base-url is not given
  {MODEL_VARIABLE}          if -m is not given

exit status:
  0 done, even if the answer is empty or cut off at the token limit (a note on
  stderr says so); 1 API or transport error; 2 usage; 3 blocked; 4 the answer is
  truncated (by the token limit: only with --strict or --schema); 130 Ctrl-C
"""

_DESCRIPTION = "Stream answers from Gemini's streamGenerateContent, wherever it is served."


def make_parser(command_name: Optional[str] = None) -> Tuple[argparse.ArgumentParser, Dict[str, Any]]:
    """The main parser, and the parsers of the commands by name.

    :param command_name: if it is a command, the other commands get no options: 180
        options take as long to add as two modules to import.
    """
    parser = Parser(
        prog="geministream",
        description=_DESCRIPTION,
        epilog=_epilog('geministream stream "Tell me a story about a lighthouse"'),
    )
    parser.add_argument("--version", action="version", version=f"geministream {__version__}")
    parser.add_argument(
        "--completion",
        choices=SHELLS,
        action=_Completion,
        help="print a script that completes commands and options, for this shell",
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    all_commands = _commands()
    for name, (add_arguments, help, description, *examples) in all_commands.items():
        epilog = _epilog(*examples, environment=name != "serve")
        command = commands.add_parser(name, help=help, description=description, epilog=epilog)
        command.set_defaults(command=name)
        if command_name == name or command_name not in all_commands:
            add_arguments(command)
    return parser, commands.choices


class _Completion(argparse.Action):
    """``--completion SHELL``: print the script and exit."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Optional[str] = None) -> None:
        print_out(script(parser, values))
        parser.exit()


def _epilog(*examples: str, environment: bool = True) -> str:
    title = "example:" if len(examples) == 1 else "examples:"
    lines = "\n  ".join([title, *examples]) + "\n"
    return f"{lines}\n{_ENVIRONMENT}" if environment else lines


def _commands() -> Dict[str, Tuple[Any, ...]]:
    """For each command: the function that adds its arguments, its help, its description, and examples."""
    return {
        "stream": (
            _stream_arguments,
            "send a prompt and stream the answer",
            "Send one prompt; the answer appears on stdout as it arrives.",
            'geministream stream "Tell me a story about a lighthouse"',
            'geministream stream -f photo.jpg "What is in this picture?"',
            'git diff | geministream stream "Write a commit message:"',
        ),
        "chat": (
            _chat_arguments,
            "a conversation in the terminal",
            "A conversation.  Type /help for commands.  Ctrl-C stops an answer, Ctrl-D quits.",
            'geministream chat -s "Answer in one sentence."',
            "geministream chat --load talk.json",
        ),
        "files": (
            _files_arguments,
            "upload, list and delete files",
            "Upload, list and delete files; the Files API keeps them for 48 hours.",
            "geministream files upload film.mp4 --wait",
            "geministream files list",
        ),
        "models": (
            _models_arguments,
            "list the models of the server",
            "List the models of the server, with their token limits.",
            "geministream models",
        ),
        "count": (
            _count_arguments,
            "count the tokens of a prompt",
            "Print how many tokens a request has; nothing is generated.",
            "geministream count -f book.pdf",
        ),
        "batch": (
            _batch_arguments,
            "send many prompts, several at once",
            _BATCH_DESCRIPTION,
            "geministream batch prompts.jsonl -o results.jsonl --workers 4",
            "geministream batch --lines questions.txt -o - --ordered",
        ),
        "serve": (
            _serve_arguments,
            "run the test server, LocalServer, in the foreground",
            "Run LocalServer, a test server that echoes what it receives; it is not a model.",
            "geministream serve --port 8080",
        ),
    }


_BATCH_DESCRIPTION = """\
Send the prompts of a file, several at once.  Each line is a JSON string, or an
object of request fields (contents, model, generationConfig, ...), optionally
with an id.  Each line of the output has the index of a prompt, from 0, and its
response or error.  After an interruption, the same command resumes with the
prompts that have no line yet.
"""

_SAVE_MEDIA = "save images and other data of the answer in this directory, and print their paths"


def _stream_arguments(parser: argparse.ArgumentParser) -> None:
    _prompt_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print each chunk as one line of JSON")
    parser.add_argument(
        "--alt",
        choices=("sse", "json"),
        default="sse",
        help="the framing to request from the server (default: %(default)s)",
    )
    parser.add_argument("--usage", action="store_true", help="print the token counts on stderr")
    parser.add_argument("--save-media", metavar="DIR", help=_SAVE_MEDIA)
    _model_arguments(parser)
    _endpoint_arguments(parser)


def _count_arguments(parser: argparse.ArgumentParser) -> None:
    _prompt_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print all counts as one line of JSON")
    _model_arguments(parser)
    _endpoint_arguments(parser)


def _models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print each model as one line of JSON")
    _endpoint_arguments(parser)


def _prompt_arguments(parser: argparse.ArgumentParser) -> None:
    """The prompt and its attachments."""
    parser.add_argument(
        "prompt",
        nargs="*",
        metavar="PROMPT",
        help="the words of the prompt; text piped into stdin is appended",
    )
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        metavar="PATH_OR_URI",
        help="attach a file: a path, a URI (https://..., gs://...), the name (files/...) of an "
        "uploaded file, or - for standard input; may be repeated",
    )
    parser.add_argument(
        "--mime-type", metavar="TYPE", help="MIME type, if it cannot be guessed from the name"
    )
    parser.add_argument(
        "--upload",
        action="store_true",
        help="upload the files, even if they are small enough to be sent inline",
    )
    parser.add_argument("--no-stdin", action="store_true", help="do not read standard input")


def _chat_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-history", action="store_true", help="do not keep typed lines for later sessions"
    )
    parser.add_argument(
        "--load", metavar="FILE", help="continue a conversation saved with /save, with its model"
    )
    parser.add_argument(
        "--usage", action="store_true", help="print the token counts of each answer on stderr"
    )
    parser.add_argument("--save-media", metavar="DIR", help=_SAVE_MEDIA)
    _model_arguments(parser)
    _endpoint_arguments(parser)


def _files_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    upload, listing, get, delete = (
        actions.add_parser(name, help=help, epilog=_epilog(f"geministream files {name} {example}".rstrip()))
        for name, help, example in (
            ("upload", "upload files, and print their names", "film.mp4 notes.pdf --wait"),
            ("list", "list all files", ""),
            ("get", "print the metadata of files", "files/abc-123"),
            ("delete", "delete files", "files/abc-123"),
        )
    )
    upload.add_argument("paths", nargs="+", metavar="PATH")
    upload.add_argument("--wait", action="store_true", help="wait until the server has processed them")
    upload.add_argument(
        "--mime-type", metavar="TYPE", help="MIME type, if it cannot be guessed from the name"
    )
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
        help="results are appended, and existing ones are kept; - is standard output; a run that "
        "writes to standard output, a pipe or a device cannot be resumed",
    )
    parser.add_argument(
        "--workers",
        type=integer(1),
        default=8,
        metavar="NUMBER",
        help="prompts at once (default: %(default)s)",
    )
    parser.add_argument(
        "--lines", action="store_true", help="each line of the prompts is plain text, not JSON"
    )
    parser.add_argument(
        "--ordered",
        action="store_true",
        help="write results in the order of the prompts; early ones wait in memory",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="remove the failures of an earlier run from the output, and send those prompts again",
    )
    parser.add_argument(
        "--alt",
        choices=("sse", "json"),
        default="sse",
        help="the framing to request from the server (default: %(default)s)",
    )
    _model_arguments(parser, short_option=False)  # -o is the output
    _endpoint_arguments(parser)


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: a free port)")
    parser.add_argument(
        "--profile",
        default="google",
        help="the system to imitate: google, chainhub, bifrost, vertex or gateway (default: %(default)s)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        default="local-key",
        help="the key that clients must send (default: %(default)s)",
    )
    parser.add_argument(
        "--piece-delay",
        type=float,
        metavar="SECONDS",
        default=OFFLINE_PIECE_DELAY,
        help="delay between two pieces of an answer (default: %(default)s)",
    )
    parser.add_argument(
        "--latency",
        type=float,
        metavar="SECONDS",
        default=0.0,
        help="delay before each answer (default: %(default)s)",
    )
    parser.add_argument(
        "--words-per-chunk",
        type=integer(1),
        metavar="NUMBER",
        default=3,
        help="words in a chunk of the server's own text (default: %(default)s)",
    )
    parser.add_argument(
        "--lenient", action="store_true", help="accept requests that Google would reject, if they can be read"
    )
    parser.add_argument(
        "--require-signatures", action="store_true", help="check thought signatures as Gemini 3 does"
    )
    parser.add_argument(
        "--done-marker",
        action="store_true",
        help="end server-sent events with data: [DONE], as some gateways do",
    )
    parser.add_argument(
        "--script",
        metavar="FILE.json",
        help="a script of answers and faults; its format: pydoc geministream.testing.script_file",
    )
    parser.add_argument(
        "--control",
        action="store_true",
        help="let tests queue answers and read requests under /_control/, without a key; "
        "see pydoc geministream.testing.control",
    )
    _recording_arguments(parser)


def _recording_arguments(parser: argparse.ArgumentParser) -> None:
    recordings = parser.add_argument_group("recordings of a real endpoint")
    recordings.add_argument(
        "--record",
        metavar="DIR",
        help="forward to --upstream, and write each exchange to a file in DIR, without credentials",
    )
    recordings.add_argument(
        "--upstream",
        metavar="URL",
        help=f"the endpoint; its key is {' or '.join(KEY_VARIABLES)} in the environment, "
        "else the client's credentials are forwarded",
    )
    recordings.add_argument("--replay", metavar="DIR", help="answer each request with its recording from DIR")
    recordings.add_argument(
        "--replay-speed",
        type=speed,
        metavar="FACTOR",
        help="keep the pauses of the recording; 2 is twice as fast (default: no pauses)",
    )


def _model_arguments(parser: argparse.ArgumentParser, *, short_option: bool = True) -> None:
    """The model and its settings."""
    group = parser.add_argument_group("the model")
    group.add_argument("-m", "--model", help=f"default: {MODEL_VARIABLE}, or {DEFAULT_MODEL}")
    group.add_argument("-s", "--system", metavar="TEXT", help="the system instruction")
    group.add_argument("--temperature", type=number, metavar="NUMBER", help="0 for the most likely words")
    group.add_argument("--top-p", type=number, metavar="NUMBER", help="0 to 1, nucleus sampling")
    group.add_argument(
        "--max-tokens", type=integer(1), metavar="NUMBER", help="the token limit of the answer"
    )
    group.add_argument(
        *(["-o"] if short_option else []),
        "--option",
        nargs=2,
        action=GenerationOption,
        default=[],
        metavar=("NAME", "VALUE"),
        help="a field of the generation config, such as seed 7; may be repeated",
    )
    group.add_argument(
        "--thinking",
        type=thinking,
        metavar="LEVEL|BUDGET",
        help="how much to think: low, high, or a number of tokens",
    )
    group.add_argument("--search", action="store_true", help="let the model search with Google")
    group.add_argument("--code", action="store_true", help="let the model run code")
    group.add_argument("--url-context", action="store_true", help="let the model read URLs in the prompt")
    group.add_argument(
        "--safety",
        type=safety,
        action="append",
        default=[],
        metavar="CATEGORY=THRESHOLD",
        help="such as harassment=only_high; may be repeated",
    )
    group.add_argument("--schema", metavar="FILE.json", help="request JSON that matches this JSON schema")
    group.add_argument(
        "--thoughts",
        action="store_true",
        help="show the model's thoughts: dimmed, or on stderr if stdout is not a terminal",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="fail, with exit status 4, if an answer is cut off at the token limit",
    )
    group.add_argument(
        "--deadline", type=seconds, metavar="SECONDS", help="time limit of one answer, retries included"
    )


def _endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """The base URL, credentials, timeouts and retries."""
    group = parser.add_argument_group("the endpoint")
    group.add_argument("--base-url", metavar="URL", help=f"default: {BASE_URL_VARIABLE}, or {GOOGLE}")
    group.add_argument("--api-version", default="v1beta", metavar="PATH", help="default: %(default)s")
    group.add_argument(
        "--auth",
        type=auth,
        metavar="HOW",
        help="how the key is sent: header, query, bearer, several of these joined by commas, or none "
        "(default: header)",
    )
    group.add_argument(
        "--upload-protocol",
        choices=("resumable", "multipart"),
        default="resumable",
        help="the upload protocol of the server's Files API (default: %(default)s)",
    )
    group.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="give up after this many seconds without data (default: 600)",
    )
    group.add_argument(
        "--retries",
        type=integer(0),
        metavar="NUMBER",
        help="how many times to retry a failed request (default: 3)",
    )
    group.add_argument(
        "--offline",
        action="store_true",
        help="use an embedded test server, which is not a model; nothing leaves this machine",
    )
