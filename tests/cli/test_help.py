"""The command line: the help of each command."""

import re
import shlex

import pytest
from support import program

from geministream.cli.arguments import make_parser

here = program.here


def all_parsers():
    """Each command line that has a help: ``"files list"`` to its parser."""
    parser, commands = make_parser()
    found = {"": parser, **commands}
    for action in commands["files"]._subparsers._group_actions:
        found.update({f"files {name}": each for name, each in action.choices.items()})
    return found


@pytest.mark.parametrize("name", all_parsers())
@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_fits_80_columns_and_has_an_example(here, name, columns):
    result = here(*name.split(), "--help", env={"COLUMNS": columns})
    assert result.status == 0
    assert [line for line in result.out.splitlines() if len(line) > 80] == []
    assert re.search(rf"^examples?:\n  .*geministream {name}", result.out, re.MULTILINE)


def parsed(words):
    parser, commands = make_parser()
    if words[0] in ("stream", "count"):
        return commands[words[0]].parse_intermixed_args(words[1:])
    return parser.parse_args(words)


@pytest.mark.parametrize("name", all_parsers())
def test_the_examples_are_valid(name):
    examples = re.findall(r"^  (?:.*\| )?geministream (.*)$", all_parsers()[name].epilog, re.MULTILINE)
    assert examples
    for example in examples:
        assert parsed(shlex.split(example))
