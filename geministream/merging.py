"""One response out of many chunks."""

import re
from dataclasses import fields, replace
from typing import Any, Dict, Iterable, List, Optional

from .errors import GeministreamError
from .types import Candidate, Content, FunctionCall, GenerateContentResponse, Part, UsageMetadata


def collect(chunks: Iterable[GenerateContentResponse]) -> GenerateContentResponse:
    """Read a stream to its end and merge its chunks into one response.

    Consecutive text parts are joined, thoughts apart from answers; a part that
    bears a signature stays as it came; candidates are kept apart by their index;
    of other fields the last one that was given counts.  The usage of an answer
    that took several requests is their sum (see
    ``GenerateContentResponse.usage_by_request``).

    :param chunks: what `stream_generate` returns, or any iterable of chunks.
    :raises: what the stream raises, with ``.partial`` set to what had arrived
        (None if nothing had).

    >>> collect([GenerateContentResponse.from_dict(
    ...     {"candidates": [{"content": {"parts": [{"text": word}]}}]}) for word in ("a", "b")]).text
    'ab'
    """
    merger = Merger()
    try:
        for chunk in chunks:
            merger.add(chunk)
    except GeministreamError as error:
        if error.partial is None:
            error.partial = merger.response() if merger.chunks else None
        raise
    return merger.response()


class Merger:
    """Takes chunks one by one and makes the response that they are together.

    The chunks themselves are not changed.
    """

    def __init__(self) -> None:
        self.chunks = 0
        self._fields: Dict[str, Any] = {}
        self._extra: Dict[str, Any] = {}
        self._candidates: Dict[int, _CandidateMerger] = {}
        self._usages: Dict[int, UsageMetadata] = {}

    def add(self, chunk: GenerateContentResponse) -> None:
        """Take one chunk."""
        self.chunks += 1
        for name, value in _given(chunk).items():
            if name == "candidates" and isinstance(value, list):
                for candidate in value:
                    if isinstance(candidate, Candidate):
                        index = candidate.index if isinstance(candidate.index, int) else 0
                        merger = self._candidates.get(index)
                        if merger is None:
                            merger = self._candidates[index] = _CandidateMerger()
                        merger.add(candidate)
            elif name == "usage_metadata" and isinstance(value, UsageMetadata):
                self._usages[chunk.__dict__.get("_request", 0)] = value
            else:
                self._fields[name] = value
        if chunk.__dict__.get("extra"):
            self._extra.update(chunk.extra)

    def response(self) -> GenerateContentResponse:
        """All chunks so far, merged."""
        response = GenerateContentResponse(**self._fields, extra=dict(self._extra))
        if self._candidates:
            in_order = sorted(self._candidates.items())
            response.candidates = [merger.candidate() for _, merger in in_order]
        usages = [usage for _, usage in sorted(self._usages.items())]
        if usages:
            response.usage_metadata = usages[0] if len(usages) == 1 else _sum(usages)
            response.__dict__["_usages"] = usages
        return response


class _CandidateMerger:
    def __init__(self) -> None:
        self._fields: Dict[str, Any] = {}
        self._extra: Dict[str, Any] = {}
        self._content: Dict[str, Any] = {}
        self._content_extra: Dict[str, Any] = {}
        self._parts: Optional[List[Any]] = None
        self._texts: List[str] = []  # of the last part, still to be joined
        self._call: Optional[Part] = None  # whose arguments are still arriving

    def add(self, candidate: Candidate) -> None:
        for name, value in _given(candidate).items():
            if name == "content" and isinstance(value, Content):
                self._add_content(value)
            elif name in _GROWING and name in self._fields:
                self._fields[name] = _appended(self._fields[name], value)
            else:
                self._fields[name] = value
        self._extra.update(candidate.__dict__.get("extra") or {})

    def _add_content(self, content: Content) -> None:
        for name, value in _given(content).items():
            if name == "parts" and isinstance(value, list):
                if self._parts is None:
                    self._parts = []
                for part in value:
                    self._add_part(part)
            else:
                self._content[name] = value
        self._content_extra.update(content.__dict__.get("extra") or {})

    def _add_part(self, part: Any) -> None:
        assert self._parts is not None
        last = self._parts[-1] if self._parts else None
        if _is_plain_text(part):
            if not part.text:
                return  # says nothing, and servers refuse it in a history
            if self._texts and bool(last.thought) == bool(part.thought):
                self._texts.append(part.text)
                return
            self._finish_text()
            self._parts.append(replace(part))
            self._texts = [part.text]
            return
        self._finish_text()
        if isinstance(part, Part) and isinstance(part.function_call, FunctionCall):
            self._add_call(part, part.function_call)
        else:
            self._parts.append(part)

    def _finish_text(self) -> None:
        if self._texts:
            assert self._parts
            self._parts[-1].text = "".join(self._texts)
            self._texts = []

    def _add_call(self, part: Part, call: FunctionCall) -> None:
        """A call may come whole, or its arguments piece by piece over several parts."""
        assert self._parts is not None
        if self._call is None:
            if not call.partial_args and not call.will_continue:
                self._parts.append(part)
                return
            whole = FunctionCall(name=call.name, id=call.id, args=dict(call.args or {}), extra=dict(call.extra))
            self._call = replace(part, function_call=whole)
            self._strings: Dict[str, bool] = {}
            self._parts.append(self._call)
        else:
            # What the first part did not say, a later one may.
            for name, value in _given(part).items():
                if name != "function_call":
                    setattr(self._call, name, value)
            whole = self._call.function_call  # type: ignore[assignment]
            whole.name = whole.name or call.name
            whole.id = whole.id or call.id
            whole.args = {**(whole.args or {}), **(call.args or {})}
        for piece in call.partial_args or []:
            _set_argument(whole, piece, self._strings)
        if not call.will_continue:
            self._call = None

    def candidate(self) -> Candidate:
        self._finish_text_copy()
        candidate = Candidate(**self._fields, extra=dict(self._extra))
        if self._parts is not None or self._content:
            candidate.content = Content(
                **self._content, parts=self._copied_parts(), extra=dict(self._content_extra)
            )
        return candidate

    def _finish_text_copy(self) -> None:
        """Join what has come of the last text; more may still come."""
        if self._texts:
            assert self._parts
            self._texts = ["".join(self._texts)]
            self._parts[-1].text = self._texts[0]

    def _copied_parts(self) -> Optional[List[Any]]:
        return None if self._parts is None else list(self._parts)


# Of these candidates' fields each chunk brings further items.
_GROWING = ("citation_metadata", "logprobs_result")


def _given(message: Any) -> Dict[str, Any]:
    values = message.__dict__
    return {f.name: values[f.name] for f in fields(message) if f.name != "extra" and values.get(f.name) is not None}


def _is_plain_text(part: Any) -> bool:
    """Text, perhaps a thought, and nothing else: no signature, nothing unknown."""
    if not isinstance(part, Part) or not isinstance(part.text, str):
        return False
    return not (_given(part).keys() - {"text", "thought"}) and not part.__dict__.get("extra")


def _appended(before: Any, after: Any) -> Any:
    """``after``, its lists preceded by those of ``before``."""
    if type(before) is not type(after) or not hasattr(before, "to_dict"):
        return after
    merged = replace(before)
    for name, value in _given(after).items():
        old = getattr(before, name)
        setattr(merged, name, old + value if isinstance(old, list) and isinstance(value, list) else value)
    merged.extra = {**before.extra, **after.extra}
    return merged


def _sum(usages: List[UsageMetadata]) -> UsageMetadata:
    """The usage of several requests together: numbers add up, details by their modality."""
    total = UsageMetadata()
    for usage in usages:
        for name, value in _given(usage).items():
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
        if modality is None or not isinstance(count, int):
            others.append(detail)
        elif modality in by_modality:
            by_modality[modality].token_count += count
        else:
            by_modality[modality] = replace(detail)
    return list(by_modality.values()) + others


# Streamed function-call arguments ---------------------------------------------

_step = re.compile(r"""\.?([^.\[\]'"]+)|\[(\d+)\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]""")


def _set_argument(call: FunctionCall, piece: Any, strings: Dict[str, bool]) -> None:
    """Put one `PartialArg` into the call's arguments, where its ``json_path`` says.

    A string that ``will_continue`` is followed by its next piece under the same path.
    """
    path = getattr(piece, "json_path", None)
    steps = _steps(path)
    if steps is None:
        # No path that we can read: keep the piece where the caller can see it.
        call.partial_args = [*(call.partial_args or []), piece]
        return
    given = _given(piece)
    value: Any = None
    for name in ("string_value", "number_value", "bool_value"):
        if name in given:
            value = given[name]
    if "string_value" in given and strings.get(path):
        value = (_get(call.args, steps) or "") + value
    strings[path] = bool(piece.will_continue)
    if not any(name in given for name in ("string_value", "number_value", "bool_value", "null_value")):
        return
    root: Any = {"": call.args if call.args is not None else {}}
    _put(root, ["", *steps], value)
    call.args = root[""]


def _steps(path: Any) -> Optional[List[Any]]:
    """``$.a[0]['b']`` to ``["a", 0, "b"]``, https://www.rfc-editor.org/rfc/rfc9535#name-selectors"""
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
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _put(container: Any, steps: List[Any], value: Any) -> None:
    """Set the value at the end of the path, making the mappings and lists on the way."""
    for step, following in zip(steps, steps[1:]):
        below = _get(container, [step])
        wanted = list if isinstance(following, int) else dict
        if not isinstance(below, wanted):
            below = wanted()
            _assign(container, step, below)
        container = below
    _assign(container, steps[-1], value)


def _assign(container: Any, step: Any, value: Any) -> None:
    if isinstance(container, list):
        # Indices come in order; one far beyond the end would only make a huge list.
        if step < len(container):
            container[step] = value
        else:
            container.append(value)
    else:
        container[step] = value
