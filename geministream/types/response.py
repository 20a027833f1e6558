"""The response: one chunk of a stream, or a whole answer.

Enums are classes of plain strings, and the fields that hold their values are
plain ``str``, because servers send values that are on no published list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..errors import BlockedError
from .codec import Message, shorten
from .content import Blob, Content, FunctionCall, Part

if TYPE_CHECKING:  # loaded when the first of them is needed
    from .grounding import (
        CitationMetadata,
        GroundingAttribution,
        GroundingMetadata,
        LogprobsResult,
        UrlContextMetadata,
    )


class FinishReason:
    """Why a candidate ended."""

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
    """Why a prompt was blocked."""

    BLOCKED_REASON_UNSPECIFIED = "BLOCKED_REASON_UNSPECIFIED"
    SAFETY = "SAFETY"
    OTHER = "OTHER"
    BLOCKLIST = "BLOCKLIST"
    PROHIBITED_CONTENT = "PROHIBITED_CONTENT"
    IMAGE_SAFETY = "IMAGE_SAFETY"
    MODEL_ARMOR = "MODEL_ARMOR"
    JAILBREAK = "JAILBREAK"


class HarmCategory:
    """What kind of harm a rating or a setting is about."""

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
    """How probable it is that a text is harmful."""

    HARM_PROBABILITY_UNSPECIFIED = "HARM_PROBABILITY_UNSPECIFIED"
    NEGLIGIBLE = "NEGLIGIBLE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class HarmSeverity:
    """How severe the harm would be."""

    HARM_SEVERITY_UNSPECIFIED = "HARM_SEVERITY_UNSPECIFIED"
    HARM_SEVERITY_NEGLIGIBLE = "HARM_SEVERITY_NEGLIGIBLE"
    HARM_SEVERITY_LOW = "HARM_SEVERITY_LOW"
    HARM_SEVERITY_MEDIUM = "HARM_SEVERITY_MEDIUM"
    HARM_SEVERITY_HIGH = "HARM_SEVERITY_HIGH"


class MediaModality:
    """The kind of media that tokens were counted for."""

    MODALITY_UNSPECIFIED = "MODALITY_UNSPECIFIED"
    TEXT = "TEXT"
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"
    DOCUMENT = "DOCUMENT"


class TrafficType:
    """How a request was paid for."""

    TRAFFIC_TYPE_UNSPECIFIED = "TRAFFIC_TYPE_UNSPECIFIED"
    ON_DEMAND = "ON_DEMAND"
    ON_DEMAND_PRIORITY = "ON_DEMAND_PRIORITY"
    ON_DEMAND_FLEX = "ON_DEMAND_FLEX"
    ON_DEMAND_OFFPEAK = "ON_DEMAND_OFFPEAK"
    PROVISIONED_THROUGHPUT = "PROVISIONED_THROUGHPUT"


class ModelStage:
    """How far in its life a model is."""

    MODEL_STAGE_UNSPECIFIED = "MODEL_STAGE_UNSPECIFIED"
    UNSTABLE_EXPERIMENTAL = "UNSTABLE_EXPERIMENTAL"
    EXPERIMENTAL = "EXPERIMENTAL"
    PREVIEW = "PREVIEW"
    STABLE = "STABLE"
    LEGACY = "LEGACY"
    DEPRECATED = "DEPRECATED"
    RETIRED = "RETIRED"


# The finish reasons by which a policy withheld the answer.  The others that are
# no success (LANGUAGE, OTHER, NO_IMAGE, MALFORMED_…) are failures, not blocks.
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
# Google's two APIs differ in the name of the value that says nothing.
_NO_BLOCK_REASONS = frozenset(["", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"])


class _Delivered:
    """What a response carries beside the fields of the wire; no dataclass, so that these are none.

    :ivar request_number: which request of the answer it came with, from 1.  Only an
        answer too long for one request has several, and only a chat's turn with
        function calls; `collect` sums their usage.
    """

    request_number: int = 1
    _usages: Optional[List[UsageMetadata]] = None


@dataclass(repr=False, eq=False)
class GenerateContentResponse(_Delivered, Message):
    """One chunk of a stream, or a whole answer.

    The properties below look at the first candidate alone, which is all there is
    unless ``candidate_count`` was above 1, and never raise: what is not there, or
    not of the type that it should be, is as if absent.

    :ivar candidates: the answers, or the next pieces of them.
    :ivar usage_metadata: tokens so far; in a stream the last one counts.
    :ivar prompt_feedback: what the filters made of the prompt.
    :ivar create_time: RFC 3339.
    """

    candidates: Optional[List[Candidate]] = None
    usage_metadata: Optional[UsageMetadata] = None
    prompt_feedback: Optional[PromptFeedback] = None
    model_version: Optional[str] = None
    response_id: Optional[str] = None
    create_time: Optional[str] = None
    model_status: Optional[ModelStatus] = None
    extra: Dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the answer, without the thoughts; "" where there is none."""
        candidates: Any = self.candidates
        try:  # not through `parts`: this is asked of every chunk
            parts = candidates[0].content.parts
            return "".join([p.text for p in parts if isinstance(p, Part) and p.text and not p.thought])
        except (AttributeError, LookupError, TypeError):
            return "".join([p.text for p in self.parts if isinstance(p.text, str) and not p.thought])

    @property
    def thoughts(self) -> str:
        """The text of the model's thoughts; "" where there is none."""
        return "".join([p.text for p in self.parts if isinstance(p.text, str) and p.thought])

    @property
    def parts(self) -> List[Part]:
        """The parts, as a new list; [] where there are none."""
        candidates: Any = self.candidates
        try:
            return [part for part in candidates[0].content.parts if isinstance(part, Part)]
        except (AttributeError, LookupError, TypeError):
            return []

    @property
    def function_calls(self) -> List[FunctionCall]:
        """The function calls among the parts, in their order; [] where there are none."""
        calls = [part.function_call for part in self.parts]
        return [call for call in calls if isinstance(call, FunctionCall)]

    @property
    def media(self) -> List[Blob]:
        """The images, sounds and other data among the parts, in their order; [] if there are none."""
        blobs = [part.inline_data for part in self.parts]
        return [blob for blob in blobs if isinstance(blob, Blob)]

    def _repr_markdown_(self) -> str:
        """What notebooks show: the text, and the images."""
        images = [blob for blob in self.media if str(blob.mime_type).startswith("image/")]
        shown = [blob.to_dict() for blob in images if isinstance(blob.data, bytes)]
        lines = [f"![image](data:{blob['mimeType']};base64,{blob['data']})" for blob in shown]
        return "\n\n".join([self.text, *lines]).strip() or f"`{self!r}`"

    @property
    def usage_by_request(self) -> List[UsageMetadata]:
        """The usage of each request that a collected answer took, in their order.

        ``usage_metadata`` of such an answer is their sum, in which each further
        request counts the prompt, and the answer so far, once more.
        """
        if self._usages is not None:
            return list(self._usages)
        return [self.usage_metadata] if isinstance(self.usage_metadata, UsageMetadata) else []

    @usage_by_request.setter
    def usage_by_request(self, usages: List[UsageMetadata]) -> None:
        self._usages = list(usages)

    @property
    def finish_reason(self) -> Optional[str]:
        """Why the answer ended, one of `FinishReason` or newer; None while it goes on."""
        candidate = self._first_candidate()
        reason = candidate.finish_reason if candidate is not None else None
        return reason if isinstance(reason, str) else None

    def raise_for_block(self) -> GenerateContentResponse:
        """Return the response itself, or raise where the prompt or the answer was blocked.

        Blocked means: ``prompt_feedback`` has a ``block_reason``, or the finish
        reason is SAFETY, RECITATION, BLOCKLIST, PROHIBITED_CONTENT, SPII,
        MODEL_ARMOR, ESCALATION, PUP_LIMITED_DISABLED, or IMAGE_ with SAFETY,
        PROHIBITED_CONTENT or RECITATION.

        :raises BlockedError: with the reason as ``reason`` and this as ``response``.
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
            "change the prompt, or the safety settings where they allow it",
            reason=reason,
            response=self,
        )

    def _first_candidate(self) -> Optional[Candidate]:
        candidates = self.candidates
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        return first if isinstance(first, Candidate) else None


@dataclass(repr=False, eq=False)
class Candidate(Message):
    """One answer, or in a stream the next piece of it.

    :ivar finish_reason: one of `FinishReason`; None while the answer goes on.
    :ivar finish_message: the server's words on the finish reason.
    :ivar index: which of the answers this is, from 0.
    :ivar continuation_token: opaque; from it a later request can go on.
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
    """How many tokens a request took, in all and by modality.

    :ivar prompt_token_count: the whole prompt, cached content included.
    :ivar candidates_token_count: all candidates, without the thoughts.
    :ivar total_token_count: prompt, tool use, thoughts and candidates.
    :ivar cached_content_token_count: the part of the prompt that came from a cache.
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
    """The tokens of one modality.

    :ivar modality: one of `MediaModality`.
    """

    modality: Optional[str] = None
    token_count: Optional[int] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class PromptFeedback(Message):
    """What the filters made of the prompt.

    :ivar block_reason: one of `BlockedReason`; set where the prompt was blocked.
    """

    block_reason: Optional[str] = None
    block_reason_message: Optional[str] = None
    safety_ratings: Optional[List[SafetyRating]] = None
    extra: Dict[str, Any] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class SafetyRating(Message):
    """What a filter made of a prompt or an answer.

    :ivar category: one of `HarmCategory`.
    :ivar probability: one of `HarmProbability`.
    :ivar blocked: true where this rating is why the text was blocked.
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
    """How far in its life the model is that answered.

    :ivar model_stage: one of `ModelStage`.
    :ivar retirement_time: RFC 3339.
    """

    model_stage: Optional[str] = None
    retirement_time: Optional[str] = None
    message: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)
