"""``geministream chat``: a conversation in the terminal.

A line is a message, or a command where it begins with ``/``.  The conversation
itself, and what belongs into its history, is `Chat`'s business; this room reads
lines, shows answers, and remembers what was said last, for ``/retry``.
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ..chat import Chat
from ..errors import ConfigurationError, GeministreamError
from ..parts import LARGEST_INLINE, to_contents
from ..retry import RetryEvent
from ..types import Content, Part
from .answer import Answer, show_answer
from .disk import replacing
from .generation import model_of, request_fields
from .progress import telling
from .prompt import attachment, inline_bytes
from .request import media_directory, open_endpoint
from .status import DONE, INTERRUPTED, in_options, nearest, reason_of, status_of
from .terminal import is_terminal, note, print_out

HELP = """\
A line is a message.  One that ends with \\ goes on in the next line; between two
lines of \"\"\" everything is one message.  One that begins with // begins with /.

  /file PATH_OR_URI   send a file along with the next message
  /system [TEXT]      set the system instruction, or take it away
  /retry              send the last message again, in place of its answer
  /undo               take back the files that wait, or else the last message
  /usage              tell the tokens of the last answer, and of all
  /save FILE          save the conversation as JSON
  /load FILE          go on with a conversation that was saved
  /help               this
  /quit               leave, as Ctrl-D does

Ctrl-C stops an answer; its message is then not part of the conversation.
"""


def run(args: argparse.Namespace) -> int:
    """Converse until the end of stdin, and return the exit status."""
    fields = {**request_fields(args), "deadline": args.deadline}
    media = media_directory(args)
    with open_endpoint(args) as endpoint, ExitStack() as stack:
        conversation = _Conversation(thoughts=args.thoughts, usage=args.usage, media=media, whole=args.strict)
        chat = Chat(model_of(args), endpoint=telling(endpoint, conversation.on_retry), **fields)
        conversation.chat = stack.enter_context(chat)
        if args.load is not None:
            conversation.load(args.load)
            if args.system is not None:
                chat.request_fields["system_instruction"] = args.system
        return _converse(conversation)


def _converse(conversation: "_Conversation") -> int:
    """Read lines and do what they say.

    At a terminal a failure is told and the conversation goes on; a script that
    pipes its lines in ends with the first one.
    """
    at_terminal = is_terminal(sys.stdin)
    read = _reader(at_terminal)
    if at_terminal:
        note("Type /help for commands, Ctrl-D to quit")
    while True:
        try:
            text = read_message(read)
        except KeyboardInterrupt:  # forget the line, as shells do
            print_out("\n")
            continue
        except EOFError:
            if at_terminal:
                print_out("\n")
            return DONE
        if not text.strip():
            continue
        if text.strip() in ("/quit", "/exit"):
            return DONE
        try:
            status = conversation.do(text)
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            status = INTERRUPTED
            note("stopped; /retry sends the message again")
        except GeministreamError as error:
            note(in_options(error))
            status = status_of(error)
        if status != DONE and not at_terminal:
            return status


def _reader(at_terminal: bool) -> Callable[[str], str]:
    """What reads a line, given its prompt; EOFError at the end."""
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed; there is nothing to read from")
    if not at_terminal:

        def read(prompt: str) -> str:
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\r\n")

        return read
    try:
        import readline  # noqa: F401  (from now on input() can edit lines and knows those before)
    except ImportError:
        pass  # Windows: its console can do both
    return input


def read_message(read: Callable[[str], str]) -> str:
    """Read one message, which may take several lines.

    :param read: returns a line, given the prompt to show; raises EOFError at the end.
    """
    line = read("> ")
    lines: List[str] = []
    try:
        if line.strip() == '"""':
            line = read(". ")
            while line.strip() != '"""':
                lines.append(line)
                line = read(". ")
            return "\n".join(lines)
        while line.endswith("\\") and not line.startswith("/"):  # a path of Windows may end so
            lines.append(line[:-1])
            line = read(". ")
        return "\n".join([*lines, line])
    except EOFError:
        return "\n".join(lines)  # what was begun is a message too; the next call finds the end


class _Conversation:
    """A `Chat`, and what was said last.

    :ivar chat: the chat; it tells `on_retry` of its retries.
    """

    chat: Chat

    def __init__(self, *, thoughts: bool, usage: bool, media: Optional[Path], whole: bool) -> None:
        self._answer: Optional[Answer] = None  # the one under way
        self._media = media
        self._whole = whole
        self._thoughts = thoughts
        self._usage = usage
        self._files: List[Any] = []  # that wait for the next message
        self._message: Optional[List[Any]] = None  # the last one
        self._answered = False  # whether it is part of the history
        self._last_usage = ""
        self._tokens = 0
        self._commands: Dict[str, Callable[[str], Optional[int]]] = {
            "/file": self._file,
            "/system": self._system,
            "/retry": self._retry,
            "/undo": self._undo,
            "/usage": self._tell_usage,
            "/save": self.save,
            "/load": self.load,
            "/help": lambda rest: print_out(HELP),
        }

    def do(self, text: str) -> int:
        """Send a message or obey a command; the exit status of its answer."""
        if text.startswith("//"):
            return self._say([*self._files, text[1:]])
        if not text.startswith("/"):
            return self._say([*self._files, text])
        name, _, rest = text.strip().partition(" ")
        command = self._commands.get(name)
        if command is None:
            raise ConfigurationError(
                f"unknown command {name}{nearest(name, self._commands) or '; type /help'}"
            )
        return command(rest.strip()) or DONE

    def on_retry(self, event: RetryEvent) -> None:
        """Tell a person that there is a wait."""
        if self._answer is not None:
            self._answer.on_retry(event)

    # Messages

    def _say(self, message: List[Any]) -> int:
        self._message, self._answered = message, False
        before = len(self.chat.history)
        answer = self._answer = Answer(
            thoughts=self._thoughts, usage=True, media=self._media, whole=self._whole
        )
        try:
            with closing(self.chat.send(message)) as chunks:
                self._files = []
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
        # The answer that there is goes only when the new one is there.
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
            self._files = []
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
        note(f"{name} goes with the next message")

    # The conversation

    def _system(self, rest: str) -> None:
        self.chat.request_fields["system_instruction"] = rest or None
        note("system instruction set" if rest else "system instruction cleared")

    def _tell_usage(self, rest: str) -> None:
        note(f"last answer: {self._last_usage or 'not known'}; total: {self._tokens} tokens")

    def save(self, rest: str) -> None:
        """Save the conversation, as a request that one could send."""
        path = os.path.expanduser(_unquoted(rest))
        if not path:
            raise ConfigurationError("/save takes the path of a file, such as /save talk.json")
        if os.path.exists(path):
            if not os.path.isfile(path):
                raise ConfigurationError(f"{path} is not a regular file; give /save another name")
            _read_conversation(path)  # only a conversation is replaced
        saved: Dict[str, Any] = {"model": self.chat.model}
        system = self.chat.request_fields.get("system_instruction")
        if system is not None:
            saved["systemInstruction"] = {"parts": [{"text": system}]}
        saved["contents"] = [content.to_dict() for content in self.chat.history]
        try:
            with replacing(path) as file:
                file.write(json.dumps(saved, indent=1).encode("ascii") + b"\n")
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"{path} cannot be written: {reason_of(error)}") from error
        note(f"saved {len(self.chat.history)} contents to {path}")

    def load(self, rest: str) -> None:
        """Go on with a conversation that was saved, or with any list of contents."""
        path = os.path.expanduser(_unquoted(rest))
        if not path:
            raise ConfigurationError("/load takes the path of a file, such as /load talk.json")
        contents, system = _read_conversation(path)
        self.chat.history[:] = contents
        if system is not None:
            self.chat.request_fields["system_instruction"] = system
        self._message = None
        note(f"loaded {len(contents)} contents from {path}")


def _last_message(history: List[Content]) -> Optional[int]:
    """Where the last turn begins: with what the user said, not with what functions gave back."""
    for index in range(len(history) - 1, -1, -1):
        parts = [part for part in history[index].parts or () if isinstance(part, Part)]
        if history[index].role == "user" and any(part.function_response is None for part in parts):
            return index
    return None


def _read_conversation(path: str) -> "tuple[List[Content], Optional[str]]":
    """The contents of a saved conversation, and its system instruction."""
    try:
        with open(path, "rb") as file:
            saved = json.loads(file.read())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}; name a saved conversation"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not a saved conversation: {error}") from error
    contents = saved.get("contents") if isinstance(saved, dict) else saved
    if not isinstance(contents, list) or not all(map(_is_content, contents)):
        raise ConfigurationError(f"{path} is not a saved conversation: it holds no list of contents")
    system = saved.get("systemInstruction") if isinstance(saved, dict) else None
    text = None
    if system is not None:
        if not _is_content(system):
            raise ConfigurationError(
                f"{path} is not a saved conversation: its systemInstruction is not valid"
            )
        text = "\n".join(part.text for part in Content.from_dict(system).parts or () if part.text)
    return to_contents(contents) if contents else [], text


def _is_content(value: Any) -> bool:
    """Whether a JSON value is a content, in all that this room looks at; `Content` takes any value."""
    if not isinstance(value, dict) or not value.keys() & {"role", "parts"}:
        return False
    content = Content.from_dict(value)
    parts = [] if content.parts is None else content.parts
    return (
        isinstance(content.role, (str, type(None)))
        and isinstance(parts, list)
        and all(isinstance(part, Part) and isinstance(part.text, (str, type(None))) for part in parts)
    )


def _unquoted(path: str) -> str:
    """A path as people type or paste it: perhaps in quotes."""
    path = path.strip()
    return path[1:-1] if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"" else path
