"""Replays bodies made in advance, as fast as a socket takes them.

Prints its port and serves until its standard input ends; a path names a body:
``/v1beta/models/BODY:streamGenerateContent``.
"""

import re
import socket
import sys
import threading
import time
from typing import Dict, List, NamedTuple, Tuple

from bodies import Body, all_bodies

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n"
    b"Date: Fri, 01 Aug 2025 12:00:00 GMT\r\nServer: replay\r\n\r\n"
)
_REQUEST_LINE = re.compile(rb"POST \S*/models/([\w-]+):streamGenerateContent(\S*) HTTP/1.1\r\n")
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_AT_ONCE = 2**20  # bytes; a piece that is often repeated is joined up to about this


class Answer(NamedTuple):
    """The texts that go into the socket, each so many times, and the seconds between and before them."""

    texts: List[Tuple[bytes, int]]
    pause: float
    latency: float


def render(body: Body) -> Answer:
    """As few texts as can be, or where there are pauses one for each HTTP chunk."""
    texts: List[Tuple[bytes, int]] = []
    together = bytearray()
    for piece, times in body.pieces:
        http_chunk = b"%x\r\n%s\r\n" % (len(piece), piece)
        if body.pause:
            texts.append((http_chunk, times))
        elif len(http_chunk) * times > 64 * _AT_ONCE:
            at_once = _AT_ONCE // len(http_chunk)
            texts += [(bytes(together), 1), (http_chunk * at_once, times // at_once)]
            together = bytearray(http_chunk * (times % at_once))
        else:
            together += http_chunk * times
    return Answer([*texts, (bytes(together) + b"0\r\n\r\n", 1)], body.pause, body.latency)


def serve(connection: socket.socket, answers: Dict[Tuple[str, bool], Answer]) -> None:
    """Answer the requests of one connection until the client leaves."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        try:
            while True:
                model, query = read_request(connection)
                as_array = "alt=sse" not in query
                head = _HEAD % (b"application/json" if as_array else b"text/event-stream")
                answer = answers[model, as_array]
                time.sleep(answer.latency)
                for text, times in answer.texts:
                    for _ in range(times):
                        connection.sendall(head + text if head else text)
                        head = b""
                        if answer.pause:
                            time.sleep(answer.pause)
        except OSError:
            pass  # the client has left


def read_request(connection: socket.socket) -> Tuple[str, str]:
    """Read a request, all of it; its model and its query."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, rest = data.partition(b"\r\n\r\n")
    request_line = _REQUEST_LINE.match(head)
    length = _CONTENT_LENGTH.search(head)
    if request_line is None or length is None:
        raise ValueError(f"no request of these benchmarks: {head[:200]!r}")
    missing = int(length.group(1)) - len(rest)
    while missing > 0:
        missing -= len(receive(connection))
    return request_line.group(1).decode(), request_line.group(2).decode()


def receive(connection: socket.socket) -> bytes:
    """The next bytes; OSError where no more come."""
    data = connection.recv(2**18)
    if not data:
        raise ConnectionError("the client has left")
    return data


def accept(listener: socket.socket, answers: Dict[Tuple[str, bool], Answer]) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, answers), daemon=True).start()


def main() -> None:
    answers = {name: render(body) for name, body in all_bodies().items()}
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(listener, answers), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
