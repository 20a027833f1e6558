"""Write a message in the user's editor."""

import os
import shlex
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from typing import Iterator

from ..errors import ConfigurationError
from .status import reason_of


def edited(text: str) -> str:
    """Let the user edit the text, and return the result without trailing line ends.

    :raises ConfigurationError: if there is no editor, or it fails.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    with tempfile.TemporaryDirectory() as folder:  # readable only by its owner
        path = os.path.join(folder, "message.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            command = [*shlex.split(editor, posix=os.name != "nt"), path]
            with _ctrl_c_is_the_editors():
                status = subprocess.call(command)
            with open(path, encoding="utf-8", errors="replace") as file:
                written = file.read()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"cannot run the editor {editor}: {reason_of(error)}; set EDITOR"
            ) from error
    if status != 0:
        raise ConfigurationError(f"the editor {editor} failed with status {status}; nothing was sent")
    return written.rstrip("\r\n")


@contextmanager
def _ctrl_c_is_the_editors() -> Iterator[None]:
    """Leave Ctrl-C to the editor.  The signal is not ignored here, because the editor would inherit that."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
