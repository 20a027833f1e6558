"""Conversations in files: written by ``/save``, read by ``/load``."""

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from ..depth import loads
from ..errors import ConfigurationError
from ..parts import to_contents
from ..types import Content, Part
from .disk import replacing
from .status import reason_of


@dataclass
class Saved:
    """A conversation as saved in a file, in the form of a request."""

    contents: List[Content]
    system: Optional[str] = None
    model: Optional[str] = None


def write_conversation(path: str, saved: Saved) -> None:
    """Save a conversation.

    :raises ConfigurationError: if the file cannot be written.
    """
    fields: Dict[str, Any] = {"model": saved.model}
    if saved.system is not None:
        fields["systemInstruction"] = {"parts": [{"text": saved.system}]}
    fields["contents"] = [content.to_dict() for content in saved.contents]
    try:
        with replacing(path) as file:
            file.write(json.dumps(fields, indent=1).encode("ascii") + b"\n")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be written: {reason_of(error)}") from error


def read_conversation(path: str) -> Saved:
    """Read a saved conversation, or any list of contents.

    :raises ConfigurationError: if the file does not contain one.
    """
    try:
        with open(path, "rb") as file:
            saved = loads(file.read())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}; name a saved conversation"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not a saved conversation: {error}") from error
    contents = saved.get("contents") if isinstance(saved, dict) else saved
    if not isinstance(contents, list) or not all(map(_is_content, contents)):
        raise ConfigurationError(
            f"{path} is not a saved conversation: it does not contain a list of contents"
        )
    system = saved.get("systemInstruction") if isinstance(saved, dict) else None
    text = None
    if system is not None:
        if not _is_content(system):
            raise ConfigurationError(
                f"{path} is not a saved conversation: its systemInstruction is not valid"
            )
        text = "\n".join(part.text for part in Content.from_dict(system).parts or () if part.text)
    model = saved.get("model") if isinstance(saved, dict) else None
    if model is not None and not isinstance(model, str):
        raise ConfigurationError(f"{path} is not a saved conversation: its model is not a string")
    return Saved(to_contents(contents) if contents else [], text, model)


def _is_content(value: Any) -> bool:
    """Whether a JSON value is a content in the fields that are used here; `Content` takes any value."""
    if not isinstance(value, dict) or not value.keys() & {"role", "parts"}:
        return False
    content = Content.from_dict(value)
    parts = [] if content.parts is None else content.parts
    return (
        isinstance(content.role, (str, type(None)))
        and isinstance(parts, list)
        and all(isinstance(part, Part) and isinstance(part.text, (str, type(None))) for part in parts)
    )
