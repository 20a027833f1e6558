"""Running functions: their results, their failures, and requests with callables."""

import json
import logging
import sys
import types
from dataclasses import dataclass

import pytest
from support.annotations import (
    Mode,
    Mute,
    Place,
    Raising,
    Shy,
    Size,
    Unit,
    Unreadable,
    Unset,
    circular,
    nested,
    weather,
)

from geministream import Chat, ConfigurationError, collect, function_declaration, stream_generate
from geministream.testing import Answer, LocalServer
from geministream.tools.functions import Function, Toolbox
from geministream.types import FunctionCall, FunctionDeclaration, Tool


def gives(value):
    def function():
        if isinstance(value, BaseException):
            raise value
        return value

    return Function(function).run({})


@pytest.mark.parametrize(
    "value, response",
    [
        ({"a": 1}, {"a": 1}),
        ({Unit.CELSIUS: {1}, 5: (None,)}, {"celsius": [1], "5": [None]}),
        (types.MappingProxyType({"a": Place("Ulm")}), {"a": {"name": "Ulm", "height": 0.0}}),
        (None, {"result": None}),
        ("text", {"result": "text"}),
        (True, {"result": True}),
        (2.5, {"result": 2.5}),
        ([Size.LARGE, Mode.FAST], {"result": [2, "fast"]}),
        (Place("Ulm"), {"result": {"name": "Ulm", "height": 0.0}}),
        (FunctionDeclaration(name="x"), {"result": {"name": "x"}}),
        (ValueError("no such city"), {"error": "ValueError: no such city"}),
        (ValueError("half \ud83d"), {"error": "ValueError: half ?"}),
        (float("nan"), {"error": "the function's result is not valid JSON: $: JSON has no nan"}),
        (
            {"a": [b"x"]},
            {
                "error": "the function's result is not valid JSON: $.a[0]: a value of type bytes cannot be written as JSON"
            },
        ),
        (
            {"a": {(1, 2): 3}},
            {
                "error": "the function's result is not valid JSON: $.a: a name in an object must be a string, got [1, 2]"
            },
        ),
    ],
)
def test_results(value, response):
    made = gives(value)
    assert made == response
    json.dumps(made).encode("utf-8")
    assert all(type(each) in (str, int, float, bool, type(None), dict, list) for each in made.values())


def test_results_that_cannot_be_sent():
    endless = []
    endless.append(endless)
    assert "not valid JSON" in gives(endless)["error"]
    assert "lone surrogate" in gives("\ud83d")["error"]
    assert "lone surrogate" in gives({"\ud83d": 1})["error"]
    json.dumps(gives("\ud83d"), ensure_ascii=False).encode("utf-8")


@dataclass
class Property:
    name: str = "x"

    def __getattribute__(self, name):
        if name == "name":
            raise Mute
        return super().__getattribute__(name)


def generator():
    yield 1


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: Unset(), "AttributeError"),
        (lambda: [Raising()], "LookupError"),
        (lambda: Raising(), "LookupError"),
        (lambda: Mute(), "Mute"),
        (lambda: Unreadable(), "type Unreadable cannot be written as JSON"),
        (lambda: Shy(), "LookupError"),
        (lambda: Property(), "Mute"),
        (lambda: {Unreadable(): 1}, "a name in an object"),
        (lambda: {b"a": 1}, "a name in an object"),
        (lambda: {None: 1}, "a name in an object"),
        (lambda: {1.5: 1}, "a name in an object"),
        (lambda: {True: 1}, "a name in an object"),
        (lambda: {1: "a", "1": "b"}, "twice"),
        (lambda: {Unit.CELSIUS: 1, "celsius": 2}, "twice"),
        (lambda: nested(91), "more than 90 levels"),
        (lambda: nested(10**5), "more than 90 levels"),
        (circular, "more than 90 levels"),
        (generator, "type generator cannot be written as JSON"),
        (lambda: iter([1]), "cannot be written as JSON"),
        (lambda: object(), "cannot be written as JSON"),
        (lambda: b"x", "cannot be written as JSON"),
        (lambda: 1j, "cannot be written as JSON"),
        (lambda: Place, "type type cannot be written as JSON"),
        (lambda: [float("inf")], "JSON has no inf"),
        (lambda: {"a": float("-inf")}, "JSON has no -inf"),
        (lambda: {"a": ["\udc00"]}, "lone surrogate"),
        (lambda: FunctionCall(name="f", args={"x": float("nan")}), "JSON has no nan"),
        (lambda: FunctionCall(name="\ud800"), "lone surrogate"),
        (lambda: FunctionCall(name="f", args={"x": object()}), "cannot be written as JSON"),
        (lambda: StopIteration(3), "StopIteration: 3"),
        (lambda: RecursionError(), "RecursionError"),
        (lambda: MemoryError("m"), "MemoryError: m"),
        (lambda: KeyError("\ud800"), "KeyError"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error_for_the_model(make, error):
    response = gives(make())
    assert list(response) == ["error"] and error in response["error"]
    json.dumps(response, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: 10**5000,
        lambda: {10**5000: 1},
        lambda: [{"a": -(10**5000)}],
        lambda: nested(90),
        lambda: {1, 2},
        lambda: FunctionCall(name="f", args={"x": 10**5000}),
        lambda: {"a": 10**4000, "b": True},
    ],
)
def test_any_value_that_a_function_returns_can_be_sent(make):
    """What fits differs: some Pythons write numbers of any length."""
    response = gives(make())
    json.dumps(response, ensure_ascii=False, allow_nan=False).encode()
    if "error" in response:
        assert "digits" in response["error"] and hasattr(sys, "set_int_max_str_digits")


def test_a_turn_continues_after_any_outcome_of_a_function():
    outcomes = [
        10**5000,
        Unset(),
        Raising(),
        Mute(),
        Unreadable(),
        Shy(),
        circular(),
        nested(90),
        nested(91),
        {"\ud800": 1},
        float("nan"),
    ]

    def strange(number: int):
        """Give something strange."""
        if isinstance(outcomes[number], Exception):
            raise outcomes[number]
        return outcomes[number]

    with LocalServer() as server:
        server.queue(
            Answer.calls(*(("strange", {"number": number}) for number in range(len(outcomes)))), "done"
        )
        assert collect(Chat("m", endpoint=server.endpoint, tools=[strange]).send("Go")).text == "done"
        responses = [
            part["functionResponse"]["response"] for part in server.requests[1].json["contents"][-1]["parts"]
        ]
    assert [("error" in response) for response in responses] == [hasattr(sys, "set_int_max_str_digits")] + [
        True
    ] * 6 + [False] + [True] * 3


def test_a_failing_function_is_logged_without_content(caplog):
    def secretive(password: str) -> str:
        raise ValueError(password)

    with caplog.at_level(logging.DEBUG, "geministream"):
        Function(secretive).run({"password": "hunter2"})
        gives({"hunter2": b"hunter2"})
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert "secretive raised ValueError at" in caplog.text and "test_running_functions.py" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_exit_is_not_swallowed():
    for exit in (KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(exit)):
            gives(exit)


# Toolboxes, and requests with callables --------------------------------------------


def test_a_toolbox_knows_what_it_can_run():
    declaration = FunctionDeclaration(name="by_hand")
    toolbox = Toolbox(
        [weather, declaration, {"function_declarations": [{"name": "mapped"}]}, Tool(google_search={})]
    )
    assert set(toolbox.functions) == {"weather"}
    assert toolbox.others == {"by_hand", "mapped"}
    assert toolbox.declared == [
        function_declaration(weather),
        declaration,
        Tool(function_declarations=[FunctionDeclaration(name="mapped")]),
        Tool(google_search={}),
    ]
    assert Toolbox(None).declared == []
    assert set(Toolbox(weather).functions) == {"weather"}


@pytest.mark.parametrize(
    "tools",
    [
        [weather, weather],
        [weather, FunctionDeclaration(name="weather")],
        [{"functionDeclarations": [{"name": "a"}, {"name": "a"}]}],
    ],
)
def test_a_name_is_declared_once(tools):
    with pytest.raises(ConfigurationError, match="two functions with the name"):
        Toolbox(tools)


def test_stream_generate_declares_callables_and_only_reports_the_calls():
    called = []

    def look(place: str) -> str:
        """Look at a place."""
        called.append(place)
        return "seen"

    with LocalServer() as server:
        server.queue(Answer.call("look", {"place": "Ulm"}))
        answer = collect(stream_generate("m", "look", tools=[look], endpoint=server.endpoint))
        sent = server.requests[0].json["tools"]
    assert sent == [{"functionDeclarations": [function_declaration(look).to_dict()]}]
    assert [(call.name, call.args) for call in answer.function_calls] == [("look", {"place": "Ulm"})]
    assert called == []
