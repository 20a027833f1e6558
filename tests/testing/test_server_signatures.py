"""Thought signatures, which the test server checks."""

from support.plain_client import HELLO, ask, sse, text_of

from geministream.testing import Answer, LocalServer


def played(server):
    """A turn with two parallel calls, as the server asked for them, and their answers."""
    parts = [
        part for chunk in sse(ask(server).content) for part in chunk["candidates"][0]["content"]["parts"]
    ]
    answers = [
        {"functionResponse": {"name": part["functionCall"]["name"], "response": {"result": 1}}}
        for part in parts
        if "functionCall" in part
    ]
    return [*HELLO["contents"], {"role": "model", "parts": parts}, {"role": "user", "parts": answers}]


def test_signatures_are_checked():
    with LocalServer(require_signatures=True) as server:
        server.queue(Answer.calls(("f", {"a": 1}), ("g", {"b": 2})))
        contents = played(server)
        assert ask(server, {"contents": contents}).status_code == 200

        signed, plain = contents[1]["parts"]
        bare = {key: value for key, value in signed.items() if key != "thoughtSignature"}
        moved = {**plain, "thoughtSignature": signed["thoughtSignature"]}
        for parts in (
            [bare, plain],
            [bare, moved],
            [signed, moved],
            [{**signed, "thoughtSignature": "AAAA"}, plain],
        ):
            wrong = [contents[0], {"role": "model", "parts": parts}, contents[2]]
            error = ask(server, {"contents": wrong}).json()["error"]
            assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT"), parts
            assert "signature" in error["message"]

        old = [
            contents[0],
            {"role": "model", "parts": [bare, plain]},
            contents[2],
            {"role": "model", "parts": [{"text": "ok"}]},
            {"role": "user", "parts": [{"text": "next"}]},
        ]
        assert ask(server, {"contents": old}).status_code == 200  # asked for only in the current turn
        url_safe = {**signed, "thoughtSignature": signed["thoughtSignature"].rstrip("=").replace("+", "-")}
        assert (
            ask(
                server,
                {"contents": [contents[0], {"role": "model", "parts": [url_safe, plain]}, contents[2]]},
            ).status_code
            == 200
        )


def test_a_signature_that_is_not_even_text():
    with LocalServer(require_signatures=True) as server:
        part = {"text": "x", "thoughtSignature": "\ud800"}
        response = ask(server, {"contents": [{"role": "model", "parts": [part]}, *HELLO["contents"]]})
    assert response.status_code == 400 and "signature" in response.json()["error"]["message"]


def test_a_scripted_conversation_of_two_rounds():
    with LocalServer(require_signatures=True) as server:
        server.queue(Answer.calls(("search", {"q": "a"})), Answer.call("search", {"q": "b"}), "Found both.")
        contents = list(HELLO["contents"])
        for _ in range(3):
            chunks = sse(ask(server, {"contents": contents}).content)
            parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
            contents.append({"role": "model", "parts": parts})
            contents.append(
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"name": "search", "response": {"n": 1}}}
                        for part in parts
                        if "functionCall" in part
                    ],
                }
            )
        assert parts == [{"text": "Found both."}]
        # The first round's call belongs to the current turn too, and must keep its signature.
        del contents[1]["parts"][0]["thoughtSignature"]
        assert ask(server, {"contents": contents[:5]}).status_code == 400


def test_signatures_of_text_stay_on_their_part():
    with LocalServer(require_signatures=True) as server:
        body = {**HELLO, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
        chunks = sse(ask(server, body).content)
        signature = chunks[-1]["candidates"][0]["content"]["parts"][0]["thoughtSignature"]
        last = {"role": "user", "parts": [{"text": "and?"}]}

        def status(*parts):
            return ask(
                server, {"contents": [*HELLO["contents"], {"role": "model", "parts": list(parts)}, last]}
            ).status_code

        assert status({"text": text_of(chunks)}, {"text": "", "thoughtSignature": signature}) == 200
        assert status({"text": text_of(chunks), "thoughtSignature": signature}) == 400
