"""One answer over one or more requests: every piece arrives once and in order.

How a request can end, and what follows:

==========================================  =====================================
it failed before any of the answer came     it is retried according to `Retry`
it ended with CONTINUATION and a token      the next request continues from the token
it ended with CONTINUATION otherwise        an exception: there is no token, or content came
                                            after it, or there are several candidates, and
                                            a token belongs to only one
it broke, and no content came after the     the next request resumes from the last token
last token
it broke after more content                 an exception: resuming from the last token
                                            would repeat that content
it broke after every candidate had ended    an exception without a retry, which would cost
                                            money and add content to a complete answer
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

# An answer has at most 1,048,576 tokens and a request returns up to 65,536 of them, so after
# this many requests in a row without content the server is in a loop.
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
    """Yield the chunks of all requests ("hops") of an answer."""
    with start_call() as call:
        attempts = Attempts(call)
        asked: Set[int] = set()  # hashes of the tokens that were sent
        empty_hops = 0
        delivered = False
        said: Optional[GeministreamError] = None  # the last error that came from the server itself
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
                    raise  # the caller threw it into the generator
                if hop.finished:
                    error.retryable = False  # a retry would cost money and add to a complete answer
                    raise error.with_traceback(None) from error.__cause__
                token = hop.token
                if said is None or not isinstance(error, TransportError):
                    said = error
                at_token = token is not None and (resume_with_repeats or not hop.content_since_token)
                if (at_token or not delivered) and _again(attempts, error, token, delivered):
                    continue
                # The server's last error explains more than the failed connection after it.
                # No traceback: its frames would keep the received data in memory.
                final = _final(call, said, hop.last_token if delivered else None)
                raise final.with_traceback(None) from final.__cause__
            if not (hop.continues and continue_automatically):
                return
            said = None
            attempts.progress()  # the next request has attempts of its own
            token = hop.token
            empty_hops = 0 if hop.has_content else empty_hops + 1
            if hash(token) in asked or empty_hops >= _MOST_EMPTY_HOPS:
                what = "repeats a token" if hash(token) in asked else "sends no content"
                endless = IncompleteStreamError(
                    f"the server continues the answer forever: it {what}", continuation_token=token
                )
                endless.retryable = False
                raise endless


def _chunks(call: Call, url: str, body: bytes) -> Generator[GenerateContentResponse, None, None]:
    """Send one request and yield its chunks."""
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
        # The last event may be complete although the blank line after it never came.
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
        pass  # the caller raises the error that broke the stream
    return values


def _check_value(reply: Reply, value: Any) -> None:
    """Raise if a value is not a chunk but an error inside the stream, or not an object."""
    if not isinstance(value, dict):
        raise StreamDecodeError(f"a chunk must be a JSON object, got {shorten(value)}; check the base URL")
    error = value.get("error")
    if error:
        raise reply.api_error(error)


class _Candidate:
    """The state of one candidate in one hop."""

    def __init__(self) -> None:
        self.open = False  # content came, and no finish reason after it
        self.ended = False
        self.continues = False
        self.token: Optional[str] = None  # the last token that came


class Hop:
    """The state of one request's stream.

    :ivar token: the last continuation token, at first the one that was sent; None if there
        are several candidates, which cannot be continued because a token belongs to one.
    :ivar last_token: the last token of any candidate.
    :ivar content_since_token: whether content came after ``token``.
    :ivar continues: whether another request must continue the answer.
    """

    def __init__(self, token: Optional[str]) -> None:
        self.token = self.last_token = token
        self.content_since_token = False
        self.continues = False
        self._given = False  # whether any content or token came
        self._secured = False  # whether content came before the last token
        self._candidates: Dict[int, _Candidate] = {}
        self._blocked = False
        self._unknown: List[str] = []  # the fields of chunks that an answer does not have
        self._known = False  # whether any field of an answer came

    def add(self, chunk: GenerateContentResponse) -> bool:
        """Take a chunk; return True if its token covers new content."""
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
            # Once content is known, skip the check until a token or a finish reason comes.
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
        """Whether any content came."""
        return self._secured or self.content_since_token

    @property
    def complete(self) -> bool:
        """Whether every candidate has its finish reason, or the prompt was blocked.

        Some servers send a finish reason before any content, so it counts only if no
        content follows it.
        """
        return self._blocked or (self._any("ended") and not self._any("open"))

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and no other request must continue it."""
        return self.complete and (self._blocked or not self._any("continues"))

    def check(self, continue_automatically: bool, resume_with_repeats: bool) -> None:
        """Raise at the end of the body if the answer is truncated, or is not an answer."""
        if self._unknown and not self._known:
            raise StreamDecodeError(
                f"the response is not a Gemini answer, its fields are {shorten(self._unknown)}; "
                "check the base URL"
            )
        cut_off = [each for each in self._candidates.values() if each.continues]
        why = ""
        if self._blocked or not (cut_off and continue_automatically):
            pass
        elif len(self._candidates) > 1:
            self.last_token = cut_off[0].token
            why = (
                "only a single candidate can be continued; set candidate_count=1, or pass continuation_token="
            )
        elif cut_off[0].token is None:
            why = "the server sent no token to continue it"
        elif self.content_since_token and not resume_with_repeats:
            why = (
                "continuing from its last token would repeat the content after it; "
                "pass resume_with_repeats=True to accept that"
            )
        if why:
            incomplete = IncompleteStreamError(f"the answer is too long for one request, and {why}")
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
        # {"text": ""} alone is not content, but it is with a signature.
        if type(part) is not Part or part.text:
            return True
        if any(value is not None for name, value in part.__dict__.items() if name not in ("text", "thought")):
            return True
    return False


def _hide_continuation(chunk: GenerateContentResponse) -> None:
    """Remove CONTINUATION from a chunk, since the caller's stream does not end with it."""
    candidates = chunk.candidates
    for candidate in candidates if type(candidates) is list else ():
        if type(candidate) is Candidate and candidate.finish_reason == "CONTINUATION":
            candidate.finish_reason = None


def _again(attempts: Attempts, error: GeministreamError, token: Optional[str], resuming: bool) -> bool:
    if isinstance(error, StreamTimeoutError) and token is not None:
        error.retryable = True  # resuming from the token does not pay for the same content again
    try:
        return attempts.again(error, resuming=resuming)
    except StreamTimeoutError as late:
        late.continuation_token = token
        raise


def _final(call: Call, error: GeministreamError, token: Optional[str]) -> GeministreamError:
    """Return the error that ends the stream, with the continuation token if there is one."""
    if token is None:
        return error
    if isinstance(error, IncompleteStreamError) or (
        isinstance(error, StreamTimeoutError) and call.patience.expired
    ):
        error.continuation_token = token
        return error
    if isinstance(error, StreamTimeoutError) or is_retryable(error, Retry.statuses):
        incomplete = IncompleteStreamError(f"the answer is truncated: {error}", continuation_token=token)
        incomplete.__cause__ = error
        return incomplete
    return error
