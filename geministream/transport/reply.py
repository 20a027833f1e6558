"""A response whose headers have arrived and whose body is streamed.

The body is read from the http.client response inside urllib3's (`_fp`, the same in urllib3 1.26
and 2), which returns bytes as they arrive and detects a truncated body.  requests returns a body
with a Content-Length only when it is complete, and does not notice truncation.  If something
else (a hook, a recorder, a mock) has already read or decoded the body, it is read from requests.
"""

import http.client
import re
import socket
from functools import partial
from typing import Any, Dict, Iterator, List

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from ..errors import (
    APIError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    StreamDecodeError,
    StreamTimeoutError,
    api_error,
)
from ..wire.body import PIECE, dechunk, inflate
from ..wire.framing import Framing
from .patience import Patience
from .response import Response
from .secrets import error_chain

_LARGEST_ERROR_BODY = 2**20


class Reply:
    """The response to one request of a call.

    :ivar status: the HTTP status.
    """

    def __init__(self, response: requests.Response, patience: Patience) -> None:
        self.status = response.status_code
        self._response = response
        self._patience = patience

    def header(self, name: str) -> str:
        """Return a header, which may contain credentials; default: an empty string."""
        value: str = self._response.headers.get(name, "")
        return value

    @property
    def headers(self) -> Dict[str, str]:
        """All headers, with lower-case names."""
        return {name.lower(): value for name, value in self._response.headers.items()}

    def close(self) -> None:
        """Release the connection if the body was read completely, else close it."""
        if self._response.raw is not None:  # None in a mock that has only its content
            self._response.close()

    def pieces(self) -> Iterator[bytes]:
        """Yield the decompressed bytes of the body as they arrive.

        :raises IncompleteStreamError: if the body is truncated or the connection breaks.
        :raises StreamTimeoutError, StreamCancelled: if the call times out or is cancelled.
        :raises StreamDecodeError: if the compression was not requested.
        """
        if not self._is_untouched():
            response = self._response
            if response.__dict__.get("_content", False) is not False:
                return self._watched(iter([response.content or b""]))
            return self._watched(response.iter_content(requests.models.ITER_CHUNK_SIZE))
        encoding = self.header("content-encoding").strip().lower()
        if encoding in ("", "identity"):
            return self._received()
        if encoding in ("gzip", "x-gzip", "deflate"):
            return inflate(self._received(), gzip=encoding != "deflate")
        raise StreamDecodeError(f"the answer is compressed with {encoding!r}, which was not requested")

    def _is_untouched(self) -> bool:
        """Whether http.client has not read any of the body yet."""
        response = self._response
        body = getattr(response.raw, "_fp", None)
        return (
            response.__dict__.get("_content") is False
            and type(body) in (Response, http.client.HTTPResponse)
            and not response.raw.tell()
        )

    def _received(self) -> Iterator[bytes]:
        """Yield the body as it was sent, without decompression."""
        raw = self._response.raw
        body: Any = raw._fp
        if body.chunked and body.fp is not None:
            yield from self._watched(self._dechunked(body))
        else:
            yield from self._watched(iter(partial(body.read1, PIECE), b""))
        if body.length:
            raise IncompleteStreamError(f"the body ended {body.length} bytes short of its Content-Length")
        body.close()
        raw.release_conn()

    @staticmethod
    def _dechunked(body: Any) -> Iterator[bytes]:
        body.leftover = yield from dechunk(body.fp.read1)

    def _watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield ``pieces`` until the call ends; replace exceptions by errors of this library."""
        patience = self._patience
        try:
            if patience.endless:
                yield from pieces
            else:
                for data in pieces:
                    if patience.cancelled:
                        break
                    yield data
                    patience.check()  # after the yield, so that data that arrived is never lost
        except IncompleteStreamError:
            patience.check()  # a cancel shuts the connection down, which looks like truncation
            raise
        except (
            requests.RequestException,
            HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,
        ) as error:
            patience.check()
            raise self._broken(error) from error
        patience.check()
        # The body is complete: the connection may now be used by another call.
        patience.watch(None)

    def _broken(self, error: Exception) -> GeministreamError:
        if any(isinstance(cause, (socket.timeout, ReadTimeoutError)) for cause in error_chain(error)):
            return self._patience.timed_out("no data", self._patience.silence)
        if isinstance(error, requests.exceptions.StreamConsumedError):
            return ConfigurationError(
                "the stream was read already, perhaps by a hook of the session; remove the hook"
            )
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return StreamDecodeError(f"the compressed answer is damaged: {error}")
        reason = str(error) or type(error).__name__
        return IncompleteStreamError(f"the connection broke before the end of the answer: {reason}")

    def read(self, limit: int) -> bytes:
        """Return the complete body.

        :raises StreamDecodeError: if it is larger than ``limit`` bytes.
        """
        body = bytearray()
        try:
            for piece in self.pieces():
                body += piece
                if len(body) > limit:
                    raise StreamDecodeError(f"the answer is larger than {limit} bytes")
        finally:
            self.close()
        return bytes(body)

    def error(self) -> APIError:
        """Read the body of an error, up to a limit, and return its exception."""
        body = bytearray()
        try:
            for piece in self.pieces():
                body += piece
                if len(body) > _LARGEST_ERROR_BODY:
                    break
        except (IncompleteStreamError, StreamTimeoutError, StreamDecodeError):
            self._patience.check()  # otherwise the status and the partial body are enough
        finally:
            self.close()
        text = body.decode("utf-8", "replace")
        error = error_value(text)
        if error is None:
            plain = " ".join(_markup.sub(" ", text).split())
            error = {"message": plain[:300] or self._response.reason or "no message"}
        return self.api_error(error)

    def api_error(self, error: Any) -> APIError:
        """Return the exception for an error value in this response."""
        return api_error(error, http_status=self.status, headers=self.headers)


# The markup of an HTML page; the time is linear for every page.
_markup = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def error_value(text: str) -> Any:
    """Return the value of the error in the body of a response, or None."""
    framing = Framing()
    values: List[Any] = []
    try:
        values.extend(framing.feed(text.encode("utf-8")))
        values.extend(framing.close())
    except (StreamDecodeError, IncompleteStreamError):
        pass  # an HTML page, or a truncated error
    for value in values:
        if isinstance(value, dict) and value.get("error"):
            return value["error"]
        if isinstance(value, dict) and value.get("message"):
            return value
    return None
