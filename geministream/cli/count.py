"""``geministream count``: count the tokens of a request."""

import argparse

from ..models import count_tokens
from .generation import model_of, request_fields
from .prompt import contents_of, read_prompt
from .request import open_endpoint
from .status import DONE
from .terminal import json_line, prepare_streams, print_out
from .waiting import waiting


def run(args: argparse.Namespace) -> int:
    """Print the number of tokens, and return the exit status."""
    prompt = read_prompt(args)
    fields = request_fields(args)
    with open_endpoint(args) as endpoint:
        contents = contents_of(args, prompt, endpoint)
        with waiting(endpoint) as endpoint:
            counted = count_tokens(
                model_of(args), contents, endpoint=endpoint, deadline=args.deadline, **fields
            )
    if args.json:
        prepare_streams(utf8=True)
        print_out(json_line(counted.to_dict()))
    else:
        print_out(f"{counted.total_tokens or 0}\n")
    return DONE
