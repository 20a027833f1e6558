"""The command line: options for what the API can, models, count, and the ways of a batch."""

import json
import shutil
import signal
import subprocess
import threading

import pytest
from support.program import needs_posix, rest_of, run, started

from geministream.cli.completion import SHELLS
from geministream.testing import Answer


def asked(here, server, *args):
    """The JSON of the request that these arguments make."""
    count = server.request_count
    result = here(*args, server=server)
    assert result.status == 0, result.err
    assert server.request_count == count + 1
    return server.requests[-1].json


# -- fields of the request -----------------------------------------------------------


def test_any_field_of_the_generation_config(here, server):
    args = ["-o", "seed", "7", "--option", "topK", "3", "-o", "stop_sequences", "END"]
    args += ["-o", "image_config", '{"aspectRatio": "16:9"}', "-o", "response_mime_type", "text/x.enum"]
    args += ["-o", "temperature", "0.5", "--temperature", "1"]
    assert asked(here, server, "stream", "Hi", *args)["generationConfig"] == {
        "seed": 7,
        "topK": 3,
        "stopSequences": ["END"],
        "imageConfig": {"aspectRatio": "16:9"},
        "responseMimeType": "text/x.enum",
        "temperature": 0.5,
    }


def test_a_field_of_tomorrow_is_sent_too(here, server):
    result = here("stream", "-o", "brand_new_field", "[1]", "Hi", server=server)
    assert 'Unknown name "brandNewField" at' in result.notes[-1]  # says the server


def test_an_option_that_is_mistyped(here):
    result = here("stream", "-o", "temprature", "1", "Hi")
    assert result.status == 2
    assert "temprature is not a field of the generation config (did you mean temperature?)" in result.notes[0]
    assert here("stream", "-o", "a b", "1", "Hi").status == 2


@pytest.mark.parametrize("value", ["", "nan", "[" * 10**5, "\ud800", '{"a": 1e999}', "null"])
def test_odd_values_of_an_option_are_not_reported_as_bugs(here, server, value):
    result = here("stream", "-o", "seed", value, "Hi", server=server)
    assert result.status in (0, 1, 2) and "bug" not in result.err


@pytest.mark.parametrize(
    "given, config",
    [
        ("low", {"thinkingLevel": "LOW"}),
        ("HIGH", {"thinkingLevel": "HIGH"}),
        ("0", {"thinkingBudget": 0}),
        ("-1", {"thinkingBudget": -1}),
    ],
)
def test_thinking(here, server, given, config):
    request = asked(here, server, "stream", "--thinking", given, "Hi")
    assert request["generationConfig"] == {"thinkingConfig": config}
    request = asked(here, server, "stream", "--thinking", given, "--thoughts", "Hi")
    assert request["generationConfig"] == {"thinkingConfig": {**config, "includeThoughts": True}}


def test_tools_and_safety(here, server, tmp_path):
    args = ["--search", "--code", "--url-context"]
    args += ["--safety", "harassment=none", "--safety", "HARM_CATEGORY_HATE_SPEECH=BLOCK_ONLY_HIGH"]
    args += ["--safety", "dangerous-content=off"]
    prompts = tmp_path / "prompts"
    prompts.write_text('"Hi"\n')
    for command in (["stream", "Hi"], ["chat"], ["batch", prompts, "-o", tmp_path / "results"]):
        here(*command, *args, server=server, stdin=b"Hi\n" if command == ["chat"] else b"")
        request = server.requests[-1].json
        assert request["tools"] == [{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}]
        assert request["safetySettings"] == [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
            {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "OFF"},
        ]


@pytest.mark.parametrize(
    "args, words",
    [
        (
            ["--thinking", "hihg"],
            "--thinking must be minimal, low, medium, high or xhigh, or a number of tokens",
        ),
        (["--thinking", "-2"], "got -2"),
        (["--safety", "hate"], "hate_speech"),
        (["--safety", "harassment=sometimes"], "only_high"),
        (["--safety", "harassmnet=off"], "(did you mean harassment?)"),
    ],
)
def test_wrong_values(here, args, words):
    result = here("stream", *args, "Hi")
    assert result.status == 2 and words in result.notes[0]


def test_the_model_of_the_environment(here, server):
    env = {"GEMINI_MODEL": "gemini-env"}
    for args, model in (([], "gemini-env"), (["-m", "gemini-x"], "gemini-x")):
        here("stream", "Hi", *args, server=server, env=env)
        assert server.requests[-1].model == model
    assert "GEMINI_MODEL" in here("stream", "--help").out


# -- standard input --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, args, mime_type",
    [
        (b"\x89PNG\r\n\x1a\n\0", [], "image/png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", [], "image/webp"),
        (b"\0\0\0\x18ftypmp42", [], "video/mp4"),
        (b"%PDF-1.7\n\xff", [], "application/pdf"),
        ("caf\u00e9".encode(), [], "text/plain"),
        (b"\0\1\2", ["--mime-type", "audio/pcm"], "audio/pcm"),
    ],
)
def test_a_file_from_standard_input(here, server, data, args, mime_type):
    result = here("stream", "-f", "-", *args, "What?", server=server, stdin=data)
    assert result.status == 0
    blob, text = server.requests[0].json["contents"][0]["parts"]
    assert blob["inlineData"]["mimeType"] == mime_type and text == {"text": "What?"}


def test_a_file_from_standard_input_is_uploaded_when_asked(here, server):
    result = here("stream", "-f", "-", "--upload", "What?", server=server, stdin=b"%PDF-1.7")
    (name,) = server.files
    assert result.status == 0
    assert result.notes == [f"uploaded standard input as {name}, which -f also accepts for 48 hours"]


@pytest.mark.parametrize(
    "args, data, words",
    [
        (["-f", "-"], b"", "it is empty"),
        (["-f", "-"], b"\0\1", "--mime-type"),
        (["-f", "-", "-f", "-"], b"x", "only once"),
    ],
)
def test_standard_input_that_cannot_be_attached(here, server, args, data, words):
    result = here("stream", *args, "Hi", server=server, stdin=data)
    assert (result.status, server.requests) == (2, []) and words in result.notes[0]


@needs_posix
def test_standard_input_is_left_alone(server):
    with started("stream", "--no-stdin", "Hello", server=server, stdin=subprocess.PIPE) as process:
        with process.stdin:
            assert rest_of(process).out == "You said: Hello\n"  # though the pipe is open


# -- models and count --------------------------------------------------------------------


def test_models(here, server):
    header, *lines = here("models", server=server).out.splitlines()
    assert header.split(None, 3) == ["NAME", "INPUT", "OUTPUT", "DISPLAY NAME"]
    listed = [json.loads(line) for line in here("models", "--json", server=server).out.splitlines()]
    assert listed and [line.split()[0] for line in lines] == [
        each["name"][len("models/") :] for each in listed
    ]
    assert lines[0].split()[1:3] == [str(listed[0]["inputTokenLimit"]), str(listed[0]["outputTokenLimit"])]


def test_count(here, server, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"PNG")
    result = here("count", "one two", "-m", "gemini-x", "three", server=server, stdin=b"four")
    assert (result.status, result.err) == (0, "") and int(result.out) > 0
    request = server.requests[-1]
    assert request.path == "/v1beta/models/gemini-x:countTokens"
    assert request.json == {"contents": [{"role": "user", "parts": [{"text": "one two three\n\nfour"}]}]}
    result = here("count", "-f", path, "-s", "Be brief", "--json", server=server)
    assert json.loads(result.out)["totalTokens"] > 0
    counted = server.requests[-1].json["generateContentRequest"]
    assert counted["systemInstruction"] == {"parts": [{"text": "Be brief"}]}
    assert "inlineData" in counted["contents"][0]["parts"][0]


# -- batch ---------------------------------------------------------------------------------


def test_lines_of_plain_text(here, server, tmp_path):
    prompts, output = tmp_path / "prompts.txt", tmp_path / "results.jsonl"
    prompts.write_bytes(b'\xef\xbb\xbf"quoted"\r\n\n{not JSON\n\xff\nlast')
    result = here("batch", prompts, "-o", output, "--lines", server=server)
    lines = {line["index"]: line for line in map(json.loads, output.read_text("utf-8").splitlines())}
    assert result.status == 1 and sorted(lines) == [0, 2, 3, 4]
    texts = ["You said: " + text for text in ('"quoted"', "{not JSON", "last")]
    assert [lines[index].get("text") for index in (0, 2, 4)] == texts
    assert "UTF-8" in lines[3]["error"]["message"]


def slow_first(server):
    """The first prompt's answer comes when the others are there; the last one is wrong."""
    gate = threading.Event()
    server.answer_with(lambda request: Answer(wait=gate) if b"prompt 0" in request.body else None)
    return gate


def prompts_in(path, count):
    path.write_text("".join(f"prompt {number}\n" for number in range(count)))
    return path


def test_results_in_order(server, tmp_path):
    prompts, output = prompts_in(tmp_path / "prompts", 8), tmp_path / "results"
    gate = slow_first(server)
    args = ["batch", prompts, "-o", output, "--lines", "--workers", "2", "--ordered"]
    with started(*args, server=server) as process:
        server.wait_until(lambda: sum(request.finished.is_set() for request in server.requests) == 7)
        assert output.read_bytes() == b""
        gate.set()
        assert rest_of(process).status == 0
    assert [json.loads(line)["index"] for line in output.read_bytes().splitlines()] == list(range(8))


@needs_posix
def test_an_interruption_loses_no_result_that_waits_for_its_turn(server, tmp_path):
    prompts, output = prompts_in(tmp_path / "prompts", 4), tmp_path / "results"
    gate = slow_first(server)
    args = ["batch", prompts, "-o", output, "--lines", "--workers", "2", "--ordered"]
    with started(*args, server=server) as process:
        server.wait_until(lambda: sum(request.finished.is_set() for request in server.requests) >= 3)
        process.send_signal(signal.SIGINT)
        assert rest_of(process).status == 130
    indices = [json.loads(line)["index"] for line in output.read_bytes().splitlines()]
    assert indices == sorted(indices) and 0 not in indices and len(indices) >= 2
    gate.set()
    assert run(*args, server=server).status == 0
    assert sorted(json.loads(line)["index"] for line in output.read_bytes().splitlines()) == [0, 1, 2, 3]


# -- completion --------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(here, tmp_path, shell):
    result = here("--completion", shell)
    assert result.status == 0 and "--save-media" in result.out or "-l save-media" in result.out
    assert f"--completion {shell}" in result.out.splitlines()[0]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; its syntax was not checked")
    script = tmp_path / "script"
    script.write_text(result.out)
    subprocess.run([shell, "-n", script], check=True)


def test_an_unknown_shell(here):
    result = here("--completion", "csh")
    assert result.status == 2 and "--completion must be bash, zsh or fish, got csh" in result.notes[0]


def completed(here, tmp_path, *words):
    """What bash offers for the last of these words."""
    script = tmp_path / "script"
    script.write_text(here("--completion", "bash").out)
    code = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _geministream; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", str(script), "geministream", *words], stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(here, tmp_path):
    assert completed(here, tmp_path, "s") == ["stream", "serve"]
    assert completed(here, tmp_path, "files", "") == ["upload", "list", "get", "delete"]
    assert completed(here, tmp_path, "files", "upload", "--wa") == ["--wait"]
    assert completed(here, tmp_path, "stream", "-f", "photo.png", "--sys") == ["--system"]
    assert completed(here, tmp_path, "stream", "-f", "pho") == []  # a path, which bash completes itself
