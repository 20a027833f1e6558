"""The sources of an answer (citations, grounding, pages that were read) and log probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .codec import Message
from .content import Content


class UrlRetrievalStatus:
    """The result of reading a page."""

    URL_RETRIEVAL_STATUS_UNSPECIFIED = "URL_RETRIEVAL_STATUS_UNSPECIFIED"
    URL_RETRIEVAL_STATUS_SUCCESS = "URL_RETRIEVAL_STATUS_SUCCESS"
    URL_RETRIEVAL_STATUS_ERROR = "URL_RETRIEVAL_STATUS_ERROR"
    URL_RETRIEVAL_STATUS_PAYWALL = "URL_RETRIEVAL_STATUS_PAYWALL"
    URL_RETRIEVAL_STATUS_UNSAFE = "URL_RETRIEVAL_STATUS_UNSAFE"


# Citations -------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class CitationMetadata(Message):
    """The citations of an answer.

    :ivar citation_sources: the Gemini API's name of ``citations``.
    """

    citations: Optional[List[Citation]] = None
    citation_sources: Optional[List[Citation]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Citation(Message):
    """A section of the answer that is quoted, and its source.

    :ivar start_index: the index of the first byte in the answer's UTF-8, counted from 0.
    :ivar end_index: the index after the last byte.
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
    """A date; an unknown year, month or day is 0."""

    year: Optional[int] = None
    month: Optional[int] = None
    day: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


# Grounding -------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class GroundingMetadata(Message):
    """The searches of an answer, the sources they found, and the text that these support.

    :ivar grounding_supports: the supported text; its indices refer to ``grounding_chunks``.
    :ivar search_entry_point: must be displayed with search results.
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
    """A source of an "attributed question answering" answer."""

    content: Optional[Content] = None
    source_id: Optional[Dict[str, Any]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunk(Message):
    """One source of the answer; one of the four fields is set."""

    web: Optional[GroundingChunkWeb] = None
    retrieved_context: Optional[GroundingChunkRetrievedContext] = None
    maps: Optional[GroundingChunkMaps] = None
    image: Optional[GroundingChunkImage] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkWeb(Message):
    """A web page."""

    uri: Optional[str] = None
    title: Optional[str] = None
    domain: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkImage(Message):
    """An image on the web.

    :ivar source_uri: the URI of the page that contains it.
    """

    image_uri: Optional[str] = None
    source_uri: Optional[str] = None
    title: Optional[str] = None
    domain: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingChunkRetrievedContext(Message):
    """A section of one of the user's documents."""

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
    """A name and value that the user set on a document; one of the three values is set."""

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
    """A range of pages, including both ends."""

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
    """The sources of an answer about a place.

    :ivar review_snippet: the name of ``review_snippets`` in one of Google's APIs.
    """

    review_snippets: Optional[List[MapsReviewSnippet]] = None
    review_snippet: Optional[List[MapsReviewSnippet]] = None
    flag_content_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MapsReviewSnippet(Message):
    """A section of a review of a place.

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
    """The author of a review."""

    display_name: Optional[str] = None
    uri: Optional[str] = None
    photo_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class MapsRoute(Message):
    """A route between places.

    :ivar distance_meters: the distance in metres.
    :ivar duration: such as "165s".
    :ivar encoded_polyline: in Google's polyline format.
    """

    distance_meters: Optional[int] = None
    duration: Optional[str] = None
    encoded_polyline: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


# The API's names of these classes.
GroundingChunkMapsPlaceAnswerSources = MapsPlaceAnswerSources
GroundingChunkMapsPlaceAnswerSourcesReviewSnippet = MapsReviewSnippet
GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution = MapsAuthorAttribution
GroundingChunkMapsRoute = MapsRoute


@dataclass(repr=False, eq=False)
class GroundingSupport(Message):
    """A segment of the answer and the grounding chunks that support it.

    :ivar grounding_chunk_indices: indices in ``GroundingMetadata.grounding_chunks``, counted from 0.
    :ivar confidence_scores: one for each index, 0 to 1.
    :ivar rendered_parts: indices of parts of the answer, counted from 0.
    """

    segment: Optional[Segment] = None
    grounding_chunk_indices: Optional[List[int]] = None
    confidence_scores: Optional[List[float]] = None
    rendered_parts: Optional[List[int]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Segment(Message):
    """A section of the answer.

    :ivar start_index: the index of the first byte in the part's UTF-8, counted from 0.
    :ivar end_index: the index after the last byte.
    :ivar part_index: the index of the part, counted from 0.
    """

    text: Optional[str] = None
    start_index: Optional[int] = None
    end_index: Optional[int] = None
    part_index: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class RetrievalMetadata(Message):
    """The likelihood that a search would help.

    :ivar google_search_dynamic_retrieval_score: 0 to 1.
    """

    google_search_dynamic_retrieval_score: Optional[float] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SearchEntryPoint(Message):
    """HTML to display with an answer that used a search.

    :ivar rendered_content: HTML to embed unchanged.
    :ivar sdk_blob: JSON of search terms and URLs.
    """

    rendered_content: Optional[str] = None
    sdk_blob: Optional[bytes] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class GroundingMetadataSourceFlaggingUri(Message):
    """The URI at which a user can report a source."""

    source_id: Optional[str] = None
    flag_content_uri: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


# Log probabilities, and pages that were read ---------------------------------


@dataclass(repr=False, eq=False)
class LogprobsResult(Message):
    """The log probabilities of the tokens of an answer and of their alternatives.

    :ivar chosen_candidates: the tokens of the answer.
    :ivar top_candidates: the most likely tokens, for each token of the answer.
    :ivar log_probability_sum: the sum over the tokens of the answer.
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
    """The most likely tokens at one position of the answer, the most likely first."""

    candidates: Optional[List[LogprobsResultCandidate]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class UrlContextMetadata(Message):
    """The pages that the model read."""

    url_metadata: Optional[List[UrlMetadata]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class UrlMetadata(Message):
    """A page that the model read or failed to read.

    :ivar url_retrieval_status: one of `UrlRetrievalStatus`.
    """

    retrieved_url: Optional[str] = None
    url_retrieval_status: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
