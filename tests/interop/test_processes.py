"""Processes that are forked or spawned, and every way in which a process can end.

A program asks with plain requests, or with this library: in itself, and in
children that end in each way.  Both must print the same and send the same.
"""

import collections
import json
import os
import subprocess
import sys
import threading

import pytest

from geministream.testing import Answer, LocalServer

pytestmark = [pytest.mark.early, pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")]

MODEL = "gemini-flash-latest"

PLAIN = """
class Plain:
    def __init__(self, url, key):
        self.url, self.key, self.session = url + "/v1beta/models/" + MODEL + ":streamGenerateContent", key, requests

    def stream(self, prompt):
        response = self.session.post(
            self.url, params={"alt": "sse"}, headers={"x-goog-api-key": self.key}, stream=True, timeout=30,
            json={"contents": [{"parts": [{"text": prompt}]}]})
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])["candidates"][0]["content"]["parts"][0]["text"]

    def many(self, prompts):
        with ThreadPoolExecutor(4) as pool:
            for future in as_completed([pool.submit(lambda prompt: "".join(self.stream(prompt)), p) for p in prompts]):
                yield future.result()
"""

OURS = """
class Ours:
    def __init__(self, url, key):
        self.endpoint = geministream.Endpoint(url, api_key=key, timeout=30)

    @property
    def session(self):
        return self.endpoint.session

    @session.setter
    def session(self, session):
        self.endpoint = dataclasses.replace(self.endpoint, session=session)

    def stream(self, prompt):
        return (chunk.text for chunk in geministream.stream_generate(MODEL, prompt, endpoint=self.endpoint))

    def many(self, prompts):
        for result in geministream.generate_many(prompts, model=MODEL, endpoint=self.endpoint, max_workers=4):
            yield result.raise_for_error().text
"""

IMPORTS = f"""
import dataclasses, json, multiprocessing, os, sys, threading
from concurrent.futures import ThreadPoolExecutor, as_completed
import requests
if "ours" in sys.argv:
    import geministream

MODEL = {MODEL!r}
"""

END = """
def end(how):
    if how == "sys.exit":
        sys.exit(5)
    if how == "os._exit":
        sys.stdout.flush()
        os._exit(6)
    if how == "error":
        raise KeyError("nobody catches it")
"""

CHILDREN = """
def child(asker, how):
    asked = "".join(asker.stream("child"))
    many = sorted(asker.many(["child 1", "child 2"]))
    asker.session = None if isinstance(asker, Ours) else requests
    unfinished = asker.stream("never")
    asked += next(unfinished)
    if [asked, *many] != ["You said: childbegun", "You said: child 1", "You said: child 2"]:
        os._exit(99)
    globals()["kept"] = unfinished
    end(how)

def status_of(way, asker, how):
    if way == "os.fork":
        pid = os.fork()
        if pid == 0:
            child(asker, how)
            sys.exit()
        status = os.waitpid(pid, 0)[1]
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    process = multiprocessing.get_context(way).Process(target=child, args=(asker, how))
    process.start()
    process.join()
    return process.exitcode

def main(who, way, state, url, key):
    asker = {"plain": Plain, "ours": Ours}[who](url, key)
    asker.session = requests.Session()
    print("".join(asker.stream("parent")))
    running = iter(())
    if state == "streaming":
        running = asker.stream("slow")
        print(next(running))
    elif state == "many":
        running = asker.many(["quick", *("slow %d" % k for k in range(9))])
        print(next(running))
        print("".join(asker.stream("settle")))  # no thread shall use a connection that is idle in its children
    sys.stdout.flush()
    print([status_of(way, asker, how) for how in ("return", "sys.exit", "os._exit", "error")])
    print("".join(asker.stream("release")))
    print(sorted(running))
    print("".join(asker.stream("parent")))

if __name__ == "__main__":
    main(*sys.argv[1:])
"""

ALONE = """
def main(who, state, how, url, key):
    asker = {"plain": Plain, "ours": Ours}[who](url, key)
    print("".join(asker.stream("alone")))
    if state != "idle":
        running = asker.stream("never") if state == "streaming" else asker.many(["quick", *["never"] * 9])
        print(next(running))
        globals()["kept"] = running
    end(how)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.fixture
def outcome(tmp_path):
    """Run a program; its exit status, what it printed, and how often it asked what."""

    def run(code, who, *arguments):
        path = tmp_path / "program.py"
        path.write_text(IMPORTS + PLAIN + OURS + END + code)
        at_once, settled, released, never = (threading.Event() for _ in range(4))
        at_once.set()
        slow = []

        def answer(recorded):
            text = text_of(recorded)
            if text == "settle":
                return Answer(chunks=["settled"], wait=settled)
            if text == "release":
                released.set()
            if text.startswith("slow"):
                slow.append(text)
                if len(slow) == 4:
                    settled.set()
                return Answer(chunks=["begun", " and ended"], gates=[at_once, released])
            if text == "never":
                return Answer(chunks=["begun", " and ended"], gates=[at_once, never])
            return None

        with LocalServer() as server:
            server.answer_with(answer)
            done = subprocess.run(
                [sys.executable, str(path), who, *arguments, server.url, server.api_key],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            # The end of a program may cut a request that is on its way.
            asked = collections.Counter(text_of(each) for each in server.requests if each.body)
        return done.returncode, done.stdout, asked, done.stderr

    return run


def text_of(recorded):
    return recorded.json["contents"][0]["parts"][0]["text"]


@pytest.mark.parametrize(
    "way, state",
    [
        *((way, state) for way in ("os.fork", "fork") for state in ("idle", "streaming", "many")),
        ("spawn", "many"),
        ("forkserver", "many"),
    ],
)
def test_children_end_in_every_way(outcome, way, state):
    *plainly, _ = outcome(CHILDREN, "plain", way, state)
    status, printed, asked, errors = outcome(CHILDREN, "ours", way, state)
    assert [status, printed, asked] == plainly, errors
    first, *between, statuses, release, rest, last = printed.splitlines()
    assert (status, first, last) == (0, "You said: parent", "You said: parent")
    assert between == {"idle": [], "streaming": ["begun"], "many": ["You said: quick", "settled"]}[state]
    assert json.loads(statuses) == [0, 5, 6, 1], errors
    assert rest == str({"idle": [], "streaming": [" and ended"], "many": ["begun and ended"] * 9}[state])
    slow = {"idle": 0, "streaming": 1, "many": 9}[state]
    assert sum(count for text, count in asked.items() if text.startswith("slow")) == slow
    assert [asked[text] for text in ("child", "child 1", "child 2", "never")] == [4] * 4


@pytest.mark.parametrize("state", ["idle", "streaming", "many"])
@pytest.mark.parametrize("how, status", [("return", 0), ("sys.exit", 5), ("os._exit", 6), ("error", 1)])
def test_a_program_ends_in_every_way(outcome, state, how, status):
    done, printed, asked, errors = outcome(ALONE, "ours", state, how)
    assert done == status, errors
    begun = {"idle": [], "streaming": ["begun"], "many": ["You said: quick"]}[state]
    assert printed.splitlines() == ["You said: alone", *begun]
    assert errors.count("Traceback") == (how == "error")
    if state != "many":  # there, plain requests on threads wait for answers that never come
        assert [done, printed, asked] == [*outcome(ALONE, "plain", state, how)[:3]]
