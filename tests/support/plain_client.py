"""Asking a LocalServer with sockets and requests alone, never with our own client."""

import json
import socket

import requests

from geministream.testing import Answer

KEY = {"x-goog-api-key": "local-key"}
PLAIN = {**KEY, "Accept-Encoding": "identity"}
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Hello there, how <are> you today?"}]}]}
STREAM = "/v1beta/models/gemini-x:streamGenerateContent"


def ask(server, body=HELLO, *, alt="sse", path=STREAM, headers=PLAIN, stream=False, **how):
    url = server.url + path + (f"?alt={alt}" if alt else "")
    return requests.post(url, json=body, headers=headers, stream=stream, timeout=10, **how)


def sse(data):
    """The events of a body, read as plainly as can be."""
    events = data.replace(b"\r\n", b"\n").split(b"\n\n")
    return [json.loads(each[len(b"data: ") :]) for each in events if each.startswith(b"data: {")]


def text_of(chunks, index=0, thought=False):
    return "".join(
        part.get("text", "")
        for chunk in chunks
        for candidate in chunk.get("candidates", ())
        if candidate["index"] == index
        for part in candidate.get("content", {}).get("parts", ())
        if bool(part.get("thought")) == thought
    )


def prompt(text, **fields):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **fields}


def raw(server, data):
    """Everything that the server sends to these bytes, until it closes."""
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        sock.sendall(data)
        received = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                return received
            received += piece


def post_bytes(body=None, path=STREAM + "?alt=sse", extra="Connection: close\r\n"):
    body = json.dumps(HELLO if body is None else body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nx-goog-api-key: local-key\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def body_bytes(server, **how):
    """The body's bytes, undisturbed."""
    server.queue(Answer(**how))
    return ask(server).content


def start_upload(server, size=None, mime_type="image/png", headers=KEY, **file):
    told = {} if size is None else {"X-Goog-Upload-Header-Content-Length": str(size)}
    response = requests.post(
        server.url + "/upload/v1beta/files",
        json={"file": file},
        headers={
            **headers,
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Type": mime_type,
            **told,
        },
    )
    assert response.headers.get("X-Goog-Upload-Status") == "active" or response.status_code != 200
    return response


def send(url, data, offset, command="upload"):
    return requests.post(
        url,
        data=data,
        headers={"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)},
        timeout=10,
    )


def received(url):
    response = requests.post(url, headers={"X-Goog-Upload-Command": "query"})
    return int(response.headers["X-Goog-Upload-Size-Received"]), response.headers["X-Goog-Upload-Status"]


def upload(server, data, mime_type="image/png", **file):
    url = start_upload(server, len(data), mime_type, **file).headers["X-Goog-Upload-URL"]
    return send(url, data, 0, "upload, finalize").json()["file"]
