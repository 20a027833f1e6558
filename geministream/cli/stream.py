"""``geministream stream``: send one prompt, and show the answer as it arrives."""

import argparse

from ..stream import stream_generate
from .answer import Answer, show_answer
from .generation import model_of, request_fields
from .progress import telling
from .prompt import contents_of, read_prompt
from .request import media_directory, open_endpoint
from .terminal import prepare_streams


def run(args: argparse.Namespace) -> int:
    """Send the prompt, show the answer, and return the exit status."""
    if args.json:
        prepare_streams(utf8=True)
    prompt = read_prompt(args)
    fields = request_fields(args)
    media = media_directory(args)
    with open_endpoint(args) as endpoint:
        contents = contents_of(args, prompt, endpoint)
        answer = Answer(
            as_json=args.json,
            thoughts=args.thoughts,
            usage=args.usage,
            media=media,
            complete=args.strict or args.schema is not None,
        )
        chunks = stream_generate(
            model_of(args),
            contents,
            alt=args.alt,
            deadline=args.deadline,
            endpoint=telling(endpoint, answer.on_retry),
            **fields,
        )
        return show_answer(answer, chunks, usage=args.usage)
