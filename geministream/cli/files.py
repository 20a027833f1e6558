"""``geministream files``: upload, list, show and delete files."""

import argparse
import json
import re
from datetime import datetime, timezone
from typing import Callable, Dict, List, Optional

from ..errors import GeministreamError
from ..files import delete_file, get_file, list_files
from ..types import File
from .progress import size, upload_with_progress
from .prompt import mime_type_of_file
from .request import open_endpoint
from .status import DONE, in_options, status_of
from .terminal import json_line, note, prepare_streams, print_out, row
from .waiting import waiting


def run(args: argparse.Namespace) -> int:
    """Run ``args.action``: ``upload``, ``list``, ``get`` or ``delete``."""
    show = _as_line
    if getattr(args, "json", False) or args.action == "get":
        prepare_streams(utf8=True)
        show = _as_json if args.json else _in_full
    types: Dict[str, str] = {}
    if args.action == "upload":
        # Before the first upload, check that every file exists and has a known type.
        status = _each(args.paths, lambda path: types.update({path: mime_type_of_file(path, args.mime_type)}))
        if status != DONE:
            note("nothing was uploaded; correct or leave out these files")
            return status
    with open_endpoint(args) as endpoint:
        if args.action == "upload":

            def upload(path: str) -> None:
                print_out(show(upload_with_progress(path, endpoint, types[path], wait=args.wait)))

            return _each(args.paths, upload)
        if args.action == "list":
            with waiting(endpoint) as watched:
                files = list(list_files(endpoint=watched))
            print_out("".join([*([] if args.json else [_HEADER]), *map(show, files)]))
            return DONE

        def get(name: str) -> None:
            with waiting(endpoint) as watched:
                file = get_file(name, endpoint=watched)
            print_out(show(file))

        def delete(name: str) -> None:
            with waiting(endpoint) as watched:
                delete_file(name, endpoint=watched)

        return _each(args.names, get if args.action == "get" else delete)


def _each(names: List[str], act: Callable[[str], None]) -> int:
    """Call ``act`` for each name, even after a failure; return the status of the first failure."""
    status = DONE
    for name in names:
        try:
            act(name)
        except GeministreamError as error:
            note(f"{name}: {in_options(error)}" if name not in str(error) else in_options(error))
            status = status or status_of(error)
    return status


# A file on stdout ----------------------------------------------------------------


_WIDTHS = (20, 10, 16, -8, -8, 0)
_HEADER = row(["NAME", "STATE", "TYPE", "SIZE", "EXPIRES", "DISPLAY NAME"], _WIDTHS)


def _as_line(file: File) -> str:
    """A line of the table; the display name comes last, because it may contain spaces."""
    bytes_of = size(file.size_bytes) if isinstance(file.size_bytes, int) else None
    expires = _time_until(file.expiration_time)
    return row([file.name, file.state, file.mime_type, bytes_of, expires, file.display_name], _WIDTHS)


def _time_until(timestamp: object) -> Optional[str]:
    """``in 47 h``, ``in 59 min``; None if it is not an RFC 3339 time in UTC."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z", str(timestamp))
    try:
        then = datetime.strptime(match.group(1) if match else "", "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    minutes = int((then.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds() // 60)
    if minutes < 0:
        return "expired"
    return f"in {minutes // 60} h" if minutes >= 60 else f"in {minutes} min"


def _as_json(file: File) -> str:
    return json_line(file.to_dict())


def _in_full(file: File) -> str:
    return json.dumps(file.to_dict(), indent=2, ensure_ascii=False) + "\n"
