"""A server that a test scripts byte by byte, for what no decent server does.

`LocalServer` speaks HTTP, well or with a scripted fault.  Here a test gets the
bare connection: it may trickle headers, never read the request, lie about
lengths, speak another protocol, or answer with a redirect to anywhere.

    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\\r\\n…")

    with RawServer(script) as server:
        ... server.url ...

The script runs once for each connection, on a thread of its own; the
connection is closed when it returns.  A client that leaves causes no error; any
other exception of a script is raised at the end of the ``with``.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading

# A certificate for localhost and 127.0.0.1 that signs itself, and its key.  They
# are good for nothing but these tests, and are valid until 2119.
TEST_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZli2JMcr24l2S80g
PJa3sLB7acSI37esGS21J7nNnXShRANCAATQRq/67n4qsLt2G6WX6EQIVBbRqCdR
+L0vqhXFNoO9YcU+zABLCHpM8/elubVP9FDKGCuabkOc9w0hTW93b512
-----END PRIVATE KEY-----
"""
TEST_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIB6DCCAY+gAwIBAgIBATAKBggqhkjOPQQDAjAxMRIwEAYDVQQDDAlsb2NhbGhv
c3QxGzAZBgNVBAoMEmdlbWluaXN0cmVhbSB0ZXN0czAgFw0yMDAxMDEwMDAwMDBa
GA8yMTE5MTIzMTIzNTk1OVowMTESMBAGA1UEAwwJbG9jYWxob3N0MRswGQYDVQQK
DBJnZW1pbmlzdHJlYW0gdGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATQ
Rq/67n4qsLt2G6WX6EQIVBbRqCdR+L0vqhXFNoO9YcU+zABLCHpM8/elubVP9FDK
GCuabkOc9w0hTW93b512o4GVMIGSMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/
BAQDAgKEMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBSN13taealI+b9F
/BGokrQAKhuiEzAfBgNVHSMEGDAWgBSN13taealI+b9F/BGokrQAKhuiEzAaBgNV
HREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDRwAwRAIgBq65JOxb
wHGKT2AcYcDCr2hYURwPTQ1ijUVE6ZRBlTECIBGvEPNrEsQIFQR8OcqKskevD27L
EdtymxMiId2ILziZ
-----END CERTIFICATE-----
"""


def server_tls(directory):
    """An `ssl.SSLContext` for a server, and the path of the certificate that clients must trust."""
    certificate = directory / "certificate.pem"
    certificate.write_text(TEST_CERTIFICATE)
    key = directory / "key.pem"
    key.write_text(TEST_KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    return context, str(certificate)


class Gone(Exception):
    """The client left, or the test is over."""


class Connection:
    """What a script gets.

    :ivar number: of this connection, from 0.
    :ivar target: of the last request that was read; ``method``, ``headers`` and ``body`` likewise.
    """

    def __init__(self, sock, number, closing):
        self.sock = sock
        self.number = number
        self._closing = closing
        self._buffer = b""

    def read_request(self):
        """Read one request; its body."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        length = int(self.headers.get("content-length", 0))
        while len(self._buffer) < length:
            self._fill()
        self.body, self._buffer = self._buffer[:length], self._buffer[length:]
        return self.body

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except (OSError, ValueError):
            raise Gone from None
        if not data:
            raise Gone
        self._buffer += data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (OSError, ValueError):
            raise Gone from None

    def trickle(self, data, seconds):
        """Send ``data`` byte by byte, with a pause after each."""
        for k in range(len(data)):
            self.send(data[k : k + 1])
            self.pause(seconds)

    def pause(self, seconds):
        """Wait, but not past the end of the test."""
        if self._closing.wait(seconds):
            raise Gone

    def wait(self, event):
        """Wait for an event, or the end of the test."""
        while not event.wait(0.02):
            if self._closing.is_set():
                raise Gone

    def wait_until_client_leaves(self):
        """Read and forget until the client closes its side; Gone at the end of the test."""
        while True:
            readable, _, _ = select.select([self.sock], [], [], 0.02)
            if self._closing.is_set():
                raise Gone
            if readable:
                try:
                    if not self.sock.recv(65536):
                        return
                except (OSError, ValueError):
                    return

    def reset(self):
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class RawServer:
    """Runs ``script(connection)`` for each connection.

    :param tls: an `ssl.SSLContext`, or None.
    :param receive_buffer: bytes; a small one makes a client that sends much wait soon.
    :ivar connections: how many were accepted.
    :ivar left: a semaphore, released when a script has ended.
    """

    def __init__(self, script, *, tls=None, receive_buffer=None):
        self._script = script
        self._tls = tls
        self._closing = threading.Event()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self.netloc = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.netloc}"
        self.connections = 0
        self.left = threading.Semaphore(0)
        self._errors = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets = []

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, kind, error, trace):
        self._closing.set()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()  # wakes accept()
        except OSError:
            pass
        for sock in self._sockets:  # a client's idle connection may stay open until it is garbage collected
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RD)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
        if kind is None and self._errors:
            raise self._errors[0]

    def _accept(self):
        while True:
            sock, _ = self._listener.accept()
            if self._closing.is_set():
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
            self.connections += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock, number):
        try:
            if self._tls is not None:
                try:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                except OSError:
                    return
            self._sockets.append(sock)
            self._script(Connection(sock, number, self._closing))
        except Gone:
            pass
        except BaseException as error:
            self._errors.append(error)
        finally:
            sock.close()
            self.left.release()


# Answers ---------------------------------------------------------------------


def head(status="200 OK", **headers):
    """The head of a response; ``content_length=5`` becomes ``content-length: 5``."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data):
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def answering(response):
    """A script that reads the request, sends ``response`` and closes."""

    def script(connection):
        connection.read_request()
        connection.send(response)

    return script
