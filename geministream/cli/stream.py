"""``geministream stream``: one question, and its answer as it arrives."""

import argparse
import sys
from typing import Any

from ..errors import ConfigurationError
from ..parts import LARGEST_INLINE
from ..stream import stream_generate
from .answer import Answer, show_answer
from .progress import telling
from .request import attachment, generation_config, inline_bytes, media_directory, open_endpoint, piped_text
from .terminal import prepare_streams


def run(args: argparse.Namespace) -> int:
    """Ask, show the answer, and return the exit status."""
    if args.json:
        prepare_streams(utf8=True)
    texts = [" ".join(args.prompt), piped_text(sys.stdin)]
    prompt = "\n\n".join(text for text in texts if text.strip())
    if not prompt and not args.file:
        raise ConfigurationError(
            "there is nothing to send; give a prompt, pipe one in, or attach a file with -f"
        )
    config = generation_config(args)
    media = media_directory(args)
    with open_endpoint(args) as endpoint:
        contents: Any = []
        for name in args.file:
            room = LARGEST_INLINE - inline_bytes(contents)
            contents.append(
                attachment(name, endpoint, mime_type=args.mime_type, upload=args.upload, room=room)
            )
        if prompt:
            contents.append(prompt)  # Google's advice: media before the text that is about them
        answer = Answer(
            as_json=args.json,
            thoughts=args.thoughts,
            usage=args.usage,
            media=media,
            whole=args.strict or args.schema is not None,
        )
        chunks = stream_generate(
            args.model,
            contents,
            system_instruction=args.system,
            generation_config=config,
            alt=args.alt,
            deadline=args.deadline,
            endpoint=telling(endpoint, answer.on_retry),
        )
        return show_answer(answer, chunks, usage=args.usage)
