"""Merging the chunks of a stream into one response."""

import re
from typing import Any, Dict, Generator, Iterable, List, Optional, Tuple

from .errors import ConfigurationError, GeministreamError
from .types import (
    Blob,
    Candidate,
    Content,
    FunctionCall,
    GenerateContentResponse,
    Part,
    PartialArg,
    UsageMetadata,
)
from .types.codec import Message, given, shorten


def collect(chunks: Iterable[GenerateContentResponse]) -> GenerateContentResponse:
    """Read a stream to its end and merge its chunks into one response.

    Consecutive text parts are joined, thoughts apart from answers, and so are the pieces
    of raw audio (``audio/L16``, ``audio/pcm``); a part with a signature is kept unchanged.
    Candidates are merged by their index.  For any other field, the last value is used.
    The usage of an answer that took several requests is their sum (see
    ``GenerateContentResponse.usage_by_request``).

    :param chunks: the return value of `stream_generate`, or any iterable of chunks.
    :raises ConfigurationError: if ``chunks`` is a generator that was read already.
    :raises GeministreamError: what the stream raises; its ``partial`` is the answer so far
        (None if nothing arrived).

    >>> collect([GenerateContentResponse.from_dict(
    ...     {"candidates": [{"content": {"parts": [{"text": word}]}}]}) for word in ("a", "b")]).text
    'ab'
    """
    if isinstance(chunks, Generator) and getattr(chunks, "gi_frame", chunks) is None:
        raise ConfigurationError(
            "the stream was read already; call stream_generate() again, or collect() it first"
        )
    merger = Merger()
    try:
        for chunk in chunks:
            merger.add(chunk)
    except GeministreamError as error:
        if error.partial is None:
            error.partial = merger.response() if merger.chunks else None
        raise
    finally:
        if isinstance(chunks, Generator):
            chunks.close()  # or its connection would stay open until garbage collection
    return merger.response()


class Merger:
    """Merges chunks, added one by one, into one response.

    The chunks are not changed, and the response shares no mutable value with them.
    """

    def __init__(self) -> None:
        self.chunks = 0
        self._fields: Dict[str, Any] = {}
        self._extra: Dict[str, Any] = {}
        self._candidates: Dict[int, _CandidateMerger] = {}
        self._usages: Dict[int, UsageMetadata] = {}

    def add(self, chunk: GenerateContentResponse) -> None:
        """Take one chunk."""
        if not isinstance(chunk, GenerateContentResponse):
            raise ConfigurationError(f"expected a GenerateContentResponse, got {shorten(chunk)}")
        self.chunks += 1
        for name, value in given(chunk).items():
            if name == "candidates" and isinstance(value, list):
                for candidate in value:
                    if isinstance(candidate, Candidate):
                        index = candidate.index if isinstance(candidate.index, int) else 0
                        merger = self._candidates.get(index)
                        if merger is None:
                            merger = self._candidates[index] = _CandidateMerger()
                        merger.add(candidate)
            elif name == "usage_metadata" and isinstance(value, UsageMetadata):
                self._usages[chunk.request_number] = _copied(value)
            else:
                self._fields[name] = _copied(value)
        if chunk.__dict__.get("extra"):
            self._extra.update(_copied(chunk.extra))

    def response(self) -> GenerateContentResponse:
        """Return all chunks so far, merged."""
        response = GenerateContentResponse(**self._fields, extra=dict(self._extra))
        if self._candidates:
            in_order = sorted(self._candidates.items())
            response.candidates = [merger.candidate() for _, merger in in_order]
        usages = [usage for _, usage in sorted(self._usages.items())]
        if usages:
            response.usage_metadata = usages[0] if len(usages) == 1 else _sum(_copied(usages))
            response.usage_by_request = usages
        return response


class _CandidateMerger:
    def __init__(self) -> None:
        self._fields: Dict[str, Any] = {}
        self._extra: Dict[str, Any] = {}
        self._content: Dict[str, Any] = {}
        self._content_extra: Dict[str, Any] = {}
        self._parts: Optional[List[Any]] = None
        self._growing: Any = None  # the last part, if the next part may be joined to it
        self._kind: Any = None  # the kind of that part
        self._pieces: List[Any] = []  # the strings, or the bytes of audio, of that part
        self._call: Optional[_OpenCall] = None  # the function call whose arguments are still arriving

    def add(self, candidate: Candidate) -> None:
        for name, value in given(candidate).items():
            if name == "content" and isinstance(value, Content):
                self._add_content(value)
            elif name in _GROWING and name in self._fields:
                self._fields[name] = _appended(self._fields[name], _copied(value))
            else:
                self._fields[name] = _copied(value)
        self._extra.update(_copied(candidate.__dict__.get("extra") or {}))

    def _add_content(self, content: Content) -> None:
        for name, value in given(content).items():
            if name == "parts":
                if self._parts is None:
                    self._parts = []
                for part in value if isinstance(value, list) else [value]:
                    self._add_part(part)
            else:
                self._content[name] = _copied(value)
        self._content_extra.update(_copied(content.__dict__.get("extra") or {}))

    def _add_part(self, part: Any) -> None:
        assert self._parts is not None
        kind = _kind_that_grows(part)
        if kind is not None:
            if part.text == "":
                return  # it has no content, and servers reject it in a history
            if kind != self._kind:
                self._finish_growing()
                self._growing, self._kind, self._pieces = _copied(part), kind, []
                self._parts.append(self._growing)
            self._pieces.append(part.inline_data.data if part.text is None else part.text)
            return
        self._finish_growing()
        self._growing = self._kind = None
        part = _copied(part)
        call = part.function_call if isinstance(part, Part) else None
        if not isinstance(call, FunctionCall) or not _has_arguments(call):
            self._parts.append(part)
        elif self._call is not None:
            self._call.add(part, call)
        elif call.partial_args or call.will_continue:
            self._call = _OpenCall(part, call)
            self._parts.append(self._call.part)
        else:
            self._parts.append(part)
        if self._call is not None and not self._call.open:
            self._call = None

    def _finish_growing(self) -> None:
        """Join the pieces so far; more may follow."""
        if self._growing is None:
            return
        if self._growing.text is not None:
            self._pieces = [_joined(self._pieces)]
            self._growing.text = self._pieces[0]
        else:
            self._pieces = [b"".join(self._pieces)]
            self._growing.inline_data.data = self._pieces[0]

    def candidate(self) -> Candidate:
        self._finish_growing()
        if self._call is not None:
            self._call.finish()
        candidate = Candidate(**self._fields, extra=dict(self._extra))
        if self._parts is not None or self._content:
            parts = None if self._parts is None else list(self._parts)
            candidate.content = Content(**self._content, parts=parts, extra=dict(self._content_extra))
        return candidate


# The fields of a candidate to which each chunk adds items.
_GROWING = ("citation_metadata", "logprobs_result")


def _joined(texts: List[str]) -> str:
    """Return the pieces joined to one text.

    A server that escapes everything except ASCII may split a surrogate pair: the halves are
    joined to the character, and a lone surrogate remains.
    """
    text = "".join(texts)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _kind_that_grows(part: Any) -> Any:
    """Return the kind of a part: consecutive parts of one kind are joined; None: never joined.

    Joined are texts and thoughts without any other field (a signature, unknown fields), and
    pieces of raw audio.
    """
    if not isinstance(part, Part) or part.__dict__.get("extra"):
        return None
    fields = given(part)
    if isinstance(part.text, str):
        return None if fields.keys() - {"text", "thought"} else ("text", bool(part.thought))
    blob = part.inline_data
    if fields.keys() != {"inline_data"} or not isinstance(blob, Blob) or type(blob.data) is not bytes:
        return None
    if given(blob).keys() - {"data", "mime_type"} or blob.__dict__.get("extra") or not blob.is_raw_sound:
        return None
    return "sound", blob.mime_type


def _has_arguments(call: FunctionCall) -> bool:
    """Whether the call's arguments have the types that allow merging."""
    return isinstance(call.args, (dict, type(None))) and isinstance(call.partial_args, (list, type(None)))


def _copied(value: Any) -> Any:
    """Return a deep copy of a message, list or mapping; immutable values are shared."""
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, Message):
        made = object.__new__(type(value))
        made.__dict__.update(_copied(value.__dict__))
        return made
    return value


def _appended(before: Any, after: Any) -> Any:
    """Append the lists of ``after`` to those of ``before`` and return it; both are changed."""
    if type(before) is not type(after) or not hasattr(before, "to_dict"):
        return after
    for name, value in given(after).items():
        old = getattr(before, name)
        if isinstance(old, list) and isinstance(value, list):
            old += value
        else:
            setattr(before, name, value)
    before.extra.update(after.__dict__.get("extra") or {})
    return before


def _sum(usages: List[UsageMetadata]) -> UsageMetadata:
    """Return the sum of several usages, which are changed: numbers, and details by modality."""
    total = UsageMetadata()
    for usage in usages:
        for name, value in given(usage).items():
            before = getattr(total, name)
            if isinstance(value, int) and isinstance(before, int):
                value = before + value
            elif isinstance(value, list) and isinstance(before, list):
                value = _sum_details(before + value)
            setattr(total, name, value)
        total.extra.update(usage.__dict__.get("extra") or {})
    return total


def _sum_details(details: List[Any]) -> List[Any]:
    by_modality: Dict[Any, Any] = {}
    others = []
    for detail in details:
        modality = getattr(detail, "modality", None)
        count = getattr(detail, "token_count", None)
        if not isinstance(modality, str) or not isinstance(count, int):
            others.append(detail)
        elif modality in by_modality:
            by_modality[modality].token_count += count
        else:
            by_modality[modality] = detail
    return list(by_modality.values()) + others


# Streamed function-call arguments ---------------------------------------------


class _OpenCall:
    """A function call whose arguments arrive in pieces, over several parts.

    :ivar part: the merged part so far, with all arguments in ``args``.
    :ivar open: whether more parts follow.
    """

    def __init__(self, part: Part, call: FunctionCall) -> None:
        self._call = FunctionCall(args={})
        # Strings that the next piece continues: the path, its steps, and the pieces not yet in `args`.
        self._unfinished: Dict[str, Tuple[List[Any], List[str]]] = {}
        self.part = Part(function_call=self._call)
        self.add(part, call)

    def add(self, part: Part, call: FunctionCall) -> None:
        """Take the next part, which may also set a field that the first one did not have."""
        for name, value in given(part).items():
            if name != "function_call":
                setattr(self.part, name, value)
        self.part.extra.update(part.__dict__.get("extra") or {})
        whole = self._call
        whole.name = whole.name or call.name
        whole.id = whole.id or call.id
        if call.args:
            self.finish()
            whole.args = {**(whole.args or {}), **call.args}
        whole.extra.update(call.__dict__.get("extra") or {})
        for piece in call.partial_args or []:
            self._set_argument(piece)
        self.open = bool(call.will_continue)
        if not self.open:
            self.finish()

    def finish(self) -> None:
        """Join the pieces of strings so far; more may follow."""
        for path, (steps, pieces) in self._unfinished.items():
            text = "".join(pieces)
            if text and not _put(self._call.args, steps, str(_get(self._call.args, steps) or "") + text):
                self._keep(PartialArg(json_path=path, string_value=text))
            pieces.clear()

    def _set_argument(self, piece: Any) -> None:
        """Put one `PartialArg` into the arguments, at its ``json_path``.

        If it does not fit there, it stays in ``partial_args``, so that the caller can see it.
        """
        if not self._fits(piece):
            self._keep(piece)

    def _keep(self, piece: Any) -> None:
        self._call.partial_args = [*(self._call.partial_args or []), piece]

    def _fits(self, piece: Any) -> bool:
        """Put the piece into the arguments; return False if it does not fit completely."""
        values = given(piece) if isinstance(piece, PartialArg) else {}
        path = values.pop("json_path", None)
        steps = _steps(path)
        continues = values.pop("will_continue", False)
        if steps is None or not isinstance(path, str) or len(values) > 1 or piece.extra:
            return False
        if not values:
            begun = path in self._unfinished or isinstance(_get(self._call.args, steps), str)
            if not begun and not (continues and _put(self._call.args, steps, "")):
                return False
        elif path in self._unfinished and isinstance(values.get("string_value"), str):
            self._unfinished[path][1].append(values["string_value"])
        else:
            self.finish()  # or the pieces of a string would later overwrite this
            ((name, value),) = values.items()
            if not _put(self._call.args, steps, None if name == "null_value" else value):
                return False
        if continues:
            self._unfinished.setdefault(path, (steps, []))
        elif path in self._unfinished:
            self.finish()
            del self._unfinished[path]
        return True


_step = re.compile(r"""\.?([^.\[\]'"]+)|\[([0-9]{1,9})\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]""")


def _steps(path: Any) -> Optional[List[Any]]:
    """Parse ``$.a[0]['b']`` to ``["a", 0, "b"]``, https://www.rfc-editor.org/rfc/rfc9535#name-selectors"""
    if not isinstance(path, str) or not path.startswith("$"):
        return None
    steps: List[Any] = []
    pos = 1
    while pos < len(path):
        match = _step.match(path, pos)
        if match is None:
            return None
        name, index, single, double = match.groups()
        quoted = single if single is not None else double
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(name if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        pos = match.end()
    return steps or None


def _get(value: Any, steps: List[Any]) -> Any:
    for step in steps:
        try:
            value = value[step] if isinstance(value, (dict, list)) else None
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _put(container: Any, steps: List[Any], value: Any) -> bool:
    """Set the value at the path, and create the mappings and lists above it.

    Return False, and change nothing, if a value of another type is in the way, or an index
    is beyond the end of its list.
    """
    for number, step in enumerate(steps, 1):
        if type(container) is not (list if isinstance(step, int) else dict):
            return False
        there = step < len(container) if isinstance(step, int) else step in container
        if there and number < len(steps):
            container = container[step]
            continue
        if there and isinstance(container[step], (dict, list)):
            return False
        if isinstance(step, int) and step > len(container):
            return False
        for below in reversed(steps[number:]):
            if isinstance(below, int) and below > 0:
                return False
            value = [value] if isinstance(below, int) else {below: value}
        if isinstance(step, int) and not there:
            container.append(value)  # type: ignore[union-attr]  # a list, as its index is a number
        else:
            container[step] = value
        break
    return True
