"""What the arguments of a command mean: where to ask, and what."""

import argparse
import json
import os
import re
import select
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, TextIO, Union

from ..endpoint import BASE_URL_VARIABLE, GOOGLE, KEY_VARIABLES, Endpoint
from ..errors import ConfigurationError
from ..parts import LARGEST_INLINE, LARGEST_PDF, check_file, guess_mime_type, part_from_path, part_from_uri
from ..retry import Retry
from ..transport import new_session
from ..types import Blob, File, Part
from .progress import upload_with_progress
from .status import reason_of
from .terminal import is_terminal, note

# Seconds between two pieces of the embedded server: a person sees it stream.
OFFLINE_PIECE_DELAY = 0.025


@contextmanager
def open_endpoint(args: argparse.Namespace) -> Iterator[Endpoint]:
    """The endpoint that the arguments name; the embedded server lives as long."""
    settings: Dict[str, Any] = {}
    if args.timeout is not None:
        settings["timeout"] = (min(args.timeout, 10), args.timeout)
    if args.retries is not None:
        settings["retry"] = Retry(attempts=args.retries + 1)
    if args.offline:
        with _embedded(args) as endpoint:
            yield replace(endpoint, **settings)
        return
    if args.auth is not None:
        settings["auth"] = args.auth
    base_url = args.base_url or os.environ.get(BASE_URL_VARIABLE) or GOOGLE
    endpoint = Endpoint(base_url, args.api_version, upload_protocol=args.upload_protocol, **settings)
    if endpoint.ways and not any(os.environ.get(name) for name in KEY_VARIABLES):
        raise ConfigurationError(
            f"no API key: set {' or '.join(KEY_VARIABLES)} in the environment, "
            "or give --auth none for a server that needs no key"
        )
    yield endpoint


@contextmanager
def _embedded(args: argparse.Namespace) -> Iterator[Endpoint]:
    if args.base_url or args.auth:
        raise ConfigurationError("--offline has its own endpoint; leave out --base-url and --auth")
    from ..testing import LocalServer

    note("offline: the answers come from an embedded test server, which is not a model")
    server = LocalServer(piece_delay=OFFLINE_PIECE_DELAY, keep_requests=0)
    with server, new_session(256) as session:  # a batch shares it
        session.trust_env = False  # a proxy of the environment would be another machine
        yield replace(server.endpoint, session=session)


def generation_config(args: argparse.Namespace) -> Optional[Dict[str, Any]]:
    """The request's ``generationConfig``, or None where nothing was asked for."""
    config = {
        "temperature": args.temperature,
        "topP": args.top_p,
        "maxOutputTokens": args.max_tokens,
        "thinkingConfig": {"includeThoughts": True} if args.thoughts else None,
    }
    if args.schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = _schema(args.schema)
    return {name: value for name, value in config.items() if value is not None} or None


def _schema(path: str) -> Dict[str, Any]:
    try:
        schema = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"--schema {path} cannot be read: {error.strerror}; name a file with a JSON schema"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--schema {path} is not valid JSON: {error}") from error
    if not isinstance(schema, dict):
        raise ConfigurationError(f"--schema {path} is not a JSON schema; it must be an object")
    return schema


def media_directory(args: argparse.Namespace) -> Optional[Path]:
    """Where the media of an answer go, or None where nobody wants them."""
    if args.save_media is None:
        return None
    directory = Path(args.save_media)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"--save-media {directory}: cannot create directory: {reason_of(error)}; name another"
        ) from error
    return directory


# What is sent along -----------------------------------------------------------


def attachment(
    name: str,
    endpoint: Endpoint,
    *,
    mime_type: Optional[str] = None,
    upload: bool = False,
    room: int = LARGEST_INLINE,
) -> Union[Part, File]:
    """What ``-f`` names, as something that goes into contents.

    A file of this machine travels inside the request where there is room, and
    else is uploaded first.

    :param mime_type: if it cannot be guessed from the name.
    :param upload: upload it however small it is.
    :param room: the bytes that the request can still take.
    :raises ConfigurationError: where there is no such file, or its type is not known.
    """
    try:
        return _attachment(name, endpoint, mime_type, upload, room)
    except ConfigurationError as error:
        raise ConfigurationError(f"cannot attach {name or repr(name)}: {error}") from error


def _attachment(
    name: str, endpoint: Endpoint, mime_type: Optional[str], upload: bool, room: int
) -> Union[Part, File]:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return part_from_uri(name, mime_type)
    if re.fullmatch(r"files/[a-z0-9-]+", name) and not os.path.exists(name):
        from ..files import wait_for_file

        return wait_for_file(name, endpoint=endpoint)
    mime_type = mime_type_of_file(name, mime_type)
    limit = LARGEST_PDF if mime_type == "application/pdf" else LARGEST_INLINE
    if not upload and os.path.getsize(name) <= min(limit, room):
        return part_from_path(name, mime_type)

    file = upload_with_progress(name, endpoint, mime_type, wait=True)
    note(f"uploaded {name} as {file.name}, which -f takes too for 48 hours")
    return file


def inline_bytes(parts: List[Any]) -> int:
    """The bytes of media among these parts."""
    blobs = [part.inline_data for part in parts if isinstance(part, Part)]
    data = [blob.data for blob in blobs if isinstance(blob, Blob)]
    return sum(len(each) for each in data if isinstance(each, (bytes, str)))


def mime_type_of_file(path: str, mime_type: Optional[str] = None) -> str:
    """The type that was given, or that the file's name tells, or plain text where that is what is in it.

    :raises ConfigurationError: where there is no such file, or it is none of these.
    """
    if os.path.isdir(path):
        raise ConfigurationError(f"{path} is a directory; name a file in it")
    check_file(Path(path))
    mime_type = mime_type or guess_mime_type(path)
    if mime_type is None:
        with open(path, "rb") as file:
            head = file.read(2**16)
        # The last character may be cut in half.
        if b"\0" in head or "\ufffd" in head.decode("utf-8", "replace")[:-1]:
            raise ConfigurationError(f"cannot guess the MIME type of {path}; give --mime-type")
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
    raise ConfigurationError("standard input is not text; use -f for files")


def _warn_of_silence(stdin: TextIO) -> None:
    """Tell a person why nothing happens, where stdin is a pipe into which nobody writes."""
    try:
        if not select.select([stdin], [], [], 2.0)[0]:
            note("waiting for standard input to end; give --no-stdin if nothing is piped in")
    except (OSError, ValueError):
        pass  # Windows can select on sockets alone
