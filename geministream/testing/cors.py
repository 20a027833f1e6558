"""Cross-origin requests: the headers that let pages in a browser use the server.

The rules are those of the Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from typing import Dict, Optional

from .answers import Answer
from .wire import Head

#: Headers of an answer that scripts may read besides the usual ones.
EXPOSED = (
    "Content-Encoding, Content-Length, Date, Retry-After, X-Goog-Upload-Chunk-Granularity, "
    "X-Goog-Upload-Control-URL, X-Goog-Upload-Size-Received, X-Goog-Upload-Status, X-Goog-Upload-URL"
)


def preflight(head: Head) -> Optional[Answer]:
    """The answer to a preflight request; None for any other request."""
    if head.method != "OPTIONS" or "access-control-request-method" not in head.headers:
        return None
    headers = {
        "Access-Control-Allow-Methods": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
        "Access-Control-Allow-Headers": head.headers.get("access-control-request-headers", "*"),
        "Access-Control-Max-Age": "3600",
    }
    return Answer(body=b"", headers=headers, content_type="text/plain", transfer="length")


def cors_headers(head: Head) -> Dict[str, str]:
    """The headers that let a page of any origin read an answer; none without an Origin."""
    origin = head.headers.get("origin")
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin, X-Origin, Referer",
    }
