"""Plain English: no phrase that readers stumbled over.

In the package this holds for docstrings, comments and texts; in tests and
benchmarks for docstrings and the names of functions.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import geministream

PACKAGE = Path(geministream.__file__).parent
ROOT = Path(__file__).resolve().parents[1]

# A phrase, as a regular expression, and what to write instead.
INSTEAD_OF = {
    r"(?<!there )\b(is|are) no (?!longer|more)": "is not a valid ..., has no ...",
    r"\b(tells?|told)\b": "shows, returns, says, reports; a MIME type is guessed",
    r"\bborne\b": "accepted; give up after ... seconds",
    r"\b(whatever|whichever)\b": "any, all, a plain list of what it is",
    r"\bas whom\b|\bhow patiently\b": "credentials, timeouts, retries",
    r"\bin passing\b": "temporarily",
    r"\bhiccups?\b": "temporary failures",
    r"\bat home\b|\bof its own kind\b": "the plain fact",
    r"\b(go|goes|going|went) on\b|\bask(s|ed)? on\b": "continue, resume, follow",
    r"\bfor ever\b": "forever",
    r"\bwhole\b": "complete, entire; a whole number is an integer",
    r"\blaid over\b": "merged into",
    r"\bas (it|they) came\b": "unchanged",
    r"\bhalf a character\b": "a lone surrogate",
    r"\blikeliest\b": "most likely",
    r"\bfrom 1, not\b": "must be an integer >= 1, got ...",
    r"\w+= (is|are|takes) (?!not\b)": "name= must be ..., got ...",
    r"(:raises [\w, ]+:|\b(None|[Tt]rue|[Ff]alse|raise|\[\]|\"\"|'')) where\b": "if",
    r"\bgive \w+=": "pass name=",
}


def comments(source):
    """Each comment; the lines of one that takes several are joined, since a phrase may be broken."""
    last_line, parts = -1, []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last_line + 1 and parts:
                yield " ".join(parts)
                parts = []
            parts.append(token.string.lstrip("#: "))
            last_line = token.start[0]
    if parts:
        yield " ".join(parts)


def strings(source):
    """Each string, docstrings and the fixed pieces of f-strings included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def names_and_docstrings(source):
    """Each function's name, as words, and each docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name.replace("_", " ")
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def relapses(texts):
    """The phrases in some texts, each with what to write instead."""
    for text in texts:
        text = " ".join(text.split())
        for phrase, instead in INSTEAD_OF.items():
            for match in re.finditer(phrase, text):
                around = text[max(match.start() - 40, 0) : match.end() + 40]
                yield match.group(), f"...{around}...; instead of {match.group()!r} write: {instead}"


def modules():
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", modules())
def test_plain_english(module):
    source = (PACKAGE / module).read_text("utf-8")
    found = [advice for _, advice in relapses([*comments(source), *strings(source)])]
    assert not found, "\n".join([module, *found])


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_plain_english_of_tests_and_benchmarks(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    if not paths:
        pytest.skip(f"there is no {folder}/ here")
    found = [
        f"{path.relative_to(ROOT)}: {advice}"
        for path in paths
        for _, advice in relapses(names_and_docstrings(path.read_text("utf-8")))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source, phrase",
    [
        ('"""The MIME type that a name tells."""', "tells"),
        ("# what cannot\n# go\n# on", "go on"),
        ("x = 1  # 1 is no text", "is no "),
        ('raise ValueError(f"cancel= is a Cancel, not {cancel!r}")', "cancel= is "),
        (
            '"""\n:raises ConfigurationError: where there\n    is no key\n"""',
            ":raises ConfigurationError: where",
        ),
        ("'give mime_type='", "give mime_type="),
    ],
)
def test_relapses_are_found(source, phrase):
    assert [found for found, _ in relapses([*comments(source), *strings(source)])] == [phrase]


@pytest.mark.parametrize(
    "source, phrase",
    [
        ("def test_a_pipe_is_no_file(): pass", "is no "),
        ("class C:\n    async def goes_on(self): pass", "goes on"),
        ('"""It takes\nfor\never."""', "for ever"),
        ('class C:\n    """A whole answer."""', "whole"),
        ('def f():\n    """What it tells."""', "tells"),
    ],
)
def test_relapses_in_names_and_docstrings_are_found(source, phrase):
    assert [found for found, _ in relapses(names_and_docstrings(source))] == [phrase]


@pytest.mark.parametrize(
    "source",
    [
        "whole = told = 1",
        "# there is no key, which is no longer valid",
        '"api_version= is not a valid path"',
        '"the place where a name must be"',
    ],
)
def test_plain_english_is_not_a_relapse(source):
    assert not list(relapses([*comments(source), *strings(source), *names_and_docstrings(source)]))


def test_other_texts_of_a_test_are_not_checked():
    assert not list(relapses(names_and_docstrings("whole = told('for ever')  # is no text")))
