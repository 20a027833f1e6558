"""The chunks of answers over many requests, and reading such an answer."""

from geministream import APIError, IncompleteStreamError, StreamTimeoutError, stream_generate

MODEL = "gemini-flash-latest"
WORDS = " ".join(f"w{number}" for number in range(200))


def text_chunk(text, **candidate):
    content = {"content": {"role": "model", "parts": [{"text": text}]}} if text else {}
    return {"candidates": [{**content, "index": 0, **candidate}]}


def usage(prompt, answer):
    return {"promptTokenCount": prompt, "candidatesTokenCount": answer, "totalTokenCount": prompt + answer}


def read(server, *, prompt="Go on", **arguments):
    """``(text, error)`` of a stream read to its end; the error is None if it ends well."""
    text = []
    try:
        for chunk in stream_generate(MODEL, prompt, endpoint=server.endpoint, **arguments):
            text.append(chunk.text)
    except (IncompleteStreamError, StreamTimeoutError, APIError) as error:
        return "".join(text), error
    return "".join(text), None


def tokens_asked(server):
    return [request.json.get("continuationToken") for request in server.requests]


def candidate(index, text, **more):
    return {"candidates": [{"index": index, "content": {"parts": [{"text": text}]}, **more}]}


BREAKS = ["end", "drop", "reset"]
