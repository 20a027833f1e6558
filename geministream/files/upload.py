"""`upload_file`: checks its arguments, opens the source and picks the protocol."""

from contextlib import ExitStack
from typing import Optional, Union

from ..cancel import Cancel
from ..endpoint import Endpoint
from ..transport import Call
from ..types import File
from .api import files_endpoint
from .form import upload_as_form
from .job import Job, Progress
from .resumable import upload_in_pieces
from .source import Source, open_source


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
    """Upload a file, retrying as needed, and return its metadata.

    A video is still ``PROCESSING`` then; see `wait_for_file`.

    :param source: a path; a binary file object, read from its position to its end
        and left open; or bytes.  A file object that cannot seek is read once: in
        pieces as they are sent, or, for a form, to a temporary file.
    :param mime_type: such as ``"video/mp4"``; None guesses it from the file's name.
    :param display_name: any text of up to 512 characters; None takes the file's name.
    :param name: the resource name to assign, such as ``"files/my-video"``; None lets
        the server choose.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param chunk_bytes: the size of a piece in bytes, rounded to what the server
        demands; up to two pieces are in memory.
    :param progress: called as ``progress(sent, total)``, both in bytes, after each
        piece.  ``total`` is None until it is known; ``sent`` falls if the upload has
        to start over.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the call from another thread.
    :raises ConfigurationError: before any request: if the source is missing, empty or
        not binary, or an argument is not valid.  Later: if the source can no longer
        be read, or its size changed during the upload.
    :raises FileProcessingError: if the server reports another size than the source has.
    :raises GeministreamError: if the upload fails, also after its retries.

    >>> file = upload_file("talk.mp3")                                    # doctest: +SKIP
    >>> for chunk in stream_generate("gemini-2.5-flash", ["Sum it up", file]):   # doctest: +SKIP
    ...     print(chunk.text, end="")
    """
    endpoint = files_endpoint(endpoint, api_key, cancel)
    job = Job(source, mime_type, display_name, name, chunk_bytes, progress)
    with Call(endpoint, cancel=cancel) as call, ExitStack() as stack:
        readable = open_source(source, call.patience.check, stack)
        if endpoint.upload_protocol == "multipart":
            return upload_as_form(call, readable, job, stack)
        return upload_in_pieces(call, readable, job)
