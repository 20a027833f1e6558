"""Uploads that fail: each fault occurs once, at a byte of the file or of a piece."""

from __future__ import annotations

import threading
from typing import List, NamedTuple, Optional, Tuple, Union

from .answers import Answer

FAULTS = ("reset", "drop", "stall", "drop_answer", "gone")


class UploadFault(NamedTuple):
    """A fault of an upload, which occurs once; see `LocalServer.fail_upload`."""

    how: Union[str, int]
    piece: Union[None, int, str]
    at: Optional[int]
    after_bytes: int

    def __str__(self) -> str:
        place = f"byte {self.at}" if self.at is not None else f"piece {self.piece}, byte {self.after_bytes}"
        return f"{self.how} at {place} of the upload"

    def strike(self) -> Answer:
        """The answer when the fault occurs."""
        if self.how == "gone":
            return unknown_upload()
        if str(self.how).isdigit():
            return Answer.failure(int(self.how), transfer="length")
        return Answer.nothing("drop" if self.how == "drop_answer" else str(self.how))


class UploadFaults:
    """The pending faults of one server."""

    def __init__(self) -> None:
        self._faults: List[UploadFault] = []
        self._lock = threading.Lock()

    def add(self, fault: UploadFault) -> None:
        """Add a fault, which occurs once."""
        if fault.how not in FAULTS and not str(fault.how).isdigit():
            raise ValueError(f"how must be a status or one of {FAULTS}, got {fault.how!r}")
        if (fault.piece is None) == (fault.at is None):
            raise ValueError("pass either piece= or at=")
        with self._lock:
            self._faults.append(fault)

    def next_in(self, number: int, start: int, taken: int) -> Tuple[Optional[UploadFault], Optional[int]]:
        """The next fault of the `number`-th piece, and the number of its bytes before the fault.

        The piece begins at byte `start` of the file, and `taken` of its bytes were read.
        """
        found: List[Tuple[int, UploadFault]] = []
        with self._lock:
            for fault in self._faults:
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

    def take(self, fault: UploadFault) -> bool:
        """Use up a fault; False if another request already has."""
        with self._lock:
            if fault not in self._faults:
                return False
            self._faults.remove(fault)
            return True

    def take_command(self, command: str) -> Optional[UploadFault]:
        """Use up the fault of a "start", "query" or "form"."""
        with self._lock:
            for fault in self._faults:
                if fault.piece == command:
                    self._faults.remove(fault)
                    return fault
        return None

    def take_lost_answer(self, number: int, start: int, end: int) -> Optional[UploadFault]:
        """Use up the fault that drops the answer to a piece that arrived completely."""
        with self._lock:
            for fault in self._faults:
                if fault.how == "drop_answer" and (
                    fault.piece == number or (fault.at is not None and start <= fault.at <= end)
                ):
                    self._faults.remove(fault)
                    return fault
        return None


def unknown_upload() -> Answer:
    """The error for an upload that the server does not know."""
    return Answer.failure(404, "This upload does not exist.")
