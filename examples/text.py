"""Stream a text: python examples/text.py [--offline]"""

import sys

from geministream import stream_generate
from geministream.testing import LocalServer

server = LocalServer().start() if "--offline" in sys.argv else None  # without it: Google
endpoint = server.endpoint if server else None

prompt = "Write a story about a magic backpack."
for chunk in stream_generate("gemini-flash-latest", prompt, endpoint=endpoint):
    print(chunk.text, end="", flush=True)
print()
