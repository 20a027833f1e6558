"""Pydantic's models as types of structured answers."""

from typing import List, Optional

import pytest

from geministream import StreamDecodeError, generate, iter_items, json_schema, parse, stream_generate
from geministream.testing import Answer, LocalServer

pydantic = pytest.importorskip("pydantic")


class Ingredient(pydantic.BaseModel):
    name: str
    grams: float = pydantic.Field(ge=0, description="the weight")


class Recipe(pydantic.BaseModel):
    title: str
    ingredients: List[Ingredient]
    note: Optional[str] = None


TEXT = '{"title": "Bread", "ingredients": [{"name": "flour", "grams": 500}, {"name": "salt", "grams": 10.5}]}'


def test_the_schema_is_within_geminis_subset():
    schema = json_schema(Recipe)
    assert schema["properties"]["ingredients"] == {
        "type": "array",
        "title": "Ingredients",
        "items": {"$ref": "#/$defs/Ingredient"},
    }
    assert schema["$defs"]["Ingredient"]["properties"]["grams"]["minimum"] == 0
    assert "default" not in str(schema)


def test_a_complete_answer_and_a_streamed_list():
    config = {"response_mime_type": "application/json", "response_json_schema": json_schema(Recipe)}
    with LocalServer() as server:
        server.queue(Answer.text(TEXT), Answer.text(TEXT))
        recipe = parse(generate("m", "Bread?", generation_config=config, endpoint=server.endpoint), Recipe)
        assert recipe == Recipe.model_validate_json(TEXT)
        assert server.requests[0].json["generationConfig"]["responseJsonSchema"] == json_schema(Recipe)
        chunks = stream_generate("m", "Bread?", generation_config=config, endpoint=server.endpoint)
        names = [each.name for each in iter_items(chunks, Ingredient, key="ingredients")]
    assert names == ["flour", "salt"]


def test_what_pydantic_refuses():
    with pytest.raises(StreamDecodeError, match=r"not a valid Recipe: ValidationError: 1 validation error"):
        parse(TEXT.replace("10.5", "-1"), Recipe)


def test_a_model_that_contains_itself():
    class Node(pydantic.BaseModel):
        value: int
        children: List["Node"] = []

    Node.model_rebuild(_types_namespace={"Node": Node})
    schema = json_schema(Node)
    assert schema["$ref"] == "#/$defs/Node"
    assert parse('{"value": 1, "children": [{"value": 2}]}', Node).children[0].value == 2
