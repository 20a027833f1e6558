"""The listening socket and the connections that it accepted, each with a thread of its own."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from typing import Callable, Optional, Set

from .wire import Connection


class Listener:
    """Accepts connections and hands each to `talk`, in the connection's own thread.

    :param port: 0 for a free port; after the start the attribute is the actual port.
    :param changed: notified when a connection opens or closes.
    :param talk: handles one connection, which closes when it returns.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: Optional[ssl.SSLContext],
        changed: threading.Condition,
        talk: Callable[[Connection], None],
    ):
        self.host = host
        self.port = port
        self.tls = tls
        self.accepted = 0
        self.open: Set[Connection] = set()
        self.closing = threading.Event()
        self._changed = changed
        self._talk = talk
        self._threads: Set[threading.Thread] = set()
        self._socket: Optional[socket.socket] = None

    @property
    def url(self) -> str:
        # A client cannot connect to the wildcard address; the server is also at this one.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def start(self) -> None:
        """Start to listen."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.closing.clear()
        self._socket = socket.create_server((self.host, self.port), family=family, backlog=512)
        self.port = self._socket.getsockname()[1]
        self._process = os.getpid()
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._socket,), name="LocalServer", daemon=True
        )
        self._acceptor.start()

    def close(self) -> None:
        """End every connection and thread now; does nothing in a forked child."""
        listener, self._socket = self._socket, None
        if listener is None or self._process != os.getpid():
            return
        self.closing.set()
        try:
            # On Linux this wakes up accept(); elsewhere the connection below does.
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            pass
        self._acceptor.join(5)
        listener.close()
        with self._changed:
            threads = list(self._threads)
        self.drop_connections()
        for thread in threads:
            thread.join(5)

    def drop_connections(self) -> None:
        """End every open connection; each is closed by its own thread."""
        with self._changed:
            connections = list(self.open)
        for connection in connections:
            connection.abort()

    def _accept(self, listener: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                if self.closing.is_set():
                    return
                time.sleep(0.01)  # out of file descriptors, until some are closed
                continue
            if self.closing.is_set():
                sock.close()
                return
            if self.tls is not None:
                try:  # the handshake itself is left to the connection's own thread
                    sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                except OSError:
                    sock.close()
                    continue
            with self._changed:
                connection = Connection(sock, self.accepted, self.closing)
                thread = threading.Thread(
                    target=self._serve,
                    args=(connection,),
                    name=f"LocalServer-{connection.number}",
                    daemon=True,
                )
                self.accepted += 1
                self.open.add(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            self._talk(connection)
        finally:
            connection.close()
            with self._changed:
                self.open.discard(connection)
                self._threads.discard(threading.current_thread())
                self._changed.notify_all()
