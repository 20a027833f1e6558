"""Ask about an image: python examples/image.py PHOTO [--offline]"""

import sys
from pathlib import Path

from geministream import stream_generate
from geministream.testing import LocalServer

server = LocalServer().start() if "--offline" in sys.argv else None  # without it: Google
endpoint = server.endpoint if server else None

question = ["Tell me about this picture.", Path(sys.argv[1])]
for chunk in stream_generate("gemini-flash-latest", question, endpoint=endpoint):
    print(chunk.text, end="", flush=True)
print()
