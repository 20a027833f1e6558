"""A server to develop and test against: real HTTP on loopback, scripted answers, faults.

It is a TEST server.  What answers in it is no model, but a small program that
shows by fixed rules what it received (`geministream.testing.model`).

The rooms, from the socket up: `wire` (HTTP/1.1 by hand), `answers` (what is
said, in which bytes, and how it breaks), `model` (the rules of the answers),
`checks`, `signatures` (what is refused), `decode` (long answers), `files`
(the Files API), `profiles` (the systems it stands in for), `faults` (faults at
random), `server` (all of it together).  None of them knows the library that
is tested with it.
"""

from .answers import Answer
from .faults import RandomFaults
from .files import StoredFile
from .model import expected_text, expected_thoughts
from .server import LocalServer, RecordedRequest

__all__ = [
    "Answer",
    "LocalServer",
    "RandomFaults",
    "RecordedRequest",
    "StoredFile",
    "expected_text",
    "expected_thoughts",
]
