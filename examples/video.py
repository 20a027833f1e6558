"""Describe a video: python examples/video.py VIDEO [--offline]"""

import sys

from geministream import stream_generate, upload_file, wait_for_file
from geministream.testing import LocalServer

server = LocalServer().start() if "--offline" in sys.argv else None  # without it: Google
endpoint = server.endpoint if server else None

video = upload_file(sys.argv[1], endpoint=endpoint)
video = wait_for_file(video, endpoint=endpoint)  # the server processes it first
question = ["Describe this video clip.", video]
for chunk in stream_generate("gemini-flash-latest", question, endpoint=endpoint):
    print(chunk.text, end="", flush=True)
print()
