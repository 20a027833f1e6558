"""Conversations: what is recorded and when, one connection, tools and their rounds, faults."""

import copy
import gc
import json
import os
import pickle
import random
import threading
import warnings
from dataclasses import dataclass, replace
from enum import Enum
from typing import List, Optional

import pytest
import requests
from long_form import sample

from geministream import (
    BadRequestError,
    Cancel,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    RateLimitError,
    Retry,
    StreamCancelled,
    StreamTimeoutError,
    collect,
    part_from_bytes,
    stream_generate,
)
from geministream.chat import Chat, FunctionCallLimitError
from geministream.testing import Answer, LocalServer, RandomFaults
from geministream.types import (
    Content,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    GenerationConfig,
    Part,
    ThinkingConfig,
    Tool,
)

MODEL = "gemini-flash-latest"
THINKING = GenerationConfig(thinking_config=ThinkingConfig(include_thoughts=True))


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


def chat_with(server, **arguments):
    return Chat(MODEL, endpoint=server.endpoint, **arguments)


def say(chat, message, **arguments):
    """The whole answer to a message."""
    return collect(chat.send(message, **arguments))


def texts(history):
    return [(content.role, "".join(part.text or "" for part in content.parts)) for content in history]


def as_json(history):
    return [content.to_dict() for content in history]


def part_chunk(*parts, **candidate):
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **candidate}]}


def results(history):
    """The function responses of a history, in their order."""
    found = [part.function_response for content in history for part in content.parts]
    return [(each.name, each.response) for each in found if each is not None]


# What is recorded ------------------------------------------------------------------


def test_a_conversation(server):
    with chat_with(server) as chat:
        assert say(chat, "I have 2 dogs in my house.").text == "You said: I have 2 dogs in my house."
        assert say(chat, "How many paws?").text == "I was sent 3 contents.\nYou said: How many paws?"
        assert texts(chat.history) == [
            ("user", "I have 2 dogs in my house."),
            ("model", "You said: I have 2 dogs in my house."),
            ("user", "How many paws?"),
            ("model", "I was sent 3 contents.\nYou said: How many paws?"),
        ]
        assert server.requests[1].json["contents"] == as_json(chat.history[:3])
        # Many chunks, one text part.
        assert [len(content.parts) for content in chat.history] == [1, 1, 1, 1]


def test_a_turn_is_recorded_when_its_stream_has_ended_not_before(server):
    chat = chat_with(server)
    stream = chat.send("Hello there")
    last = None
    for last in stream:
        assert chat.history == []
    assert last.finish_reason == "STOP" and len(chat.history) == 2
    assert list(stream) == [] and len(chat.history) == 2


def test_thoughts_and_signatures_are_recorded_as_they_came(server):
    chat = chat_with(server, generation_config=THINKING)
    answer = say(chat, "Hello there, how are you today my friend")
    parts = chat.history[1].parts
    assert [bool(part.thought) for part in parts] == [True, False, False]
    assert parts[0].text == answer.thoughts and parts[1].text == answer.text
    assert parts[2].text == "" and parts[2].thought_signature
    assert parts[0].thought_signature is None and parts[1].thought_signature is None
    say(chat, "And now?")  # the server checks the signatures
    assert len(chat.history) == 4


def test_parts_with_signatures_are_not_merged(server):
    said = [
        {"text": "a"},
        {"text": "b", "thoughtSignature": "c2ln"},
        {"text": "c"},
        {"text": ""},
        {"text": "d"},
        {"text": "", "thoughtSignature": "ZW5k"},
    ]
    server.queue(Answer(chunks=[*(part_chunk(part) for part in said), part_chunk(finishReason="STOP")]))
    chat = chat_with(server)
    say(chat, "Hello")
    assert as_json(chat.history)[1] == {
        "role": "model",
        "parts": [
            {"text": "a"},
            {"text": "b", "thoughtSignature": "c2ln"},
            {"text": "cd"},
            {"text": "", "thoughtSignature": "ZW5k"},
        ],
    }
    say(chat, "And now?")
    assert server.requests[1].json["contents"] == as_json(chat.history[:3])


def test_an_answer_over_many_hops_is_one_content():
    words = " ".join(f"w{n}" for n in range(60))
    with LocalServer(reply=lambda request: words, tokens_per_request=13) as server:
        chat = chat_with(server)
        assert say(chat, "Count").text == words
        assert len(server.requests) == 5
        assert texts(chat.history) == [("user", "Count"), ("model", words)]
        assert len(chat.history[1].parts) == 1


def test_an_image_in_an_answer_goes_back(server):
    chat = chat_with(server, generation_config={"response_modalities": ["TEXT", "IMAGE"]})
    say(chat, ["Draw", part_from_bytes(b"\x89PNG" * 30000, "image/png")])
    assert [part.inline_data is not None for part in chat.history[1].parts] == [False, True]
    say(chat, "Again")
    assert server.requests[1].json["contents"] == as_json(chat.history[:3])


def test_the_history_does_not_change_with_the_chunks(server):
    server.queue(
        Answer(
            chunks=[
                part_chunk({"text": "a"}),
                part_chunk({"text": "b", "thoughtSignature": "c2ln"}),
                part_chunk({"inlineData": {"mimeType": "image/png", "data": "YWJj"}}, finishReason="STOP"),
            ]
        )
    )
    chat = chat_with(server)
    for chunk in chat.send("Hello"):
        for part in chunk.parts:
            part.text = "changed"
            part.thought_signature = "changed"
            part.inline_data = None
        chunk.candidates[0].content.parts.clear()
    assert as_json(chat.history)[1]["parts"] == [
        {"text": "a"},
        {"text": "b", "thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "image/png", "data": "YWJj"}},
    ]


@pytest.fixture
def lenient_server():
    with LocalServer(lenient=True) as server:
        yield server


@pytest.mark.parametrize(
    "number, back",
    [
        ("1e999", "Infinity"),
        ("-1e999", "-Infinity"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_a_number_that_json_cannot_write_does_not_end_the_chat(lenient_server, number, back):
    """JSON can say 1e999 and Python reads it as infinity; gateways in Python send NaN itself."""
    server = lenient_server
    turn = (
        '{"role": "model", "x": %s, "parts": [{"functionCall": {"name": "f", "args": {"a": [%s, 1.5]}}}]}'
        % (number, number)
    )
    server.queue(
        Answer(body=b'data: {"candidates": [{"content": %b, "finishReason": "STOP"}]}\n\n' % turn.encode())
    )
    chat = Chat("m", endpoint=server.endpoint)
    came = collect(chat.send("one")).function_calls[0].args["a"]
    assert repr(came) == repr([float(number), 1.5])  # what came is as it came
    server.queue(Answer.text("fine \ud83d"))
    assert collect(chat.send("two")).text == "fine \ud83d"
    collect(chat.send("three"))
    sent = server.requests[2].json["contents"][1]
    assert sent["parts"][0]["functionCall"]["args"] == {"a": [back, 1.5]} and sent["x"] == back
    # What the user writes is another matter.
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        list(chat.send({"functionResponse": {"name": "f", "response": {"a": float(number)}}}))


def test_the_history_can_be_saved_edited_and_loaded(server):
    chat = chat_with(server, generation_config=THINKING)
    say(chat, ["Hello", part_from_bytes(b"abc", "image/png")])
    saved = json.dumps(as_json(chat.history))
    again = chat_with(server, history=json.loads(saved), generation_config=THINKING)
    assert again.history == chat.history
    assert say(again, "And?").text == say(chat, "And?").text
    del again.history[2:]
    again.history[0].parts[0].text = "Good day"
    again.history.append(Content(role="user", parts=[Part(text="Well?")]))
    say(again, "And now?")
    assert server.requests[-1].json["contents"] == as_json(again.history[:4])
    assert texts(again.history)[0][1] == "Good day"


def test_a_given_history_is_not_the_callers_list(server):
    mine = [{"role": "user", "parts": [{"text": "Hi"}]}, Content(role="model", parts=[Part(text="Hello")])]
    chat = chat_with(server, history=iter(mine))
    say(chat, "And?")
    assert len(mine) == 2 and len(chat.history) == 4


def test_a_message_is_one_content_of_the_user(server):
    chat = chat_with(server)
    say(chat, Content(parts=[Part(text="Hi")]))
    say(chat, [{"text": "a"}, "b"])
    assert as_json(chat.history)[0] == {"parts": [{"text": "Hi"}], "role": "user"}
    assert len(chat.history[2].parts) == 2
    for wrong in (
        [Content(role="user", parts=[Part(text="a")]), "b"],
        Content(role="model", parts=[Part(text="a")]),
    ):
        with pytest.raises(ConfigurationError, match="one content of the user"):
            chat.send(wrong)
    for wrong in ("", [], 5):
        with pytest.raises(ConfigurationError):
            chat.send(wrong)
    assert len(server.requests) == 2


# When nothing is recorded ------------------------------------------------------------


def test_after_a_break_the_history_is_as_before(server):
    chat = chat_with(server)
    say(chat, "Hello")
    before = copy.deepcopy(chat.history)
    for chunk in chat.send("one two three four five six seven"):
        break
    del chunk
    stream = chat.send("one two three four five six seven")
    next(stream)
    stream.close()
    assert chat.history == before
    assert say(chat, "And?").text.endswith("You said: And?")
    assert chat.history[:2] == before and len(chat.history) == 4


@pytest.mark.parametrize(
    "fault, kind",
    [
        (Answer.text("Once upon", " a time", stop_after=-150), IncompleteStreamError),
        (Answer(chunks=["Once upon", " a time"], stream_error=429), RateLimitError),
        (
            Answer(chunks=[part_chunk({"text": "Once upon"}), part_chunk({"text": " a time"})]),
            IncompleteStreamError,
        ),
    ],
)
def test_after_an_error_the_history_is_as_before_and_the_partial_answer_is_on_it(server, fault, kind):
    chat = chat_with(server)
    say(chat, "Hello")
    before = copy.deepcopy(chat.history)
    server.queue(fault)
    with pytest.raises(kind) as caught:
        for _ in chat.send("A story"):
            pass
    assert caught.value.partial.text in ("Once upon", "Once upon a time")
    assert chat.history == before
    say(chat, "A story")  # the same message can be sent again
    assert len(chat.history) == 4


def test_an_error_before_any_chunk_has_no_partial(server):
    chat = chat_with(server)
    server.queue(Answer.failure(400, "no"))
    with pytest.raises(BadRequestError) as caught:
        list(chat.send("Hello"))
    assert caught.value.partial is None and chat.history == []


def test_after_a_cancel_the_history_is_as_before(server):
    chat = chat_with(server)
    gates = [threading.Event() for _ in range(3)]
    gates[0].set()
    server.queue(Answer.text("Once ", "upon", gates=gates))
    cancel = Cancel()
    stream = chat.send("A story", cancel=cancel)
    assert next(stream).text == "Once "
    cancel.cancel()
    with pytest.raises(StreamCancelled) as caught:
        next(stream)
    assert caught.value.partial.text == "Once " and chat.history == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer.blocked(),
        Answer(chunks=[part_chunk({"text": "Well, "}), part_chunk({"text": "you"}, finishReason="SAFETY")]),
        Answer(chunks=[part_chunk({"text": "x"}, finishReason="MALFORMED_RESPONSE")]),
        Answer(chunks=[{"candidates": [{"finishReason": "STOP", "index": 0}]}]),
        Answer(chunks=[part_chunk({"text": ""}, finishReason="STOP")]),
        Answer(chunks=[part_chunk({"text": "hm", "thought": True}, finishReason="MAX_TOKENS")]),
    ],
)
def test_a_blocked_or_empty_answer_is_not_recorded_and_no_error(server, answer):
    chat = chat_with(server)
    say(chat, "Hello")
    before = copy.deepcopy(chat.history)
    server.queue(answer)
    say(chat, "Something")
    assert chat.history == before


@pytest.mark.parametrize(
    "answer",
    [
        Answer(chunks=[part_chunk({"text": "x"}, finishReason="MAX_TOKENS")]),
        Answer(chunks=[part_chunk({"text": "x"}, finishReason="A_NEW_REASON")]),
        Answer(chunks=[part_chunk({"text": "", "thoughtSignature": "c2ln"}, finishReason="STOP")]),
        Answer(
            chunks=[
                part_chunk({"text": "hm", "thought": True}),
                part_chunk({"text": "x"}, finishReason="STOP"),
            ]
        ),
        Answer(chunks=[{"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}]),
    ],
)
def test_what_the_model_meant_to_say_is_recorded(server, answer):
    chat = chat_with(server)
    server.queue(answer)
    say(chat, "Something")
    assert [content.role for content in chat.history] == ["user", "model"]


def test_only_the_first_candidate_is_recorded(server):
    chat = chat_with(server, generation_config={"candidateCount": 2})
    say(chat, "Hello")
    assert texts(chat.history)[1] == ("model", "You said: Hello")
    other = {"functionCall": {"name": "x", "willContinue": True}}
    server.queue(
        Answer(
            chunks=[
                part_chunk({"text": "a"}, finishReason="STOP"),
                {"candidates": [{"index": 1, "content": {"parts": [other]}, "finishReason": "MAX_TOKENS"}]},
            ]
        )
    )
    say(chat, "And?")
    assert texts(chat.history)[3] == ("model", "a")


# Arguments, connection, copies ---------------------------------------------------------


def test_request_fields_of_the_chat_and_of_one_turn(server):
    chat = chat_with(
        server, system_instruction="Be kind.", generation_config={"temperature": 0.5}, alt="json"
    )
    say(chat, "a", system_instruction="Be brief.")
    say(chat, "b")
    chat.request_fields["system_instruction"] = "Be quiet."
    say(chat, "c")
    asked = [request.json["systemInstruction"]["parts"][0]["text"] for request in server.requests]
    assert asked == ["Be brief.", "Be kind.", "Be quiet."]
    assert all(request.json["generationConfig"] == {"temperature": 0.5} for request in server.requests)
    assert all("alt" not in request.query for request in server.requests)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_function_calls": "3"},
        {"max_function_calls": True},
        {"max_function_calls": -1},
        {"confirm": "yes"},
        {"history": [5]},
        {"tools": [lambda x: x]},
        {"api_key": "two words"},
        {"endpoint": 5},
    ],
)
def test_bad_arguments_are_refused_at_once(server, arguments):
    with pytest.raises(ConfigurationError):
        Chat(MODEL, **{"endpoint": server.endpoint, **arguments})


@pytest.mark.parametrize("name", ["temprature", "tool", "continuation_token", "continue_automatically"])
def test_other_arguments_do_not_exist(server, name):
    """So that an editor or a type checker tells, too."""
    with pytest.raises(TypeError, match=name):
        Chat(MODEL, endpoint=server.endpoint, **{name: None})
    with pytest.raises(TypeError, match=name):
        chat_with(server).send("Hello", **{name: None})


def test_a_chat_has_the_fields_of_a_request():
    own = {"history", "endpoint", "api_key", "max_function_calls", "confirm"}
    fields = set(stream_generate.__kwdefaults__) - {
        "endpoint",
        "api_key",
        "continue_automatically",
        "continuation_token",
    }
    assert set(Chat.__init__.__kwdefaults__) == own | fields and set(Chat.send.__kwdefaults__) == fields


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)  # that is what is tested
def test_a_forked_child_has_a_connection_of_its_own(server):
    """Or parent and child would read each other's answers."""
    server.answer_with(
        lambda request: Answer.text("you said " + request.json["contents"][-1]["parts"][0]["text"])
    )
    chat = chat_with(server)
    assert say(chat, "0").text == "you said 0"
    for number in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                wrong = [k for k in range(9) if say(chat, f"child {k}").text != f"you said child {k}"]
                status = len(wrong)
                del chat  # as the end of the process would
            finally:
                os._exit(status)
        assert [say(chat, f"parent {k}").text for k in range(9)] == [f"you said parent {k}" for k in range(9)]
        assert os.waitpid(child, 0)[1] == 0
    assert server.connections == 4


@pytest.mark.parametrize(
    "arguments", [{"alt": "xml"}, {"deadline": -1}, {"tools": [5]}, {"cancel": 5}, {"generation_config": 5}]
)
def test_bad_arguments_of_a_turn_are_refused_at_the_call(server, arguments):
    with pytest.raises(ConfigurationError):
        chat_with(server).send("Hello", **arguments)


def test_nothing_is_sent_before_the_first_chunk_is_asked_for(server):
    chat_with(server).send("Hello")
    assert server.requests == []


def test_one_conversation_uses_one_connection(server):
    with chat_with(server, tools=[add]) as chat:
        for number in range(5):
            say(chat, f"number {number}")
        server.queue(Answer.call("add", {"a": 1, "b": 2}))
        say(chat, "1 + 2")
    assert len(server.requests) == 7 and server.connections == 1
    server.wait_for_connections(0)


def test_a_closed_chat_can_go_on(server):
    chat = chat_with(server)
    say(chat, "Hello")
    chat.close()
    say(chat, "And?")
    chat.close()
    assert server.connections == 2


def test_a_chat_that_is_dropped_closes_its_connection(server):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chat = chat_with(server)
        say(chat, "Hello")
        kept = chat._session  # as the traceback of an exception may keep it
        del chat
        gc.collect()
        server.wait_for_connections(0)
        del kept
    assert [each for each in caught if issubclass(each.category, ResourceWarning)] == []


def test_a_session_of_the_callers_is_used_and_not_closed(server):
    class Session(requests.Session):
        closed = 0

        def close(self):
            self.closed += 1
            super().close()

    with Session() as session:
        with Chat(MODEL, endpoint=replace(server.endpoint, session=session)) as chat:
            say(chat, "Hello")
        del chat
        gc.collect()
        assert session.closed == 0
    assert session.closed == 1


def test_a_chat_can_be_copied_and_pickled(server):
    chat = chat_with(server, system_instruction="Be kind.", tools=[add], max_function_calls=3)
    say(chat, "Hello")
    for make in (copy.copy, copy.deepcopy, lambda chat: pickle.loads(pickle.dumps(chat))):
        other = make(chat)
        assert other.history == chat.history and other.history is not chat.history
        assert (other.model, other.max_function_calls) == (MODEL, 3)
        say(other, "And?")
        assert len(other.history) == 4 and len(chat.history) == 2
        other.close()
    assert server.requests[-1].json["systemInstruction"] == server.requests[0].json["systemInstruction"]


def test_the_key_is_not_in_the_repr(server):
    assert "local-key" not in repr(chat_with(server)) and MODEL in repr(chat_with(server))


def test_a_query_key_stays_hidden_with_the_chats_own_session(caplog):
    with LocalServer(profile="chainhub") as server, caplog.at_level("DEBUG"):
        with Chat(MODEL, endpoint=replace(server.endpoint, auth=("query", "bearer"))) as chat:
            say(chat, "Hello")
        assert server.requests[0].query["key"] == server.api_key
    assert server.api_key not in caplog.text and "POST" in caplog.text


# Tools ---------------------------------------------------------------------------------


class Unit(Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@dataclass
class City:
    name: str
    country: str = "DE"


@dataclass
class Report:
    city: City
    degrees: float
    unit: Unit


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def weather(city: City, unit: Unit = Unit.CELSIUS, days: Optional[List[int]] = None) -> Report:
    """Tell the weather."""
    assert isinstance(city, City) and isinstance(unit, Unit)
    return Report(city, 20.5, unit)


def fail(reason: str) -> str:
    raise LookupError(reason)


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
        'the arguments do not fit: $.a: expected a whole number, got "2"',
        "the arguments do not fit: $.b: it is missing",
        "the arguments do not fit: $.c: there is no such name in add",
        "there is no function 'print'; there is fail, add, weather",
        "the arguments do not fit: $.city.name: expected a text, got 5",
        'the arguments do not fit: $.unit: expected one of "celsius", "fahrenheit", got "kelvin"',
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
    assert all("there is no function" in response["error"] for _, response in results(chat.history))
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


# Faults --------------------------------------------------------------------------------


def conversation(faults=None, seed=0):
    """The history of a chat of 20 turns with thoughts and tools, each sent until it ends well."""
    rng = random.Random(seed)
    messages = []
    for number in range(20):
        kind = rng.choice(["text", "text", "call", "calls", "broken call", "image"])
        messages.append(
            {
                "text": f"message {number} " + "word " * rng.randrange(30),
                "call": f'add({{"a": {number}, "b": 1}})',
                "calls": f'add({{"a": {number}, "b": 1}}) weather({{"city": {{"name": "Ulm"}}}}) fail',
                "broken call": f'add({{"a": "{number}"}})',
                "image": [f"picture {number}", part_from_bytes(b"%d" % number * 100, "image/png")],
            }[kind]
        )
    failures = 0
    with LocalServer(require_signatures=True, faults=faults) as server:
        endpoint = replace(server.endpoint, retry=Retry(attempts=2, initial_delay=0.001), timeout=5)
        with Chat(MODEL, endpoint=endpoint, tools=[add, weather, fail], generation_config=THINKING) as chat:
            for message in messages:
                for _ in range(100):
                    before = as_json(chat.history)
                    try:
                        for _ in chat.send(message):
                            if faults is not None and rng.random() < 0.02:
                                break
                        else:
                            break
                    except GeministreamError:
                        failures += 1
                    assert as_json(chat.history) == before
                else:
                    raise AssertionError("a turn never ended well")
            return chat.history, failures


@pytest.mark.parametrize("seed", sample(range(12), 12))
def test_a_chat_with_faults_ends_with_the_history_of_a_chat_without(seed):
    expected, failures = conversation(seed=seed)
    assert failures == 0 and len(expected) >= 40
    history, failures = conversation(RandomFaults(seed, rate=0.5), seed)
    assert failures > 3  # or it would prove little
    assert as_json(history) == as_json(expected)


def test_a_call_object_is_what_confirm_gets(server):
    got = []
    server.queue(Answer.call("add", {"a": 1, "b": 2}, id="7"), "3")
    chat = chat_with(server, tools=[add], confirm=lambda call: got.append(call) or True)
    say(chat, "1 + 2")
    assert got == [FunctionCall(name="add", args={"a": 1, "b": 2}, id="7")]
