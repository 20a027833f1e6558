"""A file of the Files API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Int64, Message


class FileState:
    """Whether an uploaded file can be used yet."""

    STATE_UNSPECIFIED = "STATE_UNSPECIFIED"
    PROCESSING = "PROCESSING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"


class FileSource:
    """Where a file of the Files API came from."""

    SOURCE_UNSPECIFIED = "SOURCE_UNSPECIFIED"
    UPLOADED = "UPLOADED"
    GENERATED = "GENERATED"
    REGISTERED = "REGISTERED"


@dataclass(repr=False, eq=False)
class File(Message):
    """A file of the Files API.

    :ivar name: "files/…", its identity.
    :ivar uri: what a `FileData` names.
    :ivar state: one of `FileState`.
    :ivar size_bytes: bytes.
    :ivar sha256_hash: base64 of the digest, as the server writes it.
    :ivar create_time: RFC 3339, as are ``update_time`` and ``expiration_time``.
    :ivar source: one of `FileSource`.
    :ivar video_metadata: of a video, such as ``{"videoDuration": "12s"}``.
    :ivar error: why the processing failed.
    """

    name: Optional[str] = None
    uri: Optional[str] = None
    mime_type: Optional[str] = None
    state: Optional[str] = None
    display_name: Optional[str] = None
    size_bytes: Optional[Int64] = None
    create_time: Optional[str] = None
    update_time: Optional[str] = None
    expiration_time: Optional[str] = None
    sha256_hash: Optional[str] = None
    download_uri: Optional[str] = None
    source: Optional[str] = None
    video_metadata: Optional[Dict[str, Any]] = None
    error: Optional[FileStatus] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class FileStatus(Message):
    """Why a file could not be processed, as a ``google.rpc.Status``.

    :ivar code: of ``google.rpc.Code``, not of HTTP.
    """

    message: Optional[str] = None
    code: Optional[int] = None
    details: Optional[List[Dict[str, Any]]] = None
    extra: Dict[str, Any] = field(default_factory=dict)
