"""Routes: what is served at each path."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from .profiles import Profile

#: The kind of route for each verb of a path.
VERBS = {
    "streamGenerateContent": "generate",
    "generateContent": "generate",
    "countTokens": "count",
    "embedContent": "embed",
    "batchEmbedContents": "batch_embed",
    None: "model",
}
#: The same at Vertex AI.
VERTEX_VERBS = {**VERBS, "computeTokens": "compute", "predict": "predict"}
#: Paths of Vertex AI, and the same in the Gemini API.
LONG_PATHS = (
    # Without a project in express mode, and to list or get a publisher's models.
    (r"(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/(models(?:/.+)?)$", r"\1"),
    (r"projects/[^/]+/locations/[^/]+/(cachedContents(?:/.+)?)$", r"\1"),
    (r"projects/[^/]+/locations/[^/]+/endpoints/(.+)$", r"tunedModels/\1"),
    (r"projects/[^/]+/locations/[^/]+/models$", "tunedModels"),
)
#: The kinds of route that lead to a model.
TO_A_MODEL = frozenset(VERTEX_VERBS.values())


class Route(NamedTuple):
    """What is served at a path."""

    kind: str  # one of TO_A_MODEL, or "models", "tuned", "files", "download", "caches", "upload"
    version: str  # "v1beta"
    name: str = ""  # the model's, the file's or the cache's
    verb: Optional[str] = None


def find_route(path: str, profile: Profile) -> Optional[Route]:
    """The route of a path; None if nothing is served there."""
    if not path.startswith(profile.prefix + "/"):
        return None
    match = re.match(r"/(upload/)?(v\d\w*)/(.+)$", path[len(profile.prefix) :])
    if not match:
        return None
    uploads, version, path = match.groups()
    if uploads or re.match("files(/|$)", path):
        return _file_route(bool(uploads), version, path) if profile.uploads else None
    if profile.long_paths:
        for pattern, replacement in LONG_PATHS:
            match = re.match(pattern, path)
            if match:
                path = match.expand(replacement)
                break
        else:
            return None
    if path == "tunedModels":
        return Route("tuned", version)
    match = re.match(r"cachedContents(?:/([^/:]+))?$", path)
    if match:
        return Route("caches", version, match.group(1) or "")
    name = ".+?" if profile.any_model else "[^/]+?"
    match = re.match(rf"(?:models|tunedModels)/({name})(?::(\w+))?$", path)
    if match:
        name, verb = match.groups()
        kind = (VERTEX_VERBS if profile.long_paths else VERBS).get(verb)
        return Route(kind, version, name, verb) if kind else None
    return Route("models", version) if path == "models" else None


def _file_route(uploads: bool, version: str, path: str) -> Optional[Route]:
    if uploads:
        return Route("upload", version) if path == "files" else None
    name, _, verb = path[len("files/") :].partition(":")
    if verb:
        return Route("download", version, name, verb) if verb == "download" else None
    return Route("files", version, name)
