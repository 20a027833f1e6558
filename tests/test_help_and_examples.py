"""help() of each public function: all arguments, what it raises, and an example; the examples run."""

import doctest
import importlib
import inspect
import pkgutil
import typing

import pytest

import geministream

FUNCTIONS = [name for name in geministream.__all__ if inspect.isfunction(getattr(geministream, name))]
# They only read a response.
RAISE_NOTHING = {"find_sources", "cite"}

MODULES = [
    found.name
    for found in pkgutil.walk_packages(geministream.__path__, "geministream.")
    if not found.name.endswith("__main__")
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_answers_the_questions_of_a_caller(name):
    function = getattr(geministream, name)
    text = inspect.getdoc(function)
    missing = [each for each in inspect.signature(function).parameters if f":param {each}:" not in text]
    assert not missing or "`stream_generate`" in text or "other fields of a request" in text
    assert ":raises " in text or name in RAISE_NOTHING
    assert ">>> " in text


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    names = {each: getattr(geministream, each) for each in geministream.__all__ if not each.startswith("_")}
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={**vars(typing), **names}, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
