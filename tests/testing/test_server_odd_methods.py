"""Requests to the other methods that are odd at random: each is answered."""

import copy
import json
import random

import pytest
import requests
from support.long_form import LONG
from support.odd_requests import FULL, ODD, places_in

from geministream.testing import LocalServer

#: Good requests of the other methods.
METHODS = [
    ("POST", "models/m:embedContent", {"content": {"parts": [{"text": "x"}]}, "outputDimensionality": 3}),
    ("POST", "models/m:batchEmbedContents", {"requests": [{"content": {"parts": [{"text": "x"}]}}]}),
    ("POST", "models/m:computeTokens", {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}),
    (
        "POST",
        "models/m:predict",
        {
            "instances": [{"content": "x", "task_type": "CLUSTERING"}],
            "parameters": {"outputDimensionality": 3},
        },
    ),
    (
        "POST",
        "cachedContents",
        {
            **{name: FULL[name] for name in ("contents", "systemInstruction", "tools", "toolConfig")},
            "model": "models/m",
            "displayName": "x",
            "ttl": "5s",
        },
    ),
    ("PATCH", "cachedContents/{}?updateMask=expireTime", {"expireTime": "2999-01-01T00:00:00.5+01:00"}),
    ("GET", "cachedContents?pageSize=x", {}),
]
STRANGE_TIMES = [
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "2999-13-01T00:00:00Z",
    "999999999s",
    ".5s",
]


@pytest.mark.parametrize("profile", ["google", "vertex"])
@pytest.mark.parametrize("lenient", [False, True])
def test_odd_requests_of_the_other_methods_are_answered(profile, lenient):
    choose = random.Random(f"others/{profile}/{lenient}")
    statuses = set()
    with LocalServer(profile=profile, lenient=lenient) as server, requests.Session() as session:
        session.headers.update({"x-goog-api-key": "local-key"})
        base = f"{server.url}/v1beta/"
        if profile == "vertex":
            base += "projects/p/locations/l/"
        create = dict(METHODS[4][2], ttl="500s")
        name = session.post(base + "cachedContents", json=create).json()["name"].rpartition("/")[2]
        for _ in range(20000 if LONG else 400):
            method, path, body = copy.deepcopy(choose.choice(METHODS))
            if profile == "vertex" and path.startswith("models"):
                path = f"publishers/google/{path}"
            for _ in range(choose.choice((0, 1, 1, 2))):
                container, key = choose.choice(list(places_in(body)) or [({}, "x")])
                container[key] = copy.deepcopy(choose.choice(ODD + STRANGE_TIMES))
            answer = session.request(method, base + path.format(name), data=json.dumps(body), timeout=10)
            if server.errors:
                raise AssertionError(f"{method} {path} {body!r}"[:3000]) from server.errors.pop()
            statuses.add(answer.status_code)
    assert {200, 400} <= statuses <= {200, 400, 403, 404}
