"""What the tests of files share."""

import pytest

from geministream.testing import LocalServer


@pytest.fixture(params=["resumable", "multipart"])
def either(request):
    """A server that takes files in pieces, then one that takes a form."""
    with LocalServer(profile="google" if request.param == "resumable" else "bifrost") as server:
        yield server
