"""The caller's thread: takes prompts, hands them out, lets them wait, collects their results.

It makes all decisions, while the workers only make attempts.
"""

import heapq
import logging
import queue
import random
import time
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Deque, Dict, Generator, Iterator, List, Mapping, Optional, Tuple

from ..cancel import Cancel
from ..endpoint import Endpoint
from ..errors import (
    GeministreamError,
    IncompleteStreamError,
    RateLimitError,
    StreamCancelled,
    StreamTimeoutError,
)
from ..merging import Merger
from ..retry import Retry, RetryEvent
from ..transport import error_chain, is_retryable
from ..types import GenerateContentResponse
from .gate import Gate
from .result import BatchResult
from .stop import Stop
from .template import Template
from .worker import Outcome, Shared, Task, attempt

log = logging.getLogger("geministream")

# An attempt that is over, and when it ended; None only wakes the caller's thread.
Ended = Optional[Tuple["Future[Outcome]", float]]


@dataclass(eq=False)
class _Prompt:
    """A prompt between ``requests`` and its result."""

    request: Any
    task: Task
    failed: int = 0  # attempts in a row that failed without progress
    sent: float = 0.0  # when the current attempt was handed to the executor
    began: Optional[float] = None  # when the first attempt began to run
    partial: Merger = field(default_factory=Merger)  # what had arrived when an earlier attempt failed


class Batch:
    """All prompts of one batch on their way: taken, running, perhaps waiting, finished."""

    def __init__(
        self,
        requests: Iterator[Any],
        defaults: Mapping[str, Any],
        endpoint: Endpoint,
        alt: str,
        max_workers: int,
        deadline: Optional[float],
    ) -> None:
        self._requests = requests
        self._template = Template(endpoint, alt, defaults)
        self._deadline = deadline
        self._retry = endpoint.retry or Retry(attempts=1)
        self._gate = Gate(max_workers, self._retry)
        self._closed: Optional[RetryEvent] = None  # why the gate is closed
        self._taken = 0
        self._more = True  # whether to take more from `requests`
        self._failure: Optional[Exception] = None  # why not, if that is not its end
        self._running: Dict[Future[Outcome], _Prompt] = {}
        self._waiting: List[Tuple[float, int, _Prompt]] = []  # a heap of due time, index, prompt
        self._finished: Deque[BatchResult] = deque()
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()  # filled by the executor's threads
        self._stop = Stop(self._ended)
        self._shared = Shared(endpoint, self._stop)

    def results(
        self, executor: Optional[Executor], cancel: Optional[Cancel]
    ) -> Generator[BatchResult, None, None]:
        """Run the batch, and yield each result as it completes."""
        own = None
        if executor is None:
            own = ThreadPoolExecutor(self._gate.most, "geministream", initializer=self._shared.enlist)
        self._stop.arm()
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
                            "this process was forked after the batch began; call generate_many() again here"
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
        """Stop what is running, and wait for it if it is in this process."""
        if not self._stop.is_ours():
            return
        # The garbage collector may end a forgotten generator on a worker's own thread.
        in_worker = self._shared.is_worker()
        with ExitStack() as steps:  # run from the last to the first, even if one raises
            steps.callback(self._shared.close)
            if not in_worker:
                steps.callback(self._shared.wait)
            if own is not None:
                steps.callback(own.shutdown, wait=not in_worker)
            for future in self._running:
                steps.callback(future.cancel)
            steps.callback(self._stop.cancel)
            steps.callback(self._stop.disarm)
            if cancel is not None:
                steps.callback(cancel.forget, self._stop.cancel)

    # Handing out

    def _hand_out(self, executor: Any) -> None:
        """Give the executor as many attempts as the gate allows."""
        while len(self._running) < self._gate.allowed:
            now = time.monotonic()
            if now < self._gate.opens:
                return
            if self._closed is not None:
                opened = replace(self._closed, delay=0.0, gate="opened")
                self._closed = None
                self._report(opened)
            prompt = self._next(now)
            if prompt is None:
                return
            if self._deadline is not None:
                began = now if prompt.began is None else prompt.began
                prompt.task.deadline = max(began + self._deadline - now, 0.001)
            prompt.sent = now
            try:
                future = executor.submit(attempt, prompt.task)
            except Exception as error:  # the executor is closed or broken, and stays so
                self._more = False
                self._failure = self._failure or error
                self._finish(prompt, now, error=error)
                continue
            self._running[future] = prompt
            future.add_done_callback(reporter(self._ended))

    def _next(self, now: float) -> Optional[_Prompt]:
        """Return a prompt whose wait is over, else a new one, else None."""
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[-1]
        while self._more and self._has_room():
            try:
                request = next(self._requests)
            except StopIteration:
                self._more = False
                break
            except Exception as error:
                # It is the caller's own, and is raised after the results of all prompts that began.
                self._more = False
                self._failure = error
                break
            index = self._taken
            self._taken += 1
            try:
                return _Prompt(request, Task(self._shared, index, *self._template.fill(request)))
            except Exception as error:  # ConfigurationError, or what an odd object raises when read
                self._finished.append(BatchResult(index, None, error, 0, 0.0, request))
        return None

    def _has_room(self) -> bool:
        return len(self._running) + len(self._waiting) + len(self._finished) < 2 * self._gate.most

    # Taking back

    def _receive(self, wait: bool) -> None:
        """Settle the attempts that are over; with ``wait``, sleep until there is something to do."""
        try:
            ended = self._ended.get(timeout=self._idle()) if wait else self._ended.get_nowait()
            while True:
                if ended is not None:
                    self._settle(*ended)
                ended = self._ended.get_nowait()
        except queue.Empty:
            pass

    def _idle(self) -> Optional[float]:
        """Return the seconds until there may be something to hand out; None: not before an attempt ends."""
        if len(self._running) >= self._gate.allowed:
            return None
        due = [self._waiting[0][0]] if self._waiting else []
        if self._more and self._has_room():
            due.append(0.0)
        return max(max(min(due), self._gate.opens) - time.monotonic(), 0.0) if due else None

    def _settle(self, future: "Future[Outcome]", ended: float) -> None:
        """Finish the prompt of an attempt that is over, or let it wait for the next one."""
        prompt = self._running.pop(future)
        try:
            outcome = future.result()
        except Exception as error:
            # Not the attempt failed but its transfer: a worker that died, a task
            # that could not be pickled.
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
            self._settle_failure(prompt, outcome, outcome.error, ended)

    def _settle_failure(self, prompt: _Prompt, outcome: Outcome, error: Exception, ended: float) -> None:
        prompt.failed = 1 if outcome.progress else prompt.failed + 1
        gate_closed = self._close_gate(prompt, outcome, ended)
        delay = self._delay(prompt, outcome, ended)
        if delay is None:
            self._finish(prompt, ended, error=_with_partial(error, prompt, outcome))
            return
        due = ended + delay
        if self._deadline is not None and prompt.began is not None and due >= prompt.began + self._deadline:
            late = StreamTimeoutError(
                f"the deadline of {self._deadline:g} s would pass before the next attempt"
            )
            late.__cause__ = error
            self._finish(prompt, ended, error=_with_partial(late, prompt, outcome))
            return
        level = logging.INFO if delay > 1 else logging.DEBUG
        log.log(level, "prompt %d: %s; retrying in %.1f s", prompt.task.index, outcome.reason, delay)
        if not gate_closed:
            self._report(self._event(prompt, outcome, delay))
        # The next attempt starts from the last token, or from the beginning if there is none.
        prompt.task.token = outcome.token
        prompt.task.merger = None if outcome.token is None else outcome.merger
        if outcome.token is None and outcome.merger.chunks:
            prompt.partial = outcome.merger
        heapq.heappush(self._waiting, (due, prompt.task.index, prompt))

    def _close_gate(self, prompt: _Prompt, outcome: Outcome, ended: float) -> bool:
        """Close the gate after a 429; return True if it was open."""
        if not isinstance(outcome.reason, RateLimitError):
            return False
        self._gate.refused(prompt.sent, ended, outcome.reason.retry_after or 0.0)
        if self._closed is not None:
            return False
        delay = max(self._gate.opens - ended, 0.0)
        self._closed = replace(self._event(prompt, outcome, delay), gate="closed")
        self._report(self._closed)
        return True

    def _event(self, prompt: _Prompt, outcome: Outcome, delay: float) -> RetryEvent:
        resuming = outcome.token is not None
        assert outcome.reason is not None
        return RetryEvent(
            prompt.failed, self._retry.attempts, delay, outcome.reason, resuming, prompt.task.index
        )

    def _report(self, event: RetryEvent) -> None:
        if self._retry.on_retry is not None:
            self._retry.on_retry(event)

    def _delay(self, prompt: _Prompt, outcome: Outcome, ended: float) -> Optional[float]:
        """Return the seconds until the prompt's next attempt, or None if this was its last."""
        reason = outcome.reason
        asked: float = getattr(reason, "retry_after", None) or 0.0
        retryable = isinstance(reason, GeministreamError) and (
            is_retryable(reason, self._retry.statuses)
            # Up to the token the answer is paid for already.
            or (isinstance(reason, StreamTimeoutError) and outcome.token is not None)
        )
        if not retryable or prompt.failed >= self._retry.attempts or asked > self._retry.max_delay:
            return None
        if isinstance(reason, RateLimitError):
            return max(self._gate.opens - ended, 0.0)  # it waits for the gate
        return max(random.uniform(0, self._retry.longest_delay(prompt.failed)), asked)

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


def reporter(ended: "queue.SimpleQueue[Ended]") -> Callable[["Future[Outcome]"], None]:
    """Return a future's callback.  It knows only the queue, so that a forgotten batch can be collected."""
    return lambda future: ended.put((future, time.monotonic()))


def _with_partial(error: Exception, prompt: _Prompt, outcome: Outcome) -> Exception:
    """Return the error that is a prompt's result, with all that had arrived of the answer."""
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
    # A traceback would keep the worker's frames in memory, and with them the request.
    for cause in error_chain(error):
        cause.__traceback__ = None
    return error
