"""The only package that uses requests: it sends a request and returns a reply that streams its body.

==============  =====================================================================
``patience``    the deadline, cancel and timeouts of a call, applied to its socket
``secrets``     the credentials of a call, and how they are kept out of errors
``sending``     the state of one request, shared with its connection
``response``    http.client's response with stricter checks
``connection``  urllib3's connections, extended to know the call that uses them
``sessions``    requests' sessions and pools that create these connections
``origin``      the origin to which requests and credentials may go
``failures``    the error for an exception of requests
``reply``       a response: its headers, then its body as it arrives
``call``        sends requests with all of these
``retry``       the retries and their delays
==============  =====================================================================
"""

from .call import Call
from .reply import Reply
from .retry import Attempts, is_retryable
from .secrets import error_chain
from .sessions import new_session

__all__ = ["Attempts", "Call", "Reply", "error_chain", "is_retryable", "new_session"]
