"""The model: what must come out of a case's script.  It shares no code with the package."""

import dataclasses

from .adversary_script import CLASSES

ATTEMPTS = 3

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
