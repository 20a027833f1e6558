"""``geministream models``: list the models of the server."""

import argparse

from ..models import list_models
from ..types import Model
from .request import open_endpoint
from .status import DONE
from .terminal import json_line, prepare_streams, print_out, row
from .waiting import waiting

_WIDTHS = (36, -9, -9, 0)


def run(args: argparse.Namespace) -> int:
    """Print a line for each model, and return the exit status."""
    with open_endpoint(args) as endpoint, waiting(endpoint) as endpoint:
        models = list(list_models(endpoint=endpoint))
    if args.json:
        prepare_streams(utf8=True)
    else:
        print_out(row(["NAME", "INPUT", "OUTPUT", "DISPLAY NAME"], _WIDTHS))
    for model in models:
        print_out(json_line(model.to_dict()) if args.json else _as_line(model))
    return DONE


def _as_line(model: Model) -> str:
    """The name for ``-m``, the token limits of a prompt and of an answer, and the display name."""
    name = str(model.name or "-")
    name = name[len("models/") :] if name.startswith("models/") else name
    return row([name, model.input_token_limit, model.output_token_limit, model.display_name], _WIDTHS)
