"""JSON resources: single objects and lists in pages, with retries."""

import re
from typing import Any, Callable, Dict, Iterator, Mapping, TypeVar

from ..errors import GeministreamError, IncompleteStreamError, StreamDecodeError, StreamTimeoutError
from ..wire.framing import Framing
from .call import Call
from .reply import Reply
from .retry import Attempts

T = TypeVar("T")

LARGEST_ANSWER = 2**24  # bytes; a page of a list has about 100 KiB


def get_object(call: Call, url: str) -> Dict[str, Any]:
    """GET a JSON object, with retries."""
    return with_retries(call, lambda: read_object(call.send("GET", url)))


def pages(call: Call, url: Callable[[Mapping[str, str]], str], page_size: int) -> Iterator[Dict[str, Any]]:
    """GET the pages of a list, each when the caller needs it.

    :param url: returns the URL for the query parameters.
    :raises StreamDecodeError: if the server repeats a page.
    """
    params = {"pageSize": str(page_size)}
    seen = set()
    while True:
        page = get_object(call, url(params))
        yield page
        token = page.get("nextPageToken")
        if not token:
            return
        if not isinstance(token, str) or re.search("[\ud800-\udfff]", token):
            raise StreamDecodeError(f"the server's nextPageToken is not a valid str: {str(token)[:80]!r}")
        if token in seen:
            raise StreamDecodeError("the server's list does not end: its pages repeat")
        seen.add(token)
        params["pageToken"] = token


def with_retries(call: Call, ask: Callable[[], T]) -> T:
    """Call ``ask`` and return its result; retry after temporary failures."""
    attempts = Attempts(call)
    while True:
        try:
            return ask()
        except GeministreamError as error:
            if not try_again(attempts, error):
                raise


def try_again(attempts: Attempts, error: GeministreamError) -> bool:
    """Return False if the request must not be retried; otherwise sleep and return True."""
    if isinstance(error, StreamTimeoutError):
        error.retryable = True  # unlike a model's answer, a repeated request costs nothing
    return attempts.again(error)


def read_object(reply: Reply) -> Dict[str, Any]:
    """Read an answer that is a JSON object; an empty body is an empty object."""
    return parse_object(reply, reply.read(LARGEST_ANSWER))


def parse_object(reply: Reply, body: bytes) -> Dict[str, Any]:
    """Parse the body of a reply as a JSON object.

    :raises APIError: if the object is an error.
    """
    framing = Framing()  # unlike json.loads(), it limits the depth
    try:
        values = [*framing.feed(body), *framing.close()] or [{}]
    except (StreamDecodeError, IncompleteStreamError):
        values = []
    value = values[0] if len(values) == 1 else None
    if not isinstance(value, dict):
        raise StreamDecodeError(
            "the answer is not a JSON object; check that the base URL belongs to a Gemini endpoint"
        )
    if value.get("error") and not value.get("name"):  # a file that FAILED has both
        raise reply.api_error(value["error"])
    return value
