"""The models that the server lists; it answers to any other name too."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional

from .answers import Answer
from .pages import page
from .profiles import Profile
from .routes import Route
from .wire import Head

GENERATES = ("generateContent", "streamGenerateContent", "countTokens", "createCachedContent")
EMBEDS = ("embedContent", "batchEmbedContents", "countTokens")
NAMES = ("gemini-flash-latest", "gemini-pro-latest", "gemini-flash-lite-latest", "gemini-embedding-001")


def models(head: Head, route: Route, profile: Profile) -> Answer:
    """The list of models, or one of them."""
    if head.method not in ("GET", "HEAD"):
        return Answer.failure(405, "Only GET is served here.", headers={"Allow": "GET"})
    if route.kind == "tuned":
        return page("tunedModels", [], head.query, default=10, most=1000)  # none can be tuned here
    describe = _publisher_model if profile.long_paths else _model
    if route.kind == "models":
        field = "publisherModels" if profile.long_paths else "models"
        return page(field, [describe(name) for name in NAMES], head.query, default=50, most=1000)
    return unknown_model(route) or Answer(chunks=[describe(route.name)])


def unknown_model(route: Route) -> Optional[Answer]:
    """The error for a name of a model that does not exist."""
    if not re.search("no-such-model|missing", route.name):
        return None
    return Answer.failure(
        404,
        f"models/{route.name} is not found for API version {route.version}, or is not supported for "
        f"{route.verb or 'GetModel'}. Call ListModels to see the list of available models and their "
        "supported methods.",
    )


def _model(name: str) -> Dict[str, Any]:
    embeds = "embedding" in name
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": f"LocalServer's test program, called as {name}",
        "description": "Not a model: it repeats what it received, by fixed rules.",
        "inputTokenLimit": 2048 if embeds else 1048576,
        "outputTokenLimit": 1 if embeds else 65536,
        "supportedGenerationMethods": list(EMBEDS if embeds else GENERATES),
    }


def _publisher_model(name: str) -> Dict[str, Any]:
    resource = f"publishers/google/models/{name}"
    return {
        "name": resource,
        "versionId": "default",
        "openSourceCategory": "PROPRIETARY",
        "launchStage": "GA",
        "publisherModelTemplate": f"projects/{{project}}/locations/{{location}}/{resource}",
    }
