"""What a test scripts: queued answers, rules, a callable that decides, faults."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Deque, Iterable, List, NamedTuple, Optional, Tuple, Union

from .answers import Answer
from .prompt import normal, prompt_text
from .record import RecordedRequest
from .script_file import Rule, ScriptFile

#: Decides on an answer or a fault: takes the request, returns an Answer or None.
Decide = Callable[[RecordedRequest], Optional[Answer]]


class Cue(NamedTuple):
    """The scripted answer and the fault for one request."""

    scripted: Optional[Answer] = None
    fault: Optional[Answer] = None


class Script:
    """The script of one server; `faults` is `LocalServer`'s argument, `begin` the initial script."""

    def __init__(
        self,
        faults: Union[None, Decide, Iterable[Optional[Answer]]] = None,
        begin: ScriptFile = ScriptFile(),  # noqa: B008  # it is immutable
    ):
        self.faults: Any = faults if callable(faults) else list(faults or ())
        self.decide: Optional[Decide] = None
        self.answers: Deque[Answer] = deque()
        self._rules: List[Tuple[Rule, Deque[Answer]]] = []  # each with its remaining answers
        self._lock = threading.Lock()
        self._begin = begin
        self.play(begin)

    def add(self, *answers: Union[Answer, str]) -> None:
        """Queue answers for requests to a model; a str is one chunk of text."""
        with self._lock:
            self.answers.extend(Answer.text(each) if isinstance(each, str) else each for each in answers)

    def play(self, script: ScriptFile) -> None:
        """Add the answers and rules of a script."""
        with self._lock:
            self.answers.extend(script.answers)
            self._rules += [(rule, deque(rule.answers)) for rule in script.rules]

    def begin_anew(self) -> None:
        """Restore the initial script."""
        with self._lock:
            self.answers.clear()
            self._rules.clear()
        self.play(self._begin)

    def cue(self, recorded: RecordedRequest, generates: bool) -> Cue:
        """Take this request's answer and fault; queue and faults are only for requests that generate."""
        scripted = self.decide(recorded) if self.decide else None
        if not generates:
            return Cue(scripted)
        fault = self._next_fault(recorded)
        if scripted is None and not (fault and fault.speaks):
            with self._lock:
                scripted = self._by_rule(recorded) if self._rules else None
                if scripted is None and self.answers:
                    scripted = self.answers.popleft()
        return Cue(scripted, fault)

    def _by_rule(self, recorded: RecordedRequest) -> Optional[Answer]:
        text = _text_of(recorded)
        for rule, left in self._rules:
            if left and rule.matches(recorded.model or "", text):
                return left[0] if rule.always else left.popleft()
        return None

    def _next_fault(self, recorded: RecordedRequest) -> Optional[Answer]:
        if callable(self.faults):
            return self.faults(recorded)  # type: ignore[no-any-return]
        with self._lock:
            return self.faults.pop(0) if self.faults else None


def _text_of(recorded: RecordedRequest) -> str:
    """The text of the last content; "" if there is none: a replay does not check requests."""
    try:
        return prompt_text(normal(recorded.json))
    except (ValueError, TypeError, AttributeError, LookupError):
        return ""
