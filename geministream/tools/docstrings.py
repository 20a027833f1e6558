"""The parser of a docstring's descriptions of arguments, in three styles.

==========  ==================================================================
Google      ``Args:`` (``Parameters:``, ``Attributes:`` …), then indented
            ``name (type): text``
Sphinx      ``:param name: text``, also with a type, ``:ivar name: text`` …
NumPy       ``Parameters`` (``Attributes`` …) over dashes, then ``name : type``
            and the text indented
==========  ==================================================================

The styles may be mixed.  All other lines remain in the text.
"""

import inspect
import re
from typing import Dict, List, Optional, Tuple

_TITLES = "Args|Arguments|Params|Parameters|Keyword Args|Keyword Arguments|Other Parameters|Attributes|Fields"
_google_title = re.compile(rf"({_TITLES}):\s*$")
# The type may hold brackets of its own, one level deep: "(Optional[int], optional)".
_google_item = re.compile(r"\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:(?:\s+(.*)|$)")
_sphinx_item = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword|ivar|var|attribute)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$"
)
_sphinx_type = re.compile(r":(?:type|vartype)\s+\w+\s*:")
_numpy_title = re.compile(rf"({_TITLES})\s*$")
_numpy_item = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_dashes = re.compile(r"-{3,}\s*$")


def read_docstring(doc: Optional[str]) -> Tuple[str, Dict[str, str]]:
    """Split a docstring into its text and the descriptions of the arguments.

    :param doc: the docstring as Python has it; None is an empty one.
    :returns: the text without the arguments' lines, and argument name to description.

    >>> read_docstring('''Return the weather.
    ...
    ...     :param city: its name,
    ...         in English
    ...     ''')
    ('Return the weather.', {'city': 'its name, in English'})
    """
    doc = doc or ""
    if _google_title.match(doc.split("\n")[0]):
        doc = f"\n{doc}"  # or the indentation of the lines below the title would be taken off
    lines = inspect.cleandoc(doc).split("\n")
    text: List[str] = []
    found: Dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        indent = _indent(lines[at])
        sphinx = _sphinx_item.match(line)
        if sphinx:
            more, at = _deeper(lines, at + 1, indent)
            _add(found, sphinx.group(1), [sphinx.group(2), *more])
        elif _sphinx_type.match(line):
            _, at = _deeper(lines, at + 1, indent)
        elif _google_title.match(line):
            section, end = _deeper(lines, at + 1, indent)
            items = _google_items(section)
            if not items:  # only a line that looks like a title
                text.append(lines[at])
                at += 1
                continue
            found.update(items)
            at = end
        elif _numpy_title.match(line) and at + 1 < len(lines) and _dashes.match(lines[at + 1].strip()):
            at = _numpy_items(lines, at + 2, indent, found)
        else:
            text.append(lines[at])
            at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(text)).strip(), found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _deeper(lines: List[str], at: int, indent: int) -> Tuple[List[str], int]:
    """The lines from ``at`` on that are indented more than ``indent``, and where they end."""
    start = at
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) > indent):
        at += 1
    while at > start and not lines[at - 1].strip():
        at -= 1  # blank lines at the end belong to what follows
    return lines[start:at], at


def _add(found: Dict[str, str], name: str, lines: List[str]) -> None:
    description = " ".join(" ".join(lines).split())
    if description:
        found[name] = description


def _google_items(section: List[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    indent = min((_indent(line) for line in section if line.strip()), default=0)
    at = 0
    while at < len(section):
        item = _google_item.match(section[at].strip()) if _indent(section[at]) == indent else None
        more, at = _deeper(section, at + 1, indent)
        if item:
            _add(found, item.group(1), [item.group(2) or "", *more])
    return found


def _numpy_items(lines: List[str], at: int, indent: int, found: Dict[str, str]) -> int:
    """Read the items of a section up to the next one, and return where that is."""
    while at < len(lines):
        line = lines[at].strip()
        next_section = at + 1 < len(lines) and _dashes.match(lines[at + 1].strip())
        item = _numpy_item.match(line) if _indent(lines[at]) == indent else None
        if line and (next_section or item is None):
            break
        more, at = _deeper(lines, at + 1, indent)
        if item:
            for name in item.group(1).split(","):
                _add(found, name.strip().lstrip("*"), more)
    return at
