"""Streams from Gemini's ``streamGenerateContent``, wherever it is served.

>>> from geministream import stream_generate
>>> for chunk in stream_generate("gemini-2.5-flash", "Hello"):    # doctest: +SKIP
...     print(chunk.text, end="")

What streaming needs is imported at once; everything else on first use.
"""

import importlib as _importlib  # with an underscore, so that completion offers the public API alone
import typing as _typing

from . import types
from ._version import __version__
from .cancel import Cancel
from .endpoint import Endpoint, Retry, RetryEvent
from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ConfigurationError,
    FileProcessingError,
    FunctionCallLimitError,
    GeministreamError,
    IncompleteStreamError,
    InsecureEndpointWarning,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamCancelled,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
)
from .parts import part_from_bytes, part_from_path, part_from_uri, to_contents
from .stream import stream_generate

if _typing.TYPE_CHECKING:
    from .batch import BatchResult as BatchResult
    from .batch import generate_many as generate_many
    from .chat import Chat as Chat
    from .files import delete_file as delete_file
    from .files import get_file as get_file
    from .files import list_files as list_files
    from .files import upload_file as upload_file
    from .files import wait_for_file as wait_for_file
    from .merging import collect as collect
    from .structured import iter_items as iter_items
    from .structured import json_schema as json_schema
    from .structured import parse as parse
    from .tools.functions import function_declaration as function_declaration
    from .types import *

# Where the names live that are imported on first use; the messages of the wire
# are looked for in `types` last.
_ROOMS = {
    "collect": "merging",
    "Chat": "chat",
    "BatchResult": "batch",
    "generate_many": "batch",
    "upload_file": "files",
    "get_file": "files",
    "list_files": "files",
    "delete_file": "files",
    "wait_for_file": "files",
    "function_declaration": "tools.functions",
    "json_schema": "structured",
    "parse": "structured",
    "iter_items": "structured",
}

__all__ = [
    "__version__",
    "Endpoint",
    "Retry",
    "RetryEvent",
    "Cancel",
    "stream_generate",
    "collect",
    "part_from_path",
    "part_from_bytes",
    "part_from_uri",
    "to_contents",
    "GeministreamError",
    "APIError",
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "RateLimitError",
    "ServerError",
    "TransportError",
    "IncompleteStreamError",
    "StreamTimeoutError",
    "StreamDecodeError",
    "StreamCancelled",
    "BlockedError",
    "FileProcessingError",
    "FunctionCallLimitError",
    "ConfigurationError",
    "InsecureEndpointWarning",
    "Chat",
    "BatchResult",
    "generate_many",
    "upload_file",
    "get_file",
    "list_files",
    "delete_file",
    "wait_for_file",
    "function_declaration",
    "json_schema",
    "parse",
    "iter_items",
]
__all__ += types.__all__

if not _typing.TYPE_CHECKING:  # a type checker shall know what is not there

    def __getattr__(name: str) -> _typing.Any:
        if name in _ROOMS:
            value = getattr(_importlib.import_module(f".{_ROOMS[name]}", __name__), name)
        elif name in types.__all__:
            value = getattr(types, name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> _typing.List[str]:
    return sorted({*__all__, "types", *(name for name in globals() if name.startswith("__"))})
