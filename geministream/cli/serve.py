"""``geministream serve``: run the test server in the foreground."""

import argparse
import os
import re
import socket
from functools import partial
from typing import Any, List, NoReturn, Optional

from ..endpoint import KEY_VARIABLES
from ..errors import ConfigurationError
from ..retry import MOST_SECONDS
from ..testing import LocalServer
from ..testing.json_checks import ScriptError
from ..testing.profiles import PROFILES
from ..testing.recorder import Recorder
from ..testing.replay import Replay
from .status import reason_of
from .story import reply
from .terminal import note, one_line, print_out


def run(args: argparse.Namespace) -> NoReturn:
    """Serve until Ctrl-C, and print a line for each request."""
    if args.profile not in PROFILES:
        raise ConfigurationError(f"--profile must be one of {', '.join(PROFILES)}, got {args.profile!r}")
    if not 0 <= args.port < 2**16:
        raise ConfigurationError(f"--port must be 0 to 65535, got {args.port}")
    for option, value in (("--piece-delay", args.piece_delay), ("--latency", args.latency)):
        if not 0 <= value <= MOST_SECONDS:
            raise ConfigurationError(f"{option} must be a number of seconds >= 0, got {value}")
    if re.search(r"[\s\x00-\x1f\ud800-\udfff]", args.host):
        raise ConfigurationError(f"--host must be a host name or an address, got {args.host!r}")
    with _local_server(args) as server:
        print_out(how_to_ask(server) + "\n")
        if args.host in ("0.0.0.0", "::"):
            print_out(f"other machines reach it at http://{_own_address()}:{server.port}\n")
        waiting: List[Any] = []  # requests that are not yet answered
        seen = 0
        while True:
            try:
                server.wait_until(
                    partial(_has_news, server, seen, waiting),
                    timeout=1.0,  # Windows handles Ctrl-C only between two waits
                )
            except TimeoutError:
                continue
            while server.errors:  # such as a full disk under --record
                note(f"the test server failed: {server.errors.pop(0)}")
            count = server.request_count
            if count > seen:
                waiting += server.requests[seen - count :]
                seen = count
            for request in [each for each in waiting if each.finished.is_set()]:
                waiting.remove(request)
                status = request.answer.http_status if request.answer else "no answer"
                line = f"{request.method} {request.path} {status}, {request.bytes_sent} bytes"
                print_out(one_line(line) + "\n")


def _own_address() -> str:
    """The address of this machine in its network, or its name."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("192.0.2.1", 9))  # a documentation address, RFC 5737; nothing is sent
            address: str = sock.getsockname()[0]
            return address
    except OSError:
        return socket.gethostname()


def _local_server(args: argparse.Namespace) -> LocalServer:
    try:
        return LocalServer(
            host=args.host,
            port=args.port,
            profile=args.profile,
            api_key=args.api_key,
            latency=args.latency,
            piece_delay=args.piece_delay,
            words_per_chunk=args.words_per_chunk,
            lenient=args.lenient,
            require_signatures=args.require_signatures,
            done_marker=args.done_marker,
            script=args.script,
            control=args.control,
            record=_recorder(args),
            replay=_replay(args),
            reply=reply,
            keep_requests=1000,
        )
    except ScriptError as error:
        raise ConfigurationError(f"--script {error}") from None
    except OSError as error:
        raise ConfigurationError(f"--script {args.script}: {reason_of(error)}") from None


def _recorder(args: argparse.Namespace) -> Optional[Recorder]:
    if (args.record is None) != (args.upstream is None):
        raise ConfigurationError("--record DIR and --upstream URL need each other; use both")
    if args.record is None:
        return None
    if args.replay is not None:
        raise ConfigurationError("--record and --replay exclude each other; leave one out")
    key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
    try:
        return Recorder(args.record, args.upstream, key)
    except ValueError:
        # The URL may contain a key by mistake, so it is not shown.
        raise ConfigurationError(
            "--upstream must be a URL such as https://host/path, without credentials or a query"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"--record {args.record}: {reason_of(error)}") from None


def _replay(args: argparse.Namespace) -> Optional[Replay]:
    if args.replay is None:
        if args.replay_speed is not None:
            raise ConfigurationError("--replay-speed needs --replay DIR")
        return None
    try:
        return Replay(args.replay, args.replay_speed)
    except ScriptError as error:
        raise ConfigurationError(f"--replay {error}") from None
    except OSError as error:
        raise ConfigurationError(f"--replay {args.replay}: {reason_of(error)}") from None


def _has_news(server: Any, seen: int, waiting: List[Any]) -> bool:
    """Whether a new request arrived, or a waiting one was answered."""
    return server.request_count > seen or any(each.finished.is_set() for each in waiting)


def how_to_ask(server: Any) -> str:
    """The server's address, and a command that uses it."""
    endpoint = server.endpoint
    # The default key is not a secret; another one may be.
    key = server.api_key if server.api_key == "local-key" else "..."
    options = [f"--base-url {endpoint.base_url}"]
    if endpoint.api_version != "v1beta":
        options.append(f"--api-version {endpoint.api_version}")
    if endpoint.ways != ("header",):
        options.append(f"--auth {','.join(endpoint.ways)}")
    if endpoint.upload_protocol != "resumable":
        options.append(f"--upload-protocol {endpoint.upload_protocol}")
    return (
        f"the test server (not a model) listens at {server.url}; Ctrl-C stops it.  Try it with:\n"
        f'{KEY_VARIABLES[0]}={key} geministream stream {" ".join(options)} "Hello there"'
    )
