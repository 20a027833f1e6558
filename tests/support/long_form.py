"""How much there is of the long tests: a sample of their cases, and with GEMINISTREAM_LONG_TESTS=1 all of them."""

import os

LONG = bool(os.environ.get("GEMINISTREAM_LONG_TESTS"))


def sample(cases, every, first=0):
    """Each ``every``-th case from the ``first`` on, or all in the long form."""
    return list(cases) if LONG else list(cases)[first::every]
