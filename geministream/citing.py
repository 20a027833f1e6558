"""The sources of an answer, and its text with footnotes."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .errors import ConfigurationError
from .types import Candidate, GenerateContentResponse
from .types.codec import shorten


@dataclass(frozen=True)
class Source:
    """A source of an answer.

    :ivar uri: the URI of the source, or None.
    :ivar title: the title, or None; Google Search often sends the site's name.
    :ivar spans: the parts of ``response.text`` that it supports, as ``(start, end)`` in
        characters; empty if the server did not send them.
    """

    uri: Optional[str]
    title: Optional[str]
    spans: Tuple[Tuple[int, int], ...] = ()


def find_sources(response: GenerateContentResponse) -> List[Source]:
    """Return the sources of a complete answer, each once: grounding first, then citations.

    The API counts bytes of UTF-8; the spans here are in characters of ``response.text``.

    :param response: a complete answer, as `generate` or `collect` returns it.
    :returns: a list of `Source`; [] if the answer has none.
    :raises ConfigurationError: if ``response`` is not a `GenerateContentResponse`.

    >>> for source in find_sources(answer):    # doctest: +SKIP
    ...     print(source.title, source.uri)
    """
    if not isinstance(response, GenerateContentResponse):
        raise ConfigurationError(
            f"expected a complete answer, got {shorten(response)}; use collect() to merge its chunks"
        )
    found: Dict[Tuple[Optional[str], Optional[str]], List[Tuple[int, int]]] = {}
    for uri, title, span in (*_grounding(response), *_citations(response)):
        spans = found.setdefault((uri, title), [])
        if span is not None and span not in spans:
            spans.append(span)
    return [Source(uri, title, tuple(sorted(spans))) for (uri, title), spans in found.items()]


def cite(response: GenerateContentResponse) -> str:
    """Return the text of an answer with footnotes: ``[1]`` after each text that has a source.

    The sources are listed below the text.  Without sources, the text is unchanged.

    :param response: a complete answer, as `generate` or `collect` returns it.
    :raises ConfigurationError: if ``response`` is not a `GenerateContentResponse`.

    >>> print(cite(answer))    # doctest: +SKIP
    Noon is at 12:00.[1]
    <BLANKLINE>
    [1] timeanddate.com: https://…
    """
    sources = find_sources(response)
    text = response.text
    marks: Dict[int, str] = {}
    for number, source in enumerate(sources, 1):
        # Put the mark after the last word, not after the space or line end that follows it.
        for end in sorted({len(text[:end].rstrip()) for _, end in source.spans}):
            marks[end] = f"{marks.get(end, '')}[{number}]"
    for end in sorted(marks, reverse=True):
        text = text[:end] + marks[end] + text[end:]
    notes = []
    for number, source in enumerate(sources, 1):
        notes.append(f"[{number}] " + ": ".join(filter(None, (source.title, source.uri))))
    return "\n\n".join(filter(None, (text.rstrip("\n") if notes else text, "\n".join(notes))))


Found = Tuple[Optional[str], Optional[str], Optional[Tuple[int, int]]]


def _first(response: GenerateContentResponse) -> Optional[Candidate]:
    candidates = response.candidates
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return first if isinstance(first, Candidate) else None


def _grounding(response: GenerateContentResponse) -> Iterator[Found]:
    metadata = getattr(_first(response), "grounding_metadata", None)
    chunks = _list(getattr(metadata, "grounding_chunks", None))
    named = [_named(chunk) for chunk in chunks]
    spans: Dict[int, List[Optional[Tuple[int, int]]]] = {}
    for support in _list(getattr(metadata, "grounding_supports", None)):
        span = _segment_span(response, getattr(support, "segment", None))
        for index in _list(getattr(support, "grounding_chunk_indices", None)):
            if isinstance(index, int) and 0 <= index < len(named):
                spans.setdefault(index, []).append(span)
    for index, (uri, title) in enumerate(named):
        if uri or title:
            for span in spans.get(index, [None]):
                yield uri, title, span


def _named(chunk: Any) -> Tuple[Optional[str], Optional[str]]:
    """Return the URI and title of a grounding chunk of any kind."""
    for kind in ("web", "retrieved_context", "maps", "image"):
        source = getattr(chunk, kind, None)
        if source is not None:
            uri = getattr(source, "uri", None) or getattr(source, "source_uri", None)
            return _text(uri), _text(getattr(source, "title", None))
    return None, None


def _citations(response: GenerateContentResponse) -> Iterator[Found]:
    metadata = getattr(_first(response), "citation_metadata", None)
    # Google's two APIs use different names for the list.
    lists = (getattr(metadata, name, None) for name in ("citation_sources", "citations"))
    for citation in (each for some in lists for each in _list(some)):
        uri, title = _text(getattr(citation, "uri", None)), _text(getattr(citation, "title", None))
        if uri or title:  # so it is a Citation
            yield uri, title, _span(response.text, 0, citation.start_index, citation.end_index)


def _segment_span(response: GenerateContentResponse, segment: Any) -> Optional[Tuple[int, int]]:
    """Return the start and end of a segment in the text, in characters."""
    if segment is None:
        return None
    text = response.text
    quoted = _text(getattr(segment, "text", None))
    parts = response.parts
    index = getattr(segment, "part_index", None) or 0
    before = [part.text for part in parts[: index if isinstance(index, int) else 0] if not part.thought]
    offset = sum(len(each) for each in before if isinstance(each, str))
    start, end = getattr(segment, "start_index", None), getattr(segment, "end_index", None)
    span = _span(text, offset, start, end)
    if quoted is None or (span is not None and text[slice(*span)] == quoted):
        return span
    # Merging has joined parts, so the index may mean another part: search for the quoted text.
    at = text.find(quoted)
    return (at, at + len(quoted)) if quoted and at >= 0 else None


def _span(text: str, offset: int, start: Any, end: Any) -> Optional[Tuple[int, int]]:
    """Convert byte offsets in UTF-8, counted from character ``offset``, to character offsets."""
    start = 0 if start is None else start
    data = text[offset:].encode("utf-8", "surrogatepass")
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(data):
        return None
    first, last = (len(data[:at].decode("utf-8", "ignore")) for at in (start, end))
    return offset + first, offset + last


def _list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
