"""The hostile server: it plays a case's script on real sockets, all on one thread."""

import json
import selectors
import socket
import threading
import time

import requests

from .raw_server import Connection, Gone

SECONDS = 20  # the deadline of each call; none takes a hundredth of it


class Server:
    """Answers each request with the next answer of the present case, all on one thread.

    :ivar case: the present case.
    :ivar tokens: the token that each request of the case bore.
    :ivar reused: how many requests came on connections that must not be used again.
    :ivar idle: set while nothing is being answered.
    :ivar connections: how many were accepted.
    """

    def __init__(self):
        self.case = None
        self.tokens = []
        self.reused = 0
        self.connections = 0
        self.idle = threading.Event()
        self.idle.set()
        self._error = None
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self._closing.set()
        try:
            socket.create_connection(self._address).close()  # wakes select()
        except OSError:
            pass  # it has ended already
        self._thread.join(5)
        if self._error is not None:
            raise self._error

    def begin(self, case):
        assert self.idle.wait(SECONDS), "the server is still sending"
        self.case = case
        self.tokens = []
        self.reused = 0

    def _run(self):
        try:
            while not self._closing.is_set():
                for key, _ in self._selector.select():
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._serve(key.fileobj, key.data)
        except BaseException as error:
            self._error = error
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()
            self._selector.close()
            self.idle.set()

    def _accept(self):
        sock, _ = self._listener.accept()
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, self.connections, self._closing)
        connection.spoiled = False
        self.connections += 1
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _serve(self, sock, connection):
        """Answer one request; the connection has something to read, if only its end."""
        closes = True
        try:
            body = connection.read_request()
            self.idle.clear()
            answer = self.case.answer(len(self.tokens))
            self.tokens.append(json.loads(body).get("continuationToken"))
            self.reused += connection.spoiled
            connection.spoiled = answer.spoiled
            for data in answer.writes:
                connection.send(data)
                if answer.pause:
                    time.sleep(answer.pause)
            closes = answer.closes
        except Gone:
            pass
        if closes:
            self._selector.unregister(sock)
            sock.close()
        self.idle.set()


class WaitingSession(requests.Session):
    """Sends a request only when all of the last answer is out, junk and end included.

    No client can know of what comes later, so what comes later must not decide.
    """

    def __init__(self, server):
        super().__init__()
        self.trust_env = False  # no proxy of this machine, and no look into its files for each request
        self._server = server

    def request(self, *args, **kwargs):
        assert self._server.idle.wait(SECONDS), "the server is still sending"
        return super().request(*args, **kwargs)
