"""What the tests against other libraries share."""

import pytest
import requests


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session
