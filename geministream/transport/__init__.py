"""The only wing that knows requests: send, read the bytes as they come, map the errors, wait.

============  ==================================================================
room          what it knows
============  ==================================================================
patience      how long: deadline, cancel, timeouts
secrets       what went out that must not be shown
connection    http.client's connections and responses, made watchful
reply         a response: its bytes, whole or not, and its error
call          a request on its way, and what can come instead of an answer
retry         how often, and when again
============  ==================================================================
"""

from .call import Call
from .connection import new_session
from .reply import Reply
from .retry import Attempts, is_retryable
from .secrets import error_chain

__all__ = ["Attempts", "Call", "Reply", "error_chain", "is_retryable", "new_session"]
