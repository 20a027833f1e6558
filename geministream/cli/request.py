"""The endpoint, and the directory for media, from the arguments of a command."""

import argparse
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

from ..endpoint import BASE_URL_VARIABLE, GET_A_KEY, GOOGLE, KEY_VARIABLES, Endpoint
from ..errors import ConfigurationError
from ..retry import Retry
from ..transport import new_session
from .arguments import OFFLINE_PIECE_DELAY
from .status import reason_of
from .terminal import note


@contextmanager
def open_endpoint(args: argparse.Namespace) -> Iterator[Endpoint]:
    """The endpoint for the arguments; with --offline an embedded server runs until the block ends."""
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
            f"no API key: set {' or '.join(KEY_VARIABLES)}; get a key at {GET_A_KEY}, use --auth none "
            "for a server without keys, or try --offline"
        )
    yield endpoint


@contextmanager
def _embedded(args: argparse.Namespace) -> Iterator[Endpoint]:
    if args.base_url or args.auth:
        raise ConfigurationError("--offline has its own endpoint; leave out --base-url and --auth")
    from ..testing import LocalServer
    from .story import reply

    note("offline: the answers come from an embedded test server, which is not a model")
    server = LocalServer(piece_delay=OFFLINE_PIECE_DELAY, reply=reply, keep_requests=0)
    with server, new_session(256) as session:  # enough connections for a batch
        session.trust_env = False  # a proxy from the environment would be another machine
        yield replace(server.endpoint, session=session)


def media_directory(args: argparse.Namespace) -> Optional[Path]:
    """The directory for the media of an answer, or None if they are not saved."""
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
