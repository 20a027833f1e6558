"""Cached contents of the test server: created, described, prolonged, deleted, and used by name."""

import time

import pytest
import requests

from geministream import collect, stream_generate
from geministream.testing import LocalServer, expected_text
from geministream.testing.times import parse_timestamp

KEY = {"x-goog-api-key": "local-key"}
CACHE = {
    "model": "models/gemini-x",
    "displayName": "a book",
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "one two three four"}]}],
    "ttl": "300s",
}
ASK = {"contents": [{"role": "user", "parts": [{"text": "What is it?"}]}]}


class Client:
    def __init__(self, server):
        self.server = server

    def __call__(self, method, path, body=None, **query):
        return requests.request(
            method, f"{self.server.url}/v1beta/{path}", json=body, params=query, headers=KEY, timeout=10
        )

    def ask(self, model="gemini-x", **fields):
        return self("POST", f"models/{model}:generateContent", {**ASK, **fields})


@pytest.fixture
def client():
    with LocalServer() as server:
        yield Client(server)


def seconds_left(cache):
    return parse_timestamp(cache["expireTime"]) - time.time()


def test_create_get_list_delete(client):
    cache = client("POST", "cachedContents", CACHE).json()
    assert cache["name"].startswith("cachedContents/") and cache["displayName"] == "a book"
    assert cache["model"] == "models/gemini-x" and cache["usageMetadata"] == {"totalTokenCount": 6}
    assert 290 < seconds_left(cache) <= 300 and "contents" not in cache
    assert client("GET", cache["name"]).json() == cache
    second = client("POST", "cachedContents", {**CACHE, "ttl": None}).json()
    assert 3590 < seconds_left(second) <= 3600 and second["name"] != cache["name"]
    page = client("GET", "cachedContents", pageSize=1).json()
    assert page["cachedContents"] == [cache]
    rest = client("GET", "cachedContents", pageSize=1, pageToken=page["nextPageToken"]).json()
    assert rest == {"cachedContents": [second]}
    assert client("DELETE", cache["name"]).json() == {}
    assert client("GET", cache["name"]).status_code == 403
    assert client("GET", "cachedContents").json() == {"cachedContents": [second]}
    assert list(client.server.caches) == [second["name"]]


def test_a_cache_stands_before_the_prompt_and_its_tokens_are_counted(client):
    name = client("POST", "cachedContents", CACHE).json()["name"]
    answer = client.ask(cachedContent=name).json()
    whole = {**ASK, "systemInstruction": CACHE["systemInstruction"]}
    whole["contents"] = CACHE["contents"] + ASK["contents"]
    text = "".join(part["text"] for part in answer["candidates"][0]["content"]["parts"])
    assert text == expected_text(whole) == client.server.expected_text({**ASK, "cachedContent": name})
    assert text == "System instruction: Be brief.\nI was sent 2 contents.\nYou said: What is it?"
    usage = answer["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (9, 6)
    counted = client("POST", "models/gemini-x:countTokens", {**ASK, "cachedContent": name}).json()
    assert (counted["totalTokens"], counted["cachedContentTokenCount"]) == (9, 6)
    assert "cachedContentTokenCount" not in client.ask().json()["usageMetadata"]


def test_a_long_answer_of_a_cached_prompt_is_known_in_full():
    with LocalServer(tokens_per_request=3) as server:
        client = Client(server)
        name = client("POST", "cachedContents", CACHE).json()["name"]
        chunks = stream_generate("gemini-x", "What is it?", cached_content=name, endpoint=server.endpoint)
        assert collect(chunks).text == server.whole_text(server.requests[-1])
        assert server.request_count > 3  # one of them made the cache


def test_tools_of_a_cache_are_called(client):
    tools = [{"functionDeclarations": [{"name": "look"}]}]
    name = client("POST", "cachedContents", {"model": "models/gemini-x", "tools": tools}).json()["name"]
    contents = [{"role": "user", "parts": [{"text": "look()"}]}]
    answer = client.ask(cachedContent=name, contents=contents).json()
    assert answer["candidates"][0]["content"]["parts"][0]["functionCall"]["name"] == "look"


def test_only_the_end_of_a_cache_can_be_changed(client):
    cache = client("POST", "cachedContents", CACHE).json()
    longer = client("PATCH", cache["name"], {"ttl": "7200s"}, updateMask="ttl").json()
    assert 7190 < seconds_left(longer) <= 7200 and longer["createTime"] == cache["createTime"]
    moment = client(
        "PATCH", cache["name"], {"expireTime": "2999-01-01T00:00:00.5Z"}, update_mask="expire_time"
    )
    assert moment.json()["expireTime"] == "2999-01-01T00:00:00.500000Z"
    for body, query in (
        ({"displayName": "x"}, {}),
        ({"ttl": "5s"}, {"updateMask": "displayName"}),
        ({"ttl": "5"}, {}),
        ({"expireTime": "tomorrow"}, {}),
        ({"expireTime": "1999-01-01T00:00:00Z"}, {}),
        ({"ttl": "5s", "expireTime": "2999-01-01T00:00:00Z"}, {}),
    ):
        assert client("PATCH", cache["name"], body, **query).status_code == 400, body


def test_caches_that_cannot_be_used(client):
    name = client("POST", "cachedContents", CACHE).json()["name"]
    other = client.ask("gemini-y", cachedContent=name).json()["error"]
    assert other["code"] == 400 and "has to be the same" in other["message"]
    both = client.ask(cachedContent=name, systemInstruction=CACHE["systemInstruction"]).json()["error"]
    assert both["code"] == 400 and "can not be used with GenerateContent request" in both["message"]
    gone = {
        "code": 403,
        "message": "CachedContent not found (or permission denied)",
        "status": "PERMISSION_DENIED",
    }
    assert client.ask(cachedContent="cachedContents/none").json()["error"] == gone
    assert client.ask(cachedContent=name).status_code == 200
    client.server.expire_cache(name)
    assert client.ask(cachedContent=name).json()["error"] == gone
    assert client("GET", name).json()["error"] == gone
    assert client("GET", "cachedContents").json() == {}


def test_caches_that_cannot_be_created(client):
    for body, words in (
        ({**CACHE, "model": None}, "model is required"),
        ({"model": "models/m"}, "must have contents"),
        ({**CACHE, "ttl": "soon"}, "ttl"),
        ({**CACHE, "colour": "red"}, 'Unknown name "colour"'),
        ({**CACHE, "contents": [{"role": "user"}]}, "must not be empty"),
    ):
        answer = client("POST", "cachedContents", body)
        assert answer.status_code == 400 and words in answer.json()["error"]["message"]
    assert client("PUT", "cachedContents", CACHE).status_code == 405


def test_the_library_uses_a_cache(client):
    name = client("POST", "cachedContents", CACHE).json()["name"]
    chunks = stream_generate("gemini-x", "What is it?", cached_content=name, endpoint=client.server.endpoint)
    answer = collect(chunks)
    assert answer.usage_metadata.cached_content_token_count == 6 and "Be brief." in answer.text


def test_vertex_caches_have_long_names():
    with LocalServer(profile="vertex") as server:
        base, headers = f"{server.url}/v1beta1/", {"Authorization": "Bearer local-key"}
        parent = "projects/p/locations/l/cachedContents"
        model = "projects/p/locations/l/publishers/google/models/gemini-x"
        cache = requests.post(
            base + parent, json={**CACHE, "model": model}, headers=headers, timeout=10
        ).json()
        assert cache["name"].startswith(parent + "/")
        assert requests.get(base + cache["name"], headers=headers, timeout=10).json() == cache
        url = f"{base}{model}:generateContent"
        answer = requests.post(url, json={**ASK, "cachedContent": cache["name"]}, headers=headers, timeout=10)
        assert answer.json()["usageMetadata"]["cachedContentTokenCount"] == 6
        answer = requests.post(url, json={**ASK, "cachedContent": parent + "/x"}, headers=headers, timeout=10)
        assert answer.status_code == 404 and "cached content metadata" in answer.json()["error"]["message"]
