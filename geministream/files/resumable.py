"""Google's resumable protocol: the file goes up in pieces, and the server says how many bytes it has.

What can happen to a request of an upload, and what follows:

=======================================  =============================================
a temporary failure (no connection, no   ask the server what it has and continue from
answer, a timeout, 429, 5xx)             there, as often as `Retry` allows; bytes that
                                         arrived start the count again
400, 412 or 416: the server may expect   the same, once until bytes arrive
another offset
404 or 410: the upload is gone           start over, once
any other error, or one with the         raise it
upload's status "final"
=======================================  =============================================

https://developers.google.com/photos/library/guides/resumable-uploads describes the protocol.
"""

import logging
import re
from typing import Any, Optional, Union
from urllib.parse import unquote, urlencode, urljoin, urlsplit

from ..endpoint import Endpoint
from ..errors import APIError, FileProcessingError, GeministreamError, StreamDecodeError, TransportError
from ..transport import Attempts, Call
from ..transport.resources import LARGEST_ANSWER, parse_object, try_again
from ..types import File
from ..types.codec import shorten
from .api import check_size, file_of
from .job import Job
from .source import Seekable, Stream

log = logging.getLogger("geministream")

# Each piece but the last is a multiple of this, unless the server names another
# number in X-Goog-Upload-Chunk-Granularity (Google's is 8 MiB at times).
_GRANULARITY = 256 * 2**10
_LARGEST_GRANULARITY = 64 * 2**20  # bytes, or chunk_bytes= if that is larger
_GONE = (404, 410)
# What Google's own libraries take for "wrong offset":
# https://github.com/googleapis/sdk-platform-java, gax's resumable upload
_OUT_OF_STEP = (400, 412, 416)

# The complete file, or how many bytes the server has; None: it does not say.
_Answer = Union[File, int, None]


def upload_in_pieces(call: Call, source: Union[Seekable, Stream], job: Job) -> File:
    """Upload a source in pieces."""
    return _Upload(call, source, job).run()


class _Upload:
    """One upload, over all its requests."""

    def __init__(self, call: Call, source: Union[Seekable, Stream], job: Job) -> None:
        self._call = call
        self._source = source
        self._job = job
        self._attempts = Attempts(call)
        self._started_over = False
        self._reset()

    def _reset(self) -> None:
        self._url = ""  # where the pieces go; empty until the server has named it
        self._piece_bytes = 0
        self._offset: Optional[int] = 0  # how many bytes the server has; None: ask it
        self._most = 0  # how many it had at most
        self._finalized = False  # whether the last piece was sent
        self._refusal: Optional[APIError] = None  # its error for the piece at _refused_at
        self._refused_at = 0

    def run(self) -> File:
        """Send one request after another until the server returns the file."""
        while True:
            try:
                if not self._url:
                    self._start()
                    continue
                answer = self._query() if self._offset is None else self._send_piece(self._offset)
            except GeministreamError as error:
                if not self._can_go_on(error):
                    raise
            else:
                if isinstance(answer, File):
                    return self._finish(answer)
                self._advance(answer)

    def _start(self) -> None:
        headers = {
            "Content-Type": "application/json",
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Type": self._job.mime_type,
        }
        if self._source.total is not None:
            headers["X-Goog-Upload-Header-Content-Length"] = str(self._source.total)
        endpoint = self._call.endpoint
        reply = self._call.send("POST", endpoint.upload_url(), headers=headers, body=self._job.metadata)
        reply.read(LARGEST_ANSWER)  # nothing, or {}
        url = reply.header("X-Goog-Upload-URL")
        if not url:
            raise StreamDecodeError(
                "the server did not start a resumable upload (it sent no X-Goog-Upload-URL); if it is a "
                "gateway that accepts multipart forms, set Endpoint(upload_protocol='multipart')"
            )
        granularity = reply.header("X-Goog-Upload-Chunk-Granularity")
        self._piece_bytes = _piece_bytes(self._job.chunk_bytes, granularity)
        self._url = _on_own_origin(endpoint, url)

    def _query(self) -> _Answer:
        answer = self._command("query")
        if self._refusal is not None and answer == self._refused_at:
            raise self._refusal  # the offset was right, so something else is wrong
        return answer

    def _send_piece(self, offset: int) -> _Answer:
        piece = self._source.piece(offset, self._piece_bytes)
        end = offset + len(piece)
        last = end == self._source.total
        self._finalized = self._finalized or last
        command = "upload, finalize" if piece and last else "finalize" if last else "upload"
        answer = self._command(command, offset, piece)
        if answer is None:
            answer = end
        if isinstance(answer, int) and (last or answer <= offset):
            unfinished = "did not finish the upload" if last else "did not accept any byte of a piece"
            error = TransportError(f"the server {unfinished} and sent no reason")
            error.retryable = True
            raise error
        return answer

    def _command(self, command: str, offset: Optional[int] = None, piece: bytes = b"") -> _Answer:
        headers = {"X-Goog-Upload-Command": command}
        if offset is not None:
            headers["X-Goog-Upload-Offset"] = str(offset)
        reply = self._call.send("POST", self._url, headers=headers, body=piece)
        status = reply.header("X-Goog-Upload-Status").lower()
        body = reply.read(LARGEST_ANSWER)
        answer = parse_object(reply, body) if status != "active" else {}
        if status == "final" or (not status and "file" in answer):
            return file_of(answer)
        if status not in ("active", ""):
            raise StreamDecodeError(
                f"the server reports the upload as {shorten(status)}; upload the file again"
            )
        received = reply.header("X-Goog-Upload-Size-Received").strip()
        if received and not re.fullmatch(r"[0-9]{1,18}", received):
            raise _impossible(received)
        return int(received) if received else None

    def _can_go_on(self, error: GeministreamError) -> bool:
        """Prepare the next request after a failure as the table says; False if the failure is final."""
        if isinstance(error, APIError) and self._url:
            if error.headers.get("x-goog-upload-status") == "final":
                return False
            if error.code in _GONE and not self._started_over:
                if self._source.earliest > 0:
                    raise self._lost() from error
                log.debug("the upload is gone at byte %d: starting over", self._most)
                self._started_over = True
                self._reset()
                return True
            if error.code in _OUT_OF_STEP and self._offset is not None and self._refusal is None:
                self._refusal, self._refused_at = error, self._offset
                self._offset = None
                return True
        if not try_again(self._attempts, error):
            return False
        if self._url:
            self._offset = None
        return True

    def _advance(self, received: Optional[int]) -> None:
        """Continue from the number of bytes that the server has."""
        most = self._most + self._piece_bytes
        if self._source.total is not None:
            most = min(most, self._source.total)
        if received is None or received > most:
            raise _impossible(received)
        if received < self._source.earliest:
            raise self._lost()
        if self._offset is None:
            log.debug("the upload resumes at byte %d", received)
        self._offset = received
        if received > self._most:
            self._most = received
            self._refusal = None
            self._attempts.progress()
            self._job.progress(received, self._source.total)

    def _finish(self, file: File) -> File:
        total = self._source.total
        if not self._finalized or total is None:
            raise FileProcessingError(
                "the server took the first piece for the complete file; pass a larger chunk_bytes=, or set "
                "Endpoint(upload_protocol='multipart')",
                file=file,
            )
        self._job.progress(total, total)
        return check_size(file, total)

    def _lost(self) -> TransportError:
        return TransportError(
            f"the server lost the upload, and the first {self._source.earliest} bytes of the source "
            "cannot be read again; upload from a path or a seekable file object"
        )


def _piece_bytes(wanted: int, announced: str) -> int:
    """The size of a piece: ``wanted`` rounded down to a multiple of the server's granularity."""
    granularity = int(announced) if re.fullmatch(r"[1-9][0-9]{0,18}", announced) else _GRANULARITY
    if granularity > max(wanted, _LARGEST_GRANULARITY):
        raise StreamDecodeError(
            f"the server requires pieces of {granularity} bytes, and each piece is kept in memory; "
            "to accept that, pass chunk_bytes= at least as large"
        )
    return max(wanted // granularity, 1) * granularity


def _on_own_origin(endpoint: Endpoint, url: str) -> str:
    """Move an upload URL to the endpoint's own origin.

    Behind a proxy the server names the proxy's upstream, which may be out of reach
    and must not get the credentials; its path is the upstream's too.
    """
    home = urlsplit(endpoint.base_url)
    # urljoin() does not know the scheme that a session's own adapter may have.
    start = urlsplit(endpoint.upload_url())._replace(scheme="http").geturl()
    try:
        there = urlsplit(urljoin(start, url))
    except ValueError as error:
        raise StreamDecodeError(f"the server's upload URL is not a valid URL: {error}") from error
    # Other schemes have neither host nor path, such as "x:@evil.example/y".
    if there.scheme not in ("http", "https"):
        raise StreamDecodeError("the server's upload URL is not an http or https URL; check the base URL")
    path = there.path
    if there.netloc != home.netloc and not path.startswith(f"{home.path}/"):
        path = home.path + path
    # The server may have copied the parameters that every request gets anyway.
    ours = {*endpoint.params, *(["key"] if "query" in endpoint.ways else [])}
    query = [pair for pair in there.query.split("&") if pair and unquote(pair.partition("=")[0]) not in ours]
    query += [urlencode(endpoint.params)] if endpoint.params else []
    return home._replace(path=path, query="&".join(query)).geturl()


def _impossible(received: Any) -> StreamDecodeError:
    return StreamDecodeError(
        f"the server reports {shorten(received)} bytes of the upload, "
        "which is impossible; upload the file again"
    )
