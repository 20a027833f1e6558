"""What the server answers of its own accord at each route, and what it refuses."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional, Tuple

from . import checks
from .answers import Answer
from .decode import LongDecode
from .files import Files
from .generation import generate
from .model import Reply, answer_tokens
from .profiles import Profile
from .prompt import normal, prompt_token_details
from .record import RecordedRequest
from .routes import Route
from .signatures import Signatures
from .wire import Head


class Api:
    """The API of one server; its arguments are `LocalServer`'s."""

    def __init__(
        self,
        profile: Profile,
        files: Files,
        decode: LongDecode,
        signatures: Optional[Signatures],
        reply: Optional[Reply],
        words_per_chunk: int,
    ):
        self.profile = profile
        self.files = files
        self.decode = decode
        self.signatures = signatures
        self.reply = reply
        self.words_per_chunk = words_per_chunk

    def framing(self, route: Optional[Route], head: Head) -> str:
        """The framing that a request asks for."""
        if route is None or route.verb != "streamGenerateContent":
            return "object"
        return "sse" if head.query.get("alt") == "sse" or self.profile.always_sse else "json"

    def check(self, head: Head, route: Route, body: bytes) -> Tuple[Dict[str, Any], Optional[Answer]]:
        """The request to a model in its normal form, and the error in it."""
        if head.method != "POST":
            return {}, Answer.failure(405, "Only POST is served here.", headers={"Allow": "POST"})
        if re.search("no-such-model|missing", route.name):
            return {}, _no_model(route)
        request, refusal = checks.parse(body)
        if refusal or route.kind == "count":
            return request, refusal or checks.check_count(request)
        refusal = checks.check(request, strict=self.profile.strict)
        if refusal is None and self.profile.uploads:
            refusal = self.files.check(request)
        if refusal is None and self.signatures:
            refusal = self.signatures.check(request["contents"])
        return request, refusal or self.decode.check(request)

    def issue(self, chunk: Dict[str, Any], request: Dict[str, Any]) -> None:
        """Remember what a chunk that goes out gives the client: tokens and signatures."""
        self.decode.issue(chunk, request)
        if self.signatures:
            self.signatures.issue(chunk)

    def answer(
        self, head: Head, route: Optional[Route], request: Dict[str, Any], recorded: RecordedRequest
    ) -> Answer:
        """The server's own answer."""
        if route is None:
            return Answer.failure(404, f"Nothing is served at {head.path}.")
        if route.kind == "files":
            return self.files.serve(head, route.name)
        if route.kind == "generate":
            return self._generate(route, request, recorded)
        if route.kind == "count":
            return _count(request)
        return _models(head, route)

    def _generate(self, route: Route, request: Dict[str, Any], recorded: RecordedRequest) -> Answer:
        known: Dict[str, Any] = {"files": self.files.facts, "reply": self.reply}
        hop = self.decode.hop(request, recorded.number, lambda: len(answer_tokens(request, **known)[0]))
        if isinstance(hop, Answer):
            return hop
        return Answer(
            chunks=generate(request, route.name, hop=hop, words_per_chunk=self.words_per_chunk, **known)
        )


def _count(request: Dict[str, Any]) -> Answer:
    counted = normal(request.get("generateContentRequest") or request)
    details = prompt_token_details(counted)
    return Answer(
        chunks=[
            {
                "totalTokens": sum(details.values()),
                "promptTokensDetails": [{"modality": m, "tokenCount": n} for m, n in details.items()],
            }
        ]
    )


def _models(head: Head, route: Route) -> Answer:
    if head.method not in ("GET", "HEAD"):
        return Answer.failure(405, "Only GET is served here.", headers={"Allow": "GET"})
    if route.kind == "models":
        names = ("gemini-flash-latest", "gemini-pro-latest")
        return Answer(chunks=[{"models": [_model_info(name) for name in names]}])
    if re.search("no-such-model|missing", route.name):
        return _no_model(route)
    return Answer(chunks=[_model_info(route.name)])


def _no_model(route: Route) -> Answer:
    return Answer.failure(
        404,
        f"models/{route.name} is not found for API version {route.version}, or is not supported for "
        f"{route.verb or 'GetModel'}. Call ListModels to see the list of available models and their "
        "supported methods.",
    )


def _model_info(name: str) -> Dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": f"LocalServer's test program, called as {name}",
        "description": "Not a model: it tells back what it was sent, by fixed rules.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }
