"""Random scripts of a server that does its worst, against a model of what must come out of them.

    python tests/adversary.py [COUNT] [--seed N] [--from CASE] [--case N]

Each case is one call of `stream_generate` over real sockets.  A server in this
process answers its requests with random mixtures of interim responses, cut
heads, junk behind complete bodies, several candidates, continuation tokens,
finish reasons where they do not belong, blocked prompts, errors in every form,
and connections that break.  All calls share one session, and each answer says
its own number, so a connection that should not be used again shows as an answer
that belongs to another request.

`Model`, in support/adversary_model.py, says what must be delivered, how many requests must be sent with which
tokens, and which error must end the stream.  It follows the rules of the API and
of the table in stream.py, and shares no code with the package.  Cases for which
no rule decides are counted as undecided, and still must not hang.

The same seed gives the same cases; ``--case`` shows the script of one and runs
it alone.  ``test_adversary.py`` runs a short form.
"""

import argparse
import dataclasses
import faulthandler
import sys
import time
from collections import Counter
from functools import partial

from support.adversary_model import ANYTHING, ATTEMPTS, BREAKS, INCOMPLETE, Model, Undecided
from support.adversary_script import Case
from support.adversary_server import SECONDS, Server, WaitingSession

from geministream import Endpoint, GeministreamError, Retry, stream_generate

HANG = 120  # seconds after which the program shows where it hangs, and ends


# Cases -----------------------------------------------------------------------------


class Bench:
    """The server and the session that all cases share."""

    def __init__(self):
        self.kinds = Counter()
        self.requests = 0

    def __enter__(self):
        self.server = Server().__enter__()
        self.session = WaitingSession(self.server)
        self._endpoint = Endpoint(
            self.server.url,
            auth=(),
            session=self.session,
            timeout=SECONDS,
            retry=Retry(attempts=ATTEMPTS, initial_delay=0),
        )
        return self

    def __exit__(self, *error):
        self.session.close()
        self.server.__exit__(*error)

    @property
    def connections(self):
        return self.server.connections

    def run(self, case):
        """Run a case: what was expected (None if undecided), and in what the outcome differs from it."""
        model = Model(case)
        try:
            expected = model.run()
        except Undecided as why:
            expected = None
            self.kinds[f"undecided: {why}"] += 1
        self.kinds.update(set(model.kinds))
        self.kinds[case.framing] += 1
        if expected is not None:
            self.kinds["end: " + expected.why] += 1
        self.server.begin(case)
        chunks, error = [], None
        endpoint = dataclasses.replace(self._endpoint, max_event_bytes=case.limit)
        try:
            for chunk in stream_generate(
                "m",
                f"case {case.number}",
                alt=case.alt,
                endpoint=endpoint,
                deadline=SECONDS,
                continuation_token=case.token,
            ):
                chunks.append(
                    [(each.index or 0, text_of(each), each.finish_reason) for each in chunk.candidates or ()]
                )
        except Exception as caught:  # whatever is outside the tree is a failure of its own
            error = caught
        tokens = list(self.server.tokens)
        self.requests += len(tokens)
        return expected, list(differences(expected, chunks, error, tokens, self.server.reused))


def text_of(candidate):
    parts = candidate.content.parts if candidate.content is not None else None
    return "".join(part.text or "" for part in parts or ())


def differences(expected, chunks, error, tokens, reused):
    """In what the outcome is not what was expected: (kind, description)."""
    name = type(error).__name__ if error is not None else "no error"
    if reused:
        yield "connection", f"{reused} requests on a connection with something left behind an answer"
    if error is not None and not isinstance(error, GeministreamError):
        yield "outside the tree", repr(error)
    if name == "StreamTimeoutError":
        yield "hang", str(error)
    if expected is None:
        return
    if tokens != expected.tokens:
        yield "requests", f"tokens of the requests: {tokens}, not {expected.tokens}"
    texts, right = spoken(chunks), spoken(expected.chunks)
    if texts != right:
        yield "texts", f"delivered {texts}, not {right}"
    elif len(chunks) == len(expected.chunks):
        for k, (given, sent) in enumerate(zip(chunks, expected.chunks)):
            for (_, _, reason), (index, _, right) in zip(given, sent):
                if right == "CONTINUATION" and reason is None:
                    continue  # it is never wrong to hide it
                if reason != right or (right == "CONTINUATION" and k in expected.hidden):
                    yield "finish reason", f"chunk {k}, candidate {index}: {reason}, sent was {right}"
    else:
        yield "chunks", f"{len(chunks)} chunks, not {len(expected.chunks)}"
    if (error is None) != (not expected.errors) or (error is not None and name not in expected.errors):
        yield "error", f"{name} ({error}), not {' or '.join(sorted(expected.errors)) or 'no error'}"
        return
    token = getattr(error, "continuation_token", None)
    right = expected.error_tokens
    if name == INCOMPLETE and right is not ANYTHING and token not in right:
        yield "error's token", f"{token} of {error!r}, not one of {right}"
    if name in BREAKS and expected.retryable is not ANYTHING and error.retryable is not expected.retryable:
        yield "retryable", f"{error.retryable} of {error!r}"


def spoken(chunks):
    """The texts of each candidate, in order."""
    texts = {}
    for chunk in chunks:
        for index, text, _ in chunk:
            if text:
                texts.setdefault(index, []).append(text)
    return texts


def described(case, expected, found):
    """A case and what went wrong with it, over several lines."""
    why = expected.why if expected is not None else "undecided"
    lines = [f"case {case.number} ({why}); see it with --seed {case.seed} --case {case.number}:"]
    lines += [f"  {kind}: {text}" for kind, text in found]
    return "\n".join(lines)


def script(case, count):
    """The answers of a case, to be read."""
    lines = [f"alt={case.alt}, limit {case.limit}, token {case.token}"]
    for k in range(count):
        answer = case.answer(k)
        closes = "; then the server closes" if answer.closes else ""
        lines.append(f"answer {k}: {', '.join(answer.kinds)}{closes}")
        lines += [f"    {data!r}" for data in answer.writes]
    return "\n".join(lines)


def run(seed, count, start=0, *, report, most=20, progress=None):
    """Run the cases; returns the bench with its counts, and how many failed, by kind of difference."""
    failures = Counter()
    with Bench() as bench:
        for number in range(start, count):
            if number % 500 == 0 and progress is not None:
                progress(number, sum(failures.values()))
            case = Case(seed, number)
            expected, found = bench.run(case)
            if found:
                why = expected.why if expected is not None else "undecided"
                failures[" + ".join(kind for kind, _ in found) + f" ({why})"] += 1
                if sum(failures.values()) <= most:
                    report(described(case, expected, found))
    return bench, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", type=int, default=0, dest="start", metavar="CASE")
    parser.add_argument("--case", type=int, help="show the script of this case and run it alone")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="failures to print (default: 20)")
    options = parser.parse_args()
    if options.case is not None:
        case = Case(options.seed, options.case)
        with Bench() as bench:
            expected, found = bench.run(case)
            print(script(case, max(len(bench.server.tokens), len(expected.tokens) if expected else 0)))
        print(f"expected: {expected}")
        print(described(case, expected, found) if found else "as expected")
        sys.exit(1 if found else 0)
    began = time.monotonic()

    def progress(number, failed):
        faulthandler.dump_traceback_later(HANG, exit=True)
        rate = (number - options.start) / max(time.monotonic() - began, 0.001)
        sys.stderr.write(f"\rcase {number}, {rate:.0f} a second, {failed} failed ")
        sys.stderr.flush()

    report = partial(print, flush=True)
    bench, failures = run(
        options.seed, options.count, options.start, report=report, most=options.show, progress=progress
    )
    faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - began
    sys.stderr.write("\n")
    print("met: " + ", ".join(f"{kind} {number}" for kind, number in sorted(bench.kinds.items())))
    for kind, number in failures.most_common():
        print(f"failed, {kind}: {number}")
    print(
        f"{options.count - options.start} cases of seed {options.seed} in {seconds:.1f} s: "
        f"{sum(failures.values())} failed; {bench.requests} requests on {bench.connections} connections"
    )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
