"""Chunks, and what collect() makes of them."""

import copy

from geministream import collect
from geministream.types import GenerateContentResponse


def merged(*chunks, each=None):
    """The dict of the chunks' merger; the chunks must come out of it as they went in."""
    made = [GenerateContentResponse.from_dict(chunk) for chunk in chunks]
    before = copy.deepcopy([chunk.to_dict() for chunk in made])
    whole = collect(iter(made))
    assert [chunk.to_dict() for chunk in made] == before, "a chunk was changed"
    return whole.to_dict()


def content(*parts, index=None, **more):
    candidate = {"content": {"parts": list(parts), "role": "model"}, **more}
    if index is not None:
        candidate["index"] = index
    return {"candidates": [candidate]}


def parts_of(*chunks):
    return merged(*chunks)["candidates"][0]["content"]["parts"]
