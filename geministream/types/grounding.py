"""What an answer rests on: citations, grounding, pages that were read, log probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Message
from .content import Content


class UrlRetrievalStatus:
    """Whether a page could be read."""

    URL_RETRIEVAL_STATUS_UNSPECIFIED = "URL_RETRIEVAL_STATUS_UNSPECIFIED"
    URL_RETRIEVAL_STATUS_SUCCESS = "URL_RETRIEVAL_STATUS_SUCCESS"
    URL_RETRIEVAL_STATUS_ERROR = "URL_RETRIEVAL_STATUS_ERROR"
    URL_RETRIEVAL_STATUS_PAYWALL = "URL_RETRIEVAL_STATUS_PAYWALL"
    URL_RETRIEVAL_STATUS_UNSAFE = "URL_RETRIEVAL_STATUS_UNSAFE"


# Citations -------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class CitationMetadata(Message):
    """What the answer quotes.

    :ivar citation_sources: the name that the Gemini API gives to ``citations``.
    """

    citations: Optional[List[Citation]] = None
    citation_sources: Optional[List[Citation]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Citation(Message):
    """A piece of the answer that is quoted, and from where.

    :ivar start_index: of the first byte in the answer's UTF-8, from 0.
    :ivar end_index: of the byte after the last.
    """

    uri: Optional[str] = None
    title: Optional[str] = None
    start_index: Optional[int] = None
    end_index: Optional[int] = None
    license: Optional[str] = None
    publication_date: Optional[GoogleTypeDate] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GoogleTypeDate(Message):
    """A date, or the year or month that is known of it; 0 stands for what is not."""

    year: Optional[int] = None
    month: Optional[int] = None
    day: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


# Grounding -------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class GroundingMetadata(Message):
    """What the answer rests on: searches, the pages they found, and what supports what.

    :ivar grounding_supports: its indices point into ``grounding_chunks``.
    :ivar search_entry_point: must be shown where search results are.
    """

    grounding_chunks: Optional[List[GroundingChunk]] = None
    grounding_supports: Optional[List[GroundingSupport]] = None
    web_search_queries: Optional[List[str]] = None
    search_entry_point: Optional[SearchEntryPoint] = None
    image_search_queries: Optional[List[str]] = None
    retrieval_queries: Optional[List[str]] = None
    retrieval_metadata: Optional[RetrievalMetadata] = None
    google_maps_widget_context_token: Optional[str] = None
    source_flagging_uris: Optional[List[GroundingMetadataSourceFlaggingUri]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingAttribution(Message):
    """A source that an answer of the "attributed question answering" kind rests on."""

    content: Optional[Content] = None
    source_id: Optional[Dict[str, Any]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunk(Message):
    """One thing that the answer rests on; one of the four is set."""

    web: Optional[GroundingChunkWeb] = None
    retrieved_context: Optional[GroundingChunkRetrievedContext] = None
    maps: Optional[GroundingChunkMaps] = None
    image: Optional[GroundingChunkImage] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkWeb(Message):
    """A page of the web."""

    uri: Optional[str] = None
    title: Optional[str] = None
    domain: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkImage(Message):
    """An image of the web.

    :ivar source_uri: of the page that shows it.
    """

    image_uri: Optional[str] = None
    source_uri: Optional[str] = None
    title: Optional[str] = None
    domain: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkRetrievedContext(Message):
    """A piece of a document of the user's own."""

    uri: Optional[str] = None
    title: Optional[str] = None
    text: Optional[str] = None
    document_name: Optional[str] = None
    page_number: Optional[int] = None
    rag_chunk: Optional[RagChunk] = None
    file_search_store: Optional[str] = None
    custom_metadata: Optional[List[GroundingChunkCustomMetadata]] = None
    media_id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkCustomMetadata(Message):
    """A name and value that the user gave to a document; one of the three values is set."""

    key: Optional[str] = None
    string_value: Optional[str] = None
    numeric_value: Optional[float] = None
    string_list_value: Optional[GroundingChunkStringList] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkStringList(Message):
    """A list of strings."""

    values: Optional[List[str]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class RagChunk(Message):
    """A chunk that a retrieval engine found."""

    text: Optional[str] = None
    page_span: Optional[RagChunkPageSpan] = None
    chunk_id: Optional[str] = None
    file_id: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class RagChunkPageSpan(Message):
    """From which page to which, both included."""

    first_page: Optional[int] = None
    last_page: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkMaps(Message):
    """A place or a route of Google Maps."""

    uri: Optional[str] = None
    title: Optional[str] = None
    text: Optional[str] = None
    place_id: Optional[str] = None
    place_answer_sources: Optional[MapsPlaceAnswerSources] = None
    route: Optional[MapsRoute] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MapsPlaceAnswerSources(Message):
    """What an answer about a place rests on.

    :ivar review_snippet: the name that one of Google's APIs gives to ``review_snippets``.
    """

    review_snippets: Optional[List[MapsReviewSnippet]] = None
    review_snippet: Optional[List[MapsReviewSnippet]] = None
    flag_content_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MapsReviewSnippet(Message):
    """A piece of a review of a place.

    :ivar relative_publish_time_description: such as "a month ago".
    """

    review: Optional[str] = None
    title: Optional[str] = None
    google_maps_uri: Optional[str] = None
    author_attribution: Optional[MapsAuthorAttribution] = None
    relative_publish_time_description: Optional[str] = None
    review_id: Optional[str] = None
    flag_content_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MapsAuthorAttribution(Message):
    """Who wrote a review."""

    display_name: Optional[str] = None
    uri: Optional[str] = None
    photo_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MapsRoute(Message):
    """A route between places.

    :ivar distance_meters: metres.
    :ivar duration: such as "165s".
    :ivar encoded_polyline: in Google's polyline format.
    """

    distance_meters: Optional[int] = None
    duration: Optional[str] = None
    encoded_polyline: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


# The wire's own names of these.
GroundingChunkMapsPlaceAnswerSources = MapsPlaceAnswerSources
GroundingChunkMapsPlaceAnswerSourcesReviewSnippet = MapsReviewSnippet
GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution = MapsAuthorAttribution
GroundingChunkMapsRoute = MapsRoute


@dataclass(repr=False, eq=False)
class GroundingSupport(Message):
    """Which grounding chunks support which segment of the answer.

    :ivar grounding_chunk_indices: into ``GroundingMetadata.grounding_chunks``, from 0.
    :ivar confidence_scores: one for each index, from 0 to 1.
    :ivar rendered_parts: indices of parts of the answer, from 0.
    """

    segment: Optional[Segment] = None
    grounding_chunk_indices: Optional[List[int]] = None
    confidence_scores: Optional[List[float]] = None
    rendered_parts: Optional[List[int]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Segment(Message):
    """A piece of the answer.

    :ivar start_index: of the first byte in the part's UTF-8, from 0.
    :ivar end_index: of the byte after the last.
    :ivar part_index: of the part, from 0.
    """

    text: Optional[str] = None
    start_index: Optional[int] = None
    end_index: Optional[int] = None
    part_index: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class RetrievalMetadata(Message):
    """How likely it was that a search would help.

    :ivar google_search_dynamic_retrieval_score: from 0 to 1.
    """

    google_search_dynamic_retrieval_score: Optional[float] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SearchEntryPoint(Message):
    """What to show beside an answer that rests on a search.

    :ivar rendered_content: HTML to embed as it is.
    :ivar sdk_blob: JSON of search terms and URLs.
    """

    rendered_content: Optional[str] = None
    sdk_blob: Optional[bytes] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingMetadataSourceFlaggingUri(Message):
    """Where a user can report a source."""

    source_id: Optional[str] = None
    flag_content_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


# Log probabilities, and pages that were read ---------------------------------


@dataclass(repr=False, eq=False)
class LogprobsResult(Message):
    """How probable each token of an answer was, and what else was.

    :ivar chosen_candidates: the tokens of the answer.
    :ivar top_candidates: for each of them, the likeliest tokens.
    :ivar log_probability_sum: over the tokens of the answer.
    """

    chosen_candidates: Optional[List[LogprobsResultCandidate]] = None
    top_candidates: Optional[List[LogprobsResultTopCandidates]] = None
    log_probability_sum: Optional[float] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class LogprobsResultCandidate(Message):
    """A token and its log probability."""

    token: Optional[str] = None
    log_probability: Optional[float] = None
    token_id: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class LogprobsResultTopCandidates(Message):
    """The likeliest tokens at one place of the answer, the likeliest first."""

    candidates: Optional[List[LogprobsResultCandidate]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class UrlContextMetadata(Message):
    """The pages that the model read."""

    url_metadata: Optional[List[UrlMetadata]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class UrlMetadata(Message):
    """A page that the model read, or could not read.

    :ivar url_retrieval_status: one of `UrlRetrievalStatus`.
    """

    retrieved_url: Optional[str] = None
    url_retrieval_status: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
