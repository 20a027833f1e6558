"""How an answer ends for each client: what raises, what is retried, what looks like a complete answer.

    .venv/bin/python benchmarks/endings.py

Each client has its defaults and reads the same answers of LocalServer.  google-genai is left out if it
is not installed (extra ``bench``).  README.rst and docs/performance.rst show the table.
"""

import json
import os
import sys
from typing import Callable, Dict, List

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout itself

import requests  # noqa: E402

from geministream import Endpoint, stream_generate  # noqa: E402
from geministream.testing import Answer, LocalServer  # noqa: E402

TEXT = ["one ", "two"]
SCENARIOS: Dict[str, List[Answer]] = {
    "a complete answer": [Answer(TEXT)],
    "no finish reason": [Answer(TEXT, finish=None)],
    "an empty body": [Answer(body=b"")],
    "half an event at the end": [Answer(TEXT, stop_after=-20, stop_how="end")],
    "a broken connection": [Answer(TEXT, stop_after=-20, stop_how="drop")],
    "a JSON array": [Answer(TEXT, framing="json")],
    "an error in the stream": [Answer(["one "], finish=None, stream_error=(503,))],
    "a 503 before the answer": [Answer.failure(503, retry_after=0), Answer(TEXT)],
}


def with_geministream(server: LocalServer) -> str:
    endpoint = Endpoint(server.url, api_key=server.api_key)
    return "".join(chunk.text for chunk in stream_generate("m", "Hello", endpoint=endpoint))


def with_google_genai(server: LocalServer) -> str:
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=server.api_key, http_options=types.HttpOptions(base_url=server.url))
    chunks = client.models.generate_content_stream(model="m", contents="Hello")
    return "".join(chunk.text or "" for chunk in chunks)


def with_requests(server: LocalServer) -> str:
    """The loop that many programs have."""
    response = requests.post(
        f"{server.url}/v1beta/models/m:streamGenerateContent?alt=sse",
        headers={"x-goog-api-key": server.api_key},
        json={"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        stream=True,
        timeout=(10, 600),
    )
    response.raise_for_status()
    text = ""
    with response:
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                chunk = json.loads(line[6:])
                for part in chunk.get("candidates", [{}])[0].get("content", {}).get("parts", []):
                    text += part.get("text", "")
    return text


CLIENTS: Dict[str, Callable[[LocalServer], str]] = {
    "geministream": with_geministream,
    "google-genai": with_google_genai,
    "requests loop": with_requests,
}


def ending(client: Callable[[LocalServer], str], answers: List[Answer]) -> str:
    with LocalServer() as server:
        server.queue(*answers)
        try:
            text = client(server)
        except ImportError:
            return "-"
        except Exception as error:
            return f"raises {type(error).__name__}"
        retried = "retried, " if server.request_count > 1 else ""
        return f"{retried}{text!r}"


def main() -> None:
    rows = [["what the server sends", *CLIENTS]]
    for name, answers in SCENARIOS.items():
        rows.append([name, *(ending(client, answers) for client in CLIENTS.values())])
    widths = [max(map(len, column)) for column in zip(*rows)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    print("\n".join([rule, lines[0], rule, *lines[1:], rule]))


if __name__ == "__main__":
    main()
