"""``geministream chat``: a conversation in the terminal.

================  ==============================================================
``lines``         input: editing, pastes, completion, lines of earlier sessions
``conversation``  messages and commands
``saved``         conversations in files
``editor``        messages that are written in an editor
================  ==============================================================
"""

import argparse
import sys
from contextlib import ExitStack
from typing import Optional

from ..chat import Chat
from ..errors import GeministreamError
from .conversation import WITH_PATHS, Conversation
from .generation import model_of, request_fields
from .lines import TypedLines, check_stdin, piped_lines, place_of_lines, read_message
from .progress import telling
from .request import media_directory, open_endpoint
from .status import DONE, INTERRUPTED, in_options, status_of
from .terminal import is_terminal, note, print_out


def run(args: argparse.Namespace) -> int:
    """Run a conversation until the end of stdin, and return the exit status."""
    fields = {**request_fields(args), "deadline": args.deadline}
    media = media_directory(args)
    with open_endpoint(args) as endpoint, ExitStack() as stack:
        conversation = Conversation(
            thoughts=args.thoughts, usage=args.usage, media=media, complete=args.strict
        )
        chat = Chat(model_of(args), endpoint=telling(endpoint, conversation.on_retry), **fields)
        conversation.chat = stack.enter_context(chat)
        if args.load is not None:
            conversation.load(args.load)
            if args.model is not None:
                chat.model = args.model
            if args.system is not None:
                chat.request_fields["system_instruction"] = args.system
        return _converse(conversation, None if args.no_history else place_of_lines())


def _converse(conversation: Conversation, kept: Optional[str]) -> int:
    """Read messages and commands, and handle each.

    At a terminal the conversation continues after a failure; with piped lines it
    ends at the first failure.
    """
    check_stdin()
    at_terminal = is_terminal(sys.stdin)
    read, keep = piped_lines(), _keep_nothing
    if at_terminal:
        lines = TypedLines([*conversation.commands, "/quit"], WITH_PATHS, kept)
        read, keep = lines.read, lines.keep
        note("Type /help for commands, Ctrl-D to quit")
    while True:
        try:
            text = read_message(read, conversation.prompt)
        except KeyboardInterrupt:  # discard the line, as shells do
            print_out("\n")
            continue
        except EOFError:
            if at_terminal:
                print_out("\n")
            return DONE
        if not text.strip():
            continue
        keep(text)
        if "\n" not in text and text.split()[0] in ("/quit", "/exit"):
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


def _keep_nothing(text: str) -> None:
    """Piped lines are not kept for later sessions."""
