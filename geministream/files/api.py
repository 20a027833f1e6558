"""What all requests to the Files API share: the endpoint, names of files, and files in answers."""

import re
from typing import Any, Dict, Optional, Union
from urllib.parse import quote, unquote

from ..cancel import Cancel, check_limits
from ..endpoint import Endpoint, resolve
from ..errors import ConfigurationError, FileProcessingError, StreamDecodeError
from ..types import File
from ..types.codec import shorten


def files_endpoint(
    endpoint: Union[None, str, Endpoint], api_key: Optional[str], cancel: Optional[Cancel]
) -> Endpoint:
    """Resolve the endpoint that a caller gave, and check that it has a Files API.

    :raises ConfigurationError: if it has none, or if ``cancel`` is not a `Cancel`.
    """
    resolved = resolve(endpoint, api_key)
    check_limits(None, cancel)
    if resolved.is_vertex:
        raise ConfigurationError(
            "Vertex AI has no Files API; put the file into Cloud Storage and use part_from_uri('gs://…')"
        )
    return resolved


# Names -----------------------------------------------------------------------------


def file_id(name: Union[str, File]) -> str:
    """Return what follows ``files/`` in a file's name or URI."""
    given = (name.name or name.uri) if isinstance(name, File) else name
    found = given.strip() if isinstance(given, str) else ""
    if "://" in found:
        # A download URI ends with ":download".
        uri = re.fullmatch(r"[^?#]*/files/([^/?#:]+)(:[^/]*)?([?#].*)?", found)
        found = unquote(uri.group(1)) if uri else ""
    elif found.startswith("files/"):
        found = found[len("files/") :]
    if not re.fullmatch(r"[^\s/?#\\\x00-\x1f\ud800-\udfff]+", found) or found in (".", ".."):
        raise ConfigurationError(f"{shorten(name)} is not a valid file name, such as 'files/abc-123'")
    return found


def file_url(endpoint: Endpoint, name: Union[str, File]) -> str:
    """Return the URL of a file's metadata."""
    return endpoint.url(f"files/{quote(file_id(name), safe='')}")


# Answers ---------------------------------------------------------------------------


def file_of(answer: Dict[str, Any]) -> File:
    """Return the file of an answer, which some servers wrap as ``{"file": …}``."""
    fields = answer.get("file", answer)
    if not isinstance(fields, dict) or not fields:
        raise StreamDecodeError("the answer contains no file; check that the endpoint has a Files API")
    return File.from_dict(fields)


def check_size(file: File, total: int) -> File:
    """Return an uploaded file, unless the server reports another size than the source has."""
    size = file.size_bytes
    if isinstance(size, int) and size and size != total:
        raise FileProcessingError(
            f"the server has {size} bytes of {total}; delete {file.name} and upload it again", file=file
        )
    return file
