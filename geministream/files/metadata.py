"""Files that are on the server already: look them up, list them, delete them, wait for them."""

from typing import Iterator, List, Optional, Union

from ..cancel import Cancel
from ..endpoint import Endpoint
from ..errors import ConfigurationError, FileProcessingError, NotFoundError, StreamTimeoutError
from ..retry import check_seconds
from ..transport import Call
from ..transport.resources import get_object, pages, read_object, with_retries
from ..types import File
from .api import file_id, file_of, file_url, files_endpoint


def get_file(
    name: Union[str, File],
    *,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> File:
    """Return a file's metadata.

    :param name: ``"files/abc"``, ``"abc"``, the file's URI, or a `File`.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param cancel: a `Cancel`.
    :raises NotFoundError, PermissionDeniedError: if the file does not exist; Google returns 403.
    :raises ConfigurationError: if an argument is not valid, or the endpoint has no Files API.
    :raises GeministreamError: if the request fails, also after its retries.

    >>> get_file("files/abc").state    # doctest: +SKIP
    'ACTIVE'
    """
    endpoint = files_endpoint(endpoint, api_key, cancel)
    url = file_url(endpoint, name)
    with Call(endpoint, cancel=cancel) as call:
        return file_of(get_object(call, url))


def list_files(
    *,
    page_size: int = 100,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> Iterator[File]:
    """Yield all files of the key; a page is requested when the loop reaches it.

    The arguments are checked at the call; the first request is sent at the first ``next()``.

    :param page_size: files in one request; Google allows 1 to 100.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param cancel: a `Cancel`.
    :returns: a generator of `File`.
    :raises ConfigurationError: at the call, if an argument is not valid, or the endpoint has
        no Files API.
    :raises GeministreamError: from the generator, if a request fails, also after its retries.

    >>> for file in list_files():    # doctest: +SKIP
    ...     print(file.name, file.state)
    """
    endpoint = files_endpoint(endpoint, api_key, cancel)
    if isinstance(page_size, bool) or not isinstance(page_size, int) or page_size < 1:
        raise ConfigurationError(f"page_size= must be an integer >= 1, got {page_size!r}")
    return _pages(endpoint, page_size, cancel)


def _pages(endpoint: Endpoint, page_size: int, cancel: Optional[Cancel]) -> Iterator[File]:
    with Call(endpoint, cancel=cancel) as call:
        for page in pages(call, lambda params: endpoint.url("files", params), page_size):
            files = page.get("files")
            for fields in files if isinstance(files, list) else ():
                yield File.from_dict(fields)


def delete_file(
    name: Union[str, File],
    *,
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    cancel: Optional[Cancel] = None,
) -> None:
    """Delete a file on the server, which otherwise expires after 48 hours.

    :param name: ``"files/abc"``, ``"abc"``, the file's URI, or a `File`.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param cancel: a `Cancel`.
    :raises NotFoundError, PermissionDeniedError: if the file does not exist; Google returns 403.
    :raises ConfigurationError: if an argument is not valid, or the endpoint has no Files API.
    :raises GeministreamError: if the request fails, also after its retries.

    >>> delete_file("files/abc")    # doctest: +SKIP
    """
    endpoint = files_endpoint(endpoint, api_key, cancel)
    url = file_url(endpoint, name)
    attempts: List[str] = []
    with Call(endpoint, cancel=cancel) as call:

        def delete() -> None:
            attempts.append(url)
            read_object(call.send("DELETE", url))

        try:
            with_retries(call, delete)
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
    """Wait until the server has processed a file, and return its metadata.

    A `File` whose state is not ``PROCESSING`` is returned immediately, without a request.

    :param file: a `File` as `upload_file` returns it, or its name or URI.
    :param timeout: seconds in total; None waits forever.
    :param interval: seconds between two requests.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param cancel: a `Cancel`.
    :raises FileProcessingError: if the processing failed, with the server's reason;
        its ``file`` is the `File`.
    :raises StreamTimeoutError: if the file is not ready after ``timeout`` seconds.
    :raises ConfigurationError: if an argument is not valid, or the endpoint has no Files API.
    :raises GeministreamError: if a request fails, also after its retries.

    >>> video = wait_for_file(upload_file("clip.mp4"))    # doctest: +SKIP
    """
    endpoint = files_endpoint(endpoint, api_key, cancel)
    if timeout is not None:
        check_seconds("timeout", timeout)
    check_seconds("interval", interval)
    url = file_url(endpoint, file)
    if not isinstance(file, File) or file.state == "PROCESSING":
        with Call(endpoint, deadline=timeout, cancel=cancel) as call:
            try:
                file = _wait(call, url, interval)
            except StreamTimeoutError as error:
                raise StreamTimeoutError(
                    f"files/{file_id(file)} is not ready yet ({error}); "
                    "call wait_for_file() again, or raise timeout="
                ) from error
    if file.state == "FAILED":
        reason = getattr(file.error, "message", None) or "the server gave no reason"
        raise FileProcessingError(f"the server could not process {file.name}: {reason}", file=file)
    return file


def _wait(call: Call, url: str, interval: float) -> File:
    """Ask for the file every ``interval`` seconds until it is processed or the call's deadline passes."""
    last = False
    while True:
        file = file_of(get_object(call, url))
        if file.state != "PROCESSING":
            return file
        if last:
            raise StreamTimeoutError(f"{call.patience.deadline:g} s were not enough")
        left = call.patience.left(interval)
        assert left is not None
        # If less than an interval is left, send the last request shortly before the deadline.
        last = left < interval
        call.patience.sleep(0.8 * left if last else interval)
