"""Classes that describe and check themselves, such as Pydantic's models, without Pydantic.

``tests/interop/test_pydantic.py`` does the same with Pydantic itself.
"""

import json
from dataclasses import dataclass
from typing import List, Optional

import pytest

from geministream import StreamDecodeError, iter_items, json_schema, parse


class City:
    """As Pydantic describes a model with a nested one, an enum of one value and a default."""

    def __init__(self, name, inhabitants):
        self.name, self.inhabitants = name, inhabitants

    @classmethod
    def model_json_schema(cls):
        return {
            "title": "City",
            "type": "object",
            "additionalProperties": False,
            "$defs": {
                "Mayor": {"type": "object", "properties": {"default": {"type": "string", "default": "x"}}}
            },
            "properties": {
                "name": {"title": "Name", "type": "string", "maxLength": 20},
                "inhabitants": {"type": "integer", "exclusiveMinimum": 0, "default": 1},
                "mayor": {"$ref": "#/$defs/Mayor"},
                "deputy": {"allOf": [{"$ref": "#/$defs/Mayor"}], "description": "of the mayor"},
                "kind": {"const": "city"},
                "either": {
                    "anyOf": [{"type": "string", "format": "date"}, {"type": "null", "default": None}]
                },
            },
            "required": ["name"],
        }

    @classmethod
    def model_validate_json(cls, text):
        value = json.loads(text)
        if "name" not in value:
            raise ValueError("1 validation error for City: name is missing")
        return cls(value["name"], value.get("inhabitants", 1))


def test_its_schema_is_cut_down_to_what_gemini_accepts():
    assert json_schema(City) == {
        "title": "City",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"title": "Name", "type": "string"},
            "inhabitants": {"type": "integer"},
            "mayor": {"$ref": "#/$defs/Mayor"},
            "deputy": {"$ref": "#/$defs/Mayor", "description": "of the mayor"},
            "kind": {"enum": ["city"]},
            "either": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        "required": ["name"],
        "$defs": {"Mayor": {"type": "object", "properties": {"default": {"type": "string"}}}},
    }


@dataclass
class Mayor:
    """Has the name of a definition of `City`, and contains itself."""

    name: str
    predecessor: Optional["Mayor"] = None
    city: Optional[City] = None
    home: Optional[City] = None


def test_its_definitions_join_those_around_it():
    schema = json_schema(List[Mayor])
    assert set(schema["$defs"]) == {"Mayor", "Mayor2"}
    text = json.dumps(schema)
    assert text.count("#/$defs/Mayor2") == 4  # two in each of the places where a City may be
    assert json_schema(City)["$defs"].keys() == {"Mayor"}  # nothing is remembered


def test_it_reads_itself():
    city = parse('{"name": "Köln", "inhabitants": 1000000}', City)
    assert type(city) is City
    assert (city.name, city.inhabitants) == ("Köln", 1000000)
    cities = list(iter_items(['[{"name": "A"}, {"na', 'me": "B"}]'], City))
    assert [each.name for each in cities] == ["A", "B"]
    assert parse('[{"name": "C"}]', List[City])[0].name == "C"


def test_a_refused_value_is_reported_with_its_place():
    with pytest.raises(StreamDecodeError, match=r"\$\[1\]: not a valid City: ValueError: 1 validation error"):
        parse('[{"name": "A"}, {}]', List[City])
    with pytest.raises(StreamDecodeError, match=r"\$\[1\].*name is missing"):
        list(iter_items(['[{"name": "A"}, {}]'], City))
