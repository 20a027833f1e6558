"""Parts of an answer about code and tools that the server ran."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

from .codec import Message


class Language:
    """The language of code that the model wrote."""

    LANGUAGE_UNSPECIFIED = "LANGUAGE_UNSPECIFIED"
    PYTHON = "PYTHON"


class Outcome:
    """The outcome of running code."""

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
    """The result of running an `ExecutableCode`.

    :ivar output: standard output if the code succeeded, else standard error or another text.
    :ivar outcome: one of `Outcome`.
    :ivar id: the id of the code.
    """

    output: Optional[str] = None
    outcome: Optional[str] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ToolCall(Message):
    """A call of one of the server's own tools; it must be sent back unchanged with its turn.

    :ivar tool_type: one of `ToolType`.
    """

    tool_type: Optional[str] = None
    args: Optional[Dict[str, Any]] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ToolResponse(Message):
    """The result of one of the server's own tools; it must be sent back unchanged with its turn.

    :ivar tool_type: one of `ToolType`.
    :ivar id: the id of the call.
    """

    tool_type: Optional[str] = None
    response: Optional[Dict[str, Any]] = None
    id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
