"""The script of a hostile server: one answer after another, and their bytes."""

import json
import random
import re

MOST_ANSWERS = 12  # of one case; from then on every answer is complete
LARGE = 2**20

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
    :ivar events: those that arrive complete, in order.
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
