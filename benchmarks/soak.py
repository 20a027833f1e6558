"""Many streams at once against a server that fails at random; each must end as it was made to.

    python benchmarks/soak.py [--streams 10000] [--threads 64] [--seed 1]

Every stream is a case with a number, and the number decides what goes wrong:
the server, and the thread that checks the outcome, work it out for themselves.
At the end the process must hold no more open files, threads, objects and memory
than after a first, smaller round.  The exit status is 1 where anything differs.
"""

import argparse
import ctypes
import dataclasses
import gc
import json
import logging
import os
import queue
import random
import sys
import threading
import time
from collections import Counter

import requests

from geministream import Cancel, GeministreamError, Retry, stream_generate
from geministream.testing import Answer, LocalServer

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
# Resident memory is the allocator's affair too: what a round of thousands of streams may add.
MOST_GROWTH = 16 * 2**20


def chunk(text, finish=None):
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate]}


@dataclasses.dataclass
class Case:
    """What one stream is made to be.

    :ivar answers: what the server says to the first attempt, the second, …
    :ivar texts: the chunks that must come, all of them; or with ``some`` a beginning of them.
    :ivar error: the name of the exception behind them, None for none.
    """

    kind: str
    answers: list
    texts: list
    error: object = None
    some: bool = False
    alt: str = "sse"
    deadline: object = None
    silence: float = 60.0
    leave: str = ""  # after the first chunk: "break" or "cancel"


def make_case(seed, number):
    pick = random.Random(f"{seed}/{number}")
    words = WORDS[: pick.randint(2, len(WORDS))]
    chunks = [chunk(word) for word in words[:-1]] + [chunk(words[-1], "STOP")]
    how = {"transfer": pick.choice(("chunked", "length", "close")), "gzip": pick.random() < 0.3}
    alt = pick.choice(("sse", "json"))
    whole = Answer(chunks=chunks, **how)
    kind = pick.choice(KINDS)
    case = Case(kind, [whole], words, alt=alt)
    if kind == "whole, pieces":
        case.answers = [dataclasses.replace(whole, piece_bytes=pick.choice((1, 7, 50)))]
    elif kind == "status, retried":
        case.answers = [
            Answer.failure(pick.choice((408, 429, 500, 502, 503, 504))) for _ in range(pick.randint(1, 3))
        ] + [whole]
    elif kind == "status":
        code, case.error = pick.choice(
            ((400, "BadRequestError"), (403, "PermissionDeniedError"), (404, "NotFoundError"))
        )
        case.answers, case.texts = [Answer.failure(code)], []
    elif kind == "status, always":
        case.answers, case.texts, case.error = [Answer.failure(503)] * 4, [], "ServerError"
    elif kind == "error first, retried":
        case.answers = [Answer(chunks=[], stream_error=(503,), **how), whole]
    elif kind == "error in the stream":
        count = pick.randrange(1, len(chunks))
        case.answers = [Answer(chunks=chunks[:count], stream_error=(429,), **how)]
        case.texts, case.error = words[:count], "RateLimitError"
    elif kind in ("cut", "reset"):
        # Behind a whole chunk, so that it is plain what must come.
        count = pick.randrange(1, len(chunks))
        case.answers, case.texts = [Answer(chunks=chunks[:count], **how)], words[:count]
        if kind == "reset":  # which may take away what had arrived
            case.answers = [dataclasses.replace(whole, stop_after=-1, stop_how="reset")]
            case.texts, case.some = words, True
        case.error = "IncompleteStreamError"
    elif kind == "dropped, retried":
        case.answers = [Answer.nothing(pick.choice(("drop", "reset"))), whole]
    elif kind == "dropped, always":
        case.answers, case.texts, case.error = (
            [Answer.nothing(pick.choice(("drop", "reset")))] * 4,
            [],
            "TransportError",
        )
    elif kind == "stalled":
        count = pick.randrange(1, len(chunks))
        case.answers = [Answer(chunks=[*chunks[:count], threading.Event(), *chunks[count:]], **how)]
        case.texts, case.error, case.silence = words[:count], "StreamTimeoutError", 2.0
    elif kind == "trickled past the deadline":
        case.answers = [Answer(chunks=chunks * 50, piece_bytes=1, piece_delay=0.01, **how)]
        case.texts, case.error, case.deadline, case.some = words * 50, "StreamTimeoutError", 0.5, True
    elif kind == "garbage":
        case.answers = [Answer(body=json.dumps(chunks[0]).encode() + b"\n<html>", **how)]
        case.texts, case.error = words[:1], "StreamDecodeError"
    elif kind in ("break", "cancel"):
        case.leave = kind
        case.answers = [Answer(chunks=[chunks[0], threading.Event()], **how)]
        case.texts, case.error = words[:1], "StreamCancelled" if kind == "cancel" else None
    return case


KINDS = [
    "whole",
    "whole",
    "whole",
    "whole, pieces",
    "status, retried",
    "status",
    "status, always",
    "error first, retried",
    "error in the stream",
    "cut",
    "reset",
    "dropped, retried",
    "dropped, always",
    "stalled",
    "trickled past the deadline",
    "garbage",
    "break",
    "cancel",
]


class Soak:
    def __init__(self, seed, threads):
        self.seed = seed
        self.threads = threads
        self.outcomes = Counter()
        self.wrong = []
        self._lock = threading.Lock()
        self._attempts = Counter()

    def answer(self, request):
        """The server's side: the case's next answer."""
        number = int(request.json["contents"][0]["parts"][0]["text"])
        with self._lock:
            attempt = self._attempts[number]
            self._attempts[number] += 1
        answers = make_case(self.seed, number).answers
        return answers[min(attempt, len(answers) - 1)]

    def run_one(self, endpoint, number):
        case = make_case(self.seed, number)
        cancel = Cancel()
        texts, error = [], None
        stream = stream_generate(
            "m",
            str(number),
            alt=case.alt,
            cancel=cancel,
            deadline=case.deadline,
            endpoint=dataclasses.replace(endpoint, timeout=(60, case.silence)),
        )
        try:
            for each in stream:
                texts.append(each.text)
                if case.leave == "break":
                    break
                if case.leave == "cancel":
                    cancel.cancel()
        except GeministreamError as raised:
            error = raised
        came = (texts, type(error).__name__ if error else None)
        fits = case.texts[: len(texts)] == texts if case.some else case.texts == texts
        # A reset may take away the head of the answer as well, and then the attempts are spent.
        if not fits or (came[1] != case.error and not (case.kind == "reset" and not texts and error)):
            self.wrong.append(
                f"case {number}, {case.kind}: {came} instead of {case.texts}, {case.error}: {error}"
            )
        self.outcomes[case.kind] += 1

    def run(self, server, numbers):
        waiting = queue.Queue()
        for number in numbers:
            waiting.put(number)
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=self.threads))
            base = dataclasses.replace(server.endpoint, retry=Retry(initial_delay=0.002, max_delay=0.05))

            def work():
                while True:
                    try:
                        number = waiting.get_nowait()
                    except queue.Empty:
                        return
                    try:
                        # One in two over a session that all threads share.
                        self.run_one(
                            dataclasses.replace(base, session=session if number % 2 else None), number
                        )
                    except BaseException as error:
                        self.wrong.append(f"case {number}: {error!r}")

            threads = [threading.Thread(target=work) for _ in range(self.threads)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        # urllib3 2 closes the idle connections of a session when the last thing
        # that knows their pool is gone, and an exception's traceback may.
        gc.collect()
        server.wait_for_connections(0, 30)
        self._attempts.clear()


def held():
    """What the process holds: open files, threads, objects, resident bytes (None if the system does not show it)."""
    for _ in range(3):
        gc.collect()
    try:
        # What was freed, but not given back: sixty threads leave much of it behind.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass  # another C library than glibc
    try:
        files = len(os.listdir("/proc/self/fd"))
        with open("/proc/self/statm") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        files = resident = None
    return {
        "files": files,
        "threads": threading.active_count(),
        "objects": len(gc.get_objects()),
        "resident": resident,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its pool says when it is full

    soak = Soak(options.seed, options.threads)
    with LocalServer(keep_requests=0) as server:
        server.answer_with(soak.answer)
        soak.run(server, range(-max(options.streams // 10, options.threads), 0))
        before = held()
        soak.outcomes.clear()
        began = time.monotonic()
        soak.run(server, range(options.streams))
        took = time.monotonic() - began
        after = held()

    for kind, count in sorted(soak.outcomes.items()):
        print(f"{count:6d}  {kind}")
    print(f"{options.streams} streams in {options.threads} threads took {took:.1f} s")
    for name in before:
        print(f"{name}: {before[name]} before, {after[name]} after")
    for line in soak.wrong[:20]:
        print(line)
    problems = list(soak.wrong)
    problems += [name for name in ("files", "threads") if before[name] != after[name]]
    problems += ["objects"] if after["objects"] > before["objects"] + 500 else []
    if before["resident"] is not None and after["resident"] > before["resident"] + MOST_GROWTH:
        problems.append("memory")
    print(
        f"{len(problems)} problems"
        if problems
        else "every stream ended as it was made to, and nothing was left"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
