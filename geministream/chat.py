"""A conversation: its history, and the functions that the model calls.

One ``send()`` is one turn.  It may have several rounds: the model answers with function
calls, the functions run, their results are sent back, until an answer has no calls.

A turn is recorded only when its stream completes: then its contents are appended to the
history together.  If an exception ends the turn, the caller leaves the loop early, the
prompt or answer is blocked, or there is no content, the history does not change.
"""

import copy
import os
import time
import weakref
from collections.abc import Iterable as AnyIterable, Mapping as AnyMapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, Generator, Iterable, Iterator, List, Mapping, Optional, Union

from .cancel import Cancel
from .endpoint import Endpoint, resolve
from .errors import (
    BlockedError,
    ConfigurationError,
    FunctionCallLimitError,
    GeministreamError,
    IncompleteStreamError,
    StreamCancelled,
    StreamTimeoutError,
)
from .merging import Merger, collect
from .parts import ContentsLike, to_contents
from .request import GenerationConfigLike, SafetySettingsLike, ToolConfigLike, ToolsLike
from .stream import stream_generate
from .tools.functions import Toolbox, failure
from .tools.values import Mismatch
from .types import (
    Candidate,
    Content,
    FinishReason,
    FunctionCall,
    FunctionResponse,
    GenerateContentResponse,
    Part,
)
from .types.codec import shorten

Chunks = Generator[GenerateContentResponse, None, None]
Confirm = Callable[[FunctionCall], Union[bool, str]]
Ask = Callable[..., Iterator[GenerateContentResponse]]

# The request fields of a chat: the arguments of stream_generate(), except those that return
# only a part of an answer, which cannot be recorded as a turn.
_FIELDS = frozenset(stream_generate.__kwdefaults__ or ()) - {
    "endpoint",
    "api_key",
    "continue_automatically",
    "continuation_token",
}
# The default of such a field.  None means something else: remove the field for this turn.
_LEFT_OUT: Any = ...
# The finish reasons of an answer that is not recorded.  MAX_TOKENS is recorded, since the
# caller set the limit, and so are reasons that only one server uses.
_FAILED = {reason for name, reason in vars(FinishReason).items() if name.isupper()} - {
    FinishReason.STOP,
    FinishReason.MAX_TOKENS,
    FinishReason.FINISH_REASON_UNSPECIFIED,
}


class Chat:
    """A conversation with a model.

    All turns share one connection, if the server keeps it open.  ``close()`` or the end of a
    ``with`` block closes it, and so does the garbage collection of the chat.  A chat can be
    pickled and copied; a copy has its own history and its own connection.

    :param model: as for `stream_generate`.
    :param history: a list of `Content` or of their mappings (``to_dict()``), or the mapping
        that the command line's ``/save`` writes, of which only the ``contents`` are used.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.
    :param api_key: overrides the endpoint's key.
    :param max_function_calls: the maximum number of rounds of function calls in one turn.
    :param confirm: called with the `FunctionCall` before each function call, which runs only
        if this returns True.  Otherwise the model receives a refusal; if this returns a str,
        that is the reason.
    :param system_instruction: this and the other arguments are sent with every turn, as by
        `stream_generate`.  Callables in ``tools`` run when the model calls them.
    :ivar history: a plain list of `Content`, which you can read, edit and save between turns
        (``[content.to_dict() for content in chat.history]``).
    :ivar request_fields: a dict of the request fields that were passed; you can edit it
        between turns.
    :raises ConfigurationError: if an argument is not valid.

    >>> chat = Chat("gemini-flash-latest")    # doctest: +SKIP
    >>> for chunk in chat.send("I have 2 dogs in my house."):    # doctest: +SKIP
    ...     print(chunk.text, end="")
    """

    def __init__(
        self,
        model: str,
        *,
        history: Union[Iterable[Union[Content, Mapping[str, Any]]], Mapping[str, Any]] = (),
        endpoint: Union[None, str, Endpoint] = None,
        api_key: Optional[str] = None,
        max_function_calls: int = 10,
        confirm: Optional[Confirm] = None,
        system_instruction: Optional[ContentsLike] = _LEFT_OUT,
        generation_config: GenerationConfigLike = _LEFT_OUT,
        safety_settings: SafetySettingsLike = _LEFT_OUT,
        tools: ToolsLike = _LEFT_OUT,
        tool_config: ToolConfigLike = _LEFT_OUT,
        cached_content: Optional[str] = _LEFT_OUT,
        extra_body: Optional[Mapping[str, Any]] = _LEFT_OUT,
        alt: str = _LEFT_OUT,
        deadline: Optional[float] = _LEFT_OUT,
        cancel: Optional[Cancel] = _LEFT_OUT,
        resume_with_repeats: bool = _LEFT_OUT,
    ) -> None:
        request_fields = _given(locals())
        if type(max_function_calls) is not int or max_function_calls < 0:
            raise ConfigurationError(
                f"max_function_calls= must be an integer >= 0, got {max_function_calls!r}"
            )
        if confirm is not None and not callable(confirm):
            raise ConfigurationError(f"confirm= must be a callable, got {confirm!r}")
        Toolbox(request_fields.get("tools"))  # raises now if a tool cannot be declared
        self.model = model
        self.history: List[Content] = _contents(history)
        self.max_function_calls = max_function_calls
        self.confirm = confirm
        self.request_fields: Dict[str, Any] = request_fields
        self.endpoint = resolve(endpoint, api_key)
        self._session: Any = None
        self._process = 0  # the process that created the session

    def send(
        self,
        message: ContentsLike,
        *,
        system_instruction: Optional[ContentsLike] = _LEFT_OUT,
        generation_config: GenerationConfigLike = _LEFT_OUT,
        safety_settings: SafetySettingsLike = _LEFT_OUT,
        tools: ToolsLike = _LEFT_OUT,
        tool_config: ToolConfigLike = _LEFT_OUT,
        cached_content: Optional[str] = _LEFT_OUT,
        extra_body: Optional[Mapping[str, Any]] = _LEFT_OUT,
        alt: str = _LEFT_OUT,
        deadline: Optional[float] = _LEFT_OUT,
        cancel: Optional[Cancel] = _LEFT_OUT,
        resume_with_repeats: bool = _LEFT_OUT,
    ) -> Chunks:
        """Send a message and stream the answer; record the turn when the stream completes.

        The chunks of every round are yielded as they arrive.  Callables in the tools run
        between two rounds, in the order of the calls.  If the model also calls a function
        that was declared without a callable, none of them runs and the turn ends with the
        calls; answer them with the next message (a list of `Part` with ``function_response``).

        Leaving the loop early, closing the generator or an exception closes the connection
        and leaves the history unchanged.  If you send the same message again, the functions
        run again too.  Finish one turn before you start another.

        :param message: a str, a ``pathlib.Path``, a Part, File or Content of the user, or a list.
        :param system_instruction: this and the other arguments override the chat's own for
            this turn only.  ``deadline`` and ``cancel`` cover all rounds together; a
            function that is running is not interrupted.
        :returns: a generator of `GenerateContentResponse`.
        :raises ConfigurationError: at the call, if an argument is not valid.
        :raises FunctionCallLimitError: from the generator, if the model calls functions after
            ``max_function_calls`` rounds.
        :raises GeministreamError: from the generator, as `stream_generate`; its
            ``partial`` is the answer so far, of all rounds.

        >>> for chunk in chat.send("How many paws are in my house?"):    # doctest: +SKIP
        ...     print(chunk.text, end="")
        """
        fields = {**self.request_fields, **_given(locals())}
        _check_fields(fields)
        toolbox = Toolbox(fields.get("tools"))
        if "tools" in fields:
            fields["tools"] = toolbox.declared or None
        endpoint = self.endpoint
        if endpoint.session is None:
            endpoint = replace(endpoint, session=self._own_session())
        ask: Ask = partial(stream_generate, endpoint=endpoint, **fields)
        turn = _Turn(self, ask, toolbox, _user_content(message))
        first = turn.ask()  # checks the arguments; nothing is sent yet
        return turn.run(first, fields.get("deadline"), fields.get("cancel"))

    def ask(self, message: ContentsLike, **fields: Any) -> GenerateContentResponse:
        """Send a message and return the complete answer of all rounds: ``collect(send(...))``.

        :param message: as for `send`.
        :param fields: the other arguments of `send`.
        :raises ConfigurationError: if an argument is not valid.
        :raises GeministreamError: as `send`.

        >>> chat.ask("How many paws are in my house?").text    # doctest: +SKIP
        """
        return collect(self.send(message, **fields))

    def _own_session(self) -> Any:
        """Return the session of all turns; a forked child must not share it and gets its own."""
        if self._process != os.getpid():
            from .transport import new_session

            self._process = os.getpid()
            self._session = new_session()
            # Python warns of a leak if the garbage collector closes a socket.
            weakref.finalize(self, self._session.close)
        return self._session

    def close(self) -> None:
        """Close the connection; the next turn opens a new one."""
        if self._session is not None:
            self._session.close()

    def __enter__(self) -> "Chat":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        settings = {
            "history": list(self.history),
            "endpoint": self.endpoint,
            "max_function_calls": self.max_function_calls,
            "confirm": self.confirm,
            **self.request_fields,
        }
        return _made_again, (type(self), self.model, settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, <{len(self.history)} contents>, {self.endpoint!r})"


def _contents(history: Any) -> List[Content]:
    """Return the contents of a history or of a saved conversation, a mapping with ``contents``."""
    saved = history.get("contents") if isinstance(history, AnyMapping) else history
    if isinstance(saved, (str, bytes, AnyMapping)) or not isinstance(saved, AnyIterable):
        raise ConfigurationError(f"history= must be a list of contents, got {shorten(history)}")
    contents = list(saved)
    for each in contents:
        if not isinstance(each, Content) and not (
            isinstance(each, AnyMapping) and each.keys() & {"parts", "role"}
        ):
            raise ConfigurationError(
                f"history= must be a list of contents, got {shorten(each)} in it; "
                'a content is a Content, or a mapping such as {"role": "user", "parts": [{"text": "Hi"}]}'
            )
    return to_contents(contents) if contents else []


def _made_again(cls: Any, model: str, settings: Dict[str, Any]) -> Any:
    return cls(model, **settings)


def _given(arguments: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the request fields among a method's arguments, without those that were left out."""
    return {name: arguments[name] for name in _FIELDS if arguments[name] is not _LEFT_OUT}


def _check_fields(fields: Mapping[str, Any]) -> None:
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        raise ConfigurationError(
            f"a chat has no request field {unknown[0]!r}; its fields are {', '.join(sorted(_FIELDS))}"
        )


def _user_content(message: ContentsLike) -> Content:
    made = to_contents(message)
    if len(made) != 1 or made[0].role not in (None, "user"):
        raise ConfigurationError(
            "a message must be one content of the user; to add other contents, edit chat.history"
        )
    content = made[0]
    return replace(content, role="user", parts=list(content.parts or []))


class _Turn:
    """One message and the rounds that answer it.

    :param ask: `stream_generate` with all arguments except the model and the contents.
    """

    def __init__(self, chat: Chat, ask: Ask, toolbox: Toolbox, message: Content) -> None:
        self._chat = chat
        self._model = chat.model
        self._ask = ask
        self._toolbox = toolbox
        self._before = list(chat.history)
        self._exchange = [message]  # what will be appended to the history
        self._answers: List[GenerateContentResponse] = []  # one for each finished round
        self._requests = 0  # the number of requests of the finished rounds
        self._merger = Merger()  # merges the chunks of the current round

    def ask(self, **more: Any) -> Iterator[GenerateContentResponse]:
        """Return the stream of the next round."""
        return self._ask(self._model, self._before + self._exchange, **more)

    def run(
        self, chunks: Iterator[GenerateContentResponse], deadline: Optional[float], cancel: Any
    ) -> Chunks:
        """Yield the chunks of all rounds, starting with those passed; then record the turn."""
        ends = None if deadline is None else time.monotonic() + deadline
        rounds = 0
        try:
            while True:
                answer = yield from self._round(chunks)
                content = _content(answer)
                if content is None:
                    return
                self._exchange.append(content)
                calls = answer.function_calls
                if not self._can_answer(calls):
                    break
                if rounds >= self._chat.max_function_calls:
                    raise FunctionCallLimitError(
                        f"the model calls {', '.join(str(call.name) for call in calls)} after "
                        f"{rounds} rounds of function calls; raise max_function_calls= to allow more",
                        contents=self._exchange,
                    )
                rounds += 1
                self._exchange.append(Content(role="user", parts=self._results(calls, cancel)))
                left: Dict[str, Any] = {}
                if ends is not None:
                    left["deadline"] = ends - time.monotonic()
                    if left["deadline"] <= 0:
                        raise StreamTimeoutError(f"the deadline of {deadline:g} s has passed")
                chunks = self.ask(**left)
        except GeministreamError as error:
            if error.partial is None:
                error.partial = self._answer_so_far()
            raise
        self._chat.history.extend(self._exchange)

    def _round(self, chunks: Any) -> Generator[GenerateContentResponse, None, GenerateContentResponse]:
        """Yield the chunks of one round and return them merged."""
        self._merger = Merger()
        number = 1
        unfinished = False
        with closing(chunks):
            for chunk in chunks:
                number = chunk.request_number
                # The requests of all rounds are numbered consecutively.
                chunk.request_number = self._requests + number
                for part in _parts(chunk):
                    if isinstance(part.function_call, FunctionCall):
                        unfinished = bool(part.function_call.will_continue)
                self._merger.add(chunk)
                yield chunk
        if unfinished:
            raise IncompleteStreamError("the answer ended in the middle of a function call's arguments")
        self._requests += number
        answer = self._merger.response()
        answer.request_number = self._requests
        self._answers.append(answer)
        self._merger = Merger()
        return answer

    def _answer_so_far(self) -> Optional[GenerateContentResponse]:
        answers = list(self._answers)
        if self._merger.chunks:
            answer = self._merger.response()
            answer.request_number = self._requests + 1
            answers.append(answer)
        if len(answers) < 2:
            return answers[0] if answers else None
        merger = Merger()
        for answer in answers:
            merger.add(answer)
        return merger.response()

    # Function calls

    def _can_answer(self, calls: List[FunctionCall]) -> bool:
        """Whether there are calls and every called function has a callable."""
        if not calls or not self._toolbox.functions:
            return False
        return not any(str(call.name) in self._toolbox.others for call in calls)

    def _results(self, calls: List[FunctionCall], cancel: Any) -> List[Part]:
        """Run the functions of one round's calls and return their results in the same order."""
        results = []
        for call in copy.deepcopy(calls):  # so that confirm() and the functions cannot change the history
            if cancel is not None and cancel.cancelled:
                raise StreamCancelled("the call was cancelled")
            response = FunctionResponse(name=call.name, id=call.id, response=self._response(call))
            results.append(Part(function_response=response))
        return results

    def _response(self, call: FunctionCall) -> Dict[str, Any]:
        """Run the function; return its result, or the reason why it did not run."""
        function = self._toolbox.functions.get(str(call.name))
        if function is None:
            known = ", ".join(self._toolbox.functions)
            return failure(f"unknown function {call.name!r}; the functions are {known}")
        try:
            arguments = function.arguments(call.args)
        except Mismatch as problem:
            return failure(f"the arguments are not valid: {problem}")
        if self._chat.confirm is not None:
            decision = self._chat.confirm(call)
            if decision is not True:
                reason = decision if isinstance(decision, str) else ""
                return failure(reason or "the user refused this call")
        return function.run(arguments)


def _content(answer: GenerateContentResponse) -> Optional[Content]:
    """Return the model's content for the history, or None if the answer must not be recorded."""
    try:
        answer.raise_for_block()
    except BlockedError:
        return None
    if answer.finish_reason in _FAILED or not any(_is_said(part) for part in answer.parts):
        return None
    candidates = answer.candidates
    assert candidates  # there are parts
    content = candidates[0].content
    assert content is not None
    if content.role is None:
        content.role = "model"
    return content


def _is_said(part: Part) -> bool:
    """Whether the part is more than a thought."""
    return not part.thought or part.thought_signature is not None


def _parts(chunk: GenerateContentResponse) -> List[Part]:
    """Return the parts of the candidate with index 0."""
    candidates = chunk.candidates
    for candidate in candidates if isinstance(candidates, list) else ():
        if isinstance(candidate, Candidate) and not candidate.index:
            parts = candidate.content.parts if isinstance(candidate.content, Content) else None
            return [part for part in parts if isinstance(part, Part)] if isinstance(parts, list) else []
    return []
