"""Uploads to the Files API: in pieces (Google's resumable protocol) or in one request.

Bytes are hashed while they arrive; those of large files are not kept.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, Optional, Tuple
from urllib.parse import urlsplit

from .answers import Answer
from .files import KEPT_BYTES, Files, StoredFile, Wish
from .forms import boundary_of, form_parts
from .record import RecordedRequest
from .upload_faults import UploadFault, UploadFaults, unknown_upload
from .wire import BadRequest, Connection, Head, drain

#: Every piece but the last is a multiple of this (Google's resumable protocol).
GRANULARITY = 256 * 1024
#: The longest JSON that describes a file.
MAX_METADATA_BYTES = 2**20


@dataclass
class Upload:
    """A resumable upload under way."""

    id: str
    wish: Wish
    announced_size: Optional[int]
    received: int = 0
    pieces: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    content: bytearray = field(default_factory=bytearray)  # its first KEPT_BYTES
    file: Optional[StoredFile] = None
    #: The request that may add bytes; a newer one takes over from one whose connection has died.
    owner: object = None
    lock: Any = field(default_factory=threading.Lock)


class Form:
    """A file that is uploaded in one request, while it arrives."""

    def __init__(self) -> None:
        self.metadata = b""
        self.has_file = False
        self.filename = ""
        self.mime_type = ""
        self.size = 0
        self.digest = hashlib.sha256()
        self.content = bytearray()  # its first KEPT_BYTES

    def add_metadata(self, data: bytes) -> None:
        self.metadata += data
        if len(self.metadata) > MAX_METADATA_BYTES:
            raise BadRequest("The metadata of a file is too long.", 413)

    def add(self, headers: Dict[str, str], data: bytes) -> None:
        """Add bytes of the file, whose part has these headers."""
        self.has_file = True
        self.mime_type = headers.get("content-type", "")
        self.size += len(data)
        self.digest.update(data)
        self.content += data[: KEPT_BYTES - len(self.content)]


class Uploads:
    """The uploads to one server."""

    def __init__(self, files: Files, upload_host: Optional[str] = None):
        self.files = files
        self.upload_host = upload_host
        self.faults = UploadFaults()
        self._uploads: Dict[str, Upload] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def serve(
        self, connection: Connection, head: Head, recorded: RecordedRequest, protocols: Tuple[str, ...]
    ) -> Answer:
        """Serve a request to the upload path; reads its body."""
        pieces = recorded.measure(connection.read_body(head), KEPT_BYTES)
        content_type = head.headers.get("content-type", "")
        if head.method != "POST":
            return _after(pieces, Answer.failure(405, "Only POST is served here.", headers={"Allow": "POST"}))
        if content_type.startswith("multipart/form-data") and "multipart" in protocols:
            return self._form(pieces, content_type)
        protocol = head.headers.get("x-goog-upload-protocol", "").lower()
        if content_type.startswith("multipart/related") and protocol in ("", "multipart"):
            return self._related(pieces, content_type)
        command = head.headers.get("x-goog-upload-command")
        if command is None or "resumable" not in protocols:
            return _after(pieces, Answer.failure(400, f"Uploads must be {' or '.join(protocols)}."))
        command = ", ".join(sorted(each.strip() for each in command.lower().split(",")))
        if command == "start":
            return self._start(b"".join(_limited(pieces)), head)
        with self._lock:
            upload = self._uploads.get(head.query.get("upload_id", ""))
        if upload is None:
            return _after(pieces, unknown_upload())
        if command == "query":
            return self._query(pieces, upload, recorded)
        if command in ("upload", "finalize, upload", "finalize"):
            return self._piece(pieces, head, upload, command != "upload", recorded)
        if command == "cancel":
            self._forget(upload)
            return _after(pieces, _upload_answer("cancelled", {}))
        return _after(
            pieces,
            Answer.failure(400, "X-Goog-Upload-Command must be start, upload, finalize, query or cancel."),
        )

    # -- in pieces -------------------------------------------------------------

    def _start(self, body: bytes, head: Head) -> Answer:
        fault = self.faults.take_command("start")
        if fault is not None:
            return fault.strike()
        wish = self.files.wish(body)
        if isinstance(wish, Answer):
            return wish
        announced = head.headers.get("x-goog-upload-header-content-length")
        if announced is not None and not re.fullmatch("[0-9]{1,18}", announced):
            return Answer.failure(400, "X-Goog-Upload-Header-Content-Length is not a valid number.")
        size = None if announced is None else int(announced)
        refusal = self.files.too_large(size or 0)
        if refusal:
            return refusal
        mime_type = head.headers.get("x-goog-upload-header-content-type") or wish.mime_type
        wish = wish._replace(mime_type=mime_type or "application/octet-stream")
        upload = Upload(f"upload-{next(self._numbers)}", wish, size)
        with self._lock:
            self._uploads[upload.id] = upload
        base, _, version = self.files.base().rpartition("/")
        # A client on another machine may reach the server under another name, at the same port.
        host, own = head.headers.get("host", ""), urlsplit(base)
        if re.fullmatch(rf"[A-Za-z0-9.:\[\]_-]+:{own.port}", host):
            base = own._replace(netloc=host).geturl()
        url = (
            f"{self.upload_host or base}/upload/{version}/files"
            f"?upload_id={upload.id}&upload_protocol=resumable"
        )
        return Answer(
            body=b"",
            headers={
                "X-Goog-Upload-Status": "active",
                "X-Goog-Upload-URL": url,
                "X-Goog-Upload-Control-URL": url,
                "X-Goog-Upload-Chunk-Granularity": str(GRANULARITY),
            },
        )

    def _query(self, pieces: Iterator[bytes], upload: Upload, recorded: RecordedRequest) -> Answer:
        drain(pieces)
        fault = self.faults.take_command("query")
        if fault is not None:
            recorded.fault = str(fault)
            if fault.how == "gone":
                self._forget(upload)
            return fault.strike()
        with upload.lock:
            upload.owner = None  # a piece still arriving on a dead connection no longer counts
            if upload.file is not None:
                return _upload_answer("final", self._body(upload.file), upload.received)
            return _upload_answer("active", None, upload.received)

    def _piece(
        self, pieces: Iterator[bytes], head: Head, upload: Upload, last: bool, recorded: RecordedRequest
    ) -> Answer:
        me = object()
        with upload.lock:
            upload.owner = me
            start, digest = upload.received, upload.digest.copy()
            number, upload.pieces = upload.pieces, upload.pieces + 1
        refusal = None
        offset = head.headers.get("x-goog-upload-offset", str(start))
        if upload.file is not None:
            refusal = "The upload is finished."
        elif offset != str(start):
            refusal = f"X-Goog-Upload-Offset is {offset}, but {start} bytes were received."
        if refusal:
            return _after(pieces, Answer.failure(400, refusal))

        broken = self._read_piece(pieces, upload, me, number, start, recorded)
        if broken:
            return broken
        wrong = self._wrong_size(upload, upload.received - start, last)
        if wrong:
            with upload.lock:  # a rejected piece does not count
                upload.received, upload.digest = start, digest
                del upload.content[start:]
            return Answer.failure(400, wrong)
        if last:
            upload.file = self.files.store(
                upload.wish, upload.received, upload.digest.hexdigest(), bytes(upload.content)
            )
        lost = self.faults.take_lost_answer(number, start, upload.received)
        if lost is not None:
            recorded.fault = str(lost)
            return lost.strike()
        if upload.file is not None:
            return _upload_answer("final", self._body(upload.file))
        return _upload_answer("active", None, upload.received)

    def _read_piece(
        self,
        pieces: Iterator[bytes],
        upload: Upload,
        me: object,
        number: int,
        start: int,
        recorded: RecordedRequest,
    ) -> Optional[Answer]:
        """Receive the bytes of the `number`-th piece; the answer to it if it fails."""
        taken = 0
        fault, limit = self.faults.next_in(number, start, taken)
        for piece in pieces:
            while True:
                room = None if limit is None else limit - taken
                part = piece if room is None else piece[:room]
                with upload.lock:
                    if upload.owner is not me:
                        return Answer.failure(409, "Another request continues this upload.", "ABORTED")
                    upload.digest.update(part)
                    upload.received += len(part)
                    upload.content += part[: KEPT_BYTES - len(upload.content)]
                taken += len(part)
                if room is None or len(piece) < room:
                    break
                assert fault is not None
                if self.faults.take(fault):
                    return self._struck(fault, upload, pieces, recorded)
                piece = piece[len(part) :]  # another request used up this fault
                fault, limit = self.faults.next_in(number, start, taken)
        if fault is not None and fault.piece is not None and self.faults.take(fault):
            return self._struck(
                fault, upload, pieces, recorded
            )  # the piece ended before the byte of the fault
        return None

    def _wrong_size(self, upload: Upload, taken: int, last: bool) -> Optional[str]:
        """The error for the size of a piece of `taken` bytes, or None."""
        announced, received = upload.announced_size, upload.received
        if not last and taken % GRANULARITY:
            return f"A piece of {taken} bytes is not a multiple of {GRANULARITY}, and not the last."
        if announced is not None and received > announced:
            return f"{received} bytes were sent of {announced}."
        if last and announced is not None and received != announced:
            return f"Only {received} bytes were sent of {announced}."
        if received > self.files.max_file_bytes:
            return f"A file may have at most {self.files.max_file_bytes} bytes."
        return None

    def _struck(
        self, fault: UploadFault, upload: Upload, pieces: Iterator[bytes], recorded: RecordedRequest
    ) -> Answer:
        recorded.fault = str(fault)
        with upload.lock:
            upload.owner = None
        if fault.how == "gone":
            self._forget(upload)
        if fault.how not in ("reset", "drop"):  # these occur in the middle of the body
            drain(pieces)
        return fault.strike()

    def _forget(self, upload: Upload) -> None:
        with self._lock:
            self._uploads.pop(upload.id, None)

    def _body(self, file: StoredFile) -> Dict[str, Any]:
        return {"file": file.to_dict(self.files.base())}

    # -- in one request ----------------------------------------------------------

    def _form(self, pieces: Iterator[bytes], content_type: str) -> Answer:
        """One multipart/form-data request with the parts `metadata` (JSON) and `file`."""
        form = Form()
        for headers, data in form_parts(pieces, boundary_of(content_type)):
            disposition = headers.get("content-disposition", "")
            if re.search(r'\bname="?metadata"?', disposition):
                form.add_metadata(data)
            elif re.search(r'\bname="?file"?', disposition):
                named = re.search(r'filename="((?:[^"\\]|\\.)*)"', disposition)
                form.filename = named.group(1) if named else ""
                form.add(headers, data)
        if not form.has_file:
            return Answer.failure(400, "The form has no part named file.")
        return self._whole(form)

    def _related(self, pieces: Iterator[bytes], content_type: str) -> Answer:
        """One multipart/related request: a part of JSON, then the bytes."""
        form = Form()
        first: Optional[Dict[str, str]] = None
        for headers, data in form_parts(pieces, boundary_of(content_type)):
            if not headers and first is None:
                continue  # the preamble
            first = headers if first is None else first
            if headers is first:
                form.add_metadata(data)
            else:
                form.add(headers, data)
        if not form.has_file:
            return Answer.failure(
                400, "The body must consist of two parts: metadata as JSON, then the bytes."
            )
        return self._whole(form)

    def _whole(self, form: Form) -> Answer:
        """The answer to a file that was uploaded in one request."""
        fault = self.faults.take_command("form")
        if fault is not None:
            return fault.strike()
        refusal = self.files.too_large(form.size)
        if refusal:
            return refusal
        wish = self.files.wish(form.metadata)
        if isinstance(wish, Answer):
            return wish
        mime_type = form.mime_type or wish.mime_type or "application/octet-stream"
        wish = Wish(wish.name, wish.display_name or form.filename, mime_type)
        file = self.files.store(wish, form.size, form.digest.hexdigest(), bytes(form.content))
        return Answer(chunks=[self._body(file)], transfer="length")


def _limited(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_METADATA_BYTES:
            raise BadRequest("The metadata of a file is too long.", 413)
        yield piece


def _upload_answer(status: str, body: Optional[Dict[str, Any]], received: Optional[int] = None) -> Answer:
    headers = {"X-Goog-Upload-Status": status}
    if received is not None:
        headers["X-Goog-Upload-Size-Received"] = str(received)
    if body is None:
        return Answer(body=b"", headers=headers, transfer="length")
    return Answer(chunks=[body], headers=headers, transfer="length")


def _after(pieces: Iterator[bytes], answer: Answer) -> Answer:
    """The answer, once the rest of the body has been read."""
    drain(pieces)
    return answer
