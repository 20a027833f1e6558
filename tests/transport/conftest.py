"""What the tests of requests over real sockets share."""

import dataclasses

import pytest

from geministream import Retry


@pytest.fixture
def retrying(server):
    return dataclasses.replace(server.endpoint, retry=Retry(attempts=4, initial_delay=1, max_delay=60))
