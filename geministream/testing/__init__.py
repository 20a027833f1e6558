"""A server to develop and test against: real HTTP on loopback, scripted answers, faults.

It is a TEST server.  What answers in it is no model, but a small program that
shows by fixed rules what it received (`geministream.testing.model`).

The rooms, from the socket up:

- connections: `listener` (sockets and threads), `wire` (HTTP/1.1 by hand),
  `cors`, `record` (the requests received);
- requests: `routes` (where a path leads), `profiles` (the systems it stands in
  for), `prompt` (a request in one spelling), `shapes`, `checks`, `signatures`
  (what is refused);
- answers: `answers` (what is said), `render` (in which bytes), `delivery` (how
  they are sent, and how they break), `script`, `faults` (what a test wants);
- the API: `model`, `samples`, `generation` (the rules of the answers), `decode`
  (long answers), `embeddings`, `caches`, `catalogue`, `pages`, `times`,
  `files`, `uploads`, `forms`, `upload_faults`, and `api` (all of them by route);
- `server`: all of it together.

None of them knows the library that is tested with it; `shapes` alone reads the
dataclasses of `geministream.types`.
"""

from .answers import Answer
from .faults import RandomFaults
from .files import StoredFile
from .model import expected_text, expected_thoughts
from .record import RecordedRequest
from .server import LocalServer

__all__ = [
    "Answer",
    "LocalServer",
    "RandomFaults",
    "RecordedRequest",
    "StoredFile",
    "expected_text",
    "expected_thoughts",
]
