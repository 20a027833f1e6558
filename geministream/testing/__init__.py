"""A server to develop and test against: real HTTP on loopback, scripted answers, faults.

It is a TEST server, not a model.  A small program answers, by fixed rules that
show what it received (`geministream.testing.model`).

The modules, from the socket up:

- connections: `listener` (sockets and threads), `wire` (HTTP/1.1 by hand),
  `conversation` (a request, its answer, the next request),
  `cors`, `record` (the requests received);
- requests: `routes` (where a path leads), `profiles` (the systems it stands in
  for), `prompt` (a request in one spelling), `shapes`, `checks`, `signatures`
  (what is refused);
- answers: `answers` (their content), `render` (their bytes), `delivery` (how the
  bytes are sent, and how sending fails), `script`, `faults` (set by a test);
- the API: `model`, `samples`, `generation` (the rules of the answers), `decode`
  (long answers), `embeddings`, `caches`, `catalogue`, `pages`, `times`,
  `files`, `uploads`, `forms`, `upload_faults`, and `api` (all of them by route);
- `server`: all of it together; `script_file`, `json_checks`: scripts in JSON;
  `control`: the same over HTTP; `pytest_plugin`: a fixture;
- a real endpoint in place of the API: `stand_in` (the common interface),
  `recorder`, `recording` (the file), `replay`, `redact` (hides credentials).

None of them imports the library that is tested with it; only `shapes` reads the
dataclasses of `geministream.types`.

The names below are imported when they are first used: pytest imports the plugin,
and with it this module, in every run.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import Answer
    from .faults import RandomFaults
    from .files import StoredFile
    from .model import expected_text, expected_thoughts
    from .record import RecordedRequest
    from .recorder import Recorder
    from .replay import Replay
    from .server import LocalServer

__all__ = [
    "Answer",
    "LocalServer",
    "RandomFaults",
    "RecordedRequest",
    "Recorder",
    "Replay",
    "StoredFile",
    "expected_text",
    "expected_thoughts",
]

_ROOMS = {
    "Answer": "answers",
    "LocalServer": "server",
    "RandomFaults": "faults",
    "RecordedRequest": "record",
    "Recorder": "recorder",
    "Replay": "replay",
    "StoredFile": "files",
    "expected_text": "model",
    "expected_thoughts": "model",
}

if not TYPE_CHECKING:  # so that a type checker reports unknown names

    def __getattr__(name: str) -> Any:
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
        globals()[name] = value
        return value
