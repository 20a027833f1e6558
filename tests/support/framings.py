"""Bodies through a Framing, and what comes of them."""

import re

from geministream.errors import GeministreamError
from geministream.wire.framing import Framing


def outcome(pieces, limit=256 * 2**20):
    """The values, and the class of the error that ended them with what it says.

    What some errors quote, and that alone, depends on what has come behind it.
    """
    framing = Framing(limit)
    values = []
    try:
        for piece in pieces:
            values.extend(framing.feed(piece))
        values.extend(framing.close())
    except GeministreamError as error:
        return as_text(values), type(error), re.sub("(UTF-8: |JSON: unexpected )b?['\"].*", r"\1", str(error))
    return as_text(values), None, ""


def values_of(pieces, limit=256 * 2**20):
    """The values, and the class of the error that ended them."""
    return outcome(pieces, limit)[:2]


def as_text(values):
    """Comparable, also where NaN is among the values."""
    return [repr(value) for value in values]


def in_pieces(body, size):
    return [body[start : start + size] for start in range(0, len(body), size)]
