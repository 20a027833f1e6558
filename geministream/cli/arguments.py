"""What a person types: the commands and their options."""

import argparse
from typing import Any, Dict, NoReturn, Tuple

from .._version import __version__
from ..endpoint import BASE_URL_VARIABLE, GOOGLE, KEY_VARIABLES
from .request import OFFLINE_PIECE_DELAY
from .status import USAGE
from .terminal import note

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


class _Parser(argparse.ArgumentParser):
    """Tells an error in one line, as everything here does."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        note(f"{message}; see {self.prog} --help")
        raise SystemExit(USAGE)


def make_parser() -> Tuple[argparse.ArgumentParser, Dict[str, Any]]:
    """The parser, and those of the commands by name."""
    parser = _Parser(
        prog="geministream",
        description="Stream answers from Gemini's streamGenerateContent, wherever it is served.",
        epilog='example: geministream stream "Tell me a story about a lighthouse"\n\n' + _EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"geministream {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, add_arguments, help, description in (
        (
            "stream",
            _stream_arguments,
            "ask once and watch the answer stream in",
            "Ask once; the answer appears on stdout as it arrives.",
        ),
        (
            "chat",
            _chat_arguments,
            "a conversation in the terminal",
            "A conversation; /help tells its commands.  Ctrl-C stops an answer, Ctrl-D leaves.",
        ),
        (
            "files",
            _files_arguments,
            "upload files, and look after those that are there",
            "Upload files to the Files API, where they live for 48 hours, and look after them.",
        ),
        (
            "batch",
            _batch_arguments,
            "ask many prompts, several at once",
            "Ask the prompts of a file, several at once.  Each line of it is a JSON string, or an\n"
            "object of request fields (contents, model, generationConfig, ...) and perhaps an id.\n"
            "Each line of the output has the index of a prompt, from 0, and its response or error.\n"
            "Started again after an interruption, it goes on with the prompts that have no line yet.",
        ),
        (
            "serve",
            _serve_arguments,
            "run the test server, LocalServer, in the foreground",
            "Run LocalServer, a test server that tells back what it receives; it is no model.",
        ),
    ):
        command = commands.add_parser(
            name, help=help, description=description, epilog=None if name == "serve" else _EPILOG
        )
        command.set_defaults(command=name)
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
