"""A real proxy, and certificates made on the fly by the openssl command."""

import base64
import select
import shutil
import socket
import ssl
import subprocess
import threading

import pytest


class Proxy:
    """An HTTP proxy on loopback: it forwards ``http://`` requests and tunnels (CONNECT) all else.

    :param routes: ``{"host:port": port on loopback}``, in place of what the names stand for.
    :param user: ``"name:password"`` that it requires, else it answers 407.
    :param tls: an `ssl.SSLContext`, for a proxy that is itself spoken to by TLS.
    :param refuse: a status line, such as ``"403 Forbidden"``, with which it answers everything.
    :ivar requests: the first line of each request that it was asked, as sent.
    :ivar heads: all that it could read of them.
    """

    def __init__(self, routes=None, *, user=None, tls=None, refuse=None):
        self._routes = dict(routes or {})
        self._user = user
        self._tls = tls
        self._refuse = refuse
        self._closing = threading.Event()
        self._open = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.netloc = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.netloc}"
        self.requests = []
        self.heads = []
        self._errors = []
        self._threads = []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, kind, error, trace):
        self._closing.set()
        try:
            socket.create_connection(self._listener.getsockname(), timeout=1).close()  # wakes accept()
        except OSError:
            pass
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)
        if kind is None and self._errors:
            raise self._errors[0]

    def drop_connections(self):
        """Let all that goes through break off now."""
        for sock in list(self._open):
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closing.is_set():
                client.close()
                return
            self._start(self._serve, client)

    def _serve(self, client):
        server = None
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            self._open.add(client)
            server = self._begin(client)
            if server is not None:
                self._open.add(server)
                self._splice(client, server)
        except OSError:
            pass  # one of the two left
        except BaseException as error:
            self._errors.append(error)
        finally:
            for sock in (client, server):
                if sock is not None:
                    self._open.discard(sock)
                    sock.close()

    def _begin(self, client):
        """Read what is asked; the connection to whom it is for, or None if it is refused."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = client.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.requests.append(first)
        self.heads.append(head.decode("latin-1"))
        method, target, _ = first.split(" ")
        wanted = None
        if self._user is not None:
            wanted = "proxy-authorization: basic " + base64.b64encode(self._user.encode()).decode()
        if wanted and not any(line.lower() == wanted.lower() for line in lines):
            client.sendall(
                b'HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm="p"\r\nContent-Length: 0\r\n\r\n'
            )
            return None
        if self._refuse:
            client.sendall(f"HTTP/1.1 {self._refuse}\r\nContent-Length: 0\r\n\r\n".encode())
            return None
        if method == "CONNECT":
            server = self._connect(target)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return server
        scheme, _, address = target.partition("://")
        assert scheme == "http", first
        netloc, slash, path = address.partition("/")
        server = self._connect(netloc if ":" in netloc else f"{netloc}:80")
        # One request for each connection, so that the others need not be taken apart.
        kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
        lines = [f"{method} {slash}{path} HTTP/1.1", *kept, "Connection: close"]
        server.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rest)
        return server

    def _connect(self, netloc):
        host, _, port = netloc.rpartition(":")
        if netloc in self._routes:
            host, port = "127.0.0.1", self._routes[netloc]
        return socket.create_connection((host, int(port)), timeout=5)

    def _splice(self, client, server):
        """Carry bytes both ways, as they come, until one side has no more."""
        while not self._closing.is_set():
            buffered = isinstance(client, ssl.SSLSocket) and client.pending()
            readable = [client] if buffered else select.select([client, server], [], [], 0.05)[0]
            for sock in readable:
                data = sock.recv(65536)
                if not data:
                    return
                (server if sock is client else client).sendall(data)


class Certificates:
    """An authority of one's own, a server's certificate for some names, and a client's.

    :ivar authority: the path of what must be trusted.
    :ivar client: the paths of the client's certificate and of its key.
    :ivar others: the path of an authority that has nothing to do with it.
    """

    def __init__(self, directory, names=("localhost",)):
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl command")
        self._directory = directory
        alternatives = ",".join([*(f"DNS:{name}" for name in names), "IP:127.0.0.1"])
        (directory / "openssl.cnf").write_text(f"""
[req]
distinguished_name = dn
prompt = no
[dn]
CN = geministream tests
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {alternatives}
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
""")
        for name in ("authority", "others"):
            self._openssl(
                "req",
                "-x509",
                *self._key(name),
                "-extensions",
                "authority",
                "-days",
                "2",
                "-subj",
                f"/CN=geministream {name}",
                "-out",
                f"{name}.pem",
            )
        for name in ("server", "client"):
            self._openssl("req", *self._key(name), "-subj", f"/CN=geministream {name}", "-out", f"{name}.csr")
            self._openssl(
                "x509",
                "-req",
                "-in",
                f"{name}.csr",
                "-CA",
                "authority.pem",
                "-CAkey",
                "authority.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "openssl.cnf",
                "-extensions",
                name,
                "-out",
                f"{name}.pem",
            )
        self.authority = str(directory / "authority.pem")
        self.others = str(directory / "others.pem")
        self.client = (str(directory / "client.pem"), str(directory / "client.key"))

    def context(self, *, want_client=False):
        """A server's `ssl.SSLContext`; with ``want_client`` it lets in nobody without a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self._directory / "server.pem"), str(self._directory / "server.key"))
        if want_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context

    @staticmethod
    def _key(name):
        return [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-config",
            "openssl.cnf",
        ]

    def _openssl(self, *arguments):
        done = subprocess.run(
            ["openssl", *arguments],
            cwd=str(self._directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
