"""The Files API: uploads in pieces or as a form, and what became of them.

Only size and SHA-256 of a file are kept, never its bytes, so that a test can
send a gigabyte.  The hash is what shows that each byte arrived once and in
its place.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from .answers import Answer
from .wire import BadRequest, Connection, Head

#: Every piece but the last is a multiple of this (Google's resumable protocol).
GRANULARITY = 256 * 1024
#: "Max 2 GB a file", "files live 48 hours" (Gemini API reference, Files).
MAX_FILE_BYTES = 2 * 2**30
LIFETIME = 48 * 3600.0

#: A request's body is kept up to this size; past it only size and hash are.
KEPT_BYTES = 2**20

FAULTS = ("reset", "drop", "stall", "drop_answer", "gone")


@dataclass
class StoredFile:
    """A file that was uploaded: all of it but its bytes."""

    name: str
    display_name: str
    mime_type: str
    size: int
    sha256: str
    created: float
    #: When it will be processed (`time.monotonic`), and how many looks at it that takes.
    ready_at: float = 0.0
    polls_left: int = 0
    #: Why it could not be processed.
    failure: Optional[str] = None

    @property
    def state(self) -> str:
        if self.polls_left > 0 or time.monotonic() < self.ready_at:
            return "PROCESSING"
        return "FAILED" if self.failure else "ACTIVE"

    def to_dict(self, base: str) -> Dict[str, Any]:
        """The file as the API tells it; `base` is the URL up to the version."""
        state = self.state
        # Google's field is the base64 of the *hexadecimal* digest.
        told: Dict[str, Any] = {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": _timestamp(self.created),
            "updateTime": _timestamp(self.created),
            "expirationTime": _timestamp(self.created + LIFETIME),
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": f"{base}/{self.name}",
            "state": state,
            "source": "UPLOADED",
        }
        if not self.display_name:
            del told["displayName"]
        if state == "FAILED":
            told["error"] = {"code": 13, "message": self.failure}
        if state == "ACTIVE" and self.mime_type.startswith("video/"):
            told["videoMetadata"] = {"videoDuration": "12s"}
        return told


@dataclass
class Upload:
    """A resumable upload under way."""

    id: str
    name: str
    display_name: str
    mime_type: str
    size_told: Optional[int]
    received: int = 0
    pieces: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    file: Optional[StoredFile] = None
    #: The request that may add bytes: a newer one takes it from one whose connection has died.
    owner: object = None
    lock: Any = field(default_factory=threading.Lock)


class UploadFault(NamedTuple):
    """What goes wrong with an upload, once."""

    how: Union[str, int]
    piece: Union[None, int, str]
    at: Optional[int]
    after_bytes: int


class Files:
    """The files of one server, and the uploads that bring them."""

    def __init__(
        self,
        base: Callable[[], str],
        *,
        processing_seconds: float = 0.0,
        processing_polls: int = 0,
        upload_host: Optional[str] = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ):
        self._base = base
        self.processing_seconds = processing_seconds
        self.processing_polls = processing_polls
        self.upload_host = upload_host
        self.max_file_bytes = max_file_bytes
        self.stored: Dict[str, StoredFile] = {}
        self.failures: List[str] = []  # of the next files' processing
        self.faults: List[UploadFault] = []
        self._uploads: Dict[str, Upload] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    # -- uploads ---------------------------------------------------------------

    def upload(self, connection: Connection, head: Head, recorded: Any, protocols: Tuple[str, ...]) -> Answer:
        """Serve a request to the upload path; reads its body."""
        pieces = _measured(connection.read_body(head), recorded)
        content_type = head.headers.get("content-type", "")
        if head.method != "POST":
            return _after(pieces, Answer.failure(405, "Only POST is served here.", headers={"Allow": "POST"}))
        if content_type.startswith("multipart/form-data") and "multipart" in protocols:
            return self._form(pieces, content_type)
        told = head.headers.get("x-goog-upload-command")
        if told is None or "resumable" not in protocols:
            return _after(pieces, Answer.failure(400, f"Uploads are taken here as {' or '.join(protocols)}."))
        command = ", ".join(sorted(each.strip() for each in told.lower().split(",")))
        if command == "start":
            return self._start(b"".join(_limited(pieces)), head)
        with self._lock:
            upload = self._uploads.get(head.query.get("upload_id", ""))
        if upload is None:
            return _after(pieces, _gone())
        if command == "query":
            return self._query(pieces, upload, recorded)
        if command in ("upload", "finalize, upload", "finalize"):
            return self._piece(pieces, head, upload, command != "upload", recorded)
        if command == "cancel":
            self._forget(upload)
            return _after(pieces, _upload_answer("cancelled", {}))
        return _after(
            pieces,
            Answer.failure(400, "X-Goog-Upload-Command is none of start, upload, finalize, query, cancel."),
        )

    def _start(self, body: bytes, head: Head) -> Answer:
        fault = self._take_fault("start")
        if fault is not None:
            return _strike(fault)
        name, display_name, refusal = self._metadata(body)
        if refusal:
            return refusal
        told = head.headers.get("x-goog-upload-header-content-length")
        if told is not None and not re.fullmatch("[0-9]{1,18}", told):
            return Answer.failure(400, "X-Goog-Upload-Header-Content-Length is no number.")
        size = None if told is None else int(told)
        if size is not None and size > self.max_file_bytes:
            return Answer.failure(400, f"A file may have at most {self.max_file_bytes} bytes.")
        mime_type = head.headers.get("x-goog-upload-header-content-type") or "application/octet-stream"
        upload = Upload(f"upload-{next(self._numbers)}", name, display_name, mime_type, size)
        with self._lock:
            self._uploads[upload.id] = upload
        base, slash, version = self._base().rpartition("/")
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

    def _query(self, pieces: Iterator[bytes], upload: Upload, recorded: Any) -> Answer:
        _after(pieces)
        fault = self._take_fault("query")
        if fault is not None:
            recorded.fault = _in_words(fault)
            if fault.how == "gone":
                self._forget(upload)
            return _strike(fault)
        with upload.lock:
            upload.owner = None  # a piece that is still on its way from a dead connection comes too late
            if upload.file is not None:
                return _upload_answer("final", {"file": upload.file.to_dict(self._base())}, upload.received)
            return _upload_answer("active", None, upload.received)

    def _piece(
        self, pieces: Iterator[bytes], head: Head, upload: Upload, last: bool, recorded: Any
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

        taken = 0
        fault, limit = self._fault_for(number, start, taken)
        for piece in pieces:
            while True:
                room = None if limit is None else limit - taken
                part = piece if room is None else piece[:room]
                with upload.lock:
                    if upload.owner is not me:
                        return Answer.failure(409, "Another request continues this upload.", "ABORTED")
                    upload.digest.update(part)
                    upload.received += len(part)
                taken += len(part)
                if room is None or len(piece) < room:
                    break
                assert fault is not None
                if self._drop_fault(fault):
                    return self._struck(fault, upload, pieces, recorded)
                piece = piece[len(part) :]  # another request met this fault first
                fault, limit = self._fault_for(number, start, taken)
        if fault is not None and fault.piece is not None and self._drop_fault(fault):
            return self._struck(fault, upload, pieces, recorded)  # the piece ended before its place

        wrong = None
        if not last and taken % GRANULARITY:
            wrong = f"A piece of {taken} bytes is no multiple of {GRANULARITY}, and not the last."
        elif upload.size_told is not None and upload.received > upload.size_told:
            wrong = f"{upload.received} bytes were sent of {upload.size_told}."
        elif last and upload.size_told is not None and upload.received != upload.size_told:
            wrong = f"Only {upload.received} bytes were sent of {upload.size_told}."
        elif upload.received > self.max_file_bytes:
            wrong = f"A file may have at most {self.max_file_bytes} bytes."
        if wrong:
            with upload.lock:  # a refused piece does not count
                upload.received, upload.digest = start, digest
            return Answer.failure(400, wrong)
        if last:
            upload.file = self._store(
                upload.name, upload.display_name, upload.mime_type, upload.received, upload.digest.hexdigest()
            )
        lost = self._answer_lost(number, start, start + taken)
        if lost is not None:
            recorded.fault = _in_words(lost)
            return _strike(lost)
        if upload.file is not None:
            return _upload_answer("final", {"file": upload.file.to_dict(self._base())})
        return _upload_answer("active", None, upload.received)

    # -- faults ------------------------------------------------------------------

    def fail(
        self, how: Union[str, int], piece: Union[None, int, str], at: Optional[int], after_bytes: int
    ) -> None:
        """Add a fault; see `LocalServer.fail_upload`."""
        if how not in FAULTS and not str(how).isdigit():
            raise ValueError(f"how={how!r} is neither a status nor one of {FAULTS}")
        if (piece is None) == (at is None):
            raise ValueError("give either piece= or at=")
        with self._lock:
            self.faults.append(UploadFault(how, piece, at, after_bytes))

    def _fault_for(self, number: int, start: int, taken: int) -> Tuple[Optional[UploadFault], Optional[int]]:
        """The next fault of this piece, and after how many of its bytes it strikes."""
        found: List[Tuple[int, UploadFault]] = []
        with self._lock:
            for fault in self.faults:
                if fault.how == "drop_answer":
                    continue
                if fault.piece == number:
                    found.append((max(taken, fault.after_bytes), fault))
                elif fault.at is not None and fault.at >= start + taken:
                    found.append((fault.at - start, fault))
        if not found:
            return None, None
        limit, fault = min(found, key=lambda each: each[0])
        return fault, limit

    def _answer_lost(self, number: int, start: int, end: int) -> Optional[UploadFault]:
        """The fault that swallows the answer to a piece that was taken whole."""
        with self._lock:
            for fault in self.faults:
                if fault.how == "drop_answer" and (
                    fault.piece == number or (fault.at is not None and start <= fault.at <= end)
                ):
                    self.faults.remove(fault)
                    return fault
        return None

    def _drop_fault(self, fault: UploadFault) -> bool:
        """Use a fault up; False where another request has."""
        with self._lock:
            if fault not in self.faults:
                return False
            self.faults.remove(fault)
            return True

    def _take_fault(self, command: str) -> Optional[UploadFault]:
        with self._lock:
            for fault in self.faults:
                if fault.piece == command:
                    self.faults.remove(fault)
                    return fault
        return None

    def _struck(self, fault: UploadFault, upload: Upload, pieces: Iterator[bytes], recorded: Any) -> Answer:
        recorded.fault = _in_words(fault)
        with upload.lock:
            upload.owner = None
        if fault.how == "gone":
            self._forget(upload)
        if fault.how not in ("reset", "drop"):  # these strike in the middle of the body
            _after(pieces)
        return _strike(fault)

    def _forget(self, upload: Upload) -> None:
        with self._lock:
            self._uploads.pop(upload.id, None)

    # -- forms -------------------------------------------------------------------

    def _form(self, pieces: Iterator[bytes], content_type: str) -> Answer:
        """One multipart/form-data request with the parts `metadata` (JSON) and `file`."""
        match = re.search(r'boundary="?([^";]+)', content_type)
        if not match:
            raise BadRequest("The form has no boundary.")
        metadata, size, digest = b"", 0, hashlib.sha256()
        filename, mime_type, seen = "", "application/octet-stream", False
        for headers, data in form_parts(pieces, match.group(1).encode()):
            disposition = headers.get("content-disposition", "")
            if re.search(r'\bname="?metadata"?', disposition):
                metadata += data
                if len(metadata) > 2**20:
                    raise BadRequest("The form's metadata is too long.", 413)
            elif re.search(r'\bname="?file"?', disposition):
                if not seen:
                    seen = True
                    mime_type = headers.get("content-type", mime_type)
                    named = re.search(r'filename="((?:[^"\\]|\\.)*)"', disposition)
                    filename = named.group(1) if named else ""
                size += len(data)
                digest.update(data)
        fault = self._take_fault("form")
        if fault is not None:
            return _strike(fault)
        if not seen:
            return Answer.failure(400, "The form has no part named file.")
        if size > self.max_file_bytes:
            return Answer.failure(400, f"A file may have at most {self.max_file_bytes} bytes.")
        name, display_name, refusal = self._metadata(metadata)
        if refusal:
            return refusal
        file = self._store(name, display_name or filename, mime_type, size, digest.hexdigest())
        return Answer(chunks=[{"file": file.to_dict(self._base())}], transfer="length")

    def _metadata(self, body: bytes) -> Tuple[str, str, Optional[Answer]]:
        """The wished name and the display name of `{"file": {…}}`."""
        try:
            file = json.loads(body or b"{}").get("file") or {}
            name = file.get("name") or ""
            display_name = file.get("displayName") or file.get("display_name") or ""
        except (ValueError, AttributeError, RecursionError):
            return "", "", Answer.failure(400, "Invalid JSON payload received.")
        if not isinstance(name, str) or not isinstance(display_name, str):
            return "", "", Answer.failure(400, "Invalid JSON payload received. A file's names are strings.")
        if name:
            name = name if name.startswith("files/") else f"files/{name}"
            if not re.match(r"files/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$", name):
                return (
                    "",
                    "",
                    Answer.failure(
                        400,
                        "A file's name has at most 40 characters: lower-case letters, digits and dashes, "
                        "and neither begins nor ends with a dash.",
                    ),
                )
            if name in self.stored:
                return "", "", Answer.failure(409, f"Requested entity already exists: {name}.")
        if len(display_name) > 512:
            return "", "", Answer.failure(400, "display_name may have at most 512 characters.")
        return name, display_name, None

    # -- files -------------------------------------------------------------------

    def _store(self, name: str, display_name: str, mime_type: str, size: int, sha256: str) -> StoredFile:
        with self._lock:
            if not name:
                seed = f"{sha256}{next(self._numbers)}".encode()
                name = "files/" + base64.b32encode(hashlib.sha256(seed).digest()).decode().lower()[:12]
            video = mime_type.startswith("video/")
            file = StoredFile(
                name,
                display_name,
                mime_type,
                size,
                sha256,
                created=time.time(),
                ready_at=time.monotonic() + self.processing_seconds if video else 0.0,
                polls_left=self.processing_polls if video else 0,
                failure=self.failures.pop(0) if self.failures else None,
            )
            self.stored[name] = file
            return file

    def serve(self, head: Head, name: str) -> Answer:
        """Serve `GET files`, and `GET` or `DELETE files/{name}`."""
        if not name:
            if head.method not in ("GET", "HEAD"):
                return Answer.failure(405, "Only GET is served here.", headers={"Allow": "GET"})
            return self._list(head.query.get("pageSize", "10"), head.query.get("pageToken", ""))
        with self._lock:
            file = self.stored.get(f"files/{name}")
            if file is None:
                return _no_file(name)
            if head.method in ("GET", "HEAD"):
                answer = Answer(chunks=[file.to_dict(self._base())])
                file.polls_left -= 1
                return answer
            if head.method == "DELETE":
                del self.stored[file.name]
                return Answer(chunks=[{}])
        return Answer.failure(405, "Only GET and DELETE are served here.", headers={"Allow": "GET, DELETE"})

    def _list(self, size: str, token: str) -> Answer:
        try:
            count, start = int(size or 10), int(base64.b64decode(token)[5:]) if token else 0
        except ValueError:
            return Answer.failure(400, "pageSize or pageToken is not valid.")
        if not 1 <= count <= 100:
            return Answer.failure(400, "pageSize must be between 1 and 100.")
        with self._lock:
            stored = list(self.stored.values())
        told: Dict[str, Any] = {}
        if stored[start:]:
            told["files"] = [file.to_dict(self._base()) for file in stored[start : start + count]]
        if stored[start + count :]:
            told["nextPageToken"] = base64.b64encode(b"page:%d" % (start + count)).decode()
        return Answer(chunks=[told])

    def find(self, uri: str) -> Optional[StoredFile]:
        """The file of this URI."""
        match = re.search(r"(?:^|/)(files/[^/?:]+)$", uri)
        return self.stored.get(match.group(1)) if match else None

    def facts(self, uri: str) -> Optional[Tuple[str, int, str]]:
        """MIME type, size and SHA-256 of the file of this URI."""
        file = self.find(uri)
        return (file.mime_type, file.size, file.sha256) if file else None

    def check(self, request: Dict[str, Any]) -> Optional[Answer]:
        """The error for a request that uses a file that it cannot use."""
        for content in request.get("contents") or []:
            for part in content.get("parts") or []:
                uri = (part.get("fileData") or {}).get("fileUri") or ""
                match = re.search(r"(?:^|/v\d\w*/)files/([^/?:]+)$", uri)
                if not match:
                    continue  # gs://, https://: somewhere else, and not looked at
                file = self.find(uri)
                if file is None:
                    return _no_file(match.group(1))
                if file.state != "ACTIVE":
                    return Answer.failure(
                        400,
                        f"The File {match.group(1)} is not in an ACTIVE state and usage is not allowed.",
                        "FAILED_PRECONDITION",
                    )
        return None


def form_parts(pieces: Iterator[bytes], boundary: bytes) -> Iterator[Tuple[Dict[str, str], bytes]]:
    """The parts of a multipart body while it arrives: each piece of data with its part's headers."""
    mark = b"\r\n--" + boundary
    held = b"\r\n"  # the first boundary has no line end before it
    headers: Optional[Dict[str, str]] = {}  # of the preamble; None: a head is being read
    start = 0  # where the data begin: after the head's last line end, which may begin a boundary too
    for piece in pieces:
        held += piece
        while True:
            if headers is None:
                end = held.find(b"\r\n\r\n")
                if held.startswith(b"--") or end < 0:
                    break  # the end of the form, or of what is here
                lines = held[:end].decode("utf-8", "replace").split("\r\n")
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines if line)
                }
                held, start = held[end + 2 :], 2
                yield headers, b""
            place = held.find(mark)
            if place < 0:
                safe = len(held) - len(mark)
                if safe > start:
                    yield headers, held[start:safe]
                    held, start = held[safe:], 0
                break
            yield headers, held[start:place]
            held, headers = held[place + len(mark) :], None


def _measured(pieces: Iterator[bytes], recorded: Any) -> Iterator[bytes]:
    """The pieces of a body, while its size, hash and, where it is small, bytes are written down."""
    digest = hashlib.sha256()
    kept: Optional[List[bytes]] = []
    try:
        for piece in pieces:
            digest.update(piece)
            recorded.size += len(piece)
            if kept is not None:
                kept.append(piece)
                if recorded.size > KEPT_BYTES:
                    kept = None
            yield piece
    finally:
        recorded.sha256 = digest.hexdigest()
        recorded.body = b"".join(kept or ())


def _limited(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > 2**20:
            raise BadRequest("The metadata of a file are too long.", 413)
        yield piece


def _upload_answer(status: str, body: Optional[Dict[str, Any]], received: Optional[int] = None) -> Answer:
    headers = {"X-Goog-Upload-Status": status}
    if received is not None:
        headers["X-Goog-Upload-Size-Received"] = str(received)
    if body is None:
        return Answer(body=b"", headers=headers, transfer="length")
    return Answer(chunks=[body], headers=headers, transfer="length")


def _strike(fault: UploadFault) -> Answer:
    if fault.how == "gone":
        return _gone()
    if str(fault.how).isdigit():
        return Answer.failure(int(fault.how), transfer="length")
    return Answer.nothing("drop" if fault.how == "drop_answer" else str(fault.how))


def _after(pieces: Iterator[bytes], answer: Answer = Answer()) -> Answer:
    """The answer, once the rest of the body has been read."""
    for _ in pieces:
        pass
    return answer


def _gone() -> Answer:
    return Answer.failure(404, "This upload is not known, or is no more.")


def _in_words(fault: UploadFault) -> str:
    place = f"byte {fault.at}" if fault.at is not None else f"piece {fault.piece}, byte {fault.after_bytes}"
    return f"{fault.how} at {place} of the upload"


def _no_file(name: str) -> Answer:
    return Answer.failure(403, f"You do not have permission to access the File {name} or it may not exist.")


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}Z"
