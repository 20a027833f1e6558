"""The test server's HTTP: connections, records, clients that leave, TLS and its own end."""

import gc
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.plain_client import HELLO, KEY, STREAM, ask, post_bytes, raw, sse, text_of

from geministream.testing import Answer, LocalServer, expected_text


def test_keep_alive_and_connection_numbers(server):
    with requests.Session() as session:
        for _ in range(3):
            session.post(server.url + STREAM + "?alt=sse", json=HELLO, headers=KEY)
    ask(server)
    assert [each.connection for each in server.requests] == [0, 0, 0, 1]
    assert server.connections == 2
    for _ in range(2):  # urllib3 2 closes a session's connections when its pools are collected
        gc.collect()
    server.wait_for_connections(0)


def test_records_what_came(server):
    ask(server, path="/v1beta/models/gemini-x:streamGenerateContent", headers={**KEY, "X-Test": "ü".encode()})
    recorded = server.requests[0]
    assert (recorded.method, recorded.model, recorded.verb) == ("POST", "gemini-x", "streamGenerateContent")
    assert recorded.query == {"alt": "sse"} and recorded.json == HELLO
    assert recorded.headers["X-GOOG-API-KEY"] == "local-key" and "x-test" in recorded.headers
    assert recorded.sha256 == hashlib.sha256(recorded.body).hexdigest() and recorded.size == len(
        recorded.body
    )
    assert recorded.finished.wait(5) and recorded.complete and recorded.fault is None
    assert not recorded.client_gone.is_set()


def test_chunked_request_bodies_and_continue(server):
    body = json.dumps(HELLO).encode()
    response = requests.post(server.url + STREAM + "?alt=sse", data=iter([body[:10], body[10:]]), headers=KEY)
    assert response.status_code == 200 and server.requests[0].json == HELLO
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        head, _, sent = post_bytes(extra="Expect: 100-continue\r\nConnection: close\r\n").partition(
            b"\r\n\r\n"
        )
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(sent)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_old_clients_and_absolute_targets(server):
    old = raw(server, post_bytes(extra="").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b"Transfer-Encoding" not in old and b"Connection: close" in old
    assert text_of(sse(old.partition(b"\r\n\r\n")[2])) == expected_text(HELLO)
    proxied = raw(server, post_bytes(path=f"http://some.host{STREAM}?alt=sse"))
    assert proxied.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
    ],
)
def test_rubbish_gets_an_error_and_the_door(server, junk):
    received = raw(server, junk)
    assert received.startswith(b"HTTP/1.1 ") and received[9:12] in (b"400", b"431", b"505")
    assert ask(server).status_code == 200


@pytest.mark.parametrize("cut", [1, 30, 120, -1])
def test_clients_that_leave_in_the_middle(server, cut, capfd):
    with socket.create_connection((server.host, server.port)) as sock:
        sock.sendall(post_bytes()[:cut])
    if cut == -1:  # a head, and a body that never ends
        recorded = server.wait_for_request()
        assert recorded.finished.wait(10) and recorded.client_gone.is_set() and not recorded.complete
    assert ask(server).status_code == 200
    assert capfd.readouterr().err == "" and not server.errors


def test_a_bug_of_a_callable_is_not_hidden():
    def broken(recorded):
        raise LookupError("in the test's own callable")

    with pytest.raises(LookupError):
        with LocalServer() as server:
            server.answer_with(broken)
            assert ask(server).status_code == 500


def test_close_is_prompt_and_leaves_nothing_behind():
    program = f"""if True:
        import socket, threading, time
        from geministream.testing import Answer, LocalServer
        before = threading.active_count()
        server = LocalServer(latency=0).start()
        never = threading.Event()
        server.queue(Answer(stop_after=10, stop_how="stall"), Answer(delay=60), Answer(wait=never),
                     Answer(["x", 60, "y"]), Answer(["x"], gates=[never]), Answer.nothing("stall"),
                     Answer([b"x" * 2**26]), Answer(piece_delay=60))
        clients = []
        for _ in range(8):
            clients.append(socket.create_connection((server.host, server.port)))
            clients[-1].sendall({post_bytes()!r})
        clients.append(socket.create_connection((server.host, server.port)))  # says nothing
        server.wait_for_request(8)
        start = time.monotonic()
        server.close()
        print(time.monotonic() - start < 1.0, threading.active_count() - before, server.open_connections)
        server.close()
        for client in clients:
            client.close()
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["True", "0", "0"], "")


def test_sixty_four_clients_at_once():
    gate = threading.Event()
    with LocalServer() as server:
        server.queue(*[Answer(["a", gate, "b"]) for _ in range(64)])
        with ThreadPoolExecutor(64) as pool:
            waiting = [pool.submit(ask, server) for _ in range(64)]
            server.wait_until(lambda: sum(each.pieces_sent for each in server.requests) == 64)
            assert server.open_connections == 64
            gate.set()
            assert {text_of(sse(each.result().content)) for each in waiting} == {"ab"}


def test_tls(tmp_path):
    ssl = pytest.importorskip("ssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    try:
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout",
                str(key),
                "-out",
                str(cert),
            ],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(cert), str(key))
    with LocalServer(tls=context) as server:
        assert server.url.startswith("https://")
        for transfer in ("chunked", "length", "close"):
            server.queue(Answer(transfer=transfer))
            assert text_of(sse(ask(server, verify=str(cert)).content)) == expected_text(HELLO)
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url.replace("https", "http"), timeout=10)
        server.queue(Answer(stop_after=10, stop_how="stall"))
        response = ask(server, stream=True, verify=str(cert))
        recorded = server.wait_for_request(4)
        response.close()
        assert recorded.client_gone.wait(5)


def test_keep_requests_bounds_the_record():
    with LocalServer(keep_requests=2) as server:
        for _ in range(4):
            ask(server)
        assert [each.number for each in server.requests] == [2, 3]
        assert server.wait_for_request(4).number == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)  # that is what is tested
def test_a_forked_child_does_not_end_its_parents_server():
    with LocalServer() as server:
        child = os.fork()
        if child == 0:
            try:
                server.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert text_of(sse(ask(server).content)) == expected_text(HELLO)
