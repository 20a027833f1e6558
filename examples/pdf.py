"""Summarize a document: python examples/pdf.py DOCUMENT [--offline]"""

import sys

from geministream import delete_file, stream_generate, upload_file
from geministream.testing import LocalServer

server = LocalServer().start() if "--offline" in sys.argv else None  # without it: Google
endpoint = server.endpoint if server else None

document = upload_file(sys.argv[1], endpoint=endpoint)
question = ["Give me a summary of this document:", document]
for chunk in stream_generate("gemini-flash-latest", question, endpoint=endpoint):
    print(chunk.text, end="", flush=True)
print()
delete_file(document, endpoint=endpoint)
