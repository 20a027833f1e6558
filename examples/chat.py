"""Hold a conversation: python examples/chat.py [--offline]"""

import sys

from geministream import Chat
from geministream.testing import LocalServer

server = LocalServer().start() if "--offline" in sys.argv else None  # without it: Google
endpoint = server.endpoint if server else None

history = [
    {"role": "user", "parts": [{"text": "Hello"}]},
    {"role": "model", "parts": [{"text": "What would you like to know?"}]},
]
with Chat("gemini-flash-latest", history=history, endpoint=endpoint) as chat:
    for message in ["I have 2 dogs in my house.", "How many paws are in my house?"]:
        for chunk in chat.send(message):
            print(chunk.text, end="", flush=True)
        print()
