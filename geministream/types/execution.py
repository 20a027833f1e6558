"""Parts of an answer that report code and tools that the server ran itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

from .codec import Message


class Language:
    """The language of code that the model wrote."""

    LANGUAGE_UNSPECIFIED = "LANGUAGE_UNSPECIFIED"
    PYTHON = "PYTHON"


class Outcome:
    """How the execution of code ended."""

    OUTCOME_UNSPECIFIED = "OUTCOME_UNSPECIFIED"
    OUTCOME_OK = "OUTCOME_OK"
    OUTCOME_FAILED = "OUTCOME_FAILED"
    OUTCOME_DEADLINE_EXCEEDED = "OUTCOME_DEADLINE_EXCEEDED"


class ToolType:
    """One of the server's own tools."""

    TOOL_TYPE_UNSPECIFIED = "TOOL_TYPE_UNSPECIFIED"
    GOOGLE_SEARCH_WEB = "GOOGLE_SEARCH_WEB"
    GOOGLE_SEARCH_IMAGE = "GOOGLE_SEARCH_IMAGE"
    URL_CONTEXT = "URL_CONTEXT"
    GOOGLE_MAPS = "GOOGLE_MAPS"
    FILE_SEARCH = "FILE_SEARCH"
    MEDIA_PROCESSING = "MEDIA_PROCESSING"


@dataclass(repr=False, eq=False)
class ExecutableCode(Message):
    """Code that the model wrote and the server runs.

    :ivar language: one of `Language`.
    """

    code: Optional[str] = None
    language: Optional[str] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class CodeExecutionResult(Message):
    """What running an `ExecutableCode` gave.

    :ivar output: standard output where it went well, else standard error or another text.
    :ivar outcome: one of `Outcome`.
    :ivar id: that of the code.
    """

    output: Optional[str] = None
    outcome: Optional[str] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ToolCall(Message):
    """A call of one of the server's own tools; it goes back with the turn as it came.

    :ivar tool_type: one of `ToolType`.
    """

    tool_type: Optional[str] = None
    args: Optional[Dict[str, Any]] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ToolResponse(Message):
    """What one of the server's own tools gave; it goes back with the turn as it came.

    :ivar tool_type: one of `ToolType`.
    :ivar id: that of the call.
    """

    tool_type: Optional[str] = None
    response: Optional[Dict[str, Any]] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
