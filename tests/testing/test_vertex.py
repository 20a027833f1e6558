"""Vertex AI's own methods and paths at the test server."""

import base64

import pytest
import requests

from geministream.testing import LocalServer
from geministream.testing.embeddings import embedding

TOKEN = {"Authorization": "Bearer local-key"}
LONG = "projects/p/locations/global/publishers/google/models/gemini-x"
SHORT = "publishers/google/models/gemini-x"
ASK = {"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}


@pytest.fixture
def server():
    with LocalServer(profile="vertex") as server:
        yield server


def post(server, path, body, headers=TOKEN, version="v1beta1", **query):
    return requests.post(
        f"{server.url}/{version}/{path}", json=body, headers=headers, params=query, timeout=10
    )


def test_compute_tokens(server):
    contents = [*ASK["contents"], {"role": "model", "parts": [{"text": "three"}]}]
    first, second = post(server, LONG + ":computeTokens", {"contents": contents}).json()["tokensInfo"]
    assert [base64.b64decode(token) for token in first["tokens"]] == [b"one ", b"two"]
    assert len(set(first["tokenIds"])) == 2 and all(each.isdigit() for each in first["tokenIds"])
    assert (first["role"], second["role"], len(second["tokens"])) == ("user", "model", 1)
    assert post(server, LONG + ":computeTokens", {}).status_code == 400
    with LocalServer() as google:  # the Gemini API does not have it
        url = f"{google.url}/v1beta/models/m:computeTokens"
        assert (
            requests.post(url, json=ASK, headers={"x-goog-api-key": "local-key"}, timeout=10).status_code
            == 404
        )


def test_predict_embeds_texts(server):
    body = {"instances": [{"content": "one two", "task_type": "CLUSTERING"}, {"content": "x"}]}
    first, second = post(server, LONG + ":predict", body).json()["predictions"]
    assert first["embeddings"]["values"] == embedding("one two") != second["embeddings"]["values"]
    assert first["embeddings"]["statistics"] == {"token_count": 2, "truncated": False}
    body["parameters"] = {"outputDimensionality": 3}
    assert len(post(server, LONG + ":predict", body).json()["predictions"][1]["embeddings"]["values"]) == 3


def test_models_are_listed_and_described(server):
    url = f"{server.url}/v1beta1/publishers/google/models"
    page = requests.get(url, headers=TOKEN, params={"pageSize": 1}, timeout=10).json()
    (model,) = page["publisherModels"]
    assert model["name"] == "publishers/google/models/gemini-flash-latest" and page["nextPageToken"]
    assert requests.get(f"{url}/gemini-flash-latest", headers=TOKEN, timeout=10).json() == model
    assert requests.get(f"{url}/missing", headers=TOKEN, timeout=10).status_code == 404


@pytest.mark.parametrize("path", [LONG, SHORT])
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_tokens_and_keys(server, path, version):
    path += ":generateContent"
    assert post(server, path, ASK, version=version).status_code == 200
    assert post(server, path, ASK, {"x-goog-api-key": "local-key"}, version).status_code == 200
    assert post(server, path, ASK, {}, version, key="local-key").status_code == 200
    for headers, query in (({}, {}), ({"x-goog-api-key": "no"}, {}), ({}, {"key": "no"})):
        assert post(server, path, ASK, headers, version, **query).status_code == 401


def test_tuned_models_are_endpoints(server):
    parent = "projects/p/locations/l"
    assert post(server, f"{parent}/endpoints/123:generateContent", ASK).status_code == 200
    assert server.requests[0].model == "123"
    listed = requests.get(f"{server.url}/v1beta1/{parent}/models", headers=TOKEN, timeout=10)
    assert (listed.status_code, listed.json()) == (200, {})
    for path in (
        f"{parent}/endpoints",
        f"{parent}/models/1:generateContent",
        "tunedModels/x:generateContent",
    ):
        assert post(server, path, ASK).status_code == 404, path
