"""Paths of the test server: versions, pages of models, model names."""

import pytest
import requests

from geministream.testing import Answer, LocalServer

KEY = {"x-goog-api-key": "local-key"}
ASK = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


def get(server, path, **query):
    return requests.get(server.url + path, headers=KEY, params=query, timeout=10)


def test_models_come_in_pages():
    with LocalServer() as server:
        names = [model["name"] for model in get(server, "/v1beta/models").json()["models"]]
        paged, token = [], ""
        while token is not None:
            page = get(server, "/v1beta/models", pageSize=3, pageToken=token).json()
            assert len(page["models"]) <= 3
            paged += [model["name"] for model in page["models"]]
            token = page.get("nextPageToken")
        assert paged == names and len(names) == 4
        for query in ({"pageSize": 0}, {"pageSize": "x"}, {"pageSize": 1001}, {"pageToken": "!"}):
            assert get(server, "/v1beta/models", **query).status_code == 400, query


def test_there_are_no_tuned_models_to_list_but_each_name_answers():
    with LocalServer() as server:
        listed = get(server, "/v1beta/tunedModels", pageSize=10)
        assert (listed.status_code, listed.json()) == (200, {})
        url = f"{server.url}/v1beta/tunedModels/mine:generateContent"
        assert requests.post(url, json=ASK, headers=KEY, timeout=10).status_code == 200


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_each_version_is_served_and_named_in_errors(version):
    with LocalServer() as server:
        assert get(server, f"/{version}/models/gemini-x").status_code == 200
        assert (
            f"for API version {version},"
            in get(server, f"/{version}/models/missing").json()["error"]["message"]
        )
        url = f"{server.url}/{version}/models/missing:generateContent"
        message = requests.post(url, json=ASK, headers=KEY, timeout=10).json()["error"]["message"]
        assert f"for API version {version}, or is not supported for generateContent" in message


@pytest.mark.parametrize("profile, status", [("google", 404), ("gateway", 200), ("bifrost", 200)])
def test_only_gateways_have_slashes_in_model_names(profile, status):
    with LocalServer(profile=profile) as server:
        base = server.url + server.profile.prefix
        url = f"{base}/v1beta/models/openai/gpt-4o:generateContent"
        assert requests.post(url, json=ASK, headers=KEY, timeout=10).status_code == status
        assert server.requests[0].model == ("openai/gpt-4o" if status == 200 else None)


def test_a_blocked_answer_says_which_model_it_is_of():
    (chunk,) = Answer.blocked().chunks
    assert chunk["modelVersion"] and chunk["promptFeedback"] == {"blockReason": "SAFETY"}
