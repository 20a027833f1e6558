"""Mistakes that are easy to make, and what one reads of them."""

import subprocess
import sys
import traceback
import warnings
from dataclasses import dataclass, replace

import pytest

from geministream import (
    AuthenticationError,
    Chat,
    ConfigurationError,
    Content,
    Endpoint,
    GenerationConfig,
    Part,
    Retry,
    TransportError,
    UnknownFieldWarning,
    collect,
    generate,
    stream_generate,
)
from geministream.request import RequestBody
from geministream.testing import LocalServer

MODEL = "gemini-flash-latest"
KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")


# A misspelt name in a mapping --------------------------------------------------------


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"generation_config": {"max_tokens": 9}}, "'max_tokens'.*did you mean 'max_output_tokens'"),
        ({"generation_config": {"temprature": 1}}, "'temprature'.*did you mean 'temperature'"),
        ({"generation_config": {"thinkingConfig": {"budget": 1}}}, "ThinkingConfig has no field 'budget'"),
        ({"safety_settings": {"HARASSMENT": "OFF"}}, "'HARASSMENT'.*its fields are category, threshold"),
        ({"tools": [{"googleSerach": {}}]}, "did you mean 'google_search'"),
        ({"tool_config": {"function_calling": {}}}, "did you mean 'function_calling_config'"),
        ({"system_instruction": {"parts": [{"txt": "a"}]}}, "Part has no field 'txt'.*did you mean 'text'"),
    ],
)
def test_a_misspelt_name_warns_and_is_sent(fields, words):
    with pytest.warns(UnknownFieldWarning, match=words) as warned:
        body = RequestBody("Hi", **fields).with_token(None)
    assert len(warned) == 1
    ((value),) = fields.values()
    name = next(iter(value if isinstance(value, dict) else value[0]))
    assert name.encode()[-5:] in body


def test_the_warning_is_about_the_callers_line():
    with pytest.warns(UnknownFieldWarning) as warned:
        stream_generate(MODEL, "Hi", generation_config={"temprature": 1}, api_key="k")
    assert warned[0].filename == __file__


def test_no_warning_for_what_is_right_or_open_or_a_models():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RequestBody(
            [{"role": "model", "parts": [{"text": "a", "brandNew": 1}], "also": 2}, "Hi"],
            generation_config={"temperature": 1, "topP": 0.5, "responseJsonSchema": {"anything": {}}},
            tools=[{"google_search": {"any": 1}}],
            extra_body={"whatever": 1},
        )


def test_the_warning_can_be_turned_off():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UnknownFieldWarning)
        RequestBody("Hi", generation_config={"temprature": 1})


# A class where a schema belongs, a history that is none, a stream that was read --------


@dataclass
class Recipe:
    name: str


@pytest.mark.parametrize("name", ["response_schema", "response_json_schema", "responseSchema"])
def test_a_class_is_not_a_schema(name):
    with pytest.raises(ConfigurationError, match=r"use json_schema\(Recipe\)"):
        stream_generate(MODEL, "Hi", generation_config={name: Recipe}, api_key="k")


def test_a_class_in_a_message_is_not_a_schema():
    config = GenerationConfig(response_json_schema=Recipe)
    with pytest.raises(ConfigurationError, match=r"use json_schema\(Recipe\)"):
        stream_generate(MODEL, "Hi", generation_config=config, api_key="k")


@pytest.mark.parametrize(
    "history", ["Hello", b"Hello", 7, {"model": "m"}, ["Hello"], [{"text": "Hi"}], [Part(text="Hi")], [None]]
)
def test_a_history_is_a_list_of_contents(history):
    with pytest.raises(ConfigurationError, match="history= must be a list of contents"):
        Chat(MODEL, history=history, api_key="k")


def test_a_saved_conversation_is_a_history():
    saved = {"model": "m", "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert Chat(MODEL, history=saved, api_key="k").history == [Content(role="user", parts=[Part(text="Hi")])]


def test_a_stream_that_was_read_already(endpoint):
    chunks = stream_generate(MODEL, "Hello", endpoint=endpoint)
    assert collect(chunks).text == "You said: Hello"
    with pytest.raises(ConfigurationError, match="was read already"):
        collect(chunks)


def test_ask_returns_the_complete_answer(endpoint):
    with Chat(MODEL, endpoint=endpoint) as chat:
        assert chat.ask("Hello").text == "You said: Hello"
        assert len(chat.history) == 2


# Keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
def test_an_authentication_error_says_where_the_key_came_from(server, monkeypatch, name):
    monkeypatch.setenv(name, "wrong-key-123456")
    endpoint = Endpoint(server.url, retry=None)
    with pytest.raises(AuthenticationError) as caught:
        generate(MODEL, "Hi", endpoint=endpoint)
    assert f"The key came from {name}." in str(caught.value)
    assert "wrong-key" not in str(caught.value)


def test_a_key_that_was_given_came_from_nowhere(server):
    with pytest.raises(AuthenticationError) as caught:
        generate(MODEL, "Hi", endpoint=replace(server.endpoint, api_key="wrong-key-123456"))
    assert "came from" not in str(caught.value)


def test_a_token_of_a_callable_came_from_no_variable(server):
    endpoint = replace(server.endpoint, api_key=None, auth=lambda: "wrong-token-123456")
    with pytest.raises(AuthenticationError) as caught:
        generate(MODEL, "Hi", endpoint=endpoint)
    assert "came from" not in str(caught.value)


def test_a_line_end_in_the_variable_does_not_hide_its_name(server, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "wrong-key-123456\n")
    with pytest.raises(AuthenticationError, match="The key came from GEMINI_API_KEY"):
        generate(MODEL, "Hi", endpoint=Endpoint(server.url, retry=None))


def test_without_a_key_one_learns_where_to_get_one():
    with pytest.raises(ConfigurationError, match=r"https://aistudio\.google\.com/apikey.*--offline"):
        stream_generate(MODEL, "Hi")


# A refused connection ------------------------------------------------------------------


def test_a_refused_connection_has_a_short_traceback():
    with LocalServer() as server:
        pass
    endpoint = Endpoint(server.url, auth=(), retry=None)
    with pytest.raises(TransportError) as caught:
        generate(MODEL, "Hi", endpoint=endpoint)
    lines = "".join(traceback.format_exception(None, caught.value, caught.value.__traceback__)).splitlines()
    assert len(lines) < 45, "\n".join(lines)
    assert type(caught.value.__cause__).__name__ == "ConnectionError"
    context = caught.value.__cause__.__context__
    assert type(context).__name__ == "MaxRetryError"  # still there for those who look


def test_a_script_sees_a_short_traceback():
    with LocalServer() as server:
        pass
    code = (
        "from geministream import *\n"
        f"print(generate('m', 'Hi', endpoint=Endpoint({server.url!r}, auth=(), retry=None)).text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) < 30, done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "geministream.errors.TransportError: no answer from 127.0.0.1"
    )


def test_a_wait_of_more_than_a_second_is_logged_at_info(server, sleeps, caplog):
    from geministream.testing import Answer

    caplog.set_level("INFO", logger="geministream")
    server.queue(Answer.failure(429, "slow down", retry_info="7s"))
    endpoint = replace(server.endpoint, retry=Retry())
    generate(MODEL, "Hi", endpoint=endpoint)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "slow down" in record.getMessage()
    assert "; retrying in 7.0 s (2 of 4)" in record.getMessage()


def test_an_error_that_echoes_the_key_is_logged_without_it(server, sleeps, caplog):
    from geministream.testing import Answer

    heard = []
    caplog.set_level("DEBUG", logger="geministream")
    server.queue(Answer.failure(503, f"no room for {server.api_key}-secret"))
    endpoint = replace(server.endpoint, retry=Retry(on_retry=heard.append))
    generate(MODEL, "Hi", endpoint=endpoint)
    assert server.api_key not in caplog.text
    assert server.api_key not in str(heard[0].error)
