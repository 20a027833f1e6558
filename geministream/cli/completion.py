"""Scripts that let a shell complete commands and options, generated from the parsers."""

import argparse
from typing import Any, Dict, List, Tuple

SHELLS = ("bash", "zsh", "fish")

# The words before the one to complete, such as ("files", "list"), and the parser at that place.
_Parsers = Dict[Tuple[str, ...], argparse.ArgumentParser]


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell; its first line says how to install it."""
    parsers = _parsers(parser, ())
    made: str = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](parsers)
    return made


def _parsers(parser: argparse.ArgumentParser, words: Tuple[str, ...]) -> _Parsers:
    found: _Parsers = {words: parser}
    for name, each in _commands(parser).items():
        found.update(_parsers(each, (*words, name)))
    return found


def _commands(parser: argparse.ArgumentParser) -> Dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _options(parser: argparse.ArgumentParser) -> List[str]:
    return [name for action in parser._actions for name in action.option_strings if name.startswith("--")]


def _cases(parsers: _Parsers) -> str:
    """A case of bash and zsh for each place: the commands there, and the options."""
    lines = []
    for words, parser in sorted(parsers.items(), key=lambda item: -len(item[0])):
        pattern = " ".join(["geministream", *words])
        lines.append(
            f'        "{pattern} "*) commands="{" ".join(_commands(parser))}" '
            f'options="{" ".join(_options(parser))}" ;;'
        )
    return "\n".join(lines)


def _bash(parsers: _Parsers) -> str:
    return f"""\
# Put this in ~/.bashrc:  eval "$(geministream --completion bash)"
_geministream() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" commands options
    case "geministream ${{COMP_WORDS[*]:1:COMP_CWORD-1}} " in
{_cases(parsers)}
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "$commands" -- "$word")) ;;
    esac
}}
# Anything else is a path.
complete -o default -F _geministream geministream
"""


def _zsh(parsers: _Parsers) -> str:
    return f"""\
# Put this in ~/.zshrc, after compinit:  eval "$(geministream --completion zsh)"
_geministream() {{
    local word="${{words[CURRENT]}}" commands options
    case "geministream ${{words[2,CURRENT-1]}} " in
{_cases(parsers)}
    esac
    if [[ "$word" == -* ]]; then
        compadd -- ${{=options}}
    elif [[ -n "$commands" ]]; then
        compadd -- ${{=commands}}
    else
        _files
    fi
}}
compdef _geministream geministream
"""


def _fish(parsers: _Parsers) -> str:
    lines = ["# Put this in ~/.config/fish/config.fish:  geministream --completion fish | source"]
    for words, parser in parsers.items():
        others = list(_commands(parser))
        here = " ".join(f"; and __fish_seen_subcommand_from {word}" for word in words)
        not_yet = f"; and not __fish_seen_subcommand_from {' '.join(others)}" if others else ""
        condition = f"true{here}{not_yet}"
        if others:
            lines.append(f"complete -c geministream -f -n '{condition}' -a '{' '.join(others)}'")
        lines += [_fish_option(condition, action) for action in parser._actions if action.option_strings]
    return "\n".join(lines) + "\n"


def _fish_option(condition: str, action: Any) -> str:
    names = [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings
    ]
    takes = "" if action.nargs == 0 else " -r"
    if action.choices:
        takes = f" -x -a '{' '.join(action.choices)}'"
    return f"complete -c geministream -n '{condition}' {' '.join(names)}{takes}"
