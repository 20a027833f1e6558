"""The result of one prompt of a batch."""

from dataclasses import dataclass, field
from typing import Any, Optional

from ..types import GenerateContentResponse


@dataclass(frozen=True)
class BatchResult:
    """The result of one prompt.

    :ivar index: the prompt's place among the requests, from 0.
    :ivar response: the complete answer, or None if there is an error.
    :ivar error: the exception that ended it, or None; ``error.partial`` is what had arrived.
    :ivar attempts: how many HTTP requests were sent for it.
    :ivar seconds: from the start of its first attempt to its end, including the waits.
    :ivar request: the prompt or request mapping as it was given.
    """

    index: int
    response: Optional[GenerateContentResponse]
    error: Optional[Exception]
    attempts: int
    seconds: float
    request: Any = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The answer's text; ``""`` if there is an error."""
        return self.response.text if self.response is not None else ""

    def raise_for_error(self) -> GenerateContentResponse:
        """Raise the error, or return the response."""
        if self.error is not None:
            raise self.error
        assert self.response is not None
        return self.response
