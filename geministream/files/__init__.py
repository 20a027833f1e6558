"""Files: upload anything of any size, through any hiccup, and look after what is there.

Google's resumable protocol sends a file in pieces, and the server can be asked
at any time how many bytes it has.  What can happen to a request of an upload,
and what follows:

======================================  =========================================
it fails in passing (no connection, no  the server is asked what it has, and the
answer, a time-out, 429, 5xx)           upload goes on from there, as often as
                                        `Retry` says; bytes that arrived start the
                                        count again
400, 412 or 416: perhaps the server     the same, once, until bytes arrive
expects another offset
404 or 410: the upload is gone          it starts over, once
any other error, or one that says that  an exception
the upload is over
======================================  =========================================

A gateway that takes a form instead gets one request with the whole file
(``Endpoint(upload_protocol="multipart")``).  What fails in passing is sent again;
where only the answer was lost, the gateway then has the file twice.

Of the source no more than about two pieces are in memory at a time.
"""

import io
import json
import logging
import os
import re
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple, TypeVar, Union
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from ..cancel import Cancel
from ..endpoint import MOST_SECONDS, Endpoint, resolve
from ..errors import (
    APIError,
    ConfigurationError,
    FileProcessingError,
    GeministreamError,
    IncompleteStreamError,
    NotFoundError,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
)
from ..parts import check_file, guess_mime_type
from ..transport import Attempts, Call, Reply
from ..types import File
from ..types.codec import shorten
from ..wire.body import PIECE
from ..wire.framing import Framing

log = logging.getLogger("geministream")

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes]]
Progress = Callable[[int, Optional[int]], Any]
T = TypeVar("T")

# Every piece but the last is a multiple of this, where the server names no other
# number (Google's is 8 MiB at times): X-Goog-Upload-Chunk-Granularity.
_GRANULARITY = 256 * 2**10
_LARGEST_GRANULARITY = 64 * 2**20  # bytes; more than that only if the caller's pieces are as large
_LARGEST_ANSWER = 2**24  # bytes; a page of the list has some 100 KiB
_GONE = (404, 410)
# What Google's own libraries take for "wrong offset":
# https://github.com/googleapis/sdk-platform-java, gax's resumable upload
_OUT_OF_STEP = (400, 412, 416)


def upload_file(
    source: Source,
    *,
    mime_type: Optional[str] = None,
    display_name: Optional[str] = None,
    name: Optional[str] = None,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    chunk_bytes: int = 8 * 2**20,
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
) -> File:
    """Upload a file, through whatever hiccups, and return it as the server knows it.

    A video is then still ``PROCESSING``; see `wait_for_file`.

    :param source: a path; a binary file object, read from where it stands to its
        end and left open; or bytes.  A file object that cannot seek is read
        once: in pieces as they are sent, or, for a form, to a temporary file.
    :param mime_type: such as ``"video/mp4"``; None tells it from the name of the file.
    :param display_name: any text of up to 512 characters; None takes the name of the file.
    :param name: the identity that the file shall have, such as ``"files/my-video"``;
        None lets the server choose.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
    :param api_key: replaces the endpoint's.
    :param chunk_bytes: the size of a piece in bytes, rounded to what the server
        demands; up to two pieces are in memory.
    :param progress: called as ``progress(sent, total)``, both in bytes, after each
        piece.  ``total`` is None as long as it is not known; ``sent`` falls
        where the upload has to start over.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the call from another thread.
    :raises ConfigurationError: before the network is touched: for a source that is
        missing, empty or not binary, and for arguments that cannot work.  Later:
        where the source cannot be read any more, or changed its size under way.
    :raises FileProcessingError: where the server says that it has other than all bytes.
    :raises GeministreamError: see ``errors.py`` for the tree.

    >>> file = upload_file("talk.mp3")                                    # doctest: +SKIP
    >>> for chunk in stream_generate("gemini-2.5-flash", ["Sum it up", file]):   # doctest: +SKIP
    ...     print(chunk.text, end="")
    """
    endpoint = _checked(resolve(endpoint, api_key), cancel)
    if isinstance(chunk_bytes, bool) or not isinstance(chunk_bytes, int) or chunk_bytes < 1:
        raise ConfigurationError(f"chunk_bytes= is a number of bytes from 1, not {chunk_bytes!r}")
    if progress is not None and not callable(progress):
        raise ConfigurationError(f"progress= is called as progress(sent, total); {progress!r} cannot be")
    job = _Job(source, mime_type, display_name, name, chunk_bytes, progress)
    with Call(endpoint, cancel=cancel) as call, ExitStack() as stack:
        readable = _opened(source, call, stack)
        if endpoint.upload_protocol == "multipart":
            return _as_form(call, readable, job, stack)
        return _in_pieces(call, readable, job)


def get_file(
    name: Union[str, File],
    *,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> File:
    """Ask the server about a file.

    :param name: ``"files/abc"``, ``"abc"``, the file's URI, or a `File`.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
    :param api_key: replaces the endpoint's.
    :param cancel: a `Cancel`.
    :raises NotFoundError, PermissionDeniedError: where there is no such file; Google says 403.
    """
    endpoint = _checked(resolve(endpoint, api_key), cancel)
    url = _file_url(endpoint, name)
    with Call(endpoint, cancel=cancel) as call:
        return _look(call, url)


def list_files(
    *,
    page_size: int = 100,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> Iterator[File]:
    """All files that the key has, page by page as the loop gets there.

    The arguments are checked now; the network is touched at the first ``next()``.

    :param page_size: files in one request; Google allows 1 to 100.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
    :param api_key: replaces the endpoint's.
    :param cancel: a `Cancel`.
    :returns: a generator of `File`.
    """
    endpoint = _checked(resolve(endpoint, api_key), cancel)
    if isinstance(page_size, bool) or not isinstance(page_size, int) or page_size < 1:
        raise ConfigurationError(f"page_size= is a whole number from 1, not {page_size!r}")
    return _pages(endpoint, page_size, cancel)


def delete_file(
    name: Union[str, File],
    *,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> None:
    """Delete a file on the server, before its 48 hours are over.

    :param name: ``"files/abc"``, ``"abc"``, the file's URI, or a `File`.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
    :param api_key: replaces the endpoint's.
    :param cancel: a `Cancel`.
    :raises NotFoundError, PermissionDeniedError: where there is no such file; Google says 403.
    """
    endpoint = _checked(resolve(endpoint, api_key), cancel)
    url = _file_url(endpoint, name)
    with Call(endpoint, cancel=cancel) as call:
        attempts = []

        def delete() -> None:
            attempts.append(url)
            _json(call.send("DELETE", url))

        try:
            _persist(call, delete)
        except NotFoundError:
            if len(attempts) == 1:
                raise
            # An earlier attempt deleted the file, and only its answer was lost.


def wait_for_file(
    file: Union[str, File],
    *,
    timeout: Optional[float] = 600,
    interval: float = 2,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> File:
    """Wait until the server has processed a file, and return it as it is then.

    A `File` that is known to be ready is returned at once, without a request.

    :param file: a `File`, as `upload_file` returns it, or its name or URI.
    :param timeout: seconds in all; None waits for ever.
    :param interval: seconds between two looks.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
    :param api_key: replaces the endpoint's.
    :param cancel: a `Cancel`.
    :raises FileProcessingError: where the processing failed, with the server's reason;
        its ``file`` is the `File`.
    :raises StreamTimeoutError: where the file is not ready when ``timeout`` is over.
    """
    endpoint = _checked(resolve(endpoint, api_key), cancel)
    for what, seconds in (("timeout", timeout), ("interval", interval)):
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        fits = is_number and 0 < seconds <= MOST_SECONDS  # type: ignore[operator]
        if not fits and not (what == "timeout" and seconds is None):
            raise ConfigurationError(
                f"{what}= must be seconds above 0 and at most {MOST_SECONDS}, got {shorten(seconds)}"
            )
    url = _file_url(endpoint, file)
    known = file if isinstance(file, File) else None
    with Call(endpoint, deadline=timeout, cancel=cancel) as call:
        last = False
        try:
            while known is None or known.state == "PROCESSING":
                known = _look(call, url)
                if known.state != "PROCESSING":
                    break
                if last:
                    raise StreamTimeoutError(f"{timeout:g} s were not enough")
                left = call.patience.left(interval)
                assert left is not None
                # Where no whole interval is left there is one more look, shortly before the end.
                last = left < interval
                call.patience.sleep(0.8 * left if last else interval)
        except StreamTimeoutError as error:
            raise StreamTimeoutError(
                f"files/{_file_id(file)} is not ready yet ({error}); call wait_for_file() again, or give it longer"
            ) from error
    if known.state == "FAILED":
        status = known.error
        reason = getattr(status, "message", None) or "the server gave no reason"
        raise FileProcessingError(f"{known.name} could not be processed: {reason}", file=known)
    return known


# Looking after files -----------------------------------------------------------


def _checked(endpoint: Endpoint, cancel: Optional[Cancel]) -> Endpoint:
    if cancel is not None and not isinstance(cancel, Cancel):
        raise ConfigurationError(f"cancel= is a Cancel, not {cancel!r}")
    if "/publishers/" in endpoint.api_version:
        raise ConfigurationError(
            "Vertex AI has no Files API: put the file into Cloud Storage and use part_from_uri('gs://…')"
        )
    return endpoint


def _file_id(name: Union[str, File]) -> str:
    """What stands behind ``files/`` in a file's name or URI."""
    given = (name.name or name.uri) if isinstance(name, File) else name
    found = given.strip() if isinstance(given, str) else ""
    if "://" in found:
        # Of a URI; that of a download has ":download" behind it.
        uri = re.fullmatch(r"[^?#]*/files/([^/?#:]+)(:[^/]*)?([?#].*)?", found)
        found = unquote(uri.group(1)) if uri else ""
    elif found.startswith("files/"):
        found = found[len("files/") :]
    if not re.fullmatch(r"[^\s/?#\\\x00-\x1f\ud800-\udfff]+", found) or found in (".", ".."):
        raise ConfigurationError(f"{shorten(name)} names no file; a name looks like 'files/abc-123'")
    return found


def _file_url(endpoint: Endpoint, name: Union[str, File]) -> str:
    return endpoint.url(f"files/{quote(_file_id(name), safe='')}")


def _look(call: Call, url: str) -> File:
    return _persist(call, lambda: _file_in(_json(call.send("GET", url))))


def _pages(endpoint: Endpoint, page_size: int, cancel: Optional[Cancel]) -> Iterator[File]:
    params = {"pageSize": str(page_size)}
    seen = set()
    with Call(endpoint, cancel=cancel) as call:
        while True:
            url = endpoint.url("files", params)
            page = _persist(call, lambda: _json(call.send("GET", url)))
            files = page.get("files")
            for fields in files if isinstance(files, list) else ():
                yield File.from_dict(fields)
            token = page.get("nextPageToken")
            if not token:
                return
            if not isinstance(token, str) or re.search("[\ud800-\udfff]", token):
                raise StreamDecodeError(f"the server's nextPageToken is not a text: {shorten(token)}")
            if token in seen:
                raise StreamDecodeError("the server lists its files for ever: it names the same page again")
            seen.add(token)
            params["pageToken"] = token


def _persist(call: Call, ask: Callable[[], T]) -> T:
    """What ``ask`` returns, asked again where it fails in passing."""
    attempts = Attempts(call)
    while True:
        try:
            return ask()
        except GeministreamError as error:
            if not _again(attempts, error):
                raise


def _again(attempts: Attempts, error: GeministreamError) -> bool:
    if isinstance(error, StreamTimeoutError):
        error.retryable = True  # unlike an answer of a model, this one costs nothing
    return attempts.again(error)


def _json(reply: Reply) -> Dict[str, Any]:
    """The JSON object of an answer; nothing at all is an empty one."""
    return _object_in(reply, reply.read(_LARGEST_ANSWER))


def _object_in(reply: Reply, body: bytes) -> Dict[str, Any]:
    framing = Framing()  # it bounds the depth, too
    try:
        values = [*framing.feed(body), *framing.close()]
    except (StreamDecodeError, IncompleteStreamError):
        values = [None]
    value = values[0] if len(values) == 1 else None if values else {}
    if not isinstance(value, dict):
        raise StreamDecodeError(
            "the answer is no JSON object; check that the base URL is that of a Gemini endpoint with a Files API"
        )
    if value.get("error") and not value.get("name"):  # a file that FAILED has both
        raise reply.api_error(value["error"])
    return value


def _file_in(answer: Dict[str, Any]) -> File:
    """The file of an answer, which some servers wrap as ``{"file": …}`` and some do not."""
    fields = answer.get("file", answer)
    if not isinstance(fields, dict) or not fields:
        raise StreamDecodeError("the answer holds no file; check that the endpoint has a Files API")
    return File.from_dict(fields)


# What is uploaded ----------------------------------------------------------------


class _Job:
    """What is said about a source, and how it shall be sent; checked.

    :ivar metadata: the JSON of the file's names: text of any script, so never in a header.
    :ivar filename: the same in ASCII, for the form.
    """

    def __init__(
        self,
        source: Source,
        mime_type: Optional[str],
        display_name: Optional[str],
        name: Optional[str],
        chunk_bytes: int,
        progress: Optional[Progress],
    ) -> None:
        told = _name_of(source)
        if display_name is not None and not isinstance(display_name, str):
            raise ConfigurationError(f"display_name= is a text, not {display_name!r}")
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(f"name= is a text such as 'files/my-video', not {name!r}")
        mime_type = mime_type or (told and guess_mime_type(told))
        if not mime_type:
            raise ConfigurationError(
                f"the name {told!r} does not tell the MIME type; give mime_type="
                if told
                else "the source has no name that tells its MIME type; give mime_type="
            )
        if not isinstance(mime_type, str) or not re.fullmatch(r"[!-~]+/[!-~][ -~]*", mime_type):
            raise ConfigurationError(f"a MIME type is a text such as 'video/mp4', not {mime_type!r}")
        shown = display_name or told or ""
        # A file's name may hold bytes that are not UTF-8, as lone surrogates (PEP 383).
        fields = {"displayName": shown.encode("utf-8", "replace").decode("utf-8")} if shown else {}
        if name is not None:
            fields["name"] = f"files/{_file_id(name)}"
        self.mime_type = mime_type
        self.metadata = json.dumps({"file": fields}).encode("ascii")
        # Servers written in Go know a part as a file by its filename alone.
        plain = re.fullmatch(r"[\w. ()+,=@-]+", shown, re.ASCII)
        ending = re.search(r"\.[A-Za-z0-9]{1,8}$", told or "")
        self.filename = shown if plain else "upload" + (ending.group() if ending else "")
        self.chunk_bytes = chunk_bytes
        self.progress: Progress = progress or _no_progress


def _no_progress(sent: int, total: Optional[int]) -> None:
    pass


def _name_of(source: Source) -> Optional[str]:
    """The file name that a source has, without its directory."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).name
    name = getattr(source, "name", None)
    # That of a temporary file may be a number, that of a pipe "<stdin>".
    return os.path.basename(name) if isinstance(name, str) and not name.startswith("<") else None


def _opened(source: Source, call: Call, stack: ExitStack) -> "_Readable":
    """The source, open, known to be binary and not to be empty."""
    file: Any = source
    if isinstance(source, (bytes, bytearray, memoryview)):
        file = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_fifo():
            check_file(path)
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    elif not callable(getattr(source, "read", None)):
        raise ConfigurationError(
            f"upload_file() takes a path, a binary file object or bytes, not {shorten(source)}"
        )
    if not isinstance(_read_some(file, 0), (bytes, bytearray, memoryview)):
        raise ConfigurationError("the file object is not binary; open it with mode 'rb'")
    extent = _extent(file)
    if extent is None:
        stream = _Stream(file, call.patience.check)
        empty = not stream.piece(0, 1)
    else:
        start, end = extent
        empty = end <= start
        if empty and end > 0:
            raise ConfigurationError("the file object stands at its end; call its seek(0) first")
    if empty:
        raise ConfigurationError("the source is empty")
    return stream if extent is None else _Seekable(file, start, end - start)


def _extent(file: Any) -> Optional[Tuple[int, int]]:
    """Where a file object stands and where it ends, or None where it can be read only once."""
    try:
        if hasattr(file, "seekable") and not file.seekable():
            return None
        start = file.tell()
        file.seek(0, io.SEEK_END)
        end = file.tell()
        file.seek(start)
    except (OSError, ValueError, AttributeError):
        return None
    return start, end


def _read_some(file: Any, size: int) -> Any:
    try:
        data = file.read(size)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise ConfigurationError(f"the source cannot be read: {error}") from error
    if data is None:
        raise ConfigurationError("the source has nothing to read now; give a file object that blocks")
    return data


class _Seekable:
    """A source whose every byte can be read as often as need be.

    :ivar total: its bytes.
    :ivar earliest: the offset from which it can be read.
    """

    earliest = 0

    def __init__(self, file: Any, start: int, total: int) -> None:
        self._file = file
        self._start = start
        self.total = total

    def piece(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on, or those up to the end."""
        size = min(size, self.total - offset)
        self._file.seek(self._start + offset)
        data = _read_some(self._file, size)
        if len(data) < size:  # as it may be, of an unbuffered file
            parts = [data]
            while parts[-1] and sum(map(len, parts)) < size:
                parts.append(_read_some(self._file, size - sum(map(len, parts))))
            data = b"".join(parts)
        if len(data) < size or (offset + size == self.total and _read_some(self._file, 1)):
            raise ConfigurationError(
                f"the source changed while it was uploaded: it had {self.total} bytes at first and "
                f"has {'fewer' if len(data) < size else 'more'} now; upload it when nobody writes to it"
            )
        return data if type(data) is bytes else bytes(data)


class _Stream:
    """A source that can be read only once: what the server does not have yet is kept.

    :ivar total: its bytes, None until its end was seen.
    :ivar earliest: the offset from which it is kept.
    """

    def __init__(self, file: Any, check: Callable[[], None]) -> None:
        self._file = file
        self._check = check
        self._kept = bytearray()
        self.earliest = 0
        self.total: Optional[int] = None

    def piece(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on, or those up to the end; what is before them is let go."""
        del self._kept[: offset - self.earliest]
        self.earliest = offset
        # One byte more tells whether this piece is the last.
        while self.total is None and len(self._kept) <= size:
            self._check()  # the source may be slow
            data = _read_some(self._file, PIECE)
            if not data:
                self.total = offset + len(self._kept)
            self._kept += data
        return bytes(memoryview(self._kept)[:size])

    def on_disk(self, stack: ExitStack) -> _Seekable:
        """All of it, in a temporary file."""
        spool = stack.enter_context(tempfile.TemporaryFile())
        total = 0
        while True:
            data = self.piece(total, PIECE)
            if not data:
                return _Seekable(spool, 0, total)
            try:
                spool.write(data)
            except OSError as error:
                raise ConfigurationError(
                    f"the source cannot be kept in {tempfile.gettempdir()} for the upload: {error.strerror}"
                ) from error
            total += len(data)


_Readable = Union[_Seekable, _Stream]


# In pieces -------------------------------------------------------------------------


class _Upload(NamedTuple):
    """An upload under way: where its pieces go, and how large they are."""

    url: str
    piece_bytes: int


def _in_pieces(call: Call, source: _Readable, job: _Job) -> File:
    """Google's resumable protocol; the table at the top of this room says what follows what."""
    attempts = Attempts(call)
    upload: Optional[_Upload] = None
    started_over = False
    offset: Optional[int] = 0  # how many bytes the server has; None: it must be asked
    sent = 0  # how many bytes it had at most, of this upload
    finalized = False  # whether it was told that this is all
    refusal: Optional[APIError] = None  # of the piece at `refused_at`
    refused_at = 0
    while True:
        last = False
        at = offset
        try:
            if upload is None:
                upload = _start(call, source, job)
                continue
            if at is None:
                received, file = _command(call, upload, "query")
                if refusal is not None and received == refused_at:
                    raise refusal  # the offset was right: it is something else
            else:
                piece = source.piece(at, upload.piece_bytes)
                last = at + len(piece) == source.total
                finalized = finalized or last
                command = "upload, finalize" if piece and last else "finalize" if last else "upload"
                received, file = _command(call, upload, command, at, piece)
                if received is None:
                    received = at + len(piece)
                del piece  # before the next one is read
                if file is None and (last or received <= at):
                    unfinished = "did not finish the upload" if last else "took nothing of a piece"
                    unwilling = TransportError(f"the server {unfinished}, and gave no reason")
                    unwilling.retryable = True
                    raise unwilling
        except GeministreamError as error:
            answer = error if isinstance(error, APIError) and upload is not None else None
            if answer is not None and answer.headers.get("x-goog-upload-status") == "final":
                raise
            if answer is not None and answer.code in _GONE and not started_over:
                if source.earliest > 0:
                    raise _lost(source) from error
                log.debug("the upload is gone at byte %d: starting over", sent)
                upload, offset, sent, finalized, refusal, started_over = None, 0, 0, False, None, True
            elif answer is not None and answer.code in _OUT_OF_STEP and at is not None and refusal is None:
                refusal, refused_at, offset = answer, at, None
            elif not _again(attempts, error):
                raise
            elif upload is not None:
                offset = None
            continue
        if file is not None:
            if not finalized:
                raise FileProcessingError(
                    "the server took the first piece for the whole file; give a larger chunk_bytes=, or use "
                    "Endpoint(upload_protocol='multipart')",
                    file=file,
                )
            job.progress(source.total or sent, source.total)
            return _whole(file, source)
        if received is None or received > _sent_at_most(source, sent, upload):
            raise _impossible(received)
        if received < source.earliest:
            raise _lost(source)
        if at is None:
            log.debug("the upload goes on from byte %d", received)
        offset = received
        if received > sent:
            sent, refusal = received, None
            attempts.progress()
            job.progress(sent, source.total)


def _sent_at_most(source: _Readable, sent: int, upload: _Upload) -> int:
    """The most that a server can have: what it had, and the piece after that."""
    most = sent + upload.piece_bytes
    return most if source.total is None else min(most, source.total)


def _impossible(received: Any) -> StreamDecodeError:
    return StreamDecodeError(
        f"the server says that it has {shorten(received)} bytes of the upload, which cannot be; upload it again"
    )


def _lost(source: _Readable) -> TransportError:
    return TransportError(
        f"the server lost what it had of the upload, and the first {source.earliest} bytes of the source "
        "cannot be read again; upload it from a path or a file object that can seek"
    )


def _start(call: Call, source: _Readable, job: _Job) -> _Upload:
    headers = {
        "Content-Type": "application/json",
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Type": job.mime_type,
    }
    if source.total is not None:
        headers["X-Goog-Upload-Header-Content-Length"] = str(source.total)
    reply = call.send("POST", call.endpoint.upload_url(), headers=headers, body=job.metadata)
    reply.read(_LARGEST_ANSWER)  # nothing, or {}
    url = reply.header("X-Goog-Upload-URL")
    if not url:
        raise StreamDecodeError(
            "the server began no resumable upload (it named no X-Goog-Upload-URL); a gateway that takes "
            "a form wants Endpoint(upload_protocol='multipart')"
        )
    told = reply.header("X-Goog-Upload-Chunk-Granularity")
    granularity = int(told) if re.fullmatch(r"[1-9][0-9]{0,18}", told) else _GRANULARITY
    if granularity > max(job.chunk_bytes, _LARGEST_GRANULARITY):
        raise StreamDecodeError(
            f"the server demands pieces of {granularity} bytes, and a piece is in memory; "
            "if that is right, give chunk_bytes= at least as large"
        )
    return _Upload(_at_home(call.endpoint, url), max(job.chunk_bytes // granularity, 1) * granularity)


def _at_home(endpoint: Endpoint, url: str) -> str:
    """An upload URL on the endpoint's own origin, whatever host it names.

    Behind a proxy it names the proxy's upstream, which may be out of reach and
    is none to send the credentials to; there, the path is the upstream's too.
    """
    home = urlsplit(endpoint.base_url)
    # urljoin() knows the schemes of the web alone; the base URL may have that of a session's adapter.
    start = urlsplit(endpoint.upload_url())._replace(scheme="http").geturl()
    try:
        there = urlsplit(urljoin(start, url))
    except ValueError as error:
        raise StreamDecodeError(f"the server's upload URL cannot be read: {error}") from error
    # Any other scheme has no host and no path: "x:@evil.example/y" has none of them.
    if there.scheme not in ("http", "https"):
        raise StreamDecodeError("the server's upload URL is not an http or https URL; check the base URL")
    path = there.path
    if there.netloc != home.netloc and not path.startswith(f"{home.path}/"):
        path = home.path + path
    # The server may have copied what every request gets anyway.
    ours = {*endpoint.params, *(["key"] if "query" in endpoint.ways else [])}
    query = [pair for pair in there.query.split("&") if pair and unquote(pair.partition("=")[0]) not in ours]
    query += [urlencode(endpoint.params)] if endpoint.params else []
    return home._replace(path=path, query="&".join(query)).geturl()


def _command(
    call: Call, upload: _Upload, command: str, offset: Optional[int] = None, piece: bytes = b""
) -> Tuple[Optional[int], Optional[File]]:
    """Send a command with a piece; what the server says that it has, and the file once it is final."""
    headers = {"X-Goog-Upload-Command": command}
    if offset is not None:
        headers["X-Goog-Upload-Offset"] = str(offset)
    reply = call.send("POST", upload.url, headers=headers, body=piece)
    status = reply.header("X-Goog-Upload-Status").lower()
    body = reply.read(_LARGEST_ANSWER)
    answer = _object_in(reply, body) if status != "active" else {}
    if status == "final" or (not status and "file" in answer):
        return None, _file_in(answer)
    if status not in ("active", ""):
        raise StreamDecodeError(
            f"the server says that the upload is {shorten(status)}; upload the file again"
        )
    received = reply.header("X-Goog-Upload-Size-Received").strip()
    if received and not re.fullmatch(r"[0-9]{1,18}", received):
        raise _impossible(received)
    return (int(received) if received else None), None


def _whole(file: File, source: _Readable) -> File:
    """``file``, unless the server says that it has other than all bytes of the source."""
    total, size = source.total, file.size_bytes
    if isinstance(size, int) and size and total is not None and size != total:
        raise FileProcessingError(
            f"the server has {size} bytes of {total}; delete {file.name} and upload it again", file=file
        )
    return file


# As a form -------------------------------------------------------------------------


def _as_form(call: Call, source: _Readable, job: _Job, stack: ExitStack) -> File:
    """One request with all of it, from its beginning again where that fails in passing."""
    if isinstance(source, _Stream):
        source = source.on_disk(stack)
    form = _Form(source, job)
    headers = {"Content-Type": f"multipart/form-data; boundary={form.boundary}"}
    url = call.endpoint.upload_url()

    def send() -> File:
        try:
            return _file_in(_json(call.send("POST", url, headers=headers, body=form)))
        except GeministreamError:
            if form.failure is not None:  # the fault is on this side of the connection
                raise form.failure from None
            raise

    return _whole(_persist(call, send), source)


class _Form:
    """A multipart/form-data body, https://www.rfc-editor.org/rfc/rfc7578

    It is iterated over, not read, so that a request that is sent once more, be it
    by `Call.send`, begins at the beginning.

    :ivar failure: what went wrong with the source, or in ``progress``, while it was sent.
    """

    def __init__(self, source: _Seekable, job: _Job) -> None:
        self._source = source
        self._job = job
        self.boundary = uuid.uuid4().hex
        self.failure: Optional[BaseException] = None
        self._head = (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n'
            f"Content-Type: application/json\r\n\r\n{job.metadata.decode('ascii')}\r\n"
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{job.filename}"\r\n'
            f"Content-Type: {job.mime_type}\r\n\r\n"
        ).encode("ascii")
        self._tail = f"\r\n--{self.boundary}--\r\n".encode("ascii")

    def __len__(self) -> int:
        return len(self._head) + self._source.total + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        total = self._source.total
        yield self._head
        sent = 0
        while sent < total:
            try:
                piece = self._source.piece(sent, self._job.chunk_bytes)
            except Exception as error:
                self.failure = error
                raise
            sent += len(piece)
            yield piece
            del piece  # before the next one is read
            try:
                self._job.progress(sent, total)
            except Exception as error:
                self.failure = error
                raise
        yield self._tail
