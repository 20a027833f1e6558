"""One answer, however many requests it takes, each piece once and in order.

What can happen to a request, and what follows:

==========================================  =====================================
nothing of the answer had come              the request is sent again, as `Retry`
                                            says
it ended with CONTINUATION and a token      the next request asks to go on there
it ended with CONTINUATION otherwise        an exception: no token came, or content came
                                            behind it, or it is one of several candidates,
                                            and a token belongs to one
it broke, and nothing but checkpoints       the next request asks to go on from
came since the last token                   the last token
it broke after further content              an exception: going on from the last
                                            token would say that content again
it broke when every candidate had ended     an exception, and no further request: it
                                            would be paid, and say more than the answer
==========================================  =====================================
"""

from contextlib import closing
from typing import Any, Callable, Dict, Generator, Iterator, List, Optional, Set

from .errors import (
    GeministreamError,
    IncompleteStreamError,
    StreamDecodeError,
    StreamTimeoutError,
    TransportError,
)
from .request import RequestBody
from .retry import Retry
from .transport import Attempts, Call, Reply, is_retryable
from .types import Candidate, Content, GenerateContentResponse, Part, PromptFeedback
from .types.codec import decoder, shorten
from .wire.framing import Framing

# An answer may have 1,048,576 tokens and a request gives up to 65,536 of them,
# so this many requests in a row without content are no answer any more.
_MOST_EMPTY_HOPS = 16

_NO_REASON = (None, "", "FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")


def answer_chunks(
    start_call: Callable[[], Call],
    url: str,
    body: RequestBody,
    token: Optional[str],
    continue_automatically: bool,
    resume_with_repeats: bool,
) -> Iterator[GenerateContentResponse]:
    """The chunks of all the requests ("hops") that the answer takes."""
    with start_call() as call:
        attempts = Attempts(call)
        asked: Set[int] = set()  # hashes of the tokens that were sent
        empty_hops = 0
        delivered = False
        said: Optional[GeministreamError] = None  # the last error that the server had a part in
        while True:
            asked.add(hash(token))
            hop = Hop(token)
            with_caller = False
            try:
                with closing(_chunks(call, url, body.with_token(token))) as chunks:
                    for chunk in chunks:
                        if hop.add(chunk):
                            attempts.progress()
                        if hop.continues and continue_automatically:
                            _hide_continuation(chunk)
                        if call.requests_sent > 1:
                            chunk.request_number = call.requests_sent
                        delivered = with_caller = True
                        yield chunk
                        with_caller = False
                hop.check(continue_automatically, resume_with_repeats)
            except GeministreamError as error:
                if with_caller:
                    raise  # it was thrown in, and is none of the stream's
                if hop.finished:
                    error.retryable = False  # another request would be paid, and say more than the answer
                    raise error.with_traceback(None) from error.__cause__
                token = hop.token
                if said is None or not isinstance(error, TransportError):
                    said = error
                at_token = token is not None and (resume_with_repeats or not hop.content_since_token)
                if (at_token or not delivered) and _again(attempts, error, token, delivered):
                    continue
                # What a server said last tells more than that it is no longer there.
                # The frames below this one hold what came, and the caller has that.
                final = _final(call, said, hop.last_token if delivered else None)
                raise final.with_traceback(None) from final.__cause__
            if not (hop.continues and continue_automatically):
                return
            said = None
            attempts.progress()  # the next request is another one
            token = hop.token
            empty_hops = 0 if hop.has_content else empty_hops + 1
            if hash(token) in asked or empty_hops >= _MOST_EMPTY_HOPS:
                what = "gives the same token again" if hash(token) in asked else "gives no content"
                endless = IncompleteStreamError(
                    f"the server continues the answer for ever: it {what}", continuation_token=token
                )
                endless.retryable = False
                raise endless


def _chunks(call: Call, url: str, body: bytes) -> Generator[GenerateContentResponse, None, None]:
    """The chunks of one request."""
    reply = call.send("POST", url, headers={"Content-Type": "application/json"}, body=body)
    framing = Framing(call.endpoint.max_event_bytes)
    decode = decoder(GenerateContentResponse)
    patience = call.patience
    watched = patience.cancel is not None
    try:
        for piece in reply.pieces():
            for value in framing.feed(piece):
                if type(value) is not dict or "error" in value:
                    _check_value(reply, value)
                if watched and patience.cancelled:
                    patience.check()
                yield decode(value)
        for value in framing.close():
            _check_value(reply, value)
            yield decode(value)
    except (IncompleteStreamError, StreamTimeoutError) as broken:
        # An event may be whole although the blank line behind it never came.
        for value in _rest(framing):
            _check_value(reply, value)
            yield decode(value)
        raise broken
    finally:
        reply.close()


def _rest(framing: Framing) -> List[Any]:
    values: List[Any] = []
    try:
        values.extend(framing.close())
    except (IncompleteStreamError, StreamDecodeError):
        pass  # the reason why the stream broke off is the one to tell
    return values


def _check_value(reply: Reply, value: Any) -> None:
    """Raise for what is no chunk: an error inside the stream, or no object at all."""
    if not isinstance(value, dict):
        raise StreamDecodeError(f"a chunk is a JSON object, not {shorten(value)}")
    error = value.get("error")
    if error:
        raise reply.api_error(error)


class _Candidate:
    """What one hop has said of one candidate."""

    def __init__(self) -> None:
        self.open = False  # there is content and no finish reason behind it
        self.ended = False
        self.continues = False
        self.token: Optional[str] = None  # the last that came


class Hop:
    """What one request's stream has said so far.

    :ivar token: the last continuation token, at first the one that was sent.  A
        token belongs to one candidate: of several, none can be asked for more.
    :ivar last_token: the last that came, whichever candidate's.
    :ivar content_since_token: whether there was content after it.
    :ivar continues: whether the answer goes on in another request.
    """

    def __init__(self, token: Optional[str]) -> None:
        self.token = self.last_token = token
        self.content_since_token = False
        self.continues = False
        self._given = False  # any content or token
        self._secured = False  # content before the last token
        self._candidates: Dict[int, _Candidate] = {}
        self._blocked = False
        self._unknown: List[str] = []  # the fields of chunks that are none of an answer's
        self._known = False  # whether there were any of an answer

    def add(self, chunk: GenerateContentResponse) -> bool:
        """Take a chunk; True if it brought a token that secures content."""
        progress = False
        candidates = chunk.candidates
        for candidate in candidates if type(candidates) is list else ():
            if type(candidate) is not Candidate:
                continue
            index = candidate.index if type(candidate.index) is int else 0
            state = self._candidates.get(index)
            if state is None:
                state = self._candidates[index] = _Candidate()
                if len(self._candidates) > 1:
                    self.continues = False
                    if self._given:
                        self.token = None
            # Once there was content, only a token or an end makes it worth asking again.
            if not (self.content_since_token and state.open) and _has_content(candidate):
                self.content_since_token = state.open = self._given = True
                state.continues = self.continues = False
                if len(self._candidates) > 1:
                    self.token = None
            token = candidate.continuation_token
            if type(token) is str and token:
                state.token = self.last_token = token
                self._given = True
                if len(self._candidates) > 1:
                    self.token = None
                else:
                    progress = progress or (token != self.token and self.content_since_token)
                    self.token = token
                    self._secured = self._secured or self.content_since_token
                    self.content_since_token = False
            reason = candidate.finish_reason
            if reason not in _NO_REASON:
                state.ended = True
                state.open = False
                state.continues = reason == "CONTINUATION"
                self.continues = state.continues and len(self._candidates) == 1
        feedback = chunk.prompt_feedback
        if type(feedback) is PromptFeedback and feedback.block_reason not in _NO_REASON:
            self._blocked = True
            self.continues = False
        if not self._known:
            self._known = any(v is not None for name, v in chunk.__dict__.items() if name != "extra")
            self._unknown += chunk.__dict__.get("extra") or ()
        return progress

    @property
    def has_content(self) -> bool:
        """Whether there was any content."""
        return self._secured or self.content_since_token

    @property
    def complete(self) -> bool:
        """Every answer that began has its finish reason, or the prompt was blocked.

        Some servers send a finish reason before any content, so one counts only
        where no content follows it.
        """
        return self._blocked or (self._any("ended") and not self._any("open"))

    @property
    def finished(self) -> bool:
        """Whether the answer is complete, and goes on nowhere."""
        return self.complete and (self._blocked or not self._any("continues"))

    def check(self, continue_automatically: bool, resume_with_repeats: bool) -> None:
        """At the end of the body: raise if it is not an answer's, or not where one can go on."""
        if self._unknown and not self._known:
            raise StreamDecodeError(
                f"the response is not a Gemini answer: its fields are {shorten(self._unknown)}; "
                "check the base URL"
            )
        cut_off = [each for each in self._candidates.values() if each.continues]
        why = ""
        if self._blocked or not (cut_off and continue_automatically):
            pass
        elif len(self._candidates) > 1:
            self.last_token = cut_off[0].token
            why = "only a single candidate can be continued; ask for one, or continue this one by its token"
        elif cut_off[0].token is None:
            why = "the server gave no token to continue it with"
        elif self.content_since_token and not resume_with_repeats:
            why = "continuing from its last token would say again what came after it"
        if why:
            incomplete = IncompleteStreamError(f"the answer is longer than one request may give, and {why}")
            incomplete.retryable = False
            raise incomplete
        if not self.complete:
            raise IncompleteStreamError("the answer ended without a finish reason")

    def _any(self, state: str) -> bool:
        return any(getattr(candidate, state) for candidate in self._candidates.values())


def _has_content(candidate: Candidate) -> bool:
    content = candidate.content
    parts = content.parts if type(content) is Content else None
    for part in parts if type(parts) is list else ():
        # {"text": ""} alone says nothing; with a signature it does.
        if type(part) is not Part or part.text:
            return True
        if any(value is not None for name, value in part.__dict__.items() if name not in ("text", "thought")):
            return True
    return False


def _hide_continuation(chunk: GenerateContentResponse) -> None:
    """To the caller the answer has not ended here."""
    candidates = chunk.candidates
    for candidate in candidates if type(candidates) is list else ():
        if type(candidate) is Candidate and candidate.finish_reason == "CONTINUATION":
            candidate.finish_reason = None


def _again(attempts: Attempts, error: GeministreamError, token: Optional[str], resuming: bool) -> bool:
    if isinstance(error, StreamTimeoutError) and token is not None:
        error.retryable = True  # the token marks what is paid for already
    try:
        return attempts.again(error, resuming=resuming)
    except StreamTimeoutError as late:
        late.continuation_token = token
        raise


def _final(call: Call, error: GeministreamError, token: Optional[str]) -> GeministreamError:
    """The error that ends the stream; where there is a token to go on from, it has it."""
    if token is None:
        return error
    if isinstance(error, IncompleteStreamError) or (
        isinstance(error, StreamTimeoutError) and call.patience.expired
    ):
        error.continuation_token = token
        return error
    if isinstance(error, StreamTimeoutError) or is_retryable(error, Retry.statuses):
        incomplete = IncompleteStreamError(f"the answer broke off: {error}", continuation_token=token)
        incomplete.__cause__ = error
        return incomplete
    return error
