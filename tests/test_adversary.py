"""The short form of `adversary.py`."""

import adversary
import pytest
from support.long_form import LONG

pytestmark = pytest.mark.early

MET = """
interim, several interim, cut head, junk: CRLF, junk: byte, junk: response, status 503, status 400,
no last chunk, short length, ends early, 2 candidates, 3 candidates, sse, array, event too large,
token in the middle, token: same, token: earlier, token: apart, token: later, token: never,
token: the same again, STOP first, STOP everywhere, CONTINUATION, MAX_TOKENS, no finish reason,
blocked before content, blocked after content, 503 in the stream, 400 in the stream,
error as data, error as event: error, error as bare, error as element, sent again, resumed, continued,
end: complete, end: broken after the end, end: broken after content, end: out of attempts,
end: several candidates and a CONTINUATION, end: CONTINUATION without a new token
"""


def test_random_scripts_of_a_server():
    failed = []
    bench, _ = adversary.run(seed=20, count=20_000 if LONG else 400, report=failed.append)
    assert not failed, "\n\n".join(failed)
    assert not [kind for kind in MET.replace("\n", " ").split(", ") if not bench.kinds[kind.strip()]]
    assert bench.connections < bench.requests, "no connection was ever used again, so nothing is known of it"


def test_the_cases_are_the_same_each_time():
    for number in range(20):
        first, second = (adversary.Case(1, number) for _ in range(2))
        assert adversary.script(first, 4) == adversary.script(second, 4)
