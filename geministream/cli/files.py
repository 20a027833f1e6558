"""``geministream files``: upload files, and look after those that are there."""

import argparse
import json
from typing import Callable, Dict, List

from ..errors import GeministreamError
from ..files import delete_file, get_file, list_files
from ..types import File
from .progress import upload_with_progress
from .request import mime_type_of_file, open_endpoint
from .status import DONE, in_options, status_of
from .terminal import json_line, note, prepare_streams, print_out


def run(args: argparse.Namespace) -> int:
    """``upload``, ``list``, ``get`` or ``delete``, as ``args.action`` says."""
    if args.action == "delete":
        with open_endpoint(args) as endpoint:
            return _each(args.names, lambda name: delete_file(name, endpoint=endpoint))
    show = _as_line
    if args.json or args.action == "get":
        prepare_streams(utf8=True)
        show = _as_json if args.json else _in_full
    if args.action == "upload":
        # Before anything is sent: every file is there, and of a type that is known.
        types: Dict[str, str] = {}
        status = _each(args.paths, lambda path: types.update({path: mime_type_of_file(path, args.mime_type)}))
        if status != DONE:
            note("nothing was uploaded; correct or leave out what is wrong")
            return status
    with open_endpoint(args) as endpoint:
        if args.action == "list":
            for file in list_files(endpoint=endpoint):
                print_out(show(file))
            return DONE
        if args.action == "upload":

            def upload(path: str) -> None:
                print_out(show(upload_with_progress(path, endpoint, types[path], wait=args.wait)))

            return _each(args.paths, upload)
        return _each(args.names, lambda name: print_out(show(get_file(name, endpoint=endpoint))))


def _each(names: List[str], act: Callable[[str], None]) -> int:
    """Do it for each; a failure of one stops nothing.  The status is that of the first failure."""
    status = DONE
    for name in names:
        try:
            act(name)
        except GeministreamError as error:
            note(f"{name}: {in_options(error)}" if name not in str(error) else in_options(error))
            status = status or status_of(error)
    return status


# A file on stdout ----------------------------------------------------------------


def _as_line(file: File) -> str:
    """Name, state, type, size and the name that a person gave it, which may hold spaces."""
    fields = [file.name, file.state, file.mime_type, file.size_bytes, file.display_name]
    name, state, mime_type, count, display_name = ["-" if field is None else str(field) for field in fields]
    text = f"{name:<20}  {state:<10}  {mime_type:<16}  {count:>12}  {display_name}"
    return " ".join(text.splitlines()) + "\n"


def _as_json(file: File) -> str:
    return json_line(file.to_dict())


def _in_full(file: File) -> str:
    return json.dumps(file.to_dict(), indent=2, ensure_ascii=False) + "\n"
