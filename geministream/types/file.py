"""A file of the Files API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Int64, Message


class FileState:
    """The state of an uploaded file; only an ``ACTIVE`` file can be used."""

    STATE_UNSPECIFIED = "STATE_UNSPECIFIED"
    PROCESSING = "PROCESSING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"


class FileSource:
    """The origin of a file of the Files API."""

    SOURCE_UNSPECIFIED = "SOURCE_UNSPECIFIED"
    UPLOADED = "UPLOADED"
    GENERATED = "GENERATED"
    REGISTERED = "REGISTERED"


@dataclass(repr=False, eq=False)
class File(Message):
    """A file of the Files API.

    :ivar name: the resource name, "files/…".
    :ivar uri: the URI for `FileData`.
    :ivar state: one of `FileState`.
    :ivar size_bytes: the size in bytes.
    :ivar sha256_hash: the digest in base64, as the server sends it.
    :ivar create_time: RFC 3339, as are ``update_time`` and ``expiration_time``.
    :ivar source: one of `FileSource`.
    :ivar video_metadata: only for a video, such as ``{"videoDuration": "12s"}``.
    :ivar error: the reason if the processing failed.
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
    """The reason why a file could not be processed, a ``google.rpc.Status``.

    :ivar code: a number of ``google.rpc.Code``, not an HTTP status.
    """

    message: Optional[str] = None
    code: Optional[int] = None
    details: Optional[List[Dict[str, Any]]] = None
    extra: Dict[str, Any] = field(default_factory=dict)
