"""A response whose headers are here and whose body is still to come.

The body is read from the http.client response below urllib3's (`_fp`, the same
in urllib3 1.26 and 2), which returns what is there, whatever the framing of the
body, and tells a whole body from a short one.  requests hands out a body that
has a Content-Length only when all of it has come, and overlooks bodies that are
cut short.  A body that something else has read or decoded already (a hook, a
recorder, a mock) is taken from requests as it is.
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
        """A header as it came, credentials and all; empty if it did not."""
        value: str = self._response.headers.get(name, "")
        return value

    @property
    def headers(self) -> Dict[str, str]:
        """All headers, names in lower case."""
        return {name.lower(): value for name, value in self._response.headers.items()}

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        if self._response.raw is not None:  # as in a mock that has its content alone
            self._response.close()

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the body, decompressed, as they arrive.

        :raises IncompleteStreamError: if the body is shorter than announced or the connection broke.
        :raises StreamTimeoutError, StreamCancelled: as the call says.
        :raises StreamDecodeError: if the body is compressed in a way not asked for.
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
        raise StreamDecodeError(f"the server compressed its answer with {encoding!r}, unasked")

    def _is_untouched(self) -> bool:
        """Whether all of the body is still where http.client reads it."""
        response = self._response
        body = getattr(response.raw, "_fp", None)
        return (
            response.__dict__.get("_content") is False
            and type(body) in (Response, http.client.HTTPResponse)
            and not response.raw.tell()
        )

    def _received(self) -> Iterator[bytes]:
        """The body as it travelled."""
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
        """``pieces``, until the call is over; what ends them early as an error of our own."""
        patience = self._patience
        try:
            for data in pieces:
                if patience.cancelled:
                    break
                yield data
                patience.check()  # a deadline that passed takes nothing that has come
        except IncompleteStreamError:
            patience.check()  # a connection that was shut down looks like an early end
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
        # All is read: the connection can serve another request, perhaps another call's.
        patience.watch(None)

    def _broken(self, error: Exception) -> GeministreamError:
        if any(isinstance(cause, (socket.timeout, ReadTimeoutError)) for cause in error_chain(error)):
            return self._patience.timed_out("nothing came", self._patience.silence)
        if isinstance(error, requests.exceptions.StreamConsumedError):
            return ConfigurationError(
                "something else, such as a hook of the session, has read the stream already"
            )
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return StreamDecodeError(f"the compressed answer is damaged: {error}")
        reason = str(error) or type(error).__name__
        return IncompleteStreamError(f"the connection broke before the end of the answer: {reason}")

    def read(self, limit: int) -> bytes:
        """The whole body; StreamDecodeError if it is larger than ``limit`` bytes."""
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
        """Read the body of an error, up to a limit, and make its exception."""
        body = bytearray()
        try:
            for piece in self.pieces():
                body += piece
                if len(body) > _LARGEST_ERROR_BODY:
                    break
        except (IncompleteStreamError, StreamTimeoutError, StreamDecodeError):
            self._patience.check()  # otherwise the status and what has come say enough
        finally:
            self.close()
        text = body.decode("utf-8", "replace")
        error = error_value(text)
        if error is None:
            plain = " ".join(_markup.sub(" ", text).split())
            error = {"message": plain[:300] or self._response.reason or "no message"}
        return self.api_error(error)

    def api_error(self, error: Any) -> APIError:
        """The exception for an error value that came with this response."""
        return api_error(error, http_status=self.status, headers=self.headers)


# What a page for people has besides its text; linear, whatever the page.
_markup = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def error_value(text: str) -> Any:
    """The value of an error in the body of a response; None if there is none."""
    framing = Framing()
    values: List[Any] = []
    try:
        values.extend(framing.feed(text.encode("utf-8")))
        values.extend(framing.close())
    except (StreamDecodeError, IncompleteStreamError):
        pass  # a page for people, or half an error
    for value in values:
        if isinstance(value, dict) and value.get("error"):
            return value["error"]
        if isinstance(value, dict) and value.get("message"):
            return value
    return None
