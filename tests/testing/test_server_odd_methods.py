"""Requests to the other methods that are odd at random: each is answered."""

import copy
import http.client
import json
import random
from contextlib import closing

import pytest
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
    base = "/v1beta/projects/p/locations/l/" if profile == "vertex" else "/v1beta/"
    with LocalServer(profile=profile, lenient=lenient) as server, closing(
        http.client.HTTPConnection(server.host, server.port, timeout=10)
    ) as connection:

        def ask(method, path, body):
            headers = {"x-goog-api-key": "local-key", "Content-Type": "application/json"}
            connection.request(method, base + path, json.dumps(body), headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read()

        create = dict(METHODS[4][2], ttl="500s")
        name = json.loads(ask("POST", "cachedContents", create)[1])["name"].rpartition("/")[2]
        for _ in range(8000 if LONG else 200):
            method, path, body = copy.deepcopy(choose.choice(METHODS))
            if profile == "vertex" and path.startswith("models"):
                path = f"publishers/google/{path}"
            for _ in range(choose.choice((0, 1, 1, 2))):
                container, key = choose.choice(list(places_in(body)) or [({}, "x")])
                container[key] = copy.deepcopy(choose.choice(ODD + STRANGE_TIMES))
            status, _ = ask(method, path.format(name), body)
            if server.errors:
                raise AssertionError(f"{method} {path} {body!r}"[:3000]) from server.errors.pop()
            statuses.add(status)
    assert {200, 400} <= statuses <= {200, 400, 403, 404}
