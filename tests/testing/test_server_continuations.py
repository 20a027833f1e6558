"""The test server's long answers over many requests."""

import base64
import json
import random

import pytest
import requests
from support.long_form import sample
from support.plain_client import HELLO, KEY, ask, prompt, sse, text_of

from geministream.testing import Answer, LocalServer, RandomFaults, expected_text


def hops(server, body):
    """Follow the answer over its requests; the chunks of each hop."""
    token, found = None, []
    while True:
        chunks = sse(ask(server, {**body, **({"continuationToken": token} if token else {})}).content)
        found.append(chunks)
        last = chunks[-1]["candidates"][0]
        if last.get("finishReason") != "CONTINUATION":
            return found
        token = last["continuationToken"]


def test_long_answers_take_many_requests():
    body = prompt(
        " ".join(f"w{k}" for k in range(40)), generationConfig={"thinkingConfig": {"includeThoughts": True}}
    )
    with LocalServer(tokens_per_request=10, thinking_hops={2}) as server:
        found = hops(server, body)
        assert len(found) == 6  # 42 words, and one hop that only thinks
        assert text_of([chunk for hop in found for chunk in hop]) == expected_text(body)
        assert "content" not in found[2][0]["candidates"][0]
        counts = [hop[-1]["usageMetadata"]["promptTokenCount"] for hop in found]
        assert counts == [40, 50, 60, 60, 70, 80]
        assert all(not text_of(hop, thought=True) for hop in found[1:])
        assert server.whole_text(server.requests[-1]) == expected_text(body)


def test_checkpoints_and_tokens_are_checked():
    body = prompt(" ".join(f"w{k}" for k in range(40)))
    with LocalServer(checkpoint_every=2, words_per_chunk=2) as server:
        chunks = sse(ask(server, body).content)
        tokens = [chunk["candidates"][0].get("continuationToken") for chunk in chunks]
        assert [bool(token) for token in tokens[:6]] == [False, True] * 3 and not tokens[-1]
        rest = text_of(sse(ask(server, {**body, "continuationToken": tokens[3]}).content))
        assert text_of(chunks[:4]) + rest == expected_text(body)
        for other in (
            {**body, "continuationToken": "made up"},
            {**body, "continuationToken": base64.b64encode(b"[" * 100000).decode()},
            {**body, "continuationToken": base64.b64encode(b"[null, 0, 0, null]").decode()},
            {**prompt("else"), "continuationToken": tokens[3]},
        ):
            error = ask(server, other).json()["error"]
            assert error["code"] == 400 and "continuation_token" in error["message"]
    with LocalServer() as server:
        assert ask(server, {**body, "continuationToken": tokens[3]}).status_code == 400


def test_a_spent_budget_can_be_raised():
    body = prompt("a b c d e f g", generationConfig={"maxOutputTokens": 4})
    with LocalServer(tokens_per_request=3) as server:
        found = hops(server, body)
        last = found[-1][-1]["candidates"][0]
        assert last["finishReason"] == "MAX_TOKENS"
        more = {
            **body,
            "generationConfig": {"maxOutputTokens": 100},
            "continuationToken": last["continuationToken"],
        }
        rest = []
        while True:
            chunks = sse(ask(server, more).content)
            rest += chunks
            if chunks[-1]["candidates"][0]["finishReason"] == "STOP":
                break
            more["continuationToken"] = chunks[-1]["candidates"][0]["continuationToken"]
        told = text_of([chunk for hop in found for chunk in hop]) + text_of(rest)
        assert told == expected_text(prompt("a b c d e f g"))


def test_text_that_is_generated_again_reads_otherwise():
    body = prompt("a b c d e f g h")
    with LocalServer(checkpoint_every=1, words_per_chunk=2, reword=True) as server:
        first = sse(ask(server, body).content)  # of which only two chunks are made use of
        token = first[1]["candidates"][0]["continuationToken"]
        rest = text_of(sse(ask(server, {**body, "continuationToken": token}).content))
        assert rest == "c~2 d~2 e~2 f~2 g~2 h~2"
        assert text_of(first[:2]) + rest == server.whole_text(server.requests[-1]) == "You said: a b " + rest


@pytest.mark.parametrize("seed", sample(range(20), 3))
def test_long_answers_can_be_followed_through_breaks_exactly_once(seed):
    """A client as simple as can be, which resumes only where nothing came after the checkpoint."""
    rng = random.Random(seed)
    body = prompt(" ".join(f"w{k}" for k in range(60)))
    decide = random.Random(seed + 1)
    with LocalServer(
        tokens_per_request=13,
        checkpoint_every=lambda k: decide.random() < 0.5,
        thinking_hops={1, 3},
        reword=True,
        faults=RandomFaults(seed, 0.6, kinds=("end", "drop", "reset"), body_bytes=3000, limit=30),
    ) as server:
        token, told, after = None, "", ""
        while True:
            alt = rng.choice(["sse", None])
            server.gzip = rng.random() < 0.5
            received = b""
            try:
                response = ask(
                    server,
                    {**body, **({"continuationToken": token} if token else {})},
                    alt=alt,
                    stream=True,
                    headers=KEY,
                )
                for piece in response.iter_content(1):
                    received += piece
            except requests.RequestException:
                pass
            finish = None
            for chunk in complete_chunks(received):
                candidate = chunk["candidates"][0]
                finish = candidate.get("finishReason")
                after += text_of([chunk])
                if "continuationToken" in candidate:
                    token, told, after = candidate["continuationToken"], told + after, ""
            told, after = (told + after, "") if finish == "STOP" else (told, after)
            if finish == "STOP":
                break
            after = ""  # what came after the last checkpoint is thrown away, as if it had not been shown
        assert told == server.whole_text(server.requests[-1])
        assert told.replace("~2", "").replace("~3", "").startswith("You said: w0 w1")
        assert [word.partition("~")[0] for word in told.split()] == expected_text(body).split()


def complete_chunks(data):
    """The complete chunks, in either framing."""
    if not data.startswith(b"["):
        return sse(data[: data.rfind(b"\r\n\r\n") + 4])
    chunks, decoder, text = [], json.JSONDecoder(), data.decode("utf-8", "ignore")
    at = 1
    while True:
        at = len(text) - len(text[at:].lstrip(" ,\r\n"))
        try:
            chunk, at = decoder.raw_decode(text, at)
        except ValueError:
            return chunks
        chunks.append(chunk)


def test_scripted_tokens_are_checked_too(server):
    chunk = {"candidates": [{"index": 0, "finishReason": "CONTINUATION", "continuationToken": "T"}]}
    server.queue(Answer([chunk]), "rest")
    ask(server)
    assert ask(server, {**prompt("other"), "continuationToken": "T"}).status_code == 400
    assert text_of(sse(ask(server, {**HELLO, "continuationToken": "T"}).content)) == "rest"
