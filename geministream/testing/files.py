"""The Files API: the files that were uploaded, and their states.

For a file larger than 1 MiB only the size and SHA-256 are kept, so that a test can
send a gigabyte.  The hash shows that every byte arrived once and in order.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

from .answers import Answer
from .json_checks import parse_json
from .pages import page
from .times import timestamp
from .wire import Head

#: "Max 2 GB a file", "files live 48 hours" (Gemini API reference, Files).
MAX_FILE_BYTES = 2 * 2**30
LIFETIME = 48 * 3600.0
#: The content of larger files is not kept, only size and hash.
KEPT_BYTES = 2**20


@dataclass
class StoredFile:
    """A file that was uploaded.

    :ivar content: its bytes, if they are at most 1 MiB.
    """

    name: str
    display_name: str
    mime_type: str
    size: int
    sha256: str
    created: float
    #: When processing ends (`time.monotonic`), and after how many polls.
    ready_at: float = 0.0
    polls_left: int = 0
    #: Why it could not be processed.
    failure: Optional[str] = None
    content: Optional[bytes] = None

    @property
    def state(self) -> str:
        if self.polls_left > 0 or time.monotonic() < self.ready_at:
            return "PROCESSING"
        return "FAILED" if self.failure else "ACTIVE"

    def to_dict(self, base: str) -> Dict[str, Any]:
        """The file as the API describes it; `base` is the URL up to the version."""
        state = self.state
        # Google's field is the base64 of the *hexadecimal* digest.
        described: Dict[str, Any] = {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.created),
            "expirationTime": timestamp(self.created + LIFETIME),
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": f"{base}/{self.name}",
            "state": state,
            "source": "UPLOADED",
        }
        if not self.display_name:
            del described["displayName"]
        if state == "FAILED":
            described["error"] = {"code": 13, "message": self.failure}
        if state == "ACTIVE" and self.mime_type.startswith("video/"):
            described["videoMetadata"] = {"videoDuration": "12s"}
        return described


class Wish(NamedTuple):
    """The metadata of an upload: `{"file": {…}}`."""

    name: str = ""
    display_name: str = ""
    mime_type: str = ""


class Files:
    """The files of one server; its arguments are `LocalServer`'s."""

    def __init__(
        self,
        base: Callable[[], str],
        processing_seconds: float = 0.0,
        processing_polls: int = 0,
        max_file_bytes: int = MAX_FILE_BYTES,
    ):
        self.base = base
        self.processing_seconds = processing_seconds
        self.processing_polls = processing_polls
        self.max_file_bytes = max_file_bytes
        self.stored: Dict[str, StoredFile] = {}
        self.failures: List[str] = []  # why the processing of the next files fails
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def wish(self, body: bytes) -> Union[Wish, Answer]:
        """The metadata of an upload, or the error in it."""
        try:
            file = parse_json(body or b"{}").get("file") or {}
            name = file.get("name") or ""
            display_name = file.get("displayName") or file.get("display_name") or ""
            mime_type = file.get("mimeType") or file.get("mime_type") or ""
        except (ValueError, AttributeError):
            return Answer.failure(400, "Invalid JSON payload received.")
        if not all(isinstance(each, str) for each in (name, display_name, mime_type)):
            return Answer.failure(400, "Invalid JSON payload received. A file's names are strings.")
        if name:
            name = name if name.startswith("files/") else f"files/{name}"
            if not re.match(r"files/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$", name):
                return Answer.failure(
                    400,
                    "A file's name has at most 40 characters: lower-case letters, digits and dashes, "
                    "and neither begins nor ends with a dash.",
                )
            if name in self.stored:
                return Answer.failure(409, f"Requested entity already exists: {name}.")
        if len(display_name) > 512:
            return Answer.failure(400, "display_name may have at most 512 characters.")
        return Wish(name, display_name, mime_type)

    def too_large(self, size: int) -> Optional[Answer]:
        """The error for a file of this size, or None."""
        if size <= self.max_file_bytes:
            return None
        return Answer.failure(400, f"A file may have at most {self.max_file_bytes} bytes.")

    def store(self, wish: Wish, size: int, sha256: str, content: bytes) -> StoredFile:
        """Keep a file that was uploaded; `content` is kept only if it is the complete file."""
        name, display_name, mime_type = wish
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
                content=content if len(content) == size else None,
            )
            self.stored[name] = file
            return file

    def serve(self, head: Head, name: str) -> Answer:
        """Serve `GET files`, and `GET` or `DELETE files/{name}`."""
        if not name:
            if head.method not in ("GET", "HEAD"):
                return Answer.failure(405, "Only GET is served here.", headers={"Allow": "GET"})
            with self._lock:
                stored = [file.to_dict(self.base()) for file in self.stored.values()]
            return page("files", stored, head.query, default=10, most=100)
        with self._lock:
            file = self.stored.get(f"files/{name}")
            if file is None:
                return _no_file(name)
            if head.method in ("GET", "HEAD"):
                answer = Answer(chunks=[file.to_dict(self.base())])
                file.polls_left -= 1
                return answer
            if head.method == "DELETE":
                del self.stored[file.name]
                return Answer(chunks=[{}])
        return Answer.failure(405, "Only GET and DELETE are served here.", headers={"Allow": "GET, DELETE"})

    def download(self, head: Head, name: str) -> Answer:
        """Serve `GET files/{name}:download`: the bytes of the file."""
        if head.method not in ("GET", "HEAD"):
            return Answer.failure(405, "Only GET is served here.", headers={"Allow": "GET"})
        file = self.stored.get(f"files/{name}")
        if file is None:
            return _no_file(name)
        if file.content is None:
            return Answer.failure(
                400,
                f"The test server keeps the content of files of up to {KEPT_BYTES} bytes; {name} is larger.",
            )
        return Answer(body=file.content, content_type=file.mime_type, transfer="length")

    def find(self, uri: str) -> Optional[StoredFile]:
        """The file of this URI."""
        match = re.search(r"(?:^|/)(files/[^/?:]+)$", uri)
        return self.stored.get(match.group(1)) if match else None

    def facts(self, uri: str) -> Optional[Tuple[str, int, str]]:
        """MIME type, size and SHA-256 of the file of this URI."""
        file = self.find(uri)
        return (file.mime_type, file.size, file.sha256) if file else None

    def check(self, request: Dict[str, Any]) -> Optional[Answer]:
        """The error for a request with a file that does not exist or is not ACTIVE."""
        for content in request.get("contents") or []:
            for part in content.get("parts") or []:
                uri = (part.get("fileData") or {}).get("fileUri") or ""
                match = re.search(r"(?:^|/v\d\w*/)files/([^/?:]+)$", uri)
                if not match:
                    continue  # gs://, https://: not a file of this server
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


def _no_file(name: str) -> Answer:
    return Answer.failure(403, f"You do not have permission to access the File {name} or it may not exist.")
