"""A chat's arguments, its connection and its copies."""

import copy
import gc
import os
import pickle
import warnings
from dataclasses import replace

import pytest
import requests
from support.chats import MODEL, add, chat_with, say

from geministream import ConfigurationError, stream_generate
from geministream.chat import Chat
from geministream.testing import Answer, LocalServer


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


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
    """So that an editor or a type checker reports them, too."""
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
    for _ in range(3):
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


def test_a_closed_chat_can_continue(server):
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
