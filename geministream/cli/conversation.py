"""A conversation at the terminal: messages, and commands that begin with ``/``.

`Chat` keeps the conversation and its history; this module shows answers, and
remembers the last message for ``/retry``.
"""

import os
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ..chat import Chat
from ..errors import ConfigurationError
from ..parts import LARGEST_INLINE
from ..retry import RetryEvent
from ..types import Blob, Content, Part
from .answer import Answer, show_answer
from .editor import edited
from .prompt import attachment, inline_bytes
from .saved import Saved, read_conversation, write_conversation
from .status import DONE, nearest
from .terminal import note, one_line, print_out

HELP = """\
A line is a message, and so is a paste of several lines.  A line that ends with \\
continues in the next one; everything between two lines of \"\"\" is one message.
To begin a message with /, type //.

  /file PATH_OR_URI   attach a file to the next message
  /edit [TEXT]        write the next message in $VISUAL or $EDITOR
  /model [NAME]       show the model, or use another one
  /system [TEXT]      show the system instruction, or set it; /system - clears it
  /history            show the conversation
  /retry              send the last message again, in place of its answer
  /undo               remove pending attachments, else the last message
  /clear              start a new conversation
  /usage              show the tokens of the last answer, and the total
  /save FILE          save the conversation as JSON
  /load FILE          continue a saved conversation, with its model
  /help               show this
  /quit               quit, like Ctrl-D

Tab completes commands and paths.  Ctrl-C stops an answer; its message is then
not part of the conversation.
"""

# The commands that take the path of a file.
WITH_PATHS = ("/file", "/save", "/load")


class Conversation:
    """A `Chat`, and the last message.

    :ivar chat: the chat; it calls `on_retry` before each retry.
    """

    chat: Chat

    def __init__(self, *, thoughts: bool, usage: bool, media: Optional[Path], complete: bool) -> None:
        self._answer: Optional[Answer] = None  # the current one
        self._media = media
        self._complete = complete
        self._thoughts = thoughts
        self._usage = usage
        self._files: List[Any] = []  # attachments of the next message
        self._names: List[str] = []  # names of these attachments
        self._message: Optional[List[Any]] = None  # the last one
        self._answered = False  # whether it is part of the history
        self._last_usage = ""
        self._tokens = 0
        self.commands: Dict[str, Callable[[str], Optional[int]]] = {
            "/file": self._file,
            "/edit": self._edit,
            "/model": self._model,
            "/system": self._system,
            "/history": self._history,
            "/retry": self._retry,
            "/undo": self._undo,
            "/clear": self._clear,
            "/usage": self._show_usage,
            "/save": self.save,
            "/load": self.load,
            "/help": lambda rest: print_out(HELP),
        }

    @property
    def prompt(self) -> str:
        """The prompt before a message, with the attachments of that message."""
        if not self._names:
            return "> "
        return f"[{self._names[0] if len(self._names) == 1 else f'{len(self._names)} files'}] > "

    def do(self, text: str) -> int:
        """Send a message or run a command; return the exit status."""
        if "\n" in text or not text.startswith("/"):  # a command has one line; a paste may begin with a slash
            return self._say([*self._files, text])
        if text.startswith("//"):
            return self._say([*self._files, text[1:]])
        name, _, rest = text.strip().partition(" ")
        command = self.commands.get(name)
        if command is None:
            raise ConfigurationError(
                f"unknown command {name}{nearest(name, self.commands) or '; type /help'}"
            )
        return command(rest.strip()) or DONE

    def on_retry(self, event: RetryEvent) -> None:
        """Show why there is a wait."""
        if self._answer is not None:
            self._answer.on_retry(event)

    # Messages

    def _say(self, message: List[Any]) -> int:
        self._message, self._answered = message, False
        before = len(self.chat.history)
        answer = self._answer = Answer(
            thoughts=self._thoughts, usage=True, media=self._media, complete=self._complete
        )
        try:
            with closing(self.chat.send(message)) as chunks:
                self._forget_files()
                status = show_answer(answer, chunks, usage=self._usage)
        finally:
            self._answered = len(self.chat.history) > before
            self._last_usage = answer.usage
            self._tokens += answer.total_tokens
        if not self._answered and status == DONE:
            note("the message is not recorded; /retry sends it again")
        return status

    def _retry(self, rest: str) -> int:
        if self._message is None:
            last = _last_message(self.chat.history)
            if last is None:
                raise ConfigurationError("there is no message to send again")
            self._message, self._answered = list(self.chat.history[last].parts or []), True
        if not self._answered:
            return self._say(self._message)
        # The old answer is removed only when the new one is complete.
        history = self.chat.history
        taken = history[_last_message(history) :]
        del history[len(history) - len(taken) :]
        try:
            return self._say(self._message)
        finally:
            if not self._answered:
                history.extend(taken)
                self._answered = True

    def _undo(self, rest: str) -> None:
        if self._files:
            self._forget_files()
            note("pending attachments removed")
            return
        last = _last_message(self.chat.history)
        if last is None:
            raise ConfigurationError("there is nothing to undo")
        said = " ".join(part.text for part in self.chat.history[last].parts or () if part.text)
        del self.chat.history[last:]
        self._message = None
        note(f"removed: {said[:60]}{'...' if len(said) > 60 else ''}")

    def _file(self, rest: str) -> None:
        name = _unquoted(rest)
        if not name:
            raise ConfigurationError("/file takes a path or a URI, such as /file photo.jpg")
        sent = [part for content in self.chat.history for part in content.parts or ()]
        room = LARGEST_INLINE - inline_bytes([*sent, *self._files])
        self._files.append(attachment(os.path.expanduser(name), self.chat.endpoint, room=room))
        self._names.append(one_line(os.path.basename(name) or name))
        note(f"{name} will be sent with the next message")

    def _forget_files(self) -> None:
        self._files, self._names = [], []

    def _edit(self, rest: str) -> int:
        text = edited(rest)
        if not text.strip():
            note("the message is empty; it was not sent")
            return DONE
        return self._say([*self._files, text])

    # The conversation

    def _model(self, rest: str) -> None:
        if rest:
            self.chat.endpoint.model_path(rest)  # raises if the name is not valid
            self.chat.model = rest
        note(f"model: {self.chat.model}")

    def _system(self, rest: str) -> None:
        fields = self.chat.request_fields
        if rest:
            fields["system_instruction"] = None if rest == "-" else rest
            note("system instruction cleared" if rest == "-" else "system instruction set")
        elif fields.get("system_instruction"):
            print_out(f"{fields['system_instruction']}\n")
        else:
            note("there is no system instruction; set one with /system TEXT")

    def _history(self, rest: str) -> None:
        for content in self.chat.history:
            parts = [part for part in content.parts or () if isinstance(part, Part) and not part.thought]
            words = [part.text if isinstance(part.text, str) else f"[{kind_of(part)}]" for part in parts]
            print_out(f"{content.role or 'user'}: {' '.join(words)}\n")
        if not self.chat.history:
            note("the conversation is empty")

    def _clear(self, rest: str) -> None:
        self._forget_files()
        del self.chat.history[:]
        self._message = None
        note("conversation cleared; the model and the system instruction stay")

    def _show_usage(self, rest: str) -> None:
        note(f"last answer: {self._last_usage or 'not known'}; total: {self._tokens} tokens")

    def save(self, rest: str) -> None:
        """Save the conversation."""
        path = os.path.expanduser(_unquoted(rest))
        if not path:
            raise ConfigurationError("/save takes the path of a file, such as /save talk.json")
        if os.path.exists(path):
            if not os.path.isfile(path):
                raise ConfigurationError(f"{path} is not a regular file; choose another name")
            read_conversation(path)  # replaces only a saved conversation
        system = self.chat.request_fields.get("system_instruction")
        write_conversation(path, Saved(self.chat.history, system, self.chat.model))
        note(f"saved {len(self.chat.history)} contents to {path}")

    def load(self, rest: str) -> None:
        """Continue a saved conversation, or any list of contents."""
        path = os.path.expanduser(_unquoted(rest))
        if not path:
            raise ConfigurationError("/load takes the path of a file, such as /load talk.json")
        saved = read_conversation(path)
        if saved.model is not None:
            self.chat.endpoint.model_path(saved.model)  # raises if the name is not valid
            self.chat.model = saved.model
        self.chat.history[:] = saved.contents
        if saved.system is not None:
            self.chat.request_fields["system_instruction"] = saved.system
        self._message = None
        of_model = f" of {saved.model}" if saved.model else ""
        note(f"loaded {len(saved.contents)} contents{of_model} from {path}")


def _last_message(history: List[Content]) -> Optional[int]:
    """The index of the last message of the user, which is not a function response."""
    for index in range(len(history) - 1, -1, -1):
        parts = [part for part in history[index].parts or () if isinstance(part, Part)]
        if history[index].role == "user" and any(part.function_response is None for part in parts):
            return index
    return None


def kind_of(part: Part) -> str:
    """Describe a part without text: by its MIME type, or the name of its field."""
    if isinstance(part.inline_data, Blob):
        return str(part.inline_data.mime_type)
    return next((name for name in part.to_dict() if name not in ("thought", "thoughtSignature")), "nothing")


def _unquoted(path: str) -> str:
    """A typed or pasted path, without quotes around it."""
    path = path.strip()
    return path[1:-1] if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"" else path
