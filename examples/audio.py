"""Summarize a recording: python examples/audio.py RECORDING [--offline]"""

import sys

from geministream import stream_generate, upload_file
from geministream.testing import LocalServer

server = LocalServer().start() if "--offline" in sys.argv else None  # without it: Google
endpoint = server.endpoint if server else None

recording = upload_file(sys.argv[1], endpoint=endpoint)
question = ["Give me a summary of this audio file.", recording]
for chunk in stream_generate("gemini-flash-latest", question, endpoint=endpoint):
    print(chunk.text, end="", flush=True)
print()
