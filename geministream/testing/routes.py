"""Where each path leads."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from .profiles import Profile

#: What a path's verb asks for.
VERBS = {
    "streamGenerateContent": "generate",
    "generateContent": "generate",
    "countTokens": "count",
    None: "model",
}


class Route(NamedTuple):
    """Where a path leads."""

    kind: str  # "generate", "count", "models", "model", "files", "upload"
    version: str  # "v1beta"
    name: str = ""  # the model's or file's
    verb: Optional[str] = None


def find_route(path: str, profile: Profile) -> Optional[Route]:
    """The route of a path; None if nothing is served there."""
    if not path.startswith(profile.prefix + "/"):
        return None
    match = re.match(r"/(upload/)?(v\d\w*)/(.+)$", path[len(profile.prefix) :])
    if not match:
        return None
    uploads, version, path = match.groups()
    if profile.uploads:
        if uploads:
            return Route("upload", version) if path == "files" else None
        if path == "files" or path.startswith("files/"):
            return Route("files", version, path[len("files/") :])
    if profile.long_paths:
        match = re.match(r"projects/[^/]+/locations/[^/]+/publishers/google/(models(?:/.+)?)$", path)
        if not match:
            return None
        path = match.group(1)
    match = re.match(r"(?:models|tunedModels)/(.+?)(?::(\w+))?$", path)
    if match:
        name, verb = match.groups()
        kind = VERBS.get(verb)
        return Route(kind, version, name, verb) if kind else None
    return Route("models", version) if path == "models" else None
