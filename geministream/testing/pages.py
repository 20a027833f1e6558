"""Lists in pages: `pageSize` and `pageToken` of a request, `nextPageToken` of the answer."""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Mapping

from .answers import Answer


def page(field: str, items: List[Any], query: Mapping[str, str], *, default: int, most: int) -> Answer:
    """The page of `items` that a query asks for, as the list `field` of the answer."""
    token = query.get("pageToken")
    try:
        count = int(query.get("pageSize") or default)
        start = int(base64.b64decode(token)[5:]) if token else 0
    except ValueError:
        return Answer.failure(400, "pageSize or pageToken is not valid.")
    if not 1 <= count <= most:
        return Answer.failure(400, f"pageSize must be between 1 and {most}.")
    listed: Dict[str, Any] = {}
    if items[start:]:
        listed[field] = items[start : start + count]
    if items[start + count :]:
        listed["nextPageToken"] = base64.b64encode(b"page:%d" % (start + count)).decode()
    return Answer(chunks=[listed])
