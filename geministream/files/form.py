"""The upload of a complete file in one multipart form, for gateways without resumable uploads.

After a temporary failure the complete form is sent again.  If only the answer was lost, the
gateway then has the file twice.
"""

import uuid
from contextlib import ExitStack
from typing import Iterator, Optional, Union

from ..errors import GeministreamError
from ..transport import Call
from ..transport.resources import read_object, with_retries
from ..types import File
from .api import check_size, file_of
from .job import Job
from .source import Seekable, Stream


def upload_as_form(call: Call, source: Union[Seekable, Stream], job: Job, stack: ExitStack) -> File:
    """Upload a source in one request."""
    whole = source.on_disk(stack) if isinstance(source, Stream) else source
    form = _Form(whole, job)
    headers = {"Content-Type": f"multipart/form-data; boundary={form.boundary}"}
    url = call.endpoint.upload_url()

    def send() -> File:
        try:
            return file_of(read_object(call.send("POST", url, headers=headers, body=form)))
        except GeministreamError:
            if form.failure is not None:  # the fault is on this side of the connection
                raise form.failure from None
            raise

    return check_size(with_retries(call, send), whole.total)


class _Form:
    """A multipart/form-data body, https://www.rfc-editor.org/rfc/rfc7578

    It is an iterable and not a file, so that each repeated request, also those
    that `Call.send` repeats, starts from the beginning.

    :ivar failure: what the source or ``progress`` raised during the last request.
    """

    def __init__(self, source: Seekable, job: Job) -> None:
        self._source = source
        self._job = job
        self.boundary = uuid.uuid4().hex
        self.failure: Optional[Exception] = None
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
        try:
            while sent < total:
                piece = self._source.piece(sent, self._job.chunk_bytes)
                sent += len(piece)
                yield piece
                del piece  # before the next one is read
                self._job.progress(sent, total)
        except Exception as error:
            self.failure = error
            raise
        yield self._tail
