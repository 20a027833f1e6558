"""A server to develop and test against: real HTTP on loopback, scripted answers, faults.

It is a TEST server.  What answers in it is no model, but a small program that
shows by fixed rules what it received (`geministream.testing.model`).

    >>> with LocalServer() as server:
    ...     server.queue(Answer.text("Hello", " there"))
    ...     ...
"""

from .answers import Answer
from .faults import RandomFaults
from .files import StoredFile
from .model import expected_text, expected_thoughts
from .server import LocalServer, RecordedRequest

__all__ = ["Answer", "LocalServer", "RandomFaults", "RecordedRequest", "StoredFile", "expected_text", "expected_thoughts"]
