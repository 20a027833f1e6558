"""A server to develop and test against: real HTTP on loopback, scripted answers, faults.

It is a TEST server.  What answers in it is no model, but a small program that
shows by fixed rules what it received (`geministream.testing.model`).

The rooms, from the socket up: `listener` (connections and their threads),
`wire` (HTTP/1.1 by hand), `routes` (where a path leads), `profiles` (the
systems it stands in for), `record` (the requests that came); `answers` (what
is said), `render` (in which bytes), `delivery` (how they are sent, and how
they break); `prompt`, `model`, `samples`, `generation` (the rules of the
answers), `decode` (long answers); `checks`, `signatures` (what is refused);
`files`, `uploads`, `forms`, `upload_faults` (the Files API); `script`,
`faults` (what a test wants said, and faults at random); `api` (what is served
at each route), `server` (all of it together).  None of them knows the library
that is tested with it.
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
