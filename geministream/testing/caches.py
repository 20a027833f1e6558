"""Cached contents: the part of a prompt that the server keeps for later requests."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Union

from .answers import Answer
from .pages import page
from .prompt import prompt_token_details
from .routes import Route
from .times import parse_duration, parse_timestamp, timestamp
from .wire import Head

#: "If not set, the TTL defaults to 1 hour" (Gemini API reference, caching).
TTL = 3600.0
#: The fields that a cache adds to a request.
KEPT = ("contents", "systemInstruction", "tools", "toolConfig")


@dataclass
class StoredCache:
    """A cached content."""

    name: str
    request: Dict[str, Any]
    created: float
    updated: float
    #: When it ends (`time.time`).
    expires: float
    tokens: int

    def to_dict(self) -> Dict[str, Any]:
        """The cache as the API describes it: without its content."""
        described = {
            "name": self.name,
            "model": self.request["model"],
            "displayName": self.request.get("displayName"),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.updated),
            "expireTime": timestamp(self.expires),
            "usageMetadata": {"totalTokenCount": self.tokens},
        }
        return {name: value for name, value in described.items() if value is not None}


class Caches:
    """The cached contents of one server; `vertex` selects Vertex AI's names and errors."""

    def __init__(self, vertex: bool = False):
        self.vertex = vertex
        self.stored: Dict[str, StoredCache] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    # -- what is served ----------------------------------------------------------

    def serve(self, head: Head, route: Route, request: Dict[str, Any]) -> Answer:
        """Serve `cachedContents` and `cachedContents/{name}`; `request` is the body, checked."""
        if not route.name:
            if head.method == "POST":
                return self._create(head.path, request)
            if head.method in ("GET", "HEAD"):
                living = [cache.to_dict() for cache in self._living()]
                return page("cachedContents", living, head.query, default=50, most=1000)
            return Answer.failure(405, "Only GET and POST are served here.", headers={"Allow": "GET, POST"})
        cache = self.find(route.name)
        if cache is None:
            return self._unknown(route.name)
        if head.method == "PATCH":
            return self._update(head, cache, request)
        if head.method == "DELETE":
            with self._lock:
                self.stored.pop(cache.name, None)
            return Answer(chunks=[{}])
        if head.method in ("GET", "HEAD"):
            return Answer(chunks=[cache.to_dict()])
        allowed = "GET, PATCH, DELETE"
        return Answer.failure(405, f"Only {allowed} are served here.", headers={"Allow": allowed})

    def find(self, name: str) -> Optional[StoredCache]:
        """The cache of this name or id, unless it has expired."""
        last = name.rpartition("/")[2]
        return next((cache for cache in self._living() if cache.name.rpartition("/")[2] == last), None)

    def _living(self) -> List[StoredCache]:
        with self._lock:
            return [cache for cache in self.stored.values() if cache.expires > time.time()]

    def _create(self, path: str, request: Dict[str, Any]) -> Answer:
        if not request.get("model"):
            return Answer.failure(400, "* CreateCachedContentRequest.model: model is required")
        if not any(request.get(name) for name in ("contents", "systemInstruction", "tools")):
            return Answer.failure(400, "CachedContent must have contents, system_instruction or tools.")
        now = time.time()
        expires = _expiry(request, now)
        if isinstance(expires, Answer):
            return expires
        tokens = sum(prompt_token_details(request).values())
        with self._lock:
            seed = f"{next(self._numbers)} {now}".encode()
            name = base64.b32encode(hashlib.sha256(seed).digest()).decode().lower()[:20]
            parent = re.sub(r"^/v\d\w*/", "", path) if self.vertex else "cachedContents"
            cache = StoredCache(f"{parent}/{name}", request, now, now, expires, tokens)
            self.stored[cache.name] = cache
        return Answer(chunks=[cache.to_dict()])

    def _update(self, head: Head, cache: StoredCache, request: Dict[str, Any]) -> Answer:
        mask = head.query.get("updateMask") or head.query.get("update_mask") or ""
        named = set(filter(None, mask.replace("_t", "T").split(",")))
        other = (named or set(request)) - {"ttl", "expireTime", "name"}
        if other or not (request.get("ttl") or request.get("expireTime")):
            return Answer.failure(400, "Only ttl or expire_time of a CachedContent can be updated.")
        now = time.time()
        expires = _expiry(request, now)
        if isinstance(expires, Answer):
            return expires
        cache.expires, cache.updated = expires, now
        return Answer(chunks=[cache.to_dict()])

    def _unknown(self, name: str) -> Answer:
        if self.vertex:
            return Answer.failure(404, f"Not found: cached content metadata for {name}.")
        return Answer.failure(403, "CachedContent not found (or permission denied)")

    # -- use in requests -----------------------------------------------------------------

    def check(self, model: str, request: Dict[str, Any]) -> Optional[Answer]:
        """The error for a request with a cache that does not exist or does not fit."""
        name = request.get("cachedContent")
        if not name:
            return None
        cache = self.find(name)
        if cache is None:
            return self._unknown(name.rpartition("/")[2])
        of = cache.request["model"].rpartition("/")[2]
        if of != model:
            return Answer.failure(
                400,
                f"Model used by GenerateContent request (models/{model}) and CachedContent (models/{of}) "
                "has to be the same.",
            )
        if any(request.get(each) for each in ("systemInstruction", "tools", "toolConfig")):
            return Answer.failure(
                400,
                "CachedContent can not be used with GenerateContent request setting system_instruction, "
                "tools or tool_config.\n\nProposed fix: move those values to CachedContent from "
                "GenerateContent request.",
            )
        return None

    def whole(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """The request with the content of its cache."""
        cache = self.find(request.get("cachedContent") or "")
        if cache is None:
            return request
        kept = {name: cache.request[name] for name in KEPT if cache.request.get(name)}
        contents = (kept.get("contents") or []) + (request.get("contents") or [])
        return {**kept, **request, "contents": contents}

    def tokens(self, request: Dict[str, Any]) -> int:
        """How many of a request's tokens come from its cache."""
        cache = self.find(request.get("cachedContent") or "")
        return cache.tokens if cache else 0


def _expiry(request: Dict[str, Any], now: float) -> Union[float, Answer]:
    """When a cache ends (`time.time`), from its `ttl` or `expireTime`; or the error in them."""
    ttl, moment = request.get("ttl"), request.get("expireTime")
    if ttl and moment:
        return Answer.failure(400, "Only one of ttl and expire_time can be set.")
    field = "ttl" if ttl else "expire_time"
    try:
        if ttl:
            return now + parse_duration(ttl)
        expires = parse_timestamp(moment) if moment else now + TTL
    except ValueError as error:
        return Answer.failure(400, f"Invalid value at 'cached_content.{field}': {error}")
    return expires if expires > now else Answer.failure(400, "expire_time must be in the future.")
