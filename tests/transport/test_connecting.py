"""Connecting: its timeout, the deadline, and all addresses of a name."""

import dataclasses
import socket

import pytest
import requests
from support.calls import OK, Running, ask, closed_port, full_port, outcome, within
from support.dialects import THREE

from geministream import Cancel, Endpoint, Retry, StreamTimeoutError, TransportError


def test_nobody_listens(sleeps):
    with closed_port() as port:
        texts, raised = outcome(ask(Endpoint(f"http://127.0.0.1:{port}", auth=(), retry=Retry(attempts=3))))
    assert type(raised) is TransportError and len(sleeps) == 2
    assert f"127.0.0.1:{port}" in str(raised) and "refused" in str(raised)
    assert isinstance(raised.__cause__, requests.ConnectionError)


def test_a_host_that_is_none(sleeps, monkeypatch):
    def no_such_host(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    texts, raised = outcome(ask(Endpoint("http://gateway.test", auth=(), retry=Retry(attempts=2))))
    assert type(raised) is TransportError and len(sleeps) == 1
    assert "gateway.test" in str(raised) and "Name or service not known" in str(raised)


def test_connecting_is_bounded_and_retried(sleeps):
    with full_port() as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", auth=(), timeout=(0.1, 30), retry=Retry(attempts=3))
        with within(0.3, 8):
            texts, raised = outcome(ask(endpoint))
    assert type(raised) is StreamTimeoutError and len(sleeps) == 2
    assert "no connection" in str(raised) and "0.1 s" in str(raised)


def test_the_deadline_bounds_connecting():
    with full_port() as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", auth=(), timeout=(30, 30), retry=Retry(attempts=3))
        with within(0.2, 8):
            texts, raised = outcome(ask(endpoint, deadline=0.3))
    assert type(raised) is StreamTimeoutError and "deadline" in str(raised)


@pytest.fixture
def addresses(monkeypatch):
    """What the name ``several.localhost`` resolves to: a list of (address, port)."""
    found, resolve = [], socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host == "several.localhost":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


def test_the_deadline_bounds_connecting_to_all_addresses_of_a_name(addresses):
    with full_port() as port:
        addresses += [(f"127.0.0.{number}", port) for number in range(1, 41)]
        endpoint = Endpoint(f"http://several.localhost:{port}", auth=(), timeout=(0.4, 30), retry=None)
        with within(0.5, 8):  # all of them would take 16 s
            texts, raised = outcome(ask(endpoint, deadline=0.6))
    assert type(raised) is StreamTimeoutError and "deadline of 0.6 s" in str(raised)


def test_a_cancel_ends_connecting_at_the_next_address(addresses):
    with full_port() as port:
        addresses += [(f"127.0.0.{number}", port) for number in range(1, 41)]
        running = Running(
            Endpoint(f"http://several.localhost:{port}", auth=(), timeout=(0.4, 30), retry=None)
        )
        assert running.cancelled_in() < 2  # all of them would take 3.2 s


@pytest.mark.parametrize(
    "options",
    [{"deadline": None}, {"deadline": 30}, {"deadline": None, "cancel": Cancel()}],
    ids=["plain", "deadline", "cancel"],
)
def test_the_next_address_is_tried(addresses, server, options):
    addresses += [("127.0.0.77", server.port), ("127.0.0.1", server.port)]  # nobody listens at the first
    endpoint = dataclasses.replace(server.endpoint, base_url=f"http://several.localhost:{server.port}")
    server.queue(OK)
    assert outcome(ask(endpoint, **options)) == (THREE, None)
    assert server.requests[-1].headers["host"] == f"several.localhost:{server.port}"


@pytest.mark.parametrize("options", [{"deadline": None}, {"deadline": 30}], ids=["plain", "deadline"])
def test_no_address_answers(addresses, options):
    with closed_port() as port:
        addresses += [("127.0.0.77", port), ("127.0.0.1", port)]
        texts, raised = outcome(
            ask(Endpoint(f"http://several.localhost:{port}", auth=(), retry=None), **options)
        )
    assert (
        type(raised) is TransportError
        and f"several.localhost:{port}" in str(raised)
        and "refused" in str(raised)
    )
    addresses.clear()
    texts, raised = outcome(ask(Endpoint("http://several.localhost", auth=(), retry=None), **options))
    assert type(raised) is TransportError and "several.localhost" in str(raised)


@pytest.mark.parametrize("options", [{"deadline": None}, {"deadline": 30}], ids=["plain", "deadline"])
def test_a_name_is_looked_up_once(monkeypatch, options):
    asked = []

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    texts, raised = outcome(ask(Endpoint("https://nobody.example", auth=(), retry=None), **options))
    assert type(raised) is TransportError and asked == ["nobody.example"]
    assert "no answer from nobody.example" in str(raised) and "Name or service not known" in str(raised)
