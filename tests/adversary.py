"""Random scripts of a server that does its worst, against a model of what must come out of them.

    python tests/adversary.py [COUNT] [--seed N] [--from CASE] [--case N]

Each case is one call of `stream_generate` over real sockets.  A server in this
process answers its requests with random mixtures of interim responses, cut
heads, junk behind complete bodies, several candidates, continuation tokens,
finish reasons where they do not belong, blocked prompts, errors in every form,
and connections that break.  All calls share one session, and each answer says
its own number, so a connection that should not be used again shows as an answer
that belongs to another request.

`Model` says what must be delivered, how many requests must be sent with which
tokens, and which error must end the stream.  It follows the rules of the API and
of the table in stream.py, and shares no code with the package.  Cases for which
no rule decides are counted as undecided, and still must not hang.

The same seed gives the same cases; ``--case`` shows the script of one and runs
it alone.  ``test_adversary.py`` runs a short form.
"""

import argparse
import dataclasses
import faulthandler
import json
import random
import re
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from functools import partial

import requests
from support.raw_server import Connection, Gone

from geministream import Endpoint, GeministreamError, Retry, stream_generate

ATTEMPTS = 3
SECONDS = 20  # the deadline of each call; none takes a hundredth of it
MOST_ANSWERS = 12  # of one case; from then on every answer is complete
LARGE = 2**20
HANG = 120  # seconds after which the program shows where it hangs, and ends


# The script: one answer after another ----------------------------------------------

INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 199\r\n\r\n",
    b"HTTP/1.0 150 So far\r\nA: b\r\n\r\n",
]
NOISE = [b": ping\r\n\r\n", b":\n\n", b"id: 7\n", b"retry: 10\r\n", b"\r\n", b"event: message\n", b": a\r\r"]
FILLING = [
    "",
    "",
    " ",
    "x",
    "a b",
    '"',
    "\\",
    "{[",
    "]}",
    "\n",
    "é",
    "\u2028",
    "\U0001f600",
    "data: ",
    "\r\n\r\n",
    "w" * 40,
]
SWAPPED = b'data: {"candidates": [{"content": {"parts": [{"text": "swapped"}]}, "finishReason": "STOP"}]}\n\n'
JUNK = [
    ("CRLF", b"\r\n"),
    ("byte", b"x"),
    ("response", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(SWAPPED), SWAPPED)),
]
STATUSES = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
CLASSES = {400: "BadRequestError", 429: "RateLimitError", 503: "ServerError"}

# Splits should fall into line ends, escapes and characters of several bytes, and between text and syntax.
DELICATE = [
    re.compile(rb"\r\n"),
    re.compile(rb"\\."),
    re.compile(rb"[\xc0-\xff][\x80-\xbf]|[\x80-\xbf]{2}"),
    re.compile(rb"[{:]\"|\"[}:]"),
]


class Event:
    """One value of a body.

    :ivar value: the JSON value.
    :ivar code: of the error that it is, or None.
    :ivar size: of its JSON text, in characters.
    :ivar start: the offset in the body at which its first line begins.
    :ivar json_start: the offset of its JSON text.
    :ivar end: the offset at which its JSON text ends.
    :ivar stop: the offset behind its line ends.
    """

    def __init__(self, value, code=None, form="data"):
        self.value = value
        self.code = code
        self.form = form
        self.text = ""
        self.size = self.start = self.json_start = self.end = self.stop = 0


class Answer:
    """One response, as it is sent and as the model sees it.

    :ivar kinds: what is in it, for the count.
    :ivar writes: the bytes, in the pieces in which they are sent.
    :ivar pause: seconds between two writes, so that they are not read as one.
    :ivar closes: whether the server closes the connection behind it.
    :ivar spoiled: whether its connection must not be used again.
    :ivar status: the HTTP status, or None for a head that was cut.
    :ivar events: those that arrive whole, in order.
    :ivar ends_well: whether the body ends as its framing and HTTP say.
    """

    def __init__(self):
        self.kinds = []
        self.writes = []
        self.pause = 0.0
        self.closes = self.spoiled = False
        self.status = None
        self.events = []
        self.ends_well = True


class Case:
    """The script of one call; its answers are made as they are needed, each from a seed of its own."""

    def __init__(self, seed, number):
        self.seed = seed
        self.number = number
        pick = random.Random(f"{seed}/{number}")
        self.alt = pick.choice(("sse", "json"))
        self.framing = pick.choice(("sse", "array"))
        count = pick.choice((1, 1, 1, 1, 1, 2, 2, 3))
        self.indexes = [pick.choice((None, 0, 0, 0, 1, 2))] if count == 1 else list(range(count))
        self.token = f"given-{number}" if pick.random() < 0.15 else None
        self.unlucky = pick.random() < 0.2  # most of its requests fail, or say nothing
        self.near_limit = pick.random() < 0.2
        self.limit = LARGE
        self._answers = []

    def answer(self, k):
        """The answer to request ``k``."""
        while len(self._answers) <= k:
            at = len(self._answers)
            self._answers.append(make_answer(random.Random(f"{self.seed}/{self.number}/{at}"), self, at))
        return self._answers[k]


def make_answer(pick, case, at):
    answer = Answer()
    answer.pause = pick.choice((0.0, 0.0002))
    chance = pick.random() * (0.4 if case.unlucky else 1)
    before = b""
    if pick.random() < 0.25:
        count = pick.choice((1, 1, 2, 3, 20))
        before = b"".join(pick.choice(INTERIM) for _ in range(count))
        answer.kinds.append("interim" if count == 1 else "several interim")
    last = at >= MOST_ANSWERS
    if chance < 0.1 and not last:
        answer.kinds.append("cut head")
        # If half a head were taken for a whole one, a 400 would be final and a 200 an empty answer.
        head = before + http_head(pick, pick.choice((200, 400, 503)), ["Content-Length: 5"])
        answer.writes = in_pieces(pick, head[: pick.randrange(len(head))])
        answer.closes = True
        return answer
    if chance < 0.2 and not last:
        answer.status = pick.choice((400, 429, 503, 503, 503))
        answer.kinds.append(f"status {answer.status}")
        body = dumps(pick, error_value(answer.status, f"answer {at}")).encode()
        body = b"[%b]" % body if case.framing == "array" else body
        send(pick, answer, before, body, [], whole=pick.random() < 0.8, case=case)
        return answer
    answer.status = 200
    events = (
        [Event({"candidates": [said(case.indexes[0], f"<{case.number}.{at}>", reason="STOP")]})]
        if last
        else make_events(pick, case, at, answer.kinds)
    )
    if pick.random() < 0.05 and not last:
        events = []
    body = write_body(pick, case, events)
    if at == 0 and case.near_limit and events:
        case.limit = max(20, pick.choice(events).size + pick.choice((-1, -1, 0, 0, 1, 7)))
    send(pick, answer, before, body, events, whole=last or pick.random() < 0.65, case=case)
    return answer


def error_value(code, message):
    return {"error": {"code": code, "message": message, "status": STATUSES[code]}}


def said(index, text=None, reason=None, token=None, **more):
    """A candidate."""
    candidate = {}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if index is not None:
        candidate["index"] = index
    if reason is not None:
        candidate["finishReason"] = reason
    if token is not None:
        candidate["continuationToken"] = token
    candidate.update(more)
    return candidate


def make_events(pick, case, at, kinds):
    """The events of one stream, before anything is cut."""
    lines = [make_candidate(pick, case, at, index, kinds) for index in case.indexes]
    if len(lines) > 1:
        kinds.append(f"{len(lines)} candidates")
    events = []
    while any(lines):
        ready = [line for line in lines if line]
        together = ready if pick.random() < 0.3 else [pick.choice(ready)]
        pick.shuffle(together)
        events.append(Event({"candidates": [line.pop(0) for line in together]}))
        if pick.random() < 0.1:
            events[-1].value["usageMetadata"] = {"totalTokenCount": len(events)}
    if pick.random() < 0.2:
        events.insert(pick.randrange(len(events) + 1), Event({"usageMetadata": {"totalTokenCount": at}}))
        kinds.append("usage alone")
    if pick.random() < 0.07:
        place = pick.randrange(len(events) + 1)
        feedback = {"promptFeedback": {"blockReason": pick.choice(("SAFETY", "OTHER", "NEW_REASON"))}}
        if pick.random() < 0.5:
            events = events[:place]
        kinds.append("blocked before content" if place == 0 else "blocked after content")
        events.insert(place, Event(feedback))
    if pick.random() < 0.15:
        code = pick.choice((503, 503, 429, 400))
        form = pick.choice(("data", "event: error", "bare")) if case.framing == "sse" else "element"
        kinds.append(f"{code} in the stream")
        kinds.append(f"error as {form}")
        error = Event(error_value(code, f"in answer {at}"), code, form)
        events.insert(pick.randrange(len(events) + 1), error)
    return events


def make_candidate(pick, case, at, index, kinds):
    """What one candidate says in one stream, chunk by chunk."""
    alone = len(case.indexes) == 1
    name = f"{case.number}.{at}" + ("" if alone else f".{index}")
    styles = ["plain"] * 6 + ["STOP everywhere", "STOP first", "STOP first", "silent"]
    style = pick.choice(styles + ["silent"] * 7 if case.unlucky else styles)
    end = pick.choice(("STOP", "STOP", "MAX_TOKENS", "CONTINUATION", "CONTINUATION", "CONTINUATION", None))
    place = pick.choice(("same", "same", "same", "earlier", "apart", "later", "never", "the same again"))
    some_tokens = pick.random() < 0.4
    line = []
    if style == "STOP first":
        line += [said(index, reason="STOP") for _ in range(pick.choice((1, 1, 3)))]
        kinds.append("STOP first")
    elif pick.random() < 0.1:
        no_reason = pick.choice((None, "FINISH_REASON_UNSPECIFIED"))
        line.append(said(index, pick.choice((None, "")), finishReason=no_reason))
    count = 0 if style == "silent" and alone else pick.choice((1, 1, 2, 2, 3, 6))
    for k in range(count):
        candidate = said(index, f"<{name}.{k}>" + "".join(pick.choice(FILLING) for _ in range(3)))
        if pick.random() < 0.05:
            candidate["content"]["parts"][0]["thought"] = True
        if style == "STOP everywhere":
            candidate["finishReason"] = "STOP"
        if some_tokens and pick.random() < 0.4:
            candidate["continuationToken"] = f"{name}.{k}"
            kinds.append("token in the middle")
        line.append(candidate)
        if pick.random() < 0.05:
            line.append(said(index, pick.choice((None, ""))))
    if style == "STOP everywhere":
        kinds.append("STOP everywhere")
        if end is None and count:
            return line
    if end is None:
        kinds.append("no finish reason")
        return line or [said(index)]
    # With the last content, or behind it; a repeated STOP ends nothing twice.
    if not count or pick.random() < 0.5:
        line.append(said(index, pick.choice((None, ""))))
    last = line[-1]
    last["finishReason"] = end
    kinds.append(end)
    if end == "CONTINUATION":
        kinds.append(f"token: {place}")
        last.pop("continuationToken", None)
        if place == "the same again":
            last["continuationToken"] = case.token or "again"
        elif place == "same":
            last["continuationToken"] = f"{name}.end"
        elif place == "earlier" and len(line) > 1:
            line[-2]["continuationToken"] = f"{name}.end"
        elif place == "apart" and alone:
            line.insert(len(line) - 1, said(index, token=f"{name}.end"))
        elif place == "later":
            line.append(said(index, token=f"{name}.end"))
        elif place == "never" and pick.random() < 0.7:
            for candidate in line:
                candidate.pop("continuationToken", None)
    elif end == "MAX_TOKENS" and pick.random() < 0.5:
        last["continuationToken"] = f"{name}.end"
    if pick.random() < 0.1:
        line.append(said(index))
    return line


# The script's bytes ----------------------------------------------------------------


def dumps(pick, value, **options):
    return json.dumps(value, ensure_ascii=pick.random() < 0.3, **options)


def write_body(pick, case, events):
    """The body of a stream; each event learns where it stands in it."""
    body = bytearray(b"\xef\xbb\xbf" if pick.random() < 0.05 else b"")
    if case.framing == "array":
        body += pick.choice((b"[", b"[\n", b" [\r\n"))
    line_end = pick.choice((b"\r\n", b"\r\n", b"\n", b"\r"))
    prefix = pick.choice((b"data: ", b"data:"))
    for k, event in enumerate(events):
        event.start = len(body)
        if case.framing == "array":
            event.text = dumps(pick, event.value, indent=pick.choice((None, 2)))
            before, after = b"\n,\r\n" if k else b"", pick.choice((b"", b"\n"))
        else:
            if pick.random() < 0.15:
                # A field without its blank line would belong to the next event, which is no harm.
                body += pick.choice(NOISE) if k else b": first\n\n"
                event.start = len(body)
            event.text = dumps(pick, event.value, indent=2 if event.form == "bare" else None)
            before, after = prefix, line_end * 2
            if event.form == "bare":
                before = b""
            elif event.form == "event: error":
                before = b"event: error" + line_end + prefix
        event.size = len(event.text)
        body += before
        event.json_start = len(body)
        body += event.text.encode("utf-8")
        event.end = len(body)
        body += after
        event.stop = len(body)
    if case.framing == "array":
        body += pick.choice((b"]", b"\n]\n"))
    elif pick.random() < 0.1:
        body += b"data: [DONE]\n\n"
    return bytes(body)


def http_head(pick, status, lines):
    reason = pick.choice(("OK", "Some words", ""))
    lines = [f"HTTP/1.1 {status} {reason}", "Content-Type: text/event-stream", *lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def send(pick, answer, before, body, events, *, whole, case):
    """Fill in how the answer travels, and what of its events arrives."""
    transfer = pick.choice(("chunked", "chunked", "length", "length", "close"))
    lines = []
    arrived = len(body)
    breaks = False  # as HTTP sees it
    if not whole:
        how = pick.choice(("http", "http", "body"))
        arrived = cut_of(pick, case, body, events, inside=how == "body" or transfer == "close")
        breaks = how == "http" and transfer != "close"
        kind = "ends early"
        if breaks:
            kind = "no last chunk" if transfer == "chunked" else "short length"
        answer.kinds.append(kind)
        answer.ends_well = not breaks and ends_well(case, events, arrived)
    part = body[:arrived]
    if transfer == "length":
        missing = (len(body) - arrived or pick.choice((1, 7, 5000))) if breaks else 0
        lines.append(f"Content-Length: {arrived + missing}")
        data = part
    elif transfer == "chunked":
        lines.append("Transfer-Encoding: chunked")
        data = in_chunks(pick, part, breaks)
    else:
        data = part
        lines.append("Connection: close")
    answer.events = [event for event in events if event.end <= arrived]
    answer.closes = breaks or transfer == "close"
    junk = b""
    if not answer.closes:
        if pick.random() < 0.1:
            answer.closes = True
            if pick.random() < 0.5:
                lines.append("Connection: close")
        elif pick.random() < 0.3:
            name, junk = pick.choice(JUNK)
            answer.kinds.append(f"junk: {name}")
            answer.spoiled = True
    pick.shuffle(lines)
    data = before + http_head(pick, answer.status, lines) + data
    if junk and pick.random() < 0.4:
        answer.writes = in_pieces(pick, data) + in_pieces(pick, junk)
    else:
        answer.writes = in_pieces(pick, data + junk)


def cut_of(pick, case, body, events, inside):
    """Where to cut the body: anywhere, or only between events and inside their JSON."""
    event = pick.choice(events) if events else None
    if event is None:
        cut = 0 if inside else pick.randrange(len(body) + 1)
    elif inside:
        cut = pick.choice((event.json_start + 1 + pick.randrange(event.size - 1), event.start, event.end))
    else:
        cut = pick.choice((pick.randrange(len(body) + 1), len(body), event.end))
    for event in events:
        # Whether an event that is cut is too large or not whole is a matter of taste.
        if event.size > case.limit and event.start < cut < event.stop:
            return event.start
        # Half an error event may be told as what it says, or as a stream that was cut.
        if event.form == "event: error" and event.start < cut < event.end:
            return event.start
    return cut


def ends_well(case, events, arrived):
    if case.framing == "array":
        return not arrived
    return not any(event.json_start < arrived < event.end for event in events)


def in_chunks(pick, data, breaks):
    """HTTP chunks; if the body breaks, in the middle of a chunk, behind one, or in the last."""
    out = bytearray()
    start = 0
    size = pick.choice((5, 40, 300, 10**6))
    while start < len(data):
        end = start + 1 + int(pick.random() * size)
        piece = data[start:end]
        if breaks and end >= len(data) and pick.random() < 0.4:
            return bytes(out) + b"%x\r\n%b" % (len(piece) + pick.choice((0, 1, 500)), piece)
        out += b"%x%b\r\n%b\r\n" % (len(piece), pick.choice((b"", b"", b"", b";a=b", b" ")), piece)
        start = end
    if breaks:
        return bytes(out) + pick.choice((b"", b"40\r\n", b"0"))
    return bytes(out) + pick.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nA: b\r\n\r\n"))


def in_pieces(pick, data):
    """The data in one write, some, or (a stretch of it) byte by byte."""
    how = pick.randrange(6)
    if how < 2 or len(data) < 2:
        return [data]
    delicate = [found.start() + 1 for found in pick.choice(DELICATE).finditer(data)] if how < 4 else []
    if how == 5:
        at = pick.randrange(len(data))
        cuts = range(at, min(at + 25, len(data)))
    elif delicate:
        cuts = sorted(pick.choice(delicate) for _ in range(pick.choice((1, 2, 4))))
    else:
        cuts = sorted(pick.randrange(len(data)) for _ in range(pick.choice((1, 1, 3, 6))))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:]) if a < b]


# The server ------------------------------------------------------------------------


class Server:
    """Answers each request with the next answer of the present case, all on one thread.

    :ivar case: the present case.
    :ivar tokens: the token that each request of the case bore.
    :ivar reused: how many requests came on connections that must not be used again.
    :ivar idle: set while nothing is being answered.
    :ivar connections: how many were accepted.
    """

    def __init__(self):
        self.case = None
        self.tokens = []
        self.reused = 0
        self.connections = 0
        self.idle = threading.Event()
        self.idle.set()
        self._error = None
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._address = self._listener.getsockname()
        self.url = "http://127.0.0.1:%d" % self._address[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self._closing.set()
        try:
            socket.create_connection(self._address).close()  # wakes select()
        except OSError:
            pass  # it has ended already
        self._thread.join(5)
        if self._error is not None:
            raise self._error

    def begin(self, case):
        assert self.idle.wait(SECONDS), "the server is still sending"
        self.case = case
        self.tokens = []
        self.reused = 0

    def _run(self):
        try:
            while not self._closing.is_set():
                for key, _ in self._selector.select():
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._serve(key.fileobj, key.data)
        except BaseException as error:
            self._error = error
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()
            self._selector.close()
            self.idle.set()

    def _accept(self):
        sock, _ = self._listener.accept()
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, self.connections, self._closing)
        connection.spoiled = False
        self.connections += 1
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _serve(self, sock, connection):
        """Answer one request; the connection has something to read, if only its end."""
        closes = True
        try:
            body = connection.read_request()
            self.idle.clear()
            answer = self.case.answer(len(self.tokens))
            self.tokens.append(json.loads(body).get("continuationToken"))
            self.reused += connection.spoiled
            connection.spoiled = answer.spoiled
            for data in answer.writes:
                connection.send(data)
                if answer.pause:
                    time.sleep(answer.pause)
            closes = answer.closes
        except Gone:
            pass
        if closes:
            self._selector.unregister(sock)
            sock.close()
        self.idle.set()


class WaitingSession(requests.Session):
    """Sends a request only when all of the last answer is out, junk and end included.

    No client can know of what comes later, so what comes later must not decide.
    """

    def __init__(self, server):
        super().__init__()
        self.trust_env = False  # no proxy of this machine, and no look into its files for each request
        self._server = server

    def request(self, *args, **kwargs):
        assert self._server.idle.wait(SECONDS), "the server is still sending"
        return super().request(*args, **kwargs)


# The model -------------------------------------------------------------------------

ANYTHING = "anything"  # what an error's field may be if no rule says
INCOMPLETE = "IncompleteStreamError"
BREAKS = {"TransportError", INCOMPLETE}


class Undecided(Exception):
    """No rule says what must come."""


@dataclasses.dataclass
class Expected:
    """What must come out of a case.

    :ivar chunks: a list of (index, text, finish reason) for each chunk.
    :ivar hidden: numbers of the chunks that belong to requests that were continued.
    :ivar tokens: of the requests.
    :ivar errors: names of the classes that may end the stream; empty if it ends well.
    :ivar error_tokens: the values that the error's ``continuation_token`` may have.
    :ivar retryable: of the error.
    """

    chunks: list = dataclasses.field(default_factory=list)
    hidden: set = dataclasses.field(default_factory=set)
    tokens: list = dataclasses.field(default_factory=list)
    errors: frozenset = frozenset()
    error_tokens: object = ANYTHING
    retryable: object = ANYTHING
    why: str = "complete"


class Speaker:
    """One candidate in one stream: when it had its last content, token and finish reason."""

    def __init__(self):
        self.content_at = self.token_at = self.reason_at = -1
        self.token = self.reason = None
        self.progressed = False  # whether a token came behind content

    def hear(self, candidate, now):
        # Within a chunk, token and reason come behind the content.
        parts = (candidate.get("content") or {}).get("parts") or ()
        if any(part.get("text") for part in parts):
            self.content_at = now
        if candidate.get("continuationToken"):
            self.progressed = self.progressed or self.content_at > self.token_at
            self.token, self.token_at = candidate["continuationToken"], now
        if candidate.get("finishReason") not in (None, "FINISH_REASON_UNSPECIFIED"):
            self.reason, self.reason_at = candidate["finishReason"], now

    has_content = property(lambda self: self.content_at >= 0)
    ended = property(lambda self: self.reason is not None and self.reason_at >= self.content_at)
    opened = property(lambda self: self.has_content and not self.ended)
    continues = property(lambda self: self.ended and self.reason == "CONTINUATION")
    secured = property(lambda self: self.token is not None and self.token_at >= self.content_at)


class Model:
    """Walks through the script of a case as a correct client does."""

    def __init__(self, case):
        self.case = case
        self.expected = Expected()
        self.kinds = []
        self.asked = case.token
        self.failed = 0  # attempts since the last progress
        self.series = set()  # the classes of the errors since the last request that went well

    def run(self):
        """What must come out."""
        expected = self.expected
        while not expected.errors:
            answer = self.case.answer(len(expected.tokens))
            expected.tokens.append(self.asked)
            self.kinds += answer.kinds
            first = len(expected.chunks)
            speakers, blocked, failure = self.listen(answer)
            token, goes_on = self.judge(speakers, blocked, failure)
            if not goes_on:
                break
            expected.hidden.update(range(first, len(expected.chunks)))
            self.asked = token
        return expected

    def listen(self, answer):
        """Take the chunks of one answer: its candidates, whether it was blocked, and how it failed."""
        if answer.status != 200:
            return {}, False, "TransportError" if answer.status is None else answer.status
        speakers = {}
        blocked = False
        for now, event in enumerate(answer.events):
            if event.size > self.case.limit:
                self.kinds.append("event too large")
                return speakers, blocked, "StreamDecodeError"
            if event.code:
                return speakers, blocked, event.code
            value = event.value
            self.expected.chunks.append([shown(candidate) for candidate in value.get("candidates", ())])
            for candidate in value.get("candidates", ()):
                speakers.setdefault(candidate.get("index") or 0, Speaker()).hear(candidate, now)
            blocked = blocked or "promptFeedback" in value
        return speakers, blocked, None if answer.ends_well else INCOMPLETE

    def judge(self, speakers, blocked, failure):
        """What follows: the token of the next request, and whether there is one."""
        heard = list(speakers.values())
        several = len(heard) > 1
        continuing = [each for each in heard if each.continues]
        opened = [each for each in heard if each.opened]
        ended = blocked or (any(each.ended for each in heard) and not opened)
        tokens = {each.token for each in heard if each.token}
        has_content = any(each.has_content for each in heard)
        delivered = bool(self.expected.chunks)
        if several and tokens and sum(each.has_content for each in heard) < len(heard):
            raise Undecided("a candidate that has said nothing beside one with a token")
        if len(self.case.indexes) > 1 and self.asked not in (None, self.case.token):
            raise Undecided("several candidates after a token of one")
        if blocked and continuing:
            raise Undecided("blocked and to be continued")

        if failure is None and continuing and (several or ended):
            if several:
                tokens = self.tokens_of(continuing)
                return self.fail("several candidates and a CONTINUATION", {INCOMPLETE}, tokens)
            (only,) = continuing
            if only.token is None or only.token in self.expected.tokens:
                return self.fail("CONTINUATION without a new token", {INCOMPLETE}, ANYTHING, False)
            if not only.secured:
                # To go on from the token would say again what came after it.
                return self.fail("CONTINUATION with content behind the token", {INCOMPLETE}, {only.token})
            self.kinds.append("continued")
            self.failed = 0
            self.series = set()
            return only.token, True
        if failure is None and ended:
            return None, False

        failure = failure or INCOMPLETE  # it ended early
        kind = CLASSES.get(failure, failure)
        if failure in (400, "StreamDecodeError"):
            return self.fail(kind, {kind})
        if ended and not continuing:
            # Another request would be paid, and say more than the answer.
            retryable = False if kind == INCOMPLETE else ANYTHING
            return self.fail("broken after the end", {kind, INCOMPLETE}, ANYTHING, retryable)

        # Sent again if nothing of the answer was delivered; resumed if no content came behind the last token.
        if tokens & set(self.expected.tokens):
            raise Undecided("broken, and its token is one that was sent before")
        token, secured = self.asked, not has_content and not (several and tokens)
        if tokens and not several:
            token, secured = heard[0].token, heard[0].secured
            if heard[0].progressed:
                self.failed = 0
        self.failed += 1
        self.series.add(kind)
        again = not delivered or (token is not None and secured)
        if again and self.failed < ATTEMPTS:
            self.kinds.append("resumed" if delivered else "sent again")
            return token, True
        why = "out of attempts" if again else "broken after content"
        # What a server said may be told instead of that it is no longer there.
        errors = self.series if kind == "TransportError" else {kind}
        retryable = True if errors <= BREAKS and not continuing else ANYTHING
        if not delivered:
            return self.fail(why, errors, {None, self.case.token}, retryable)
        if several:
            with_token = [each for each in heard if each.token]
            return self.fail(why, errors | {INCOMPLETE}, self.tokens_of(continuing + with_token))
        if token is None:
            return self.fail(why, errors, {None}, retryable)
        return self.fail(why, {INCOMPLETE}, {token}, ANYTHING if continuing else True)

    def tokens_of(self, candidates):
        """The tokens that an error may have if any of these candidates may be meant."""
        tokens = {each.token for each in candidates} or {None}
        return tokens | {self.asked} if None in tokens else tokens

    def fail(self, why, errors, tokens=ANYTHING, retryable=ANYTHING):
        expected = self.expected
        expected.why, expected.errors, expected.error_tokens = why, frozenset(errors), tokens
        expected.retryable = retryable
        return None, False


def shown(candidate):
    """What the caller sees of a candidate as it was sent."""
    parts = (candidate.get("content") or {}).get("parts") or ()
    return (
        candidate.get("index") or 0,
        "".join(part.get("text") or "" for part in parts),
        candidate.get("finishReason"),
    )


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
