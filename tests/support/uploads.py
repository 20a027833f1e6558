"""What uploads are tested with: bytes, sources, what a server has of them, and servers of raw answers."""

import hashlib
import io
import json
import random
import select

from geministream import Endpoint, Retry, upload_file

from .raw_server import RawServer, head

KIB, MIB = 2**10, 2**20
STEP = 256 * KIB  # the granularity of LocalServer, as Google's


def some_bytes(size, seed=0):
    """Bytes of which no two stretches are alike."""
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "little")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Once:
    """A binary file object that can only be read, and gives as much as it likes."""

    def __init__(self, data, most=10**9):
        self._file = io.BytesIO(data)
        self._most = most
        self.given = 0

    def read(self, size=-1):
        data = self._file.read(min(size, self._most) if size >= 0 else self._most)
        self.given += len(data)
        return data


def sent_pieces(server):
    """``(command, offset, bytes)`` of all commands with an upload's id."""
    return [
        (r.headers["x-goog-upload-command"], int(r.headers.get("x-goog-upload-offset", -1)), r.size)
        for r in server.requests
        if "upload_id" in r.query
    ]


def stored(server):
    (file,) = server.files.values()
    return file


CONTENT = some_bytes(3 * STEP + 12345)


def reply(value=None, status="200 OK", **headers):
    """A complete response."""
    body = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
    return head(status, content_length=len(body), **headers) + body


def begun(url="/upload/v1beta/files?upload_id=1", **headers):
    return reply({}, x_goog_upload_status="active", x_goog_upload_url=url, **headers)


def active(**headers):
    return reply(x_goog_upload_status="active", **headers)


def received(count):
    return active(x_goog_upload_size_received=count)


def final(**fields):
    return reply({"file": {"name": "files/x", **fields}}, x_goog_upload_status="final")


def failure(code, **headers):
    return reply({"error": {"code": code, "message": f"no {code}"}}, status=f"{code} No", **headers)


def raw_endpoint(server, prefix="", **fields):
    return Endpoint(
        **{
            "base_url": server.url + prefix,
            "api_key": "secret-key",
            "timeout": 10,
            "retry": Retry(initial_delay=0.001),
            **fields,
        }
    )


class Talk:
    """A `RawServer` script: one answer for each request, over as many connections as it takes."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.requests = []  # (command, offset, target, body)
        self.headers = []

    def __call__(self, connection):
        while self._answers:
            while not select.select([connection.sock], [], [], 0.02)[0]:
                connection.pause(0)  # ends it with the test
            connection.read_request()
            self.headers.append(connection.headers)
            self.requests.append(
                (
                    connection.headers.get("x-goog-upload-command"),
                    connection.headers.get("x-goog-upload-offset"),
                    connection.target,
                    connection.body,
                )
            )
            connection.send(self._answers.pop(0))

    def upload(self, data, prefix="", **arguments):
        fields = arguments.pop("fields", {})
        with RawServer(self) as server:
            return upload_file(
                data, mime_type="audio/mpeg", endpoint=raw_endpoint(server, prefix, **fields), **arguments
            )

    @property
    def commands(self):
        return [request[0] for request in self.requests]
