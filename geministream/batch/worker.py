"""What runs in a worker: one attempt at a prompt, on a thread or in another process.

Tasks and outcomes travel between processes as pickles, and neither shows a
credential in its ``repr``: Dask, for example, displays the arguments of its tasks.
"""

import os
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from ..answer import Hop, answer_chunks
from ..cancel import Cancel
from ..endpoint import Endpoint
from ..errors import APIError, IncompleteStreamError
from ..merging import Merger
from ..request import RequestBody
from ..transport import Call, new_session
from ..types import GenerateContentResponse


@dataclass(repr=False, eq=False)
class Task:
    """One attempt at a prompt, as it goes to a worker.

    :ivar token: the continuation token to start from, or None.
    :ivar merger: what had arrived up to that token.
    :ivar requests_sent: the number of requests of the attempts before this one.
    :ivar deadline: the seconds that the prompt has left, or None.
    """

    shared: "Shared"
    index: int
    url: str
    body: RequestBody
    token: Optional[str]
    merger: Optional[Merger] = None
    requests_sent: int = 0
    deadline: Optional[float] = None

    def __repr__(self) -> str:
        return f"<prompt {self.index}>"


class Outcome:
    """The outcome of an attempt, as it comes back.

    :ivar reason: the error without what wraps it; a pickled error loses its cause.
    :ivar token: the last token to continue from.
    :ivar merger: what had arrived up to that token, or everything if there is none.
    :ivar since: the chunks that arrived after it.
    :ivar progress: whether there was a new token after new content.
    :ivar requests_sent: the number of requests for the prompt in all attempts so far.
    :ivar seconds: the duration of the attempt.
    """

    def __init__(self, task: Task) -> None:
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


def attempt(task: Task) -> Outcome:
    """Make one attempt.  It never raises an Exception: errors are in the outcome."""
    started = time.monotonic()
    outcome = Outcome(task)
    try:
        with task.shared.working() as endpoint:
            _read(task, endpoint, outcome)
    except Exception as error:
        outcome.error = outcome.reason = error
        if isinstance(error, IncompleteStreamError) and isinstance(error.__cause__, APIError):
            outcome.reason = error.__cause__
    else:
        # The workers share the work of merging, and a single response is small to send back.
        for chunk in outcome.since:
            outcome.merger.add(chunk)
        outcome.response = outcome.merger.response()
        outcome.merger, outcome.since = Merger(), []
    outcome.seconds = time.monotonic() - started
    return outcome


def _read(task: Task, endpoint: Endpoint, outcome: Outcome) -> None:
    """Read an answer, and keep what arrived before its last token apart from what came after."""
    call = Call(endpoint, deadline=task.deadline, cancel=task.shared.stop)
    call.requests_sent = task.requests_sent  # it numbers the chunks, so that usages add up
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


# Sessions --------------------------------------------------------------------------


class Shared:
    """What the attempts of one batch share in one process: the switch, and a session for each thread.

    On threads it is the caller's own object.  Unpickling it returns the one object
    that a worker process keeps for this batch, so that it reuses its connections.
    That one has no switch, since no signal reaches it.
    """

    def __init__(self, endpoint: Endpoint, stop: Optional[Cancel] = None, name: str = "") -> None:
        self.stop = stop
        self._name = name or uuid.uuid4().hex
        self._endpoint = replace(endpoint, retry=None)  # the caller's thread does the retries
        self._own = threading.local()
        self._sessions: List[Any] = []
        self._changed = threading.Condition()
        self._workers: Set[int] = set()  # the threads that are making an attempt

    def __repr__(self) -> str:
        return "<batch>"

    def __reduce__(self) -> Any:
        return shared_here, (self._name, self._endpoint)

    @contextmanager
    def working(self) -> Iterator[Endpoint]:
        """Mark the calling thread as a worker; yield the endpoint with the thread's own session."""
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
        """Note that the calling thread exists only for the batch's attempts."""
        self._own.enlisted = True

    def is_worker(self) -> bool:
        """Return whether the calling thread is making an attempt, or exists only for attempts."""
        return threading.get_ident() in self._workers or hasattr(self._own, "enlisted")

    def wait(self) -> None:
        """Wait until no attempt runs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._workers)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with ExitStack() as steps:  # each step is taken even if another one raises
            for session in self._sessions:
                steps.callback(session.close)


# In a worker process: the object for the batch whose task came last.  The key has
# the process id because a forked child inherits its parent's.
_kept: Dict[Tuple[int, str], Shared] = {}


def shared_here(name: str, endpoint: Endpoint) -> Shared:
    """Return this process's object for the batch with this name; close those of earlier batches."""
    key = (os.getpid(), name)
    if key not in _kept:
        for other in list(_kept):
            before = _kept.pop(other, None)
            if before is not None and other[0] == key[0]:
                before.close()
        _kept.setdefault(key, Shared(endpoint, name=name))
    return _kept.get(key) or Shared(endpoint, name=name)  # another thread may have taken it away
