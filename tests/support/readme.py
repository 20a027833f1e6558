"""README.rst's examples: each code block behind a comment ``.. example: NAME``."""

import re
import sys
import textwrap
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.rst"


def names():
    """The names of all examples."""
    return re.findall(r"^\.\. example: (\S+)$", README.read_text("utf-8"), re.MULTILINE)


def code(name):
    """The code of an example, ready to be run."""
    match = re.search(
        rf"^\.\. example: {re.escape(name)}\n\n\.\. code-block:: python\n\n((?:    .*\n|\n)+)",
        README.read_text("utf-8"),
        re.MULTILINE,
    )
    assert match, f"README.rst has no example {name!r}"
    return textwrap.dedent(match.group(1))


def modules():
    """The name and the code of each example, as a module that stands alone."""
    threads = code("batch-threads")
    for name in names():
        uses_another = name in ("batch-dask", "batch-mpi")
        yield name.replace("-", "_"), (threads if uses_another else "") + code(name)


if __name__ == "__main__":  # for type checkers: python tests/support/readme.py DIRECTORY
    for name, text in modules():
        (Path(sys.argv[1]) / f"{name}.py").write_text(text, "utf-8")
