"""Conversations: what is recorded and when, also with faults."""

import copy
import json
import random
import threading
from dataclasses import replace

import pytest
from support.chats import MODEL, THINKING, add, as_json, chat_with, fail, part_chunk, say, texts, weather
from support.long_form import sample

from geministream import (
    BadRequestError,
    Cancel,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    RateLimitError,
    Retry,
    StreamCancelled,
    collect,
    part_from_bytes,
)
from geministream.chat import Chat
from geministream.testing import Answer, LocalServer, RandomFaults
from geministream.types import Content, Part


@pytest.fixture
def server():
    with LocalServer(require_signatures=True) as server:
        yield server


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
    for last in stream:  # noqa: B007  looked at below
        assert chat.history == []
    assert last.finish_reason == "STOP" and len(chat.history) == 2
    assert list(stream) == [] and len(chat.history) == 2


def test_thoughts_and_signatures_are_recorded_unchanged(server):
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
    args = f'{{"a": [{number}, 1.5]}}'
    turn = (
        f'{{"role": "model", "x": {number}, "parts": [{{"functionCall": {{"name": "f", "args": {args}}}}}]}}'
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
    for chunk in chat.send("one two three four five six seven"):  # noqa: B007  held until it is deleted
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
