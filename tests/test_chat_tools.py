"""A chat's functions: calls and their rounds, refusals, bounds."""

import pickle
import threading

import pytest
from support.chats import add, as_json, chat_with, fail, part_chunk, results, say, texts, weather

from geministream import (
    BadRequestError,
    Cancel,
    GeministreamError,
    IncompleteStreamError,
    StreamCancelled,
    StreamTimeoutError,
)
from geministream.chat import FunctionCallLimitError
from geministream.testing import Answer, LocalServer
from geministream.types import FunctionCall, FunctionDeclaration, FunctionResponse, Part, Tool


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


def test_a_call_is_run_and_its_result_goes_back(server):
    server.queue(Answer.call("add", {"a": 2.0, "b": 3}, id="call-1"), Answer.text("It is ", "5."))
    chat = chat_with(server, tools=[add])
    chunks = list(chat.send("2 + 3?"))
    # The chunks of both rounds came.
    assert [call.name for chunk in chunks for call in chunk.function_calls] == ["add"]
    assert "".join(chunk.text for chunk in chunks) == "It is 5."
    assert as_json(chat.history) == [
        {"role": "user", "parts": [{"text": "2 + 3?"}]},
        {"role": "model", "parts": [server.requests[1].json["contents"][1]["parts"][0]]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "add", "id": "call-1", "response": {"result": 5}}}],
        },
        {"role": "model", "parts": [{"text": "It is 5."}]},
    ]
    assert chat.history[1].parts[0].thought_signature
    assert chat.history[1].parts[0].function_call.args == {"a": 2.0, "b": 3}
    assert server.requests[0].json["tools"] == server.requests[1].json["tools"]
    say(chat, "Thanks")  # all signatures are where they were
    assert len(chat.history) == 6


def test_two_rounds_and_parallel_calls(server):
    server.queue(
        Answer.calls(
            ("weather", {"city": {"name": "Ulm"}}),
            ("add", {"a": 1, "b": 1}),
            ("weather", {"city": {"name": "Oslo", "country": "NO"}, "unit": "fahrenheit", "days": [1.0]}),
            ids=["1", "2", "3"],
            text="Let me see.",
        ),
        Answer.call("add", {"a": 20, "b": 1}, id="4"),
        "It is fine.",
    )
    chat = chat_with(server, tools=[weather, add])
    answer = say(chat, "How is the weather?")
    assert answer.text == "Let me see.It is fine." and len(answer.function_calls) == 4
    assert [content.role for content in chat.history] == ["user", "model"] * 3
    assert results(chat.history) == [
        (
            "weather",
            {"result": {"city": {"name": "Ulm", "country": "DE"}, "degrees": 20.5, "unit": "celsius"}},
        ),
        ("add", {"result": 2}),
        (
            "weather",
            {"result": {"city": {"name": "Oslo", "country": "NO"}, "degrees": 20.5, "unit": "fahrenheit"}},
        ),
        ("add", {"result": 21}),
    ]
    assert [part.function_response.id for part in chat.history[2].parts] == ["1", "2", "3"]
    assert len(server.requests) == 3
    say(chat, "Thanks")


def test_calls_that_the_server_makes_of_the_declarations(server):
    chat = chat_with(server, tools=[weather, add])
    say(chat, 'add({"a": 1, "b": 2}) and weather, please')
    assert results(chat.history) == [
        ("add", {"result": 3}),
        (
            "weather",
            {"result": {"city": {"name": "name", "country": "country"}, "degrees": 20.5, "unit": "celsius"}},
        ),
    ]
    assert texts(chat.history)[-1][1].startswith("I was sent 3 contents.\nadd answered")


def test_failing_tools_and_calls_that_do_not_fit(server):
    server.queue(
        Answer.calls(
            ("fail", {"reason": "nobody is there"}),
            ("add", {"a": "2", "b": 3}),
            ("add", {"a": 2}),
            ("add", {"a": 2, "b": 3, "c": 4}),
            ("print", {"x": 1}),
            ("weather", {"city": {"name": 5}}),
            ("weather", {"city": {"name": "Ulm"}, "unit": "kelvin"}),
        ),
        "Oh.",
    )
    chat = chat_with(server, tools=[fail, add, weather])
    say(chat, "Go")
    errors = [response["error"] for _, response in results(chat.history)]
    assert errors == [
        "LookupError: nobody is there",
        'the arguments are not valid: $.a: expected an integer, got "2"',
        "the arguments are not valid: $.b: missing",
        "the arguments are not valid: $.c: unknown field of add",
        "unknown function 'print'; the functions are fail, add, weather",
        "the arguments are not valid: $.city.name: expected a string, got 5",
        'the arguments are not valid: $.unit: expected one of "celsius", "fahrenheit", got "kelvin"',
    ]
    assert len(chat.history) == 4


def test_a_refusal(server):
    asked = []

    def confirm(call):
        asked.append((call.name, call.args))
        return {1: True, 2: False, 3: "not on a Sunday", 4: None, 5: ""}[call.args["a"]]

    server.queue(
        Answer.calls(*(("add", {"a": a, "b": 0}) for a in range(1, 6)), ("nothing", {}), ("add", {})), "Well."
    )
    chat = chat_with(server, tools=[add], confirm=confirm)
    say(chat, "Go")
    refused = {"error": "the user refused this call"}
    assert [response for _, response in results(chat.history)][:5] == [
        {"result": 1},
        refused,
        {"error": "not on a Sunday"},
        refused,
        refused,
    ]
    # Only what could run is asked about.
    assert asked == [("add", {"a": a, "b": 0}) for a in range(1, 6)]


def test_an_exception_of_confirm_ends_the_turn(server):
    def confirm(call):
        raise KeyboardInterrupt

    server.queue(Answer.call("add", {"a": 1, "b": 2}))
    chat = chat_with(server, tools=[add], confirm=confirm)
    with pytest.raises(KeyboardInterrupt):
        list(chat.send("Go"))
    assert chat.history == []
    chat.confirm = None
    say(chat, "Go")
    assert len(chat.history) == 2


def test_the_bound_on_rounds(server):
    calls = [Answer.call("add", {"a": number, "b": 1}, id=str(number)) for number in range(4)]
    server.queue(*calls)
    chat = chat_with(server, tools=[add], max_function_calls=3)
    chunks = []
    with pytest.raises(FunctionCallLimitError, match="calls add after 3 rounds of function calls") as caught:
        for chunk in chat.send("Count"):
            chunks.append(chunk)
    error = caught.value
    # Nothing is lost: the last calls were yielded, and the whole turn is on the error.
    assert [call.args["a"] for chunk in chunks for call in chunk.function_calls] == [0, 1, 2, 3]
    assert chat.history == [] and len(server.requests) == 4
    assert [content.role for content in error.contents] == ["user", "model"] * 4
    assert [response["result"] for _, response in results(error.contents)] == [1, 2, 3]
    assert [call.args["a"] for call in error.partial.function_calls] == [0, 1, 2, 3]
    assert isinstance(error, GeministreamError) and not error.retryable
    again = pickle.loads(pickle.dumps(error))
    assert again.contents == error.contents and str(again) == str(error)
    # The caller can go on by hand.
    chat.history += error.contents
    answer = FunctionResponse(name="add", id="3", response={"result": 4})
    assert say(chat, Part(function_response=answer)).text.endswith('add answered {"result": 4}')
    assert len(chat.history) == 10


def test_as_many_rounds_as_the_bound_are_run(server):
    server.queue(*(Answer.call("add", {"a": n, "b": 1}) for n in range(3)), "Done.")
    chat = chat_with(server, tools=[add], max_function_calls=3)
    assert say(chat, "Count").text == "Done."
    server.queue(Answer.call("add", {"a": 1, "b": 1}))
    chat.max_function_calls = 0
    with pytest.raises(FunctionCallLimitError, match="after 0 rounds"):
        say(chat, "Count")


def test_calls_of_functions_that_only_the_caller_can_answer(server):
    ran = []

    def look(at: str) -> str:
        ran.append(at)
        return "seen"

    by_hand = {"functionDeclarations": [{"name": "by_hand", "description": "Ask a human."}]}
    server.queue(Answer.calls(("look", {"at": "it"}), ("by_hand", {}), ids=["1", "2"]))
    chat = chat_with(server, tools=[look, by_hand])
    answer = say(chat, "Go")
    assert ran == [] and [call.name for call in answer.function_calls] == ["look", "by_hand"]
    assert len(chat.history) == 2
    say(
        chat,
        [
            Part(function_response=FunctionResponse(name=name, id=id, response={"result": 1}))
            for name, id in (("look", "1"), ("by_hand", "2"))
        ],
    )
    assert len(chat.history) == 4 and len(server.requests) == 2


@pytest.mark.parametrize(
    "tools",
    [
        [FunctionDeclaration(name="add")],
        [Tool(function_declarations=[FunctionDeclaration(name="add")])],
        None,
    ],
)
def test_without_callables_calls_are_only_reported(server, tools):
    server.queue(Answer.call("add", {"a": 1}))
    chat = chat_with(server, tools=tools)
    assert say(chat, "Go").function_calls[0].name == "add"
    assert len(chat.history) == 2 and len(server.requests) == 1


def test_tools_of_one_turn(server):
    chat = chat_with(server, tools=[fail])
    server.queue(Answer.call("add", {"a": 1, "b": 2}), "3")
    say(chat, "1 + 2", tools=[add])
    assert results(chat.history) == [("add", {"result": 3})]
    say(chat, "Bye", tools=None)
    assert "tools" not in server.requests[-1].json


def test_a_name_is_looked_up_nowhere_else(server):
    """Neither in builtins, nor in modules, nor by a path."""
    names = ["eval", "os.system", "__import__", "Chat", "add.__globals__", "", "ADD"]
    server.queue(
        Answer(
            chunks=[
                part_chunk(
                    *(
                        {"functionCall": {"name": name or "x", "args": {}}, "thoughtSignature": "c2ln"}
                        for name in names
                    ),
                    finishReason="STOP",
                )
            ]
        ),
        "Oh.",
    )
    chat = chat_with(server, tools=[add])
    say(chat, "Go")
    assert all("unknown function" in response["error"] for _, response in results(chat.history))
    assert len(results(chat.history)) == len(names)


def test_arguments_that_arrive_in_pieces():
    def partial(path=None, last=False, name=None, **value):
        call = {"partialArgs": [{"jsonPath": path, **value}]} if path else {}
        if name:
            call.update(name=name, id="call-1")
        if not last:
            call["willContinue"] = True
        return part_chunk({"functionCall": call, **({"thoughtSignature": "c2ln"} if name else {})})

    with LocalServer() as server:
        server.queue(
            Answer(
                chunks=[
                    partial(name="weather"),
                    partial("$.city.name", stringValue="Neu-", willContinue=True),
                    partial("$.city.name", stringValue="Ulm"),
                    partial("$.days[0]", numberValue=1),
                    partial("$.days[1]", numberValue=2),
                    partial(last=True),
                    part_chunk(finishReason="STOP"),
                ]
            ),
            "Fine.",
        )
        chat = chat_with(server, tools=[weather])
        say(chat, "Weather?")
    call = {"name": "weather", "id": "call-1", "args": {"city": {"name": "Neu-Ulm"}, "days": [1, 2]}}
    assert as_json(chat.history)[1] == {
        "role": "model",
        "parts": [{"functionCall": call, "thoughtSignature": "c2ln"}],
    }
    assert results(chat.history)[0][1]["result"]["city"] == {"name": "Neu-Ulm", "country": "DE"}
    assert chat.history[2].parts[0].function_response.id == "call-1"


def test_a_call_whose_arguments_do_not_end_is_not_run(server):
    ran = []

    def look(at: str = "") -> None:
        ran.append(at)

    server.queue(
        Answer(
            chunks=[
                part_chunk(
                    {
                        "functionCall": {
                            "name": "look",
                            "willContinue": True,
                            "partialArgs": [{"jsonPath": "$.at", "stringValue": "/", "willContinue": True}],
                        },
                        "thoughtSignature": "c2ln",
                    },
                    finishReason="MAX_TOKENS",
                )
            ]
        )
    )
    chat = chat_with(server, tools=[look])
    with pytest.raises(IncompleteStreamError, match="in the middle of a function call") as caught:
        say(chat, "Go")
    assert ran == [] and chat.history == [] and caught.value.partial.function_calls


def test_neither_confirm_nor_a_function_can_change_the_recorded_call(server):
    def spoil(data: dict) -> dict:
        data["a"]["b"] = data.pop("c")
        return data

    def confirm(call):
        call.args["data"]["c"] = 4
        return True

    server.queue(Answer.call("spoil", {"data": {"a": {"b": 1}, "c": 2}}), "Done.")
    chat = chat_with(server, tools=[spoil], confirm=confirm)
    say(chat, "Go")
    assert chat.history[1].parts[0].function_call.args == {"data": {"a": {"b": 1}, "c": 2}}
    assert results(chat.history) == [("spoil", {"a": {"b": 2}})]
    say(chat, "And?")  # or the signature would not fit any more


def test_an_error_in_a_later_round(server):
    server.queue(Answer.call("add", {"a": 1, "b": 2}), Answer(chunks=[part_chunk({"text": "It "})]))
    chat = chat_with(server, tools=[add])
    with pytest.raises(IncompleteStreamError) as caught:
        list(chat.send("1 + 2"))
    assert chat.history == []
    # The answer so far is that of all rounds.
    assert caught.value.partial.function_calls[0].name == "add"
    assert caught.value.partial.text == "It "


def test_the_usage_of_all_rounds_is_summed(server):
    def usage(chunk, prompt, answer):
        return {**chunk, "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": answer}}

    def call(number, **more):
        return part_chunk(
            {"functionCall": {"name": "add", "args": {"a": number, "b": 1}}, "thoughtSignature": "c2ln"},
            finishReason="STOP",
            **more,
        )

    server.queue(
        Answer(chunks=[usage(call(1), 10, 1)]),
        Answer(chunks=[usage(call(2), 20, 2)]),
        Answer(
            chunks=[
                usage(part_chunk({"text": "a"}), 40, 1),
                usage(part_chunk({"text": "b"}, finishReason="STOP"), 40, 4),
            ]
        ),
    )
    chat = chat_with(server, tools=[add])
    answer = say(chat, "Go")
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count) == (70, 7)
    assert [usage.prompt_token_count for usage in answer.usage_by_request] == [10, 20, 40]


def test_the_deadline_holds_over_all_rounds(server):
    done = threading.Event()

    def slow() -> str:
        done.wait(0.9)
        return "done"

    server.queue(Answer.call("slow"), "Done.")
    chat = chat_with(server, tools=[slow], deadline=0.8)
    with pytest.raises(StreamTimeoutError, match="deadline of 0.8 s") as caught:
        say(chat, "Go")
    assert caught.value.partial.function_calls and chat.history == [] and len(server.requests) == 1


def test_a_cancel_stops_before_the_next_function(server):
    cancel = Cancel()
    ran = []

    def stop(number: int) -> None:
        ran.append(number)
        cancel.cancel()

    server.queue(Answer.calls(("stop", {"number": 1}), ("stop", {"number": 2})))
    chat = chat_with(server, tools=[stop])
    with pytest.raises(StreamCancelled):
        list(chat.send("Go", cancel=cancel))
    assert ran == [1] and chat.history == [] and len(server.requests) == 1


def test_leaving_between_the_rounds_runs_nothing(server):
    ran = []

    def look() -> None:
        ran.append(1)

    server.queue(Answer.call("look"))
    chat = chat_with(server, tools=[look])
    for chunk in chat.send("Go"):
        if chunk.function_calls:
            break
    assert ran == [] and chat.history == [] and len(server.requests) == 1


def test_the_server_refuses_a_history_whose_signature_moved(server):
    """What the tests above rely on."""
    server.queue(Answer.call("add", {"a": 1, "b": 2}), "3")
    chat = chat_with(server, tools=[add])
    say(chat, "1 + 2")
    signature, chat.history[1].parts[0].thought_signature = chat.history[1].parts[0].thought_signature, None
    chat.history[3].parts[0].thought_signature = signature
    with pytest.raises(BadRequestError, match="signature"):
        say(chat, "And?")


def test_a_call_object_is_what_confirm_gets(server):
    got = []
    server.queue(Answer.call("add", {"a": 1, "b": 2}, id="7"), "3")
    chat = chat_with(server, tools=[add], confirm=lambda call: got.append(call) or True)
    say(chat, "1 + 2")
    assert got == [FunctionCall(name="add", args={"a": 1, "b": 2}, id="7")]
