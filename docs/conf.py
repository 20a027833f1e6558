"""How Sphinx builds the documentation: ``sphinx-build -W --keep-going docs docs/_build``."""

import re
import sys
from pathlib import Path
from typing import Any, List

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import geministream  # noqa: E402
import geministream.testing  # noqa: E402

project = "geministream"
author = "the geministream authors"
project_copyright = author
release = version = geministream.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# A public name that leads nowhere is an error; the annotations' other types have no page here.
nitpicky = True
nitpick_ignore_regex = [(r"py:\w+", r"(?!geministream\.[A-Z]\w*$).*")]

html_theme = "furo"
html_title = f"geministream {release}"
html_theme_options = {
    "source_repository": "https://github.com/geministream/geministream/",
    "source_branch": "main",
    "source_directory": "docs/",
}

TARGETS = {
    **{name: f"geministream.testing.{name}" for name in geministream.testing.__all__},
    **{name: f"geministream.{name}" for name in geministream.__all__},
}


def link_names(app: Any, what: str, name: str, obj: Any, options: Any, lines: List[str]) -> None:
    """In docstrings, a name in single backquotes is a link if it is public, else it is code."""

    def linked(match: "re.Match[str]") -> str:
        target = TARGETS.get(match[1])
        return f":py:obj:`~{target}`" if target else f"``{match[1]}``"

    for number, line in enumerate(lines):
        line = re.sub(r"(?<![`:\w])`([^`<>]+)`(?![`_])", linked, line)
        # Not a reference of reStructuredText, but the beginning of several names.
        lines[number] = re.sub(r"(?<![\w`])([A-Z]+_)(?![\w`])", r"``\1``", line)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", link_names)
