"""Embeddings of the test server: vectors that depend on the text alone."""

import math

import pytest
import requests

from geministream.testing import LocalServer

KEY = {"x-goog-api-key": "local-key"}


@pytest.fixture
def post():
    with LocalServer() as server:

        def post(verb, body, model="gemini-embedding-001"):
            url = f"{server.url}/v1beta/models/{model}:{verb}"
            return requests.post(url, json=body, headers=KEY, timeout=10)

        yield post


def content(text):
    return {"parts": [{"text": text}]}


def test_a_vector_depends_on_the_text_alone(post):
    first = post("embedContent", {"content": content("one"), "taskType": "RETRIEVAL_QUERY"}).json()
    again = post("embedContent", {"model": "models/m", "content": content("one")}).json()
    other = post("embedContent", {"content": content("two")}).json()
    values = first["embedding"]["values"]
    assert first == again != other
    assert len(values) == 768 and math.isclose(math.fsum(v * v for v in values), 1, abs_tol=1e-6)
    assert min(values) < 0 < max(values)


def test_output_dimensionality(post):
    whole = post("embedContent", {"content": content("one")}).json()["embedding"]["values"]
    short = post("embedContent", {"content": content("one"), "outputDimensionality": 3}).json()
    values = short["embedding"]["values"]
    assert len(values) == 3 and math.isclose(values[0] / values[1], whole[0] / whole[1], rel_tol=1e-5)
    snake = post("embedContent", {"content": content("one"), "output_dimensionality": "3"}).json()
    assert snake == short


def test_a_batch_has_a_vector_for_each_request_in_order(post):
    texts = ["one", "two", "one"]
    batch = {"requests": [{"model": "models/gemini-embedding-001", "content": content(t)} for t in texts]}
    vectors = post("batchEmbedContents", batch).json()["embeddings"]
    assert vectors == [post("embedContent", {"content": content(t)}).json()["embedding"] for t in texts]
    assert vectors[0] == vectors[2] != vectors[1]


@pytest.mark.parametrize(
    "verb, body, field",
    [
        ("embedContent", {}, "content"),
        ("embedContent", {"content": {"parts": []}}, "content.parts"),
        ("embedContent", {"content": content("x"), "outputDimensionality": 0}, "output_dimensionality"),
        ("embedContent", {"content": content("x"), "taskType": "GUESS"}, "task_type"),
        ("embedContent", {"content": content("x"), "colour": 1}, "colour"),
        ("batchEmbedContents", {}, "requests"),
        ("batchEmbedContents", {"requests": [{"content": content("x")}] * 101}, "requests"),
        (
            "batchEmbedContents",
            {"requests": [{"content": {"parts": [{}]}}]},
            "requests[0].content.parts[0].data",
        ),
    ],
)
def test_requests_that_are_refused(post, verb, body, field):
    answer = post(verb, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["fieldViolations"][0]["field"] == field


def test_unknown_models_and_methods(post):
    assert post("embedContent", {"content": content("x")}, model="missing").status_code == 404
    with LocalServer() as server:
        url = f"{server.url}/v1beta/models/m:embedContent"
        assert requests.get(url, headers=KEY, timeout=10).status_code == 405
        assert requests.post(url, json={"content": content("x")}, timeout=10).status_code == 403
