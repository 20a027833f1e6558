"""The short form of `fuzz.py`."""

import fuzz
from support.long_form import LONG


def test_random_bodies_in_random_pieces():
    longest = fuzz.run(seed=20, count=3000 if LONG else 700)
    print(f"the longest case took {longest * 1000:.1f} ms of CPU")


def test_the_cases_are_the_same_each_time():
    import random

    for number in (0, 1, 2, 3):
        first, second = (fuzz.make_body(random.Random(f"1/{number}")) for _ in range(2))
        assert first == second
