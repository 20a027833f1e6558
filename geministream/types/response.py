"""The response: one chunk of a stream, or a complete answer.

Enums are classes of plain strings, and their fields are plain ``str``, because servers also
send unpublished values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..errors import BlockedError
from .codec import DecodedLater, Message, shorten
from .content import Blob, Content, FunctionCall, Part

if TYPE_CHECKING:  # imported on first use
    from .grounding import (
        CitationMetadata,
        GroundingAttribution,
        GroundingMetadata,
        LogprobsResult,
        UrlContextMetadata,
    )


class FinishReason:
    """The reason why a candidate ended."""

    FINISH_REASON_UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
    STOP = "STOP"
    MAX_TOKENS = "MAX_TOKENS"
    SAFETY = "SAFETY"
    RECITATION = "RECITATION"
    LANGUAGE = "LANGUAGE"
    OTHER = "OTHER"
    BLOCKLIST = "BLOCKLIST"
    PROHIBITED_CONTENT = "PROHIBITED_CONTENT"
    SPII = "SPII"
    MALFORMED_FUNCTION_CALL = "MALFORMED_FUNCTION_CALL"
    IMAGE_SAFETY = "IMAGE_SAFETY"
    IMAGE_PROHIBITED_CONTENT = "IMAGE_PROHIBITED_CONTENT"
    IMAGE_OTHER = "IMAGE_OTHER"
    NO_IMAGE = "NO_IMAGE"
    IMAGE_RECITATION = "IMAGE_RECITATION"
    UNEXPECTED_TOOL_CALL = "UNEXPECTED_TOOL_CALL"
    TOO_MANY_TOOL_CALLS = "TOO_MANY_TOOL_CALLS"
    MISSING_THOUGHT_SIGNATURE = "MISSING_THOUGHT_SIGNATURE"
    MALFORMED_RESPONSE = "MALFORMED_RESPONSE"
    ESCALATION = "ESCALATION"
    PUP_LIMITED_DISABLED = "PUP_LIMITED_DISABLED"
    CONTINUATION = "CONTINUATION"
    MODEL_ARMOR = "MODEL_ARMOR"


class BlockedReason:
    """The reason why a prompt was blocked."""

    BLOCKED_REASON_UNSPECIFIED = "BLOCKED_REASON_UNSPECIFIED"
    SAFETY = "SAFETY"
    OTHER = "OTHER"
    BLOCKLIST = "BLOCKLIST"
    PROHIBITED_CONTENT = "PROHIBITED_CONTENT"
    IMAGE_SAFETY = "IMAGE_SAFETY"
    MODEL_ARMOR = "MODEL_ARMOR"
    JAILBREAK = "JAILBREAK"


class HarmCategory:
    """The kind of harm of a rating or a setting."""

    HARM_CATEGORY_UNSPECIFIED = "HARM_CATEGORY_UNSPECIFIED"
    HARM_CATEGORY_HARASSMENT = "HARM_CATEGORY_HARASSMENT"
    HARM_CATEGORY_HATE_SPEECH = "HARM_CATEGORY_HATE_SPEECH"
    HARM_CATEGORY_SEXUALLY_EXPLICIT = "HARM_CATEGORY_SEXUALLY_EXPLICIT"
    HARM_CATEGORY_DANGEROUS_CONTENT = "HARM_CATEGORY_DANGEROUS_CONTENT"
    HARM_CATEGORY_CIVIC_INTEGRITY = "HARM_CATEGORY_CIVIC_INTEGRITY"
    HARM_CATEGORY_JAILBREAK = "HARM_CATEGORY_JAILBREAK"
    HARM_CATEGORY_IMAGE_HATE = "HARM_CATEGORY_IMAGE_HATE"
    HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT = "HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT"
    HARM_CATEGORY_IMAGE_HARASSMENT = "HARM_CATEGORY_IMAGE_HARASSMENT"
    HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT = "HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT"


class HarmProbability:
    """The probability that a text is harmful."""

    HARM_PROBABILITY_UNSPECIFIED = "HARM_PROBABILITY_UNSPECIFIED"
    NEGLIGIBLE = "NEGLIGIBLE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class HarmSeverity:
    """The severity of a harm."""

    HARM_SEVERITY_UNSPECIFIED = "HARM_SEVERITY_UNSPECIFIED"
    HARM_SEVERITY_NEGLIGIBLE = "HARM_SEVERITY_NEGLIGIBLE"
    HARM_SEVERITY_LOW = "HARM_SEVERITY_LOW"
    HARM_SEVERITY_MEDIUM = "HARM_SEVERITY_MEDIUM"
    HARM_SEVERITY_HIGH = "HARM_SEVERITY_HIGH"


class MediaModality:
    """The kind of media of a token count."""

    MODALITY_UNSPECIFIED = "MODALITY_UNSPECIFIED"
    TEXT = "TEXT"
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"
    DOCUMENT = "DOCUMENT"


class TrafficType:
    """The billing of a request."""

    TRAFFIC_TYPE_UNSPECIFIED = "TRAFFIC_TYPE_UNSPECIFIED"
    ON_DEMAND = "ON_DEMAND"
    ON_DEMAND_PRIORITY = "ON_DEMAND_PRIORITY"
    ON_DEMAND_FLEX = "ON_DEMAND_FLEX"
    ON_DEMAND_OFFPEAK = "ON_DEMAND_OFFPEAK"
    PROVISIONED_THROUGHPUT = "PROVISIONED_THROUGHPUT"


class ModelStage:
    """The stage of a model's life."""

    MODEL_STAGE_UNSPECIFIED = "MODEL_STAGE_UNSPECIFIED"
    UNSTABLE_EXPERIMENTAL = "UNSTABLE_EXPERIMENTAL"
    EXPERIMENTAL = "EXPERIMENTAL"
    PREVIEW = "PREVIEW"
    STABLE = "STABLE"
    LEGACY = "LEGACY"
    DEPRECATED = "DEPRECATED"
    RETIRED = "RETIRED"


# The finish reasons of an answer that a policy blocked.  Other reasons for an unsuccessful answer
# (LANGUAGE, OTHER, NO_IMAGE, MALFORMED_…) are failures, not blocks.
_BLOCKING_FINISH_REASONS = frozenset(
    [
        FinishReason.SAFETY,
        FinishReason.RECITATION,
        FinishReason.BLOCKLIST,
        FinishReason.PROHIBITED_CONTENT,
        FinishReason.SPII,
        FinishReason.MODEL_ARMOR,
        FinishReason.IMAGE_SAFETY,
        FinishReason.IMAGE_PROHIBITED_CONTENT,
        FinishReason.IMAGE_RECITATION,
        FinishReason.ESCALATION,
        FinishReason.PUP_LIMITED_DISABLED,
    ]
)
# The names of the unspecified value in Google's two APIs.
_NO_BLOCK_REASONS = frozenset(["", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"])


class _Delivered:
    """Attributes of a response that are not in its JSON; a plain class, so that they are not fields.

    :ivar request_number: the number of the request that returned the chunk, counted from 1.
        There are several requests only if an answer is too long for one, or a turn of a chat
        has function calls; `collect` sums their usage.
    """

    request_number: int = 1
    _usages: Optional[List[UsageMetadata]] = None


@dataclass(repr=False, eq=False)
class GenerateContentResponse(_Delivered, Message):
    """One chunk of a stream, or a complete answer.

    The properties use only the first candidate; there are more only if ``candidate_count``
    was above 1.  They never raise: a value of an unexpected type counts as missing.

    :ivar candidates: the answers, or in a stream their next pieces.
    :ivar usage_metadata: the token count so far; in a stream the last one is the total.
    :ivar prompt_feedback: the safety ratings of the prompt.
    :ivar create_time: RFC 3339.

    >>> print(generate("gemini-flash-latest", "Hello").text)    # doctest: +SKIP
    """

    candidates: Optional[List[Candidate]] = None
    usage_metadata: Optional[UsageMetadata] = DecodedLater()  # type: ignore[assignment]
    prompt_feedback: Optional[PromptFeedback] = None
    model_version: Optional[str] = None
    response_id: Optional[str] = None
    create_time: Optional[str] = None
    model_status: Optional[ModelStatus] = None
    extra: Dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the answer, without the thoughts; default: ""."""
        candidates: Any = self.candidates
        try:  # most chunks have one part
            (part,) = candidates[0].content.parts
            if type(part) is Part and type(part.text) is str and not part.thought:
                return part.text
        except (AttributeError, LookupError, TypeError, ValueError):
            pass
        return "".join([p.text for p in self.parts if isinstance(p.text, str) and not p.thought])

    @property
    def thoughts(self) -> str:
        """The text of the model's thoughts; default: ""."""
        return "".join([p.text for p in self.parts if isinstance(p.text, str) and p.thought])

    @property
    def parts(self) -> List[Part]:
        """The parts, as a new list; default: []."""
        candidates: Any = self.candidates
        try:
            return [part for part in candidates[0].content.parts if isinstance(part, Part)]
        except (AttributeError, LookupError, TypeError):
            return []

    @property
    def function_calls(self) -> List[FunctionCall]:
        """The function calls among the parts, in order; default: []."""
        calls = [part.function_call for part in self.parts]
        return [call for call in calls if isinstance(call, FunctionCall)]

    @property
    def media(self) -> List[Blob]:
        """The images, audio and other data among the parts, in order; default: []."""
        blobs = [part.inline_data for part in self.parts]
        return [blob for blob in blobs if isinstance(blob, Blob)]

    def _repr_markdown_(self) -> str:
        """Return the text and the images, for notebooks."""
        images = [blob for blob in self.media if str(blob.mime_type).startswith("image/")]
        shown = [blob.to_dict() for blob in images if isinstance(blob.data, bytes)]
        lines = [f"![image](data:{blob['mimeType']};base64,{blob['data']})" for blob in shown]
        return "\n\n".join([self.text, *lines]).strip() or f"`{self!r}`"

    @property
    def usage_by_request(self) -> List[UsageMetadata]:
        """The usage of each request of a collected answer, in order.

        ``usage_metadata`` of such an answer is their sum.  Each additional request counts the
        prompt and the answer so far again.
        """
        if self._usages is not None:
            return list(self._usages)
        return [self.usage_metadata] if isinstance(self.usage_metadata, UsageMetadata) else []

    @usage_by_request.setter
    def usage_by_request(self, usages: List[UsageMetadata]) -> None:
        self._usages = list(usages)

    @property
    def finish_reason(self) -> Optional[str]:
        """The reason why the answer ended, one of `FinishReason` or newer; None if it has not ended."""
        candidate = self._first_candidate()
        reason = candidate.finish_reason if candidate is not None else None
        return reason if isinstance(reason, str) else None

    def raise_for_block(self) -> GenerateContentResponse:
        """Raise if the prompt or the answer was blocked; otherwise return the response itself.

        Blocked means that ``prompt_feedback`` has a ``block_reason``, or that the finish reason
        is SAFETY, RECITATION, BLOCKLIST, PROHIBITED_CONTENT, SPII, MODEL_ARMOR, ESCALATION,
        PUP_LIMITED_DISABLED, IMAGE_SAFETY, IMAGE_PROHIBITED_CONTENT or IMAGE_RECITATION.

        :raises BlockedError: with the reason as ``reason`` and the response as ``response``.

        >>> generate("gemini-flash-latest", "Hello").raise_for_block().text    # doctest: +SKIP
        """
        feedback = self.prompt_feedback
        if isinstance(feedback, PromptFeedback):
            reason = feedback.block_reason
            if isinstance(reason, str) and reason not in _NO_BLOCK_REASONS:
                raise self._blocked("prompt", reason, feedback.block_reason_message)
        candidate = self._first_candidate()
        if candidate is not None and self.finish_reason in _BLOCKING_FINISH_REASONS:
            raise self._blocked("answer", candidate.finish_reason, candidate.finish_message)
        return self

    def _blocked(self, what: str, reason: Optional[str], said: Optional[str]) -> BlockedError:
        words = f" ({shorten(said, 500)})" if said else ""
        return BlockedError(
            f"the {what} was blocked: {reason}{words}; "
            "change the prompt or, if that is allowed, the safety settings",
            reason=reason,
            response=self,
        )

    def _first_candidate(self) -> Optional[Candidate]:
        candidates = self.candidates
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        return first if isinstance(first, Candidate) else None


@dataclass(repr=False, eq=False)
class Candidate(Message):
    """One answer, or in a stream its next piece.

    :ivar finish_reason: one of `FinishReason`; None if the answer has not ended.
    :ivar finish_message: the server's message about the finish reason.
    :ivar index: the number of the answer, counted from 0.
    :ivar continuation_token: opaque; another request can continue the answer from it.
    :ivar avg_logprobs: the average log probability of the tokens.
    """

    content: Optional[Content] = None
    finish_reason: Optional[str] = None
    finish_message: Optional[str] = None
    index: Optional[int] = None
    safety_ratings: Optional[List[SafetyRating]] = None
    citation_metadata: Optional[CitationMetadata] = None
    grounding_metadata: Optional[GroundingMetadata] = None
    url_context_metadata: Optional[UrlContextMetadata] = None
    continuation_token: Optional[str] = None
    token_count: Optional[int] = None
    avg_logprobs: Optional[float] = None
    logprobs_result: Optional[LogprobsResult] = None
    grounding_attributions: Optional[List[GroundingAttribution]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class UsageMetadata(Message):
    """The token count of a request, in total and by modality.

    :ivar prompt_token_count: the entire prompt, including cached content.
    :ivar candidates_token_count: all candidates, without the thoughts.
    :ivar total_token_count: prompt, tool use, thoughts and candidates.
    :ivar cached_content_token_count: the tokens of the prompt that were cached.
    :ivar traffic_type: one of `TrafficType`.
    """

    prompt_token_count: Optional[int] = None
    candidates_token_count: Optional[int] = None
    total_token_count: Optional[int] = None
    thoughts_token_count: Optional[int] = None
    cached_content_token_count: Optional[int] = None
    tool_use_prompt_token_count: Optional[int] = None
    prompt_tokens_details: Optional[List[ModalityTokenCount]] = None
    candidates_tokens_details: Optional[List[ModalityTokenCount]] = None
    cache_tokens_details: Optional[List[ModalityTokenCount]] = None
    tool_use_prompt_tokens_details: Optional[List[ModalityTokenCount]] = None
    traffic_type: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ModalityTokenCount(Message):
    """The token count of one modality.

    :ivar modality: one of `MediaModality`.
    """

    modality: Optional[str] = None
    token_count: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class PromptFeedback(Message):
    """The safety ratings of the prompt.

    :ivar block_reason: one of `BlockedReason`; set if the prompt was blocked.
    """

    block_reason: Optional[str] = None
    block_reason_message: Optional[str] = None
    safety_ratings: Optional[List[SafetyRating]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SafetyRating(Message):
    """The safety rating of a prompt or an answer in one category.

    :ivar category: one of `HarmCategory`.
    :ivar probability: one of `HarmProbability`.
    :ivar blocked: true if the text was blocked because of this rating.
    :ivar severity: one of `HarmSeverity`.
    :ivar overwritten_threshold: one of `HarmBlockThreshold`.
    """

    category: Optional[str] = None
    probability: Optional[str] = None
    blocked: Optional[bool] = None
    probability_score: Optional[float] = None
    severity: Optional[str] = None
    severity_score: Optional[float] = None
    overwritten_threshold: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class ModelStatus(Message):
    """The stage of the life of the model that answered.

    :ivar model_stage: one of `ModelStage`.
    :ivar retirement_time: RFC 3339.
    """

    model_stage: Optional[str] = None
    retirement_time: Optional[str] = None
    message: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
