"""Descriptions from docstrings."""

from dataclasses import dataclass

import pytest
from support.annotations import declared

from geministream.tools.docstrings import read_docstring


@pytest.mark.parametrize(
    "doc, text, found",
    [
        (None, "", {}),
        ("Do it.", "Do it.", {}),
        (
            """Do it.

     :param a: one,
         and more
     :param int b: two
     :type b: int
     :param Optional[Dict[str, int]] c: three
     :returns: nothing
     """,
            "Do it.\n\n:returns: nothing",
            {"a": "one, and more", "b": "two", "c": "three"},
        ),
        (
            """Do it.

     Args:
         a: one
             and more: much more

             even after a blank line
         b (int, optional): two
         *rest (List[Dict[str, int]]): three
         c:
             four

     Raises:
         ValueError: never

     More.
     """,
            "Do it.\n\nRaises:\n    ValueError: never\n\nMore.",
            {
                "a": "one and more: much more even after a blank line",
                "b": "two",
                "rest": "three",
                "c": "four",
            },
        ),
        (
            """Do it.

     Parameters
     ----------
     a : int
         one
         and more
     b, c : str, optional
         two

     d
         four

     Returns
     -------
     int
         five
     """,
            "Do it.\n\nReturns\n-------\nint\n    five",
            {"a": "one and more", "b": "two", "c": "two", "d": "four"},
        ),
        (
            """Do it.

     Parameters
     ----------
     a : int
         one

     And this is prose.
     """,
            "Do it.\n\nAnd this is prose.",
            {"a": "one"},
        ),
        ("Do it.\n:param a: one\n\nMore.", "Do it.\n\nMore.", {"a": "one"}),
        ("Arguments:\nare not always a section", "Arguments:\nare not always a section", {}),
        ("Attributes:\n\n    a: one\n", "", {"a": "one"}),
    ],
)
def test_docstrings(doc, text, found):
    assert read_docstring(doc) == (text, found)


def test_descriptions_of_a_dataclass_and_its_own_docstring():
    @dataclass
    class Documented:
        """A thing.

        Attributes:
            a: one
        """

        a: int

    @dataclass
    class Undocumented:
        a: int  # the decorator writes a docstring: "Undocumented(a: int)"

    assert declared(Documented)["description"] == "A thing."
    assert declared(Documented)["properties"]["a"]["description"] == "one"
    assert "description" not in declared(Undocumented)
