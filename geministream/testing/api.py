"""The API: what the server answers at each route, and which requests it refuses."""

from __future__ import annotations

import base64
import zlib
from typing import Any, Dict, Optional, Tuple

from . import checks
from .answers import Answer
from .caches import Caches
from .catalogue import models, unknown_model
from .decode import LongDecode
from .embeddings import embed, embed_batch, predict
from .files import Files
from .generation import generate
from .model import Reply, answer_tokens, expected_text
from .profiles import Profile
from .prompt import normal, prompt_token_details, words
from .record import RecordedRequest
from .routes import TO_A_MODEL, Route
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
        lenient: bool,
    ):
        self.profile = profile
        self.files = files
        self.caches = Caches(vertex=profile.long_paths)
        self.decode = decode
        self.signatures = signatures
        self.reply = reply
        self.words_per_chunk = words_per_chunk
        self.lenient = lenient

    def framing(self, route: Optional[Route], head: Head) -> str:
        """The framing that a request asks for."""
        if route is None or route.verb != "streamGenerateContent":
            return "object"
        alt = head.query.get("alt") or head.query.get("$alt")
        return "sse" if alt == "sse" or self.profile.always_sse else "json"

    def check(self, head: Head, route: Route, body: bytes) -> Tuple[Dict[str, Any], Optional[Answer]]:
        """The request in its normal form, with the content of its cache; and its error, or None."""
        if route.kind in TO_A_MODEL - {"model"}:
            if head.method != "POST":
                return {}, Answer.failure(405, "Only POST is served here.", headers={"Allow": "POST"})
            unknown = unknown_model(route)
            if unknown:
                return {}, unknown
        elif route.kind != "caches" or head.method not in ("POST", "PATCH"):
            return {}, None
        written, refusal = checks.parse(body)
        if refusal:
            return {}, refusal
        request = normal(written)
        refusal = checks.check(route.kind, written, request, strict=self.profile.strict, lenient=self.lenient)
        if refusal is None and route.kind in ("generate", "count"):
            refusal = self._check_use(route, request)
            request = self.caches.whole(request)
        return request, refusal

    def _check_use(self, route: Route, request: Dict[str, Any]) -> Optional[Answer]:
        """The error for a request whose cache, files, signatures or token are not valid."""
        refusal = None
        if not self.lenient:
            refusal = self.caches.check(route.name, request)
        if refusal or route.kind == "count":
            return refusal
        if self.profile.uploads:
            refusal = self.files.check(request)
        if refusal is None and self.signatures:
            refusal = self.signatures.check(request["contents"])
        return refusal or self.decode.check(self.caches.whole(request))

    def issue(self, chunk: Dict[str, Any], request: Dict[str, Any]) -> None:
        """Remember the continuation tokens and signatures of a chunk that is sent."""
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
        if route.kind == "download":
            return self.files.download(head, route.name)
        if route.kind == "caches":
            return self.caches.serve(head, route, request)
        if route.kind == "count":
            return self._count(request)
        if route.kind in PLAIN:
            return PLAIN[route.kind](request)
        return models(head, route, self.profile)

    def expected_text(self, request: Dict[str, Any], candidate: int = 0) -> str:
        """The text that the model answers to this request."""
        whole = self.caches.whole(normal(request))
        return expected_text(whole, candidate, files=self.files.facts, reply=self.reply)

    def whole_text(self, recorded: RecordedRequest) -> str:
        """The text of a long answer as it was sent, to the end of this request."""
        whole = self.caches.whole(normal(recorded.json))
        tokens, _ = answer_tokens(whole, files=self.files.facts, reply=self.reply)
        return self.decode.whole_text(recorded.number, tokens)

    def _generate(self, route: Route, request: Dict[str, Any], recorded: RecordedRequest) -> Answer:
        known: Dict[str, Any] = {"files": self.files.facts, "reply": self.reply}
        hop = self.decode.hop(request, recorded.number, lambda: len(answer_tokens(request, **known)[0]))
        if isinstance(hop, Answer):
            return hop
        return Answer(
            chunks=generate(
                request,
                route.name,
                hop=hop,
                words_per_chunk=self.words_per_chunk,
                cached_tokens=self.caches.tokens(request),
                **known,
            )
        )

    def _count(self, request: Dict[str, Any]) -> Answer:
        inner = request.get("generateContentRequest")
        counted = self.caches.whole(normal(inner)) if inner else request
        details = prompt_token_details(counted)
        counts: Dict[str, Any] = {
            "totalTokens": sum(details.values()),
            "promptTokensDetails": [{"modality": m, "tokenCount": n} for m, n in details.items()],
        }
        cached = self.caches.tokens(counted)
        if cached:
            counts["cachedContentTokenCount"] = cached
        return Answer(chunks=[counts])


def _compute(request: Dict[str, Any]) -> Answer:
    """The tokens of each content, as Vertex AI's `computeTokens` lists them."""
    infos = []
    for content in request["contents"]:
        tokens = [word for part in content.get("parts") or [] for word in words(part.get("text") or "")]
        infos.append(
            {
                "role": content.get("role") or "user",
                "tokens": [
                    base64.b64encode(token.encode("utf-8", "surrogatepass")).decode() for token in tokens
                ],
                "tokenIds": [str(zlib.crc32(token.encode("utf-8", "surrogatepass"))) for token in tokens],
            }
        )
    return Answer(chunks=[{"tokensInfo": infos}])


#: The kinds of route whose answer is a function of the request alone.
PLAIN = {"compute": _compute, "embed": embed, "batch_embed": embed_batch, "predict": predict}
