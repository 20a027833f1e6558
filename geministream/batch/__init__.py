"""Many prompts: on threads, or on any executor, which may be a cluster.

A worker makes one attempt at one prompt and never waits between two; what came
of it goes back to the thread that iterates over the results, and all decisions
are made there: whether to try again, when, and how many may be under way.  So
one mechanism serves threads, processes and clusters, and a 429 that one worker
meets slows all of them down.

=============================  =================================================
the attempt gave an answer     it is a result
the server said 429            nothing is sent until the time that it asks for
                               is over, then half as many at once; each answer
                               allows one more again
it failed in passing           the prompt waits as `Retry` says, the workers do
                               not; where the answer had come to a continuation
                               token it goes on from there, else from the start
                               (nobody has seen any of it yet)
it failed for good             it is a result too, and stops nothing
=============================  =================================================

What goes to a worker can be pickled, and none of it shows a credential in its
``repr``: Dask, for one, displays the arguments of its tasks.
"""

import atexit
import heapq
import logging
import os
import queue
import random
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterable as AnyIterable
from collections.abc import Mapping as AnyMapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Deque, Dict, Generator, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from ..cancel import Cancel
from ..endpoint import Endpoint, Retry, RetryEvent, resolve
from ..errors import (
    APIError,
    ConfigurationError,
    GeministreamError,
    IncompleteStreamError,
    RateLimitError,
    StreamCancelled,
    StreamTimeoutError,
)
from ..merging import Merger
from ..request import RequestBody
from ..stream import Hop, answer_chunks, stream_generate
from ..transport import Call, error_chain, is_retryable, new_session
from ..types import GenerateContentResponse
from ..types.codec import shorten

log = logging.getLogger("geministream")

# What a request mapping may hold: the fields of stream_generate() that make up a request.
_FIELDS = (
    "model",
    "contents",
    "system_instruction",
    "generation_config",
    "safety_settings",
    "tools",
    "tool_config",
    "cached_content",
    "extra_body",
    "continuation_token",
)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


_NAMES = {**{_camel(name): name for name in _FIELDS}, **{name: name for name in _FIELDS}}


@dataclass(frozen=True)
class BatchResult:
    """What became of one prompt.

    :ivar index: the prompt's place among the requests, from 0.
    :ivar response: the collected answer, or None where there is an error.
    :ivar error: the exception that ended it, or None; ``error.partial`` is what had come.
    :ivar attempts: how many HTTP requests were sent for it.
    :ivar seconds: from the start of its first attempt to its end, the waits between included.
    :ivar request: the prompt or request mapping itself, as it was given.
    """

    index: int
    response: Optional[GenerateContentResponse]
    error: Optional[Exception]
    attempts: int
    seconds: float
    request: Any = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The answer's text; ``""`` where there is an error."""
        return self.response.text if self.response is not None else ""

    def raise_for_error(self) -> GenerateContentResponse:
        """Raise the error, or return the response."""
        if self.error is not None:
            raise self.error
        assert self.response is not None
        return self.response


def generate_many(
    requests: Iterable[Any],
    *,
    executor: Optional[Executor] = None,
    max_workers: int = 8,
    model: Optional[str] = None,
    system_instruction: Any = None,
    generation_config: Any = None,
    safety_settings: Any = None,
    tools: Any = None,
    tool_config: Any = None,
    cached_content: Optional[str] = None,
    extra_body: Optional[Mapping[str, Any]] = None,
    alt: str = "sse",
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> Generator[BatchResult, None, None]:
    """Ask many prompts, several at once, and yield a result for each as it completes.

    ``requests`` may be endless: it is asked for the next prompt when there is a
    worker for it, in the caller's thread, while the caller waits for a result.
    At most ``2 * max_workers`` prompts are anywhere between ``requests`` and the
    caller.  No failure of a prompt is raised: each is a result with an ``error``.

    The arguments are checked now; threads and connections begin at the first
    ``next()`` and end with the generator.  Closing it, or leaving its loop by
    an exception, ends what is under way on threads at once; what already runs
    in another process runs to its end there, and its answer is dropped.

    :param requests: an iterable of prompts (anything that ``stream_generate()``
        takes as contents), of mappings with its fields (``contents``, ``model``,
        ``generation_config`` …, in snake_case or camelCase), or of both.
    :param executor: any ``concurrent.futures.Executor``, such as a process pool,
        ``dask.distributed.Client(…).get_executor()`` or
        ``mpi4py.futures.MPIPoolExecutor()``; it is not shut down.  None: threads of its own.
    :param max_workers: how many prompts are with the executor at once.
    :param model: for the requests that name none; so are the further fields
        of a request, from ``system_instruction`` to ``extra_body``.
    :param alt: the framing to ask for, ``"sse"`` or ``"json"``.
    :param endpoint: an `Endpoint`, or a base URL; None takes the environment's.
        Its ``session``, where it has one, is shared by all threads; without one each
        thread of a worker has its own.  Its ``retry`` counts for each prompt.
    :param api_key: replaces the endpoint's.
    :param deadline: seconds for each prompt, from its first attempt, retries included.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the batch from another thread.
    :returns: a generator of `BatchResult`, in the order of completion.
    :raises ConfigurationError: at the call, for arguments that cannot work.
    :raises StreamCancelled: from the generator, once ``cancel`` was used and
        the results that were complete by then are out.
    :raises Exception: from the generator, what iterating over ``requests`` or
        handing a prompt to the executor raised, once the results of all
        prompts that were begun are out.

    >>> for result in generate_many(["one", "two"], model="gemini-2.5-flash"):    # doctest: +SKIP
    ...     print(result.index, result.error or result.text)
    """
    endpoint = resolve(endpoint, api_key)
    if isinstance(requests, (str, bytes, AnyMapping)) or not isinstance(requests, AnyIterable):
        raise ConfigurationError(
            f"requests is an iterable of prompts, not {shorten(requests)}; a single one goes in a list"
        )
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise ConfigurationError(f"max_workers= is a whole number from 1, not {max_workers!r}")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ConfigurationError(f"executor= is a concurrent.futures.Executor, not {executor!r}")
    fields: Dict[str, Any] = {
        "system_instruction": system_instruction,
        "generation_config": generation_config,
        "safety_settings": safety_settings,
        "tools": tools,
        "tool_config": tool_config,
        "cached_content": cached_content,
        "extra_body": extra_body,
    }
    # Whatever stream_generate() refuses is refused here, by itself; nothing is sent.
    stream_generate(
        "any" if model is None else model,
        "any",
        alt=alt,
        endpoint=Endpoint(auth=()),
        deadline=deadline,
        cancel=cancel,
        **fields,
    )
    batch = _Batch(iter(requests), {"model": model, **fields}, endpoint, alt, max_workers, deadline)
    return batch.results(executor, cancel)


# In the caller's thread --------------------------------------------------------


class _Prompt:
    """A prompt between ``requests`` and its result."""

    def __init__(self, request: Any, task: "_Task") -> None:
        self.request = request
        self.task = task
        self.failed = 0  # attempts in a row that failed and gained nothing
        self.sent = 0.0  # when the current attempt was handed to the executor,
        self.began: Optional[float] = None  # and when the first one began to run
        self.partial = Merger()  # what had come of an attempt that failed


class _Batch:
    """The way of all prompts: taken, handed to the executor, perhaps waiting, finished."""

    def __init__(
        self,
        requests: Iterator[Any],
        fields: Dict[str, Any],
        endpoint: Endpoint,
        alt: str,
        max_workers: int,
        deadline: Optional[float],
    ) -> None:
        self._requests = requests
        self._fields = fields
        self._endpoint = endpoint
        self._params = {"alt": "sse"} if alt == "sse" else None
        self._deadline = deadline
        self._retry = endpoint.retry or Retry(attempts=1)
        self._gate = _Gate(max_workers, self._retry)
        self._closed: Optional[RetryEvent] = None  # why the gate is closed
        self._most = 2 * max_workers
        self._taken = 0
        self._more = True  # whether to ask `requests` for another
        self._failure: Optional[Exception] = None  # why not, where it is not its end
        self._running: Dict[Future[_Outcome], _Prompt] = {}
        self._waiting: List[Tuple[float, int, _Prompt]] = []  # a heap: from when on, index
        self._finished: Deque[BatchResult] = deque()
        # What the executor's threads put: futures that are done, and when; None only wakes.
        self._done: queue.SimpleQueue[Optional[Tuple[Future[_Outcome], float]]] = queue.SimpleQueue()
        self._stop = _Stop(self._done)
        self._shared = _Shared(endpoint, self._stop)

    def results(
        self, executor: Optional[Executor], cancel: Optional[Cancel]
    ) -> Generator[BatchResult, None, None]:
        own = None
        if executor is None:
            own = ThreadPoolExecutor(self._gate.most, "geministream", initializer=self._shared.enlist)
        self._stop.process = os.getpid()  # it may have forked since the call
        _under_way.add(self._stop)
        if cancel is not None:
            cancel.on_cancel(self._stop.cancel)
        try:
            while True:
                self._receive(wait=False)
                if self._stop.cancelled:
                    break
                self._hand_out(executor or own)
                if self._finished:
                    yield self._finished.popleft()
                    if not self._stop.is_ours():
                        raise GeministreamError(
                            "the batch belongs to the process that forked this one; call generate_many() here"
                        )
                elif self._running or self._waiting or self._more:
                    self._receive(wait=True)
                else:
                    break
            cancelled = self._stop.cancelled
        finally:
            self._end(own, cancel)
        if cancelled:
            self._receive(wait=False)
            yield from self._finished
            raise StreamCancelled("the batch was cancelled")
        if self._failure is not None:
            raise self._failure

    def _end(self, own: Optional[Executor], cancel: Optional[Cancel]) -> None:
        """Stop what is under way, and wait for it where it is in this process."""
        if not self._stop.is_ours():
            return
        # A generator that was only forgotten may be collected in a worker's own thread.
        in_worker = self._shared.is_worker()
        with ExitStack() as steps:  # the last one first, and each whatever another raises
            steps.callback(self._shared.close, wait=not in_worker)
            if own is not None:
                steps.callback(own.shutdown, wait=not in_worker)
            for future in self._running:
                steps.callback(future.cancel)
            steps.callback(self._stop.cancel)
            steps.callback(_under_way.discard, self._stop)
            if cancel is not None:
                steps.callback(cancel.forget, self._stop.cancel)

    # Handing out

    def _hand_out(self, executor: Any) -> None:
        """Give the executor as many attempts as may be under way."""
        while len(self._running) < self._gate.allowed:
            now = time.monotonic()
            if now < self._gate.opens:
                return
            if self._closed is not None:
                opened = replace(self._closed, delay=0.0, gate="opened")
                self._closed = None
                self._tell(opened)
            prompt = self._next(now)
            if prompt is None:
                return
            task = prompt.task
            if self._deadline is not None:
                began = now if prompt.began is None else prompt.began
                task.deadline = max(began + self._deadline - now, 0.001)
            prompt.sent = now
            try:
                future = executor.submit(_attempt, task)
            except Exception as error:  # the executor is closed, or broken, and stays so
                self._more = False
                self._failure = self._failure or error
                self._finish(prompt, now, error=error)
                continue
            self._running[future] = prompt
            future.add_done_callback(_reporter(self._done))

    def _next(self, now: float) -> Optional[_Prompt]:
        """A prompt that waited long enough, or else a new one."""
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[-1]
        while self._more and self._has_room():
            try:
                request = next(self._requests)
            except StopIteration:
                self._more = False
                break
            except Exception as error:
                # It is the caller's own, and is raised when all that was begun is out.
                self._more = False
                self._failure = error
                break
            index = self._taken
            self._taken += 1
            try:
                return _Prompt(request, self._task(index, request))
            except Exception as error:  # ConfigurationError, or what a strange object raises when looked at
                self._finished.append(BatchResult(index, None, error, 0, 0.0, request))
        return None

    def _has_room(self) -> bool:
        return len(self._running) + len(self._waiting) + len(self._finished) < self._most

    def _task(self, index: int, request: Any) -> "_Task":
        fields = {**self._fields, **_request_fields(request)}
        model, token = fields.pop("model"), fields.pop("continuation_token", None)
        if model is None:
            raise ConfigurationError("no model: give model= to generate_many(), or a 'model' in the request")
        if "contents" not in fields:
            raise ConfigurationError("the request has no 'contents'")
        if token is not None and not isinstance(token, str):
            raise ConfigurationError(f"continuation_token is a text, not {shorten(token)}")
        url = self._endpoint.model_url(model, "streamGenerateContent", self._params)
        return _Task(self._shared, index, url, RequestBody(fields.pop("contents"), **fields), token)

    # Taking back

    def _receive(self, wait: bool) -> None:
        """Settle what has come back; with ``wait``, sleep until there is something to do."""
        try:
            done = self._done.get(timeout=self._idle()) if wait else self._done.get_nowait()
            while True:
                if done is not None:
                    self._settle(*done)
                done = self._done.get_nowait()
        except queue.Empty:
            pass

    def _idle(self) -> Optional[float]:
        """Seconds until there may be something to hand out; None: not before something comes back."""
        if len(self._running) >= self._gate.allowed:
            return None
        due = [self._waiting[0][0]] if self._waiting else []
        if self._more and self._has_room():
            due.append(0.0)
        return max(max(min(due), self._gate.opens) - time.monotonic(), 0.0) if due else None

    def _settle(self, future: "Future[_Outcome]", ended: float) -> None:
        prompt = self._running.pop(future)
        try:
            outcome = future.result()
        except Exception as error:
            # Not the attempt failed, but its way there or back: a worker that
            # died, a task that could not be pickled.
            if not self._stop.cancelled:
                self._finish(prompt, ended, error=error)
            return
        if prompt.began is None:
            prompt.began = ended - outcome.seconds
        prompt.task.requests_sent = outcome.requests_sent
        if outcome.error is None:
            self._gate.answered()
            self._finish(prompt, ended, response=outcome.response)
        elif not (isinstance(outcome.error, StreamCancelled) and self._stop.cancelled):
            self._try_again(prompt, outcome, ended)

    def _try_again(self, prompt: _Prompt, outcome: "_Outcome", ended: float) -> None:
        """Let a prompt whose attempt failed wait for the next one, or make the failure its result."""
        assert outcome.error is not None
        prompt.failed = 1 if outcome.progress else prompt.failed + 1
        closed = self._close_gate(prompt, outcome, ended)
        delay = self._delay(prompt, outcome, ended)
        if delay is None:
            self._finish(prompt, ended, error=_with_partial(outcome.error, prompt, outcome))
            return
        due = ended + delay
        if self._deadline is not None and prompt.began is not None and due >= prompt.began + self._deadline:
            late = StreamTimeoutError(
                f"the deadline of {self._deadline:g} s would pass before the next attempt"
            )
            late.__cause__ = outcome.error
            self._finish(prompt, ended, error=_with_partial(late, prompt, outcome))
            return
        log.debug(
            "prompt %d failed with %s %s, its next attempt follows in %.2f s",
            prompt.task.index,
            type(outcome.reason).__name__,
            getattr(outcome.reason, "code", ""),
            delay,
        )
        if not closed:
            self._tell(self._event(prompt, outcome, delay))
        # From the last token on; without one, from the start.
        prompt.task.token = outcome.token
        prompt.task.merger = None
        if outcome.token is not None:
            prompt.task.merger = outcome.merger
        elif outcome.merger.chunks:
            prompt.partial = outcome.merger
        heapq.heappush(self._waiting, (due, prompt.task.index, prompt))

    def _close_gate(self, prompt: _Prompt, outcome: "_Outcome", ended: float) -> bool:
        """After a 429: let everything wait.  True if the gate was open until now."""
        if not isinstance(outcome.reason, RateLimitError):
            return False
        self._gate.refused(prompt.sent, ended, outcome.reason.retry_after or 0.0)
        if self._closed is not None:
            return False
        delay = max(self._gate.opens - ended, 0.0)
        self._closed = replace(self._event(prompt, outcome, delay), gate="closed")
        self._tell(self._closed)
        return True

    def _event(self, prompt: _Prompt, outcome: "_Outcome", delay: float) -> RetryEvent:
        resuming = outcome.token is not None
        assert outcome.reason is not None
        return RetryEvent(
            prompt.failed, self._retry.attempts, delay, outcome.reason, resuming, prompt.task.index
        )

    def _tell(self, event: RetryEvent) -> None:
        if self._retry.on_retry is not None:
            self._retry.on_retry(event)

    def _delay(self, prompt: _Prompt, outcome: "_Outcome", ended: float) -> Optional[float]:
        """Seconds until the prompt's next attempt, or None where this was its last."""
        reason = outcome.reason
        asked: float = getattr(reason, "retry_after", None) or 0.0
        retryable = isinstance(reason, GeministreamError) and (
            is_retryable(reason, self._retry.statuses)
            # The token marks what is paid for already.
            or (isinstance(reason, StreamTimeoutError) and outcome.token is not None)
        )
        if not retryable or prompt.failed >= self._retry.attempts or asked > self._retry.max_delay:
            return None
        if isinstance(reason, RateLimitError):
            return max(self._gate.opens - ended, 0.0)  # the gate is what it waits for
        return max(random.uniform(0, _longest(self._retry, prompt.failed)), asked)

    def _finish(
        self,
        prompt: _Prompt,
        ended: float,
        response: Optional[GenerateContentResponse] = None,
        error: Optional[Exception] = None,
    ) -> None:
        began = prompt.sent if prompt.began is None else prompt.began
        task = prompt.task
        self._finished.append(
            BatchResult(task.index, response, error, task.requests_sent, ended - began, prompt.request)
        )


def _request_fields(request: Any) -> Dict[str, Any]:
    """The fields that one item of ``requests`` gives."""
    if not isinstance(request, AnyMapping) or not (request.keys() & _NAMES.keys()):
        return {"contents": request}
    unknown = [name for name in request if name not in _NAMES]
    if unknown:
        raise ConfigurationError(
            f"a request has no field {unknown[0]!r}; there are {', '.join(_FIELDS)}, "
            "and what else the server knows goes into extra_body"
        )
    # A null in a line of JSON means the same as no field.
    return {_NAMES[name]: value for name, value in request.items() if value is not None}


def _with_partial(error: Exception, prompt: _Prompt, outcome: "_Outcome") -> Exception:
    """The error that is a prompt's result, with all that had come of the answer."""
    if not isinstance(error, GeministreamError):
        return error
    merger = outcome.merger
    for chunk in outcome.since:
        merger.add(chunk)
    if not merger.chunks:
        merger = prompt.partial
    if merger.chunks:
        error.partial = merger.response()
    if isinstance(error, (IncompleteStreamError, StreamTimeoutError)):
        error.continuation_token = error.continuation_token or outcome.token
    # A traceback would keep the worker's frames, and with them the request, in memory.
    for cause in error_chain(error):
        cause.__traceback__ = None
    return error


class _Gate:
    """How many attempts may be under way, and from when on: for all workers together.

    :ivar most: attempts at once, at best.
    :ivar allowed: attempts at once, now.
    :ivar opens: when the next attempt may be sent, as ``time.monotonic()`` tells it.
    """

    def __init__(self, most: int, retry: Retry) -> None:
        self.most = most
        self.allowed = most
        self.opens = 0.0
        self._retry = retry
        self._closed = 0.0  # when it was closed last,
        self._closings = 0  # and how often since the last answer

    def answered(self) -> None:
        """An attempt gave an answer."""
        self._closings = 0
        self.allowed = min(self.allowed + 1, self.most)

    def refused(self, sent: float, now: float, asked: float) -> None:
        """An attempt that was sent at ``sent`` was answered 429, and ``asked`` for so many seconds."""
        if sent >= self._closed:  # otherwise it is more of what the gate was closed for
            self._closed = now
            self._closings += 1
            self.allowed = max(self.allowed // 2, 1)
        longest = _longest(self._retry, max(self._closings, 1))
        # No full jitter: nobody but us is held back, so there is nobody to keep clear of.
        delay = max(random.uniform(longest / 2, longest), min(asked, self._retry.max_delay))
        self.opens = max(self.opens, now + delay)
        log.debug("429: nothing is sent for %.2f s, then at most %d at once", delay, self.allowed)


def _longest(retry: Retry, failed: int) -> float:
    """The most seconds to wait after so many failures, as `Retry` says."""
    try:
        return min(retry.max_delay, retry.initial_delay * retry.multiplier ** (failed - 1))
    except OverflowError:
        return retry.max_delay


class _Stop(Cancel):
    """The batch's own switch; it also wakes the thread that waits for outcomes."""

    def __init__(self, done: "queue.SimpleQueue[Any]") -> None:
        super().__init__()
        self._done = done
        self.process = os.getpid()

    def is_ours(self) -> bool:
        """False in a forked child: it has none of the threads, and the connections are its parent's."""
        return self.process == os.getpid()

    def cancel(self) -> None:
        try:
            super().cancel()
        finally:
            self._done.put(None)


# Python waits for the threads of executors before it exits.  A script that ends
# with a batch half read, by an exception say, is not to wait for its answers.
_under_way: "weakref.WeakSet[_Stop]" = weakref.WeakSet()


def _stop_all() -> None:
    for stop in list(_under_way):
        if stop.is_ours():
            stop.cancel()


# The one is what executors use themselves, where it exists; it comes before they wait.
getattr(threading, "_register_atexit", atexit.register)(_stop_all)


def _reporter(done: "queue.SimpleQueue[Any]") -> Any:
    """A future's callback; it knows the queue only, so that a forgotten batch can be collected."""
    return lambda future: done.put((future, time.monotonic()))


# In the workers ----------------------------------------------------------------


class _Task:
    """One attempt at a prompt, as it goes to a worker.

    :ivar token: the continuation token to go on from, and
    :ivar merger: what had come up to there.
    :ivar requests_sent: by the attempts before this one.
    :ivar deadline: seconds that the prompt has left.
    """

    def __init__(
        self, shared: "_Shared", index: int, url: str, body: RequestBody, token: Optional[str]
    ) -> None:
        self.shared = shared
        self.index = index
        self.url = url
        self.body = body
        self.token = token
        self.merger: Optional[Merger] = None
        self.requests_sent = 0
        self.deadline: Optional[float] = None

    def __repr__(self) -> str:
        return f"<prompt {self.index}>"


class _Outcome:
    """What came of an attempt, as it goes back.

    :ivar reason: why it failed, without what wraps it; a pickled error has no cause.
    :ivar token: the last token that can be gone on from.
    :ivar merger: what had come up to there; without a token, all that had come.
    :ivar since: the chunks that came after it.
    :ivar progress: whether a token came that secured content.
    :ivar requests_sent: for the prompt, by all attempts so far.
    :ivar seconds: that the attempt took.
    """

    def __init__(self, task: _Task) -> None:
        self.response: Optional[GenerateContentResponse] = None
        self.error: Optional[Exception] = None
        self.reason: Optional[Exception] = None
        self.token = task.token
        self.merger = task.merger or Merger()
        self.since: List[GenerateContentResponse] = []
        self.progress = False
        self.requests_sent = task.requests_sent
        self.seconds = 0.0

    def __repr__(self) -> str:
        return f"<{'an answer' if self.error is None else type(self.error).__name__}>"


def _attempt(task: _Task) -> _Outcome:
    """Make one attempt; what goes wrong is in the outcome."""
    started = time.monotonic()
    outcome = _Outcome(task)
    try:
        with task.shared.working() as endpoint:
            _read(task, endpoint, outcome)
    except Exception as error:
        outcome.error = outcome.reason = error
        wraps_api_error = isinstance(error, IncompleteStreamError) and isinstance(error.__cause__, APIError)
        if wraps_api_error:
            outcome.reason = error.__cause__  # type: ignore[assignment]
    else:
        # Merged here, where the work is shared out, and sent back as one.
        for chunk in outcome.since:
            outcome.merger.add(chunk)
        outcome.response = outcome.merger.response()
        outcome.merger, outcome.since = Merger(), []
    outcome.seconds = time.monotonic() - started
    return outcome


def _read(task: _Task, endpoint: Endpoint, outcome: _Outcome) -> None:
    """Read an answer into the outcome, so that what a token secures stays apart from what came since."""
    call = Call(endpoint, deadline=task.deadline, cancel=task.shared.stop)
    call.requests_sent = task.requests_sent  # they also number the chunks, for the sum of usages
    hop = Hop(task.token)
    try:
        for chunk in answer_chunks(lambda: call, task.url, task.body, task.token, True, False):
            progress = hop.add(chunk)
            if outcome.token is None or hop.token != outcome.token:
                for before in outcome.since:
                    outcome.merger.add(before)
                outcome.merger.add(chunk)
                outcome.since = []
            else:
                outcome.since.append(chunk)
            outcome.token = hop.token
            outcome.progress = outcome.progress or progress
    finally:
        outcome.requests_sent = call.requests_sent


class _Shared:
    """What the attempts of one batch share in one process: the sessions, one for each thread, and the switch.

    On threads it is the caller's own object.  A pickled one becomes the object
    that its worker process keeps for this batch, so that connections are used
    again there; it has no switch, since no signal reaches it.
    """

    def __init__(self, endpoint: Endpoint, stop: Optional[Cancel] = None, name: str = "") -> None:
        self.stop = stop
        self._name = name or uuid.uuid4().hex
        # It is the caller's thread that waits and tries again.
        self._endpoint = replace(endpoint, retry=None)
        self._own = threading.local()
        self._sessions: List[Any] = []
        self._changed = threading.Condition()
        self._workers: Set[int] = set()  # the threads that are at work

    def __repr__(self) -> str:
        return "<batch>"

    def __reduce__(self) -> Any:
        return _shared_here, (self._name, self._endpoint)

    @contextmanager
    def working(self) -> Iterator[Endpoint]:
        """While a thread makes an attempt: the endpoint, with the thread's own session."""
        thread = threading.get_ident()
        with self._changed:
            self._workers.add(thread)
        try:
            yield self._own_endpoint()
        finally:
            with self._changed:
                self._workers.discard(thread)
                self._changed.notify_all()

    def _own_endpoint(self) -> Endpoint:
        if self._endpoint.session is not None:
            return self._endpoint
        endpoint: Optional[Endpoint] = getattr(self._own, "endpoint", None)
        if endpoint is None:
            session = new_session()
            self._sessions.append(session)
            endpoint = self._own.endpoint = replace(self._endpoint, session=session)
        return endpoint

    def enlist(self) -> None:
        """Note that the calling thread is there for the batch's attempts alone."""
        self._own.enlisted = True

    def is_worker(self) -> bool:
        """Whether the calling thread is making an attempt, or is there for nothing else."""
        return threading.get_ident() in self._workers or hasattr(self._own, "enlisted")

    def close(self, wait: bool) -> None:
        """Close the connections, perhaps when the last attempt is over; the switch has been thrown."""
        if wait:
            with self._changed:
                self._changed.wait_for(lambda: not self._workers)
        with ExitStack() as steps:
            for session in self._sessions:
                steps.callback(session.close)


# In a worker process: what it keeps for the batch that sent it the last attempt.
# A forked child has its parent's, hence the process id.
_kept: Dict[Tuple[int, str], _Shared] = {}


def _shared_here(name: str, endpoint: Endpoint) -> _Shared:
    key = (os.getpid(), name)
    if key not in _kept:
        for other in list(_kept):
            before = _kept.pop(other, None)
            if before is not None and other[0] == key[0]:
                for session in before._sessions:  # a connection in use is not affected
                    session.close()
        _kept.setdefault(key, _Shared(endpoint, name=name))
    return _kept.get(key) or _Shared(endpoint, name=name)
