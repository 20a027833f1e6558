"""The code blocks of README.rst and of the pages in docs/.

A block is run by a test under the name that stands above it, as ``.. example: NAME``. A block that
cannot run says why in its place: ``.. not run: REASON``.
"""

import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.rst"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.rst"))]

# Plain output and trees of files are no code.
NO_CODE = ("text", "none")

# These go on where another example ends.
CONTINUES = {"batch-dask": "batch-threads", "batch-mpi": "batch-threads"}


class Block(NamedTuple):
    """A code block of a page, with its name or the reason why it is not run."""

    page: Path
    line: int
    language: str
    name: Optional[str]
    reason: Optional[str]
    code: str


def blocks(page):
    """All code blocks of a page."""
    lines = page.read_text("utf-8").split("\n")
    for number, line in enumerate(lines):
        match = re.fullmatch(r"( *)\.\. code-block:: (\S+)", line)
        if not match or match.group(2) in NO_CODE:
            continue
        indent = match.group(1)
        above = next((text for text in reversed(lines[:number]) if text), "")
        name = re.fullmatch(rf"{indent}\.\. example: (\S+)", above)
        reason = re.fullmatch(rf"{indent}\.\. not run: (.+)", above)
        body = []
        for text in lines[number + 1 :]:
            if text and not text.startswith(f"{indent}    "):
                break
            body.append(text)
        code = textwrap.dedent("\n".join(body)).strip("\n") + "\n"
        yield Block(page, number + 1, match.group(2), name and name[1], reason and reason[1], code)


BLOCKS = [block for page in PAGES for block in blocks(page)]


def names(language="python"):
    """The names of all examples in a language."""
    return [block.name for block in BLOCKS if block.name and block.language == language]


def block(name):
    """The example of this name."""
    found = [block for block in BLOCKS if block.name == name]
    assert found, f"neither README.rst nor docs/ has an example {name!r}"
    return found[0]


def code(name):
    """The code of an example, ready to be run."""
    return block(name).code


def modules():
    """The name and the code of each example in Python, as a module that stands alone."""
    for name in names():
        before = CONTINUES.get(name)
        yield name.replace("-", "_"), (code(before) if before else "") + code(name)


if __name__ == "__main__":  # for type checkers: python tests/support/readme.py DIRECTORY
    for name, text in modules():
        (Path(sys.argv[1]) / f"{name}.py").write_text(text, "utf-8")
